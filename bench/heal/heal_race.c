/*
 * An eighth of the steps, on at most 32 windows in batches of 4, tested on the windows
 * that the real healing holds out: what training repairs early tells the order. Refused
 * settings have no KL and never win; equal ones keep their order.
 */
#include "bench/heal/heal_race.h"

#include <math.h>

#include "bench/heal/measure.h"

enum { SHORTER = 8, WINDOWS = 32, HELD = 4, BATCH = 4 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

mls_status mls_heal_race(size_t *best, size_t keep, const mls_heal_job *like,
                         const char *base, const mls_scheme *scheme, size_t n,
                         const mls_evaluate_options *how, mls_err *err)
{
    const mls_corpus *all = like->corpus;
    mls_heal_job job = *like;
    mls_corpus train = {0}, test = {0};
    mls_evaluation e = {0};
    mls_status st;

    if (n <= keep) {
        for (size_t i = 0; i < keep; i++)
            best[i] = i;
        return MLS_OK;
    }
    st = mls_corpus_part(&train, all, 0, least(all->N - like->n_held, WINDOWS), err);
    if (!st)
        st = mls_corpus_part(&test, all, all->N - like->n_held, like->n_held, err);
    job.corpus = &train;
    job.n_held = least(HELD, train.N - 1);
    job.batch = least(BATCH, like->batch);
    job.steps = (like->steps + SHORTER - 1) / SHORTER;
    if (!st && train.N < 2)
        st = mls_fail(err, MLS_E_INPUT, "%zu windows of text are too few to heal on",
                      all->N);
    if (!st)
        st = mls_heal_measure(&e, &job, base, scheme, n, &test, how, err);
    for (size_t k = 0; !st && k < keep; k++) {
        const double bar = k ? e.variant[best[k - 1]].kl.mean : -HUGE_VAL;

        best[k] = n;
        for (size_t i = 0; i < n; i++) {
            const double kl = e.variant[i].kl.mean;
            const bool after =
                kl > bar || (k && kl == bar && i > best[k - 1]); /* not chosen yet */

            if (after && (best[k] == n || kl < e.variant[best[k]].kl.mean))
                best[k] = i;
        }
    }
    mls_evaluation_free(&e);
    mls_corpus_free(&train);
    mls_corpus_free(&test);
    return st;
}
