#include "tests/support/expect.h"

#include "common/numbers/small_float.h"

typedef struct format {
    const char *name;
    uint8_t (*encode)(float);
    float (*decode)(uint8_t);
    unsigned codes; /* 2^bits */
    float largest;
} format;

static const format formats[] = {
    {"e4m3", mls_float_to_e4m3, mls_e4m3_to_float, 256, 448.0f},
    {"e5m2", mls_float_to_e5m2, mls_e5m2_to_float, 256, 57344.0f},
    {"e2m1", mls_float_to_e2m1, mls_e2m1_to_float, 16, 6.0f},
};
enum { FORMATS = sizeof formats / sizeof formats[0] };

static void every_finite_code_survives_the_way_through_float(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMATS; i++)
        for (unsigned code = 0; code < formats[i].codes; code++) {
            const float x = formats[i].decode((uint8_t)code);

            if (isfinite(x))
                assert_int_equal(formats[i].encode(x), code);
        }
}

static void a_number_between_two_codes_goes_to_the_nearer_or_even_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMATS; i++)
        for (unsigned code = 0; code + 1 < formats[i].codes / 2; code++) {
            const float low = formats[i].decode((uint8_t)code);
            const float high = formats[i].decode((uint8_t)(code + 1));
            const float middle = 0.5f * (low + high);

            if (!isfinite(high))
                continue;
            assert_int_equal(formats[i].encode(middle), code + (code & 1));
            assert_int_equal(formats[i].encode(nextafterf(middle, 0.0f)), code);
            assert_int_equal(formats[i].encode(nextafterf(middle, INFINITY)), code + 1);
            assert_int_equal(formats[i].encode(-nextafterf(middle, 0.0f)),
                             code + formats[i].codes / 2);
        }
}

static void numbers_beyond_the_largest_become_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMATS; i++) {
        const format *f = &formats[i];

        assert_close(f->decode(f->encode(1e30f)), f->largest, 0);
        assert_close(f->decode(f->encode(-INFINITY)), -(double)f->largest, 0);
    }
    assert_true(isnan(mls_e4m3_to_float(mls_float_to_e4m3(NAN))));
    assert_true(isnan(mls_e5m2_to_float(mls_float_to_e5m2(NAN))));
    assert_close(mls_e2m1_to_float(mls_float_to_e2m1(NAN)), 0, 0);
}

/* OCP OFP8 1.0, table 2; OCP MX 1.0, table 5. */
static void known_codes_have_their_published_values(void **state)
{
    (void)state;
    assert_close(mls_e4m3_to_float(0x7e), 448, 0);
    assert_close(mls_e4m3_to_float(0x08), 0x1p-6, 0);
    assert_close(mls_e4m3_to_float(0x01), 0x1p-9, 0);
    assert_close(mls_e5m2_to_float(0x7b), 57344, 0);
    assert_close(mls_e5m2_to_float(0x04), 0x1p-14, 0);
    assert_close(mls_e5m2_to_float(0x01), 0x1p-16, 0);
    assert_true(isinf(mls_e5m2_to_float(0xfc)));
    assert_close(mls_e2m1_to_float(0x7), 6, 0);
    assert_close(mls_e2m1_to_float(0xd), -3, 0);
    assert_close(mls_e2m1_to_float(0x1), 0.5, 0);
    assert_close(mls_e8m0_to_float(0), 0x1p-127, 0);
    assert_close(mls_e8m0_to_float(127), 1, 0);
    assert_true(isnan(mls_e8m0_to_float(255)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_finite_code_survives_the_way_through_float),
        cmocka_unit_test(a_number_between_two_codes_goes_to_the_nearer_or_even_one),
        cmocka_unit_test(numbers_beyond_the_largest_become_it),
        cmocka_unit_test(known_codes_have_their_published_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
