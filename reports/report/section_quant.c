/* Fewer bits: every quantizer on the plain cache and on latents, measured. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/frame/fit.h"
#include "common/base/checked.h"
#include "reports/page/plot.h"
#include "reports/report/embedded.h"
#include "reports/report/measured.h"
#include "reports/report/sections.h"
#include "reports/tables/curves.h"
#include "reports/tables/quantity_columns.h"

enum { SEQUENCES_MAX = 8, RACED_MAX = 4 };

/* One of every family, from careful to coarse. */
static const char *const quantizers[] = {
    NULL,    "q8_0",   "fp8",    "int4/64", "h:int4/64", "kivi4", "q4_0",
    "nvfp4", "nf4/64", "turbo4", "int3/64", "kivi2",     "turbo3"};

/* What is quantized: the plain cache and latents of two sizes. */
static const struct {
    const char *method;
    double fraction;
} caches[] = {{"baseline", 1.0},
              {"mha2mla", 0.25},
              {"transmla", 0.25},
              {"kq", 0.5},
              {"kq", 0.25}};

typedef struct {
    char cache[64]; /* the curve it belongs to */
    const char *quantizer;
    int line; /* of its method */
} point;

enum {
    QUANTIZERS = sizeof quantizers / sizeof quantizers[0],
    CACHES = sizeof caches / sizeof caches[0],
};

/* Every quantizer that each cache's shape can take. */
static mls_status choose(point *p, mls_setting *setting, size_t *n, const mls_config *c,
                         mls_err *err)
{
    mls_cache_layout *layout = calloc(1, sizeof *layout);
    mls_status st = MLS_OK;

    *n = 0;
    if (!layout)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    for (size_t i = 0; !st && i < CACHES; i++) {
        const mls_method *method;
        mls_fits fits = {0};
        mls_setting plain;

        st = mls_method_find(&method, caches[i].method, err);
        if (!st)
            st = mls_method_fit(method, c, caches[i].fraction, &fits, err);
        if (!st && fits.n)
            plain = fits.setting[0];
        else if (!st)
            st = mls_setting_parse(&plain, caches[i].method, err);
        mls_fits_free(&fits);
        for (size_t q = 0; !st && q < QUANTIZERS; q++) {
            mls_setting s = plain;

            if (quantizers[q])
                st = mls_setting_set(&s, "quant", quantizers[q], err);
            if (st || mls_method_layout(layout, c, &s, NULL))
                continue;
            if (caches[i].fraction < 1)
                snprintf(p[*n].cache, sizeof p[*n].cache, "%s at %.4g %%",
                         method->title, 100 * caches[i].fraction);
            else
                snprintf(p[*n].cache, sizeof p[*n].cache, "plain cache");
            p[*n].quantizer = quantizers[q] ? quantizers[q] : "16 bit";
            p[*n].line = i + 1 < CACHES ? mls_curve_line(method) : 6; /* kq twice */
            setting[(*n)++] = s;
        }
    }
    free(layout);
    return st;
}

/* Which points of its own cache no other is as small and as near the original as. */
static void mark_front(bool *front, const point *p, size_t n, const mls_compared *row)
{
    const mls_compared *of[QUANTIZERS * CACHES];

    for (size_t i = 0; i < n;) { /* points of a cache stand together */
        size_t k = 0;

        for (; i + k < n && strcmp(p[i + k].cache, p[i].cache) == 0; k++)
            of[k] = &row[i + k];
        mls_compared_front(front + i, of, k);
        i += k;
    }
}

static mls_table *make_table(const point *p, size_t n, const mls_compared *row,
                             const bool *front, const mls_corpus *text)
{
    mls_table *t = mls_table_new(NULL);

    MLS_COLUMNS(t, {"cache", "cache", "", 0}, {"quantizer", "quantizer", "", 0},
                {"payload_bits", "payload", "bit per original number", 3},
                {"bits", "true", "bit per original number", 3},
                {"kept_percent", "kept", "%", 2}, {"kl", "KL", "nat", 5},
                {"kl_half", "±", "nat", 5}, {"perplexity", "perplexity", "", 3},
                {"top1_percent", "same top-1", "%", 1},
                {"undominated", "none smaller and better", "", 0});
    for (size_t i = 0; i < n; i++) {
        const mls_compared *q = &row[i];

        mls_table_line(t, "%s %s %g %g %g %g %g %g %g %d", p[i].cache, p[i].quantizer,
                       16 * q->kept_payload, 16 * q->kept, 100 * q->kept, q->kl.mean,
                       q->kl.half, exp(q->nll.mean), 100 * q->top1.mean, front[i]);
    }
    mls_refused_notes(t, row, n);
    mls_table_say(
        t,
        "bits at %d tokens with scales, zero points and 16-bit windows; KL on %zu "
        "windows of %zu tokens, where a 16-bit window of 128 covers much: compare "
        "formats of equal windows",
        MLS_MEASURED_TOKENS, text->N, mls_corpus_length(text));
    return t;
}

/*
 * Where a point lies in the plot of quantizers.gp, in pixels from its lower left;
 * both axes are logarithmic, KL's ends at decades.
 */
typedef struct {
    double x, y;
} place;

static const double LEAST = 1e-7; /* nat: what is below is no point */
static const double plot_width = 306, plot_height = 235, bits_most = 20;

static void find_places(place *out, const mls_compared *row, size_t n)
{
    double bits_least = bits_most, low = HUGE_VAL, high = 0;

    for (size_t i = 0; i < n; i++)
        if (row[i].kl.mean > LEAST) {
            bits_least = fmin(bits_least, 16 * row[i].kept);
            low = fmin(low, row[i].kl.mean);
            high = fmax(high, row[i].kl.mean);
        }
    low = floor(log10(low));
    high = ceil(log10(high));
    for (size_t i = 0; i < n; i++)
        out[i] = (place){log(16 * row[i].kept / bits_least) /
                             log(bits_most / bits_least) * plot_width,
                         (log10(row[i].kl.mean) - low) / (high - low) * plot_height};
}

/* Does a name of so many letters, whose left middle is at a place, cover b there? */
static bool covers(place name, size_t letters, place b, double more)
{
    return b.x > name.x - 5 - more && b.x < name.x + 5.3 * (double)letters + 4 &&
           fabs(b.y - name.y) < 9;
}

/* Names of the points that nothing beats, the best first, beside them where there is
   room for one: right above, right below, left above, left below. */
static mls_status add_names(mls_buf *script, const point *p, size_t n,
                            const mls_compared *row, const bool *front, mls_err *err)
{
    static const struct {
        double x, y;
    } sides[] = {{7, 8}, {7, -8}, {-7, 8}, {-7, -8}};
    place *at = calloc(n, sizeof *at), *named = calloc(n, sizeof *named);
    size_t *letters = calloc(n, sizeof *letters), n_named = 0;
    bool *done = calloc(n, sizeof *done);
    const mls_status st = at && named && letters && done
                              ? MLS_OK
                              : mls_fail(err, MLS_E_NOMEM, "no memory for a plot");

    if (!st)
        find_places(at, row, n);
    for (size_t round = 0; !st && round < n; round++) {
        size_t best = n;

        for (size_t i = 0; i < n; i++)
            if (!done[i] && (best == n || row[i].kl.mean < row[best].kl.mean))
                best = i;
        done[best] = true;
        if (!front[best] || !(row[best].kl.mean > LEAST))
            continue;
        const size_t length = strlen(p[best].quantizer);

        for (size_t k = 0; k < sizeof sides / sizeof sides[0]; k++) {
            const bool left = sides[k].x < 0;
            const place name = {at[best].x + sides[k].x -
                                    (left ? 5.3 * (double)length : 0),
                                at[best].y + sides[k].y};
            bool room = name.x > 0 && name.y > 4;

            for (size_t i = 0; i < n && room; i++)
                room = i == best || !(row[i].kl.mean > LEAST) ||
                       !covers(name, length, at[i], 0);
            for (size_t i = 0; i < n_named && room; i++)
                room = !covers(name, length, named[i], 5.3 * (double)letters[i]);
            if (!room)
                continue;
            named[n_named] = name;
            letters[n_named++] = length;
            mls_buf_printf(script,
                           "set label \"%s\" at %.6g,%.6g %s offset graph %.3f, graph "
                           "%.3f font \",9\" textcolor rgb \"#444444\" front\n",
                           p[best].quantizer, 16 * row[best].kept, row[best].kl.mean,
                           left ? "right" : "left", sides[k].x / plot_width,
                           sides[k].y / plot_height);
            break;
        }
    }
    mls_free_all(at, named, letters, done);
    return st;
}

static mls_status draw(const mls_report *r, const mls_table *t, const point *p,
                       size_t n, const mls_compared *row, const bool *front,
                       mls_err *err)
{
    mls_buf script = {0}, caches_of = {0};
    mls_status st;
    int line = 0;

    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(p[i].cache, p[i - 1].cache) != 0) {
            line++;
            mls_buf_printf(&caches_of, "cache[%d] = \"%s\"\nline[%d] = %d\n", line,
                           p[i].cache, line, p[i].line);
        }
    mls_buf_printf(&script, "n = %d\narray cache[%d]\narray line[%d]\n%s", line, CACHES,
                   CACHES, caches_of.data ? caches_of.data : "");
    st = add_names(&script, p, n, row, front, err);
    mls_buf_puts(&script, mls_quantizers_gp);
    script.failed |= caches_of.failed;
    mls_buf_free(&caches_of);
    const mls_plot plot = {.name = "quantizers",
                           .data = t,
                           .script = script.data ? script.data : "",
                           .height = 420};

    if (!st && script.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a plot");
    if (!st)
        st = mls_plot_write(r->folder, &plot, err);
    mls_buf_free(&script);
    return st;
}

mls_status mls_section_quant(const mls_report *r, mls_page *page, mls_buf *summary,
                             mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    mls_comparison m = {0};
    mls_setting setting[QUANTIZERS * CACHES];
    point p[QUANTIZERS * CACHES];
    bool front[QUANTIZERS * CACHES];
    size_t n = 0;
    bool any = false;
    mls_table *t = NULL;
    mls_corpus some;
    mls_status st;

    (void)summary;
    if (!r->evaluation)
        return MLS_OK;
    some = *r->evaluation; /* borrowed, shortened */
    const size_t most = r->exhaustive ? SEQUENCES_MAX : RACED_MAX;

    if (some.N > most)
        some.N = most;
    st = choose(p, setting, &n, c, err);
    if (!st)
        st = mls_measured_settings(&m, r, &some, setting, NULL, n, err);
    for (size_t i = 0; !st && i < n; i++)
        any |= m.row[i].kl.mean > LEAST;
    if (!st && !any) /* the answer says why */
        goto done;
    if (!st) {
        mark_front(front, p, n, m.row);
        t = make_table(p, n, m.row, front, &some);
        st = draw(r, t, p, n, m.row, front, err);
    }
    if (!st) {
        mls_page_section(page, "quantizers", "Fewer bits instead");
        mls_page_lead(
            page,
            "Down and left is better: where points of the plain cache lie below "
            "a latent at the same bits, fewer bits are the better way to the same "
            "bytes.");
        mls_page_text(
            page, "Each format is applied to real keys, values and latents, exact to "
                  "its axis, group and scale and to the tokens that it leaves in full "
                  "precision, and run through the model.");
        mls_page_alt(page, "KL against bits for %zu settings; the table has them all.",
                     n);
        st = mls_page_figure(
            page, r->folder, "quantizers",
            "Every quantizer on the plain cache and on latents: down and "
            "left is better. Named are those that no other on the same cache beats in "
            "both.",
            err);
        mls_page_details(page, "All quantizers measured", t);
    }

done:
    mls_table_free(t);
    mls_comparison_free(&m);
    return st;
}
