/*
 * Matrices of safetensors files in fewer bits: codes, scales and what else belongs to
 * them lie in tensors of their own; read, they are one tensor of floats.
 */
#ifndef MLS_PACKED_H
#define MLS_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datasets/files/safetensors.h"

typedef enum mls_packed_layout {
    MLS_PACKED_FLOAT8,  /* E4M3 or E5M2, row by row */
    MLS_PACKED_INT8,    /* row by row */
    MLS_PACKED_BITS,    /* a stream of bits a row, low bits first */
    MLS_PACKED_INPUTS,  /* GPTQ: a 32-bit word has consecutive columns of one row */
    MLS_PACKED_OUTPUTS, /* AWQ: a word has 8 rows of one column, 0 2 4 6 1 3 5 7 */
    MLS_PACKED_FLAT4,   /* bitsandbytes: nibbles, high ones first, through a table */
    MLS_PACKED_MX4,     /* gpt-oss: (n, cols, rows / 32, 16) E2M1, low nibbles first */
} mls_packed_layout;

typedef struct mls_packed_part {
    const mls_safetensors *file;
    const mls_tensor_info *info; /* NULL: not there */
} mls_packed_part;

typedef struct mls_packed {
    mls_tensor_info info; /* of what is read; name is `name` */
    char *name;
    mls_packed_layout layout;
    mls_packed_part code, scale, zero, bias, index, nested;
    uint64_t rows, cols, plane_rows; /* rows of all planes, and of one */
    unsigned bits;
    uint64_t groups;    /* scales of a row */
    uint64_t group;     /* columns that share one */
    uint64_t row_block; /* rows that share one */
    int center;         /* of codes without zero points */
    bool zero_less_one; /* GPTQ */
    float scale_by;
    char round[8];           /* "F16", "BF16": what the reference library gives */
    float table[16];         /* FLAT4 */
    uint64_t block;          /* FLAT4: numbers that share a scale */
    float nested_table[256]; /* its scales are codes themselves */
    uint64_t nested_block;
    float nested_offset;
} mls_packed;

/** Elements first .. first+n-1, within its size. */
mls_status mls_packed_read(const mls_packed *p, uint64_t first, size_t n, float *out,
                           mls_err *err);

#endif
