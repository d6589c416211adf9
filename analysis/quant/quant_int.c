/* Integers with one scale per group, along a token or along a channel. */
#include <math.h>
#include <stdlib.h>

#include "analysis/quant/quant_format.h"
#include "common/base/checked.h"

/* What a group stores, and how x becomes a code and comes back. */
typedef struct placement {
    float scale, offset; /* half scale; half minimum, or the integer zero point */
    float low, high;     /* smallest and largest code */
} placement;

/* Nearest integer, ties to even, of |x| < 2^22: the addition rounds. */
static inline float nearest(float x)
{
    return (x + 0x1.8p23f) - 0x1.8p23f;
}

static inline float clamp(float x, float low, float high)
{
    const float y = x < low ? low : x;

    return y > high ? high : y;
}

static placement place(float min, float max, unsigned bits, mls_quant_zero zero)
{
    const float levels = (float)((1u << bits) - 1);
    placement p = {0};

    switch (zero) {
    case MLS_ZERO_HALF:
        p.scale = mls_half_scale((max - min) / levels);
        p.offset = mls_round_f16(min);
        p.high = levels;
        break;
    case MLS_ZERO_NONE:
        p.high = (float)((1u << (bits - 1)) - 1);
        p.low = -p.high;
        p.scale = mls_half_scale(fmaxf(-min, max) / p.high);
        break;
    case MLS_ZERO_INTEGER:
        min = fminf(min, 0.0f);
        max = fmaxf(max, 0.0f);
        p.high = levels;
        p.scale = mls_half_scale((max - min) / levels);
        if (p.scale > 0.0f)
            p.offset = nearest(clamp(-min / p.scale, 0.0f, levels));
        break;
    }
    return p;
}

/* A scale of zero stands for a constant group: every number is the offset. */
static inline float through_half(float x, const placement *p)
{
    if (p->scale == 0.0f)
        return p->offset;
    return p->offset +
           nearest(clamp((x - p->offset) / p->scale, p->low, p->high)) * p->scale;
}

static inline float through_none(float x, const placement *p)
{
    if (p->scale == 0.0f)
        return 0.0f;
    return nearest(clamp(x / p->scale, p->low, p->high)) * p->scale;
}

static inline float through_integer(float x, const placement *p)
{
    if (p->scale == 0.0f)
        return 0.0f;
    /* Clamped before the sum, so that nearest() keeps to its range. */
    const float code = nearest(clamp(x / p->scale, -p->high, p->high)) + p->offset;
    return (clamp(code, p->low, p->high) - p->offset) * p->scale;
}

static void quantize_run(float *x, size_t n, const placement *p, mls_quant_zero zero)
{
    switch (zero) {
    case MLS_ZERO_HALF:
        for (size_t i = 0; i < n; i++)
            x[i] = through_half(x[i], p);
        break;
    case MLS_ZERO_NONE:
        for (size_t i = 0; i < n; i++)
            x[i] = through_none(x[i], p);
        break;
    case MLS_ZERO_INTEGER:
        for (size_t i = 0; i < n; i++)
            x[i] = through_integer(x[i], p);
        break;
    }
}

void mls_quant_rows(float *x, size_t T, size_t n, size_t group, unsigned bits,
                    mls_quant_zero zero)
{
    const size_t step = group == 0 ? n : group;

    for (size_t t = 0; t < T; t++)
        for (size_t begin = 0; begin < n; begin += step) {
            float *v = x + t * n + begin;
            const size_t length = n - begin < step ? n - begin : step;
            float min = v[0], max = v[0];

            for (size_t i = 1; i < length; i++) {
                min = v[i] < min ? v[i] : min;
                max = v[i] > max ? v[i] : max;
            }
            const placement p = place(min, max, bits, zero);
            quantize_run(v, length, &p, zero);
        }
}

/* One group of T tokens; min and max are scratch of n, p of n. */
static void quantize_columns(float *x, size_t T, size_t n, unsigned bits,
                             mls_quant_zero zero, float *min, float *max, placement *p)
{
    for (size_t i = 0; i < n; i++)
        min[i] = max[i] = x[i];
    for (size_t t = 1; t < T; t++) {
        const float *v = x + t * n;

        for (size_t i = 0; i < n; i++) {
            min[i] = v[i] < min[i] ? v[i] : min[i];
            max[i] = v[i] > max[i] ? v[i] : max[i];
        }
    }
    for (size_t i = 0; i < n; i++)
        p[i] = place(min[i], max[i], bits, zero);
    for (size_t t = 0; t < T; t++)
        for (size_t i = 0; i < n; i++)
            quantize_run(x + t * n + i, 1, &p[i], zero);
}

mls_status mls_quant_columns(float *x, size_t T, size_t n, size_t group, unsigned bits,
                             mls_quant_zero zero, mls_err *err)
{
    const size_t step = group == 0 ? T : group;
    float *range = calloc(2 * n, sizeof *range);
    placement *p = calloc(n, sizeof *p);
    mls_status st = MLS_OK;

    if (!range || !p)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the ranges of %zu channels", n);
    for (size_t t = 0; !st && t < T; t += step)
        quantize_columns(x + t * n, T - t < step ? T - t : step, n, bits, zero, range,
                         range + n, p);
    mls_free_all(range, p);
    return st;
}

static mls_quant_axis axis(const mls_quant *q, bool is_key)
{
    return is_key ? q->format->key_axis : q->format->value_axis;
}

/* One range for all tokens is stored once: it was calibrated, and does not grow. */
static void cost(const mls_quant *q, bool is_key, size_t n, size_t T,
                 mls_quant_cost *cost)
{
    const mls_quant_zero zero = q->format->zero;
    const double stored = zero == MLS_ZERO_HALF      ? 32.0
                          : zero == MLS_ZERO_INTEGER ? 16.0 + q->bits
                                                     : 16.0;

    cost->payload += (double)T * (double)n * q->bits;
    if (axis(q, is_key) == MLS_AXIS_TOKEN)
        cost->metadata += (double)T * (double)mls_quant_groups(n, q->group) * stored;
    else if (q->group == 0)
        cost->constant += (double)n * stored;
    else
        cost->metadata += (double)n * (double)mls_quant_groups(T, q->group) * stored;
}

static mls_status apply(const mls_quant *q, bool is_key, float *x, size_t T, size_t n,
                        mls_err *err)
{
    const mls_quant_zero zero = q->format->zero;

    if (axis(q, is_key) == MLS_AXIS_CHANNEL)
        return mls_quant_columns(x, T, n, q->group, q->bits, zero, err);
    mls_quant_rows(x, T, n, q->group, q->bits, zero);
    return MLS_OK;
}

#define INT_FAMILY .groups = true, .cost = cost, .apply = apply

MLS_QUANT_FORMAT(int, "int", "", 2, 8,
                 "integers per token: half scale and minimum per group [whole vector]",
                 INT_FAMILY, .zero = MLS_ZERO_HALF);

MLS_QUANT_FORMAT(int_s, "int", "s", 2, 8, "the same, symmetric: half scale only",
                 INT_FAMILY, .zero = MLS_ZERO_NONE);

MLS_QUANT_FORMAT(int_z, "int", "z", 2, 8,
                 "the same, half scale and integer zero point (Atom, FlexGen)",
                 INT_FAMILY, .zero = MLS_ZERO_INTEGER);

MLS_QUANT_FORMAT(
    int_c, "int", "c", 2, 8,
    "integers per channel: half scale and minimum per group of tokens [all]",
    INT_FAMILY, .zero = MLS_ZERO_HALF, .key_axis = MLS_AXIS_CHANNEL,
    .value_axis = MLS_AXIS_CHANNEL);

MLS_QUANT_FORMAT(int_cs, "int", "cs", 2, 8, "the same, symmetric: half scale only",
                 INT_FAMILY, .zero = MLS_ZERO_NONE, .key_axis = MLS_AXIS_CHANNEL,
                 .value_axis = MLS_AXIS_CHANNEL);

static mls_status kivi_fits(const mls_quant *q, size_t n, mls_err *err)
{
    (void)n;
    if (q->group == 0 || q->window % q->group != 0)
        return mls_fail(err, MLS_E_INPUT,
                        "kivi quantizes whole groups: a window of %zu tokens is no "
                        "multiple of %zu",
                        q->window, q->group);
    return MLS_OK;
}

/* KIVI, arXiv 2402.02750: keys per channel, values per token. */
MLS_QUANT_FORMAT(
    kivi, "kivi", "", 2, 8,
    "KIVI: keys per channel, values per token, groups of 32, window of 128", INT_FAMILY,
    .group = 32, .window = 128, .key_residual = MLS_RESIDUAL_REST,
    .zero = MLS_ZERO_HALF, .key_axis = MLS_AXIS_CHANNEL, .fits = kivi_fits);
