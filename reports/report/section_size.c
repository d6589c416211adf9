/* What the cache costs under each method, from the shape alone. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/latent/size.h"
#include "bench/frame/fit.h"
#include "bench/frame/method.h"
#include "common/base/checked.h"
#include "datasets/checkpoint/checkpoint.h"
#include "reports/page/plot.h"
#include "reports/report/sections.h"
#include "reports/tables/size_plots.h"
#include "reports/tables/size_table.h"

enum { CONTEXT = 4096 };

/* Numbers per token that the first layer compresses: all but the rope keys. */
static double latent_elements(const mls_cache_layout *layout)
{
    const mls_cache_layer *layer = &layout->layer[0];
    size_t n = 0;

    for (size_t i = 0; i < layer->n_parts; i++)
        if (layer->part[i].kind != MLS_PART_ROPE_KEY)
            n += layer->part[i].n * layer->part[i].count;
    return (double)n;
}

/* Latent numbers of the method's first setting for a fraction; 0: it has none. */
static double latent_at(const mls_method *m, const mls_config *c, double fraction,
                        mls_cache_layout *layout)
{
    mls_fits fits = {0};
    double n = 0;

    if (!mls_method_fit(m, c, fraction, &fits, NULL) && fits.n > 0 &&
        !mls_method_layout(layout, c, &fits.setting[0], NULL))
        n = latent_elements(layout);
    mls_fits_free(&fits);
    return n;
}

/* Does it save by a lower rank? Others leave out layers or tokens. */
static bool chooses_rank(const mls_method *m, const mls_config *c,
                         mls_cache_layout *layout)
{
    return m->fit && latent_at(m, c, 0.25, layout) < latent_at(m, c, 0.75, layout);
}

/* Kept fraction by rank: one curve per method and bits, each with its usual RoPE. */
static mls_status fill_curves(mls_table *t, const mls_config *c, mls_err *err)
{
    const mls_size_request request = mls_size_one(CONTEXT);
    mls_cache_layout *layout = calloc(1, sizeof *layout);
    mls_size_result base, size;
    mls_status st = MLS_OK;
    char text[256];

    if (!layout)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    st = mls_size_own(&base, c, CONTEXT, err);
    for (size_t m = 0; !st && mls_methods[m]; m++) {
        const size_t n = chooses_rank(mls_methods[m], c, layout) ? 32 : 0;

        for (size_t i = 0; !st && i < n; i++) { /* all of 16 bits, then all of 4 */
            mls_fits fits;
            mls_setting *s;

            st = mls_method_fit(mls_methods[m], c, (double)(i % 16 + 1) / 16, &fits,
                                err);
            if (st || fits.n == 0) { /* what the model cannot take was dropped */
                mls_fits_free(&fits);
                continue;
            }
            s = &fits.setting[0];
            if (i >= 16)
                st = mls_setting_set(s, "bits", "4", err);
            if (!st && !mls_method_layout(layout, c, s, NULL)) {
                mls_size(&size, layout, &request);
                mls_table_row(t);
                mls_table_text(t, mls_methods[m]->title);
                mls_table_count(t, i < 16 ? 16 : 4);
                mls_table_text(t, mls_setting_text(s, text, sizeof text));
                mls_table_real(t, latent_elements(layout));
                mls_table_real(t, size.payload_bytes_per_token);
                mls_table_real(t, size.bytes_per_token);
                mls_table_real(t, 100 * size.payload_bytes_per_token /
                                      base.bytes_per_token);
                mls_table_real(t, 100 * size.bytes_per_token / base.bytes_per_token);
            }
            mls_fits_free(&fits);
        }
    }
    free(layout);
    return st;
}

static mls_status draw(const mls_report *r, const mls_table *t, mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    mls_cache_layout *layout = calloc(1, sizeof *layout);
    mls_buf script = {0};
    int line = 0;

    if (!layout)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a report");

    mls_buf_printf(
        &script,
        "set title \"What is kept of the cache, by method and budget\"\n"
        "set xlabel \"latent numbers per token and layer (rank)\"\n"
        "set ylabel \"kept at %d tokens, scales and windows included (%%)\"\n"
        "set xrange [0:*]\nset yrange [0:100]\nplot ",
        CONTEXT);
    for (size_t m = 0; mls_methods[m]; m++) {
        if (!chooses_rank(mls_methods[m], c, layout))
            continue;
        line++;
        for (int bits = 16; bits >= 4; bits -= 12)
            mls_buf_printf(
                &script,
                "%s\"../data/kept.csv\" using (strcol(\"method\") eq \"%s\" && "
                "column(\"bits\") == %d ? column(\"latent\") : "
                "NaN):\"kept_percent\" with linespoints linetype %d dashtype "
                "%d title \"%s\"",
                line > 1 || bits < 16 ? ", \\\n     " : "", mls_methods[m]->title, bits,
                line, bits == 16 ? 1 : 2, bits == 16 ? mls_methods[m]->title : "");
    }
    mls_buf_puts(&script, ", \\\n     NaN with lines linetype 7 dashtype 2 title "
                          "\"in 4 bits\"\n");
    const mls_plot plot = {.name = "kept",
                           .data = t,
                           .script = script.data ? script.data : "",
                           .width = 1000};
    const mls_status st = script.failed
                              ? mls_fail(err, MLS_E_NOMEM, "no memory for a plot")
                              : mls_plot_write(r->folder, &plot, err);
    mls_buf_free(&script);
    free(layout);
    return st;
}

mls_status mls_section_size(const mls_report *r, mls_page *page, mls_buf *summary,
                            mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    const size_t tokens = CONTEXT, one = 1, sixteen = 16;
    mls_size_sweep sweep = {.skip_refused = true,
                            .tokens = {&tokens, 1},
                            .batch = {&one, 1},
                            .block = {&sixteen, 1},
                            .tensor_parallel = {&one, 1},
                            .dtype_bits = {&sixteen, 1}};
    mls_table *typical = NULL, *curves = mls_table_new(NULL);
    mls_setting *settings = NULL;
    mls_status st;

    (void)summary;
    mls_table_column(curves, "method", "method", "", 0);
    mls_table_column(curves, "bits", "bits", "", 0);
    mls_table_column(curves, "setting", "setting", "", 0);
    mls_table_column(curves, "latent", "latent numbers per token and layer", "", 0);
    mls_table_column(curves, "payload_bytes_per_token", "payload", "B/token", 1);
    mls_table_column(curves, "bytes_per_token", "true", "B/token", 1);
    mls_table_column(curves, "payload_kept_percent", "payload kept", "%", 2);
    mls_table_column(curves, "kept_percent", "kept", "%", 2);
    st = mls_method_typical(c, &settings, &sweep.n_settings, err);
    sweep.setting = settings;
    sweep.weight_bytes = (double)mls_checkpoint_bytes(mls_model_checkpoint(r->model));
    if (!st)
        st = mls_size_table(&typical, c, &sweep, true, err);
    if (!st)
        st = fill_curves(curves, c, err);
    if (!st)
        st = draw(r, curves, err);
    if (!st)
        st = mls_size_plots(r->folder, false, c, &sweep, err);
    if (!st) {
        mls_page_section(page, "size", "Cache size");
        mls_page_text(page,
                      "Bytes are counted, not estimated: quantizer scales, zero points "
                      "and full-precision windows are in the true figures; payload is "
                      "what a paper would print. Context %d tokens, pages of 16.",
                      CONTEXT);
        mls_page_table(page, typical);
        st = mls_page_figure(page, r->folder, "size-bytes",
                             "What one token takes under each setting, and what it is "
                             "made of.",
                             err);
    }
    if (!st)
        st = mls_page_figure(
            page, r->folder, "kept",
            "Kept share of the 16-bit cache against the rank of the "
            "latent, each method that lowers it with its usual RoPE budget: where a "
            "curve starts is what its rope keys cost. Dashed: everything "
            "in 4 bits, group 64, newest 128 tokens in 16 bits.",
            err);
    if (!st)
        st = mls_page_figure(page, r->folder, "size-context",
                             "The longest context of one sequence that fits beside the "
                             "weights.",
                             err);
    free(settings);
    mls_table_free(typical);
    mls_table_free(curves);
    return st;
}
