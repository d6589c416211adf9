/* The decision: ranks per layer for a quarter of the cache, verified. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/plan/plan.h"
#include "reports/page/plot.h"
#include "reports/report/measured.h"
#include "reports/report/sections.h"
#include "reports/tables/plan_tables.h"

enum { MULTIPLE = 8, WINDOWS_LEAST = 4 };

/* The measured settings, with what their figures rest on. */
static mls_table *quality_table(const mls_plan *p)
{
    mls_table *t = mls_plan_quality_table(p, false);
    char note[256];

    snprintf(note, sizeof note,
             "made on %zu held-out windows, measured on %zu others of %zu tokens; "
             "intervals 95 %% over windows",
             p->search_windows, p->verify_windows, p->length);
    mls_table_note(t, note);
    return t;
}

static mls_status draw(const mls_report *r, const mls_table *layers, size_t L,
                       mls_err *err)
{
    char script[512];

    snprintf(
        script, sizeof script,
        "set title \"Rank of every layer under one budget\"\n"
        "set xlabel \"layer\"\nset ylabel \"rank (numbers cached per token)\"\n"
        "set yrange [0:*]\nset xrange [-0.6:%.1f]\nset style fill solid 0.9\n"
        "set boxwidth 0.7\nunset key\nset xtics 0, %zu\n"
        "plot \"../data/plan.csv\" using \"layer\":\"rank\" with boxes linetype 1\n",
        (double)L - 0.4, L / 24 + 1);
    const mls_plot plot = {
        .name = "plan", .data = layers, .script = script, .width = 1000, .height = 400};

    return mls_plot_write(r->folder, &plot, err);
}

/* As they work from the folder in which the report was made. */
static void say_commands(const mls_report *r, mls_page *page)
{
    mls_buf b = {0};

    mls_buf_puts(&b, "mlascope evaluate ");
    mls_buf_shell(&b, r->model_name);
    mls_buf_printf(&b, " --plan %s/plan.json --capture %s/run.h5 --text FILE\n",
                   r->folder, r->folder);
    mls_buf_puts(&b, "mlascope export ");
    mls_buf_shell(&b, r->model_name);
    mls_buf_printf(&b, " --plan %s/plan.json --capture %s/run.h5 --for %s -o %s-plan",
                   r->folder, r->folder, mls_serve_target(r->serve), r->folder);
    mls_page_code(page, b.data ? b.data : "");
    mls_buf_free(&b);
}

static void say_none(mls_page *page, const char *why)
{
    mls_page_section(page, "plan", "A plan");
    mls_page_text(page, "No plan for a quarter of the cache: %s.", why);
}

mls_status mls_section_plan(const mls_report *r, mls_page *page, mls_buf *summary,
                            mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    const size_t half = r->evaluation ? r->evaluation->N / 2 : 0;
    mls_corpus search = {0}, verify = {0};
    mls_setting *method = NULL;
    size_t n_methods = 0;
    const size_t bits = 16;
    mls_plan plan = {0};
    mls_table *layers = NULL, *quality = NULL;
    mls_err why = {0};
    mls_status st;

    if (half < WINDOWS_LEAST)
        return MLS_OK;
    st = mls_plan_methods(&method, &n_methods, c, r->serve, MLS_REPORT_KEEP, &why);
    if (st == MLS_E_INPUT) {
        say_none(page, why.text);
        return MLS_OK;
    }
    if (!st)
        st = mls_corpus_part(&search, r->evaluation, 0, half, err);
    if (!st)
        st =
            mls_corpus_part(&verify, r->evaluation, half, r->evaluation->N - half, err);
    const mls_plan_request request = {
        .in = {.config = c, .model = r->model, .capture = r->capture, .pool = r->pool},
        .model_sha256 = mls_capture_model_sha256(r->capture),
        .search = &search,
        .verify = &verify,
        .method = method,
        .n_methods = n_methods,
        .serve = &r->serve,
        .bits = &bits,
        .n_bits = 1,
        .multiple = MULTIPLE,
        .tokens = search.start ? mls_corpus_length(&search) : 0,
        .budget = MLS_REPORT_KEEP * (double)(2 * c->L * c->G * c->D) * 2};
    if (!st)
        st = mls_measured_plan(&plan, r, &request, &why);
    if (st == MLS_E_INPUT) { /* a model too narrow for the budget still has a report */
        say_none(page, why.text);
        st = MLS_OK;
        goto done;
    }
    if (st && why.status && err)
        *err = why;
    if (st)
        goto done;
    layers = mls_plan_layers_table(&plan, true);
    quality = quality_table(&plan);
    st = draw(r, layers, plan.L, err);
    if (st)
        goto done;
    mls_page_section(page, "plan", "A plan");
    if (mls_serve_uniform(r->serve))
        mls_page_text(
            page,
            "A quarter of the cache for what class %s serves, which takes one setting "
            "for all layers: of the methods below the one that lost least on %zu "
            "windows. Measured on other windows: KL %.4f ± %.4f.",
            mls_serve_name(r->serve), plan.search_windows, plan.measured[0].kl.mean,
            plan.measured[0].kl.half);
    else
        mls_page_text(
            page,
            "A quarter of the cache for class %s, spent where it counts: each layer's "
            "loss was measured alone at a few ranks, and the ranks chosen so that "
            "their sum is least. Predicted KL %.4f, measured on other windows %.4f ± "
            "%.4f.",
            mls_serve_name(r->serve), plan.measured[0].predicted,
            plan.measured[0].kl.mean, plan.measured[0].kl.half);
    mls_page_text(page, "plan.json in this folder holds it; this measures it on a text "
                        "of yours and converts the model:");
    say_commands(r, page);
    st = mls_page_figure(page, r->folder, "plan",
                         "Rank of every layer, multiples of 8.", err);
    mls_page_table(page, quality);
    mls_page_details(page, "Settings per layer", layers);
    mls_buf_printf(summary,
                   "plan of class %s for 25 %% of the cache: KL %.4f ± %.4f on %zu "
                   "other windows\n",
                   mls_serve_name(r->serve), plan.measured[0].kl.mean,
                   plan.measured[0].kl.half, plan.verify_windows);

done:
    free(method);
    mls_table_free(layers);
    mls_table_free(quality);
    mls_plan_free(&plan);
    mls_corpus_free(&search);
    mls_corpus_free(&verify);
    return st;
}
