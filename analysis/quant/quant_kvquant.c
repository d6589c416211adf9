/*
 * KVQuant (arXiv 2401.18079): keys per channel, values per token, 1 % of each vector
 * kept apart, the rest through a codebook made by k-means. Their codebook weighs by
 * Fisher information and both it and the key ranges come from other text; here all
 * weights are 1 and the numbers themselves are the calibration: a proxy.
 */
#include <stdlib.h>

#include "analysis/quant/quant_format.h"
#include "common/base/checked.h"

enum { KVQUANT_CODES = 32, KVQUANT_STEPS = 50 };

/* Numbers of a vector of n that are kept apart. */
static size_t outliers_of(const mls_quant *q, size_t n)
{
    return q->format->outliers ? (n + 50) / 100 : 0;
}

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/*
 * A vector: length numbers, stride apart; what lies outside low .. high is an outlier.
 */
typedef struct kvquant_vector {
    float *x;
    size_t stride, length;
    float low, high, scale, offset;
} kvquant_vector;

/*
 * Half of the outliers come from each end; an odd one from the end that is farther from
 * the median. Of equal numbers at the edge all stay inside. sorted is scratch.
 */
static void place(kvquant_vector *v, size_t outliers, float *sorted)
{
    const size_t n = v->length;

    for (size_t i = 0; i < n; i++)
        sorted[i] = v->x[i * v->stride];
    qsort(sorted, n, sizeof *sorted, ascending);

    size_t below = outliers / 2, above = outliers / 2;
    if (outliers % 2 == 1) {
        const float median = sorted[n / 2];

        if (median - sorted[below] > sorted[n - 1 - above] - median)
            below++;
        else
            above++;
    }
    v->low = sorted[below];
    v->high = sorted[n - 1 - above];
    v->scale = mls_half_scale(0.5f * (v->high - v->low));
    v->offset = mls_round_f16(0.5f * (v->high + v->low));
}

static bool is_outlier(const kvquant_vector *v, float x)
{
    return x < v->low || x > v->high;
}

static float normalised(const kvquant_vector *v, float x)
{
    return v->scale > 0.0f ? (x - v->offset) / v->scale : 0.0f;
}

/*
 * One-dimensional k-means of n ascending numbers by Lloyd's steps from even quantiles;
 * sum[i] is the sum of the first i. Empty cells keep their centre.
 */
static void cluster(const float *sorted, const double *sum, size_t n, float *centre,
                    size_t k)
{
    for (size_t c = 0; c < k; c++)
        centre[c] = sorted[(2 * c + 1) * n / (2 * k)];
    for (int step = 0; step < KVQUANT_STEPS; step++) {
        bool moved = false;
        size_t begin = 0;

        for (size_t c = 0; c < k; c++) {
            size_t end = n;

            if (c + 1 < k) { /* first number beyond the border to the next centre */
                const float border = 0.5f * (centre[c] + centre[c + 1]);
                size_t low = begin, high = n;

                while (low < high) {
                    const size_t middle = low + (high - low) / 2;

                    if (sorted[middle] > border)
                        high = middle;
                    else
                        low = middle + 1;
                }
                end = low;
            }
            if (end > begin) {
                const float mean =
                    (float)((sum[end] - sum[begin]) / (double)(end - begin));

                moved |= mean != centre[c];
                centre[c] = mean;
            }
            begin = end;
        }
        if (!moved)
            break;
    }
    for (size_t c = 0; c < k; c++)
        centre[c] = mls_round_f16(centre[c]);
}

static mls_status make_codebook(const kvquant_vector *v, size_t vectors, size_t numbers,
                                float *centre, size_t k, mls_err *err)
{
    float *inside = mls_calloc3(numbers, 1, 1, sizeof *inside);
    double *sum = mls_calloc3(numbers + 1, 1, 1, sizeof *sum);
    mls_status st = MLS_OK;
    size_t n = 0;

    if (!inside || !sum) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a codebook of %zu numbers",
                      numbers);
        goto done;
    }
    for (size_t j = 0; j < vectors; j++)
        for (size_t i = 0; i < v[j].length; i++) {
            const float x = v[j].x[i * v[j].stride];

            if (!is_outlier(&v[j], x))
                inside[n++] = normalised(&v[j], x);
        }
    qsort(inside, n, sizeof *inside, ascending);
    for (size_t i = 0; i < n; i++)
        sum[i + 1] = sum[i] + (double)inside[i];
    cluster(inside, sum, n, centre, k);

done:
    mls_free_all(sum, inside);
    return st;
}

static void replace(const kvquant_vector *v, const float *centre, size_t k)
{
    for (size_t i = 0; i < v->length; i++) {
        float *x = v->x + i * v->stride;

        if (is_outlier(v, *x))
            *x = mls_round_f16(*x);
        else
            *x = centre[mls_nearest_entry(centre, k, normalised(v, *x))] * v->scale +
                 v->offset;
    }
}

static mls_status apply(const mls_quant *q, bool is_key, float *x, size_t T, size_t n,
                        mls_err *err)
{
    const size_t vectors = is_key ? n : T, length = is_key ? T : n;
    const size_t k = (size_t)1 << q->bits;
    kvquant_vector *v = mls_calloc3(vectors, 1, 1, sizeof *v);
    float *sorted = mls_calloc3(length, 1, 1, sizeof *sorted);
    float centre[KVQUANT_CODES];
    mls_status st = MLS_OK;

    if (!v || !sorted) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu vectors of %zu", vectors,
                      length);
        goto done;
    }
    for (size_t j = 0; j < vectors; j++) {
        v[j] = (kvquant_vector){.x = is_key ? x + j : x + j * n,
                                .stride = is_key ? n : 1,
                                .length = length};
        place(&v[j], outliers_of(q, length), sorted);
    }
    st = make_codebook(v, vectors, T * n, centre, k, err);
    for (size_t j = 0; !st && j < vectors; j++)
        replace(&v[j], centre, k);

done:
    mls_free_all(sorted, v);
    return st;
}

/*
 * Outliers are a 16-bit value and a 16-bit index each, with one 32-bit pointer per
 * token for keys and values together (appendix M). Key ranges are calibrated: constant.
 */
static void cost(const mls_quant *q, bool is_key, size_t n, size_t T,
                 mls_quant_cost *cost)
{
    const double tokens = (double)T, numbers = (double)n;
    const double apart = is_key ? numbers * (double)outliers_of(q, T)
                                : tokens * (double)outliers_of(q, n);

    cost->payload += tokens * numbers * q->bits;
    cost->metadata += 32.0 * apart;
    if (q->format->outliers)
        cost->metadata += 16.0 * tokens;
    cost->constant += 16.0 * (double)(1u << q->bits);
    if (is_key)
        cost->constant += 32.0 * numbers;
    else
        cost->metadata += 32.0 * tokens;
}

#define KVQUANT_FAMILY .sinks = 1, .cost = cost, .apply = apply

MLS_QUANT_FORMAT(
    kvquant, "kvquant", "", 2, 5,
    "KVQuant nuq-1% (proxy): k-means codes, 1 % outliers, first token exact",
    KVQUANT_FAMILY, .outliers = true);

MLS_QUANT_FORMAT(kvquant_d, "kvquant", "d", 2, 5,
                 "KVQuant nuq (proxy): the same without outliers", KVQUANT_FAMILY);
