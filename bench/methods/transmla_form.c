#include "bench/methods/transmla.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/rope.h"
#include "analysis/numeric/linalg.h"
#include "analysis/spectrum/rorope.h"
#include "bench/frame/factor.h"
#include "bench/frame/partial.h"
#include "common/base/checked.h"

/* A layer in the rotated basis, in double; y = W x + b throughout. */
typedef struct rotated {
    size_t R;         /* dims of the rope key */
    size_t n_rest;    /* key components without RoPE, G D - R */
    mls_rorope basis; /* {0} in a layer that does not rotate */
    double *keys;     /* (G D, E): rope key, then the rest */
    double *keys_b;   /* (G D) or NULL */
} rotated;

static void rotated_free(rotated *y)
{
    mls_rorope_free(&y->basis);
    free(y->keys);
    free(y->keys_b);
}

static mls_status no_memory(const mls_layer *layer, mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory for the latent form of layer %zu",
                    layer->index);
}

static mls_status rotate_keys(rotated *y, const mls_transmla *p, const mls_config *c,
                              const mls_layer *layer, const mls_layer_stats *stats,
                              mls_err *err)
{
    const size_t GD = c->G * c->D, E = c->E;
    double *second = mls_calloc3(GD, GD, 1, sizeof *second);
    double *w = mls_new_doubles(layer->wk, GD * E);
    double *b = layer->bk ? mls_new_doubles(layer->bk, GD) : NULL;
    mls_status st = MLS_OK;

    *y = (rotated){.n_rest = GD};
    if (!second || !w || (layer->bk && !b)) {
        st = no_memory(layer, err);
        goto done;
    }
    if (c->layer[layer->index].no_rope) {
        y->keys = w;
        y->keys_b = b;
        w = b = NULL;
        goto done;
    }
    y->keys = mls_calloc3(GD, E, 1, sizeof *y->keys);
    y->keys_b = b ? mls_calloc3(GD, 1, 1, sizeof *y->keys_b) : NULL;
    if (!y->keys || (b && !y->keys_b)) {
        st = no_memory(layer, err);
        goto done;
    }
    if ((st = mls_project_second(second, stats, layer->wk, layer->bk, GD, err)) ||
        (st = mls_rorope_new(&y->basis, second, c->G, c->D, p->freqfold, p->collapse,
                             p->keep, err)))
        goto done;
    y->R = 2 * mls_rorope_chunks(&y->basis);
    y->n_rest = GD - y->R;
    mls_rorope_keys(&y->basis, w, E, y->keys);
    if (b)
        mls_rorope_keys(&y->basis, b, 1, y->keys_b);

done:
    free(b);
    free(w);
    free(second);
    return st;
}

static mls_status add_rope_key(mls_latent_form *f, const rotated *y,
                               const mls_config *c, const mls_layer *layer,
                               mls_err *err)
{
    mls_rope_key *key = f->rope_key;
    double inv_freq[MLS_DIM_MAX / 2];

    key->n = y->R;
    key->map.w = mls_new_floats(y->keys, y->R * f->E);
    key->map.b = y->keys_b ? mls_new_floats(y->keys_b, y->R) : NULL;
    key->inv_freq = mls_calloc3(y->R / 2, 1, 1, sizeof *key->inv_freq);
    if (!key->map.w || !key->inv_freq || (y->keys_b && !key->map.b))
        return no_memory(layer, err);
    mls_rope_frequencies(inv_freq, &c->rope, c->D);
    mls_rorope_frequencies(&y->basis, inv_freq, key->inv_freq);
    for (size_t g = 0; g < f->G; g++)
        f->head[g].rope_key = 0;
    return MLS_OK;
}

/*
 * How much larger keys are than values: the mean root mean square of the components.
 * The code skips the first qk_mqa_dim values, the paper takes mean squares of all.
 */
static double balance(const mls_transmla *p, const double *second, size_t n_keys,
                      size_t n_values, size_t R)
{
    const size_t n = n_keys + n_values;
    const size_t skip = p->alpha == MLS_ALPHA_CODE && R < n_values ? R : 0;
    double keys = 0.0, values = 0.0;

    if (p->alpha == MLS_ALPHA_NONE || n_keys == 0)
        return p->balance;
    for (size_t i = 0; i < n_keys; i++)
        keys += p->alpha == MLS_ALPHA_CODE ? sqrt(second[i * (n + 1)])
                                           : second[i * (n + 1)];
    for (size_t i = n_keys + skip; i < n; i++)
        values += p->alpha == MLS_ALPHA_CODE ? sqrt(second[i * (n + 1)])
                                             : second[i * (n + 1)];
    if (p->alpha == MLS_ALPHA_CODE) {
        keys /= (double)n_keys;
        values /= (double)(n_values - skip);
    }
    return keys > 0.0 && values > 0.0 ? p->balance * keys / values : 1.0;
}

/* Rows of `basis` (r, n) cut to columns first .. first+m-1, transposed: (m, r). */
static double *columns_of(const double *basis, size_t r, size_t n, size_t first,
                          size_t m, double factor)
{
    double *y = mls_calloc3(m, r, 1, sizeof *y);

    for (size_t i = 0; y && i < m; i++)
        for (size_t j = 0; j < r; j++)
            y[i * r + j] = factor * basis[j * n + first + i];
    return y;
}

/* What heads read back from the latent with basis (r, n_rest + G D). */
static mls_status add_read_back(mls_latent_form *f, const rotated *y,
                                const double *basis, size_t r, double alpha,
                                const mls_layer *layer, mls_err *err)
{
    const size_t G = f->G, D = f->D, n = y->n_rest + G * D;
    double *rest = columns_of(basis, r, n, 0, y->n_rest, alpha);
    double *values = columns_of(basis, r, n, y->n_rest, G * D, 1.0);
    double *unrotate = mls_calloc3(D, y->n_rest, 1, sizeof *unrotate);
    double *up = mls_calloc3(D, r, 1, sizeof *up);
    mls_status st = MLS_OK;

    if (!rest || !values || !unrotate || !up) {
        st = no_memory(layer, err);
        goto done;
    }
    for (size_t g = 0; g < G; g++) {
        mls_read_head *head = &f->head[g];

        if (y->basis.G)
            mls_rorope_read_back(&y->basis, g, unrotate);
        else /* keys as they were: head g is rows g D .. */
            for (size_t i = 0; i < D * y->n_rest; i++)
                unrotate[i] = i % y->n_rest == g * D + i / y->n_rest;
        head->value_latent = 0;
        head->n_value = D;
        head->value.w = mls_new_floats(values + g * D * r, D * r);
        if (y->n_rest > 0) {
            mls_matmul(up, unrotate, false, rest, false, D, r, y->n_rest);
            head->key_latent = 0;
            head->n_key = D;
            head->key.w = mls_new_floats(up, D * r);
        }
        if (!head->value.w || (y->n_rest > 0 && !head->key.w)) {
            st = no_memory(layer, err);
            goto done;
        }
    }

done:
    free(up);
    free(unrotate);
    free(values);
    free(rest);
    return st;
}

/*
 * PCA of z = [rest of the keys / alpha; values]; the latent is its leading components.
 */
static mls_status add_latent(mls_latent_form *f, const rotated *y,
                             const mls_transmla *p, const mls_layer *layer,
                             const mls_layer_stats *stats, mls_err *err)
{
    const size_t GD = f->G * f->D, E = f->E, n = y->n_rest + GD;
    const size_t r = p->rank ? p->rank : n;
    const bool biased = layer->bk || layer->bv;
    double *z = mls_calloc3(n, E, 1, sizeof *z),
           *z_b = mls_calloc3(n, 1, 1, sizeof *z_b);
    double *second = mls_calloc3(n, n, 1, sizeof *second);
    double *basis = mls_calloc3(r, n, 1, sizeof *basis);
    double *down = mls_calloc3(r, E, 1, sizeof *down), *down_b = NULL;
    float *z_float = NULL, *z_b_float = NULL;
    mls_latent_vector *v = f->latent;
    mls_status st = MLS_OK;

    if (!z || !z_b || !second || !basis || !down) {
        st = no_memory(layer, err);
        goto done;
    }
    memcpy(z, y->keys + y->R * E, y->n_rest * E * sizeof *z);
    for (size_t i = 0; i < GD * E; i++)
        z[y->n_rest * E + i] = (double)layer->wv[i];
    for (size_t i = 0; y->keys_b && i < y->n_rest; i++)
        z_b[i] = y->keys_b[y->R + i];
    for (size_t i = 0; layer->bv && i < GD; i++)
        z_b[y->n_rest + i] = (double)layer->bv[i];
    z_float = mls_new_floats(z, n * E);
    z_b_float = mls_new_floats(z_b, n);
    st = z_float && z_b_float ? mls_project_second(second, stats, z_float,
                                                   biased ? z_b_float : NULL, n, err)
                              : no_memory(layer, err);
    if (st)
        goto done;

    const double alpha = balance(p, second, y->n_rest, GD, y->R);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            second[i * n + j] /=
                (i < y->n_rest ? alpha : 1.0) * (j < y->n_rest ? alpha : 1.0);
    for (size_t i = 0; i < y->n_rest; i++) {
        z_b[i] /= alpha;
        for (size_t e = 0; e < E; e++)
            z[i * E + e] /= alpha;
    }
    if (p->rank == 0) {
        for (size_t i = 0; i < n; i++)
            basis[i * (n + 1)] = 1.0;
    } else if ((st = mls_factor_pca(basis, second, n, r, err))) {
        goto done;
    }
    mls_matmul(down, basis, false, z, false, r, E, n);
    *v = (mls_latent_vector){.r = r, .holds_keys = y->n_rest > 0, .holds_values = true};
    v->down.w = mls_new_floats(down, r * E);
    if (biased) {
        down_b = mls_calloc3(r, 1, 1, sizeof *down_b);
        if (down_b)
            mls_matmul(down_b, basis, false, z_b, false, r, 1, n);
        v->down.b = down_b ? mls_new_floats(down_b, r) : NULL;
    }
    if (!v->down.w || (biased && !v->down.b)) {
        st = no_memory(layer, err);
        goto done;
    }
    st = add_read_back(f, y, basis, r, alpha, layer, err);

done:
    free(z_b_float);
    free(z_float);
    free(down_b);
    free(down);
    free(basis);
    free(second);
    free(z_b);
    free(z);
    return st;
}

/*
 * Rows [D of the head; R that meet the rope key] of every head, from (H D, columns):
 * W_q, its bias, or the left factor of a low-rank query. Where no key is read from the
 * latent only the R rows.
 */
static void expand_queries(double *out, const mls_latent_form *f, const rotated *y,
                           const double *from, size_t columns)
{
    const size_t D = f->D, group = f->H / f->G;

    for (size_t h = 0; h < f->H; h++) {
        const double *head = from + h * D * columns;
        const size_t n_key = f->head[h / group].n_key;

        memcpy(out, head, n_key * columns * sizeof *out);
        out += n_key * columns;
        if (y->R > 0)
            mls_rorope_queries(&y->basis, h / group, head, columns, out);
        out += y->R * columns;
    }
}

/* PCA of the queries: Q_down = B W_q, its bias B b_q, and the left factor B^T. */
static mls_status reduce_queries(mls_latent_form *f, double **left, size_t r,
                                 const mls_layer *layer, const double *w,
                                 const double *b, const mls_layer_stats *stats,
                                 mls_err *err)
{
    const size_t n = f->H * f->D;
    double *second = mls_calloc3(n, n, 1, sizeof *second);
    double *basis = mls_calloc3(r, n, 1, sizeof *basis);
    double *down = mls_calloc3(r, f->E, 1, sizeof *down);
    double *down_b = mls_calloc3(r, 1, 1, sizeof *down_b);
    mls_status st = MLS_OK;

    if (!second || !basis || !down || !down_b) {
        st = no_memory(layer, err);
        goto done;
    }
    if ((st = mls_project_second(second, stats, layer->wq, layer->bq, n, err)) ||
        (st = mls_factor_pca(basis, second, n, r, err)))
        goto done;
    mls_matmul(down, basis, false, w, false, r, f->E, n);
    if (b)
        mls_matmul(down_b, basis, false, b, false, r, 1, n);
    f->q_rank = r;
    f->q_down.w = mls_new_floats(down, r * f->E);
    f->q_down.b = b ? mls_new_floats(down_b, r) : NULL;
    *left = columns_of(basis, r, n, 0, n, 1.0);
    if (!f->q_down.w || (b && !f->q_down.b) || !*left)
        st = no_memory(layer, err);

done:
    free(down_b);
    free(down);
    free(basis);
    free(second);
    return st;
}

static mls_status add_queries(mls_latent_form *f, const rotated *y,
                              const mls_transmla *p, const mls_layer *layer,
                              const mls_layer_stats *stats, mls_err *err)
{
    const size_t n = f->H * f->D, columns = p->q_rank ? p->q_rank : f->E;
    const size_t rows = f->H * (f->head[0].n_key + y->R);
    double *w = mls_new_doubles(layer->wq, n * f->E), *left = NULL;
    double *b = layer->bq ? mls_new_doubles(layer->bq, n) : NULL;
    double *out = mls_calloc3(rows, columns, 1, sizeof *out);
    mls_status st = MLS_OK;

    if (!w || !out || (layer->bq && !b)) {
        st = no_memory(layer, err);
        goto done;
    }
    if (p->q_rank &&
        (st = reduce_queries(f, &left, p->q_rank, layer, w, b, stats, err)))
        goto done;
    expand_queries(out, f, y, left ? left : w, columns);
    f->query.w = mls_new_floats(out, rows * columns);
    if (b && !left) {
        expand_queries(out, f, y, b, 1);
        f->query.b = mls_new_floats(out, rows);
    }
    if (!f->query.w || (b && !left && !f->query.b))
        st = no_memory(layer, err);

done:
    free(out);
    free(left);
    free(b);
    free(w);
    return st;
}

mls_status mls_transmla_form(mls_latent_form *out, const mls_config *c,
                             const mls_transmla *p, const mls_layer *layer,
                             const mls_layer_stats *stats,
                             const mls_layer_stats *reduced, mls_err *err)
{
    rotated y = {0};
    mls_status st;

    *out = (mls_latent_form){0};
    if (!stats)
        return mls_fail(
            err, MLS_E_INPUT,
            "transmla: rotations and latents follow from the data; it needs "
            "--capture RUN.h5, written by mlascope capture");
    if ((st = mls_partial_absorbs(layer, err)) ||
        (st = rotate_keys(&y, p, c, layer, stats, err)) ||
        (st = mls_latent_begin(out, c, layer, 1, y.R > 0, err)))
        goto done;
    if ((y.R == 0 || !(st = add_rope_key(out, &y, c, layer, err))) &&
        !(st = add_latent(out, &y, p, layer, reduced, err)))
        st = add_queries(out, &y, p, layer, reduced, err);
    st = mls_partial_end(out, st, err);

done:
    rotated_free(&y);
    return st;
}
