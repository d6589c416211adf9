#include "tests/support/expect.h"

#include "common/system/files.h"
#include "datasets/text/corpus.h"

/* One id per character: a is 0, b is 1, ... and <s> before each document. */
static mls_tokenizer *letters(void)
{
    static const char json[] =
        "{\"version\": \"1.0\", \"added_tokens\": [], \"normalizer\": null,"
        "\"pre_tokenizer\": null, \"post_processor\": {\"type\": "
        "\"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\","
        "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}],"
        "\"pair\": [], \"special_tokens\": {\"<s>\": {\"id\": \"<s>\", \"ids\": [9],"
        "\"tokens\": [\"<s>\"]}}}, \"model\": {\"type\": \"BPE\", \"vocab\":"
        "{\"a\": 0, \"b\": 1, \"c\": 2, \"d\": 3, \"e\": 4, \"f\": 5, \"<s>\": 9},"
        "\"merges\": []}}";
    const char *path = test_scratch("letters.json");
    mls_tokenizer *tok;

    assert_ok(mls_file_write(path, json, sizeof json - 1, &err));
    assert_ok(mls_tokenizer_open(&tok, path, &err));
    return tok;
}

static const char *file(const char *name, const char *text)
{
    const char *path = test_scratch(name);

    assert_ok(mls_file_write(path, text, strlen(text), &err));
    return path;
}

/* The corpus as text: ids as digits, a bar before each sequence's end. */
static void assert_corpus(const char *path, size_t length, size_t max, unsigned how,
                          const char *want)
{
    mls_tokenizer *tok = letters();
    mls_corpus c;
    char got[64];
    size_t n = 0;

    assert_ok(mls_corpus_read(&c, tok, &path, 1, length, max, how, &err));
    assert_int_equal(c.start[0], 0);
    assert_int_equal(c.start[c.N], c.n_ids);
    for (size_t s = 0; s < c.N; s++) {
        for (size_t i = c.start[s]; i < c.start[s + 1]; i++)
            got[n++] = (char)('0' + c.ids[i]);
        got[n++] = '|';
    }
    got[n] = '\0';
    assert_string_equal(got, want);
    mls_corpus_free(&c);
    mls_tokenizer_close(tok);
}

static void a_text_is_cut_into_sequences_of_one_length(void **state)
{
    const char *path = file("abc.txt", "abcdef");

    (void)state;
    assert_corpus(path, 3, 0, 0, "901|234|");
    assert_corpus(path, 3, 1, 0, "901|");
    assert_corpus(path, 3, 5, 0, "901|234|");
}

static void a_tail_is_kept_on_request_when_it_has_two_tokens(void **state)
{
    (void)state;
    assert_corpus(file("tail1.txt", "abcdef"), 3, 0, MLS_CORPUS_KEEP_TAIL, "901|234|");
    assert_corpus(file("tail2.txt", "abcdefa"), 3, 0, MLS_CORPUS_KEEP_TAIL,
                  "901|234|50|");
    assert_corpus(file("tail3.txt", "abcdefa"), 3, 2, MLS_CORPUS_KEEP_TAIL, "901|234|");
}

static void a_tail_that_is_all_there_is_is_kept(void **state)
{
    (void)state;
    assert_corpus(file("short.txt", "ab"), 100, 0, 0, "901|");
}

static void each_line_of_a_jsonl_file_is_a_document(void **state)
{
    const char *path = file("two.jsonl", "{\"text\": \"ab\"}\n\n{\"text\": \"\"}\n"
                                         "{\"id\": 1, \"text\": \"\\u0063d\"}");

    (void)state;
    assert_corpus(path, 6, 0, 0, "901923|");
}

static void windows_begin_with_the_bos_that_a_document_has(void **state)
{
    const char *text = file("bos.txt", "abcdefa");
    const char *two = file("bos.jsonl", "{\"text\": \"abc\"}\n{\"text\": \"de\"}");

    (void)state;
    assert_corpus(text, 3, 0, MLS_CORPUS_BOS, "9012|9345|");
    assert_corpus(text, 3, 2, MLS_CORPUS_BOS, "9012|9345|");
    assert_corpus(text, 5, 0, MLS_CORPUS_BOS | MLS_CORPUS_KEEP_TAIL, "901234|950|");
    assert_corpus(text, 3, 0, MLS_CORPUS_NO_BOS, "012|345|");
    /* Inside of a window the one of a document stays, at a cut there is one. */
    assert_corpus(two, 2, 0, MLS_CORPUS_BOS, "901|929|934|");
    assert_corpus(two, 3, 0, MLS_CORPUS_BOS | MLS_CORPUS_KEEP_TAIL, "9012|934|");
    assert_corpus(two, 5, 0, MLS_CORPUS_NO_BOS, "01234|");
}

static void what_is_not_of_the_text_is_counted_as_such(void **state)
{
    mls_tokenizer *tok = letters();
    const char *path = file("lead.txt", "abcdef");
    mls_corpus c, part;

    (void)state;
    assert_ok(mls_corpus_read(&c, tok, &path, 1, 3, 0, MLS_CORPUS_BOS, &err));
    assert_int_equal(c.lead, 1);
    assert_int_equal(mls_corpus_length(&c), 3);
    assert_ok(mls_corpus_part(&part, &c, 1, 1, &err));
    assert_int_equal(part.lead, 1);
    assert_int_equal(part.ids[0], 9);
    mls_corpus_free(&part);
    mls_corpus_free(&c);
    mls_tokenizer_close(tok);
}

static void windows_are_cut_into_shorter_ones_behind_the_same_bos(void **state)
{
    mls_tokenizer *tok = letters();
    const char *path = file("recut.txt", "abcdefabcd");
    const int32_t want[] = {9, 0, 1, 9, 2, 3, 9, 5, 0, 9, 1, 2};
    mls_corpus c, cut;

    (void)state;
    assert_ok(mls_corpus_read(&c, tok, &path, 1, 5, 0, MLS_CORPUS_BOS, &err));
    assert_ok(mls_corpus_recut(&cut, &c, 2, &err));
    assert_int_equal(cut.N, 4);
    assert_int_equal(mls_corpus_length(&cut), 2);
    assert_memory_equal(cut.ids, want, sizeof want);
    mls_corpus_free(&cut);
    assert_refused(mls_corpus_recut(&cut, &c, 6, &err), MLS_E_INPUT,
                   "no window of the text holds 6 tokens");
    mls_corpus_free(&c);
    mls_tokenizer_close(tok);
}

static void all_tokens_are_counted_and_all_bytes_are_hashed(void **state)
{
    mls_tokenizer *tok = letters();
    const char *paths[] = {file("one.txt", "a"), file("two.txt", "bc")};
    mls_corpus c;

    (void)state;
    assert_ok(mls_corpus_read(&c, tok, paths, 2, 2, 2, 0, &err));
    assert_int_equal(c.tokens_available, 5);
    assert_int_equal(c.text_bytes, 3);
    assert_int_equal(c.text_words, 2);
    assert_int_equal(c.n_ids, 4);
    /* SHA-256 of "abc", from FIPS 180-2. */
    assert_string_equal(
        c.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    mls_corpus_free(&c);
    mls_tokenizer_close(tok);
}

/* Few sequences of a long text are those of all of it, and cost only their part. */
static void the_first_sequences_of_a_long_text_are_those_of_the_whole(void **state)
{
    enum { LEN = 4 << 20 };
    char *text = malloc(LEN + 1);
    mls_tokenizer *tok = letters();
    const char *path;
    mls_corpus all, few;

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < LEN; i++)
        text[i] = (char)('a' + i * i / 7 % 6);
    text[LEN] = '\0';
    path = file("long.txt", text);
    free(text);
    assert_ok(mls_corpus_read(&all, tok, &path, 1, 16, 0, 0, &err));
    assert_ok(mls_corpus_read(&few, tok, &path, 1, 16, 3, 0, &err));
    assert_int_equal(few.N, 3);
    assert_int_equal(few.n_ids, 48);
    assert_memory_equal(few.ids, all.ids, 48 * sizeof *few.ids);
    assert_string_equal(few.sha256, all.sha256);
    assert_in_range(few.tokens_available, 48, LEN / 8);
    mls_corpus_free(&few);
    mls_corpus_free(&all);
    mls_tokenizer_close(tok);
}

static void a_part_holds_its_sequences_and_outlives_the_whole(void **state)
{
    mls_tokenizer *tok = letters();
    const char *path = file("part.txt", "abcdefa");
    mls_corpus all, part;

    (void)state;
    assert_ok(mls_corpus_read(&all, tok, &path, 1, 3, 0, MLS_CORPUS_KEEP_TAIL, &err));
    assert_int_equal(all.N, 3); /* 901|234|50| */
    assert_ok(mls_corpus_part(&part, &all, 1, 2, &err));
    assert_string_equal(part.sha256, all.sha256);
    mls_corpus_free(&all);
    assert_int_equal(part.N, 2);
    assert_int_equal(part.n_ids, 5);
    assert_int_equal(part.start[0], 0);
    assert_int_equal(part.start[1], 3);
    assert_int_equal(part.start[2], 5);
    assert_memory_equal(part.ids, ((const int32_t[]){2, 3, 4, 5, 0}),
                        5 * sizeof(int32_t));
    mls_corpus_free(&part);
    mls_tokenizer_close(tok);
}

static void refuses(mls_tokenizer *tok, const char *path, const char *part)
{
    mls_corpus c;

    assert_refused(mls_corpus_read(&c, tok, &path, 1, 4, 0, 0, &err), MLS_E_INPUT,
                   part);
    assert_null(c.ids);
}

static void bad_text_is_refused_with_its_file_and_place(void **state)
{
    mls_tokenizer *tok = letters();

    (void)state;
    refuses(tok, "/nowhere/text.txt", "/nowhere/text.txt");
    refuses(tok, file("empty.txt", ""), "empty.txt: the text is empty");
    refuses(tok, file("empty.jsonl", "\n{\"text\": \"\"}\n"),
            "empty.jsonl: the text is empty");
    refuses(tok, file("latin1.txt", "abc\xE9 def"),
            "latin1.txt: not UTF-8 at byte 3 (0xE9)");
    refuses(tok, file("cut.txt", "ab\xE2\x82"), "cut.txt: not UTF-8 at byte 2 (0xE2)");
    refuses(tok, file("surrogate.txt", "\xED\xA0\x80"), "not UTF-8 at byte 0 (0xED)");
    refuses(tok, file("long.txt", "a\xC0\x80"), "not UTF-8 at byte 1 (0xC0)");
    refuses(tok, file("list.jsonl", "{\"text\": \"a\"}\n[1]\n"),
            "list.jsonl: line 2: expected an object with a string \"text\", found an "
            "array");
    refuses(tok, file("none.jsonl", "{\"txt\": \"a\"}\n"),
            "none.jsonl: line 1: expected an object with a string \"text\", found "
            "\"text\": nothing");
    refuses(tok, file("broken.jsonl", "{\"text\": \"a\"\n"),
            "broken.jsonl: line 1: not JSON");
    mls_tokenizer_close(tok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_cut_into_sequences_of_one_length),
        cmocka_unit_test(a_tail_is_kept_on_request_when_it_has_two_tokens),
        cmocka_unit_test(a_tail_that_is_all_there_is_is_kept),
        cmocka_unit_test(each_line_of_a_jsonl_file_is_a_document),
        cmocka_unit_test(windows_begin_with_the_bos_that_a_document_has),
        cmocka_unit_test(what_is_not_of_the_text_is_counted_as_such),
        cmocka_unit_test(windows_are_cut_into_shorter_ones_behind_the_same_bos),
        cmocka_unit_test(all_tokens_are_counted_and_all_bytes_are_hashed),
        cmocka_unit_test(the_first_sequences_of_a_long_text_are_those_of_the_whole),
        cmocka_unit_test(a_part_holds_its_sequences_and_outlives_the_whole),
        cmocka_unit_test(bad_text_is_refused_with_its_file_and_place),
    };

    return cmocka_run_group_tests_name("corpus", tests, NULL, NULL);
}
