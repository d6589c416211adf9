/*
 * A report is mailed as one file and read on any screen and on paper. So everything is
 * inside: pictures as images of their own, because ids inside one drawing must not meet
 * another's, numbers behind links that are data themselves. Nothing needs the script,
 * which sorts, filters, picks and explains.
 */
#include "reports/page/page.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/system/files.h"
#include "reports/page/downloads.h"
#include "reports/page/embedded.h"
#include "reports/page/html.h"
#include "reports/page/plot.h"
#include "reports/page/slim.h"
#include "reports/page/table_html.h"
#include "reports/page/terms.h"

enum {
    TEXT = 4096,
    FILE_MAX = 64 << 20,
    SVG_MAX = 96 << 10,  /* bytes; of more parts, a picture of dots is smaller */
    CSV_MAX = 256 << 10, /* bytes; what is longer stays beside the page */
    PAGE_MAX = 4600000   /* bytes that figures' numbers may make of a page */
};

typedef struct {
    char *id, *title;
    mls_buf body;
    mls_terms_seen seen;
    size_t n_tables;
} section;

struct mls_page {
    char *title;
    section *section; /* (n), in their order on the page */
    size_t n, now;
    enum { IN_TEXT, IN_TILES, IN_FIGURES } inside;
    bool undrawn; /* figures are captions */
    mls_buf alt, choice;
    mls_downloads downloads; /* numbers of figures */
    mls_buf warning;         /* empty: there is none */
    mls_buf unfinished;      /* why; empty when it is not */
    bool failed;             /* memory ran out */
};

mls_page *mls_page_new(const char *title)
{
    mls_page *p = calloc(1, sizeof *p);

    if (p && !(p->title = strdup(title))) {
        free(p);
        p = NULL;
    }
    return p;
}

void mls_page_free(mls_page *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++) {
        mls_free_all(p->section[i].id, p->section[i].title);
        mls_buf_free(&p->section[i].body);
    }
    mls_free_all(p->section, p->title);
    mls_downloads_free(&p->downloads);
    mls_buf_free(&p->alt);
    mls_buf_free(&p->choice);
    mls_buf_free(&p->warning);
    mls_buf_free(&p->unfinished);
    free(p);
}

/* The section that is written, NULL when memory was short for it. */
static section *current(mls_page *p)
{
    return p->now < p->n ? &p->section[p->now] : NULL;
}

static void put(mls_page *p, const char *html)
{
    section *s = current(p);

    if (s)
        mls_buf_puts(&s->body, html);
}

static void put_text(mls_page *p, const char *text)
{
    section *s = current(p);

    if (s)
        mls_html_escape(&s->body, text);
}

static void put_some(mls_page *p, const char *text, size_t n)
{
    section *s = current(p);

    if (s)
        mls_html_escape_some(&s->body, text, n);
}

static void put_prose(mls_page *p, const char *text)
{
    section *s = current(p);

    if (s)
        mls_terms_mark(&s->body, text, &s->seen);
}

/* Tiles stand in one grid, figures in another: whatever else comes ends it. */
static void enter(mls_page *p, int inside)
{
    if ((int)p->inside == inside)
        return;
    if (p->inside != IN_TEXT)
        put(p, "</div>\n");
    p->inside = inside;
    if (inside == IN_TILES)
        put(p, "<div class=\"tiles\">\n");
    else if (inside == IN_FIGURES)
        put(p, "<div class=\"figures\">\n");
}

void mls_page_section(mls_page *p, const char *id, const char *title)
{
    section *more;

    enter(p, IN_TEXT);
    for (p->now = 0; p->now < p->n; p->now++)
        if (strcmp(p->section[p->now].id, id) == 0)
            return;
    more = realloc(p->section, (p->n + 1) * sizeof *more);
    if (!more) {
        p->failed = true;
        return;
    }
    p->section = more;
    more[p->n] = (section){.id = strdup(id), .title = strdup(title)};
    p->failed |= !more[p->n].id || !more[p->n].title;
    if (p->failed) {
        mls_free_all(more[p->n].id, more[p->n].title);
        return;
    }
    p->n++;
}

void mls_page_section_anew(mls_page *p, const char *id, const char *title)
{
    section *s;

    mls_page_section(p, id, title);
    if ((s = current(p))) {
        mls_downloads_drop(&p->downloads, p->now);
        s->body.len = 0;
        s->n_tables = 0;
        s->seen = (mls_terms_seen){0};
    }
}

/* One element with text that may have terms. */
static void put_paragraph(mls_page *p, const char *open, const char *close,
                          const char *format, va_list args)
{
    char text[TEXT];

    enter(p, IN_TEXT);
    vsnprintf(text, sizeof text, format, args);
    put(p, open);
    put_prose(p, text);
    put(p, close);
}

void mls_page_lead(mls_page *p, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_paragraph(p, "<p class=\"lead\">", "</p>\n", format, args);
    va_end(args);
}

void mls_page_text(mls_page *p, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_paragraph(p, "<p>", "</p>\n", format, args);
    va_end(args);
}

void mls_page_heading(mls_page *p, const char *title)
{
    enter(p, IN_TEXT);
    put(p, "<h3>");
    put_text(p, title);
    put(p, "</h3>\n");
}

void mls_page_tile(mls_page *p, const char *value, const char *label)
{
    enter(p, IN_TILES);
    put(p, "<div class=\"tile\"><b>");
    put_text(p, value);
    put(p, "</b><span>");
    put_prose(p, label);
    put(p, "</span></div>\n");
}

void mls_page_code(mls_page *p, const char *text)
{
    enter(p, IN_TEXT);
    put(p, "<pre>");
    for (const char *from = text; *from;) { /* an option is not broken after a hyphen */
        const size_t n = strcspn(from, " \n"), space = from[n] != '\0';
        const bool option = *from == '-' && n > 1;

        put(p, option ? "<span>" : "");
        put_some(p, from, n);
        put(p, option ? "</span>" : "");
        put_some(p, from + n, space);
        from += n + space;
    }
    put(p, "</pre>\n");
}

static void put_table(mls_page *p, const char *label, const mls_table *t)
{
    section *s = current(p);
    mls_buf csv = {0}, name = {0};

    if (!s)
        return;
    s->n_tables++;
    mls_buf_puts(&s->body,
                 "<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"");
    mls_html_escape(&s->body, label);
    mls_buf_puts(&s->body, "\">\n");
    if (!t || mls_table_print(t, MLS_FORMAT_CSV, &csv, NULL)) {
        p->failed = true;
    } else {
        mls_table_html(t, true, &s->body);
        mls_buf_printf(&name, "%s-%zu.csv", s->id, s->n_tables);
    }
    mls_buf_puts(&s->body, "</div>\n");
    if (t)
        mls_table_notes_html(t, &s->body);
    if (csv.len && csv.len <= CSV_MAX) {
        mls_buf_puts(&s->body, "<p class=\"note\">");
        mls_download_csv(&s->body, name.data ? name.data : "", csv.data, csv.len);
        mls_buf_puts(&s->body, "</p>\n");
    }
    p->failed |= csv.failed || name.failed;
    mls_buf_free(&csv);
    mls_buf_free(&name);
}

void mls_page_table(mls_page *p, const mls_table *t)
{
    const section *s = current(p);

    enter(p, IN_TEXT);
    put_table(p, s ? s->title : "", t);
}

void mls_page_details(mls_page *p, const char *summary, const mls_table *t)
{
    enter(p, IN_TEXT);
    put(p, "<details open><summary>");
    put_text(p, summary);
    put(p, "</summary>\n");
    put_table(p, summary, t);
    put(p, "</details>\n");
}

void mls_page_without_pictures(mls_page *p)
{
    p->undrawn = true;
}

void mls_page_alt(mls_page *p, const char *format, ...)
{
    char text[TEXT];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    mls_buf_free(&p->alt);
    mls_buf_puts(&p->alt, text);
}

void mls_page_choice(mls_page *p, const char *what, const char *value)
{
    mls_buf_free(&p->choice);
    mls_buf_puts(&p->choice, " data-choice=\"");
    mls_html_escape(&p->choice, what);
    mls_buf_puts(&p->choice, "\" data-value=\"");
    mls_html_escape(&p->choice, value);
    mls_buf_puts(&p->choice, "\"");
}

/* <folder>/<middle>/<name><end>, read whole. @param[out] data  released with free() */
static mls_status read_part(const char *folder, const char *middle, const char *name,
                            const char *end, char **data, size_t *len, mls_err *err)
{
    mls_buf path = {0};
    mls_status st = MLS_OK;

    mls_buf_printf(&path, "%s/%s/%s%s", folder, middle, name, end);
    if (path.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a figure");
    else
        st = mls_file_read_regular(path.data, FILE_MAX, data, len, err);
    mls_buf_free(&path);
    return st;
}

/* Browsers blur a map that is drawn larger than its dots: they are told not to. */
static mls_status sharpen(char **svg, size_t *len, bool *map, mls_err *err)
{
    static const char mark[] = "<image ",
                      style[] = "style='image-rendering:pixelated' ";
    const char *at = strstr(*svg, mark);
    mls_buf out = {0};

    *map = at != NULL;
    if (!at)
        return MLS_OK;
    at += strlen(mark);
    mls_buf_add(&out, *svg, (size_t)(at - *svg));
    mls_buf_puts(&out, style);
    mls_buf_puts(&out, at);
    if (out.failed)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a figure");
    free(*svg);
    *svg = out.data;
    *len = out.len;
    return MLS_OK;
}

/* The drawing inside the page, as lines or, where these are many, as dots. */
static mls_status put_picture(mls_page *p, const char *folder, const char *name,
                              const char *alt, mls_err *err)
{
    section *s = current(p);
    mls_buf slim = {0};
    char *data = NULL;
    size_t len;
    bool dots = false, map = false;
    mls_status st = mls_plot_draw(folder, name, err);

    if (!st)
        st = read_part(folder, "plots", name, ".svg", &data, &len, err);
    if (!st)
        st = sharpen(&data, &len, &map, err);
    if (!st) {
        mls_svg_slim(&slim, data);
        if (slim.failed)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for a figure");
    }
    if (!st && slim.len > SVG_MAX) {
        free(data);
        data = NULL;
        dots = true;
        st = read_part(folder, "plots", name, ".png", &data, &len, err);
    }
    if (!st) {
        put(p, dots || map ? "<img class=\"dots\" alt=\"" : "<img alt=\"");
        put_text(p, alt);
        put(p, dots ? "\" src=\"data:image/png;base64,"
                    : "\" src=\"data:image/svg+xml;base64,");
        if (s)
            mls_base64(&s->body, dots ? data : slim.data, dots ? len : slim.len);
        put(p, "\">\n");
    }
    mls_buf_free(&slim);
    free(data);
    return st;
}

mls_status mls_page_figure(mls_page *p, const char *folder, const char *name,
                           const char *caption, mls_err *err)
{
    const section *s;
    char *csv = NULL;
    mls_buf file = {0};
    size_t len = 0;
    mls_status st = MLS_OK;

    enter(p, IN_FIGURES);
    put(p, "<figure");
    put(p, p->choice.data ? p->choice.data : "");
    put(p, ">");
    if (!p->undrawn)
        st = put_picture(p, folder, name, p->alt.data ? p->alt.data : caption, err);
    if (!st)
        st = read_part(folder, "data", name, ".csv", &csv, &len, err);
    put(p, "<figcaption>");
    put_prose(p, caption);
    if (p->undrawn && p->alt.data) {
        put(p, " ");
        put_text(p, p->alt.data);
    }
    put(p, " ");
    s = current(p);
    mls_buf_printf(&file, "%s.csv", name);
    if (!st && s) /* both are taken over */
        p->failed |=
            !mls_downloads_add(&p->downloads, p->now, s->body.len, file.data, csv, len);
    else
        mls_free_all(file.data, csv);
    put(p, "</figcaption></figure>\n");
    p->failed |= p->alt.failed || p->choice.failed;
    mls_buf_free(&p->alt);
    mls_buf_free(&p->choice);
    return st;
}

/* The list of sections; it follows the first, which is the answer. */
static void put_contents(mls_buf *out, const mls_page *p)
{
    mls_buf_puts(out, "<nav aria-label=\"Sections\"><ul>\n");
    for (size_t i = 0; i < p->n; i++)
        if (p->section[i].body.len) {
            mls_buf_printf(out, "<li><a href=\"#%s\">", p->section[i].id);
            mls_html_escape(out, p->section[i].title);
            mls_buf_puts(out, "</a></li>\n");
        }
    mls_buf_puts(out, "<li><a href=\"#terms\">Terms and formulas</a></li>\n"
                      "</ul></nav>\n");
}

static void put_section(mls_buf *out, const mls_page *p, size_t i, const bool *in)
{
    const section *s = &p->section[i];

    mls_buf_printf(out, "<section id=\"%s\">\n<h2>", s->id);
    mls_html_escape(out, s->title);
    mls_buf_puts(out, "</h2>\n");
    mls_downloads_weave(out, &p->downloads, in, i, s->body.data, s->body.len);
    mls_buf_printf(out, "%s</section>\n",
                   i == p->now && p->inside != IN_TEXT ? "</div>\n" : "");
}

static void say_above(mls_page *p, mls_buf *what, const char *text)
{
    what->len = 0;
    mls_buf_puts(what, text);
    p->failed |= what->failed;
}

void mls_page_warning(mls_page *p, const char *text)
{
    say_above(p, &p->warning, text);
}

void mls_page_unfinished(mls_page *p, const char *text)
{
    say_above(p, &p->unfinished, text);
}

mls_status mls_page_print(const mls_page *p, mls_buf *out, mls_err *err)
{
    bool *in = mls_calloc3(p->downloads.n + 1, 1, 1, sizeof *in);
    size_t bytes = strlen(mls_page_css) + strlen(mls_page_js);
    bool failed = p->failed, first = true;

    for (size_t i = 0; i < p->n; i++)
        bytes += p->section[i].body.len;
    if (!in || !mls_downloads_choose(in, &p->downloads,
                                     bytes < PAGE_MAX ? PAGE_MAX - bytes : 0)) {
        free(in);
        return mls_fail(err, MLS_E_NOMEM, "no memory for a page");
    }
    mls_buf_puts(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
                      "<meta charset=\"utf-8\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width, "
                      "initial-scale=1\">\n"
                      "<meta name=\"color-scheme\" content=\"light dark\">\n"
                      "<link rel=\"icon\" href=\"data:,\">\n<title>");
    mls_html_escape(out, p->title);
    mls_buf_printf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<header><h1>",
                   mls_page_css);
    mls_html_escape(out, p->title);
    mls_buf_puts(out, "</h1></header>\n<main>\n");
    if (p->warning.len) {
        mls_buf_puts(out, "<p role=\"alert\"><strong>Warning: ");
        mls_html_escape(out, p->warning.data);
        mls_buf_puts(out, ".</strong></p>\n");
    }
    if (p->unfinished.len) {
        mls_buf_puts(out, "<p role=\"status\"><strong>");
        mls_html_escape(out, p->unfinished.data);
        mls_buf_puts(out, "</strong></p>\n");
    }
    for (size_t i = 0; i < p->n; i++) {
        failed |= p->section[i].body.failed;
        if (!p->section[i].body.len)
            continue;
        put_section(out, p, i, in);
        if (first)
            put_contents(out, p);
        first = false;
    }
    mls_buf_puts(out, "<section id=\"terms\">\n<h2>Terms and formulas</h2>\n");
    mls_terms_glossary(out);
    mls_buf_printf(out,
                   "</section>\n</main>\n<footer>mlascope " MLS_VERSION "</footer>\n"
                   "<script>\n%s</script>\n</body>\n</html>\n",
                   mls_page_js);
    free(in);
    return out->failed || failed ? mls_fail(err, MLS_E_NOMEM, "no memory for a page")
                                 : MLS_OK;
}

mls_status mls_page_write(const mls_page *p, const char *path, mls_err *err)
{
    mls_buf out = {0};
    mls_status st = mls_page_print(p, &out, err);

    if (!st)
        st = mls_file_write(path, out.data, out.len, err);
    mls_buf_free(&out);
    return st;
}
