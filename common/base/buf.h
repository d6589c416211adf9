/* A growing string for text that we write: tables, scripts, pages. */
#ifndef MLS_BUF_H
#define MLS_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * Starts as {0}; release with mls_buf_free(). After a failure it only remembers that.
 */
typedef struct mls_buf {
    char *data; /* always ends in NUL once anything was added */
    size_t len; /* without the NUL */
    size_t cap;
    bool failed; /* memory ran out: what was added since is missing */
} mls_buf;

void mls_buf_free(mls_buf *b); /* {0} is accepted */
/** Append len bytes of text, text up to its NUL, or what printf would print. */
void mls_buf_add(mls_buf *b, const char *text, size_t len);
void mls_buf_puts(mls_buf *b, const char *text);
void mls_buf_printf(mls_buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void mls_buf_vprintf(mls_buf *b, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/** A word as a shell reads it back: plain as it is, others in single quotes. */
void mls_buf_shell(mls_buf *b, const char *word);

#endif
