/*
 * The form is run over all windows as it is now, and what its attention read is copied
 * out of the pass. A job is a run of consecutive windows with a pass of its own; what
 * it makes lies at its windows' places, so that the number of threads changes nothing.
 */
#include "analysis/heal/shared_cache.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/heal/parameters.h"
#include "analysis/heal/pass.h"
#include "common/base/checked.h"

typedef struct {
    mls_shared_cache *cache;
    const mls_latent_form *f;
    const mls_parameters *p;
    const float *theta, *x;
    size_t n, T, n_keys, n_values; /* the last two of one window */
    size_t jobs;
} making;

void mls_shared_cache_free(mls_shared_cache *c)
{
    mls_free_all(c->keys, c->values);
    *c = (mls_shared_cache){0};
}

/* A run of windows through the form. */
static mls_status make_windows(void *arg, size_t job, size_t worker, mls_err *err)
{
    const making *k = arg;
    const size_t size = k->T * k->f->E;
    mls_heal_pass *pass = NULL;
    float *out = mls_calloc3(size, 1, 1, sizeof *out);
    size_t ignored;
    mls_status st = mls_heal_pass_new(&pass, k->f, k->p, k->T, err);

    (void)worker;
    if (!st && !out)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu tokens", k->T);
    for (size_t i = k->n * job / k->jobs; !st && i < k->n * (job + 1) / k->jobs; i++) {
        st = mls_heal_pass_forward(pass, k->theta, k->x + i * size, k->T, NULL, NULL,
                                   out, err);
        if (st)
            break;
        memcpy(k->cache->keys + i * k->n_keys, mls_heal_pass_keys(pass, &ignored),
               k->n_keys * sizeof *out);
        memcpy(k->cache->values + i * k->n_values, mls_heal_pass_values(pass, &ignored),
               k->n_values * sizeof *out);
    }
    mls_heal_pass_free(pass);
    free(out);
    return st;
}

mls_status mls_shared_cache_make(mls_shared_cache *c, const mls_latent_form *f,
                                 const float *x, size_t n, size_t T, mls_pool *pool,
                                 mls_err *err)
{
    mls_parameters p;
    float *theta = NULL;
    making k = {.cache = c, .f = f, .p = &p, .x = x, .n = n, .T = T};
    mls_status st = mls_parameters_of(&p, f, err);

    *c = (mls_shared_cache){0};
    if (st)
        return st;
    for (size_t g = 0; g < f->G; g++) {
        k.n_keys += T * mls_latent_query_dims(f, g * (f->H / f->G));
        k.n_values += T * f->head[g].n_value;
    }
    theta = mls_calloc3(p.n, 1, 1, sizeof *theta);
    c->keys = mls_calloc3(n, k.n_keys, 1, sizeof *c->keys);
    c->values = mls_calloc3(n, k.n_values, 1, sizeof *c->values);
    if (!theta || !c->keys || !c->values) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to keep the cache of layer %zu",
                      f->layer);
    } else {
        mls_parameters_gather(&p, theta);
        k.theta = theta;
        k.jobs = mls_pool_threads(pool);
        st = mls_pool_run(pool, k.jobs, make_windows, &k, err);
    }
    if (st)
        mls_shared_cache_free(c);
    free(theta);
    mls_parameters_free(&p);
    return st;
}
