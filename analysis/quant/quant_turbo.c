/* TurboQuant (arXiv 2504.19874): norm, random rotation, Lloyd-Max codes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/rotation.h"
#include "analysis/quant/quant_format.h"
#include "common/base/checked.h"
#include "common/numbers/rng.h"

enum { TURBO_MAX = MLS_CHANNELS_MAX, TURBO_TOKENS = 32 };

/*
 * Positive half of the Lloyd-Max points of N(0, 1) (Max 1960, table I), which minimise
 * the mean square error 0.3634, 0.1175, 0.03455, 0.009501 for 1 to 4 bits. A coordinate
 * of a random unit vector of n numbers times sqrt(n) tends to N(0, 1).
 */
static const float points[4][8] = {
    {0.79788456f},
    {0.45278003f, 1.5104176f},
    {0.24509418f, 0.75600528f, 1.3439093f, 2.1519457f},
    {0.12839503f, 0.38804830f, 0.65675912f, 0.94234046f, 1.2562312f, 1.6180464f,
     2.0690172f, 2.7325896f},
};

static double nearest_point(double x, unsigned bits)
{
    const float *half = points[bits - 1];
    const size_t q = mls_nearest_entry(half, (size_t)1 << (bits - 1), (float)fabs(x));

    return copysign((double)half[q], x);
}

/* Some channels of a vector, quantized by a rotation and a table of their own. */
typedef struct turbo_part {
    size_t m; /* channels */
    size_t channel[TURBO_MAX];
    unsigned bits; /* 0: nothing is kept */
    mls_rotation turn;
} turbo_part;

/* A norm as it is stored. */
static double stored_norm(const mls_quant *q, double norm)
{
    return (double)(q->format->wide_norm ? (float)norm : mls_half_scale((float)norm));
}

/* T <= TURBO_TOKENS tokens of n numbers; column is scratch (m, T). */
static void quantize(const mls_quant *q, const turbo_part *p, float *x, size_t T,
                     size_t n, double *column)
{
    double norm[TURBO_TOKENS], root = sqrt((double)p->m);

    for (size_t t = 0; t < T; t++) {
        double square = 0.0;

        for (size_t i = 0; i < p->m; i++) {
            const double value = (double)x[t * n + p->channel[i]];

            square += value * value;
        }
        norm[t] = sqrt(square);
        for (size_t i = 0; i < p->m; i++)
            column[i * T + t] =
                norm[t] > 0.0 ? (double)x[t * n + p->channel[i]] / norm[t] * root : 0.0;
    }
    mls_rotation_apply(&p->turn, column, T);
    for (size_t i = 0; i < T * p->m; i++)
        column[i] = nearest_point(column[i], p->bits);
    mls_rotation_undo(&p->turn, column, T);
    for (size_t t = 0; t < T; t++)
        for (size_t i = 0; i < p->m; i++)
            x[t * n + p->channel[i]] =
                (float)(stored_norm(q, norm[t]) / root * column[i * T + t]);
}

static mls_status apply_part(const mls_quant *q, turbo_part *p, uint64_t stream,
                             float *x, size_t T, size_t n, double *column, mls_err *err)
{
    const mls_status st = mls_rotation_new(&p->turn, p->m, q->seed, stream, err);

    for (size_t t = 0; !st && t < T; t += TURBO_TOKENS)
        quantize(q, p, x + t * n, T - t < TURBO_TOKENS ? T - t : TURBO_TOKENS, n,
                 column);
    mls_rotation_free(&p->turn);
    return st;
}

/* Channels that get one more bit; 0: all have the same. */
static size_t outlier_channels(const mls_quant *q, size_t n)
{
    return q->format->split ? n / q->format->split : 0;
}

static mls_status apply(const mls_quant *q, bool is_key, float *x, size_t T, size_t n,
                        mls_err *err)
{
    double *column = mls_calloc3(n, TURBO_TOKENS, 1, sizeof *column);
    const size_t outliers = outlier_channels(q, n);
    bool wide[TURBO_MAX] = {false};
    turbo_part rest = {.bits = q->bits}, wider = {.bits = q->bits + 1};
    mls_status st = MLS_OK;

    (void)is_key;
    if (!column)
        return mls_fail(err, MLS_E_NOMEM, "no memory to rotate %zu numbers", n);
    if (outliers)
        mls_largest_channels(x, T, n, outliers, wide);
    for (size_t i = 0; i < n; i++) {
        turbo_part *p = wide[i] ? &wider : &rest;

        p->channel[p->m++] = i;
    }
    st = apply_part(q, &rest, 0, x, T, n, column, err);
    if (!st && outliers)
        st = apply_part(q, &wider, 1, x, T, n, column, err);
    free(column);
    return st;
}

/* --- The form for inner products (their algorithm 2) --- */

/*
 * What one bit per number says of the residual r = x - y: sqrt(pi/2)/n |r| S^T sign(S
 * r), S (n, n) of independent normal numbers, is r in the mean. So <q, y> plus its
 * product with q is <q, x> in the mean, and the sum stands in for x.
 */
static void add_residual(const mls_quant *q, const double *S, const float *x, float *y,
                         size_t n, double *sum)
{
    double square = 0.0;

    for (size_t i = 0; i < n; i++) {
        const double r = (double)x[i] - (double)y[i];

        square += r * r;
        sum[i] = 0.0;
    }
    for (size_t j = 0; j < n; j++) {
        const double *row = S + j * n;
        double dot = 0.0;

        for (size_t i = 0; i < n; i++)
            dot += row[i] * ((double)x[i] - (double)y[i]);
        for (size_t i = 0; i < n; i++)
            sum[i] += dot > 0.0 ? row[i] : -row[i];
    }
    const double scale =
        sqrt(acos(0.0)) / (double)n * stored_norm(q, sqrt(square)); /* sqrt(pi / 2) */
    for (size_t i = 0; i < n; i++)
        y[i] = (float)((double)y[i] + scale * sum[i]);
}

static mls_status apply_product(const mls_quant *q, bool is_key, float *x, size_t T,
                                size_t n, mls_err *err)
{
    double *S = NULL, *sum = NULL;
    mls_quant mse = *q;
    float *y = NULL;
    mls_status st = MLS_OK;
    mls_rng rng;

    if (!is_key) /* values are summed, not multiplied with a query */
        return apply(q, is_key, x, T, n, err);
    S = mls_calloc3(n, n, 1, sizeof *S);
    sum = mls_calloc3(n, 1, 1, sizeof *sum);
    y = mls_calloc3(T, n, 1, sizeof *y);
    if (!S || !sum || !y) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to sketch %zu keys of %zu numbers",
                      T, n);
        goto done;
    }
    mls_rng_seed(&rng, q->seed, 1);
    for (size_t i = 0; i < n * n; i++)
        S[i] = mls_rng_normal(&rng);
    if (--mse.bits > 0) {
        memcpy(y, x, T * n * sizeof *y);
        st = apply(&mse, is_key, y, T, n, err);
    }
    for (size_t t = 0; !st && t < T; t++)
        add_residual(q, S, x + t * n, y + t * n, n, sum);
    if (!st)
        memcpy(x, y, T * n * sizeof *x);

done:
    mls_free_all(y, sum, S);
    return st;
}

/* --- Sizes --- */

static mls_status fits(const mls_quant *q, size_t n, mls_err *err)
{
    const size_t least = q->format->split ? 2 * q->format->split : 2;

    if (n < least || n > TURBO_MAX)
        return mls_fail(err, MLS_E_INPUT,
                        "turbo%s rotates vectors of %zu to %d numbers, not %zu",
                        q->format->suffix, least, TURBO_MAX, n);
    return MLS_OK;
}

static void cost(const mls_quant *q, bool is_key, size_t n, size_t T,
                 mls_quant_cost *cost)
{
    const size_t outliers = outlier_channels(q, n);
    /* of the vector or of both parts; with a sketch that of the residual, too, but the
       sketch of x itself, without codes, needs one */
    const size_t norms =
        outliers || (q->format->residual && is_key && q->bits > 1) ? 2 : 1;

    cost->payload += (double)T * (double)(n * q->bits + outliers);
    cost->metadata += (double)(T * norms) * (q->format->wide_norm ? 32.0 : 16.0);
    if (outliers)
        cost->constant += (double)n; /* which channels: a bit each */
}

#define TURBO_FAMILY .random = true, .cost = cost, .fits = fits, .apply = apply

MLS_QUANT_FORMAT(turbo, "turbo", "", 1, 4,
                 "TurboQuant: half norm, random rotation, Lloyd-Max codes",
                 TURBO_FAMILY);

MLS_QUANT_FORMAT(turbo_f, "turbo", "f", 1, 4, "the same with a float norm",
                 TURBO_FAMILY, .wide_norm = true);

MLS_QUANT_FORMAT(turbo_quarter, "turbo", ".25", 1, 3,
                 "the same, a quarter of the channels with one more bit", TURBO_FAMILY,
                 .split = 4);

MLS_QUANT_FORMAT(turbo_half, "turbo", ".5", 1, 3,
                 "the same, half of the channels with one more bit", TURBO_FAMILY,
                 .split = 2);

MLS_QUANT_FORMAT(
    turbo_product, "turbo", "p", 1, 4,
    "TurboQuant for inner products: of keys the last bit is a sketch's sign",
    .random = true, .residual = true, .cost = cost, .fits = fits,
    .apply = apply_product);
