/* What the cache costs under each method, from the shape alone. */
#include <math.h>
#include <stdlib.h>

#include "bench/frame/method.h"
#include "datasets/checkpoint/checkpoint.h"
#include "reports/report/sections.h"
#include "reports/tables/size_plots.h"
#include "reports/tables/size_table.h"

enum { CONTEXT = 4096 };

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
    mls_table *typical = NULL;
    mls_setting *settings = NULL;
    mls_status st;

    (void)summary;
    st = mls_method_typical(c, &settings, &sweep.n_settings, err);
    sweep.setting = settings;
    sweep.weight_bytes = (double)mls_checkpoint_bytes(mls_model_checkpoint(r->model));
    if (!st)
        st = mls_size_table(&typical, c, &sweep, true, err);
    sweep.weight_bytes = NAN; /* what fits is a table */
    if (!st)
        st = mls_size_plots(r->folder, false, c, &sweep, err);
    if (!st) {
        mls_page_section(page, "size", "What a token takes");
        mls_page_lead(page, "Short bars are cheap contexts. All that a method keeps is "
                            "counted: its latents, and the scales of quantizers and "
                            "recent tokens of full precision beside them.");
        mls_page_alt(page,
                     "Bytes per token of %zu settings and what they are made of; "
                     "the table has them.",
                     sweep.n_settings);
        st = mls_page_figure(page, r->folder, "size-bytes",
                             "What one token takes under each setting, and what it is "
                             "made of.",
                             err);
        mls_page_text(page,
                      "Quantizer scales, zero points and tokens of full precision are "
                      "in the true figures; payload is what a paper would print. "
                      "Context %d tokens, pages of 16.",
                      CONTEXT);
        mls_page_details(page, "All usual settings", typical);
    }
    free(settings);
    mls_table_free(typical);
    return st;
}
