/* The bytes that `size` promises are those of the forms that run. */
#include "tests/support/expect.h"

#include "analysis/latent/size.h"
#include "analysis/model/model.h"
#include "bench/frame/method.h"
#include "bench/frame/scheme.h"

/* Settings that need no data, with quantizers apart. */
static const char *const settings[] = {
    "baseline",
    "baseline bits=4",
    "baseline kquant=int4/32 vquant=kivi2 layers=1,3",
    "gqa2mla kquant=int8",
    "mha2mla rope=high chunks=4 rank=16 bits=4",
    "mha2mla rope=uniform chunks=4 rank=16 bits=4 rquant=int8/8 layers=0-2",
    "mha2mla rope=low chunks=4 rank=16 svd=split kquant=int4 vquant=int2",
    "mha2mla rope=high chunks=2 svd=none kquant=int4 vquant=int2 rquant=none",
    "mha2mla rope=high chunks=2 rank=8 svd=only_key kquant=int4",
    "mha2mla rope=high chunks=2 rank=8 svd=only_value vquant=h:int4",
    "elitekv rope=uniform-elite chunks=6 rank=64 quant=q4_0 rquant=none",
    "elitekv rope=high svd=split rank_k=32 rank_v=16 vquant=int2",
    "x-ecomla rank=64 rope_dim=32 quant=fp8 layers=1-5+2",
    "lorc rank_k=33 rank_v=64 kquant=int4 vquant=int2",
    "lillama reduction=0.3 kquant=int4/8 vquant=int2/8 rquant=int8",
    "dbudgetkv budget=0.3 layers=2,4 kquant=int4",
};

static void assert_same_bytes(const char *setting, const mls_cache_layout *promised,
                              const mls_cache_layout *built)
{
    static mls_cache_layout one, other;

    one.L = other.L = 1;
    for (size_t l = 0; l < promised->L; l++) {
        const mls_size_request q = {1000, 2, 16, 2, 16};
        mls_size_result a, b;

        one.layer[0] = promised->layer[l];
        other.layer[0] = built->layer[l];
        mls_size(&a, &one, &q);
        mls_size(&b, &other, &q);
        if (a.elements_per_token != b.elements_per_token ||
            a.bytes_per_token != b.bytes_per_token || a.metadata != b.metadata ||
            a.window != b.window || a.gpu_bytes != b.gpu_bytes)
            fail_msg("%s, layer %zu: promised %g numbers and %g bytes per token, built "
                     "%g and %g",
                     setting, l, a.elements_per_token, a.bytes_per_token,
                     b.elements_per_token, b.bytes_per_token);
    }
}

static void forms_of_the_demo_model_take_the_bytes_that_size_promises(void **state)
{
    (void)state;
    static mls_cache_layout promised, built;
    mls_method_input in = {0};
    mls_model *model;

    assert_ok(mls_model_open(&model, test_source("datasets/demo"), &err));
    in.model = model;
    in.config = mls_model_config(model);
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        mls_ready_scheme *ready;
        mls_scheme scheme;
        mls_setting s;

        assert_ok(mls_setting_parse(&s, settings[i], &err));
        assert_ok(mls_method_layout(&promised, in.config, &s, &err));
        assert_ok(mls_scheme_uniform(&scheme, &s, in.config->L, &err));
        assert_ok(mls_scheme_prepare(&ready, &scheme, &in, &err));
        built.L = in.config->L;
        for (size_t l = 0; l < in.config->L; l++) {
            mls_latent_form form;
            mls_layer layer;

            assert_ok(mls_model_attention(model, l, &layer, &err));
            assert_ok(mls_scheme_build(ready, &layer, NULL, &form, &err));
            assert_ok(mls_latent_layout(&form, &built.layer[l], &err));
            mls_latent_free(&form);
            mls_layer_free(&layer);
        }
        assert_same_bytes(settings[i], &promised, &built);
        mls_ready_scheme_free(ready);
        mls_scheme_free(&scheme);
    }
    mls_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_of_the_demo_model_take_the_bytes_that_size_promises),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
