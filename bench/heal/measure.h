/* Settings healed and measured: KL of each one's healed form on another text. */
#ifndef MLS_HEAL_MEASURE_H
#define MLS_HEAL_MEASURE_H

#include <stddef.h>

#include "bench/evaluate/evaluate.h"
#include "bench/heal/heal.h"
#include "common/base/status.h"

/**
 * The folder below `base` of a scheme's healed forms: its name, the steps and a hash of
 * all that decides what they are.
 * @param[out] out  released by the caller with free()
 */
mls_status mls_heal_folder(char **out, const char *base, const mls_scheme *s,
                           const mls_heal_job *like, mls_err *err);

/**
 * Heal one scheme there, if its folder is not there yet.
 *
 * @param like         everything but scheme and folder
 * @param[out] healed  its forms as a scheme of their own; release by mls_scheme_free()
 * @return MLS_OK, or what mls_heal_run() says
 */
mls_status mls_heal_scheme(mls_scheme *healed, const mls_heal_job *like,
                           const char *base, const mls_scheme *scheme, mls_err *err);

/**
 * Heal every scheme in a folder of its own below `base`; a folder that is there is
 * taken as it is, so that the same call goes on after a stop. Then measure all of them
 * in one pass over `test`.
 *
 * @param like      everything but scheme and folder
 * @param scheme    (n)
 * @param[out] out  a variant each, in order; release with mls_evaluation_free()
 * @return MLS_OK, or what mls_heal_run() and mls_evaluate() say
 */
mls_status mls_heal_measure(mls_evaluation *out, const mls_heal_job *like,
                            const char *base, const mls_scheme *scheme, size_t n,
                            const mls_corpus *test, const mls_evaluate_options *how,
                            mls_err *err);

#endif
