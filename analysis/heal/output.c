/*
 * The closed form of a layer's output projection:
 *
 * W_O = argmin sum |W_O o + b - target|^2 + ridge |W_O - now|^2 over the training
 * windows, b as it is; ridge 1e-4 of the mean square of what heads read.
 */
#include <lapacke.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/heal/layer_inner.h"
#include "common/base/checked.h"

/* O^T O and O^T target of one of the sums' windows. */
static mls_status add_normal(void *arg, size_t job, size_t worker, mls_err *err)
{
    const mls_healing *k = arg;
    const size_t T = k->w->T, E = k->w->E, m = k->columns;
    const float *bo = k->p.output.b == MLS_NO_ARRAY ? NULL : k->theta + k->p.output.b;
    double *normal = k->normal + job * m * (m + E);
    double *rows = mls_calloc3(T, m + E, 1, sizeof *rows);
    size_t first, last;
    mls_status st = rows ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory");

    mls_healing_part(k, job, &first, &last);
    memset(normal, 0, m * (m + E) * sizeof *normal);
    for (size_t i = first; !st && i < last; i++) {
        const float *o, *target = k->w->target + k->batch[i] * T * E;

        st = mls_healing_window(k, k->batch[i], worker, err);
        o = mls_heal_pass_heads(k->pass[worker]);
        for (size_t t = 0; t < T; t++) {
            for (size_t c = 0; c < m; c++)
                rows[t * (m + E) + c] = (double)o[t * m + c];
            for (size_t e = 0; e < E; e++)
                rows[t * (m + E) + m + e] =
                    (double)target[t * E + e] - (bo ? (double)bo[e] : 0);
        }
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)m, (int)(m + E),
                    (int)T, 1, rows, (int)(m + E), rows, (int)(m + E), 1, normal,
                    (int)(m + E));
    }
    free(rows);
    return st;
}

mls_status mls_heal_output(mls_healing *k, mls_err *err)
{
    const size_t E = k->w->E, m = k->columns, ld = m + E,
                 n_train = k->w->n - k->w->n_held;
    double *a = mls_calloc3(m, m, 1, sizeof *a), *b = mls_calloc3(m, E, 1, sizeof *b);
    float *wo = k->theta + k->p.output.w;
    double trace = 0, ridge;
    mls_status st = a && b ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory");

    k->batch = k->order;
    k->n_batch = n_train;
    if (!st)
        st = mls_pool_run(k->pool, MLS_HEAL_SUMS, add_normal, k, err);
    if (st)
        goto done;
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < m; j++)
            for (size_t s = 0; s < MLS_HEAL_SUMS; s++)
                a[i * m + j] += k->normal[(s * m + i) * ld + j];
        for (size_t e = 0; e < E; e++)
            for (size_t s = 0; s < MLS_HEAL_SUMS; s++)
                b[i * E + e] += k->normal[(s * m + i) * ld + m + e];
        trace += a[i * m + i];
    }
    ridge = 1e-4 * trace / (double)m;
    for (size_t i = 0; i < m; i++) {
        a[i * m + i] += ridge;
        for (size_t e = 0; e < E; e++)
            b[i * E + e] += ridge * (double)wo[e * m + i];
    }
    if (LAPACKE_dposv(LAPACK_ROW_MAJOR, 'U', (int)m, (int)E, a, (int)m, b, (int)E) !=
        0) {
        st = mls_fail(err, MLS_E_NUMERIC, "the least squares of W_O failed");
        goto done;
    }
    for (size_t i = 0; i < m; i++)
        for (size_t e = 0; e < E; e++)
            wo[e * m + i] = (float)b[i * E + e];

done:
    mls_free_all(a, b);
    return st;
}
