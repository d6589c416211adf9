/*
 * Floats of 8 and 4 bits: OCP 8-bit floating point (OFP8) 1.0 and microscaling (MX)
 * 1.0.
 */
#ifndef MLS_SMALL_FLOAT_H
#define MLS_SMALL_FLOAT_H

#include <stdint.h>

/*
 * Encoders round to nearest even and saturate: what is beyond the largest finite number
 * becomes it, infinity included. NaN becomes the format's NaN; E2M1 has none: NaN is 0.
 */
uint8_t mls_float_to_e4m3(float x); /* bias 7, largest 448, no infinity, NaN 0x7f */
uint8_t mls_float_to_e5m2(float x); /* bias 15, largest 57344, has infinities */
uint8_t mls_float_to_e2m1(float x); /* 0 0.5 1 1.5 2 3 4 6, sign in bit 3 */

/* The exact value of a code. */
float mls_e4m3_to_float(uint8_t code);
float mls_e5m2_to_float(uint8_t code);
float mls_e2m1_to_float(uint8_t code); /* the low 4 bits */
float mls_e8m0_to_float(uint8_t code); /* 2^(code - 127); 255 is NaN */

#endif
