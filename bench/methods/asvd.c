/*
 * ASVD (arXiv 2312.05821): SVD of W diag(s), s = mean|x|^alpha, undone after
 * truncation. Its search for a ratio per matrix by the perplexity of the whole model is
 * left out; all layers get one rank.
 */
#include "bench/frame/lowrank.h"
#include "bench/frame/method.h"

static const mls_key keys[] = {
    {"alpha", MLS_KEY_REAL, offsetof(mls_projection, metric.power), .hint = "X",
     .help = "power of mean|x|", .usual = 0.5, .least = 0, .most = 4},
    MLS_PROJECTION_KEYS(NULL),
    MLS_BASIS_KEY(mls_root_first),
    MLS_KEYS_END};

static mls_status settle(const mls_parsed *parsed, const mls_config *c, mls_err *err)
{
    mls_projection *p = parsed->params;
    const char *method = parsed->method->name;

    p->metric.kind = MLS_METRIC_DIAGONAL;
    return mls_projection_settle(p, c, method, err);
}

const mls_method mls_method_asvd = {
    .name = "asvd",
    .title = "ASVD",
    .source = "arXiv 2312.05821; hahnyuan/ASVD4LLM modules/svd_linear.py",
    .keys = keys,
    .exact = true,
    .fits_need_data = true,
    .params_size = sizeof(mls_projection),
    .settle = settle,
    MLS_PROJECTION_METHOD,
    .fit = mls_projection_fit,
};
