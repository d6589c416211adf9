/* Codes that index a fixed table: NormalFloat. */
#include <math.h>

#include "analysis/quant/quant_format.h"

/*
 * NF4 as published with QLoRA (arXiv 2305.14314, appendix E); NF3 and NF2 by the same
 * construction: quantiles of N(0, 1) from delta to 1 - delta, 2^(k-1) of them above
 * zero, 2^(k-1) - 1 below and zero itself, delta = (1/2^k + 1/(2^k - 1)) / 4, largest =
 * 1.
 */
static const float nf4[16] = {
    -1.0f,         -0.69619280f, -0.52507305f, -0.39491749f, -0.28444138f, -0.18477343f,
    -0.091050036f, 0.0f,         0.079580300f, 0.16093020f,  0.24611230f,  0.33791524f,
    0.44070983f,   0.56261700f,  0.72295684f,  1.0f,
};
static const float nf3[8] = {-1.0f,       -0.53502271f, -0.24693143f, 0.0f,
                             0.18333748f, 0.38199395f,  0.62298574f,  1.0f};
static const float nf2[4] = {-1.0f, 0.0f, 0.43581816f, 1.0f};

size_t mls_nearest_entry(const float *table, size_t n, float x)
{
    size_t q = 0;

    while (q + 1 < n && x > 0.5f * (table[q] + table[q + 1]))
        q++;
    return q;
}

/* Scale and offset of one group, as the cache stores them. */
static void place(const mls_quant *q, const float *x, size_t n, float *scale,
                  float *offset)
{
    float min = x[0], max = x[0];

    for (size_t i = 1; i < n; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    if (q->format->zero == MLS_ZERO_HALF) {
        *scale = mls_half_scale(0.5f * (max - min));
        *offset = mls_round_f16(0.5f * (max + min));
    } else {
        *scale = mls_half_scale(fmaxf(-min, max));
        *offset = 0.0f;
    }
}

static mls_status apply(const mls_quant *q, bool is_key, float *x, size_t T, size_t n,
                        mls_err *err)
{
    const float *table = q->bits == 4 ? nf4 : q->bits == 3 ? nf3 : nf2;
    const size_t step = q->group == 0 ? n : q->group;

    (void)is_key;
    (void)err;
    for (size_t t = 0; t < T; t++)
        for (size_t begin = 0; begin < n; begin += step) {
            float *v = x + t * n + begin;
            const size_t length = n - begin < step ? n - begin : step;
            float scale, offset;

            place(q, v, length, &scale, &offset);
            for (size_t i = 0; i < length; i++) {
                const float y = scale > 0.0f ? (v[i] - offset) / scale : 0.0f;
                const float z = table[mls_nearest_entry(table, 1u << q->bits, y)];

                v[i] = z * scale + offset;
            }
        }
    return MLS_OK;
}

static void cost(const mls_quant *q, bool is_key, size_t n, size_t T,
                 mls_quant_cost *cost)
{
    const double stored = q->format->zero == MLS_ZERO_HALF ? 32.0 : 16.0;

    (void)is_key;
    cost->payload += (double)T * (double)n * q->bits;
    cost->metadata += (double)T * (double)mls_quant_groups(n, q->group) * stored;
}

#define TABLE_FAMILY .groups = true, .cost = cost, .apply = apply

MLS_QUANT_FORMAT(nf, "nf", "", 2, 4,
                 "NormalFloat of QLoRA: half absolute maximum per group of 64",
                 TABLE_FAMILY, .group = 64, .zero = MLS_ZERO_NONE);

MLS_QUANT_FORMAT(nf_z, "nf", "z", 2, 4,
                 "NormalFloat with half scale and offset per token (KVQuant's nf)",
                 TABLE_FAMILY, .zero = MLS_ZERO_HALF);
