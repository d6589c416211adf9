/*
 * MHA2MLA (arXiv 2502.14837): every KV head keeps the rotation of a few chunks; what
 * lost it is factorized with the values, one SVD per layer over all heads.
 */
#include <string.h>

#include "bench/frame/common_keys.h"
#include "bench/frame/fit.h"
#include "bench/frame/method.h"
#include "bench/frame/partial.h"

enum { SVD_JOINT, SVD_SPLIT, SVD_NONE, SVD_KEY, SVD_VALUE };
static const char *const svd_words[] = {"joint",    "split",      "none",
                                        "only_key", "only_value", NULL};

static mls_status read_params(void *params, const mls_config *c, const mls_setting *s,
                              mls_err *err)
{
    const size_t C = c->D / 2, D = c->D;
    mls_partial *p = params;
    size_t svd, rank; /* low_rank of the project: per KV head and matrix */
    mls_status st;

    if ((st = mls_partial_read(p, c, s, "2-norm", C < 8 ? 1 : C / 8, err)) ||
        (st = mls_setting_word(s, "svd", svd_words, &svd, err)))
        return st;
    if (svd == SVD_NONE)
        return mls_setting_get(s, "rank")
                   ? mls_fail(err, MLS_E_INPUT, "%s: svd=none takes no rank", s->method)
                   : MLS_OK;

    /* The rank of the smallest matrix that is factorized, per KV head. */
    const size_t key = D - 2 * p->chunks;
    size_t rows = svd == SVD_JOINT ? key + D : D;
    if ((svd == SVD_SPLIT || svd == SVD_KEY) && key > 0)
        rows = key;
    const size_t max = mls_least(rows, c->E / c->G);
    if ((st = mls_setting_size(s, "rank", mls_least(D / 2, max), 1, MLS_WIDTH_MAX,
                               &rank, err)) ||
        (st = mls_at_most(s, "rank", rank, max,
                          "the rank per KV head of what is factorized", err)))
        return st;
    p->joint = svd == SVD_JOINT ? c->G * rank : 0;
    p->rank[MLS_KEYS] = svd == SVD_SPLIT || svd == SVD_KEY ? c->G * rank : 0;
    p->rank[MLS_VALUES] = svd == SVD_SPLIT || svd == SVD_VALUE ? c->G * rank : 0;
    return MLS_OK;
}

/* Table 1 keeps C/8 chunks per KV head; other splits of the same bytes follow. */
static void fit(const mls_config *c, size_t elements, mls_fits *out)
{
    const size_t C = c->D / 2, share[] = {8, 4, 2, 16};

    for (size_t i = 0; i < sizeof share / sizeof share[0]; i++) {
        const size_t chunks = C / share[i], per_head = elements / c->G;

        if (chunks > 0 && per_head > 2 * chunks)
            mls_fits_add(out, "chunks=%zu rank=%zu", chunks, per_head - 2 * chunks);
    }
}

/* The rank file takes any chunks, the same number in every head and layer. */
static bool theirs(const mls_config *c, const mls_setting *s)
{
    const char *scope = mls_setting_get(s, "scope");

    return !c->qk_norm && !mls_setting_get(s, "layers") &&
           (!scope || strcmp(scope, "head") == 0);
}

const mls_method mls_method_mha2mla = {
    .name = "mha2mla",
    .title = "MHA2MLA",
    .source = "arXiv 2502.14837; JT-Ushio/MHA2MLA src/mha2mla/patch_func.py",
    .keys = "rope=RULE chunks=N scope=head|layer|global rank=N "
            "svd=joint|split|none|only_key|only_value",
    .formula = "G d_r + G rank; svd=split: G d_r + 2 G rank",
    .exact = true,
    .identity = true,
    .fits_need_data = true,
    .theirs = theirs,
    .project = MLS_SERVE_MHA2MLA,
    .params_size = sizeof(mls_partial),
    .read = read_params,
    .shape = mls_partial_shape,
    .fit = fit,
    .prepare = mls_partial_prepare,
    .release = mls_partial_release,
    .build = mls_partial_build,
};
