/* mlascope show: the answer of a finished report, again, or one of its pictures. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/checked.h"
#include "common/base/words.h"
#include "common/system/files.h"
#include "reports/report/report_folder.h"
#include "tools/base/command.h"
#include "tools/base/options.h"
#include "tools/base/terminal.h"
#include "tools/commands/help.h"

extern const mls_command cmd_show;

enum { ANSWER_MAX = 1 << 20, NAMES_MAX = 512 };

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

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of pictures that there are as text, in order; NULL at the end. */
static size_t list_pictures(char *name[NAMES_MAX + 1], const char *plots)
{
    DIR *dir = opendir(plots);
    size_t n = 0;

    for (struct dirent *e; dir && n < NAMES_MAX && (e = readdir(dir));) {
        const size_t len = strlen(e->d_name);

        if (len > 4 && strcmp(e->d_name + len - 4, ".txt") == 0 &&
            (name[n] = strndup(e->d_name, len - 4)))
            n++;
    }
    if (dir)
        closedir(dir);
    qsort(name, n, sizeof *name, by_name);
    name[n] = NULL;
    return n;
}

/* A folder may come from anywhere: its text is printed, its script is not run. */
static mls_status show_picture(const char *folder, const char *picture, mls_err *err)
{
    char *plots = mls_path_join(folder, "plots"), *name[NAMES_MAX + 1], *text = NULL;
    char known[MLS_SUGGESTION];
    const size_t n = plots ? list_pictures(name, plots) : 0;
    mls_buf path = {0};
    size_t len, at = 0;
    mls_status st = MLS_OK;

    while (at < n && strcmp(name[at], picture) != 0)
        at++;
    mls_buf_printf(&path, "%s/%s.txt", plots ? plots : "", picture);
    if (!plots || path.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a path");
    else if (n == 0)
        st = mls_fail(err, MLS_E_INPUT, "%s: holds no pictures as text", plots);
    else if (strcmp(picture, "list") == 0)
        for (size_t i = 0; i < n; i++)
            printf("%s\n", name[i]);
    else if (at == n)
        st = mls_fail(err, MLS_E_ARG, "%s: no picture \"%s\"%s", folder, picture,
                      mls_suggest(picture, (const char *const *)name, known));
    else if (!(st = mls_file_read_regular(path.data, ANSWER_MAX, &text, &len, err)))
        mls_terminal_print(text);
    for (size_t i = 0; i < n; i++)
        free(name[i]);
    mls_buf_free(&path);
    mls_free_all(text, plots);
    return st;
}

static int run(int argc, char **argv)
{
    const char *folder, *picture = NULL;
    const mls_option options[] = {{"--plot", 0, MLS_OPT_TEXT, &picture, 0, 0}, {0}};
    size_t n;
    int status;
    mls_err err = {0};

    if (!mls_options_parse(&cmd_show, argc, argv, options, &folder, 1, 1, &n, &status))
        return status;
    if (picture)
        show_picture(folder, picture, &err);
    else
        show(folder, &err);
    return mls_exit_status(&err);
}

MLS_COMMAND(show, "reports", "print the answer of a finished report again");
