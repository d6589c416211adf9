#include "bench/frame/project.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/linalg.h"
#include "bench/frame/common_keys.h"
#include "bench/frame/factor.h"
#include "bench/frame/fit.h"
#include "common/base/checked.h"

static mls_status no_memory(const mls_layer *layer, mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory for the latent form of layer %zu",
                    layer->index);
}

mls_status mls_needs_capture(const char *method, const mls_layer_stats *stats,
                             mls_err *err)
{
    if (stats)
        return MLS_OK;
    return mls_fail(err, MLS_E_INPUT,
                    "%s chooses directions by data; it needs --capture RUN.h5, written "
                    "by mlascope capture",
                    method);
}

/* --- Forms --- */

static float *copy(const float *x, size_t n, bool *failed)
{
    float *y = x ? mls_calloc3(n, 1, 1, sizeof *y) : NULL;

    if (y)
        memcpy(y, x, n * sizeof *y);
    else if (x)
        *failed = true;
    return y;
}

mls_status mls_project_begin(mls_latent_form *f, const mls_config *c,
                             const mls_layer *layer, size_t n_latents, mls_err *err)
{
    const bool no_rope = c->layer[layer->index].no_rope;
    bool failed = false;
    mls_status st;

    *f = (mls_latent_form){0};
    if (layer->k_norm && no_rope)
        return mls_fail(err, MLS_E_INPUT,
                        "layer %zu has QK-norm without RoPE, which has no latent form",
                        layer->index);
    st = mls_latent_begin(f, c, layer, n_latents, 0, err);
    if (st)
        return st;
    for (size_t g = 0; g < c->G; g++) {
        f->head[g].n_key = f->head[g].n_value = c->D;
        f->head[g].rotation = no_rope ? MLS_ROTATE_NEVER : MLS_ROTATE_AFTER_READ;
    }
    f->query.w = copy(layer->wq, c->H * c->D * c->E, &failed);
    f->query.b = copy(layer->bq, c->H * c->D, &failed);
    f->q_norm = copy(layer->q_norm, c->D, &failed);
    f->k_norm = copy(layer->k_norm, c->D, &failed);
    if (failed) {
        mls_latent_free(f);
        return no_memory(layer, err);
    }
    return MLS_OK;
}

/* Rows first .. first+n-1 of read^T (m, r) as floats of their own. */
static float *columns(const double *read, size_t first, size_t n, size_t r, size_t m,
                      bool *failed)
{
    float *y = mls_calloc3(n, r, 1, sizeof *y);

    if (!y)
        *failed = true;
    for (size_t i = 0; y && i < n; i++)
        for (size_t j = 0; j < r; j++)
            y[i * r + j] = (float)read[j * m + first + i];
    return y;
}

static float *floats(const double *x, size_t n, bool *failed)
{
    float *y = mls_new_floats(x, n);

    if (!y)
        *failed = true;
    return y;
}

/* down (r, m) times the rows of w (m, E), and times b - mean. */
static mls_status put_down(mls_latent_vector *v, const mls_layer *layer,
                           const double *down, const float *w, const float *b,
                           const double *mean, size_t r, size_t m, size_t E,
                           mls_err *err)
{
    double *wide = mls_new_doubles(w, m * E);
    double *product = mls_calloc3(r, E, 1, sizeof *product);
    bool failed = !wide || !product;

    v->r = r;
    if (!failed) {
        mls_matmul(product, down, false, wide, false, r, E, m);
        v->down.w = floats(product, r * E, &failed);
    }
    if (mean)
        v->down.b = mls_calloc3(r, 1, 1, sizeof *v->down.b);
    if (mean && !v->down.b)
        failed = true;
    for (size_t i = 0; v->down.b && i < r; i++) {
        double sum = 0.0;

        for (size_t j = 0; j < m; j++)
            sum += down[i * m + j] * ((b ? (double)b[j] : 0.0) - mean[j]);
        v->down.b[i] = (float)sum;
    }
    free(wide);
    free(product);
    return failed ? no_memory(layer, err) : MLS_OK;
}

mls_status mls_project_put(mls_latent_form *f, const mls_layer *layer, size_t at,
                           const mls_rows *rows, const double *down, const double *read,
                           const double *mean, size_t r, mls_err *err)
{
    const bool keys = rows->side == MLS_KEYS;
    const size_t D = f->D, E = f->E, m = rows->heads * D, row = rows->first * D;
    const float *all_w = keys ? layer->wk : layer->wv;
    const float *all_b = keys ? layer->bk : layer->bv;
    const float *b = all_b ? all_b + row : NULL;
    mls_latent_vector *v = &f->latent[at];
    bool failed = false;
    mls_status st = put_down(v, layer, down, all_w + row * E, b, mean, r, m, E, err);

    v->holds_keys = keys;
    v->holds_values = !keys;
    for (size_t i = 0; !st && i < rows->heads; i++) {
        mls_read_head *h = &f->head[rows->first + i];
        float *up = columns(read, i * D, D, r, m, &failed);
        float *bias = mean ? floats(mean + i * D, D, &failed)
                           : copy(b ? b + i * D : NULL, D, &failed);

        if (keys) {
            h->key_latent = (int)at;
            h->key.w = up;
            h->key.b = bias;
        } else {
            h->value_latent = (int)at;
            h->value.w = up;
            h->value.b = bias;
        }
    }
    return !st && failed ? no_memory(layer, err) : st;
}

mls_status mls_project_put_rotated(mls_latent_form *f, const mls_config *c,
                                   const mls_layer *layer, size_t at, size_t g,
                                   const double *down, const double *read,
                                   const double *mean, size_t r, mls_err *err)
{
    const size_t D = f->D, E = f->E;
    mls_latent_vector *v = &f->latent[at];
    mls_read_head *h = &f->head[g];
    const double zero[MLS_DIM_MAX] = {0};
    bool failed = false;

    if (!mean)
        mean = zero;
    if (c->layer[layer->index].no_rope) {
        const mls_rows rows = {MLS_KEYS, g, 1};

        return mls_project_put(f, layer, at, &rows, down, read, mean, r, err);
    }
    if (!f->key.w) {
        f->key.w = copy(layer->wk, f->G * D * E, &failed);
        f->key.b = copy(layer->bk, f->G * D, &failed);
    }
    v->r = r;
    v->source = MLS_LATENT_OF_ROT_KEY;
    v->head = g;
    v->holds_keys = true;
    v->down.w = floats(down, r * D, &failed);
    v->down.b = mls_calloc3(r, 1, 1, sizeof *v->down.b);
    h->key_latent = (int)at;
    h->rotation = MLS_ROTATE_BEFORE;
    h->key.w = columns(read, 0, D, r, D, &failed);
    h->key.b = floats(mean, D, &failed);
    if (failed || !v->down.b)
        return no_memory(layer, err);
    for (size_t i = 0; i < r; i++) {
        double sum = 0.0;

        for (size_t j = 0; j < D; j++)
            sum -= down[i * D + j] * mean[j];
        v->down.b[i] = (float)sum;
    }
    return MLS_OK;
}

mls_status mls_project_end(mls_latent_form *f, mls_status st, mls_err *err)
{
    if (!st)
        st = mls_latent_check(f, err);
    if (st)
        mls_latent_free(f);
    return st;
}

/* --- The matrix G --- */

mls_status mls_metric_matrix(double *out, const mls_metric *metric,
                             const mls_config *config, const mls_layer *layer,
                             const mls_layer_stats *stats, const mls_rows *rows,
                             mls_err *err)
{
    const size_t D = config->D, E = config->E, m = rows->heads * D;
    const float *all = rows->side == MLS_KEYS ? layer->wk : layer->wv;
    const float *w = all + rows->first * D * E;
    double *scaled, *plain = NULL;
    double share = 0.0;
    mls_status st = MLS_OK;

    if (metric->kind != MLS_METRIC_WEIGHTS &&
        (st = mls_needs_capture("a metric of inputs", stats, err)))
        return st;
    if (metric->kind == MLS_METRIC_COVARIANCE) {
        st = mls_project_second(out, stats, w, NULL, m, err);
        if (st || !(metric->shrink > 0.0))
            return st;
        for (size_t e = 0; e < E; e++)
            share += stats->x_second[e * E + e] / (double)E;
        share *= metric->shrink;
    }

    /* (W s) (W s)^T with s = 1, or ASVD's mean|x|^power. */
    scaled = mls_new_doubles(w, m * E);
    plain = mls_calloc3(m, m, 1, sizeof *plain);
    if (!scaled || !plain) {
        st = no_memory(layer, err);
        goto done;
    }
    if (metric->kind == MLS_METRIC_DIAGONAL)
        for (size_t i = 0; i < m * E; i++)
            scaled[i] *= pow(stats->x_abs[i % E], metric->power) + 1e-6;
    mls_matmul(plain, scaled, false, scaled, true, m, m, E);
    if (metric->kind == MLS_METRIC_COVARIANCE)
        for (size_t i = 0; i < m * m; i++)
            out[i] += share * plain[i];
    else
        memcpy(out, plain, m * m * sizeof *out);

done:
    free(plain);
    free(scaled);
    return st;
}

/* --- Methods that differ in G, groups and ranks alone --- */

size_t mls_projection_groups(const mls_projection *p, const mls_config *config)
{
    return (config->G + p->heads - 1) / p->heads;
}

static mls_rows group_rows(const mls_projection *p, const mls_config *config,
                           mls_side side, size_t group)
{
    const size_t first = group * p->heads, left = config->G - first;

    return (mls_rows){side, first, mls_least(p->heads, left)};
}

static size_t most_of_group(const mls_projection *p, const mls_config *config,
                            size_t group)
{
    const mls_rows rows = group_rows(p, config, MLS_KEYS, group);

    return mls_least(rows.heads * config->D, config->E);
}

size_t mls_projection_most(const mls_projection *p, const mls_config *config)
{
    size_t sum = 0;

    for (size_t j = 0; j < mls_projection_groups(p, config); j++)
        sum += most_of_group(p, config, j);
    return sum;
}

/* Keys rank, rank_k and rank_v, each 1..most. */
static mls_status read_ranks(size_t *rank, const mls_setting *s, size_t otherwise,
                             size_t most, const char *why, mls_err *err)
{
    static const char *const keys[MLS_SIDES] = {"rank_k", "rank_v"};
    size_t both;
    mls_status st =
        mls_setting_size(s, "rank", otherwise, 1, MLS_WIDTH_MAX, &both, err);

    if (!st)
        st = mls_at_most(s, "rank", both, most, why, err);
    for (size_t i = 0; !st && i < MLS_SIDES; i++) {
        st = mls_setting_size(s, keys[i], both, 1, MLS_WIDTH_MAX, &rank[i], err);
        if (!st)
            st = mls_at_most(s, keys[i], rank[i], most, why, err);
    }
    return st;
}

mls_status mls_projection_ranks(size_t *rank, const mls_projection *p,
                                const mls_config *config, const mls_setting *s,
                                mls_err *err)
{
    const size_t most = mls_projection_most(p, config);
    const size_t least = mls_projection_groups(p, config);
    mls_status st = read_ranks(rank, s, mls_least(config->G * config->D / 2, most),
                               most, "the rank of a layer's keys or values", err);

    for (size_t i = 0; !st && i < MLS_SIDES; i++)
        if (rank[i] < least)
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: %zu numbers cannot serve %zu groups of heads; the "
                          "nearest possible rank is %zu",
                          s->method, rank[i], least, least);
    return st;
}

/* Spread one side's rank evenly over its groups, by size: out (groups). */
static void spread(size_t *out, const mls_projection *p, const mls_config *config,
                   size_t rank)
{
    const size_t n = mls_projection_groups(p, config);
    const size_t most = mls_projection_most(p, config);
    size_t before = 0, given = 0;

    for (size_t j = 0; j < n; j++) {
        before += most_of_group(p, config, j);
        const size_t until = rank * before / most;

        out[j] = until - given;
        given = until;
    }
}

mls_status mls_projection_layout(const mls_projection *p, const size_t *rank,
                                 const mls_config *config, const mls_setting *s,
                                 mls_cache_layout *out, mls_err *err)
{
    static const mls_part_kind kind[MLS_SIDES] = {MLS_PART_KEY_LATENT, MLS_PART_LATENT};
    const size_t n = mls_projection_groups(p, config);
    size_t *share = mls_calloc3(n, 1, 1, sizeof *share);
    mls_common_keys k;
    mls_status st = mls_common_convert(out, &k, config, s, err);

    if (!share)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a cache layout");
    for (size_t i = 0; !st && i < config->L * MLS_SIDES; i++) {
        const mls_side side = i % MLS_SIDES == MLS_KEYS ? MLS_KEYS : MLS_VALUES;

        if (!k.converted[i / MLS_SIDES])
            continue;
        spread(share, p, config, rank[side]);
        for (size_t j = 0; !st && j < n; j++)
            st = mls_cache_add(&out->layer[i / MLS_SIDES], kind[side], share[j], 1,
                               group_rows(p, config, side, j).heads > 1,
                               side == MLS_KEYS ? &k.key : &k.value, err);
    }
    free(share);
    return st;
}

static mls_status put_group(mls_latent_form *f, const mls_projection *p, size_t at,
                            const mls_rows *rows, size_t r, const mls_config *config,
                            const mls_layer *layer, const mls_layer_stats *stats,
                            mls_err *err)
{
    const size_t m = rows->heads * config->D;
    double *G = mls_calloc3(m, m, 1, sizeof *G);
    double *basis = mls_calloc3(r, m, 1, sizeof *basis);
    mls_status st = MLS_OK;

    if (!G || !basis)
        st = no_memory(layer, err);
    if (!st)
        st = mls_metric_matrix(G, &p->metric, config, layer, stats, rows, err);
    if (!st)
        st = mls_factor_pca(basis, G, m, r, err);
    if (!st)
        st = mls_project_put(f, layer, at, rows, basis, basis, NULL, r, err);
    free(basis);
    free(G);
    return st;
}

mls_status mls_projection_form(mls_latent_form *f, const mls_projection *p,
                               const size_t *rank, const mls_method_input *in,
                               const mls_layer *layer, const mls_layer_stats *stats,
                               mls_err *err)
{
    const mls_config *config = in->config;
    const size_t n = mls_projection_groups(p, config);
    size_t *share = NULL;
    mls_status st = MLS_OK;

    *f = (mls_latent_form){0};
    if (p->metric.kind != MLS_METRIC_WEIGHTS)
        st = mls_needs_capture(p->method, stats, err);
    if (st)
        return st;
    share = mls_calloc3(n, 1, 1, sizeof *share);
    if (!share)
        return no_memory(layer, err);
    st = mls_project_begin(f, config, layer, MLS_SIDES * n, err);
    for (size_t i = 0; !st && i < MLS_SIDES * n; i++) {
        const mls_side side = i < n ? MLS_KEYS : MLS_VALUES;
        const mls_rows rows = group_rows(p, config, side, i % n);

        spread(share, p, config, rank[side]);
        st = put_group(f, p, i, &rows, share[i % n], config, layer, stats, err);
    }
    free(share);
    return mls_project_end(f, st, err);
}

void mls_projection_fit(const mls_config *config, size_t elements, mls_fits *out)
{
    (void)config;
    if (elements >= 2)
        mls_fits_add(out, "rank=%zu", elements / 2);
}
