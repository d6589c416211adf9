/*
 * Sections measure in the order in which they know soonest, readers see them in that of
 * page_order; the page is written whole after each, so that a report that is stopped
 * can be read. The time that each takes is told before, in passes through the model.
 */
#include "reports/report/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/blas.h"
#include "bench/frame/fit.h"
#include "common/system/files.h"
#include "reports/report/measured.h"
#include "reports/report/sections.h"
#include "reports/report/served.h"
#include "reports/report/work.h"

/*
 * What is known without running the model comes first, then what the capture holds,
 * then what many runs of the model measure: the page is there after each. The summary
 * in the terminal has an order of its own, that of `told`.
 */
static const struct {
    mls_section write;
    const char *name;
    size_t told;
    /*
     * About how long: passes through the original over the calibration text, runs of
     * all rules, rounds of all methods' settings, windows through the original, forms
     * of all layers, races with their finalists; all of it so many times with
     * --exhaustive.
     */
    double calibration, rules, settings, windows, forms, heal, exhaustive;
} sections[] = {
    {mls_section_model, "model", 1, 0, 0, 0, 0, 0, 0, 1},
    {mls_section_size, "cache size", 8, 0, 0, 0, 0, 0, 0, 1},
    {mls_section_spectrum, "singular values", 7, 1.7, 0, 0, 0, 0, 0, 1},
    {mls_section_frequency, "RoPE frequencies", 4, 0, 0.5, 0, 0, 0, 0, 2},
    {mls_section_hearing, "hearing", 5, 0, 0.2, 0, 0, 0, 0, 1},
    {mls_section_answer, "answer", 0, 0, 0, 0.8, 0, 0, 0, 1.6},
    {mls_section_quality, "quality", 2, 0, 0, 0.85, 0, 0, 0, 5},
    {mls_section_plan, "plan", 3, 0, 0, 0, 112, 3, 0, 4.6},
    {mls_section_length, "length", 6, 0, 0.15, 0, 112, 2, 0, 1.5},
    {mls_section_quant, "quantizers", 9, 0, 0, 0, 290, 5, 0, 1.8},
    {mls_section_texts, "texts", 11, 0, 0, 0, 0, 0, 0, 1},
    {mls_section_healing, "healing", 10, 0, 0, 0, 0, 0, 1, 1},
};
enum { FORMS_MIB = 512 };
enum { SECTIONS = sizeof sections / sizeof sections[0] }; /* the last: --heal alone */

/*
 * By CPU seconds of the report of the demo in bf16, in passes through the original: a
 * setting costs more than one, because forms of so small models take longer than a run;
 * a run of the rules, 1000 times its exponentials.
 */
static const double CAPTURE = 1.5, RULES = 1000, MEASURE = 1.5, HEAL = 3.4;

/*
 * The page's order, one idea a section; who measures writes into one or more of them,
 * in whatever order. A section in which nothing is written is not on the page.
 */
static const struct {
    const char *id, *title;
} page_order[] = {
    {"answer", "The answer"},
    {"served", "Who serves what, at which loss"},
    {"quality", "What each size loses"},
    {"healing", "What training repairs"},
    {"frequency", "Which chunks matter"},
    {"hearing", "What each head hears"},
    {"length", "What the length changes"},
    {"texts", "What the text changes"},
    {"spectrum", "How low the rank is"},
    {"fits", "Does it fit"},
    {"size", "What a token takes"},
    {"quantizers", "Fewer bits instead"},
    {"plan", "A plan"},
    {"sure", "How sure this is"},
    {"model", "The model"},
    {"made", "How it was made"},
};

/* --- What takes how long --- */

/* Settings of all methods at a share, as the sections on quality measure them. */
static size_t count_settings(const mls_config *c, double share, size_t per_method)
{
    size_t n = 0;

    for (size_t m = 0; mls_methods[m]; m++) {
        mls_fits fits = {0};

        if (!mls_method_fit(mls_methods[m], c, share, &fits, NULL))
            n += fits.n < per_method ? fits.n : per_method;
        mls_fits_free(&fits);
    }
    return n;
}

/* Tokens of windows that a capture keeps, about: what fits in its 100 MB. */
static double window_tokens(const mls_config *c, double calibration)
{
    const double values = (double)(c->L * (c->E + (c->H + 2 * c->G) * c->D));

    return fmin(fmin(100e6 / (2 * values), 4096), calibration);
}

void mls_report_schedule(mls_schedule *s, const mls_config *c, double parameters,
                         const mls_report_amounts *a)
{
    const double calibration = (double)a->calibration, text = (double)a->held_out;
    const double chunk = (double)(c->L * c->H * c->D / 2) * (double)a->length;
    const double rules =
        RULES * chunk / (2 * parameters) * window_tokens(c, calibration);
    const double n = (double)count_settings(c, MLS_REPORT_KEEP, 2);
    const double form = text > 0 ? mls_work_form(c) * a->product : 0;
    const double settings = n * (MEASURE * text + form);
    const double window = text > 0 ? (double)a->length : 0;
    /* Of 4 classes at 2 sizes: 40 steps of 8 windows and 3 races of 5 of 4, each about
       two passes. */
    const double heal =
        HEAL * 2 * 8 * (40 * 8 + 3 * 5 * 4) * (double)(a->heal * a->length);

    mls_schedule_add(s, "capture", CAPTURE * calibration);
    for (size_t i = 0; i < SECTIONS; i++) {
        /* What the answer has measured is all that quality shows of a large one. */
        const bool measured = mls_work_is_large(c, parameters) && !a->exhaustive &&
                              sections[i].write == mls_section_quality;
        const bool spectra = sections[i].write == mls_section_spectrum;

        mls_schedule_add(s, sections[i].name,
                         (a->exhaustive ? sections[i].exhaustive : 1) *
                             (sections[i].calibration * calibration +
                              sections[i].rules * rules +
                              (measured ? 0 : sections[i].settings) * settings +
                              sections[i].windows * window + sections[i].forms * form +
                              (spectra ? mls_work_spectra(c) * a->product : 0) +
                              sections[i].heal * heal));
    }
}

/* How to get the same figures again. */
static void provenance(const mls_report *r, mls_page *page)
{
    mls_table *t = mls_table_new(NULL);
    char text[64];

    mls_page_section(page, "made", "How it was made");
    mls_page_code(page, r->command);
    mls_table_column(t, "what", "what", "", 0);
    mls_table_column(t, "value", "value", "", 0);
    const char *rows[][2] = {
        {"model SHA-256", mls_capture_model_sha256(r->capture)},
        {"config SHA-256", mls_model_config(r->model)->sha256},
        {"calibration text SHA-256", mls_capture_text_sha256(r->capture)},
        {"evaluation text", r->evaluation ? r->evaluation_name : "none"},
        {"evaluation text SHA-256", r->evaluation ? r->evaluation->sha256 : "-"},
        {"program", "mlascope " MLS_VERSION},
        {"BLAS", mls_blas_version()},
        {"BLAS kernels", mls_blas_core()},
        {"products of weights", mls_model_arithmetic(r->model)},
        {"arithmetic", "weights as stored, the rest in f32, sums in f64"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        mls_table_line(t, "%s %s", rows[i][0], rows[i][1]);
    snprintf(text, sizeof text, "%zu of %zu tokens%s",
             mls_capture_sequences(r->capture),
             mls_capture_length(r->capture) - mls_capture_lead(r->capture),
             mls_capture_lead(r->capture) ? ", BOS before each" : "");
    mls_table_line(t, "%s %s", "calibration sequences", text);
    mls_page_table(page, t);
    mls_table_free(t);
    mls_page_text(page,
                  "The folder of the report holds data/ (every picture's numbers as "
                  "CSV), plots/ (gnuplot scripts, SVG, PNG) and run.h5, the "
                  "statistics (h5py, HDFView).");
}

/* A page that is mailed has the model's name, not where it lay. */
static const char *last_name(char *out, size_t size, const char *path)
{
    size_t end = strlen(path), begin;

    while (end > 1 && path[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && path[begin - 1] != '/';)
        begin--;
    snprintf(out, size, "%.*s", (int)(end - begin), path + begin);
    return *out ? out : path;
}

/* A page of this report with its sections, all of them empty. */
static mls_page *page_new(const mls_report *r)
{
    mls_buf title = {0};
    char name[256];
    mls_page *page = NULL;

    mls_buf_printf(&title, "%s: what converting to MLA would cost",
                   last_name(name, sizeof name, r->model_name));
    if (title.data)
        page = mls_page_new(title.data);
    if (page && r->without_pictures)
        mls_page_without_pictures(page);
    for (size_t i = 0; page && i < sizeof page_order / sizeof page_order[0]; i++)
        mls_page_section(page, page_order[i].id, page_order[i].title);
    mls_buf_free(&title);
    return page;
}

/* The page as far as it is; what is still to come is said on it. */
static mls_status write_part(mls_page *page, const char *path, size_t done,
                             size_t parts, mls_err *err)
{
    char text[256];

    snprintf(text, sizeof text,
             "Unfinished: %zu of %zu parts are here, next comes: %s. This page is "
             "written again after every part; if the program was stopped, the same "
             "command goes on.",
             done, parts, sections[done].name);
    mls_page_unfinished(page, text);
    const mls_status st = mls_page_write(page, path, err);

    mls_page_unfinished(page, "");
    return st;
}

/* What is known by now against the text. */
static void warn(const mls_report *r, mls_page *page)
{
    const char *doubt = mls_model_config(r->model)->doubt;
    char text[768], all[1200] = "";

    if (doubt[0])
        snprintf(all, sizeof all, "Bytes of the cache are at most what is shown: %s. ",
                 doubt);
    if (r->foreign && mls_foreign_text(text, sizeof text, r->foreign))
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s", text);
    if (all[0])
        mls_page_warning(page, all);
}

/* Every section, each with words of its own for the summary. */
static mls_status write_sections(const mls_report *r, mls_schedule *s, mls_page *page,
                                 const char *path, mls_buf *summary, mls_err *err)
{
    const size_t parts = r->heal ? SECTIONS : SECTIONS - 1;
    mls_buf said[SECTIONS] = {0};
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < parts; i++) {
        mls_schedule_begin(s, i + 1);
        st = sections[i].write(r, page, &said[sections[i].told], err);
        if (!st)
            warn(r, page);
        if (!st && i + 1 < parts)
            st = write_part(page, path, i + 1, parts, err);
    }
    if (!st)
        mls_schedule_begin(s, s->n);
    for (size_t i = 0; i < SECTIONS; i++) {
        if (!st && said[i].len)
            mls_buf_add(summary, said[i].data, said[i].len);
        summary->failed |= said[i].failed;
        mls_buf_free(&said[i]);
    }
    return st;
}

/* Memory for forms that are asked for again. */
static uint64_t forms_bytes(const mls_model *model)
{
    const uint64_t ram = mls_model_ram(model), most = (uint64_t)FORMS_MIB << 20;

    return ram && ram / 4 < most ? ram / 4 : most;
}

mls_status mls_report_begin(const mls_report *r, mls_err *err)
{
    char *path = mls_path_join(r->folder, "index.html");
    mls_page *page = page_new(r);
    mls_buf said = {0};
    mls_status st =
        page && path ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a report");

    if (!st)
        st = mls_section_model(r, page, &said, err);
    if (!st)
        st = mls_section_size(r, page, &said, err);
    if (!st) {
        mls_page_unfinished(page, "Unfinished: sizes are here, next comes the "
                                  "calibration text through the model. This page is "
                                  "written again after every part.");
        st = mls_page_write(page, path, err);
    }
    mls_page_free(page);
    mls_buf_free(&said);
    free(path);
    return st;
}

mls_status mls_report_write(const mls_report *r, mls_buf *summary, mls_err *err)
{
    mls_schedule alone, *schedule = r->schedule ? r->schedule : &alone;
    const mls_report_amounts amounts = {
        .calibration =
            mls_capture_sequences(r->capture) * mls_capture_length(r->capture),
        .held_out = r->evaluation ? r->evaluation->start[r->evaluation->N] : 0,
        .length = mls_capture_length(r->capture),
        .heal = r->heal,
        .exhaustive = r->exhaustive};
    mls_report own = *r;
    mls_served served = {0};
    mls_page *page = page_new(r);
    char *path = mls_path_join(r->folder, "index.html");
    mls_status st = MLS_OK;

    if (!page || !path)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    if (!r->schedule) {
        mls_schedule_start(&alone, r->progress);
        mls_report_schedule(
            &alone, mls_model_config(r->model),
            (double)mls_checkpoint_parameters(mls_model_checkpoint(r->model)),
            &amounts);
    }
    own.progress = &schedule->progress;
    own.served = &served;
    if (!st)
        st = mls_form_cache_new(&own.forms, forms_bytes(r->model), err);
    if (!st)
        st = write_sections(&own, schedule, page, path, summary, err);
    if (!st) {
        provenance(r, page);
        st = mls_page_write(page, path, err);
    }
    if (!st)
        mls_measured_forget(r);
    mls_form_cache_free(own.forms);
    mls_served_free(&served);
    mls_page_free(page);
    free(path);
    return st;
}
