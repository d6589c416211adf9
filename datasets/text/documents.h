/* Text files, document by document. */
#ifndef MLS_DOCUMENTS_H
#define MLS_DOCUMENTS_H

#include <stddef.h>

#include <jansson.h>

#include "common/base/status.h"
#include "common/system/hash.h"

/** Called once for each document: valid UTF-8, not empty, borrowed for the call. */
typedef mls_status (*mls_document)(void *arg, const char *text, size_t len,
                                   mls_err *err);

/**
 * Read files in order. A name that ends in .jsonl: the "text" member of each line's
 * object is a document; lines without characters and empty documents are skipped.
 * Any other name: the whole file is one document. "-": standard input, as text.
 *
 * @param each    an error of it ends the reading; the file (and line) is put before it
 * @param sha256  of the bytes of all files, in order; may be NULL
 * @return MLS_OK, MLS_E_INPUT (missing; not UTF-8: offset; empty; a line that is not an
 *         object with a "text": its number), MLS_E_IO, MLS_E_NOMEM or each's error
 */
mls_status mls_documents_read(const char *const *paths, size_t n_paths,
                              mls_document each, void *arg, char sha256[MLS_SHA256_HEX],
                              mls_err *err);

/** Called once for each line of a .jsonl file that is not blank: any JSON value. */
typedef mls_status (*mls_json_line)(void *arg, const json_t *row, mls_err *err);

/**
 * Read a file of JSON lines.
 * @param sha256  of its bytes; may be NULL
 * @return as mls_documents_read(); an error names file and line
 */
mls_status mls_json_lines_read(const char *path, mls_json_line each, void *arg,
                               char sha256[MLS_SHA256_HEX], mls_err *err);

#endif
