/* mlascope merge: captures of one model on several texts become one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "analysis/capture/capture.h"
#include "common/base/buf.h"
#include "common/base/checked.h"
#include "common/base/words.h"
#include "tools/base/command.h"
#include "tools/base/options.h"
#include "tools/base/parts.h"
#include "tools/commands/help.h"

extern const mls_command cmd_merge;
extern const mls_command cmd_compare, cmd_evaluate, cmd_frequency, cmd_heal, cmd_plan,
    cmd_spectrum;

/* Commands whose work can be split, beside capture. */
static const mls_command *const split[] = {&cmd_compare, &cmd_evaluate, &cmd_frequency,
                                           &cmd_heal,    &cmd_plan,     &cmd_spectrum,
                                           NULL};

enum { FILES_MAX = 4096 };

/* All are open at a time, and some that are not ours. */
static void allow_files(size_t n)
{
    struct rlimit most;

    if (!getrlimit(RLIMIT_NOFILE, &most) && most.rlim_cur < n + 64 &&
        most.rlim_max >= n + 64) {
        most.rlim_cur = n + 64;
        setrlimit(RLIMIT_NOFILE, &most); /* else opening says what is wrong */
    }
}

static int join_captures(const char *const *files, size_t n, const char *output)
{
    mls_capture **captures = mls_calloc3(n, 1, 1, sizeof(mls_capture *));
    mls_buf command = {0}, names = {0};
    mls_err err = {0};
    bool joined = false;

    if (!captures) {
        mls_fail(&err, MLS_E_NOMEM, "no memory for %zu files", n);
        return mls_exit_status(&err);
    }
    allow_files(n);
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
    free(captures);
    mls_buf_free(&names);
    mls_buf_free(&command);
    return mls_exit_status(&err);
}

/* The words of merge that are no file go to the command of the parts as they are. */
static int join_parts(int argc, char **argv, const char *const *files, size_t n)
{
    char **extra = mls_calloc3((size_t)argc, 1, 1, sizeof *extra);
    size_t n_extra = 0, next = 0;
    int status = 1;

    allow_files(n);
    for (int i = 1; extra && i < argc; i++)
        if (next < n && argv[i] == files[next])
            next++;
        else if (strcmp(argv[i], "--") != 0)
            extra[n_extra++] = argv[i];
    if (extra)
        status = mls_tool_parts_join(split, files, n, extra, n_extra);
    else
        fputs("mlascope: no memory for the words of a command\n", stderr);
    free(extra);
    return status;
}

static int run(int argc, char **argv)
{
    const char *output = NULL, *threads = NULL;
    mls_format format = MLS_FORMAT_TABLE; /* read again by the command of the parts */
    const mls_option options[] = {{"--output", 'o', MLS_OPT_TEXT, &output, 0, 0},
                                  {"--format", 0, MLS_OPT_FORMAT, &format, 0, 0},
                                  {"--threads", 't', MLS_OPT_TEXT, &threads, 0, 0},
                                  {0}};
    const char **files = mls_calloc3(FILES_MAX, 1, 1, sizeof(char *));
    size_t n;
    int status = 1;

    if (!files) {
        fputs("mlascope: no memory for names of files\n", stderr);
        return status;
    }
    if (mls_options_parse(&cmd_merge, argc, argv, options, files, 1, FILES_MAX, &n,
                          &status)) {
        if (mls_parts_are(files[0]))
            status = join_parts(argc, argv, files, n);
        else if (!output)
            status = mls_usage_error(&cmd_merge, "no file to write: give -o ALL.h5");
        else
            status = join_captures(files, n, output);
    }
    free(files);
    return status;
}

MLS_COMMAND(merge, "datasets", "join captures of one model, or the parts of one run");
