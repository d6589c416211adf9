/* What the length of windows changes: choices of chunks, losses, their positions. */

#include "bench/evaluate/lengths.h"
#include "bench/frame/fit.h"
#include "common/system/progress_part.h"
#include "reports/report/measured.h"
#include "reports/report/sections.h"
#include "reports/tables/length_tables.h"

/* A sample: all windows at three lengths would take as long as all of quality. */
enum { LENGTHS = 3, TOKENS = 2048, SETTINGS_MAX = 3, SHORTEST = 16, WINDOWS_MAX = 8 };

/* One of rotation, one of rank, one of both. */
static const char *const methods[SETTINGS_MAX] = {"transmla", "mha2mla", "kq"};

typedef struct {
    mls_scheme scheme[SETTINGS_MAX];
    mls_variant variant[SETTINGS_MAX];
    const char *name[SETTINGS_MAX];
    size_t n;
} settings;

static void settings_free(settings *s)
{
    for (size_t i = 0; i < s->n; i++)
        mls_scheme_free(&s->scheme[i]);
}

/* The first setting of each method at a quarter of the cache. */
static mls_status find_settings(settings *s, const mls_report *r, mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < SETTINGS_MAX; i++) {
        mls_setting first;
        bool found;

        st = mls_method_first_fit(&first, &found, methods[i], c, 0.25, err);
        if (found) {
            st = mls_scheme_uniform(&s->scheme[s->n], &first, c->L, err);
            if (!st) {
                s->variant[s->n] =
                    (mls_variant){.scheme = &s->scheme[s->n], .only_layer = MLS_NONE};
                s->name[s->n] = s->scheme[s->n].name;
                s->n++;
            }
        }
    }
    return st;
}

/* Share of the section's time that the losses take, about. */
static const double LOSSES = 0.6;

/* Half and quarter of the longest, and it. */
static size_t lengths_of(size_t out[LENGTHS], size_t longest)
{
    size_t n = 0;

    for (size_t i = LENGTHS; i-- > 0;)
        if (longest >> i >= SHORTEST)
            out[n++] = longest >> i;
    return n;
}

static mls_status choices(const mls_report *r, mls_page *page, mls_buf *summary,
                          mls_err *err)
{
    static const char *const rules[] = {"2-norm", "contribution", "ropelite-l2", "kl"};
    const size_t C = mls_model_config(r->model)->D / 2, budget = C / 8 ? C / 8 : 1;
    const size_t lead = mls_capture_lead(r->capture);
    mls_frequency f[LENGTHS] = {0};
    size_t length[LENGTHS];
    const size_t n = lengths_of(length, mls_capture_window_length(r->capture) - lead);
    char warning[320];
    mls_table *t = NULL;
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < n; i++) {
        mls_progress_part told;

        st = mls_frequency_run(
            &f[i], r->capture,
            &(mls_frequency_request){.rules = rules,
                                     .n_rules = sizeof rules / sizeof rules[0],
                                     .chunks = &budget,
                                     .n_chunks = 1,
                                     .tokens = length[i] + lead,
                                     .windows = r->exhaustive ? 0 : WINDOWS_MAX},
            r->pool,
            mls_progress_part_of(&told, r->progress,
                                 LOSSES + (1 - LOSSES) * (double)i / (double)n,
                                 LOSSES + (1 - LOSSES) * (double)(i + 1) / (double)n),
            err);
    }
    if (!st && n > 1) {
        mls_frequency_length_warning(warning, sizeof warning, f, n);
        if (*warning) {
            mls_page_text(page, "Warning: %s.", warning);
            mls_buf_printf(summary, "length: %s\n", warning);
        }
        t = mls_frequency_length_table(f, n);
        mls_page_table(page, t);
    }
    mls_table_free(t);
    for (size_t i = 0; i < LENGTHS; i++)
        mls_frequency_free(&f[i]);
    return st;
}

static mls_status losses(const mls_report *r, mls_page *page, mls_buf *summary,
                         mls_err *err)
{
    const size_t T = mls_corpus_length(r->evaluation);
    const size_t fit = TOKENS / T ? TOKENS / T : 1;
    const size_t windows = fit < r->evaluation->N ? fit : r->evaluation->N;
    const mls_method_input in = mls_measured_input(r);
    const mls_evaluate_options how = {.keep_going = true};
    settings s = {0};
    mls_corpus part = {0};
    mls_progress_part told;
    mls_lengths l = {0};
    size_t length[LENGTHS];
    const size_t n = lengths_of(length, T);
    char warning[512];
    mls_table *t = NULL;
    mls_status st = find_settings(&s, r, err);

    if (!st && s.n > 0 && n > 0)
        st = mls_corpus_part(&part, r->evaluation, 0, windows, err);
    if (!st && part.N)
        st = mls_lengths_measure(&l, &in, &part, length, n, s.variant, s.n, &how,
                                 mls_progress_part_of(&told, r->progress, 0, LOSSES),
                                 err);
    if (!st && l.n) {
        const mls_by_position *at = &l.e[l.n - 1].variant[0].at;

        mls_length_warning(warning, sizeof warning, &l, s.name);
        if (*warning) {
            mls_page_text(page, "Warning: %s.", warning);
            mls_buf_printf(summary, "length: %s\n", warning);
        }
        st = mls_position_plot(r->folder, &l.e[l.n - 1], s.name, err);
        if (!st && at->n > 1)
            mls_page_alt(page,
                         "KL of %s is %.3g nat at the first positions and %.3g at "
                         "the last.",
                         s.name[0], at->kl[0].mean, at->kl[at->n - 1].mean);
        if (!st)
            st = mls_page_figure(page, r->folder, "positions",
                                 "KL by the number of tokens before the predicted one, "
                                 "in bins that double.",
                                 err);
        if (!st) {
            t = mls_length_table(&l, s.name);
            mls_page_table(page, t);
        }
    }
    mls_table_free(t);
    mls_lengths_free(&l);
    mls_corpus_free(&part);
    settings_free(&s);
    return st;
}

mls_status mls_section_length(const mls_report *r, mls_page *page, mls_buf *summary,
                              mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    bool turning = false;
    mls_status st = MLS_OK;

    for (size_t l = 0; l < c->L; l++)
        turning |= mls_config_layer_is_seen(c, l) && !c->layer[l].no_rope;
    mls_page_section(page, "length", "What the length changes");
    if (c->max_position)
        mls_page_lead(
            page,
            "Windows here hold %zu tokens, the model was trained at %zu: what "
            "grows with the length below is larger where it will be used.",
            mls_capture_length(r->capture) - mls_capture_lead(r->capture),
            c->max_position);
    if (r->evaluation)
        st = losses(r, page, summary, err);
    if (!st && turning && mls_capture_windows(r->capture) > 1)
        st = choices(r, page, summary, err);
    return st;
}
