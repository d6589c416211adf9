/*
 * Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1): a latent of
 * rank r and one rotating key for all heads are cached; keys and values of every head
 * are made of the latent. Here they are made for the whole sequence, head by head.
 *
 *   [c; k^R] = KV_a x,  c = norm(c)
 *   [k^N_h; v_h] = KV_b,h c,  key_h = [k^N_h; rotate(k^R)]
 *   q_h = Q_b,h norm(Q_a x) (or W_q,h x),  its last dims rotate
 */
#include "analysis/model/mla.h"

#include <math.h>
#include <string.h>

#include "analysis/model/rope.h"
#include "analysis/numeric/kernels.h"

size_t mls_mla_scratch(const mls_config *config, const mls_layer_shape *shape)
{
    const mls_config *c = config;
    const size_t K = c->mla_nope_dim + c->mla_rope_dim;

    return c->mla_q_lora_rank + shape->H * K + c->mla_kv_lora_rank + c->mla_rope_dim +
           c->mla_kv_lora_rank + shape->H * (c->mla_nope_dim + c->mla_value_dim) + K +
           shape->H * c->mla_value_dim + MLS_ATTEND_ROWS;
}

/*
 * The n rope dims of rows at `stride`, in place: where they are interleaved, dims 2c
 * and 2c + 1 go to c and c + n / 2 first, in q and in k alike.
 */
static void turn(const mls_config *c, float *x, size_t stride, const float *cs,
                 size_t T)
{
    const size_t n = c->mla_rope_dim;
    float pair[MLS_DIM_MAX];

    for (size_t t = 0; c->net.interleaved && t < T; t++) {
        float *row = x + t * stride;

        for (size_t i = 0; i < n; i++)
            pair[i % 2 * (n / 2) + i / 2] = row[i];
        memcpy(row, pair, n * sizeof *row);
    }
    mls_rope_apply(x, stride, cs, n / 2, T, 1);
}

/* Queries grow with their place (Mistral 4). */
static double query_scale(const mls_net *n, size_t t)
{
    return n->query_beta > 0
               ? 1 + n->query_beta * log1p(floor((double)t / n->query_period))
               : 1;
}

void mls_mla_attention(const mls_config *config, const mls_layer *layer,
                       const float *cs, const float *x, size_t T, float *out,
                       float *scratch)
{
    const mls_config *c = config;
    const mls_layer *w = layer;
    const mls_layer_shape *s = &c->layer[w->index];
    const size_t E = c->E, H = s->H, rank = c->mla_kv_lora_rank;
    const size_t N = c->mla_nope_dim, R = c->mla_rope_dim, V = c->mla_value_dim;
    const size_t K = N + R, q_rank = c->mla_q_lora_rank, made = N + V;
    const double m = c->rope.attention > 0 ? c->rope.attention : 1;
    const double scale =
        c->net.score_scale > 0 ? c->net.score_scale : 1 / sqrt((double)K);
    float *q_low = scratch, *q = q_low + T * q_rank, *joint = q + T * H * K;
    float *latent = joint + T * (rank + R), *kv = latent + T * rank;
    float *key = kv + T * H * made, *read = key + T * K, *scores = read + T * H * V;

    if (q_rank) {
        mls_linear(q_low, x, w->q_a, NULL, T, q_rank, E);
        mls_rmsnorm(q_low, q_low, w->q_a_norm, c->net.latent_eps, T, q_rank);
        mls_linear(q, q_low, w->q_b, NULL, T, H * K, q_rank);
    } else {
        mls_linear(q, x, w->wq, NULL, T, H * K, E);
    }
    mls_linear(joint, x, w->kv_a, NULL, T, rank + R, E);
    for (size_t t = 0; t < T; t++)
        memcpy(latent + t * rank, joint + t * (rank + R), rank * sizeof *latent);
    mls_rmsnorm(latent, latent, w->kv_a_norm, c->net.latent_eps, T, rank);
    mls_linear(kv, latent, w->kv_b, NULL, T, H * made, rank);
    turn(c, joint + rank, rank + R, cs, T);
    for (size_t h = 0; h < H; h++) {
        turn(c, q + h * K + N, H * K, cs, T);
        for (size_t t = 0; t < T; t++) {
            const float by = (float)query_scale(&c->net, t);
            float *row = q + t * H * K + h * K;

            for (size_t i = 0; i < K; i++)
                row[i] *= i < N ? by : by * (float)(m * m);
            memcpy(key + t * K, kv + (t * H + h) * made, N * sizeof *key);
            memcpy(key + t * K + N, joint + t * (rank + R) + rank, R * sizeof *key);
        }
        mls_attend(read + h * V, H * V, (mls_strided){q + h * K, H * K, K},
                   (mls_strided){key, K, K},
                   (mls_strided){kv + h * made + N, H * made, V}, T, scale, 0, scores);
    }
    mls_linear(out, read, w->wo, w->bo, T, E, H * V);
}
