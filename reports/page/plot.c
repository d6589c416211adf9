/*
 * Writing makes data/NAME.csv and plots/NAME.gp, which anybody can run again; drawing
 * runs gnuplot in that folder, without a shell and with an environment of its own. The
 * same commands are there three times, for SVG, for PNG and as text for a terminal. A
 * warning counts as failure: a picture with one is not the one that was meant.
 */
#define _GNU_SOURCE /* posix_spawn_file_actions_addchdir_np */
#include "reports/page/plot.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/system/files.h"
#include "reports/page/embedded.h"

extern char **environ;

/*
 * The environment of gnuplot: of the user's, only what finding programs and libraries
 * takes. In the C locale gnuplot complains that it cannot write a degree sign; GNUTERM,
 * a locale of decimal commas or a fontconfig of the user's would change the pictures.
 */
static char **own_environment(void)
{
    static const char *const kept[] = {"PATH=", "LD_LIBRARY_PATH=", "TMPDIR="};
    static char locale[] = "LC_ALL=C.UTF-8";
    const size_t n_kept = sizeof kept / sizeof kept[0];
    char **own = calloc(n_kept + 2, sizeof *own);
    size_t n = 0;

    for (size_t i = 0; own && i < n_kept; i++)
        for (char **e = environ; *e; e++)
            if (strncmp(*e, kept[i], strlen(kept[i])) == 0) {
                own[n++] = *e;
                break;
            }
    if (own)
        own[n] = locale;
    return own;
}

/*
 * Run gnuplot in a folder, with the arguments of `what` after -d, which keeps start-up
 * files out. What it says, on one line, goes into `said`.
 *
 * @param what  words, NULL at the end
 * @return MLS_OK when it ended well and without a warning
 */
static mls_status run_gnuplot(const char *folder, char *const *what, char *said,
                              size_t size, mls_err *err)
{
    char gnuplot[] = "gnuplot", defaults[] = "-d";
    char *argv[8] = {gnuplot, defaults};
    char **own = own_environment();
    posix_spawn_file_actions_t actions;
    size_t n = 0;
    int pipe_ends[2] = {-1, -1}, exit_status = 0, failed;
    pid_t child;

    for (size_t i = 0; what[i]; i++)
        argv[2 + i] = what[i];
    said[0] = '\0';
    if (!own || pipe2(pipe_ends, O_CLOEXEC)) {
        free(own);
        return mls_fail(err, MLS_E_IO, "gnuplot cannot be started: %s",
                        strerror(errno));
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
    failed = posix_spawnp(&child, "gnuplot", &actions, NULL, argv, own);
    posix_spawn_file_actions_destroy(&actions);
    free(own);
    close(pipe_ends[1]);
    if (failed) {
        close(pipe_ends[0]);
        return mls_fail(err, MLS_E_IO,
                        "gnuplot cannot be started: %s; install gnuplot-nox",
                        strerror(failed));
    }
    for (;;) { /* read all, keep the beginning */
        char piece[4096];
        const ssize_t got = read(pipe_ends[0], piece, sizeof piece);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        for (ssize_t i = 0; i < got && n + 1 < size; i++)
            said[n++] = piece[i] == '\n' || piece[i] == '\r' ? ' ' : piece[i];
    }
    said[n] = '\0';
    close(pipe_ends[0]);
    while (waitpid(child, &exit_status, 0) < 0 && errno == EINTR)
        continue;
    if (exit_status != 0 || strstr(said, "warning"))
        return mls_fail(err, MLS_E_IO, "gnuplot: %s",
                        n ? said : "ended without a picture and without a word");
    return MLS_OK;
}

mls_status mls_data_write(const char *folder, const char *name, const mls_table *t,
                          mls_err *err)
{
    mls_buf csv = {0}, path = {0};
    char *data = mls_path_join(folder, "data");
    mls_status st = data ? mls_folder_prepare(data, err)
                         : mls_fail(err, MLS_E_NOMEM, "no memory for numbers");

    if (!st)
        st = mls_table_print(t, MLS_FORMAT_CSV, &csv, err);
    mls_buf_printf(&path, "%s/%s.csv", data ? data : "", name);
    if (!st && path.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for numbers");
    if (!st)
        st = mls_file_write(path.data, csv.data, csv.len, err);
    free(data);
    mls_buf_free(&path);
    mls_buf_free(&csv);
    return st;
}

mls_status mls_plot_write(const char *folder, const mls_plot *p, mls_err *err)
{
    const unsigned width = p->width ? p->width : 480;
    const unsigned height = p->height ? p->height : 360;
    mls_buf script = {0}, path = {0};
    char *plots = mls_path_join(folder, "plots");
    mls_status st = plots ? mls_folder_prepare(plots, err)
                          : mls_fail(err, MLS_E_NOMEM, "no memory for a plot");

    if (!st)
        st = mls_data_write(folder, p->name, p->data, err);
    mls_buf_printf(
        &script, "# Makes %s.svg, .png and .txt from ../data/%s.csv: gnuplot %s.gp\n%s",
        p->name, p->name, p->name, mls_style_gp);
    mls_buf_printf(&script,
                   "set terminal svg noenhanced size %u,%u dynamic font "
                   "\"DejaVu Sans,13\" background rgb \"white\"\n"
                   "set output \"%s.svg\"\n%s\nset output\n",
                   width, height, p->name, p->script);
    mls_buf_printf(
        &script,
        "set terminal pngcairo noenhanced size %u,%u font \"DejaVu Sans,10\" "
        "fontscale 1.9 linewidth 1.9 pointscale 1.9 background rgb \"white\"\n"
        "set output \"%s.png\"\n%s\nset output\n",
        2 * width, 2 * height, p->name, p->script);
    /* What `show --plot` prints: a terminal of the usual width. */
    mls_buf_printf(&script,
                   "set terminal dumb noenhanced size 79,%u\n"
                   "set output \"%s.txt\"\n%s\nset output\n",
                   height / 15 < 24 ? 24 : height / 15, p->name, p->script);
    mls_buf_printf(&path, "%s/%s.gp", plots ? plots : "", p->name);
    if (!st && (script.failed || path.failed))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a plot");
    if (!st)
        st = mls_file_write(path.data, script.data, script.len, err);
    mls_buf_free(&script);
    mls_buf_free(&path);
    free(plots);
    return st;
}

mls_status mls_plot_take(const char *folder, const char *name, mls_table *t,
                         mls_buf *script, unsigned height, mls_err *err)
{
    const mls_plot plot = {.name = name,
                           .data = t,
                           .script = script->data ? script->data : "",
                           .height = height};
    const mls_status st = script->failed
                              ? mls_fail(err, MLS_E_NOMEM, "no memory for a plot")
                              : mls_plot_write(folder, &plot, err);

    mls_buf_free(script);
    mls_table_free(t);
    return st;
}

mls_status mls_plot_draw(const char *folder, const char *name, mls_err *err)
{
    mls_buf file = {0};
    char *plots = mls_path_join(folder, "plots"), said[512];
    mls_status st = MLS_OK;

    mls_buf_printf(&file, "%s.gp", name);
    if (!plots || file.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a plot");
    if (!st) {
        char *what[] = {file.data, NULL};

        st = run_gnuplot(plots, what, said, sizeof said, err);
        if (st)
            st = mls_fail_in(err, st, "%s/%s", plots, file.data);
    }
    mls_buf_free(&file);
    free(plots);
    return st;
}

mls_status mls_plot_check(mls_err *err)
{
    char option[] = "-e", said[512];
    char commands[] = "set encoding utf8; "
                      "set terminal svg font \"DejaVu Sans,13\"; "
                      "set output \"/dev/null\"; plot x; "
                      "set terminal pngcairo font \"DejaVu Sans,10\"; "
                      "set output \"/dev/null\"; plot x";
    char *what[] = {option, commands, NULL};

    return run_gnuplot("/", what, said, sizeof said, err);
}
