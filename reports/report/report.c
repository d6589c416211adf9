#include "reports/report/report.h"

#include <stdio.h>
#include <stdlib.h>

#include "analysis/numeric/blas.h"
#include "common/system/files.h"
#include "reports/report/measured.h"
#include "reports/report/sections.h"

/*
 * What is known without running the model comes first, then what the capture holds,
 * then what many runs of the model measure: the page is there after each. The summary
 * in the terminal has an order of its own, that of `told`.
 */
static const struct {
    mls_section write;
    const char *name;
    size_t told;
} sections[] = {
    {mls_section_model, "model", 1},
    {mls_section_size, "cache size", 8},
    {mls_section_spectrum, "singular values", 7},
    {mls_section_frequency, "RoPE frequencies", 4},
    {mls_section_hearing, "hearing", 5},
    {mls_section_answer, "answer", 0},
    {mls_section_quality, "quality", 2},
    {mls_section_plan, "plan", 3},
    {mls_section_length, "length", 6},
    {mls_section_quant, "quantizers", 9},
};
enum { SECTIONS = sizeof sections / sizeof sections[0] };

/*
 * The page's order, one idea a section; who measures writes into one or more of them,
 * in whatever order. A section in which nothing is written is not on the page.
 */
static const struct {
    const char *id, *title;
} page_order[] = {
    {"answer", "The answer"},
    {"quality", "Who serves what, at which loss"},
    {"frequency", "Which chunks matter"},
    {"hearing", "What each head hears"},
    {"length", "What the length changes"},
    {"spectrum", "How low the rank is"},
    {"size", "Does it fit"},
    {"quantizers", "Fewer bits instead"},
    {"plan", "A plan"},
    {"sure", "How sure this is"},
    {"model", "The model"},
    {"made", "How it was made"},
};

/* The caller's progress with the section's name before every phrase. */
typedef struct {
    const mls_progress *outer;
    size_t section;
} named;

static void name_step(void *arg, const char *what, double done, double total)
{
    const named *n = arg;
    char text[128];

    snprintf(text, sizeof text, "%s (%zu of %d): %s", sections[n->section].name,
             n->section + 1, SECTIONS, what);
    if (n->outer->step)
        n->outer->step(n->outer->arg, text, done, total);
}

static void pass_note(void *arg, const char *text)
{
    const named *n = arg;

    if (n->outer->note)
        n->outer->note(n->outer->arg, text);
}

static bool ask_stopped(void *arg)
{
    const named *n = arg;

    return n->outer->stopped && n->outer->stopped(n->outer->arg);
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
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        mls_table_row(t);
        mls_table_text(t, rows[i][0]);
        mls_table_text(t, rows[i][1]);
    }
    snprintf(text, sizeof text, "%zu of %zu tokens%s",
             mls_capture_sequences(r->capture),
             mls_capture_length(r->capture) - mls_capture_lead(r->capture),
             mls_capture_lead(r->capture) ? ", BOS before each" : "");
    mls_table_row(t);
    mls_table_text(t, "calibration sequences");
    mls_table_text(t, text);
    mls_page_table(page, t);
    mls_table_free(t);
    mls_page_text(page,
                  "The folder of the report holds data/ (every picture's numbers as "
                  "CSV), plots/ (gnuplot scripts, SVG, PNG) and run.h5, the "
                  "statistics (h5py, HDFView).");
}

/* The page as far as it is; what is still to come is said on it. */
static mls_status write_part(mls_page *page, const char *path, size_t done,
                             mls_err *err)
{
    char text[256];

    snprintf(text, sizeof text,
             "Unfinished: %zu of %d parts are here, next comes: %s. This page is "
             "written again after every part; if the program was stopped, the same "
             "command goes on.",
             done, SECTIONS, sections[done].name);
    mls_page_unfinished(page, text);
    const mls_status st = mls_page_write(page, path, err);

    mls_page_unfinished(page, "");
    return st;
}

/* Every section, each with words of its own for the summary. */
static mls_status write_sections(const mls_report *r, named *section, mls_page *page,
                                 const char *path, mls_buf *summary, mls_err *err)
{
    mls_buf said[SECTIONS] = {0};
    mls_status st = MLS_OK;

    for (; !st && section->section < SECTIONS; section->section++) {
        const size_t i = section->section;

        st = sections[i].write(r, page, &said[sections[i].told], err);
        if (!st && i + 1 < SECTIONS)
            st = write_part(page, path, i + 1, err);
    }
    for (size_t i = 0; i < SECTIONS; i++) {
        if (!st && said[i].len)
            mls_buf_add(summary, said[i].data, said[i].len);
        summary->failed |= said[i].failed;
        mls_buf_free(&said[i]);
    }
    return st;
}

mls_status mls_report_write(const mls_report *r, mls_buf *summary, mls_err *err)
{
    named section = {.outer = r->progress};
    const mls_progress progress = {
        .arg = &section, .step = name_step, .note = pass_note, .stopped = ask_stopped};
    mls_report own = *r;
    mls_buf title = {0};
    mls_page *page = NULL;
    char *path = mls_path_join(r->folder, "index.html");
    mls_status st = MLS_OK;

    mls_buf_printf(&title, "%s: what converting to MLA would cost", r->model_name);
    if (title.data)
        page = mls_page_new(title.data);
    if (!page || !path)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    else if (r->without_pictures)
        mls_page_without_pictures(page);
    for (size_t i = 0; page && i < sizeof page_order / sizeof page_order[0]; i++)
        mls_page_section(page, page_order[i].id, page_order[i].title);
    if (r->progress)
        own.progress = &progress;
    if (!st)
        st = write_sections(&own, &section, page, path, summary, err);
    if (!st) {
        provenance(r, page);
        st = mls_page_write(page, path, err);
    }
    if (!st)
        mls_measured_forget(r);
    mls_page_free(page);
    mls_buf_free(&title);
    free(path);
    return st;
}
