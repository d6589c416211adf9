#include "tests/support/expect.h"

#include "reports/report/work.h"

static mls_config shape(size_t L, size_t E, size_t H, size_t G, size_t D)
{
    return (mls_config){.L = L, .E = E, .H = H, .G = G, .D = D};
}

static void models_of_a_gpu_are_large_and_small_ones_are_not(void **state)
{
    const mls_config smol = shape(30, 576, 9, 3, 64), one = shape(16, 2048, 32, 8, 64);
    const mls_config three = shape(28, 3072, 24, 8, 128);
    const mls_config eight = shape(32, 4096, 32, 8, 128);
    const mls_config seventy = shape(80, 8192, 64, 8, 128);

    (void)state;
    assert_false(mls_work_is_large(&smol, 135e6));
    assert_false(mls_work_is_large(&one, 1.24e9));
    assert_true(mls_work_is_large(&three, 3.2e9));
    assert_true(mls_work_is_large(&eight, 8e9));
    assert_true(mls_work_is_large(&seventy, 70e9));
    assert_int_equal(mls_work_texts(&smol, 135e6).calibration, 128);
    assert_int_equal(mls_work_texts(&eight, 8e9).calibration, 32);
    assert_int_equal(mls_work_texts(&eight, 8e9).held_out, 16);
}

/* Work in double grows with the third power of the width: twice it is eight times. */
static void work_of_forms_is_of_the_third_power(void **state)
{
    const mls_config a = shape(4, 1024, 8, 2, 128), b = shape(4, 2048, 16, 4, 128);

    (void)state;
    assert_close(mls_work_form(&b) / mls_work_form(&a), 8, 1e-12);
    assert_close(mls_work_spectra(&b) / mls_work_spectra(&a), 8, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_of_a_gpu_are_large_and_small_ones_are_not),
        cmocka_unit_test(work_of_forms_is_of_the_third_power),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
