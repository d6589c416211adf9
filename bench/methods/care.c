/*
 * CARE: truncated SVD of W C^1/2 with a shrunk covariance C = E[x x^T] + shrink 0.01
 * mean(diag) I, undone afterwards. alloc=greedy gives ranks one by one to the layer
 * whose next singular value is the largest share of what is still missing,
 *
 *   sigma^2_{r+1} / sum_{i>r} sigma_i^2 * sqrt((L - l) / ((L + 1) / 2)) / sqrt(r /
 *   r_min)
 *
 * with r from rank/2 (r_min) to 2 rank, keys and values apart. Its decoupled rotation
 * is not part of this: keys are rotated after reading.
 */
#include <math.h>

#include "bench/frame/common_keys.h"
#include "bench/frame/fit.h"
#include "bench/frame/lowrank.h"
#include "bench/frame/method.h"

static const char *const alloc_words[] = {"uniform", "greedy", NULL};

/* Ranks of one side by the greedy rule, `mean` on average, none above `rows`. */
static void side_by_tail(mls_layer_ranks *prepared, size_t side, size_t mean,
                         const mls_spectra *spectra, size_t rows)
{
    const size_t m = spectra->m, L = spectra->L;
    const double *values = spectra->values;
    const bool *converted = spectra->converted;
    const size_t least = mean > 1 ? mean / 2 : 1;
    const size_t most = mls_least(2 * mean, rows);
    double tail[MLS_LAYERS_MAX];
    size_t sum = 0, total = 0;

    for (size_t l = 0; l < L; l++) {
        if (!converted[l])
            continue;
        prepared->rank[l * MLS_SIDES + side] = least;
        sum += least;
        total += mean;
        tail[l] = 0.0;
        for (size_t i = least; i < m; i++)
            tail[l] += values[(l * MLS_SIDES + side) * m + i];
    }
    while (sum < total) {
        size_t best = L;
        double top = -1.0;

        for (size_t l = 0; l < L; l++) {
            const size_t r = prepared->rank[l * MLS_SIDES + side];

            if (!converted[l] || r >= most)
                continue;
            const double next = values[(l * MLS_SIDES + side) * m + r];
            const double share = tail[l] > 0.0 ? next / tail[l] : 0.0;
            const double depth = sqrt((double)(L - l) / ((double)(L + 1) / 2));
            const double priority = share * depth / sqrt((double)r / (double)least);

            if (priority > top) {
                top = priority;
                best = l;
            }
        }
        if (best == L)
            return;
        const size_t r = prepared->rank[best * MLS_SIDES + side]++;

        tail[best] -= values[(best * MLS_SIDES + side) * m + r];
        sum++;
    }
}

static mls_status ranks_by_tail(mls_layer_ranks *prepared, const mls_spectra *spectra,
                                const mls_method_input *in, const void *arg,
                                mls_err *err)
{
    const mls_projection *p = arg;
    const size_t rows = mls_projection_most(p, in->config);

    (void)err;
    for (size_t side = 0; side < MLS_SIDES; side++)
        side_by_tail(prepared, side, p->rank[side], spectra, rows);
    return MLS_OK;
}

static mls_status prepare(const mls_method_input *in, const mls_parsed *parsed,
                          void **prepared, mls_err *err)
{
    const mls_projection *p = parsed->params;

    return p->by_data
               ? mls_layer_ranks_make(prepared, parsed, in, ranks_by_tail, p, err)
               : MLS_OK;
}

static const mls_key keys[] = {
    {"alloc", MLS_KEY_WORD, offsetof(mls_projection, by_data), .words = alloc_words,
     .help = "ranks per layer by the remaining tail", .open = "greedy"},
    {"shrink", MLS_KEY_REAL, offsetof(mls_projection, metric.shrink), .hint = "X",
     .help = "percent of the mean diagonal added to the covariance", .usual = 1,
     .least = 0, .most = 1e6},
    MLS_PROJECTION_KEYS(NULL),
    MLS_BASIS_KEY(mls_unit_first),
    MLS_KEYS_END};

static mls_status settle(const mls_parsed *parsed, const mls_config *c, mls_err *err)
{
    mls_projection *p = parsed->params;
    const char *method = parsed->method->name;

    p->metric.kind = MLS_METRIC_COVARIANCE;
    p->metric.shrink *= 0.01;
    return mls_projection_settle(p, c, method, err);
}

static mls_status fit_data(const mls_method_input *in, size_t elements, mls_fits *out,
                           mls_err *err)
{
    const size_t rank = elements / 2;

    (void)in;
    (void)err;
    if (rank > 0)
        mls_fits_add(out, "alloc=greedy rank=%zu", rank);
    return MLS_OK;
}

const mls_method mls_method_care = {
    .name = "care",
    .title = "CARE",
    .source = "the CARE project at c3c2126: shrunk covariance, greedy ranks",
    .keys = keys,
    .exact = false,
    .fits_need_data = true,
    .params_size = sizeof(mls_projection),
    .settle = settle,
    MLS_PROJECTION_METHOD,
    .fit = mls_projection_fit,
    .fit_data = fit_data,
    .prepare = prepare,
};
