/* Whose folder a report is written into, and what it holds when it is finished. */
#ifndef MLS_REPORT_FOLDER_H
#define MLS_REPORT_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

/** The first screen as text, in a report's folder. */
#define MLS_REPORT_ANSWER "answer.txt"

/** One thing that the figures of a report follow from. */
typedef struct mls_report_fact {
    const char *name; /* "calibration text SHA-256" */
    const char *value;
} mls_report_fact;

/**
 * Claim a folder for a report of these facts, before anything is written. A folder that
 * is not there or empty is taken; one that a report of the same facts is in goes on;
 * what an unfinished report of other facts left is removed.
 *
 * @param replace  also remove a finished report of other facts, or of version 0.1.0
 * @return MLS_OK, MLS_E_INPUT (holds files that no report wrote, the first is named; a
 *         finished report of other facts: each is named with both values), MLS_E_IO,
 *         MLS_E_NOMEM
 */
mls_status mls_report_claim(const char *folder, const mls_report_fact *fact, size_t n,
                            bool replace, mls_err *err);

/** Nothing came of it: remove a report.json that stands alone in its folder. */
void mls_report_unclaim(const char *folder);

/** The report is finished: write the SHA-256 of every file into report.json. */
mls_status mls_report_seal(const char *folder, mls_err *err);

/** Is there a report.json in this folder? */
bool mls_report_is(const char *folder);

enum { MLS_REPORT_FACT = 256 };

/**
 * What a report says that it is about.
 *
 * @param name        (n) of facts
 * @param[out] value  (n), "" for a fact that it does not have; cut at the size
 */
mls_status mls_report_about(const char *folder, const char *const *name, size_t n,
                            char (*value)[MLS_REPORT_FACT], mls_err *err);

/**
 * Is every file of the report as it was sealed?
 *
 * @param[out] n_files, n_bytes  what was hashed
 * @return MLS_OK, MLS_E_INPUT (a file, changed or missing; an unfinished report)
 */
mls_status mls_report_verify(const char *folder, size_t *n_files, uint64_t *n_bytes,
                             mls_err *err);

#endif
