/* Pictures of cache sizes: what a token takes, what context fits. */
#ifndef MLS_SIZE_PLOTS_H
#define MLS_SIZE_PLOTS_H

#include <stdbool.h>

#include "common/base/status.h"
#include "datasets/checkpoint/config.h"
#include "reports/tables/size_table.h"

/**
 * Write, as mls_plot_write() does, and draw, as mls_plot_draw() does:
 *   size-bytes    bytes per token of each setting: codes of keys, values, latents and
 *                 rope keys, metadata, window
 *   size-context  longest context beside the weights on each of the first 8 devices;
 *                 without devices in 24, 80 and 141 GiB
 * Settings that the model cannot take are left out.
 *
 * @param draw   false: numbers and scripts only
 * @param sweep  of each list the first is drawn; weight_bytes NaN: unknown, then there
 *               is no size-context
 * @return MLS_OK, MLS_E_ARG (a setting, named), MLS_E_IO, MLS_E_NOMEM
 */
mls_status mls_size_plots(const char *folder, bool draw, const mls_config *config,
                          const mls_size_sweep *sweep, mls_err *err);

#endif
