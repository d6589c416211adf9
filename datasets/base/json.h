/*
 * JSON files through jansson, strictly: no duplicate keys, errors with line and column.
 */
#ifndef MLS_JSON_H
#define MLS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/base/status.h"

/** Parse len bytes; name is for the message. @param[out] out  release: json_decref() */
mls_status mls_json_parse(json_t **out, const char *data, size_t len, const char *name,
                          mls_err *err);

/**
 * jansson's json_loadb(), which tells a want of memory and bad JSON apart.
 * @param[out] no_memory  then the answer is NULL
 */
json_t *mls_json_load(const char *data, size_t len, size_t flags, json_error_t *e,
                      bool *no_memory);

/** The same for text whose top value is an object. @param[out] sha256  may be NULL */
mls_status mls_json_object(json_t **out, const char *data, size_t len, const char *name,
                           char sha256[65], mls_err *err);

/**
 * Read a file of at most max bytes whose top value is an object.
 *
 * @param[out] out     released by the caller with json_decref(); NULL on error
 * @param[out] sha256  of the file's bytes, hex; may be NULL
 * @return MLS_OK, MLS_E_INPUT (missing, too long, not JSON, a key given twice),
 *         MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_json_read(json_t **out, const char *path, uint64_t max, char sha256[65],
                         mls_err *err);

enum { MLS_JSON_SHOW = 64 };

/** A value as compact JSON for a message, shortened with "..."; returns text. */
const char *mls_json_show(char text[MLS_JSON_SHOW], const json_t *value);

#endif
