/* ggml's types and blocks against llama.cpp's own library. */
#include "tests/support/named_weights.h"

#include <ctype.h>
#include <strings.h>

#include "datasets/files/ggml_types.h"

/* Each line of a file of tests/reference whose first word is `kind`. */
static size_t each_line(const char *path, const char *kind, void (*check)(char *line))
{
    FILE *f = fopen(test_source(path), "r");
    char *line = NULL;
    size_t size = 0, n = 0;
    ssize_t len;

    assert_non_null(f);
    while ((len = getline(&line, &size, f)) > 0) {
        char *rest = line;

        line[len - 1] = '\0';
        if (strcmp(named_word(&rest), kind) != 0)
            continue;
        check(rest);
        n++;
    }
    free(line);
    fclose(f);
    return n;
}

static void check_type(char *line)
{
    const uint32_t id = (uint32_t)named_whole(&line);
    const char *name = named_word(&line);
    const size_t numbers = named_whole(&line), bytes = named_whole(&line);
    const mls_ggml_type *t = mls_ggml_type_of(id);

    if (strcmp(name, "-") == 0) {
        assert_null(t);
        return;
    }
    assert_non_null(t);
    assert_int_equal(strcasecmp(t->name, name), 0);
    assert_int_equal(t->numbers, numbers);
    assert_int_equal(t->bytes, bytes);
    assert_ptr_equal(mls_ggml_type_named(t->name), t);
}

static void types_have_the_names_and_sizes_of_the_library(void **state)
{
    (void)state;
    assert_int_equal(
        each_line("tests/reference/ggml_superblocks.txt", "type", check_type), 43);
    assert_null(mls_ggml_type_of(43));
    assert_null(mls_ggml_type_named("Q9_9"));
}

static unsigned nibble(char c)
{
    return (unsigned)(isdigit((unsigned char)c) ? c - '0' : c - 'a' + 10);
}

static void check_block(char *line)
{
    char upper[16];
    const char *name = named_word(&line);
    const char *hex = named_word(&line), *want = named_word(&line);
    const mls_ggml_type *t;
    uint8_t block[512];
    float x[MLS_GGML_SUPER];
    size_t n = 0;

    for (; name[n]; n++)
        upper[n] = (char)toupper((unsigned char)name[n]);
    upper[n] = '\0';
    t = mls_ggml_type_named(upper);
    assert_non_null(t);
    assert_true(mls_ggml_decodes(t));
    assert_int_equal(strlen(hex), 2 * t->bytes);
    assert_int_equal(strlen(want), 8 * t->numbers);
    for (size_t i = 0; i < t->bytes; i++)
        block[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    mls_ggml_decode(t, block, x);
    for (size_t i = 0; i < t->numbers; i++) {
        uint32_t bits = 0, got;

        for (size_t k = 0; k < 8; k++)
            bits = bits << 4 | nibble(want[8 * i + k]);
        memcpy(&got, &x[i], sizeof got);
        if (got != bits)
            fail_msg("%s: number %zu is %.9g, bits %08x, expected %08x", name, i,
                     (double)x[i], got, bits);
    }
}

static void blocks_of_any_bytes_decode_to_the_bits_of_the_library(void **state)
{
    const char *const from_library = "tests/reference/ggml_superblocks.txt";
    const char *const from_python = "tests/reference/ggml_codebooks.txt";

    (void)state;
    assert_int_equal(each_line(from_library, "block", check_block), 13 * 3);
    assert_int_equal(each_line(from_python, "block", check_block), 9 * 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_have_the_names_and_sizes_of_the_library),
        cmocka_unit_test(blocks_of_any_bytes_decode_to_the_bits_of_the_library),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
