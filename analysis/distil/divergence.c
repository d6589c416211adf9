/*
 * With logits z of the original and y of the student, for every token
 *
 *   KL = sum_v p_v (z_v - y_v) - log sum exp z + log sum exp y
 *   dKL/dy_v = q_v - p_v
 *
 * (Hinton, Vinyals and Dean 2015, at temperature 1), back through cap tanh(. / cap),
 * the scale, the head's matrix and the last norm. In blocks of rows, because a
 * vocabulary has up to a quarter of a million of tokens.
 */
#include "analysis/distil/divergence.h"

#include <math.h>
#include <string.h>

#include "analysis/heal/products.h"
#include "analysis/numeric/exponential.h"
#include "analysis/numeric/vector.h"

enum { ROWS = 64, LANES = 16, PIECE = 1024 };

size_t mls_divergence_scratch(const mls_logits *to)
{
    return ROWS * (2 * to->V + to->E);
}

static void norm(const mls_logits *to, mls_real *y, const mls_real *x, size_t n)
{
    if (!to->gain && !to->norm_free)
        memcpy(y, x, n * to->E * sizeof *y);
    else if (to->norm == MLS_NORM_LAYER)
        mls_real_layernorm(y, x, to->gain, to->gain_bias, to->eps, n, to->E);
    else
        mls_real_norm(y, x, to->E, to->gain, to->eps, n, to->E);
}

static void norm_back(const mls_logits *to, mls_real *d, const mls_real *x, size_t n)
{
    if (!to->gain && !to->norm_free)
        return;
    if (to->norm == MLS_NORM_LAYER)
        mls_real_layernorm_back(d, x, to->gain, to->eps, n, to->E);
    else
        mls_real_norm_back(d, x, to->E, to->gain, to->eps, n, to->E, NULL);
}

/* Logits (n, V) of states h (n, E); x (n, E) is scratch. */
static void logits_of(const mls_logits *to, mls_real *z, const mls_real *h, size_t n,
                      mls_real *x)
{
    norm(to, x, h, n);
#ifdef MLS_HEAL_DOUBLE
    mls_real_linear(z, to->V, x, to->E, to->w, to->bias, n, to->V, to->E);
#else
    mls_packed_linear(to->packed, z, to->V, x, to->w, to->bias, n, to->V, to->E);
#endif
    for (size_t i = 0; to->scale != 0 && to->scale != 1 && i < n * to->V; i++)
        z[i] = (mls_real)((double)z[i] * to->scale);
    for (size_t i = 0; to->cap > 0 && i < n * to->V; i++)
        z[i] = (mls_real)(to->cap * tanh((double)z[i] / to->cap));
}

MLS_WIDE
static mls_real largest(const mls_real *x, size_t n)
{
    mls_real lane[LANES], m = x[0];
    size_t i = 0;

    for (size_t j = 0; j < LANES; j++)
        lane[j] = x[0];
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    for (; i < n; i++)
        m = x[i] > m ? x[i] : m;
    for (size_t j = 0; j < LANES; j++)
        m = lane[j] > m ? lane[j] : m;
    return m;
}

MLS_WIDE
static double sum_of(const mls_real *x, size_t n)
{
    double lane[LANES] = {0}, sum = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lane[j] += (double)x[i + j];
    for (; i < n; i++)
        sum += (double)x[i];
    for (size_t j = 0; j < LANES; j++)
        sum += lane[j];
    return sum;
}

/* log sum exp x. Exponentials by pieces, in loops without a sum: those become wide. */
MLS_WIDE
static double log_sum(const mls_real *x, size_t V)
{
    const mls_real top = largest(x, V);
    mls_real power[PIECE];
    double sum = 0;

    for (size_t first = 0; first < V; first += PIECE) {
        const size_t n = V - first < PIECE ? V - first : PIECE;

        for (size_t i = 0; i < n; i++)
            power[i] = MLS_REAL_EXP(x[first + i] - top);
        sum += sum_of(power, n);
    }
    return (double)top + log(sum);
}

/* KL of one token; z becomes q - p. */
MLS_WIDE
static double compare(mls_real *restrict z, const mls_real *restrict y, mls_real z_sum,
                      mls_real y_sum, size_t V)
{
    mls_real term[PIECE];
    double sum = 0;

    for (size_t first = 0; first < V; first += PIECE) {
        const size_t n = V - first < PIECE ? V - first : PIECE;

        for (size_t i = 0; i < n; i++) {
            const mls_real of_z = z[first + i] - z_sum, of_y = y[first + i] - y_sum;
            const mls_real p = MLS_REAL_EXP(of_z);

            term[i] = p * (of_z - of_y);
            z[first + i] = MLS_REAL_EXP(of_y) - p;
        }
        sum += sum_of(term, n);
    }
    return sum;
}

/* z, the gradient by logits y, becomes that by the head's product. */
static void unscale(const mls_logits *to, mls_real *z, const mls_real *y, double weight,
                    size_t n)
{
    const mls_real by = (mls_real)(weight * (to->scale != 0 ? to->scale : 1));

    for (size_t i = 0; to->cap > 0 && i < n; i++) {
        const double share = (double)y[i] / to->cap;

        z[i] *= (mls_real)(1 - share * share);
    }
    for (size_t i = 0; i < n; i++)
        z[i] *= by;
}

/* d (n, E) by hidden states h from dz (n, V) by the head's product. */
static void head_back(const mls_logits *to, mls_real *d, const mls_real *dz,
                      const mls_real *h, size_t n)
{
#ifdef MLS_HEAL_DOUBLE
    memset(d, 0, n * to->E * sizeof *d);
    mls_real_linear_back(dz, to->V, NULL, to->E, to->w, n, to->V, to->E, NULL, NULL, d);
#else
    mls_packed_back(to->packed, d, dz, to->w, n, to->V, to->E);
#endif
    norm_back(to, d, h, n);
}

double mls_divergence(const mls_logits *to, const mls_real *h, const mls_real *student,
                      size_t T, double weight, mls_real *d, mls_real *scratch)
{
    const size_t E = to->E, V = to->V;
    mls_real *z = scratch, *y = z + ROWS * V, *x = y + ROWS * V;
    double sum = 0;

    for (size_t first = 0; first < T; first += ROWS) {
        const size_t n = T - first < ROWS ? T - first : ROWS;
        const mls_real *from = student + first * E;

        logits_of(to, z, h + first * E, n, x);
        logits_of(to, y, from, n, x);
        for (size_t t = 0; t < n; t++) {
            const mls_real *y_t = y + t * V;
            mls_real *z_t = z + t * V;

            sum += compare(z_t, y_t, (mls_real)log_sum(z_t, V),
                           (mls_real)log_sum(y_t, V), V);
        }
        if (d) {
            unscale(to, z, y, weight, n * V);
            head_back(to, d + first * E, z, from, n);
        }
    }
    return sum;
}
