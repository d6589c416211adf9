/*
 * What a setting's forms of every layer are predicted to lose, beside the singular
 * values: forms are built one at a time and dropped.
 */
#include "tools/base/spectrum_methods.h"

#include <stdlib.h>

#include "analysis/latent/predict.h"
#include "bench/evaluate/isolated.h"
#include "bench/frame/folded_norm.h"
#include "bench/frame/scheme.h"

static void name_columns(mls_table *t)
{
    MLS_COLUMNS(
        t, {"layer", "layer", "", 0}, {"setting", "setting", "", 0},
        {"rank", "rank", "numbers", 0}, {"rope_dims", "rope keys", "numbers", 0},
        {"key_error", "key error", "", 5}, {"value_error", "value error", "", 5},
        {"logit_error", "logit error", "nat", 5},
        {"output_error", "output error", "", 5});
}

static mls_status add_row(mls_table *t, const mls_ready_scheme *ready, const char *name,
                          const mls_config *config, const mls_layer *layer,
                          const mls_layer_stats *stats, size_t T, mls_pool *pool,
                          mls_err *err)
{
    mls_latent_form form = {0};
    mls_own_moments own = {0};
    mls_predicted error;
    size_t rank = 0, rope = 0;
    mls_status st = mls_scheme_build(ready, layer, stats, &form, err);

    if (!st)
        st = mls_predict_form(&form, config, layer, stats, &own, T, pool, &error, err);
    for (size_t i = 0; !st && i < form.n_latents; i++)
        rank += form.latent[i].r;
    for (size_t i = 0; !st && i < form.n_rope_keys; i++)
        rope += form.rope_key[i].n;
    mls_own_moments_free(&own);
    mls_latent_free(&form);
    if (st)
        return st;
    mls_table_line(t, "%zu %s %zu %zu %g %g %g %g", layer->index, name, rank, rope,
                   error.key, error.value, error.logit, error.output);
    return MLS_OK;
}

/* Every layer of one setting. */
static mls_status add_setting(mls_table *t, const mls_setting *setting,
                              const mls_method_input *in, mls_err *err)
{
    mls_scheme scheme = {0};
    mls_ready_scheme *ready = NULL;
    mls_status st = mls_scheme_uniform(&scheme, setting, in->config->L, err);

    if (!st)
        st = mls_scheme_prepare(&ready, &scheme, in, err);
    for (size_t l = 0; !st && l < in->config->L; l++) {
        mls_layer layer = {0};
        mls_layer_stats stats = {0};

        if (!mls_common_can_convert(in->config, l))
            continue;
        st = mls_model_attention(in->model, l, &layer, err);
        if (!st)
            st = mls_capture_stats(in->capture, l, &stats, err);
        if (!st)
            st = add_row(t, ready, scheme.name, in->config, &layer, &stats,
                         mls_capture_length(in->capture), in->pool, err);
        mls_layer_stats_free(&stats);
        mls_layer_free(&layer);
    }
    mls_ready_scheme_free(ready);
    mls_scheme_free(&scheme);
    return st;
}

mls_status mls_spectrum_methods(mls_table *t, const mls_model *model,
                                mls_capture *capture, const mls_texts *settings,
                                mls_pool *pool, mls_err *err)
{
    const mls_method_input in = {.config = mls_model_config(model),
                                 .model = model,
                                 .capture = capture,
                                 .pool = pool,
                                 .isolated_kl = mls_isolated_kl_of_model};
    mls_status st = MLS_OK;

    name_columns(t);
    mls_table_meta(t, "command", mls_tool_command_line());
    for (size_t i = 0; !st && i < settings->n; i++) {
        mls_setting *s = NULL;
        size_t n = 0;

        st = mls_setting_expand(settings->item[i], &s, &n, err);
        for (size_t j = 0; !st && j < n; j++)
            st = add_setting(t, &s[j], &in, err);
        free(s);
    }
    mls_table_note(t,
                   "rank: numbers in latents per token after the method's own rule; "
                   "errors from the captured second moments (docs/methods/latent.md); "
                   "logit error includes rotations that were removed");
    return st;
}
