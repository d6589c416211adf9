#include "tests/support/expect.h"

#include "common/numbers/half.h"

static void every_half_survives_the_way_through_float(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const float f = mls_f16_to_float((uint16_t)h);

        if (isnan(f))
            assert_true(isnan(mls_f16_to_float(mls_float_to_f16(f))));
        else
            assert_int_equal(mls_float_to_f16(f), h);
    }
}

static void every_bfloat_survives_the_way_through_float(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const float f = mls_bf16_to_float((uint16_t)h);

        if (isnan(f))
            assert_true(isnan(mls_bf16_to_float(mls_float_to_bf16(f))));
        else
            assert_int_equal(mls_float_to_bf16(f), h);
    }
}

static void halves_round_to_nearest_even(void **state)
{
    (void)state;
    assert_close(mls_round_f16(1.0f + 0x1p-11f), 1.0, 0);          /* tie to even */
    assert_close(mls_round_f16(1.0f + 0x1.8p-10f), 1 + 0x1p-9, 0); /* tie to even */
    assert_close(mls_round_f16(0x1p-25f), 0.0, 0);                 /* tie to even */
    assert_close(mls_round_f16(0x1.8p-25f), 0x1p-24, 0);
    assert_close(mls_round_f16(65519.0f), 65504.0, 0);
    assert_true(isinf(mls_round_f16(65520.0f)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_survives_the_way_through_float),
        cmocka_unit_test(every_bfloat_survives_the_way_through_float),
        cmocka_unit_test(halves_round_to_nearest_even),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
