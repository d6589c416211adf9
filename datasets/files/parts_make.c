/* Making one part: a file in progress that is appended to, and its last line. */
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

mls_status mls_parts_begin(mls_parts **out, const char *path, size_t index,
                           size_t count, const char *const *argument, size_t n,
                           mls_err *err)
{
    mls_parts *p = mls_parts_new(1);
    int bad = 0;

    *out = NULL;
    if (!p)
        return mls_parts_no_memory(err);
    p->making = true;
    p->index = index;
    p->count = count;
    p->path = strdup(path);
    p->part[0].path = mls_calloc3(strlen(path) + sizeof ".part", 1, 1, 1);
    for (size_t i = 0; i < n; i++)
        bad |= json_array_append_new(p->argument, json_string(argument[i]));
    if (!p->path || !p->part[0].path || bad) {
        mls_parts_close(p);
        return bad ? mls_fail(err, MLS_E_INPUT,
                              "the words of a command that is split must be UTF-8")
                   : mls_parts_no_memory(err);
    }
    sprintf(p->part[0].path, "%s.part", path);
    *out = p;
    return MLS_OK;
}

/* The two lines of this part's file; released with free(). */
static char *header_text(mls_parts *p)
{
    mls_buf b = {0};
    json_t *o = json_pack("{s:O,s:O,s:I,s:I,s:s}", "about", p->about, "arguments",
                          p->argument, "count", (json_int_t)p->count, "index",
                          (json_int_t)p->index, "program", MLS_VERSION);
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

    mls_buf_printf(&b, "%s%d\n%s\n", MLS_PARTS_MAGIC, MLS_PARTS_VERSION,
                   text ? text : "");
    if (!text)
        mls_buf_free(&b);
    free(text);
    json_decref(o);
    if (b.failed)
        mls_buf_free(&b);
    return b.data;
}

/* Does the file begin with these bytes? */
static bool begins_with(int fd, const char *text, size_t n)
{
    char *head = malloc(n);
    const bool same =
        head && !mls_pread_all(fd, head, n, 0, "", NULL) && memcmp(head, text, n) == 0;

    free(head);
    return same;
}

/* A finished part of this very run that is there already. */
static bool is_finished(mls_parts *p, const char *header)
{
    mls_parts *old = NULL;
    const char *path = p->path;
    bool same = false;

    if (!mls_parts_are(path) || !(old = mls_parts_new(1)))
        return false;
    if (!mls_parts_load(old, 0, path, NULL) &&
        begins_with(old->part[0].fd, header, strlen(header))) {
        const mls_parts_source s = p->part[0];

        p->part[0] = old->part[0];
        old->part[0] = s;
        p->unit = old->unit;
        p->n_units = p->room = old->n_units;
        p->room = old->room;
        old->unit = NULL;
        old->n_units = 0;
        same = p->finished = true;
    }
    mls_parts_close(old);
    return same;
}

/* The file in progress: gone on with where it is of this run, begun anew otherwise. */
static mls_status open_journal(mls_parts *p, const char *header, mls_err *err)
{
    mls_parts_source *s = &p->part[0];
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat is;
    const size_t n = strlen(header);

    s->fd = open(s->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    if (s->fd < 0)
        return mls_fail(err, MLS_E_INPUT, "%s: %s", s->path, strerror(errno));
    if (fcntl(s->fd, F_SETLK, &all))
        return mls_fail(err, MLS_E_INPUT, "%s: another process is writing it", s->path);
    if (fstat(s->fd, &is) || !S_ISREG(is.st_mode))
        return mls_fail(err, MLS_E_INPUT, "%s: is no file", s->path);
    if (is.st_size > 0 &&
        !begins_with(s->fd, MLS_PARTS_MAGIC, sizeof MLS_PARTS_MAGIC - 1))
        return mls_fail(err, MLS_E_INPUT, "%s: is there and is no part of a run",
                        s->path);
    p->end = n;
    if ((uint64_t)is.st_size > n && begins_with(s->fd, header, n)) {
        const mls_status st =
            mls_parts_read_units(p, 0, (uint64_t)is.st_size, true, &p->end, err);

        if (st)
            return st;
    } else if (ftruncate(s->fd, 0) || pwrite(s->fd, header, n, 0) != (ssize_t)n) {
        return mls_fail(err, MLS_E_IO, "%s: %s", s->path, strerror(errno));
    }
    return ftruncate(s->fd, (off_t)p->end)
               ? mls_fail(err, MLS_E_IO, "%s: %s", s->path, strerror(errno))
               : MLS_OK;
}

/* Once all is said that the run depends on. */
mls_status mls_parts_start(mls_parts *p, mls_err *err)
{
    char *header;
    mls_status st = MLS_OK;

    if (!p->making || p->started)
        return MLS_OK;
    header = header_text(p);
    if (!header)
        return mls_parts_no_memory(err);
    if (!is_finished(p, header)) {
        if ((mls_file_exists(p->path) || mls_folder_exists(p->path)) &&
            !mls_parts_are(p->path))
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: is there and is no part of a run: name another file",
                          p->path);
        if (!st)
            st = open_journal(p, header, err);
    }
    free(header);
    if (!st && p->n_units > 0)
        qsort(p->unit, p->n_units, sizeof *p->unit, mls_parts_by_name);
    p->started = !st;
    return st;
}

static mls_status write_all(mls_parts *p, const char *data, size_t n, mls_err *err)
{
    for (size_t at = 0; at < n;) {
        const ssize_t put = pwrite(p->part[0].fd, data + at, n - at, (off_t)p->end);

        if (put < 0 && errno != EINTR)
            return mls_fail(err, MLS_E_IO, "%s: %s", p->part[0].path, strerror(errno));
        at += put > 0 ? (size_t)put : 0;
        p->end += put > 0 ? (uint64_t)put : 0;
    }
    return MLS_OK;
}

mls_status mls_parts_put(mls_parts *p, const char *name, const mls_unit *u,
                         mls_err *err)
{
    char line[MLS_PARTS_LINE];
    const mls_buf *data = &u->data;
    mls_status st = mls_parts_start(p, err);

    if (!st && data->failed)
        st = mls_parts_no_memory(err);
    if (!st && p->finished)
        st = mls_fail(err, MLS_E_INPUT, "%s: is finished and has no %s", p->path, name);
    if (st)
        return st;
    const int n = snprintf(line, sizeof line, "unit %zu %016llx %s\n", data->len,
                           (unsigned long long)mls_xxh3(data->data, data->len), name);

    assert(n > 0 && (size_t)n < sizeof line && !strchr(name, '\n'));
    st = write_all(p, line, (size_t)n, err);
    const uint64_t at = p->end;

    if (!st)
        st = write_all(p, data->data, data->len, err);
    if (!st)
        st = write_all(p, "\n", 1, err);
    if (!st)
        st = mls_parts_add(p, name, 0, at, data->len, err);
    if (st)
        return st;
    const mls_parts_unit added = p->unit[p->n_units - 1];
    p->n_units--;
    const size_t to = mls_parts_lower(p, name);

    memmove(p->unit + to + 1, p->unit + to, (p->n_units - to) * sizeof *p->unit);
    p->unit[to] = added;
    p->n_units++;
    return MLS_OK;
}

mls_status mls_parts_finish(mls_parts *p, mls_err *err)
{
    char line[MLS_PARTS_END + 1], hex[MLS_SHA256_HEX];
    mls_status st = mls_parts_start(p, err);

    if (st || p->finished)
        return st;
    st = mls_sha256_file(p->part[0].path, hex, err);
    snprintf(line, sizeof line, "end %020zu %s\n", p->n_units, hex);
    if (!st)
        st = write_all(p, line, MLS_PARTS_END, err);
    if (!st)
        st = mls_file_commit(p->part[0].path, p->path, err);
    p->finished = !st;
    return st;
}
