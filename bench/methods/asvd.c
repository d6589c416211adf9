/*
 * ASVD (arXiv 2312.05821): SVD of W diag(s), s = mean|x|^alpha, undone after
 * truncation. Its search for a ratio per matrix by the perplexity of the whole model is
 * left out; all layers get one rank.
 */
#include "bench/frame/method.h"
#include "bench/frame/project.h"

typedef struct params {
    mls_projection projection;
    size_t rank[MLS_SIDES];
} params;

static mls_status read_params(params *p, const mls_config *c, const mls_setting *s,
                              mls_err *err)
{
    mls_metric *metric = &p->projection.metric;

    *p = (params){.projection = {"asvd", {MLS_METRIC_DIAGONAL, 0, 0}, c->G}};
    const mls_status st =
        mls_setting_real(s, "alpha", 0.5, 0.0, 4.0, &metric->power, err);
    return st ? st : mls_projection_ranks(p->rank, &p->projection, c, s, err);
}

static mls_status layout(const mls_config *config, const mls_setting *s,
                         mls_cache_layout *out, mls_err *err)
{
    params p;
    const mls_status st = read_params(&p, config, s, err);

    return st ? st : mls_projection_layout(&p.projection, p.rank, config, s, out, err);
}

static mls_status build(const mls_method_input *in, const mls_setting *s,
                        const void *plan, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *out,
                        mls_err *err)
{
    params p;
    const mls_status st = read_params(&p, in->config, s, err);

    (void)plan;
    *out = (mls_latent_form){0};
    return st ? st
              : mls_projection_form(out, &p.projection, p.rank, in, layer, stats, err);
}

const mls_method mls_method_asvd = {
    .name = "asvd",
    .title = "ASVD",
    .source = "arXiv 2312.05821; hahnyuan/ASVD4LLM modules/svd_linear.py",
    .keys = "rank=N rank_k=N rank_v=N alpha=X",
    .formula = "rank_k + rank_v",
    .full_rope = true,
    .exact = true,
    .identity = true,
    .fits_need_data = true,
    .layout = layout,
    .fit = mls_projection_fit,
    .build = build,
};
