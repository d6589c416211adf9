/*
 * ASVD (arXiv 2312.05821): SVD of W diag(s), s = mean|x|^alpha, undone after
 * truncation. Its search for a ratio per matrix by the perplexity of the whole model is
 * left out; all layers get one rank.
 */
#include "bench/frame/method.h"
#include "bench/frame/project.h"

static mls_status read_params(void *params, const mls_config *c, const mls_setting *s,
                              mls_err *err)
{
    mls_projection *p = params;
    mls_status st;

    *p = (mls_projection){.metric.kind = MLS_METRIC_DIAGONAL, .heads = c->G};
    st = mls_setting_real(s, "alpha", 0.5, 0.0, 4.0, &p->metric.power, err);
    return st ? st : mls_projection_ranks(p, c, s, err);
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
    .params_size = sizeof(mls_projection),
    .read = read_params,
    .shape = mls_projection_shape,
    .fit = mls_projection_fit,
    .build = mls_projection_build,
};
