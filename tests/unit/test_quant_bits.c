/* Bits per number of every format: payload, scales, zero points and windows. */
#include "tests/support/quant_fixture.h"

/* Mean bits per number of a cache of T tokens. */
static double mean_bits(const char *text, bool is_key, size_t n, size_t T)
{
    const mls_quant q = parsed(text);
    const mls_quant_cost c = mls_quant_bits(&q, is_key, n, T);

    return (c.payload + c.metadata + c.window) / ((double)n * (double)T);
}

static void bits_of_integers_count_scales_and_minima(void **state)
{
    (void)state;
    assert_close(mean_bits("int4", false, 128, 1000), 4.25, 1e-12); /* QuaRot KV4 */
    assert_close(mean_bits("int4s", false, 128, 1000), 4.125, 1e-12);
    assert_close(mean_bits("h:int4", false, 128, 1000), 4.25, 1e-12);
    assert_close(mean_bits("int4/32", false, 128, 7), 5.0, 1e-12);
    assert_close(mean_bits("int4/64", false, 96, 7), 4 + 2 * 32 / 96.0, 1e-12);
    assert_close(mean_bits("int4c/32", false, 128, 64), 5.0, 1e-12);
    assert_close(mean_bits("int4c/32", false, 128, 33), 4 + 2 * 32 / 33.0, 1e-12);
    assert_close(mean_bits("int4z/128", false, 4096, 9), 4.15625, 1e-12); /* Atom */
    assert_close(mean_bits("int4z/64", false, 4096, 9), 4.3125, 1e-12);   /* FlexGen */
    assert_close(mean_bits("16", false, 128, 9), 16.0, 0.0);
}

static void a_range_for_all_tokens_is_a_constant(void **state)
{
    const mls_quant q = parsed("int4c");
    const mls_quant_cost c = mls_quant_bits(&q, true, 128, 4096);

    (void)state;
    assert_close(c.metadata, 0.0, 0.0);
    assert_close(c.constant, 128 * 32.0, 0.0);
}

static void bits_of_kivi_are_those_of_its_windows(void **state)
{
    (void)state;
    assert_close(mean_bits("kivi2+0", true, 128, 4096), 3.0, 1e-12);
    assert_close(mean_bits("kivi4+0", false, 128, 4096), 5.0, 1e-12);
    assert_close(mean_bits("kivi2/64+0", true, 128, 4096), 2.5, 1e-12);
    assert_close(mean_bits("kivi4/64+0", false, 128, 4096), 4.5, 1e-12);
    /* Values: the 128 newest of T in 16 bits; keys: T mod 128. */
    assert_close(mean_bits("kivi2", false, 128, 32768), 3.05078125, 1e-12);
    assert_close(mean_bits("kivi2", true, 128, 32768), 3.0, 1e-12);
    assert_close(mean_bits("kivi2", false, 128, 4096), 3.40625, 1e-12);
    assert_close(mean_bits("kivi2", true, 128, 4097), (4096 * 3.0 + 16) / 4097, 1e-12);
    assert_close(mean_bits("kivi2", false, 128, 100), 16.0, 1e-12);
}

/* One row of the accounting table: mean bits of keys and of values of n numbers. */
typedef struct bits_row {
    const char *name;
    size_t n, T;
    double key, value;
} bits_row;

static void bits_are_those_of_the_accounting_table(void **state)
{
    static const bits_row rows[] = {
        {"kivi2/32+0", 128, 4096, 3.0, 3.0}, /* KIVI, T without end */
        {"kivi4/32+0", 128, 4096, 5.0, 5.0},
        {"kivi2/64+0", 128, 4096, 2.5, 2.5},
        {"kivi4/64+0", 128, 4096, 4.5, 4.5},
        {"quanto2", 128, 4096, 2.5, 2.5},
        {"quanto4", 128, 4096, 4.5, 4.5},
        {"quanto4", 32, 3, 4 + 32 * 2 / 96.0, 4 + 32 * 2 / 96.0},
        {"quanto4c", 128, 4096, 4.5, 4.5},
        /* 4,200 generated tokens: 104 of them wait in 16 bits */
        {"quanto4+128", 128, 4200, (4096 * 4.5 + 104 * 16) / 4200,
         (4096 * 4.5 + 104 * 16) / 4200},
        {"hqq2", 128, 4096, 2.5, 2.5},
        {"hqq4", 128, 4096, 4.5, 4.5},
        {"hqq3", 128, 4096, 3.7, 3.7},     /* ten codes in an int32 */
        {"hqq5", 128, 4096, 8.5, 8.5},     /* 5 bits are stored as 8 */
        {"h:int4", 128, 4096, 4.25, 4.25}, /* QuaRot, SpinQuant: asymmetric, per head */
        {"h:int4s", 128, 4096, 4.125, 4.125},
        {"q4_0", 128, 4096, 4.5, 4.5},
        {"q4_1", 128, 4096, 5.0, 5.0}, /* llama.cpp issue 4425: 80 against 256 MiB */
        {"q5_0", 128, 4096, 5.5, 5.5}, /* llama.cpp issue 21394: 22 bytes of 32 */
        {"q5_1", 128, 4096, 6.0, 6.0},
        {"q8_0", 128, 4096, 8.5, 8.5},
        {"iq4_nl", 128, 4096, 4.5, 4.5},
        {"nvfp4", 128, 4096, 4.5, 4.5},
        {"mxfp4", 128, 4096, 4.25, 4.25},
        {"fp8", 128, 4096, 8.0, 8.0},
        {"fp8t", 128, 4096, 8.0, 8.0},
        {"fp8e5m2", 128, 4096, 8.0, 8.0},
        {"fp8/128", 512, 4096, 8.25, 8.25}, /* FlashMLA: 528 bytes of 512 numbers */
        {"nf4", 128, 4096, 4.25, 4.25},
        {"nf3z", 128, 4096, 3.25, 3.25},
        {"nf3z", 4096, 4096, 3 + 32 / 4096.0, 3 + 32 / 4096.0},
        {"turbo4", 128, 4096, 4.125, 4.125}, /* 132 bytes of keys and values */
        {"turbo3", 128, 4096, 3.125, 3.125}, /* 100 bytes */
        {"turbo4f", 128, 4096, 4.25, 4.25},  /* aither-kvcache: 68, 52, 36 bytes */
        {"turbo3f", 128, 4096, 3.25, 3.25},
        {"turbo2f", 128, 4096, 2.25, 2.25},
        {"turbo2.5", 128, 4096, 2.5 + 32 / 128.0, 2.5 + 32 / 128.0}, /* two norms */
        {"turbo3.5", 128, 4096, 3.5 + 32 / 128.0, 3.5 + 32 / 128.0},
        {"turbo2.25", 128, 4096, 2.25 + 32 / 128.0, 2.25 + 32 / 128.0},
        {"turbo3p", 128, 4096, 3 + 32 / 128.0, 3.125}, /* the residual's norm */
        {"turbo1p", 128, 4096, 1.125, 1.125},
        {"qjl+0", 128, 4096, 68.25 * 8 / 128, 3.0},                /* 68.25 bytes */
        {"qjl-first+0", 128, 4096, 84.25 * 8 / 128, 3.0},          /* 84.25 bytes */
        {"int4z", 4096, 131072, 4 + 20 / 4096.0, 4 + 20 / 4096.0}, /* KVQuant's int4 */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const bits_row *r = &rows[i];
        const double key = mean_bits(r->name, true, r->n, r->T);
        const double value = mean_bits(r->name, false, r->n, r->T);

        if (fabs(key - r->key) > 1e-9 || fabs(value - r->value) > 1e-9)
            fail_msg("%s, n = %zu: %.6f and %.6f bits, expected %.6f and %.6f", r->name,
                     r->n, key, value, r->key, r->value);
    }
}

/* Mean of keys and values at T = 128 K: the paper prints 3.32 to 3.35, 3.33 for 7B. */
static void bits_of_kvquant_are_in_the_range_of_its_paper(void **state)
{
    static const struct {
        size_t d_kv;
        double bits;
    } models[] = {{4096, 3.328}, {8192, 3.324}, {1024, 3.351}};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const double key = mean_bits("kvquant3@0", true, models[i].d_kv, 131072);
        const double value = mean_bits("kvquant3@0", false, models[i].d_kv, 131072);

        /* The formula has 1 % exactly; whole outliers are 41 of 4096, 10 of 1024. */
        assert_close(0.5 * (key + value), models[i].bits, 0.004);
        assert_true(0.5 * (key + value) > 3.315 && 0.5 * (key + value) < 3.355);
    }
    assert_close(mean_bits("kvquant3d@0", true, 4096, 131072), 3.0, 1e-9);
    assert_close(mean_bits("kvquant3d@0", false, 4096, 131072), 3 + 32 / 4096.0, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_of_integers_count_scales_and_minima),
        cmocka_unit_test(a_range_for_all_tokens_is_a_constant),
        cmocka_unit_test(bits_of_kivi_are_those_of_its_windows),
        cmocka_unit_test(bits_are_those_of_the_accounting_table),
        cmocka_unit_test(bits_of_kvquant_are_in_the_range_of_its_paper),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
