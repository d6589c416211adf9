/*
 * Causal attention of one query head. Scores and outputs P = softmax(s Q K^T), O = P V;
 * back, with dX the gradient of the loss by X:
 *
 *   dV = P^T dO,  dP = dO V^T,  dS = s P (dP - rowsum(dP P)),  dQ = dS K,  dK = dS^T Q
 *
 * in blocks of query rows that end where the causal triangle ends.
 */
#include "analysis/heal/pass_inner.h"

#include <math.h>
#include <string.h>

#include "analysis/numeric/exponential.h"
#include "analysis/numeric/lanes.h"

MLS_DEFINE_LARGEST(largest, mls_real)

/* x = softmax(x). */
MLS_WIDE
static void softmax(mls_real *x, size_t n)
{
    const mls_real top = largest(x, n);
    double lane[MLS_LANES] = {0}, sum = 0;
    size_t i = 0;

    for (size_t k = 0; k < n; k++)
        x[k] = MLS_REAL_EXP(x[k] - top);
    for (; i + MLS_LANES <= n; i += MLS_LANES)
        for (size_t j = 0; j < MLS_LANES; j++)
            lane[j] += (double)x[i + j];
    for (; i < n; i++)
        sum += (double)x[i];
    for (size_t j = 0; j < MLS_LANES; j++)
        sum += lane[j];
    for (size_t k = 0; k < n; k++)
        x[k] = (mls_real)((double)x[k] / sum);
}

/* d = scale p (d - sum of d p): back through a row's softmax. */
MLS_WIDE
static void softmax_back(mls_real *d, const mls_real *p, double scale, size_t n)
{
    double lane[MLS_LANES] = {0}, sum = 0;
    size_t i = 0;

    for (; i + MLS_LANES <= n; i += MLS_LANES)
        for (size_t j = 0; j < MLS_LANES; j++)
            lane[j] += (double)d[i + j] * (double)p[i + j];
    for (; i < n; i++)
        sum += (double)d[i] * (double)p[i];
    for (size_t j = 0; j < MLS_LANES; j++)
        sum += lane[j];
    for (size_t k = 0; k < n; k++)
        d[k] = (mls_real)(scale * (double)p[k] * ((double)d[k] - sum));
}

/* prob (T, T) and o (T, dv) of one head; rows beyond the causal triangle are 0. */
void mls_head_attend(const mls_heal_pass *s, const mls_head_place *a, const mls_real *q,
                     mls_real *prob, mls_real *o)
{
    const size_t T = s->T;

    for (size_t first = 0; first < T; first += MLS_HEAL_BLOCK) {
        const size_t n = T - first < MLS_HEAL_BLOCK ? T - first : MLS_HEAL_BLOCK,
                     seen = first + n;
        mls_real *block = prob + first * T;

        MLS_REAL_GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)seen,
                      (int)a->dk, (mls_real)s->f->scale, q + first * s->q_dims,
                      (int)s->q_dims, a->k, (int)a->dk, 0, block, (int)T);
        for (size_t i = 0; i < n; i++) {
            mls_real *row = block + i * T;
            size_t begin, end;

            mls_latent_hidden(s->f, first + i, &begin, &end);
            for (size_t j = begin; j < end; j++)
                row[j] = -(mls_real)INFINITY;
            softmax(row, first + i + 1);
            memset(row + first + i + 1, 0, (seen - first - i - 1) * sizeof *row);
        }
        MLS_REAL_GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)a->dv,
                      (int)seen, 1, block, (int)T, a->v, (int)a->dv, 0,
                      o + first * s->out_dims, (int)s->out_dims);
    }
}

/* d_q is written, d_k and d_v (T, dk), (T, dv) are added to. */
void mls_head_attend_back(const mls_heal_pass *s, const mls_head_place *a,
                          const mls_real *q, const mls_real *prob, const mls_real *d_o,
                          mls_real *d_q)
{
    const size_t T = s->T, ld_q = s->q_dims, ld_o = s->out_dims;

    for (size_t first = 0; first < T; first += MLS_HEAL_BLOCK) {
        const size_t n = T - first < MLS_HEAL_BLOCK ? T - first : MLS_HEAL_BLOCK,
                     seen = first + n;
        const mls_real *block = prob + first * T, *d_block = d_o + first * ld_o;

        MLS_REAL_GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, (int)seen, (int)a->dv,
                      (int)n, 1, block, (int)T, d_block, (int)ld_o, 1, s->d_v,
                      (int)a->dv);
        MLS_REAL_GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)seen,
                      (int)a->dv, 1, d_block, (int)ld_o, a->v, (int)a->dv, 0, s->d_s,
                      (int)seen);
        for (size_t i = 0; i < n; i++)
            softmax_back(s->d_s + i * seen, block + i * T, s->f->scale, seen);
        MLS_REAL_GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)a->dk,
                      (int)seen, 1, s->d_s, (int)seen, a->k, (int)a->dk, 0,
                      d_q + first * ld_q, (int)ld_q);
        MLS_REAL_GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, (int)seen, (int)a->dk,
                      (int)n, 1, s->d_s, (int)seen, q + first * ld_q, (int)ld_q, 1,
                      s->d_k, (int)a->dk);
    }
}
