/*
 * Parts of one run: what processes that share nothing but a folder have measured, a
 * file each (docs/format/part.md). A part is a header that says of which run it is, and
 * units: named bytes, whatever a command computes for one layer, setting or window. A
 * run asks for every unit whether it is there or its own to make; so a part that was
 * stopped goes on, and a run that has all parts makes nothing and is the serial one but
 * for that.
 */
#ifndef MLS_PARTS_H
#define MLS_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/status.h"

typedef struct mls_parts mls_parts;

enum { MLS_PARTS_COUNT_MAX = 1 << 16 };

/** Does the file at path begin as a part does? */
bool mls_parts_are(const char *path);
/** Is a finished part as it was written? What mls_parts_open() says of one file. */
mls_status mls_parts_verify(const char *path, mls_err *err);

/**
 * Make part `index` of `count` at path. A finished part of the same run that is there
 * is taken as it is; what a stopped try left in `path`.part is gone on with.
 *
 * @param argument  (n) the command without what may differ between parts
 * @param[out] out  release with mls_parts_close(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (path is there and is no part) or MLS_E_NOMEM
 */
mls_status mls_parts_begin(mls_parts **out, const char *path, size_t index,
                           size_t count, const char *const *argument, size_t n,
                           mls_err *err);

/**
 * Open all parts of a run, in any order, each held against its SHA-256.
 *
 * @param[out] out  release with mls_parts_close(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (names the part that is cut, changed, of another version,
 *         missing, there twice, or of another run, and what differs), MLS_E_IO or
 *         MLS_E_NOMEM
 */
mls_status mls_parts_open(mls_parts **out, const char *const *path, size_t n,
                          mls_err *err);
void mls_parts_close(mls_parts *p); /* NULL is accepted */

/** The command of the run; borrowed. */
const char *mls_parts_argument(const mls_parts *p, size_t i); /* NULL: no more */

/**
 * What the run depends on, before the first unit: a part keeps it, a run that joins
 * must have the same.
 * @return MLS_OK, MLS_E_INPUT (parts are of another one) or MLS_E_NOMEM
 */
mls_status mls_parts_about(mls_parts *p, const char *name, const char *value,
                           mls_err *err);

/** A part is being made; or parts are there to be joined. NULL: neither. */
bool mls_parts_making(const mls_parts *p);
bool mls_parts_joining(const mls_parts *p);
size_t mls_parts_index(const mls_parts *p); /* while making */
size_t mls_parts_count(const mls_parts *p);
/** Is unit i of n for this process to make? Always while no part is being made. */
bool mls_parts_own(const mls_parts *p, size_t i, size_t n);

/**
 * A unit's bytes front to back: written or read by the same calls, so that what reads
 * is what wrote. Starts as {0}, for writing; release with mls_unit_free().
 */
typedef struct mls_unit {
    bool reading, failed;
    mls_buf data;
    size_t at;
    const char *path, *name; /* while reading, for messages; borrowed */
} mls_unit;

/** The next n bytes; zeros when there are none left, which mls_unit_end() tells. */
void mls_unit_pass(mls_unit *u, void *x, size_t n);
/** MLS_E_INPUT unless everything was read and nothing more. */
mls_status mls_unit_end(const mls_unit *u, mls_err *err);
void mls_unit_free(mls_unit *u);

/** Keep a unit that was written; its name has no line break. */
mls_status mls_parts_put(mls_parts *p, const char *name, const mls_unit *u,
                         mls_err *err);
/**
 * @param[out] u  for reading; {0} when no part has it, which is an error while joining
 * @return MLS_OK, MLS_E_INPUT, MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_parts_get(mls_parts *p, const char *name, mls_unit *u, mls_err *err);
/** Part of a piece of work: made, or passed through a unit. */
typedef mls_status mls_parts_make(void *arg, size_t i, mls_err *err);
typedef mls_status mls_parts_pass(void *arg, size_t i, mls_unit *u, mls_err *err);
/**
 * Unit i of n, named `what` and its number: taken from a part that has it; else made,
 * and kept where a part is made, if it is this process' own.
 *
 * @param p  NULL: it is made
 * @param[out] done  false: it is another process'; may be NULL
 */
mls_status mls_parts_do(mls_parts *p, const char *what, size_t i, size_t n,
                        mls_parts_make *make, mls_parts_pass *pass, void *arg,
                        bool *done, mls_err *err);
/**
 * Units whose names begin so: `first` and the n - 1 after it, in the order of their
 * names.
 */
mls_status mls_parts_find(mls_parts *p, const char *front, size_t *first, size_t *n,
                          mls_err *err);
const char *mls_parts_name(const mls_parts *p, size_t unit); /* borrowed */

/**
 * Close a part that is made: its hash is written, it gets its name; a part that is
 * there under that name is replaced.
 */
mls_status mls_parts_finish(mls_parts *p, mls_err *err);

#endif
