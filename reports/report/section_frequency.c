/* Which RoPE chunks each head uses: MHA2MLA's contribution, drawn and selected. */
#include <stdio.h>
#include <stdlib.h>

#include "analysis/frequency/scores_norm.h"
#include "analysis/frequency/selection.h"
#include "analysis/model/rope.h"
#include "common/base/checked.h"
#include "common/base/words.h"
#include "reports/report/sections.h"
#include "reports/tables/frequency_plots.h"
#include "reports/tables/frequency_tables.h"

/* Two of the shape, the field's of the data, and the searches. */
static const char *const rules[] = {
    "high",         "low",         "uniform",     "2-norm",
    "contribution", "ropelite-l1", "ropelite-l2", "kl"};
enum { BUDGETS_MAX = 8, SAMPLED = 4 /* one block of queries in so many */ };

/* 2-norm scores of all layers (L, G, C). */
static mls_status all_scores(const mls_report *r, double *score, mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    const size_t C = c->D / 2;

    for (size_t l = 0; l < c->L; l++) {
        mls_layer_stats s;

        if (!mls_config_layer_is_seen(c, l))
            continue;
        const mls_status st = mls_capture_stats(r->capture, l, &s, err);

        if (st)
            return st;
        mls_scores_norm(score + l * c->G * C, s.q_norm, s.k_norm, c->H, c->G, C,
                        MLS_NORM_PRODUCT);
        mls_layer_stats_free(&s);
    }
    return MLS_OK;
}

/* How many of the chunks that a head keeps most heads keep, too. */
static size_t common_of(const bool *kept, const size_t *popular, size_t C)
{
    size_t common = 0;

    for (size_t i = 0; i < C; i++)
        common += kept[i] && popular[i];
    return common;
}

/* The heads whose choice is least like that of the others, at most three. */
static void say_odd_heads(mls_page *page, const mls_frequency_map *map, size_t chunks)
{
    const size_t L = map->config->L, G = map->config->G, C = map->config->D / 2;
    size_t *votes = mls_calloc3(C, 2, 1, sizeof *votes);
    size_t *popular = votes ? votes + C : NULL, n = 0;
    mls_buf b = {0};

    if (!votes)
        return;
    for (size_t i = 0; i < L * G * C; i++)
        votes[i % C] += map->kept[i];
    for (size_t k = 0; k < chunks; k++) {
        size_t best = C;

        for (size_t i = 0; i < C; i++)
            if (!popular[i] && (best == C || votes[i] > votes[best]))
                best = i;
        popular[best] = 1;
    }
    for (size_t common = 0; common < chunks && n < 3; common++)
        for (size_t h = 0; h < L * G && n < 3; h++)
            if (mls_config_layer_is_seen(map->config, h / G) &&
                common_of(map->kept + h * C, popular, C) == common &&
                2 * common < chunks)
                mls_buf_printf(&b, "%slayer %zu KV head %zu (%zu of %zu in common)",
                               n++ ? ", " : "", h / G, h % G, common, chunks);
    if (n)
        mls_page_text(page,
                      "Odd heads, least like the rest in what they keep: %s. One "
                      "choice for all heads costs these most.",
                      b.data ? b.data : "");
    mls_buf_free(&b);
    free(votes);
}

/* Maps of all layers, the kept chunks marked. */
static mls_status draw_maps(const mls_report *r, mls_page *page,
                            const mls_frequency_map *map, size_t chunks, mls_err *err)
{
    const size_t L = map->config->L, step = mls_frequency_map_layers(map->config);
    char name[MLS_MAP_NAME], caption[640], layers[64], trained[128] = "";
    mls_status st = MLS_OK;

    if (map->config->max_position)
        snprintf(
            trained, sizeof trained,
            " Dashed: a chunk that turns once in the trained length of %zu tokens; "
            "those right of it never turn round.",
            map->config->max_position);

    snprintf(caption, sizeof caption,
             "Rows are KV heads, columns chunks. Circles: the %zu chunks (%zu "
             "dims) per KV head with the largest 2-norm score, product of the mean "
             "2-norms of q and k, summed over the group's query heads.%s",
             chunks, 2 * chunks, trained);
    for (size_t l = 0; !st && l < L; l += step) {
        const size_t last = l + step < L ? l + step : L;

        if (!mls_frequency_map_rows(map, l, last))
            continue;

        st = mls_frequency_map_plot(r->folder, map, l, last, name, err);
        snprintf(layers, sizeof layers, last - l == 1 ? "%zu" : "%zu to %zu", l,
                 last - 1);
        mls_page_choice(page, "layers", layers);
        mls_page_alt(page,
                     "Map of chunk scores of layers %s: share of each head's score by "
                     "chunk, fast chunks left; the CSV has every cell.",
                     layers);
        if (!st)
            st = mls_page_figure(page, r->folder, name, caption, err);
    }
    return st;
}

/* 1, 2, 4, ... C/2 chunks. @param[out] middle  the one nearest to C/8 from below */
static size_t budgets(size_t chunks[BUDGETS_MAX], size_t C, size_t *middle)
{
    size_t n = 0;

    *middle = 0;
    for (size_t r = 1; n < BUDGETS_MAX && (r == 1 || r <= C / 2); r *= 2) {
        if (r <= C / 8)
            *middle = n;
        chunks[n++] = r;
    }
    return n;
}

/* Which rule costs least with each budget, among rules whose intervals may touch. */
static void say_costs(const mls_frequency *f, size_t b, mls_page *page,
                      mls_buf *summary)
{
    size_t best = 0, worst = 0;

    for (size_t i = 1; i < f->n_rules; i++) {
        const double x = mls_frequency_cost(f, i, b, 0, f->L, 0, f->H).score_error.mean;

        if (x < mls_frequency_cost(f, best, b, 0, f->L, 0, f->H).score_error.mean)
            best = i;
        if (x > mls_frequency_cost(f, worst, b, 0, f->L, 0, f->H).score_error.mean)
            worst = i;
    }
    const mls_mean low = mls_frequency_cost(f, best, b, 0, f->L, 0, f->H).score_error;
    const mls_mean high = mls_frequency_cost(f, worst, b, 0, f->L, 0, f->H).score_error;

    char of_low[MLS_SPREAD_TEXT], of_high[MLS_SPREAD_TEXT];

    mls_spread_text(of_low, 3, low, "window");
    mls_spread_text(of_high, 3, high, "window");
    mls_page_text(
        page,
        "On windows that chose nothing, %zu chunk%s per KV head by rule %s "
        "change an attention score by %s on average; by %s, the worst of these, by "
        "%s.",
        f->chunks[b], mls_plural(f->chunks[b]), f->rule[best].name, of_low,
        f->rule[worst].name, of_high);
    mls_buf_printf(summary,
                   "  least score error with %zu chunk%s: rule %s, %s; most: %s, %s\n",
                   f->chunks[b], mls_plural(f->chunks[b]), f->rule[best].name, of_low,
                   f->rule[worst].name, of_high);
}

/* Rules against each other: costs on held-out windows, overlap, stability. */
static mls_status compare_rules(const mls_report *r, mls_page *page, mls_buf *summary,
                                mls_err *err)
{
    size_t chunks[BUDGETS_MAX], b;
    const mls_frequency_request request = {
        .rules = rules,
        .n_rules = sizeof rules / sizeof rules[0],
        .chunks = chunks,
        .n_chunks = budgets(chunks, mls_model_config(r->model)->D / 2, &b),
        .scope = MLS_SCOPE_HEAD,
        .stability = true,
        .every = r->exhaustive ? 0 : SAMPLED,
        .costs = true};
    mls_frequency f = {0};
    mls_table *t = NULL;
    mls_status st =
        mls_frequency_run(&f, r->capture, &request, r->pool, r->progress, err);

    if (st)
        return st;
    mls_page_heading(page, "Rules against each other");
    say_costs(&f, b, page, summary);
    st = mls_frequency_error_plot(r->folder, &f, err);
    mls_page_alt(page,
                 "Score error by number of rotated chunks, a curve for each rule, "
                 "falling to 0 when all are rotated.");
    if (!st)
        st =
            mls_page_figure(page, r->folder, "frequency-error",
                            "Score error before softmax when all but the chosen chunks "
                            "lose their rotation, mean over layers and heads. Half of "
                            "the windows choose, the others measure, on a quarter of "
                            "their queries unless the report is exhaustive; bars: 95 % "
                            "intervals over these windows.",
                            err);
    if (!st) {
        t = mls_frequency_overlap_table(&f, b, false);
        mls_page_details(page, "Which rules agree", t);
        mls_table_free(t);
        t = NULL;
    }
    if (!st && mls_frequency_has_stability(&f)) {
        st = mls_frequency_stability_plot(r->folder, &f, b, err);
        mls_page_section(page, "sure", "How sure this is");
        mls_page_lead(page, "±: 95 %% intervals over windows of text; what is tied may "
                            "swap places on another text. Below: was there enough "
                            "text, and which cheap prediction can be trusted.");
        mls_page_heading(page, "Is the text long enough?");
        mls_page_text(page, "Where a curve is flat, more text does not change the "
                            "choice of chunks; where it still rises, capture more.");
        mls_page_alt(page, "Chunks that two samples of the text both keep, by their "
                           "length, a curve for each rule.");
        if (!st)
            st = mls_page_figure(page, r->folder, "frequency-stability",
                                 "Two samples of the text that share nothing choose "
                                 "chunks. A curve ends at half of what its rule sees: "
                                 "all sequences, or the windows.",
                                 err);
        mls_page_section(page, "frequency", "Which chunks matter");
    }
    if (!st) {
        t = mls_frequency_summary_table(&f);
        mls_page_details(page, "Costs, sureness and agreement of halves", t);
    }
    mls_table_free(t);
    mls_frequency_free(&f);
    return st;
}

mls_status mls_section_frequency(const mls_report *r, mls_page *page, mls_buf *summary,
                                 mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    const size_t L = c->L, G = c->G, C = c->D / 2;
    const size_t chunks = C / 8 ? C / 8 : 1; /* MHA2MLA's d_r = d/8 */
    double *score = mls_calloc3(L, G, C, sizeof *score);
    bool *kept = mls_calloc3(L, G, C, sizeof *kept);
    double *inv_freq = mls_calloc3(L, C, 1, sizeof *inv_freq);
    mls_selection s = {0};
    size_t seen = 0;
    mls_status st = MLS_OK;
    double share = 0;
    bool turning = false;

    for (size_t l = 0; l < L; l++)
        seen += mls_config_layer_is_seen(c, l);
    if (seen)
        st = mls_selection_new(&s, G, C, err);

    if (!st && (!score || !kept || !inv_freq))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    if (!st)
        st = all_scores(r, score, err);
    if (st || !seen)
        goto done;
    for (size_t l = 0; l < L; l++) {
        if (!mls_config_layer_is_seen(c, l))
            continue;
        turning |= !c->layer[l].no_rope;
        mls_layer_frequencies(inv_freq + l * C, c, l);
        mls_selection_rank(&s, score + l * G * C);
        for (size_t g = 0; g < G; g++) {
            double sum = 0, top = 0;

            for (size_t i = 0; i < C; i++)
                sum += score[(l * G + g) * C + i];
            for (size_t i = 0; i < chunks; i++) {
                const size_t chunk = s.order[g * C + i];

                kept[(l * G + g) * C + chunk] = true;
                top += score[(l * G + g) * C + chunk];
            }
            share += top / sum / (double)(seen * G);
        }
    }
    mls_page_section(page, "frequency", "Which chunks matter");
    if (!turning) {
        mls_page_text(page, "No layer of this model turns its keys: there are no "
                            "chunks to choose.");
        goto done;
    }
    mls_page_lead(
        page,
        "RoPE turns each head's dims in %zu pairs (chunks), one speed each, and a "
        "conversion keeps the rotation of few. Those with the largest 2-norm score, "
        "%zu chunk%s (%zu dims) of a head, hold %.1f %% of what all its chunks can add "
        "to attention scores, on average: the less that is, the more is lost by "
        "keeping only these.",
        C, chunks, mls_plural(chunks), 2 * chunks, 100 * share);
    mls_buf_printf(
        summary,
        "frequency: the first %zu of %zu chunks by 2-norm hold %.1f %% of the score\n",
        chunks, C, 100 * share);
    const mls_frequency_map map = {
        .config = c,
        .title = "Contribution of each RoPE chunk (2-norm product)",
        .score = score,
        .kept = kept,
        .inv_freq = inv_freq};

    st = draw_maps(r, page, &map, chunks, err);
    if (!st)
        say_odd_heads(page, &map, chunks);
    if (!st && mls_capture_windows(r->capture) > 1)
        st = compare_rules(r, page, summary, err);

done:
    mls_selection_free(&s);
    mls_free_all(score, kept, inv_freq);
    return st;
}
