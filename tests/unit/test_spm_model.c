/*
 * SentencePiece's tokenizer.model: tests/reference/spm.txt has the pieces of a model
 * and the ids that the package sentencepiece gives texts. The file is written here.
 */
#include "tests/support/expect.h"

#include <jansson.h>
#include <string.h>

#include "common/system/files.h"
#include "datasets/tokenizer/spm_model.h"
#include "datasets/tokenizer/spm_pieces.h"
#include "datasets/tokenizer/tokenizer.h"

enum { FILE_MAX = 1 << 16 };

typedef struct bytes {
    unsigned char at[FILE_MAX];
    size_t n;
} bytes;

static void put_byte(bytes *b, size_t x)
{
    assert_true(b->n < FILE_MAX);
    b->at[b->n++] = (unsigned char)x;
}

static void put_varint(bytes *b, size_t x)
{
    for (; x >= 128; x >>= 7)
        put_byte(b, (x & 127) | 128);
    put_byte(b, x);
}

static void put_piece(bytes *b, const char *text, float score, unsigned type)
{
    const size_t n = strlen(text);

    put_byte(b, 1 << 3 | 2);
    put_varint(b, (n < 128 ? 2 : 3) + n + 5 + 2);
    put_byte(b, 1 << 3 | 2);
    put_varint(b, n);
    for (size_t i = 0; i < n; i++)
        put_byte(b, (unsigned char)text[i]);
    put_byte(b, 2 << 3 | 5);
    for (size_t i = 0; i < 4; i++)
        put_byte(b, ((const unsigned char *)&score)[i]);
    put_byte(b, 3 << 3 | 0);
    put_byte(b, type);
}

/* trainer_spec and normalizer_spec; model_type 1 is unigram, 2 BPE. */
static void put_specs(bytes *b, unsigned model_type, bool shrink, const bytes *charsmap)
{
    const size_t n = charsmap ? charsmap->n : 0;

    put_byte(b, 2 << 3 | 2);
    put_byte(b, 5);
    put_byte(b, 3 << 3);
    put_byte(b, model_type);
    put_varint(b, 35 << 3);
    put_byte(b, model_type == 2); /* bytes as a fallback */
    put_byte(b, 3 << 3 | 2);
    put_varint(b, charsmap ? (n < 128 ? 4u : 5u) + n : 2);
    put_byte(b, 4 << 3);
    put_byte(b, shrink);
    if (charsmap) {
        put_byte(b, 2 << 3 | 2);
        put_varint(b, n);
        for (size_t i = 0; i < n; i++)
            put_byte(b, charsmap->at[i]);
    }
}

static void check_ids(mls_tokenizer *tok, const char *text, const char *want)
{
    int32_t *ids;
    size_t n;
    char *end = NULL;

    assert_ok(mls_tokenizer_encode(tok, text, strlen(text), false, &ids, &n, &err));
    for (size_t i = 0; i < n; i++, want = end) {
        const long id = strtol(want, &end, 10);

        if (end == want || id != ids[i])
            fail_msg("\"%s\": id %zu is %d, expected %ld", text, i, ids[i], id);
    }
    assert_true(want[strspn(want, " \n")] == '\0');
    free(ids);
}

static void put_hex(bytes *b, const char *hex)
{
    for (unsigned x; sscanf(hex, "%2x", &x) == 1; hex += 2)
        put_byte(b, x);
}

/* A file of spm.py. */
static void check_texts(const char *name, unsigned model_type)
{
    FILE *in = fopen(test_source(name), "r");
    const char *path = test_scratch("tokenizer.model");
    bytes *b = calloc(1, sizeof *b), *charsmap = calloc(1, sizeof *charsmap);
    mls_tokenizer *tok = NULL;
    json_t *text = NULL;
    static char line[FILE_MAX];
    size_t texts = 0, first;
    const int32_t *before;

    assert_non_null(in);
    assert_true(b && charsmap);
    while (fgets(line, sizeof line, in)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "piece ", 6) == 0) {
            char *at = line + 6;
            const unsigned type = (unsigned)strtoul(at, &at, 10);
            const float score = strtof(at, &at);

            put_piece(b, at + 1, score, type);
        } else if (strncmp(line, "charsmap ", 9) == 0) {
            put_hex(charsmap, line + 9);
        } else if (strncmp(line, "text ", 5) == 0) {
            json_decref(text);
            text = json_loads(line + 5, JSON_DECODE_ANY, NULL);
            assert_non_null(text);
        } else {
            if (!tok) {
                put_specs(b, model_type, charsmap->n > 0,
                          charsmap->n ? charsmap : NULL);
                assert_ok(mls_file_write(path, b->at, b->n, &err));
                assert_ok(mls_tokenizer_open(&tok, path, &err));
            }
            assert_int_equal(strncmp(line, "ids", 3), 0);
            check_ids(tok, json_string_value(text), line + 3);
            texts++;
        }
    }
    assert_int_equal(texts, 12);
    before = mls_tokenizer_first(tok, &first);
    assert_true(first == 1 && before[0] == 1); /* <s> */
    mls_tokenizer_close(tok);
    json_decref(text);
    free(b);
    free(charsmap);
    fclose(in);
}

static void texts_have_the_ids_of_sentencepiece(void **state)
{
    (void)state;
    check_texts("tests/reference/spm.txt", 2);
    check_texts("tests/reference/spm_unigram.txt", 1);
}

static void what_is_not_done_is_named(void **state)
{
    static const struct {
        unsigned type;
        unsigned piece;
        const char *said;
    } cases[] = {
        {3, 1, "word or char model"},
        {1, MLS_PIECE_UNUSED, "unused pieces"},
    };
    char *json;
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bytes b = {.n = 0};

        put_piece(&b, "a", 0, cases[i].piece);
        put_specs(&b, cases[i].type, false, NULL);
        assert_refused(mls_spm_model((const char *)b.at, b.n, "tokenizer.model", &json,
                                     &len, &err),
                       MLS_E_INPUT, cases[i].said);
    }
}

/* Every beginning of a file, and every byte of it changed: read or refused. */
static void damaged_files_are_refused(void **state)
{
    bytes whole = {.n = 0};
    char *json;
    size_t len;

    (void)state;
    size_t after[4];

    put_piece(&whole, "<unk>", 0, 2);
    after[0] = whole.n;
    put_piece(&whole, "a", -1, 1);
    after[1] = whole.n;
    put_piece(&whole, "aa", -2, 1);
    after[2] = whole.n;
    put_specs(&whole, 2, false, NULL);
    after[3] = whole.n - 4; /* without the normalizer's */
    for (size_t n = 0; n < whole.n; n++) {
        bool complete = false; /* fewer fields are a model, too */

        for (size_t k = 0; k < 4; k++)
            complete = complete || n == after[k];
        assert_true((mls_spm_model((const char *)whole.at, n, "cut", &json, &len,
                                   NULL) == MLS_OK) == complete);
        assert_true((json != NULL) == complete);
        free(json);
    }
    for (size_t i = 0; i < whole.n; i++)
        for (unsigned x = 0; x < 256; x += 5) {
            const unsigned char was = whole.at[i];

            whole.at[i] = (unsigned char)x;
            mls_spm_model((const char *)whole.at, whole.n, "changed", &json, &len,
                          NULL);
            free(json);
            whole.at[i] = was;
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_have_the_ids_of_sentencepiece),
        cmocka_unit_test(what_is_not_done_is_named),
        cmocka_unit_test(damaged_files_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
