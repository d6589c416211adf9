/*
 * Two settings on the same items: the difference of losses with Student's interval over
 * items, and McNemar's test of the items that only one of them gets right. Both are
 * against the original and against the best of the other settings.
 */
#include "reports/tables/item_tables.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/numeric/interval.h"
#include "common/base/checked.h"

/* One setting's losses and hits of n items. */
typedef struct {
    double *loss, *right; /* (n); right is 0 or 1 */
} outcome;

static const mls_quality *quality_of(const mls_evaluation *e, size_t v)
{
    return v ? &e->variant[v - 1] : &e->original;
}

static double mcnemar(const outcome *a, const outcome *b, size_t n)
{
    size_t only_a = 0, only_b = 0;

    for (size_t i = 0; i < n; i++) {
        only_a += a->right[i] > b->right[i];
        only_b += b->right[i] > a->right[i];
    }
    return mls_mcnemar(only_a, only_b);
}

/* The converted setting with the least loss; 0: none was measured. */
static size_t best_of(const mls_evaluation *e, const outcome *o, size_t n)
{
    size_t best = 0;
    double least = 0;

    for (size_t v = 1; v <= e->n; v++) {
        const double loss =
            quality_of(e, v)->refused ? (double)NAN : mls_mean_of(o[v].loss, n).mean;

        if (!isnan(loss) && (best == 0 || loss < least)) {
            best = v;
            least = loss;
        }
    }
    return best;
}

static void paired_columns(mls_table *t, const char *what)
{
    char key[48];

    MLS_COLUMNS(t, {"delta", "Δ", what, 4}, {"delta_half", "±", what, 4},
                {"mcnemar_p", "McNemar", "p", 3});
    snprintf(key, sizeof key, "Δ to best");
    MLS_COLUMNS(t, {"delta_best", key, what, 4}, {"delta_best_half", "±", what, 4},
                {"mcnemar_best_p", "McNemar", "p", 3});
}

static void add_mean(mls_table *t, mls_mean m)
{
    mls_table_cells(t, "%g %g", m.mean, m.half);
}

/* Against the original, and against the best. */
static void add_paired(mls_table *t, const outcome *o, size_t v, size_t best, size_t n)
{
    const size_t against[] = {0, best};

    for (size_t k = 0; k < 2; k++) {
        const outcome *other = &o[against[k]];

        if (v == against[k] || v == 0) {
            for (size_t i = 0; i < 3; i++)
                mls_table_empty(t);
            continue;
        }
        add_mean(t, mls_mean_of_difference(o[v].loss, other->loss, n));
        mls_table_real(t, mcnemar(&o[v], other, n));
    }
}

/* Room for every setting and the original; o[0].loss holds it all. */
static outcome *outcomes_new(size_t settings, size_t n)
{
    outcome *o = mls_calloc3(settings, 1, 1, sizeof *o);
    double *room = mls_calloc3(settings, n, 2, sizeof *room);

    if (!o || !room) {
        mls_free_all(o, room);
        return NULL;
    }
    for (size_t v = 0; v < settings; v++)
        o[v] = (outcome){room + 2 * v * n, room + (2 * v + 1) * n};
    return o;
}

static void outcomes_free(outcome *o)
{
    mls_free_all(o[0].loss, o);
}

static void retrieval_rows(mls_table *t, const mls_retrieval *r,
                           const mls_evaluation *e, const char *const *name, outcome *o,
                           size_t v)
{
    for (size_t d = 0; d < r->n_distances; d++) {
        for (size_t k = 0; k <= e->n; k++)
            for (size_t i = 0; i < r->n && !quality_of(e, k)->refused; i++) {
                const size_t s = i * r->n_distances + d;

                o[k].loss[i] = quality_of(e, k)->seq_nll[s];
                o[k].right[i] = quality_of(e, k)->seq_hit[s] >= 1;
            }
        mls_table_line(t, "%s", v ? name[v - 1] : "original");
        if (r->distance[d] == SIZE_MAX)
            mls_table_text(t, "no pair");
        else
            mls_table_count(t, (long long)r->distance[d]);
        if (quality_of(e, v)->refused) {
            for (size_t i = 0; i < 9; i++)
                mls_table_empty(t);
            continue;
        }
        add_mean(t, mls_mean_of(o[v].loss, r->n));
        mls_table_real(t, 100 * mls_mean_of(o[v].right, r->n).mean);
        add_paired(t, o, v, best_of(e, o, r->n), r->n);
    }
}

mls_table *mls_retrieval_table(const mls_retrieval *r, const mls_evaluation *e,
                               const char *const *name)
{
    outcome *o = outcomes_new(e->n + 1, r->n);
    mls_table *t = o ? mls_table_new(NULL) : NULL;

    if (!o)
        return NULL;
    MLS_COLUMNS(t, {"setting", "setting", "", 0}, {"distance", "distance", "tokens", 0},
                {"nll", "NLL", "nat", 4}, {"nll_half", "±", "nat", 4},
                {"found_percent", "found", "%", 1});
    paired_columns(t, "nat");
    for (size_t v = 0; v <= e->n; v++)
        retrieval_rows(t, r, e, name, o, v);
    mls_table_say(
        t,
        "%zu pairs of key and value, each in a text of its own; NLL: of a token of "
        "the value; found: every one of them is the most likely",
        r->n);
    mls_table_note(t, "distance: tokens of text between the pair and the question; no "
                      "pair: the same question without one");
    mls_table_note(t, "Δ: paired by item, with the original and with the setting of "
                      "least NLL; McNemar: whether what only one of the two finds is "
                      "chance");
    outcomes_free(o);
    return t;
}

/* Wrong answers as a loss, so that a Δ above 0 is worse, as everywhere. */
static void judge(outcome *o, const mls_choices *c, const size_t *pick)
{
    for (size_t i = 0; i < c->n; i++) {
        o->right[i] = pick[i] == c->answer[i];
        o->loss[i] = 1 - o->right[i];
    }
}

static void add_accuracy(mls_table *t, const outcome *o, size_t n)
{
    const mls_mean m = mls_mean_of(o->right, n);

    mls_table_cells(t, "%g %g", 100 * m.mean, 100 * m.half);
}

mls_table *mls_choices_table(const mls_choices *c, const mls_evaluation *e,
                             const char *const *name)
{
    const size_t n = c->n, settings = e->n + 1;
    outcome *sum = outcomes_new(settings, n), *norm = outcomes_new(settings, n);
    size_t *pick = mls_calloc3(settings, n, 2, sizeof *pick);
    mls_table *t = sum && norm && pick ? mls_table_new(NULL) : NULL;

    if (!t)
        goto done;
    MLS_COLUMNS(t, {"setting", "setting", "", 0}, {"acc_percent", "acc", "%", 2},
                {"acc_half", "±", "%", 2}, {"acc_norm_percent", "acc_norm", "%", 2},
                {"acc_norm_half", "±", "%", 2}, {"same_percent", "same choice", "%", 1},
                {"wrong_more_percent", "acc lost", "points", 2},
                {"wrong_more_half", "±", "points", 2}, {"mcnemar_p", "McNemar", "p", 3},
                {"mcnemar_best_p", "to best", "p", 3});
    for (size_t v = 0; v < settings; v++) {
        size_t *own = pick + 2 * v * n;

        if (quality_of(e, v)->refused)
            continue;
        mls_choices_pick(own, own + n, c, quality_of(e, v)->seq_nll);
        judge(&sum[v], c, own);
        judge(&norm[v], c, own + n);
    }
    const size_t best = best_of(e, sum, n);

    for (size_t v = 0; v < settings; v++) {
        const size_t *own = pick + 2 * v * n;
        double same = 0;

        mls_table_line(t, "%s", v ? name[v - 1] : "original");
        if (quality_of(e, v)->refused) {
            for (size_t i = 0; i < 9; i++)
                mls_table_empty(t);
            continue;
        }
        add_accuracy(t, &sum[v], n);
        add_accuracy(t, &norm[v], n);
        for (size_t i = 0; i < n; i++)
            same += own[i] == pick[i];
        mls_table_real(t, v ? 100 * same / (double)n : (double)NAN);
        const mls_mean lost = mls_mean_of_difference(sum[v].loss, sum[0].loss, n);

        mls_table_cells(t, "%g %g %g %g", v ? 100 * lost.mean : (double)NAN,
                        v ? 100 * lost.half : (double)NAN,
                        v ? mcnemar(&sum[v], &sum[0], n) : (double)NAN,
                        v && v != best ? mcnemar(&sum[v], &sum[best], n) : (double)NAN);
    }
    mls_table_say(
        t,
        "%zu questions by log-likelihood, as lm-evaluation-harness: acc by its sum, "
        "acc_norm by the sum over the choice's characters; ± 95 %% over questions",
        n);
    mls_table_note(t, "acc lost: against the original, paired by question; McNemar: "
                      "whether what only one of the two gets right is chance, against "
                      "the original and against the best setting");

done:
    if (sum)
        outcomes_free(sum);
    if (norm)
        outcomes_free(norm);
    free(pick);
    return t;
}
