/* mlascope merge: captures of one model on several texts become one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/capture/capture.h"
#include "common/base/buf.h"
#include "common/base/words.h"
#include "tools/base/command.h"
#include "tools/base/options.h"

extern const mls_command cmd_merge;

enum { FILES_MAX = 1024 };

static const char usage[] =
    "Usage: mlascope merge RUN.h5... -o ALL.h5\n"
    "\n"
    "Join captures of the same model and tokenizer with sequences of the same length, "
    "as\n"
    "if their texts had been captured together: moments are weighted by tokens, "
    "sequences\n"
    "and windows follow each other. A sequence that two captures share is refused.\n"
    "Of all parts of one run (capture --shard) it makes that run's file, byte for "
    "byte;\n"
    "a part that is missing, there twice or of another run is named.\n"
    "\n"
    "  -o, --output ALL.h5    the capture file to write\n"
    "\n"
    "Example: mlascope merge part-*.h5 -o run.h5\n";

static int run(int argc, char **argv)
{
    const char *output = NULL;
    const mls_option options[] = {{"--output", 'o', MLS_OPT_OTHER, &output, 0, 0}, {0}};
    const char *files[FILES_MAX];
    mls_capture *captures[FILES_MAX] = {0};
    mls_buf command = {0}, names = {0};
    mls_err err = {0};
    bool joined = false;
    size_t n;
    int status;

    if (!mls_options_parse(&cmd_merge, argc, argv, options, files, 1, FILES_MAX, &n,
                           &status))
        return status;
    if (!output)
        return mls_usage_error(&cmd_merge, "no file to write: give -o ALL.h5");
    mls_buf_puts(&command, "mlascope merge");
    for (size_t i = 0; i < n; i++) {
        char *text_names = NULL;

        if (mls_capture_open(&captures[i], files[i], &err) ||
            mls_capture_text_names(captures[i], &text_names, &err))
            goto done;
        mls_buf_puts(&names, text_names);
        free(text_names);
        mls_buf_puts(&command, " ");
        mls_buf_shell(&command, files[i]);
    }
    if (command.failed || names.failed)
        mls_fail(&err, MLS_E_NOMEM, "no memory for the record of the command");
    else
        joined =
            !mls_capture_merge(captures, n, output, command.data, names.data, &err);
    if (joined)
        fprintf(stderr, "mlascope: %s: %zu capture%s joined\n", output, n,
                mls_plural(n));

done:
    for (size_t i = 0; i < n; i++)
        mls_capture_close(captures[i]);
    mls_buf_free(&names);
    mls_buf_free(&command);
    return mls_exit_status(&err);
}

const mls_command cmd_merge = {
    .group = "datasets",
    .name = "merge",
    .summary = "join captures of one model, or the parts of one capture",
    .usage = usage,
    .run = run,
};
