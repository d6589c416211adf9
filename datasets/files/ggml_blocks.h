/*
 * Block formats of ggml, to the byte: 32 numbers behind one scale. A GGUF file holds
 * weights so, llama.cpp's cache keys and values.
 */
#ifndef MLS_GGML_BLOCKS_H
#define MLS_GGML_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

enum { MLS_GGML_NUMBERS = 32, MLS_GGML_BYTES_MAX = 34 };

/**
 * One format. Halves are little-endian; nibble j of the codes is number j in the low
 * half of byte j, number j + 16 in its high half.
 */
typedef struct mls_ggml_block {
    const char *name;
    uint32_t type; /* as in GGUF tensor headers */
    unsigned bits; /* payload per number */
    size_t bytes;  /* per block */
    /** From 32 finite numbers, as ggml's reference does (ties and all). */
    void (*encode)(const float *x, uint8_t *block);
    void (*decode)(const uint8_t *block, float *x);
} mls_ggml_block;

/** A little-endian IEEE half. */
float mls_ggml_half(const uint8_t *at);

/** ggml-common.h, kvalues_iq4nl: the table of iq4_nl and iq4_xs. */
extern const int8_t mls_ggml_iq4_values[16];

/**
 * q8_0  half d = max|x| / 127, 32 int8: d q
 * q5_1  half d, half m, 32 high bits, 16 bytes: d q + m, q = 0..31
 * q5_0  half d = the largest number / -16, 32 high bits, 16 bytes: d (q - 16)
 * q4_1, q4_0  the same with 4 bits
 * iq4_nl  half d by least squares (weights x^2), 16 bytes: d table[q]
 * mxfp4  byte e, 16 bytes of E2M1: 2^(e - 127) q; OCP MX 1.0, section 6.3
 */
extern const mls_ggml_block mls_ggml_q8_0, mls_ggml_q5_1, mls_ggml_q5_0, mls_ggml_q4_1,
    mls_ggml_q4_0, mls_ggml_iq4_nl, mls_ggml_mxfp4;

#endif
