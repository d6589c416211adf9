/* What the tests of quantizers share. */
#ifndef MLS_QUANT_FIXTURE_H
#define MLS_QUANT_FIXTURE_H

#include "tests/support/expect.h"

#include "analysis/quant/quantizer.h"
#include "common/numbers/rng.h"

static inline mls_quant parsed(const char *text)
{
    mls_quant q;

    assert_ok(mls_quant_parse(&q, text, &err));
    return q;
}

/* Standard normal numbers; every stream has its own. */
static inline void fill_normal(float *x, size_t n, uint64_t stream)
{
    mls_rng rng;

    mls_rng_seed(&rng, 5, stream);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)mls_rng_normal(&rng);
}

#endif
