#include "tests/support/expect.h"

#include "analysis/numeric/linalg.h"
#include "analysis/spectrum/rorope.h"
#include "common/numbers/rng.h"

enum { G = 3, D = 16, C = D / 2, N = 40 };

/* Keys of N tokens whose heads and frequencies are mixed, so that energy is uneven. */
static void make_keys(double *k, double *second)
{
    double mix[G * D];
    mls_rng rng;

    mls_rng_seed(&rng, 7, 1);
    for (size_t i = 0; i < G * D; i++)
        mix[i] = mls_rng_normal(&rng);
    for (size_t t = 0; t < N; t++) {
        const double common = mls_rng_normal(&rng);

        for (size_t i = 0; i < G * D; i++)
            k[t * G * D + i] = common * mix[i] + 0.3 * mls_rng_normal(&rng);
    }
    mls_matmul(second, k, true, k, false, G * D, G * D, N);
}

/* Re((a0 + i a1) conj(b0 + i b1) e^(i angle)): a chunk's score at a distance. */
static double turned(double a0, double a1, double b0, double b1, double angle)
{
    return (a0 * b0 + a1 * b1) * cos(angle) - (a1 * b0 - a0 * b1) * sin(angle);
}

/* Score of query q (D) of KV head g with keys k (G, D), `distance` tokens apart. */
static double plain_score(const double *q, const double *k, size_t g, double distance)
{
    const double *k_g = k + g * D;
    double s = 0.0;

    for (size_t c = 0; c < C; c++)
        s += turned(q[c], q[c + C], k_g[c], k_g[c + C],
                    distance * pow(1e4, -(double)c / C));
    return s;
}

static double rorope_score(const mls_rorope *r, const double *q, const double *k,
                           size_t g, double distance)
{
    const size_t rope = mls_rorope_chunks(r), rest = G * D - 2 * rope;
    double inv_freq[C], freq[G * C], keys[G * D], queries[2 * G * C], up[D * G * D];
    double s = 0.0;

    for (size_t c = 0; c < C; c++)
        inv_freq[c] = pow(1e4, -(double)c / C);
    mls_rorope_frequencies(r, inv_freq, freq);
    mls_rorope_keys(r, k, 1, keys);
    mls_rorope_queries(r, g, q, 1, queries);
    for (size_t n = 0; n < rope; n++)
        s += turned(queries[n], queries[n + rope], keys[n], keys[n + rope],
                    distance * freq[n]);
    mls_rorope_read_back(r, g, up);
    for (size_t i = 0; i < D; i++)
        for (size_t j = 0; j < rest; j++)
            s += q[i] * up[i * rest + j] * keys[2 * rope + j];
    return s;
}

static double worst_difference(const mls_rorope *r, const double *k, double distance)
{
    double q[D], worst = 0.0;
    mls_rng rng;

    mls_rng_seed(&rng, 9, 1);
    for (size_t i = 0; i < D; i++)
        q[i] = mls_rng_normal(&rng);
    for (size_t t = 0; t < 4; t++)
        for (size_t g = 0; g < G; g++)
            worst = fmax(worst, fabs(rorope_score(r, q, k + t * G * D, g, distance) -
                                     plain_score(q, k + t * G * D, g, distance)));
    return worst;
}

static void with_fold_1_and_all_components_roped_scores_are_the_originals(void **state)
{
    double k[N * G * D], second[G * D * G * D];
    mls_rorope r;

    (void)state;
    make_keys(k, second);
    assert_ok(mls_rorope_new(&r, second, G, D, 1, 1, G, &err));
    assert_int_equal(mls_rorope_chunks(&r), G * C);
    assert_close(mls_rorope_captured(&r), 1.0, 0.0);
    assert_close(worst_difference(&r, k, 0.0), 0.0, 1e-12);
    assert_close(worst_difference(&r, k, 57.0), 0.0, 1e-12);
    mls_rorope_free(&r);
}

static void at_distance_0_any_fold_and_budget_is_exact(void **state)
{
    double k[N * G * D], second[G * D * G * D];
    mls_rorope r;

    (void)state;
    make_keys(k, second);
    for (size_t fold = 1; fold <= C; fold *= 2)
        for (size_t collapse = 1; collapse <= fold; collapse *= 2) {
            assert_ok(mls_rorope_new(&r, second, G, D, fold, collapse, 0, &err));
            assert_int_equal(mls_rorope_chunks(&r), C / collapse);
            assert_close(worst_difference(&r, k, 0.0), 0.0, 1e-12);
            mls_rorope_free(&r);
        }
}

static void partial_budgets_and_folds_lose_something(void **state)
{
    double k[N * G * D], second[G * D * G * D];
    mls_rorope r;

    (void)state;
    make_keys(k, second);
    assert_ok(mls_rorope_new(&r, second, G, D, 1, 1, 0, &err));
    assert_true(worst_difference(&r, k, 57.0) > 1e-3);
    mls_rorope_free(&r);
    assert_ok(mls_rorope_new(&r, second, G, D, 2, 1, 2 * G, &err));
    assert_true(worst_difference(&r, k, 57.0) > 1e-3); /* two frequencies as one */
    mls_rorope_free(&r);
}

static void components_are_uncorrelated_and_their_energies_descend(void **state)
{
    double k[N * G * D], second[G * D * G * D], z[G * D];
    const size_t fold = 4, n = G * fold;
    double h[G * 4 * G * 4];
    mls_rorope r;

    (void)state;
    make_keys(k, second);
    assert_ok(mls_rorope_new(&r, second, G, D, fold, 4, n, &err)); /* all roped */
    for (size_t m = 0; m < C / fold; m++) {
        memset(h, 0, sizeof h);
        for (size_t t = 0; t < N; t++) {
            mls_rorope_keys(&r, k + t * G * D, 1, z);
            for (size_t p = 0; p < 2; p++)
                for (size_t i = 0; i < n; i++)
                    for (size_t j = 0; j < n; j++)
                        h[i * n + j] +=
                            z[p * G * C + m * n + i] * z[p * G * C + m * n + j];
        }
        for (size_t i = 0; i < n; i++) {
            assert_close(h[i * n + i], r.energy[m * n + i], 1e-9 * r.energy[m * n]);
            if (i > 0)
                assert_true(r.energy[m * n + i] <= r.energy[m * n + i - 1]);
            for (size_t j = 0; j < i; j++)
                assert_close(h[i * n + j], 0.0, 1e-9 * r.energy[m * n]);
        }
    }
    mls_rorope_free(&r);
}

static void folding_gathers_more_energy_in_a_rope_key_of_the_same_size(void **state)
{
    double k[N * G * D], second[G * D * G * D], before = 0.0, same;
    mls_rorope r;

    (void)state;
    make_keys(k, second);
    for (size_t fold = 2; fold <= C; fold *= 2) {
        assert_ok(mls_rorope_new(&r, second, G, D, fold, 2, 0, &err));
        assert_true(mls_rorope_captured(&r) > before);
        assert_true(mls_rorope_captured(&r) < 1.0);
        assert_ok(mls_rorope_captured_of(&r, second, &same, &err));
        assert_close(same, mls_rorope_captured(&r), 1e-12);
        before = mls_rorope_captured(&r);
        mls_rorope_free(&r);
    }
}

static void components_turn_with_the_frequency_of_their_slot(void **state)
{
    double second[2 * 16 * 2 * 16] = {0}, inv_freq[8], freq[4];
    mls_rorope r;

    (void)state;
    for (size_t c = 0; c < 8; c++)
        inv_freq[c] = (double)c;
    assert_ok(mls_rorope_new(&r, second, 2, 16, 4, 2, 0, &err));
    mls_rorope_frequencies(&r, inv_freq, freq); /* every second chunk */
    for (size_t n = 0; n < 4; n++)
        assert_close(freq[n], 2.0 * (double)n, 0.0);
    assert_close(mls_rorope_captured(&r), 1.0, 0.0); /* nothing to capture */
    mls_rorope_free(&r);
}

static void folds_that_do_not_fit_are_refused(void **state)
{
    double second[4 * 4] = {0};
    mls_rorope r;

    (void)state;
    assert_refused(mls_rorope_new(&r, second, 1, 4, 3, 1, 0, &err), MLS_E_INPUT,
                   "freqfold 3 does not divide the 2 chunks");
    assert_refused(mls_rorope_new(&r, second, 1, 4, 2, 4, 0, &err), MLS_E_INPUT,
                   "collapse 4 does not divide freqfold 2");
    assert_refused(mls_rorope_new(&r, second, 1, 4, 0, 1, 0, &err), MLS_E_INPUT,
                   "freqfold 0");
    assert_refused(mls_rorope_new(&r, second, 1, 4, 2, 0, 0, &err), MLS_E_INPUT,
                   "collapse 0");
    assert_refused(mls_rorope_new(&r, second, 1, 4, 2, 1, 3, &err), MLS_E_INPUT,
                   "has 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_fold_1_and_all_components_roped_scores_are_the_originals),
        cmocka_unit_test(at_distance_0_any_fold_and_budget_is_exact),
        cmocka_unit_test(partial_budgets_and_folds_lose_something),
        cmocka_unit_test(components_are_uncorrelated_and_their_energies_descend),
        cmocka_unit_test(folding_gathers_more_energy_in_a_rope_key_of_the_same_size),
        cmocka_unit_test(components_turn_with_the_frequency_of_their_slot),
        cmocka_unit_test(folds_that_do_not_fit_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
