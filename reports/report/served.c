/*
 * A reader chooses in one table: rows of the class whose code will run, the loss before
 * any training beside what cheap training leaves and what whole training is forecast to
 * leave. What was not measured says which option would.
 */
#include "reports/report/served.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "reports/page/plot.h"

mls_served_row *mls_served_row_of(mls_served *s, mls_serve serve, double share,
                                  const char *setting, const char *ties)
{
    size_t at = 0;
    mls_served_row *more, row = {.serve = serve,
                                 .share = share,
                                 .kept = NAN,
                                 .perplexity = NAN,
                                 .kl = {NAN, NAN},
                                 .healed = {NAN, NAN},
                                 .forecast = NAN,
                                 .forecast_low = NAN,
                                 .forecast_high = NAN};

    for (; at < s->n; at++) {
        const mls_served_row *x = &s->row[at];

        if (x->serve == serve && x->share == share && strcmp(x->setting, setting) == 0)
            return &s->row[at];
        if (x->serve > serve || (x->serve == serve && x->share < share))
            break;
    }
    row.setting = strdup(setting);
    row.ties = strdup(ties);
    more = realloc(s->row, (s->n + 1) * sizeof *more);
    if (more)
        s->row = more;
    if (!more || !row.setting || !row.ties) {
        mls_free_all(row.setting, row.ties);
        s->failed = true;
        return NULL;
    }
    memmove(more + at + 1, more + at, (s->n - at) * sizeof *more);
    more[at] = row;
    s->n++;
    return &more[at];
}

void mls_served_free(mls_served *s)
{
    for (size_t i = 0; i < s->n; i++)
        mls_free_all(s->row[i].setting, s->row[i].ties);
    free(s->row);
    *s = (mls_served){0};
}

/* What the words of the first column stand for. */
static void say_classes(mls_table *t, const mls_served *s)
{
    mls_buf note = {0};

    for (size_t i = 0; i < s->n; i++)
        if (i == 0 || s->row[i].serve != s->row[i - 1].serve)
            mls_buf_printf(&note, "%s%s = %s", i ? "; " : "",
                           mls_serve_name(s->row[i].serve),
                           mls_serve_means(s->row[i].serve));
    mls_table_note(t, note.data ? note.data : "");
    mls_buf_free(&note);
}

static mls_table *make_table(const mls_served *s, bool healed,
                             const mls_forecast *forecast)
{
    mls_table *t = mls_table_new(NULL);
    char note[512];
    bool tied = false;

    for (size_t i = 0; i < s->n; i++)
        tied |= *s->row[i].ties != 0;
    MLS_COLUMNS(t, {"served_by", "served by", "", 0}, {"setting", "setting", "", 0},
                {"kept_percent", "kept", "%", 1},
                {"kl", healed ? "KL before" : "KL", "nat", 3},
                {"kl_half", "±", "nat", 3}, {"perplexity", "perplexity", "", 2});
    if (healed) {
        mls_table_column(t, "healed_kl", "healed", "nat", 3);
        mls_table_column(t, "healed_kl_half", "±", "nat", 3);
    }
    if (healed && forecast) {
        MLS_COLUMNS(t, {"forecast", "forecast", "nat", 3},
                    {"forecast_low", "from", "nat", 3},
                    {"forecast_high", "to", "nat", 3});
    }
    if (tied)
        mls_table_column(t, "ties", "not told apart from", "", 0);
    for (size_t i = 0; i < s->n; i++) {
        const mls_served_row *x = &s->row[i];

        mls_table_line(t, "%s %s %g %g %g %g", mls_serve_name(x->serve), x->setting,
                       x->kept, x->kl.mean, x->kl.half, x->perplexity);
        if (healed)
            mls_table_cells(t, "%g %g", x->healed.mean, x->healed.half);
        if (healed && forecast) {
            mls_table_cells(t, "%g %g %g", x->forecast, x->forecast_low,
                            x->forecast_high);
        }
        if (tied && *x->ties)
            mls_table_text(t, x->ties);
        else if (tied)
            mls_table_empty(t);
    }
    say_classes(t, s);
    if (!healed)
        mls_table_note(t, "how good after training: not run; report --heal 1 measures "
                          "what cheap training leaves and forecasts whole training");
    else
        mls_table_note(t, "healed: each layer fitted to the original's, at 25 and "
                          "12.5 %, the best of each class; -: not run");
    if (healed && forecast) {
        snprintf(note, sizeof note,
                 "forecast: KL after %.0f thousand tokens of training all weights, "
                 "from %.0f "
                 "settings of %s that were trained; 95 %% of them lie between from and "
                 "to; none outside of healed KL %.3g to %.3g; another model may differ",
                 forecast->tokens / 1e3, forecast->settings, forecast->model,
                 forecast->low, forecast->high);
        mls_table_note(t, note);
    }
    return t;
}

mls_status mls_served_show(const mls_served *s, const mls_report *r,
                           const mls_forecast *forecast, mls_page *page, mls_err *err)
{
    bool healed = false;
    mls_table *t;
    mls_status st;

    for (size_t i = 0; i < s->n; i++)
        healed |= !isnan(s->row[i].healed.mean);
    if (s->failed || !(t = make_table(s, healed, forecast)))
        return mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    mls_page_section_anew(page, "served", "Who serves what, at which loss");
    mls_page_lead(
        page,
        "Find the code that you will run, then the size you can pay for: only "
        "settings that the same code serves are alternatives. %s.",
        healed ? "KL before is where training starts, healed what minutes of training "
                 "leave"
               : "KL is where training starts");
    mls_page_table(page, t);
    st = mls_data_write(r->folder, "served", t, err);
    mls_table_free(t);
    return st;
}
