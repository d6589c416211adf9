/* What making and joining parts share. Include parts.h from elsewhere. */
#ifndef MLS_PARTS_INNER_H
#define MLS_PARTS_INNER_H

#include <jansson.h>

#include "datasets/files/parts.h"

enum {
    MLS_PARTS_VERSION = 1,
    MLS_PARTS_LINE = 1024, /* the line before a unit's bytes */
    MLS_PARTS_END = 4 + 20 + 1 + 64 + 1
};

#define MLS_PARTS_MAGIC "mlascope part "

/** Where a unit lies. */
typedef struct mls_parts_unit {
    char *name;
    size_t source, index; /* which part, by its place and its number */
    uint64_t at, n;
} mls_parts_unit;

/** An open file of a part. */
typedef struct mls_parts_source {
    char *path;
    int fd;
    json_t *header;
    size_t index;
} mls_parts_source;

struct mls_parts {
    mls_parts_source *part; /* (n_parts); while making, the file in progress alone */
    size_t n_parts, index, count;
    mls_parts_unit *unit; /* (n_units), by name, then part */
    size_t n_units, room;
    json_t *argument, *about;
    bool making, started, finished;
    char *path;   /* of the part that is made */
    uint64_t end; /* where its next unit goes */
};

mls_status mls_parts_no_memory(mls_err *err);
/** Room for the files of n parts; NULL when memory is short. */
mls_parts *mls_parts_new(size_t n_parts);
/** For qsort(). */
int mls_parts_by_name(const void *a, const void *b);
/** Index of the first unit not before a name. */
size_t mls_parts_lower(const mls_parts *p, const char *name);
/** One more unit, at the end. */
mls_status mls_parts_add(mls_parts *p, const char *name, size_t from, uint64_t at,
                         uint64_t n, mls_err *err);
/** Open a finished part, hold it against its hash and read which units it has. */
mls_status mls_parts_load(mls_parts *p, size_t i, const char *path, mls_err *err);
/**
 * Units of a file from *at on, which becomes the end of the last whole one; with `hash`
 * those whose bytes are not what was written end it, too.
 */
mls_status mls_parts_read_units(mls_parts *p, size_t from, uint64_t size, bool hash,
                                uint64_t *at, mls_err *err);
/** Once all is said that the run depends on: the file is there after this. */
mls_status mls_parts_start(mls_parts *p, mls_err *err);

#endif
