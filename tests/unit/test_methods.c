/* What each method caches, and the settings that a model cannot take. */
#include "tests/support/expect.h"
#include "tests/support/uniform_config.h"

#include "bench/frame/common_keys.h"
#include "bench/frame/method.h"
#include "common/numbers/rng.h"

/* MHA of Llama-2-7B's attention: 2 G D = 8192 numbers per token and layer. */
static mls_config mha(void)
{
    return uniform_config(4, 4096, 32, 32, 128);
}

/* GQA of Llama-3.2-1B: 2 G D = 1024. */
static mls_config gqa(void)
{
    return uniform_config(4, 2048, 32, 8, 64);
}

static mls_status lay_out(mls_cache_layout *out, const mls_config *c, const char *text,
                          mls_err *err)
{
    mls_setting s;
    const mls_status st = mls_setting_parse(&s, text, err);

    return st ? st : mls_method_layout(out, c, &s, err);
}

/* Numbers per token of the first layer; all layers must cache the same. */
static size_t elements(const mls_config *c, const char *text)
{
    static mls_cache_layout layout;

    assert_ok(lay_out(&layout, c, text, &err));
    assert_int_equal(layout.L, c->L);
    for (size_t l = 1; l < layout.L; l++)
        assert_int_equal(mls_cache_elements(&layout.layer[l]),
                         mls_cache_elements(&layout.layer[0]));
    return mls_cache_elements(&layout.layer[0]);
}

#define assert_setting_refused(c, text, status, part)                                  \
    do {                                                                               \
        static mls_cache_layout layout_;                                               \
        assert_refused(lay_out(&layout_, c, text, &err), status, part);                \
    } while (0)

static void numbers_per_token_follow_the_formulas_of_the_projects(void **state)
{
    (void)state;
    const mls_config a = mha(), b = gqa();

    assert_int_equal(elements(&a, "baseline"), 8192);
    assert_int_equal(elements(&a, "gqa2mla"), 8192);
    /* G d_r + G d_kv, conversions.md 1.4 */
    assert_int_equal(elements(&a, "mha2mla chunks=8 rank=64"), 32 * 16 + 32 * 64);
    assert_int_equal(elements(&a, "mha2mla chunks=8 rank=16 rope=high"), 1024);
    assert_int_equal(elements(&a, "mha2mla chunks=8 rank=32 svd=split"),
                     32 * 16 + 2 * 32 * 32);
    assert_int_equal(elements(&a, "mha2mla chunks=8 svd=none"), 8192);
    assert_int_equal(elements(&a, "mha2mla chunks=8 rank=32 svd=only_key"),
                     32 * 16 + 32 * 32 + 32 * 128);
    assert_int_equal(elements(&a, "mha2mla chunks=8 rank=32 svd=only_value"),
                     32 * 16 + 32 * 112 + 32 * 32);
    assert_int_equal(elements(&b, "mha2mla chunks=4 rank=32"), 8 * 8 + 8 * 32);
    /* 2 r H + R: the README's r = 12, kv_dim = 2048 */
    assert_int_equal(elements(&a, "elitekv chunks=12 rank=2048"), 2816);
    assert_int_equal(elements(&a, "elitekv svd=split chunks=12 rank_k=512 rank_v=1024"),
                     768 + 512 + 1024);
    /* r_kv + d_r, whatever G is */
    assert_int_equal(elements(&b, "x-ecomla rank=512 rope_dim=32"), 544);
    assert_int_equal(elements(&a, "transmla rank=512 rope_dim=64"), 576);
    assert_int_equal(elements(&a, "transmla rank=448 rope_dim=128 freqfold=8"), 576);
    /* r_k + r_v of the layer, or of each KV head */
    assert_int_equal(elements(&b, "lorc rank=100"), 200);
    assert_int_equal(elements(&b, "asvd rank_k=64 rank_v=96"), 160);
    assert_int_equal(elements(&b, "svdllm rank=100 rank_v=30"), 130);
    assert_int_equal(elements(&b, "palu group=G rank=77"), 154);
    assert_int_equal(elements(&b, "palu group=M rank=77"), 154);
    assert_int_equal(elements(&b, "care rank=8"), 16);
    assert_int_equal(elements(&b, "eigen rank_k=10 rank_v=20"), 8 * 30);
    assert_int_equal(elements(&b, "matryoshka rank=16"), 8 * 32);
    assert_int_equal(elements(&b, "kqsvd rank=5"), 8 * 10);
    assert_int_equal(elements(&b, "lillama skip=0 rank=100"), 200);
    assert_int_equal(elements(&b, "dbudgetkv budget=0.5"), 1024);
}

static void defaults_are_the_settings_that_the_projects_use_most(void **state)
{
    (void)state;
    const mls_config a = mha(), b = gqa();

    assert_int_equal(elements(&a, "mha2mla"), 2560); /* -68.75 % */
    assert_int_equal(elements(&a, "elitekv"), 2816); /* README */
    assert_int_equal(elements(&a, "transmla"), 576); /* README */
    assert_int_equal(elements(&b, "transmla"), 576); /* README */
    assert_int_equal(elements(&b, "x-ecomla"), 544); /* Table 1 */
    assert_int_equal(elements(&b, "mha2mla"), 8 * 8 + 8 * 32);
}

static void full_rank_and_full_rope_cache_as_much_as_the_model(void **state)
{
    (void)state;
    const mls_config a = gqa();

    assert_int_equal(elements(&a, "mha2mla chunks=32 rank=64"), 1024);
    assert_int_equal(elements(&a, "mha2mla chunks=16 rank=96"), 1024);
    assert_int_equal(elements(&a, "elitekv chunks=32 rank=512"), 1024);
    assert_int_equal(elements(&a, "elitekv chunks=0 rank=1024"), 1024);
    assert_int_equal(elements(&a, "transmla rope_dim=64 rank=960"), 1024);
    assert_int_equal(elements(&a, "elitekv svd=split chunks=32 rank_k=0 rank_v=512"),
                     1024);
}

static void impossible_numbers_are_refused_with_the_nearest_possible_one(void **state)
{
    (void)state;
    const mls_config a = mha(), b = gqa();
    mls_config bias = gqa();

    assert_setting_refused(&a, "mha2mla chunks=65", MLS_E_INPUT, "possible is 64");
    assert_setting_refused(&b, "mha2mla chunks=4 rank=121", MLS_E_INPUT,
                           "mha2mla: rank=121 is more than 120");
    assert_setting_refused(&a, "mha2mla chunks=8 rank=200", MLS_E_INPUT,
                           "possible is 128"); /* E / G: W has only E columns */
    assert_setting_refused(&b, "mha2mla chunks=16 rank=33 svd=split", MLS_E_INPUT,
                           "possible is 32");
    assert_setting_refused(&b, "mha2mla svd=none rank=4", MLS_E_INPUT, "takes no rank");
    assert_setting_refused(&b, "elitekv chunks=12 rank=833", MLS_E_INPUT,
                           "possible is 832");
    assert_setting_refused(&b, "elitekv chunks=33", MLS_E_INPUT, "possible is 32");
    assert_setting_refused(&b, "elitekv svd=split rank=4", MLS_E_INPUT, "rank_k");
    assert_setting_refused(&b, "elitekv rank_k=4", MLS_E_INPUT, "svd=split");
    assert_setting_refused(&b, "elitekv svd=split rank_k=321 chunks=12", MLS_E_INPUT,
                           "possible is 320");
    assert_setting_refused(&b, "elitekv svd=split rank_v=513", MLS_E_INPUT,
                           "possible is 512");
    assert_setting_refused(&b, "x-ecomla rank=1025", MLS_E_INPUT, "possible is 1024");
    assert_setting_refused(&b, "x-ecomla rope_dim=66", MLS_E_INPUT, "possible is 64");
    assert_setting_refused(&b, "x-ecomla rope_dim=31", MLS_E_INPUT, "possible is 30");
    assert_setting_refused(&b, "x-ecomla energy=0.9", MLS_E_INPUT, "needs the weights");
    assert_setting_refused(&b, "transmla rank=961 rope_dim=64", MLS_E_INPUT,
                           "possible is 960");
    assert_setting_refused(&a, "transmla rank=4097", MLS_E_INPUT, "possible is 4096");
    bias.E = 512;
    bias.qkv_bias = true;
    assert_int_equal(elements(&bias, "transmla rank=513 rope_dim=64"), 577);
    assert_setting_refused(&a, "transmla rope_dim=48", MLS_E_INPUT, "possible is 64");
    assert_setting_refused(&a, "transmla rope_dim=130", MLS_E_INPUT, "possible is 128");
    assert_setting_refused(&a, "transmla collapse=3", MLS_E_INPUT, "possible is 4");
    assert_setting_refused(&a, "transmla collapse=4 rope_dim=64", MLS_E_INPUT,
                           "128 / 64 is 2");
    assert_setting_refused(&a, "transmla rope_dim=32 freqfold=2", MLS_E_INPUT,
                           "possible is 4");
    assert_setting_refused(&a, "transmla rope_dim=32 freqfold=12", MLS_E_INPUT,
                           "possible is 16");
}

static void low_rank_methods_refuse_what_no_rank_can_be(void **state)
{
    const mls_config b = gqa();

    (void)state;
    assert_setting_refused(&b, "lorc rank=513", MLS_E_INPUT, "possible is 512");
    assert_setting_refused(&b, "svdllm rank_v=600", MLS_E_INPUT, "possible is 512");
    assert_setting_refused(&b, "palu group=M rank=7", MLS_E_INPUT, "rank is 8");
    assert_setting_refused(&b, "eigen rank=65", MLS_E_INPUT, "possible is 64");
    assert_setting_refused(&b, "kqsvd rank_k=65", MLS_E_INPUT, "possible is 64");
    assert_setting_refused(&b, "eigen energy=0.9 rank=4", MLS_E_INPUT, "takes none");
    assert_setting_refused(&b, "lorc dmin=4", MLS_E_INPUT, "cond-unverified");
    assert_setting_refused(&b, "lorc rule=cond-unverified rank=4", MLS_E_INPUT,
                           "dmin and dmax");
    assert_setting_refused(&b, "lillama step=500", MLS_E_INPUT, "possible is 409");
    assert_setting_refused(&b, "kvsharer layers_shared=4", MLS_E_INPUT,
                           "possible is 3");
    assert_setting_refused(&b, "dbudgetkv budget=2", MLS_E_ARG, "budget");
}

static void ranks_that_follow_from_the_data_need_the_weights(void **state)
{
    static const char *const settings[] = {
        "lorc rule=cond-unverified",
        "svdllm alloc=v2",
        "palu alloc=loss",
        "care alloc=greedy",
        "eigen energy=0.9",
        "matryoshka alloc=greedy-unverified",
        "dbudgetkv rule=norm-unverified",
    };
    const mls_config b = gqa();

    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        assert_setting_refused(&b, settings[i], MLS_E_INPUT, "needs the weights");
}

/* Break-even rank of 512 x 2048 is 409; ranks in steps of 100, the first layer left. */
static void lillama_lowers_one_layer_after_the_other(void **state)
{
    static const struct {
        const char *text;
        size_t want[4];
    } cases[] = {
        {"lillama skip=1 step=100 reduction=0.3", {1024, 200, 600, 1024}},
        {"lillama skip=1 step=100 reduction=0.3 rule=top", {1024, 1024, 600, 200}},
        {"lillama skip=1 reduction=0.3 rule=uniform", {1024, 576, 576, 576}},
    };
    const mls_config b = gqa();
    static mls_cache_layout layout;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_ok(lay_out(&layout, &b, cases[i].text, &err));
        for (size_t l = 0; l < 4; l++)
            assert_int_equal(mls_cache_elements(&layout.layer[l]), cases[i].want[l]);
    }
}

static void kvsharer_caches_nothing_in_shared_layers(void **state)
{
    mls_config b = gqa();
    static mls_cache_layout layout;
    size_t sum = 0;

    (void)state;
    assert_ok(lay_out(&layout, &b, "kvsharer layers_shared=3", &err));
    for (size_t l = 0; l < 4; l++)
        sum += mls_cache_elements(&layout.layer[l]);
    assert_int_equal(sum, 1024);
    b.layer[1].window = 100;
    assert_setting_refused(&b, "kvsharer layers_shared=1", MLS_E_INPUT,
                           "needs the weights");
}

static void unknown_methods_keys_and_words_are_refused_with_the_nearest(void **state)
{
    (void)state;
    const mls_config a = mha();

    assert_setting_refused(&a, "mha2ml", MLS_E_ARG, "did you mean mha2mla?");
    assert_setting_refused(&a, "zzz", MLS_E_ARG,
                           "there is no method \"zzz\"; known are baseline, ");
    assert_setting_refused(&a, "mha2mla rnk=4", MLS_E_ARG, "did you mean rank?");
    assert_setting_refused(&a, "baseline rank=4", MLS_E_ARG,
                           "baseline has no key rank");
    assert_setting_refused(&a, "mha2mla svd=jiont", MLS_E_ARG, "did you mean joint?");
    assert_setting_refused(&a, "mha2mla rope=2norm", MLS_E_ARG, "2-norm");
    assert_setting_refused(&a, "mha2mla bits=17", MLS_E_ARG, "from 1 to 16");
    assert_setting_refused(&a, "mha2mla bits=4 quant=int4", MLS_E_ARG, "exclude");
    assert_setting_refused(&a, "mha2mla quant=itn4", MLS_E_ARG, "mha2mla: quant");
    assert_setting_refused(&a, "mha2mla layers=4", MLS_E_INPUT, "layers 0 to 3");
}

/* What is read, written and read again: the same bytes of cache. */
static void assert_written_back(const mls_config *c, const char *text)
{
    static mls_cache_layout want, got;
    mls_setting s, back;
    mls_parsed p;
    char line[1024];

    assert_ok(mls_setting_parse(&s, text, &err));
    assert_ok(mls_method_parse(&p, c, &s, &err));
    assert_ok(mls_keys_write(&back, s.method, p.method->keys, c, p.params, &err));
    mls_parsed_free(&p);
    assert_ok(lay_out(&want, c, text, &err));
    assert_ok(lay_out(&got, c, mls_setting_text(&back, line, sizeof line), &err));
    assert_memory_equal(&want, &got, sizeof want);
}

static void parameters_are_written_as_a_setting_that_says_them(void **state)
{
    (void)state;
    const mls_config c = gqa();

    assert_written_back(&c, "mha2mla svd=split chunks=3 rank=17 scope=layer");
    assert_written_back(&c, "elitekv svd=split rank_k=24 rank_v=32");
    assert_written_back(&c, "x-ecomla rope_dim=16 rank=64 qrank=64");
    assert_written_back(&c, "x-ecomla init=paired");
    assert_written_back(&c, "transmla collapse=4 rank=64 balance=0.5");
    assert_written_back(&c, "palu group=M rank_k=20 rank_v=30 basis=unit");
    assert_written_back(&c, "kqsvd rank_k=4:7:9:1:2:3:4:5 rank_v=9");
    assert_written_back(&c, "asvd alpha=0.75");
    assert_written_back(&c, "kq rope=shared rope_dim=16 rank=40");
}

static void a_model_that_caches_a_latent_has_a_baseline_only(void **state)
{
    (void)state;
    mls_config c = mha();

    c.mla_kv_lora_rank = 512;
    c.mla_rope_dim = 64;
    mls_config_uniform(&c);
    assert_int_equal(elements(&c, "baseline"), 576);
    assert_int_equal(elements(&c, "baseline bits=4"), 576);
    assert_setting_refused(&c, "mha2mla", MLS_E_INPUT,
                           "already caches a latent of 512");
    assert_setting_refused(&c, "gqa2mla", MLS_E_INPUT,
                           "only baseline and truncate apply");
    assert_setting_refused(&c, "baseline kquant=int4", MLS_E_INPUT, "use quant");
}

static void other_layers_of_a_hybrid_stay_as_they_are(void **state)
{
    (void)state;
    const mls_config c = gqa();
    static mls_cache_layout layout;

    assert_ok(lay_out(&layout, &c, "x-ecomla rank=512 rope_dim=32 layers=1-3+2", &err));
    for (size_t l = 0; l < c.L; l++) {
        assert_int_equal(mls_cache_elements(&layout.layer[l]), l % 2 ? 544 : 1024);
        assert_int_equal(layout.layer[l].part[0].kind,
                         l % 2 ? MLS_PART_ROPE_KEY : MLS_PART_KEY);
    }
}

static void layers_that_no_form_says_stay_as_they_are(void **state)
{
    (void)state;
    mls_config c = gqa();
    static mls_cache_layout layout;
    char text[256];

    assert_string_equal(mls_common_left_alone(text, sizeof text, &c), "");
    c.layer[0].kind = MLS_LAYER_RECURRENT;
    c.layer[1].chunk = 100;
    assert_string_equal(mls_common_left_alone(text, sizeof text, &c),
                        "2 of 4 layers can be converted (2-3); as they are stay 1 (a "
                        "recurrent state), 1 (attention_chunk_size: chunked "
                        "attention)");
    assert_ok(lay_out(&layout, &c, "x-ecomla rank=512 rope_dim=32", &err));
    assert_int_equal(mls_cache_elements(&layout.layer[1]), 1024);
    assert_int_equal(mls_cache_elements(&layout.layer[2]), 544);
    /* Where no layer can be, sizes are told all the same, of all. */
    c.net.alibi = true;
    assert_ok(lay_out(&layout, &c, "x-ecomla rank=512 rope_dim=32", &err));
    assert_int_equal(mls_cache_elements(&layout.layer[1]), 544);
    assert_refused(mls_method_converts(&mls_method_x_ecomla, &c, &err), MLS_E_INPUT,
                   "layer 1 has ALiBi");
    assert_ok(mls_method_converts(&mls_method_baseline, &c, &err));
}

static void windows_and_layers_without_rope_are_kept(void **state)
{
    (void)state;
    static const char *const settings[] = {"mha2mla", "elitekv", "x-ecomla",
                                           "transmla"};
    mls_config c = gqa();
    static mls_cache_layout layout;

    c.layer[1].window = 100;
    c.layer[2].no_rope = true;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        assert_ok(lay_out(&layout, &c, settings[i], &err));
        assert_int_equal(layout.layer[0].window, 0);
        assert_int_equal(layout.layer[1].window, 100);
        assert_int_equal(layout.layer[1].part[0].kind, MLS_PART_ROPE_KEY);
        assert_int_equal(layout.layer[2].part[0].kind, MLS_PART_LATENT);
        assert_int_equal(layout.layer[2].n_parts, 1);
    }
}

/* The quantizer of each part, in the order of the parts. */
static void assert_quants(const char *text, const char *const *want)
{
    const mls_config c = gqa();
    static mls_cache_layout layout;
    char name[64];

    assert_ok(lay_out(&layout, &c, text, &err));
    for (size_t l = 0; l < c.L; l++)
        for (size_t i = 0; i < layout.layer[l].n_parts; i++) {
            assert_non_null(want[i]);
            assert_string_equal(
                mls_quant_name(&layout.layer[l].part[i].quant, name, sizeof name),
                want[i]);
        }
}

static void the_narrowest_quantizer_key_counts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want[3];
    } cases[] = {
        {"baseline", {"16", "16"}},
        {"baseline bits=16", {"16", "16"}},
        {"baseline bits=4", {"int4/64+128", "int4/64+128"}},
        {"baseline quant=int8", {"int8", "int8"}},
        {"baseline kquant=int4", {"int4", "16"}},
        {"baseline kquant=int4 vquant=int2", {"int4", "int2"}},
        {"baseline quant=int8 vquant=int2", {"int8", "int2"}},
        {"mha2mla quant=int4", {"int4", "int4"}},
        {"mha2mla quant=int4 rquant=none", {"16", "int4"}},
        {"mha2mla rquant=int8", {"int8", "16"}},
        {"mha2mla svd=split chunks=4 rank=16 kquant=int4 vquant=int2",
         {"int4", "int4", "int2"}},
        {"mha2mla svd=split chunks=4 rank=16 kquant=int4 rquant=int8",
         {"int8", "int4", "16"}},
        {"gqa2mla kquant=int4", {"int4", "16"}},
        {"transmla bits=3 rquant=int8/32", {"int8/32", "int3/64+128"}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_quants(cases[i].text, cases[i].want);
}

static void a_joint_latent_refuses_quantizers_for_keys_and_values_apart(void **state)
{
    (void)state;
    const mls_config c = gqa();

    assert_setting_refused(&c, "mha2mla kquant=int4", MLS_E_INPUT, "use quant");
    assert_setting_refused(&c, "elitekv vquant=int4", MLS_E_INPUT, "use quant");
    assert_setting_refused(&c, "x-ecomla vquant=int4", MLS_E_INPUT, "use quant");
    assert_setting_refused(&c, "transmla kquant=int4", MLS_E_INPUT, "use quant");
}

static void typical_settings_can_be_taken_by_common_models(void **state)
{
    (void)state;
    static const struct {
        size_t E, H, G, D;
    } shapes[] = {{4096, 32, 32, 128}, {4096, 32, 8, 128}, {2048, 32, 8, 64},
                  {2560, 32, 8, 128},  {3584, 16, 8, 256}, {576, 9, 3, 64},
                  {256, 6, 2, 64},     {64, 8, 4, 8}};
    static mls_cache_layout layout;

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const mls_config c =
            uniform_config(2, shapes[i].E, shapes[i].H, shapes[i].G, shapes[i].D);
        mls_setting *s;
        size_t n;

        assert_ok(mls_method_typical(&c, &s, &n, &err));
        assert_true(n >= 11);
        for (size_t j = 0; j < n; j++)
            assert_ok(mls_method_layout(&layout, &c, &s[j], &err));
        free(s);
    }
}

static void typical_settings_of_tiny_heads_have_no_rank_of_zero(void **state)
{
    const mls_config c = uniform_config(2, 64, 32, 2, 2);
    static mls_cache_layout layout;
    mls_setting *s;
    size_t n;

    (void)state;
    assert_ok(mls_method_typical(&c, &s, &n, &err));
    assert_true(n >= 5);
    for (size_t j = 0; j < n; j++) { /* taken, or refused as a model can be */
        mls_err why = {0};
        const mls_status st = mls_method_layout(&layout, &c, &s[j], &why);

        if (st && st != MLS_E_INPUT)
            fail_msg("%s: %s", s[j].method, why.text);
    }
    free(s);
}

/* Settings put together at random, sensible words and nonsense. */
static void any_text_is_a_size_or_a_refusal(void **state)
{
    (void)state;
    static const char *const words[] = {"baseline",
                                        "mha2mla",
                                        "elitekv",
                                        "x-ecomla",
                                        "transmla",
                                        "gqa2mla",
                                        "palu",
                                        "lorc",
                                        "svdllm",
                                        "eigen",
                                        "lillama",
                                        "kvsharer",
                                        "matryoshka",
                                        "dbudgetkv",
                                        "group=",
                                        "rule=",
                                        "step=",
                                        "skip=",
                                        "reduction=",
                                        "layers_shared=",
                                        "budget=",
                                        "rope=",
                                        "chunks=",
                                        "rank=",
                                        "rank_k=",
                                        "rank_v=",
                                        "svd=",
                                        "rope_dim=",
                                        "bits=",
                                        "quant=",
                                        "kquant=",
                                        "vquant=",
                                        "rquant=",
                                        "layers=",
                                        "freqfold=",
                                        "collapse=",
                                        "rest=",
                                        "keep=",
                                        "high",
                                        "2-norm",
                                        "joint",
                                        "split",
                                        "none",
                                        "mamba",
                                        "int4",
                                        "kivi2",
                                        "q4_0",
                                        "/32",
                                        "+128",
                                        "0",
                                        "1",
                                        "2",
                                        "8",
                                        "63",
                                        "64",
                                        "262144",
                                        "99999999999999999999",
                                        "-",
                                        ",",
                                        ";",
                                        "*",
                                        "=",
                                        " ",
                                        " ",
                                        " ",
                                        " ",
                                        "auto",
                                        "\xff",
                                        "h:"};
    enum { WORDS = sizeof words / sizeof words[0] };
    static const mls_size_request q = {100, 2, 16, 3, 16};
    static mls_cache_layout layout;
    mls_rng rng;
    size_t sized = 0;

    mls_rng_seed(&rng, 7, 0);

    for (size_t i = 0; i < 60000; i++) {
        mls_config c = i % 2 ? mha() : gqa();
        char text[256] = "";
        mls_setting *s;
        size_t n;

        c.D = 2 * (1 + (size_t)mls_rng_below(&rng, 64));
        mls_config_uniform(&c);
        c.layer[1].no_rope = i % 3 == 0;
        if (i % 4) { /* mostly a method first */
            strcpy(text, words[mls_rng_below(&rng, 14)]);
            strcat(text, " ");
        }
        for (size_t k = mls_rng_below(&rng, 9); k > 0; k--)
            strcat(text, words[mls_rng_below(&rng, WORDS)]);
        if (mls_setting_expand(text, &s, &n, NULL))
            continue;
        for (size_t j = 0; j < n && j < 4; j++) {
            mls_size_result r;
            mls_err err = {0};

            if (mls_method_layout(&layout, &c, &s[j], &err)) {
                assert_true(err.status == MLS_E_ARG || err.status == MLS_E_INPUT);
                assert_true(strlen(err.text) > 10);
                continue;
            }
            mls_size(&r, &layout, &q);
            assert_true(r.bytes_per_token >= 0 && r.gpu_bytes >= 0);
            assert_true(r.gpu_bytes * 3 >= r.sequence_bytes);
            sized++;
        }
        free(s);
    }
    assert_true(sized > 1000);
}

static void every_method_is_found_by_its_name_and_says_where_it_is_from(void **state)
{
    (void)state;
    for (size_t i = 0; mls_methods[i]; i++) {
        const mls_method *m;

        assert_ok(mls_method_find(&m, mls_methods[i]->name, &err));
        assert_ptr_equal(m, mls_methods[i]);
        assert_true(m->title[0] && m->source[0] && m->formula[0]);
        assert_non_null(m->shape);
    }
}

/* What people read of a key; what cannot be told without running is written down. */
static void every_key_says_what_it_is(void **state)
{
    (void)state;
    for (size_t i = 0; mls_methods[i]; i++)
        for (const mls_key *k = mls_methods[i]->keys; k && k->name; k++) {
            assert_true(k->help && k->help[0]);
            assert_true(k->hint || k->words);
            assert_true(!k->otherwise || k->said);
            assert_true(!k->limit || (k->what && k->bound));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_per_token_follow_the_formulas_of_the_projects),
        cmocka_unit_test(parameters_are_written_as_a_setting_that_says_them),
        cmocka_unit_test(defaults_are_the_settings_that_the_projects_use_most),
        cmocka_unit_test(full_rank_and_full_rope_cache_as_much_as_the_model),
        cmocka_unit_test(impossible_numbers_are_refused_with_the_nearest_possible_one),
        cmocka_unit_test(low_rank_methods_refuse_what_no_rank_can_be),
        cmocka_unit_test(ranks_that_follow_from_the_data_need_the_weights),
        cmocka_unit_test(lillama_lowers_one_layer_after_the_other),
        cmocka_unit_test(kvsharer_caches_nothing_in_shared_layers),
        cmocka_unit_test(unknown_methods_keys_and_words_are_refused_with_the_nearest),
        cmocka_unit_test(a_model_that_caches_a_latent_has_a_baseline_only),
        cmocka_unit_test(other_layers_of_a_hybrid_stay_as_they_are),
        cmocka_unit_test(layers_that_no_form_says_stay_as_they_are),
        cmocka_unit_test(windows_and_layers_without_rope_are_kept),
        cmocka_unit_test(the_narrowest_quantizer_key_counts),
        cmocka_unit_test(a_joint_latent_refuses_quantizers_for_keys_and_values_apart),
        cmocka_unit_test(typical_settings_can_be_taken_by_common_models),
        cmocka_unit_test(typical_settings_of_tiny_heads_have_no_rank_of_zero),
        cmocka_unit_test(any_text_is_a_size_or_a_refusal),
        cmocka_unit_test(every_method_is_found_by_its_name_and_says_where_it_is_from),
        cmocka_unit_test(every_key_says_what_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
