/*
 * The queries of a form by weighted least squares.
 *
 * A form keeps keys phi_j in place of the model's k_j, and a conversion writes down
 * queries that would be right if phi_j were k_j. It is not, and the best queries for
 * what is really cached are others: those whose scores come nearest to the model's.
 * The softmax forgets what is added to all scores of a query, and a score matters as
 * its key is attended to, so that head h wants the M (K, E) that makes least
 *
 *   sum_i sum_j<=i  a_ij (s_ij - (M x_i)^T phi_ij)^2,   s and phi less their means
 *                                                       over j with weights a_ij
 *
 * where s_ij = q_i^T k_j is the model's score, a its attention and phi_ij the key of
 * token j as query i sees it (its rope dims turned by i - j). This is linear in M: K E
 * unknowns, solved by conjugate gradients from the queries that are there. The normal
 * matrix is close to mean(Cov phi) x E[x x^T], whose inverse preconditions it: three
 * steps bring most, ten nearly all. M meets the inputs of all windows in one product,
 * X M^T and its adjoint; these two and the scores of a direction may run in bfloat16,
 * the residual that the steps begin from does not. Few inputs of a wide model span
 * little of its space, in which M moves alone: then all is done in theirs
 * (refit_span.h).
 *
 * Traps: the steps fit the windows; a ridge of 1e-3 of the mean diagonal holds back
 * directions that the windows hardly show, and the step with the least error on the
 * held-out windows is kept. Weights a_ij^2 |v_j - o_i|^2, which sensitivity.h derives
 * for independent errors, fit worse here (demo, 25 %: KL 0.26 against 0.21), because
 * errors of one query's scores are not independent.
 */
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/latent/refit.h"
#include "analysis/latent/refit_span.h"
#include "analysis/latent/refit_windows.h"
#include "analysis/model/rope.h"
#include "analysis/numeric/exponential.h"
#include "analysis/numeric/kernels.h"
#include "analysis/numeric/linalg.h"
#include "analysis/numeric/packed.h"
#include "analysis/numeric/vector.h"
#include "common/base/checked.h"

static const double RIDGE = 1e-3;

enum {
    HELD_OUT = 8,         /* every so-many-th window */
    SAMPLED_QUERIES = 16, /* of a window, for the preconditioner */
    SCORES_MAX = 1 << 24, /* numbers of attention kept by one head's job */
    ROWS = 64,            /* queries whose scores are made at a time in float */
    ROWS_BF16 = 256, /* and in bfloat16, whose products have a price of their own */
    LANES = 8,
};

typedef struct {
    mls_refit_windows windows;
    const mls_latent_form *f;
    size_t steps;
    mls_refit_span span; /* of the inputs; {0}: of all E dims */
    const float *x;      /* (n T, R) inputs, R = E or the dims of their space */
    size_t R;
    float **latent;     /* (latents) what is cached of all windows; NULL: not read */
    mls_packed *packed; /* x, or NULL */
    float *x_inverse;   /* (R, R) of E[x x^T] + ridge */
    double x_power;     /* mean square of a number of an input */
    size_t *first;      /* (H) first row of every head in the query map */
    float *wq;          /* the new queries, as f->query.w */
} job;

/* One head: its keys as cached, the model's attention, and the descent. */
typedef struct {
    const job *j;
    size_t h, g, K, n_key, n_rope, W, T, R;
    size_t rows;       /* whose scores are made at a time */
    const float *bias; /* (K) of the queries, which stays; or NULL */
    const float *cs;   /* (T, n_rope/2, 2) of the rope key; NULL without */
    const float *cs_t; /* (n_rope/2, 2, T) of the same */
    float *phi;        /* (W, T, K) */
    float *a;          /* (W, T, T) attention of the model, 0 above the diagonal */
    float *rest;       /* (held, T, T) what is left of the scores of held-out windows */
    float *u, *s, *z;  /* (K, W T), (rows, T) of scores, (K, W T) */
    float *m, *best;   /* (K, R) queries now, and the best so far */
    float *residual, *direction, *image; /* (K, R) */
    float *solved, *half;                /* (K, R) */
    float *ridge, *cov_inverse;          /* (K, K) RIDGE E[x^2] cov; cov^-1 */
    double *cov, *factor;                /* (K, K) */
} head;

static bool held_out(size_t window, size_t W)
{
    return W >= HELD_OUT && window % HELD_OUT == HELD_OUT - 1;
}

/* Rows n_key .. of u or z turned by the positions of every window, or back. */
MLS_WIDE static void turn_queries(const head *d, float *rows, float sign)
{
    const size_t T = d->T, C = d->n_rope / 2, all = d->W * T;

    for (size_t c = 0; c < C; c++) {
        const float *cos_t = d->cs_t + 2 * c * T, *sin_t = cos_t + T;
        float *p = rows + (d->n_key + c) * all, *q = p + C * all;

        for (size_t w = 0; w < d->W; w++, p += T, q += T)
            for (size_t t = 0; t < T; t++) {
                const float turned = p[t] * cos_t[t] - sign * q[t] * sin_t[t];

                q[t] = q[t] * cos_t[t] + sign * p[t] * sin_t[t];
                p[t] = turned;
            }
    }
}

/* u = queries of m, turned, for all windows; bias may be NULL. */
static void make_queries(const head *d, const float *m, const float *bias,
                         mls_packed *packed)
{
    const size_t all = d->W * d->T;

    mls_packed_linear(packed, d->u, all, m, d->j->x, NULL, d->K, all, d->R);
    for (size_t k = 0; bias && k < d->K; k++)
        for (size_t i = 0; i < all; i++)
            d->u[k * all + i] += bias[k];
    turn_queries(d, d->u, 1);
}

/*
 * What follows is done for d->rows queries at a time, over the keys that the last of
 * them sees: half of the work of all keys, and scores that stay in the CPU's cache.
 */
static size_t rows_at(const head *d, size_t first)
{
    return d->T - first < d->rows ? d->T - first : d->rows;
}

/*
 * s (n, T) = sign times the scores of rows first .. of u over the keys of a window; of
 * a direction (sign 1) in bfloat16 if that is asked for.
 */
static void form_scores(const head *d, float sign, size_t window, size_t first,
                        size_t n)
{
    const size_t all = d->W * d->T, from = window * d->T;
    const float *u = d->u + from + first, *phi = d->phi + from * d->K;
    const mls_operand queries = {u, all, true}, keys = {phi, d->K, true};

    if (sign == 1.0F && d->j->packed &&
        mls_bf16_product(d->s, d->T, &queries, &keys, n, first + n, d->K, false))
        return;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasTrans, (int)n, (int)(first + n),
                (int)d->K, sign, u, (int)all, phi, (int)d->K, 0.0F, d->s, (int)d->T);
}

/* sum a x over n, in LANES sums that the compiler may keep in one register. */
MLS_WIDE static double weighted_sum(const float *a, const float *x, size_t n)
{
    double lane[LANES] = {0}, sum = 0;
    size_t j = 0;

    for (; j + LANES <= n; j += LANES)
        for (size_t k = 0; k < LANES; k++)
            lane[k] += (double)a[j + k] * (double)x[j + k];
    for (; j < n; j++)
        sum += (double)a[j] * (double)x[j];
    for (size_t k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}

MLS_WIDE static double weighted_squares(const float *a, const float *x, size_t n)
{
    double lane[LANES] = {0}, sum = 0;
    size_t j = 0;

    for (; j + LANES <= n; j += LANES)
        for (size_t k = 0; k < LANES; k++)
            lane[k] += (double)a[j + k] * (double)x[j + k] * (double)x[j + k];
    for (; j < n; j++)
        sum += (double)a[j] * (double)x[j] * (double)x[j];
    for (size_t k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}

/* x = (x - mean) a; without a: x - mean. */
MLS_WIDE static void shift_and_weigh(float *x, const float *a, float mean, size_t n)
{
    if (a)
        for (size_t j = 0; j < n; j++)
            x[j] = (x[j] - mean) * a[j];
    else
        for (size_t j = 0; j < n; j++)
            x[j] -= mean;
}

/*
 * Rows first .. of s less their weighted means over the keys that each query sees, 0
 * where it sees none; weighted on request.
 */
static void centre(const head *d, size_t window, size_t first, size_t n, bool weigh)
{
    for (size_t i = 0; i < n; i++) {
        const float *a = d->a + (window * d->T + first + i) * d->T;
        float *row = d->s + i * d->T;
        const size_t seen = first + i + 1;

        shift_and_weigh(row, weigh ? a : NULL, (float)weighted_sum(a, row, seen), seen);
        memset(row + seen, 0, (n - i - 1) * sizeof *row);
    }
}

/* z of rows first .. = keys times weighted scores in s; bf16 as in form_scores(). */
static void take_back(const head *d, size_t window, size_t first, size_t n, bool bf16)
{
    const size_t all = d->W * d->T, from = window * d->T;
    float *z = d->z + from + first;
    const float *phi = d->phi + from * d->K;
    const mls_operand keys = {phi, d->K, true}, scores = {d->s, d->T, true};

    if (bf16 && mls_bf16_product(z, all, &keys, &scores, d->K, n, first + n, false))
        return;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasTrans, (int)d->K, (int)n,
                (int)(first + n), 1.0F, phi, (int)d->K, d->s, (int)d->T, 0.0F, z,
                (int)all);
}

/* image = z x over all windows, z turned back; held-out windows have no z. */
static void take_adjoint(const head *d, float *image, mls_packed *packed)
{
    turn_queries(d, d->z, -1);
    mls_packed_back(packed, image, d->z, d->j->x, d->K, d->W * d->T, d->R);
}

static size_t training_queries(const head *d)
{
    size_t n = 0;

    for (size_t w = 0; w < d->W; w++)
        n += held_out(w, d->W) ? 0 : d->T;
    return n;
}

/*
 * The model's scores of a window less those of u, centred: taken back for a window to
 * fit; kept in rest for a held-out one, whose error is returned.
 */
static double begin_window(const head *d, size_t window, float *rest)
{
    double error = 0;

    for (size_t first = 0; first < d->T; first += d->rows) {
        const size_t n = rows_at(d, first);

        form_scores(d, -1.0F, window, first, n);
        mls_refit_scores(&d->j->windows, d->h, window, first, n, d->s);
        centre(d, window, first, n, !rest);
        if (!rest)
            take_back(d, window, first, n, false);
        for (size_t i = 0; rest && i < n; i++) {
            const size_t row = first + i;

            memcpy(rest + row * d->T, d->s + i * d->T, (row + 1) * sizeof *rest);
            error += weighted_squares(d->a + (window * d->T + row) * d->T,
                                      rest + row * d->T, row + 1);
        }
    }
    return error;
}

/* Keys of the head as its queries see them: read back, and the rope key turned. */
static void fill_keys(const head *d)
{
    const mls_latent_form *f = d->j->f;
    const mls_read_head *r = &f->head[d->g];

    for (size_t w = 0; w < d->W; w++) {
        const float *x = d->j->windows.x + w * d->T * f->E;
        float *phi = d->phi + w * d->T * d->K;

        if (d->n_key) {
            const size_t rank = f->latent[r->key_latent].r;
            const float *latent = d->j->latent[r->key_latent] + w * d->T * rank;

            if (r->key.w)
                cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)d->T,
                            (int)d->n_key, (int)rank, 1.0F, latent, (int)rank, r->key.w,
                            (int)rank, 0.0F, phi, (int)d->K);
            for (size_t t = 0; t < d->T; t++)
                for (size_t i = 0; i < d->n_key; i++)
                    phi[t * d->K + i] =
                        (r->key.w ? phi[t * d->K + i] : latent[t * rank + i]) +
                        (r->key.b ? r->key.b[i] : 0.0F);
        }
        if (d->n_rope) {
            const mls_rope_key *key = &f->rope_key[r->rope_key];

            mls_linear(d->s, x, key->map.w, key->map.b, d->T, d->n_rope, f->E);
            for (size_t t = 0; t < d->T; t++)
                memcpy(phi + t * d->K + d->n_key, d->s + t * d->n_rope,
                       d->n_rope * sizeof *phi);
            mls_rope_apply(phi + d->n_key, d->K, d->cs, d->n_rope / 2, d->T, 1);
        }
    }
}

MLS_WIDE static void exponentials(float *x, float scale, float top, size_t n)
{
    for (size_t j = 0; j < n; j++)
        x[j] = mls_exp_f32(scale * x[j] - top);
}

/* Attention of the model in every window. */
static void fill_attention(const head *d)
{
    const size_t T = d->T;
    const float scale = (float)d->j->f->scale;

    memset(d->a, 0, d->W * T * T * sizeof *d->a);
    for (size_t w = 0; w < d->W; w++)
        for (size_t first = 0; first < T; first += d->rows) {
            const size_t n = rows_at(d, first);
            float *a = d->a + (w * T + first) * T;

            mls_refit_scores(&d->j->windows, d->h, w, first, n, a);
            for (size_t i = first; i < first + n; i++, a += T) {
                const size_t from = mls_refit_first_key(&d->j->windows, i);
                float top = -INFINITY;
                double sum = 0;

                for (size_t j = from; j <= i; j++)
                    top = fmaxf(top, scale * a[j]);
                exponentials(a + from, scale, top, i + 1 - from);
                for (size_t j = from; j <= i; j++)
                    sum += (double)a[j];
                for (size_t j = from; j <= i; j++)
                    a[j] = (float)((double)a[j] / sum);
                memset(a, 0, from * sizeof *a);
                memset(a + i + 1, 0, (first + n - i - 1) * sizeof *a);
            }
        }
}

/* out = a^-1 in float; a (n, n) becomes its Cholesky factor. */
static mls_status inverse_of(float *out, double *a, size_t n, mls_err *err)
{
    double *columns = mls_calloc3(n, n, 1, sizeof *columns);
    mls_status st = columns ? mls_cholesky(a, n, err)
                            : mls_fail(err, MLS_E_NOMEM, "no memory to fit queries");

    for (size_t i = 0; !st && i < n; i++)
        columns[i * n + i] = 1;
    if (!st)
        mls_cholesky_solve_columns(a, n, columns, n);
    for (size_t i = 0; !st && i < n * n; i++)
        out[i] = (float)columns[i];
    free(columns);
    return st;
}

/* Keys 0 .. i of a window turned back by the position of query i: rows (i + 1, K). */
MLS_WIDE static void turn_keys_back(const head *d, float *rows, const float *phi,
                                    size_t i)
{
    const size_t C = d->n_rope / 2;
    const float *cs = d->cs + 2 * i * C;

    memcpy(rows, phi, (i + 1) * d->K * sizeof *rows);
    for (size_t j = 0; j <= i; j++) {
        float *p = rows + j * d->K + d->n_key, *q = p + C;

        for (size_t c = 0; c < C; c++) {
            const float turned = p[c] * cs[2 * c] + q[c] * cs[2 * c + 1];

            q[c] = q[c] * cs[2 * c] - p[c] * cs[2 * c + 1];
            p[c] = turned;
        }
    }
}

/* Rows (n, K) less their mean by weights a, times the weights' roots. */
MLS_WIDE static void weigh_rows(float *rows, float *mean, const float *a, size_t n,
                                size_t K)
{
    memset(mean, 0, K * sizeof *mean);
    for (size_t j = 0; j < n; j++)
        for (size_t e = 0; e < K; e++)
            mean[e] += a[j] * rows[j * K + e];
    for (size_t j = 0; j < n; j++) {
        const float root = sqrtf(a[j]);

        for (size_t e = 0; e < K; e++)
            rows[j * K + e] = root * (rows[j * K + e] - mean[e]);
    }
}

/*
 * Mean over sampled queries of the weighted covariance of the keys, turned back into
 * the frame of the query.
 */
static mls_status key_covariance(const head *d, mls_err *err)
{
    const size_t T = d->T, K = d->K;
    const size_t step = T > SAMPLED_QUERIES ? T / SAMPLED_QUERIES : 1;
    float *rows = mls_calloc3(T + 1 + K, K, 1, sizeof *rows);
    float *mean = rows + T * K, *sum = mean + K;
    double diagonal = 0;
    size_t n = 0;

    if (!rows)
        return mls_fail(err, MLS_E_NOMEM, "no memory to fit queries");
    for (size_t w = 0; w<d->W; w += d->W> HELD_OUT ? d->W / HELD_OUT : 1)
        for (size_t i = step - 1; i < T; i += step, n++) {
            turn_keys_back(d, rows, d->phi + w * T * K, i);
            weigh_rows(rows, mean, d->a + (w * T + i) * T, i + 1, K);
            cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, (int)K, (int)(i + 1),
                        1.0F, rows, (int)K, 1.0F, sum, (int)K);
        }
    for (size_t e = 0; e < K; e++)
        for (size_t k = 0; k <= e; k++)
            d->cov[e * K + k] = d->cov[k * K + e] = (double)sum[e * K + k] / (double)n;
    free(rows);
    for (size_t e = 0; e < K; e++)
        diagonal += d->cov[e * K + e] / (double)K;
    for (size_t e = 0; e < K; e++)
        d->cov[e * K + e] += RIDGE * diagonal;
    for (size_t e = 0; e < K * K; e++)
        d->ridge[e] = (float)(RIDGE * d->j->x_power * d->cov[e]);
    if (diagonal <= 0) /* no scores, no residual: nothing is ever solved */
        return MLS_OK;
    memcpy(d->factor, d->cov, K * K * sizeof *d->cov);
    return inverse_of(d->cov_inverse, d->factor, K, err);
}

/* solved = cov^-1 r E[x x^T]^-1. */
static void precondition(const head *d, const float *r)
{
    const int K = (int)d->K, R = (int)d->R;

    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, K, R, R, 1.0F, r, R,
                d->j->x_inverse, R, 0.0F, d->half, R);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, K, R, K, 1.0F,
                d->cov_inverse, K, d->half, R, 0.0F, d->solved, R);
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* image = normal matrix times direction, the ridge's share included. */
static double apply(const head *d, double queries)
{
    const size_t K = d->K, R = d->R;
    double product = 0;

    make_queries(d, d->direction, NULL, d->j->packed);
    for (size_t w = 0; w < d->W; w++) {
        if (held_out(w, d->W))
            continue;
        for (size_t first = 0; first < d->T; first += d->rows) {
            const size_t n = rows_at(d, first);

            form_scores(d, 1.0F, w, first, n);
            centre(d, w, first, n, true);
            take_back(d, w, first, n, d->j->packed != NULL);
        }
    }
    take_adjoint(d, d->image, d->j->packed);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)K, (int)R, (int)K, 1.0F,
                d->ridge, (int)K, d->direction, (int)R, (float)(1 / queries), d->image,
                (int)R);
    for (size_t i = 0; i < K * R; i++)
        product += (double)d->image[i] * (double)d->direction[i];
    return product;
}

/* Error on held-out windows after a step along the direction that made u. */
static double held_error(const head *d, double step, double before)
{
    const size_t T = d->T;
    float *rest = d->rest;
    double sum = 0;

    if (d->W < HELD_OUT)
        return before;
    for (size_t w = 0; w < d->W; w++) {
        if (!held_out(w, d->W))
            continue;
        for (size_t i = 0; i < T; i++) {
            const size_t n = rows_at(d, i);
            const float *s = d->s + i % d->rows * T;

            if (i % d->rows == 0) {
                form_scores(d, 1.0F, w, i, n);
                centre(d, w, i, n, false);
            }
            for (size_t j = 0; j <= i; j++)
                rest[i * T + j] -= (float)step * s[j];
            sum += weighted_squares(d->a + (w * T + i) * T, rest + i * T, i + 1);
        }
        rest += T * T;
    }
    return sum;
}

/* Conjugate gradients from the queries in d->m; the best stay in d->best. */
static void descend(const head *d)
{
    const size_t n = d->K * d->R;
    const double queries = (double)training_queries(d);
    float *rest = d->rest;
    double least = 0, rho, error;

    make_queries(d, d->m, d->bias, NULL);
    for (size_t w = 0; w < d->W; w++) {
        const bool held = held_out(w, d->W);

        least += begin_window(d, w, held ? rest : NULL);
        rest += held ? d->T * d->T : 0;
    }
    take_adjoint(d, d->residual, NULL);
    memcpy(d->best, d->m, n * sizeof *d->best);
    for (size_t i = 0; i < n; i++)
        d->residual[i] /= (float)queries;
    precondition(d, d->residual);
    rho = dot(d->residual, d->solved, n);
    memcpy(d->direction, d->solved, n * sizeof *d->direction);
    for (size_t step = 0; step < d->j->steps && rho > 0; step++) {
        const double curvature = apply(d, queries);
        const double alpha = curvature > 0 ? rho / curvature : 0, old = rho;

        for (size_t i = 0; i < n; i++) {
            d->m[i] += (float)alpha * d->direction[i];
            d->residual[i] -= (float)alpha * d->image[i];
        }
        error = held_error(d, alpha, least);
        if (error <= least) {
            least = error;
            memcpy(d->best, d->m, n * sizeof *d->best);
        }
        precondition(d, d->residual);
        rho = dot(d->residual, d->solved, n);
        for (size_t i = 0; i < n; i++)
            d->direction[i] =
                (float)((double)d->solved[i] + rho / old * (double)d->direction[i]);
    }
}

static mls_status head_new(head *d, float **floats, double **doubles, mls_err *err)
{
    const size_t T = d->T, K = d->K, R = d->R, W = d->W;
    const size_t wide = T > d->j->windows.width ? T : d->j->windows.width;
    const size_t sizes[] = {W * T * K, W * T * T, (W / HELD_OUT + 1) * T * T,
                            W * T * K, T * wide,  W * T * K,
                            K * R,     K * R,     K * R,
                            K * R,     K * R,     K * R,
                            K * R,     K * K,     K * K};
    float **part[] = {&d->phi,   &d->a,      &d->rest, &d->u,        &d->s,
                      &d->z,     &d->m,      &d->best, &d->residual, &d->direction,
                      &d->image, &d->solved, &d->half, &d->ridge,    &d->cov_inverse};
    size_t total = 0;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        total += sizes[i];
    *floats = mls_calloc3(total, 1, 1, sizeof **floats);
    *doubles = mls_calloc3(2 * K, K, 1, sizeof **doubles);
    if (!*floats || !*doubles)
        return mls_fail(err, MLS_E_NOMEM, "no memory to fit the queries of a head");
    total = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        *part[i] = *floats + total;
        total += sizes[i];
    }
    d->cov = *doubles;
    d->factor = d->cov + K * K;
    return MLS_OK;
}

/* m = the queries that are there, in the space of the inputs. */
static void begin_queries(const head *d)
{
    const job *j = d->j;
    const size_t E = j->f->E;
    const float *w = j->f->query.w + j->first[d->h] * E;

    if (j->span.r)
        mls_matmul_f32(d->m, w, j->span.basis, d->K, d->R, E);
    else
        memcpy(d->m, w, d->K * E * sizeof *d->m);
}

/* The new queries: outside of the space of the inputs they stay. */
static void end_queries(const head *d)
{
    const job *j = d->j;
    const size_t E = j->f->E, K = d->K, R = d->R;
    const float *w = j->f->query.w + j->first[d->h] * E;
    float *to = j->wq + j->first[d->h] * E;

    if (!j->span.r) {
        memcpy(to, d->best, K * E * sizeof *to);
        return;
    }
    memcpy(to, w, K * E * sizeof *to);
    mls_matmul_f32(d->m, w, j->span.basis, K, R, E);
    for (size_t i = 0; i < K * R; i++)
        d->m[i] = d->best[i] - d->m[i];
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)K, (int)E, (int)R, 1.0F,
                d->m, (int)R, j->span.basis, (int)E, 1.0F, to, (int)E);
}

static mls_status one_head(void *arg, size_t h, size_t worker, mls_err *err)
{
    const job *j = arg;
    const mls_latent_form *f = j->f;
    const size_t g = h / (f->H / f->G);
    const mls_read_head *r = &f->head[g];
    head d = {.j = j,
              .h = h,
              .g = g,
              .rows = j->packed ? ROWS_BF16 : ROWS,
              .n_key = r->n_key,
              .n_rope = r->rope_key >= 0 ? f->rope_key[r->rope_key].n : 0,
              .W = j->windows.n,
              .T = j->windows.T,
              .R = j->R,
              .bias = f->query.b ? f->query.b + j->first[h] : NULL};
    float *floats = NULL, *cs = NULL;
    double *doubles = NULL;
    mls_status st;

    (void)worker;
    d.K = d.n_key + d.n_rope;
    st = head_new(&d, &floats, &doubles, err);
    if (!st && d.n_rope) {
        const size_t n = d.T * d.n_rope;

        cs = mls_calloc3(2, n, 1, sizeof *cs);
        if (cs)
            mls_rope_table(cs, f->rope_key[r->rope_key].inv_freq, d.n_rope / 2, d.T);
        else
            st = mls_fail(err, MLS_E_NOMEM, "no memory to fit the queries of a head");
        for (size_t i = 0; cs && i < n; i++)
            cs[n + i % d.n_rope * d.T + i / d.n_rope] = cs[i];
        d.cs = cs;
        d.cs_t = cs + n;
    }
    if (!st) {
        fill_keys(&d);
        fill_attention(&d);
        begin_queries(&d);
        st = key_covariance(&d, err);
    }
    if (!st) {
        descend(&d);
        end_queries(&d);
    }
    mls_free_all(floats, doubles, cs);
    return st;
}

/* E[x x^T] over the training windows, its ridge, and the inverse of both. */
static mls_status input_inverse(job *j, mls_err *err)
{
    const size_t R = j->R, rows = j->windows.T;
    double *x = mls_calloc3(rows + R, R, 1, sizeof *x), *factor = x + rows * R;
    size_t n = 0;
    mls_status st = MLS_OK;

    j->x_inverse = mls_calloc3(R, R, 1, sizeof *j->x_inverse);
    if (!x || !j->x_inverse) {
        free(x);
        return mls_fail(err, MLS_E_NOMEM, "no memory to fit queries");
    }
    for (size_t w = 0; w < j->windows.n; w++) {
        if (held_out(w, j->windows.n))
            continue;
        for (size_t i = 0; i < rows * R; i++)
            x[i] = (double)j->x[w * rows * R + i];
        cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, (int)R, (int)rows, 1.0, x,
                    (int)R, 1.0, factor, (int)R);
        n += rows;
    }
    j->x_power = 0;
    for (size_t i = 0; i < R * R; i++)
        factor[i] /= (double)n;
    for (size_t i = 0; i < R; i++)
        j->x_power += factor[i * R + i] / (double)j->f->E;
    for (size_t i = 0; i < R; i++)
        factor[i * R + i] += RIDGE * j->x_power;
    if (j->x_power > 0)
        st = inverse_of(j->x_inverse, factor, R, err);
    free(x);
    return st;
}

static mls_status read_latent(void *arg, size_t at, size_t worker, mls_err *err)
{
    const job *j = arg;
    const size_t T = j->windows.T, window = at % j->windows.n, E = j->f->E;
    const mls_latent_vector *v = &j->f->latent[at / j->windows.n];

    (void)worker;
    (void)err;
    if (j->latent[at / j->windows.n])
        mls_linear(j->latent[at / j->windows.n] + window * T * v->r,
                   j->windows.x + window * T * E, v->down.w, v->down.b, T, v->r, E);
    return MLS_OK;
}

/* What heads read keys from, once for all heads. */
static mls_status read_latents(job *j, mls_pool *pool, mls_err *err)
{
    const mls_latent_form *f = j->f;
    mls_status st = MLS_OK;

    j->latent = mls_calloc3(f->n_latents + 1, 1, 1, sizeof *j->latent);
    if (!j->latent)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to fit queries");
    for (size_t g = 0; !st && g < f->G; g++) {
        const int i = f->head[g].key_latent;

        if (f->head[g].n_key == 0 || j->latent[i])
            continue;
        j->latent[i] =
            mls_calloc3(j->windows.n * j->windows.T, f->latent[i].r, 1, sizeof(float));
        if (!j->latent[i])
            st = mls_fail(err, MLS_E_NOMEM, "no memory to fit queries");
    }
    return st ? st
              : mls_pool_run(pool, f->n_latents * j->windows.n, read_latent, j, err);
}

static void free_latents(job *j)
{
    for (size_t i = 0; j->latent && i < j->f->n_latents; i++)
        free(j->latent[i]);
    free(j->latent);
}

mls_status mls_refit_queries(mls_latent_form *f, mls_capture *capture, size_t n_windows,
                             size_t steps, mls_compute compute, mls_pool *pool,
                             mls_err *err)
{
    job j = {.f = f, .steps = steps};
    size_t rows = 0, all;
    mls_status st;

    if (f->k_own.cols)
        return mls_fail(
            err, MLS_E_INPUT,
            "layer %zu has QK-norm: its scores have a factor for every key, "
            "to which queries are not fitted",
            f->layer);

    j.first = mls_calloc3(f->H, 1, 1, sizeof *j.first);
    for (size_t h = 0; j.first && h < f->H; h++) {
        j.first[h] = rows;
        rows += mls_latent_query_dims(f, h);
    }
    j.wq = mls_calloc3(rows, f->E, 1, sizeof *j.wq);
    st = j.first && j.wq ? mls_refit_windows_load(&j.windows, capture, f, n_windows,
                                                  SCORES_MAX, err)
                         : mls_fail(err, MLS_E_NOMEM, "no memory to fit queries");
    all = j.windows.n * j.windows.T;
    if (!st && mls_refit_span_pays(all, f->E))
        st = mls_refit_span_new(&j.span, j.windows.x, all, f->E, err);
    j.x = j.span.r ? j.span.at : j.windows.x;
    j.R = j.span.r ? j.span.r : f->E;
    if (!st)
        st = read_latents(&j, pool, err);
    if (!st)
        st = input_inverse(&j, err);
    if (!st && compute == MLS_COMPUTE_BF16)
        st = mls_packed_new(&j.packed, err);
    if (!st && j.packed)
        st = mls_packed_add(j.packed, j.x, all, j.R, err);
    if (!st && j.packed)
        st = mls_packed_add_back(j.packed, j.x, all, j.R, err);
    if (!st && j.x_power > 0) {
        st = mls_pool_run(pool, f->H, one_head, &j, err);
        if (!st)
            memcpy(f->query.w, j.wq, rows * f->E * sizeof *f->query.w);
    }
    free_latents(&j);
    mls_refit_windows_free(&j.windows);
    mls_refit_span_free(&j.span);
    mls_packed_free(j.packed);
    mls_free_all(j.x_inverse, j.first, j.wq);
    return st;
}
