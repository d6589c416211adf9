/*
 * The descent of one head: conjugate gradients on
 *
 *   sum_i sum_j<=i  a_ij (s_ij - (M x_i)^T phi_ij)^2,   s and phi less their means
 *                                                       over j with weights a_ij
 *
 * (refit_queries.c), preconditioned by mean(Cov phi)^-1 on the left of M and
 * E[x x^T]^-1 on the right. A step passes all windows once: queries of the direction,
 * their scores, centred and weighted, and what these give back. Rows of scores are
 * centred where they are made; only those of held-out windows, whose error tells
 * whether to keep a step, stay.
 */
#include <cblas.h>
#include <string.h>

#include "analysis/latent/refit_head.h"
#include "analysis/numeric/packed.h"
#include "analysis/numeric/vector.h"

enum { LANES = 8 };

bool mls_refit_held_out(size_t window, size_t W)
{
    return W >= MLS_REFIT_HELD_OUT &&
           window % MLS_REFIT_HELD_OUT == MLS_REFIT_HELD_OUT - 1;
}

/* Rows n_key .. of u or z turned by the positions of every window, or back. */
MLS_WIDE static void turn_queries(const mls_refit_head *d, float *rows, float sign)
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
static void make_queries(const mls_refit_head *d, const float *m, const float *bias,
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
static size_t rows_at(const mls_refit_head *d, size_t first)
{
    return d->T - first < d->rows ? d->T - first : d->rows;
}

/*
 * s (n, T) = sign times the scores of rows first .. of u over the keys of a window; of
 * a direction (sign 1) in bfloat16 if that is asked for.
 */
static void form_scores(const mls_refit_head *d, float sign, size_t window,
                        size_t first, size_t n)
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
static void centre(const mls_refit_head *d, size_t window, size_t first, size_t n,
                   bool weigh)
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
static void take_back(const mls_refit_head *d, size_t window, size_t first, size_t n,
                      bool bf16)
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
static void take_adjoint(const mls_refit_head *d, float *image, mls_packed *packed)
{
    turn_queries(d, d->z, -1);
    mls_packed_back(packed, image, d->z, d->j->x, d->K, d->W * d->T, d->R);
}

static size_t training_queries(const mls_refit_head *d)
{
    size_t n = 0;

    for (size_t w = 0; w < d->W; w++)
        n += mls_refit_held_out(w, d->W) ? 0 : d->T;
    return n;
}

/*
 * The model's scores of a window less those of u, centred: taken back for a window to
 * fit; kept in rest for a held-out one, whose error is returned.
 */
static double begin_window(const mls_refit_head *d, size_t window, float *rest)
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

/* solved = cov^-1 r E[x x^T]^-1. */
static void precondition(const mls_refit_head *d, const float *r)
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
static double apply(const mls_refit_head *d, double queries)
{
    const size_t K = d->K, R = d->R;
    double product = 0;

    make_queries(d, d->direction, NULL, d->j->packed);
    for (size_t w = 0; w < d->W; w++) {
        if (mls_refit_held_out(w, d->W))
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
static double held_error(const mls_refit_head *d, double step, double before)
{
    const size_t T = d->T;
    float *rest = d->rest;
    double sum = 0;

    if (d->W < MLS_REFIT_HELD_OUT)
        return before;
    for (size_t w = 0; w < d->W; w++) {
        if (!mls_refit_held_out(w, d->W))
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

void mls_refit_descend(const mls_refit_head *d)
{
    const size_t n = d->K * d->R;
    const double queries = (double)training_queries(d);
    float *rest = d->rest;
    double least = 0, rho, error;

    make_queries(d, d->m, d->bias, NULL);
    for (size_t w = 0; w < d->W; w++) {
        const bool held = mls_refit_held_out(w, d->W);

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
