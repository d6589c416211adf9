/* A subcommand: one cmd_<name>.c that ends with its const mls_command. */
#ifndef MLS_COMMAND_H
#define MLS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/status.h"
#include "common/system/progress.h"
#include "reports/page/table.h"

typedef struct mls_command {
    const char *group; /* heading in --help: datasets, analysis, bench, reports */
    const char *name;
    const char *summary; /* one line, no full stop */
    const char *usage;   /* whole --help text; starts with "Usage: mlascope NAME" */
    int (*run)(int argc,
               char **argv); /* argv[0] is the name; returns the exit status */
} mls_command;

/** Print "mlascope: sentence" to stderr when there is one; the exit status for err. */
int mls_exit_status(const mls_err *err);
/** When a signal stopped the work, add how it goes on: "stopped at layer 3; HOW". */
void mls_tool_stopped(mls_err *err, const char *how);
/** Misuse: sentence and a pointer to --help on stderr; returns 2. */
int mls_usage_error(const mls_command *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/**
 * Progress on stderr: a bar with ETA when it is a terminal, a plain line now and then
 * when not. Installs handlers for SIGINT, SIGTERM and SIGHUP, so that long work
 * ends with 75.
 */
const mls_progress *mls_tool_progress(void);

/** Say on stderr that a --plots folder holds its pictures now, and where. */
void mls_tool_pictures(const char *folder);

/** The command line as typed, for records; shell-quoted, static storage. */
const char *mls_tool_command_line(void);
/** argv[0] is the command's name; false: no memory. */
bool mls_tool_set_command_line(int argc, char *const *argv);

/** Write text to stdout ("-") or, whole or not at all, to a file. */
mls_status mls_tool_write(const mls_buf *text, const char *path, mls_err *err);

/** Print a table to stdout in a format, or to a file ("-": stdout). */
mls_status mls_tool_print(const mls_table *t, mls_format format, const char *path,
                          mls_err *err);

#endif
