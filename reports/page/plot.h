/*
 * Plots by gnuplot: the numbers as CSV, a script that anybody can run again, SVG and
 * PNG.
 */
#ifndef MLS_PLOT_H
#define MLS_PLOT_H

#include <stddef.h>

#include "common/base/status.h"
#include "reports/page/table.h"

/** Line types of the style, told apart by colour, point and dashes. */
enum { MLS_PLOT_LINES = 18 };

/** One picture. All text is borrowed for the call. */
typedef struct mls_plot {
    const char *name; /* file name without ending: letters, digits, '-' */
    /**
     * The numbers; written to data/<name>.csv with a header row. The script reads it as
     * "../data/<name>.csv", columns by header name: using "rank":"sigma".
     */
    const mls_table *data;
    /**
     * gnuplot commands, from titles to `plot`; terminal and output are set around it.
     */
    const char *script;
    unsigned width, height; /* pixels; 0: 480 x 360, which a phone shows */
} mls_plot;

/** Write <folder>/data/NAME.csv: the numbers of a table that no picture shows. */
mls_status mls_data_write(const char *folder, const char *name, const mls_table *t,
                          mls_err *err);

/**
 * Write <folder>/data/NAME.csv and the script <folder>/plots/NAME.gp. Running
 * `gnuplot NAME.gp` in <folder>/plots makes the pictures.
 *
 * @return MLS_OK, MLS_E_IO, MLS_E_NOMEM
 */
mls_status mls_plot_write(const char *folder, const mls_plot *plot, mls_err *err);

/** The same of the usual width; table and script are released. @param height  or 0 */
mls_status mls_plot_take(const char *folder, const char *name, mls_table *t,
                         mls_buf *script, unsigned height, mls_err *err);

/**
 * Run that script: <folder>/plots/NAME.svg, .png and .txt. gnuplot gets an environment
 * of ours and no start-up files, so that the pictures are the same everywhere.
 *
 * @return MLS_OK, MLS_E_IO (gnuplot missing or failed: its first message), MLS_E_NOMEM
 */
mls_status mls_plot_draw(const char *folder, const char *name, mls_err *err);

/** Can gnuplot draw here? To be asked before the work whose pictures it draws. */
mls_status mls_plot_check(mls_err *err);

#endif
