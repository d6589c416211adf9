/*
 * EliteKV (arXiv 2503.01586): chunks found by a greedy search keep their rotation;
 * J-LRD factorizes the other keys and the values together, S-LRD apart. The project
 * works on MHA; with GQA a chunk is kept per KV head.
 */
#include <string.h>

#include "bench/frame/common_keys.h"
#include "bench/frame/fit.h"
#include "bench/frame/method.h"
#include "bench/frame/partial.h"

enum { SVD_JOINT, SVD_SPLIT };
static const char *const svd_words[] = {"joint", "split", NULL};

static mls_status read_params(void *params, const mls_config *c, const mls_setting *s,
                              mls_err *err)
{
    const size_t C = c->D / 2, GD = c->G * c->D;
    mls_partial *p = params;
    size_t svd;
    mls_status st;

    if ((st = mls_partial_read(p, c, s, "ropelite-l1", C * 3 / 16 ? C * 3 / 16 : 1,
                               err)) ||
        (st = mls_setting_word(s, "svd", svd_words, &svd, err)))
        return st;

    const size_t nope = GD - 2 * p->chunks * c->G;
    const size_t max = mls_least(nope + GD, c->E);
    const size_t max_k = mls_least(nope, c->E), max_v = mls_least(GD, c->E);
    if (svd == SVD_JOINT) {
        if (mls_setting_get(s, "rank_k") || mls_setting_get(s, "rank_v"))
            return mls_fail(err, MLS_E_INPUT,
                            "%s: rank_k and rank_v belong to svd=split; svd=joint "
                            "takes rank",
                            s->method);
        if ((st = mls_setting_size(s, "rank", mls_least(GD / 2, max), 1, MLS_WIDTH_MAX,
                                   &p->joint, err)))
            return st;
        return mls_at_most(s, "rank", p->joint, max, "the rank of [K without RoPE; V]",
                           err);
    }
    if (mls_setting_get(s, "rank"))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: rank belongs to svd=joint; svd=split takes rank_k and "
                        "rank_v",
                        s->method);
    if ((st = mls_setting_size(s, "rank_k", mls_least(GD / 4, max_k), nope ? 1 : 0,
                               MLS_WIDTH_MAX, &p->rank[MLS_KEYS], err)) ||
        (st = mls_at_most(s, "rank_k", p->rank[MLS_KEYS], max_k,
                          "the rank of K without RoPE", err)) ||
        (st = mls_setting_size(s, "rank_v", mls_least(GD / 4, max_v), 1, MLS_WIDTH_MAX,
                               &p->rank[MLS_VALUES], err)))
        return st;
    return mls_at_most(s, "rank_v", p->rank[MLS_VALUES], max_v, "the rank of V", err);
}

/* The README keeps 12 of 64 chunks; other splits of the same bytes follow. */
static void fit(const mls_config *c, size_t elements, mls_fits *out)
{
    const size_t C = c->D / 2, chunks[] = {C * 3 / 16, C / 4, C / 2, C / 8, C / 16};

    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++)
        if (chunks[i] > 0 && elements > 2 * chunks[i] * c->G)
            mls_fits_add(out, "chunks=%zu rank=%zu", chunks[i],
                         elements - 2 * chunks[i] * c->G);
}

/* Its code needs as many KV heads as query heads, and has no S-LRD (svd=split). */
static bool theirs(const mls_config *c, const mls_setting *s)
{
    const char *scope = mls_setting_get(s, "scope"), *svd = mls_setting_get(s, "svd");

    return c->G == c->H && !c->qk_norm && !mls_setting_get(s, "layers") &&
           (!scope || strcmp(scope, "head") == 0) &&
           (!svd || strcmp(svd, "joint") == 0);
}

const mls_method mls_method_elitekv = {
    .name = "elitekv",
    .title = "EliteKV",
    .source = "arXiv 2503.01586; CiaranZhou/EliteKV convert/convert.py",
    .keys = "rope=RULE chunks=N scope=head|layer|global rank=N svd=joint|split "
            "rank_k=N rank_v=N",
    .formula = "G d_r + rank; svd=split: G d_r + rank_k + rank_v",
    .exact = true,
    .identity = true,
    .fits_need_data = true,
    .theirs = theirs,
    .project = MLS_SERVE_ELITEKV,
    .params_size = sizeof(mls_partial),
    .read = read_params,
    .shape = mls_partial_shape,
    .fit = fit,
    .prepare = mls_partial_prepare,
    .release = mls_partial_release,
    .build = mls_partial_build,
};
