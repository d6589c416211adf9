#include "analysis/spectrum/spectrum.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"

void mls_spectrum_free(mls_spectrum *s)
{
    free(s->sigma);
    *s = (mls_spectrum){0};
}

static mls_status no_memory(size_t m, size_t n, mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory for the spectrum of %zu x %zu", m, n);
}

static double *to_double(const float *w, size_t m, size_t n)
{
    double *a = mls_calloc3(m, n, 1, sizeof *a);

    for (size_t i = 0; a && i < m * n; i++)
        a[i] = (double)w[i];
    return a;
}

/* sigma = sqrt of the first p of n eigenvalues; rounding may leave some below 0. */
static void roots(double *sigma, const double *lambda, size_t p)
{
    for (size_t i = 0; i < p; i++)
        sigma[i] = sqrt(fmax(lambda[i], 0.0));
}

/* Of outputs y whose E[y y^T] is known: second (n, n). */
static mls_status spectrum_of_second(mls_spectrum *s, const double *second, size_t n,
                                     mls_err *err)
{
    mls_status st;

    *s = (mls_spectrum){.n = n, .gram = true};
    s->sigma = mls_calloc3(n, 1, 1, sizeof *s->sigma);
    if (!s->sigma)
        return no_memory(n, n, err);
    st = mls_eigen(second, n, s->sigma, NULL, err);
    if (st) {
        mls_spectrum_free(s);
        return st;
    }
    roots(s->sigma, s->sigma, n);
    return MLS_OK;
}

/*
 * |error of an eigenvalue| <= eps (q trace + 4 p lambda[0]): q products in each entry
 * of the Gram matrix (Higham, Accuracy and Stability, 3.5), then the solver's backward
 * error. Half of it, over the smallest eigenvalue, is the relative error of its root.
 */
static bool gram_is_accurate(const double *lambda, size_t p, size_t q)
{
    double trace = 0.0;

    for (size_t i = 0; i < p; i++)
        trace += lambda[i];
    const double bound =
        DBL_EPSILON * ((double)q * trace + 4.0 * (double)p * lambda[0]);

    return lambda[p - 1] > bound &&
           bound / (2.0 * lambda[p - 1]) <= MLS_SPECTRUM_GRAM_ERROR;
}

mls_status mls_spectrum_plain(mls_spectrum *s, const float *w, size_t m, size_t n,
                              mls_err *err)
{
    const size_t p = m < n ? m : n, q = m < n ? n : m;
    mls_status st = MLS_OK;
    double *a = to_double(w, m, n);
    double *gram = mls_calloc3(p, p, 1, sizeof *gram);

    *s = (mls_spectrum){.n = p, .sigma = mls_calloc3(p, 1, 1, sizeof(double))};
    if (!a || !gram || !s->sigma) {
        st = no_memory(m, n, err);
        goto done;
    }
    /* a a^T when rows are fewer, a^T a otherwise */
    mls_matmul(gram, a, m > n, a, m <= n, p, p, q);
    st = mls_eigen(gram, p, s->sigma, NULL, err);
    if (st || p == 0)
        goto done;
    s->gram = gram_is_accurate(s->sigma, p, q);
    if (s->gram)
        roots(s->sigma, s->sigma, p);
    else
        st = mls_svd(a, m, n, NULL, s->sigma, NULL, err);

done:
    if (st)
        mls_spectrum_free(s);
    free(gram);
    free(a);
    return st;
}

mls_status mls_spectrum_weighted(mls_spectrum *s, const float *w, size_t m, size_t n,
                                 const double *x_second, mls_err *err)
{
    mls_status st = MLS_OK;
    double *a = to_double(w, m, n);
    double *ac = mls_calloc3(m, n, 1, sizeof *ac);
    double *second = mls_calloc3(m, m, 1, sizeof *second);

    *s = (mls_spectrum){0};
    if (!a || !ac || !second) {
        st = no_memory(m, n, err);
        goto done;
    }
    mls_matmul(ac, a, false, x_second, false, m, n, n);
    mls_matmul(second, ac, false, a, true, m, m, n);
    for (size_t i = 0; i < m; i++) /* symmetric to the last bit */
        for (size_t j = 0; j < i; j++)
            second[j * m + i] = second[i * m + j];
    st = spectrum_of_second(s, second, m, err);
    if (!st && m > n)
        s->n = n; /* the others are 0 */

done:
    free(second);
    free(ac);
    free(a);
    return st;
}

const char *mls_matrix_name(mls_matrix matrix)
{
    static const char *const names[] = {"q", "k", "v", "kv"};

    return names[matrix];
}

size_t mls_matrix_heads(mls_matrix matrix, const mls_config *config)
{
    return matrix == MLS_MATRIX_Q ? config->H : config->G;
}

mls_status mls_matrix_rows(const mls_config *config, const mls_layer *layer,
                           mls_matrix matrix, size_t head, float **rows, size_t *m,
                           mls_err *err)
{
    const bool whole = head == MLS_WHOLE_LAYER;
    const size_t one = whole ? mls_matrix_heads(matrix, config) * config->D : config->D;
    const size_t first = whole ? 0 : head * config->D;
    const size_t n = one * config->E;

    *m = matrix == MLS_MATRIX_KV ? 2 * one : one;
    *rows = mls_calloc3(*m, config->E, 1, sizeof **rows);
    if (!*rows)
        return no_memory(*m, config->E, err);

    const float *w = matrix == MLS_MATRIX_Q   ? layer->wq
                     : matrix == MLS_MATRIX_V ? layer->wv
                                              : layer->wk;
    memcpy(*rows, w + first * config->E, n * sizeof **rows);
    if (matrix == MLS_MATRIX_KV)
        memcpy(*rows + n, layer->wv + first * config->E, n * sizeof **rows);
    return MLS_OK;
}

mls_status mls_spectrum_captured(mls_spectrum *s, const mls_layer_stats *stats,
                                 mls_matrix matrix, size_t head, mls_err *err)
{
    const size_t D = stats->D, at = head * D * D;
    double *joint; /* (2D, 2D), [k; v] [k; v]^T */
    mls_status st;

    switch (matrix) {
    case MLS_MATRIX_Q:
        return spectrum_of_second(s, stats->q_second + at, D, err);
    case MLS_MATRIX_K:
        return spectrum_of_second(s, stats->k_second + at, D, err);
    case MLS_MATRIX_V:
        return spectrum_of_second(s, stats->v_second + at, D, err);
    case MLS_MATRIX_KV:
        break;
    }
    *s = (mls_spectrum){0};
    joint = mls_calloc3(2 * D, 2 * D, 1, sizeof *joint);
    if (!joint)
        return no_memory(2 * D, 2 * D, err);
    for (size_t i = 0; i < D; i++)
        for (size_t j = 0; j < D; j++) {
            joint[i * 2 * D + j] = stats->k_second[at + i * D + j];
            joint[(D + i) * 2 * D + D + j] = stats->v_second[at + i * D + j];
            joint[i * 2 * D + D + j] = stats->kv_cross[at + i * D + j];
            joint[(D + j) * 2 * D + i] = stats->kv_cross[at + i * D + j];
        }
    st = spectrum_of_second(s, joint, 2 * D, err);
    free(joint);
    return st;
}

size_t mls_energy_rank(const double *sigma, size_t n, double share)
{
    double total = 0.0, sum = 0.0;

    for (size_t i = 0; i < n; i++)
        total += sigma[i] * sigma[i];
    for (size_t i = 0; i < n; i++) {
        if (sum >= share * total)
            return i;
        sum += sigma[i] * sigma[i];
    }
    return n;
}

/* exp of the entropy of p[i] = sigma[i]^power / sum. */
static double entropy_rank(const double *sigma, size_t n, int power)
{
    double total = 0.0, entropy = 0.0;

    for (size_t i = 0; i < n; i++)
        total += power == 2 ? sigma[i] * sigma[i] : sigma[i];
    if (!(total > 0.0))
        return 0.0;
    for (size_t i = 0; i < n; i++) {
        const double p = (power == 2 ? sigma[i] * sigma[i] : sigma[i]) / total;

        if (p > 0.0)
            entropy -= p * log(p);
    }
    return exp(entropy);
}

mls_spectrum_summary mls_spectrum_summarize(const double *sigma, size_t n)
{
    mls_spectrum_summary y = {0};

    if (n == 0)
        return y;
    y.largest = sigma[0];
    y.smallest = sigma[n - 1];
    for (size_t i = 0; i < n; i++)
        y.energy += sigma[i] * sigma[i];
    y.effective_rank = entropy_rank(sigma, n, 1);
    y.effective_rank_energy = entropy_rank(sigma, n, 2);
    y.stable_rank = y.energy > 0.0 ? y.energy / (sigma[0] * sigma[0]) : 0.0;
    y.rank_90 = mls_energy_rank(sigma, n, 0.90);
    y.rank_95 = mls_energy_rank(sigma, n, 0.95);
    y.rank_99 = mls_energy_rank(sigma, n, 0.99);
    return y;
}
