/*
 * Files inside a page: links that are data themselves, and the numbers of its figures,
 * of which as many go in as there is room for.
 */
#ifndef MLS_DOWNLOADS_H
#define MLS_DOWNLOADS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"

void mls_base64(mls_buf *out, const char *data, size_t len);

/** A link that is the file. @param name  of the file, with its ending */
void mls_download_csv(mls_buf *out, const char *name, const char *csv, size_t len);

/** Numbers of one figure and where their link belongs. */
typedef struct mls_numbers {
    size_t section, at; /* bytes into that section's text */
    char *name, *csv;   /* owned */
    size_t len;
} mls_numbers;

/** All of them, in the order of their figures. */
typedef struct mls_downloads {
    mls_numbers *numbers; /* (n) */
    size_t n;
} mls_downloads;

void mls_downloads_free(mls_downloads *d);

/** @param name, csv  taken over, also where memory is short @return false: it was */
bool mls_downloads_add(mls_downloads *d, size_t section, size_t at, char *name,
                       char *csv, size_t len);

/** The section is written anew: its figures are gone. */
void mls_downloads_drop(mls_downloads *d, size_t section);

/**
 * Which go in: the shortest first, so that most figures have theirs.
 *
 * @param room  bytes of the page that are left
 * @param[out] in  (n) @return false: no memory
 */
bool mls_downloads_choose(bool *in, const mls_downloads *d, size_t room);

/** A section's text with the links in it, or where the numbers lie instead. */
void mls_downloads_weave(mls_buf *out, const mls_downloads *d, const bool *in,
                         size_t section, const char *text, size_t len);

#endif
