/*
 * Lines are sorted by name and every file is named, so the text follows from the files
 * alone: checking makes it again and compares. A changed byte of the list itself shows
 * like one of a file.
 */
#include "common/system/sums.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/buf.h"
#include "common/system/files.h"
#include "common/system/hash.h"

enum { SUMS_MAX = 16 << 20, HEX = MLS_SHA256_HEX - 1 };

static char *own_path(const char *folder)
{
    return mls_path_join(folder, MLS_SUMS_NAME);
}

static int is_listed(const struct dirent *e)
{
    return e->d_name[0] != '.' && strcmp(e->d_name, MLS_SUMS_NAME) != 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* One line of a file; nothing of a folder. */
static mls_status add_line(mls_buf *text, const char *folder, const char *name,
                           size_t *n_files, uint64_t *n_bytes, mls_err *err)
{
    char hex[MLS_SHA256_HEX], *path = mls_path_join(folder, name);
    struct stat s;
    mls_status st = MLS_OK;

    if (!path)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
    else if (stat(path, &s) || !S_ISREG(s.st_mode))
        goto done;
    if (!st)
        st = mls_sha256_file(path, hex, err);
    if (!st) {
        mls_buf_printf(text, "%s  %s\n", hex, name);
        *n_files += 1;
        *n_bytes += (uint64_t)s.st_size;
    }

done:
    free(path);
    return st;
}

static mls_status make_text(mls_buf *text, const char *folder, size_t *n_files,
                            uint64_t *n_bytes, mls_err *err)
{
    struct dirent **entry = NULL;
    const int n = scandir(folder, &entry, is_listed, by_bytes);
    mls_status st =
        n < 0 ? mls_fail(err, MLS_E_IO, "%s: cannot be read", folder) : MLS_OK;

    *n_files = 0;
    *n_bytes = 0;
    for (int i = 0; i < n; i++) {
        if (!st)
            st = add_line(text, folder, entry[i]->d_name, n_files, n_bytes, err);
        free(entry[i]);
    }
    free(entry);
    if (!st && text->failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the hashes of %s", folder);
    return st;
}

mls_status mls_sums_write(const char *folder, mls_err *err)
{
    mls_buf text = {0};
    size_t n_files;
    uint64_t n_bytes;
    char *path = own_path(folder);
    mls_status st = path ? make_text(&text, folder, &n_files, &n_bytes, err)
                         : mls_fail(err, MLS_E_NOMEM, "no memory for a file name");

    if (!st)
        st = mls_file_write(path, text.data ? text.data : "", text.len, err);
    free(path);
    mls_buf_free(&text);
    return st;
}

bool mls_sums_are(const char *folder)
{
    char *path = own_path(folder);
    const bool are = path && mls_file_exists(path);

    free(path);
    return are;
}

/* A line: 64 digits, two spaces, a name. */
typedef struct {
    const char *at, *name;
    int n_name; /* 0: this is no such line */
    size_t len; /* with its newline; 0: the end of the list */
} line;

static line line_at(const char *at, const char *end)
{
    const char *newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    line one = {.at = at,
                .len = newline ? (size_t)(newline - at) + 1 : (size_t)(end - at)};

    if (newline && one.len > HEX + 3 && memcmp(at + HEX, "  ", 2) == 0) {
        one.name = at + HEX + 2;
        one.n_name = (int)(newline - one.name);
    }
    return one;
}

static bool is_there(const char *folder, const line *one)
{
    mls_buf path = {0};

    mls_buf_printf(&path, "%s/%.*s", folder, one->n_name, one->name);
    const bool there = !path.failed && mls_file_exists(path.data);

    mls_buf_free(&path);
    return there;
}

/* Two lists differ: by which file? */
static mls_status name_difference(const char *folder, const char *said, size_t n_said,
                                  const char *is, size_t n_is, mls_err *err)
{
    const char *const said_end = said + n_said, *const is_end = is + n_is;
    line a = line_at(said, said_end), b = line_at(is, is_end);

    while (a.len && a.len == b.len && memcmp(a.at, b.at, a.len) == 0) {
        a = line_at(a.at + a.len, said_end);
        b = line_at(b.at + b.len, is_end);
    }
    if (a.len && !a.n_name)
        return mls_fail(err, MLS_E_INPUT,
                        "%s/" MLS_SUMS_NAME
                        ": the line at byte %zu is not a hash and a name",
                        folder, (size_t)(a.at - said));
    if (a.len && a.len == b.len && memcmp(a.name, b.name, (size_t)a.n_name) == 0)
        return mls_fail(err, MLS_E_INPUT, "%s/%.*s: was changed since it was written",
                        folder, a.n_name, a.name);
    if (a.len && !is_there(folder, &a))
        return mls_fail(err, MLS_E_INPUT, "%s/%.*s: is missing", folder, a.n_name,
                        a.name);
    if (b.len)
        return mls_fail(err, MLS_E_INPUT, "%s/%.*s: is not named in " MLS_SUMS_NAME,
                        folder, b.n_name, b.name);
    return mls_fail(err, MLS_E_INPUT, "%s/" MLS_SUMS_NAME ": names %.*s out of order",
                    folder, a.n_name, a.name);
}

mls_status mls_sums_verify(const char *folder, size_t *n_files, uint64_t *n_bytes,
                           mls_err *err)
{
    mls_buf is = {0};
    char *said = NULL, *path = own_path(folder);
    size_t n_said = 0;
    mls_status st = path ? mls_file_read_regular(path, SUMS_MAX, &said, &n_said, err)
                         : mls_fail(err, MLS_E_NOMEM, "no memory for a file name");

    if (!st)
        st = make_text(&is, folder, n_files, n_bytes, err);
    if (!st && (is.len != n_said || (n_said && memcmp(said, is.data, n_said) != 0)))
        st = name_difference(folder, said, n_said, is.data ? is.data : "", is.len, err);
    free(said);
    free(path);
    mls_buf_free(&is);
    return st;
}
