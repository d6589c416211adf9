/* What the tests of quantizers share. */
#include "tests/support/quant_fixture.h"

mls_quant parsed(const char *text)
{
    mls_quant q;

    assert_ok(mls_quant_parse(&q, text, &err));
    return q;
}

void fill_normal(float *x, size_t n, uint64_t stream)
{
    mls_rng rng;

    mls_rng_seed(&rng, 5, stream);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)mls_rng_normal(&rng);
}
