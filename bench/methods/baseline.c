/* The model as it is: the reference of every figure, with a quantizer if asked. */
#include "analysis/latent/latent.h"
#include "bench/frame/method.h"

static mls_status shape(mls_latent_form *f, const mls_config *config,
                        const mls_parsed *p, const void *prepared, size_t l,
                        mls_err *err)
{
    (void)p, (void)prepared;
    return mls_latent_identity_shape(f, config, l, err);
}

static mls_status build(const mls_method_input *in, const mls_parsed *p,
                        const void *prepared, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *f, mls_err *err)
{
    (void)p, (void)prepared, (void)stats;
    return mls_latent_identity_fill(f, in->config, layer, err);
}

const mls_method mls_method_baseline = {
    .name = "baseline",
    .title = "Unconverted",
    .source = "the model's own cache",
    .formula = "2 G D; native MLA: kv_lora_rank + d_r",
    .full_rope = true,
    .plain_keys = true,
    .exact = true,
    .identity = true,
    .shape = shape,
    .build = build,
};
