/* Whole models through every method at full rank. */
#include "tests/support/demo_bench.h"
#include "tests/support/named_weights.h"
#include "tests/support/random_model.h"

#include "common/numbers/rng.h"
#include "common/system/files.h"

enum { SETTINGS_MAX = 32 };

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
    bench_corpus(&b->calibration, &rng, CALIBRATION, V);
    bench_corpus(&b->measured, &rng, MEASURED, V);
    strcat(name, ".h5");
    bench_open(b, folder, test_scratch(name));
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
        found |= mls_methods[m] == &mls_method_truncate; /* test_truncate.c */
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
        bench_close(&b);
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
 * scales in the weights; the order of dims of another kind; soft-capped scores; sinks;
 * a gate on what heads read beside a recurrent layer.
 */
static const char *const converted[] = {"gemma3", "gpt_neox", "granite",   "stablelm",
                                        "gemma2", "gpt_oss",  "qwen3_next"};
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
    bench_corpus(&b.calibration, &rng, CALIBRATION, FAMILY_V);
    bench_corpus(&b.measured, &rng, MEASURED, FAMILY_V);
    snprintf(name, sizeof name, "identity-%s.h5", f->name);
    bench_open(&b, f->folder, test_scratch(name));
    expect_identity(&b, f->name);
    bench_close(&b);
}

static void families_at_full_rank_give_their_own_logits(void **state)
{
    family f = {0};

    (void)state;
    named_each_case(test_source("tests/families/logits.txt"), &f, begin_family,
                    read_family, end_family);
    assert_int_equal(f.converted, CONVERTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_method_with_an_identity_is_tested),
        cmocka_unit_test(the_demo_model_at_full_rank_gives_its_own_logits),
        cmocka_unit_test(models_of_every_shape_at_full_rank_give_their_own_logits),
        cmocka_unit_test(families_at_full_rank_give_their_own_logits),
    };

    return cmocka_run_group_tests(tests, bench_open_demo, bench_close_demo);
}
