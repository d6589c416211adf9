/*
 * What the parts of store.h share; only they include it. One half writes through HDF5
 * (store_write.c). The other reads: store.c checks the bytes and asks, a process of its
 * own (store_process.c) answers, and HDF5 parses the file there alone (store_read.c),
 * after its structure was found to be one of ours (store_structure.c).
 */
#ifndef MLS_STORE_INNER_H
#define MLS_STORE_INNER_H

#include <hdf5.h>
#include <sys/types.h>

#include "analysis/capture/store.h"
#include "common/system/hash.h"

#define MLS_STORE_MANIFEST "/manifest"
enum {
    MLS_STORE_PATH = 96,         /* bytes of a dataset's path in the manifest */
    MLS_STORE_NAME = 64,         /* bytes of an attribute's name */
    MLS_STORE_TEXT = 1 << 24,    /* bytes of the longest text in a dataset */
    MLS_STORE_ATTRIBUTE = 60000, /* bytes of the longest text in an attribute; HDF5 has
                                   64 KiB for the header of an object */
    MLS_STORE_LINES = 1 << 16,   /* lines of a manifest */
    MLS_STORE_CHUNK = 1 << 20,   /* bytes of a chunk */
    MLS_STORE_CHANNEL = 3,       /* descriptors of the process that reads */
    MLS_STORE_FILE = 4,
};

/** One line of the manifest. */
typedef struct mls_store_line {
    char path[MLS_STORE_PATH]; /* NUL-padded */
    uint64_t xxh3;
} mls_store_line;

/** A dataset that is being written. */
typedef struct mls_store_item {
    char path[MLS_STORE_PATH];
    mls_store_spec spec; /* its texts are not kept; rank 0: a text */
    hid_t set;           /* open until the end */
    mls_xxh3_stream *hash;
    size_t next; /* slice along dimension 0 that is expected */
} mls_store_item;

struct mls_store {
    char *path;
    char *temp; /* NULL when reading */
    char kind[32];
    hid_t file;            /* writing, and in the process that reads */
    mls_store_item *items; /* (n_items), writing only */
    size_t n_items, items_cap;

    pid_t reader;     /* 0: none */
    int channel;      /* to it, or from it to us; -1: none */
    uint64_t n_bytes; /* of the file; once it is open, of the values of all datasets */
};

/** Before the first use of HDF5: no messages of its own, and no work at exit. */
void mls_store_quiet(void);
/** mls_fail() with HDF5's reason after the sentence. */
mls_status mls_store_fail(mls_err *err, mls_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** HDF5's type of a value in memory, in the file; the caller closes. */
hid_t mls_store_memory_type(mls_store_type type);
hid_t mls_store_file_type(mls_store_type type);
/** Is a type of a file this one, little-endian? */
bool mls_store_type_is(hid_t type, mls_store_type want);
/**
 * The compound type of a manifest line, in the file or in memory; the caller closes.
 */
hid_t mls_store_line_type(bool in_file);

/** The text of the first MLS_STORE_BLOCK bytes; all of out is written. */
void mls_store_front(char out[MLS_STORE_BLOCK], const char *kind, uint64_t xxh3,
                     uint64_t n_bytes);

/** An open file without the check of its bytes; name stands in messages for file. */
mls_status mls_store_open_file(mls_store **out, const char *file, const char *name,
                               mls_err *err);
/** Closes handles of any kind; those below 0 were never opened. */
#define mls_store_close_all(...)                                                       \
    mls_store_close_each((const hid_t[]){__VA_ARGS__},                                 \
                         sizeof((const hid_t[]){__VA_ARGS__}) / sizeof(hid_t))
void mls_store_close_each(const hid_t *handle, size_t n);

void mls_store_free(mls_store *s); /* NULL is accepted; closes everything */

/* The questions of one process to the other. */

typedef enum mls_store_op {
    MLS_STORE_OP_OPEN,  /* nothing comes back but the status */
    MLS_STORE_OP_NAMES, /* paths of all datasets, one per line */
    MLS_STORE_OP_CHECK,
    MLS_STORE_OP_READ,     /* the values */
    MLS_STORE_OP_TEXT,     /* the text */
    MLS_STORE_OP_GET_TEXT, /* the text */
    MLS_STORE_OP_GET_COUNT,
    MLS_STORE_OP_VERIFY, /* datasets and bytes, two numbers of 64 bits */
} mls_store_op;

typedef struct mls_store_request {
    mls_store_op op;
    char path[MLS_STORE_PATH]; /* of the object */
    char name[MLS_STORE_NAME]; /* of the attribute */
    mls_store_type type;
    size_t rank, shape[MLS_STORE_RANK]; /* of a dataset, or the leading indices */
    size_t n;                           /* values, or bytes with NUL, that are wanted */
} mls_store_request;

/** Where an answer goes. */
typedef struct mls_store_answer {
    char *data;
    size_t room, n;
    bool grows; /* data is NULL at first, at most MLS_STORE_TEXT bytes, released by the
                   caller with free() */
} mls_store_answer;

/** Start the process that reads the file of size bytes that fd shows; closes fd. */
mls_status mls_store_spawn(mls_store *s, int fd, uint64_t size, mls_err *err);
/**
 * In the process: from now on it ends when it makes a system call that reading does not
 * need; false where the system has no such filter or allows us none.
 */
bool mls_store_cage(void);
/** In the process: open the file of a descriptor without open(); H5I_INVALID_HID. */
hid_t mls_store_open_descriptor(int fd);
/** End it. */
void mls_store_reap(mls_store *s);
/** Ask and take the answer; MLS_E_INPUT when the process died of the file. */
mls_status mls_store_ask(mls_store *s, const mls_store_request *r, mls_store_answer *a,
                         mls_err *err);
/** In the process: n bytes of the answer; false when nobody listens any more. */
bool mls_store_say(const mls_store *s, const void *data, size_t n);
/** In the process: do what is asked. */
mls_status mls_store_serve(mls_store *s, const mls_store_request *r, mls_err *err);

/**
 * In the process, before anything is read: is the file built as ours are?
 * @param size          of the file: no dataset may claim more
 * @param[out] n_bytes  of the values of all datasets
 */
mls_status mls_store_check_structure(mls_store *s, uint64_t size, uint64_t *n_bytes,
                                     mls_err *err);
/** In the process: OP_NAMES. */
mls_status mls_store_say_names(mls_store *s, mls_err *err);

#endif
