/* The arithmetic of a Transformer layer, one sequence at a time, single-threaded. */
#ifndef MLS_KERNELS_H
#define MLS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/**
 * y = x / rms(x) * gain, each row by itself; y may be x. (T, E), gain (E), sum double.
 */
void mls_rmsnorm(float *y, const float *x, const float *gain, double eps, size_t T,
                 size_t E);
/** The same in place for rows of D at x + t * stride (QK-norm of one head). */
void mls_rmsnorm_rows(float *x, size_t stride, const float *gain, double eps, size_t T,
                      size_t D);

/**
 * y = (x - mean) / std * gain + bias, rows of D at stride; y may be x, gain and bias
 * may be NULL; sums double.
 */
void mls_layernorm(float *y, size_t stride, const float *x, const float *gain,
                   const float *bias, double eps, size_t T, size_t D);

/**
 * y (T, out) = x (T, in) w^T + b; w (out, in), b (out) or NULL. Sizes are at most
 * INT_MAX, as BLAS counts.
 */
void mls_linear(float *y, const float *x, const float *w, const float *b, size_t T,
                size_t out, size_t in);

/** y += x over n values. */
void mls_add(float *y, const float *x, size_t n);

/** gate = silu(gate) * up, elementwise over n values; silu(z) = z / (1 + exp(-z)). */
void mls_silu_mul(float *gate, const float *up, size_t n);

/** x = silu(x), its gelu by tanh, y *= x, x = cap tanh(x / cap), over n values. */
void mls_silu(float *x, size_t n);
void mls_gelu_tanh(float *x, size_t n);
void mls_multiply(float *y, const float *x, size_t n);
void mls_soft_cap(float *x, double cap, size_t n);

enum { MLS_ATTEND_ROWS = 64 }; /* query rows of a block */

/** Rows of n values that lie `stride` apart: one head of the rows of all heads. */
typedef struct mls_strided {
    const float *at;
    size_t stride, n;
} mls_strided;

/**
 * Causal attention of one head, in blocks of query rows, so that memory is
 * MLS_ATTEND_ROWS * T and never T * T. The softmax's exponential is float (relative
 * error below 2e-7), its sum double. A value that is not finite reaches every row of
 * its block, earlier ones too; finite ones never look ahead.
 *
 * out      row t at out + t * ld_out, as many values as v has
 * q, k, v  T rows of each; q and k, already rotated, of as many values
 * scratch  (MLS_ATTEND_ROWS, T)
 * window   0, or only the last `window` keys (the token itself included) are seen
 */
void mls_attend(float *out, size_t ld_out, mls_strided q, mls_strided k, mls_strided v,
                size_t T, double scale, size_t window, float *scratch);

/** What some families do to scores; {0}: plain causal attention. */
typedef struct mls_attend_how {
    double scale;
    size_t window; /* 0, or the last keys that are seen */
    size_t chunk;  /* 0, or keys are seen from the start of the token's chunk on */
    double cap;    /* 0, or scores become cap tanh(score / cap) */
    double slope;  /* ALiBi: minus slope times the distance is added */
    double sink;   /* a score beside those of the keys; -INFINITY: none */
} mls_attend_how;

/** mls_attend() with all of that; scratch (MLS_ATTEND_ROWS, T). */
void mls_attend_as(float *out, size_t ld_out, mls_strided q, mls_strided k,
                   mls_strided v, size_t T, const mls_attend_how *how, float *scratch);

/** y = exp(x - shift) over n values, double: relative error below 1e-14. */
void mls_exp(double *y, const float *x, double shift, size_t n);

/** log of the sum of exp over n values, double; -inf for n = 0, NaN when one is NaN. */
double mls_logsumexp(const float *x, size_t n);

#endif
