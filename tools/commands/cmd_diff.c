/* mlascope diff: what changed between two results, and is it more than noise? */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/capture/capture.h"
#include "analysis/numeric/interval.h"
#include "common/base/words.h"
#include "common/system/files.h"
#include "datasets/base/csv.h"
#include "tools/base/command.h"
#include "tools/base/options.h"
#include "tools/commands/help.h"

extern const mls_command cmd_diff;

/* One setting's KL and the half width of its interval. */
typedef struct {
    mls_csv csv;
    size_t setting, kl, half, low, high; /* columns */
} results;

static bool is_capture(const char *path)
{
    const size_t n = strlen(path);

    return n > 3 && strcmp(path + n - 3, ".h5") == 0;
}

static mls_status read_results(results *r, const char *path, mls_err *err)
{
    char *inside = mls_folder_exists(path)
                       ? mls_path_join(path, "data/quality-curves.csv")
                       : strdup(path);
    mls_status st;

    if (!inside)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a path");
    st = mls_csv_read(&r->csv, inside, err);
    if (!st) {
        r->setting = mls_csv_column(&r->csv, "setting");
        r->kl = mls_csv_column(&r->csv, "kl");
        r->half = mls_csv_column(&r->csv, "kl_half");
        r->low = mls_csv_column(&r->csv, "kl_low");
        r->high = mls_csv_column(&r->csv, "kl_high");
        if (r->setting == r->csv.n_columns || r->kl == r->csv.n_columns ||
            (r->half == r->csv.n_columns && r->high == r->csv.n_columns) ||
            (r->half == r->csv.n_columns && r->low == r->csv.n_columns))
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: no columns setting, kl and kl_half: not written by "
                          "mlascope compare, evaluate or report",
                          inside);
    }
    free(inside);
    return st;
}

/* The KL of a row; NaN where it was not measured. */
static mls_mean kl_of(const results *r, size_t row)
{
    mls_mean m;

    if (!mls_parse_real(mls_csv_cell(&r->csv, row, r->kl), &m.mean))
        m.mean = (double)NAN;
    if (r->half < r->csv.n_columns) {
        if (!mls_parse_real(mls_csv_cell(&r->csv, row, r->half), &m.half))
            m.half = (double)NAN;
    } else {
        double low, high;

        m.half = mls_parse_real(mls_csv_cell(&r->csv, row, r->low), &low) &&
                         mls_parse_real(mls_csv_cell(&r->csv, row, r->high), &high)
                     ? (high - low) / 2
                     : (double)NAN;
    }
    return m;
}

static size_t row_of(const results *r, const char *setting)
{
    size_t row = 0;

    while (row < r->csv.n_rows &&
           strcmp(mls_csv_cell(&r->csv, row, r->setting), setting) != 0)
        row++;
    return row;
}

static void make_columns(mls_table *t, const char *what, const char *key)
{
    char name[32];

    mls_table_column(t, "what", what, "", 0);
    snprintf(name, sizeof name, "%s_a", key);
    mls_table_column(t, name, "A", "nat", 4);
    snprintf(name, sizeof name, "%s_b", key);
    mls_table_column(t, name, "B", "nat", 4);
    mls_table_column(t, "change", "change", "nat", 4);
    mls_table_column(t, "change_half", "±", "nat", 4);
    mls_table_column(t, "verdict", "verdict", "", 0);
}

/* One row; says whether it is more than noise. */
static bool add_row(mls_table *t, const char *what, double a, double b, mls_mean change)
{
    const bool known = isfinite(change.half);
    const bool more = known && fabs(change.mean) > change.half;

    mls_table_row(t);
    mls_table_text(t, what);
    mls_table_real(t, a);
    mls_table_real(t, b);
    mls_table_real(t, change.mean);
    mls_table_real(t, change.half);
    mls_table_text(t, !known            ? "unknown: no interval"
                      : !more           ? "no more than noise"
                      : change.mean < 0 ? "better"
                                        : "worse");
    return more;
}

/* Intervals are taken as independent: cautious where both measured the same text. */
static mls_status diff_results(mls_table *t, const char *const *path, mls_err *err)
{
    results r[2] = {{.kl = 0}, {.kl = 0}};
    size_t both = 0, more = 0, only = 0, better = 0;
    char note[256];
    mls_status st = read_results(&r[0], path[0], err);

    if (!st)
        st = read_results(&r[1], path[1], err);
    make_columns(t, "setting", "kl");
    for (size_t i = 0; !st && i < r[0].csv.n_rows; i++) {
        const char *setting = mls_csv_cell(&r[0].csv, i, r[0].setting);
        const size_t j = row_of(&r[1], setting);
        const mls_mean a = kl_of(&r[0], i);

        if (row_of(&r[0], setting) < i)
            continue; /* a report has a setting on several curves */
        if (j == r[1].csv.n_rows) {
            only++;
            continue;
        }
        const mls_mean b = kl_of(&r[1], j);

        if (isnan(a.mean) || isnan(b.mean))
            continue;
        const mls_mean change = {b.mean - a.mean, hypot(a.half, b.half)};

        both++;
        if (add_row(t, setting, a.mean, b.mean, change)) {
            more++;
            better += change.mean < 0;
        }
    }
    if (!st && both == 0)
        st = mls_fail(err, MLS_E_INPUT, "%s and %s have no measured setting in common",
                      path[0], path[1]);
    for (size_t j = 0; !st && j < r[1].csv.n_rows; j++)
        only += row_of(&r[0], mls_csv_cell(&r[1].csv, j, r[1].setting)) ==
                    r[0].csv.n_rows &&
                row_of(&r[1], mls_csv_cell(&r[1].csv, j, r[1].setting)) == j;
    if (!st) {
        snprintf(note, sizeof note,
                 "%zu of %zu settings changed by more than noise: %zu better, %zu "
                 "worse; %zu are in one of the two only",
                 more, both, better, more - better, only);
        mls_table_note(t, note);
        mls_table_note(t, "intervals 95 %, those of A and B taken as independent: "
                          "cautious where both measured the same text");
    }
    mls_csv_free(&r[0].csv);
    mls_csv_free(&r[1].csv);
    return st;
}

static mls_status diff_captures(mls_table *t, const char *const *path, mls_err *err)
{
    mls_capture *c[2] = {NULL, NULL};
    mls_status st = mls_capture_open(&c[0], path[0], err);

    if (!st)
        st = mls_capture_open(&c[1], path[1], err);
    make_columns(t, "text", "nll");
    if (!st) {
        const size_t n = mls_capture_sequences(c[0]), m = mls_capture_sequences(c[1]);
        const bool text =
            strcmp(mls_capture_text_sha256(c[0]), mls_capture_text_sha256(c[1])) == 0;
        const bool paired =
            text && n == m && mls_capture_length(c[0]) == mls_capture_length(c[1]);
        const double *each[2] = {mls_capture_nll_each(c[0]),
                                 mls_capture_nll_each(c[1])};
        const mls_mean a = mls_mean_of(each[0], n), b = mls_mean_of(each[1], m);
        const mls_mean change =
            paired ? mls_mean_of_difference(each[1], each[0], n)
                   : (mls_mean){b.mean - a.mean, hypot(a.half, b.half)};
        const bool model =
            strcmp(mls_capture_model_sha256(c[0]), mls_capture_model_sha256(c[1])) == 0;

        add_row(t, text ? "the same" : "another", a.mean, b.mean, change);
        mls_table_note(t, model ? "the same model" : "another model, or other weights");
        mls_table_note(t, paired ? "negative log-likelihood of the same sequences, "
                                   "paired; interval 95 %"
                                 : "negative log-likelihood of different sequences: "
                                   "intervals taken as independent, 95 %");
    }
    mls_capture_close(c[0]);
    mls_capture_close(c[1]);
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

    if (!mls_options_parse(&cmd_diff, argc, argv, options, path, 2, 2, &n, &status))
        return status;
    if (is_capture(path[0]) != is_capture(path[1]))
        return mls_usage_error(&cmd_diff,
                               "a capture is compared with a capture, a table or a "
                               "report with one of these");

    mls_table *t = mls_table_new("What changed from A to B");

    mls_table_meta(t, "A", path[0]);
    mls_table_meta(t, "B", path[1]);
    if (!(is_capture(path[0]) ? diff_captures : diff_results)(t, path, &err))
        mls_tool_print(t, format, output, &err);
    mls_table_free(t);
    return mls_exit_status(&err);
}

const mls_command cmd_diff = {
    .group = "reports",
    .name = "diff",
    .summary = "what changed between two results, and is it more than noise",
    .usage = mls_diff_txt,
    .run = run,
};
