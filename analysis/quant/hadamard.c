/* Walsh-Hadamard rotation in Sylvester's order (QuaRot, arXiv 2404.00456). */
#include <math.h>

#include "analysis/quant/quant_format.h"

size_t mls_hadamard_block(size_t n)
{
    return n & (~n + 1);
}

void mls_hadamard(float *x, size_t T, size_t n)
{
    const size_t block = mls_hadamard_block(n);
    const float scale = (float)(1.0 / sqrt((double)block));

    for (size_t at = 0; at < T * n; at += block) {
        float *v = x + at;

        for (size_t half = 1; half < block; half *= 2)
            for (size_t i = 0; i < block; i += 2 * half)
                for (size_t j = i; j < i + half; j++) {
                    const float a = v[j], b = v[j + half];

                    v[j] = a + b;
                    v[j + half] = a - b;
                }
        for (size_t i = 0; i < block; i++)
            v[i] *= scale;
    }
}
