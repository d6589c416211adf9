/*
 * SHA256SUMS of a folder: the hash and name of every file in it, in the format that
 * sha256sum -c reads.
 */
#ifndef MLS_SUMS_H
#define MLS_SUMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

#define MLS_SUMS_NAME "SHA256SUMS"

/** Write it over the files that are there now; subfolders are not looked into. */
mls_status mls_sums_write(const char *folder, mls_err *err);

/** Is there such a file? */
bool mls_sums_are(const char *folder);

/**
 * Hold every file of the folder against it.
 *
 * @param[out] n_files, n_bytes  what was hashed
 * @return MLS_OK, MLS_E_INPUT (a file changed, missing or not named; a line that is no
 *         hash and name, or out of order), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_sums_verify(const char *folder, size_t *n_files, uint64_t *n_bytes,
                           mls_err *err);

#endif
