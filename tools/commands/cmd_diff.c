/* mlascope diff: what changed between two results, and is it more than noise? */
#define _GNU_SOURCE /* mkdtemp */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "reports/diff/diff.h"
#include "reports/page/plot.h"
#include "tools/base/command.h"
#include "tools/base/options.h"
#include "tools/commands/help.h"

extern const mls_command cmd_diff;

static void remove_file(const char *folder, const char *name)
{
    char path[600];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (remove(path))
        return; /* was not made */
}

/* A page is drawn in a folder of its own, which is gone then. */
static mls_status print_page(const mls_diff *d, const char *output, mls_err *err)
{
    static const char *const made[] = {"data/diff.csv",  "plots/diff.gp",
                                       "plots/diff.svg", "plots/diff.png",
                                       "data",           "plots"};
    const char *tmp = getenv("TMPDIR");
    char folder[512];
    mls_err none = {0};
    mls_buf html = {0};
    mls_page *page = NULL;
    mls_status st;
    bool drawn = !mls_plot_check(&none);

    snprintf(folder, sizeof folder, "%s/mlascope-diff-XXXXXX",
             tmp && *tmp ? tmp : "/tmp");
    if (!drawn)
        fprintf(stderr, "mlascope: %s; the page has no picture\n", none.text);
    else if (!mkdtemp(folder))
        return mls_fail(err, MLS_E_IO, "%s: no folder can be made there", folder);
    st = mls_diff_page(&page, d, drawn ? folder : NULL, err);
    if (!st)
        st = mls_page_print(page, &html, err);
    if (!st)
        st = mls_tool_write(&html, output, err);
    for (size_t i = 0; drawn && i < sizeof made / sizeof made[0]; i++)
        remove_file(folder, made[i]);
    if (drawn)
        rmdir(folder);
    mls_page_free(page);
    mls_buf_free(&html);
    return st;
}

static int run(int argc, char **argv)
{
    mls_format format = MLS_FORMAT_TABLE;
    const char *output = "-", *path[2];
    const mls_option options[] = {{"--format", 0, MLS_OPT_FORMAT, &format, 0, 0},
                                  {"--output", 'o', MLS_OPT_TABLE, &output, 0, 0},
                                  {0}};
    size_t n;
    int status;
    mls_err err = {0};
    mls_diff d;
    mls_table *t;

    if (!mls_options_parse(&cmd_diff, argc, argv, options, path, 2, 2, &n, &status))
        return status;
    if (mls_diff_make(&d, path[0], path[1], &err))
        return mls_exit_status(&err);
    if (format == MLS_FORMAT_HTML) {
        print_page(&d, output, &err);
    } else {
        t = mls_diff_table(&d, true);
        mls_tool_print(t, format, output, &err);
        mls_table_free(t);
    }
    mls_diff_free(&d);
    return mls_exit_status(&err);
}

MLS_COMMAND(diff, "reports",
            "what changed between two results, and is it more than noise");
