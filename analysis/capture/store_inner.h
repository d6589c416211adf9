/*
 * What the reading and the writing half of store.h share; only they include
 * it.
 */
#ifndef MLS_STORE_INNER_H
#define MLS_STORE_INNER_H

#include <hdf5.h>

#include "analysis/capture/store.h"
#include "common/system/hash.h"

#define MLS_STORE_MANIFEST "/manifest"
enum { MLS_STORE_PATH = 96 }; /* bytes of a dataset's path in the manifest */

/** One line of the manifest. */
typedef struct mls_store_line {
    char path[MLS_STORE_PATH]; /* NUL-padded */
    uint64_t xxh3;
} mls_store_line;

/** A dataset that is being written. */
typedef struct mls_store_item {
    char path[MLS_STORE_PATH];
    mls_store_spec spec; /* its texts are not kept; rank 0: a text */
    hid_t set;           /* open until the end */
    mls_xxh3_stream *hash;
    size_t next; /* slice along dimension 0 that is expected */
} mls_store_item;

struct mls_store {
    char *path;
    char *temp; /* NULL when reading */
    char kind[32];
    hid_t file;
    mls_store_item *items; /* (n_items), writing only */
    size_t n_items, items_cap;
};

/** Silence HDF5's own messages; ours carry what it has to say. */
void mls_store_quiet(void);
/** mls_fail() with HDF5's reason after the sentence. */
mls_status mls_store_fail(mls_err *err, mls_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** HDF5's type of a value in memory (never closed), and its bytes. */
hid_t mls_store_memory_type(mls_store_type type);
size_t mls_store_type_size(mls_store_type type);
/**
 * The compound type of a manifest line, in the file or in memory; the caller closes.
 */
hid_t mls_store_line_type(bool in_file);

/** The text of the first MLS_STORE_BLOCK bytes; all of out is written. */
void mls_store_front(char out[MLS_STORE_BLOCK], const char *kind, uint64_t xxh3,
                     uint64_t n_bytes);

/** An open file without the check of its bytes; name stands in messages for file. */
mls_status mls_store_open_file(mls_store **out, const char *file, const char *name,
                               const char *kind, mls_err *err);
void mls_store_free(mls_store *s); /* NULL is accepted; closes everything */

#endif
