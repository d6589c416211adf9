#include "tests/support/expect.h"

#include <jansson.h>

#include "common/system/files.h"
#include "datasets/tokenizer/tokenizer.h"

/* Text to ids, compared with a JSON array. */
static void assert_ids(mls_tokenizer *tok, const char *text, size_t len, bool special,
                       const json_t *want, const char *where, size_t line)
{
    int32_t *ids;
    size_t n;

    assert_ok(mls_tokenizer_encode(tok, text, len, special, &ids, &n, &err));
    if (n != json_array_size(want))
        fail_msg("%s line %zu: %zu ids, expected %zu", where, line, n,
                 json_array_size(want));
    for (size_t i = 0; i < n; i++)
        if (ids[i] != json_integer_value(json_array_get(want, i)))
            fail_msg("%s line %zu: id %zu is %d, expected %lld", where, line, i, ids[i],
                     (long long)json_integer_value(json_array_get(want, i)));
    free(ids);
}

/* Every line of a golden.jsonl, both columns; the number of lines. */
static size_t check_golden(const char *folder, const char *golden)
{
    mls_tokenizer *tok;
    char *data;
    size_t len, lines = 0;

    assert_ok(mls_tokenizer_open(&tok, folder, &err));
    assert_ok(mls_file_read(golden, 1 << 24, &data, &len, &err));
    for (char *line = data, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_t *row = json_loadb(line, (size_t)(end - line), JSON_ALLOW_NUL, NULL);
        const json_t *text = json_object_get(row, "text");

        lines++;
        assert_true(json_is_string(text));
        assert_ids(tok, json_string_value(text), json_string_length(text), false,
                   json_object_get(row, "ids"), golden, lines);
        assert_ids(tok, json_string_value(text), json_string_length(text), true,
                   json_object_get(row, "ids_special"), golden, lines);
        json_decref(row);
    }
    free(data);
    mls_tokenizer_close(tok);
    return lines;
}

static void check_shared(const char *name)
{
    char path[64];
    const char *folder, *golden;

    snprintf(path, sizeof path, "tokenizers/%s", name);
    folder = test_shared(path);
    snprintf(path, sizeof path, "tokenizers/%s/golden.jsonl", name);
    golden = test_shared(path);
    if (!folder || !golden)
        skip();
    assert_int_equal(check_golden(folder, golden), 153);
}

static void all_golden_texts_of_llama_2_have_their_ids(void **state)
{
    (void)state;
    check_shared("llama2");
}

static void all_golden_texts_of_llama_3_have_their_ids(void **state)
{
    (void)state;
    check_shared("llama3");
}

static void all_golden_texts_of_qwen_3_have_their_ids(void **state)
{
    (void)state;
    check_shared("qwen3");
}

/* The text of a model's golden.json, whose ids are the first ones of it. */
static void check_model(const char *folder, const char *golden)
{
    mls_tokenizer *tok;
    json_t *root = json_load_file(golden, 0, NULL);
    const json_t *text = json_object_get(root, "text");
    const json_t *want = json_object_get(root, "ids");
    int32_t *ids;
    size_t n;

    assert_true(json_is_string(text));
    assert_ok(mls_tokenizer_open(&tok, folder, &err));
    assert_ok(mls_tokenizer_encode(tok, json_string_value(text),
                                   json_string_length(text), true, &ids, &n, &err));
    assert_true(json_array_size(want) > 0 && json_array_size(want) <= n);
    for (size_t i = 0; i < json_array_size(want); i++)
        assert_int_equal(ids[i], json_integer_value(json_array_get(want, i)));
    free(ids);
    mls_tokenizer_close(tok);
    json_decref(root);
}

static void the_golden_text_of_the_demo_has_its_ids(void **state)
{
    (void)state;
    check_model(test_source("datasets/demo"), test_source("datasets/demo/golden.json"));
}

static void the_golden_text_of_stories260k_has_its_ids(void **state)
{
    const char *folder = test_shared("models/stories260K");
    const char *golden = test_shared("models/stories260K/golden.json");

    (void)state;
    if (!folder || !golden)
        skip();
    check_model(folder, golden);
}

/* A tokenizer made of the given parts, with a small model where none is given. */
static mls_status open_parts(mls_tokenizer **tok, const char *parts, mls_err *e)
{
    static const char model[] =
        "\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2,"
        "\"c\": 3, \"bc\": 4, \"<s>\": 5}, \"merges\": [\"a b\", [\"b\", \"c\"]]}";
    const char *path = test_scratch("parts.json");
    char json[4096];
    const int n = snprintf(json, sizeof json, "{%s%s%s}", parts,
                           *parts && !strstr(parts, "\"model\"") ? ", " : "",
                           strstr(parts, "\"model\"") ? "" : model);

    assert_true(n > 0 && (size_t)n < sizeof json);
    assert_ok(mls_file_write(path, json, (size_t)n, &err));
    return mls_tokenizer_open(tok, path, e);
}

static void refuses(const char *parts, const char *part)
{
    mls_tokenizer *tok;

    assert_refused(open_parts(&tok, parts, &err), MLS_E_INPUT, part);
    assert_null(tok);
}

/* The ids of a text as "1 2 3". */
static void assert_text(const char *parts, const char *text, const char *want)
{
    mls_tokenizer *tok;
    int32_t *ids;
    size_t n, used = 0;
    char got[512] = "";

    assert_ok(open_parts(&tok, parts, &err));
    assert_ok(mls_tokenizer_encode(tok, text, strlen(text), true, &ids, &n, &err));
    for (size_t i = 0; i < n; i++)
        used += (size_t)snprintf(got + used, sizeof got - used, "%s%d", i ? " " : "",
                                 ids[i]);
    assert_string_equal(got, want);
    free(ids);
    mls_tokenizer_close(tok);
}

static void the_lowest_rank_merges_first_and_the_leftmost_of_equals(void **state)
{
    (void)state;
    /* a b has rank 0, so b c finds no b left; then c stands alone. */
    assert_text("", "abc", "2 3");
    assert_text("", "bcab", "4 2");
    assert_text("\"model\": {\"vocab\": {\"a\": 7, \"aa\": 9}, \"merges\": [\"a a\"]}",
                "aaaaa", "9 9 7");
    assert_text("\"model\": {\"vocab\": {\"a\": 7, \"b\": 8, \"ab\": 9, \"ba\": 3},"
                "\"merges\": [\"b a\", \"a b\"]}",
                "abab", "7 3 8");
}

static void a_character_without_token_is_unknown_or_left_out(void **state)
{
    (void)state;
    assert_text("", "axb", "2"); /* no unk_token: a and b become neighbours */
    assert_text("\"model\": {\"unk_token\": \"?\", \"vocab\": {\"?\": 1, \"a\": 2},"
                "\"merges\": []}",
                "axxa", "2 1 1 2");
    assert_text("\"model\": {\"unk_token\": \"?\", \"fuse_unk\": true, \"vocab\":"
                "{\"?\": 1, \"a\": 2}, \"merges\": []}",
                "axxax", "2 1 2 1");
}

static void a_missing_unknown_token_is_reported_when_it_is_needed(void **state)
{
    mls_tokenizer *tok;
    int32_t *ids;
    size_t n;

    (void)state;
    assert_ok(open_parts(&tok,
                         "\"model\": {\"unk_token\": \"?\", \"vocab\": {\"a\": 2},"
                         "\"merges\": []}",
                         &err));
    assert_ok(mls_tokenizer_encode(tok, "a", 1, true, &ids, &n, &err));
    free(ids);
    assert_refused(mls_tokenizer_encode(tok, "ax", 2, true, &ids, &n, &err),
                   MLS_E_INPUT, "unk_token");
    assert_null(ids);
    mls_tokenizer_close(tok);
}

static void text_that_is_not_utf8_is_refused_with_its_offset(void **state)
{
    mls_tokenizer *tok;
    int32_t *ids;
    size_t n;

    (void)state;
    assert_ok(open_parts(&tok, "", &err));
    assert_refused(mls_tokenizer_encode(tok, "ab\xFF", 3, true, &ids, &n, &err),
                   MLS_E_INPUT, "not UTF-8 at byte 2 (0xFF)");
    mls_tokenizer_close(tok);
}

static void an_id_has_its_spelling_and_others_have_none(void **state)
{
    mls_tokenizer *tok;

    (void)state;
    assert_ok(open_parts(&tok, "\"added_tokens\": [{\"id\": 8, \"content\": \"<x>\"}]",
                         &err));
    assert_int_equal(mls_tokenizer_vocabulary(tok), 9);
    assert_string_equal(mls_tokenizer_token(tok, 2), "ab");
    assert_string_equal(mls_tokenizer_token(tok, 8), "<x>");
    assert_null(mls_tokenizer_token(tok, 7));
    assert_null(mls_tokenizer_token(tok, -1));
    assert_null(mls_tokenizer_token(tok, 1000));
    mls_tokenizer_close(tok);
}

static void a_folder_without_tokenizer_names_the_missing_file(void **state)
{
    mls_tokenizer *tok;

    (void)state;
    assert_refused(mls_tokenizer_open(&tok, test_source("datasets/published"), &err),
                   MLS_E_INPUT, "published/tokenizer.json");
    assert_refused(mls_tokenizer_open(&tok, "/nowhere", &err), MLS_E_INPUT, "/nowhere");
}

static void what_is_not_done_is_refused_by_name(void **state)
{
    (void)state;
    refuses("\"version\": \"2.0\"", "\"version\"");
    refuses("\"extra\": 1", "unknown setting \"extra\"");
    refuses("\"model\": {\"type\": \"Unigram\", \"vocab\": []}", "0 pieces, expected");
    refuses("\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", -1], [\"a\", -2]]}",
            "\"a\" is item 0 and item 1");
    refuses("\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\"]]}",
            "item 0 is not a piece with its score");
    refuses(
        "\"model\": {\"type\": \"Unigram\", \"unk_id\": 1, \"vocab\": [[\"a\", 0]]}",
        "\"unk_id\" is 1 of 1 pieces");
    refuses("\"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": "
            "\"AAAAAAAA\"}",
            "is not a precompiled_charsmap");
    refuses("\"normalizer\": {\"type\": \"Prepend\", \"prepend\": \"\"}",
            "an empty \"prepend\"");
    refuses(
        "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": "
        "\"ByteLevel\"}, {\"type\": \"Metaspace\", \"replacement\": \"_\", "
        "\"prepend_scheme\": \"first\"}]}",
        "prepend_scheme \"first\" behind steps");
    refuses("\"model\": {\"type\": \"WordPiece\", \"vocab\": {}}", "\"WordPiece\"");
    refuses("\"model\": {\"vocab\": {}}", "neither \"type\" nor \"merges\"");
    refuses("\"model\": 1", "model: expected an object, found a whole number");
    refuses("\"model\": {\"dropout\": 0.1, \"vocab\": {}, \"merges\": []}", "dropout");
    refuses("\"model\": {\"cache\": 1, \"vocab\": {}, \"merges\": []}", "\"cache\"");
    refuses("\"normalizer\": {\"type\": \"BertNormalizer\"}",
            "normalizer: type \"BertNormalizer\"");
    refuses("\"normalizer\": {\"type\": \"NFC\", \"form\": 1}", "\"form\"");
    refuses("\"pre_tokenizer\": {\"type\": \"UnicodeScripts\"}",
            "pre_tokenizer: type \"UnicodeScripts\"");
    refuses("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"String\": \"a\"},"
            "\"behavior\": \"Dropped\"}",
            "behavior \"Dropped\"");
    refuses("\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"_\","
            "\"add_prefix_space\": false, \"prepend_scheme\": \"first\"}",
            "\"prepend_scheme\" is \"first\"");
    refuses("\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"ab\"}",
            "expected one character");
    refuses("\"post_processor\": {\"type\": \"Other\"}", "type \"Other\"");
    refuses("\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": ["
            "{\"SpecialToken\": {\"id\": \"x\"}}], \"special_tokens\": {}}",
            "\"x\" is not in \"special_tokens\"");
    refuses("\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": ["
            "{\"Sequence\": {\"id\": \"B\"}}]}",
            "found \"B\"");
    refuses("\"post_processor\": {\"type\": \"BertProcessing\", \"cls\": [\"<s>\", 99],"
            "\"sep\": [\"<s>\", 5]}",
            "no token has id 99");
}

static void a_vocabulary_that_contradicts_itself_is_refused(void **state)
{
    (void)state;
    refuses("\"model\": {\"vocab\": {\"a\": -1}, \"merges\": []}", "token \"a\"");
    refuses("\"model\": {\"vocab\": {\"a\": 16777216}, \"merges\": []}", "token \"a\"");
    refuses("\"model\": {\"vocab\": {\"a\": \"1\"}, \"merges\": []}", "found a string");
    refuses("\"model\": {\"vocab\": {\"a\": 1, \"a\": 2}, \"merges\": []}",
            "duplicate object key");
    refuses("\"model\": {\"vocab\": {\"a\": 1}, \"merges\": [\"a b\"]}",
            "merge 0: \"b\" is not in the vocabulary");
    refuses("\"model\": {\"vocab\": {\"a\": 1}, \"merges\": [[\"a\", \"a\"]]}",
            "merge 0: \"aa\" is not in the vocabulary");
    refuses("\"model\": {\"vocab\": {\"a\": 1}, \"merges\": [\"a a a\"]}",
            "merge 0: expected");
    refuses("\"model\": {\"vocab\": {\"a\": 1}, \"merges\": [[\"a\"]]}",
            "merge 0: expected");
    refuses("\"added_tokens\": [{\"id\": 1, \"content\": \"a\"}]",
            "\"a\" has id 1, but 0 in the vocabulary");
    refuses("\"added_tokens\": [{\"id\": 1, \"content\": \"x\"}]",
            "\"x\" has id 1, which is \"b\"");
    refuses(
        "\"added_tokens\": [{\"id\": 8, \"content\": \"x\"}, {\"id\": 9, \"content\":"
        "\"x\"}]",
        "\"x\" with id 8 and \"x\" with id 9");
    refuses("\"added_tokens\": [{\"id\": 8, \"content\": \" \", \"normalized\": true}],"
            "\"normalizer\": {\"type\": \"Strip\"}",
            "empty once normalized");
}

static void a_pattern_that_pcre2_reads_otherwise_is_refused(void **state)
{
    static const char *const patterns[][2] = {
        {"(?m)a", "byte 0: this kind of group"},
        {"a(?i)b", "byte 1: this kind of group"},
        {"(?<name>a)", "byte 0: this kind of group"},
        {"(*UTF)a", "byte 0: this kind of group"},
        {"(*LIMIT_MATCH=9)a", "byte 0: this kind of group"},
        {"[a[b]]", "byte 2: a class inside a class"},
        {"[[:alpha:]]", "byte 1: a class inside a class"},
        {"[a-z&&b]", "byte 4: an intersection"},
        {"[\\\\W]", "byte 1: this escape"},
        {"a\\\\h", "byte 1: this escape"},
        {"(a)\\\\1", "byte 3: this escape"},
        {"\\\\Qa", "byte 0: this escape"},
        {"\\\\C", "byte 0: this escape"},
        {"\\\\K", "byte 0: this escape"},
        {"\\\\xE9", "byte 0: this byte"},
        {"\\\\p{No such}", "byte 0: this property"},
        {"\\\\p{Nosuch}", "unknown property"},
        {"\\\\pL", "byte 0: a property needs braces"},
        {"a{2}?", "byte 1: this mark"},
        {"a{2,3}+", "byte 1: this mark"},
        {"a{,3}", "byte 1: a repeat"},
        {"[a", "byte 0: the class has no end"},
        {"a)", "unmatched closing parenthesis"},
        {"(?<=a+)b", "lookbehind assertion is not fixed length"},
        {"a\\\\", "byte 1: this escape"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        char parts[512];

        snprintf(parts, sizeof parts,
                 "\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\":"
                 "\"%s\"}, \"behavior\": \"Isolated\"}",
                 patterns[i][0]);
        refuses(parts, patterns[i][1]);
    }
}

static void a_pattern_without_end_is_stopped(void **state)
{
    mls_tokenizer *tok;
    char text[64];
    int32_t *ids;
    size_t n;

    (void)state;
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 'b';
    assert_ok(
        open_parts(&tok,
                   "\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\":"
                   "\"^(a|a|aa)+$\"}, \"behavior\": \"Isolated\"}",
                   &err));
    assert_refused(mls_tokenizer_encode(tok, text, sizeof text, true, &ids, &n, &err),
                   MLS_E_INPUT, "matching a pattern at byte 0: match limit exceeded");
    mls_tokenizer_close(tok);
}

static void a_replacement_cannot_fill_the_memory(void **state)
{
    const size_t long_text = 1 << 16;
    char *parts = malloc(2 * long_text), *text = malloc(long_text);
    const char *path = test_scratch("bomb.json");
    mls_tokenizer *tok;
    int32_t *ids;
    size_t n;
    int used;

    (void)state;
    assert_true(parts && text);
    memset(text, 'a', long_text);
    used = snprintf(
        parts, 2 * long_text,
        "{\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"String\":"
        "\"a\"}, \"content\": \"%.*s\"}, \"model\": {\"vocab\": {}, \"merges\":"
        "[]}}",
        (int)long_text - 256, text);
    assert_ok(mls_file_write(path, parts, (size_t)used, &err));
    assert_ok(mls_tokenizer_open(&tok, path, &err));
    assert_refused(mls_tokenizer_encode(tok, text, long_text, true, &ids, &n, &err),
                   MLS_E_INPUT, "become more than 64 times as long");
    mls_tokenizer_close(tok);
    free(parts);
    free(text);
}

static void a_million_characters_without_a_cut_are_merged_in_seconds(void **state)
{
    const size_t len = 1000000;
    char *text = malloc(len);
    mls_tokenizer *tok;
    int32_t *ids;
    size_t n;

    (void)state;
    assert_non_null(text);
    memset(text, 'a', len);
    assert_ok(open_parts(&tok,
                         "\"model\": {\"vocab\": {\"a\": 0, \"aa\": 1, \"aaaa\": 2},"
                         "\"merges\": [\"a a\", \"aa aa\"]}",
                         &err));
    assert_ok(mls_tokenizer_encode(tok, text, len, true, &ids, &n, &err));
    assert_int_equal(n, len / 4);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ids[i], 2);
    free(ids);
    mls_tokenizer_close(tok);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_golden_texts_of_llama_2_have_their_ids),
        cmocka_unit_test(all_golden_texts_of_llama_3_have_their_ids),
        cmocka_unit_test(all_golden_texts_of_qwen_3_have_their_ids),
        cmocka_unit_test(the_golden_text_of_the_demo_has_its_ids),
        cmocka_unit_test(the_golden_text_of_stories260k_has_its_ids),
        cmocka_unit_test(the_lowest_rank_merges_first_and_the_leftmost_of_equals),
        cmocka_unit_test(a_character_without_token_is_unknown_or_left_out),
        cmocka_unit_test(a_missing_unknown_token_is_reported_when_it_is_needed),
        cmocka_unit_test(text_that_is_not_utf8_is_refused_with_its_offset),
        cmocka_unit_test(an_id_has_its_spelling_and_others_have_none),
        cmocka_unit_test(a_folder_without_tokenizer_names_the_missing_file),
        cmocka_unit_test(what_is_not_done_is_refused_by_name),
        cmocka_unit_test(a_vocabulary_that_contradicts_itself_is_refused),
        cmocka_unit_test(a_pattern_that_pcre2_reads_otherwise_is_refused),
        cmocka_unit_test(a_pattern_without_end_is_stopped),
        cmocka_unit_test(a_replacement_cannot_fill_the_memory),
        cmocka_unit_test(a_million_characters_without_a_cut_are_merged_in_seconds),
    };

    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
