/*
 * Products with weights in bfloat16, through oneDNN, where the machine multiplies such
 * numbers (AVX512_BF16 or AMX): rows and weights are rounded to 8 bits of mantissa,
 * sums run in float (docs/methods/bf16.md); and products of floats through it.
 */
#ifndef MLS_PACKED_H
#define MLS_PACKED_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"

/** How weights are multiplied. */
typedef enum mls_compute {
    MLS_COMPUTE_F32,
    MLS_COMPUTE_BF16,
} mls_compute;

/** "f32", "bf16" */
const char *mls_compute_name(mls_compute compute);

/**
 * Can this machine, and this program, multiply bfloat16 in hardware?
 * @param[out] how  static text: the library and the instructions, or why not
 */
bool mls_bf16_available(const char **how);

/** Weights in bfloat16, laid out for the CPU; found by the floats they were made of. */
typedef struct mls_packed mls_packed;

/** @param[out] out  release with mls_packed_free(); empty; NULL on error */
mls_status mls_packed_new(mls_packed **out, mls_err *err);
void mls_packed_free(mls_packed *p); /* NULL is accepted */

/**
 * Add w (n_out, n_in), which must live as long as p. NULL, and what is too small to
 * gain by it, are passed over.
 * @return MLS_OK, MLS_E_NOMEM or MLS_E_ARG (not available)
 */
mls_status mls_packed_add(mls_packed *p, const float *w, size_t n_out, size_t n_in,
                          mls_err *err);

/**
 * The same for mls_packed_back(): w is laid out a second time, transposed.
 */
mls_status mls_packed_add_back(mls_packed *p, const float *w, size_t n_out, size_t n_in,
                               mls_err *err);

/**
 * y (T, n_out) with rows ld_y apart = x (T, n_in) w^T + b (NULL: none): in bfloat16
 * where p has w, in float elsewhere (p may be NULL). The same bits on every thread.
 */
void mls_packed_linear(mls_packed *p, float *y, size_t ld_y, const float *x,
                       const float *w, const float *b, size_t T, size_t n_out,
                       size_t n_in);

/** A matrix of floats, rows ld apart; turned: stored as its transpose. */
typedef struct mls_operand {
    const float *at;
    size_t ld;
    bool turned;
} mls_operand;

/**
 * c (m, n), rows ld_c apart, = a (m, k) b (k, n), or c + a b; a and b are rounded to
 * bfloat16 for the purpose. For matrices that change from product to product.
 *
 * @return false: nothing was done, because it is too small to gain or there is no
 *         kernel or memory for it; to be done in float
 */
bool mls_bf16_product(float *c, size_t ld_c, const mls_operand *a, const mls_operand *b,
                      size_t m, size_t n, size_t k, bool add);

/**
 * The same of the floats as they are, in other blocks and so with other last bits than
 * BLAS; false also where the CPU lacks AVX-512. Which of both a shape gets is the same
 * in every run on a machine.
 */
bool mls_f32_product(float *c, size_t ld_c, const mls_operand *a, const mls_operand *b,
                     size_t m, size_t n, size_t k, bool add);
bool mls_f32_available(void);

/** dx (T, n_in) = dy (T, n_out) w, w (n_out, n_in): back through the product. */
void mls_packed_back(mls_packed *p, float *dx, const float *dy, const float *w,
                     size_t T, size_t n_out, size_t n_in);

#endif
