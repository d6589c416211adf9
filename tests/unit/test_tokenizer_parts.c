/* Every part of tokenizer.json against the format's reference implementation. */
#include "tests/support/expect.h"

#include <jansson.h>

#include "common/base/buf.h"
#include "common/system/files.h"
#include "datasets/tokenizer/tokenizer.h"

/* Append "1 2 3", as in the reference file. */
static void put_ids(mls_buf *out, mls_tokenizer *tok, const json_t *text, bool special)
{
    int32_t *ids;
    size_t n;

    assert_ok(mls_tokenizer_encode(tok, json_string_value(text),
                                   json_string_length(text), special, &ids, &n, &err));
    for (size_t i = 0; i < n; i++)
        mls_buf_printf(out, "%s%d", i ? " " : "", ids[i]);
    free(ids);
}

static mls_tokenizer *open_json(const json_t *json)
{
    const char *path = test_scratch("tokenizer.json");
    char *text = json_dumps(json, 0);
    mls_tokenizer *tok;

    assert_ok(mls_file_write(path, text, strlen(text), &err));
    free(text);
    assert_ok(mls_tokenizer_open(&tok, path, &err));
    return tok;
}

/* One line of the file: all texts; the number of differences. */
static size_t check_case(const json_t *row, const json_t *first)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    const json_t *texts = json_object_get(first, "texts");
    const json_t *ids = json_object_get(row, "ids");
    json_t *whole = json_copy(json_object_get(row, "parts"));
    json_t *model = json_object_get(json_object_get(first, "models"),
                                    json_string_value(json_object_get(row, "model")));
    size_t differences = 0;
    mls_tokenizer *tok;

    json_object_set(whole, "model", model);
    tok = open_json(whole);
    assert_int_equal(json_array_size(ids), json_array_size(texts));
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const char *want = json_string_value(json_array_get(ids, i));
        mls_buf plain = {0}, special = {0};

        mls_buf_puts(&plain, "");
        mls_buf_puts(&special, "");
        put_ids(&plain, tok, json_array_get(texts, i), false);
        put_ids(&special, tok, json_array_get(texts, i), true);
        if (strcmp(plain.data, special.data) != 0)
            mls_buf_printf(&plain, "|%s", special.data);
        if (strcmp(plain.data, want) != 0) {
            fprintf(stderr, "%s, text %zu:\n  got      %s\n  expected %s\n", name, i,
                    plain.data, want);
            differences++;
        }
        mls_buf_free(&plain);
        mls_buf_free(&special);
    }
    mls_tokenizer_close(tok);
    json_decref(whole);
    return differences;
}

static void check_cases(const char *path)
{
    json_t *first = NULL;
    size_t len, cases = 0, differences = 0;
    char *data;

    assert_ok(mls_file_read(path, 1 << 28, &data, &len, &err));
    for (char *line = data, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_t *row = json_loadb(line, (size_t)(end - line), JSON_ALLOW_NUL, NULL);

        assert_non_null(row);
        if (!first) {
            first = row;
            continue;
        }
        differences += check_case(row, first);
        cases++;
        json_decref(row);
    }
    json_decref(first);
    free(data);
    assert_true(cases > 0);
    assert_int_equal(differences, 0);
}

static void every_part_gives_the_ids_of_the_reference(void **state)
{
    const char *other = getenv("MLS_TOKENIZER_CASES");

    (void)state;
    check_cases(other ? other : test_source("tests/reference/tokenizer_cases.jsonl"));
}

static void unigram_models_give_the_ids_of_the_reference(void **state)
{
    (void)state;
    check_cases(test_source("tests/reference/tokenizer_unigram.jsonl"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_gives_the_ids_of_the_reference),
        cmocka_unit_test(unigram_models_give_the_ids_of_the_reference),
    };

    return cmocka_run_group_tests_name("tokenizer_parts", tests, NULL, NULL);
}
