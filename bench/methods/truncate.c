/*
 * A model that caches a latent already, with a shorter one: what its own r numbers hold
 * of the text (DeepSeek-V2, arXiv 2405.04434, has the latent; to cut it is ours). With
 * c the normed latent, B = KV_b diag(w) and S = KV_a E[x x^T] KV_a^T, which is E[c c^T]
 * where 1/rms is taken as the same for all tokens, the best KV_b of rank R on text is
 *
 *   B S^(1/2) V_R^T V_R S^(-1/2),  V_R leading eigenvectors of S^(1/2) B^T B S^(1/2)
 *
 * (SVD-LLM's whitened SVD): cached are the R numbers V_R S^(-1/2) KV_a x / rms, keys
 * and values are read back by B S^(1/2) V_R^T. At R = r it is the model itself.
 */
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/linalg.h"
#include "bench/frame/fit.h"
#include "bench/frame/lowrank.h"
#include "bench/frame/method.h"
#include "common/base/checked.h"

/* Directions of the latent that the text hardly uses are kept apart from zero. */
static const double FLOOR = 1e-7;

typedef struct params {
    size_t rank;
} params;

MLS_KEY_FROM(half, void, c->mla_kv_lora_rank / 2)
MLS_KEY_FROM(whole, void, c->mla_kv_lora_rank ? c->mla_kv_lora_rank : MLS_WIDTH_MAX)

static const mls_key keys[] = {{"rank", MLS_KEY_SIZE, offsetof(params, rank),
                                .hint = "N", .help = "numbers kept of the latent",
                                .least = 1, .most = MLS_WIDTH_MAX, .otherwise = half,
                                .said = "r/2", .limit = whole, .bound = "r",
                                .what = "the model's own latent"},
                               MLS_KEYS_END};

static mls_status settle(const mls_parsed *p, const mls_config *c, mls_err *err)
{
    return c->mla_kv_lora_rank
               ? MLS_OK
               : mls_fail(err, MLS_E_INPUT,
                          "%s: the model (%s) caches keys and values, and no latent "
                          "that could be cut",
                          p->method->name, c->model_type);
}

static mls_status shape(mls_latent_form *f, const mls_config *c, const mls_parsed *p,
                        const void *prepared, size_t l, mls_err *err)
{
    const params *own = p->params;

    (void)prepared;
    return mls_latent_mla_shape(f, c, l, own->rank, err);
}

static mls_status build(const mls_method_input *in, const mls_parsed *p,
                        const void *prepared, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *f, mls_err *err)
{
    const mls_config *c = in->config;
    const size_t r = c->mla_kv_lora_rank, E = c->E, R = f->latent[0].r;
    const size_t made = c->mla_nope_dim + c->mla_value_dim, rows = c->H * made;
    double *a, *b, *x, *S, *root, *inverse, *G, *values;
    mls_status st = mls_needs_capture(p->method->name, stats, err);

    (void)prepared;
    if (!st)
        st = mls_latent_allocate(f, err);
    if (st)
        return st;
    mls_latent_mla_fill(f, c, layer);
    a = mls_calloc3(r, E, 1, sizeof *a);        /* KV_a */
    x = mls_calloc3(r, E, 1, sizeof *x);        /* KV_a E[x x^T], then the map cached */
    b = mls_calloc3(rows, 2 * r, 1, sizeof *b); /* B, then what reads back */
    S = mls_calloc3(4 * r + 1, r, 1, sizeof *S);
    if (!a || !x || !b || !S) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the latent of layer %zu",
                      layer->index);
        goto done;
    }
    root = S + r * r;
    inverse = root + r * r;
    G = inverse + r * r;
    values = G + r * r;
    mls_widen(a, layer->kv_a, r * E);
    for (size_t i = 0; i < rows * r; i++)
        b[i] = (double)layer->kv_b[i] * (double)layer->kv_a_norm[i % r];
    mls_matmul(x, a, false, stats->x_second, false, r, E, E);
    mls_matmul(S, x, false, a, true, r, r, E);
    st = mls_sqrt_psd(S, r, FLOOR, root, inverse, err);
    if (st)
        goto done;
    double *read = b + rows * r; /* B S^(1/2) */

    mls_matmul(read, b, false, root, false, rows, r, r);
    mls_matmul(G, read, true, read, false, r, r, rows);
    double *V = S; /* its rows: directions, S is no longer needed */

    st = mls_eigen(G, r, values, V, err);
    if (st)
        goto done;
    mls_matmul(root, V, false, inverse, false, R, r, r); /* V_R S^(-1/2) */
    mls_matmul(x, root, false, a, false, R, E, r);
    mls_affine_put_double(&f->latent[0].down, 0, x, NULL, R);
    mls_matmul(b, read, false, V, true, rows, R, r);
    for (size_t h = 0; h < c->H; h++) {
        mls_read_head *head = &f->head[h];
        const double *up = b + h * made * R;

        mls_affine_put_double(&head->key, 0, up, NULL, head->n_key);
        mls_affine_put_double(&head->value, 0, up + head->n_key * R, NULL,
                              head->n_value);
    }

done:
    mls_free_all(a, x, b, S);
    return st;
}

static void fit(const mls_config *c, size_t elements, mls_fits *out)
{
    if (c->mla_kv_lora_rank && elements > c->mla_rope_dim)
        mls_fits_add(out, "rank=%zu", elements - c->mla_rope_dim);
}

const mls_method mls_method_truncate = {
    .name = "truncate",
    .title = "Truncated latent",
    .source = "ours: SVD-LLM's whitened SVD (arXiv 2403.07378) of a latent of MLA",
    .keys = keys,
    .formula = "rank + d_r",
    .exact = true,
    .identity = true,
    .fits_need_data = true,
    .params_size = sizeof(params),
    .settle = settle,
    .shape = shape,
    .fit = fit,
    .build = build,
};
