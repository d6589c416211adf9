/* The cost of one layer alone, for methods that choose their ranks by it. */
#ifndef MLS_ISOLATED_H
#define MLS_ISOLATED_H

#include "bench/frame/method.h"

/** mls_method_input.isolated_kl of everyone whose settings may ask for it. */
mls_isolated_kl mls_isolated_kl_of_model;

#endif
