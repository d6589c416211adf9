/* Which of many settings at several sizes are worth measuring at all. */
#ifndef MLS_SCREENED_H
#define MLS_SCREENED_H

#include "bench/evaluate/compare.h"
#include "bench/evaluate/race.h"
#include "reports/report/report.h"

/** Of large models the answer's size alone: each form of theirs takes minutes. */
bool mls_measured_large(const mls_report *r);

/**
 * mls_measured_settings() on the held-out text, sizes in two rounds: first every other
 * share, from the largest on, and racers without one; then at the shares between them
 * only settings of methods of which the race left one at a share beside. What is far
 * behind at a larger and at a smaller cache is not the best between them. Without a
 * race all are measured.
 *
 * @param share          (n_shares) shares of the racers, in order
 * @param[out] out       rows of the measured settings alone, in their order; release
 *                       with mls_comparison_free()
 * @param[out] measured  (n)
 */
mls_status mls_measured_screened(mls_comparison *out, bool *measured,
                                 const mls_report *r, const mls_setting *setting,
                                 const mls_racer *racer, size_t n, const double *share,
                                 size_t n_shares, mls_err *err);

#endif
