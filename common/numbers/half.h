/* 16-bit floats as checkpoints and caches store them. */
#ifndef MLS_HALF_H
#define MLS_HALF_H

#include <stddef.h>
#include <stdint.h>

/** The exact value of 16 bits: every bfloat16 and every IEEE half is a float. */
float mls_bf16_to_float(uint16_t bits);
float mls_f16_to_float(uint16_t bits);

/** Round to nearest even; NaN stays NaN, overflow becomes infinity. */
uint16_t mls_float_to_bf16(float x);
uint16_t mls_float_to_f16(float x);

/** x rounded to the nearest IEEE half (scales and zero points are stored so). */
float mls_round_f16(float x);

#endif
