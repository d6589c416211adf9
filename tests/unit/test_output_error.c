#include "tests/support/demo.h"

#include "analysis/latent/output_error.h"

enum { LENGTH = 32, WINDOWS = 3 };

/* The demo model, a small capture of it, and its layer 2. */
typedef struct {
    demo d;
    mls_layer layer;
    mls_latent_form form;
} fixture;

static int setup(void **state)
{
    static fixture f;
    mls_corpus corpus = demo_text(4, LENGTH);

    f.d = demo_open(&corpus, WINDOWS);
    assert_ok(mls_model_attention(f.d.model, 2, &f.layer, &err));
    assert_ok(
        mls_latent_identity(&f.form, mls_model_config(f.d.model), &f.layer, &err));
    mls_corpus_free(&corpus);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;

    mls_latent_free(&f->form);
    mls_layer_free(&f->layer);
    demo_close(&f->d);
    return 0;
}

static mls_output_windows load(fixture *f, size_t n)
{
    mls_output_windows w;

    assert_ok(mls_output_windows_load(&w, f->d.capture, &f->form, n, f->d.pool, &err));
    return w;
}

static void the_original_has_none_and_a_tenth_more_output_a_hundredth(void **state)
{
    fixture *f = *state;
    const size_t n = f->form.E * f->form.H * f->form.D;
    mls_output_windows w = load(f, 8);
    double error;

    assert_int_equal(w.n, WINDOWS);
    assert_int_equal(w.T, LENGTH);
    assert_true(w.power > 0);
    assert_ok(mls_output_error(&error, &w, &f->form, &err));
    assert_true(error == 0);
    for (size_t i = 0; i < n; i++)
        f->form.output.w[i] *= 1.1F;
    assert_ok(mls_output_error(&error, &w, &f->form, &err));
    assert_close(error, 0.01, 1e-5);
    for (size_t i = 0; i < n; i++)
        f->form.output.w[i] = f->layer.wo[i];
    mls_output_windows_free(&w);
}

/* Values of one head set to zero: what that head gave is what is lost. */
static void it_is_what_the_attention_loses(void **state)
{
    fixture *f = *state;
    const mls_config *c = mls_model_config(f->d.model);
    const size_t E = c->E, rows = c->H * c->D, per_group = c->H / c->G;
    float *down = f->form.latent[0].down.w, *keep = malloc(c->D * E * sizeof *keep);
    mls_output_windows w = load(f, 2), only;
    double error, share;

    memcpy(keep, down, c->D * E * sizeof *keep);
    memset(down, 0, c->D * E * sizeof *down);
    assert_ok(mls_output_error(&error, &w, &f->form, &err));
    memcpy(down, keep, c->D * E * sizeof *down);

    /* The output of that group alone, by clearing the others' columns of W_O. */
    for (size_t e = 0; e < E; e++)
        memset(f->form.output.w + e * rows + per_group * c->D, 0,
               (rows - per_group * c->D) * sizeof(float));
    only = load(f, 2);
    share = only.power / w.power;
    assert_close(error, share, 1e-4 * share);
    memcpy(f->form.output.w, f->layer.wo, E * rows * sizeof(float));
    mls_output_windows_free(&only);
    mls_output_windows_free(&w);
    free(keep);
}

static void a_layer_without_a_cache_of_its_own_has_no_error(void **state)
{
    fixture *f = *state;
    mls_output_windows w = load(f, 1);
    double error = 0;

    f->form.share_layer = 0;
    assert_ok(mls_output_error(&error, &w, &f->form, &err));
    assert_true(isnan(error));
    f->form.share_layer = MLS_NONE;
    mls_output_windows_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_original_has_none_and_a_tenth_more_output_a_hundredth),
        cmocka_unit_test(it_is_what_the_attention_loses),
        cmocka_unit_test(a_layer_without_a_cache_of_its_own_has_no_error),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
