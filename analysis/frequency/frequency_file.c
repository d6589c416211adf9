/*
 * put() makes a dataset of letters: each names an axis and its extent. Wavelengths are
 * NaN where layers turn differently, scores of rules of the shape are not there at all.
 */
#include "analysis/frequency/frequency_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/capture/store.h"
#include "common/base/checked.h"

enum { PATH_SIZE = 128 };

typedef struct {
    const mls_frequency *f;
    mls_store *store;
    const mls_frequency_rule *rule;
    mls_err *err;
} writer;

/* One array below /rules/NAME. axes: letters of `axis`; all values at once. */
static const struct {
    char letter;
    const char *name;
} axis[] = {{'L', "layer"},  {'H', "head"},        {'G', "kv_head"},
            {'C', "chunk"},  {'P', "place"},       {'K', "kept"},
            {'B', "budget"}, {'W', "held_window"}, {'S', "size"}};

static size_t extent(const writer *w, char letter)
{
    const mls_frequency *f = w->f;

    switch (letter) {
    case 'L':
        return f->L;
    case 'H':
        return f->H;
    case 'G':
        return f->G;
    case 'C':
    case 'P':
        return f->C;
    case 'K':
        return f->C + 1;
    case 'B':
        return f->n_chunks;
    case 'W':
        return f->n_held;
    default:
        return w->rule->n_sizes;
    }
}

static mls_status put(const writer *w, const char *name, const char *axes,
                      mls_store_type type, const void *data, const char *units,
                      const char *long_name)
{
    char path[PATH_SIZE];
    mls_store_spec spec = {.path = path,
                           .type = type,
                           .rank = strlen(axes),
                           .units = units,
                           .long_name = long_name,
                           .compress = true};
    mls_status st;

    snprintf(path, sizeof path, "/rules/%s/%s", w->rule->name, name);
    for (size_t i = 0; i < spec.rank; i++) {
        spec.shape[i] = extent(w, axes[i]);
        for (size_t k = 0; k < sizeof axis / sizeof axis[0]; k++)
            if (axis[k].letter == axes[i])
                spec.axes[i] = axis[k].name;
    }
    st = mls_store_add(w->store, &spec, w->err);
    return st ? st : mls_store_append(w->store, path, data, spec.shape[0], w->err);
}

static mls_status put_selections(const writer *w)
{
    const mls_frequency *f = w->f;
    const size_t rows = f->n_chunks * f->L * f->G;
    int32_t *count = mls_calloc3(rows, 1, 1, sizeof *count);
    int32_t *order = mls_calloc3(rows, f->C, 1, sizeof *order);
    mls_status st = MLS_OK;

    if (!count || !order)
        st = mls_fail(w->err, MLS_E_NOMEM, "no memory for selections");
    for (size_t i = 0; i < rows && !st; i++) {
        const mls_selection *s = &w->rule->selection[i / f->G];

        count[i] = (int32_t)s->count[i % f->G];
        for (size_t k = 0; k < f->C; k++)
            order[i * f->C + k] = s->order[i % f->G * f->C + k];
    }
    if (!st)
        st = put(w, "count", "BLG", MLS_STORE_I32, count, "1",
                 "chunks kept by each KV head");
    if (!st)
        st = put(w, "order", "BLGP", MLS_STORE_I32, order, "1",
                 "chunks, most important first; the first count are kept");
    mls_free_all(count, order);
    return st;
}

static mls_status put_costs(const writer *w)
{
    const mls_frequency *f = w->f;
    const size_t n = f->n_chunks * f->L * f->n_held * f->H;
    static const char *const units[] = {"logit", "nat", "1"};
    static const char *const names[] = {"cost/score_error", "cost/kl",
                                        "cost/output_error"};
    static const char *const long_names[] = {
        "mean |change of a score| before softmax", "KL of attention probabilities",
        "squared change of the attention output before W_O over its square"};
    double *column = mls_calloc3(n, 1, 1, sizeof *column);
    mls_status st = MLS_OK;

    if (!column)
        return mls_fail(w->err, MLS_E_NOMEM, "no memory for costs");
    for (size_t k = 0; k < 3 && !st; k++) {
        for (size_t i = 0; i < n; i++) {
            const mls_cost *c = &w->rule->cost[i];

            column[i] = k == 0 ? c->score_error : k == 1 ? c->kl : c->output_error;
        }
        st = put(w, names[k], "BLWH", MLS_STORE_F64, column, units[k], long_names[k]);
    }
    free(column);
    return st;
}

static mls_status put_stability(const writer *w)
{
    const mls_frequency_rule *r = w->rule;
    int32_t units[MLS_STABILITY_SIZES];
    mls_status st;

    for (size_t i = 0; i < r->n_sizes; i++)
        units[i] = (int32_t)r->units[i];
    st = put(w, "stability/units", "S", MLS_STORE_I32, units, "1",
             r->rule->needs == MLS_NEEDS_STATS ? "sequences in each of two samples"
                                               : "windows in each of two samples");
    if (!st)
        st = put(w, "stability/overlap", "SB", MLS_STORE_F64, r->overlap, "1",
                 "share of the kept chunks that both samples keep");
    if (!st)
        st = put(w, "stability/correlation", "S", MLS_STORE_F64, r->correlation, "1",
                 "Spearman's correlation of the two rankings");
    return st;
}

static mls_status put_rule(const writer *w)
{
    const mls_frequency_rule *r = w->rule;
    char path[PATH_SIZE];
    mls_status st;

    snprintf(path, sizeof path, "/rules/%s", r->name);
    st = mls_store_set_text(w->store, path, "title", r->rule->title, w->err);
    if (!st)
        st = mls_store_set_text(w->store, path, "source", r->rule->source, w->err);
    if (!st)
        st = put_selections(w);
    if (!st && r->rule->needs != MLS_NEEDS_CONFIG) {
        st = put(w, "score", "LGC", MLS_STORE_F64, r->score, "1",
                 "score, larger is kept first; of searches: what the loss fell by");
        if (!st)
            st = put(w, "low", "LGC", MLS_STORE_F64, r->low, "1",
                     "2.5 % point of the score's bootstrap");
        if (!st)
            st = put(w, "high", "LGC", MLS_STORE_F64, r->high, "1",
                     "97.5 % point of the score's bootstrap");
        if (!st)
            st =
                put(w, "in_top", "BLGC", MLS_STORE_F64, r->in_top, "1",
                    "share of resamples that keep the chunk with this budget per head");
        if (!st)
            st = put(w, "loss", "LGK", MLS_STORE_F64, r->loss, "1",
                     "loss of a search with the first chunks kept");
    }
    if (!st && r->n_sizes)
        st = put_stability(w);
    if (!st && r->cost)
        st = put_costs(w);
    return st;
}

static mls_status put_axes(const writer *w)
{
    const mls_frequency *f = w->f;
    int32_t *chunk = mls_calloc3(f->C, 1, 1, sizeof *chunk);
    int32_t *budget = mls_calloc3(f->n_chunks, 1, 1, sizeof *budget);
    double *wavelength = mls_calloc3(f->C, 1, 1, sizeof *wavelength);
    mls_status st = MLS_OK;

    if (!chunk || !budget || !wavelength)
        st = mls_fail(w->err, MLS_E_NOMEM, "no memory for axes");
    for (size_t c = 0; c < f->C && !st; c++) {
        chunk[c] = (int32_t)c;
        wavelength[c] = mls_frequency_wavelength_of_all(f, c);
    }
    for (size_t b = 0; b < f->n_chunks && !st; b++)
        budget[b] = (int32_t)f->chunks[b];
    if (!st)
        st = mls_store_scale(w->store, "chunk", MLS_STORE_I32, f->C, chunk, "1",
                             "RoPE chunk: dims c and c + D/2", w->err);
    if (!st)
        st = mls_store_scale(w->store, "wavelength", MLS_STORE_F64, f->C, wavelength,
                             "tokens", "tokens of one full turn of a chunk", w->err);
    if (!st)
        st = mls_store_scale(w->store, "budget", MLS_STORE_I32, f->n_chunks, budget,
                             "chunks", "chunks kept per KV head", w->err);
    mls_free_all(chunk, budget, wavelength);
    return st;
}

static mls_status put_provenance(const writer *w, const mls_capture *capture,
                                 const char *command)
{
    const mls_frequency *f = w->f;
    const struct {
        const char *name, *value;
    } texts[] = {{"command", command},
                 {"program", "mlascope " MLS_VERSION},
                 {"model_sha256", mls_capture_model_sha256(capture)},
                 {"text_sha256", mls_capture_text_sha256(capture)},
                 {"scope", mls_scope_name(f->scope)}};
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {{"windows_that_choose", f->n_windows},
                  {"windows_that_measure", f->n_held},
                  {"window_length", f->T},
                  {"sequences_of_norms", f->n_sequences},
                  {"bootstrap", f->bootstrap},
                  {"seed", f->seed}};
    mls_status st = MLS_OK;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && !st; i++)
        st = mls_store_set_text(w->store, "/provenance", texts[i].name, texts[i].value,
                                w->err);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0] && !st; i++)
        st = mls_store_set_count(w->store, "/provenance", counts[i].name,
                                 counts[i].value, w->err);
    return st;
}

mls_status mls_frequency_write(const mls_frequency *f, const mls_capture *capture,
                               const char *path, const char *command, mls_err *err)
{
    writer w = {.f = f, .err = err};
    mls_status st = mls_store_create(&w.store, path, NULL, MLS_FREQUENCY_KIND, err);

    if (!st)
        st = put_provenance(&w, capture, command);
    if (!st)
        st = put_axes(&w);
    for (size_t i = 0; i < f->n_rules && !st; i++) {
        w.rule = f->rule + i;
        st = put_rule(&w);
    }
    if (st) {
        mls_store_abandon(w.store);
        return st;
    }
    return mls_store_finish(w.store, err);
}
