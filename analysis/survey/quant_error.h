/* What cache quantizers do to a window of captured keys and values. */
#ifndef MLS_QUANT_ERROR_H
#define MLS_QUANT_ERROR_H

#include <stddef.h>

#include "analysis/quant/quantizer.h"
#include "common/base/status.h"

/** One layer of one window, before RoPE; everything is borrowed. */
typedef struct mls_quant_window {
    size_t T, H, G, D;
    const float *q;  /* (T, H D) */
    const float *k;  /* (T, G D) */
    const float *v;  /* (T, G D) */
    const float *cs; /* RoPE table (T, D/2, 2); NULL: a layer that does not rotate */
    size_t sliding;  /* last keys that a query sees, itself included; 0: all */
} mls_quant_window;

/** Keys are quantized before or after RoPE; scores always use rotated ones. */
typedef enum mls_quant_stage {
    MLS_BEFORE_ROPE,
    MLS_AFTER_ROPE,
    MLS_QUANT_STAGES,
} mls_quant_stage;

/**
 * Sums over the tokens, queries and heads that were looked at; add them field by field.
 * A score is <query, key> / sqrt(D). What is the same for all keys of a query does not
 * change its softmax: score sums are about the mean over the keys that the query sees.
 */
typedef struct mls_quant_sums {
    double key_error, key_all;     /* |k' - k|^2, |k|^2 */
    double value_error, value_all; /* |v' - v|^2, |v|^2 */
    double score_error, score_all; /* (s' - s)^2, s^2 */
    double scores;                 /* how many */
    double output_all;             /* |o|^2 of the heads' outputs, before W_O */
    double output_key;             /* |o' - o|^2 with quantized keys, exact values */
    double output_value;           /* with exact keys, quantized values */
    double output_both;
} mls_quant_sums;

/** to += from, every field. */
void mls_quant_sums_add(mls_quant_sums *to, const mls_quant_sums *from);

/**
 * KV head g through n quantizers. All T tokens are cached when the queries look, so a
 * residual window is the one that the cache of T tokens has.
 *
 * @param queries    rows that ask, evenly spaced and ending with the newest token
 * @param[out] sums  (n, MLS_QUANT_STAGES)
 * @return MLS_OK, MLS_E_NOMEM or what mls_quant_apply() returns
 */
mls_status mls_quant_errors(const mls_quant_window *w, size_t g, const mls_quant *quant,
                            size_t n, size_t queries, mls_quant_sums *sums,
                            mls_err *err);

/**
 * How hard vectors are for integer formats; means over tokens unless said otherwise.
 */
typedef struct mls_channel_stats {
    double range_ratio; /* widest channel (max - min over tokens) over the median one */
    double peak;        /* max |x| / rms of a token's vector */
    double peak_hadamard; /* the same after a Hadamard rotation of the vector */
    double first_token;   /* |x_0|^2 over the mean |x_t|^2 */
} mls_channel_stats;

/** @param x  one head: row t is D numbers at x + t * stride; T > 0 */
mls_status mls_channel_stats_of(mls_channel_stats *out, const float *x, size_t stride,
                                size_t T, size_t D, mls_err *err);

/** KV head g's keys after RoPE. @param[out] k  (T, D) */
void mls_quant_rotated_keys(const mls_quant_window *w, size_t g, float *k);

#endif
