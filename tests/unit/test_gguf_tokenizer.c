/* Vocabularies in GGUF files: the same ids as the tokenizer.json they come from. */
#include "tests/support/gguf_fixture.h"

#include <jansson.h>
#include <unistd.h>

#include "common/system/files.h"
#include "datasets/tokenizer/tokenizer.h"

/* enum llama_token_type */
enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };

/* The vocabulary of a tokenizer.json, as llama.cpp's converter writes it. */
typedef struct vocabulary {
    json_t *root;
    const json_t *model, *merges;
    const char **token; /* (n); NULL: no token has the id */
    uint32_t *type;
    float *score;
    size_t n;
    bool spm;
} vocabulary;

static void put_token(vocabulary *v, size_t id, const char *token, uint32_t type)
{
    assert_true(id < v->n);
    v->token[id] = token;
    v->type[id] = type;
}

/* The two sides of a merge, either way of writing it. */
static void merge_text(const json_t *item, char text[1024])
{
    if (json_is_string(item))
        snprintf(text, 1024, "%s", json_string_value(item));
    else
        snprintf(text, 1024, "%s %s", json_string_value(json_array_get(item, 0)),
                 json_string_value(json_array_get(item, 1)));
}

/* SentencePiece's scores: minus the rank of the first merge that makes the piece. */
static void put_scores(vocabulary *v)
{
    const json_t *ids = json_object_get(v->model, "vocab");
    float rank = 0;

    for (size_t i = 0; i < v->n; i++)
        v->score[i] = v->type[i] == NORMAL ? -1e6F : 0;
    for (size_t i = 0; i < json_array_size(v->merges); i++) {
        char text[1024];

        merge_text(json_array_get(v->merges, i), text);
        char *space = strchr(text, ' ');
        memmove(space, space + 1, strlen(space));
        const json_t *id = json_object_get(ids, text);
        float *score = &v->score[json_integer_value(id)];

        if (*score <= -1e6F)
            *score = -rank++;
    }
}

static bool is_byte(const char *token)
{
    return strlen(token) == 6 && strncmp(token, "<0x", 3) == 0 && token[5] == '>';
}

static void load(vocabulary *v, const char *folder)
{
    char path[1200];
    const char *token;
    json_t *id;

    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    memset(v, 0, sizeof *v);
    v->root = json_load_file(path, 0, NULL);
    v->model = json_object_get(v->root, "model");
    v->merges = json_object_get(v->model, "merges");
    v->spm = json_is_true(json_object_get(v->model, "byte_fallback"));
    const json_t *added = json_object_get(v->root, "added_tokens");

    json_object_foreach(json_object_get(v->model, "vocab"), token, id) v->n =
        (size_t)json_integer_value(id) >= v->n ? (size_t)json_integer_value(id) + 1
                                               : v->n;
    for (size_t i = 0; i < json_array_size(added); i++) {
        id = json_object_get(json_array_get(added, i), "id");
        v->n = (size_t)json_integer_value(id) >= v->n
                   ? (size_t)json_integer_value(id) + 1
                   : v->n;
    }
    v->n += 3; /* rows of the embedding that no token has */
    v->token = calloc(v->n, sizeof *v->token);
    v->type = calloc(v->n, sizeof *v->type);
    v->score = calloc(v->n, sizeof *v->score);
    assert_true(v->token && v->type && v->score);
    json_object_foreach(json_object_get(v->model, "vocab"), token, id)
        put_token(v, (size_t)json_integer_value(id), token,
                  v->spm && is_byte(token) ? BYTE : NORMAL);
    for (size_t i = 0; i < json_array_size(added); i++) {
        const json_t *a = json_array_get(added, i);

        token = json_string_value(json_object_get(a, "content"));
        put_token(v, (size_t)json_integer_value(json_object_get(a, "id")), token,
                  v->spm && strcmp(token, "<unk>") == 0         ? UNKNOWN
                  : json_is_true(json_object_get(a, "special")) ? CONTROL
                                                                : USER_DEFINED);
    }
    if (v->spm)
        put_scores(v);
}

static void unload(vocabulary *v)
{
    json_decref(v->root);
    free(v->token);
    free(v->type);
    free(v->score);
}

static void put_merges(gguf_file *g, const vocabulary *v)
{
    char text[1024];

    gguf_array(g, "tokenizer.ggml.merges", MLS_GGUF_STRING, json_array_size(v->merges));
    for (size_t i = 0; i < json_array_size(v->merges); i++) {
        merge_text(json_array_get(v->merges, i), text);
        put_string(&g->keys, text);
    }
}

static void put_vocabulary(gguf_file *g, const vocabulary *v, const char *model,
                           const char *pre)
{
    char text[1024];

    gguf_text(g, "general.architecture", "llama");
    gguf_text(g, "tokenizer.ggml.model", model);
    gguf_array(g, "tokenizer.ggml.tokens", MLS_GGUF_STRING, v->n);
    for (size_t i = 0; i < v->n; i++) {
        snprintf(text, sizeof text, "[PAD%zu]", i);
        put_string(&g->keys, v->token[i] ? v->token[i] : text);
    }
    gguf_array(g, "tokenizer.ggml.token_type", MLS_GGUF_I32, v->n);
    for (size_t i = 0; i < v->n; i++)
        put_u32(&g->keys, v->token[i] ? v->type[i] : UNUSED);
    if (v->spm) {
        gguf_array(g, "tokenizer.ggml.scores", MLS_GGUF_F32, v->n);
        mls_buf_add(&g->keys, (const char *)v->score, v->n * sizeof *v->score);
    }
    if (pre)
        gguf_text(g, "tokenizer.ggml.pre", pre);
    if (!v->spm)
        put_merges(g, v);
}

static void assert_ids(mls_tokenizer *tok, const json_t *text, bool special,
                       const json_t *want, size_t line)
{
    int32_t *ids;
    size_t n;

    assert_ok(mls_tokenizer_encode(tok, json_string_value(text),
                                   json_string_length(text), special, &ids, &n, &err));
    bool same = n == json_array_size(want);

    for (size_t i = 0; same && i < n; i++)
        same = ids[i] == json_integer_value(json_array_get(want, i));
    if (!same)
        fail_msg("line %zu: other ids for \"%s\"", line, json_string_value(text));
    free(ids);
}

/* What a SentencePiece vocabulary is ranked by. */
typedef enum ranks { BY_SCORE, BY_MERGES, BY_MERGES_OF_GEMMA } ranks;

/* Every golden text through the GGUF file; with BOS where the golden file has it. */
static void check_golden(const char *name, const char *pre, bool bos, ranks by)
{
    const char *path = test_scratch("vocabulary.gguf");
    const char *folder, *golden;
    char part[64], *data;
    mls_tokenizer *tok;
    gguf_file g = {0};
    vocabulary v;
    size_t len, line_number = 0;

    snprintf(part, sizeof part, "tokenizers/%s", name);
    folder = test_shared(part);
    snprintf(part, sizeof part, "tokenizers/%s/golden.jsonl", name);
    golden = test_shared(part);
    if (!folder || !golden)
        skip();
    load(&v, folder);
    if (by != BY_SCORE)
        memset(v.score, 0, v.n * sizeof *v.score);
    put_vocabulary(&g, &v,
                   by == BY_MERGES_OF_GEMMA ? "gemma4"
                   : v.spm                  ? "llama"
                                            : "gpt2",
                   pre);
    if (by != BY_SCORE)
        put_merges(&g, &v);
    if (by == BY_MERGES_OF_GEMMA) /* which puts no space in front, unless told */
        gguf_bool(&g, "tokenizer.ggml.add_space_prefix", true);
    gguf_bool(&g, "tokenizer.ggml.add_bos_token", bos);
    if (bos)
        gguf_u32(&g, "tokenizer.ggml.bos_token_id", 1);
    gguf_save(&g, path);
    gguf_free(&g);
    unload(&v);
    assert_ok(mls_tokenizer_open(&tok, path, &err));
    assert_ok(mls_file_read(golden, 1 << 24, &data, &len, &err));
    for (char *line = data, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_t *row = json_loadb(line, (size_t)(end - line), JSON_ALLOW_NUL, NULL);
        const json_t *text = json_object_get(row, "text");

        line_number++;
        assert_ids(tok, text, false, json_object_get(row, "ids"), line_number);
        assert_ids(tok, text, true, json_object_get(row, "ids_special"), line_number);
        json_decref(row);
    }
    assert_int_equal(line_number, 153);
    free(data);
    mls_tokenizer_close(tok);
    unlink(path);
}

static void golden_texts_have_the_ids_of_llama_2(void **state)
{
    (void)state;
    check_golden("llama2", NULL, true, BY_SCORE);
}

static void merges_rank_pieces_where_every_score_is_zero(void **state)
{
    (void)state;
    check_golden("llama2", NULL, true, BY_MERGES);
    check_golden("llama2", NULL, true, BY_MERGES_OF_GEMMA);
}

static void golden_texts_have_the_ids_of_llama_3(void **state)
{
    (void)state;
    check_golden("llama3", "llama-bpe", false, BY_SCORE);
}

static void golden_texts_have_the_ids_of_qwen_3(void **state)
{
    (void)state;
    check_golden("qwen3", "qwen2", false, BY_SCORE);
}

/* A whole corpus through both. */
static void a_corpus_has_the_ids_of_the_tokenizer_it_came_from(void **state)
{
    (void)state;
    const char *path = test_scratch("demo.gguf");
    mls_tokenizer *a, *b;
    int32_t *x, *y;
    gguf_file g = {0};
    vocabulary v;
    size_t len, n, m;
    char *text;

    load(&v, test_source("datasets/demo"));
    put_vocabulary(&g, &v, "gpt2", "gpt-2");
    gguf_save(&g, path);
    gguf_free(&g);
    unload(&v);
    assert_ok(mls_tokenizer_open(&a, test_source("datasets/demo"), &err));
    assert_ok(mls_tokenizer_open(&b, path, &err));
    assert_int_equal(mls_tokenizer_vocabulary(a), mls_tokenizer_vocabulary(b));
    assert_ok(mls_file_read(test_source("datasets/demo/calibration.txt"), 1 << 24,
                            &text, &len, &err));
    assert_ok(mls_tokenizer_encode(a, text, len, true, &x, &n, &err));
    assert_ok(mls_tokenizer_encode(b, text, len, true, &y, &m, &err));
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n * sizeof *x);
    free(x);
    free(y);
    free(text);
    mls_tokenizer_close(a);
    mls_tokenizer_close(b);
    unlink(path);
}

/* ---- small vocabularies ---- */

/* "a", "b", "ab", "1", "12", "<s>" and merges; pre NULL: the key is missing. */
static void small(gguf_file *g, const char *pre)
{
    static const char *const tokens[] = {"a", "b", "ab", "1", "2", "12", "<s>"};

    gguf_text(g, "tokenizer.ggml.model", "gpt2");
    gguf_array(g, "tokenizer.ggml.tokens", MLS_GGUF_STRING, 7);
    for (size_t i = 0; i < 7; i++)
        put_string(&g->keys, tokens[i]);
    gguf_array(g, "tokenizer.ggml.token_type", MLS_GGUF_I32, 7);
    for (size_t i = 0; i < 7; i++)
        put_u32(&g->keys, i < 6 ? NORMAL : CONTROL);
    gguf_array(g, "tokenizer.ggml.merges", MLS_GGUF_STRING, 2);
    put_string(&g->keys, "a b");
    put_string(&g->keys, "1 2");
    if (pre)
        gguf_text(g, "tokenizer.ggml.pre", pre);
}

static void assert_text(const gguf_file *g, const char *text, bool special,
                        const int32_t *want, size_t n)
{
    const char *path = test_scratch("small.gguf");
    mls_tokenizer *tok;
    int32_t *ids;
    size_t found;

    gguf_save(g, path);
    assert_ok(mls_tokenizer_open(&tok, path, &err));
    assert_ok(
        mls_tokenizer_encode(tok, text, strlen(text), special, &ids, &found, &err));
    assert_int_equal(found, n);
    assert_memory_equal(ids, want, n * sizeof *ids);
    free(ids);
    mls_tokenizer_close(tok);
}

static void pre_says_how_digits_are_cut(void **state)
{
    (void)state;
    gguf_file g = {0};

    small(&g, "gpt-2");
    assert_text(&g, "ab12", false, (int32_t[]){2, 5}, 2);
    gguf_free(&g);
    small(&g, "smollm");
    assert_text(&g, "ab12", false, (int32_t[]){2, 3, 4}, 3);
    gguf_free(&g);
    small(&g, "qwen2");
    assert_text(&g, "ab12", false, (int32_t[]){2, 3, 4}, 3);
    gguf_free(&g);
    small(&g, "gpt-4o");
    assert_text(&g, "ab12", false, (int32_t[]){2, 5}, 2);
    gguf_free(&g);
    small(&g, "tekken");
    assert_text(&g, "ab12", false, (int32_t[]){2, 3, 4}, 3);
    gguf_free(&g);
    small(&g, "deepseek-v3");
    assert_text(&g, "ab12", false, (int32_t[]){2, 5}, 2);
    gguf_free(&g);
    small(&g, NULL); /* llama.cpp's default */
    assert_text(&g, "ab12", false, (int32_t[]){2, 5}, 2);
    gguf_free(&g);
}

/* o200k cuts a word where a capital follows a small letter, not before it. */
static void gpt_4o_cuts_words_at_capitals(void **state)
{
    (void)state;
    static const char *const tokens[] = {"a", "A", "aA", "Aa", "'", "s", "'s"};
    static const char *const merges[] = {"a A", "A a", "' s"};
    gguf_file g = {0};

    gguf_text(&g, "tokenizer.ggml.model", "gpt2");
    gguf_array(&g, "tokenizer.ggml.tokens", MLS_GGUF_STRING, 7);
    for (size_t i = 0; i < 7; i++)
        put_string(&g.keys, tokens[i]);
    gguf_array(&g, "tokenizer.ggml.merges", MLS_GGUF_STRING, 3);
    for (size_t i = 0; i < 3; i++)
        put_string(&g.keys, merges[i]);
    gguf_text(&g, "tokenizer.ggml.pre", "gpt-4o");
    assert_text(&g, "Aa", false, (int32_t[]){3}, 1);
    assert_text(&g, "aA", false, (int32_t[]){0, 1}, 2); /* two words: no merge */
    assert_text(&g, "aAa's", false, (int32_t[]){0, 3, 6}, 3);
    gguf_free(&g);
}

static void the_first_token_is_added_where_llama_cpp_adds_it(void **state)
{
    (void)state;
    gguf_file g = {0};

    small(&g, "llama-bpe"); /* adds BOS unless told */
    gguf_u32(&g, "tokenizer.ggml.bos_token_id", 6);
    assert_text(&g, "ab", true, (int32_t[]){6, 2}, 2);
    assert_text(&g, "ab", false, (int32_t[]){2}, 1);
    gguf_bool(&g, "tokenizer.ggml.add_bos_token", false);
    assert_text(&g, "ab", true, (int32_t[]){2}, 1);
    gguf_free(&g);
    small(&g, "gpt-2"); /* does not */
    gguf_u32(&g, "tokenizer.ggml.bos_token_id", 6);
    assert_text(&g, "ab", true, (int32_t[]){2}, 1);
    gguf_u32(&g, "tokenizer.ggml.eos_token_id", 6);
    gguf_bool(&g, "tokenizer.ggml.add_eos_token", true);
    assert_text(&g, "ab<s>", true, (int32_t[]){2, 6, 6}, 3);
    gguf_free(&g);
}

/* What is wrong with a vocabulary, one defect each. */
static void broken_vocabularies_are_refused_by_name(void **state)
{
    (void)state;
    enum { CASES = 14 };
    static const char *const parts[CASES] = {
        "key \"tokenizer.ggml.model\" is missing; put the model's own tokenizer.json "
        "beside the file",
        "tokenizer.ggml.model \"t5\" is not done, only gpt2, llama and gemma4",
        "key \"tokenizer.ggml.tokens\" has 0 items, expected 1",
        "tokenizer.ggml.pre \"bloom\" is not done",
        "key \"tokenizer.ggml.merges\" is missing",
        "key \"tokenizer.ggml.scores\" is missing",
        "key \"tokenizer.ggml.token_type\" has 1 items, expected one for each of the 2",
        "tokens 0 and 1 are both \"a\"",
        "token 1 is empty",
        "token 1 is not UTF-8 without NUL",
        "key \"tokenizer.ggml.tokens\" is of type array of u32, expected array of",
        "but tokenizer.ggml.bos_token_id is missing",
        "but tokenizer.ggml.bos_token_id is not in the vocabulary",
        "merge 0: \"c\" is not in the vocabulary",
    };
    const char *path = test_scratch("broken.gguf");

    for (int i = 0; i < CASES; i++) {
        gguf_file g = {0};
        mls_tokenizer *tok;
        const bool spm = i == 5;

        gguf_text(&g, "general.architecture", "llama");
        if (i > 0)
            gguf_text(&g, "tokenizer.ggml.model",
                      i == 1 ? "t5"
                      : spm  ? "llama"
                             : "gpt2");
        gguf_text(&g, "tokenizer.ggml.pre", i == 3 ? "bloom" : "gpt-2");
        if (i == 10) {
            gguf_array(&g, "tokenizer.ggml.tokens", MLS_GGUF_U32, 1);
            put_u32(&g.keys, 1);
        } else if (i != 2) {
            gguf_array(&g, "tokenizer.ggml.tokens", MLS_GGUF_STRING, 2);
            put_string(&g.keys, "a");
            put_string(&g.keys, i == 7 ? "a" : i == 8 ? "" : i == 9 ? "\xff" : "b");
        }
        if (i == 6) {
            gguf_array(&g, "tokenizer.ggml.token_type", MLS_GGUF_I32, 1);
            put_u32(&g.keys, NORMAL);
        }
        if (i != 4) {
            gguf_array(&g, "tokenizer.ggml.merges", MLS_GGUF_STRING, i == 13);
            if (i == 13)
                put_string(&g.keys, "a c");
        }
        gguf_bool(&g, "tokenizer.ggml.add_bos_token", i == 11 || i == 12);
        if (i == 12)
            gguf_u32(&g, "tokenizer.ggml.bos_token_id", 2);
        gguf_save(&g, path);
        gguf_free(&g);
        assert_refused(mls_tokenizer_open(&tok, path, &err), MLS_E_INPUT, parts[i]);
    }
}

static void
a_tokenizer_beside_the_file_is_used_where_metadata_is_not_enough(void **state)
{
    (void)state;
    char folder[1100], path[1200];
    mls_tokenizer *tok;
    gguf_file g = {0};
    size_t len;
    char *json;

    snprintf(folder, sizeof folder, "%s", test_scratch("beside"));
    assert_ok(mls_folder_prepare(folder, &err));
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    assert_ok(mls_file_read(test_source("datasets/demo/tokenizer.json"), 1 << 24, &json,
                            &len, &err));
    assert_ok(mls_file_write(path, json, len, &err));
    free(json);
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    gguf_text(&g, "tokenizer.ggml.model", "t5");
    gguf_save(&g, path);
    gguf_free(&g);
    assert_ok(mls_tokenizer_open(&tok, path, &err));
    assert_int_equal(mls_tokenizer_vocabulary(tok), 2048);
    mls_tokenizer_close(tok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_texts_have_the_ids_of_llama_2),
        cmocka_unit_test(merges_rank_pieces_where_every_score_is_zero),
        cmocka_unit_test(golden_texts_have_the_ids_of_llama_3),
        cmocka_unit_test(golden_texts_have_the_ids_of_qwen_3),
        cmocka_unit_test(a_corpus_has_the_ids_of_the_tokenizer_it_came_from),
        cmocka_unit_test(pre_says_how_digits_are_cut),
        cmocka_unit_test(gpt_4o_cuts_words_at_capitals),
        cmocka_unit_test(the_first_token_is_added_where_llama_cpp_adds_it),
        cmocka_unit_test(broken_vocabularies_are_refused_by_name),
        cmocka_unit_test(
            a_tokenizer_beside_the_file_is_used_where_metadata_is_not_enough),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
