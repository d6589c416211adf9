/*
 * Hugging Face's QuantizedCache: its Quanto and HQQ backends. The whole prompt is
 * quantized; with a window, tokens arrive one by one and each full window quantizes all
 * tokens anew from what was already dequantized.
 */
#include <math.h>
#include <stdlib.h>

#include "analysis/quant/quant_format.h"

/* What the cache around both backends does, as members of mls_quant_format. */
#define QUANTIZED_CACHE                                                                \
    .group = 64, .groups = true, .requantizes = true,                                  \
    .key_residual = MLS_RESIDUAL_REST, .value_residual = MLS_RESIDUAL_REST

/* Groups of contiguous numbers, which run on into the next token where n is smaller. */
static mls_status apply_quanto(const mls_quant *q, bool is_key, float *x, size_t T,
                               size_t n, mls_err *err)
{
    (void)is_key;
    (void)err;
    mls_quant_rows(x, 1, T * n, q->group, q->bits, MLS_ZERO_HALF);
    return MLS_OK;
}

static mls_status apply_quanto_channel(const mls_quant *q, bool is_key, float *x,
                                       size_t T, size_t n, mls_err *err)
{
    (void)is_key;
    return mls_quant_columns(x, T, n, q->group, q->bits, MLS_ZERO_HALF, err);
}

static void cost_contiguous(const mls_quant *q, bool is_key, size_t n, size_t T,
                            mls_quant_cost *cost)
{
    (void)is_key;
    cost->payload += (double)T * (double)n * q->bits;
    cost->metadata += 32.0 * (double)mls_quant_groups(T * n, q->group);
}

static void cost_quanto_channel(const mls_quant *q, bool is_key, size_t n, size_t T,
                                mls_quant_cost *cost)
{
    (void)is_key;
    cost->payload += (double)T * (double)n * q->bits;
    cost->metadata += 32.0 * (double)n * (double)mls_quant_groups(T, q->group);
}

static mls_status fits_quanto(const mls_quant *q, size_t n, mls_err *err)
{
    (void)n;
    if (q->bits != 2 && q->bits != 4)
        return mls_fail(err, MLS_E_INPUT, "quanto caches have 2 or 4 bits, not %u",
                        q->bits);
    return MLS_OK;
}

MLS_QUANT_FORMAT(
    quanto, "quanto", "", 2, 4,
    "Quanto cache, axis 0: half scale and minimum per 64 numbers of a token",
    QUANTIZED_CACHE, .cost = cost_contiguous, .fits = fits_quanto,
    .apply = apply_quanto);

MLS_QUANT_FORMAT(quanto_c, "quanto", "c", 2, 4,
                 "Quanto cache, axis -1: per 64 tokens of a channel", QUANTIZED_CACHE,
                 .cost = cost_quanto_channel, .fits = fits_quanto,
                 .apply = apply_quanto_channel);

/* HQQ's groups: of n numbers x[begin + i * stride], i = 0 .. length - 1. */
typedef struct hqq_groups {
    size_t total, size, count; /* numbers, numbers per group, groups */
    bool strided;              /* axis 0: group c is every count-th number from c on */
} hqq_groups;

typedef struct hqq_run {
    float *x;
    size_t stride, length;
} hqq_run;

static hqq_run run_of(const hqq_groups *g, float *x, size_t c)
{
    if (g->strided)
        return (hqq_run){x + c, g->count, (g->total - c - 1) / g->count + 1};
    const size_t begin = c * g->size;
    return (hqq_run){x + begin, 1,
                     g->total - begin < g->size ? g->total - begin : g->size};
}

/* x = (q - zero) / scale; the solver moves zero. */
typedef struct hqq_place {
    double scale, zero;
} hqq_place;

static double hqq_code(double x, const hqq_place *p, double levels)
{
    const double q = rint(x * p->scale + p->zero);

    return q < 0.0 ? 0.0 : q > levels ? levels : q;
}

/* HQQ's defaults: lp norm of the errors, steps, first beta and its growth. */
static const double HQQ_NORM = 0.7, HQQ_BETA = 10.0, HQQ_GROWTH = 1.01;
enum { HQQ_STEPS = 20 };

/*
 * Shrinkage of the lp norm: sign(e) max(0, |e| - |e|^(p-1) / beta), which is 0 up to
 * |e| = beta^(-1/(2-p)): most errors need no power.
 */
static double hqq_shrink(double e, double beta, double nothing_below)
{
    const double size = fabs(e);

    if (size <= nothing_below)
        return 0.0;
    return copysign(fmax(size - pow(size, HQQ_NORM - 1.0) / beta, 0.0), e);
}

/* A range of at most 1e-4 counts as none; scales stop at 2e4, for halves' sake. */
static hqq_place hqq_start(const hqq_run *r, double levels)
{
    double min = (double)r->x[0], max = min;

    for (size_t i = 1; i < r->length; i++) {
        min = fmin(min, (double)r->x[i * r->stride]);
        max = fmax(max, (double)r->x[i * r->stride]);
    }
    const double scale = max - min > 1e-4 ? fmin(levels / (max - min), 2e4) : 1.0;
    return (hqq_place){scale, -min * scale};
}

/* One half-quadratic step of one group; returns its sum of |x - dequantized|. */
static double hqq_step(const hqq_run *r, hqq_place *p, double levels, double beta)
{
    const double nothing_below = pow(beta, -1.0 / (2.0 - HQQ_NORM));
    double error = 0.0, zero = 0.0;

    for (size_t i = 0; i < r->length; i++) {
        const double x = (double)r->x[i * r->stride];
        const double q = hqq_code(x, p, levels);
        const double e = x - (q - p->zero) / p->scale;

        error += fabs(e);
        zero += q - (x - hqq_shrink(e, beta, nothing_below)) * p->scale;
    }
    p->zero = zero / (double)r->length;
    return error;
}

/*
 * HQQ's default solver (Mobius Labs, hqq/core/optimize.py, "proximal_legacy"): beta
 * grows from step to step; ended after the first whose mean error over all groups did
 * not fall.
 */
static void hqq_solve(const hqq_groups *g, float *x, hqq_place *place, double levels)
{
    double best = INFINITY, beta = HQQ_BETA;

    for (int step = 0; step < HQQ_STEPS; step++, beta *= HQQ_GROWTH) {
        double error = 0.0;

        for (size_t c = 0; c < g->count; c++) {
            const hqq_run r = run_of(g, x, c);

            error += hqq_step(&r, &place[c], levels, beta);
        }
        if (!(error < best))
            break;
        best = error;
    }
}

/* Codes from the solver's numbers, values from the halves that are stored. */
static void hqq_replace(const hqq_run *r, const hqq_place *p, double levels)
{
    const float step = mls_half_scale((float)(1.0 / p->scale));
    const float zero =
        (float)copysign((double)mls_half_scale((float)fabs(p->zero)), p->zero);

    for (size_t i = 0; i < r->length; i++) {
        float *x = r->x + i * r->stride;

        *x = ((float)hqq_code((double)*x, p, levels) - zero) * step;
    }
}

static mls_status apply_hqq(const mls_quant *q, bool is_key, float *x, size_t T,
                            size_t n, mls_err *err)
{
    const hqq_groups g = {.total = T * n,
                          .size = q->group,
                          .count = mls_quant_groups(T * n, q->group),
                          .strided = q->format->strided};
    const double levels = (double)((1u << q->bits) - 1);
    hqq_place *place = calloc(g.count, sizeof *place);

    (void)is_key;
    if (!place)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu HQQ groups", g.count);
    for (size_t c = 0; c < g.count; c++) {
        const hqq_run r = run_of(&g, x, c);

        place[c] = hqq_start(&r, levels);
    }
    hqq_solve(&g, x, place, levels);
    for (size_t c = 0; c < g.count; c++) {
        const hqq_run r = run_of(&g, x, c);

        hqq_replace(&r, &place[c], levels);
    }
    free(place);
    return MLS_OK;
}

/* Ten 3-bit codes share an int32; 5 and 6 bits are stored as 8. */
static void cost_hqq(const mls_quant *q, bool is_key, size_t n, size_t T,
                     mls_quant_cost *cost)
{
    const double stored = q->bits == 3 ? 3.2 : q->bits > 4 ? 8.0 : q->bits;

    (void)is_key;
    cost->payload += (double)T * (double)n * stored;
    cost->metadata += 32.0 * (double)mls_quant_groups(T * n, q->group);
}

MLS_QUANT_FORMAT(hqq, "hqq", "", 2, 8,
                 "HQQ cache, axis 1: optimized zero point per 64 numbers of a token",
                 QUANTIZED_CACHE, .cost = cost_hqq, .apply = apply_hqq);

MLS_QUANT_FORMAT(hqq_0, "hqq", "x", 2, 8,
                 "HQQ cache, axis 0: groups of 64 numbers far apart", QUANTIZED_CACHE,
                 .strided = true, .cost = cost_hqq, .apply = apply_hqq);
