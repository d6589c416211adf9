/* From the error of attention outputs to the KL of the whole model. */
#ifndef MLS_KL_LAW_H
#define MLS_KL_LAW_H

#include <stddef.h>

/**
 * KL = exp(a) error^b: a straight line between logarithms, least squares over settings
 * whose KL was measured. error: mean over layers of mls_predicted.attention.
 */
typedef struct mls_kl_law {
    size_t n; /* settings that it rests on; 0: too few */
    double a, b;
    double
        factor; /* 95 %: another setting's KL lies within KL / factor .. KL * factor */
} mls_kl_law;

/** So few settings at least. */
enum { MLS_KL_LAW_MIN = 5 };

/**
 * @param error, kl        (n); pairs that are not finite, or so small that rounding
 *                         makes them, are left out
 * @param[out] predicted   (n) the KL that the law of all other settings gives, from
 *                         which `factor` follows; the law itself where kl[i] is no part
 *                         of it; NaN without a law or an error
 */
mls_kl_law mls_kl_law_fit(const double *error, const double *kl, size_t n,
                          double *predicted);

#endif
