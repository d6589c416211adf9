/*
 * jansson does the parsing. What it does not say is told apart here: without memory,
 * 2.14 calls a text wrong, or leaves a letter out of a string and goes on. Python's
 * Infinity and NaN, which configs carry and JSON has not, become strings.
 */
#include "datasets/base/json.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/system/files.h"
#include "common/system/hash.h"

static json_malloc_t memory; /* what jansson takes its memory from */
static _Thread_local bool starved;

static void *watched(size_t n)
{
    void *p = memory(n);

    starved = starved || !p;
    return p;
}

/* Hear of every allocation of jansson's that fails, whoever gives it its memory. */
static void watch(void)
{
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    json_malloc_t take;
    json_free_t give;

    pthread_mutex_lock(&once);
    json_get_alloc_funcs(&take, &give);
    if (take != watched) {
        memory = take;
        json_set_alloc_funcs(watched, give);
    }
    pthread_mutex_unlock(&once);
}

json_t *mls_json_load(const char *data, size_t len, size_t flags, json_error_t *e,
                      bool *no_memory)
{
    json_t *out;

    watch();
    starved = false;
    out = json_loadb(data, len, flags, e);
    *no_memory = starved;
    if (starved) {
        json_decref(out);
        return NULL;
    }
    return out;
}

/*
 * Python's json module writes numbers that JSON does not have, Infinity, -Infinity and
 * NaN, and configs carry them: "time_step_limit": [0.0, Infinity]. They become strings,
 * so that such a value can be there and cannot be taken for a number.
 *
 * @param[out] out_len  written only when there are some
 * @return the same text with quotes around them, or NULL: there are none, or no memory
 */
static char *quote_python_numbers(const char *data, size_t len, size_t *out_len,
                                  bool *no_memory)
{
    static const char *const words[] = {"-Infinity", "Infinity", "NaN"};
    bool in_string = false, any = false;
    mls_buf out = {0};

    for (size_t i = 0; i < len; i++) {
        size_t word_len = 0;

        for (size_t k = 0; !in_string && !word_len && k < 3; k++) {
            const size_t n = strlen(words[k]);

            if (data[i] == *words[k] && n <= len - i &&
                memcmp(data + i, words[k], n) == 0)
                word_len = n;
        }
        if (word_len) {
            mls_buf_printf(&out, "\"%.*s\"", (int)word_len, data + i);
            i += word_len - 1;
            any = true;
            continue;
        }
        mls_buf_add(&out, data + i, 1);
        if (in_string && data[i] == '\\' && i + 1 < len)
            mls_buf_add(&out, data + ++i, 1);
        else if (data[i] == '"')
            in_string = !in_string;
    }
    *no_memory = out.failed;
    if (!any || out.failed)
        mls_buf_free(&out);
    else
        *out_len = out.len;
    return out.data;
}

mls_status mls_json_parse(json_t **out, const char *data, size_t len, const char *name,
                          mls_err *err)
{
    json_error_t e;
    char *quoted = NULL;
    const char *kind;
    bool no_memory;
    mls_status st = MLS_OK;

    *out = mls_json_load(data, len, JSON_REJECT_DUPLICATES, &e, &no_memory);
    if (!*out && !no_memory && json_error_code(&e) == json_error_invalid_syntax &&
        (quoted = quote_python_numbers(data, len, &len, &no_memory)))
        *out = mls_json_load(quoted, len, JSON_REJECT_DUPLICATES, &e, &no_memory);
    if (!*out && !no_memory && (kind = mls_bytes_kind(data, len)))
        st = mls_fail(err, MLS_E_INPUT, "%s: is %s, expected JSON", name, kind);
    else if (!*out)
        st = no_memory ? mls_fail(err, MLS_E_NOMEM, "no memory to parse %s", name)
                       : mls_fail(err, MLS_E_INPUT, "%s: line %d, column %d: %s", name,
                                  e.line, e.column, e.text);
    free(quoted);
    return st;
}

static mls_status hash_bytes(const char *data, size_t len, char sha256[65],
                             mls_err *err)
{
    mls_sha256 *h;
    mls_status st = mls_sha256_new(&h, err);

    if (st)
        return st;
    mls_sha256_add(h, data, len);
    mls_sha256_hex(h, sha256);
    mls_sha256_free(h);
    return MLS_OK;
}

mls_status mls_json_object(json_t **out, const char *data, size_t len, const char *name,
                           char sha256[65], mls_err *err)
{
    mls_status st = sha256 ? hash_bytes(data, len, sha256, err) : MLS_OK;

    *out = NULL;
    if (!st)
        st = mls_json_parse(out, data, len, name, err);
    if (!st && !json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        st = mls_fail(err, MLS_E_INPUT, "%s: the top value is not an object", name);
    }
    return st;
}

mls_status mls_json_read(json_t **out, const char *path, uint64_t max, char sha256[65],
                         mls_err *err)
{
    char *data = NULL;
    size_t len;
    mls_status st;

    *out = NULL;
    st = mls_file_read_regular(path, max, &data, &len, err);
    if (!st)
        st = mls_json_object(out, data, len, path, sha256, err);
    free(data);
    return st;
}

const char *mls_json_show(char text[MLS_JSON_SHOW], const json_t *value)
{
    char *whole = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII |
                                        JSON_REAL_PRECISION(10));

    snprintf(text, MLS_JSON_SHOW, "%s", whole ? whole : "?");
    if (whole && strlen(whole) >= MLS_JSON_SHOW)
        memcpy(text + MLS_JSON_SHOW - 4, "...", 4);
    free(whole);
    return text;
}
