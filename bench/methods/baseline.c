/* The model as it is: the reference of every figure, with a quantizer if asked. */
#include "analysis/latent/latent.h"
#include "bench/frame/common_keys.h"
#include "bench/frame/method.h"

static mls_status layout(const mls_config *config, const mls_setting *s,
                         mls_cache_layout *out, mls_err *err)
{
    mls_common_keys k;

    return mls_common_layout(out, &k, config, s, err);
}

static mls_status build(const mls_method_input *in, const mls_setting *s,
                        const void *plan, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *out,
                        mls_err *err)
{
    (void)s, (void)plan, (void)stats;
    return mls_latent_identity(out, in->config, layer, err);
}

const mls_method mls_method_baseline = {
    .name = "baseline",
    .title = "Unconverted",
    .source = "the model's own cache",
    .keys = "",
    .formula = "2 G D; native MLA: kv_lora_rank + d_r",
    .full_rope = true,
    .plain_keys = true,
    .exact = true,
    .identity = true,
    .layout = layout,
    .build = build,
};
