/* mlascope show: the answer of a finished report, again. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/checked.h"
#include "common/system/files.h"
#include "reports/report/report_folder.h"
#include "tools/base/command.h"
#include "tools/base/options.h"
#include "tools/base/terminal.h"
#include "tools/commands/help.h"

extern const mls_command cmd_show;

enum { ANSWER_MAX = 1 << 20 };

static mls_status show(const char *folder, mls_err *err)
{
    char *path = NULL, *text = NULL;
    size_t len;
    mls_status st;

    if (!mls_report_is(folder))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: no report is there: mlascope report MODEL -o %s", folder,
                        folder);
    path = mls_path_join(folder, MLS_REPORT_ANSWER);
    if (!path)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a path");
    if (!mls_file_exists(path))
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: the report is not finished, or of a version before 0.2.0: "
                      "the same mlascope report goes on from what is finished",
                      folder);
    else
        st = mls_file_read_regular(path, ANSWER_MAX, &text, &len, err);
    if (!st) {
        mls_terminal_print(text);
        printf("report: %s/index.html\n", folder);
    }
    mls_free_all(text, path);
    return st;
}

static int run(int argc, char **argv)
{
    const mls_option options[] = {{0}};
    const char *folder;
    size_t n;
    int status;
    mls_err err = {0};

    if (!mls_options_parse(&cmd_show, argc, argv, options, &folder, 1, 1, &n, &status))
        return status;
    show(folder, &err);
    return mls_exit_status(&err);
}

const mls_command cmd_show = {
    .group = "reports",
    .name = "show",
    .summary = "print the answer of a finished report again",
    .usage = mls_show_txt,
    .run = run,
};
