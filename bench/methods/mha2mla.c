/*
 * MHA2MLA (arXiv 2502.14837): every KV head keeps the rotation of a few chunks; what
 * lost it is factorized with the values, one SVD per layer over all heads.
 */
#include "bench/frame/common_keys.h"
#include "bench/frame/fit.h"
#include "bench/frame/method.h"
#include "bench/frame/partial.h"

enum { SVD_JOINT, SVD_SPLIT, SVD_NONE, SVD_KEY, SVD_VALUE };
static const char *const svd_words[] = {"joint",    "split",      "none",
                                        "only_key", "only_value", NULL};

typedef struct params {
    mls_partial partial;
    size_t svd;
    size_t rank; /* low_rank of the project: per KV head and matrix */
} params;

MLS_KEY_REFUSED(no_rank, params, p->svd == SVD_NONE, "svd=none takes no rank")
MLS_KEY_FROM(chunks, void, c->D / 2 < 8 ? 1 : c->D / 16)

/* The rank of the smallest matrix that is factorized, per KV head. */
static size_t limit(const mls_config *c, const void *v)
{
    const params *p = v;
    const size_t key = c->D - 2 * p->partial.chunks;
    size_t rows = p->svd == SVD_JOINT ? key + c->D : c->D;

    if ((p->svd == SVD_SPLIT || p->svd == SVD_KEY) && key > 0)
        rows = key;
    return mls_least(rows, c->E / c->G);
}

MLS_KEY_FROM(half, void, mls_least(c->D / 2, limit(c, p)))

static const mls_key keys[] = {
    MLS_PARTIAL_KEYS("2-norm", chunks, "C/8"),
    {"svd", MLS_KEY_WORD, offsetof(params, svd), .words = svd_words,
     .help = "what is factorized: keys and values together, apart, neither, one"},
    {"rank", MLS_KEY_SIZE, offsetof(params, rank), .hint = "N",
     .help = "low_rank of the project, per KV head; with svd=split for each of the two",
     .least = 1, .most = MLS_WIDTH_MAX, .otherwise = half, .said = "D/2",
     .limit = limit, .what = "the rank per KV head of what is factorized",
     .bound = "min(2 D - d_r, E/G)", .refuse = no_rank},
    MLS_KEYS_END};

static mls_status settle(const mls_parsed *parsed, const mls_config *c, mls_err *err)
{
    params *p = parsed->params;
    const char *method = parsed->method->name;

    const size_t all = c->G * p->rank;

    p->partial.joint = p->svd == SVD_JOINT ? all : 0;
    p->partial.rank[MLS_KEYS] = p->svd == SVD_SPLIT || p->svd == SVD_KEY ? all : 0;
    p->partial.rank[MLS_VALUES] = p->svd == SVD_SPLIT || p->svd == SVD_VALUE ? all : 0;
    return mls_partial_rule(method, p->partial.rule, c, err);
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
static bool theirs(const mls_config *c, const mls_parsed *parsed)
{
    const params *p = parsed->params;

    return !c->qk_norm && mls_parsed_all(parsed, c) &&
           p->partial.scope == MLS_SCOPE_HEAD;
}

const mls_method mls_method_mha2mla = {
    .name = "mha2mla",
    .title = "MHA2MLA",
    .source = "arXiv 2502.14837; JT-Ushio/MHA2MLA src/mha2mla/patch_func.py",
    .keys = keys,
    .formula = "G d_r + G rank; svd=split: G d_r + 2 G rank",
    .theirs = theirs,
    .project = MLS_SERVE_MHA2MLA,
    .params_size = sizeof(params),
    .settle = settle,
    MLS_PARTIAL_METHOD,
    .fit = fit,
};
