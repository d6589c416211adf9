/* Settings of a method that cache a given number of elements. */
#ifndef MLS_FIT_H
#define MLS_FIT_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/frame/method.h"
#include "bench/setting/setting.h"
#include "common/base/status.h"
#include "datasets/checkpoint/config.h"

/** Settings being collected; starts as {0}, released with mls_fits_free(). */
typedef struct mls_fits {
    mls_setting *setting;
    size_t n, cap;
    const char *method;
    mls_status status; /* of the first failure; later additions do nothing */
} mls_fits;

void mls_fits_free(mls_fits *f); /* {0} is accepted */

/** Called by methods: add "METHOD " + format. */
void mls_fits_add(mls_fits *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/**
 * The largest share, a multiple of 1e-6 below 1, at which a method caches at most
 * `most` numbers per token in all layers, by bisection.
 *
 * @param elements  numbers at a share; more of it never gives fewer
 * @return false when the smallest share already caches more
 */
bool mls_fit_share(double *share, size_t (*elements)(const void *arg, double share),
                   const void *arg, size_t most);

/**
 * The method's settings that cache at most `fraction` of the model's own elements, as
 * near to it as its shapes allow, the project's own choice first; none when the method
 * has no size to choose or none fits.
 *
 * @param fraction  0..1 of the plain cache's elements
 * @return MLS_OK, MLS_E_ARG, MLS_E_NOMEM
 */
mls_status mls_method_fit(const mls_method *method, const mls_config *config,
                          double fraction, mls_fits *out, mls_err *err);

/**
 * The same for settings whose ranks follow from the data: their forms cache at most
 * that.
 *
 * @param in  model and capture are needed
 * @return MLS_OK, what mls_capture_stats() and mls_model_attention() say, MLS_E_NOMEM
 */
mls_status mls_method_fit_data(const mls_method *method, const mls_method_input *in,
                               double fraction, mls_fits *out, mls_err *err);

/**
 * The first setting of a method, by its name, that caches at most that share.
 * @param[out] found  false where it has none
 */
mls_status mls_method_first_fit(mls_setting *out, bool *found, const char *method,
                                const mls_config *config, double share, mls_err *err);

#endif
