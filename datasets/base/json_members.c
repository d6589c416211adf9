/*
 * A wrong member is refused with where it is, what was expected and what was found, and
 * a key that nobody reads is wrong, too: a feature that we do not know would change
 * what the file means.
 */
#include "datasets/base/json_members.h"

#include <string.h>

const char *mls_json_kind(const json_t *value)
{
    if (!value)
        return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "a whole number";
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        break;
    }
    return "null";
}

static mls_status wrong(const char *where, const char *key, const char *expected,
                        const json_t *found, mls_err *err)
{
    return mls_fail(err, MLS_E_INPUT, "%s: \"%s\": expected %s, found %s", where, key,
                    expected, mls_json_kind(found));
}

mls_status mls_json_only(const json_t *object, const char *where,
                         const char *const *keys, mls_err *err)
{
    if (!json_is_object(object))
        return mls_fail(err, MLS_E_INPUT, "%s: expected an object, found %s", where,
                        mls_json_kind(object));

    /* jansson's iterators take a pointer to non-const and change nothing. */
    union {
        const json_t *read;
        json_t *iterate;
    } o = {object};
    for (void *i = json_object_iter(o.iterate); i;
         i = json_object_iter_next(o.iterate, i)) {
        const char *name = json_object_iter_key(i);
        const char *const *k = keys;

        while (*k && strcmp(*k, name) != 0)
            k++;
        if (!*k)
            return mls_fail(err, MLS_E_INPUT, "%s: unknown setting \"%.64s\"", where,
                            name);
    }
    return MLS_OK;
}

mls_status mls_json_text(const json_t *object, const char *where, const char *key,
                         mls_text *text, mls_err *err)
{
    const json_t *v = json_object_get(object, key);

    if (!json_is_string(v))
        return wrong(where, key, "a string", v, err);
    *text = (mls_text){json_string_value(v), json_string_length(v)};
    return MLS_OK;
}

mls_status mls_json_bool(const json_t *object, const char *where, const char *key,
                         bool otherwise, bool *value, mls_err *err)
{
    const json_t *v = json_object_get(object, key);

    if (v && !json_is_boolean(v))
        return wrong(where, key, "true or false", v, err);
    *value = v ? json_is_true(v) : otherwise;
    return MLS_OK;
}

mls_status mls_json_count(const json_t *object, const char *where, const char *key,
                          int64_t max, int64_t *value, mls_err *err)
{
    const json_t *v = json_object_get(object, key);

    if (!json_is_integer(v))
        return wrong(where, key, "a whole number", v, err);
    *value = json_integer_value(v);
    if (*value < 0 || *value > max)
        return mls_fail(err, MLS_E_INPUT, "%s: \"%s\": expected 0 to %lld, found %lld",
                        where, key, (long long)max, (long long)*value);
    return MLS_OK;
}

mls_status mls_json_array(const json_t *object, const char *where, const char *key,
                          const json_t **array, mls_err *err)
{
    *array = json_object_get(object, key);
    if (!json_is_array(*array))
        return wrong(where, key, "an array", *array, err);
    return MLS_OK;
}
