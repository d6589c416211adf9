/*
 * The SVD cut to r is the nearest matrix of rank r in the Frobenius norm
 * (Eckart-Young). Which factor carries the singular values changes no product, but
 * what is cached: with them on the down side the latent's numbers differ in size by as
 * much as the singular values do, which a quantizer with one scale for a group feels.
 */
#include "bench/frame/factor.h"

#include <string.h>

#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"

mls_status mls_factor_weights(float *down, float *up, const double *w, size_t m,
                              size_t E, size_t r, mls_sigma_side side, mls_err *err)
{
    const size_t p = m < E ? m : E;
    mls_status st = MLS_OK;
    double *u = NULL, *sigma = NULL, *vt = NULL;

    if (r == 0 || r > p)
        return mls_fail(err, MLS_E_ARG, "rank %zu of a %zu x %zu matrix", r, m, E);
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
