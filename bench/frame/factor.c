/*
 * The SVD cut to r is the nearest matrix of rank r in the Frobenius norm
 * (Eckart-Young). Which factor carries the singular values changes no product, but
 * what is cached: with them on the down side the latent's numbers differ in size by as
 * much as the singular values do, which a quantizer with one scale for a group feels.
 *
 * Of large matrices the leading vectors are those of the smaller Gram matrix, a
 * fraction of an SVD. Squares lose digits: no eigenvalue is off by more than the
 * roundings of the sums over |w| |w|^T and of the solver (Higham, Accuracy and
 * Stability of Numerical Algorithms, 3.5; Weyl). An SVD follows where that moves the
 * smallest singular value that is kept by more than a float near the largest can tell.
 */
#include "bench/frame/factor.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"

enum { LARGE = 512 };

/* May the r-th singular value come from p eigenvalues of sums of q products? */
static bool gram_is_enough(const double *lambda, size_t p, size_t q, size_t r)
{
    double trace = 0;

    for (size_t i = 0; i < p; i++)
        trace += lambda[i];
    const double error =
        DBL_EPSILON * ((double)q * trace + 4.0 * (double)p * lambda[0]);
    return lambda[r - 1] > 0 &&
           error / sqrt(lambda[r - 1]) <= (double)FLT_EPSILON / 2 * sqrt(lambda[0]);
}

/*
 * The same by the smaller Gram matrix; *done says whether that was enough. Its leading
 * vectors over the root of their values, times w, are the other side's.
 */
static mls_status factor_by_gram(float *down, float *up, const double *w, size_t m,
                                 size_t E, size_t r, mls_sigma_side side, bool *done,
                                 mls_err *err)
{
    const bool wide = m <= E;
    const size_t p = wide ? m : E, q = wide ? E : m;
    double *gram = mls_calloc3(2 * p + 1, p, 1, sizeof *gram);
    double *vectors = gram + p * p, *values = vectors + p * p;
    double *other = mls_calloc3(r, q, 1, sizeof *other);
    mls_status st = MLS_OK;

    *done = false;
    if (!gram || !other) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to factorize %zu x %zu", m, E);
        goto end;
    }
    mls_add_square(gram, w, !wide, p, q);
    st = mls_eigen(gram, p, values, vectors, err);
    if (st || !gram_is_enough(values, p, q, r))
        goto end;
    mls_matmul(other, vectors, false, w, !wide, r, q, p);
    for (size_t i = 0; i < r; i++) {
        const double sigma = sqrt(values[i]);
        const double on_down = side == MLS_SIGMA_DOWN ? sigma : 1.0;
        const double on_up = side == MLS_SIGMA_UP ? sigma : 1.0;
        const double *v = wide ? other + i * E : vectors + i * E;
        const double *u = wide ? vectors + i * m : other + i * m;

        for (size_t e = 0; e < E; e++)
            down[i * E + e] = (float)(on_down / (wide ? sigma : 1.0) * v[e]);
        for (size_t j = 0; j < m; j++)
            up[j * r + i] = (float)(on_up / (wide ? 1.0 : sigma) * u[j]);
    }
    *done = true;

end:
    mls_free_all(gram, other);
    return st;
}

mls_status mls_factor_weights(float *down, float *up, const double *w, size_t m,
                              size_t E, size_t r, mls_sigma_side side, mls_err *err)
{
    const size_t p = m < E ? m : E;
    mls_status st = MLS_OK;
    double *u = NULL, *sigma = NULL, *vt = NULL;

    bool done = false;

    if (r == 0 || r > p)
        return mls_fail(err, MLS_E_ARG, "rank %zu of a %zu x %zu matrix", r, m, E);
    if (p >= LARGE)
        st = factor_by_gram(down, up, w, m, E, r, side, &done, err);
    if (st || done)
        return st;
    u = mls_calloc3(m, p, 1, sizeof *u);
    sigma = mls_calloc3(p, 1, 1, sizeof *sigma);
    vt = mls_calloc3(p, E, 1, sizeof *vt);
    if (!u || !sigma || !vt) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to factorize %zu x %zu", m, E);
        goto done;
    }
    st = mls_svd(w, m, E, u, sigma, vt, err);
    if (st)
        goto done;
    for (size_t i = 0; i < r; i++) {
        const double on_down = side == MLS_SIGMA_DOWN ? sigma[i] : 1.0;
        const double on_up = side == MLS_SIGMA_UP ? sigma[i] : 1.0;

        for (size_t e = 0; e < E; e++)
            down[i * E + e] = (float)(on_down * vt[i * E + e]);
        for (size_t j = 0; j < m; j++)
            up[j * r + i] = (float)(on_up * u[j * p + i]);
    }

done:
    mls_free_all(vt, sigma, u);
    return st;
}

mls_status mls_factor_pca(double *basis, const double *second, size_t m, size_t r,
                          mls_err *err)
{
    mls_status st = MLS_OK;
    double *values = mls_calloc3(m, 1, 1, sizeof *values);
    double *vectors = mls_calloc3(m, m, 1, sizeof *vectors);

    if (!values || !vectors) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a PCA of %zu numbers", m);
        goto done;
    }
    st = mls_eigen(second, m, values, vectors, err);
    if (!st)
        memcpy(basis, vectors, r * m * sizeof *basis);

done:
    mls_free_all(vectors, values);
    return st;
}

void mls_gather_rows(double *out, const float *w, const size_t *rows, size_t n,
                     size_t E)
{
    for (size_t i = 0; i < n; i++)
        for (size_t e = 0; e < E; e++)
            out[i * E + e] = (double)w[rows[i] * E + e];
}
