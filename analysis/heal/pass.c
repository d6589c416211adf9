/*
 * Forward and backward pass of a latent form (docs/methods/heal.md). Scores and outputs
 * of a head, P = softmax(s Q K^T), O = P V; with dX the gradient of the loss by X:
 *
 *   dV = P^T dO,  dP = dO V^T,  dS = s P (dP - rowsum(dP P)),  dQ = dS K,  dK = dS^T Q
 *   y = W x + b:         dW = dy^T x,  db = sum dy,  dx = dy W
 *   y = rotate(x):       dx = rotate(dy) by the opposite angles
 *   y = g x s, s = (|x|^2/n + eps)^-1/2:  dg = sum dy x s,
 *                        dx = s g dy - x s^3/n sum(g dy x)
 *
 * Products are of whole windows (tokens x dims), so BLAS does the work; attention goes
 * in blocks of query rows that end where the causal triangle ends. The probabilities of
 * all heads are kept between the two directions. An absorbed decoder computes the same
 * function (analysis/latent/latent_run.c), so there is one backward pass for both.
 */
#include "analysis/heal/pass.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/rope.h"
#include "analysis/numeric/exponential.h"
#include "analysis/numeric/vector.h"
#include "common/base/checked.h"

enum { BLOCK = 64, LANES = 16 };

/* Where one latent, rope key or KV head stands in the memory of a window. */
typedef struct {
    mls_real *raw, *c;       /* (T, r) before its norm, and cached */
    mls_real *key_raw, *key; /* (T, D) of a latent of rotated keys */
    mls_real *d;             /* (T, r) gradient by c */
} latent_place;

typedef struct {
    mls_real *c, *d; /* (T, n) */
    float *cs;       /* (T_max, n/2, 2) */
} rope_place;

typedef struct {
    size_t dk, dv;
    mls_real *k_raw; /* (T, D) before QK-norm, when rotated after reading */
    mls_real *k, *v; /* (T, dk), (T, dv) */
} head_place;

struct mls_heal_pass {
    const mls_latent_form *f;
    const mls_parameters *p;
    size_t T_max, T;
    size_t k_dims, v_dims, q_dims, out_dims;
    latent_place *latent;
    rope_place *rope_key;
    head_place *head;
    float *cs_full;          /* (T_max, D/2, 2), NULL when nothing of full D turns */
    mls_real *keys, *values; /* of all KV heads */
    mls_real *y_raw, *y;     /* (T, q_rank) */
    mls_real *q_raw, *q;     /* (T, q_dims); q_raw only with QK-norm */
    mls_real *prob;          /* (H, T, T) */
    mls_real *o;             /* (T, out_dims) */
    mls_real *d_o, *d_q, *d_y, *d_k, *d_v, *d_s, *d_row;
    mls_real *memory;
};

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
        latent_place *a = &s->latent[i];

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
    s->d_s = take(b, BLOCK, T);
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
    free(s->cs_full);
    free(s->latent);
    free(s->rope_key);
    free(s->head);
    free(s->memory);
    free(s);
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

/* --- Parts, forward and backward --- */

/* Numbers of an array that may be absent. */
static const mls_real *at(const mls_real *theta, size_t first)
{
    return first == MLS_NO_ARRAY ? NULL : theta + first;
}

static mls_real *at_gradient(mls_real *gradient, size_t first)
{
    return first == MLS_NO_ARRAY ? NULL : gradient + first;
}

/* y (T, out) = x (T, in) w^T + b; the strides of x and y are their own. */
static void linear(mls_real *y, size_t ld_y, const mls_real *x, size_t ld_x,
                   const mls_real *w, const mls_real *b, size_t T, size_t out,
                   size_t in)
{
    MLS_REAL_GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, (int)T, (int)out, (int)in, 1,
                  x, (int)ld_x, w, (int)in, 0, y, (int)ld_y);
    for (size_t t = 0; b && t < T; t++)
        for (size_t i = 0; i < out; i++)
            y[t * ld_y + i] += b[i];
}

/* dw += dy^T x, db += sum of dy, dx += dy w; each where it is wanted. */
static void linear_back(const mls_real *dy, size_t ld_y, const mls_real *x, size_t ld_x,
                        const mls_real *w, size_t T, size_t out, size_t in,
                        mls_real *dw, mls_real *db, mls_real *dx)
{
    if (dw)
        MLS_REAL_GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, (int)out, (int)in,
                      (int)T, 1, dy, (int)ld_y, x, (int)ld_x, 1, dw, (int)in);
    for (size_t t = 0; db && t < T; t++)
        for (size_t i = 0; i < out; i++)
            db[i] += dy[t * ld_y + i];
    if (dx)
        MLS_REAL_GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)T, (int)in,
                      (int)out, 1, dy, (int)ld_y, w, (int)in, 1, dx, (int)ld_x);
}

/* Rows of n at stride ld turn in place; sign -1 is the transpose of sign 1. */
MLS_WIDE
static void rotate(mls_real *x, size_t ld, const float *cs, size_t n_chunks, size_t T,
                   int sign)
{
    for (size_t t = 0; t < T; t++) {
        const float *cs_t = cs + 2 * t * n_chunks;
        mls_real *a = x + t * ld, *b = a + n_chunks;

        for (size_t c = 0; c < n_chunks; c++) {
            const mls_real cos_c = (mls_real)cs_t[2 * c];
            const mls_real sin_c = (mls_real)sign * (mls_real)cs_t[2 * c + 1];
            const mls_real a_c = a[c], b_c = b[c];

            a[c] = a_c * cos_c - b_c * sin_c;
            b[c] = b_c * cos_c + a_c * sin_c;
        }
    }
}

static double inverse_rms(const mls_real *x, size_t n, double eps)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return 1.0 / sqrt(sum / (double)n + eps);
}

static void norm(mls_real *y, const mls_real *x, size_t ld, const mls_real *gain,
                 double eps, size_t T, size_t n)
{
    for (size_t t = 0; t < T; t++) {
        const double s = inverse_rms(x + t * ld, n, eps);

        for (size_t i = 0; i < n; i++)
            y[t * ld + i] = (mls_real)((double)x[t * ld + i] * s * (double)gain[i]);
    }
}

/* d, the gradient by y at the stride of x, becomes that by x. */
static void norm_back(mls_real *d, const mls_real *x, size_t ld, const mls_real *gain,
                      double eps, size_t T, size_t n, mls_real *d_gain)
{
    for (size_t t = 0; t < T; t++) {
        const mls_real *x_t = x + t * ld;
        mls_real *d_t = d + t * ld;
        const double s = inverse_rms(x_t, n, eps);
        double dot = 0;

        for (size_t i = 0; i < n; i++) {
            const double dx = (double)d_t[i] * (double)x_t[i];

            dot += dx * (double)gain[i];
            if (d_gain)
                d_gain[i] += (mls_real)(dx * s);
        }
        dot *= s * s * s / (double)n;
        for (size_t i = 0; i < n; i++)
            d_t[i] =
                (mls_real)((double)d_t[i] * (double)gain[i] * s - (double)x_t[i] * dot);
    }
}

/* to[t, :n] = from[t, :n], or added, at different strides. */
static void copy_rows(mls_real *to, size_t ld_to, const mls_real *from, size_t ld_from,
                      size_t n, size_t T)
{
    for (size_t t = 0; t < T; t++)
        memcpy(to + t * ld_to, from + t * ld_from, n * sizeof *to);
}

static void add_rows(mls_real *to, size_t ld_to, const mls_real *from, size_t ld_from,
                     size_t n, size_t T)
{
    for (size_t t = 0; t < T; t++)
        for (size_t i = 0; i < n; i++)
            to[t * ld_to + i] += from[t * ld_from + i];
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

/* --- Attention of one query head --- */

MLS_WIDE
static mls_real largest(const mls_real *x, size_t n)
{
    mls_real lane[LANES], m = -(mls_real)INFINITY;
    size_t i = 0;

    for (size_t j = 0; j < LANES; j++)
        lane[j] = -(mls_real)INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    for (; i < n; i++)
        m = x[i] > m ? x[i] : m;
    for (size_t j = 0; j < LANES; j++)
        m = lane[j] > m ? lane[j] : m;
    return m;
}

/* x = softmax(x). */
MLS_WIDE
static void softmax(mls_real *x, size_t n)
{
    const mls_real top = largest(x, n);
    double lane[LANES] = {0}, sum = 0;
    size_t i = 0;

    for (size_t k = 0; k < n; k++)
        x[k] = MLS_REAL_EXP(x[k] - top);
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lane[j] += (double)x[i + j];
    for (; i < n; i++)
        sum += (double)x[i];
    for (size_t j = 0; j < LANES; j++)
        sum += lane[j];
    for (size_t k = 0; k < n; k++)
        x[k] = (mls_real)((double)x[k] / sum);
}

/* d = scale p (d - sum of d p): back through a row's softmax. */
MLS_WIDE
static void softmax_back(mls_real *d, const mls_real *p, double scale, size_t n)
{
    double lane[LANES] = {0}, sum = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lane[j] += (double)d[i + j] * (double)p[i + j];
    for (; i < n; i++)
        sum += (double)d[i] * (double)p[i];
    for (size_t j = 0; j < LANES; j++)
        sum += lane[j];
    for (size_t k = 0; k < n; k++)
        d[k] = (mls_real)(scale * (double)p[k] * ((double)d[k] - sum));
}

/* prob (T, T) and o (T, dv) of one head; rows beyond the causal triangle are 0. */
static void attend(const mls_heal_pass *s, const head_place *a, const mls_real *q,
                   mls_real *prob, mls_real *o)
{
    const size_t T = s->T;

    for (size_t first = 0; first < T; first += BLOCK) {
        const size_t n = T - first < BLOCK ? T - first : BLOCK, seen = first + n;
        mls_real *block = prob + first * T;

        MLS_REAL_GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)seen,
                      (int)a->dk, (mls_real)s->f->scale, q + first * s->q_dims,
                      (int)s->q_dims, a->k, (int)a->dk, 0, block, (int)T);
        for (size_t i = 0; i < n; i++) {
            mls_real *row = block + i * T;
            size_t begin, end;

            mls_latent_hidden(s->f, first + i, &begin, &end);
            for (size_t j = begin; j < end; j++)
                row[j] = -(mls_real)INFINITY;
            softmax(row, first + i + 1);
            memset(row + first + i + 1, 0, (seen - first - i - 1) * sizeof *row);
        }
        MLS_REAL_GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)a->dv,
                      (int)seen, 1, block, (int)T, a->v, (int)a->dv, 0,
                      o + first * s->out_dims, (int)s->out_dims);
    }
}

/* d_q is written, d_k and d_v (T, dk), (T, dv) are added to. */
static void attend_back(const mls_heal_pass *s, const head_place *a, const mls_real *q,
                        const mls_real *prob, const mls_real *d_o, mls_real *d_q)
{
    const size_t T = s->T, ld_q = s->q_dims, ld_o = s->out_dims;

    for (size_t first = 0; first < T; first += BLOCK) {
        const size_t n = T - first < BLOCK ? T - first : BLOCK, seen = first + n;
        const mls_real *block = prob + first * T, *d_block = d_o + first * ld_o;

        MLS_REAL_GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, (int)seen, (int)a->dv,
                      (int)n, 1, block, (int)T, d_block, (int)ld_o, 1, s->d_v,
                      (int)a->dv);
        MLS_REAL_GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)seen,
                      (int)a->dv, 1, d_block, (int)ld_o, a->v, (int)a->dv, 0, s->d_s,
                      (int)seen);
        for (size_t i = 0; i < n; i++)
            softmax_back(s->d_s + i * seen, block + i * T, s->f->scale, seen);
        MLS_REAL_GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)a->dk,
                      (int)seen, 1, s->d_s, (int)seen, a->k, (int)a->dk, 0,
                      d_q + first * ld_q, (int)ld_q);
        MLS_REAL_GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, (int)seen, (int)a->dk,
                      (int)n, 1, s->d_s, (int)seen, q + first * ld_q, (int)ld_q, 1,
                      s->d_k, (int)a->dk);
    }
}

/* --- Forward --- */

/* The rotated key of a KV head that a latent is made of. */
static void rotated_key(const mls_heal_pass *s, const mls_real *theta,
                        const mls_real *x, size_t g, latent_place *a)
{
    const mls_latent_form *f = s->f;
    const size_t D = f->D, E = f->E;
    const mls_real *bk = at(theta, s->p->key.b);
    mls_real *raw = f->k_norm.n ? a->key_raw : a->key;

    linear(raw, D, x, E, theta + s->p->key.w + g * D * E, bk ? bk + g * D : NULL, s->T,
           D, E);
    if (f->k_norm.n)
        norm(a->key, raw, D, theta + s->p->k_norm, f->norm_eps, s->T, D);
    rotate(a->key, D, s->cs_full, D / 2, s->T, 1);
}

static mls_status fill_cache(mls_heal_pass *s, const mls_real *theta, const mls_real *x,
                             mls_err *err)
{
    const mls_latent_form *f = s->f;
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < f->n_latents; i++) {
        const mls_latent_vector *v = &f->latent[i];
        latent_place *a = &s->latent[i];
        const mls_real *bias = at(theta, s->p->latent[i].down.b);

        if (v->source == MLS_LATENT_OF_X) {
            linear(a->raw, v->r, x, f->E, theta + s->p->latent[i].down.w, bias, s->T,
                   v->r, f->E);
            if (v->norm.n)
                norm(a->c, a->raw, v->r, theta + s->p->latent[i].norm, f->norm_eps,
                     s->T, v->r);
        } else {
            rotated_key(s, theta, x, v->head, a);
            if (v->down.cols)
                linear(a->c, v->r, a->key, f->D, theta + s->p->latent[i].down.w, bias,
                       s->T, v->r, f->D);
            else
                memcpy(a->c, a->key, s->T * f->D * sizeof *a->c);
        }
        st = quantize(&v->quant, !v->holds_values, a->c, s->T, v->r, err);
    }
    for (size_t b = 0; !st && b < f->n_rope_keys; b++) {
        const mls_rope_key *k = &f->rope_key[b];
        rope_place *a = &s->rope_key[b];

        linear(a->c, k->n, x, f->E, theta + s->p->rope_key[b].w,
               at(theta, s->p->rope_key[b].b), s->T, k->n, f->E);
        rotate(a->c, k->n, a->cs, k->n / 2, s->T, 1);
        st = quantize(&k->quant, true, a->c, s->T, k->n, err);
    }
    return st;
}

static void read_back(mls_heal_pass *s, const mls_real *theta)
{
    const mls_latent_form *f = s->f;

    for (size_t g = 0; g < f->G; g++) {
        const mls_read_head *h = &f->head[g];
        const head_place *a = &s->head[g];
        const latent_place *v = &s->latent[h->value_latent];
        const size_t r_v = f->latent[h->value_latent].r;

        if (h->key_latent >= 0) {
            const latent_place *c = &s->latent[h->key_latent];
            const size_t r = f->latent[h->key_latent].r;

            if (h->key.cols)
                linear(a->k, a->dk, c->c, r, theta + s->p->head[g].key.w,
                       at(theta, s->p->head[g].key.b), s->T, h->n_key, r);
            else
                copy_rows(a->k, a->dk, c->c, r, r, s->T);
            if (h->rotation == MLS_ROTATE_AFTER_READ) {
                if (f->k_norm.n) {
                    copy_rows(a->k_raw, f->D, a->k, a->dk, f->D, s->T);
                    for (size_t t = 0; t < s->T; t++)
                        norm(a->k + t * a->dk, a->k_raw + t * f->D, f->D,
                             theta + s->p->k_norm, f->norm_eps, 1, f->D);
                }
                rotate(a->k, a->dk, s->cs_full, f->D / 2, s->T, 1);
            }
        }
        if (h->rope_key >= 0) {
            const size_t n = f->rope_key[h->rope_key].n;

            copy_rows(a->k + h->n_key, a->dk, s->rope_key[h->rope_key].c, n, n, s->T);
        }
        if (h->value.cols)
            linear(a->v, a->dv, v->c, r_v, theta + s->p->head[g].value.w,
                   at(theta, s->p->head[g].value.b), s->T, a->dv, r_v);
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

        linear(raw, in, x, f->E, theta + p->q_down.w, at(theta, p->q_down.b), s->T, in,
               f->E);
        if (f->q_down_norm.n)
            norm(s->y, raw, in, theta + p->q_down_norm, f->norm_eps, s->T, in);
    }
    linear(s->q, s->q_dims, f->q_rank ? s->y : x, in, theta + p->query.w,
           at(theta, p->query.b), s->T, s->q_dims, in);
    if (f->q_norm.n)
        memcpy(s->q_raw, s->q, s->T * s->q_dims * sizeof *s->q);
    for (size_t h = 0; h < f->H; h++) {
        const mls_read_head *head = &f->head[h / (f->H / f->G)];
        mls_real *q_h = s->q + first;

        if (head->rotation != MLS_ROTATE_NEVER) {
            if (f->q_norm.n)
                norm(q_h, s->q_raw + first, s->q_dims, theta + p->q_norm, f->norm_eps,
                     s->T, f->D);
            rotate(q_h, s->q_dims, s->cs_full, f->D / 2, s->T, 1);
        }
        if (head->rope_key >= 0)
            rotate(q_h + head->n_key, s->q_dims, s->rope_key[head->rope_key].cs,
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
        const head_place *a = &s->head[h / (f->H / f->G)];

        attend(s, a, s->q + first_q, s->prob + h * T * T, s->o + first_o);
        first_q += a->dk;
        first_o += a->dv;
    }
    linear(out, f->E, s->o, s->out_dims, theta + s->p->output.w,
           at(theta, s->p->output.b), T, f->E, s->out_dims);
    return MLS_OK;
}

/* --- Backward --- */

/* From the gradients of a KV head's keys and values to those of what it reads. */
static void read_back_back(mls_heal_pass *s, const mls_real *theta, size_t g,
                           mls_real *gradient)
{
    const mls_latent_form *f = s->f;
    const mls_read_head *h = &f->head[g];
    const head_place *a = &s->head[g];
    const latent_place *v = &s->latent[h->value_latent];
    const size_t T = s->T, r_v = f->latent[h->value_latent].r;

    if (h->value.cols)
        linear_back(s->d_v, a->dv, v->c, r_v, theta + s->p->head[g].value.w, T, a->dv,
                    r_v, gradient + s->p->head[g].value.w,
                    at_gradient(gradient, s->p->head[g].value.b), v->d);
    else
        add_rows(v->d, r_v, s->d_v, a->dv, r_v, T);
    if (h->rope_key >= 0) {
        const size_t n = f->rope_key[h->rope_key].n;

        add_rows(s->rope_key[h->rope_key].d, n, s->d_k + h->n_key, a->dk, n, T);
    }
    if (h->key_latent < 0)
        return;
    const latent_place *c = &s->latent[h->key_latent];
    const size_t r = f->latent[h->key_latent].r;

    if (h->rotation == MLS_ROTATE_AFTER_READ) {
        rotate(s->d_k, a->dk, s->cs_full, f->D / 2, T, -1);
        for (size_t t = 0; f->k_norm.n && t < T; t++)
            norm_back(s->d_k + t * a->dk, a->k_raw + t * f->D, f->D,
                      theta + s->p->k_norm, f->norm_eps, 1, f->D,
                      gradient + s->p->k_norm);
    }
    if (h->key.cols)
        linear_back(s->d_k, a->dk, c->c, r, theta + s->p->head[g].key.w, T, h->n_key, r,
                    gradient + s->p->head[g].key.w,
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
        const rope_place *a = &s->rope_key[b];
        const size_t n = f->rope_key[b].n;

        rotate(a->d, n, a->cs, n / 2, T, -1);
        linear_back(a->d, n, x, E, theta + s->p->rope_key[b].w, T, n, E,
                    gradient + s->p->rope_key[b].w,
                    at_gradient(gradient, s->p->rope_key[b].b), d_x);
    }
    for (size_t i = 0; i < f->n_latents; i++) {
        const mls_latent_vector *v = &f->latent[i];
        const latent_place *a = &s->latent[i];
        mls_real *d_bias = at_gradient(gradient, s->p->latent[i].down.b);

        if (v->source == MLS_LATENT_OF_X) {
            if (v->norm.n)
                norm_back(a->d, a->raw, v->r, theta + s->p->latent[i].norm, f->norm_eps,
                          T, v->r, gradient + s->p->latent[i].norm);
            linear_back(a->d, v->r, x, E, theta + s->p->latent[i].down.w, T, v->r, E,
                        gradient + s->p->latent[i].down.w, d_bias, d_x);
            continue;
        }
        memset(s->d_row, 0, T * D * sizeof *s->d_row);
        if (v->down.cols)
            linear_back(a->d, v->r, a->key, D, theta + s->p->latent[i].down.w, T, v->r,
                        D, gradient + s->p->latent[i].down.w, d_bias, s->d_row);
        else
            memcpy(s->d_row, a->d, T * D * sizeof *s->d_row);
        rotate(s->d_row, D, s->cs_full, D / 2, T, -1);
        if (f->k_norm.n)
            norm_back(s->d_row, a->key_raw, D, theta + s->p->k_norm, f->norm_eps, T, D,
                      gradient + s->p->k_norm);
        linear_back(s->d_row, D, x, E, theta + s->p->key.w + v->head * D * E, T, D, E,
                    gradient + s->p->key.w + v->head * D * E,
                    s->p->key.b == MLS_NO_ARRAY ? NULL
                                                : gradient + s->p->key.b + v->head * D,
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
            rotate(d_h, s->q_dims, s->cs_full, f->D / 2, T, -1);
            if (f->q_norm.n)
                norm_back(d_h, s->q_raw + first, s->q_dims, theta + p->q_norm,
                          f->norm_eps, T, f->D, gradient + p->q_norm);
        }
        if (head->rope_key >= 0)
            rotate(d_h + head->n_key, s->q_dims, s->rope_key[head->rope_key].cs,
                   f->rope_key[head->rope_key].n / 2, T, -1);
        first += mls_latent_query_dims(f, h);
    }
    if (f->q_rank)
        memset(s->d_y, 0, T * in * sizeof *s->d_y);
    linear_back(s->d_q, s->q_dims, f->q_rank ? s->y : x, in, theta + p->query.w, T,
                s->q_dims, in, gradient + p->query.w, at_gradient(gradient, p->query.b),
                f->q_rank ? s->d_y : d_x);
    if (!f->q_rank)
        return;
    if (f->q_down_norm.n)
        norm_back(s->d_y, s->y_raw, in, theta + p->q_down_norm, f->norm_eps, T, in,
                  gradient + p->q_down_norm);
    linear_back(s->d_y, in, x, f->E, theta + p->q_down.w, T, in, f->E,
                gradient + p->q_down.w, at_gradient(gradient, p->q_down.b), d_x);
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
    linear_back(d_out, f->E, s->o, s->out_dims, theta + s->p->output.w, T, f->E,
                s->out_dims, gradient + s->p->output.w,
                at_gradient(gradient, s->p->output.b), s->d_o);
    for (size_t g = 0; g < f->G; g++) {
        const head_place *a = &s->head[g];

        memset(s->d_k, 0, T * a->dk * sizeof *s->d_k);
        memset(s->d_v, 0, T * a->dv * sizeof *s->d_v);
        for (size_t i = 0; i < per_group; i++) {
            attend_back(s, a, s->q + first_q, s->prob + (g * per_group + i) * T * T,
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
