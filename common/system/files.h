/* Whole files in, whole files out: nothing half-written ever has the final name. */
#ifndef MLS_FILES_H
#define MLS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

/**
 * Read a whole file of at most max bytes.
 *
 * @param[out] data  released by the caller with free(); a NUL follows the last byte
 * @param[out] len   without that NUL
 * @return MLS_OK, MLS_E_INPUT (missing, a folder, too long), MLS_E_STOPPED (a signal
 *         while a pipe was waited for), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_file_read(const char *path, uint64_t max, char **data, size_t *len,
                         mls_err *err);

/**
 * The same for a file that cannot be a device or pipe (a model's, say): these are
 * refused at once, where mls_file_read() would wait for who writes into a pipe.
 */
mls_status mls_file_read_regular(const char *path, uint64_t max, char **data,
                                 size_t *len, mls_err *err);

/**
 * The first n bytes of a file, fewer of a shorter one: how many, 0 also for what is no
 * file. Never waits.
 */
size_t mls_file_front(const char *path, char *bytes, size_t n);

/**
 * What the bytes that a file begins with say it is, for sentences that refuse it: "an
 * empty file", "a GGUF file", "a safetensors file" ... NULL: nothing that is known by
 * its first 16 bytes, as JSON and other text.
 */
const char *mls_bytes_kind(const char *bytes, size_t n);
/** The same of a file; NULL also for what is no file. Never waits. */
const char *mls_file_kind(const char *path);

/**
 * Open a regular file for reading: a folder, device or pipe is refused, and a pipe that
 * nobody writes into is not waited for.
 *
 * @param[out] fd    closed by the caller
 * @param[out] size  its bytes; may be NULL
 * @return MLS_OK or MLS_E_INPUT
 */
mls_status mls_file_open(const char *path, int *fd, uint64_t *size, mls_err *err);

/**
 * Write data to path: temporary file beside it, fsync, rename, fsync of the folder. A
 * link stays and what it leads to is replaced; a device or pipe is written into.
 */
mls_status mls_file_write(const char *path, const void *data, size_t len, mls_err *err);

/**
 * The two halves of mls_file_write for writers of their own: choose a temporary name in
 * path's folder, later fsync and rename it. Names end in ".tmp-<pid>". A device or pipe
 * is never renamed over: MLS_E_INPUT. What killed processes left under such a name, a
 * file or a folder of files, is removed.
 *
 * @param[out] temp  released by the caller with free()
 */
mls_status mls_file_temp_name(const char *path, char **temp, mls_err *err);
/** @return MLS_OK, MLS_E_INPUT, MLS_E_IO or MLS_E_NOMEM; temp stays on error */
mls_status mls_file_commit(const char *temp, const char *path, mls_err *err);

/** Make a folder and its parents, and prove that a file can be written there. */
mls_status mls_folder_prepare(const char *path, mls_err *err);

/**
 * How many leading bytes of a path name a folder that is there: taken before
 * mls_folder_prepare(), so that mls_folder_undo() removes what it made and no more.
 */
size_t mls_folder_known(const char *path);
/** Remove the folder, then its parents, down to what was known; stops at the first that
    holds anything. */
void mls_folder_undo(const char *path, size_t known);

/** Prove that a file of this name could be written, before the work starts. */
mls_status mls_file_writable(const char *path, mls_err *err);

/** The same for a file that is not written from front to back: no device, no pipe. */
mls_status mls_file_replaceable(const char *path, mls_err *err);

/** Is there a regular file, or a folder, at path? Links are followed. */
bool mls_file_exists(const char *path);
bool mls_folder_exists(const char *path);
/** A device, pipe or socket: there is nothing to replace, and replacing does harm. */
bool mls_file_is_special(const char *path);

/** "folder/name"; released by the caller with free(), NULL when memory is short. */
char *mls_path_join(const char *folder, const char *name);

/** Read n bytes at offset, all or nothing; name is for the message. */
mls_status mls_pread_all(int fd, void *data, size_t n, uint64_t offset,
                         const char *name, mls_err *err);

#endif
