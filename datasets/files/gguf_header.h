/*
 * The header of a GGUF file: metadata and tensor list, every rule of the format
 * checked.
 */
#ifndef MLS_GGUF_HEADER_H
#define MLS_GGUF_HEADER_H

#include <stdbool.h>

#include "datasets/files/safetensors.h"

/** Types of metadata, by their numbers in the file. */
typedef enum mls_gguf_type {
    MLS_GGUF_U8,
    MLS_GGUF_I8,
    MLS_GGUF_U16,
    MLS_GGUF_I16,
    MLS_GGUF_U32,
    MLS_GGUF_I32,
    MLS_GGUF_F32,
    MLS_GGUF_BOOL,
    MLS_GGUF_STRING,
    MLS_GGUF_ARRAY,
    MLS_GGUF_U64,
    MLS_GGUF_I64,
    MLS_GGUF_F64,
    MLS_GGUF_TYPES,
} mls_gguf_type;

/** One key of the metadata. Everything is borrowed from the header's bytes. */
typedef struct mls_gguf_value {
    const char *key;
    mls_gguf_type type; /* of the value, or of the array's elements; never _ARRAY */
    bool is_array;
    uint64_t n;                /* elements; 1 when it is no array */
    const unsigned char *data; /* as stored: strings are a 64-bit length and bytes */
    size_t bytes;              /* of data */
} mls_gguf_value;

/**
 * All of a header. Tensors have Hugging Face's order of dims (the last is contiguous;
 * the file has the reverse), the dtype is the name of datasets/files/ggml_types.h, and
 * offsets count from the start of the file.
 */
typedef struct mls_gguf_header {
    unsigned version;      /* 2 or 3 */
    uint64_t alignment;    /* of the tensors' data */
    mls_gguf_value *value; /* (n_values), in file order */
    const mls_gguf_value **by_key;
    size_t n_values;
    mls_tensor_info *tensor; /* (n_tensors), in file order, which is that of the data */
    const mls_tensor_info **by_name;
    size_t n_tensors;
    uint64_t end; /* of the last tensor's data, without padding */
} mls_gguf_header;

/**
 * Parse the first len bytes of a file of `size` bytes.
 *
 * Refused: another magic, versions but 2 and 3, big-endian files; lengths, counts and
 * sizes that the file cannot hold; keys that are empty, given twice or not UTF-8;
 * nested arrays, unknown types, bools but 0 and 1; an alignment that is no power of two
 * from 8 to 2^20; tensors whose name is empty, of 64 bytes or more, given twice or not
 * UTF-8, of more than 4 dims, of unknown or removed types, with rows of broken blocks,
 * or not exactly behind each other, each padded to the alignment; data behind the
 * file's end.
 *
 * Work is O(len + n log n) for n keys and tensors, memory at most twelve times len.
 *
 * @param data      ends every key and name with a NUL in place; must outlive the header
 * @param[out] more true: the header goes on behind len. Read more of the file anew and
 *                  call again; *h is {0}
 * @param path      for messages
 * @return MLS_OK, MLS_E_INPUT or MLS_E_NOMEM; on error *h is {0}
 */
mls_status mls_gguf_header_parse(mls_gguf_header *h, unsigned char *data, size_t len,
                                 uint64_t size, bool *more, const char *path,
                                 mls_err *err);
void mls_gguf_header_free(mls_gguf_header *h); /* {0} is accepted */

/** NULL when the key is not there. */
const mls_gguf_value *mls_gguf_header_value(const mls_gguf_header *h, const char *key);
/** NULL when the file has no tensor of that name. */
const mls_tensor_info *mls_gguf_header_tensor(const mls_gguf_header *h,
                                              const char *name);

/** "u32", "string", ... */
const char *mls_gguf_type_name(mls_gguf_type type);

#endif
