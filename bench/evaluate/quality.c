/*
 * From scores to figures: means over sequences with their 95 % intervals, and the
 * distribution of KL over positions. Sequences, not positions, are the sample: those of
 * one text depend on each other. The difference of two NLL is taken sequence by
 * sequence, so that what makes a sequence hard for both cancels.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/evaluate/evaluate_inner.h"
#include "common/base/checked.h"

void mls_quality_free(mls_quality *q)
{
    mls_free_all(q->seq_nll, q->seq_kl, q->seq_top1, q->seq_hit, q->layout,
                 q->predicted, q->refused);
}

mls_status mls_quality_refuse(mls_quality *q, const char *why)
{
    q->refused = strdup(why);
    return q->refused ? MLS_OK : MLS_E_NOMEM;
}

void mls_evaluation_free(mls_evaluation *e)
{
    mls_quality_free(&e->original);
    for (size_t i = 0; e->variant && i < e->n; i++)
        mls_quality_free(&e->variant[i]);
    free(e->variant);
    *e = (mls_evaluation){0};
}

static double *copy_doubles(const double *x, size_t n)
{
    double *y = mls_calloc3(n, 1, 1, sizeof *y);

    if (y)
        memcpy(y, x, n * sizeof *y);
    return y;
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* Means of every bin over the sequences that have it, each by its own positions. */
static mls_status fill_bins(mls_by_position *at, const mls_scores *s, size_t i,
                            mls_err *err)
{
    const size_t N = s->N;
    double *nll = mls_calloc3(2 * N, 1, 1, sizeof *nll), *kl = nll + N;

    if (!nll)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the results");
    *at = (mls_by_position){0};
    for (size_t b = 0; b < MLS_POSITION_BINS; b++) {
        size_t n = 0;

        for (size_t k = 0; k < N; k++) {
            const double positions = s->bin_n[k * MLS_POSITION_BINS + b];
            const size_t from = (i * N + k) * MLS_POSITION_BINS + b;

            if (positions == 0)
                continue;
            nll[n] = s->bin_nll[from] / positions;
            kl[n++] = s->bin_kl[from] / positions;
        }
        at->nll[b] = n ? mls_mean_of(nll, n) : (mls_mean){NAN, NAN};
        at->kl[b] = n ? mls_mean_of(kl, n) : (mls_mean){NAN, NAN};
        if (n)
            at->n = b + 1;
    }
    free(nll);
    return MLS_OK;
}

/* Row i of the scores; the original's own KL is 0 and its top-1 share 1. */
static mls_status fill(mls_quality *q, const mls_scores *s, size_t i, mls_err *err)
{
    const size_t N = s->N;

    q->N = N;
    q->n_scored = s->row[N];
    q->nll = mls_mean_of(s->nll + i * N, N);
    q->seq_nll = copy_doubles(s->nll + i * N, N);
    q->seq_kl = copy_doubles(s->kl + i * N, N);
    q->seq_top1 = copy_doubles(s->top1 + i * N, N);
    q->seq_hit = copy_doubles(s->hit + i * N, N);
    return q->seq_nll && q->seq_kl && q->seq_top1 && q->seq_hit
               ? fill_bins(&q->at, s, i, err)
               : mls_fail(err, MLS_E_NOMEM, "no memory for the results");
}

static void fill_differences(mls_quality *q, mls_scores *s, size_t i)
{
    const size_t N = s->N, scored = s->row[N];
    float *kl = s->kl_at + i * scored;

    q->kl = mls_mean_of(s->kl + i * N, N);
    q->top1 = mls_mean_of(s->top1 + i * N, N);
    q->dnll = mls_mean_of_difference(s->nll + i * N, s->nll, N);
    qsort(kl, scored, sizeof *kl, by_value);
    q->kl_median = mls_quantile_sorted(kl, scored, 0.5);
    q->kl_90 = mls_quantile_sorted(kl, scored, 0.9);
    q->kl_95 = mls_quantile_sorted(kl, scored, 0.95);
    q->kl_99 = mls_quantile_sorted(kl, scored, 0.99);
    q->kl_999 = mls_quantile_sorted(kl, scored, 0.999);
    q->kl_max = (double)kl[scored - 1];
}

mls_status mls_quality_of(mls_quality *original, mls_quality *variant, mls_scores *s,
                          mls_err *err)
{
    mls_status st = MLS_OK;

    if (!original->seq_nll) {
        st = fill(original, s, 0, err);
        original->top1 = (mls_mean){.mean = 1};
    }
    for (size_t i = 0; !st && i < s->n; i++) {
        if (variant[i].refused) {
            mls_quality_unmeasured(&variant[i]);
            continue;
        }
        st = fill(&variant[i], s, i + 1, err);
        fill_differences(&variant[i], s, i + 1);
    }
    return st;
}

void mls_quality_unmeasured(mls_quality *q)
{
    q->nll = q->kl = q->top1 = q->dnll = (mls_mean){NAN, NAN};
    q->kl_median = q->kl_90 = q->kl_95 = q->kl_99 = q->kl_999 = q->kl_max = NAN;
}
