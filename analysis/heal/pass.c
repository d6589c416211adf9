/*
 * Memory and forward pass of a latent form (docs/methods/heal.md). The probabilities of
 * all heads are kept for the way back. An absorbed decoder computes the same function
 * (analysis/latent/latent_run.c), so there is one backward pass for both.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/heal/pass_inner.h"
#include "analysis/model/rope.h"
#include "common/base/checked.h"

/* --- Memory --- */

typedef struct {
    mls_real *next; /* NULL while sizes are only added up */
    size_t total;
    bool overflow;
} bump;

static mls_real *take(bump *b, size_t rows, size_t cols)
{
    mls_real *at = b->next;
    size_t n;

    if (!mls_mul_size(&n, rows, cols) || !mls_add_size(&b->total, b->total, n))
        b->overflow = true;
    else if (b->next)
        b->next += n;
    return at;
}

static void lay_out(mls_heal_pass *s, bump *b)
{
    const mls_latent_form *f = s->f;
    const size_t T = s->T_max, D = f->D;
    size_t widest = D;

    for (size_t i = 0; i < f->n_latents; i++) {
        const mls_latent_vector *v = &f->latent[i];
        mls_latent_place *a = &s->latent[i];

        a->c = take(b, T, v->r);
        a->d = take(b, T, v->r);
        a->raw = v->norm.n ? take(b, T, v->r) : a->c;
        if (v->source == MLS_LATENT_OF_ROT_KEY) {
            a->key = take(b, T, D);
            a->key_raw = take(b, T, D);
        }
    }
    for (size_t i = 0; i < f->n_rope_keys; i++) {
        s->rope_key[i].c = take(b, T, f->rope_key[i].n);
        s->rope_key[i].d = take(b, T, f->rope_key[i].n);
    }
    s->keys = take(b, T, s->k_dims);
    s->values = take(b, T, s->v_dims);
    for (size_t g = 0; g < f->G; g++) {
        if (f->k_norm.n)
            s->head[g].k_raw = take(b, T, D);
        if (s->head[g].dk > widest)
            widest = s->head[g].dk;
        if (s->head[g].dv > widest)
            widest = s->head[g].dv;
    }
    s->y_raw = take(b, T, f->q_rank);
    s->y = take(b, T, f->q_rank);
    s->d_y = take(b, T, f->q_rank);
    s->q_raw = take(b, T, f->q_norm.n ? s->q_dims : 0);
    s->q = take(b, T, s->q_dims);
    s->d_q = take(b, T, s->q_dims);
    s->prob = take(b, T, f->H * T);
    s->o = take(b, T, s->out_dims);
    s->d_o = take(b, T, s->out_dims);
    s->d_k = take(b, T, widest);
    s->d_v = take(b, T, widest);
    s->d_s = take(b, MLS_HEAL_BLOCK, T);
    s->d_row = take(b, T, D);
}

static float *new_table(const double *inv_freq, size_t n_chunks, size_t T)
{
    float *cs = mls_calloc3(T, n_chunks, 2, sizeof *cs);

    if (cs)
        mls_rope_table(cs, inv_freq, n_chunks, T);
    return cs;
}

static void measure(mls_heal_pass *s)
{
    const mls_latent_form *f = s->f;

    for (size_t g = 0; g < f->G; g++) {
        const size_t dk = mls_latent_query_dims(f, g * (f->H / f->G));

        s->head[g].dk = dk;
        s->head[g].dv = f->head[g].n_value;
        s->k_dims += dk;
        s->v_dims += s->head[g].dv;
        s->q_dims += f->H / f->G * dk;
        s->out_dims += f->H / f->G * s->head[g].dv;
    }
}

mls_status mls_heal_pass_new(mls_heal_pass **out, const mls_latent_form *f,
                             const mls_parameters *p, size_t T_max, mls_err *err)
{
    mls_heal_pass *s = calloc(1, sizeof *s);
    bool full = f->key.cols > 0, ok;
    bump b = {0};

    *out = NULL;
    if (!s)
        return mls_fail(err, MLS_E_NOMEM, "no memory to train layer %zu", f->layer);
    *s = (mls_heal_pass){.f = f, .p = p, .T_max = T_max, .T = T_max};
    s->latent = mls_calloc3(f->n_latents, 1, 1, sizeof *s->latent);
    s->rope_key = mls_calloc3(f->n_rope_keys, 1, 1, sizeof *s->rope_key);
    s->head = mls_calloc3(f->G, 1, 1, sizeof *s->head);
    ok = s->latent && s->rope_key && s->head;
    for (size_t g = 0; ok && g < f->G; g++)
        full = full || f->head[g].rotation != MLS_ROTATE_NEVER;
    if (ok && full)
        ok = (s->cs_full = new_table(f->inv_freq, f->D / 2, T_max)) != NULL;
    for (size_t i = 0; ok && i < f->n_rope_keys; i++)
        ok = (s->rope_key[i].cs = new_table(f->rope_key[i].inv_freq,
                                            f->rope_key[i].n / 2, T_max)) != NULL;
    if (ok) {
        measure(s);
        lay_out(s, &b);
        ok = !b.overflow &&
             (s->memory = mls_calloc3(b.total, 1, 1, sizeof *s->memory)) != NULL;
    }
    if (!ok) {
        mls_heal_pass_free(s);
        return mls_fail(err, MLS_E_NOMEM,
                        "no memory to train layer %zu on windows of %zu tokens",
                        f->layer, T_max);
    }
    b = (bump){.next = s->memory};
    lay_out(s, &b);
    *out = s;
    return MLS_OK;
}

void mls_heal_pass_free(mls_heal_pass *s)
{
    if (!s)
        return;
    for (size_t i = 0; s->rope_key && i < s->f->n_rope_keys; i++)
        free(s->rope_key[i].cs);
    mls_free_all(s->cs_full, s->latent, s->rope_key, s->head, s->memory, s);
}

void mls_heal_pass_compute(mls_heal_pass *s, mls_compute compute)
{
    s->bf16 = compute == MLS_COMPUTE_BF16;
}

const mls_real *mls_heal_pass_keys(const mls_heal_pass *s, size_t *n)
{
    *n = s->T * s->k_dims;
    return s->keys;
}

const mls_real *mls_heal_pass_values(const mls_heal_pass *s, size_t *n)
{
    *n = s->T * s->v_dims;
    return s->values;
}

const mls_real *mls_heal_pass_heads(const mls_heal_pass *s)
{
    return s->o;
}

/* to[t, :n] = from[t, :n], or added, at different strides. */
static void copy_rows(mls_real *to, size_t ld_to, const mls_real *from, size_t ld_from,
                      size_t n, size_t T)
{
    for (size_t t = 0; t < T; t++)
        memcpy(to + t * ld_to, from + t * ld_from, n * sizeof *to);
}
static mls_status quantize(const mls_quant *quant, bool is_key, mls_real *x, size_t T,
                           size_t n, mls_err *err)
{
    float *y;
    mls_status st;

    if (!quant->format)
        return MLS_OK;
    y = mls_calloc3(T, n, 1, sizeof *y);
    if (!y)
        return mls_fail(err, MLS_E_NOMEM, "no memory to quantize %zu x %zu numbers", T,
                        n);
    for (size_t i = 0; i < T * n; i++)
        y[i] = (float)x[i];
    st = mls_quant_apply(quant, is_key, y, n, T, n, err);
    for (size_t i = 0; !st && i < T * n; i++)
        x[i] = (mls_real)y[i];
    free(y);
    return st;
}

/* --- Products --- */

#ifdef MLS_HEAL_DOUBLE
#define multiply(s, ...) ((void)(s), false)
#else
/* c (m, n) = a b, or c + a b, where the pass multiplies in bfloat16. */
static bool multiply(const mls_heal_pass *s, float *c, size_t ld_c, mls_operand a,
                     mls_operand b, size_t m, size_t n, size_t k, bool add)
{
    return s->bf16 && mls_bf16_product(c, ld_c, &a, &b, m, n, k, add);
}
#endif

void mls_pass_linear(const mls_heal_pass *s, mls_real *y, size_t ld_y,
                     const mls_real *x, size_t ld_x, const mls_real *w,
                     const mls_real *b, size_t T, size_t out, size_t in)
{
    if (!multiply(s, y, ld_y, (mls_operand){x, ld_x, false}, (mls_operand){w, in, true},
                  T, out, in, false)) {
        mls_real_linear(y, ld_y, x, ld_x, w, b, T, out, in);
        return;
    }
    for (size_t t = 0; b && t < T; t++)
        for (size_t i = 0; i < out; i++)
            y[t * ld_y + i] += b[i];
}

void mls_pass_linear_back(const mls_heal_pass *s, const mls_real *dy, size_t ld_y,
                          const mls_real *x, size_t ld_x, const mls_real *w, size_t T,
                          size_t out, size_t in, mls_real *dw, mls_real *db,
                          mls_real *dx)
{
    if (dw && multiply(s, dw, in, (mls_operand){dy, ld_y, true},
                       (mls_operand){x, ld_x, false}, out, in, T, true))
        dw = NULL;
    if (dx && multiply(s, dx, ld_x, (mls_operand){dy, ld_y, false},
                       (mls_operand){w, in, false}, T, in, out, true))
        dx = NULL;
    mls_real_linear_back(dy, ld_y, x, ld_x, w, T, out, in, dw, db, dx);
}

/* --- Forward --- */

/* The rotated key of a KV head that a latent is made of. */
static void rotated_key(const mls_heal_pass *s, const mls_real *theta,
                        const mls_real *x, size_t g, mls_latent_place *a)
{
    const mls_latent_form *f = s->f;
    const size_t D = f->D, E = f->E;
    const mls_real *bk = mls_at(theta, s->p->key.b);
    mls_real *raw = f->k_norm.n ? a->key_raw : a->key;

    mls_pass_linear(s, raw, D, x, E, theta + s->p->key.w + g * D * E,
                    bk ? bk + g * D : NULL, s->T, D, E);
    if (f->k_norm.n)
        mls_real_norm(a->key, raw, D, theta + s->p->k_norm, f->norm_eps, s->T, D);
    mls_real_rotate(a->key, D, s->cs_full, D / 2, s->T, 1);
}

static mls_status fill_cache(mls_heal_pass *s, const mls_real *theta, const mls_real *x,
                             mls_err *err)
{
    const mls_latent_form *f = s->f;
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < f->n_latents; i++) {
        const mls_latent_vector *v = &f->latent[i];
        mls_latent_place *a = &s->latent[i];
        const mls_real *bias = mls_at(theta, s->p->latent[i].down.b);

        if (v->source == MLS_LATENT_OF_X) {
            mls_pass_linear(s, a->raw, v->r, x, f->E, theta + s->p->latent[i].down.w,
                            bias, s->T, v->r, f->E);
            if (v->norm.n)
                mls_real_norm(a->c, a->raw, v->r, theta + s->p->latent[i].norm,
                              f->norm_eps, s->T, v->r);
        } else {
            rotated_key(s, theta, x, v->head, a);
            if (v->down.cols)
                mls_pass_linear(s, a->c, v->r, a->key, f->D,
                                theta + s->p->latent[i].down.w, bias, s->T, v->r, f->D);
            else
                memcpy(a->c, a->key, s->T * f->D * sizeof *a->c);
        }
        st = quantize(&v->quant, !v->holds_values, a->c, s->T, v->r, err);
    }
    for (size_t b = 0; !st && b < f->n_rope_keys; b++) {
        const mls_rope_key *k = &f->rope_key[b];
        mls_rope_place *a = &s->rope_key[b];

        mls_pass_linear(s, a->c, k->n, x, f->E, theta + s->p->rope_key[b].w,
                        mls_at(theta, s->p->rope_key[b].b), s->T, k->n, f->E);
        mls_real_rotate(a->c, k->n, a->cs, k->n / 2, s->T, 1);
        st = quantize(&k->quant, true, a->c, s->T, k->n, err);
    }
    return st;
}

static void read_back(mls_heal_pass *s, const mls_real *theta)
{
    const mls_latent_form *f = s->f;

    for (size_t g = 0; g < f->G; g++) {
        const mls_read_head *h = &f->head[g];
        const mls_head_place *a = &s->head[g];
        const mls_latent_place *v = &s->latent[h->value_latent];
        const size_t r_v = f->latent[h->value_latent].r;

        if (h->key_latent >= 0) {
            const mls_latent_place *c = &s->latent[h->key_latent];
            const size_t r = f->latent[h->key_latent].r;

            if (h->key.cols)
                mls_pass_linear(s, a->k, a->dk, c->c, r, theta + s->p->head[g].key.w,
                                mls_at(theta, s->p->head[g].key.b), s->T, h->n_key, r);
            else
                copy_rows(a->k, a->dk, c->c, r, r, s->T);
            if (h->rotation == MLS_ROTATE_AFTER_READ) {
                if (f->k_norm.n) {
                    copy_rows(a->k_raw, f->D, a->k, a->dk, f->D, s->T);
                    for (size_t t = 0; t < s->T; t++)
                        mls_real_norm(a->k + t * a->dk, a->k_raw + t * f->D, f->D,
                                      theta + s->p->k_norm, f->norm_eps, 1, f->D);
                }
                mls_real_rotate(a->k, a->dk, s->cs_full, f->D / 2, s->T, 1);
            }
        }
        if (h->rope_key >= 0) {
            const size_t n = f->rope_key[h->rope_key].n;

            copy_rows(a->k + h->n_key, a->dk, s->rope_key[h->rope_key].c, n, n, s->T);
        }
        if (h->value.cols)
            mls_pass_linear(s, a->v, a->dv, v->c, r_v, theta + s->p->head[g].value.w,
                            mls_at(theta, s->p->head[g].value.b), s->T, a->dv, r_v);
        else
            copy_rows(a->v, a->dv, v->c, r_v, r_v, s->T);
    }
}

static void make_queries(mls_heal_pass *s, const mls_real *theta, const mls_real *x)
{
    const mls_latent_form *f = s->f;
    const mls_parameters *p = s->p;
    const size_t in = f->q_rank ? f->q_rank : f->E;
    size_t first = 0;

    if (f->q_rank) {
        mls_real *raw = f->q_down_norm.n ? s->y_raw : s->y;

        mls_pass_linear(s, raw, in, x, f->E, theta + p->q_down.w,
                        mls_at(theta, p->q_down.b), s->T, in, f->E);
        if (f->q_down_norm.n)
            mls_real_norm(s->y, raw, in, theta + p->q_down_norm, f->norm_eps, s->T, in);
    }
    mls_pass_linear(s, s->q, s->q_dims, f->q_rank ? s->y : x, in, theta + p->query.w,
                    mls_at(theta, p->query.b), s->T, s->q_dims, in);
    if (f->q_norm.n)
        memcpy(s->q_raw, s->q, s->T * s->q_dims * sizeof *s->q);
    for (size_t h = 0; h < f->H; h++) {
        const mls_read_head *head = &f->head[h / (f->H / f->G)];
        mls_real *q_h = s->q + first;

        if (head->rotation != MLS_ROTATE_NEVER) {
            if (f->q_norm.n)
                mls_real_norm(q_h, s->q_raw + first, s->q_dims, theta + p->q_norm,
                              f->norm_eps, s->T, f->D);
            mls_real_rotate(q_h, s->q_dims, s->cs_full, f->D / 2, s->T, 1);
        }
        if (head->rope_key >= 0)
            mls_real_rotate(q_h + head->n_key, s->q_dims,
                            s->rope_key[head->rope_key].cs,
                            f->rope_key[head->rope_key].n / 2, s->T, 1);
        first += mls_latent_query_dims(f, h);
    }
}

/* Blocks of keys and values for windows of T tokens. */
static void place_heads(mls_heal_pass *s)
{
    mls_real *k = s->keys, *v = s->values;

    for (size_t g = 0; g < s->f->G; g++) {
        s->head[g].k = k;
        s->head[g].v = v;
        k += s->T * s->head[g].dk;
        v += s->T * s->head[g].dv;
    }
}

mls_status mls_heal_pass_forward(mls_heal_pass *s, const mls_real *theta,
                                 const mls_real *x, size_t T, const mls_real *keys,
                                 const mls_real *values, mls_real *out, mls_err *err)
{
    const mls_latent_form *f = s->f;
    size_t first_q = 0, first_o = 0;

    s->T = T;
    place_heads(s);
    if (f->share_layer >= 0) {
        memcpy(s->keys, keys, T * s->k_dims * sizeof *keys);
        memcpy(s->values, values, T * s->v_dims * sizeof *values);
    } else {
        const mls_status st = fill_cache(s, theta, x, err);

        if (st)
            return mls_fail_in(err, st, "layer %zu", f->layer);
        read_back(s, theta);
    }
    make_queries(s, theta, x);
    for (size_t h = 0; h < f->H; h++) {
        const mls_head_place *a = &s->head[h / (f->H / f->G)];

        mls_head_attend(s, a, s->q + first_q, s->prob + h * T * T, s->o + first_o);
        first_q += a->dk;
        first_o += a->dv;
    }
    mls_pass_linear(s, out, f->E, s->o, s->out_dims, theta + s->p->output.w,
                    mls_at(theta, s->p->output.b), T, f->E, s->out_dims);
    return MLS_OK;
}
