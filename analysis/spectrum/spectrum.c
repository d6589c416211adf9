/*
 * Eigenvalues of the smaller Gram matrix cost a fraction of an SVD, but squares lose
 * half of the digits: what lies below sqrt(eps) of the largest singular value is noise
 * there. So the error of the Gram matrix is bounded (Higham 3.5, Weyl) and an SVD
 * follows only where the smallest value needs it. How far figures may be off comes from
 * the same bound, to first order and doubled. Weighted values are roots of the
 * eigenvalues of W E[x x^T] W^T; the effective rank is exp of the entropy of their
 * shares.
 */
#include "analysis/spectrum/spectrum.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"

enum { SUM_BLOCK = 256 }; /* terms of a sum of the Gram matrix */

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

mls_status mls_spectrum_of_second(mls_spectrum *s, const double *second, size_t n,
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
 * Upper triangle of the smaller of w w^T and w^T w, in double: a product of two floats
 * is exact there, and the sum runs over blocks of SUM_BLOCK terms that are added one
 * after the other, so that at most SUM_BLOCK + q / SUM_BLOCK roundings meet in an entry
 * in whatever order BLAS takes a block.
 */
static mls_status gram_of(double *gram, const float *w, size_t m, size_t n,
                          mls_err *err)
{
    const bool tall = m > n;
    const size_t p = tall ? n : m, q = tall ? m : n;
    double *block = mls_calloc3(SUM_BLOCK, p, 1, sizeof *block);

    if (!block)
        return no_memory(m, n, err);
    for (size_t first = 0; first < q; first += SUM_BLOCK) {
        const size_t k = q - first < SUM_BLOCK ? q - first : SUM_BLOCK;

        if (tall)
            for (size_t i = 0; i < k * n; i++)
                block[i] = (double)w[first * n + i];
        else
            for (size_t i = 0; i < m; i++)
                for (size_t j = 0; j < k; j++)
                    block[i * k + j] = (double)w[i * n + first + j];
        mls_add_square(gram, block, tall, p, k);
    }
    free(block);
    return MLS_OK;
}

/*
 * No eigenvalue of the computed Gram matrix is off by more: the roundings of its sums
 * over |w|^T |w|, whose norm is at most the trace (Higham, Accuracy and Stability of
 * Numerical Algorithms, 3.5; Weyl's inequality), then the backward error of the
 * symmetric solver.
 */
static double eigenvalue_error(const double *lambda, size_t p, size_t q)
{
    const double roundings = (double)(SUM_BLOCK + q / SUM_BLOCK + 1);
    double trace = 0.0;

    for (size_t i = 0; i < p; i++)
        trace += lambda[i];
    return DBL_EPSILON * (roundings * trace + 4.0 * (double)p * lambda[0]);
}

/* |x - y| = |x^2 - y^2| / (x + y): the error of a root, which grows towards 0. */
static double root_error(double lambda_error, double sigma)
{
    return fmin(lambda_error / sigma, sqrt(lambda_error));
}

/*
 * The error that the smallest of p values may have. An SVD of a small matrix costs
 * nothing, so all its digits are asked for; of a large one as many as a weight has that
 * is as large as the largest value: rounding the weights moves the values more.
 */
static double allowed_error(const double *sigma, size_t p)
{
    return p <= MLS_SPECTRUM_SMALL ? MLS_SPECTRUM_GRAM_ERROR * sigma[p - 1]
                                   : (double)FLT_EPSILON / 2.0 * sigma[0];
}

mls_status mls_spectrum_of_weights(mls_spectrum *s, const float *w, size_t m, size_t n,
                                   mls_err *err)
{
    const size_t p = m < n ? m : n, q = m < n ? n : m;
    double *a = NULL; /* (m, n), for an SVD */
    double *gram = mls_calloc3(p, p, 1, sizeof *gram);
    mls_status st = MLS_OK;

    *s = (mls_spectrum){.n = p, .sigma = mls_calloc3(p, 1, 1, sizeof(double))};
    if (!gram || !s->sigma)
        st = no_memory(m, n, err);
    if (!st)
        st = gram_of(gram, w, m, n, err);
    if (!st)
        st = mls_eigen(gram, p, s->sigma, NULL, err);
    if (st || p == 0)
        goto done;
    s->square_error = eigenvalue_error(s->sigma, p, q);
    roots(s->sigma, s->sigma, p);
    s->gram =
        root_error(s->square_error, s->sigma[p - 1]) <= allowed_error(s->sigma, p);
    if (s->gram)
        goto done;
    a = to_double(w, m, n);
    st = a ? mls_svd(a, m, n, NULL, s->sigma, NULL, err) : no_memory(m, n, err);
    s->error = (double)p * DBL_EPSILON * s->sigma[0];
    s->square_error = 0.0;

done:
    if (st)
        mls_spectrum_free(s);
    mls_free_all(gram, a);
    return st;
}

double mls_spectrum_value_error(const mls_spectrum *s, size_t i)
{
    return s->square_error > 0.0 ? root_error(s->square_error, s->sigma[i]) : s->error;
}

/*
 * First-order change of exp of the entropy of x / sum(x), relative to itself, when each
 * x[i] moves by at most d[i]: |dH| <= sum |d p_i| |log p_i|.
 */
static double entropy_change(const double *x, const double *d, size_t n)
{
    double total = 0.0, moved = 0.0, change = 0.0;

    for (size_t i = 0; i < n; i++) {
        total += x[i];
        moved += d[i];
    }
    for (size_t i = 0; i < n; i++)
        if (x[i] > 0.0)
            change += (d[i] + x[i] / total * moved) / total * fabs(log(x[i] / total));
    return change;
}

mls_status mls_spectrum_bound(const mls_spectrum *s, mls_spectrum_bounds *b,
                              mls_err *err)
{
    static const double share[] = {0.90, 0.95, 0.99};
    const size_t n = s->n;
    double *d = mls_calloc3(4, n, 1, sizeof *d), *square = d + n, *d_square = d + 2 * n;
    double energy = 0.0, moved = 0.0;

    *b = (mls_spectrum_bounds){0};
    if (!d)
        return no_memory(n, n, err);
    for (size_t i = 0; i < n; i++) {
        d[i] = mls_spectrum_value_error(s, i);
        square[i] = s->sigma[i] * s->sigma[i];
        d_square[i] = (2.0 * s->sigma[i] + d[i]) * d[i];
        energy += square[i];
        moved += d_square[i];
        b->value = fmax(b->value, d[i]);
    }
    if (energy > 0.0) {
        const double of_energy = moved / energy;

        /* Twice the first order holds the higher ones, which are far smaller. */
        b->figure = 2.0 * fmax(of_energy + d_square[0] / square[0],
                               fmax(entropy_change(s->sigma, d, n),
                                    entropy_change(square, d_square, n)));
        for (size_t i = 0; i < sizeof share / sizeof *share; i++) {
            const size_t low = mls_energy_rank(s->sigma, n, share[i] - 2.0 * of_energy);
            const size_t high =
                mls_energy_rank(s->sigma, n, fmin(share[i] + 2.0 * of_energy, 1.0));

            b->rank = high - low > b->rank ? high - low : b->rank;
        }
    }
    free(d);
    return MLS_OK;
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
    st = mls_spectrum_of_second(s, second, m, err);
    if (!st && m > n)
        s->n = n; /* the others are 0 */

done:
    mls_free_all(second, ac, a);
    return st;
}

const char *mls_matrix_name(mls_matrix matrix)
{
    static const char *const names[] = {"q", "k", "v", "kv", "k_rot"};

    return names[matrix];
}

const char *mls_matrix_words(mls_matrix matrix)
{
    static const char *const words[] = {"queries", "keys", "values", "keys and values",
                                        "keys after RoPE"};

    return words[matrix];
}

const char *mls_rank_label(size_t rank_95, size_t n)
{
    return rank_95 == 0          ? ""
           : 4 * rank_95 <= n    ? "rank-deficient"
           : 4 * rank_95 > 3 * n ? "full-rank"
                                 : "middling";
}

size_t mls_matrix_heads(mls_matrix matrix, const mls_config *config)
{
    return matrix == MLS_MATRIX_Q ? config->H : config->G;
}

/*
 * Of a latent: with B the rows of KV_b diag(w) that make keys, values or both (those
 * without rotation), L Q = B^T B by eigenvalues and vectors: L^(1/2) Q KV_a has the
 * singular values of B KV_a, also as data weighs them, in r rows instead of B's.
 */
static mls_status latent_rows(const mls_config *c, const mls_layer *layer,
                              mls_matrix matrix, size_t head, float **rows, size_t *m,
                              mls_err *err)
{
    const size_t r = c->mla_kv_lora_rank, E = c->E, nope = c->mla_nope_dim;
    const size_t made = nope + c->mla_value_dim;
    double *square = mls_calloc3(2 * r + 1, r, 1, sizeof *square);
    double *vectors = square ? square + r * r : NULL;
    double *values = square ? vectors + r * r : NULL;
    double *b = mls_calloc3(c->H * made, r, 1, sizeof *b);
    float *root = mls_calloc3(r, r, 1, sizeof *root);
    float *down = mls_calloc3(E, r, 1, sizeof *down); /* KV_a^T */
    size_t n = 0;
    mls_status st = MLS_OK;

    *m = r;
    *rows = mls_calloc3(r, E, 1, sizeof **rows);
    if (!square || !b || !root || !down || !*rows)
        st = no_memory(r, E, err);
    for (size_t i = 0; !st && i < c->H * made; i++) {
        const bool key = i % made < nope;

        if ((head != MLS_WHOLE_LAYER && i / made != head) ||
            (matrix == MLS_MATRIX_K && !key) || (matrix == MLS_MATRIX_V && key))
            continue;
        for (size_t j = 0; j < r; j++)
            b[n * r + j] = (double)layer->kv_b[i * r + j] * (double)layer->kv_a_norm[j];
        n++;
    }
    if (!st) {
        mls_add_square(square, b, true, r, n);
        st = mls_eigen(square, r, values, vectors, err);
    }
    for (size_t i = 0; !st && i < r * r; i++)
        root[i] = (float)(sqrt(fmax(values[i / r], 0)) * vectors[i]);
    for (size_t i = 0; !st && i < r * E; i++)
        down[i % E * r + i / E] = layer->kv_a[i];
    if (!st)
        mls_matmul_f32(*rows, root, down, r, E, r);
    if (st) {
        free(*rows);
        *rows = NULL;
    }
    mls_free_all(square, b, root, down);
    return st;
}

mls_status mls_matrix_rows(const mls_config *config, const mls_layer *layer,
                           mls_matrix matrix, size_t head, float **rows, size_t *m,
                           mls_err *err)
{
    if (layer->kv_a)
        return latent_rows(config, layer, matrix, head, rows, m, err);

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
        return mls_spectrum_of_second(s, stats->q_second + at, D, err);
    case MLS_MATRIX_K:
        return mls_spectrum_of_second(s, stats->k_second + at, D, err);
    case MLS_MATRIX_V:
        return mls_spectrum_of_second(s, stats->v_second + at, D, err);
    case MLS_MATRIX_K_ROT:
        return mls_spectrum_of_second(s, stats->k_rot_second + at, D, err);
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
    st = mls_spectrum_of_second(s, joint, 2 * D, err);
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
