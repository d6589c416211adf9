/*
 * Backward pass of a latent form: forward's steps in the opposite order, each by the
 * formulas of products.c and attend.c.
 */
#include "analysis/heal/pass_inner.h"

#include <string.h>

static mls_real *at_gradient(mls_real *gradient, size_t first)
{
    return first == MLS_NO_ARRAY ? NULL : gradient + first;
}

static void add_rows(mls_real *to, size_t ld_to, const mls_real *from, size_t ld_from,
                     size_t n, size_t T)
{
    for (size_t t = 0; t < T; t++)
        for (size_t i = 0; i < n; i++)
            to[t * ld_to + i] += from[t * ld_from + i];
}

/* --- Backward --- */

/* From the gradients of a KV head's keys and values to those of what it reads. */
static void read_back_back(mls_heal_pass *s, const mls_real *theta, size_t g,
                           mls_real *gradient)
{
    const mls_latent_form *f = s->f;
    const mls_read_head *h = &f->head[g];
    const mls_head_place *a = &s->head[g];
    const mls_latent_place *v = &s->latent[h->value_latent];
    const size_t T = s->T, r_v = f->latent[h->value_latent].r;

    if (h->value.cols)
        mls_pass_linear_back(s, s->d_v, a->dv, v->c, r_v, theta + s->p->head[g].value.w,
                             T, a->dv, r_v, gradient + s->p->head[g].value.w,
                             at_gradient(gradient, s->p->head[g].value.b), v->d);
    else
        add_rows(v->d, r_v, s->d_v, a->dv, r_v, T);
    if (h->rope_key >= 0) {
        const size_t n = f->rope_key[h->rope_key].n;

        add_rows(s->rope_key[h->rope_key].d, n, s->d_k + h->n_key, a->dk, n, T);
    }
    if (h->key_latent < 0)
        return;
    const mls_latent_place *c = &s->latent[h->key_latent];
    const size_t r = f->latent[h->key_latent].r;

    if (h->rotation == MLS_ROTATE_AFTER_READ) {
        mls_real_rotate(s->d_k, a->dk, s->cs_full, f->D / 2, T, -1);
        for (size_t t = 0; f->k_norm.n && t < T; t++)
            mls_real_norm_back(s->d_k + t * a->dk, a->k_raw + t * f->D, f->D,
                               theta + s->p->k_norm, f->norm_eps, 1, f->D,
                               gradient + s->p->k_norm);
    }
    if (h->key.cols)
        mls_pass_linear_back(s, s->d_k, a->dk, c->c, r, theta + s->p->head[g].key.w, T,
                             h->n_key, r, gradient + s->p->head[g].key.w,
                             at_gradient(gradient, s->p->head[g].key.b), c->d);
    else
        add_rows(c->d, r, s->d_k, a->dk, r, T);
}

static void cache_back(mls_heal_pass *s, const mls_real *theta, const mls_real *x,
                       mls_real *gradient, mls_real *d_x)
{
    const mls_latent_form *f = s->f;
    const size_t T = s->T, D = f->D, E = f->E;

    for (size_t b = 0; b < f->n_rope_keys; b++) {
        const mls_rope_place *a = &s->rope_key[b];
        const size_t n = f->rope_key[b].n;

        mls_real_rotate(a->d, n, a->cs, n / 2, T, -1);
        mls_pass_linear_back(s, a->d, n, x, E, theta + s->p->rope_key[b].w, T, n, E,
                             gradient + s->p->rope_key[b].w,
                             at_gradient(gradient, s->p->rope_key[b].b), d_x);
    }
    for (size_t i = 0; i < f->n_latents; i++) {
        const mls_latent_vector *v = &f->latent[i];
        const mls_latent_place *a = &s->latent[i];
        mls_real *d_bias = at_gradient(gradient, s->p->latent[i].down.b);

        if (v->source == MLS_LATENT_OF_X) {
            if (v->norm.n)
                mls_real_norm_back(a->d, a->raw, v->r, theta + s->p->latent[i].norm,
                                   f->norm_eps, T, v->r,
                                   gradient + s->p->latent[i].norm);
            mls_pass_linear_back(s, a->d, v->r, x, E, theta + s->p->latent[i].down.w, T,
                                 v->r, E, gradient + s->p->latent[i].down.w, d_bias,
                                 d_x);
            continue;
        }
        memset(s->d_row, 0, T * D * sizeof *s->d_row);
        if (v->down.cols)
            mls_pass_linear_back(s, a->d, v->r, a->key, D,
                                 theta + s->p->latent[i].down.w, T, v->r, D,
                                 gradient + s->p->latent[i].down.w, d_bias, s->d_row);
        else
            memcpy(s->d_row, a->d, T * D * sizeof *s->d_row);
        mls_real_rotate(s->d_row, D, s->cs_full, D / 2, T, -1);
        if (f->k_norm.n)
            mls_real_norm_back(s->d_row, a->key_raw, D, theta + s->p->k_norm,
                               f->norm_eps, T, D, gradient + s->p->k_norm);
        mls_pass_linear_back(
            s, s->d_row, D, x, E, theta + s->p->key.w + v->head * D * E, T, D, E,
            gradient + s->p->key.w + v->head * D * E,
            s->p->key.b == MLS_NO_ARRAY ? NULL : gradient + s->p->key.b + v->head * D,
            d_x);
    }
}

static void queries_back(mls_heal_pass *s, const mls_real *theta, const mls_real *x,
                         mls_real *gradient, mls_real *d_x)
{
    const mls_latent_form *f = s->f;
    const mls_parameters *p = s->p;
    const size_t T = s->T, in = f->q_rank ? f->q_rank : f->E;
    size_t first = 0;

    for (size_t h = 0; h < f->H; h++) {
        const mls_read_head *head = &f->head[h / (f->H / f->G)];
        mls_real *d_h = s->d_q + first;

        if (head->rotation != MLS_ROTATE_NEVER) {
            mls_real_rotate(d_h, s->q_dims, s->cs_full, f->D / 2, T, -1);
            if (f->q_norm.n)
                mls_real_norm_back(d_h, s->q_raw + first, s->q_dims, theta + p->q_norm,
                                   f->norm_eps, T, f->D, gradient + p->q_norm);
        }
        if (head->rope_key >= 0)
            mls_real_rotate(d_h + head->n_key, s->q_dims,
                            s->rope_key[head->rope_key].cs,
                            f->rope_key[head->rope_key].n / 2, T, -1);
        first += mls_latent_query_dims(f, h);
    }
    if (f->q_rank)
        memset(s->d_y, 0, T * in * sizeof *s->d_y);
    mls_pass_linear_back(s, s->d_q, s->q_dims, f->q_rank ? s->y : x, in,
                         theta + p->query.w, T, s->q_dims, in, gradient + p->query.w,
                         at_gradient(gradient, p->query.b), f->q_rank ? s->d_y : d_x);
    if (!f->q_rank)
        return;
    if (f->q_down_norm.n)
        mls_real_norm_back(s->d_y, s->y_raw, in, theta + p->q_down_norm, f->norm_eps, T,
                           in, gradient + p->q_down_norm);
    mls_pass_linear_back(s, s->d_y, in, x, f->E, theta + p->q_down.w, T, in, f->E,
                         gradient + p->q_down.w, at_gradient(gradient, p->q_down.b),
                         d_x);
}

void mls_heal_pass_backward(mls_heal_pass *s, const mls_real *theta, const mls_real *x,
                            const mls_real *d_out, mls_real *gradient, mls_real *d_x)
{
    const mls_latent_form *f = s->f;
    const size_t T = s->T, per_group = f->H / f->G;
    size_t first_q = 0, first_o = 0;

    if (d_x)
        memset(d_x, 0, T * f->E * sizeof *d_x);
    for (size_t i = 0; i < f->n_latents; i++)
        memset(s->latent[i].d, 0, T * f->latent[i].r * sizeof *s->latent[i].d);
    for (size_t b = 0; b < f->n_rope_keys; b++)
        memset(s->rope_key[b].d, 0, T * f->rope_key[b].n * sizeof *s->rope_key[b].d);
    memset(s->d_o, 0, T * s->out_dims * sizeof *s->d_o);
    mls_pass_linear_back(s, d_out, f->E, s->o, s->out_dims, theta + s->p->output.w, T,
                         f->E, s->out_dims, gradient + s->p->output.w,
                         at_gradient(gradient, s->p->output.b), s->d_o);
    for (size_t g = 0; g < f->G; g++) {
        const mls_head_place *a = &s->head[g];

        memset(s->d_k, 0, T * a->dk * sizeof *s->d_k);
        memset(s->d_v, 0, T * a->dv * sizeof *s->d_v);
        for (size_t i = 0; i < per_group; i++) {
            mls_head_attend_back(s, a, s->q + first_q,
                                 s->prob + (g * per_group + i) * T * T,
                                 s->d_o + first_o, s->d_q + first_q);
            first_q += a->dk;
            first_o += a->dv;
        }
        if (f->share_layer < 0)
            read_back_back(s, theta, g, gradient);
    }
    if (f->share_layer < 0)
        cache_back(s, theta, x, gradient, d_x);
    queries_back(s, theta, x, gradient, d_x);
}
