/*
 * Every quantizer against tests/reference/quant.py: bytes exactly, values to rounding.
 */
#include "tests/support/expect.h"

#include "analysis/quant/quant_format.h"
#include "analysis/quant/quantizer.h"
#include "common/numbers/rng.h"
#include "datasets/files/ggml_blocks.h"

enum { BLOCKS = 6, NUMBERS_MAX = 1024, LINE_MAX_ = 16384 };

/* make_data() of quant.py: bell-shaped, a strong channel, a shifted one. */
static void make_data(float *x, size_t T, size_t n)
{
    mls_rng rng;

    mls_rng_seed(&rng, 17, T * 1000 + n);
    for (size_t i = 0; i < T * n; i++) {
        double u = -2.0;

        for (int j = 0; j < 4; j++)
            u += mls_rng_uniform(&rng);
        if (i % n % 7 == 3)
            u *= 4.0;
        if (i % n % 5 == 1)
            u += 0.75;
        x[i] = (float)u;
    }
}

/*
 * block_data() of quant.py: bell-shaped, zeros, a constant, a negative peak, tiny,
 * large
 */
static void block_data(float *x)
{
    make_data(x, BLOCKS, 32);
    for (size_t i = 0; i < 32; i++) {
        x[32 + i] = 0.0f;
        x[64 + i] = 0.7f;
        x[128 + i] *= 0x1p-30f;
        x[160 + i] *= 4096.0f;
    }
    x[96 + 9] = -11.5f;
}

static uint8_t hex_byte(const char *at)
{
    unsigned byte;

    assert_int_equal(sscanf(at, "%2x", &byte), 1);
    return (uint8_t)byte;
}

static float hex_float(const char *at)
{
    uint32_t bits = 0;
    float x;

    for (size_t j = 0; j < 4; j++)
        bits = bits << 8 | hex_byte(at + 2 * j);
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The caller reads its lines and closes it. */
static FILE *open_file(const char *name)
{
    FILE *f = fopen(test_source(name), "r");

    if (!f)
        fail_msg("%s is missing", name);
    return f;
}

static FILE *open_reference(void)
{
    return open_file("tests/reference/quant.txt");
}

static const mls_ggml_block *const ggml_formats[] = {
    &mls_ggml_q8_0, &mls_ggml_q5_1,   &mls_ggml_q5_0, &mls_ggml_q4_1,
    &mls_ggml_q4_0, &mls_ggml_iq4_nl, &mls_ggml_mxfp4};
enum { GGML_FORMATS = sizeof ggml_formats / sizeof ggml_formats[0] };

static void check_bytes(const char *name, const char *hex)
{
    uint8_t bytes[BLOCKS * MLS_GGML_BYTES_MAX];
    float x[BLOCKS * 32];
    size_t size = 0;

    block_data(x);
    for (size_t i = 0; i < GGML_FORMATS; i++)
        for (size_t b = 0; strcmp(name, ggml_formats[i]->name) == 0 && b < BLOCKS;
             b++) {
            ggml_formats[i]->encode(x + 32 * b, bytes + size);
            size += ggml_formats[i]->bytes;
        }
    if (strcmp(name, "nvfp4") == 0) {
        const float scale = mls_nvfp4_scale(x, BLOCKS * 32);

        for (size_t b = 0; b < BLOCKS * 2; b++) {
            mls_nvfp4_encode(x + 16 * b, scale, bytes + size);
            size += MLS_NVFP4_BYTES;
        }
    }
    if (size == 0 || strlen(hex) != 2 * size)
        fail_msg("%s: %zu bytes, the reference has %zu digits", name, size,
                 strlen(hex));
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != hex_byte(hex + 2 * i))
            fail_msg("%s: byte %zu is %02x, expected %.2s", name, i, bytes[i],
                     hex + 2 * i);
}

static void blocks_have_the_bytes_of_the_reference(void **state)
{
    static char line[LINE_MAX_], hex[LINE_MAX_];
    FILE *f = open_reference();
    size_t seen = 0;
    char name[32];

    (void)state;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "bytes %31s : %16383s", name, hex) == 2) {
            check_bytes(name, hex);
            seen++;
        }
    fclose(f);
    assert_int_equal(seen, 8);
}

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

/*
 * ggml's library wrote the bytes and read them back. Our decoder must read the same
 * from its bytes, and our own bytes must decode to it: they differ only where that
 * makes no difference, in the codes of zeros.
 */
static void check_against_ggml(const mls_ggml_block *format, const char *hex,
                               const char *values)
{
    float x[BLOCKS * 32], from_theirs[32], from_ours[32];
    uint8_t theirs[MLS_GGML_BYTES_MAX], ours[MLS_GGML_BYTES_MAX];

    assert_int_equal(strlen(hex), 2 * BLOCKS * format->bytes);
    assert_int_equal(strlen(values), 8 * BLOCKS * 32);
    block_data(x);
    for (size_t b = 0; b < BLOCKS; b++) {
        for (size_t j = 0; j < format->bytes; j++)
            theirs[j] = hex_byte(hex + 2 * (b * format->bytes + j));
        format->encode(x + 32 * b, ours);
        format->decode(theirs, from_theirs);
        format->decode(ours, from_ours);
        for (size_t j = 0; j < 32; j++) {
            const float want = hex_float(values + 8 * (32 * b + j));

            assert_close(from_theirs[j], want, 0);
            assert_close(from_ours[j], want, 0);
        }
    }
}

static void blocks_agree_with_the_library_of_ggml(void **state)
{
    static char line[LINE_MAX_], hex[LINE_MAX_], values[LINE_MAX_];
    FILE *f = open_file("tests/reference/ggml_blocks.txt");
    size_t seen = 0;
    char name[32];

    (void)state;
    while (fgets(line, sizeof line, f)) {
        assert_int_equal(sscanf(line, "%31s %16383s %16383s", name, hex, values), 3);
        for (size_t i = 0; i < GGML_FORMATS; i++)
            if (strcmp(name, ggml_formats[i]->name) == 0) {
                check_against_ggml(ggml_formats[i], hex, values);
                seen++;
            }
    }
    fclose(f);
    assert_int_equal(seen, GGML_FORMATS);
}

/*
 * How far a value may be off: what a sum in another order or a rotation leaves, and
 * what the published NF4 table differs from its own definition.
 */
static float tolerance_of(const char *name, float value)
{
    const bool loose = begins(name, "turbo") || begins(name, "qjl") ||
                       begins(name, "h:") || begins(name, "nf4");

    return fabsf(value) * 0x1p-22f + (loose ? 2e-6f : 0.0f);
}

static void check_values(const char *name, bool is_key, size_t T, size_t n,
                         const char *hex)
{
    float x[NUMBERS_MAX];
    mls_quant q;

    assert_true(T * n <= NUMBERS_MAX);
    assert_int_equal(strlen(hex), 8 * T * n);
    make_data(x, T, n);
    assert_ok(mls_quant_parse(&q, name, &err));
    assert_ok(mls_quant_apply(&q, is_key, x, n, T, n, &err));
    for (size_t i = 0; i < T * n; i++) {
        const float want = hex_float(hex + 8 * i);

        if (!(fabsf(x[i] - want) <= tolerance_of(name, want)))
            fail_msg("%s, %s (%zu, %zu): number %zu is %.9g, expected %.9g", name,
                     is_key ? "key" : "value", T, n, i, (double)x[i], (double)want);
    }
}

static void values_are_those_of_the_reference(void **state)
{
    static char line[LINE_MAX_], hex[LINE_MAX_];
    FILE *f = open_reference();
    size_t T, n, seen = 0;
    char name[32], side[8];

    (void)state;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "values %31s %7s %zu %zu : %16383s", name, side, &T, &n,
                   hex) == 5) {
            check_values(name, strcmp(side, "key") == 0, T, n, hex);
            seen++;
        }
    fclose(f);
    assert_true(seen >= 50);
}

static void every_format_has_a_case_in_the_reference(void **state)
{
    static char line[LINE_MAX_];
    FILE *f = open_reference();
    bool seen[64] = {false};
    char name[32];

    (void)state;
    while (fgets(line, sizeof line, f)) {
        mls_quant q;

        if (sscanf(line, "values %31s", name) != 1)
            continue;
        assert_ok(mls_quant_parse(&q, name, &err));
        for (size_t i = 0; mls_quant_formats()[i]; i++)
            seen[i] |= q.format == mls_quant_formats()[i];
    }
    fclose(f);
    for (size_t i = 0; mls_quant_formats()[i]; i++)
        if (!seen[i])
            fail_msg(
                "%s has no case in quant.py",
                mls_quant_format_pattern(mls_quant_formats()[i], name, sizeof name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_have_the_bytes_of_the_reference),
        cmocka_unit_test(blocks_agree_with_the_library_of_ggml),
        cmocka_unit_test(values_are_those_of_the_reference),
        cmocka_unit_test(every_format_has_a_case_in_the_reference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
