/* Members of a JSON object from an untrusted file, checked for presence and type. */
#ifndef MLS_JSON_MEMBERS_H
#define MLS_JSON_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/base/status.h"

/** A string inside a JSON value: not NUL-terminated for us, borrowed from the value. */
typedef struct mls_text {
    const char *data;
    size_t len;
} mls_text;

/**
 * The functions below return MLS_OK or MLS_E_INPUT; the sentence begins with `where`
 * ("normalizer: Prepend"), which names the object.
 */

/** The value is an object whose keys are all in the NULL-terminated list. */
mls_status mls_json_only(const json_t *object, const char *where,
                         const char *const *keys, mls_err *err);

/** A member that must be there and be a string. */
mls_status mls_json_text(const json_t *object, const char *where, const char *key,
                         mls_text *text, mls_err *err);

/** A member that must be a boolean; `otherwise` when it is missing. */
mls_status mls_json_bool(const json_t *object, const char *where, const char *key,
                         bool otherwise, bool *value, mls_err *err);

/** A member that must be there and be a whole number in 0..max. */
mls_status mls_json_count(const json_t *object, const char *where, const char *key,
                          int64_t max, int64_t *value, mls_err *err);

/** A member that must be there and be an array. */
mls_status mls_json_array(const json_t *object, const char *where, const char *key,
                          const json_t **array, mls_err *err);

/** The words of JSON for a value's type: "a string", "null", "nothing" for NULL. */
const char *mls_json_kind(const json_t *value);

#endif
