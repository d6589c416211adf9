/* Moments of what converted layers make of the calibration text. */
#include "bench/evaluate/evaluate_inner.h"

#include "tests/support/demo.h"

static void assert_same(const double *a, const double *b, size_t n)
{
    double largest = 0;

    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(b[i]));
    for (size_t i = 0; i < n; i++)
        assert_close(a[i], b[i], 2e-6 * largest);
}

/* Behind a layer in its own form they are the original's, as captured. */
static void layers_left_alone_give_the_captures_moments(void **state)
{
    mls_corpus corpus = demo_text(10, 48);
    demo d = demo_open(&corpus, 0);
    const mls_config *config = mls_model_config(d.model);
    const mls_method_input in = {
        .config = config, .model = d.model, .capture = d.capture, .pool = d.pool};
    const mls_evaluate_options options = {.calibration = &corpus};
    const mls_pass p = {.in = &in, .config = config, .options = &options};
    mls_sequential q = {0};

    (void)state;
    assert_ok(mls_sequential_new(&q, &p, &err));
    for (size_t l = 0; l < 3; l++) {
        mls_layer layer = {0};
        mls_layer_stats got = {0}, want = {0};
        mls_latent_form form;

        assert_ok(mls_model_layer(d.model, l, &layer, &err));
        assert_ok(mls_capture_stats(d.capture, l, &want, &err));
        assert_ok(mls_sequential_stats(&got, &q, &p, &layer, &err));
        assert_close(got.n_tokens, want.n_tokens, 0);
        assert_same(got.x_second, want.x_second, got.E * got.E);
        assert_same(got.q_rot_second, want.q_rot_second, got.H * got.D * got.D);
        assert_same(got.kv_cross, want.kv_cross, got.G * got.D * got.D);
        assert_same(got.k_norm, want.k_norm, got.G * got.C);
        assert_ok(mls_latent_identity(&form, config, &layer, &err));
        assert_ok(mls_sequential_forward(&q, &p, &layer, &form, false, &err));
        mls_latent_free(&form);
        mls_layer_stats_free(&got);
        mls_layer_stats_free(&want);
        mls_layer_free(&layer);
    }
    mls_sequential_free(&q);
    demo_close(&d);
    mls_corpus_free(&corpus);
}

/* The first layer reads the same; with little left of it, the second does not. */
static void a_setting_is_calibrated_on_its_own_layers(void **state)
{
    mls_corpus corpus = demo_text(10, 48), text;
    demo d = demo_open(&corpus, 0);
    const mls_config *config = mls_model_config(d.model);
    const mls_method_input in = {
        .config = config, .model = d.model, .capture = d.capture, .pool = d.pool};
    mls_setting setting;
    mls_scheme first = {0}, two = {0};
    mls_evaluation plain, sequential;

    (void)state;
    assert_ok(mls_corpus_part(&text, &corpus, 8, 2, &err));
    assert_ok(mls_setting_parse(&setting, "palu rank=4 layers=0", &err));
    assert_ok(mls_scheme_uniform(&first, &setting, config->L, &err));
    assert_ok(mls_setting_parse(&setting, "palu rank=4 layers=0-1", &err));
    assert_ok(mls_scheme_uniform(&two, &setting, config->L, &err));
    const mls_variant v[] = {{&first, MLS_NONE}, {&two, MLS_NONE}};
    const mls_evaluate_options how = {.calibration = &corpus};

    assert_ok(mls_evaluate(&plain, &in, &text, v, 2, NULL, NULL, &err));
    assert_ok(mls_evaluate(&sequential, &in, &text, v, 2, &how, NULL, &err));
    assert_close(sequential.variant[0].kl.mean, plain.variant[0].kl.mean,
                 1e-4 * plain.variant[0].kl.mean);
    assert_true(fabs(sequential.variant[1].kl.mean - plain.variant[1].kl.mean) >
                1e-3 * plain.variant[1].kl.mean);
    mls_evaluation_free(&plain);
    mls_evaluation_free(&sequential);
    mls_scheme_free(&first);
    mls_scheme_free(&two);
    mls_corpus_free(&text);
    demo_close(&d);
    mls_corpus_free(&corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_left_alone_give_the_captures_moments),
        cmocka_unit_test(a_setting_is_calibrated_on_its_own_layers),
    };

    mls_blas_single_thread();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
