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
 * matrix is close to mean(Cov phi) x E[x x^T], whose inverse preconditions it: four
 * steps bring most, eight nearly all. M meets the inputs of all windows in one product,
 * X M^T and its adjoint; these two and the scores of a direction may run in bfloat16,
 * the residual that the steps begin from does not. Few inputs of a wide model span
 * little of its space, in which M moves alone: then all is done in theirs
 * (refit_span.h).
 *
 * Traps: the steps fit the windows, and wide models keep few: a ridge of 0.3 of the
 * mean diagonal holds back directions that the windows hardly show (with 1e-3 four
 * windows of SmolLM2-135M give KL 0.85 at 25 % instead of 0.49), and the step with the
 * least error on the held-out windows is kept. Weights a_ij^2 |v_j - o_i|^2, which
 * sensitivity.h derives for independent errors, fit worse here (demo, 25 %: KL 0.26
 * against 0.21), because errors of one query's scores are not independent.
 */
#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/latent/refit.h"
#include "analysis/latent/refit_head.h"
#include "analysis/model/rope.h"
#include "analysis/numeric/kernels.h"
#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"

enum {
    SCORES_MAX = 1 << 24, /* numbers of attention kept by one head's job */
    ROWS = 64,            /* queries whose scores are made at a time in float */
    ROWS_BF16 = 256, /* and in bfloat16, whose products have a price of their own */
};

static mls_status head_new(mls_refit_head *d, float **floats, double **doubles,
                           mls_err *err)
{
    const size_t T = d->T, K = d->K, R = d->R, W = d->W;
    const size_t wide = T > d->j->windows.width ? T : d->j->windows.width;
    const size_t sizes[] = {W * T * K, W * T * T, (W / MLS_REFIT_HELD_OUT + 1) * T * T,
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
static void begin_queries(const mls_refit_head *d)
{
    const mls_refit_job *j = d->j;
    const size_t E = j->f->E;
    const float *w = j->f->query.w + j->first[d->h] * E;

    if (j->span.r)
        mls_matmul_f32(d->m, w, j->span.basis, d->K, d->R, E);
    else
        memcpy(d->m, w, d->K * E * sizeof *d->m);
}

/* The new queries: outside of the space of the inputs they stay. */
static void end_queries(const mls_refit_head *d)
{
    const mls_refit_job *j = d->j;
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
    const mls_refit_job *j = arg;
    const mls_latent_form *f = j->f;
    const size_t g = h / (f->H / f->G);
    const mls_read_head *r = &f->head[g];
    mls_refit_head d = {.j = j,
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
        mls_refit_keys(&d);
        mls_refit_attention(&d);
        begin_queries(&d);
        st = mls_refit_covariance(&d, err);
    }
    if (!st) {
        mls_refit_descend(&d);
        end_queries(&d);
    }
    mls_free_all(floats, doubles, cs);
    return st;
}

/* E[x x^T] over the training windows, its ridge, and the inverse of both. */
static mls_status input_inverse(mls_refit_job *j, mls_err *err)
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
        if (mls_refit_held_out(w, j->windows.n))
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
        factor[i * R + i] += MLS_REFIT_RIDGE * j->x_power;
    if (j->x_power > 0)
        st = mls_refit_inverse(j->x_inverse, factor, R, err);
    free(x);
    return st;
}

static mls_status read_latent(void *arg, size_t at, size_t worker, mls_err *err)
{
    const mls_refit_job *j = arg;
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
static mls_status read_latents(mls_refit_job *j, mls_pool *pool, mls_err *err)
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

static void free_latents(mls_refit_job *j)
{
    for (size_t i = 0; j->latent && i < j->f->n_latents; i++)
        free(j->latent[i]);
    free(j->latent);
}

mls_status mls_refit_queries(mls_latent_form *f, mls_capture *capture, size_t n_windows,
                             size_t steps, mls_compute compute, mls_pool *pool,
                             mls_err *err)
{
    mls_refit_job j = {.f = f, .steps = steps};
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
