/*
 * A .jsonl file is a document a line, any other is one. The hash is of the files'
 * bytes, one after another, before anything is cut: it names the text.
 */
#include "datasets/text/documents.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/base/buf.h"
#include "common/system/files.h"
#include "datasets/base/json.h"
#include "datasets/base/json_members.h"
#include "datasets/base/utf8.h"

#define FILE_MAX ((uint64_t)1 << 34)

typedef struct reading {
    mls_document each;  /* of a document, */
    mls_json_line line; /* or of a line: every file is one of lines then */
    void *arg;
    size_t documents; /* of the file in work */
} reading;

static mls_status read_stdin(char **data, size_t *len, mls_err *err)
{
    mls_buf all = {0};
    char piece[1 << 14];
    ssize_t n;

    mls_buf_puts(&all, "");
    for (;;) {
        n = read(STDIN_FILENO, piece, sizeof piece);
        if (n > 0)
            mls_buf_add(&all, piece, (size_t)n);
        else
            break;
    }
    if (n < 0 && errno == EINTR) { /* a handler that wants to be heard */
        mls_buf_free(&all);
        return mls_fail(err, MLS_E_STOPPED, "standard input: stopped while reading");
    }
    if (n < 0 || all.failed) {
        const mls_status st =
            n < 0 ? mls_fail(err, MLS_E_IO, "standard input: %s", strerror(errno))
                  : mls_fail(err, MLS_E_NOMEM, "standard input: no memory");

        mls_buf_free(&all);
        return st;
    }
    *data = all.data;
    *len = all.len;
    return MLS_OK;
}

/* The "text" of a line's object is a document. */
static mls_status read_text(reading *r, const json_t *row, mls_err *err)
{
    const json_t *text = json_object_get(row, "text");

    if (!json_is_string(text))
        return mls_fail(err, MLS_E_INPUT,
                        "expected an object with a string \"text\", found %s%s",
                        json_is_object(row) ? "\"text\": " : "",
                        mls_json_kind(json_is_object(row) ? text : row));
    if (json_string_length(text) == 0)
        return MLS_OK;
    r->documents++;
    return r->each(r->arg, json_string_value(text), json_string_length(text), err);
}

static mls_status read_line(reading *r, const char *line, size_t len, mls_err *err)
{
    json_error_t e;
    bool no_memory;
    json_t *row = mls_json_load(
        line, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e,
        &no_memory);
    mls_status st;

    if (no_memory) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a line of %zu bytes", len);
    } else if (!row) {
        st = mls_fail(err, MLS_E_INPUT, "not JSON at column %d: %s", e.column, e.text);
    } else if (r->line) {
        r->documents++;
        st = r->line(r->arg, row, err);
    } else {
        st = read_text(r, row, err);
    }
    json_decref(row);
    return st;
}

static mls_status read_lines(reading *r, const char *data, size_t len, mls_err *err)
{
    size_t number = 1;

    for (size_t begin = 0; begin < len; number++) {
        const char *newline = memchr(data + begin, '\n', len - begin);
        const size_t end = newline ? (size_t)(newline - data) : len;
        bool blank = true;

        for (size_t i = begin; i < end; i++)
            blank &= strchr(" \t\r", data[i]) != NULL && data[i];
        if (!blank) {
            const mls_status st = read_line(r, data + begin, end - begin, err);

            if (st)
                return mls_fail_in(err, st, "line %zu", number);
        }
        begin = end + 1;
    }
    return MLS_OK;
}

static mls_status read_file(reading *r, const char *path, mls_sha256 *sha, mls_err *err)
{
    const bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    const size_t path_len = strlen(path);
    const bool lines =
        r->line || (path_len >= 6 && strcmp(path + path_len - 6, ".jsonl") == 0);
    char *data = NULL;
    size_t len, bad;
    mls_status st = standard ? read_stdin(&data, &len, err)
                             : mls_file_read(path, FILE_MAX, &data, &len, err);

    if (st)
        return st;
    mls_sha256_add(sha, data, len);
    bad = mls_utf8_check(data, len);
    r->documents = 0;
    if (bad < len) {
        st = mls_fail(err, MLS_E_INPUT, "not UTF-8 at byte %zu (0x%02X)", bad,
                      (unsigned)(unsigned char)data[bad]);
    } else if (lines) {
        st = read_lines(r, data, len, err);
    } else if (len > 0) {
        r->documents = 1;
        st = r->each(r->arg, data, len, err);
    }
    if (!st && r->documents == 0)
        st = mls_fail(err, MLS_E_INPUT, r->line ? "no lines" : "the text is empty");
    free(data);
    return st ? mls_fail_in(err, st, "%s", name) : MLS_OK;
}

static mls_status read_files(reading *r, const char *const *paths, size_t n_paths,
                             char sha256[MLS_SHA256_HEX], mls_err *err)
{
    mls_sha256 *sha;
    mls_status st = mls_sha256_new(&sha, err);

    for (size_t i = 0; !st && i < n_paths; i++)
        st = read_file(r, paths[i], sha, err);
    if (!st && sha256)
        mls_sha256_hex(sha, sha256);
    mls_sha256_free(sha);
    return st;
}

mls_status mls_documents_read(const char *const *paths, size_t n_paths,
                              mls_document each, void *arg, char sha256[MLS_SHA256_HEX],
                              mls_err *err)
{
    reading r = {.each = each, .arg = arg};

    return read_files(&r, paths, n_paths, sha256, err);
}

mls_status mls_json_lines_read(const char *path, mls_json_line each, void *arg,
                               char sha256[MLS_SHA256_HEX], mls_err *err)
{
    reading r = {.line = each, .arg = arg};

    return read_files(&r, &path, 1, sha256, err);
}
