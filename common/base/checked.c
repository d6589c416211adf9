/*
 * Products and sums through the compiler's overflow builtins, which say whether the
 * exact result fits: a test of the wrapped result would come too late for a size that
 * is then allocated.
 */
#include "common/base/checked.h"

#include <stdlib.h>

bool mls_mul_size(size_t *out, size_t a, size_t b)
{
    size_t r;

    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

bool mls_add_size(size_t *out, size_t a, size_t b)
{
    size_t r;

    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

bool mls_mul_u64(uint64_t *out, uint64_t a, uint64_t b)
{
    uint64_t r;

    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

bool mls_add_u64(uint64_t *out, uint64_t a, uint64_t b)
{
    uint64_t r;

    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

void *mls_calloc3(size_t a, size_t b, size_t c, size_t size)
{
    size_t n;

    if (!mls_mul_size(&n, a, b) || !mls_mul_size(&n, n, c))
        return NULL;
    return calloc(n ? n : 1, size);
}

void mls_free_each(void *const *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(p[i]);
}
