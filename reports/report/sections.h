/* Sections of the report, in the order of the page; one file each. */
#ifndef MLS_SECTIONS_H
#define MLS_SECTIONS_H

#include "reports/page/page.h"
#include "reports/report/report.h"

/** A section measures, writes its numbers and plots, and adds to page and summary. */
typedef mls_status (*mls_section)(const mls_report *r, mls_page *page, mls_buf *summary,
                                  mls_err *err);

/** Layers and heads in words, as the answer begins. */
void mls_report_shape(char *out, size_t size, const mls_config *config);

mls_status mls_section_answer(const mls_report *r, mls_page *page, mls_buf *summary,
                              mls_err *err);
mls_status mls_section_model(const mls_report *r, mls_page *page, mls_buf *summary,
                             mls_err *err);
mls_status mls_section_quality(const mls_report *r, mls_page *page, mls_buf *summary,
                               mls_err *err);
mls_status mls_section_healing(const mls_report *r, mls_page *page, mls_buf *summary,
                               mls_err *err);
mls_status mls_section_frequency(const mls_report *r, mls_page *page, mls_buf *summary,
                                 mls_err *err);
mls_status mls_section_hearing(const mls_report *r, mls_page *page, mls_buf *summary,
                               mls_err *err);
mls_status mls_section_length(const mls_report *r, mls_page *page, mls_buf *summary,
                              mls_err *err);
mls_status mls_section_texts(const mls_report *r, mls_page *page, mls_buf *summary,
                             mls_err *err);
mls_status mls_section_spectrum(const mls_report *r, mls_page *page, mls_buf *summary,
                                mls_err *err);
/** The rest of that section: ranks with and without rotation, across layers. */
mls_status mls_section_rotation(const mls_report *r, mls_page *page, mls_buf *summary,
                                mls_err *err);
mls_status mls_section_size(const mls_report *r, mls_page *page, mls_buf *summary,
                            mls_err *err);
mls_status mls_section_quant(const mls_report *r, mls_page *page, mls_buf *summary,
                             mls_err *err);
mls_status mls_section_plan(const mls_report *r, mls_page *page, mls_buf *summary,
                            mls_err *err);

#endif
