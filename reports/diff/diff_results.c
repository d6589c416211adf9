/* Measured settings of two reports or tables, matched by the text of the setting. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/evaluate/ties.h"
#include "common/base/checked.h"
#include "common/base/words.h"
#include "common/system/files.h"
#include "datasets/base/csv.h"
#include "reports/diff/diff.h"
#include "reports/report/report_folder.h"

enum { FACTS = 8, WINDOWS_MAX = 4096 };

static const char *const facts[FACTS] = {
    "program",
    "model",
    "model SHA-256",
    "calibration text SHA-256",
    "calibration sequences",
    "tokens of a sequence",
    "evaluation text SHA-256",
    "evaluation sequences",
};
enum { FACT_MODEL = 2, FACT_CALIBRATION = 3, FACT_EVALUATION = 6 };

typedef struct {
    mls_csv csv, answer; /* answer: of reports */
    bool report;
    size_t setting, kl, half, low, high, served, kept, id, each; /* columns */
    char fact[FACTS][MLS_REPORT_FACT];
} side;

static mls_status read_csv(mls_csv *csv, const char *folder, const char *name,
                           mls_err *err)
{
    char *path = folder ? mls_path_join(folder, name) : strdup(name);
    const mls_status st = path ? mls_csv_read(csv, path, err)
                               : mls_fail(err, MLS_E_NOMEM, "no memory for a path");

    free(path);
    return st;
}

static mls_status read_side(side *s, const char *path, mls_err *err)
{
    mls_status st = MLS_OK;

    s->report = mls_folder_exists(path);
    if (s->report && !mls_report_is(path))
        return mls_fail(err, MLS_E_INPUT, "%s: is no folder of mlascope report", path);
    if (s->report)
        st = mls_report_about(path, facts, FACTS, s->fact, err);
    if (!st && s->report)
        st = read_csv(&s->answer, path, "data/answer.csv", err);
    if (!st)
        st = read_csv(&s->csv, s->report ? path : NULL,
                      s->report ? "data/quality.csv" : path, err);
    if (st && s->report && err && err->status == MLS_E_INPUT)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: has no measured quality: made with --no-quality, without "
                        "a held-out text, unfinished or by an older program",
                        path);
    if (st)
        return st;
    s->setting = mls_csv_column(&s->csv, "setting");
    s->kl = mls_csv_column(&s->csv, "kl");
    s->half = mls_csv_column(&s->csv, "kl_half");
    s->low = mls_csv_column(&s->csv, "kl_low");
    s->high = mls_csv_column(&s->csv, "kl_high");
    s->served = mls_csv_column(&s->csv, "served_by");
    s->kept = mls_csv_column(&s->csv, "kept_percent");
    s->id = mls_csv_column(&s->csv, "windows_id");
    s->each = mls_csv_column(&s->csv, "kl_of_windows");
    if (s->setting == s->csv.n_columns || s->kl == s->csv.n_columns ||
        (s->half == s->csv.n_columns &&
         (s->low == s->csv.n_columns || s->high == s->csv.n_columns)))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: no columns setting, kl and kl_half: not written by "
                        "mlascope compare, evaluate or report",
                        path);
    return MLS_OK;
}

static const char *cell_of(const side *s, size_t row, size_t column)
{
    return column < s->csv.n_columns ? mls_csv_cell(&s->csv, row, column) : "";
}

static double number_of(const side *s, size_t row, size_t column)
{
    double x;

    return mls_parse_real(cell_of(s, row, column), &x) ? x : (double)NAN;
}

static mls_mean kl_of(const side *s, size_t row)
{
    mls_mean m = {number_of(s, row, s->kl), number_of(s, row, s->half)};

    if (s->half == s->csv.n_columns)
        m.half = (number_of(s, row, s->high) - number_of(s, row, s->low)) / 2;
    return m;
}

/* The first row of a setting, a measured one before others; n_rows: none. */
static size_t row_of(const side *s, const char *setting)
{
    size_t found = s->csv.n_rows;

    for (size_t row = 0; row < s->csv.n_rows; row++)
        if (strcmp(cell_of(s, row, s->setting), setting) == 0) {
            if (!isnan(number_of(s, row, s->kl)))
                return row;
            if (found == s->csv.n_rows)
                found = row;
        }
    return found;
}

/* "0.31 0.28": at most WINDOWS_MAX numbers. @return how many; 0: not such a list */
static size_t windows_of(const side *s, size_t row, double *x)
{
    const char *text = cell_of(s, row, s->each);
    char word[64];
    size_t n = 0;

    while (*text && n < WINDOWS_MAX) {
        const size_t len = strcspn(text, " ");

        snprintf(word, sizeof word, "%.*s", (int)len, text);
        if (!mls_parse_real(word, &x[n++]))
            return 0;
        text += len + strspn(text + len, " ");
    }
    return *text ? 0 : n;
}

/* What lies between two rows, paired where both have the same windows. */
static mls_mean change_of(const side *s, size_t i, size_t j, bool *paired, double *room)
{
    const mls_mean a = kl_of(&s[0], i), b = kl_of(&s[1], j);
    const char *id = cell_of(&s[0], i, s[0].id);
    size_t n;

    *paired = *id && strcmp(id, cell_of(&s[1], j, s[1].id)) == 0 &&
              (n = windows_of(&s[0], i, room)) > 0 &&
              n == windows_of(&s[1], j, room + WINDOWS_MAX);
    return *paired ? mls_mean_of_difference(room + WINDOWS_MAX, room, n)
                   : (mls_mean){b.mean - a.mean, hypot(a.half, b.half)};
}

static mls_status add_line(mls_diff *d, const side *s, size_t i, size_t j, double *room,
                           mls_err *err)
{
    const char *setting = cell_of(&s[0], i, s[0].setting);
    mls_diff_line *l = mls_diff_add(d);

    if (!l || !(l->what = strdup(setting)))
        return mls_fail(err, MLS_E_NOMEM, "no memory to compare results");
    snprintf(l->served_by, sizeof l->served_by, "%s", cell_of(&s[1], j, s[1].served));
    l->kept = number_of(&s[1], j, s[1].kept);
    l->a = kl_of(&s[0], i).mean;
    l->b = kl_of(&s[1], j).mean;
    l->change = change_of(s, i, j, &l->paired, room);
    l->more = !isnan(l->change.half) &&
              !mls_kl_tied(l->change, l->a, l->b, strstr(setting, "quant=") != NULL);
    return MLS_OK;
}

static mls_status match(mls_diff *d, const side *s, mls_err *err)
{
    double *room = mls_calloc3(2, WINDOWS_MAX, 1, sizeof *room);
    mls_status st = room ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for windows");

    for (size_t i = 0; !st && i < s[0].csv.n_rows; i++) {
        const char *setting = cell_of(&s[0], i, s[0].setting);
        const size_t j = row_of(&s[1], setting);

        if (row_of(&s[0], setting) != i || isnan(kl_of(&s[0], i).mean))
            continue; /* a report has a setting at several shares */
        if (j == s[1].csv.n_rows || isnan(kl_of(&s[1], j).mean))
            d->only_a++;
        else
            st = add_line(d, s, i, j, room, err);
    }
    for (size_t j = 0; !st && j < s[1].csv.n_rows; j++) {
        const char *setting = cell_of(&s[1], j, s[1].setting);
        const size_t i = row_of(&s[0], setting);

        d->only_b += row_of(&s[1], setting) == j && !isnan(kl_of(&s[1], j).mean) &&
                     (i == s[0].csv.n_rows || isnan(kl_of(&s[0], i).mean));
    }
    free(room);
    return st;
}

/* --- The best of each class, of two reports --- */

static size_t answer_row(const side *s, const char *class)
{
    const size_t served = mls_csv_column(&s->answer, "served_by");
    const size_t setting = mls_csv_column(&s->answer, "setting");

    for (size_t i = 0; served < s->answer.n_columns && i < s->answer.n_rows; i++)
        if (strcmp(mls_csv_cell(&s->answer, i, served), class) == 0 &&
            strcmp(mls_csv_cell(&s->answer, i, setting), "baseline") != 0)
            return i;
    return s->answer.n_rows;
}

static double answer_number(const side *s, size_t row, const char *column)
{
    const size_t k = mls_csv_column(&s->answer, column);
    double x;

    return row < s->answer.n_rows && k < s->answer.n_columns &&
                   mls_parse_real(mls_csv_cell(&s->answer, row, k), &x)
               ? x
               : (double)NAN;
}

static const char *answer_setting(const side *s, size_t row)
{
    return row < s->answer.n_rows
               ? mls_csv_cell(&s->answer, row, mls_csv_column(&s->answer, "setting"))
               : "-";
}

/* Whether B's best of a class loses less than A's; they may be other settings. */
static mls_mean best_change(const mls_diff *d, const side *s, size_t i, size_t j)
{
    const char *setting = answer_setting(&s[0], i);

    for (size_t k = 0; k < d->n && strcmp(setting, answer_setting(&s[1], j)) == 0; k++)
        if (strcmp(d->line[k].what, setting) == 0)
            return d->line[k].change;
    return (mls_mean){
        answer_number(&s[1], j, "kl") - answer_number(&s[0], i, "kl"),
        hypot(answer_number(&s[0], i, "kl_half"), answer_number(&s[1], j, "kl_half"))};
}

static void compare_best(mls_diff *d, const side *s)
{
    mls_table *t = d->best = mls_table_new(NULL);

    MLS_COLUMNS(t, {"served_by", "served by", "", 0}, {"setting_a", "best in A", "", 0},
                {"kl_a", "KL in A", "nat", 4}, {"setting_b", "best in B", "", 0},
                {"kl_b", "KL in B", "nat", 4}, {"change", "change", "nat", 4},
                {"change_half", "±", "nat", 4}, {"verdict", "verdict", "", 0});
    for (int c = 0; c < MLS_SERVE_CLASSES; c++) {
        const char *class = mls_serve_word((mls_serve)c);
        const size_t i = answer_row(&s[0], class), j = answer_row(&s[1], class);
        mls_diff_line l = {.a = answer_number(&s[0], i, "kl"),
                           .b = answer_number(&s[1], j, "kl"),
                           .change = best_change(d, s, i, j)};

        if (i == s[0].answer.n_rows && j == s[1].answer.n_rows)
            continue;
        l.more = !isnan(l.change.half) &&
                 !mls_kl_tied(l.change, l.a, l.b, c == MLS_SERVE_CACHE);
        mls_table_line(t, "%s %s %g %s %g %g %g %s", mls_serve_name((mls_serve)c),
                       answer_setting(&s[0], i), l.a, answer_setting(&s[1], j), l.b,
                       l.change.mean, l.change.half,
                       i == s[0].answer.n_rows   ? "only in B"
                       : j == s[1].answer.n_rows ? "only in A"
                                                 : mls_diff_verdict(&l));
        if (i < s[0].answer.n_rows && j < s[1].answer.n_rows)
            mls_buf_printf(
                &d->words, "Served by %s: the best lost %.3f, now %.3f, %s%s%s.\n",
                mls_serve_name((mls_serve)c), l.a, l.b, mls_diff_verdict(&l),
                strcmp(answer_setting(&s[0], i), answer_setting(&s[1], j)) ? "; now "
                                                                           : "",
                strcmp(answer_setting(&s[0], i), answer_setting(&s[1], j))
                    ? answer_setting(&s[1], j)
                    : "");
    }
}

/* --- Words --- */

static void say_facts(mls_diff *d, const side *s)
{
    const char *comma = "";
    mls_buf other = {0};
    double a, b;

    for (size_t i = 0; i < FACTS; i++) {
        mls_diff_fact_add(d, facts[i], s[0].fact[i], s[1].fact[i]);
        if (i != 1 && strcmp(s[0].fact[i], s[1].fact[i]) != 0) {
            if (strstr(facts[i], "SHA-256"))
                mls_buf_printf(&other, "%sthe %.*s", comma,
                               (int)(strlen(facts[i]) - strlen(" SHA-256")), facts[i]);
            else
                mls_buf_printf(&other, "%s%s (%s, now %s)", comma, facts[i],
                               s[0].fact[i], s[1].fact[i]);
            comma = ", ";
        }
    }
    if (other.len)
        mls_buf_printf(&d->words, "What was changed: %s.\n", other.data);
    else
        mls_buf_puts(&d->words, "Program, model and texts are the same.\n");
    a = answer_number(&s[0], 0, "perplexity");
    b = answer_number(&s[1], 0, "perplexity");
    if (fabs(a - b) > 5e-3)
        mls_buf_printf(&d->words,
                       "The original's own perplexity on the held-out text was %.2f, "
                       "now %.2f%s.\n",
                       a, b,
                       strcmp(s[0].fact[FACT_MODEL], s[1].fact[FACT_MODEL])
                           ? ": each KL is against its own original"
                           : "");
    d->words.failed |= other.failed;
    mls_buf_free(&other);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median_ratio(const mls_diff *d)
{
    double *x = mls_calloc3(d->n, 1, 1, sizeof *x), median = NAN;
    size_t n = 0;

    for (size_t i = 0; x && i < d->n; i++)
        if (d->line[i].a > 0 && d->line[i].b > 0)
            x[n++] = d->line[i].b / d->line[i].a;
    if (n) {
        qsort(x, n, sizeof *x, by_value);
        median = (x[(n - 1) / 2] + x[n / 2]) / 2;
    }
    free(x);
    return median;
}

/* The change that stands out most from its interval, named. */
static void say_clearest(mls_diff *d)
{
    const mls_diff_line *best = NULL;

    for (size_t i = 0; i < d->n; i++) {
        const mls_diff_line *l = &d->line[i];

        if (l->more && (!best || fabs(l->change.mean) / l->change.half >
                                     fabs(best->change.mean) / best->change.half))
            best = l;
    }
    if (best && d->n > 1)
        mls_buf_printf(&d->words, "Clearest: %s lost %.4f, now %.4f (%+.4f ± %.4f).\n",
                       best->what, best->a, best->b, best->change.mean,
                       best->change.half);
}

static void say_verdict(mls_diff *d)
{
    size_t more = 0, better = 0, paired = 0;
    const double ratio = median_ratio(d);
    const double chance = 0.05 * (double)d->n;

    for (size_t i = 0; i < d->n; i++) {
        more += d->line[i].more;
        better += d->line[i].more && d->line[i].change.mean < 0;
        paired += d->line[i].paired;
    }
    if (more == 0)
        mls_buf_printf(&d->words, "None of %zu setting%s changed by more than noise.\n",
                       d->n, mls_plural(d->n));
    else
        mls_buf_printf(&d->words,
                       "%zu of %zu settings changed by more than noise: %zu better, "
                       "%zu worse%s.\n",
                       more, d->n, better, more - better,
                       (double)more <= chance ? "; so many would by chance alone" : "");
    say_clearest(d);
    if (d->n > 1 && fabs(ratio - 1) >= 0.005)
        mls_buf_printf(&d->words,
                       "Half of them lose less than %.2f times what they lost.\n",
                       ratio);
    if (d->only_a + d->only_b)
        mls_buf_printf(&d->words, "In A only: %zu, in B only: %zu.\n", d->only_a,
                       d->only_b);
    if (paired == d->n)
        mls_buf_puts(&d->words, "Paired: both measured the same windows");
    else if (paired)
        mls_buf_printf(&d->words, "%zu are paired by the windows that both measured",
                       paired);
    else
        mls_buf_puts(&d->words,
                     "Not paired: the intervals of A and B are taken as independent, "
                     "which is cautious where both measured the same text");
    mls_buf_puts(&d->words, "; intervals 95 %");
    if (chance >= 1)
        mls_buf_printf(&d->words,
                       ", so about %.0f of %zu would look changed by chance alone",
                       chance, d->n);
    mls_buf_puts(&d->words, ".\n");
}

mls_status mls_diff_results(mls_diff *d, mls_err *err)
{
    side s[2] = {{.report = false}, {.report = false}};
    mls_status st = read_side(&s[0], d->path[0], err);

    if (!st)
        st = read_side(&s[1], d->path[1], err);
    if (!st)
        st = match(d, s, err);
    if (!st && d->n == 0)
        st = mls_fail(err, MLS_E_INPUT, "%s and %s have no measured setting in common",
                      d->path[0], d->path[1]);
    if (!st) {
        say_verdict(d);
        if (s[0].report && s[1].report) {
            say_facts(d, s);
            compare_best(d, s);
        }
    }
    for (size_t k = 0; k < 2; k++) {
        mls_csv_free(&s[k].csv);
        mls_csv_free(&s[k].answer);
    }
    return st;
}
