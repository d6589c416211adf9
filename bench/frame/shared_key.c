/*
 * RoRoPE turns the keys of all heads at once by an orthogonal U, so that the first rows
 * of U k hold most of what positions tell; a score stays what it was when queries turn
 * with it: q . k = (U q) . (U k). Rows of the rope key meet the turned query, the rest
 * is read back through the columns of U that belong to a head.
 */
#include "bench/frame/shared_key.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"

mls_status mls_shared_shape(mls_latent_form *f, const mls_config *c, size_t l,
                            const mls_shared_sizes *s, mls_err *err)
{
    const size_t latents = s->latents ? s->latents : 1;
    const size_t keys = s->n_rope == 0 ? 0 : s->keys ? s->keys : 1;
    const mls_status st = mls_latent_begin(f, c, l, latents, keys, err);

    if (st)
        return st;
    for (size_t b = 0; b < keys; b++)
        f->rope_key[b] =
            (mls_rope_key){.n = s->n_rope,
                           .map = mls_affine_shape(s->n_rope, c->E, c->qkv_bias),
                           .uneven = s->uneven};
    for (size_t j = 0; j < latents; j++)
        f->latent[j] = (mls_latent_vector){
            .r = s->rank,
            .down = mls_affine_shape(s->rank, c->E, s->down_biased),
            .holds_keys = s->n_key > 0,
            .holds_values = true,
        };
    for (size_t g = 0; g < c->G; g++) {
        mls_read_head *h = &f->head[g];
        const int latent = (int)(g * latents / c->G);

        h->rope_key = keys ? (int)(g * keys / c->G) : MLS_NONE;
        h->n_key = s->n_key;
        h->n_value = c->D;
        h->value_latent = latent;
        h->value = mls_affine_shape(c->D, s->rank, s->read_biased);
        if (s->n_key) {
            h->key_latent = latent;
            h->key = mls_affine_shape(s->n_key, s->rank, s->read_biased);
        }
    }
    if (s->q_rank) {
        f->q_rank = s->q_rank;
        f->q_down = mls_affine_shape(s->q_rank, c->E, s->q_down_biased);
        f->query.biased = c->qkv_bias && !s->q_down_biased;
    }
    return MLS_OK;
}

void mls_rotated_free(mls_rotated *y)
{
    mls_rorope_free(&y->turn);
    mls_free_all(y->w, y->b);
    *y = (mls_rotated){0};
}

mls_status mls_rotated_new(mls_rotated *y, const mls_config *c, const mls_layer *layer,
                           const mls_layer_stats *stats, size_t fold, size_t collapse,
                           size_t keep, mls_err *err)
{
    const size_t GD = c->G * c->D, E = c->E;
    double *second = mls_calloc3(GD, GD, 1, sizeof *second);
    double *w = mls_calloc3(GD, E, 1, sizeof *w), *b = mls_calloc3(GD, 1, 1, sizeof *b);
    mls_status st = MLS_OK;

    *y = (mls_rotated){.n_rest = GD,
                       .w = mls_calloc3(GD, E, 1, sizeof *w),
                       .b = mls_calloc3(GD, 1, 1, sizeof *b)};
    if (!second || !w || !b || !y->w || !y->b) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the latent form of layer %zu",
                      layer->index);
        goto done;
    }
    mls_widen(w, layer->wk, GD * E);
    if (layer->bk)
        mls_widen(b, layer->bk, GD);
    if (c->layer[layer->index].no_rope) {
        memcpy(y->w, w, GD * E * sizeof *w);
        memcpy(y->b, b, GD * sizeof *b);
        goto done;
    }
    st = mls_second_of_outputs(second, stats, layer->wk, layer->bk, GD, err);
    if (!st)
        st = mls_rorope_new(&y->turn, second, c->G, c->D, fold, collapse, keep, err);
    if (st)
        goto done;
    y->n_rope = 2 * mls_rorope_chunks(&y->turn);
    y->n_rest = GD - y->n_rope;
    mls_rorope_keys(&y->turn, w, E, y->w);
    if (layer->bk)
        mls_rorope_keys(&y->turn, b, 1, y->b);

done:
    mls_free_all(second, w, b);
    return st;
}

void mls_rotated_rope_key(mls_latent_form *f, const mls_rotated *y)
{
    mls_rope_key *key = f->rope_key;

    if (!y->n_rope)
        return;
    mls_affine_put_double(&key->map, 0, y->w, key->map.b ? y->b : NULL, y->n_rope);
    mls_rorope_frequencies(&y->turn, f->inv_freq, key->inv_freq);
}

void mls_rotated_read_back(double *up, const mls_rotated *y, size_t g, size_t D)
{
    if (y->turn.G) {
        mls_rorope_read_back(&y->turn, g, up);
        return;
    }
    /* Keys as they were: head g is rows g D .. */
    for (size_t i = 0; i < D * y->n_rest; i++)
        up[i] = i % y->n_rest == g * D + i / y->n_rest;
}

/* Rows of all heads, `columns` wide, to to[]; met has room for n_rope of them. */
static void expand(float *to, const mls_latent_form *f, const mls_rotated *y,
                   const double *from, size_t columns, double *met)
{
    const size_t D = f->D, group = f->H / f->G;

    for (size_t h = 0; h < f->H; h++) {
        const double *head = from + h * D * columns;
        const size_t own = f->head[h / group].n_key * columns;

        mls_narrow(to, head, own);
        to += own;
        if (y->n_rope) {
            mls_rorope_queries(&y->turn, h / group, head, columns, met);
            mls_narrow(to, met, y->n_rope * columns);
        }
        to += y->n_rope * columns;
    }
}

mls_status mls_rotated_queries(mls_latent_form *f, const mls_rotated *y,
                               const double *w, const double *b, mls_err *err)
{
    double *met = mls_calloc3(y->n_rope, f->query.cols, 1, sizeof *met);

    if (!met)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the queries of %zu heads",
                        f->H);
    expand(f->query.w, f, y, w, f->query.cols, met);
    if (b && f->query.b)
        expand(f->query.b, f, y, b, 1, met);
    free(met);
    return MLS_OK;
}
