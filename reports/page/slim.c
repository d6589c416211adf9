/*
 * A page of a large model holds a hundred drawings, and gnuplot's are a third groups
 * without content and attributes that SVG has by default; a colour bar is 128 boxes, of
 * which those of one colour lie on each other. Everything else stays as it is.
 */
#include "reports/page/slim.h"

#include <stdio.h>
#include <string.h>

static const char defaults[] = " stroke-linecap=\"butt\" stroke-linejoin=\"miter\"";

/* Where a group without content ends, NULL: here is none. */
static const char *empty_group(const char *at)
{
    const char *end;

    if (strncmp(at, "<g ", 3) != 0 || !(end = strchr(at, '>')))
        return NULL;
    end += 1 + strspn(end + 1, " \t\n");
    return strncmp(end, "</g>", 4) == 0 ? end + 4 : NULL;
}

typedef struct {
    char fill[32];
    double x0, y0, x1, y1;
} box;

/* One step of a colour bar. @return where it ends, NULL: it is another element */
static const char *read_box(box *b, const char *at)
{
    double x[4], y[4];
    int used = 0;

    if (sscanf(
            at,
            "<polygon fill = '%31[^']' points = '%lf,%lf %lf,%lf %lf,%lf %lf,%lf '/>%n",
            b->fill, &x[0], &y[0], &x[1], &y[1], &x[2], &y[2], &x[3], &y[3],
            &used) != 9 ||
        used == 0 || x[0] != x[3] || x[1] != x[2] || y[0] != y[1] || y[2] != y[3])
        return NULL;
    b->x0 = x[0];
    b->x1 = x[1];
    b->y0 = y[0];
    b->y1 = y[2];
    return at + used;
}

/* That one and those that go on from it in its colour. */
static const char *put_boxes(mls_buf *out, const char *at)
{
    box b, next;
    const char *end = read_box(&b, at), *more;

    if (!end)
        return NULL;
    while ((more = read_box(&next, end + strspn(end, " \t\n"))) &&
           strcmp(next.fill, b.fill) == 0 && next.x0 == b.x0 && next.x1 == b.x1 &&
           next.y0 - b.y1 < 0.02 && b.y1 - next.y0 < 0.02) {
        b.y1 = next.y1;
        end = more;
    }
    mls_buf_printf(out,
                   "<polygon fill='%s' points='%.2f,%.2f %.2f,%.2f %.2f,%.2f "
                   "%.2f,%.2f'/>",
                   b.fill, b.x0, b.y0, b.x1, b.y0, b.x1, b.y1, b.x0, b.y1);
    return end;
}

void mls_svg_slim(mls_buf *out, const char *svg)
{
    while (*svg) {
        const size_t plain = strcspn(svg, "< \t");
        const char *end;

        mls_buf_add(out, svg, plain);
        svg += plain;
        if (*svg == '\t') {
            svg++;
        } else if (strncmp(svg, defaults, strlen(defaults)) == 0) {
            svg += strlen(defaults);
        } else if ((end = empty_group(svg)) || (end = put_boxes(out, svg))) {
            svg = end;
        } else if (*svg) {
            mls_buf_add(out, svg++, 1);
        }
    }
}
