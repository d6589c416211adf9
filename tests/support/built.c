#include "tests/support/built.h"

mls_latent_form built(const mls_method_input *in, const char *text,
                      const mls_layer *layer, const mls_layer_stats *stats)
{
    mls_setting setting;
    mls_scheme scheme;
    mls_ready_scheme *ready;
    mls_latent_form form;

    assert_ok(mls_setting_parse(&setting, text, &err));
    assert_ok(mls_scheme_uniform(&scheme, &setting, in->config->L, &err));
    assert_ok(mls_scheme_prepare(&ready, &scheme, in, &err));
    assert_ok(mls_scheme_build(ready, layer, stats, &form, &err));
    mls_ready_scheme_free(ready);
    mls_scheme_free(&scheme);
    return form;
}

void built_attention(const mls_latent_form *form, bool absorbed, const float *x,
                     size_t n, float *out)
{
    mls_latent_runner *runner;

    assert_ok(mls_latent_runner_new(&runner, n, 1, absorbed, &err));
    assert_ok(mls_latent_runner_set(runner, form, NULL, &err));
    assert_ok(mls_latent_attention(runner, 0, 0, x, n, out, NULL, &err));
    mls_latent_runner_free(runner);
}
