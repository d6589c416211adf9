/* Whole models through every method at full rank, and what more rank may do. */
#include "tests/support/expect.h"
#include "tests/support/named_weights.h"
#include "tests/support/random_model.h"

#include "analysis/latent/predict.h"
#include "analysis/numeric/blas.h"
#include "bench/evaluate/evaluate.h"
#include "bench/evaluate/isolated.h"
#include "common/numbers/rng.h"
#include "common/system/files.h"

enum { T = 64, CALIBRATION = 4, MEASURED = 2, SETTINGS_MAX = 32 };

/*
 * Full rank and all chunks of every method that says it is then the model itself.
 * @C: chunks, @D: head dim, @G: KV heads, @F: G D, @K: rank of keys and values
 * together.
 */
static const struct {
    const char *method, *setting;
} full[] = {
    {"baseline", "baseline"},
    {"gqa2mla", "gqa2mla"},
    {"mha2mla", "mha2mla rope=high chunks=@C rank=@D"},
    {"elitekv", "elitekv rope=uniform-elite chunks=@C rank=@F"},
    {"transmla", "transmla freqfold=1 keep=@G rank=@F"},
    {"kq", "kq rank=@K"},
    {"kq", "kq rope=high chunks=@C rank=@F"},
    {"kq", "kq rope=shared freqfold=1 keep=@G turn=output rank=@F"},
    {"kq", "kq rope=shared freqfold=1 keep=1 rope_keys=@G rank=@F"},
    {"kq", "kq rope=shared freqfold=1 keep=1 latents=@G rank=@F basis=root"},
    {"lorc", "lorc rank=@F"},
    {"lorc", "lorc rule=cond-unverified dmin=@F dmax=@F"},
    {"asvd", "asvd rank=@F"},
    {"svdllm", "svdllm rank=@F"},
    {"palu", "palu group=M rank=@F"},
    {"palu", "palu group=G rank=@F"},
    {"palu", "palu group=J rank=@F"},
    {"palu", "palu group=J rank=@F alloc=loss"},
    {"eigen", "eigen rank=@D"},
    {"matryoshka", "matryoshka rank=@D"},
    {"matryoshka", "matryoshka rank=@D alloc=greedy-unverified"},
    {"kqsvd", "kqsvd rank=@D"},
    {"care", "care rank=@F"},
    {"care", "care rank=@F alloc=greedy"},
    {"lillama", "lillama skip=0 rank=@F"},
    {"lillama", "lillama skip=0 rank=@F init=features"},
    {"lillama", "lillama reduction=0"},
    {"kvsharer", "kvsharer layers_shared=0"},
    {"dbudgetkv", "dbudgetkv budget=1"},
    {"dbudgetkv", "dbudgetkv rule=norm-unverified threshold=0"},
};
enum { FULL = sizeof full / sizeof full[0] };

static void fill_in(char *out, const char *pattern, const mls_config *c)
{
    const size_t F = c->G * c->D;
    size_t at = 0;

    for (const char *p = pattern; *p; p++) {
        if (*p != '@') {
            out[at++] = *p;
            continue;
        }
        const char what = *++p;
        const size_t number = what == 'C'    ? c->D / 2
                              : what == 'D'  ? c->D
                              : what == 'G'  ? c->G
                              : what == 'F'  ? F
                              : 2 * F < c->E ? 2 * F
                                             : c->E;
        at += (size_t)sprintf(out + at, "%zu", number);
    }
    out[at] = '\0';
}

/* --- Models --- */

/* A model with everything that methods look at. */
typedef struct {
    mls_method_input in;
    mls_model *model;
    mls_corpus calibration, measured;
} bench;

static void random_corpus(mls_corpus *c, mls_rng *rng, size_t N, size_t V)
{
    *c = (mls_corpus){.N = N, .n_ids = N * T};
    c->ids = calloc(N * T, sizeof *c->ids);
    c->start = calloc(N + 1, sizeof *c->start);
    for (size_t n = 0; n <= N; n++)
        c->start[n] = n * T;
    for (size_t i = 0; i < N * T; i++)
        c->ids[i] = (int32_t)mls_rng_below(rng, V);
}

/* Opens the model of a folder and captures b->calibration. */
static void open_model(bench *b, const char *folder, const char *capture)
{
    const mls_capture_options options = {.sampling = "the first", .n_windows = 4};

    assert_ok(mls_pool_new(&b->in.pool, 2, &err));
    assert_ok(mls_model_open(&b->model, folder, &err));
    assert_ok(mls_capture_run(b->model, &b->calibration, capture, &options, b->in.pool,
                              NULL, &err));
    assert_ok(mls_capture_open(&b->in.capture, capture, &err));
    b->in.model = b->model;
    b->in.isolated_kl = mls_isolated_kl_of_model;
    b->in.config = mls_model_config(b->model);
}

static void close_model(bench *b)
{
    mls_capture_close(b->in.capture);
    mls_model_close(b->model);
    mls_pool_free(b->in.pool);
    mls_corpus_free(&b->calibration);
    mls_corpus_free(&b->measured);
}

/* The demo model is captured once for all tests, which change nothing of it. */
static int open_demo(void **state)
{
    static bench demo, *const b = &demo;
    static const char *const texts[] = {"datasets/demo/calibration.txt",
                                        "datasets/demo/evaluation.txt"};
    mls_tokenizer *tokenizer;

    mls_blas_single_thread(); /* the program's way: its threads only wait here */
    assert_ok(mls_tokenizer_open(&tokenizer, test_source("datasets/demo"), &err));
    for (size_t i = 0; i < 2; i++) {
        const char *path = test_source(texts[i]);

        assert_ok(mls_corpus_read(i ? &b->measured : &b->calibration, tokenizer, &path,
                                  1, T, i ? MEASURED : CALIBRATION, 0, &err));
    }
    mls_tokenizer_close(tokenizer);
    open_model(b, test_source("datasets/demo"), test_scratch("identity.h5"));
    *state = b;
    return 0;
}

static int close_demo(void **state)
{
    close_model(*state);
    return 0;
}

static const mls_random_shape shapes[] = {
    {"mha", "llama", 4, 4, 8, false, false},
    {"gqa", "llama", 6, 2, 8, false, false},
    {"biased", "qwen2", 4, 2, 12, true, false},
    {"qk-norm", "qwen3", 4, 2, 8, false, true},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0], E = MLS_RANDOM_E, V = MLS_RANDOM_V };

static void open_random(bench *b, const mls_random_shape *s)
{
    char name[64], folder[1024];
    mls_rng rng;

    memset(b, 0, sizeof *b);
    mls_rng_seed(&rng, 5, s->H * 100 + s->G * 10 + s->D);
    snprintf(name, sizeof name, "identity-%s", s->name);
    snprintf(folder, sizeof folder, "%s", test_scratch(name));
    random_model(folder, s, &rng);
    random_corpus(&b->calibration, &rng, CALIBRATION, V);
    random_corpus(&b->measured, &rng, MEASURED, V);
    strcat(name, ".h5");
    open_model(b, folder, test_scratch(name));
}

/* --- Identity --- */

static void measure(mls_evaluation *e, const bench *b, const mls_setting *settings,
                    size_t n)
{
    mls_scheme scheme[SETTINGS_MAX];
    mls_variant variant[SETTINGS_MAX];

    assert_true(n <= SETTINGS_MAX);
    for (size_t i = 0; i < n; i++) {
        assert_ok(mls_scheme_uniform(&scheme[i], &settings[i], b->in.config->L, &err));
        variant[i] = (mls_variant){&scheme[i], MLS_NONE};
    }
    assert_ok(mls_evaluate(e, &b->in, &b->measured, variant, n, NULL, NULL, &err));
    for (size_t i = 0; i < n; i++)
        mls_scheme_free(&scheme[i]);
}

/*
 * What the config alone promises is what the forms take; some sizes need the weights.
 */
static void expect_promised_size(const mls_config *c, const mls_setting *setting,
                                 const mls_cache_layout *built)
{
    const mls_size_request request = {100, 1, 1, 2, 16};
    static mls_cache_layout promised;
    mls_size_result a, b;
    mls_err refused = {0};

    if (mls_method_layout(&promised, c, setting, &refused)) {
        assert_non_null(strstr(refused.text, "needs the weights"));
        return;
    }
    mls_size(&a, &promised, &request);
    mls_size(&b, built, &request);
    assert_close(a.elements_per_token, b.elements_per_token, 0);
    assert_close(a.bytes_per_token, b.bytes_per_token, 0);
    assert_close(a.gpu_bytes, b.gpu_bytes, 0); /* what heads share is on every GPU */
}

static void expect_identity(const bench *b, const char *model)
{
    const mls_config *c = b->in.config;
    mls_setting settings[FULL];
    mls_evaluation e;
    size_t n = 0;

    for (size_t i = 0; i < FULL; i++) {
        char text[256];

        fill_in(text, full[i].setting, c);
        assert_ok(mls_setting_parse(&settings[n], text, &err));
        n++;
    }
    measure(&e, b, settings, n);
    for (size_t i = 0; i < n; i++) {
        const mls_quality *q = &e.variant[i];
        char text[256];

        if (!(q->kl_max < 1e-6) || q->top1.mean != 1.0)
            fail_msg("%s, %s: KL at most %g, same top-1 in %g", model,
                     mls_setting_text(&settings[i], text, sizeof text), q->kl_max,
                     q->top1.mean);
        assert_int_equal(q->n_scored, MEASURED * (T - 1));
        expect_promised_size(c, &settings[i], q->layout);
    }
    mls_evaluation_free(&e);
}

static void every_method_with_an_identity_is_tested(void **state)
{
    (void)state;
    for (size_t m = 0; mls_methods[m]; m++) {
        bool found = false;

        for (size_t i = 0; i < FULL; i++)
            found = found || strcmp(full[i].method, mls_methods[m]->name) == 0;
        if (found != mls_methods[m]->identity)
            fail_msg("%s: identity %d, tested %d", mls_methods[m]->name,
                     mls_methods[m]->identity, found);
    }
}

static void the_demo_model_at_full_rank_gives_its_own_logits(void **state)
{
    const bench *b = *state;

    expect_identity(b, "demo");
}

static void models_of_every_shape_at_full_rank_give_their_own_logits(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        bench b;

        open_random(&b, &shapes[i]);
        assert_int_equal(b.in.config->qkv_bias, shapes[i].biases);
        assert_int_equal(b.in.config->qk_norm, shapes[i].qk_norm);
        expect_identity(&b, shapes[i].name);
        close_model(&b);
    }
}

enum { FAMILY_V = 61 };

/* One model of tests/families/logits.txt. */
typedef struct {
    char name[NAMED_SIZE], folder[1024];
    uint64_t seed;
    named_tensor tensor[400];
    size_t n, converted;
} family;

static void begin_family(void *arg, char *line)
{
    family *f = arg;
    char name[NAMED_SIZE + 16];

    snprintf(f->name, sizeof f->name, "%s", named_word(&line));
    f->seed = named_whole(&line);
    f->n = 0;
    snprintf(name, sizeof name, "identity-%s", f->name);
    snprintf(f->folder, sizeof f->folder, "%s", test_scratch(name));
    assert_ok(mls_folder_prepare(f->folder, &err));
}

static void read_family(void *arg, char *line)
{
    family *f = arg;
    const char *kind = named_word(&line);

    if (strcmp(kind, "config") == 0) {
        char path[1100];

        snprintf(path, sizeof path, "%s/config.json", f->folder);
        assert_ok(mls_file_write(path, line, strlen(line), &err));
    } else if (strcmp(kind, "tensor") == 0) {
        assert_true(f->n < sizeof f->tensor / sizeof f->tensor[0]);
        named_parse(&f->tensor[f->n++], line);
    }
}

/*
 * Local RoPE and norms around; partial RoPE, parallel blocks and LayerNorm with biases;
 * scales in the weights; the order of dims of another kind.
 */
static const char *const converted[] = {"gemma3", "gpt_neox", "granite", "stablelm"};
enum { CONVERTED = sizeof converted / sizeof converted[0] };

static bool is_converted(const char *name)
{
    for (size_t i = 0; i < CONVERTED; i++)
        if (strcmp(converted[i], name) == 0)
            return true;
    return false;
}

static void end_family(void *arg)
{
    family *f = arg;
    char name[NAMED_SIZE + 20];
    bench b = {0};
    mls_rng rng;

    if (!is_converted(f->name))
        return;
    named_write(f->folder, f->tensor, f->n, f->seed);
    f->converted++;
    mls_rng_seed(&rng, 6, 0);
    random_corpus(&b.calibration, &rng, CALIBRATION, FAMILY_V);
    random_corpus(&b.measured, &rng, MEASURED, FAMILY_V);
    snprintf(name, sizeof name, "identity-%s.h5", f->name);
    open_model(&b, f->folder, test_scratch(name));
    expect_identity(&b, f->name);
    close_model(&b);
}

static void families_at_full_rank_give_their_own_logits(void **state)
{
    family f = {0};

    (void)state;
    named_each_case(test_source("tests/families/logits.txt"), &f, begin_family,
                    read_family, end_family);
    assert_int_equal(f.converted, CONVERTED);
}

/* --- Shared and shortened caches --- */

/* Quality of one setting, all layers or one alone. */
static mls_quality quality(const bench *b, const char *text, int only_layer)
{
    mls_setting setting;
    mls_scheme scheme;
    mls_evaluation e;
    const mls_variant variant = {&scheme, only_layer};

    assert_ok(mls_setting_parse(&setting, text, &err));
    assert_ok(mls_scheme_uniform(&scheme, &setting, b->in.config->L, &err));
    assert_ok(mls_evaluate(&e, &b->in, &b->measured, &variant, 1, NULL, NULL, &err));
    const mls_quality q = {.kl = e.variant[0].kl, .elements = e.variant[0].elements};
    mls_evaluation_free(&e);
    mls_scheme_free(&scheme);
    return q;
}

/* Layers before the first that differs are the original's, computed once for all. */
static void a_setting_of_late_layers_starts_at_the_first_of_them(void **state)
{
    static const struct {
        const char *text;
        size_t plain; /* layers at the front that are the model's own */
    } settings[] = {{"lorc rank=32 layers=4", 4},
                    {"lorc rank=32 layers=2,4", 2},
                    {"lorc rank=32 layers=4 quant=int4/64", 0},
                    {"baseline", 6},
                    {"baseline kquant=int4/64", 0}};
    const bench *b = *state;

    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        mls_ready_scheme *ready;
        mls_scheme scheme;
        mls_setting setting;
        size_t l = 0;

        assert_ok(mls_setting_parse(&setting, settings[i].text, &err));
        assert_ok(mls_scheme_uniform(&scheme, &setting, b->in.config->L, &err));
        assert_ok(mls_scheme_prepare(&ready, &scheme, &b->in, &err));
        while (l < b->in.config->L && mls_scheme_is_original(ready, l))
            l++;
        assert_int_equal(l, settings[i].plain);
        mls_ready_scheme_free(ready);
        mls_scheme_free(&scheme);
    }
    const double alone = quality(b, "lorc rank=32", 4).kl.mean;
    assert_true(alone > 0);
    assert_true(quality(b, "lorc rank=32 layers=4", MLS_NONE).kl.mean == alone);
    assert_true(quality(b, "lorc rank=32 layers=2,4", MLS_NONE).kl.mean > alone);
    assert_true(quality(b, "baseline", MLS_NONE).kl.mean == 0);
    assert_true(quality(b, "baseline kquant=int4/64", MLS_NONE).kl.mean > 0);
}

/* |a - b| of mean caches, head by head and position by position, from the windows. */
static double cache_distance(const bench *b, size_t i, size_t j, mls_window_part part)
{
    const mls_config *c = b->in.config;
    const size_t G = c->G, D = c->D, W = mls_capture_windows(b->in.capture);
    float *x = malloc(T * G * D * sizeof *x);
    double *mean = calloc(T * G * D, sizeof *mean), sum = 0;

    for (size_t w = 0; w < 2 * W; w++) {
        assert_ok(
            mls_capture_window(b->in.capture, w < W ? i : j, w % W, part, x, &err));
        for (size_t t = 0; t < T; t++)
            for (size_t k = 0; k < G * D; k++)
                mean[t * G * D + k] +=
                    (w < W ? 1.0 : -1.0) * (double)x[t * G * D + k] / (double)W;
    }
    for (size_t t = 0; t < T; t++) /* RoPE turns both alike: lengths stay */
        for (size_t g = 0; g < G; g++) {
            double square = 0;

            for (size_t k = 0; k < D; k++)
                square += pow(mean[(t * G + g) * D + k], 2);
            sum += sqrt(square);
        }
    free(mean);
    free(x);
    return sum / (double)(T * G);
}

static void kvsharer_shares_the_most_dissimilar_pair_that_passes_the_gate(void **state)
{
    size_t late = 0, early = 0;
    double most = 0;
    const bench *b = *state;

    const size_t L = b->in.config->L;
    for (size_t i = 1; i < L; i++)
        for (size_t j = 0; j < i; j++) {
            const double d = cache_distance(b, i, j, MLS_WINDOW_K) +
                             cache_distance(b, i, j, MLS_WINDOW_V);

            if (d > most) {
                most = d;
                late = i;
                early = j;
            }
        }
    mls_ready_scheme *ready;
    mls_scheme scheme;
    mls_setting setting;
    int share[MLS_LAYERS_MAX];

    assert_ok(mls_setting_parse(&setting, "kvsharer layers_shared=1 gate=0", &err));
    assert_ok(mls_scheme_uniform(&scheme, &setting, L, &err));
    assert_ok(mls_scheme_prepare(&ready, &scheme, &b->in, &err));
    assert_ok(mls_scheme_shares(ready, share, &err));
    for (size_t l = 0; l < L; l++)
        assert_int_equal(share[l], l == late ? (int)early : MLS_NONE);
    mls_ready_scheme_free(ready);
    mls_scheme_free(&scheme);

    /*
     * One layer alone is the whole setting; a layer that shares nothing is untouched.
     */
    const mls_quality all = quality(b, "kvsharer layers_shared=1 gate=0", MLS_NONE);
    const mls_quality alone = quality(b, "kvsharer layers_shared=1 gate=0", (int)late);

    assert_int_equal(all.elements, (L - 1) * 2 * b->in.config->G * b->in.config->D);
    assert_int_equal(alone.elements, all.elements);
    assert_true(all.kl.mean > 0.01);
    assert_close(alone.kl.mean, all.kl.mean, 1e-5);
    assert_close(quality(b, "kvsharer layers_shared=1 gate=0", 0).kl.mean, 0.0, 1e-7);

    /* Nothing passes a gate of 1. */
    const mls_variant variant = {&scheme, MLS_NONE};
    mls_evaluation e;

    assert_ok(mls_setting_parse(&setting, "kvsharer layers_shared=1 gate=1", &err));
    assert_ok(mls_scheme_uniform(&scheme, &setting, L, &err));
    assert_refused(
        mls_evaluate(&e, &b->in, &b->measured, &variant, 1, NULL, NULL, &err),
        MLS_E_INPUT, "only 0 layers can share");
    mls_scheme_free(&scheme);
}

/* Budget of a layer by the definition, attention from queries and keys. */
static double budget_by_hand(const bench *b, size_t l, double threshold)
{
    const mls_config *c = b->in.config;
    const size_t H = c->H, G = c->G, D = c->D, W = mls_capture_windows(b->in.capture);
    float *q = malloc(T * H * D * sizeof *q), *k = malloc(T * G * D * sizeof *k);
    double budget = 0;

    for (size_t w = 0; w < W; w++) {
        double column[T] = {0}, all = 0;
        size_t kept = T;

        assert_ok(mls_capture_window(b->in.capture, l, w, MLS_WINDOW_Q, q, &err));
        assert_ok(mls_capture_window(b->in.capture, l, w, MLS_WINDOW_K, k, &err));
        for (size_t h = 0; h < H; h++)
            for (size_t i = 0; i < T; i++) {
                double a[T], sum = 0;

                for (size_t j = 0; j <= i; j++) {
                    const float *x = q + (i * H + h) * D;
                    const float *y = k + (j * G + h / (H / G)) * D;
                    double dot = 0;

                    for (size_t p = 0; p < D / 2; p++) { /* as complex numbers */
                        const double angle = (double)(i - j) *
                                             pow(10000.0, -2.0 * (double)p / (double)D);
                        const double re = (double)x[p] * (double)y[p] +
                                          (double)x[p + D / 2] * (double)y[p + D / 2];
                        const double im = (double)x[p + D / 2] * (double)y[p] -
                                          (double)x[p] * (double)y[p + D / 2];

                        dot += re * cos(angle) - im * sin(angle);
                    }
                    a[j] = exp(dot / sqrt((double)D));
                    sum += a[j];
                }
                for (size_t j = 0; j <= i; j++)
                    column[j] += pow(a[j] / sum, 2);
            }
        for (size_t j = 0; j < T; j++)
            all += column[j];
        for (size_t n = T; n-- > MLS_BUDGET_SINKS;) { /* first 4 and the newest n - 4 */
            double left = 0;

            for (size_t j = 0; j < T; j++)
                left += j < MLS_BUDGET_SINKS || j + n >= T + MLS_BUDGET_SINKS
                            ? column[j]
                            : 0;
            if (n > MLS_BUDGET_SINKS && sqrt(left / all) >= 1 - threshold)
                kept = n;
        }
        budget += (double)kept / (double)T / (double)W;
    }
    free(q);
    free(k);
    return budget;
}

static void the_token_budget_is_what_the_norm_of_attention_allows(void **state)
{
    const bench *b = *state;

    for (size_t l = 1; l < b->in.config->L; l += 3) {
        mls_ready_scheme *ready;
        mls_scheme scheme;
        mls_setting setting;
        mls_latent_form form;
        mls_layer layer;

        assert_ok(mls_setting_parse(
            &setting, "dbudgetkv rule=norm-unverified threshold=0.1", &err));
        assert_ok(mls_scheme_uniform(&scheme, &setting, b->in.config->L, &err));
        assert_ok(mls_scheme_prepare(&ready, &scheme, &b->in, &err));
        assert_ok(mls_model_attention(b->model, l, &layer, &err));
        assert_ok(mls_scheme_build(ready, &layer, NULL, &form, &err));
        assert_true(form.token_budget < 1);
        assert_close(form.token_budget, budget_by_hand(b, l, 0.1), 1e-9);
        mls_latent_free(&form);
        mls_layer_free(&layer);
        mls_ready_scheme_free(ready);
        mls_scheme_free(&scheme);
    }
}

/* --- More rank --- */

static void predict(mls_predicted *out, const bench *b, const char *text)
{
    mls_ready_scheme *ready;
    mls_scheme scheme;
    mls_setting setting;
    mls_layer_stats stats;
    mls_latent_form form;
    mls_layer layer;

    assert_ok(mls_setting_parse(&setting, text, &err));
    assert_ok(mls_scheme_uniform(&scheme, &setting, b->in.config->L, &err));
    assert_ok(mls_scheme_prepare(&ready, &scheme, &b->in, &err));
    assert_ok(mls_model_attention(b->model, 1, &layer, &err));
    assert_ok(mls_capture_stats(b->in.capture, 1, &stats, &err));
    assert_ok(mls_scheme_build(ready, &layer, &stats, &form, &err));
    assert_ok(mls_predict(&form, b->in.config, &layer, &stats, T, b->in.pool, NULL, out,
                          &err));
    mls_latent_free(&form);
    mls_layer_stats_free(&stats);
    mls_layer_free(&layer);
    mls_ready_scheme_free(ready);
    mls_scheme_free(&scheme);
}

/* Larger by more than rounding; NaN, where a prediction does not exist, never is. */
static bool rises(double before, double after)
{
    return after > before + 1e-6 * (before + 1e-3);
}

/* kq and kqsvd nest in a weighted metric: of their values the output error falls. */
/* Of all directions the means are given back with biases and without. */
static void an_uncentred_latent_of_full_rank_is_the_centred_one(void **state)
{
    const bench *b = *state;

    const double centred =
        quality(b, "kq rope=shared rope_dim=32 rank=224", MLS_NONE).kl.mean;
    const double plain =
        quality(b, "kq rope=shared rope_dim=32 rank=224 centre=no", MLS_NONE).kl.mean;

    assert_true(centred > 0.01);
    assert_close(plain, centred, 1e-4);
}

static void more_rank_never_raises_a_predicted_error(void **state)
{
    static const struct {
        const char *setting; /* less the rank */
        size_t step, most;
        bool weighted;
    } cases[] = {
        {"lorc rank=", 32, 128, false},
        {"asvd rank=", 32, 128, false},
        {"svdllm rank=", 32, 128, false},
        {"palu group=M rank=", 32, 128, false},
        {"eigen rank=", 16, 64, false},
        {"matryoshka rank=", 16, 64, false},
        {"kqsvd rank=", 16, 64, true},
        {"kq rank=", 64, 256, true},
        {"mha2mla chunks=8 rank=", 28, 112, false},
    };
    const bench *b = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mls_predicted last = {0}, now;

        for (size_t rank = cases[i].step; rank <= cases[i].most;
             rank += cases[i].step) {
            char text[128];

            snprintf(text, sizeof text, "%s%zu", cases[i].setting, rank);
            predict(&now, b, text);
            if (rank > cases[i].step &&
                (rises(last.key, now.key) ||
                 (cases[i].weighted ? rises(last.output, now.output)
                                    : rises(last.value, now.value))))
                fail_msg("%s: key %g to %g, value %g to %g, output %g to %g", text,
                         last.key, now.key, last.value, now.value, last.output,
                         now.output);
            last = now;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_method_with_an_identity_is_tested),
        cmocka_unit_test(the_demo_model_at_full_rank_gives_its_own_logits),
        cmocka_unit_test(models_of_every_shape_at_full_rank_give_their_own_logits),
        cmocka_unit_test(families_at_full_rank_give_their_own_logits),
        cmocka_unit_test(a_setting_of_late_layers_starts_at_the_first_of_them),
        cmocka_unit_test(kvsharer_shares_the_most_dissimilar_pair_that_passes_the_gate),
        cmocka_unit_test(the_token_budget_is_what_the_norm_of_attention_allows),
        cmocka_unit_test(an_uncentred_latent_of_full_rank_is_the_centred_one),
        cmocka_unit_test(more_rank_never_raises_a_predicted_error),
    };

    return cmocka_run_group_tests(tests, open_demo, close_demo);
}
