/*
 * DeepSeek's latent attention (analysis/model/mla.c) as a latent form: one latent with
 * its norm, one rope key for all heads, keys and values of every head read back by
 * KV_b. A form of rank R < r caches R numbers in place of the r of the latent: a map of
 * the normed latent. The norm's 1/rms is still that of all r numbers, which are made
 * and not cached:
 *
 *   c = diag(w) KV_a x / rms(KV_a x),  cached: P c = (P diag(w) KV_a x) / rms(KV_a x)
 */
#include <math.h>
#include <string.h>

#include "analysis/latent/latent.h"
#include "analysis/model/rope.h"

/* Row of the checkpoint that is row i of n turned ones: half-split from pairs. */
static size_t turned_row(const mls_config *c, size_t i, size_t n)
{
    return c->net.interleaved ? i % (n / 2) * 2 + i / (n / 2) : i;
}

mls_status mls_latent_mla_shape(mls_latent_form *f, const mls_config *c, size_t l,
                                size_t rank, mls_err *err)
{
    const size_t r = c->mla_kv_lora_rank, n = c->mla_rope_dim, E = c->E;
    const size_t nope = c->mla_nope_dim, value = c->mla_value_dim;
    const mls_layer_shape *s = &c->layer[l];
    const mls_rope_type type = mls_config_layer_rope(c, l)->type;
    const char *other = s->kind != MLS_LAYER_MLA || s->H != c->H || c->G != c->H
                            ? "no latent of its own"
                        : s->copies > 1   ? "more than one cache"
                        : s->index.n      ? "keys of a sparse indexer beside its latent"
                        : s->compressed.n ? "tokens in blocks beside its latent"
                        : c->net.query_beta > 0
                            ? "llama_4_scaling_beta: queries grow with their place"
                        : type == MLS_ROPE_LONGROPE || type == MLS_ROPE_DYNAMIC
                            ? "RoPE that depends on the length of the text"
                            : NULL;
    mls_status st;

    *f = (mls_latent_form){0};
    if (other)
        return mls_fail(err, MLS_E_INPUT, "layer %zu has %s, which has no latent form",
                        l, other);
    st = mls_latent_begin(f, c, l, 1, 1, err);
    if (st)
        return st;
    f->turns = f->query.biased = false;
    f->norm_eps = c->net.latent_eps;
    f->scale =
        c->net.score_scale > 0 ? c->net.score_scale : 1 / sqrt((double)(nope + n));
    f->latent[0] =
        (mls_latent_vector){.r = rank ? rank : r,
                            .down = mls_affine_shape(rank ? rank : r, E, false),
                            .holds_keys = true,
                            .holds_values = true};
    if (rank)
        f->latent[0].rms = mls_affine_shape(r, E, false);
    else
        f->latent[0].norm.n = r;
    f->rope_key[0] = (mls_rope_key){.n = n, .map = mls_affine_shape(n, E, false)};
    for (size_t h = 0; h < f->H; h++)
        f->head[h] =
            (mls_read_head){.n_key = nope,
                            .key = mls_affine_shape(nope, f->latent[0].r, false),
                            .n_value = value,
                            .value = mls_affine_shape(value, f->latent[0].r, false)};
    f->q_rank = c->mla_q_lora_rank;
    f->q_down_norm.n = f->q_rank;
    if (f->q_rank)
        f->q_down = mls_affine_shape(f->q_rank, E, false);
    return MLS_OK;
}

/* Rows of all heads' queries, [nope; rope] each; what turns has YaRN's factor. */
static void put_queries(mls_latent_form *f, const mls_config *c, const mls_layer *layer)
{
    const size_t nope = c->mla_nope_dim, n = c->mla_rope_dim, K = nope + n;
    const size_t in = f->q_rank ? f->q_rank : c->E;
    const mls_affine all =
        mls_affine_of(f->q_rank ? layer->q_b : layer->wq, NULL, f->H * K, in);
    const double m = c->rope.attention > 0 ? c->rope.attention : 1;

    mls_affine_put(&f->query, 0, &all, NULL, f->H * K);
    for (size_t i = 0; i < f->H * n; i++) {
        const size_t first = i / n * K + nope;
        const size_t from = first + turned_row(c, i % n, n);

        mls_affine_put(&f->query, first + i % n, &all, &from, 1);
        for (size_t e = 0; e < in; e++)
            f->query.w[(first + i % n) * in + e] *= (float)(m * m);
    }
}

void mls_latent_mla_fill(mls_latent_form *f, const mls_config *c,
                         const mls_layer *layer)
{
    const size_t r = c->mla_kv_lora_rank, n = c->mla_rope_dim, E = c->E;
    const size_t nope = c->mla_nope_dim, value = c->mla_value_dim, made = nope + value;
    const mls_affine joint = mls_affine_of(layer->kv_a, NULL, r + n, E);
    const mls_affine up = mls_affine_of(layer->kv_b, NULL, f->H * made, r);
    const mls_affine output = mls_affine_of(layer->wo, layer->bo, E, f->H * value);
    mls_latent_vector *v = &f->latent[0];

    if (f->q_rank) {
        const mls_affine down = mls_affine_of(layer->q_a, NULL, f->q_rank, E);

        mls_affine_put(&f->q_down, 0, &down, NULL, f->q_rank);
        memcpy(f->q_down_norm.w, layer->q_a_norm, f->q_rank * sizeof(float));
    }
    put_queries(f, c, layer);
    mls_affine_put(&f->output, 0, &output, NULL, E);
    for (size_t i = 0; i < n; i++) {
        const size_t from = r + turned_row(c, i, n);

        mls_affine_put(&f->rope_key[0].map, i, &joint, &from, 1);
    }
    mls_rope_frequencies(f->rope_key[0].inv_freq, mls_config_layer_rope(c, f->layer),
                         n);
    mls_affine_put(v->rms.cols ? &v->rms : &v->down, 0, &joint, NULL, r);
    if (v->rms.cols)
        return;
    memcpy(v->norm.w, layer->kv_a_norm, r * sizeof(float));
    for (size_t h = 0; h < f->H; h++) {
        const mls_affine key = mls_affine_rows(&up, h * made, nope);
        const mls_affine values = mls_affine_rows(&up, h * made + nope, value);

        mls_affine_put(&f->head[h].key, 0, &key, NULL, nope);
        mls_affine_put(&f->head[h].value, 0, &values, NULL, value);
    }
}
