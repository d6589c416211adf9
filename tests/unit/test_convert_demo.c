/* Methods that look at a whole model before they convert a layer, on the demo. */
#include "tests/support/built.h"
#include "tests/support/demo.h"

#include "bench/frame/scheme.h"

/* The demo model and its capture on a little text. */
static demo open_demo(mls_method_input *in)
{
    mls_corpus corpus = demo_text(4, 64);
    const demo d = demo_open(&corpus, 2);

    *in = (mls_method_input){.config = mls_model_config(d.model),
                             .model = d.model,
                             .capture = d.capture,
                             .pool = d.pool};
    mls_corpus_free(&corpus);
    return d;
}

static void budgets_over_heads_and_layers_are_spent_whole(void **state)
{
    static const char *const settings[] = {
        "mha2mla chunks=5 rank=16 scope=layer",
        "mha2mla chunks=5 rank=16 scope=global",
        "elitekv chunks=5 rank=70 scope=layer",
        "elitekv chunks=5 rank=70 scope=global",
    };
    mls_method_input in;

    (void)state;
    demo d = open_demo(&in);
    for (size_t k = 0; k < sizeof settings / sizeof settings[0]; k++) {
        static mls_cache_layout want, got;
        const mls_size_request request = {
            .tokens = 100, .batch = 1, .block = 1, .tensor_parallel = 1};
        mls_ready_scheme *ready;
        mls_size_result a, b;
        mls_setting setting;
        mls_scheme scheme;
        size_t least = SIZE_MAX, most = 0, all = 0;

        assert_ok(mls_setting_parse(&setting, settings[k], &err));
        assert_ok(mls_scheme_uniform(&scheme, &setting, in.config->L, &err));
        assert_ok(mls_scheme_prepare(&ready, &scheme, &in, &err));
        memset(&got, 0, sizeof got);
        got.L = in.config->L;
        for (size_t l = 0; l < in.config->L; l++) {
            mls_layer_stats stats;
            mls_latent_form form;
            mls_layer layer;
            size_t chunks = 0;

            assert_ok(mls_model_attention(in.model, l, &layer, &err));
            assert_ok(mls_capture_stats(in.capture, l, &stats, &err));
            assert_ok(mls_scheme_build(ready, &layer, &stats, &form, &err));
            for (size_t i = 0; i < form.n_rope_keys; i++)
                chunks += form.rope_key[i].n / 2;
            if (strstr(settings[k], "layer"))
                assert_int_equal(chunks, 2 * 5);
            least = chunks < least ? chunks : least;
            most = chunks > most ? chunks : most;
            all += chunks;
            assert_ok(mls_latent_layout(&form, &got.layer[l], &err));
            mls_latent_free(&form);
            mls_layer_stats_free(&stats);
            mls_layer_free(&layer);
        }
        assert_int_equal(all, in.config->L * 2 * 5);
        if (strstr(settings[k], "global")) /* the layers differ in what they need */
            assert_true(least < most);
        assert_ok(mls_method_layout(&want, in.config, &setting, &err));
        mls_size(&a, &want, &request);
        mls_size(&b, &got, &request);
        assert_close(b.elements_per_token, a.elements_per_token, 0.0);
        mls_ready_scheme_free(ready);
        mls_scheme_free(&scheme);
    }
    demo_close(&d);
}

/* Layer 0 of the demo model under a setting. */
static void build_first(mls_latent_form *f, const mls_method_input *in,
                        const char *text)
{
    mls_layer_stats stats;
    mls_layer layer;

    assert_ok(mls_model_attention(in->model, 0, &layer, &err));
    assert_ok(mls_capture_stats(in->capture, 0, &stats, &err));
    *f = built(in, text, &layer, &stats);
    mls_layer_stats_free(&stats);
    mls_layer_free(&layer);
}

static void freqfold_auto_takes_one_of_the_folds_it_may_take(void **state)
{
    static const size_t folds[] = {2, 4, 8, 16, 32};
    mls_latent_form chosen, f;
    mls_method_input in;
    size_t same = 0;

    (void)state;
    demo d = open_demo(&in);
    build_first(&chosen, &in, "transmla rank=64 rope_dim=32 freqfold=auto");
    assert_int_equal(chosen.rope_key[0].n, 32);
    for (size_t i = 0; i < sizeof folds / sizeof folds[0]; i++) {
        char text[64];

        sprintf(text, "transmla rank=64 rope_dim=32 freqfold=%zu", folds[i]);
        build_first(&f, &in, text);
        same += memcmp(f.rope_key[0].map.w, chosen.rope_key[0].map.w,
                       32 * f.E * sizeof(float)) == 0;
        mls_latent_free(&f);
    }
    assert_int_equal(same, 1);
    mls_latent_free(&chosen);
    demo_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(budgets_over_heads_and_layers_are_spent_whole),
        cmocka_unit_test(freqfold_auto_takes_one_of_the_folds_it_may_take),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
