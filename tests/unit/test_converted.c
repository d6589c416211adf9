/* Checkpoints that other programs converted, read back and evaluated. */
#include "tests/support/expect.h"

#include "bench/evaluate/evaluate.h"
#include "bench/frame/scheme.h"
#include "datasets/files/rankfile.h"
#include "tests/support/named_weights.h"

enum { CASES = 19, TENSORS_MAX = 60, TOKENS_MAX = 64, RANKS_MAX = 256 };

/*
 * One case of tests/reference/converted.txt: two checkpoints in scratch, and what the
 * independent program says of them.
 */
typedef struct reference {
    void (*use)(const struct reference *r);
    char name[NAMED_SIZE], original[1024], converted[1024];
    uint64_t seed, other_seed;
    named_tensor from[TENSORS_MAX], tensor[TENSORS_MAX];
    size_t n_from, n_tensors;
    uint16_t order[RANKS_MAX];
    mls_rankfile ranks;
    int32_t ids[TOKENS_MAX];
    size_t start[2];
    double nll, other_nll, kl;
} reference;

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[1200];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(mls_file_write(path, text, strlen(text), &err));
}

static void read_line(void *arg, char *line)
{
    reference *r = arg;
    const char *kind = named_word(&line);

    if (strcmp(kind, "original") == 0) {
        write_text(r->original, "config.json", line);
    } else if (strcmp(kind, "config") == 0) {
        write_text(r->converted, "config.json", line);
    } else if (strcmp(kind, "layers") == 0) {
        write_text(r->converted, "mla_layer_config.json", line);
    } else if (strcmp(kind, "from") == 0) {
        assert_true(r->n_from < TENSORS_MAX);
        named_parse(&r->from[r->n_from++], line);
    } else if (strcmp(kind, "tensor") == 0) {
        assert_true(r->n_tensors < TENSORS_MAX);
        named_parse(&r->tensor[r->n_tensors++], line);
    } else if (strcmp(kind, "ranks") == 0) {
        r->ranks = (mls_rankfile){.kind = MLS_RANKFILE_RANKS, .order = r->order};
        r->ranks.L = named_whole(&line);
        r->ranks.heads = named_whole(&line);
        r->ranks.C = named_whole(&line);
        assert_true(r->ranks.L * r->ranks.heads * r->ranks.C <= RANKS_MAX);
        for (size_t i = 0; i < r->ranks.L * r->ranks.heads * r->ranks.C; i++)
            r->order[i] = (uint16_t)named_whole(&line);
    } else if (strcmp(kind, "ids") == 0) {
        r->start[1] = named_whole(&line);
        assert_true(r->start[1] <= TOKENS_MAX);
        for (size_t t = 0; t < r->start[1]; t++)
            r->ids[t] = (int32_t)named_whole(&line);
    } else if (strcmp(kind, "nll") == 0) {
        r->nll = strtod(named_word(&line), NULL);
        r->other_nll = strtod(named_word(&line), NULL);
    } else if (strcmp(kind, "kl") == 0) {
        r->kl = strtod(named_word(&line), NULL);
    } else {
        fail_msg("converted.txt: a line starts with %s", kind);
    }
}

static void begin_case(void *arg, char *line)
{
    reference *r = arg;
    void (*use)(const reference *) = r->use;
    char folder[NAMED_SIZE + 16];

    *r = (reference){.use = use};
    snprintf(r->name, sizeof r->name, "%s", named_word(&line));
    r->seed = named_whole(&line);
    r->other_seed = named_whole(&line);
    snprintf(folder, sizeof folder, "%s-original", r->name);
    snprintf(r->original, sizeof r->original, "%s", test_scratch(folder));
    snprintf(r->converted, sizeof r->converted, "%s", test_scratch(r->name));
    assert_ok(mls_folder_prepare(r->original, &err));
    assert_ok(mls_folder_prepare(r->converted, &err));
}

static void write_checkpoints(const reference *r)
{
    char path[1200];

    named_write(r->original, r->from, r->n_from, r->seed);
    named_write(r->converted, r->tensor, r->n_tensors, r->other_seed);
    if (strstr(r->name, "2-norm")) {
        snprintf(path, sizeof path, "%s/model-2_norm_rank.pth", r->converted);
        assert_ok(mls_rankfile_write(&r->ranks, NULL, path, &err));
    }
    if (strncmp(r->name, "elitekv", 7) == 0 && !strstr(r->name, "uniform")) {
        mls_rankfile orders = r->ranks;

        orders.kind = MLS_RANKFILE_ORDERS;
        snprintf(path, sizeof path, "%s/RoPElite_%d.pkl", r->converted,
                 strcmp(r->name, "elitekv") == 0        ? 1
                 : strcmp(r->name, "elitekv-bias") == 0 ? 3
                                                        : 4);
        assert_ok(mls_rankfile_write(&orders, NULL, path, &err));
    }
}

/* The converted checkpoint of a case on its ids. */
static mls_status evaluate(const reference *r, bool absorbed, mls_evaluation *e,
                           mls_err *said)
{
    const mls_corpus corpus = {.N = 1,
                               .start = (size_t *)(uintptr_t)r->start,
                               .ids = (int32_t *)(uintptr_t)r->ids,
                               .n_ids = r->start[1]};
    const mls_evaluate_options how = {.absorbed = absorbed};
    mls_method_input in = {0};
    mls_setting setting = {.method = "converted"};
    mls_scheme scheme = {0};
    mls_model *model = NULL;
    mls_status st;

    *e = (mls_evaluation){0};
    assert_ok(mls_model_open(&model, r->original, &err));
    assert_ok(mls_pool_new(&in.pool, 2, &err));
    assert_ok(mls_setting_set(&setting, "path", r->converted, &err));
    in.model = model;
    in.config = mls_model_config(model);
    assert_ok(mls_scheme_uniform(&scheme, &setting, in.config->L, &err));
    const mls_variant variant = {.scheme = &scheme, .only_layer = MLS_NONE};

    st = mls_evaluate(e, &in, &corpus, &variant, 1, &how, NULL, said);
    mls_scheme_free(&scheme);
    mls_pool_free(in.pool);
    mls_model_close(model);
    return st;
}

static void end_case(void *arg)
{
    const reference *r = arg;

    write_checkpoints(r);
    r->use(r);
}

/* Calls use() with every case of the file, its checkpoints written; how many. */
static size_t each_case(void (*use)(const reference *r))
{
    reference r = {.use = use};

    return named_each_case(test_source("tests/reference/converted.txt"), &r, begin_case,
                           read_line, end_case);
}

static void compare(const reference *r)
{
    for (int absorbed = 0; absorbed < 2; absorbed++) {
        mls_evaluation e;

        assert_ok(evaluate(r, absorbed, &e, &err));
        assert_close(e.original.nll.mean, r->nll, 1e-5 * r->nll);
        assert_close(e.variant[0].nll.mean, r->other_nll, 1e-5 * r->other_nll);
        assert_close(e.variant[0].kl.mean, r->kl, 1e-5 * r->kl);
        assert_int_equal(e.variant[0].trained, r->seed != r->other_seed);
        mls_evaluation_free(&e);
    }
}

static void checkpoints_of_other_programs_do_what_their_code_does(void **state)
{
    (void)state;
    assert_int_equal(each_case(compare), CASES);
}

/*
 * Numbers of a converted layer: MHA2MLA caches G d_r + low_rank G, EliteKV H d_r + r,
 * DeepSeek and X-EcoMLA r + d_r.
 */
static void size_of(const reference *r)
{
    const size_t L = 2, G = 2, H = 4, D = 8;
    size_t want;
    mls_evaluation e;

    assert_ok(evaluate(r, false, &e, &err));
    if (strcmp(r->name, "mha2mla-high-joint") == 0)
        want = G * 4 + 3 * G;
    else if (strcmp(r->name, "mha2mla-low-split-bias") == 0)
        want = G * 2 + 2 * 3 * G;
    else if (strcmp(r->name, "mha2mla-uniform-only-key") == 0)
        want = G * 4 + 3 * G + G * D;
    else if (strcmp(r->name, "mha2mla-only-value") == 0)
        want = G * D + 3 * G; /* the keys whole, in two parts */
    else if (strcmp(r->name, "mha2mla-2-norm-query-heads") == 0)
        want = H * 4 + 3 * G;
    else if (strcmp(r->name, "transmla") == 0)
        want = 10 + 4;
    else if (strcmp(r->name, "elitekv") == 0)
        want = H * 2 + 9;
    else if (strcmp(r->name, "x-ecomla") == 0)
        want = (8 + 16) / 2 + 4; /* the mean of the layers */
    else
        want = e.variant[0].elements / L;
    assert_int_equal(e.variant[0].elements, L * want);
    mls_evaluation_free(&e);
}

static void what_they_cache_is_what_the_projects_say(void **state)
{
    (void)state;
    assert_int_equal(each_case(size_of), CASES);
}

/* What is refused of one checkpoint: each damage is made on a fresh copy. */
static void damage(const reference *r)
{
    char path[1200], other[1200];
    mls_evaluation e;
    char *config;
    size_t len;

    snprintf(path, sizeof path, "%s/config.json", r->converted);
    if (strcmp(r->name, "mha2mla-2-norm-bias") == 0) {
        snprintf(other, sizeof other, "%s/model-2_norm_rank.pth", r->converted);
        assert_int_equal(remove(other), 0);
        assert_refused(evaluate(r, false, &e, &err), MLS_E_INPUT,
                       "only that utils/model-2_norm_rank.pth does, and that file is "
                       "not there");
    } else if (strcmp(r->name, "mha2mla-high-joint") == 0) {
        static const struct {
            const char *from, *to, *says;
        } each[] = {
            {"\"high\"", "\"best\"", "partial_rope_version is \"best\", expected"},
            {"\"high\"", "null", "partial_rope_version is missing"},
            {"\"rope_dim_for_mla\": 4", "\"rope_dim_for_mla\": 3", "expected an even"},
            {"\"rope_dim_for_mla\": 4", "\"rope_dim_for_mla\": 12",
             "rope_dim_for_mla is 12, but a head has 8"},
            {"\"rope_dim_for_mla\": 4", "\"rope_dim_for_mla\": 6",
             "self_attn.k_r_proj.weight"},
            {"\"hidden_size\": 32", "\"hidden_size\": 64", "2 layers of width 64"},
            {"\"mha2mla\": {", "\"other\": {",
             "neither kv_lora_rank nor mha2mla nor half_of_rope_dim"},
        };

        assert_ok(mls_file_read(path, 1 << 16, &config, &len, &err));
        for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
            const char *at = strstr(config, each[i].from);
            mls_buf text = {0};

            assert_non_null(at);
            mls_buf_add(&text, config, (size_t)(at - config));
            mls_buf_puts(&text, each[i].to);
            mls_buf_puts(&text, at + strlen(each[i].from));
            assert_ok(mls_file_write(path, text.data, text.len, &err));
            assert_refused(evaluate(r, false, &e, &err), MLS_E_INPUT, each[i].says);
            mls_buf_free(&text);
        }
        free(config);
    } else if (strcmp(r->name, "elitekv") == 0) {
        snprintf(other, sizeof other, "%s/RoPElite_1.pkl", r->converted);
        assert_int_equal(remove(other), 0);
        assert_refused(evaluate(r, false, &e, &err), MLS_E_INPUT,
                       "does not say which chunks it keeps: put RoPElite_1.pkl");
    } else if (strcmp(r->name, "x-ecomla") == 0) {
        write_text(r->converted, "mla_layer_config.json",
                   "{\"qk_rope_head_dim\": 12, \"qk_nope_head_dim\": 4}");
        assert_refused(
            evaluate(r, false, &e, &err), MLS_E_INPUT,
            "kv_a_proj_with_mqa.weight has 12 rows, and qk_rope_head_dim is");
        write_text(r->converted, "mla_layer_config.json",
                   "{\"rope_scaling\": {\"factor\": 8}, \"rope_type\": \"linear\"}");
        assert_refused(evaluate(r, false, &e, &err), MLS_E_INPUT,
                       "another rope_type than yarn is not computed");
    } else if (strcmp(r->name, "transmla") == 0) {
        named_tensor few[TENSORS_MAX];
        size_t n = 0;

        for (size_t i = 0; i < r->n_tensors; i++)
            if (!strstr(r->tensor[i].name, "layers.1.mlp.up_proj"))
                few[n++] = r->tensor[i];
        assert_int_equal(n, r->n_tensors - 1);
        named_write(r->converted, few, n, r->seed);
        assert_refused(evaluate(r, false, &e, &err), MLS_E_INPUT,
                       "model.layers.1.mlp.up_proj.weight");
    }
}

static void damaged_checkpoints_are_refused_by_name(void **state)
{
    (void)state;
    assert_int_equal(each_case(damage), CASES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoints_of_other_programs_do_what_their_code_does),
        cmocka_unit_test(what_they_cache_is_what_the_projects_say),
        cmocka_unit_test(damaged_checkpoints_are_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
