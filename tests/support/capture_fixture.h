/* Captures of made-up tokens under every condition. */
#ifndef MLS_CAPTURE_FIXTURE_H
#define MLS_CAPTURE_FIXTURE_H

#include "tests/support/demo.h"

#include "common/system/hash.h"

mls_status capture_of(const char *folder, const mls_corpus *corpus, const char *path,
                      size_t threads, size_t windows, const mls_progress *progress,
                      mls_err *err);

/* Of the demo model, with 2 windows. */
mls_status capture(const mls_corpus *corpus, const char *path, size_t threads,
                   const mls_progress *progress, mls_err *err);
uint64_t hash_of(const char *path);

#endif
