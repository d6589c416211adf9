/* What a report has measured so far, in its folder, until the report is finished. */
#ifndef MLS_MEASURED_H
#define MLS_MEASURED_H

#include "bench/evaluate/compare.h"
#include "bench/evaluate/race.h"
#include "bench/evaluate/ties.h"
#include "bench/plan/plan.h"
#include "reports/report/report.h"

enum { MLS_MEASURED_TOKENS = 4096 /* context length of a report's bytes */ };

/** What methods and healing are given of a report's model. */
mls_method_input mls_measured_input(const mls_report *r);

/**
 * Settings on a text, measured or, where an earlier run of the same report did, read
 * back to the last bit (FOLDER/measured.part.jsonl, docs/format/report.md).
 *
 * With racers and at least 16 windows, settings are measured on every eighth window
 * (every fourth of fewer than 32)
 * first and, where mls_race_finishers() says so, on all of them at the share
 * MLS_REPORT_KEEP and without a share, on every second one of 32 and more at other
 * shares: a row's N tells which.
 * A report that is `exhaustive` or of a large model measures all on all.
 *
 * @param racer     (n), NULL: no race, and errors are not predicted
 * @param setting   (n), 0: only the original is measured; bytes are at
 *                  MLS_MEASURED_TOKENS
 * @param[out] out  (max(n, 1)) release with mls_comparison_free()
 * @return what mls_compare() says
 */
mls_status mls_measured_settings(mls_comparison *out, const mls_report *r,
                                 const mls_corpus *text, const mls_setting *setting,
                                 const mls_racer *racer, size_t n, mls_err *err);

/** Are settings raced on this text, or all measured on all of it? */
bool mls_measured_race(const mls_report *r, const mls_corpus *text);

/** Of large models (work.h) the answer's size alone, all settings on all windows. */
bool mls_measured_large(const mls_report *r);

/**
 * The plan of a request, made and written to FOLDER/plan.json or, where an earlier run
 * of the same report did, read from there.
 *
 * @param[out] out  release with mls_plan_free()
 * @return what mls_plan_make() and mls_plan_write() say
 */
mls_status mls_measured_plan(mls_plan *out, const mls_report *r,
                             const mls_plan_request *request, mls_err *err);

/**
 * "tied with A, B and 2 more": settings of this row's class and share that are not told
 * apart from it; "" when there are none.
 */
const char *mls_measured_ties(char *out, size_t size, const mls_comparison *m,
                              const mls_setting *setting, const mls_racer *racer,
                              size_t n, size_t row);

/** The report is finished: nothing has to go on. */
void mls_measured_forget(const mls_report *r);

#endif
