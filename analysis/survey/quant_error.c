/*
 * Queries are few tokens of every query head that reads the KV head: the newest one and
 * evenly back. Exact and quantized attention run through the same products, so that
 * they differ by the quantizer alone. Keys are quantized before or after RoPE (a stage
 * each), values once for both. A shift common to all scores of a query vanishes in
 * softmax: the score error is the spread around each query's mean, not the distance.
 */
#include "analysis/survey/quant_error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/rope.h"
#include "analysis/numeric/kernels.h"
#include "analysis/numeric/linalg.h"
#include "analysis/quant/quant_format.h"
#include "common/base/checked.h"

/* What one KV head needs: the exact attention, and room for a quantized one. */
typedef struct head_work {
    size_t T, D,
        rows;         /* tokens; dims; queries of all query heads that read this head */
    size_t *position; /* (rows): token of each query */
    float *q;         /* (rows, D), rotated, scaled by 1/sqrt(D) */
    float *k[MLS_QUANT_STAGES]; /* (T, D): exact, before and after RoPE */
    float *v, *v_t;             /* (T, D), (D, T) */
    float *s, *p, *o;           /* exact (rows, T), (rows, T), (rows, D) */
    float *k_q, *v_q, *v_qt;    /* quantized */
    float *s_q, *p_q, *o_q;
    double *row; /* (T) */
} head_work;

static void gather(float *to, const float *x, size_t stride, size_t T, size_t D)
{
    for (size_t t = 0; t < T; t++)
        memcpy(to + t * D, x + t * stride, D * sizeof *to);
}

static void transpose(float *to, const float *x, size_t T, size_t D)
{
    for (size_t t = 0; t < T; t++)
        for (size_t d = 0; d < D; d++)
            to[d * T + t] = x[t * D + d];
}

void mls_quant_rotated_keys(const mls_quant_window *w, size_t g, float *k)
{
    gather(k, w->k + g * w->D, w->G * w->D, w->T, w->D);
    if (w->cs)
        mls_rope_apply(k, w->D, w->cs, w->D / 2, w->T, 1);
}

static void head_work_free(head_work *h)
{
    for (int stage = 0; stage < MLS_QUANT_STAGES; stage++)
        free(h->k[stage]);
    mls_free_all(h->position, h->q, h->v, h->v_t, h->s, h->p, h->o, h->k_q, h->v_q,
                 h->v_qt, h->s_q, h->p_q, h->o_q, h->row);
}

static mls_status head_work_new(head_work *h, const mls_quant_window *w, size_t queries,
                                mls_err *err)
{
    const size_t T = w->T, D = w->D, rows = w->H / w->G * queries;
    float **const tokens[] = {&h->k[0], &h->k[1], &h->v,   &h->v_t,
                              &h->k_q,  &h->v_q,  &h->v_qt};
    float **const scores[] = {&h->s, &h->p, &h->s_q, &h->p_q};
    float **const outputs[] = {&h->q, &h->o, &h->o_q};
    bool fine;

    *h = (head_work){.T = T, .D = D, .rows = rows};
    h->position = mls_calloc3(rows, 1, 1, sizeof *h->position);
    h->row = mls_calloc3(T, 1, 1, sizeof *h->row);
    fine = h->position && h->row;
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++)
        fine &= (*tokens[i] = mls_calloc3(T, D, 1, sizeof(float))) != NULL;
    for (size_t i = 0; i < sizeof scores / sizeof scores[0]; i++)
        fine &= (*scores[i] = mls_calloc3(rows, T, 1, sizeof(float))) != NULL;
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++)
        fine &= (*outputs[i] = mls_calloc3(rows, D, 1, sizeof(float))) != NULL;
    if (!fine)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu scores of %zu tokens",
                        rows, T);
    return MLS_OK;
}

/* First key that the query at position t sees; the last is t itself. */
static size_t first_seen(const mls_quant_window *w, size_t t)
{
    return w->sliding > 0 && t + 1 > w->sliding ? t + 1 - w->sliding : 0;
}

/* p = softmax of s over what each query sees, 0 elsewhere. */
static void softmax(float *p, const float *s, const mls_quant_window *w, head_work *h)
{
    for (size_t i = 0; i < h->rows; i++) {
        const size_t first = first_seen(w, h->position[i]);
        const size_t n = h->position[i] + 1 - first;
        const float *x = s + i * h->T + first;
        float *y = p + i * h->T;
        double shift = (double)x[0], sum = 0.0;

        for (size_t j = 1; j < n; j++)
            shift = fmax(shift, (double)x[j]);
        mls_exp(h->row, x, shift, n);
        for (size_t j = 0; j < n; j++)
            sum += h->row[j];
        memset(y, 0, h->T * sizeof *y);
        for (size_t j = 0; j < n; j++)
            y[first + j] = (float)(h->row[j] / sum);
    }
}

static double square_sum(const float *x, size_t n)
{
    double sum = 0.0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

static double distance(const float *a, const float *b, size_t n)
{
    double sum = 0.0;

    for (size_t i = 0; i < n; i++) {
        const double e = (double)a[i] - (double)b[i];

        sum += e * e;
    }
    return sum;
}

/* Sum of (a - b - mean)^2 over the keys that each query sees; b NULL: of a itself. */
static double score_spread(const float *a, const float *b, const mls_quant_window *w,
                           const head_work *h)
{
    double sum = 0.0;

    for (size_t i = 0; i < h->rows; i++) {
        const size_t first = first_seen(w, h->position[i]);
        const size_t n = h->position[i] + 1 - first;
        const float *x = a + i * h->T + first;
        double mean = 0.0;

        for (size_t j = 0; j < n; j++) {
            h->row[j] = (double)x[j] - (b ? (double)b[i * h->T + first + j] : 0.0);
            mean += h->row[j];
        }
        mean /= (double)n;
        for (size_t j = 0; j < n; j++)
            sum += (h->row[j] - mean) * (h->row[j] - mean);
    }
    return sum;
}

/* Queries at the newest token and evenly back from it, for each query head of g. */
static void load_head(head_work *h, const mls_quant_window *w, size_t g, size_t queries)
{
    const size_t D = w->D, heads = w->H / w->G;
    const float scale = (float)(1.0 / sqrt((double)D));

    for (size_t i = 0; i < h->rows; i++) {
        const size_t head = g * heads + i / queries;
        const size_t t = w->T - 1 - i % queries * w->T / queries;
        float *q = h->q + i * D;

        h->position[i] = t;
        memcpy(q, w->q + t * w->H * D + head * D, D * sizeof *q);
        if (w->cs)
            mls_rope_apply(q, D, w->cs + t * D, D / 2, 1, 1);
        for (size_t d = 0; d < D; d++)
            q[d] *= scale;
    }
    gather(h->k[MLS_BEFORE_ROPE], w->k + g * D, w->G * D, w->T, D);
    mls_quant_rotated_keys(w, g, h->k[MLS_AFTER_ROPE]);
    gather(h->v, w->v + g * D, w->G * D, w->T, D);
    transpose(h->v_t, h->v, w->T, D);
    mls_matmul_f32(h->s, h->q, h->k[MLS_AFTER_ROPE], h->rows, w->T, D);
    softmax(h->p, h->s, w, h);
    mls_matmul_f32(h->o, h->p, h->v_t, h->rows, D, w->T);
}

static mls_status errors_of(head_work *h, const mls_quant_window *w,
                            const mls_quant *quant, mls_quant_sums *sums, mls_err *err)
{
    const size_t T = h->T, D = h->D;
    mls_quant_sums s = {.value_all = square_sum(h->v, T * D),
                        .score_all = score_spread(h->s, NULL, w, h),
                        .output_all = square_sum(h->o, h->rows * D)};
    mls_status st;

    for (size_t i = 0; i < h->rows; i++)
        s.scores += (double)(h->position[i] + 1 - first_seen(w, h->position[i]));
    memcpy(h->v_q, h->v, T * D * sizeof *h->v);
    st = mls_quant_apply(quant, false, h->v_q, D, T, D, err);
    if (st)
        return st;
    s.value_error = distance(h->v_q, h->v, T * D);
    transpose(h->v_qt, h->v_q, T, D);
    mls_matmul_f32(h->o_q, h->p, h->v_qt, h->rows, D, T);
    s.output_value = distance(h->o_q, h->o, h->rows * D);

    for (int stage = 0; stage < MLS_QUANT_STAGES; stage++) {
        mls_quant_sums *out = &sums[stage];

        *out = s;
        memcpy(h->k_q, h->k[stage], T * D * sizeof *h->k_q);
        st = mls_quant_apply(quant, true, h->k_q, D, T, D, err);
        if (st)
            return st;
        out->key_error = distance(h->k_q, h->k[stage], T * D);
        out->key_all = square_sum(h->k[stage], T * D);
        if (stage == MLS_BEFORE_ROPE && w->cs)
            mls_rope_apply(h->k_q, D, w->cs, D / 2, T, 1);
        mls_matmul_f32(h->s_q, h->q, h->k_q, h->rows, T, D);
        out->score_error = score_spread(h->s_q, h->s, w, h);
        softmax(h->p_q, h->s_q, w, h);
        mls_matmul_f32(h->o_q, h->p_q, h->v_t, h->rows, D, T);
        out->output_key = distance(h->o_q, h->o, h->rows * D);
        mls_matmul_f32(h->o_q, h->p_q, h->v_qt, h->rows, D, T);
        out->output_both = distance(h->o_q, h->o, h->rows * D);
    }
    return MLS_OK;
}

mls_status mls_quant_errors(const mls_quant_window *w, size_t g, const mls_quant *quant,
                            size_t n, size_t queries, mls_quant_sums *sums,
                            mls_err *err)
{
    const size_t asked = queries < w->T ? queries : w->T;
    head_work h;
    mls_status st = head_work_new(&h, w, asked, err);

    if (!st)
        load_head(&h, w, g, asked);
    for (size_t i = 0; !st && i < n; i++)
        st = errors_of(&h, w, &quant[i], sums + i * MLS_QUANT_STAGES, err);
    head_work_free(&h);
    return st;
}

void mls_quant_sums_add(mls_quant_sums *to, const mls_quant_sums *from)
{
    to->key_error += from->key_error;
    to->key_all += from->key_all;
    to->value_error += from->value_error;
    to->value_all += from->value_all;
    to->score_error += from->score_error;
    to->score_all += from->score_all;
    to->scores += from->scores;
    to->output_all += from->output_all;
    to->output_key += from->output_key;
    to->output_value += from->output_value;
    to->output_both += from->output_both;
}

static double peak_of(const float *x, size_t n)
{
    const double rms = sqrt(square_sum(x, n) / (double)n);
    double most = 0.0;

    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)x[i]));
    return rms > 0.0 ? most / rms : 1.0;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* NaN where the median channel does not move at all. */
static double range_ratio(const float *x, size_t stride, size_t T, size_t D,
                          double *range)
{
    for (size_t d = 0; d < D; d++) {
        float min = x[d], max = x[d];

        for (size_t t = 1; t < T; t++) {
            min = fminf(min, x[t * stride + d]);
            max = fmaxf(max, x[t * stride + d]);
        }
        range[d] = (double)max - (double)min;
    }
    qsort(range, D, sizeof *range, ascending);

    const double median = 0.5 * (range[D / 2] + range[(D - 1) / 2]);
    return median > 0.0 ? range[D - 1] / median : (double)NAN;
}

mls_status mls_channel_stats_of(mls_channel_stats *out, const float *x, size_t stride,
                                size_t T, size_t D, mls_err *err)
{
    double *range = mls_calloc3(D, 1, 1, sizeof *range);
    float *turned = mls_calloc3(D, 1, 1, sizeof *turned);
    mls_status st = MLS_OK;
    double all = 0.0;

    *out = (mls_channel_stats){0};
    if (!range || !turned) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu channels", D);
        goto done;
    }
    for (size_t t = 0; t < T; t++) {
        memcpy(turned, x + t * stride, D * sizeof *turned);
        out->peak += peak_of(turned, D) / (double)T;
        all += square_sum(turned, D) / (double)T;
        mls_hadamard(turned, 1, D);
        out->peak_hadamard += peak_of(turned, D) / (double)T;
    }
    out->range_ratio = range_ratio(x, stride, T, D, range);
    out->first_token = all > 0.0 ? square_sum(x, D) / all : (double)NAN;

done:
    mls_free_all(turned, range);
    return st;
}
