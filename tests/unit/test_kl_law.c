#include "tests/support/expect.h"

#include "bench/evaluate/kl_law.h"
#include "common/numbers/rng.h"

static void a_power_law_is_found_exactly(void **state)
{
    (void)state;
    double error[6], kl[6], predicted[6];

    for (size_t i = 0; i < 6; i++) {
        error[i] = 0.01 * (double)(i + 1);
        kl[i] = 1.8 * pow(error[i], 1.3);
    }
    const mls_kl_law law = mls_kl_law_fit(error, kl, 6, predicted);

    assert_int_equal(law.n, 6);
    assert_close(exp(law.a), 1.8, 1e-12);
    assert_close(law.b, 1.3, 1e-12);
    assert_close(law.factor, 1, 1e-12);
    for (size_t i = 0; i < 6; i++)
        assert_close(predicted[i], kl[i], 1e-12);
}

/* The closed form of leaving one out against really leaving it out. */
static void every_prediction_is_the_law_of_the_others(void **state)
{
    (void)state;
    enum { N = 9 };
    double error[N], kl[N], predicted[N], without[N], squares = 0;
    mls_rng rng;

    mls_rng_seed(&rng, 1, 2);
    for (size_t i = 0; i < N; i++) {
        error[i] = exp(mls_rng_normal(&rng));
        kl[i] = pow(error[i], 1.2) * exp(0.3 * mls_rng_normal(&rng));
    }
    const mls_kl_law law = mls_kl_law_fit(error, kl, N, predicted);

    for (size_t i = 0; i < N; i++) {
        const double own = kl[i];

        kl[i] = NAN; /* not measured: the others predict it */
        const mls_kl_law one = mls_kl_law_fit(error, kl, N, without);

        assert_int_equal(one.n, N - 1);
        assert_close(without[i], predicted[i], 1e-12 * predicted[i]);
        kl[i] = own;
        squares += pow(log(own) - log(predicted[i]), 2);
    }
    /* t(0.975, 7) = 2.3646 */
    assert_close(log(law.factor), 2.3646 * sqrt(squares / N),
                 1e-3 * log(law.factor)); /* t to three digits */
}

static void a_law_needs_settings_that_differ(void **state)
{
    (void)state;
    double error[] = {0.1, 0.2, 0.3, 0.4, NAN, 1e-12, 0.5};
    double kl[] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1e-9}, predicted[7];
    double same[] = {0.2, 0.2, 0.2, 0.2, 0.2};

    /* Four usable pairs: one has no error, two are rounding. */
    assert_int_equal(mls_kl_law_fit(error, kl, 7, predicted).n, 0);
    for (size_t i = 0; i < 7; i++)
        assert_true(isnan(predicted[i]));
    kl[6] = 0.5;
    assert_int_equal(mls_kl_law_fit(error, kl, 7, predicted).n, 5);
    assert_true(isnan(predicted[4]) && isnan(predicted[5]) && predicted[6] > 0.3);
    assert_int_equal(mls_kl_law_fit(same, kl, 5, predicted).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_law_is_found_exactly),
        cmocka_unit_test(every_prediction_is_the_law_of_the_others),
        cmocka_unit_test(a_law_needs_settings_that_differ),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
