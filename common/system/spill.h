/* Arrays too large for memory: in a file without a name, which the system writes to. */
#ifndef MLS_SPILL_H
#define MLS_SPILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

/** Bytes that are all 0 at first. */
typedef struct mls_spill {
    void *data;
    size_t bytes;
    bool on_disk;
} mls_spill;

/**
 * @param most      more bytes than these go to disk, into $TMPDIR (or /tmp), and are
 *                  gone when they are released or the process ends; 0: none do
 * @param[out] out  release with mls_spill_free(); {0} on error
 * @return MLS_OK, MLS_E_NOMEM or MLS_E_IO (no room on disk)
 */
mls_status mls_spill_new(mls_spill *out, size_t bytes, uint64_t most, mls_err *err);
void mls_spill_free(mls_spill *s); /* {0} is accepted */

/**
 * The n bytes at data, a part of s, are not needed soon: they keep their values, but
 * need not stay in memory.
 */
void mls_spill_leave(const mls_spill *s, const void *data, size_t n);

#endif
