/*
 * Sequences or windows are drawn with replacement and the whole ranking is made of each
 * draw; a draw is a job with a random stream of its number. The stability curve holds
 * two samples that share nothing against each other, of 1, 2, 4 ... units up to half of
 * all: where it has flattened, more text would not help.
 */
#include "analysis/frequency/bootstrap.h"

#include <stdlib.h>

#include "analysis/frequency/agreement.h"
#include "analysis/numeric/interval.h"
#include "common/base/checked.h"
#include "common/numbers/rng.h"

/* A number that is no draw of the stability curve, so that streams do not meet. */
static const uint64_t stability_stream = (uint64_t)1 << 32;

typedef struct {
    const mls_rule_scores *s;
    size_t B;
    uint64_t seed;
    double *score;   /* (B, G, C) */
    uint16_t *order; /* (B, G, C) */
} draws;

static mls_status job_draw(void *arg, size_t job, size_t worker, mls_err *err)
{
    const draws *d = arg;
    const mls_rule_scores *s = d->s;
    const size_t n = s->G * s->C;
    double *work = mls_calloc3(mls_rule_scores_work(s), 1, 1, sizeof *work);
    size_t *pick = mls_calloc3(s->units, 1, 1, sizeof *pick);
    mls_rng rng;

    (void)worker;
    if (!work || !pick) {
        mls_free_all(work, pick);
        return mls_fail(err, MLS_E_NOMEM, "no memory for a bootstrap");
    }
    mls_rng_seed(&rng, d->seed, job);
    for (size_t u = 0; u < s->units; u++)
        pick[u] = mls_rng_below(&rng, s->units);
    mls_rule_scores_resample(s, pick, s->units, d->score + job * n, d->order + job * n,
                             work);
    mls_free_all(work, pick);
    return MLS_OK;
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* 2.5 and 97.5 % points of score i over the draws. column (B) is scratch. */
static void interval_of(mls_bootstrap *b, const draws *d, size_t i, float *column)
{
    const size_t n = d->s->G * d->s->C;

    for (size_t draw = 0; draw < d->B; draw++)
        column[draw] = (float)d->score[draw * n + i];
    qsort(column, d->B, sizeof *column, by_value);
    b->low[i] = mls_quantile_sorted(column, d->B, 0.025);
    b->high[i] = mls_quantile_sorted(column, d->B, 0.975);
}

mls_status mls_bootstrap_make(mls_bootstrap *out, const mls_rule_scores *s,
                              const size_t *chunks, size_t n_chunks, size_t B,
                              uint64_t seed, mls_pool *pool, mls_err *err)
{
    const size_t G = s->G, C = s->C;
    mls_bootstrap b = {0};
    draws d = {.s = s, .B = B, .seed = seed};
    float *column = mls_calloc3(B, 1, 1, sizeof *column);
    mls_status st;

    *out = (mls_bootstrap){0};
    b.low = mls_calloc3(G, C, 1, sizeof *b.low);
    b.high = mls_calloc3(G, C, 1, sizeof *b.high);
    b.in_top = mls_calloc3(n_chunks, G, C, sizeof *b.in_top);
    d.score = mls_calloc3(B, G, C, sizeof *d.score);
    d.order = mls_calloc3(B, G, C, sizeof *d.order);
    if (!column || !b.low || !b.high || !b.in_top || !d.score || !d.order) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu resamples", B);
        goto done;
    }
    st = mls_pool_run(pool, B, job_draw, &d, err);
    if (st)
        goto done;
    for (size_t i = 0; i < G * C; i++)
        interval_of(&b, &d, i, column);
    for (size_t i = 0; i < n_chunks; i++)
        for (size_t draw = 0; draw < B; draw++)
            for (size_t g = 0; g < G; g++)
                for (size_t k = 0; k < chunks[i]; k++)
                    b.in_top[(i * G + g) * C + d.order[(draw * G + g) * C + k]] +=
                        1.0 / (double)B;

done:
    mls_free_all(column, d.score, d.order);
    if (st)
        mls_bootstrap_free(&b);
    *out = b;
    return st;
}

void mls_bootstrap_free(mls_bootstrap *b)
{
    mls_free_all(b->low, b->high, b->in_top);
    *b = (mls_bootstrap){0};
}

/* Two rankings of a layer. */
typedef struct {
    double *score[2]; /* (G, C) */
    uint16_t *order[2];
    double *work;
    size_t *unit; /* (units) */
} pair;

static void pair_free(pair *p)
{
    for (size_t i = 0; i < 2; i++)
        mls_free_all(p->score[i], p->order[i]);
    mls_free_all(p->work, p->unit);
}

static mls_status pair_new(pair *p, const mls_rule_scores *s, mls_err *err)
{
    *p = (pair){0};
    for (size_t i = 0; i < 2; i++) {
        p->score[i] = mls_calloc3(s->G, s->C, 1, sizeof *p->score[i]);
        p->order[i] = mls_calloc3(s->G, s->C, 1, sizeof *p->order[i]);
    }
    p->work = mls_calloc3(mls_rule_scores_work(s), 1, 1, sizeof *p->work);
    p->unit = mls_calloc3(s->units, 1, 1, sizeof *p->unit);
    if (!p->score[0] || !p->score[1] || !p->order[0] || !p->order[1] || !p->work ||
        !p->unit)
        return mls_fail(err, MLS_E_NOMEM, "no memory for two rankings");
    return MLS_OK;
}

/* The first 2 m of the units, in random order. */
static void shuffle(size_t *unit, size_t n, size_t m, mls_rng *rng)
{
    for (size_t i = 0; i < n; i++)
        unit[i] = i;
    for (size_t i = 0; i < 2 * m; i++) {
        const size_t other = i + mls_rng_below(rng, n - i), held = unit[i];

        unit[i] = unit[other];
        unit[other] = held;
    }
}

mls_status mls_stability_make(mls_stability *out, const mls_rule_scores *s,
                              const size_t *chunks, size_t n_chunks, uint64_t seed,
                              mls_err *err)
{
    const size_t half = s->units / 2;
    mls_stability y = {0};
    pair p;
    mls_status st;

    *out = (mls_stability){0};
    if (half == 0)
        return mls_fail(
            err, MLS_E_INPUT, "rule %s: one %s cannot be compared with another",
            s->rule->name, s->rule->needs == MLS_NEEDS_STATS ? "sequence" : "window");
    for (size_t m = 1; m < half && y.n < MLS_STABILITY_SIZES - 1; m *= 2)
        y.units[y.n++] = m;
    y.units[y.n++] = half;
    st = pair_new(&p, s, err);
    y.overlap = mls_calloc3(y.n, n_chunks, 1, sizeof *y.overlap);
    if (!st && !y.overlap)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a curve of %zu sizes", y.n);
    for (size_t i = 0; i < y.n && !st; i++)
        for (size_t draw = 0; draw < MLS_STABILITY_DRAWS; draw++) {
            mls_rng rng;

            mls_rng_seed(&rng, seed, stability_stream + i * MLS_STABILITY_DRAWS + draw);
            shuffle(p.unit, s->units, y.units[i], &rng);
            for (size_t k = 0; k < 2; k++)
                mls_rule_scores_resample(s, p.unit + k * y.units[i], y.units[i],
                                         p.score[k], p.order[k], p.work);
            mls_order_agreement(p.order[0], p.order[1], s->G, s->C, chunks, n_chunks,
                                1.0 / MLS_STABILITY_DRAWS, y.overlap + i * n_chunks,
                                &y.correlation[i]);
        }
    pair_free(&p);
    if (st)
        mls_stability_free(&y);
    *out = y;
    return st;
}

void mls_stability_free(mls_stability *s)
{
    free(s->overlap);
    *s = (mls_stability){0};
}
