/*
 * Errors of a form from second moments, without running it. A score is u^T R(delta)
 * w with u, w the query and key of the original beside those of the form, so the
 * error is one bilinear form, and its mean square over queries, keys and distances
 * needs only E[u u^T], E[w w^T] and the angles. The softmax forgets what all keys of
 * a query share: the mean over keys is taken off, or a constant offset would count
 * as an error. Query and key are taken as independent, which is the approximation.
 */
#include "analysis/latent/predict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/latent/cached_moments.h"
#include "analysis/model/rope.h"
#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"

enum { DISTANCES = 48 };

/* Of a variance, what rounding leaves of one that is zero, with room. */
static const double NOTHING = 1e-14;

/* Sums of squares of one head: error and signal of each quantity. */
typedef struct {
    double key[2], value[2], logit[2], output[2];
} sums;

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

/* What the jobs of one prediction share. */
typedef struct {
    const mls_latent_form *f;
    const mls_config *c;
    const mls_layer *w;
    const mls_layer_stats *stats;
    const mls_own_moments *own;
    mls_cached_moments cached;
    size_t T, out_dims;
    met_keys *met; /* (G) */
    sums *s;       /* (H) */
} prediction;

static mls_status no_memory(mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory to predict errors");
}

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

/* S += m b^T + b m^T + b b^T: the second moment of y + b from that of y with mean m. */
static void add_bias(double *S, const double *mean, const double *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            S[i * n + j] += mean[i] * b[j] + b[i] * mean[j] + b[i] * b[j];
}

/* y = T x T^T, exactly symmetric; T (n, m), x (m, m). */
static mls_status turn_moment(double *y, const double *T, const double *x, size_t n,
                              size_t m, mls_err *err)
{
    double *Tx = mls_calloc3(n, m, 1, sizeof *Tx);

    if (!Tx)
        return no_memory(err);
    mls_matmul(Tx, T, false, x, false, n, m, m);
    mls_matmul(y, Tx, false, T, true, n, n, m);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            y[i * n + j] = y[j * n + i] = 0.5 * (y[i * n + j] + y[j * n + i]);
    free(Tx);
    return MLS_OK;
}

/*
 * Moments of [own rows of KV head g (D); what is read back of a latent (n); rope dims]
 * from those of the own rows and of what is cached, biases and all.
 */
typedef struct {
    size_t n;
    double *second, *mean; /* (n, n), (n) */
} read_moments;

static void read_moments_free(read_moments *r)
{
    mls_free_all(r->second, r->mean);
}

static mls_status read_back(read_moments *r, const prediction *p, bool values, size_t g,
                            const mls_affine *up, int latent, size_t n_read, int rope,
                            mls_err *err)
{
    const size_t D = p->c->D;
    const mls_latent_vector *v = latent >= 0 ? &p->f->latent[latent] : NULL;
    const mls_affine *rope_map = rope >= 0 ? &p->f->rope_key[rope].map : NULL;
    const size_t rank = v ? v->r : 0, n_rope = rope >= 0 ? p->f->rope_key[rope].n : 0;
    const size_t m = D + rank + n_rope, n = D + n_read + n_rope;
    const float *own_b = values ? p->w->bv : p->w->bk;
    double *S = mls_calloc3(m, m, 1, sizeof *S),
           *mean = mls_calloc3(m, 1, 1, sizeof *mean);
    double *T = mls_calloc3(n, m, 1, sizeof *T), *b = mls_calloc3(n, 1, 1, sizeof *b);
    mls_status st = MLS_OK;

    *r = (read_moments){.n = n,
                        .second = mls_calloc3(n, n, 1, sizeof(double)),
                        .mean = mls_calloc3(n, 1, 1, sizeof(double))};
    if (!S || !mean || !T || !b || !r->second || !r->mean) {
        st = no_memory(err);
        goto done;
    }
    mls_cached_beside(S, mean, &p->cached, values, g, latent, rope);
    for (size_t i = 0; i < D; i++) {
        T[i * m + i] = 1;
        b[i] = own_b ? (double)own_b[g * D + i] : 0;
    }
    for (size_t i = 0; i < n_read; i++) {
        double *row = T + (D + i) * m + D;

        for (size_t k = 0; k < rank; k++) {
            row[k] = up->cols ? (double)up->w[i * rank + k] : i == k;
            b[D + i] += v->down.b ? row[k] * (double)v->down.b[k] : 0;
        }
        b[D + i] += up->b ? (double)up->b[i] : 0;
    }
    for (size_t i = 0; i < n_rope; i++) {
        T[(D + n_read + i) * m + D + rank + i] = 1;
        b[D + n_read + i] = rope_map->b ? (double)rope_map->b[i] : 0;
    }
    st = turn_moment(r->second, T, S, n, m, err);
    mls_matmul(r->mean, T, false, mean, false, n, 1, m);
    add_bias(r->second, r->mean, b, n);
    for (size_t i = 0; i < n; i++)
        r->mean[i] += b[i];

done:
    mls_free_all(S, mean, T, b);
    if (st)
        read_moments_free(r);
    return st;
}

/*
 * Keys against everything that the layer caches for this head: the part of E|k|^2 that
 * no linear function of the cached numbers gives back, tr(S_kk) - tr(S_kc S_cc^-1
 * S_ck). Biases are known without the cache.
 */
static mls_status predict_key(sums *s, const prediction *p, size_t g, mls_err *err)
{
    const mls_read_head *h = &p->f->head[g];
    const size_t D = p->c->D;
    double left = 0;
    mls_status st;

    for (size_t i = 0; i < D; i++)
        s->key[1] += p->own->key[(g * D + i) * D + i];
    st = mls_cached_explains(&left, &p->cached, g, h->key_latent, h->rope_key, err);
    s->key[0] = fmax(s->key[1] - left, 0);
    return st;
}

/*
 * Values of KV head g and the outputs of its query heads. S is the second moment of
 * [v (D); v_hat (n_value)]; |A v_hat - B v|^2 = tr(S R^T R) with
 * R = [-B A].
 */
static mls_status predict_value(sums *s, sums *head, const prediction *p, size_t g,
                                size_t first_o, mls_err *err)
{
    const mls_latent_form *f = p->f;
    const mls_read_head *h = &f->head[g];
    const size_t D = p->c->D, E = p->c->E, per_group = f->H / f->G, n = D + h->n_value;
    double *M = mls_calloc3(n, n, 1, sizeof *M); /* rows^T rows */
    double *rows = mls_calloc3(E, n, 1, sizeof *rows);
    read_moments r = {0};
    mls_status st = M && rows ? read_back(&r, p, true, g, &h->value, h->value_latent,
                                          h->n_value, MLS_NONE, err)
                              : no_memory(err);

    if (st)
        goto done;
    const double *S = r.second;
    for (size_t i = 0; i < D; i++) {
        s->value[1] += S[i * n + i];
        if (h->n_value == D)
            s->value[0] += S[i * n + i] + S[(D + i) * n + D + i] - 2 * S[i * n + D + i];
    }
    s->value[0] = h->n_value == D ? fmax(s->value[0], 0) : (double)NAN;
    for (size_t q = 0; q < per_group; q++) {
        sums *to = &head[g * per_group + q];

        for (size_t e = 0; e < E; e++) {
            const float *original = p->w->wo + e * f->H * D + (g * per_group + q) * D;
            const float *form =
                f->output.w + e * p->out_dims + first_o + q * h->n_value;

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
    read_moments_free(&r);
    mls_free_all(M, rows);
    return st;
}

/* KV head g: keys, values with the outputs that they make, and what queries meet. */
static mls_status predict_group(void *arg, size_t g, size_t worker, mls_err *err)
{
    const prediction *p = arg;
    const mls_read_head *h = &p->f->head[g];
    const size_t per_group = p->f->H / p->f->G;
    sums *first = &p->s[g * per_group];
    score_map m = {0};
    read_moments r = {0};
    size_t first_q, first_o;
    mls_status st = predict_key(first, p, g, err);

    (void)worker;
    find_first(&first_q, &first_o, p->f, g);
    if (!st)
        st = predict_value(first, p->s, p, g, first_o, err);
    if (!st)
        st = read_back(&r, p, false, g, &h->key, h->key_latent, h->n_key, h->rope_key,
                       err);
    if (!st)
        st = map_new(&m, p->f, p->c, g, p->w->index, err);
    if (!st)
        st = meet_keys(&p->met[g], &m, r.second, r.mean, p->T, err);
    for (size_t i = 1; !st && i < per_group; i++) {
        memcpy(first[i].key, first->key, sizeof first->key);
        memcpy(first[i].value, first->value, sizeof first->value);
    }
    read_moments_free(&r);
    map_free(&m);
    return st;
}

/* Logit error of query head h; what doubles cannot tell from none is none. */
static mls_status predict_logit(void *arg, size_t h, size_t worker, mls_err *err)
{
    const prediction *p = arg;
    const size_t per_group = p->f->H / p->f->G, g = h / per_group, D = p->c->D;
    const size_t n = D + mls_latent_query_dims(p->f, h);
    size_t first_q, first_o;
    double *S = mls_calloc3(n, n, 1, sizeof *S);
    mls_status st;

    (void)worker;
    find_first(&first_q, &first_o, p->f, g);
    first_q += h % per_group * (n - D);
    st = S ? mls_query_moment(S, p->own, p->f, p->w, p->stats, h, first_q, err)
           : no_memory(err);
    if (!st) {
        p->s[h].logit[0] = score_variance(&p->met[g], S, n, n);
        p->s[h].logit[1] = score_variance(&p->met[g], S, n, D);
        if (p->s[h].logit[0] < NOTHING * p->s[h].logit[1])
            p->s[h].logit[0] = 0;
    }
    free(S);
    return st;
}

static mls_status predict_all(prediction *p, mls_pool *pool, mls_err *err)
{
    const mls_latent_form *f = p->f;
    mls_status st = MLS_OK;

    p->s = mls_calloc3(f->H, 1, 1, sizeof *p->s);
    p->met = mls_calloc3(f->G, 1, 1, sizeof *p->met);
    if (!p->s || !p->met)
        st = no_memory(err);
    for (size_t g = 0; g < f->G; g++)
        p->out_dims += f->H / f->G * f->head[g].n_value;
    if (!st)
        st = mls_cached_moments_new(&p->cached, p->own, f, p->w, p->stats, pool, err);
    if (!st)
        st = mls_pool_run(pool, f->G, predict_group, p, err);
    if (!st)
        st = mls_pool_run(pool, f->H, predict_logit, p, err);
    return st;
}

mls_status mls_predict(const mls_latent_form *f, const mls_config *c,
                       const mls_layer *w, const mls_layer_stats *stats,
                       mls_own_moments *own, size_t T, mls_pool *pool,
                       mls_predicted *head, mls_predicted *layer, mls_err *err)
{
    prediction p = {.f = f, .c = c, .w = w, .stats = stats, .own = own, .T = T};
    sums total = {0};
    mls_status st = MLS_OK;

    if (!is_linear(f) || w->q_norm) {
        const mls_predicted none = {NAN, NAN, NAN, NAN, NAN, NAN};

        *layer = none;
        for (size_t h = 0; head && h < f->H; h++)
            head[h] = none;
        return MLS_OK;
    }
    if (!own->met)
        st = mls_own_moments_new(own, c, w, stats, pool, err);
    if (!st)
        st = predict_all(&p, pool, err);
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
    for (size_t g = 0; p.met && g < f->G; g++)
        met_keys_free(&p.met[g]);
    mls_cached_moments_free(&p.cached);
    mls_free_all(p.s, p.met);
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
