/*
 * E[x x^T] meets every row of a form once: rows of the layer's own that a form caches
 * or asks again have met it before (own_moments.h), and what heads read back of a
 * latent follows from the latent's moments. All in double.
 */
#include "analysis/latent/cached_moments.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/affine.h"
#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"

static mls_status no_memory(mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory to predict errors");
}

/* Row of `own` (n, E) that equals w; n: none does. */
static size_t find_row(const float *w, const float *own, size_t n, size_t E)
{
    size_t i = 0;

    while (i < n && memcmp(w, own + i * E, E * sizeof *w) != 0)
        i++;
    return i;
}

/* mean[i] = w[i, :] mean(x). */
static void mean_of(double *mean, const double *w, size_t n, const mls_layer_stats *s)
{
    for (size_t i = 0; i < n; i++) {
        double sum = 0;

        for (size_t e = 0; e < s->E; e++)
            sum += w[i * s->E + e] * s->x_mean[e];
        mean[i] = sum;
    }
}

static const mls_affine *cached_map(const mls_latent_form *f, size_t i)
{
    return i < f->n_latents ? &f->latent[i].down : &f->rope_key[i - f->n_latents].map;
}

static size_t cached_rows(const mls_latent_form *f, size_t i)
{
    return i < f->n_latents ? f->latent[i].r : f->rope_key[i - f->n_latents].n;
}

/* Rows of all caches in double, and what they make of E[x x^T]. */
static mls_status meet_caches(double *w, double *met, const mls_cached_moments *c,
                              const mls_layer *layer, const mls_layer_stats *stats,
                              mls_pool *pool, mls_err *err)
{
    const size_t E = c->own->E, n_own = c->own->G * c->own->D;
    const size_t q_rows = c->own->H * c->own->D;
    double *some = mls_calloc3(2 * c->n, E, 1, sizeof *some),
           *met_some = some + c->n * E;
    size_t *place = mls_calloc3(c->n + 1, 1, 1, sizeof *place), m = 0;
    mls_status st = some && place ? MLS_OK : no_memory(err);

    for (size_t i = 0; !st && i < c->f->n_latents + c->f->n_rope_keys; i++)
        for (size_t k = 0; k < cached_rows(c->f, i); k++) {
            const float *row = cached_map(c->f, i)->w + k * E;
            const size_t at = c->first[i] + k, key = find_row(row, layer->wk, n_own, E);
            const size_t value = key < n_own ? 0 : find_row(row, layer->wv, n_own, E);

            mls_widen(w + at * E, row, E);
            if (key < n_own || value < n_own) {
                const size_t own = q_rows + (key < n_own ? key : n_own + value);

                memcpy(met + at * E, c->own->met + own * E, E * sizeof *met);
                continue;
            }
            memcpy(some + m * E, w + at * E, E * sizeof *some);
            place[m++] = at;
        }
    if (!st)
        st = mls_meet_inputs(met_some, some, m, stats, pool, err);
    for (size_t i = 0; !st && i < m; i++)
        memcpy(met + place[i] * E, met_some + i * E, E * sizeof *met);
    mls_free_all(some, place);
    return st;
}

typedef struct {
    mls_cached_moments *c;
    const double *w, *met; /* (n, E) of the caches */
} sides;

/* Job i: own rows of KV head i, keys before values, with all caches; last: caches. */
static mls_status one_side(void *arg, size_t i, size_t worker, mls_err *err)
{
    const sides *k = arg;
    const mls_cached_moments *c = k->c;
    const size_t G = c->own->G, D = c->own->D, E = c->own->E, n = c->n;
    const double *met = c->own->met + (c->own->H + i) * D * E;
    double *S = c->second;

    (void)worker;
    (void)err;
    if (i < 2 * G) {
        double *to = i < G ? c->key + i * D * n : c->value + (i - G) * D * n;

        mls_matmul(to, met, false, k->w, true, D, n, E);
        return MLS_OK;
    }
    mls_matmul(S, k->met, false, k->w, true, n, n, E);
    for (size_t r = 0; r < n; r++)
        for (size_t j = 0; j < r; j++)
            S[r * n + j] = S[j * n + r] = 0.5 * (S[r * n + j] + S[j * n + r]);
    return MLS_OK;
}

static size_t size_of(const mls_cached_moments *c, int latent, int rope)
{
    return (latent >= 0 ? c->f->latent[latent].r : 0) +
           (rope >= 0 ? c->f->rope_key[rope].n : 0);
}

/* Places of the numbers of a latent and a rope key among all. */
static void places_of(size_t *place, const mls_cached_moments *c, int latent, int rope)
{
    const size_t r = latent >= 0 ? c->f->latent[latent].r : 0;
    const size_t n = size_of(c, latent, rope);

    for (size_t i = 0; i < n; i++)
        place[i] = i < r ? c->first[latent] + i
                         : c->first[c->f->n_latents + (size_t)rope] + i - r;
}

/* Directions of one pair. */
static mls_status one_pair(void *arg, size_t i, size_t worker, mls_err *err)
{
    const mls_cached_moments *c = arg;
    mls_cached_pair *pair = &c->pair[i];
    const size_t m = size_of(c, pair->latent, pair->rope);
    double *S = mls_calloc3(m, m, 1, sizeof *S);
    size_t *place = mls_calloc3(m + 1, 1, 1, sizeof *place);
    mls_status st = MLS_OK;

    (void)worker;
    pair->m = m;
    pair->values = mls_calloc3(m, 1, 1, sizeof *pair->values);
    pair->vectors = mls_calloc3(m, m, 1, sizeof *pair->vectors);
    if (!S || !place || !pair->values || !pair->vectors)
        st = no_memory(err);
    if (!st) {
        places_of(place, c, pair->latent, pair->rope);
        for (size_t k = 0; k < m * m; k++)
            S[k] = c->second[place[k / m] * c->n + place[k % m]];
        st = mls_eigen(S, m, pair->values, pair->vectors, err);
    }
    mls_free_all(S, place);
    return st;
}

static mls_cached_pair *find_pair(const mls_cached_moments *c, int latent, int rope)
{
    size_t i = 0;

    while (i < c->n_pairs && (c->pair[i].latent != latent || c->pair[i].rope != rope))
        i++;
    return &c->pair[i];
}

mls_status mls_cached_moments_new(mls_cached_moments *c, const mls_own_moments *own,
                                  const mls_latent_form *f, const mls_layer *layer,
                                  const mls_layer_stats *stats, mls_pool *pool,
                                  mls_err *err)
{
    const size_t parts = f->n_latents + f->n_rope_keys, GD = own->G * own->D;
    double *w = NULL;
    mls_status st = MLS_OK;

    *c = (mls_cached_moments){.own = own,
                              .f = f,
                              .first = mls_calloc3(parts + 1, 1, 1, sizeof(size_t)),
                              .pair = mls_calloc3(f->G + 1, 1, 1, sizeof *c->pair)};
    for (size_t i = 0; c->first && i < parts; i++) {
        c->first[i] = c->n;
        c->n += cached_rows(f, i);
    }
    w = mls_calloc3(2 * c->n, own->E, 1, sizeof *w);
    c->second = mls_calloc3(c->n, c->n, 1, sizeof *c->second);
    c->key = mls_calloc3(GD, c->n, 1, sizeof *c->key);
    c->value = mls_calloc3(GD, c->n, 1, sizeof *c->value);
    c->mean = mls_calloc3(c->n, 1, 1, sizeof *c->mean);
    if (!c->first || !c->pair || !w || !c->second || !c->key || !c->value || !c->mean)
        st = no_memory(err);
    for (size_t g = 0; !st && g < f->G; g++) {
        mls_cached_pair *pair =
            find_pair(c, f->head[g].key_latent, f->head[g].rope_key);

        if (pair == &c->pair[c->n_pairs])
            c->pair[c->n_pairs++] = (mls_cached_pair){.latent = f->head[g].key_latent,
                                                      .rope = f->head[g].rope_key};
    }
    sides k = {c, w, w + c->n * own->E};
    if (!st)
        st = meet_caches(w, w + c->n * own->E, c, layer, stats, pool, err);
    if (!st) {
        mean_of(c->mean, w, c->n, stats);
        st = mls_pool_run(pool, 2 * own->G + 1, one_side, &k, err);
    }
    if (!st)
        st = mls_pool_run(pool, c->n_pairs, one_pair, c, err);
    free(w);
    if (st)
        mls_cached_moments_free(c);
    return st;
}

void mls_cached_moments_free(mls_cached_moments *c)
{
    for (size_t i = 0; i < c->n_pairs; i++)
        mls_free_all(c->pair[i].values, c->pair[i].vectors);
    mls_free_all(c->first, c->second, c->key, c->value, c->mean, c->pair);
    *c = (mls_cached_moments){0};
}

void mls_cached_beside(double *S, double *mean, const mls_cached_moments *c,
                       bool values, size_t g, int latent, int rope)
{
    const mls_own_moments *o = c->own;
    const size_t D = o->D, r = size_of(c, latent, rope), m = D + r;
    const double *own = (values ? o->value : o->key) + g * D * D;
    const double *cross = (values ? c->value : c->key) + g * D * c->n;

    for (size_t i = 0; i < D; i++)
        memcpy(S + i * m, own + i * D, D * sizeof *S);
    memcpy(mean, o->mean + (o->H + (values ? o->G : 0) + g) * D, D * sizeof *mean);
    for (size_t i = 0; i < r; i++) {
        const size_t of = latent >= 0 ? c->f->latent[latent].r : 0;
        const size_t at = i < of ? c->first[latent] + i
                                 : c->first[c->f->n_latents + (size_t)rope] + i - of;

        mean[D + i] = c->mean[at];
        for (size_t j = 0; j < D; j++)
            S[(D + i) * m + j] = S[j * m + D + i] = cross[j * c->n + at];
        for (size_t j = 0; j < r; j++) {
            const size_t to = j < of
                                  ? c->first[latent] + j
                                  : c->first[c->f->n_latents + (size_t)rope] + j - of;

            S[(D + i) * m + D + j] = c->second[at * c->n + to];
        }
    }
}

mls_status mls_cached_explains(double *out, const mls_cached_moments *c, size_t g,
                               int latent, int rope, mls_err *err)
{
    const mls_cached_pair *pair = find_pair(c, latent, rope);
    const size_t D = c->own->D, m = pair->m;
    double *S = mls_calloc3(2 * m, D, 1, sizeof *S), *seen = S + m * D; /* (m, D) */
    size_t *place = mls_calloc3(m + 1, 1, 1, sizeof *place);
    mls_status st = S && place ? MLS_OK : no_memory(err);

    *out = 0;
    if (!st) {
        places_of(place, c, latent, rope);
        for (size_t j = 0; j < m; j++)
            for (size_t i = 0; i < D; i++)
                S[j * D + i] = c->key[(g * D + i) * c->n + place[j]];
        mls_matmul(seen, pair->vectors, false, S, false, m, D, m);
        for (size_t e = 0; e < m && pair->values[e] > 1e-12 * pair->values[0]; e++)
            for (size_t i = 0; i < D; i++)
                *out += seen[e * D + i] * seen[e * D + i] / pair->values[e];
    }
    mls_free_all(S, place);
    return st;
}

/* Rows and biases of the form's query, without a map between. */
static void query_rows(float *w, double *b, const mls_latent_form *f, size_t first,
                       size_t n)
{
    const mls_affine rows = mls_affine_rows(&f->query, first, n);
    const size_t E = f->E;

    if (!f->q_rank)
        memcpy(w, rows.w, n * E * sizeof *w);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)E,
                    (int)f->q_rank, 1.0F, rows.w, (int)f->q_rank, f->q_down.w, (int)E,
                    0.0F, w, (int)E);
    for (size_t i = 0; i < n; i++) {
        b[i] = rows.b ? (double)rows.b[i] : 0;
        for (size_t k = 0; f->q_rank && f->q_down.b && k < f->q_rank; k++)
            b[i] += (double)rows.w[i * f->q_rank + k] * (double)f->q_down.b[k];
    }
}

/*
 * Of the rows (n, E) of a form's query beside those of the own one; at[i] is where row
 * i of both is among [own rows; rows that differ from them] whose moment is `some`.
 */
static mls_status moment_of_rows(double **some, size_t *n_some, size_t *at,
                                 const mls_own_moments *own, const float *w, size_t n,
                                 const mls_layer *layer, const mls_layer_stats *stats,
                                 size_t h, mls_err *err)
{
    const size_t D = own->D, E = own->E;
    const float *own_w = layer->wq + h * D * E;
    double *differ = mls_calloc3(2 * n, E, 1, sizeof *differ), *met = differ + n * E;
    double *cross = mls_calloc3(D + n, n, 1, sizeof *cross), *self = cross + D * n;
    size_t m = 0;
    mls_status st = differ && cross ? MLS_OK : no_memory(err);

    for (size_t i = 0; !st && i < n; i++) {
        const size_t found = find_row(w + i * E, own_w, D, E);

        at[D + i] = found < D ? found : D + m;
        if (found == D)
            mls_widen(differ + m++ * E, w + i * E, E);
    }
    const size_t all = D + m;
    *n_some = all;
    *some = mls_calloc3(all, all, 1, sizeof **some);
    if (!st && !*some)
        st = no_memory(err);
    if (!st) {
        mls_matmul(met, differ, false, stats->x_second, false, m, E, E);
        mls_matmul(cross, own->met + h * D * E, false, differ, true, D, m, E);
        mls_matmul(self, met, false, differ, true, m, m, E);
    }
    for (size_t i = 0; !st && i < all; i++)
        for (size_t j = 0; j < all; j++)
            (*some)[i * all + j] =
                i < D && j < D ? own->query[(h * D + i) * D + j]
                : i < D        ? cross[i * m + j - D]
                : j < D        ? cross[j * m + i - D]
                        : 0.5 * (self[(i - D) * m + j - D] + self[(j - D) * m + i - D]);
    mls_free_all(differ, cross);
    return st;
}

mls_status mls_query_moment(double *S, const mls_own_moments *own,
                            const mls_latent_form *f, const mls_layer *layer,
                            const mls_layer_stats *stats, size_t h, size_t first,
                            mls_err *err)
{
    const size_t D = own->D, E = own->E, n = mls_latent_query_dims(f, h), all = D + n;
    float *w = mls_calloc3(n, E, 1, sizeof *w);
    double *b = mls_calloc3(2, all, 1, sizeof *b), *mean = b + all;
    double *some = NULL;
    size_t *at = mls_calloc3(all, 1, 1, sizeof *at), m;
    mls_status st = w && b && at ? MLS_OK : no_memory(err);

    if (st)
        goto done;
    for (size_t i = 0; i < D; i++) {
        at[i] = i;
        b[i] = layer->bq ? (double)layer->bq[h * D + i] : 0;
        mean[i] = own->mean[h * D + i];
    }
    query_rows(w, b + D, f, first, n);
    for (size_t i = 0; i < n; i++)
        for (size_t e = 0; e < E; e++)
            mean[D + i] += (double)w[i * E + e] * stats->x_mean[e];
    st = moment_of_rows(&some, &m, at, own, w, n, layer, stats, h, err);
    for (size_t i = 0; !st && i < all; i++)
        for (size_t j = 0; j < all; j++)
            S[i * all + j] =
                some[at[i] * m + at[j]] + mean[i] * b[j] + b[i] * mean[j] + b[i] * b[j];

done:
    mls_free_all(w, b, at, some);
    return st;
}
