#include "tests/support/expect.h"

#include <sys/stat.h>
#include <unistd.h>

#include "common/system/files.h"
#include "datasets/checkpoint/checkpoint.h"
#include "datasets/checkpoint/tensors.h"

/* A tiny Llama: L 2, E 4, H 2, G 1, D 2, F 6, V 3; untied, no biases. */
static const char tiny[] =
    "{\"model_type\": \"llama\", \"vocab_size\": 3, \"hidden_size\": 4, "
    "\"intermediate_size\": 6, \"num_hidden_layers\": 2, \"num_attention_heads\": 2, "
    "\"num_key_value_heads\": 1, \"tie_word_embeddings\": false}";

static void put_text(const char *path, const char *text)
{
    FILE *out = fopen(path, "wb");

    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

/* The path of a file in a folder below the scratch folder. */
static const char *in(const char *folder, const char *name)
{
    char both[512];

    snprintf(both, sizeof both, "%s/%s", folder, name);
    return test_scratch(both);
}

/* Write tensors first .. last-1 of the plan; every value is 1 + its tensor's index. */
static void put_shard(const char *path, const mls_tensor_plan *plan, size_t first,
                      size_t last)
{
    mls_safetensors_writer *w;

    assert_ok(
        mls_safetensors_create(&w, path, plan + first, last - first, NULL, 0, &err));
    for (size_t i = first; i < last; i++) {
        uint64_t n = 1;

        for (size_t d = 0; d < plan[i].n_dims; d++)
            n *= plan[i].shape[d];
        for (uint64_t k = 0; k < n; k++) {
            const float x = 1 + (float)i;

            assert_ok(mls_safetensors_write_f32(w, &x, 1, &err));
        }
    }
    assert_ok(mls_safetensors_finish(w, &err));
}

enum { TENSORS = 21, NAME = 96 };

/* All tensors that the tiny model needs. */
static void plan_tiny(mls_tensor_plan *plan, char (*names)[NAME], const char *folder)
{
    mls_config c;

    assert_ok(mls_config_read(&c, test_scratch(folder), &err));
    assert_int_equal(mls_tensor_needs(&c), TENSORS);
    for (size_t i = 0; i < TENSORS; i++) {
        const mls_tensor_need need = mls_tensor_need_at(&c, i);

        memcpy(names[i], need.name, NAME);
        plan[i] = (mls_tensor_plan){
            names[i], "F32", need.cols ? 2 : 1, {need.rows, need.cols}};
    }
}

/* A folder with the tiny model in two shards and an index of both. */
static const char *sharded(const char *folder)
{
    mls_tensor_plan plan[TENSORS];
    char names[TENSORS][NAME];
    FILE *out;

    assert_int_equal(mkdir(test_scratch(folder), 0700), 0);
    put_text(in(folder, "config.json"), tiny);
    plan_tiny(plan, names, folder);
    put_shard(in(folder, "model-00001-of-00002.safetensors"), plan, 0, 10);
    put_shard(in(folder, "model-00002-of-00002.safetensors"), plan, 10, TENSORS);
    out = fopen(in(folder, "model.safetensors.index.json"), "wb");
    assert_non_null(out);
    /* Floats: 3*4 + 2*(4 + 16 + 8 + 8 + 16 + 4 + 3*24) + 4 + 12 = 284 */
    fprintf(out, "{\"metadata\": {\"total_size\": 1136}, \"weight_map\": {");
    for (size_t i = 0; i < TENSORS; i++)
        fprintf(out, "%s\"%s\": \"model-0000%d-of-00002.safetensors\"", i ? ", " : "",
                names[i], i < 10 ? 1 : 2);
    fprintf(out, "}}");
    assert_int_equal(fclose(out), 0);
    return test_scratch(folder);
}

static void the_demo_is_complete(void **state)
{
    (void)state;
    mls_checkpoint *c;
    float norm[256];

    assert_ok(mls_checkpoint_open(&c, test_source("datasets/demo"), &err));
    assert_int_equal(mls_checkpoint_warnings(c), 0);
    assert_ok(mls_checkpoint_complete(c, &err));
    assert_int_equal(mls_checkpoint_shards(c), 1);
    /* 2048 * 256 + 256 + 6 * (256 * (2 * 384 + 2 * 128 + 3 * 768 + 2)) */
    assert_int_equal(mls_checkpoint_parameters(c), 5639424);
    assert_int_equal(mls_checkpoint_bytes(c), 2 * 5639424);
    assert_ok(mls_checkpoint_read(c, "model.norm.weight", 256, 0, norm, &err));
    assert_refused(mls_checkpoint_read(c, "model.norm.weight", 255, 0, norm, &err),
                   MLS_E_INPUT,
                   "\"model.norm.weight\" has shape [256], expected [255]");
    assert_refused(mls_checkpoint_read(c, "model.norm.weight", 256, 1, norm, &err),
                   MLS_E_INPUT, "has shape [256], expected [256, 1]");
    assert_refused(mls_checkpoint_read(c, "model.norm.bias", 256, 0, norm, &err),
                   MLS_E_INPUT, "\"model.norm.bias\" is missing");
    mls_checkpoint_close(c);
}

/* sha256sum and printf of coreutils give the same list and the same sum. */
static void the_hash_of_a_model_is_that_of_the_list_of_its_files(void **state)
{
    (void)state;
    mls_checkpoint *c;
    char hex[65], shards[1][65];

    assert_ok(mls_checkpoint_open(&c, test_source("datasets/demo"), &err));
    assert_ok(mls_checkpoint_sha256_shards(c, hex, shards, NULL, &err));
    assert_string_equal(
        shards[0], "0c4b0a43ae1eb802cf18ca270161361889111efaa55395d9ddad0775994fa3b9");
    assert_string_equal(
        hex, "a1829e3a1cbfae662fe069f9df00f96bd69955576b5f863df1afdc1b820d1bbd");
    memset(hex, 0, sizeof hex);
    assert_ok(mls_checkpoint_sha256(c, hex, NULL, &err));
    assert_string_equal(
        hex, "a1829e3a1cbfae662fe069f9df00f96bd69955576b5f863df1afdc1b820d1bbd");
    mls_checkpoint_close(c);
}

/* The weights that were opened, whatever has their name by now. */
static void a_file_that_is_replaced_is_still_the_one_that_was_opened(void **state)
{
    const char *folder = sharded("replaced");
    const char *shard = in("replaced", "model-00001-of-00002.safetensors");
    mls_checkpoint *c;
    char before[65], after[65];

    (void)state;
    assert_ok(mls_checkpoint_open(&c, folder, &err));
    assert_ok(mls_checkpoint_sha256(c, before, NULL, &err));
    assert_ok(mls_file_write(shard, "other", 5, &err));
    assert_ok(mls_checkpoint_sha256(c, after, NULL, &err));
    assert_string_equal(after, before);
    mls_checkpoint_close(c);
}

/* A pipe that nobody writes into would be waited for. */
static void a_pipe_is_no_model(void **state)
{
    static const char *const names[] = {"config.json", "model.safetensors.index.json",
                                        "model-00001-of-00002.safetensors"};
    static const char *const folders[] = {"pipe-1", "pipe-2", "pipe-3"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *folder = sharded(folders[i]);
        const char *path = in(folders[i], names[i]);
        mls_checkpoint *c;

        assert_int_equal(unlink(path), 0);
        assert_int_equal(mkfifo(path, 0600), 0);
        assert_int_equal(mls_checkpoint_open(&c, folder, NULL), MLS_E_INPUT);
        assert_int_equal(unlink(path), 0);
    }
}

static void shards_are_read_as_one_model(void **state)
{
    (void)state;
    mls_checkpoint *c;
    size_t i, shard;
    float x[12];

    assert_ok(mls_checkpoint_open(&c, sharded("whole"), &err));
    assert_int_equal(mls_checkpoint_shards(c), 2);
    assert_int_equal(mls_checkpoint_warnings(c), 0);
    assert_int_equal(mls_checkpoint_parameters(c), 284);
    assert_int_equal(mls_checkpoint_bytes(c), 1136);
    assert_ok(mls_checkpoint_complete(c, &err));
    assert_non_null(mls_checkpoint_find(c, "lm_head.weight", &i));
    assert_string_equal(mls_checkpoint_tensor(c, i, &shard)->name, "lm_head.weight");
    assert_int_equal(shard, 1);
    assert_ok(mls_checkpoint_read(c, "model.embed_tokens.weight", 3, 4, x, &err));
    assert_close(x[11], 1, 0);
    assert_ok(mls_checkpoint_read_rows(c, "lm_head.weight", 3, 4, 2, 1, x, &err));
    assert_close(x[3], TENSORS, 0);
    assert_refused(mls_checkpoint_read_rows(c, "lm_head.weight", 3, 4, 2, 2, x, &err),
                   MLS_E_ARG, "rows 2 to 4");
    mls_checkpoint_close(c);
}

/* One defect per index; each is refused by file and tensor. */
static void a_wrong_index_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *index, *part;
    } cases[] = {
        {"{", "index.json: line 1"},
        {"[]", "the top value is not an object"},
        {"{}", "weight_map is missing"},
        {"{\"weight_map\": []}", "weight_map is missing or no object"},
        {"{\"weight_map\": {}}", "names 0 files"},
        {"{\"weight_map\": {\"a\": 1}}", "tensor \"a\" is in 1, expected the name"},
        {"{\"weight_map\": {\"a\": null}}", "tensor \"a\" is in null"},
        {"{\"weight_map\": {\"a\": \"\"}}", "tensor \"a\" is in \"\""},
        {"{\"weight_map\": {\"a\": \".safetensors\"}}", "tensor \"a\" is in \".safet"},
        {"{\"weight_map\": {\"a\": \"../m.safetensors\"}}",
         "is in \"../m.safetensors\""},
        {"{\"weight_map\": {\"a\": \"/etc/m.safetensors\"}}", "is in \"/etc/m"},
        {"{\"weight_map\": {\"a\": \"x\\\\m.safetensors\"}}", "expected the name of"},
        {"{\"weight_map\": {\"a\": \"a..safetensors\"}}", "expected the name of"},
        {"{\"weight_map\": {\"a\": \"model.bin\"}}", "is in \"model.bin\", expected"},
        {"{\"weight_map\": {\"a\": \"a.safetensors\", \"b\": \"b.safetensors\"}}",
         "a.safetensors: is missing (2 of the 2 shards"},
        {"{\"weight_map\": {\"a\": \"a.safetensors\", \"a\": \"a.safetensors\"}}",
         "duplicate object key"},
        {"{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\"}}",
         "tensor \"a\" should be in model-00001-of-00002.safetensors, but is in no "
         "shard"},
        {"{\"weight_map\": {\"lm_head.weight\": \"model-00001-of-00002.safetensors\", "
         "\"model.norm.weight\": \"model-00002-of-00002.safetensors\"}}",
         "\"lm_head.weight\" should be in model-00001-of-00002.safetensors, but is in "
         "model-00002-of-00002.safetensors"},
    };
    mls_checkpoint *c;

    sharded("indexed");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mls_err e = {0};

        put_text(in("indexed", "model.safetensors.index.json"), cases[i].index);
        if (mls_checkpoint_open(&c, test_scratch("indexed"), &e) != MLS_E_INPUT ||
            !strstr(e.text, cases[i].part) || !strstr(e.text, "indexed/"))
            fail_msg("%s: \"%s\", expected \"%s\"", cases[i].index, e.text,
                     cases[i].part);
    }
}

static void a_missing_or_broken_file_is_named(void **state)
{
    (void)state;
    const char *folder = sharded("holes");
    mls_checkpoint *c;

    assert_int_equal(truncate(in("holes", "model-00002-of-00002.safetensors"), 2000),
                     0);
    assert_refused(mls_checkpoint_open(&c, folder, &err), MLS_E_INPUT,
                   "model-00002-of-00002.safetensors: the data has");
    unlink(in("holes", "model-00002-of-00002.safetensors"));
    assert_refused(mls_checkpoint_open(&c, folder, &err), MLS_E_INPUT,
                   "model-00002-of-00002.safetensors: is missing (1 of the 2 shards");
    unlink(in("holes", "model.safetensors.index.json"));
    assert_refused(mls_checkpoint_open(&c, folder, &err), MLS_E_INPUT,
                   "has neither model.safetensors nor model.safetensors.index.json");
    put_text(in("holes", "pytorch_model.bin"), "");
    assert_refused(mls_checkpoint_open(&c, folder, &err), MLS_E_INPUT,
                   "pytorch_model.bin is not read, convert it");
    unlink(in("holes", "config.json"));
    assert_refused(mls_checkpoint_open(&c, folder, &err), MLS_E_INPUT,
                   "config.json: No such file");
    assert_refused(mls_checkpoint_open(&c, test_scratch("nowhere"), &err), MLS_E_INPUT,
                   "nowhere: is not a folder");
    assert_refused(mls_checkpoint_open(&c, in("holes", "pytorch_model.bin"), &err),
                   MLS_E_INPUT, "is an empty file, expected a folder with a model");
}

static void what_does_not_stop_a_model_is_remarked(void **state)
{
    (void)state;
    const char *folder = sharded("odd");
    const mls_tensor_plan more[] = {
        {"model.layers.0.self_attn.q_proj.bias", "F32", 1, {4}},
        {"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", 1, {1}},
        {"strange.weight", "F32", 1, {1}},
    };
    mls_checkpoint *c;

    put_shard(in("odd", "extra.safetensors"), more, 0, 3);
    put_text(in("odd", "model.safetensors.index.json"),
             "{\"metadata\": {\"total_size\": 7}, \"weight_map\": {\"lm_head.weight\": "
             "\"model-00002-of-00002.safetensors\", \"model.embed_tokens.weight\": "
             "\"model-00001-of-00002.safetensors\", \"strange.weight\": "
             "\"extra.safetensors\"}}");
    assert_ok(mls_checkpoint_open(&c, folder, &err));
    /* 19 + 2 tensors are not in the index, one is not used, the size, the bias */
    assert_int_equal(mls_checkpoint_warnings(c), 24);
    assert_non_null(strstr(mls_checkpoint_warning(c, 21), "total_size is 7"));
    assert_non_null(strstr(mls_checkpoint_warning(c, 22), "does not announce biases"));
    assert_non_null(strstr(mls_checkpoint_warning(c, 23), "\"strange.weight\" is not "
                                                          "used"));
    /* The bias is used, and then those of k and v are missing. */
    assert_true(mls_checkpoint_config(c)->qkv_bias);
    assert_refused(mls_checkpoint_complete(c, &err), MLS_E_INPUT,
                   "tensor \"model.layers.0.self_attn.k_proj.bias\" is missing");
    mls_checkpoint_close(c);
}

/* Embeddings hold 1 everywhere and the head of sharded() 21. */
static void a_head_of_its_own_is_used_where_the_config_ties_it(void **state)
{
    static const char *const folders[] = {"own-head", "copied-head"};
    (void)state;

    for (size_t i = 0; i < 2; i++) {
        const char *folder = sharded(folders[i]);
        mls_tensor_plan plan[TENSORS];
        char names[TENSORS][NAME], text[1024], *at;
        mls_checkpoint *c;
        float head[12];

        plan_tiny(plan, names, folders[i]);
        if (i == 1) { /* the same bytes as the embeddings: 1 is written by number 0 */
            plan[0] = plan[TENSORS - 1];
            put_shard(in(folders[i], "extra.safetensors"), plan, 0, 1);
            put_text(in(folders[i], "model.safetensors.index.json"),
                     "{\"weight_map\": {\"lm_head.weight\": \"extra.safetensors\", "
                     "\"model.embed_tokens.weight\": "
                     "\"model-00001-of-00002.safetensors\"}}");
        }
        snprintf(text, sizeof text, "%s", tiny);
        at = strstr(text, "false}");
        assert_non_null(at);
        memcpy(at, "true }", 6);
        put_text(in(folders[i], "config.json"), text);
        assert_ok(mls_checkpoint_open(&c, folder, &err));
        assert_int_equal(mls_checkpoint_config(c)->tied_embeddings, i == 1);
        assert_int_equal(mls_checkpoint_head_remark(c) != NULL, i == 0);
        if (i == 0) {
            const mls_tensor_need need = mls_tensor_head(mls_checkpoint_config(c));

            assert_non_null(strstr(mls_checkpoint_head_remark(c), "lm_head.weight"));
            assert_ok(mls_checkpoint_complete(c, &err));
            assert_ok(
                mls_checkpoint_read(c, need.name, need.rows, need.cols, head, &err));
            assert_close(head[0], TENSORS, 0);
        }
        mls_checkpoint_close(c);
    }
}

static void a_tensor_may_be_in_one_shard_only(void **state)
{
    (void)state;
    const char *folder = sharded("double");
    const mls_tensor_plan again[] = {{"model.norm.weight", "F32", 1, {4}}};
    mls_checkpoint *c;

    put_shard(in("double", "again.safetensors"), again, 0, 1);
    put_text(in("double", "model.safetensors.index.json"),
             "{\"weight_map\": {\"lm_head.weight\": "
             "\"model-00002-of-00002.safetensors\", \"model.norm.weight\": "
             "\"again.safetensors\"}}");
    assert_refused(mls_checkpoint_open(&c, folder, &err), MLS_E_INPUT,
                   "tensor \"model.norm.weight\" is in ");
}

static void one_file_goes_before_an_index(void **state)
{
    (void)state;
    const char *folder = sharded("both");
    mls_tensor_plan plan[TENSORS];
    char names[TENSORS][NAME];
    mls_checkpoint *c;

    plan_tiny(plan, names, "both");
    plan[4].shape[0]++; /* layer 0's v_proj.weight */
    put_shard(in("both", "model.safetensors"), plan, 0, TENSORS - 1);
    assert_ok(mls_checkpoint_open(&c, folder, &err));
    assert_int_equal(mls_checkpoint_shards(c), 1);
    assert_refused(mls_checkpoint_complete(c, &err), MLS_E_INPUT,
                   "v_proj.weight\" has shape [3, 4], expected [2, 4]");
    assert_refused(mls_checkpoint_has(c, "lm_head.weight", 3, 4, &err), MLS_E_INPUT,
                   "tensor \"lm_head.weight\" is missing");
    mls_checkpoint_close(c);
}

static void weights_that_are_not_floats_are_refused(void **state)
{
    (void)state;
    const mls_tensor_plan ids[] = {{"model.norm.weight", "I64", 1, {4}}};
    const int64_t zeros[4] = {0};
    mls_safetensors_writer *w;
    mls_checkpoint *c;

    assert_int_equal(mkdir(test_scratch("ids"), 0700), 0);
    put_text(in("ids", "config.json"), tiny);
    assert_ok(mls_safetensors_create(&w, in("ids", "model.safetensors"), ids, 1, NULL,
                                     0, &err));
    assert_ok(mls_safetensors_write_raw(w, zeros, sizeof zeros, &err));
    assert_ok(mls_safetensors_finish(w, &err));
    assert_ok(mls_checkpoint_open(&c, test_scratch("ids"), &err));
    assert_refused(mls_checkpoint_has(c, "model.norm.weight", 4, 0, &err), MLS_E_INPUT,
                   "has dtype I64, expected F32");
    mls_checkpoint_close(c);
}

/*
 * The tiny model's tensors under a root, its head under another, beside a tower with
 * layers of the same names and other widths.
 */
static const char *under(const char *folder, const char *root, const char *head_root)
{
    mls_tensor_plan plan[TENSORS + 2];
    char names[TENSORS][NAME], renamed[TENSORS][2 * NAME];

    assert_int_equal(mkdir(test_scratch(folder), 0700), 0);
    put_text(in(folder, "config.json"), tiny);
    plan_tiny(plan, names, folder);
    for (size_t i = 0; i < TENSORS; i++) {
        const bool inside = strncmp(names[i], "model.", 6) == 0;

        snprintf(renamed[i], sizeof renamed[i], "%s%.90s", inside ? root : head_root,
                 names[i] + (inside ? 6 : 0));
        plan[i].name = renamed[i];
    }
    plan[TENSORS] =
        (mls_tensor_plan){"tower.layers.0.self_attn.q_proj.weight", "F32", 2, {3, 3}};
    plan[TENSORS + 1] =
        (mls_tensor_plan){"tower.layers.0.input_layernorm.weight", "F32", 1, {4}};
    put_shard(in(folder, "model.safetensors"), plan, 0, TENSORS + 2);
    return test_scratch(folder);
}

static void a_text_model_is_found_under_any_root(void **state)
{
    static const char *const cases[][3] = {
        {"root-1", "language_model.model.", "language_model."},
        {"root-2", "model.language_model.", ""},
        {"root-3", "thinker.model.", "thinker."},
        {"root-4", "", ""},
        {"root-5", "whatever.body.", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mls_checkpoint *c;
        char said[160];
        float x[12];

        assert_ok(mls_checkpoint_open(&c, under(cases[i][0], cases[i][1], cases[i][2]),
                                      &err));
        assert_ok(mls_checkpoint_complete(c, &err));
        assert_ok(mls_checkpoint_read(c, "model.embed_tokens.weight", 3, 4, x, &err));
        assert_close(x[11], 1, 0);
        assert_ok(mls_checkpoint_read(c, "lm_head.weight", 3, 4, x, &err));
        assert_close(x[11], TENSORS, 0);
        snprintf(said, sizeof said, "tensors begin with \"%s\" in the file",
                 cases[i][1]);
        assert_int_equal(mls_checkpoint_warnings(c), 2);
        assert_non_null(strstr(mls_checkpoint_warning(c, 0), said));
        assert_non_null(strstr(mls_checkpoint_warning(c, 1),
                               "2 tensors that begin with \"tower.\""));
        mls_checkpoint_close(c);
    }
}

/* Which of the two is meant is in no file. */
static void two_models_of_the_same_shape_are_refused(void **state)
{
    mls_tensor_plan plan[2 * TENSORS];
    char names[TENSORS][NAME], renamed[2 * TENSORS][2 * NAME];
    mls_checkpoint *c;

    (void)state;
    assert_int_equal(mkdir(test_scratch("twins"), 0700), 0);
    put_text(in("twins", "config.json"), tiny);
    plan_tiny(plan, names, "twins");
    for (size_t i = 0; i < 2 * TENSORS; i++) {
        snprintf(renamed[i], sizeof renamed[i], "%s.%.90s", i < TENSORS ? "one" : "two",
                 names[i % TENSORS]);
        plan[i] = plan[i % TENSORS];
        plan[i].name = renamed[i];
    }
    put_shard(in("twins", "model.safetensors"), plan, 0, 2 * TENSORS);
    assert_refused(mls_checkpoint_open(&c, test_scratch("twins"), &err), MLS_E_INPUT,
                   "two models have the text model's shape");
}

static void a_nested_model_without_a_head_is_tied(void **state)
{
    mls_tensor_plan plan[TENSORS];
    char names[TENSORS][NAME];
    mls_checkpoint *c;

    (void)state;
    assert_int_equal(mkdir(test_scratch("nested"), 0700), 0);
    put_text(in("nested", "config.json"), tiny);
    plan_tiny(plan, names, "nested");
    put_text(in("nested", "config.json"), "{\"model_type\": \"llava\", ");
    FILE *out = fopen(in("nested", "config.json"), "ab");

    assert_non_null(out);
    fprintf(out, "\"hidden_size\": 4, \"text_config\": %s}", tiny);
    assert_int_equal(fclose(out), 0);
    put_shard(in("nested", "model.safetensors"), plan, 0, TENSORS - 1);
    assert_string_equal(names[TENSORS - 1], "lm_head.weight");
    assert_ok(mls_checkpoint_open(&c, test_scratch("nested"), &err));
    assert_true(mls_checkpoint_config(c)->tied_embeddings);
    assert_non_null(strstr(mls_checkpoint_warning(c, 0), "no \"lm_head.weight\""));
    assert_ok(mls_checkpoint_complete(c, &err));
    mls_checkpoint_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_demo_is_complete),
        cmocka_unit_test(the_hash_of_a_model_is_that_of_the_list_of_its_files),
        cmocka_unit_test(a_file_that_is_replaced_is_still_the_one_that_was_opened),
        cmocka_unit_test(a_pipe_is_no_model),
        cmocka_unit_test(shards_are_read_as_one_model),
        cmocka_unit_test(a_wrong_index_is_refused),
        cmocka_unit_test(a_missing_or_broken_file_is_named),
        cmocka_unit_test(what_does_not_stop_a_model_is_remarked),
        cmocka_unit_test(a_head_of_its_own_is_used_where_the_config_ties_it),
        cmocka_unit_test(a_tensor_may_be_in_one_shard_only),
        cmocka_unit_test(one_file_goes_before_an_index),
        cmocka_unit_test(weights_that_are_not_floats_are_refused),
        cmocka_unit_test(a_text_model_is_found_under_any_root),
        cmocka_unit_test(two_models_of_the_same_shape_are_refused),
        cmocka_unit_test(a_nested_model_without_a_head_is_tied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
