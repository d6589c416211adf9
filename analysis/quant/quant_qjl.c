/*
 * QJL (arXiv 2406.03482, github.com/amirzandieh/QJL): signs of a random projection of
 * the keys. Its score sqrt(pi/2)/m |k| <S q, sign(S k)> is linear in q, so it equals
 * <q, k'> with k' = sqrt(pi/2)/m |k| S^T sign(S k): k' is what stands in for the key.
 * Its distance from k is larger than the error of the scores suggests.
 */
#include <math.h>
#include <stdlib.h>

#include "analysis/numeric/rotation.h"
#include "analysis/quant/quant_format.h"
#include "common/base/checked.h"

enum {
    QJL_TOKENS = 32,  /* tokens that share their outlier channels */
    QJL_OUTLIERS = 8, /* channels of largest norm, sketched apart */
    QJL_MAX = 256,    /* channels that a byte can name */
    QJL_SKETCHES = 4, /* most blocks of n rows in S */
    QJL_VALUE_BITS = 2,
    QJL_VALUE_GROUP = 32,
};

/* Rows of S in blocks of n, each block sqrt(n) times an orthogonal matrix. */
typedef struct qjl_sketch {
    size_t n, blocks, outlier_blocks;
    mls_rotation block[QJL_SKETCHES];
} qjl_sketch;

/*
 * sum (n, T) = sum over blocks of sqrt(n) Q^T sign(Q part), where part (n, T) is x with
 * the channels that are not `wanted` set to zero; work (n, T).
 */
static void sketch(const qjl_sketch *s, size_t blocks, const float *x, size_t T,
                   const bool *outlier, bool wanted, double *sum, double *work)
{
    const size_t n = s->n;

    for (size_t i = 0; i < n * T; i++)
        sum[i] = 0.0;
    for (size_t b = 0; b < blocks; b++) {
        for (size_t i = 0; i < n; i++)
            for (size_t t = 0; t < T; t++)
                work[i * T + t] = outlier[i] == wanted ? (double)x[t * n + i] : 0.0;
        mls_rotation_apply(&s->block[b], work, T);
        for (size_t i = 0; i < n * T; i++)
            work[i] = work[i] > 0.0 ? 1.0 : -1.0;
        mls_rotation_undo(&s->block[b], work, T);
        for (size_t i = 0; i < n * T; i++)
            sum[i] += work[i] * sqrt((double)n);
    }
}

/* One group of T <= QJL_TOKENS keys. */
static void quantize_keys(const qjl_sketch *s, float *x, size_t T, double *inliers,
                          double *outliers, double *work)
{
    const size_t n = s->n;
    const double root = sqrt(acos(0.0)); /* sqrt(pi / 2) */
    bool outlier[QJL_MAX];

    mls_largest_channels(x, T, n, QJL_OUTLIERS, outlier);
    sketch(s, s->blocks, x, T, outlier, false, inliers, work);
    sketch(s, s->outlier_blocks, x, T, outlier, true, outliers, work);
    for (size_t t = 0; t < T; t++) {
        double all = 0.0, apart = 0.0;

        for (size_t i = 0; i < n; i++) {
            const double square = (double)x[t * n + i] * (double)x[t * n + i];

            all += square;
            apart += outlier[i] ? square : 0.0;
        }
        /* Two halves are stored; the rest of the norm is worked out from them. */
        const double norm = (double)mls_half_scale((float)sqrt(all));
        const double out = (double)mls_half_scale((float)sqrt(apart));
        const double in = sqrt(fmax(norm * norm - out * out, 0.0));

        for (size_t i = 0; i < n; i++)
            x[t * n + i] = (float)(outlier[i] ? root / (double)(s->outlier_blocks * n) *
                                                    out * outliers[i * T + t]
                                              : root / (double)(s->blocks * n) * in *
                                                    inliers[i * T + t]);
    }
}

static mls_status apply_keys(const mls_quant *q, float *x, size_t T, size_t n,
                             mls_err *err)
{
    qjl_sketch s = {.n = n,
                    .blocks = q->format->sketch,
                    .outlier_blocks = q->format->outlier_sketch};
    double *scratch = mls_calloc3(3, n, QJL_TOKENS, sizeof *scratch);
    mls_status st = MLS_OK;

    if (!scratch)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to sketch keys of %zu numbers", n);
    for (size_t b = 0; !st && b < s.blocks; b++)
        st = mls_rotation_new(&s.block[b], n, q->seed, b, err);
    for (size_t t = 0; !st && t < T; t += QJL_TOKENS)
        quantize_keys(&s, x + t * n, T - t < QJL_TOKENS ? T - t : QJL_TOKENS, scratch,
                      scratch + n * QJL_TOKENS, scratch + 2 * n * QJL_TOKENS);
    for (size_t b = 0; b < s.blocks; b++)
        mls_rotation_free(&s.block[b]);
    free(scratch);
    return st;
}

static mls_status apply(const mls_quant *q, bool is_key, float *x, size_t T, size_t n,
                        mls_err *err)
{
    if (is_key)
        return apply_keys(q, x, T, n, err);
    mls_quant_rows(x, T, n, QJL_VALUE_GROUP, QJL_VALUE_BITS, MLS_ZERO_HALF);
    return MLS_OK;
}

static mls_status fits(const mls_quant *q, size_t n, mls_err *err)
{
    if (n <= QJL_OUTLIERS || n > QJL_MAX)
        return mls_fail(err, MLS_E_INPUT,
                        "%s sketches vectors of %d to %d numbers, not %zu",
                        q->format->name, QJL_OUTLIERS + 1, QJL_MAX, n);
    return MLS_OK;
}

static void cost(const mls_quant *q, bool is_key, size_t n, size_t T,
                 mls_quant_cost *cost)
{
    const double tokens = (double)T, numbers = (double)T * (double)n;

    if (is_key) {
        cost->payload += numbers * (q->format->sketch + q->format->outlier_sketch);
        cost->metadata += tokens * 2 * 16 +
                          (double)mls_quant_groups(T, QJL_TOKENS) * QJL_OUTLIERS * 8;
    } else {
        cost->payload += numbers * QJL_VALUE_BITS;
        cost->metadata += tokens * (double)mls_quant_groups(n, QJL_VALUE_GROUP) * 32;
    }
}

#define QJL_FAMILY                                                                     \
    .group = QJL_TOKENS, .window = 128, .random = true,                                \
    .key_residual = MLS_RESIDUAL_REST, .cost = cost, .fits = fits, .apply = apply

MLS_QUANT_FORMAT(
    qjl, "qjl", "", 2, 2,
    "QJL, general layers: 2 n + 2 n signs per key, 2-bit values, window of 128",
    QJL_FAMILY, .sketch = 2, .outlier_sketch = 2);

MLS_QUANT_FORMAT(qjl_first, "qjl", "-first", 2, 2,
                 "QJL, its first layers: 4 n + n signs per key", QJL_FAMILY,
                 .sketch = 4, .outlier_sketch = 1);
