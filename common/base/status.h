/* What went wrong, in one sentence: every library function reports through here. */
#ifndef MLS_STATUS_H
#define MLS_STATUS_H

/** Result of a library call. MLS_OK is 0, so `if (call(...))` means "it failed". */
typedef enum mls_status {
    MLS_OK = 0,
    MLS_E_ARG,     /* the call or the command line is wrong (exit status 2) */
    MLS_E_NOMEM,   /* memory could not be had (1) */
    MLS_E_IO,      /* reading or writing failed half-way: disk, permission (1) */
    MLS_E_INPUT,   /* a file, or a request the model cannot take, is refused (3) */
    MLS_E_NUMERIC, /* no convergence, NaN or infinity where a number must be (1) */
    MLS_E_STOPPED, /* a signal asked to stop; what is finished is kept (75) */
} mls_status;

/** Where a message goes. Owned by the caller, starts as {0}; NULL is accepted. */
typedef struct mls_err {
    mls_status status;
    char text[1024]; /* one sentence, no full stop, no newline, UTF-8 */
} mls_err;

/**
 * Fill err (when not NULL) and return status: `return mls_fail(err, MLS_E_IO, "...")`.
 * The sentence starts with the file's name where there is one and says what was found
 * and what was expected.
 */
mls_status mls_fail(mls_err *err, mls_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Put "prefix: " before the sentence already in err; returns err's status. */
mls_status mls_fail_in(mls_err *err, mls_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * Names of tensors, keys and files come from strangers: what would move a cursor or
 * break a line, and what is not UTF-8, becomes '?', byte by byte.
 */
void mls_make_printable(char *text);

/** The program's exit status for a library status: 0, 1, 2, 3 or 75. */
int mls_status_exit(mls_status status);

#endif
