/* What the tests of quantizers share. */
#ifndef MLS_QUANT_FIXTURE_H
#define MLS_QUANT_FIXTURE_H

#include "tests/support/expect.h"

#include "analysis/quant/quantizer.h"
#include "common/numbers/rng.h"

mls_quant parsed(const char *text);

/* Standard normal numbers; every stream has its own. */
void fill_normal(float *x, size_t n, uint64_t stream);

#endif
