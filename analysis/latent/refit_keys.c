/*
 * Keys of a head, the attention that the model gives them, and their covariance under
 * it, which preconditions the descent: the normal matrix of head h is close to
 * mean(Cov phi) x E[x x^T], Cov phi weighted by the attention of a query and in its
 * frame (rope dims turned back by its position). It is taken from a few queries of a
 * few windows, in float: it only says in which units to step.
 */
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/latent/refit_head.h"
#include "analysis/model/rope.h"
#include "analysis/numeric/exponential.h"
#include "analysis/numeric/kernels.h"
#include "analysis/numeric/linalg.h"
#include "analysis/numeric/vector.h"
#include "common/base/checked.h"

enum { SAMPLED_QUERIES = 16 /* of a window */ };

void mls_refit_keys(const mls_refit_head *d)
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

void mls_refit_attention(const mls_refit_head *d)
{
    const size_t T = d->T;
    const float scale = (float)d->j->f->scale;

    memset(d->a, 0, d->W * T * T * sizeof *d->a);
    for (size_t w = 0; w < d->W; w++)
        for (size_t first = 0; first < T; first += d->rows) {
            const size_t n = T - first < d->rows ? T - first : d->rows;
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

mls_status mls_refit_inverse(float *out, double *a, size_t n, mls_err *err)
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
MLS_WIDE static void turn_keys_back(const mls_refit_head *d, float *rows,
                                    const float *phi, size_t i)
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
mls_status mls_refit_covariance(const mls_refit_head *d, mls_err *err)
{
    const size_t T = d->T, K = d->K;
    const size_t step = T > SAMPLED_QUERIES ? T / SAMPLED_QUERIES : 1;
    float *rows = mls_calloc3(T + 1 + K, K, 1, sizeof *rows);
    float *mean = rows + T * K, *sum = mean + K;
    double diagonal = 0;
    size_t n = 0;

    if (!rows)
        return mls_fail(err, MLS_E_NOMEM, "no memory to fit queries");
    for (size_t w = 0;
         w<d->W; w += d->W> MLS_REFIT_HELD_OUT ? d->W / MLS_REFIT_HELD_OUT : 1)
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
        d->cov[e * K + e] += MLS_REFIT_RIDGE * diagonal;
    for (size_t e = 0; e < K * K; e++)
        d->ridge[e] = (float)(MLS_REFIT_RIDGE * d->j->x_power * d->cov[e]);
    if (diagonal <= 0) /* no scores, no residual: nothing is ever solved */
        return MLS_OK;
    memcpy(d->factor, d->cov, K * K * sizeof *d->cov);
    return mls_refit_inverse(d->cov_inverse, d->factor, K, err);
}
