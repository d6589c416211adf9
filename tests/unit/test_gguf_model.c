/*
 * Models in GGUF files: the same numbers as llama.cpp, and as the Hugging Face folder.
 */
#include "tests/support/gguf_demo.h"
#include "tests/support/logits.h"
#include "tests/support/named_weights.h"

#include <jansson.h>
#include <unistd.h>

#include "analysis/capture/capture.h"
#include "common/system/hash.h"
#include "datasets/checkpoint/gguf_names.h"
#include "datasets/checkpoint/net_families.h"

/* ---- tests/reference/gguf_llama.txt: what llama.cpp read and computed ---- */

typedef struct llama_case {
    char name[NAMED_SIZE], sha256[65];
    uint64_t seed;
    gguf_file file;
    size_t V, T, n_probes, position[2];
    int32_t *ids;
    double nll, *logits[2];
} llama_case;

static void add_key(llama_case *r, char *line)
{
    const char *key = named_word(&line), *kind = named_word(&line);

    if (strcmp(kind, "u32") == 0)
        gguf_u32(&r->file, key, (uint32_t)strtoul(line, NULL, 10));
    else if (strcmp(kind, "f32") == 0)
        gguf_f32(&r->file, key, strtof(line, NULL));
    else
        gguf_text(&r->file, key, line);
    if (strstr(key, ".vocab_size"))
        r->V = strtoul(line, NULL, 10);
}

static void add_tensor(llama_case *r, char *line)
{
    const char *name = named_word(&line), *hf = named_word(&line);
    const size_t heads = named_whole(&line), rows = named_whole(&line);
    const size_t cols = named_whole(&line), width = cols ? cols : 1;
    const double scale = strtod(named_word(&line), NULL);
    const double offset = strtod(named_word(&line), NULL);
    const uint64_t ne[2] = {cols ? cols : rows, rows};
    float *x = malloc(rows * width * sizeof *x);

    assert_non_null(x);
    for (size_t i = 0; i < rows * width; i++) {
        const size_t row = heads ? interleaved_row(i / width, rows, heads) : i / width;
        const double v = offset + scale * named_uniform(r->seed, hf, i);

        x[row * width + i % width] = mls_bf16_to_float(mls_float_to_bf16((float)v));
    }
    gguf_tensor(&r->file, name, 0, cols ? 2 : 1, ne, x, rows * width * sizeof *x);
    free(x);
}

static void add_factors(llama_case *r, char *line)
{
    float x[64];
    size_t n = 0;

    while (*line && n < 64)
        x[n++] = strtof(named_word(&line), NULL);
    gguf_tensor(&r->file, "rope_freqs.weight", 0, 1, (uint64_t[]){n}, x, n * sizeof *x);
}

static void add_line(llama_case *r, char *line)
{
    const char *kind = named_word(&line);

    if (strcmp(kind, "key") == 0) {
        add_key(r, line);
    } else if (strcmp(kind, "tensor") == 0) {
        add_tensor(r, line);
    } else if (strcmp(kind, "factors") == 0) {
        add_factors(r, line);
    } else if (strcmp(kind, "ids") == 0) {
        r->T = named_whole(&line);
        r->ids = malloc(r->T * sizeof *r->ids);
        for (size_t t = 0; t < r->T; t++)
            r->ids[t] = (int32_t)named_whole(&line);
    } else if (strcmp(kind, "nll") == 0) {
        r->nll = strtod(line, NULL);
    } else {
        assert_string_equal(kind, "logits");
        r->position[r->n_probes] = named_whole(&line);
        r->logits[r->n_probes] = malloc(r->V * sizeof(double));
        for (size_t v = 0; v < r->V; v++)
            r->logits[r->n_probes][v] = strtod(named_word(&line), NULL);
        r->n_probes++;
    }
}

static void compare_with_llama(const llama_case *r)
{
    const char *path = test_scratch("llama.gguf");
    mls_buf bytes = gguf_bytes(&r->file);
    size_t start[] = {0, r->T};
    const mls_corpus corpus = {.ids = r->ids, .n_ids = r->T, .start = start, .N = 1};
    mls_sha256 *sha;
    char hex[65];
    mls_model *m;
    float *logits;

    /* The very bytes that llama.cpp read. */
    assert_ok(mls_sha256_new(&sha, &err));
    mls_sha256_add(sha, bytes.data, bytes.len);
    mls_sha256_hex(sha, hex);
    mls_sha256_free(sha);
    mls_buf_free(&bytes);
    if (strcmp(hex, r->sha256) != 0)
        fail_msg("%s: sha256 %s, expected %s", r->name, hex, r->sha256);
    gguf_save(&r->file, path);
    assert_ok(mls_model_open(&m, path, &err));
    assert_int_equal(mls_checkpoint_warnings(mls_model_checkpoint(m)), 0);
    logits = logits_of(m, &corpus, 2, 1);
    assert_close(mean_nll(logits, r->V, r->ids, r->T), r->nll, 1e-5);
    for (size_t i = 0; i < r->n_probes; i++) {
        double size = 0;

        for (size_t v = 0; v < r->V; v++)
            size = fmax(size, fabs(r->logits[i][v]));
        for (size_t v = 0; v < r->V; v++)
            if (!(fabs((double)logits[r->position[i] * r->V + v] - r->logits[i][v]) <=
                  2e-5 * size))
                fail_msg("%s: position %zu, logit %zu is %.9g, llama.cpp's %.9g",
                         r->name, r->position[i], v,
                         (double)logits[r->position[i] * r->V + v], r->logits[i][v]);
    }
    free(logits);
    mls_model_close(m);
    unlink(path);
}

/* Checks every case (NULL: none); *demo is the last line's number. */
static size_t each_llama_case(void (*check)(const llama_case *), double *demo)
{
    FILE *f = fopen(test_source("tests/reference/gguf_llama.txt"), "r");
    llama_case r = {0};
    char *line = NULL;
    size_t size = 0, n = 0;
    ssize_t len;

    assert_non_null(f);
    while ((len = getline(&line, &size, f)) > 0) {
        char *rest = line;
        const bool is_model = strncmp(line, "model ", 6) == 0;
        const bool is_demo = strncmp(line, "demo ", 5) == 0;

        line[len - 1] = '\0';
        if (!is_model && !is_demo) {
            add_line(&r, line);
            continue;
        }
        if (r.T > 0 && check) {
            check(&r);
            n++;
        }
        gguf_free(&r.file);
        free(r.ids);
        free(r.logits[0]);
        free(r.logits[1]);
        memset(&r, 0, sizeof r);
        named_word(&rest);
        if (is_demo) {
            *demo = strtod(rest, NULL);
            break;
        }
        snprintf(r.name, sizeof r.name, "%s", named_word(&rest));
        r.seed = named_whole(&rest);
        snprintf(r.sha256, sizeof r.sha256, "%s", named_word(&rest));
    }
    free(line);
    fclose(f);
    return n;
}

static void files_that_llama_cpp_read_give_its_logits(void **state)
{
    (void)state;
    double demo;

    assert_int_equal(each_llama_case(compare_with_llama, &demo), 9);
}

/* ---- the demo model ---- */

static void the_demo_model_reads_bit_for_bit_as_its_folder(void **state)
{
    (void)state;
    const char *path = test_scratch("demo.gguf");
    mls_checkpoint *folder, *file;

    assert_ok(mls_checkpoint_open(&folder, test_source("datasets/demo"), &err));
    save_demo(path, folder, NULL);
    assert_ok(mls_checkpoint_open(&file, path, &err));
    assert_non_null(mls_checkpoint_gguf(file));
    assert_null(mls_checkpoint_gguf(folder));

    mls_config a = *mls_checkpoint_config(folder), b = *mls_checkpoint_config(file);
    memset(a.sha256, 0, sizeof a.sha256);
    memset(b.sha256, 0, sizeof b.sha256);
    memset(a.dtype, 0, sizeof a.dtype);
    /* A Mistral without a window is a Llama in the words of GGUF. */
    memcpy(b.model_type, a.model_type, sizeof a.model_type);
    memcpy(b.architecture, a.architecture, sizeof a.architecture);
    assert_memory_equal(&a, &b, sizeof a);
    assert_int_equal(mls_checkpoint_parameters(file),
                     mls_checkpoint_parameters(folder));
    assert_ok(mls_checkpoint_complete(file, &err));

    for (size_t i = 0; i < mls_tensor_needs(&a); i++) {
        const mls_tensor_need t = mls_tensor_need_at(&a, i);
        const size_t n = t.rows * (t.cols ? t.cols : 1);
        float *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y);
        size_t k;

        assert_ok(mls_checkpoint_read(folder, t.name, t.rows, t.cols, x, &err));
        assert_ok(mls_checkpoint_read(file, t.name, t.rows, t.cols, y, &err));
        assert_memory_equal(x, y, n * sizeof *x);
        /* a range that begins and ends inside rows, and a few rows */
        assert_non_null(mls_checkpoint_find(file, t.name, &k));
        assert_ok(mls_checkpoint_read_at(file, k, 37, n - 50, y, &err));
        assert_memory_equal(x + 37, y, (n - 50) * sizeof *x);
        assert_ok(
            mls_checkpoint_read_rows(file, t.name, t.rows, t.cols, 5, 40, y, &err));
        assert_memory_equal(x + 5 * (n / t.rows), y, 40 * (n / t.rows) * sizeof *x);
        assert_int_equal(mls_checkpoint_copyable(file, k),
                         t.role != MLS_TENSOR_WQ && t.role != MLS_TENSOR_WK);
        free(x);
        free(y);
    }
    mls_checkpoint_close(file);
    mls_checkpoint_close(folder);
    unlink(path);
}

static void same_window(mls_capture *const capture[2], const mls_config *c, size_t l,
                        mls_window_part part)
{
    const size_t T = mls_capture_window_length(capture[0]);
    const size_t width = part == MLS_WINDOW_X   ? c->E
                         : part == MLS_WINDOW_Q ? c->H * c->D
                                                : c->G * c->D;
    float *x[2];

    assert_int_equal(mls_capture_window_length(capture[1]), T);
    for (size_t i = 0; i < 2; i++) {
        x[i] = calloc(T * width, sizeof **x);
        assert_non_null(x[i]);
        assert_ok(mls_capture_window(capture[i], l, 0, part, x[i], &err));
    }
    assert_true(x[0][0] != 0);
    assert_memory_equal(x[0], x[1], T * width * sizeof **x);
    free(x[0]);
    free(x[1]);
}

static void a_capture_of_the_file_is_that_of_the_folder_bit_for_bit(void **state)
{
    const mls_capture_options options = {.sampling = "the first", .n_windows = 1};
    size_t start[] = {0, 24, 48};
    int32_t ids[48];
    const mls_corpus corpus = {.ids = ids, .n_ids = 48, .start = start, .N = 2};
    const char *path = test_scratch("twin.gguf");
    mls_model *model[2];
    mls_capture *capture[2];
    mls_pool *pool;

    (void)state;
    for (size_t i = 0; i < 48; i++)
        ids[i] = (int32_t)(i * 37 % 1999);
    assert_ok(mls_pool_new(&pool, 1, &err));
    assert_ok(mls_model_open(&model[0], test_source("datasets/demo"), &err));
    save_demo(path, mls_model_checkpoint(model[0]), NULL);
    assert_ok(mls_model_open(&model[1], path, &err));
    for (size_t i = 0; i < 2; i++) {
        const char *file = test_scratch(i ? "twin-gguf.h5" : "twin-folder.h5");

        assert_ok(mls_capture_run(model[i], &corpus, file, &options, pool, NULL, &err));
        assert_ok(mls_capture_open(&capture[i], file, &err));
    }
    for (size_t l = 0; l < mls_model_config(model[0])->L; l++) {
        mls_layer_stats a, b;

        assert_ok(mls_capture_stats(capture[0], l, &a, &err));
        assert_ok(mls_capture_stats(capture[1], l, &b, &err));
        assert_memory_equal(a.block, b.block, a.n_block * sizeof *a.block);
        for (int part = MLS_WINDOW_X; part <= MLS_WINDOW_V; part++)
            same_window(capture, mls_model_config(model[0]), l, (mls_window_part)part);
        mls_layer_stats_free(&a);
        mls_layer_stats_free(&b);
    }
    for (size_t i = 0; i < 2; i++) {
        mls_capture_close(capture[i]);
        mls_model_close(model[i]);
    }
    mls_pool_free(pool);
    unlink(path);
}

static void a_renamed_file_is_the_same_model(void **state)
{
    (void)state;
    const char *first = test_scratch("first.gguf"), *second = test_scratch("2nd.bin");
    char a[65], b[65], c[65];
    gguf_file g = {0};
    mls_checkpoint *m;

    demo_keys(&g);
    gguf_u32(&g, "llama.vocab_size", 9);
    gguf_save(&g, first);
    gguf_save(&g, second);
    assert_ok(mls_checkpoint_open(&m, first, &err));
    assert_ok(mls_checkpoint_sha256(m, a, NULL, &err));
    mls_checkpoint_close(m);
    assert_ok(mls_checkpoint_open(&m, second, &err));
    assert_ok(mls_checkpoint_sha256(m, b, NULL, &err));
    mls_checkpoint_close(m);
    assert_string_equal(a, b);
    gguf_u32(&g, "other", 1);
    gguf_save(&g, second);
    gguf_free(&g);
    assert_ok(mls_checkpoint_open(&m, second, &err));
    assert_ok(mls_checkpoint_sha256(m, c, NULL, &err));
    mls_checkpoint_close(m);
    assert_string_not_equal(a, c);
}

static void the_demo_model_has_the_loss_that_llama_cpp_gives_it(void **state)
{
    (void)state;
    const char *path = test_scratch("demo.gguf");
    json_t *g = json_load_file(test_source("datasets/demo/golden.json"), 0, NULL);
    const json_t *ids = json_object_get(g, "ids");
    size_t start[] = {0, (size_t)json_integer_value(json_object_get(g, "positions"))};
    int32_t *sequence = malloc((start[1] + 1) * sizeof *sequence);
    mls_corpus corpus = {.ids = sequence, .n_ids = start[1], .start = start, .N = 1};
    mls_checkpoint *folder;
    mls_model *m;
    double want = 0;

    assert_int_equal(start[1], 256);
    for (size_t t = 0; t < start[1]; t++)
        sequence[t] = (int32_t)json_integer_value(json_array_get(ids, t));
    assert_ok(mls_checkpoint_open(&folder, test_source("datasets/demo"), &err));
    save_demo(path, folder, NULL);
    mls_checkpoint_close(folder);
    each_llama_case(NULL, &want);
    assert_ok(mls_model_open(&m, path, &err));
    float *logits = logits_of(m, &corpus, 2, 1);

    assert_close(mean_nll(logits, mls_model_config(m)->V, sequence, start[1]), want,
                 1e-5);
    free(logits);
    mls_model_close(m);
    free(sequence);
    json_decref(g);
    unlink(path);
}

/* ---- from metadata to a config ---- */

/* Tensors that a config looks at: no data is needed to be sized. */
static void put_shapes(gguf_file *g)
{
    static const char zeros[4 * 48];

    gguf_tensor(g, "token_embd.weight", 0, 2, (uint64_t[]){8, 6}, zeros, 4 * 48);
}

/* A small llama without the keys that start with `without`. */
static void small_keys(gguf_file *g, const char *arch, const char *without)
{
    static const struct {
        const char *key;
        uint32_t x;
    } whole[] = {{"block_count", 2},          {"context_length", 64},
                 {"embedding_length", 8},     {"feed_forward_length", 12},
                 {"attention.head_count", 2}, {"attention.head_count_kv", 1}};
    char key[64];

    gguf_text(g, "general.architecture", arch);
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, whole[i].key);
        if (strcmp(whole[i].key, without) != 0)
            gguf_u32(g, key, whole[i].x);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    if (strcmp("rms", without) != 0)
        gguf_f32(g, key, 1e-6F);
}

static mls_status config_of(const gguf_file *g, mls_config *out, mls_err *err)
{
    const char *path = test_scratch("config.gguf");
    mls_checkpoint *c;
    mls_status st;

    gguf_save(g, path);
    st = mls_checkpoint_open(&c, path, err);
    if (!st)
        *out = *mls_checkpoint_config(c);
    mls_checkpoint_close(c);
    return st;
}

static void missing_keys_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *without, *part;
    } cases[] = {
        {"block_count", "key \"llama.block_count\" is missing"},
        {"embedding_length", "key \"llama.embedding_length\" is missing"},
        {"feed_forward_length", "is missing"},
        {"attention.head_count", "key \"llama.attention.head_count\" is missing"},
        {"rms", "key \"llama.attention.layer_norm_rms_epsilon\" is missing"},
    };
    mls_config c;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gguf_file g = {0};

        small_keys(&g, "llama", cases[i].without);
        put_shapes(&g);
        assert_refused(config_of(&g, &c, &err), MLS_E_INPUT, cases[i].part);
        gguf_free(&g);
    }
    gguf_file g = {0};

    put_shapes(&g);
    assert_refused(config_of(&g, &c, &err), MLS_E_INPUT,
                   "key \"general.architecture\" is missing");
    gguf_text(&g, "general.architecture", "");
    assert_refused(config_of(&g, &c, &err), MLS_E_INPUT,
                   "general.architecture has 0 bytes");
    gguf_free(&g);
}

/* One more key in a sound file; NULL: sound; else the message or `unsupported`. */
typedef struct one_key {
    const char *arch, *key;
    mls_gguf_type type;
    double x;
    const char *text, *part;
    bool sized; /* part is in config.unsupported */
} one_key;

static void keys_that_change_the_model_are_named(void **state)
{
    (void)state;
    static const one_key cases[] = {
        {"llama", "llama.rope.scaling.type", MLS_GGUF_STRING, 0, "none", NULL, false},
        {"llama", "llama.attention.sliding_window", MLS_GGUF_U32, 64, NULL, NULL,
         false},
        {"llama", "llama.expert_count", MLS_GGUF_U32, 0, NULL, NULL, false},
        {"qwen2", "qwen2.attention.sliding_window", MLS_GGUF_U32, 64, NULL, NULL,
         false},
        {"llama", "other.key", MLS_GGUF_U32, 1, NULL, NULL, false},
        {"llama", "llama.logit_scale", MLS_GGUF_F32, 2, NULL,
         "the key llama.logit_scale is not known", true},
        {"llama", "llama.attention.causal", MLS_GGUF_BOOL, 0, NULL,
         "is_causal is false", true},
        {"llama", "llama.rope.dimension_count", MLS_GGUF_U32, 2, NULL,
         "the key llama.rope.dimension_count is not known", true},
        {"qwen2", "qwen2.attention.sliding_window", MLS_GGUF_U32, 16, NULL,
         "qwen2.attention.sliding_window is not known", true},
        {"chatglm", "chatglm.rope.freq_base", MLS_GGUF_F32, 10000, NULL,
         "the key general.architecture is not known", true},
        {"wonder", "wonder.rope.freq_base", MLS_GGUF_F32, 10000, NULL,
         "model_type \"wonder\" is not a known family", true},
        {"llama", "llama.attention.value_length", MLS_GGUF_U32, 8, NULL, "v_head_dim",
         true},
        {"llama", "llama.rope.freq_base", MLS_GGUF_U32, 10000, NULL,
         "key \"llama.rope.freq_base\" is of type u32, expected f32", false},
        {"llama", "llama.rope.freq_base", MLS_GGUF_F32, -1, NULL, "rope_theta is -1",
         true},
        {"llama", "llama.ssm.state_size", MLS_GGUF_U32, 16, NULL,
         "llama.ssm.state_size", true},
        {"llama", "llama.shortconv.l_cache", MLS_GGUF_U32, 16, NULL, "conv_L_cache",
         true},
        {"llama", "tokenizer.ggml.bos_token_id", MLS_GGUF_F32, 1, NULL,
         "expected a whole number", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const one_key *k = &cases[i];
        gguf_file g = {0};
        mls_config c = {0};
        mls_err e = {0};

        small_keys(&g, k->arch, "");
        if (k->type == MLS_GGUF_STRING)
            gguf_text(&g, k->key, k->text);
        else if (k->type == MLS_GGUF_F32)
            gguf_f32(&g, k->key, (float)k->x);
        else if (k->type == MLS_GGUF_BOOL)
            gguf_bool(&g, k->key, k->x != 0);
        else
            gguf_u32(&g, k->key, (uint32_t)k->x);
        put_shapes(&g);
        const mls_status st = config_of(&g, &c, &e);
        const char *said = k->sized ? c.unsupported : e.text;

        if ((st != MLS_OK) != (k->part && !k->sized) ||
            (k->part ? !strstr(said, k->part) : c.unsupported[0] != '\0'))
            fail_msg("%s: status %d \"%s\", not computed: \"%s\"; expected \"%s\"",
                     k->key, (int)st, e.text, c.unsupported, k->part ? k->part : "");
        if (!st)
            assert_true(c.L == 2 && c.E == 8 && c.F == 12 && c.V == 6 && c.H == 2 &&
                        c.G == 1 && c.D == 4 && c.tied_embeddings);
        gguf_free(&g);
    }
}

static void layers_of_one_shape_may_be_listed(void **state)
{
    (void)state;
    static const struct {
        uint64_t n;
        uint32_t x[3];
        const char *part;
    } cases[] = {
        {2, {1, 1}, NULL},
        {3, {1, 1, 1}, "has 3 items, expected one for each of the 2 layers"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gguf_file g = {0};
        mls_config c = {0};
        mls_err e = {0};

        small_keys(&g, "llama", "attention.head_count_kv");
        gguf_array(&g, "llama.attention.head_count_kv", MLS_GGUF_U32, cases[i].n);
        for (size_t k = 0; k < cases[i].n; k++)
            put_u32(&g.keys, cases[i].x[k]);
        put_shapes(&g);
        const mls_status st = config_of(&g, &c, &e);

        assert_true(cases[i].part ? st == MLS_E_INPUT && strstr(e.text, cases[i].part)
                                  : st == MLS_OK && c.G == 1);
        gguf_free(&g);
    }
}

static void a_window_makes_a_llama_a_mistral(void **state)
{
    (void)state;
    gguf_file g = {0};
    mls_config c;

    small_keys(&g, "llama", "");
    gguf_u32(&g, "llama.attention.sliding_window", 16);
    put_shapes(&g);
    assert_ok(config_of(&g, &c, &err));
    gguf_free(&g);
    assert_string_equal(c.model_type, "mistral");
    assert_string_equal(c.architecture, "MistralForCausalLM");
    assert_true(c.layer[0].window == 16 && c.layer[1].window == 16);
    assert_string_equal(c.unsupported, "");
}

/* A family's own name does not make its files' layout known: scales have no keys. */
static void families_of_another_layout_are_refused(void **state)
{
    (void)state;
    gguf_file g = {0};
    mls_config c;

    small_keys(&g, "minicpm3", "");
    put_shapes(&g);
    assert_ok(config_of(&g, &c, &err));
    gguf_free(&g);
    assert_non_null(strstr(c.unsupported, "general.architecture"));
}

static void deepseek_is_sized_by_its_latent(void **state)
{
    (void)state;
    gguf_file g = {0};
    mls_config c;

    small_keys(&g, "deepseek2", "");
    gguf_u32(&g, "deepseek2.attention.kv_lora_rank", 512);
    gguf_u32(&g, "deepseek2.attention.q_lora_rank", 1536);
    gguf_u32(&g, "deepseek2.attention.key_length", 576);
    gguf_u32(&g, "deepseek2.attention.value_length", 512);
    gguf_u32(&g, "deepseek2.attention.key_length_mla", 192);
    gguf_u32(&g, "deepseek2.attention.value_length_mla", 128);
    gguf_u32(&g, "deepseek2.rope.dimension_count", 64);
    put_shapes(&g);
    assert_ok(config_of(&g, &c, &err));
    gguf_free(&g);
    assert_int_equal(c.mla_kv_lora_rank, 512);
    assert_int_equal(c.mla_rope_dim, 64);
    assert_int_equal(c.mla_nope_dim, 128);
    assert_int_equal(c.mla_value_dim, 128);
    assert_int_equal(c.mla_q_lora_rank, 1536);
    assert_string_equal(c.model_type, "deepseek_v2");
    assert_string_equal(c.unsupported, "");
    assert_int_equal(c.G, c.H);
    assert_int_equal(c.net.experts.n, 0);
}

/*
 * Factors of Llama 3.1 (8 of 8192) for D = 16, and ones that no llama3 scaling gives.
 */
static void rope_factors_tell_the_scaling(void **state)
{
    (void)state;
    const double theta = 500000;

    for (int wrong = 0; wrong < 2; wrong++) {
        gguf_file g = {0};
        float x[8];
        mls_config c;

        for (size_t k = 0; k < 8; k++) {
            const double wave = 2 * acos(-1) * pow(theta, (double)k / 8);
            const double smooth = (8192 / wave - 1) / 3;

            x[k] = (float)(wave < 2048   ? 1
                           : wave > 8192 ? 8
                                         : 1 / ((1 - smooth) / 8 + smooth));
        }
        x[0] = wrong ? 1.5F : x[0];
        small_keys(&g, "llama", "");
        gguf_u32(&g, "llama.attention.key_length", 16);
        gguf_u32(&g, "llama.attention.value_length", 16);
        gguf_f32(&g, "llama.rope.freq_base", (float)theta);
        put_shapes(&g);
        gguf_tensor(&g, "rope_freqs.weight", 0, 1, (uint64_t[]){8}, x, sizeof x);
        assert_ok(config_of(&g, &c, &err));
        gguf_free(&g);
        if (wrong) {
            assert_non_null(strstr(c.unsupported, "the key rope_freqs.weight"));
            continue;
        }
        assert_int_equal(c.rope.type, MLS_ROPE_LLAMA3);
        assert_close(c.rope.factor, 8, 0);
        assert_close(c.rope.low_freq_factor, 1, 0);
        assert_close(c.rope.high_freq_factor, 4, 0);
        assert_close(c.rope.original_max_position, 8192, 0);
        assert_string_equal(c.unsupported, "");
    }
}

static void types_that_are_not_decoded_are_refused_when_read(void **state)
{
    (void)state;
    static const char zeros[144];
    const char *path = test_scratch("nvfp4.gguf");
    mls_checkpoint *c;
    gguf_file g = {0};
    float x[256];
    size_t i;

    small_keys(&g, "llama", "");
    put_shapes(&g);
    gguf_tensor(&g, "output.weight", 40, 2, (uint64_t[]){256, 1}, zeros, 144);
    gguf_save(&g, path);
    gguf_free(&g);
    assert_ok(mls_checkpoint_open(&c, path, &err));
    assert_non_null(mls_checkpoint_find(c, "lm_head.weight", &i));
    assert_false(mls_checkpoint_readable(c, i));
    assert_false(mls_checkpoint_copyable(c, i));
    assert_refused(mls_checkpoint_has(c, "lm_head.weight", 1, 256, &err), MLS_E_INPUT,
                   "tensor \"lm_head.weight\" has dtype NVFP4, expected one that is "
                   "decoded");
    assert_refused(mls_checkpoint_read(c, "lm_head.weight", 1, 256, x, &err),
                   MLS_E_INPUT,
                   "tensor \"output.weight\" has type NVFP4, which is not decoded");
    mls_checkpoint_close(c);
}

static void tensor_names_map_both_ways(void **state)
{
    (void)state;
    char out[96];
    mls_config llama = {.L = 20}, gemma = llama;

    gemma.net.names = mls_net_find("gemma3_text")->names;
    assert_true(mls_gguf_tensor_name("blk.17.ffn_down.bias", &llama, out));
    assert_string_equal(out, "model.layers.17.mlp.down_proj.bias");
    assert_true(mls_gguf_tensor_name("output_norm.weight", &llama, out));
    assert_string_equal(out, "model.norm.weight");
    assert_true(mls_gguf_tensor_name("blk.0.ffn_norm.weight", &gemma, out));
    assert_string_equal(out, "model.layers.0.pre_feedforward_layernorm.weight");
    static const char *const others[][3] = {
        {"gpt_neox", "blk.1.attn_qkv.bias",
         "gpt_neox.layers.1.attention.query_key_value.bias"},
        {"gpt_neox", "output.weight", "embed_out.weight"},
        {"phi3", "blk.2.ffn_up.weight", "model.layers.2.mlp.gate_up_proj.weight"},
        {"olmo2", "blk.2.post_attention_norm.weight",
         "model.layers.2.post_attention_layernorm.weight"},
        {"glm4", "blk.2.post_attention_norm.weight",
         "model.layers.2.post_self_attn_layernorm.weight"},
        {"mixtral", "blk.0.ffn_gate_exps.weight",
         "model.layers.0.block_sparse_moe.experts.0.w1.weight"},
        {"qwen2_moe", "blk.0.ffn_gate_inp_shexp.weight",
         "model.layers.0.mlp.shared_expert_gate.weight"},
        {"starcoder2", "blk.3.attn_norm.bias", "model.layers.3.input_layernorm.bias"},
        {"gpt_oss", "blk.2.post_attention_norm.weight",
         "model.layers.2.post_attention_layernorm.weight"},
        {"gpt_oss", "blk.2.attn_sinks.weight", "model.layers.2.self_attn.sinks"},
        {"gpt_oss", "blk.2.ffn_up_exps.bias",
         "model.layers.2.mlp.experts.up_proj_bias"},
        {"lfm2", "blk.2.shortconv.in_proj.weight",
         "model.layers.2.conv.in_proj.weight"},
        {"lfm2", "token_embd_norm.weight", "model.embedding_norm.weight"},
        {"granitemoe", "blk.1.ffn_down_exps.weight",
         "model.layers.1.block_sparse_moe.output_linear.weight"},
    };

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        const mls_net_family *f = mls_net_find(others[i][0]);
        mls_config c = {.net = f->net};

        c.net.prefix = f->prefix;
        c.net.names = f->names;
        assert_true(mls_gguf_tensor_name(others[i][1], &c, out));
        assert_string_equal(out, others[i][2]);
    }
    static const char *const unknown[] = {
        "blk.01.attn_q.weight", "blk..attn_q.weight", "blk.1.attn_q",
        "blk.1.attn_q.scale",   "blk.-1.attn_q.bias", "attn_qkv.weight",
        "blk.1.attn.weight",    "rope_freqs.weight",  "blk.9999999.attn_q.weight"};

    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        assert_false(mls_gguf_tensor_name(unknown[i], &llama, out));
        assert_string_equal(out, unknown[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_that_llama_cpp_read_give_its_logits),
        cmocka_unit_test(the_demo_model_reads_bit_for_bit_as_its_folder),
        cmocka_unit_test(the_demo_model_has_the_loss_that_llama_cpp_gives_it),
        cmocka_unit_test(a_capture_of_the_file_is_that_of_the_folder_bit_for_bit),
        cmocka_unit_test(a_renamed_file_is_the_same_model),
        cmocka_unit_test(missing_keys_are_named),
        cmocka_unit_test(keys_that_change_the_model_are_named),
        cmocka_unit_test(layers_of_one_shape_may_be_listed),
        cmocka_unit_test(a_window_makes_a_llama_a_mistral),
        cmocka_unit_test(families_of_another_layout_are_refused),
        cmocka_unit_test(deepseek_is_sized_by_its_latent),
        cmocka_unit_test(rope_factors_tell_the_scaling),
        cmocka_unit_test(types_that_are_not_decoded_are_refused_when_read),
        cmocka_unit_test(tensor_names_map_both_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
