/* The number types of ggml by their ids, as the tensors of a GGUF file name them. */
#ifndef MLS_GGML_TYPES_H
#define MLS_GGML_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datasets/files/ggml_blocks.h"

enum { MLS_GGML_SUPER = 256 }; /* numbers in the longest block that is decoded */

/** One type. Tensors hold whole blocks along their last index. */
typedef struct mls_ggml_type {
    uint32_t id;                 /* enum ggml_type of ggml.h */
    const char *name;            /* "Q4_K"; the safetensors name where there is one */
    size_t numbers;              /* per block; 1: no blocks */
    size_t bytes;                /* per block */
    const mls_ggml_block *small; /* how a block of 32 is decoded, */
    void (*super)(const uint8_t *block, float *x); /* or one of 256 */
} mls_ggml_type;

/** NULL when ggml has no such type, or had it once. */
const mls_ggml_type *mls_ggml_type_of(uint32_t id);
/** The same by name. */
const mls_ggml_type *mls_ggml_type_named(const char *name);

/** Whether its blocks can be decoded; false for plain numbers and types not done. */
bool mls_ggml_decodes(const mls_ggml_type *t);
/** One block to `numbers` floats. Only where mls_ggml_decodes(). */
void mls_ggml_decode(const mls_ggml_type *t, const uint8_t *block, float *x);

/*
 * Super-blocks of 256 numbers (ggml-quants.c, dequantize_row_*). Halves and words are
 * little-endian; j is a number's sub-block.
 *
 * q2_k    x = d s_j q - m t_j, 4-bit s and t, q = 0..3
 * q3_k    x = d (s_j - 32) q, 6-bit s, q = -4..3
 * q4_k, q5_k  x = d s_j q - m t_j, 6-bit s and t, sub-blocks of 32
 * q6_k    x = d s_j q, int8 s, q = -32..31
 * q8_k    x = d q, float d, int8 q
 * iq4_xs  x = d (s_j - 32) table[q], 6-bit s, sub-blocks of 32, the table of iq4_nl
 * iq2_*, iq3_*, iq1_*  entries of a codebook: see ggml_codebooks.c, ggml_grids.h
 * tq1_0, tq2_0  x = d q, q = -1, 0, 1
 */
void mls_ggml_decode_q2_k(const uint8_t *block, float *x);
void mls_ggml_decode_q3_k(const uint8_t *block, float *x);
void mls_ggml_decode_q4_k(const uint8_t *block, float *x);
void mls_ggml_decode_q5_k(const uint8_t *block, float *x);
void mls_ggml_decode_q6_k(const uint8_t *block, float *x);
void mls_ggml_decode_q8_k(const uint8_t *block, float *x);
void mls_ggml_decode_iq4_xs(const uint8_t *block, float *x);
void mls_ggml_decode_iq2_xxs(const uint8_t *block, float *x);
void mls_ggml_decode_iq2_xs(const uint8_t *block, float *x);
void mls_ggml_decode_iq2_s(const uint8_t *block, float *x);
void mls_ggml_decode_iq3_xxs(const uint8_t *block, float *x);
void mls_ggml_decode_iq3_s(const uint8_t *block, float *x);
void mls_ggml_decode_iq1_s(const uint8_t *block, float *x);
void mls_ggml_decode_iq1_m(const uint8_t *block, float *x);
void mls_ggml_decode_tq1_0(const uint8_t *block, float *x);
void mls_ggml_decode_tq2_0(const uint8_t *block, float *x);

#endif
