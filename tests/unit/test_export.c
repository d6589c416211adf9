/* Exports: what they hold, read back by us and, from export.txt, by PyTorch. */
#include "tests/support/gguf_demo.h"
#include "tests/support/logits.h"

#include <dirent.h>
#include <unistd.h>

#include "analysis/latent/latent_file.h"
#include "analysis/model/forward.h"
#include "analysis/numeric/blas.h"
#include "bench/evaluate/evaluate.h"
#include "bench/frame/scheme.h"
#include "common/numbers/rng.h"
#include "common/system/files.h"
#include "datasets/checkpoint/tensors.h"
#include "datasets/files/rankfile.h"
#include "datasets/tokenizer/tokenizer.h"
#include "reports/export/export.h"

enum { T = 24, WORKERS = 2 };

/* A model and, for settings that use data, its capture. */
typedef struct {
    const char *folder;
    mls_method_input in;
    mls_model *model;
} setup;

static void open_model(setup *s, const char *folder)
{
    mls_blas_single_thread();
    *s = (setup){.folder = folder};
    assert_ok(mls_model_open(&s->model, folder, &err));
    assert_ok(mls_pool_new(&s->in.pool, WORKERS, &err));
    s->in.model = s->model;
    s->in.config = mls_model_config(s->model);
}

/* The capture that export.txt was made with: 16 windows of 128 tokens. */
static void capture(setup *s)
{
    const mls_capture_options options = {.n_windows = 4, .command = "test"};
    const char *text = test_source("datasets/demo/calibration.txt");
    const char *path = test_scratch("run.h5");
    mls_tokenizer *tok;
    mls_corpus corpus;

    assert_ok(mls_tokenizer_open(&tok, s->folder, &err));
    assert_ok(mls_corpus_read(&corpus, tok, &text, 1, 128, 16, 0, &err));
    assert_ok(
        mls_capture_run(s->model, &corpus, path, &options, s->in.pool, NULL, &err));
    assert_ok(mls_capture_open(&s->in.capture, path, &err));
    mls_corpus_free(&corpus);
    mls_tokenizer_close(tok);
}

static void close_model(setup *s)
{
    mls_capture_close(s->in.capture);
    mls_pool_free(s->in.pool);
    mls_model_close(s->model);
}

static void make_scheme(mls_scheme *scheme, const setup *s, const char *text)
{
    mls_setting setting;

    assert_ok(mls_setting_parse(&setting, text, &err));
    assert_ok(mls_scheme_uniform(scheme, &setting, s->in.config->L, &err));
}

static mls_status export_as(const setup *s, const char *text, const char *target,
                            const char *folder, const char *dtype, mls_export_norm norm,
                            mls_err *err)
{
    mls_scheme scheme;
    mls_status st;

    make_scheme(&scheme, s, text);
    const mls_export job = {.target = target,
                            .folder = folder,
                            .model_name = s->folder,
                            .command = "test",
                            .in = &s->in,
                            .scheme = &scheme,
                            .dtype = dtype,
                            .norm = norm};

    st = mls_export_write(&job, err);
    mls_scheme_free(&scheme);
    return st;
}

static mls_status export(const setup *s, const char *text, const char *target,
                         const char *folder, mls_err *err)
{
    return export_as(s, text, target, folder, "F32", MLS_NORM_NONE, err);
}

static mls_status keep_logits(void *arg, size_t sequence, size_t worker, size_t first,
                              size_t n, const float *logits, mls_err *err)
{
    const setup *s = ((void **)arg)[0];
    float *out = ((void **)arg)[1];

    (void)sequence;
    (void)worker;
    (void)err;
    memcpy(out + first * s->in.config->V, logits, n * s->in.config->V * sizeof *logits);
    return MLS_OK;
}

/* Logits (T, V) of a setting, computed from its latent forms. */
static float *text_logits(setup *s, const char *text, int32_t *ids)
{
    const mls_config *c = s->in.config;
    size_t start[] = {0, T};
    const mls_corpus corpus = {.N = 1, .start = start, .ids = ids};
    float *out = malloc(T * c->V * sizeof *out);
    void *arg[] = {s, out};
    mls_ready_scheme *ready;
    mls_latent_runner *runner;
    mls_states states;
    mls_scheme scheme;

    make_scheme(&scheme, s, text);
    assert_ok(mls_scheme_prepare(&ready, &scheme, &s->in, &err));
    assert_ok(mls_latent_runner_new(&runner, T, WORKERS, false, &err));
    assert_ok(mls_states_embed(&states, s->model, &corpus, &err));
    for (size_t l = 0; l < c->L; l++) {
        mls_layer layer;
        mls_layer_stats stats = {0};
        mls_latent_form form;

        assert_ok(mls_model_layer(s->model, l, &layer, &err));
        if (s->in.capture)
            assert_ok(mls_capture_stats(s->in.capture, l, &stats, &err));
        assert_ok(mls_scheme_build(ready, &layer, s->in.capture ? &stats : NULL, &form,
                                   &err));
        assert_ok(mls_latent_runner_set(runner, &form, NULL, &err));
        assert_ok(mls_layer_forward(c, &layer, &states, mls_latent_attention, runner,
                                    s->in.pool, &err));
        mls_latent_free(&form);
        mls_layer_stats_free(&stats);
        mls_layer_free(&layer);
    }
    assert_ok(logits_show(s->model, &states, keep_logits, arg, s->in.pool, &err));
    mls_states_free(&states);
    mls_latent_runner_free(runner);
    mls_ready_scheme_free(ready);
    mls_scheme_free(&scheme);
    return out;
}

/* --- Against PyTorch --- */

static void pytorch_gets_our_logits_from_the_exported_checkpoints(void **state)
{
    (void)state;
    setup s;
    char *text, *save = NULL;
    float *logits = NULL;
    int32_t ids[T];
    size_t len, n_ids = 0, n_cases = 0, n_numbers = 0;

    open_model(&s, test_source("datasets/demo"));
    capture(&s);
    assert_ok(mls_file_read(test_source("tests/reference/export.txt"), 1 << 20, &text,
                            &len, &err));
    for (char *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        if (strncmp(line, "ids ", 4) == 0) {
            for (char *p = line + 4, *end; n_ids < T; p = end)
                ids[n_ids++] = (int32_t)strtol(p, &end, 10);
        } else if (strncmp(line, "case ", 5) == 0) {
            free(logits);
            logits = text_logits(&s, line + 5, ids);
            n_cases++;
        } else if (strncmp(line, "logits ", 7) == 0) {
            char *p;
            const size_t t = strtoul(line + 7, &p, 10);

            assert_true(t < T);
            while (*p == ' ') {
                const size_t id = strtoul(p, &p, 10);

                assert_true(id < s.in.config->V && *p == '=');
                assert_close((double)logits[t * s.in.config->V + id], strtod(p + 1, &p),
                             1e-4);
                n_numbers++;
            }
        }
    }
    assert_int_equal(n_cases, 6);
    assert_true(n_numbers > 100);
    free(logits);
    free(text);
    close_model(&s);
}

/* --- Read back by us --- */

static double largest_difference(setup *s, const char *setting, const char *folder)
{
    int32_t ids[T];
    char converted[256];
    double most = 0.0;
    float *a, *b;

    for (size_t t = 0; t < T; t++)
        ids[t] = (int32_t)((t * 37 + 5) % s->in.config->V);
    snprintf(converted, sizeof converted, "converted path=%s", folder);
    a = text_logits(s, setting, ids);
    b = text_logits(s, converted, ids);
    for (size_t i = 0; i < T * s->in.config->V; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    free(a);
    free(b);
    return most;
}

/*
 * A checkpoint of two layers with E = 32, D = 8 and biases on q, k and v: its folder,
 * in scratch, one for every name.
 */
static const char *small_model(const char *name, size_t G)
{
    const char *folder = test_scratch(name);
    char text[1024], *path;
    mls_tensor_plan *plan;
    mls_tensor_need *need;
    mls_safetensors_writer *w;
    mls_config config;
    mls_rng rng;

    assert_ok(mls_folder_prepare(folder, &err));
    snprintf(text, sizeof text,
             "{\"architectures\": [\"Qwen2ForCausalLM\"], \"model_type\": \"qwen2\", "
             "\"vocab_size\": 40, \"hidden_size\": 32, \"intermediate_size\": 48, "
             "\"num_hidden_layers\": 2, \"num_attention_heads\": 4, "
             "\"num_key_value_heads\": %zu, \"max_position_embeddings\": 128, "
             "\"rms_norm_eps\": 1e-5, \"rope_theta\": 100.0, \"hidden_act\": \"silu\", "
             "\"tie_word_embeddings\": false, \"torch_dtype\": \"float32\"}",
             G);
    path = mls_path_join(folder, "config.json");
    assert_ok(mls_file_write(path, text, strlen(text), &err));
    free(path);
    assert_ok(mls_config_read(&config, folder, &err));
    const size_t n = mls_tensor_needs(&config);
    plan = calloc(n, sizeof *plan);
    need = calloc(n, sizeof *need);
    for (size_t i = 0; i < n; i++) {
        need[i] = mls_tensor_need_at(&config, i);
        plan[i] = (mls_tensor_plan){
            need[i].name, "F32", need[i].cols ? 2 : 1, {need[i].rows, need[i].cols}};
    }
    path = mls_path_join(folder, "model.safetensors");
    assert_ok(mls_safetensors_create(&w, path, plan, n, NULL, 0, &err));
    mls_rng_seed(&rng, 5, G);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < need[i].rows * (need[i].cols ? need[i].cols : 1); k++) {
            const float x = (float)((need[i].cols ? 0.25 : 0.6) * mls_rng_normal(&rng));

            assert_ok(mls_safetensors_write_f32(w, &x, 1, &err));
        }
    assert_ok(mls_safetensors_finish(w, &err));
    free(path);
    free(plan);
    free(need);
    return folder;
}

static void a_converted_checkpoint_gives_the_logits_of_its_setting(void **state)
{
    (void)state;
    setup s;
    const char *low = test_scratch("ds-low"), *theirs = test_scratch("ds-theirs");

    /* Biases of keys are dropped, of values folded, of queries kept. */
    open_model(&s, small_model("small-gqa", 2));
    assert_ok(export(&s, "x-ecomla init=paired rope=low rank=12 rope_dim=4 qrank=20",
                     "deepseek", low, &err));
    assert_true(largest_difference(
                    &s, "x-ecomla init=paired rope=low rank=12 rope_dim=4 qrank=20",
                    low) < 1e-4);
    assert_ok(export(&s, "x-ecomla rank=20 rope_dim=4", "deepseek", theirs, &err));
    assert_true(largest_difference(&s, "x-ecomla rank=20 rope_dim=4", theirs) < 1e-4);
    assert_true(largest_difference(&s, "x-ecomla rank=12 rope_dim=4", theirs) > 1e-2);
    close_model(&s);
}

/* RMSNorm that does nothing, RMSNorm fitted to data; with a low-rank query, too. */
static void a_norm_of_the_latents_is_written_as_asked(void **state)
{
    (void)state;
    static const char setting[] =
        "x-ecomla init=paired rope=low rank=96 rope_dim=16 qrank=128";
    const char *linear = test_scratch("linear"), *other = test_scratch("linear-own");
    const char *fitted = test_scratch("fitted");
    setup s, biased;
    mls_checkpoint *c;
    double difference;

    open_model(&s, test_source("datasets/demo"));
    assert_refused(
        export_as(&s, setting, "deepseek", fitted, "F32", MLS_NORM_FITTED, &err),
        MLS_E_INPUT, "needs --capture RUN.h5");
    assert_refused(
        export_as(&s, setting, "deepseek", fitted, "F16", MLS_NORM_LINEAR, &err),
        MLS_E_INPUT, "--dtype bf16");
    capture(&s);
    assert_ok(export_as(&s, setting, "deepseek", linear, "F32", MLS_NORM_LINEAR, &err));
    assert_true(largest_difference(&s, setting, linear) < 1e-4);
    assert_ok(export_as(&s, setting, "deepseek", other, NULL, MLS_NORM_LINEAR, &err));
    assert_true(largest_difference(&s, setting, other) < 0.1); /* bf16, as the model */
    assert_ok(export_as(&s, setting, "deepseek", fitted, "F32", MLS_NORM_FITTED, &err));
    difference = largest_difference(&s, setting, fitted);
    assert_true(difference > 0.01); /* another function, as its README says */
    close_model(&s);

    assert_ok(mls_checkpoint_open(&c, linear, &err));
    assert_close(mls_checkpoint_config(c)->rms_eps, 1e-6, 0);
    assert_false(mls_checkpoint_config(c)->tied_embeddings);
    mls_checkpoint_close(c);
    assert_ok(mls_checkpoint_open(&c, other, &err));
    assert_string_equal(mls_checkpoint_find(c, "lm_head.weight", NULL)->dtype, "BF16");
    mls_checkpoint_close(c);

    open_model(&biased, small_model("small-biased", 2));
    /* a bias of queries: one more number of low-rank queries, whose rows are x and 1 */
    other = test_scratch("biased");
    assert_ok(export_as(&biased, "x-ecomla rank=20 rope_dim=4", "deepseek", other,
                        "F32", MLS_NORM_LINEAR, &err));
    close_model(&biased);
    assert_ok(mls_checkpoint_open(&c, other, &err));
    const mls_tensor_info *q_a =
        mls_checkpoint_find(c, "model.layers.1.self_attn.q_a_proj.weight", NULL);
    const mls_tensor_info *q_a_b =
        mls_checkpoint_find(c, "model.layers.1.self_attn.q_a_proj.bias", NULL);

    assert_int_equal(q_a->shape[0], q_a->shape[1] + 1);
    assert_int_equal(q_a_b->shape[0], q_a->shape[0]);
    assert_null(mls_checkpoint_find(c, "model.layers.1.self_attn.q_b_proj.bias", NULL));
    mls_checkpoint_close(c);
}

/* Keys and tensors of llama.cpp's deepseek2: k_b is kv_b's keys, transposed. */
static void a_gguf_export_holds_the_deepseek_folder(void **state)
{
    (void)state;
    static const char setting[] = "x-ecomla init=paired rank=96 rope_dim=32";
    const char *folder = test_scratch("gguf"), *same = test_scratch("gguf-folder");
    enum { NOPE = 32, RANK = 96, V = 64, H = 6 };
    static float k_b[H * RANK * NOPE], v_b[H * V * RANK], kv_b[H * (NOPE + V) * RANK];
    const mls_gguf_header *head;
    const mls_gguf_value *tokens;
    char path[1200];
    uint64_t x = 0;
    mls_checkpoint *c;
    mls_gguf *f;
    setup s;

    open_model(&s, test_source("datasets/demo"));
    assert_ok(export_as(&s, setting, "gguf", folder, "F32", MLS_NORM_LINEAR, &err));
    assert_ok(export_as(&s, setting, "deepseek", same, "F32", MLS_NORM_LINEAR, &err));
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    assert_ok(mls_gguf_open(&f, path, &err));
    head = mls_gguf_head(f);
    assert_ok(mls_gguf_whole(f, "deepseek2.attention.key_length", &x, &err));
    assert_int_equal(x, RANK + 32);
    assert_ok(mls_gguf_whole(f, "deepseek2.attention.key_length_mla", &x, &err));
    assert_int_equal(x, NOPE + 32);
    assert_ok(
        mls_gguf_array(f, "tokenizer.ggml.tokens", MLS_GGUF_STRING, &tokens, &err));
    assert_int_equal(tokens->n, 2048);
    assert_ok(mls_gguf_read_f32(f,
                                mls_gguf_header_tensor(head, "blk.3.attn_k_b.weight"),
                                0, H * RANK * NOPE, k_b, &err));
    assert_ok(mls_gguf_read_f32(f,
                                mls_gguf_header_tensor(head, "blk.3.attn_v_b.weight"),
                                0, H * V * RANK, v_b, &err));
    assert_ok(mls_checkpoint_open(&c, same, &err));
    assert_ok(mls_checkpoint_read(c, "model.layers.3.self_attn.kv_b_proj.weight",
                                  H * (NOPE + V), RANK, kv_b, &err));
    for (size_t h = 0; h < H; h++)
        for (size_t j = 0; j < RANK; j++) {
            const float *up = kv_b + h * (NOPE + V) * RANK;

            for (size_t i = 0; i < NOPE; i++)
                assert_true(k_b[(h * RANK + j) * NOPE + i] == up[i * RANK + j]);
            for (size_t i = 0; i < V; i++)
                assert_true(v_b[(h * V + i) * RANK + j] == up[(NOPE + i) * RANK + j]);
        }
    mls_checkpoint_close(c);
    mls_gguf_close(f);
    close_model(&s);

    open_model(&s, small_model("small-gguf", 2));
    assert_refused(export(&s, "x-ecomla rank=20 rope_dim=4", "gguf",
                          test_scratch("gguf-biased"), &err),
                   MLS_E_INPUT, "bias");
    close_model(&s);
}

/*
 * Folders load by model_type: what DeepSeek's layers do not compute is written in their
 * form (gains of 1 + w, scaled embeddings) or refused.
 */
static void a_model_that_deepseek_layers_do_not_compute_is_refused(void **state)
{
    (void)state;
    setup s;
    mls_config config;
    const char *folder = test_scratch("unfit");

    open_model(&s, small_model("small-unfit", 2));
    config = *s.in.config;
    s.in.config = &config;
    config.net.act = MLS_ACT_GELU;
    assert_refused(export(&s, "x-ecomla rank=20 rope_dim=4", "deepseek", folder, &err),
                   MLS_E_INPUT, "no SiLU-gated MLP");
    config.net.act = MLS_ACT_SILU;
    config.net.parallel = true;
    assert_refused(export(&s, "x-ecomla rank=20 rope_dim=4", "deepseek", folder, &err),
                   MLS_E_INPUT, "side by side");
    config.net.parallel = false;
    config.net.logit_scale = 0.5;
    assert_refused(export(&s, "x-ecomla rank=20 rope_dim=4", "deepseek", folder, &err),
                   MLS_E_INPUT, "logits");
    close_model(&s);
}

/*
 * Blocks are decoded into --dtype, rows of q and k put in order; the norms are copied.
 */
static void a_quantized_gguf_model_is_exported_as_what_it_computes(void **state)
{
    (void)state;
    static const char setting[] = "x-ecomla init=paired rope=low rank=96 rope_dim=16";
    const char *path = test_scratch("demo-q8_0.gguf"),
               *folder = test_scratch("ds-q8_0");
    char name[1200], *readme;
    mls_checkpoint *c;
    size_t len;
    setup s;

    assert_ok(mls_checkpoint_open(&c, test_source("datasets/demo"), &err));
    save_demo(path, c, &mls_ggml_q8_0);
    mls_checkpoint_close(c);
    open_model(&s, path);
    assert_ok(export(&s, setting, "deepseek", folder, &err));
    assert_true(largest_difference(&s, setting, folder) < 1e-4);
    assert_ok(mls_checkpoint_open(&c, folder, &err));
    assert_string_equal(mls_checkpoint_find(c, "model.norm.weight", NULL)->dtype,
                        "F32");
    mls_checkpoint_close(c);
    snprintf(name, sizeof name, "%s/README.md", folder);
    assert_ok(mls_file_read(name, 1 << 20, &readme, &len, &err));
    assert_non_null(strstr(readme, "There is no tokenizer.json"));
    free(readme);
    close_model(&s);
}

static void latent_files_give_back_every_form_exactly(void **state)
{
    (void)state;
    static const char *const settings[] = {
        "baseline bits=8", "gqa2mla",
        "mha2mla rope=high chunks=1 rank=4 bits=4 layers=1",
        "elitekv rope=uniform svd=split chunks=2 rank_k=3 rank_v=9",
        "x-ecomla init=paired rank=12 rope_dim=4 qrank=20"};
    setup s;
    char name[32];

    open_model(&s, small_model("small-latent", 2));
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        snprintf(name, sizeof name, "forms-%zu", i);
        const char *folder = test_scratch(name);

        assert_ok(export(&s, settings[i], "latent", folder, &err));
        assert_close(largest_difference(&s, settings[i], folder), 0.0, 0.0);
    }
    close_model(&s);
}

/* Sequences of T tokens for a model of 40 tokens. */
static void small_corpus(mls_corpus *corpus, size_t n)
{
    *corpus = (mls_corpus){.N = n,
                           .n_ids = n * T,
                           .ids = calloc(n * T, sizeof *corpus->ids),
                           .start = calloc(n + 1, sizeof *corpus->start)};
    for (size_t i = 0; i < n * T; i++)
        corpus->ids[i] = (int32_t)((i * i + 7 * i / T) % 40);
    for (size_t i = 0; i <= n; i++)
        corpus->start[i] = i * T;
    snprintf(corpus->sha256, sizeof corpus->sha256, "%064d", 1);
}

/* Sharing a layer's cache, dropping tokens and heads of their own ranks included. */
static void a_latent_folder_of_every_method_is_measured_as_its_setting(void **state)
{
    (void)state;
    const mls_capture_options options = {.n_windows = 2, .command = "test"};
    size_t n = 0;
    mls_corpus corpus;
    setup s;

    small_corpus(&corpus, 6);
    open_model(&s, small_model("small-every", 2));
    assert_ok(mls_capture_run(s.model, &corpus, test_scratch("every.h5"), &options,
                              s.in.pool, NULL, &err));
    assert_ok(mls_capture_open(&s.in.capture, test_scratch("every.h5"), &err));
    for (const mls_method *const *m = mls_methods; *m; m++, n++) {
        const char *folder = test_scratch("every"), *name = (*m)->name;
        char text[128], path[256];
        mls_scheme scheme[2];
        mls_evaluation e;

        if (*m == &mls_method_truncate) /* of latents: test_truncate.c */
            continue;
        snprintf(text, sizeof text, "%s%s", name,
                 strcmp(name, "kvsharer") == 0   ? " layers_shared=1 gate=0"
                 : strcmp(name, "kqsvd") == 0    ? " rank_k=2:7 rank_v=5:3"
                 : strcmp(name, "transmla") == 0 ? " rank=12 rope_dim=4"
                 : strcmp(name, "lillama") == 0  ? " rank=8 skip=0"
                                                 : "");
        snprintf(path, sizeof path, "%s-%zu", folder, n);
        assert_ok(export(&s, text, "latent", path, &err));
        make_scheme(&scheme[0], &s, text);
        snprintf(text, sizeof text, "converted path=%.100s", path);
        make_scheme(&scheme[1], &s, text);
        const mls_variant variant[] = {{.scheme = &scheme[0], .only_layer = MLS_NONE},
                                       {.scheme = &scheme[1], .only_layer = MLS_NONE}};

        assert_ok(mls_evaluate(&e, &s.in, &corpus, variant, 2, NULL, NULL, &err));
        for (size_t i = 0; i < corpus.N; i++) {
            assert_true(e.variant[0].seq_kl[i] == e.variant[1].seq_kl[i]);
            assert_true(e.variant[0].seq_nll[i] == e.variant[1].seq_nll[i]);
        }
        assert_int_equal(e.variant[0].elements, e.variant[1].elements);
        mls_evaluation_free(&e);
        mls_scheme_free(&scheme[0]);
        mls_scheme_free(&scheme[1]);
    }
    assert_true(n >= 16);
    mls_corpus_free(&corpus);
    close_model(&s);
}

/* Every byte that is changed is refused, or the form is still a valid one. */
static void damaged_latent_files_do_no_harm(void **state)
{
    (void)state;
    setup s;
    char file[256], *data, *copy;
    size_t len, refused = 0;
    mls_rng rng;
    const char *folder = test_scratch("damaged"), *path = test_scratch("mutant");

    open_model(&s, small_model("small-damaged", 2));
    assert_ok(export(&s,
                     "elitekv rope=high svd=split chunks=2 rank_k=3 rank_v=9 bits=4",
                     "latent", folder, &err));
    snprintf(file, sizeof file, "%s/layer-00001.safetensors", folder);
    assert_ok(mls_file_read(file, 1 << 20, &data, &len, &err));
    copy = malloc(len);
    mls_rng_seed(&rng, 3, 3);
    for (size_t round = 0; round < 600; round++) {
        mls_latent_origin origin;
        mls_latent_form f;
        size_t n = len;

        memcpy(copy, data, len);
        for (size_t k = 0; k < 1 + round % 3; k++)
            copy[(size_t)(mls_rng_uniform(&rng) * (round % 2 ? 4000 : 1900))] =
                (char)(mls_rng_uniform(&rng) * 127);
        if (round % 7 == 0)
            n = (size_t)(mls_rng_uniform(&rng) * (double)len);
        assert_ok(mls_file_write(path, copy, n, &err));
        if (mls_latent_read(&f, &origin, path, NULL))
            refused++;
        else
            mls_latent_free(&f);
    }
    assert_true(refused > 200);
    free(copy);
    free(data);
    close_model(&s);
}

static void ranks_for_elitekv_are_those_of_the_rule(void **state)
{
    (void)state;
    setup s;
    const char *folder = test_scratch("elitekv");
    mls_rankfile f;
    char path[256];

    open_model(&s, small_model("small-mha", 4));
    assert_ok(export(&s, "elitekv rope=low chunks=3 rank=16", "elitekv", folder, &err));
    snprintf(path, sizeof path, "%s/RoPElite_3.pkl", folder);
    assert_ok(mls_rankfile_read(&f, path, &err));
    assert_int_equal(f.kind, MLS_RANKFILE_ORDERS);
    assert_int_equal(f.L, 2);
    assert_int_equal(f.heads, 4);
    assert_int_equal(f.C, 4);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(f.order[i * 4 + 3], 0); /* the fastest comes last */
    mls_rankfile_free(&f);
    close_model(&s);
}

static void a_rank_file_in_a_setting_gives_the_logits_of_its_rule(void **state)
{
    (void)state;
    setup s;
    const char *folder = test_scratch("rank-file"), *pkl = test_scratch("rank-pkl");
    int32_t ids[T];
    char text[256];
    float *a, *b;

    for (size_t t = 0; t < T; t++)
        ids[t] = (int32_t)(t % 40);
    open_model(&s, small_model("small-ranks", 4));
    a = text_logits(&s, "mha2mla rope=uniform chunks=2 rank=4", ids);
    assert_ok(
        export(&s, "mha2mla rope=uniform chunks=2 rank=4", "mha2mla", folder, &err));
    snprintf(text, sizeof text, "mha2mla rope=file:%s/2-norm_rank.pth chunks=2 rank=4",
             folder);
    b = text_logits(&s, text, ids);
    assert_memory_equal(a, b, T * s.in.config->V * sizeof *a);
    free(b);
    assert_ok(
        export(&s, "elitekv rope=uniform chunks=2 rank=16", "elitekv", pkl, &err));
    snprintf(text, sizeof text, "mha2mla rope=file:%s/RoPElite_2.pkl chunks=2 rank=4",
             pkl);
    b = text_logits(&s, text, ids);
    assert_memory_equal(a, b, T * s.in.config->V * sizeof *a);
    free(b);
    free(a);
    close_model(&s);
}

/* --- Refused --- */

static void assert_cannot(const setup *s, const char *setting, const char *target,
                          const char *part)
{
    const char *folder = test_scratch("refused/out"), *above = test_scratch("refused");
    size_t n = 0;
    DIR *dir;

    assert_ok(mls_folder_prepare(above, &err));
    assert_refused(export(s, setting, target, folder, &err), MLS_E_INPUT, part);
    dir = opendir(above);
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    assert_int_equal(n, 2); /* "." and "..": nothing half-written stays */
}

static void what_a_target_cannot_express_is_refused_and_leaves_nothing(void **state)
{
    (void)state;
    setup s, four;
    char other[256];

    open_model(&s, small_model("small-refused", 2));
    assert_cannot(&s, "mha2mla rope=high chunks=1 rank=4", "deepseek",
                  "rope keys of its own for each head");
    assert_cannot(&s, "gqa2mla", "deepseek", "transmla, and x-ecomla with init=paired");
    assert_cannot(&s, "x-ecomla init=paired rank=8 rope_dim=4 layers=1", "deepseek",
                  "layer 0");
    assert_cannot(&s, "x-ecomla init=paired rank=8 rope_dim=0", "deepseek",
                  "has no rope key");
    assert_ok(export(&s, "mha2mla rope=high chunks=1 rank=4", "mha2mla",
                     test_scratch("of-two"), &err));
    snprintf(other, sizeof other, "mha2mla rope=file:%s/2-norm_rank.pth chunks=1",
             test_scratch("of-two"));
    open_model(&four, small_model("small-four", 4));
    assert_cannot(&four, other, "mha2mla", "2 heads and 4 chunks, but the model has");
    close_model(&four);
    assert_cannot(&s, "elitekv rope=high chunks=1 rank=8", "elitekv",
                  "this model has 2 of 4; mha2mla keeps the same chunks");
    close_model(&s);
}

static void a_plan_with_a_setting_per_layer_is_refused_where_one_counts(void **state)
{
    (void)state;
    setup s;
    mls_setting setting[2];
    mls_scheme scheme;
    const char *folder = test_scratch("per-layer");

    open_model(&s, small_model("small-plan", 2));
    assert_ok(
        mls_setting_parse(&setting[0], "mha2mla rope=high chunks=1 rank=4", &err));
    assert_ok(mls_setting_parse(&setting[1], "mha2mla rope=low chunks=3 rank=4", &err));
    assert_ok(mls_scheme_per_layer(&scheme, "a plan", setting, 2, &err));
    const mls_export job = {.target = "mha2mla",
                            .folder = folder,
                            .model_name = "m",
                            .command = "test",
                            .in = &s.in,
                            .scheme = &scheme,
                            .dtype = "F32"};

    assert_refused(mls_export_write(&job, &err), MLS_E_INPUT,
                   "layer 0 has 1, layer 1 has 3; the nearest is 2 in every layer");
    assert_false(mls_folder_exists(folder));
    mls_scheme_free(&scheme);
    close_model(&s);
}

static void conversions_of_another_model_are_refused(void **state)
{
    (void)state;
    setup a, b;
    const char *latent = test_scratch("of-a"), *deepseek = test_scratch("ds-of-a");
    mls_ready_scheme *ready;
    mls_scheme scheme;
    char text[256];

    open_model(&a, small_model("model-a", 2));
    open_model(&b, small_model("model-b", 4));
    assert_ok(export(&a, "gqa2mla", "latent", latent, &err));
    assert_ok(export(&a, "x-ecomla rank=16 rope_dim=4", "deepseek", deepseek, &err));
    snprintf(text, sizeof text, "converted path=%s", latent);
    make_scheme(&scheme, &b, text);
    assert_refused(mls_scheme_prepare(&ready, &scheme, &b.in, &err), MLS_E_INPUT,
                   "made from another model: SHA-256");
    mls_scheme_free(&scheme);
    snprintf(text, sizeof text, "converted path=%s", deepseek);
    make_scheme(&scheme, &b, text);
    assert_refused(mls_scheme_prepare(&ready, &scheme, &b.in, &err), MLS_E_INPUT,
                   "made from another model: SHA-256");
    mls_scheme_free(&scheme);
    close_model(&a);
    close_model(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pytorch_gets_our_logits_from_the_exported_checkpoints),
        cmocka_unit_test(a_converted_checkpoint_gives_the_logits_of_its_setting),
        cmocka_unit_test(a_norm_of_the_latents_is_written_as_asked),
        cmocka_unit_test(a_gguf_export_holds_the_deepseek_folder),
        cmocka_unit_test(a_model_that_deepseek_layers_do_not_compute_is_refused),
        cmocka_unit_test(a_quantized_gguf_model_is_exported_as_what_it_computes),
        cmocka_unit_test(latent_files_give_back_every_form_exactly),
        cmocka_unit_test(a_latent_folder_of_every_method_is_measured_as_its_setting),
        cmocka_unit_test(damaged_latent_files_do_no_harm),
        cmocka_unit_test(ranks_for_elitekv_are_those_of_the_rule),
        cmocka_unit_test(a_rank_file_in_a_setting_gives_the_logits_of_its_rule),
        cmocka_unit_test(what_a_target_cannot_express_is_refused_and_leaves_nothing),
        cmocka_unit_test(a_plan_with_a_setting_per_layer_is_refused_where_one_counts),
        cmocka_unit_test(conversions_of_another_model_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
