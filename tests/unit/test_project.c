/*
 * The algebra that low-rank methods share: projections, and ranks that share a total.
 */
#include "tests/support/random_layer.h"

#include "bench/frame/factor.h"
#include "bench/frame/lowrank.h"

/* SVD-LLM as it is written: truncated SVD of W S, S S^T = E[x x^T], then S undone. */
static void whitened_svd_is_the_pca_of_outputs(void **state)
{
    enum { RANK = 20 };
    const mls_metric metric = {MLS_METRIC_COVARIANCE, 0, 0};
    random_layer s;
    mls_rng rng;

    (void)state;
    mls_rng_seed(&rng, 3, 0);
    random_layer_make(&s, &rng, 4, 2, 16, false, false);
    random_layer_stats(&s, &rng);
    const size_t m = s.config.G * s.config.D;
    const mls_rows rows = {MLS_KEYS, 0, s.config.G};
    double *root = calloc(E * E, sizeof *root),
           *inverse = calloc(E * E, sizeof *inverse);
    double *w = calloc(m * E, sizeof *w), *ws = calloc(m * E, sizeof *ws);
    double *u = calloc(m * m, sizeof *u), *sigma = calloc(m, sizeof *sigma);
    double *vt = calloc(m * E, sizeof *vt), *cut = calloc(m * E, sizeof *cut);
    double *svd = calloc(m * E, sizeof *svd), *pca = calloc(m * E, sizeof *pca);
    double *G = calloc(m * m, sizeof *G), *basis = calloc(m * m, sizeof *basis);

    mls_widen(w, s.layer.wk, m * E);
    assert_ok(mls_sqrt_psd(s.stats.x_second, E, 1e-14, root, inverse, &err));
    mls_matmul(ws, w, false, root, false, m, E, E);
    assert_ok(mls_svd(ws, m, E, u, sigma, vt, &err));
    for (size_t i = 0; i < m; i++) /* u diag(sigma) of the first RANK, times vt */
        for (size_t e = 0; e < E; e++)
            for (size_t k = 0; k < RANK; k++)
                cut[i * E + e] += u[i * m + k] * sigma[k] * vt[k * E + e];
    mls_matmul(svd, cut, false, inverse, false, m, E, E);

    assert_ok(
        mls_metric_matrix(G, &metric, &s.config, &s.layer, &s.stats, &rows, &err));
    assert_ok(mls_factor_pca(basis, G, m, RANK, &err));
    mls_matmul(cut, basis, false, w, false, RANK, E, m);
    mls_matmul(pca, basis, true, cut, false, m, E, RANK);
    for (size_t i = 0; i < m * E; i++)
        assert_close(pca[i], svd[i], 1e-8);
    free(root), free(inverse), free(w), free(ws), free(u), free(sigma), free(vt);
    free(cut), free(svd), free(pca), free(G), free(basis);
    random_layer_free(&s);
}

static void shared_ranks_add_up_and_stay_within_their_bounds(void **state)
{
    const double want[] = {3.7, -2.0, 9.5, 4.9, 40.0};
    size_t rank[10];

    (void)state;
    /* Floors 3, 1, 9, 4, 16 are 3 too many: taken where they are least missed. */
    mls_share_ranks(rank, 2, want, 5, 30, 1, 16);
    const size_t expected[] = {2, 1, 8, 3, 16};

    for (size_t i = 0; i < 5; i++)
        assert_int_equal(rank[2 * i], expected[i]);
    mls_share_ranks(rank, 1, want, 5, 80, 1, 16); /* everything */
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(rank[i], 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whitened_svd_is_the_pca_of_outputs),
        cmocka_unit_test(shared_ranks_add_up_and_stay_within_their_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
