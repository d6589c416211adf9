/*
 * W E[x x^T] costs rows * E^2, and E^2 of it is E[x x^T] being read: blocks of ROWS
 * rows are jobs, enough that this counts little and few enough that all threads have
 * some.
 */
#include "analysis/latent/own_moments.h"

#include <stdlib.h>

#include "analysis/numeric/affine.h"
#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"

enum { ROWS = 256 };

typedef struct {
    double *out;
    const double *w;
    size_t n;
    const mls_layer_stats *stats;
} meeting;

static mls_status meet_rows(void *arg, size_t job, size_t worker, mls_err *err)
{
    const meeting *m = arg;
    const size_t first = job * ROWS, E = m->stats->E;
    const size_t n = m->n - first < ROWS ? m->n - first : ROWS;

    (void)worker;
    (void)err;
    mls_matmul(m->out + first * E, m->w + first * E, false, m->stats->x_second, false,
               n, E, E);
    return MLS_OK;
}

mls_status mls_meet_inputs(double *out, const double *w, size_t n,
                           const mls_layer_stats *stats, mls_pool *pool, mls_err *err)
{
    meeting m = {out, w, n, stats};

    return mls_pool_run(pool, (n + ROWS - 1) / ROWS, meet_rows, &m, err);
}

typedef struct {
    const mls_own_moments *own;
    const double *w; /* ((H + 2G) D, E) */
    const double *x_mean;
} heads;

/* Second moment of one head, symmetric to the last bit. */
static mls_status one_head(void *arg, size_t h, size_t worker, mls_err *err)
{
    const heads *k = arg;
    const mls_own_moments *o = k->own;
    const size_t D = o->D, at = h * D * o->E;
    double *S = h < o->H          ? o->query + h * D * D
                : h < o->H + o->G ? o->key + (h - o->H) * D * D
                                  : o->value + (h - o->H - o->G) * D * D;

    (void)worker;
    (void)err;
    mls_matmul(o->mean + h * D, k->w + at, false, k->x_mean, false, D, 1, o->E);
    mls_matmul(S, o->met + at, false, k->w + at, true, D, D, o->E);
    for (size_t i = 0; i < D; i++)
        for (size_t j = 0; j < i; j++)
            S[i * D + j] = S[j * D + i] = 0.5 * (S[i * D + j] + S[j * D + i]);
    return MLS_OK;
}

mls_status mls_own_moments_new(mls_own_moments *o, const mls_config *c,
                               const mls_layer *layer, const mls_layer_stats *stats,
                               mls_pool *pool, mls_err *err)
{
    const size_t H = c->H, G = c->G, D = c->D, E = c->E, n = (H + 2 * G) * D;
    double *w = mls_calloc3(n, E, 1, sizeof *w);
    heads k = {o, w, stats->x_mean};
    mls_status st = MLS_OK;

    *o = (mls_own_moments){.H = H,
                           .G = G,
                           .D = D,
                           .E = E,
                           .met = mls_calloc3(n, E, 1, sizeof(double)),
                           .query = mls_calloc3(H, D, D, sizeof(double)),
                           .key = mls_calloc3(G, D, D, sizeof(double)),
                           .value = mls_calloc3(G, D, D, sizeof(double)),
                           .mean = mls_calloc3(n, 1, 1, sizeof(double))};
    if (!w || !o->met || !o->query || !o->key || !o->value || !o->mean) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the moments of layer %zu",
                      layer->index);
    } else {
        mls_widen(w, layer->wq, H * D * E);
        mls_widen(w + H * D * E, layer->wk, G * D * E);
        mls_widen(w + (H + G) * D * E, layer->wv, G * D * E);
        st = mls_meet_inputs(o->met, w, n, stats, pool, err);
    }
    if (!st)
        st = mls_pool_run(pool, H + 2 * G, one_head, &k, err);
    free(w);
    if (st)
        mls_own_moments_free(o);
    return st;
}

void mls_own_moments_free(mls_own_moments *o)
{
    mls_free_all(o->met, o->query, o->key, o->value, o->mean);
    *o = (mls_own_moments){0};
}
