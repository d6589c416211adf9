/* Inside the quantizers: what a format is made of. Users include quantizer.h. */
#ifndef MLS_QUANT_FORMAT_H
#define MLS_QUANT_FORMAT_H

#include "analysis/quant/quantizer.h"
#include "common/numbers/half.h"

/** Which tokens a window of R keeps in 16 bits when T tokens are cached. */
typedef enum mls_quant_residual {
    MLS_RESIDUAL_NEWEST, /* the newest min(R, T): a sliding window */
    MLS_RESIDUAL_REST,   /* the newest T mod R: quantized R at a time */
} mls_quant_residual;

/** How integer codes are placed; the half numbers are what the cache stores. */
typedef enum mls_quant_zero {
    MLS_ZERO_HALF,    /* scale and minimum, halves: x = min + q scale */
    MLS_ZERO_NONE,    /* scale, half: x = q scale, q = -(2^(b-1)-1) .. 2^(b-1)-1 */
    MLS_ZERO_INTEGER, /* half scale, b-bit zero point: x = (q - z) scale */
} mls_quant_zero;

typedef enum mls_quant_axis {
    MLS_AXIS_TOKEN,   /* a group lies inside one token's vector */
    MLS_AXIS_CHANNEL, /* a group is one channel of several tokens */
} mls_quant_axis;

struct mls_quant_format {
    const char *name;   /* "int"; the bits follow when bits_min < bits_max */
    const char *suffix; /* after the bits: "c"; "" */
    const char *help;
    unsigned bits_min, bits_max;
    size_t group, window, sinks; /* what the bare name stands for */
    bool groups;                 /* "/GROUP" may be written */
    bool random;                 /* "#SEED" may be written */
    bool requantizes; /* a full window dequantizes and quantizes all tokens anew */
    mls_quant_residual key_residual, value_residual;
    mls_quant_zero zero;                 /* integer formats */
    mls_quant_axis key_axis, value_axis; /* integer formats */
    bool scale_once;                     /* FP8: one scale for all tokens */
    bool strided;                        /* HQQ: axis 0 */
    bool wide_norm;                      /* TurboQuant: a float norm, not a half */
    unsigned split;                  /* TurboQuant: one channel in so many is wider */
    bool residual;                   /* TurboQuant: a sketch of what is left */
    bool outliers;                   /* KVQuant: 1 % kept apart */
    unsigned sketch, outlier_sketch; /* QJL: signs per number of the vector */
    const struct mls_ggml_block *block; /* ggml's formats */

    /** Bits of T quantized tokens, added to *cost. */
    void (*cost)(const mls_quant *q, bool is_key, size_t n, size_t T,
                 mls_quant_cost *cost);
    /** What mls_quant_fits() says about n beyond n > 0; NULL: nothing. */
    mls_status (*fits)(const mls_quant *q, size_t n, mls_err *err);
    /** Quantize and dequantize x (T, n), T > 0: finite numbers. */
    mls_status (*apply)(const mls_quant *q, bool is_key, float *x, size_t T, size_t n,
                        mls_err *err);
};

/** A format by name, suffix, least and most bits and help; the rest by member. */
#define MLS_QUANT_FORMAT(id, name_, suffix_, least, most_, help_, ...)                 \
    const mls_quant_format mls_quant_##id = {.name = (name_),                          \
                                             .suffix = (suffix_),                      \
                                             .bits_min = (least),                      \
                                             .bits_max = (most_),                      \
                                             .help = (help_),                          \
                                             __VA_ARGS__}

extern const mls_quant_format mls_quant_int, mls_quant_int_s, mls_quant_int_z,
    mls_quant_int_c, mls_quant_int_cs, mls_quant_kivi, mls_quant_quanto,
    mls_quant_quanto_c, mls_quant_hqq, mls_quant_hqq_0, mls_quant_q8_0, mls_quant_q5_1,
    mls_quant_q5_0, mls_quant_q4_1, mls_quant_q4_0, mls_quant_iq4_nl, mls_quant_fp8,
    mls_quant_fp8_t, mls_quant_fp8_e5m2, mls_quant_nvfp4, mls_quant_mxfp4, mls_quant_nf,
    mls_quant_nf_z, mls_quant_kvquant, mls_quant_kvquant_d, mls_quant_turbo,
    mls_quant_turbo_f, mls_quant_turbo_quarter, mls_quant_turbo_half,
    mls_quant_turbo_product, mls_quant_qjl, mls_quant_qjl_first;

/** The nearest half, the largest finite one for what is beyond: a stored scale. */
static inline float mls_half_scale(float x)
{
    return mls_round_f16(x < 65504.0f ? x : 65504.0f);
}

/** ceil(a / b) groups; b = 0 stands for one group. */
static inline size_t mls_quant_groups(size_t a, size_t b)
{
    return b == 0 || b >= a ? 1 : (a - 1) / b + 1;
}

/** Groups of `group` numbers (0: all n) inside each row of x (T, n). */
void mls_quant_rows(float *x, size_t T, size_t n, size_t group, unsigned bits,
                    mls_quant_zero zero);
/** Groups of `group` tokens (0: all T) inside each column of x (T, n). */
mls_status mls_quant_columns(float *x, size_t T, size_t n, size_t group, unsigned bits,
                             mls_quant_zero zero, mls_err *err);

enum { MLS_CHANNELS_MAX = 1024 };
/** The m channels of x (T, n) of largest 2-norm; n at most MLS_CHANNELS_MAX. */
void mls_largest_channels(const float *x, size_t T, size_t n, size_t m, bool *largest);

/** Index of the entry nearest to x in an ascending table; the lower of two as near. */
size_t mls_nearest_entry(const float *table, size_t n, float x);

/** NVFP4 to the byte: an E4M3 scale, then 16 E2M1 codes, number 2j low in byte j. */
enum { MLS_NVFP4_NUMBERS = 16, MLS_NVFP4_BYTES = 9 };
/** The float scale of a whole tensor (n), max|x| / (6 * 448); 1 where all are 0. */
float mls_nvfp4_scale(const float *x, size_t n);
/** x (MLS_NVFP4_NUMBERS) to block (MLS_NVFP4_BYTES) under the tensor's scale. */
void mls_nvfp4_encode(const float *x, float scale, uint8_t *block);

/**
 * Length of the Hadamard blocks of a vector of n numbers: the largest power of two that
 * divides n.
 */
size_t mls_hadamard_block(size_t n);
/** x = x H / sqrt(block) for each block of each row; its own inverse. */
void mls_hadamard(float *x, size_t T, size_t n);

#endif
