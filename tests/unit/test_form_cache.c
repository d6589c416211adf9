#include "tests/support/built.h"
#include "tests/support/demo.h"

#include <stdlib.h>

#include "bench/frame/form_cache.h"
#include "bench/frame/scheme.h"

enum { LAYER = 1 };

static demo d;
static mls_layer layer;
static mls_layer_stats stats;

static int setup(void **state)
{
    mls_corpus corpus = demo_text(2, 16);

    (void)state;
    d = demo_open(&corpus, 2);
    assert_ok(mls_model_attention(d.model, LAYER, &layer, &err));
    assert_ok(mls_capture_stats(d.capture, LAYER, &stats, &err));
    mls_corpus_free(&corpus);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mls_layer_stats_free(&stats);
    mls_layer_free(&layer);
    demo_close(&d);
    return 0;
}

static mls_latent_form form_of(const char *text, mls_form_cache *forms)
{
    const mls_method_input in = {.config = mls_model_config(d.model),
                                 .model = d.model,
                                 .capture = d.capture,
                                 .pool = d.pool,
                                 .forms = forms};

    return built(&in, text, &layer, &stats);
}

/* Every number of both is the same, and none is in the same place. */
static void assert_same(mls_latent_form *a, mls_latent_form *b)
{
    mls_latent_array *x, *y;
    size_t n, m;

    assert_ok(mls_latent_arrays(a, &x, &n, &err));
    assert_ok(mls_latent_arrays(b, &y, &m, &err));
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++) {
        const size_t numbers = x[i].rows * (x[i].cols ? x[i].cols : 1);
        const size_t size = x[i].f64 ? sizeof(double) : sizeof(float);
        const void *p = x[i].f64 ? (const void *)*x[i].f64 : *x[i].f32;
        const void *q = x[i].f64 ? (const void *)*y[i].f64 : *y[i].f32;

        assert_string_equal(x[i].name, y[i].name);
        assert_true(p != q);
        assert_memory_equal(p, q, numbers * size);
    }
    for (size_t i = 0; i < a->n_latents; i++) {
        assert_int_equal(a->latent[i].n_tail, b->latent[i].n_tail);
        assert_memory_equal(a->latent[i].tail, b->latent[i].tail,
                            a->latent[i].n_tail * sizeof(double));
    }
    free(x);
    free(y);
}

static void a_copy_has_the_same_numbers_in_memory_of_its_own(void **state)
{
    static const char *const settings[] = {"kq rank=64", "palu rank_k=16 rank_v=32",
                                           "mha2mla rope=2-norm chunks=4 rank=32",
                                           "baseline"};

    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        mls_latent_form f = form_of(settings[i], NULL), copy;

        assert_ok(mls_latent_copy(&copy, &f, &err));
        assert_ok(mls_latent_check(&copy, &err));
        assert_same(&f, &copy);
        mls_latent_free(&f);
        assert_ok(mls_latent_check(&copy, &err));
        mls_latent_free(&copy);
    }
}

/* What is kept has marked numbers, so that it is known where it comes back. */
static void a_kept_form_comes_back_with_other_quantizers(void **state)
{
    mls_form_cache *forms;
    mls_latent_form made, again;
    float mark;

    (void)state;
    assert_ok(mls_form_cache_new(&forms, 1 << 24, &err));
    made = form_of("kq rank=64", NULL);
    mark = made.output.w[0] += 3;
    mls_form_cache_put(forms, "kq rank=64", &made, 1);
    again = form_of("kq rank=64 quant=int4/64", forms);
    assert_true(again.output.w[0] == mark);
    assert_non_null(again.latent[0].quant.format);
    assert_null(made.latent[0].quant.format);
    mls_latent_free(&again);
    again = form_of("kq rank=64", forms);
    assert_true(again.output.w[0] == mark);
    assert_null(again.latent[0].quant.format);
    mls_latent_free(&again);
    mls_form_cache_put(forms, "kq rank=48 weight=output", &made, 1);
    again = form_of("kq weight=output rank=48", forms); /* in whatever order */
    assert_true(again.output.w[0] == mark);
    mls_latent_free(&again);
    again = form_of("kq rank=32", forms);
    assert_true(again.output.w[0] != mark);
    mls_latent_free(&again);
    mls_latent_free(&made);
    mls_form_cache_free(forms);
}

static bool has(mls_form_cache *forms, const char *text)
{
    mls_latent_form f;
    bool found;

    assert_ok(mls_form_cache_get(forms, text, LAYER, &f, &found, &err));
    if (found)
        mls_latent_free(&f);
    return found;
}

static void the_cheapest_leave_when_there_is_no_room(void **state)
{
    mls_latent_form f = form_of("kq rank=64", NULL);
    mls_form_cache *forms;

    (void)state;
    assert_ok(mls_form_cache_new(&forms, 2 * mls_latent_bytes(&f), &err));
    mls_form_cache_put(forms, "a", &f, 2);
    mls_form_cache_put(forms, "b", &f, 3);
    mls_form_cache_put(forms, "c", &f, 1);
    assert_true(has(forms, "a") && has(forms, "b") && !has(forms, "c"));
    mls_form_cache_put(forms, "d", &f, 5);
    assert_true(!has(forms, "a") && has(forms, "b") && has(forms, "d"));
    mls_latent_free(&f);
    mls_form_cache_free(forms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_has_the_same_numbers_in_memory_of_its_own),
        cmocka_unit_test(a_kept_form_comes_back_with_other_quantizers),
        cmocka_unit_test(the_cheapest_leave_when_there_is_no_room),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
