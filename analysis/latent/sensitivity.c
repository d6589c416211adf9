/*
 * All pairs would be T^2 turned queries a head: 64 queries of a window are taken,
 * spread evenly, and of their keys those with attention of 1e-4 or more, since the
 * weight is its square. A turned query enters as a row scaled by the root of its
 * weight, and 512 rows become one product of rank 512, lower triangle alone. key_plain
 * is the same sum with queries as they are, for keys that do not turn.
 */
#include "analysis/latent/sensitivity.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#include "analysis/model/rope.h"
#include "analysis/numeric/vector.h"
#include "common/base/checked.h"

enum {
    QUERIES = 64, /* of a window whose pairs are summed, spread evenly */
    ROWS = 512,   /* weighted queries gathered before one product */
};

/* One window and what every head's job needs of it. */
typedef struct {
    const mls_config *config;
    const mls_layer *layer;
    size_t T;
    const float *q, *k, *v; /* (T, H D), (T, G D) before RoPE */
    float *q_rot, *k_rot;   /* after RoPE */
    const float *cs;        /* (T, C, 2) */
    bool rotates;
    double *key, *key_plain, *value; /* per query head (H, D, D), summed over windows */
} window;

void mls_sensitivity_free(mls_sensitivity *s)
{
    mls_free_all(s->key, s->key_plain, s->value);
    *s = (mls_sensitivity){0};
}

/* The lower triangle of M = W_O,h^T W_O,h, (D, D); rows: (E, D) of scratch. */
static void output_gram(double *M, double *rows, const mls_layer *layer,
                        const mls_config *c, size_t h)
{
    const size_t D = c->D, ld = c->H * D;

    for (size_t e = 0; e < c->E; e++)
        for (size_t i = 0; i < D; i++)
            rows[e * D + i] = (double)layer->wo[e * ld + h * D + i];
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, (int)D, (int)c->E, 1.0, rows,
                (int)D, 0.0, M, (int)D);
}

/* Attention of query i over keys 0..i, in double. */
static void attention_row(double *a, const window *w, size_t h, size_t i)
{
    const mls_config *c = w->config;
    const size_t D = c->D, g = h / (c->H / c->G);
    const float *q = w->q_rot + i * c->H * D + h * D;
    const double scale = 1.0 / sqrt((double)D);
    double top = -INFINITY, sum = 0;

    for (size_t j = 0; j <= i; j++) {
        a[j] = scale *
               (double)cblas_sdot((int)D, q, 1, w->k_rot + j * c->G * D + g * D, 1);
        top = fmax(top, a[j]);
    }
    for (size_t j = 0; j <= i; j++) {
        a[j] = exp(a[j] - top);
        sum += a[j];
    }
    for (size_t j = 0; j <= i; j++)
        a[j] /= sum;
}

/*
 * y = q turned by the angle of `distance` positions, times weight; rows of the table.
 */
MLS_WIDE
static void turned_query(double *restrict y, const float *restrict q,
                         const float *restrict cs, size_t C, double weight)
{
    for (size_t c = 0; c < C; c++) {
        const double cos_d = (double)cs[2 * c], sin_d = (double)cs[2 * c + 1];
        const double a = (double)q[c], b = (double)q[c + C];

        y[c] = weight * (a * cos_d - b * sin_d);
        y[c + C] = weight * (b * cos_d + a * sin_d);
    }
}

/* Scratch of one job; sums are of one head and window. */
typedef struct {
    double *M;             /* (D, D) W_O,h^T W_O,h */
    double *v, *Mv;        /* (T, D) */
    double *vMv, *a, *oMv; /* (T) */
    double *o;             /* (D) */
    double *rows, *plain;  /* (ROWS, D) turned queries; (QUERIES + 1, D) as they are */
    size_t n_rows, n_plain;
    double square; /* sum of squares of attention */
} scratch;

/* The lower triangle of sum += rows^T rows. */
static void add_rows(double *sum, const double *rows, size_t n, size_t D)
{
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, (int)D, (int)n, 1.0, rows,
                (int)D, 1.0, sum, (int)D);
}

/*
 * With o = sum_j a_j v_j, what is asked of query i are products that queries share,
 * v^T M v, or one product with a matrix: M v_j for all j with o, and o^T M o = sum_j
 * a_j o^T M v_j.
 */
static void one_query(window *w, scratch *x, size_t h, size_t i)
{
    const mls_config *c = w->config;
    const size_t D = c->D, n = i + 1;
    const float *q = w->q + i * c->H * D + h * D;
    double plain = 0, oMo = 0;

    attention_row(x->a, w, h, i);
    cblas_dgemv(CblasRowMajor, CblasTrans, (int)n, (int)D, 1.0, x->v, (int)D, x->a, 1,
                0.0, x->o, 1);
    cblas_dgemv(CblasRowMajor, CblasNoTrans, (int)n, (int)D, 1.0, x->Mv, (int)D, x->o,
                1, 0.0, x->oMv, 1);
    for (size_t j = 0; j < n; j++)
        oMo += x->a[j] * x->oMv[j];
    for (size_t j = 0; j < n; j++) {
        x->square += x->a[j] * x->a[j];
        if (x->a[j] < 1e-4) /* its weight is the square: nothing */
            continue;
        const double weight = x->a[j] * x->a[j] *
                              fmax(x->vMv[j] - 2 * x->oMv[j] + oMo, 0) /
                              (double)D; /* scale^2 */

        plain += weight;
        if (w->rotates) {
            if (x->n_rows == ROWS) {
                add_rows(w->key + h * D * D, x->rows, ROWS, D);
                x->n_rows = 0;
            }
            turned_query(x->rows + x->n_rows++ * D, q, w->cs + (i - j) * D, D / 2,
                         sqrt(weight));
        }
    }
    for (size_t d = 0; d < D; d++)
        x->plain[x->n_plain * D + d] = sqrt(plain) * (double)q[d];
    x->n_plain++;
}

static mls_status one_head(void *arg, size_t h, size_t worker, mls_err *err)
{
    window *w = arg;
    const mls_config *c = w->config;
    const size_t D = c->D, T = w->T, g = h / (c->H / c->G);
    const size_t step = T > QUERIES ? T / QUERIES : 1;
    const size_t rows = ROWS > c->E ? ROWS : c->E;
    double *all = mls_calloc3(D + 2 * T + rows + T / step + 1, D, 1, sizeof *all);
    double *lines = mls_calloc3(3, T, 1, sizeof *lines);
    double *o = mls_calloc3(D, 1, 1, sizeof *o);
    scratch x = {.M = all, .a = lines, .o = o};

    (void)worker;
    if (!all || !lines || !o) {
        mls_free_all(all, lines, o);
        return mls_fail(err, MLS_E_NOMEM, "no memory to measure sensitivities");
    }
    x.v = x.M + D * D;
    x.Mv = x.v + T * D;
    x.rows = x.Mv + T * D;
    x.plain = x.rows + rows * D;
    x.vMv = x.a + T;
    x.oMv = x.vMv + T;
    output_gram(x.M, x.rows, w->layer, c, h);
    for (size_t t = 0; t < T; t++)
        for (size_t d = 0; d < D; d++)
            x.v[t * D + d] = (double)w->v[t * c->G * D + g * D + d];
    cblas_dsymm(CblasRowMajor, CblasRight, CblasLower, (int)T, (int)D, 1.0, x.M, (int)D,
                x.v, (int)D, 0.0, x.Mv, (int)D);
    for (size_t t = 0; t < T; t++)
        x.vMv[t] = cblas_ddot((int)D, x.v + t * D, 1, x.Mv + t * D, 1);
    for (size_t i = step - 1; i < T; i += step)
        one_query(w, &x, h, i);
    add_rows(w->key + h * D * D, x.rows, x.n_rows, D);
    add_rows(w->key_plain + h * D * D, x.plain, x.n_plain, D);
    cblas_daxpy((int)(D * D), x.square, x.M, 1, w->value + h * D * D, 1);
    mls_free_all(all, lines, o);
    return MLS_OK;
}

/* Element i of a symmetric (D, D) whose lower triangle is there. */
static double symmetric(const double *lower, size_t i, size_t D)
{
    const size_t row = i / D, column = i % D;

    return row < column ? lower[column * D + row] : lower[i];
}

/* Sum the query heads of each KV head, over `queries` of all windows. */
static void gather(mls_sensitivity *s, const window *w, double queries)
{
    const mls_config *c = w->config;
    const size_t DD = c->D * c->D, per_group = c->H / c->G;

    for (size_t h = 0; h < c->H; h++)
        for (size_t i = 0; i < DD; i++) {
            const size_t to = h / per_group * DD + i;

            const double *plain = w->key_plain + h * DD;
            const double *key = w->rotates ? w->key + h * DD : plain;

            s->key[to] += symmetric(key, i, c->D) / queries;
            s->key_plain[to] += symmetric(plain, i, c->D) / queries;
            s->value[to] += symmetric(w->value + h * DD, i, c->D) / queries;
        }
}

mls_status mls_sensitivity_measure(mls_sensitivity *s, mls_capture *capture,
                                   const mls_layer *layer, size_t n_windows,
                                   mls_pool *pool, mls_err *err)
{
    const mls_config *c = mls_capture_config(capture);
    const size_t T = mls_capture_window_length(capture),
                 W = mls_capture_windows(capture);
    const size_t H = c->H, G = c->G, D = c->D, C = D / 2, l = layer->index;
    const size_t step = T > QUERIES ? T / QUERIES : 1;
    const size_t n = n_windows && n_windows < W ? n_windows : W;
    float *q = mls_calloc3(T, 2 * H * D, 1, sizeof *q);
    float *k = mls_calloc3(T, 3 * G * D, 1, sizeof *k);
    double *inv_freq = mls_calloc3(C, 1, 1, sizeof *inv_freq);
    float *cs = mls_calloc3(T, C, 2, sizeof *cs);
    double *sums = mls_calloc3(3 * H, D, D, sizeof *sums);
    mls_status st = MLS_OK;

    *s = (mls_sensitivity){.G = G, .D = D};
    s->key = mls_calloc3(G, D, D, sizeof *s->key);
    s->key_plain = mls_calloc3(G, D, D, sizeof *s->key_plain);
    s->value = mls_calloc3(G, D, D, sizeof *s->value);
    if (!q || !k || !inv_freq || !cs || !sums || !s->key || !s->key_plain || !s->value)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to measure sensitivities");
    else if (W == 0)
        st = mls_fail(err, MLS_E_INPUT,
                      "the capture file has no windows of keys and queries");
    if (!st) {
        mls_layer_frequencies(inv_freq, c, layer->index);
        mls_rope_table(cs, inv_freq, C, T);
    }
    window w = {.config = c,
                .layer = layer,
                .T = T,
                .q = q,
                .q_rot = q + T * H * D,
                .k = k,
                .k_rot = k + T * G * D,
                .v = k + 2 * T * G * D,
                .cs = cs,
                .rotates = !c->layer[l].no_rope,
                .key = sums,
                .key_plain = sums + H * D * D,
                .value = sums + 2 * H * D * D};
    for (size_t i = 0; !st && i < n; i++) {
        st = mls_capture_window(capture, l, i * W / n, MLS_WINDOW_Q, q, err);
        if (!st)
            st = mls_capture_window(capture, l, i * W / n, MLS_WINDOW_K, k, err);
        if (!st)
            st = mls_capture_window(capture, l, i * W / n, MLS_WINDOW_V,
                                    k + 2 * T * G * D, err);
        if (st)
            break;
        memcpy(w.q_rot, q, T * H * D * sizeof *q);
        memcpy(w.k_rot, k, T * G * D * sizeof *k);
        for (size_t h = 0; w.rotates && h < H; h++)
            mls_rope_apply(w.q_rot + h * D, H * D, cs, C, T, 1);
        for (size_t g = 0; w.rotates && g < G; g++)
            mls_rope_apply(w.k_rot + g * D, G * D, cs, C, T, 1);
        st = mls_pool_run(pool, H, one_head, &w, err);
    }
    if (!st)
        gather(s, &w, (double)n * (double)(T / step));
    else
        mls_sensitivity_free(s);
    mls_free_all(q, k, inv_freq, cs, sums);
    return st;
}
