/* The decision: ranks per layer for a quarter of the cache, verified. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/plan/plan.h"
#include "reports/page/plot.h"
#include "reports/report/embedded.h"
#include "reports/report/measured.h"
#include "reports/report/sections.h"
#include "reports/tables/plan_tables.h"

enum { MULTIPLE = 8, WINDOWS_LEAST = 4, SEARCH_MAX = 8, EACH = 2 /* of a method */ };

/* The measured settings, with what their figures rest on. */
static mls_table *quality_table(const mls_plan *p)
{
    mls_table *t = mls_plan_quality_table(p, false);

    mls_table_say(t,
                  "made on %zu held-out windows, measured on %zu others of %zu tokens; "
                  "intervals 95 %% over windows",
                  p->search_windows, p->verify_windows, p->length);
    return t;
}

/* The uniform setting that a plan was held against; NULL: none. */
static const mls_plan_quality *uniform_of(const mls_plan *p, double *rank)
{
    *rank = NAN;
    for (size_t i = 1; i < p->n_measured; i++) {
        mls_setting s;
        size_t r;

        if (mls_setting_parse(&s, p->measured[i].name, NULL) ||
            strcmp(s.method, p->layer[0].setting.method) != 0 ||
            mls_setting_size(&s, "rank", 0, 0, MLS_WIDTH_MAX, &r, NULL))
            continue;
        *rank = (double)r;
        return &p->measured[i];
    }
    return NULL;
}

static mls_status draw(const mls_report *r, mls_page *page, const mls_plan *p,
                       const mls_table *layers, mls_err *err)
{
    double rank;
    const mls_plan_quality *uniform = uniform_of(p, &rank);
    mls_buf script = {0};
    mls_status st;

    mls_buf_printf(&script, "layers = %zu\n", p->L);
    if (uniform) {
        mls_buf_printf(&script,
                       "uniform = %g\ncost = \"the same in all: KL %.4f, plan %.4f\"\n",
                       rank, uniform->kl.mean, p->measured[0].kl.mean);
        mls_page_alt(page,
                     "Bars: rank of every layer. The same rank of %g in all layers "
                     "costs KL %.4f, the plan %.4f.",
                     rank, uniform->kl.mean, p->measured[0].kl.mean);
    } else {
        mls_buf_puts(&script, "uniform = NaN\ncost = \"\"\n");
    }
    mls_buf_puts(&script, mls_plan_gp);
    st = script.failed
             ? mls_fail(err, MLS_E_NOMEM, "no memory for a plot")
             : mls_plot_write(
                   r->folder,
                   &(mls_plot){.name = "plan", .data = layers, .script = script.data},
                   err);
    mls_buf_free(&script);
    return st ? st
              : mls_page_figure(page, r->folder, "plan",
                                "Rank of every layer, multiples of 8; dashed: the same "
                                "rank in all.",
                                err);
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

/* A quarter of what is converted, and the layers that stay as they are. */
static double budget_of(const mls_config *c, size_t tokens, mls_err *err)
{
    const mls_size_request request = mls_size_one(tokens);
    mls_cache_layout *own = calloc(2, sizeof *own), *single = own + 1;
    double sum = 0;

    if (!own) {
        mls_fail(err, MLS_E_NOMEM, "no memory for a cache layout");
        return NAN;
    }
    mls_size_baseline(own, c);
    single->L = 1;
    for (size_t l = 0; l < c->L; l++) {
        mls_size_result size;

        if (mls_common_can_convert(c, l)) {
            sum += MLS_REPORT_KEEP * 2 * mls_layer_numbers(&c->layer[l]);
            continue;
        }
        single->layer[0] = own->layer[l];
        mls_size(&size, single, &request);
        sum += size.bytes_per_token;
    }
    free(own);
    return sum;
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
    st = mls_plan_methods(&method, &n_methods, c, r->serve, MLS_REPORT_KEEP,
                          r->exhaustive ? EACH : 1, &why);
    if (st == MLS_E_INPUT) {
        say_none(page, why.text);
        return MLS_OK;
    }
    if (!st)
        st = mls_corpus_part(&search, r->evaluation, 0,
                             half < SEARCH_MAX ? half : SEARCH_MAX, err);
    if (!st)
        st =
            mls_corpus_part(&verify, r->evaluation, half, r->evaluation->N - half, err);
    const size_t tokens = search.start ? mls_corpus_length(&search) : 1;
    const double budget = st ? (double)NAN : budget_of(c, tokens, err);
    const mls_plan_request request = {.in = mls_measured_input(r),
                                      .model_sha256 =
                                          mls_capture_model_sha256(r->capture),
                                      .search = &search,
                                      .verify = &verify,
                                      .method = method,
                                      .n_methods = n_methods,
                                      .serve = &r->serve,
                                      .bits = &bits,
                                      .n_bits = 1,
                                      .multiple = MULTIPLE,
                                      .tokens = tokens,
                                      .budget = budget};
    if (!st && isnan(budget))
        st = MLS_E_NOMEM;
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
    mls_page_section(page, "plan", "A plan");
    if (mls_serve_uniform(r->serve))
        mls_page_lead(
            page,
            "What class %s serves takes one setting for all layers: at a quarter of "
            "the cache, the plan is the setting below that lost least on %zu windows. "
            "On windows that chose nothing it has KL %.4f ± %.4f.",
            mls_serve_name(r->serve), plan.search_windows, plan.measured[0].kl.mean,
            plan.measured[0].kl.half);
    else
        mls_page_lead(
            page,
            "A quarter of the cache for class %s, spent where it counts: each layer's "
            "loss was measured alone at a few ranks, and the ranks chosen so that "
            "their sum is least. Predicted KL %.4f; measured on windows that chose "
            "nothing, %.4f ± %.4f.",
            mls_serve_name(r->serve), plan.measured[0].predicted,
            plan.measured[0].kl.mean, plan.measured[0].kl.half);
    mls_page_text(page, "plan.json in this folder holds it; this measures it on a text "
                        "of yours and converts the model:");
    say_commands(r, page);
    st = mls_data_write(r->folder, "plan", layers, err);
    if (!st)
        st = mls_data_write(r->folder, "plan-quality", quality, err);
    if (!st && !mls_serve_uniform(r->serve)) /* of one setting is nothing to see */
        st = draw(r, page, &plan, layers, err);
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
