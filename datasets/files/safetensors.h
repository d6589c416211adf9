/*
 * safetensors files: read with every rule of the format checked, written in one stream.
 */
#ifndef MLS_SAFETENSORS_H
#define MLS_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

enum { MLS_RANK_MAX = 8 };

typedef struct mls_tensor_info {
    const char *name; /* borrowed until the file is closed */
    char dtype[16];   /* as the file spells it: "F32", "BF16", "F16", "I64", ... */
    size_t n_dims;    /* 0: a scalar */
    uint64_t shape[MLS_RANK_MAX];
    uint64_t n_elements;
    uint64_t offset; /* of the first byte, from the start of the file */
    uint64_t n_bytes;
} mls_tensor_info;

/** "[384, 256]". Returns text. */
const char *mls_shape_text(char text[128], const uint64_t *shape, size_t n_dims);
/** Where element `at` of a tensor is, counted from 0: "[383, 255]". Returns text. */
const char *mls_index_text(char text[128], const mls_tensor_info *t, uint64_t at);

/** F32, BF16, F16 or F64: mls_safetensors_read_f32() reads it. */
bool mls_dtype_is_float(const char *dtype);
/** n elements of BF16, F16 or F64 as stored to float. */
void mls_dtype_to_float(float *out, const unsigned char *raw, const char *dtype,
                        size_t n);

/** One open file. Reading different tensors from several threads is allowed. */
typedef struct mls_safetensors mls_safetensors;

/**
 * Open and check a file: header, dtypes, shapes, offsets without gap or overlap,
 * length.
 *
 * @param[out] out  release with mls_safetensors_close(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (the message names file, tensor, offset, found,
 *         expected), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_safetensors_open(mls_safetensors **out, const char *path, mls_err *err);
void mls_safetensors_close(mls_safetensors *f); /* NULL is accepted */

/** Bytes of the whole file, and n of them from offset on, as it was opened. */
uint64_t mls_safetensors_size(const mls_safetensors *f);
mls_status mls_safetensors_bytes(const mls_safetensors *f, uint64_t offset, size_t n,
                                 void *out, mls_err *err);

/** How many tensors the file has. */
size_t mls_safetensors_count(const mls_safetensors *f);
/** In file order (by offset). */
const mls_tensor_info *mls_safetensors_at(const mls_safetensors *f, size_t i);
/** NULL when the file has no tensor of that name. */
const mls_tensor_info *mls_safetensors_find(const mls_safetensors *f, const char *name);

/** Value of a key of __metadata__; NULL when there is none. */
const char *mls_safetensors_metadata(const mls_safetensors *f, const char *key);

/**
 * Read elements first .. first+n-1 of a tensor as float (from F32, BF16, F16, F64).
 *
 * @param[out] out  (n)
 * @return MLS_OK, MLS_E_INPUT (dtype that is not a float, range outside the tensor,
 *         file shorter than when it was opened), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_safetensors_read_f32(const mls_safetensors *f, const mls_tensor_info *t,
                                    uint64_t first, size_t n, float *out, mls_err *err);

/** The tensor is read soon; see mls_weight_file_want(). */
void mls_safetensors_want(const mls_safetensors *f, const mls_tensor_info *t);

/** Read raw little-endian bytes of a tensor, byte range within it. */
mls_status mls_safetensors_read_raw(const mls_safetensors *f, const mls_tensor_info *t,
                                    uint64_t first_byte, size_t n, void *out,
                                    mls_err *err);

/**
 * Writer: first say every tensor, then give the data in that same order, then finish.
 * Nothing has the final name before mls_safetensors_finish() returned MLS_OK.
 */
typedef struct mls_safetensors_writer mls_safetensors_writer;

/** dtype of what is stored: "F32", "BF16", "F16", "I64", "U8". */
typedef struct mls_tensor_plan {
    const char *name;
    const char *dtype;
    size_t n_dims;
    uint64_t shape[MLS_RANK_MAX];
} mls_tensor_plan;

/**
 * @param metadata  n_metadata pairs {key, value} for __metadata__; NULL for none
 * @param[out] out  release with mls_safetensors_abandon() or _finish(); NULL on error
 */
mls_status mls_safetensors_create(mls_safetensors_writer **out, const char *path,
                                  const mls_tensor_plan *tensors, size_t n_tensors,
                                  const char *const (*metadata)[2], size_t n_metadata,
                                  mls_err *err);
/**
 * The next n elements, converted from float to the planned dtype (float dtypes only).
 */
mls_status mls_safetensors_write_f32(mls_safetensors_writer *w, const float *x,
                                     size_t n, mls_err *err);
/** The next n bytes as they are. */
mls_status mls_safetensors_write_raw(mls_safetensors_writer *w, const void *data,
                                     size_t n, mls_err *err);
/** Check that all data came, sync, rename; frees w in every case. */
mls_status mls_safetensors_finish(mls_safetensors_writer *w, mls_err *err);
/** Remove what was written so far and free w; NULL is accepted. */
void mls_safetensors_abandon(mls_safetensors_writer *w);

#endif
