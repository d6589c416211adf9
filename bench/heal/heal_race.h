/* Which settings are worth a long healing: a race of short ones. */
#ifndef MLS_HEAL_RACE_H
#define MLS_HEAL_RACE_H

#include <stddef.h>

#include "bench/evaluate/evaluate.h"
#include "bench/heal/heal.h"
#include "common/base/status.h"

/**
 * Heal all of n schemes for an eighth of the steps on a few windows and choose those of
 * least KL on the windows of the text that healing holds out. The order before healing
 * is not the order after it, that after a short one nearly is.
 *
 * @param like       everything but scheme and folder; its last n_held windows measure
 * @param base       folder for the forms, as in mls_heal_measure(); they are removed in
 *                   the end, race.txt says what they came to
 * @param[out] best  (keep) numbers of schemes, the best first; keep is at most n
 * @return MLS_OK, or what mls_heal_measure() says
 */
mls_status mls_heal_race(size_t *best, size_t keep, const mls_heal_job *like,
                         const char *base, const mls_scheme *scheme, size_t n,
                         const mls_evaluate_options *how, mls_err *err);

#endif
