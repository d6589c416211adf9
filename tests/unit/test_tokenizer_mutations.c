/* Broken tokenizer.json files and texts, made with fixed seeds; most useful with the
 * sanitizers. What must hold for each is in tests/fuzz/fuzz_tokenizer.c. */
#include "tests/support/expect.h"

#include <jansson.h>

#include "common/base/buf.h"
#include "common/numbers/rng.h"
#include "common/system/files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROUNDS = 400 };

/* Words that make sense somewhere in the file or the text. */
static const char *const words[] = {
    "null",
    "true",
    "false",
    "0",
    "-1",
    "16777216",
    "1e9",
    "\"\"",
    "[]",
    "{}",
    ",",
    ":",
    "\"Regex\"",
    "\"String\"",
    "\"Sequence\"",
    "\"Split\"",
    "\"ByteLevel\"",
    "\"BPE\"",
    "\"Metaspace\"",
    "\"Replace\"",
    "\"Strip\"",
    "\"NFKC\"",
    "\"Lowercase\"",
    "(?i:",
    "[^\\\\s\\\\p{L}]+",
    "\\\\w+",
    "(a|b)*",
    "{1,3}",
    "\\\\p{Han}",
    "(?!",
    "a*",
    "\\u0301",
    "\xEF\xBB\xBF",
    "\xE2\x96\x81",
    "\xF0\x9F\x98\x80",
    "\xC3",
    "\xFF",
    "the the",
    " ",
    "\n",
};

static void mutate(mls_buf *b, mls_rng *rng)
{
    const size_t at = mls_rng_below(rng, b->len);
    const size_t left = b->len - at;
    const char *word = words[mls_rng_below(rng, sizeof words / sizeof words[0])];
    mls_buf tail = {0};
    size_t n;

    switch (mls_rng_below(rng, 5)) {
    case 0: /* another byte */
        b->data[at] = (char)mls_rng_below(rng, 256);
        return;
    case 1: /* a cut */
        n = 1 + mls_rng_below(rng, left < 64 ? left : 64);
        memmove(b->data + at, b->data + at + n, left - n);
        b->len -= n;
        return;
    case 2: /* a word more */
        n = 0;
        break;
    case 3: /* a word instead of what is there */
        n = strlen(word) < left ? strlen(word) : left;
        break;
    default: /* a piece from elsewhere */
        n = 1 + mls_rng_below(rng, left < 32 ? left : 32);
        memmove(b->data + mls_rng_below(rng, b->len - n + 1), b->data + at, n);
        return;
    }
    mls_buf_add(&tail, b->data + at + n, left - n);
    b->len = at;
    mls_buf_puts(b, word);
    mls_buf_add(b, tail.data, tail.len);
    mls_buf_free(&tail);
}

/* JSON, 0xFF and a text, mutated one to eight times per round. */
static void mutate_case(const json_t *row, const json_t *first, mls_rng *rng)
{
    const json_t *texts = json_object_get(first, "texts");
    const char *model = json_string_value(json_object_get(row, "model"));
    json_t *whole = json_copy(json_object_get(row, "parts"));
    char *json;

    json_object_set(whole, "model",
                    json_object_get(json_object_get(first, "models"), model));
    json = json_dumps(whole, JSON_COMPACT);
    for (size_t i = 0; i < ROUNDS; i++) {
        const json_t *text =
            json_array_get(texts, mls_rng_below(rng, json_array_size(texts)));
        mls_buf b = {0};

        mls_buf_puts(&b, json);
        mls_buf_puts(&b, "\xFF");
        mls_buf_add(&b, json_string_value(text), json_string_length(text));
        for (size_t k = 1 + mls_rng_below(rng, 8); k-- > 0 && b.len > 0;)
            mutate(&b, rng);
        assert_false(b.failed);
        LLVMFuzzerTestOneInput((const uint8_t *)b.data, b.len);
        mls_buf_free(&b);
    }
    free(json);
    json_decref(whole);
}

static void broken_files_and_texts_are_encoded_or_refused(void **state)
{
    const char *path = test_source("tests/reference/tokenizer_cases.jsonl");
    json_t *first = NULL;
    size_t len, cases = 0;
    mls_rng rng;
    char *data;

    (void)state;
    mls_rng_seed(&rng, 2, 20240131);
    assert_ok(mls_file_read(path, 1 << 24, &data, &len, &err));
    for (char *line = data, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_t *row = json_loadb(line, (size_t)(end - line), JSON_ALLOW_NUL, NULL);

        assert_non_null(row);
        if (!first) {
            first = row;
            continue;
        }
        mutate_case(row, first, &rng);
        json_decref(row);
        cases++;
    }
    assert_true(cases > 50);
    json_decref(first);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_files_and_texts_are_encoded_or_refused),
    };

    return cmocka_run_group_tests_name("tokenizer_mutations", tests, NULL, NULL);
}
