/*
 * A file of weights that stays open: read anywhere, and noticed when somebody writes
 * it.
 */
#ifndef MLS_WEIGHT_FILE_H
#define MLS_WEIGHT_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/base/status.h"

/** Reading from several threads is allowed. */
typedef struct mls_weight_file {
    int fd;
    char *path;
    struct stat opened; /* size and time of the last change when it was opened */
} mls_weight_file;

/** @return MLS_OK, MLS_E_INPUT (missing, no regular file), MLS_E_IO or MLS_E_NOMEM */
mls_status mls_weight_file_open(mls_weight_file *f, const char *path, mls_err *err);
/** Also after mls_weight_file_open() failed. */
void mls_weight_file_close(mls_weight_file *f);

/** Bytes when it was opened. */
uint64_t mls_weight_file_size(const mls_weight_file *f);

/** n bytes at an offset. MLS_E_INPUT when the file is no longer what was opened. */
mls_status mls_weight_file_read(const mls_weight_file *f, uint64_t offset, size_t n,
                                void *out, mls_err *err);
/** They are asked for soon: the system may read them meanwhile. A hint. */
void mls_weight_file_want(const mls_weight_file *f, uint64_t offset, uint64_t n);

#endif
