#include "reports/page/page.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/system/files.h"
#include "reports/page/embedded.h"
#include "reports/page/html.h"
#include "reports/page/plot.h"

struct mls_page {
    char *title;
    mls_buf contents; /* list of sections */
    mls_buf body;
    bool in_section, in_tiles;
    bool undrawn; /* figures are captions */
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
    free(p->title);
    mls_buf_free(&p->contents);
    mls_buf_free(&p->body);
    free(p);
}

/* Tiles stand in one grid: whatever else comes ends it. */
static void end_tiles(mls_page *p)
{
    if (p->in_tiles)
        mls_buf_puts(&p->body, "</div>\n");
    p->in_tiles = false;
}

void mls_page_section(mls_page *p, const char *id, const char *title)
{
    end_tiles(p);
    if (p->in_section)
        mls_buf_puts(&p->body, "</section>\n");
    p->in_section = true;
    mls_buf_printf(&p->contents, "<li><a href=\"#%s\">", id);
    mls_html_escape(&p->contents, title);
    mls_buf_puts(&p->contents, "</a></li>\n");
    mls_buf_printf(&p->body, "<section id=\"%s\">\n<h2>", id);
    mls_html_escape(&p->body, title);
    mls_buf_puts(&p->body, "</h2>\n");
}

void mls_page_heading(mls_page *p, const char *title)
{
    end_tiles(p);
    mls_buf_puts(&p->body, "<h3>");
    mls_html_escape(&p->body, title);
    mls_buf_puts(&p->body, "</h3>\n");
}

void mls_page_text(mls_page *p, const char *format, ...)
{
    char text[4096];
    va_list args;

    end_tiles(p);
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    mls_buf_puts(&p->body, "<p>");
    mls_html_escape(&p->body, text);
    mls_buf_puts(&p->body, "</p>\n");
}

void mls_page_tile(mls_page *p, const char *value, const char *label)
{
    if (!p->in_tiles)
        mls_buf_puts(&p->body, "<div class=\"tiles\">\n");
    p->in_tiles = true;
    mls_buf_puts(&p->body, "<div class=\"tile\"><b>");
    mls_html_escape(&p->body, value);
    mls_buf_puts(&p->body, "</b><span>");
    mls_html_escape(&p->body, label);
    mls_buf_puts(&p->body, "</span></div>\n");
}

void mls_page_code(mls_page *p, const char *text)
{
    end_tiles(p);
    mls_buf_puts(&p->body, "<pre>");
    mls_html_escape(&p->body, text);
    mls_buf_puts(&p->body, "</pre>\n");
}

static void put_table(mls_page *p, const mls_table *t)
{
    mls_buf html = {0};

    mls_buf_puts(&p->body, "<div class=\"wide\">\n");
    if (mls_table_print(t, MLS_FORMAT_HTML, &html, NULL))
        p->body.failed = true;
    else
        mls_buf_add(&p->body, html.data, html.len);
    mls_buf_puts(&p->body, "</div>\n");
    mls_buf_free(&html);
}

void mls_page_table(mls_page *p, const mls_table *t)
{
    end_tiles(p);
    put_table(p, t);
}

void mls_page_details(mls_page *p, const char *summary, const mls_table *t)
{
    end_tiles(p);
    mls_buf_puts(&p->body, "<details><summary>");
    mls_html_escape(&p->body, summary);
    mls_buf_puts(&p->body, "</summary>\n");
    put_table(p, t);
    mls_buf_puts(&p->body, "</details>\n");
}

void mls_page_without_pictures(mls_page *p)
{
    p->undrawn = true;
}

/* The drawing inside the page; as an image of its own, ids inside one drawing cannot
   meet another's. */
static mls_status put_picture(mls_page *p, const char *folder, const char *name,
                              const char *caption, mls_err *err)
{
    mls_buf path = {0};
    char *svg = NULL;
    unsigned char *base64 = NULL;
    size_t len;
    mls_status st = mls_plot_draw(folder, name, err);

    mls_buf_printf(&path, "%s/plots/%s.svg", folder, name);
    if (!st && path.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a figure");
    if (!st)
        st = mls_file_read(path.data, 64u << 20, &svg, &len, err);
    if (!st && !(base64 = malloc(4 * (len / 3 + 1) + 1)))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a figure");
    if (!st) {
        EVP_EncodeBlock(base64, (const unsigned char *)svg, (int)len);
        mls_buf_puts(&p->body, "<div class=\"wide\"><img alt=\"");
        mls_html_escape(&p->body, caption);
        mls_buf_puts(&p->body, "\" src=\"data:image/svg+xml;base64,");
        mls_buf_puts(&p->body, (const char *)base64);
        mls_buf_puts(&p->body, "\"></div>\n");
    }
    free(base64);
    free(svg);
    mls_buf_free(&path);
    return st;
}

mls_status mls_page_figure(mls_page *p, const char *folder, const char *name,
                           const char *caption, mls_err *err)
{
    mls_status st = MLS_OK;

    end_tiles(p);
    mls_buf_puts(&p->body, "<figure>");
    if (!p->undrawn)
        st = put_picture(p, folder, name, caption, err);
    mls_buf_puts(&p->body, "<figcaption>");
    mls_html_escape(&p->body, caption);
    if (p->undrawn)
        mls_buf_puts(&p->body, " Not drawn (");
    else
        mls_buf_printf(&p->body,
                       " (<a href=\"plots/%s.png\">PNG</a>, "
                       "<a href=\"plots/%s.svg\">SVG</a>, ",
                       name, name);
    mls_buf_printf(&p->body,
                   "<a href=\"data/%s.csv\">numbers</a>, "
                   "<a href=\"plots/%s.gp\">script</a>)</figcaption></figure>\n",
                   name, name);
    return st;
}

mls_status mls_page_write(const mls_page *p, const char *path, mls_err *err)
{
    mls_buf out = {0};
    mls_status st;

    mls_buf_puts(&out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
                       "<meta charset=\"utf-8\">\n"
                       "<meta name=\"viewport\" content=\"width=device-width, "
                       "initial-scale=1\">\n<title>");
    mls_html_escape(&out, p->title);
    mls_buf_printf(&out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<header><h1>",
                   mls_page_css);
    mls_html_escape(&out, p->title);
    mls_buf_printf(&out, "</h1>\n<nav><ul>\n%s</ul></nav></header>\n<main>\n",
                   p->contents.data ? p->contents.data : "");
    if (p->body.data)
        mls_buf_add(&out, p->body.data, p->body.len);
    mls_buf_printf(&out,
                   "%s%s</main>\n<footer>mlascope " MLS_VERSION "</footer>\n"
                   "</body>\n</html>\n",
                   p->in_tiles ? "</div>\n" : "", p->in_section ? "</section>\n" : "");
    if (out.failed || p->body.failed || p->contents.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %s", path);
    else
        st = mls_file_write(path, out.data, out.len, err);
    mls_buf_free(&out);
    return st;
}
