/* Runs a layer's latent form over one sequence: what it caches, how heads read it. */
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/latent/latent.h"
#include "analysis/model/rope.h"
#include "analysis/numeric/kernels.h"
#include "common/base/checked.h"

/* Cosines and sines of one set of frequencies, kept for later layers and settings. */
typedef struct {
    size_t n; /* chunks */
    double *inv_freq;
    float *cs; /* (T_max, n, 2) */
} rope_table;

enum { TABLES_MAX = 256 };

/* Keys and values of a layer that a later one shares: (tokens, dims of all heads). */
typedef struct {
    float *k, *v;
    size_t k_dims, v_dims;
} kept_cache;

struct mls_latent_runner {
    size_t T_max, n_workers;
    bool absorbed;
    rope_table table[TABLES_MAX];
    size_t n_tables;
    kept_cache kept[MLS_LAYERS_MAX];
    const size_t *start; /* of the sequences of kept layers */
    mls_compute compute;

    /* Of the chosen form. */
    const mls_latent_form *form;
    mls_packed *packed;      /* its matrices in bfloat16, or NULL */
    const float *cs_full;    /* table of the D dims, NULL when nothing needs it */
    const float **cs_rope;   /* (n_rope_keys) */
    bool keeping;            /* a later layer shares this one's cache */
    size_t k_dims, v_dims;   /* of all heads, as read back */
    size_t q_dims, out_dims; /* of all query heads */
    size_t cache_dims;       /* latents and rope keys together */
    size_t head_dims;        /* largest key or value width of one head, any mode */

    float **scratch; /* (n_workers), each scratch_size floats */
    size_t scratch_size;
};

mls_status mls_latent_runner_new(mls_latent_runner **out, size_t T_max,
                                 size_t n_workers, bool absorbed, mls_err *err)
{
    mls_latent_runner *r = calloc(1, sizeof *r);

    *out = NULL;
    if (r)
        r->scratch = calloc(n_workers, sizeof *r->scratch);
    if (!r || !r->scratch) {
        free(r);
        return mls_fail(err, MLS_E_NOMEM, "no memory to run a latent form");
    }
    r->T_max = T_max;
    r->n_workers = n_workers;
    r->absorbed = absorbed;
    *out = r;
    return MLS_OK;
}

static void forget_tables(mls_latent_runner *r)
{
    for (size_t i = 0; i < r->n_tables; i++)
        mls_free_all(r->table[i].inv_freq, r->table[i].cs);
    r->n_tables = 0;
}

void mls_latent_runner_free(mls_latent_runner *r)
{
    if (!r)
        return;
    forget_tables(r);
    mls_packed_free(r->packed);
    for (size_t l = 0; l < MLS_LAYERS_MAX; l++)
        mls_free_all(r->kept[l].k, r->kept[l].v);
    for (size_t w = 0; w < r->n_workers; w++)
        free(r->scratch[w]);
    mls_free_all(r->scratch, r->cs_rope, r);
}

void mls_latent_runner_compute(mls_latent_runner *r, mls_compute compute)
{
    r->compute = compute;
}

static mls_status pack_one(mls_latent_runner *r, const mls_affine *a, mls_err *err)
{
    return mls_packed_add(r->packed, a->w, a->rows, a->cols, err);
}

/* Every matrix of the form that rows of tokens are multiplied with. */
static mls_status pack(mls_latent_runner *r, const mls_latent_form *f, mls_err *err)
{
    mls_status st;

    mls_packed_free(r->packed);
    r->packed = NULL;
    if (r->compute == MLS_COMPUTE_F32)
        return MLS_OK;
    st = mls_packed_new(&r->packed, err);
    if (!st)
        st = pack_one(r, &f->q_down, err);
    if (!st)
        st = pack_one(r, &f->query, err);
    if (!st)
        st = pack_one(r, &f->output, err);
    for (size_t i = 0; !st && i < f->n_latents; i++) {
        st = pack_one(r, &f->latent[i].down, err);
        if (!st)
            st = pack_one(r, &f->latent[i].rms, err);
    }
    for (size_t b = 0; !st && b < f->n_rope_keys; b++)
        st = pack_one(r, &f->rope_key[b].map, err);
    for (size_t h = 0; !st && f->q_own.cols && h < f->H; h++) {
        const mls_affine own = mls_affine_rows(&f->q_own, h * f->D, f->D);

        st = pack_one(r, &own, err);
    }
    for (size_t h = 0; !st && f->gate.cols && h < f->H; h++) {
        const mls_affine gate = mls_affine_rows(&f->gate, h * f->D, f->D);

        st = pack_one(r, &gate, err);
    }
    for (size_t g = 0; !st && f->k_own.cols && g < f->G; g++) {
        const mls_affine own = mls_affine_rows(&f->k_own, g * f->D, f->D);

        st = pack_one(r, &own, err);
    }
    for (size_t g = 0; !st && g < f->G; g++) {
        if (f->key.w) {
            const mls_affine key = mls_affine_rows(&f->key, g * f->D, f->D);

            st = pack_one(r, &key, err);
        }
        if (!st)
            st = pack_one(r, &f->head[g].key, err);
        if (!st)
            st = pack_one(r, &f->head[g].value, err);
    }
    return st;
}

static mls_status find_table(mls_latent_runner *r, const double *inv_freq, size_t n,
                             const float **cs, mls_err *err)
{
    for (size_t i = 0; i < r->n_tables; i++)
        if (r->table[i].n == n &&
            memcmp(r->table[i].inv_freq, inv_freq, n * sizeof *inv_freq) == 0) {
            *cs = r->table[i].cs;
            return MLS_OK;
        }
    rope_table *t = &r->table[r->n_tables];

    *t = (rope_table){.n = n,
                      .inv_freq = mls_calloc3(n, 1, 1, sizeof(double)),
                      .cs = mls_calloc3(r->T_max, n, 2, sizeof(float))};
    if (!t->inv_freq || !t->cs) {
        mls_free_all(t->inv_freq, t->cs);
        return mls_fail(err, MLS_E_NOMEM, "no memory for a RoPE table of %zu tokens",
                        r->T_max);
    }
    memcpy(t->inv_freq, inv_freq, n * sizeof *inv_freq);
    mls_rope_table(t->cs, inv_freq, n, r->T_max);
    r->n_tables++;
    *cs = t->cs;
    return MLS_OK;
}

static mls_status choose_tables(mls_latent_runner *r, const mls_latent_form *f,
                                mls_err *err)
{
    bool full = f->key.cols > 0;
    mls_status st = MLS_OK;

    if (r->n_tables + f->n_rope_keys + 1 > TABLES_MAX)
        forget_tables(r);
    if (f->n_rope_keys + 1 > TABLES_MAX)
        return mls_fail(err, MLS_E_INPUT, "layer %zu has %zu rope keys, at most %d run",
                        f->layer, f->n_rope_keys, TABLES_MAX - 1);
    for (size_t g = 0; g < f->G; g++)
        full = full || f->head[g].rotation != MLS_ROTATE_NEVER;
    r->cs_full = NULL;
    if (full)
        st = find_table(r, f->inv_freq, f->D / 2, &r->cs_full, err);
    free(r->cs_rope);
    r->cs_rope = mls_calloc3(f->n_rope_keys, 1, 1, sizeof *r->cs_rope);
    if (!r->cs_rope)
        return mls_fail(err, MLS_E_NOMEM, "no memory to run a latent form");
    for (size_t b = 0; !st && b < f->n_rope_keys; b++)
        st = find_table(r, f->rope_key[b].inv_freq, f->rope_key[b].n / 2,
                        &r->cs_rope[b], err);
    return st;
}

/* Dims of a key as head g keeps it in expanded form. */
static size_t key_dims(const mls_latent_form *f, size_t g)
{
    const mls_read_head *h = &f->head[g];

    return h->n_key + (h->rope_key >= 0 ? f->rope_key[h->rope_key].n : 0);
}

/*
 * Scores can be taken straight from the latent unless rotation or norm stand between.
 */
static bool can_absorb(const mls_latent_runner *r, size_t g)
{
    const mls_latent_form *f = r->form;

    /* A key's bias cancels in the softmax, unless every key has a factor of its own or
       scores are not all that counts. */
    return r->absorbed && !r->keeping && f->share_layer < 0 &&
           f->head[g].rotation != MLS_ROTATE_AFTER_READ &&
           !((f->k_own.cols || f->score_cap > 0 || f->sinks.n) &&
             f->head[g].key.biased);
}

static void measure(mls_latent_runner *r, const mls_latent_form *f)
{
    r->k_dims = r->v_dims = r->q_dims = r->out_dims = 0;
    r->head_dims = f->D;
    r->cache_dims = mls_latent_elements(f);
    for (size_t i = 0; i < f->n_latents; i++)
        if (f->latent[i].rms.rows > r->head_dims)
            r->head_dims = f->latent[i].rms.rows;
    for (size_t g = 0; g < f->G; g++) {
        const mls_read_head *h = &f->head[g];
        const size_t k = key_dims(f, g), per_group = f->H / f->G;
        const size_t latent = h->key_latent >= 0 ? f->latent[h->key_latent].r : 0;
        const size_t widths[] = {k, h->n_value, latent + k,
                                 f->latent[h->value_latent].r};

        r->k_dims += k;
        r->v_dims += h->n_value;
        r->q_dims += per_group * k;
        r->out_dims += per_group * h->n_value;
        for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
            if (widths[i] > r->head_dims)
                r->head_dims = widths[i];
    }
}

static mls_status keep_layer(mls_latent_runner *r, const mls_states *keep_for,
                             mls_err *err)
{
    kept_cache *c = &r->kept[r->form->layer];

    mls_free_all(c->k, c->v);
    c->k_dims = r->k_dims;
    c->v_dims = r->v_dims;
    c->k = mls_calloc3(keep_for->start[keep_for->N], r->k_dims, 1, sizeof *c->k);
    c->v = mls_calloc3(keep_for->start[keep_for->N], r->v_dims, 1, sizeof *c->v);
    if (!c->k || !c->v)
        return mls_fail(err, MLS_E_NOMEM, "no memory to keep the cache of layer %zu",
                        r->form->layer);
    r->start = keep_for->start;
    return MLS_OK;
}

mls_status mls_latent_runner_set(mls_latent_runner *r, const mls_latent_form *f,
                                 const mls_states *keep_for, mls_err *err)
{
    size_t size;
    mls_status st = mls_latent_check(f, err);

    if (!st)
        st = choose_tables(r, f, err);
    if (st)
        return st;
    r->form = f;
    r->keeping = keep_for != NULL;
    measure(r, f);
    st = pack(r, f, err);
    if (!st && keep_for)
        st = keep_layer(r, keep_for, err);
    if (!st && f->share_layer >= 0) {
        const kept_cache *c = &r->kept[f->share_layer];

        if (!c->k || c->k_dims != r->k_dims || c->v_dims != r->v_dims)
            st = mls_fail(
                err, MLS_E_INPUT,
                "layer %zu shares the cache of layer %d, which was not kept or "
                "has another shape",
                f->layer, f->share_layer);
    }
    if (st)
        return st;

    /* x-projections, one head's keys and values, outputs, one block of scores. */
    size = r->cache_dims + r->q_dims + f->q_rank + r->out_dims + 4 * r->head_dims +
           MLS_ATTEND_ROWS;
    if (!mls_mul_size(&size, size, r->T_max))
        return mls_fail(err, MLS_E_NOMEM, "no memory to run a latent form");
    if (size > r->scratch_size) {
        for (size_t w = 0; w < r->n_workers; w++) {
            free(r->scratch[w]);
            r->scratch[w] = mls_calloc3(size, 1, 1, sizeof(float));
            if (!r->scratch[w]) {
                r->scratch_size = 0;
                return mls_fail(err, MLS_E_NOMEM,
                                "no memory for %zu numbers of scratch per thread",
                                size);
            }
        }
        r->scratch_size = size;
    }
    return MLS_OK;
}

/* One sequence on its way through the form; pieces of one worker's scratch. */
typedef struct {
    mls_latent_runner *r;
    const mls_latent_form *f;
    size_t T, sequence;
    const float *x; /* (T, E) */
    float *cache;   /* (T, r) per latent, then (T, n) per rope key, one after another */
    float *q;       /* (T, q_dims) */
    float *y;       /* (T, q_rank) */
    float *k, *v;   /* one head, at most (T, head_dims) each */
    float *q_head;  /* (T, head_dims), queries turned into latent space */
    float *o_head;  /* (T, head_dims), outputs still in latent space */
    float *o;       /* (T, out_dims) */
    float *scores;  /* (MLS_ATTEND_ROWS, T) */
} pass;

static float *latent_rows(const pass *p, int i)
{
    float *c = p->cache;

    for (int j = 0; j < i; j++)
        c += p->T * p->f->latent[j].r;
    return c;
}

static float *rope_rows(const pass *p, int b)
{
    float *c = latent_rows(p, (int)p->f->n_latents);

    for (int j = 0; j < b; j++)
        c += p->T * p->f->rope_key[j].n;
    return c;
}

/* y (T, n_out) = x (T, n_in) w^T + b. */
static void linear(const pass *p, float *y, const float *x, const float *w,
                   const float *b, size_t n_out, size_t n_in)
{
    mls_packed_linear(p->r->packed, y, n_out, x, w, b, p->T, n_out, n_in);
}

/* Rotated key of one head (T, D), with QK-norm. */
static void rotated_key(const pass *p, size_t g, float *k)
{
    const mls_latent_form *f = p->f;

    const mls_affine key = mls_affine_rows(&f->key, g * f->D, f->D);

    linear(p, k, p->x, key.w, key.b, f->D, f->E);
    if (f->k_norm.n)
        mls_rmsnorm_rows(k, f->D, f->k_norm.w, f->norm_eps, p->T, f->D);
    mls_rope_apply(k, f->D, p->r->cs_full, f->D / 2, p->T, 1);
}

/* Rows (T, n) at stride ld over the rms of what m rows of `own` make of x. */
static void divide_by_rms(const pass *p, float *rows, size_t ld, size_t n,
                          const mls_affine *own, size_t first, size_t m)
{
    const mls_affine of = mls_affine_rows(own, first, m);
    float *u = p->q_head; /* (T, m), free until heads attend */

    linear(p, u, p->x, of.w, of.b, m, p->f->E);
    for (size_t t = 0; t < p->T; t++) {
        double sum = 0;

        for (size_t d = 0; d < m; d++)
            sum += (double)u[t * m + d] * (double)u[t * m + d];
        cblas_sscal((int)n, (float)(1 / sqrt(sum / (double)m + p->f->norm_eps)),
                    rows + t * ld, 1);
    }
}

static mls_status fill_cache(const pass *p, mls_err *err)
{
    const mls_latent_form *f = p->f;
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < f->n_latents; i++) {
        const mls_latent_vector *v = &f->latent[i];
        float *c = latent_rows(p, (int)i);

        if (v->source == MLS_LATENT_OF_X) {
            linear(p, c, p->x, v->down.w, v->down.b, v->r, f->E);
            if (v->norm.n)
                mls_rmsnorm_rows(c, v->r, v->norm.w, f->norm_eps, p->T, v->r);
            if (v->rms.cols)
                divide_by_rms(p, c, v->r, v->r, &v->rms, 0, v->rms.rows);
        } else if (v->down.cols) {
            rotated_key(p, v->head, p->k);
            linear(p, c, p->k, v->down.w, v->down.b, v->r, f->D);
        } else {
            rotated_key(p, v->head, c);
        }
        if (v->quant.format)
            st = mls_quant_apply(&v->quant, !v->holds_values, c, v->r, p->T, v->r, err);
    }
    for (size_t b = 0; !st && b < f->n_rope_keys; b++) {
        const mls_rope_key *key = &f->rope_key[b];
        float *c = rope_rows(p, (int)b);

        linear(p, c, p->x, key->map.w, key->map.b, key->n, f->E);
        mls_rope_apply(c, key->n, p->r->cs_rope[b], key->n / 2, p->T, 1);
        if (key->quant.format)
            st = mls_quant_apply(&key->quant, true, c, key->n, p->T, key->n, err);
    }
    return st;
}

static void make_queries(const pass *p)
{
    const mls_latent_form *f = p->f;
    const size_t ld = p->r->q_dims;
    const float *y = p->x;
    float *q_h = p->q;

    if (f->q_rank) {
        linear(p, p->y, p->x, f->q_down.w, f->q_down.b, f->q_rank, f->E);
        if (f->q_down_norm.n)
            mls_rmsnorm_rows(p->y, f->q_rank, f->q_down_norm.w, f->norm_eps, p->T,
                             f->q_rank);
        y = p->y;
    }
    linear(p, p->q, y, f->query.w, f->query.b, ld, f->query.cols);
    for (size_t h = 0; h < f->H; h++) {
        const mls_read_head *head = &f->head[h / (f->H / f->G)];

        if (head->rotation != MLS_ROTATE_NEVER) {
            if (f->q_norm.n)
                mls_rmsnorm_rows(q_h, ld, f->q_norm.w, f->norm_eps, p->T, f->D);
            mls_rope_apply(q_h, ld, p->r->cs_full, f->D / 2, p->T, 1);
        }
        if (head->rope_key >= 0)
            mls_rope_apply(q_h + head->n_key, ld, p->r->cs_rope[head->rope_key],
                           f->rope_key[head->rope_key].n / 2, p->T, 1);
        if (f->q_own.cols)
            divide_by_rms(p, q_h, ld, mls_latent_query_dims(f, h), &f->q_own, h * f->D,
                          f->D);
        q_h += mls_latent_query_dims(f, h);
    }
}

/* to[t, :n] = from[t, :n] for rows at different strides. */
static void copy_rows(float *to, size_t ld_to, const float *from, size_t ld_from,
                      size_t n, size_t T)
{
    for (size_t t = 0; t < T; t++)
        memcpy(to + t * ld_to, from + t * ld_from, n * sizeof *to);
}

/* Keys (T, key_dims) and values (T, n_value) of head g, read back in full. */
static void read_back(const pass *p, size_t g, size_t first_k, size_t first_v)
{
    const mls_latent_form *f = p->f;
    const mls_read_head *h = &f->head[g];
    const size_t T = p->T, dk = key_dims(f, g);

    if (f->share_layer >= 0) {
        const kept_cache *c = &p->r->kept[f->share_layer];
        const size_t row = p->r->start[p->sequence];

        copy_rows(p->k, dk, c->k + row * c->k_dims + first_k, c->k_dims, dk, T);
        copy_rows(p->v, h->n_value, c->v + row * c->v_dims + first_v, c->v_dims,
                  h->n_value, T);
        return;
    }
    if (h->key_latent >= 0) {
        const size_t r = f->latent[h->key_latent].r;
        const float *c = latent_rows(p, h->key_latent);

        if (h->key.cols)
            mls_packed_linear(p->r->packed, p->k, dk, c, h->key.w, h->key.b, T,
                              h->n_key, r);
        else
            copy_rows(p->k, dk, c, r, r, T);
        if (h->rotation == MLS_ROTATE_AFTER_READ) {
            if (f->k_norm.n)
                mls_rmsnorm_rows(p->k, dk, f->k_norm.w, f->norm_eps, T, f->D);
            mls_rope_apply(p->k, dk, p->r->cs_full, f->D / 2, T, 1);
        }
    }
    if (h->rope_key >= 0) {
        const size_t n = f->rope_key[h->rope_key].n;

        copy_rows(p->k + h->n_key, dk, rope_rows(p, h->rope_key), n, n, T);
    }
    if (f->k_own.cols)
        divide_by_rms(p, p->k, dk, dk, &f->k_own, g * f->D, f->D);
    const size_t r = f->latent[h->value_latent].r;
    const float *c = latent_rows(p, h->value_latent);

    if (h->value.cols)
        linear(p, p->v, c, h->value.w, h->value.b, h->n_value, r);
    else
        copy_rows(p->v, r, c, r, r, T);
    if (p->r->keeping) {
        kept_cache *kept = &p->r->kept[f->layer];
        const size_t row = p->r->start[p->sequence];

        copy_rows(kept->k + row * kept->k_dims + first_k, kept->k_dims, p->k, dk, dk,
                  T);
        copy_rows(kept->v + row * kept->v_dims + first_v, kept->v_dims, p->v,
                  h->n_value, h->n_value, T);
    }
}

/*
 * Attention with a token budget: the query at position i sees the first tokens and the
 * newest, budget * (i + 1) in all, as if the prompt had ended there.
 */
static void attend_budget(const pass *p, float *out, size_t ld_out, mls_strided q,
                          mls_strided k, mls_strided v, float sink)
{
    const mls_latent_form *f = p->f;
    const float cap = (float)f->score_cap;
    float *scores = p->scores;

    for (size_t i = 0; i < p->T; i++) {
        float *out_i = out + i * ld_out;
        float top = sink;
        double sum = 0;
        size_t begin, end;

        mls_latent_hidden(f, i, &begin, &end);
        const size_t n = i + 1 - (end - begin);

        for (size_t j = 0; j < n; j++) {
            const size_t token = j < begin ? j : end - begin + j;

            scores[j] = (float)f->scale * cblas_sdot((int)q.n, q.at + i * q.stride, 1,
                                                     k.at + token * k.stride, 1);
            if (cap > 0)
                scores[j] = cap * tanhf(scores[j] / cap);
            top = scores[j] > top ? scores[j] : top;
        }
        sum += (double)expf(sink - top);
        memset(out_i, 0, v.n * sizeof *out_i);
        for (size_t j = 0; j < n; j++) {
            scores[j] = expf(scores[j] - top);
            sum += (double)scores[j];
        }
        for (size_t j = 0; j < n; j++) {
            const size_t token = j < begin ? j : end - begin + j;

            cblas_saxpy((int)v.n, (float)((double)scores[j] / sum),
                        v.at + token * v.stride, 1, out_i, 1);
        }
    }
}

static void attend(const pass *p, size_t h, float *out, size_t ld_out, mls_strided q,
                   mls_strided k, mls_strided v)
{
    const mls_latent_form *f = p->f;
    const mls_attend_how how = {.scale = f->scale,
                                .window = f->sliding_window,
                                .cap = f->score_cap,
                                .sink = f->sinks.n ? (double)f->sinks.w[h]
                                                   : -(double)INFINITY};

    if (f->token_budget < 1.0)
        attend_budget(p, out, ld_out, q, k, v, (float)how.sink);
    else if (f->score_cap > 0 || f->sinks.n)
        mls_attend_as(out, ld_out, q, k, v, p->T, &how, p->scores);
    else
        mls_attend(out, ld_out, q, k, v, p->T, f->scale, f->sliding_window, p->scores);
}

/*
 * One query head with scores and sums over the latents: q^T (Up c) = (Up^T q)^T c, and
 * sum_j a_j (Up c_j) = Up (sum_j a_j c_j). A key bias adds the same to every score of a
 * query, which the softmax cancels; the weights a sum to 1, so the value bias is added
 * at the end. p->k holds [c ; rope key] of the KV head.
 */
static void attend_absorbed(const pass *p, const mls_read_head *h, size_t head,
                            const float *q_h, float *o_h)
{
    const mls_latent_form *f = p->f;
    const size_t r = h->key_latent >= 0 ? f->latent[h->key_latent].r : 0;
    const size_t n = h->rope_key >= 0 ? f->rope_key[h->rope_key].n : 0;
    const size_t r_v = f->latent[h->value_latent].r;
    const size_t ld_q = p->r->q_dims, ld_o = p->r->out_dims;

    if (h->key.cols)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)p->T, (int)r,
                    (int)h->n_key, 1.0f, q_h, (int)ld_q, h->key.w, (int)r, 0.0f,
                    p->q_head, (int)(r + n));
    else
        copy_rows(p->q_head, r + n, q_h, ld_q, r, p->T);
    copy_rows(p->q_head + r, r + n, q_h + h->n_key, ld_q, n, p->T);
    attend(p, head, p->o_head, r_v, (mls_strided){p->q_head, r + n, r + n},
           (mls_strided){p->k, r + n, r + n},
           (mls_strided){latent_rows(p, h->value_latent), r_v, r_v});
    if (h->value.cols)
        mls_packed_linear(p->r->packed, o_h, ld_o, p->o_head, h->value.w, h->value.b,
                          p->T, h->n_value, r_v);
    else
        copy_rows(o_h, ld_o, p->o_head, r_v, r_v, p->T);
}

/* [c ; rope key] of a KV head, (T, r + n), in p->k. */
static void latent_keys(const pass *p, size_t g)
{
    const mls_latent_form *f = p->f;
    const mls_read_head *h = &f->head[g];
    const size_t r = h->key_latent >= 0 ? f->latent[h->key_latent].r : 0;
    const size_t n = h->rope_key >= 0 ? f->rope_key[h->rope_key].n : 0;

    if (r)
        copy_rows(p->k, r + n, latent_rows(p, h->key_latent), r, r, p->T);
    if (n)
        copy_rows(p->k + r, r + n, rope_rows(p, h->rope_key), n, n, p->T);
    if (f->k_own.cols)
        divide_by_rms(p, p->k, r + n, r + n, &f->k_own, g * f->D, f->D);
}

size_t mls_latent_output_dims(const mls_latent_form *f)
{
    size_t n = 0;

    for (size_t g = 0; g < f->G; g++)
        n += f->H / f->G * f->head[g].n_value;
    return n;
}

/* Where a worker's scratch has room for the outputs of all heads, per token. */
static size_t heads_offset(const mls_latent_runner *r)
{
    return r->cache_dims + r->q_dims + r->form->q_rank + 4 * r->head_dims;
}

/* Heads' outputs by their gates; room for one head's is free again. */
static void weigh_heads(const pass *p)
{
    const mls_latent_form *f = p->f;
    const size_t D = f->D, ld = p->r->out_dims;
    float *y = p->q_head;

    for (size_t h = 0; h < f->H; h++) {
        const mls_affine gate = mls_affine_rows(&f->gate, h * D, D);

        linear(p, y, p->x, gate.w, gate.b, D, f->E);
        for (size_t i = 0; i < p->T * D; i++)
            p->o[i / D * ld + h * D + i % D] *=
                f->gate_soft ? (float)log1p(exp((double)y[i]))
                             : (float)(1 / (1 + exp(-(double)y[i])));
    }
}

mls_status mls_latent_heads(mls_latent_runner *r, size_t sequence, size_t worker,
                            const float *x, size_t T, float *out, mls_err *err)
{
    const mls_latent_form *f = r->form;
    float *s = r->scratch[worker];
    pass p = {.r = r, .f = f, .T = T, .sequence = sequence, .x = x};
    size_t first_q = 0, first_k = 0, first_v = 0, first_o = 0;
    mls_status st = MLS_OK;

    p.cache = s;
    p.q = p.cache + T * r->cache_dims;
    p.y = p.q + T * r->q_dims;
    p.k = p.y + T * f->q_rank;
    p.v = p.k + T * r->head_dims;
    p.q_head = p.v + T * r->head_dims;
    p.o_head = p.q_head + T * r->head_dims;
    p.o = out;
    p.scores = s + T * (heads_offset(r) + r->out_dims);

    if (f->share_layer < 0)
        st = fill_cache(&p, err);
    if (st)
        return mls_fail_in(err, st, "layer %zu, sequence %zu", f->layer, sequence);
    make_queries(&p);
    for (size_t g = 0; g < f->G; g++) {
        const mls_read_head *h = &f->head[g];
        const size_t dk = key_dims(f, g);
        const bool absorb = can_absorb(r, g);

        if (absorb)
            latent_keys(&p, g);
        else
            read_back(&p, g, first_k, first_v);
        for (size_t i = 0; i < f->H / f->G; i++) {
            if (absorb)
                attend_absorbed(&p, h, g * (f->H / f->G) + i, p.q + first_q,
                                p.o + first_o);
            else
                attend(&p, g * (f->H / f->G) + i, p.o + first_o, r->out_dims,
                       (mls_strided){p.q + first_q, r->q_dims, dk},
                       (mls_strided){p.k, dk, dk},
                       (mls_strided){p.v, h->n_value, h->n_value});
            first_q += dk;
            first_o += h->n_value;
        }
        first_k += dk;
        first_v += h->n_value;
    }
    if (f->gate.cols)
        weigh_heads(&p);
    return MLS_OK;
}

mls_status mls_latent_attention(void *arg, size_t sequence, size_t worker,
                                const float *x, size_t T, float *out, float *carried,
                                mls_err *err)
{
    mls_latent_runner *r = arg;
    const mls_latent_form *f = r->form;
    float *o = r->scratch[worker] + T * heads_offset(r);
    const mls_status st = mls_latent_heads(r, sequence, worker, x, T, o, err);

    (void)carried; /* forms are of models whose layers read nothing of each other */
    if (!st)
        mls_packed_linear(r->packed, out, f->E, o, f->output.w, f->output.b, T, f->E,
                          r->out_dims);
    return st;
}
