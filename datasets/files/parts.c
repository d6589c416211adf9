/*
 * The file: a line with its version, a line of JSON, units (a line with their size,
 * their XXH3 and their name, then the bytes and a line break), and a last line of fixed
 * length with the number of units and the SHA-256 of all before it. A part in progress
 * is the same without that line: what a stop tore off is seen by its XXH3 and cut away.
 */
#include "datasets/files/parts_inner.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/checked.h"
#include "common/system/files.h"
#include "common/system/hash.h"
#include "datasets/base/json.h"

enum { HEADER_MAX = 1 << 24, PIECE = 1 << 20 };

bool mls_parts_are(const char *path)
{
    char head[sizeof MLS_PARTS_MAGIC - 1];
    int fd;
    uint64_t size;

    if (mls_file_open(path, &fd, &size, NULL))
        return false;
    const bool are = size >= sizeof head &&
                     !mls_pread_all(fd, head, sizeof head, 0, path, NULL) &&
                     memcmp(head, MLS_PARTS_MAGIC, sizeof head) == 0;

    close(fd);
    return are;
}

void mls_parts_close(mls_parts *p)
{
    if (!p)
        return;
    for (size_t i = 0; p->part && i < p->n_parts; i++) {
        if (p->part[i].fd >= 0)
            close(p->part[i].fd);
        free(p->part[i].path);
        json_decref(p->part[i].header);
    }
    for (size_t i = 0; i < p->n_units; i++)
        free(p->unit[i].name);
    free(p->part);
    free(p->unit);
    free(p->path);
    json_decref(p->argument);
    json_decref(p->about);
    free(p);
}

mls_status mls_parts_no_memory(mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory for the parts of a run");
}

mls_parts *mls_parts_new(size_t n_parts)
{
    mls_parts *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->n_parts = n_parts;
    p->part = mls_calloc3(n_parts, 1, 1, sizeof *p->part);
    p->about = json_object();
    p->argument = json_array();
    for (size_t i = 0; p->part && i < n_parts; i++)
        p->part[i].fd = -1;
    if (p->part && p->about && p->argument)
        return p;
    mls_parts_close(p);
    return NULL;
}

int mls_parts_by_name(const void *a, const void *b)
{
    const mls_parts_unit *x = a, *y = b;
    const int names = strcmp(x->name, y->name);

    return names ? names : (x->index > y->index) - (x->index < y->index);
}

/* Room for one more; it is put at the end. */
mls_status mls_parts_add(mls_parts *p, const char *name, size_t from, uint64_t at,
                         uint64_t n, mls_err *err)
{
    if (p->n_units == p->room) {
        const size_t room = p->room ? 2 * p->room : 64;
        mls_parts_unit *more = realloc(p->unit, room * sizeof *more);

        if (!more)
            return mls_parts_no_memory(err);
        p->unit = more;
        p->room = room;
    }
    p->unit[p->n_units] = (mls_parts_unit){.name = strdup(name),
                                           .source = from,
                                           .index = p->part[from].index,
                                           .at = at,
                                           .n = n};
    if (!p->unit[p->n_units].name)
        return mls_parts_no_memory(err);
    p->n_units++;
    return MLS_OK;
}

/* --- Reading --- */

/* The line at an offset without its break; false when there is none so short. */
static bool read_line(const mls_parts_source *s, uint64_t at, uint64_t size, char *line,
                      size_t room)
{
    const size_t n = size - at < room ? (size_t)(size - at) : room;

    if (at >= size || mls_pread_all(s->fd, line, n, at, s->path, NULL))
        return false;
    char *end = memchr(line, '\n', n);

    if (end)
        *end = 0;
    return end != NULL;
}

/* XXH3 of n bytes at an offset. */
static mls_status hash_bytes(const mls_parts_source *s, uint64_t at, uint64_t n,
                             uint64_t *hash, mls_err *err)
{
    mls_xxh3_stream *x = mls_xxh3_stream_new();
    char *piece = malloc(PIECE);
    mls_status st = x && piece ? MLS_OK : mls_parts_no_memory(err);

    while (!st && n > 0) {
        const size_t k = n < PIECE ? (size_t)n : PIECE;

        st = mls_pread_all(s->fd, piece, k, at, s->path, err);
        if (!st)
            mls_xxh3_stream_add(x, piece, k);
        at += k;
        n -= k;
    }
    if (!st)
        *hash = mls_xxh3_stream_digest(x);
    free(piece);
    mls_xxh3_stream_free(x);
    return st;
}

/* The two lines at the head; *at becomes where units begin. */
static mls_status read_header(mls_parts_source *s, uint64_t size, uint64_t *at,
                              mls_err *err)
{
    char line[64], *text = NULL;
    const size_t most = size < HEADER_MAX ? (size_t)size : HEADER_MAX;
    mls_status st = MLS_OK;
    long version;

    if (!read_line(s, 0, size, line, sizeof line - 1) ||
        strncmp(line, MLS_PARTS_MAGIC, sizeof MLS_PARTS_MAGIC - 1) != 0)
        return mls_fail(err, MLS_E_INPUT, "%s: is no part of a run", s->path);
    version = strtol(line + sizeof MLS_PARTS_MAGIC - 1, NULL, 10);
    if (version != MLS_PARTS_VERSION)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: is a part of version %.20s, this program reads version %d",
                        s->path, line + sizeof MLS_PARTS_MAGIC - 1,
                        (int)MLS_PARTS_VERSION);
    *at = strlen(line) + 1;
    text = malloc(most);
    if (!text)
        return mls_parts_no_memory(err);
    if (!read_line(s, *at, size, text, most))
        st = mls_fail(err, MLS_E_INPUT, "%s: is cut within its header", s->path);
    if (!st)
        *at += strlen(text) + 1;
    if (!st)
        st = mls_json_object(&s->header, text, strlen(text), "header", NULL, err);
    if (st)
        mls_fail_in(err, st, "%s", s->path);
    free(text);
    return st;
}

/*
 * Units from *at on; it becomes the end of the last whole one. Bytes are read only
 * where `hash` says so.
 */
mls_status mls_parts_read_units(mls_parts *p, size_t from, uint64_t size, bool hash,
                                uint64_t *at, mls_err *err)
{
    const mls_parts_source *s = &p->part[from];
    char line[MLS_PARTS_LINE];
    mls_status st = MLS_OK;

    while (!st && read_line(s, *at, size, line, sizeof line)) {
        unsigned long long n, sum;
        uint64_t found = 0;
        int used = 0;
        const uint64_t begin = *at + strlen(line) + 1;

        if (sscanf(line, "unit %llu %16llx %n", &n, &sum, &used) != 2 || !used ||
            n > size || size - n < begin + 1)
            break;
        if (hash && (st = hash_bytes(s, begin, n, &found, err)))
            break;
        if (hash && found != sum)
            break;
        st = mls_parts_add(p, line + used, from, begin, n, err);
        *at = begin + n + 1;
    }
    return st;
}

/* The last line, and the hash of all before it. */
static mls_status check_end(const mls_parts_source *s, uint64_t size, size_t *n_units,
                            mls_err *err)
{
    char line[MLS_PARTS_END + 1] = "", told[65] = "", hex[MLS_SHA256_HEX];
    char *piece = malloc(PIECE);
    mls_sha256 *h = NULL;
    unsigned long long n = 0;
    mls_status st = piece ? mls_sha256_new(&h, err) : mls_parts_no_memory(err);

    if (!st && size > MLS_PARTS_END)
        st = mls_pread_all(s->fd, line, MLS_PARTS_END, size - MLS_PARTS_END, s->path,
                           err);
    if (!st && (sscanf(line, "end %20llu %64[0-9a-f]", &n, told) != 2 ||
                strlen(told) != 64 || line[MLS_PARTS_END - 1] != '\n'))
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: has no last line: it was cut, or is still being made",
                      s->path);
    for (uint64_t at = 0; !st && at < size - MLS_PARTS_END;) {
        const uint64_t left = size - MLS_PARTS_END - at;
        const size_t k = left < PIECE ? (size_t)left : PIECE;

        st = mls_pread_all(s->fd, piece, k, at, s->path, err);
        if (!st)
            mls_sha256_add(h, piece, k);
        at += k;
    }
    if (!st) {
        mls_sha256_hex(h, hex);
        if (strcmp(hex, told) != 0)
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: was changed after it was written: SHA-256 %.12s, its "
                          "last line says %.12s",
                          s->path, hex, told);
    }
    *n_units = n;
    mls_sha256_free(h);
    free(piece);
    return st;
}

static bool get_size(const json_t *object, const char *name, size_t *x)
{
    const json_t *value = json_object_get(object, name);

    *x = json_is_integer(value) && json_integer_value(value) >= 0
             ? (size_t)json_integer_value(value)
             : SIZE_MAX;
    return *x != SIZE_MAX;
}

/* Open a finished part, hold it against its hash and read which units it has. */
mls_status mls_parts_load(mls_parts *p, size_t i, const char *path, mls_err *err)
{
    mls_parts_source *s = &p->part[i];
    uint64_t size, at = 0;
    size_t n = 0, count = 0, before = p->n_units;
    mls_status st = mls_file_open(path, &s->fd, &size, err);

    if (!st && !(s->path = strdup(path)))
        st = mls_parts_no_memory(err);
    if (!st)
        st = read_header(s, size, &at, err);
    if (!st)
        st = check_end(s, size, &n, err);
    if (!st && (!get_size(s->header, "index", &s->index) ||
                !get_size(s->header, "count", &count) || s->index >= count ||
                count > MLS_PARTS_COUNT_MAX ||
                !json_is_array(json_object_get(s->header, "arguments")) ||
                !json_is_object(json_object_get(s->header, "about"))))
        st = mls_fail(err, MLS_E_INPUT, "%s: its header does not say which part it is",
                      path);
    if (!st)
        st = mls_parts_read_units(p, i, size - MLS_PARTS_END, false, &at, err);
    if (!st && (at != size - MLS_PARTS_END || p->n_units - before != n))
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: holds %zu units to byte %llu, expected %zu to byte %llu",
                      path, p->n_units - before, (unsigned long long)at, n,
                      (unsigned long long)(size - MLS_PARTS_END));
    return st;
}

mls_status mls_parts_verify(const char *path, mls_err *err)
{
    mls_parts *p = mls_parts_new(1);
    const mls_status st =
        p ? mls_parts_load(p, 0, path, err) : mls_parts_no_memory(err);

    mls_parts_close(p);
    return st;
}

/* --- Joining --- */

/* What differs between the headers of two parts of different runs; NULL: nothing. */
static const char *difference(const json_t *a, const json_t *b)
{
    static const char *const names[] = {"program", "count", "arguments"};
    const json_t *about = json_object_get(a, "about");
    const json_t *other = json_object_get(b, "about");
    const char *name;
    json_t *value;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!json_equal(json_object_get(a, names[i]), json_object_get(b, names[i])))
            return i == 2 ? "command" : names[i];
    json_object_foreach(
        (json_t *)(uintptr_t)about, name,
        value) if (!json_equal(value, json_object_get(other, name))) return name;
    return json_object_size(about) == json_object_size(other) ? NULL : "run";
}

/* Each index once. */
static mls_status every_part(const mls_parts *p, mls_err *err)
{
    const mls_parts_source **by = mls_calloc3(p->count, 1, 1, sizeof *by);
    mls_status st = by ? MLS_OK : mls_parts_no_memory(err);

    for (size_t i = 0; !st && i < p->n_parts; i++) {
        const mls_parts_source *s = &p->part[i];

        if (by[s->index])
            st = mls_fail(err, MLS_E_INPUT, "%s: is part %zu/%zu, as %s is", s->path,
                          s->index, p->count, by[s->index]->path);
        else
            by[s->index] = s;
    }
    for (size_t i = 0; !st && i < p->count; i++)
        if (!by[i])
            st = mls_fail(err, MLS_E_INPUT,
                          "part %zu/%zu is missing: make it with --shard %zu/%zu", i,
                          p->count, i, p->count);
    free(by);
    return st;
}

/* Are all of one run, and all there? */
static mls_status order(mls_parts *p, mls_err *err)
{
    const mls_parts_source *first = &p->part[0];

    for (size_t i = 1; i < p->n_parts; i++) {
        const char *what = difference(first->header, p->part[i].header);

        if (what)
            return mls_fail(err, MLS_E_INPUT,
                            "%s: is a part of another run than %s: another %s",
                            p->part[i].path, first->path, what);
    }
    get_size(first->header, "count", &p->count);
    const char *program = json_string_value(json_object_get(first->header, "program"));

    if (!program || strcmp(program, MLS_VERSION) != 0)
        return mls_fail(err, MLS_E_INPUT, "%s: was made by mlascope %.20s, this is %s",
                        first->path, program ? program : "?", MLS_VERSION);
    return every_part(p, err);
}

mls_status mls_parts_open(mls_parts **out, const char *const *path, size_t n,
                          mls_err *err)
{
    mls_parts *p = mls_parts_new(n);
    mls_status st = p ? MLS_OK : mls_parts_no_memory(err);

    *out = NULL;
    for (size_t i = 0; !st && i < n; i++)
        st = mls_parts_load(p, i, path[i], err);
    if (!st)
        st = order(p, err);
    if (st) {
        mls_parts_close(p);
        return st;
    }
    json_decref(p->argument);
    json_decref(p->about);
    p->argument = json_incref(json_object_get(p->part[0].header, "arguments"));
    p->about = json_incref(json_object_get(p->part[0].header, "about"));
    qsort(p->unit, p->n_units, sizeof *p->unit, mls_parts_by_name);
    *out = p;
    return MLS_OK;
}

const char *mls_parts_argument(const mls_parts *p, size_t i)
{
    return json_string_value(json_array_get(p->argument, i));
}

bool mls_parts_making(const mls_parts *p)
{
    return p && p->making;
}

bool mls_parts_joining(const mls_parts *p)
{
    return p && !p->making;
}

size_t mls_parts_index(const mls_parts *p)
{
    return p->index;
}

size_t mls_parts_count(const mls_parts *p)
{
    return p->count;
}

bool mls_parts_own(const mls_parts *p, size_t i, size_t n)
{
    return !mls_parts_making(p) || i * p->count / n == p->index;
}

mls_status mls_parts_about(mls_parts *p, const char *name, const char *value,
                           mls_err *err)
{
    if (!p)
        return MLS_OK;
    if (p->making) {
        assert(!p->started);
        return json_object_set_new(p->about, name, json_string(value))
                   ? mls_parts_no_memory(err)
                   : MLS_OK;
    }
    const char *made = json_string_value(json_object_get(p->about, name));

    return made && strcmp(made, value) == 0
               ? MLS_OK
               : mls_fail(err, MLS_E_INPUT,
                          "%s: was made with another %s: %.60s, here it is %.60s",
                          p->part[0].path, name, made ? made : "none", value);
}

/* --- Units --- */

/* Index of the first unit not before a name. */
size_t mls_parts_lower(const mls_parts *p, const char *name)
{
    size_t low = 0, high = p->n_units;

    while (low < high) {
        const size_t mid = low + (high - low) / 2;

        if (strcmp(p->unit[mid].name, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const char *mls_parts_name(const mls_parts *p, size_t u)
{
    return p->unit[u].name;
}

mls_status mls_parts_find(mls_parts *p, const char *front, size_t *first, size_t *n,
                          mls_err *err)
{
    const mls_status st = mls_parts_start(p, err);

    *n = 0;
    if (st)
        return st;
    *first = mls_parts_lower(p, front);
    while (*first + *n < p->n_units &&
           strncmp(p->unit[*first + *n].name, front, strlen(front)) == 0)
        ++*n;
    return MLS_OK;
}

mls_status mls_parts_get(mls_parts *p, const char *name, mls_unit *u, mls_err *err)
{
    mls_status st = mls_parts_start(p, err);

    *u = (mls_unit){0};
    if (st)
        return st;
    const size_t at = mls_parts_lower(p, name);

    if (at == p->n_units || strcmp(p->unit[at].name, name) != 0)
        return p->making
                   ? MLS_OK
                   : mls_fail(err, MLS_E_INPUT, "%s and the other parts: none has %s",
                              p->part[0].path, name);
    const mls_parts_unit *found = &p->unit[at];
    const mls_parts_source *s = &p->part[found->source];

    u->reading = true;
    u->path = s->path;
    u->name = found->name;
    u->data.data = mls_calloc3(found->n, 1, 1, 1);
    u->data.len = found->n;
    st = u->data.data
             ? mls_pread_all(s->fd, u->data.data, found->n, found->at, s->path, err)
             : mls_parts_no_memory(err);
    if (st)
        mls_unit_free(u);
    return st;
}

mls_status mls_parts_do(mls_parts *p, const char *what, size_t i, size_t n,
                        mls_parts_make *make, mls_parts_pass *pass, void *arg,
                        bool *done, mls_err *err)
{
    char name[128];
    mls_unit u = {0};
    size_t first, found = 0;
    mls_status st;

    if (done)
        *done = true;
    if (!p)
        return make(arg, i, err);
    snprintf(name, sizeof name, "%s %05zu", what, i);
    st = mls_parts_find(p, name, &first, &found, err);
    if (st)
        return st;
    if (found || mls_parts_joining(p)) {
        st = mls_parts_get(p, name, &u, err);
        if (!st)
            st = pass(arg, i, &u, err);
        if (!st)
            st = mls_unit_end(&u, err);
    } else if (mls_parts_own(p, i, n)) {
        st = make(arg, i, err);
        if (!st)
            st = pass(arg, i, &u, err);
        if (!st)
            st = mls_parts_put(p, name, &u, err);
    } else if (done) {
        *done = false;
    }
    mls_unit_free(&u);
    return st;
}

void mls_unit_pass(mls_unit *u, void *x, size_t n)
{
    if (!u->reading) {
        mls_buf_add(&u->data, x, n);
    } else if (n > u->data.len - u->at) {
        u->failed = true;
        memset(x, 0, n);
    } else {
        memcpy(x, u->data.data + u->at, n);
        u->at += n;
    }
}

mls_status mls_unit_end(const mls_unit *u, mls_err *err)
{
    return u->failed || u->at != u->data.len
               ? mls_fail(err, MLS_E_INPUT, "%s: %s has %zu bytes, expected %s",
                          u->path, u->name, u->data.len, u->failed ? "more" : "fewer")
               : MLS_OK;
}

void mls_unit_free(mls_unit *u)
{
    mls_buf_free(&u->data);
    *u = (mls_unit){0};
}
