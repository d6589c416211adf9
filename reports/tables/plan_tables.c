/*
 * A difference between the plan and what was measured beside it is told only where it
 * exceeds its interval and, beside quantizers, their rounding (mls_kl_tied); and where
 * a setting of no more bytes is clearly better, a note says that the plan is not the
 * best of these.
 */
#include "reports/tables/plan_tables.h"

#include <math.h>

#include "bench/evaluate/ties.h"

/* Longer than any text of a plan's settings. */
enum { SETTING_TEXT = 2048 };

static void rank_cell(mls_table *t, const mls_setting *s)
{
    size_t rank;

    if (mls_setting_size(s, "rank", 0, 0, MLS_WIDTH_MAX, &rank, NULL))
        mls_table_empty(t);
    else
        mls_table_count(t, (long long)rank);
}

/* On a screen where a layer keeps bytes that do not grow. */
static void growth_columns(mls_table *t, const mls_plan *p)
{
    mls_table_column(t, "growing_bytes_per_token", "grows", "B/token", 1);
    if (!p->has_fixed)
        mls_table_detail(t);
    mls_table_column(t, "fixed_bytes", "fixed", "B", 0);
    if (!p->has_fixed)
        mls_table_detail(t);
}

mls_table *mls_plan_layers_table(const mls_plan *p, bool ranks)
{
    mls_table *t = mls_table_new(NULL);
    char text[SETTING_TEXT];

    mls_table_column(t, "layer", "layer", "", 0);
    mls_table_column(t, "setting", "setting", "", 0);
    if (ranks)
        mls_table_column(t, "rank", "rank", "", 0);
    mls_table_column(t, "bytes_per_token", "cache", "B/token", 1);
    growth_columns(t, p);
    mls_table_column(t, "predicted_kl", "predicted KL", "nat", 5);
    for (size_t l = 0; l < p->L; l++) {
        const mls_plan_layer *layer = &p->layer[l];

        mls_table_line(t, "%zu %s", l,
                       layer->stays
                           ? "stays as it is"
                           : mls_setting_text(&layer->setting, text, sizeof text));
        if (ranks && layer->stays)
            mls_table_empty(t);
        else if (ranks)
            rank_cell(t, &layer->setting);
        mls_table_cells(t, "%g %g %g %g", layer->bytes, layer->growing, layer->fixed,
                        layer->loss);
    }
    return t;
}

/* Is what was measured beside the plan not told apart from it? */
static bool is_tied(const mls_plan *p, size_t i)
{
    const mls_plan_quality *q = &p->measured[i];
    mls_setting s;
    bool quantized = !mls_setting_parse(&s, q->name, NULL) && mls_setting_quantized(&s);

    for (size_t l = 0; l < p->L; l++)
        quantized |= mls_setting_quantized(&p->layer[l].setting);
    return i > 0 &&
           mls_kl_tied(q->difference, q->kl.mean, p->measured[0].kl.mean, quantized);
}

/* Say so where a setting of no more bytes was measured to lose less than the plan. */
static void note_better(mls_table *t, const mls_plan *p)
{
    const mls_plan_quality *best = NULL;

    for (size_t i = 1; i < p->n_measured; i++) {
        const mls_plan_quality *q = &p->measured[i];

        if (q->bytes <= p->budget && q->difference.mean < 0 && !is_tied(p, i) &&
            (!best || q->kl.mean < best->kl.mean))
            best = q;
    }
    if (!best)
        return;
    mls_table_say(
        t,
        "the plan is not the best of these: %s fits the same budget and loses "
        "%.5f ± %.5f nat less; take it, or plan again on more windows",
        best->name, -best->difference.mean, best->difference.half);
}

mls_table *mls_plan_quality_table(const mls_plan *p, bool full)
{
    mls_table *t = mls_table_new(NULL);

    MLS_COLUMNS(t, {"setting", "setting", "", 0}, {"served_by", "served by", "", 0},
                {"kept_percent", "kept", "%", 2},
                {"bytes_per_token", "cache", "B/token", 1});
    growth_columns(t, p);
    MLS_COLUMNS(t, {"predicted_kl", "predicted KL", "nat", 5},
                {"kl", "measured KL", "nat", 5}, {"kl_half", "±", "nat", 5},
                {"perplexity", "perplexity", "", 3});
    if (full) {
        MLS_COLUMNS(t, {"top1_percent", "same top-1", "%", 2},
                    {"kl_above_plan", "KL - plan's", "nat", 5},
                    {"kl_above_plan_half", "±", "nat", 5});
    }
    mls_table_column(t, "plan_reduces_percent", "plan reduces by", "%", 1);
    mls_table_column(t, "differs", "differs", "", 0);
    for (size_t i = 0; i < p->n_measured; i++) {
        const mls_plan_quality *q = &p->measured[i];

        mls_table_line(t, "%s %s %g %g %g %g %g %g %g %g", q->name,
                       mls_serve_name(q->serve), 100 * q->kept, q->bytes, q->growing,
                       q->fixed, q->predicted, q->kl.mean, q->kl.half,
                       exp(q->nll.mean));
        if (full) {
            mls_table_cells(t, "%g %g %g", 100 * q->top1, q->difference.mean,
                            q->difference.half);
        }
        mls_table_cells(t, "%g %s", 100 * q->reduction,
                        i == 0 || isnan(q->difference.half) ? ""
                        : is_tied(p, i)                     ? "tie"
                                                            : "yes");
    }
    note_better(t, p);
    return t;
}
