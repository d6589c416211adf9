/* The JSON header of a safetensors file, parsed in one pass without a tree. */
#ifndef MLS_SAFETENSORS_HEADER_H
#define MLS_SAFETENSORS_HEADER_H

#include "datasets/files/safetensors.h"

/** All tensors of a header. */
typedef struct mls_tensor_table {
    mls_tensor_info *tensor; /* (n), by offset; offsets count from the data's start */
    const mls_tensor_info **by_name; /* (n), by name */
    size_t n;
    const char *(*metadata)[2]; /* (n_metadata) key and value of __metadata__ */
    size_t n_metadata;
    char *header; /* the names point into it */
} mls_tensor_table;

/**
 * Parse and check every rule that needs no data: JSON, keys given once, dtypes, shapes,
 * sizes, offsets without gap or overlap from 0 to data_bytes.
 *
 * Work is O(len + n log n) for n tensors, memory at most six times the header.
 *
 * @param header      len bytes from malloc(), the file's from offset 8 on; the table
 *                    takes them, also on error
 * @param data_bytes  what the file has after the header
 * @param path        for messages
 * @return MLS_OK, MLS_E_INPUT or MLS_E_NOMEM; on error *table is {0}
 */
mls_status mls_tensor_table_parse(mls_tensor_table *table, char *header, size_t len,
                                  uint64_t data_bytes, const char *path, mls_err *err);
void mls_tensor_table_free(mls_tensor_table *table); /* {0} is accepted */

/** NULL when there is none. */
const mls_tensor_info *mls_tensor_table_find(const mls_tensor_table *table,
                                             const char *name);

/** Bits of one element of a dtype; 0 when the format has no such dtype. */
unsigned mls_dtype_bits(const char *dtype);

#endif
