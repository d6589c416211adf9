#include "tests/support/expect.h"

#include "analysis/numeric/blas.h"

static void a_core_below_the_cpu_is_replaced(void **state)
{
    (void)state;
    assert_string_equal(mls_blas_choose_core("Prescott", MLS_CPU_AVX512), "SkylakeX");
    assert_string_equal(mls_blas_choose_core("Haswell", MLS_CPU_AVX512), "SkylakeX");
    assert_string_equal(mls_blas_choose_core("Zen", MLS_CPU_AVX512), "SkylakeX");
    assert_string_equal(mls_blas_choose_core("Prescott", MLS_CPU_AVX2), "Haswell");
    assert_string_equal(mls_blas_choose_core("Sandybridge", MLS_CPU_AVX2), "Haswell");
}

static void a_core_as_good_as_the_cpu_stays(void **state)
{
    (void)state;
    assert_null(mls_blas_choose_core("SkylakeX", MLS_CPU_AVX512));
    assert_null(mls_blas_choose_core("Cooperlake", MLS_CPU_AVX512));
    assert_null(mls_blas_choose_core("Sapphirerapids", MLS_CPU_AVX512));
    assert_null(mls_blas_choose_core("Haswell", MLS_CPU_AVX2));
    assert_null(mls_blas_choose_core("Zen", MLS_CPU_AVX2));
    assert_null(mls_blas_choose_core("Prescott", MLS_CPU_OTHER));
    assert_null(mls_blas_choose_core("armv8", MLS_CPU_OTHER));
}

static void a_blas_that_is_not_openblas_is_left_alone(void **state)
{
    (void)state;
    assert_null(mls_blas_choose_core("unknown", MLS_CPU_AVX512));
    assert_null(mls_blas_choose_core("unknown", MLS_CPU_AVX2));
}

static void the_library_says_what_it_is(void **state)
{
    (void)state;
    assert_true(strlen(mls_blas_core()) > 0);
    assert_true(strlen(mls_blas_version()) > 0);
    mls_blas_single_thread(); /* and once more does no harm */
    mls_blas_single_thread();
}

/* What main() does with the answer settles it: the better core needs no better one. */
static void the_better_core_is_final(void **state)
{
    (void)state;
    const mls_cpu_level levels[] = {MLS_CPU_OTHER, MLS_CPU_AVX2, MLS_CPU_AVX512};

    for (size_t i = 0; i < 3; i++) {
        const char *better = mls_blas_choose_core("Prescott", levels[i]);

        if (better)
            assert_null(mls_blas_choose_core(better, levels[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_core_below_the_cpu_is_replaced),
        cmocka_unit_test(a_core_as_good_as_the_cpu_stays),
        cmocka_unit_test(a_blas_that_is_not_openblas_is_left_alone),
        cmocka_unit_test(the_library_says_what_it_is),
        cmocka_unit_test(the_better_core_is_final),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
