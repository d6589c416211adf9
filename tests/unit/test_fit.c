/* Settings for a share of the cache whose ranks follow from the data. */
#include "tests/support/demo.h"

#include "bench/evaluate/isolated.h"
#include "bench/frame/fit.h"
#include "bench/frame/scheme.h"

static int setup(void **state)
{
    static demo d;
    mls_corpus corpus = demo_text(4, 64);

    d = demo_open(&corpus, 2);
    mls_corpus_free(&corpus);
    *state = &d;
    return 0;
}

static int teardown(void **state)
{
    demo_close(*state);
    return 0;
}

/* Numbers that the forms of a setting cache per token, all layers. */
static size_t elements_of(const mls_method_input *in, const mls_setting *s)
{
    mls_ready_scheme *ready;
    mls_scheme scheme;
    size_t sum = 0;

    assert_ok(mls_scheme_uniform(&scheme, s, in->config->L, &err));
    assert_ok(mls_scheme_prepare(&ready, &scheme, in, &err));
    for (size_t l = 0; l < in->config->L; l++) {
        mls_latent_form form;
        mls_layer layer;
        mls_layer_stats stats;

        assert_ok(mls_model_attention(in->model, l, &layer, &err));
        assert_ok(mls_capture_stats(in->capture, l, &stats, &err));
        assert_ok(mls_scheme_build(ready, &layer, &stats, &form, &err));
        sum += mls_latent_elements(&form);
        mls_latent_free(&form);
        mls_layer_stats_free(&stats);
        mls_layer_free(&layer);
    }
    mls_ready_scheme_free(ready);
    mls_scheme_free(&scheme);
    return sum;
}

static void ranks_from_data_keep_to_the_share_asked(void **state)
{
    const demo *d = *state;
    const mls_method_input in = {.config = mls_model_config(d->model),
                                 .model = d->model,
                                 .capture = d->capture,
                                 .pool = d->pool,
                                 .isolated_kl = mls_isolated_kl_of_model};
    const double own = (double)(2 * in.config->L * in.config->G * in.config->D);
    const double share[] = {0.5, 0.22};
    mls_cache_layout layout;
    size_t n = 0;

    for (size_t m = 0; mls_methods[m]; m++)
        for (size_t i = 0; i < 2; i++) {
            mls_fits fits;

            assert_ok(mls_method_fit_data(mls_methods[m], &in, share[i], &fits, &err));
            for (size_t j = 0; j < fits.n; j++) {
                const double kept = (double)elements_of(&in, &fits.setting[j]) / own;
                char text[256];

                mls_setting_text(&fits.setting[j], text, sizeof text);
                if (kept > share[i] || kept < 0.9 * share[i])
                    fail_msg("%s keeps %g, asked for %g", text, kept, share[i]);
                assert_true(mls_method_by_data(&fits.setting[j]));
                assert_refused(
                    mls_method_layout(&layout, in.config, &fits.setting[j], &err),
                    MLS_E_INPUT, "the weights");
                n++;
            }
            mls_fits_free(&fits);
        }
    assert_true(n >= 2 * 6);
}

/* A little more energy would cache more than the share. */
static void an_energy_that_fits_is_the_largest(void **state)
{
    const demo *d = *state;
    const mls_method_input in = {.config = mls_model_config(d->model),
                                 .model = d->model,
                                 .capture = d->capture,
                                 .pool = d->pool,
                                 .isolated_kl = mls_isolated_kl_of_model};
    const size_t most = 2 * in.config->L * in.config->G * in.config->D / 4;
    const mls_method *const methods[] = {&mls_method_eigen, &mls_method_x_ecomla};

    for (size_t m = 0; m < 2; m++) {
        mls_fits fits;
        char more[32];

        assert_ok(mls_method_fit_data(methods[m], &in, 0.25, &fits, &err));
        assert_int_equal(fits.n, 1);
        assert_true(elements_of(&in, &fits.setting[0]) <= most);
        snprintf(more, sizeof more, "%.6f",
                 atof(mls_setting_get(&fits.setting[0], "energy")) + 1e-6);
        assert_ok(mls_setting_set(&fits.setting[0], "energy", more, &err));
        assert_true(elements_of(&in, &fits.setting[0]) > most);
        mls_fits_free(&fits);
    }
}

static size_t in_steps(const void *arg, double share)
{
    return (size_t)(share * *(const double *)arg);
}

static void a_share_is_found_by_bisection(void **state)
{
    const double scale = 1000;
    double share = 0;

    (void)state;
    assert_true(mls_fit_share(&share, in_steps, &scale, 250));
    assert_close(share, 0.250999, 1e-9);
    assert_true(mls_fit_share(&share, in_steps, &scale, 5000));
    assert_close(share, 0.999999, 1e-9);
    const double steep = 1e9;
    assert_false(mls_fit_share(&share, in_steps, &steep, 250));
}

static void settings_by_data_are_told_from_others(void **state)
{
    static const struct {
        const char *text;
        bool by_data;
    } want[] = {
        {"palu rank=8", false},
        {"palu alloc=loss rank=8", true},
        {"palu alloc=uniform rank=8", false},
        {"eigen energy=0.5", true},
        {"eigen rank=3", false},
        {"x-ecomla energy=0.9", true},
        {"x-ecomla qenergy=0.9", false},
        {"lorc rule=cond-unverified", true},
        {"dbudgetkv rule=norm-unverified", true},
        {"dbudgetkv budget=0.3", false},
        {"kq rank=8", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        mls_setting s;

        assert_ok(mls_setting_parse(&s, want[i].text, &err));
        if (mls_method_by_data(&s) != want[i].by_data)
            fail_msg("%s", want[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_from_data_keep_to_the_share_asked),
        cmocka_unit_test(an_energy_that_fits_is_the_largest),
        cmocka_unit_test(a_share_is_found_by_bisection),
        cmocka_unit_test(settings_by_data_are_told_from_others),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
