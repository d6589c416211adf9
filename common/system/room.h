/* Is there room on the disk, or in memory, for the work? Said before it. */
#ifndef MLS_ROOM_H
#define MLS_ROOM_H

#include <stdint.h>

#include "common/base/status.h"

/**
 * Ask whether the disk of a path, which need not exist, has so many bytes left for this
 * user. Others write too and compression is not known, so this is an estimate: what
 * passes may still fail later. A disk that does not say passes.
 *
 * @return MLS_OK or MLS_E_IO, with how much will be written and how much is left
 */
mls_status mls_room_for(const char *path, uint64_t bytes, mls_err *err);

/** Bytes of memory that programs may take now, as the system says; 0: it does not. */
uint64_t mls_memory_free(void);

#endif
