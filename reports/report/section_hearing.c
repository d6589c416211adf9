/* What each head hears: how concentrated it is, where its attention lies. */
#include "reports/report/sections.h"
#include "reports/tables/concentration_tables.h"

mls_status mls_section_hearing(const mls_report *r, mls_page *page, mls_buf *summary,
                               mls_err *err)
{
    mls_hearing h = {0};
    mls_hearing_summary s;
    mls_table *t = NULL;
    mls_status st;

    if (mls_capture_windows(r->capture) == 0)
        return MLS_OK;
    st = mls_hearing_run(&h, r->capture, r->pool, r->progress, err);
    if (!st)
        st = mls_hearing_summarize(&s, &h, err);
    if (st || s.heads == 0) {
        mls_hearing_free(&h);
        return st;
    }
    mls_page_section(page, "hearing", "What each head hears");
    mls_page_lead(
        page,
        "Of %zu query heads %zu listen mostly to the first token, %zu to the last 8, "
        "%zu far back, %zu everywhere, and %zu to a mix. Heads that listen far need "
        "slow chunks, local ones fast ones: where heads differ, choose chunks for each "
        "of them.",
        s.heads, s.sinks, s.local, s.far, s.diffuse,
        s.heads - s.sinks - s.local - s.far - s.diffuse);
    mls_page_text(
        page,
        "Concentration R is 1 where all queries (keys) of a head point one way "
        "before RoPE: the median is %.2f for queries and %.2f for keys. There "
        "the mean query and the mean key alone make the logits by distance; "
        "over heads the median correlation with the true ones is %.2f.",
        s.r_q, s.r_k, s.correlation);
    mls_buf_printf(summary,
                   "hearing: %zu sink, %zu local, %zu long-range of %zu heads; median "
                   "concentration %.2f (q), %.2f (k)\n",
                   s.sinks, s.local, s.far, s.heads, s.r_q, s.r_k);
    st = mls_hearing_map(r->folder, &h, err);
    if (!st) {
        mls_page_alt(page,
                     "%zu of %zu heads are marked as sinks, %zu as local, %zu as "
                     "long-range.",
                     s.sinks, s.heads, s.local, s.far);
        st = mls_page_figure(page, r->folder, "hearing-map",
                             "A square per query head. Marks: where more than half of "
                             "its attention lies.",
                             err);
    }
    if (!st)
        st = mls_hearing_curves(r->folder, &h, err);
    if (!st)
        st =
            mls_page_figure(page, r->folder, "hearing-curves",
                            "For one head of each kind, the one that its curve follows "
                            "best.",
                            err);
    if (!st) {
        t = mls_hearing_table(&h);
        mls_page_details(page, "Every head", t);
    }
    mls_table_free(t);
    mls_hearing_free(&h);
    return st;
}
