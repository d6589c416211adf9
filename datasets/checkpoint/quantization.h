/* quantization_config: how a folder's matrices are stored in fewer bits. */
#ifndef MLS_QUANTIZATION_H
#define MLS_QUANTIZATION_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum mls_quant_method {
    MLS_QUANT_NONE,
    MLS_QUANT_FP8,
    MLS_QUANT_GPTQ,
    MLS_QUANT_AWQ,
    MLS_QUANT_BITSANDBYTES,
    MLS_QUANT_COMPRESSED_TENSORS,
    MLS_QUANT_MXFP4,
    MLS_QUANT_MLX,
} mls_quant_method;

typedef struct mls_quantization {
    mls_quant_method method;
    unsigned bits;      /* 0: not said */
    size_t group;       /* numbers that share a scale; 0: a whole row, or not said */
    bool zero_as_is;    /* gptq: zero points are not stored less 1 (gptq_v2) */
    size_t block[2];    /* fp8: rows and columns that share a scale; 0: not said */
    const json_t *json; /* the object, borrowed */
} mls_quantization;

/**
 * What a config.json says; inner is its text_config, or the file again.
 *
 * @param[out] why  "", or a sentence that names a format which is not read and what to
 *                  download instead
 */
void mls_quantization_read(mls_quantization *q, const json_t *file, const json_t *inner,
                           char *why, size_t size);

#endif
