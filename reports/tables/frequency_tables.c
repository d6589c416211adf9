/*
 * Means over layers leave out those that turn no keys. Chances that a chunk is kept
 * again are shown where every head has the same budget, since only then they speak of
 * what is kept.
 */
#include "reports/tables/frequency_tables.h"

#include <math.h>
#include <stdio.h>

#include "analysis/frequency/agreement.h"
#include "common/base/buf.h"
#include "common/base/words.h"

/* Every head has the same budget, so that chances and halves speak of what is kept. */
static bool equal_budgets(const mls_frequency *f)
{
    return f->scope == MLS_SCOPE_HEAD || f->scope == MLS_SCOPE_QUERY;
}

static void add_windows(mls_table *t, const mls_frequency *f)
{
    char text[160];

    if (f->n_held)
        snprintf(text, sizeof text, "%zu choose, %zu others measure, %zu tokens each",
                 f->n_windows, f->n_held, f->T);
    else
        snprintf(text, sizeof text, "%zu of %zu tokens", f->n_windows, f->T);
    mls_table_meta(t, "windows", text);
    if (f->n_sequences) {
        snprintf(text, sizeof text, "%zu, %.0f tokens on average", f->n_sequences,
                 f->sequence_tokens);
        mls_table_meta(t, "sequences of the norms", text);
    }
}

static mls_table *new_table(const mls_frequency *f, const char *title)
{
    mls_table *t = mls_table_new(title);
    char text[96];

    if (!t)
        return NULL;
    snprintf(text, sizeof text,
             "%zu layer%s with RoPE of %zu, %zu query and %zu KV "
             "heads, %zu chunks (%zu dims)",
             f->n_layers, mls_plural(f->n_layers), f->L, f->H, f->G, f->C, 2 * f->C);
    mls_table_meta(t, "attention", text);
    mls_table_meta(t, "budget per", mls_scope_name(f->scope));
    add_windows(t, f);
    return t;
}

static void budget_columns(mls_table *t)
{
    MLS_COLUMNS(t, {"rule", "rule", "", 0}, {"chunks", "chunks", "", 0},
                {"dims", "dims", "", 0});
}

static void begin_budget_row(mls_table *t, const mls_frequency *f, size_t i, size_t b)
{
    mls_table_line(t, "%s %zu %zu", f->rule[i].name, f->chunks[b], 2 * f->chunks[b]);
}

static void cost_columns(mls_table *t)
{
    MLS_COLUMNS(t, {"score_error", "score error", "logit", 4},
                {"score_error_half", "±", "logit", 4}, {"kl", "KL", "nat", 4},
                {"kl_half", "±", "nat", 4},
                {"output_error_percent", "output error", "%", 2},
                {"output_error_percent_half", "±", "%", 2});
}

static void add_costs(mls_table *t, mls_cost_means m)
{
    mls_table_cells(t, "%g %g %g %g %g %g", m.score_error.mean, m.score_error.half,
                    m.kl.mean, m.kl.half, 100.0 * m.output_error.mean,
                    100.0 * m.output_error.half);
}

mls_table *mls_frequency_summary_table(const mls_frequency *f)
{
    mls_table *t = new_table(f, "Selection rules");

    if (!t)
        return NULL;
    budget_columns(t);
    if (f->n_held)
        cost_columns(t);
    if (equal_budgets(f)) {
        mls_table_column(t, "sure_percent", "sure", "%", 1);
        mls_table_column(t, "halves_percent", "halves", "%", 1);
    }
    for (size_t b = 0; b < f->n_chunks; b++)
        for (size_t i = 0; i < f->n_rules; i++) {
            const mls_frequency_rule *r = f->rule + i;

            begin_budget_row(t, f, i, b);
            if (f->n_held)
                add_costs(t, mls_frequency_cost(f, i, b, 0, f->L, 0, f->H));
            if (!equal_budgets(f))
                continue;
            mls_table_cells(t, "%g %g", 100.0 * mls_frequency_sureness(f, i, b),
                            r->n_sizes
                                ? 100.0 * r->overlap[(r->n_sizes - 1) * f->n_chunks + b]
                                : (double)NAN);
        }
    if (f->n_held)
        mls_table_note(t,
                       "score error: mean |change of a score| before softmax; KL: of "
                       "attention; output error: squared, relative, before W_O; "
                       "means over layers and query heads on held-out windows, 95 % "
                       "intervals over them");
    if (equal_budgets(f))
        mls_table_note(t,
                       "sure: chance that a kept chunk is kept again when sequences "
                       "or windows are drawn anew; halves: chunks that two halves of "
                       "the data both keep");
    return t;
}

/* "17 19 22 23 | 18 24 29 30": kept chunks ascending, heads in order. */
static void add_kept(mls_table *t, const mls_selection *s)
{
    uint16_t kept[MLS_DIM_MAX / 2], dropped[MLS_DIM_MAX / 2];
    mls_buf text = {0};

    for (size_t g = 0; g < s->G; g++) {
        mls_selection_split(s, g, kept, dropped);
        if (g > 0)
            mls_buf_puts(&text, " |");
        for (size_t k = 0; k < s->count[g]; k++)
            mls_buf_printf(&text, "%s%u", g || k ? " " : "", (unsigned)kept[k]);
    }
    mls_table_buf(t, &text);
}

mls_table *mls_frequency_selection_table(const mls_frequency *f)
{
    mls_table *t = new_table(f, "Chunks that keep their rotation");

    if (!t)
        return NULL;
    budget_columns(t);
    mls_table_column(t, "layer", "layer", "", 0);
    mls_table_column(t, "kept",
                     f->scope == MLS_SCOPE_QUERY ? "kept chunks of each query head"
                                                 : "kept chunks of each KV head",
                     "", 0);
    for (size_t b = 0; b < f->n_chunks; b++)
        for (size_t i = 0; i < f->n_rules; i++)
            for (size_t l = 0; l < f->L; l++) {
                if (f->config.layer[l].no_rope)
                    continue;
                begin_budget_row(t, f, i, b);
                mls_table_count(t, (long long)l);
                add_kept(t, mls_frequency_selection(f, i, b, l));
            }
    mls_table_note(t, "chunk c is the pair of dims c and c + D/2; 0 turns fastest");
    return t;
}

static void score_row(mls_table *t, const mls_frequency *f, const mls_frequency_rule *r,
                      size_t l, size_t g, size_t place, size_t c)
{
    const size_t at = (l * f->G + g) * f->C + c;

    mls_table_line(t, "%s %zu %zu %zu %zu %zu %g %zu %g %g %g", r->name, l, g, c, c,
                   c + f->C, mls_frequency_wavelength(f, l, c), place, r->score[at],
                   r->low[at], r->high[at]);
    for (size_t b = 0; b < f->n_chunks; b++)
        mls_table_real(t, r->in_top[b * f->L * f->G * f->C + at]);
}

mls_table *mls_frequency_score_table(const mls_frequency *f)
{
    mls_table *t = new_table(f, "Scores of chunks");

    if (!t)
        return NULL;
    MLS_COLUMNS(t, {"rule", "rule", "", 0}, {"layer", "layer", "", 0},
                {"head", f->scope == MLS_SCOPE_QUERY ? "query head" : "KV head", "", 0},
                {"chunk", "chunk", "", 0}, {"dim", "dim", "", 0},
                {"dim_2", "and", "", 0}, {"wavelength", "wavelength", "tokens", 1},
                {"place", "place", "", 0}, {"score", "score", "", -1},
                {"low", "2.5 %", "", -1}, {"high", "97.5 %", "", -1});
    for (size_t b = 0; b < f->n_chunks; b++) {
        char key[48], heading[48];

        snprintf(key, sizeof key, "in_top_%zu", f->chunks[b]);
        snprintf(heading, sizeof heading, "in top %zu", f->chunks[b]);
        mls_table_column(t, key, heading, "", 3);
    }
    for (size_t i = 0; i < f->n_rules; i++)
        for (size_t l = 0; l < f->L; l++)
            for (size_t g = 0; g < f->G && !f->config.layer[l].no_rope; g++) {
                const mls_selection *s = mls_frequency_selection(f, i, 0, l);

                for (size_t k = 0; k < f->C; k++)
                    score_row(t, f, f->rule + i, l, g, k, s->order[g * f->C + k]);
            }
    mls_table_note(t,
                   "place 0 is kept first; scores of greedy rules: what the loss fell "
                   "by; rules of the shape have none");
    return t;
}

mls_table *mls_frequency_chunk_table(const mls_frequency *f, size_t b)
{
    mls_table *t = new_table(f, "How often a chunk is kept");

    if (!t)
        return NULL;
    mls_table_column(t, "chunk", "chunk", "", 0);
    mls_table_column(t, "wavelength", "wavelength", "tokens", 1);
    for (size_t i = 0; i < f->n_rules; i++)
        mls_table_column(t, f->rule[i].name, f->rule[i].name, "%", 1);
    for (size_t c = 0; c < f->C; c++) {
        mls_table_line(t, "%zu %g", c, mls_frequency_wavelength_of_all(f, c));
        for (size_t i = 0; i < f->n_rules; i++) {
            size_t kept = 0;

            for (size_t l = 0; l < f->L; l++) {
                const mls_selection *s = mls_frequency_selection(f, i, b, l);

                for (size_t g = 0; g < f->G; g++)
                    for (size_t k = 0; k < s->count[g]; k++)
                        kept += s->order[g * f->C + k] == c;
            }
            mls_table_real(t, 100.0 * (double)kept / (double)(f->n_layers * f->G));
        }
    }

    mls_table_say(t,
                  "share of layers and KV heads, %zu chunk%s (%zu dims) "
                  "per head",
                  f->chunks[b], mls_plural(f->chunks[b]), 2 * f->chunks[b]);
    return t;
}

mls_table *mls_frequency_cost_table(const mls_frequency *f, bool per_head)
{
    mls_table *t = new_table(f, "What selections cost on held-out windows");

    if (!t)
        return NULL;
    budget_columns(t);
    mls_table_column(t, "layer", "layer", "", 0);
    if (per_head)
        mls_table_column(t, "query_head", "query head", "", 0);
    cost_columns(t);
    for (size_t b = 0; b < f->n_chunks; b++)
        for (size_t i = 0; i < f->n_rules; i++)
            for (size_t l = 0; l < f->L; l++)
                for (size_t h = 0; h < (per_head ? f->H : 1); h++) {
                    if (f->config.layer[l].no_rope)
                        continue;
                    begin_budget_row(t, f, i, b);
                    mls_table_count(t, (long long)l);
                    if (per_head)
                        mls_table_count(t, (long long)h);
                    add_costs(
                        t, mls_frequency_cost(f, i, b, l, 1, h, per_head ? 1 : f->H));
                }
    return t;
}

static void overlap_row(mls_table *t, const mls_frequency *f, size_t b, size_t i,
                        size_t l, size_t n_layers)
{
    for (size_t k = 0; k < f->n_rules; k++) {
        double sum = 0.0;
        size_t n = 0;

        for (size_t layer = l; layer < l + n_layers; layer++) {
            if (f->config.layer[layer].no_rope)
                continue;
            sum += mls_selection_jaccard(mls_frequency_selection(f, i, b, layer),
                                         mls_frequency_selection(f, k, b, layer));
            n++;
        }
        mls_table_real(t, sum / (double)n);
    }
}

mls_table *mls_frequency_overlap_table(const mls_frequency *f, size_t b, bool per_layer)
{
    mls_table *t = new_table(f, "Agreement of rules");

    if (!t)
        return NULL;
    mls_table_column(t, "rule", "rule", "", 0);
    if (per_layer)
        mls_table_column(t, "layer", "layer", "", 0);
    for (size_t i = 0; i < f->n_rules; i++)
        mls_table_column(t, f->rule[i].name, f->rule[i].name, "", 3);
    for (size_t i = 0; i < f->n_rules; i++)
        for (size_t l = 0; l < (per_layer ? f->L : 1); l++) {
            if (per_layer && f->config.layer[l].no_rope)
                continue;
            mls_table_line(t, "%s", f->rule[i].name);
            if (per_layer)
                mls_table_count(t, (long long)l);
            overlap_row(t, f, b, i, l, per_layer ? 1 : f->L);
        }
    mls_table_say(t,
                  "Jaccard index of the kept chunks, %zu chunk%s (%zu "
                  "dims), mean over heads%s",
                  f->chunks[b], mls_plural(f->chunks[b]), 2 * f->chunks[b],
                  per_layer ? "" : " and layers");
    return t;
}

mls_table *mls_frequency_stability_table(const mls_frequency *f)
{
    mls_table *t = new_table(f, "Is the text long enough?");

    if (!t)
        return NULL;
    MLS_COLUMNS(t, {"rule", "rule", "", 0}, {"units", "units", "", 0},
                {"tokens", "tokens", "each", 0});
    for (size_t b = 0; b < f->n_chunks; b++) {
        char key[48], heading[48];

        snprintf(key, sizeof key, "overlap_%zu_percent", f->chunks[b]);
        snprintf(heading, sizeof heading, "top %zu", f->chunks[b]);
        mls_table_column(t, key, heading, "%", 1);
    }
    mls_table_column(t, "rank_correlation", "Spearman", "", 3);
    for (size_t i = 0; i < f->n_rules; i++)
        for (size_t s = 0; s < f->rule[i].n_sizes; s++) {
            const mls_frequency_rule *r = f->rule + i;
            const double tokens =
                r->rule->needs == MLS_NEEDS_STATS ? f->sequence_tokens : (double)f->T;

            mls_table_line(t, "%s %zu %g", r->name, r->units[s],
                           (double)r->units[s] * tokens);
            for (size_t b = 0; b < f->n_chunks; b++)
                mls_table_real(t, 100.0 * r->overlap[s * f->n_chunks + b]);
            mls_table_real(t, r->correlation[s]);
        }
    mls_table_note(t,
                   "two samples of that many sequences (norms) or windows (others) "
                   "that share nothing: chunks that both keep, and the correlation of "
                   "their rankings, means over draws, layers and KV heads");
    return t;
}

/*
 * Agreement of a layer's selection with the file's first chunks, mean over file heads.
 */
static void compare_layer(const mls_frequency *f, const mls_rankfile *file, size_t i,
                          size_t b, size_t l, double *overlap, double *jaccard)
{
    const mls_selection *s = mls_frequency_selection(f, i, b, l);

    for (size_t h = 0; h < file->heads; h++) {
        const size_t g = h / (file->heads / f->G), r = s->count[g];
        const size_t common = mls_order_common(
            s->order + g * f->C, r, file->order + (l * file->heads + h) * f->C, r);

        *overlap +=
            r ? (double)common / (double)(r * file->heads) : 1.0 / (double)file->heads;
        *jaccard += r ? (double)common / (double)((2 * r - common) * file->heads)
                      : 1.0 / (double)file->heads;
    }
}

static void against_row(mls_table *t, const mls_frequency *f, const mls_rankfile *file,
                        size_t i, size_t b, size_t l, size_t n_layers)
{
    double overlap = 0.0, jaccard = 0.0;
    size_t n = 0;

    for (size_t layer = l; layer < l + n_layers; layer++) {
        if (f->config.layer[layer].no_rope)
            continue;
        compare_layer(f, file, i, b, layer, &overlap, &jaccard);
        n++;
    }
    mls_table_cells(t, "%g %g", 100.0 * overlap / (double)n, jaccard / (double)n);
}

mls_status mls_frequency_against_table(mls_table **out, const mls_frequency *f,
                                       const mls_rankfile *file, const char *name,
                                       bool per_layer, mls_err *err)
{
    mls_table *t;

    *out = NULL;
    if (file->L != f->L || file->C != f->C ||
        (file->heads != f->config.G && file->heads != f->H))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: %zu layers, %zu heads, %zu chunks; the capture has %zu "
                        "layers, %zu KV heads (%zu query heads), %zu chunks",
                        name, file->L, file->heads, file->C, f->L, f->config.G, f->H,
                        f->C);
    t = new_table(f, "Agreement with a rank file");
    if (!t)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a table");
    mls_table_meta(t, "file", name);
    mls_table_meta(t, "kind", mls_rankfile_kind_name(file->kind));
    budget_columns(t);
    if (per_layer)
        mls_table_column(t, "layer", "layer", "", 0);
    mls_table_column(t, "overlap_percent", "overlap", "%", 1);
    mls_table_column(t, "jaccard", "Jaccard", "", 3);
    for (size_t b = 0; b < f->n_chunks; b++)
        for (size_t i = 0; i < f->n_rules; i++)
            for (size_t l = 0; l < (per_layer ? f->L : 1); l++) {
                if (per_layer && f->config.layer[l].no_rope)
                    continue;
                begin_budget_row(t, f, i, b);
                if (per_layer)
                    mls_table_count(t, (long long)l);
                against_row(t, f, file, i, b, l, per_layer ? 1 : f->L);
            }
    mls_table_note(t,
                   "overlap: chunks among the first of the file, as many as the rule "
                   "keeps in that head");
    *out = t;
    return MLS_OK;
}

/* Mean of the numbers of x (n) that are numbers. */
static double mean_of_known(const double *x, size_t n)
{
    double sum = 0.0;
    size_t known = 0;

    for (size_t i = 0; i < n; i++)
        if (!isnan(x[i])) {
            sum += x[i];
            known++;
        }
    return known ? sum / (double)known : (double)NAN;
}

mls_table *mls_rorope_table(const mls_rorope_survey *s, bool per_layer)
{
    mls_table *t = mls_table_new("Energy of the keys in a shared rope key (RoRoPE)");
    char text[96];

    if (!t)
        return NULL;
    snprintf(text, sizeof text,
             "%zu make the rotation, %zu others are held out, %zu "
             "tokens each",
             s->n_windows, s->n_held, s->T);
    mls_table_meta(t, "windows", text);
    MLS_COLUMNS(t, {"freqfold", "freqfold", "", 0}, {"collapse", "collapse", "", 0},
                {"chunks", "chunks", "shared", 0}, {"dims", "dims", "shared", 0});
    if (per_layer)
        mls_table_column(t, "layer", "layer", "", 0);
    mls_table_column(t, "captured_percent", "energy", "%", 2);
    mls_table_column(t, "held_percent", "held out", "%", 2);
    for (size_t i = 0; i < s->n; i++)
        for (size_t l = 0; l < (per_layer ? s->L : 1); l++) {
            const size_t at = i * s->L + l, n = per_layer ? 1 : s->L;

            if (per_layer && isnan(s->captured[at]))
                continue;
            mls_table_line(t, "%zu %zu %zu %zu", s->fold[i], s->collapse[i],
                           s->C / s->collapse[i], (2 * (s->C / s->collapse[i])));
            if (per_layer)
                mls_table_count(t, (long long)l);
            mls_table_cells(t, "%g %g", 100.0 * mean_of_known(s->captured + at, n),
                            100.0 * mean_of_known(s->held + at, n));
        }
    mls_table_note(t,
                   "share of E|k|^2 over all KV heads; the rest of the keys loses its "
                   "rotation. freqfold 1 turns every frequency by itself, larger ones "
                   "treat neighbours as one");
    return t;
}
