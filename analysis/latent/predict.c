/*
 * Errors of a form from second moments, without running it. A score is u^T R(delta)
 * w with u, w the query and key of the original beside those of the form, so the
 * error is one bilinear form, and its mean square over queries, keys and distances
 * needs only E[u u^T], E[w w^T] and the angles. The softmax forgets what all keys of
 * a query share: the mean over keys is taken off, or a constant offset would count
 * as an error. Query and key are taken as independent, which is the approximation.
 */
#include "analysis/latent/predict.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/rope.h"
#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"

enum { DISTANCES = 48 };

/* Sums of squares of one head: error and signal of each quantity. */
typedef struct {
    double key[2], value[2], logit[2], output[2];
} sums;

/* Room for a map of x, all zero; released by the caller with free(a->w). */
static mls_status map_of_x(mls_affine *a, size_t n, size_t E, mls_err *err)
{
    *a = mls_affine_shape(n, E, true);
    a->w = mls_calloc3(n, E + 1, 1, sizeof *a->w);
    if (!a->w)
        return mls_fail(err, MLS_E_NOMEM, "no memory to predict errors");
    a->b = a->w + n * E;
    return MLS_OK;
}

/* Rows first.. of a = up (down x); without `up` the latent itself. */
static void put_product(mls_affine *a, size_t first, const mls_affine *up,
                        const mls_affine *down)
{
    if (!up->cols) {
        mls_affine_put(a, first, down, NULL, down->rows);
    } else {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)up->rows,
                    (int)a->cols, (int)up->cols, 1.0f, up->w, (int)up->cols, down->w,
                    (int)a->cols, 0.0f, a->w + first * a->cols, (int)a->cols);
        for (size_t i = 0; down->b && i < up->rows; i++) {
            double b = 0;

            for (size_t k = 0; k < up->cols; k++)
                b += (double)up->w[i * up->cols + k] * (double)down->b[k];
            a->b[first + i] = (float)b;
        }
    }
    for (size_t i = 0; up->b && i < up->rows; i++)
        a->b[first + i] += up->b[i];
}

/* Rows of KV head g, or query head g, of a model's projection. */
static mls_affine head_of(const mls_affine *all, size_t g, size_t D)
{
    return mls_affine_rows(all, g * D, D);
}

/* mean[i] = w[i, :] mean(x) + b[i]. */
static void mean_of(double *mean, const mls_affine *a, const mls_layer_stats *s)
{
    for (size_t i = 0; i < a->rows; i++) {
        double sum = (double)a->b[i];

        for (size_t e = 0; e < s->E; e++)
            sum += (double)a->w[i * s->E + e] * s->x_mean[e];
        mean[i] = sum;
    }
}

/*
 * What one head's score is made of, original beside form: score = u^T N(delta) w with
 * u = [q; q_hat], w = [k; k_hat]. N turns pairs of dims and scales; `angle` is the
 * frequency of dim i (0: not rotated), `pair` the dim it turns with.
 */
typedef struct {
    size_t n; /* dims of both */
    double *angle;
    size_t *pair;
    double *sign;  /* -1 on the first of a pair, +1 on the second: R(-delta) */
    double *scale; /* of each dim: the original counts negative */
} score_map;

static void set_rotation(score_map *m, size_t first, const double *inv_freq, size_t n)
{
    for (size_t c = 0; c < n / 2; c++) {
        const size_t a = first + c, b = first + c + n / 2;

        m->angle[a] = m->angle[b] = inv_freq[c];
        m->pair[a] = b;
        m->pair[b] = a;
        m->sign[a] = 1;
        m->sign[b] = -1;
    }
}

/* Distances 0..T-1 in DISTANCES cells, finer where they are short, causal weights. */
static size_t choose_distances(size_t T, double *distance, double *weight)
{
    size_t n = 0, from = 0;
    const double total = (double)T * ((double)T + 1) / 2;

    while (from < T) {
        size_t to = from + 1;

        if (T > DISTANCES && n >= DISTANCES / 2) {
            /* The second half of the cells grows geometrically to T. */
            const double ratio = pow((double)T / (DISTANCES / 2.0), 2.0 / DISTANCES);

            to = (size_t)ceil((double)from * ratio);
            if (to <= from)
                to = from + 1;
        }
        if (to > T || n + 1 == DISTANCES)
            to = T;
        double sum = 0;
        for (size_t d = from; d < to; d++)
            sum += (double)(T - d);
        distance[n] = ((double)from + (double)(to - 1)) / 2;
        weight[n++] = sum / total;
        from = to;
    }
    return n;
}

/*
 * What queries meet of the keys of one KV head over all distances: E[N w w^T N^T] and
 * E[N w], the same for every query head that reads it.
 */
typedef struct {
    double *second; /* (n, n) */
    double *mean;   /* (n) */
} met_keys;

/*
 * A turned key dim is scale_i (cos_i w_i + sign_i sin_i w_pair(i)), so that the
 * distance enters a product of two of them through four means alone, E[cos_i cos_j],
 * E[sin_i cos_j] both ways and E[sin_i sin_j]: those are taken first, the moments of
 * the keys once.
 */
static mls_status meet_keys(met_keys *k, const score_map *m, const double *Sw,
                            const double *mean_w, size_t T, mls_err *err)
{
    const size_t n = m->n;
    double distance[DISTANCES], weight[DISTANCES];
    const size_t n_distances = choose_distances(T, distance, weight);
    double *turns = mls_calloc3(2 * n_distances, n, 1, sizeof *turns);
    double *means = mls_calloc3(3 * n, n, 1, sizeof *means);
    mls_status st = MLS_OK;

    *k = (met_keys){.second = mls_calloc3(n, n, 1, sizeof(double)),
                    .mean = mls_calloc3(n, 1, 1, sizeof(double))};
    if (!turns || !means || !k->second || !k->mean) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to predict errors");
        goto done;
    }
    double *cosine = turns, *sine = turns + n_distances * n;
    double *cc = means, *sc = means + n * n, *ss = means + 2 * n * n;

    for (size_t d = 0; d < n_distances; d++)
        for (size_t i = 0; i < n; i++) {
            const double c = cos(distance[d] * m->angle[i]);
            const double s = sin(distance[d] * m->angle[i]);

            k->mean[i] += weight[d] * m->scale[i] *
                          (c * mean_w[i] + m->sign[i] * s * mean_w[m->pair[i]]);
            cosine[d * n + i] = sqrt(weight[d]) * c;
            sine[d * n + i] = sqrt(weight[d]) * s;
        }
    mls_matmul(cc, cosine, true, cosine, false, n, n, n_distances);
    mls_matmul(sc, sine, true, cosine, false, n, n, n_distances);
    mls_matmul(ss, sine, true, sine, false, n, n, n_distances);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            const double *row = Sw + i * n, *pair = Sw + m->pair[i] * n;
            const double with_cos =
                cc[i * n + j] * row[j] + m->sign[i] * sc[i * n + j] * pair[j];
            const double with_sin = sc[j * n + i] * row[m->pair[j]] +
                                    m->sign[i] * ss[i * n + j] * pair[m->pair[j]];

            k->second[i * n + j] =
                m->scale[i] * m->scale[j] * (with_cos + m->sign[j] * with_sin);
        }

done:
    mls_free_all(turns, means);
    return st;
}

static void met_keys_free(met_keys *k)
{
    mls_free_all(k->second, k->mean);
}

/*
 * E over queries of the variance over keys and distances of u^T N w, restricted to the
 * first `last` of n dims: tr(Su E[N w w^T N^T]) - E[N w]^T Su E[N w].
 */
static double score_variance(const met_keys *k, const double *Su, size_t n, size_t last)
{
    double sum = 0;

    for (size_t i = 0; i < last; i++) {
        double row = 0;

        for (size_t j = 0; j < last; j++)
            row += Su[i * n + j] * (k->second[i * n + j] - k->mean[i] * k->mean[j]);
        sum += row;
    }
    return fmax(sum, 0);
}

/* Key dims of the form for KV head g, as an affine map, below the original's D rows. */
static mls_status key_map(mls_affine *a, const mls_latent_form *f, const mls_config *c,
                          const mls_layer *w, size_t g, mls_err *err)
{
    const mls_read_head *h = &f->head[g];
    const size_t n_rope = h->rope_key >= 0 ? f->rope_key[h->rope_key].n : 0;
    const mls_affine all = mls_latent_keys(c, w), own = head_of(&all, g, c->D);
    mls_status st = map_of_x(a, c->D + h->n_key + n_rope, c->E, err);

    if (st)
        return st;
    mls_affine_put(a, 0, &own, NULL, c->D);
    if (h->key_latent >= 0 && f->latent[h->key_latent].source == MLS_LATENT_OF_X)
        put_product(a, c->D, &h->key, &f->latent[h->key_latent].down);
    if (n_rope)
        mls_affine_put(a, c->D + h->n_key, &f->rope_key[h->rope_key].map, NULL, n_rope);
    return MLS_OK;
}

/* Query of head h: the original's D rows, then the form's from row `first` on. */
static mls_status query_map(mls_affine *a, const mls_latent_form *f,
                            const mls_config *c, const mls_layer *w, size_t h,
                            size_t first, mls_err *err)
{
    const size_t n = mls_latent_query_dims(f, h);
    const mls_affine all = mls_latent_queries(c, w), own = head_of(&all, h, c->D);
    const mls_affine rows = mls_affine_rows(&f->query, first, n);
    mls_status st = map_of_x(a, c->D + n, c->E, err);

    if (st)
        return st;
    mls_affine_put(a, 0, &own, NULL, c->D);
    if (f->q_rank)
        put_product(a, c->D, &rows, &f->q_down);
    else
        mls_affine_put(a, c->D, &rows, NULL, n);
    return MLS_OK;
}

static mls_status map_new(score_map *m, const mls_latent_form *f, const mls_config *c,
                          size_t g, size_t layer, mls_err *err)
{
    const mls_read_head *h = &f->head[g];
    const size_t n_rope = h->rope_key >= 0 ? f->rope_key[h->rope_key].n : 0;
    const size_t n = c->D + h->n_key + n_rope;
    double *inv_freq = mls_calloc3(c->D / 2, 1, 1, sizeof *inv_freq);

    *m = (score_map){.n = n,
                     .angle = mls_calloc3(n, 1, 1, sizeof(double)),
                     .pair = mls_calloc3(n, 1, 1, sizeof(size_t)),
                     .sign = mls_calloc3(n, 1, 1, sizeof(double)),
                     .scale = mls_calloc3(n, 1, 1, sizeof(double))};
    if (!inv_freq || !m->angle || !m->pair || !m->sign || !m->scale) {
        free(inv_freq);
        return mls_fail(err, MLS_E_NOMEM, "no memory to predict errors");
    }
    mls_layer_frequencies(inv_freq, c, layer);
    for (size_t i = 0; i < n; i++)
        m->scale[i] = i < c->D ? -1.0 / sqrt((double)c->D) : f->scale;
    if (!c->layer[layer].no_rope)
        set_rotation(m, 0, inv_freq, c->D);
    if (h->rotation != MLS_ROTATE_NEVER)
        set_rotation(m, c->D, f->inv_freq, c->D);
    if (n_rope)
        set_rotation(m, c->D + h->n_key, f->rope_key[h->rope_key].inv_freq, n_rope);
    free(inv_freq);
    return MLS_OK;
}

static void map_free(score_map *m)
{
    mls_free_all(m->angle, m->pair, m->sign, m->scale);
}

/* Logit error of one query head whose KV head has the keys k. */
static mls_status predict_logit(sums *s, const mls_latent_form *f, const mls_config *c,
                                const mls_layer *w, const mls_layer_stats *stats,
                                size_t h, size_t first_q, const met_keys *k,
                                mls_err *err)
{
    mls_affine q = {0};
    double *Su = NULL;
    mls_status st = query_map(&q, f, c, w, h, first_q, err);

    if (!st && !(Su = mls_calloc3(q.rows, q.rows, 1, sizeof *Su)))
        st = mls_fail(err, MLS_E_NOMEM, "no memory to predict errors");
    if (!st)
        st = mls_second_of_outputs(Su, stats, q.w, q.b, q.rows, err);
    if (!st) {
        s->logit[0] = score_variance(k, Su, q.rows, q.rows);
        s->logit[1] = score_variance(k, Su, q.rows, c->D);
    }
    mls_free_all(Su, q.w);
    return st;
}

/*
 * Part of E|k|^2 that no linear function of the cached numbers gives back:
 * tr(S_kk) - tr(S_kc S_cc^-1 S_ck), directions of the cache below 1e-12 of its largest
 * being noise. S is the second moment of [k (D); cached numbers (n - D)].
 */
static mls_status unexplained(const double *S, size_t n, size_t D, double *error,
                              double *signal, mls_err *err)
{
    const size_t m = n - D;
    double *Scc = mls_calloc3(m, m, 1, sizeof *Scc);
    double *values = mls_calloc3(m, 1, 1, sizeof *values);
    double *vectors = mls_calloc3(m, m, 1, sizeof *vectors);
    mls_status st;

    *signal = *error = 0;
    for (size_t i = 0; i < D; i++)
        *signal += S[i * n + i];
    if (!Scc || !values || !vectors) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to predict errors");
        goto done;
    }
    for (size_t i = 0; i < m; i++)
        memcpy(Scc + i * m, S + (D + i) * n + D, m * sizeof *Scc);
    st = mls_eigen(Scc, m, values, vectors, err);
    if (st)
        goto done;
    *error = *signal;
    for (size_t e = 0; e < m && values[e] > 1e-12 * values[0]; e++)
        for (size_t i = 0; i < D; i++) {
            double dot = 0;

            for (size_t j = 0; j < m; j++)
                dot += vectors[e * m + j] * S[i * n + D + j];
            *error -= dot * dot / values[e];
        }
    *error = fmax(*error, 0);

done:
    mls_free_all(Scc, values, vectors);
    return st;
}

/* Keys against everything that the layer caches for this head. */
static mls_status predict_key(sums *s, const mls_latent_form *f, const mls_config *c,
                              const mls_layer *w, const mls_layer_stats *stats,
                              size_t g, mls_err *err)
{
    const mls_read_head *h = &f->head[g];
    const mls_latent_vector *v = h->key_latent >= 0 ? &f->latent[h->key_latent] : NULL;
    const size_t n_rope = h->rope_key >= 0 ? f->rope_key[h->rope_key].n : 0;
    const size_t n = c->D + (v ? v->r : 0) + n_rope;
    const mls_affine all = mls_latent_keys(c, w), own = head_of(&all, g, c->D);
    mls_affine a = {0};
    double *S = NULL;
    mls_status st = map_of_x(&a, n, c->E, err);

    if (st)
        return st;
    mls_affine_put(&a, 0, &own, NULL, c->D);
    if (v)
        mls_affine_put(&a, c->D, &v->down, NULL, v->r);
    if (n_rope)
        mls_affine_put(&a, n - n_rope, &f->rope_key[h->rope_key].map, NULL, n_rope);
    /* The key's bias is known without the cache. */
    memset(a.b, 0, n * sizeof *a.b);
    S = mls_calloc3(n, n, 1, sizeof *S);
    if (!S)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to predict errors");
    if (!st)
        st = mls_second_of_outputs(S, stats, a.w, a.b, n, err);
    if (!st)
        st = unexplained(S, n, c->D, &s->key[0], &s->key[1], err);
    mls_free_all(S, a.w);
    return st;
}

/*
 * Values of KV head g and the outputs of its query heads. S is the second moment of
 * [v (D); v_hat (n_value)]; |A v_hat - B v|^2 = tr(S R^T R) with
 * R = [-B A].
 */
static mls_status predict_value(sums *s, sums *head, const mls_latent_form *f,
                                const mls_config *c, const mls_layer *w,
                                const mls_layer_stats *stats, size_t g, size_t first_o,
                                size_t out_dims, mls_err *err)
{
    const mls_read_head *h = &f->head[g];
    const mls_latent_vector *v = &f->latent[h->value_latent];
    const size_t D = c->D, E = c->E, n = D + h->n_value, per_group = f->H / f->G;
    double *S = mls_calloc3(n, n, 1, sizeof *S);
    double *M = mls_calloc3(n, n, 1, sizeof *M); /* rows^T rows */
    double *rows = mls_calloc3(E, n, 1, sizeof *rows);
    const mls_affine all = mls_latent_values(c, w), own = head_of(&all, g, D);
    mls_affine a = {0};
    mls_status st = map_of_x(&a, n, E, err);

    if (!st && (!S || !M || !rows))
        st = mls_fail(err, MLS_E_NOMEM, "no memory to predict errors");
    if (st)
        goto done;
    mls_affine_put(&a, 0, &own, NULL, D);
    put_product(&a, D, &h->value, &v->down);
    st = mls_second_of_outputs(S, stats, a.w, a.b, n, err);
    if (st)
        goto done;
    for (size_t i = 0; i < D; i++) {
        s->value[1] += S[i * n + i];
        if (h->n_value == D)
            s->value[0] += S[i * n + i] + S[(D + i) * n + D + i] - 2 * S[i * n + D + i];
    }
    s->value[0] = h->n_value == D ? fmax(s->value[0], 0) : (double)NAN;
    for (size_t q = 0; q < per_group; q++) {
        sums *to = &head[g * per_group + q];

        for (size_t e = 0; e < E; e++) {
            const float *original = w->wo + e * f->H * D + (g * per_group + q) * D;
            const float *form = f->output.w + e * out_dims + first_o + q * h->n_value;

            for (size_t i = 0; i < n; i++)
                rows[e * n + i] = i < D ? -(double)original[i] : (double)form[i - D];
        }
        mls_matmul(M, rows, true, rows, false, n, n, E);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                to->output[0] += M[i * n + j] * S[i * n + j];
                if (i < D && j < D)
                    to->output[1] += M[i * n + j] * S[i * n + j];
            }
        to->output[0] = fmax(to->output[0], 0);
    }

done:
    mls_free_all(S, M, rows, a.w);
    return st;
}

/* Of a part that is nothing, nothing is lost: where it is zero and stays so, 0. */
static double ratio(const double x[2])
{
    return x[1] > 0 ? x[0] / x[1] : x[0] > 0 || isnan(x[0]) ? (double)NAN : 0;
}

static mls_predicted of_sums(const sums *s, double heads)
{
    return (mls_predicted){.key = ratio(s->key),
                           .value = ratio(s->value),
                           .logit = sqrt(s->logit[0] / heads),
                           .logit_relative = sqrt(ratio(s->logit)),
                           .output = ratio(s->output),
                           .attention = NAN};
}

/* Everything that is linear in x can be predicted; the rest of a form is NaN. */
static bool is_linear(const mls_latent_form *f)
{
    if (f->share_layer >= 0 || f->q_norm.n || f->k_norm.n)
        return false;
    for (size_t i = 0; i < f->n_latents; i++)
        if (f->latent[i].source != MLS_LATENT_OF_X || f->latent[i].norm.n)
            return false;
    return !f->q_down_norm.n;
}

/* What the jobs of one prediction share; job g is KV head g. */
typedef struct {
    const mls_latent_form *f;
    const mls_config *c;
    const mls_layer *w;
    const mls_layer_stats *stats;
    size_t T, out_dims;
    sums *s; /* (H), each job fills those of its own query heads */
} prediction;

/* Rows of wq before KV head g, and columns of wo. */
static void find_first(size_t *first_q, size_t *first_o, const mls_latent_form *f,
                       size_t g)
{
    const size_t per_group = f->H / f->G;

    *first_q = *first_o = 0;
    for (size_t i = 0; i < g; i++) {
        *first_q += per_group * mls_latent_query_dims(f, i * per_group);
        *first_o += per_group * f->head[i].n_value;
    }
}

static mls_status predict_head(void *arg, size_t g, size_t worker, mls_err *err)
{
    const prediction *p = arg;
    const size_t per_group = p->f->H / p->f->G;
    sums *first = &p->s[g * per_group];
    mls_affine k = {0};
    score_map m = {0};
    met_keys met = {0};
    double *Sw = NULL, *mean_w = NULL;
    size_t first_q, first_o;
    mls_status st = predict_key(first, p->f, p->c, p->w, p->stats, g, err);

    (void)worker;
    find_first(&first_q, &first_o, p->f, g);
    if (!st)
        st = predict_value(first, p->s, p->f, p->c, p->w, p->stats, g, first_o,
                           p->out_dims, err);
    if (!st)
        st = key_map(&k, p->f, p->c, p->w, g, err);
    if (!st) {
        Sw = mls_calloc3(k.rows, k.rows, 1, sizeof *Sw);
        mean_w = mls_calloc3(k.rows, 1, 1, sizeof *mean_w);
        if (!Sw || !mean_w)
            st = mls_fail(err, MLS_E_NOMEM, "no memory to predict errors");
    }
    if (!st)
        st = mls_second_of_outputs(Sw, p->stats, k.w, k.b, k.rows, err);
    if (!st)
        st = map_new(&m, p->f, p->c, g, p->w->index, err);
    if (!st) {
        mean_of(mean_w, &k, p->stats);
        st = meet_keys(&met, &m, Sw, mean_w, p->T, err);
    }
    for (size_t i = 0; !st && i < per_group; i++) {
        const size_t h = g * per_group + i;

        if (i > 0) {
            memcpy(p->s[h].key, first->key, sizeof first->key);
            memcpy(p->s[h].value, first->value, sizeof first->value);
        }
        st = predict_logit(&p->s[h], p->f, p->c, p->w, p->stats, h, first_q, &met, err);
        first_q += mls_latent_query_dims(p->f, h);
    }
    mls_free_all(Sw, mean_w);
    met_keys_free(&met);
    map_free(&m);
    free(k.w);
    return st;
}

mls_status mls_predict(const mls_latent_form *f, const mls_config *c,
                       const mls_layer *w, const mls_layer_stats *stats, size_t T,
                       mls_pool *pool, mls_predicted *head, mls_predicted *layer,
                       mls_err *err)
{
    prediction p = {.f = f, .c = c, .w = w, .stats = stats, .T = T};
    sums total = {0};
    mls_status st;

    if (!is_linear(f) || w->q_norm) {
        const mls_predicted none = {NAN, NAN, NAN, NAN, NAN, NAN};

        *layer = none;
        for (size_t h = 0; head && h < f->H; h++)
            head[h] = none;
        return MLS_OK;
    }
    p.s = mls_calloc3(f->H, 1, 1, sizeof *p.s);
    if (!p.s)
        return mls_fail(err, MLS_E_NOMEM, "no memory to predict errors");
    for (size_t g = 0; g < f->G; g++)
        p.out_dims += f->H / f->G * f->head[g].n_value;
    st = mls_pool_run(pool, f->G, predict_head, &p, err);
    for (size_t h = 0; !st && h < f->H; h++) {
        for (size_t i = 0; i < 2; i++) {
            total.key[i] += p.s[h].key[i];
            total.value[i] += p.s[h].value[i];
            total.logit[i] += p.s[h].logit[i];
            total.output[i] += p.s[h].output[i];
        }
        if (head)
            head[h] = of_sums(&p.s[h], 1);
    }
    if (!st)
        *layer = of_sums(&total, (double)f->H);
    free(p.s);
    return st;
}

mls_predicted mls_predicted_mean(const mls_predicted *each, size_t L)
{
    mls_predicted sum = {0};

    if (!each)
        return (mls_predicted){NAN, NAN, NAN, NAN, NAN, NAN};
    for (size_t l = 0; l < L; l++) {
        sum.key += each[l].key / (double)L;
        sum.value += each[l].value / (double)L;
        sum.logit += each[l].logit / (double)L;
        sum.logit_relative += each[l].logit_relative / (double)L;
        sum.output += each[l].output / (double)L;
        sum.attention += each[l].attention / (double)L;
    }
    return sum;
}
