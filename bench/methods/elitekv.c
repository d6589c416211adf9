/*
 * EliteKV (arXiv 2503.01586): chunks found by a greedy search keep their rotation;
 * J-LRD factorizes the other keys and the values together, S-LRD apart. The project
 * works on MHA; with GQA a chunk is kept per KV head.
 */
#include "bench/frame/common_keys.h"
#include "bench/frame/fit.h"
#include "bench/frame/method.h"
#include "bench/frame/partial.h"

enum { SVD_JOINT, SVD_SPLIT };
static const char *const svd_words[] = {"joint", "split", NULL};

typedef struct params {
    mls_partial partial;
    size_t svd;
} params;

MLS_KEY_REFUSED(no_joint, params, p->svd == SVD_SPLIT,
                "rank belongs to svd=joint; svd=split takes rank_k and rank_v")
MLS_KEY_REFUSED(no_split, params, p->svd == SVD_JOINT,
                "rank_k and rank_v belong to svd=split; svd=joint takes rank")
MLS_KEY_FROM(chunks, void, c->D / 2 * 3 / 16 ? c->D / 2 * 3 / 16 : 1)
MLS_KEY_FROM(nope, params, (c->D - 2 * p->partial.chunks) * c->G)
MLS_KEY_FROM(joint_limit, void, mls_least(nope(c, p) + c->G * c->D, c->E))
MLS_KEY_FROM(key_limit, void, mls_least(nope(c, p), c->E))
MLS_KEY_FROM(value_limit, void, mls_least(c->G * c->D, c->E))
MLS_KEY_FROM(joint_half, void, mls_least(c->G * c->D / 2, joint_limit(c, p)))
MLS_KEY_FROM(key_quarter, void, mls_least(c->G * c->D / 4, key_limit(c, p)))
MLS_KEY_FROM(value_quarter, void, mls_least(c->G * c->D / 4, value_limit(c, p)))

static const mls_key keys[] = {
    MLS_PARTIAL_KEYS("ropelite-l1", chunks, "3 C / 16"),
    {"svd", MLS_KEY_WORD, offsetof(params, svd), .words = svd_words,
     .help = "keys and values together, or apart"},
    {"rank", MLS_KEY_SIZE, offsetof(params, partial.joint), .hint = "N",
     .help = "kv_dim of the layer", .least = 1, .most = MLS_WIDTH_MAX,
     .otherwise = joint_half, .said = "G D / 2", .bound = "min(G (2 D - d_r), E)",
     .limit = joint_limit, .what = "the rank of [K without RoPE; V]",
     .refuse = no_joint},
    {"rank_k", MLS_KEY_SIZE, offsetof(params, partial.rank[MLS_KEYS]), .hint = "N",
     .help = "of the layer, svd=split", .least = 1, .most = MLS_WIDTH_MAX,
     .otherwise = key_quarter, .said = "G D / 4", .bound = "min(G (D - d_r), E)",
     .limit = key_limit, .what = "the rank of K without RoPE", .refuse = no_split},
    {"rank_v", MLS_KEY_SIZE, offsetof(params, partial.rank[MLS_VALUES]), .hint = "N",
     .help = "of the layer, svd=split", .least = 1, .most = MLS_WIDTH_MAX,
     .otherwise = value_quarter, .said = "G D / 4", .bound = "min(G D, E)",
     .limit = value_limit, .what = "the rank of V", .refuse = no_split},
    MLS_KEYS_END};

static mls_status settle(const mls_parsed *parsed, const mls_config *c, mls_err *err)
{
    params *p = parsed->params;
    const char *method = parsed->method->name;

    return mls_partial_rule(method, p->partial.rule, c, err);
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
static bool theirs(const mls_config *c, const mls_parsed *parsed)
{
    const params *p = parsed->params;

    return c->G == c->H && !c->qk_norm && mls_parsed_all(parsed, c) &&
           p->partial.scope == MLS_SCOPE_HEAD && p->svd == SVD_JOINT;
}

const mls_method mls_method_elitekv = {
    .name = "elitekv",
    .title = "EliteKV",
    .source = "arXiv 2503.01586; CiaranZhou/EliteKV convert/convert.py",
    .keys = keys,
    .formula = "G d_r + rank; svd=split: G d_r + rank_k + rank_v",
    .theirs = theirs,
    .project = MLS_SERVE_ELITEKV,
    .params_size = sizeof(params),
    .settle = settle,
    MLS_PARTIAL_METHOD,
    .fit = fit,
};
