/* Captures made to do harm, of a small one of chance numbers. */
#ifndef MLS_HOSTILE_H
#define MLS_HOSTILE_H

#include "tests/support/capture_sample.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analysis/capture/store_inner.h"
#include "common/system/files.h"

/* The first bytes as they should be for what follows. */
void mend_front(const char *path);
void make_harm(const char *path, void (*harm)(hid_t file));

#endif
