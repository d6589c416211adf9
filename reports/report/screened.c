/*
 * Screening by neighbours: curves of loss against size do not cross and cross back
 * between two sizes of a report, so that what a race left at neither of them is not run
 * between them. The unit is the method, because its settings at different sizes are
 * different ones.
 */
#include "reports/report/screened.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/system/progress_part.h"
#include "reports/report/measured.h"

/* Share of the time that the first round takes, about. */
static const double FIRST = 0.7;

bool mls_measured_large(const mls_report *r)
{
    return !r->exhaustive && (double)mls_checkpoint_parameters(
                                 mls_model_checkpoint(r->model)) >= MLS_REPORT_LARGE;
}

/* Place of a racer's share; n_shares: it has none of them. */
static size_t place_of(const mls_racer *racer, const double *share, size_t n_shares)
{
    size_t i = 0;

    while (i < n_shares && share[i] != racer->share)
        i++;
    return i;
}

/* Did a race leave a setting of this method at this share? */
static bool was_left(const mls_comparison *m, const mls_racer *racer,
                     const char *method, double share, const mls_corpus *text)
{
    for (size_t i = 0; i < m->n; i++)
        if (racer[i].share == share && strcmp(racer[i].method, method) == 0 &&
            m->row[i].measured && mls_measured_finished(&m->row[i], text))
            return true;
    return false;
}

/* Rows of the settings that are asked for, into their places of m. */
static mls_status measure_some(mls_comparison *m, const mls_report *r,
                               const mls_setting *setting, const mls_racer *racer,
                               const bool *asked, const mls_progress *progress,
                               mls_err *err)
{
    mls_setting *some = mls_calloc3(m->n, 1, 1, sizeof *some);
    mls_racer *race = mls_calloc3(m->n, 1, 1, sizeof *race);
    mls_report own = *r;
    mls_comparison part = {0};
    size_t n = 0;
    mls_status st =
        some && race ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a report");

    for (size_t i = 0; !st && i < m->n; i++)
        if (asked[i]) {
            some[n] = setting[i];
            race[n++] = racer[i];
        }
    own.progress = progress;
    if (!st && n)
        st = mls_measured_settings(&part, &own, r->evaluation, some, race, n, err);
    for (size_t i = 0, at = 0; !st && n && i < m->n; i++)
        if (asked[i]) {
            m->row[i] = part.row[at];
            part.row[at++] = (mls_compared){0}; /* moved */
        }
    if (!st && n && isnan(m->original.mean)) {
        m->original = part.original;
        m->n_scored = part.n_scored;
    }
    mls_comparison_free(&part);
    mls_free_all(some, race);
    return st;
}

mls_status mls_measured_screened(mls_comparison *out, bool *measured,
                                 const mls_report *r, const mls_setting *setting,
                                 const mls_racer *racer, size_t n, const double *share,
                                 size_t n_shares, mls_err *err)
{
    const bool race = mls_measured_race(r, r->evaluation);
    bool *between = mls_calloc3(n, 1, 1, sizeof *between);
    mls_progress_part first, second;
    mls_status st;

    *out = (mls_comparison){
        .n = n, .row = mls_calloc3(n, 1, 1, sizeof *out->row), .original = {NAN, NAN}};
    st = between && out->row ? MLS_OK
                             : mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    for (size_t i = 0; !st && i < n; i++) {
        const size_t at = place_of(&racer[i], share, n_shares);

        measured[i] = !race || at == n_shares || at % 2 == 0 || at + 1 == n_shares;
    }
    if (!st)
        st = measure_some(out, r, setting, racer, measured,
                          mls_progress_part_of(&first, r->progress, 0, FIRST), err);
    for (size_t i = 0; !st && i < n; i++) {
        const size_t at = place_of(&racer[i], share, n_shares);

        between[i] =
            !measured[i] &&
            (was_left(out, racer, racer[i].method, share[at - 1], r->evaluation) ||
             was_left(out, racer, racer[i].method, share[at + 1], r->evaluation));
    }
    if (!st)
        st = measure_some(out, r, setting, racer, between,
                          mls_progress_part_of(&second, r->progress, FIRST, 1), err);
    for (size_t i = 0, to = 0; !st && i < n; i++) {
        measured[i] = measured[i] || between[i];
        if (!measured[i])
            continue;
        out->row[to++] = out->row[i];
        out->n = to;
    }
    free(between);
    if (st)
        mls_comparison_free(out);
    return st;
}
