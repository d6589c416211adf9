/*
 * GPU-hours of a budget of T tokens on a model of N parameters that learns from the
 * original's logits: 6 N T operations for the model in training, forward and backward
 * (Kaplan et al. 2020, section 2.1), and 2 N T for the original beside it, at a
 * throughput that is stated and not measured here.
 */
#include "reports/report/training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/words.h"
#include "common/system/files.h"
#include "datasets/base/csv.h"

/* An H100 of 989 Tflop/s in bf16 at 40 %, which well kept training code reaches. */
static const double throughput = 400e12;
static const char throughput_text[] =
    "GPU-hours: 8 operations per parameter and token (6 of training, 2 of the original "
    "beside it) at 400 Tflop/s a GPU, an H100 in bf16 at 40 % of its 989";

static mls_status number(double *x, const mls_csv *csv, size_t row, const char *column,
                         const char *path, mls_err *err)
{
    const size_t k = mls_csv_column(csv, column);

    if (k < csv->n_columns && mls_parse_real(mls_csv_cell(csv, row, k), x))
        return MLS_OK;
    return mls_fail(err, MLS_E_INPUT, "%s: row %zu has no number in column %s", path,
                    row + 1, column);
}

static const char *text(const mls_csv *csv, size_t row, const char *column)
{
    const size_t k = mls_csv_column(csv, column);

    return k < csv->n_columns ? mls_csv_cell(csv, row, k) : "";
}

mls_status mls_forecast_read(mls_forecast *out, bool *found, const char *folder,
                             mls_err *err)
{
    char *path = mls_path_join(folder, "forecast.csv");
    mls_csv csv = {0};
    mls_forecast f = {0};
    const struct {
        const char *column;
        double *to;
    } columns[] = {
        {"settings", &f.settings}, {"tokens", &f.tokens}, {"intercept", &f.intercept},
        {"slope", &f.slope},       {"factor", &f.factor}, {"low", &f.low},
        {"high", &f.high}};
    mls_status st = path ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory");

    *found = !st && mls_file_exists(path);
    if (*found)
        st = mls_csv_read(&csv, path, err);
    if (*found && !st && csv.n_rows == 0)
        st = mls_fail(err, MLS_E_INPUT, "%s: has no row", path);
    for (size_t i = 0; *found && !st && i < sizeof columns / sizeof columns[0]; i++)
        st = number(columns[i].to, &csv, 0, columns[i].column, path, err);
    if (*found && !st)
        snprintf(f.model, sizeof f.model, "%s", text(&csv, 0, "model"));
    *out = f;
    mls_csv_free(&csv);
    free(path);
    return st;
}

double mls_forecast_kl(const mls_forecast *f, double healed_kl)
{
    if (!(healed_kl >= f->low && healed_kl <= f->high))
        return NAN;
    return exp(f->intercept + f->slope * log(healed_kl));
}

static double hours(double tokens, double parameters)
{
    return 8 * parameters * tokens / throughput / 3600;
}

mls_status mls_budgets_table(mls_table **out, const char *folder, double parameters,
                             mls_err *err)
{
    char *path = mls_path_join(folder, "budgets.csv");
    mls_csv csv = {0};
    mls_status st =
        path ? mls_csv_read(&csv, path, err) : mls_fail(err, MLS_E_NOMEM, "no memory");
    mls_table *t = mls_table_new(NULL);

    MLS_COLUMNS(t, {"for", "for", "", 0}, {"tokens_low", "from", "tokens", -1},
                {"tokens_high", "to", "tokens", -1},
                {"gpu_hours_low", "from", "GPU-hours", -1},
                {"gpu_hours_high", "to", "GPU-hours", -1},
                {"evidence", "published", "", 0}, {"source", "source", "", 0});
    for (size_t i = 0; !st && i < csv.n_rows; i++) {
        double low, high;

        if ((st = number(&low, &csv, i, "tokens_low", path, err)) ||
            (st = number(&high, &csv, i, "tokens_high", path, err)))
            break;
        mls_table_line(t, "%s %g %g %g %g %s %s", text(&csv, i, "for"), low, high,
                       hours(low, parameters), hours(high, parameters),
                       text(&csv, i, "evidence"), text(&csv, i, "source"));
    }
    mls_table_note(t, throughput_text);
    mls_csv_free(&csv);
    free(path);
    if (st)
        mls_table_free(t);
    *out = st ? NULL : t;
    return st;
}
