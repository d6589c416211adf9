/*
 * Named arrays in one HDF5 file that proves its own integrity (docs/format/capture.md):
 * the first 512 bytes carry the XXH3 of all others, and /manifest the XXH3 of every
 * dataset's values. Files hold no clock, host or path of their own, so that the same
 * contents give the same bytes. The only module that knows HDF5.
 */
#ifndef MLS_STORE_H
#define MLS_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

enum { MLS_STORE_RANK = 5, MLS_STORE_BLOCK = 512 /* bytes before the HDF5 part */ };

typedef enum mls_store_type {
    MLS_STORE_F64,
    MLS_STORE_F32,
    MLS_STORE_F16, /* IEEE half, in memory its 16 bits */
    MLS_STORE_I32,
    MLS_STORE_U64,
} mls_store_type;

/** One dataset. Texts are copied when it is made. */
typedef struct mls_store_spec {
    const char *path; /* "/moments/x/second": groups are made as needed */
    mls_store_type type;
    size_t rank;
    size_t shape[MLS_STORE_RANK];
    const char *axes[MLS_STORE_RANK]; /* name of each dimension: its label, and the
                                         scale /axes/NAME when there is one */
    const char *units;                /* "1" for pure numbers */
    const char *long_name;            /* one line for people */
    bool compress;                    /* shuffle and deflate; else contiguous */
} mls_store_spec;

/** Bytes of a value. */
size_t mls_store_type_size(mls_store_type type);

/** One file, being written or open for reading. One thread at a time. */
typedef struct mls_store mls_store;

/**
 * Begin a file. Nothing has the final name before mls_store_finish() returned MLS_OK.
 *
 * @param temp      name while it is written, in the same file system; NULL: beside path
 * @param kind      what the file is, "capture": readers ask for it
 * @param[out] out  release with mls_store_finish() or mls_store_abandon(); NULL on
 *                  error
 */
mls_status mls_store_create(mls_store **out, const char *path, const char *temp,
                            const char *kind, mls_err *err);

/** Make the scale /axes/NAME: values (n), units and long_name as in a spec. */
mls_status mls_store_scale(mls_store *s, const char *name, mls_store_type type,
                           size_t n, const void *values, const char *units,
                           const char *long_name, mls_err *err);
/** Attach a further scale (a companion: the frequency beside the number of a chunk). */
mls_status mls_store_companion(mls_store *s, const char *path, size_t dimension,
                               const char *scale, mls_err *err);

/** Make a dataset; its values follow through mls_store_append(). */
mls_status mls_store_add(mls_store *s, const mls_store_spec *spec, mls_err *err);
/** The next n slices along dimension 0. data has the spec's type, row-major. */
mls_status mls_store_append(mls_store *s, const char *path, const void *data, size_t n,
                            mls_err *err);
/** A whole text (len bytes of UTF-8) as a dataset. */
mls_status mls_store_add_text(mls_store *s, const char *path, const char *text,
                              size_t len, const char *long_name, mls_err *err);

/** Attributes of a group (made when missing) or a dataset. */
mls_status mls_store_set_text(mls_store *s, const char *path, const char *name,
                              const char *value, mls_err *err);
/** The same for a whole number. */
mls_status mls_store_set_count(mls_store *s, const char *path, const char *name,
                               uint64_t value, mls_err *err);

/**
 * Write the manifest, close, read everything back and compare, sync, rename. Frees s in
 * every case. MLS_E_IO when what comes back is not what was written.
 */
mls_status mls_store_finish(mls_store *s, mls_err *err);
/** Remove what was written and free s; NULL is accepted. */
void mls_store_abandon(mls_store *s);

/**
 * Open for reading; every byte of the file is checked against the hash in front, then
 * its structure: only what files of ours are made of, and no more than its size can
 * hold. HDF5 parses it in a process of its own with limits, one per open file, so that
 * a file made to crash it is refused as any other.
 * @return MLS_OK, MLS_E_INPUT (missing, not ours, another kind, shorter, changed),
 *         MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_store_open(mls_store **out, const char *path, const char *kind,
                          mls_err *err);
void mls_store_close(mls_store *s); /* NULL is accepted */
const char *mls_store_path(const mls_store *s);

/** Read every dataset through HDF5 and compare it with the manifest; MLS_E_INPUT. */
mls_status mls_store_verify(mls_store *s, size_t *n_datasets, uint64_t *n_bytes,
                            mls_err *err);

/** Paths of all datasets, one per line. @param[out] names  released with free() */
mls_status mls_store_names(mls_store *s, char **names, mls_err *err);

/** Dataset there, of the spec's type and shape; MLS_E_INPUT says what was found. */
mls_status mls_store_check(mls_store *s, const mls_store_spec *spec, mls_err *err);
/**
 * All values at the leading indices lead[0..n_lead-1]; n_lead = 0: the whole dataset.
 * @param n_values  what the caller has room for; MLS_E_INPUT when it is another number
 */
mls_status mls_store_read(mls_store *s, const char *path, mls_store_type type,
                          const size_t *lead, size_t n_lead, void *data,
                          size_t n_values, mls_err *err);
/** @param[out] text  released by the caller with free(), NUL-terminated */
mls_status mls_store_read_text(mls_store *s, const char *path, char **text, size_t *len,
                               mls_err *err);
/**
 * An attribute of a group or a dataset.
 * @param[out] value  size bytes with the NUL; MLS_E_INPUT when there is none, or longer
 */
mls_status mls_store_get_text(mls_store *s, const char *path, const char *name,
                              char *value, size_t size, mls_err *err);
/** The same for a whole number. */
mls_status mls_store_get_count(mls_store *s, const char *path, const char *name,
                               uint64_t *value, mls_err *err);

#endif
