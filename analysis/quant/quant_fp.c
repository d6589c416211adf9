/* FP8 caches and NVFP4. */
#include <math.h>

#include "analysis/quant/quant_format.h"
#include "common/numbers/small_float.h"

static float largest(const float *x, size_t n)
{
    float most = 0.0f;

    for (size_t i = 0; i < n; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    return most;
}

static void cost_fp8(const mls_quant *q, bool is_key, size_t n, size_t T,
                     mls_quant_cost *cost)
{
    (void)is_key;
    cost->payload += 8.0 * (double)T * (double)n;
    if (q->format->scale_once)
        cost->constant += 32.0;
    if (q->group > 0)
        cost->metadata += 32.0 * (double)T * (double)mls_quant_groups(n, q->group);
}

static void through_e4m3(float *x, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++)
        x[i] = mls_e4m3_to_float(mls_float_to_e4m3(x[i] / scale)) * scale;
}

static float scale_e4m3(const float *x, size_t n)
{
    const float scale = largest(x, n) / 448.0f;

    return scale > 0.0f ? scale : 1.0f;
}

static mls_status apply_e4m3(const mls_quant *q, bool is_key, float *x, size_t T,
                             size_t n, mls_err *err)
{
    (void)is_key;
    (void)err;
    if (q->group == 0) {
        through_e4m3(x, T * n, q->format->scale_once ? scale_e4m3(x, T * n) : 1.0f);
        return MLS_OK;
    }
    for (size_t t = 0; t < T; t++)
        for (size_t begin = 0; begin < n; begin += q->group) {
            float *v = x + t * n + begin;
            const size_t length = n - begin < q->group ? n - begin : q->group;

            through_e4m3(v, length, scale_e4m3(v, length));
        }
    return MLS_OK;
}

static mls_status apply_e5m2(const mls_quant *q, bool is_key, float *x, size_t T,
                             size_t n, mls_err *err)
{
    (void)q;
    (void)is_key;
    (void)err;
    for (size_t i = 0; i < T * n; i++)
        x[i] = mls_e5m2_to_float(mls_float_to_e5m2(x[i]));
    return MLS_OK;
}

MLS_QUANT_FORMAT(fp8, "fp8", "", 8, 8,
                 "E4M3 without a scale (vLLM's default); /GROUP: float scale per group",
                 .groups = true, .cost = cost_fp8, .apply = apply_e4m3);

MLS_QUANT_FORMAT(fp8_t, "fp8", "t", 8, 8,
                 "E4M3, one float scale for all tokens (calibrated per tensor)",
                 .scale_once = true, .cost = cost_fp8, .apply = apply_e4m3);

MLS_QUANT_FORMAT(fp8_e5m2, "fp8e5m2", "", 8, 8, "E5M2 without a scale",
                 .cost = cost_fp8, .apply = apply_e5m2);

float mls_nvfp4_scale(const float *x, size_t n)
{
    const float scale = largest(x, n) / (6.0f * 448.0f);

    return scale > 0.0f ? scale : 1.0f;
}

void mls_nvfp4_encode(const float *x, float scale, uint8_t *block)
{
    block[0] = mls_float_to_e4m3(largest(x, MLS_NVFP4_NUMBERS) / 6.0f / scale);

    const float step = mls_e4m3_to_float(block[0]) * scale;
    for (size_t j = 0; j < MLS_NVFP4_NUMBERS; j += 2) {
        const float low = step > 0.0f ? x[j] / step : 0.0f;
        const float high = step > 0.0f ? x[j + 1] / step : 0.0f;

        block[1 + j / 2] =
            (uint8_t)(mls_float_to_e2m1(low) | mls_float_to_e2m1(high) << 4);
    }
}

/* And back: the numbers that the block stands for. */
static void nvfp4_decode(const uint8_t *block, float scale, float *x)
{
    const float step = mls_e4m3_to_float(block[0]) * scale;

    for (size_t j = 0; j < MLS_NVFP4_NUMBERS; j++)
        x[j] = mls_e2m1_to_float(block[1 + j / 2] >> (j % 2 * 4) & 15) * step;
}

static void cost_nvfp4(const mls_quant *q, bool is_key, size_t n, size_t T,
                       mls_quant_cost *cost)
{
    (void)q;
    (void)is_key;
    cost->payload += 4.0 * (double)T * (double)n;
    cost->metadata += 8.0 * (double)T * (double)(n / MLS_NVFP4_NUMBERS);
    cost->constant += 32.0;
}

static mls_status fits_nvfp4(const mls_quant *q, size_t n, mls_err *err)
{
    (void)q;
    if (n % MLS_NVFP4_NUMBERS != 0)
        return mls_fail(err, MLS_E_INPUT,
                        "nvfp4 has blocks of %d numbers, of which %zu is no multiple; "
                        "int4 takes any",
                        MLS_NVFP4_NUMBERS, n);
    return MLS_OK;
}

static mls_status apply_nvfp4(const mls_quant *q, bool is_key, float *x, size_t T,
                              size_t n, mls_err *err)
{
    const float scale = mls_nvfp4_scale(x, T * n);
    uint8_t block[MLS_NVFP4_BYTES];

    (void)q;
    (void)is_key;
    (void)err;
    for (size_t at = 0; at < T * n; at += MLS_NVFP4_NUMBERS) {
        mls_nvfp4_encode(x + at, scale, block);
        nvfp4_decode(block, scale, x + at);
    }
    return MLS_OK;
}

MLS_QUANT_FORMAT(nvfp4, "nvfp4", "", 4, 4,
                 "NVFP4: E2M1, E4M3 scale per 16, one float scale for all tokens",
                 .group = MLS_NVFP4_NUMBERS, .cost = cost_nvfp4, .fits = fits_nvfp4,
                 .apply = apply_nvfp4);
