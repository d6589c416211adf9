/* Progress for a person (a bar) or a log (a line now and then), on stderr. */
#define _GNU_SOURCE
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/base/command.h"
#include "tools/base/run_progress.h"
#include "tools/base/terminal.h"

static volatile sig_atomic_t stop_asked;

static void on_signal(int signal_number)
{
    (void)signal_number;
    if (stop_asked) /* asked twice: do not wait */
        _exit(75);
    stop_asked = 1;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct {
    bool terminal;
    bool bar_shown;
    double start, last_shown; /* seconds; start is that of the present phase */
    double last_fraction;
} state;

static void clear_bar(void)
{
    if (state.bar_shown)
        fputs("\r\033[K", stderr);
    state.bar_shown = false;
}

void mls_tool_time(char *out, size_t size, double seconds)
{
    const long s = lround(seconds);

    if (s >= 3600)
        snprintf(out, size, "%ld h %02ld min", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(out, size, "%ld min %02ld s", s / 60, s % 60);
    else
        snprintf(out, size, "%ld s", s);
}

static void step(void *arg, const char *what, double done, double total)
{
    const double t = now();
    const double fraction = total > 0 ? fmin(done / total, 1.0) : 0.0;
    const bool whole = arg != NULL;
    const bool phase_begins =
        (!whole && fraction < state.last_fraction) || state.start == 0;
    char left[32] = "";

    if (phase_begins)
        state.start = state.last_shown = t;
    state.last_fraction = fraction;
    if (t - state.last_shown < (state.terminal ? 0.1 : 10.0) && fraction < 1.0)
        return;
    if (!state.terminal && t - state.start < 5.0)
        return; /* short work needs no log */
    state.last_shown = t;
    if (fraction > 0 && fraction < 1 && t - state.start > 1.0)
        mls_tool_time(left, sizeof left, (t - state.start) * (1 - fraction) / fraction);
    if (!state.terminal) {
        fprintf(stderr, "mlascope: %s, %.0f %%%s%s\n", what, 100 * fraction,
                *left ? ", left " : "", left);
        return;
    }
    if (fraction >= 1.0) {
        clear_bar();
        return;
    }
    char bar[25];
    const size_t full = (size_t)(24 * fraction);
    memset(bar, '.', 24);
    memset(bar, '#', full);
    bar[24] = '\0';
    char line[512];
    const size_t width = mls_terminal_width(STDERR_FILENO);

    snprintf(line, sizeof line, "[%s] %3.0f %%  %s%s%s", bar, 100 * fraction, what,
             *left ? ", left " : "", left);
    if (width && strlen(line) >= width) /* a second line could not be taken back */
        line[width - 1] = '\0';
    fprintf(stderr, "\r%s\033[K", line);
    state.bar_shown = true;
}

static void note(void *arg, const char *text)
{
    (void)arg;
    clear_bar();
    fprintf(stderr, "mlascope: %s\n", text);
}

static bool stopped(void *arg)
{
    (void)arg;
    if (stop_asked)
        clear_bar();
    return stop_asked != 0;
}

static void listen(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL); /* the terminal was closed */
    state.terminal = isatty(STDERR_FILENO);
}

const mls_progress *mls_tool_progress(void)
{
    static const mls_progress progress = {
        .step = step, .note = note, .stopped = stopped};

    listen();
    return &progress;
}

const mls_progress *mls_tool_run_progress(void)
{
    static const mls_progress progress = {
        .arg = &state, .step = step, .note = note, .stopped = stopped};

    listen();
    state.start = 0;
    return &progress;
}
