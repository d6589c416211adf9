/* What changed between two results, and is it more than noise? */
#ifndef MLS_DIFF_H
#define MLS_DIFF_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/numeric/interval.h"
#include "common/base/buf.h"
#include "common/base/status.h"
#include "reports/page/page.h"
#include "reports/page/table.h"

/** What both have: a setting, or a captured text. */
typedef struct mls_diff_line {
    char *what;
    char served_by[40];
    double kept; /* %; NaN: not known */
    double a, b; /* nat */
    mls_mean change;
    bool paired; /* by the windows that both were measured on */
    bool more;   /* than noise; false, too, where there is no interval */
} mls_diff_line;

/** A fact that both have, or one of them: the SHA-256 of a text. */
typedef struct mls_diff_fact {
    char what[64], a[256], b[256];
} mls_diff_fact;

typedef struct mls_diff {
    const char *path[2]; /* borrowed */
    bool captures;
    mls_diff_line *line; /* (n), what changed most of its interval first */
    size_t n, only_a, only_b;
    mls_diff_fact fact[16];
    size_t n_facts;
    mls_table *best; /* reports: the best of each class; NULL: not known */
    mls_buf words;   /* a sentence a line, the verdict first */
} mls_diff;

/**
 * @param a, b  two of: a report's folder, a CSV with columns setting, kl and kl_half
 *              (or kl_low and kl_high); or two captures (.h5). Borrowed until freed
 * @param[out] d  release with mls_diff_free()
 * @return MLS_OK, MLS_E_ARG (a capture and another kind), MLS_E_INPUT (not readable,
 *         other columns, nothing in common), MLS_E_NOMEM
 */
mls_status mls_diff_make(mls_diff *d, const char *a, const char *b, mls_err *err);
void mls_diff_free(mls_diff *d); /* {0} is accepted */

/** A row for each line. @param words  also the words, as notes */
mls_table *mls_diff_table(const mls_diff *d, bool words);

/**
 * The same as a page.
 *
 * @param folder  where its picture is drawn; NULL: without
 * @param[out] page  release with mls_page_free()
 */
mls_status mls_diff_page(mls_page **page, const mls_diff *d, const char *folder,
                         mls_err *err);

/* --- For the files of this room --- */

/** Room for one more line, zeroed; NULL when memory is short. */
mls_diff_line *mls_diff_add(mls_diff *d);
void mls_diff_fact_add(mls_diff *d, const char *what, const char *a, const char *b);
mls_status mls_diff_results(mls_diff *d, mls_err *err);
mls_status mls_diff_captures(mls_diff *d, mls_err *err);
const char *mls_diff_verdict(const mls_diff_line *l);

#endif
