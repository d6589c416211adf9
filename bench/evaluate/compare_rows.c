/* Finished rows of a comparison: JSON lines that are only ever appended to. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/evaluate/compare.h"
#include "bench/evaluate/quantities.h"
#include "common/base/buf.h"
#include "common/base/checked.h"
#include "common/system/files.h"
#include "datasets/base/json.h"

enum { FILE_MAX = 1 << 30, SEQUENCES_MAX = 1 << 24 };

struct mls_kept_rows {
    int fd;
    char *path;
    json_t *by_key; /* key: the row's object */
};

/* A number, or null where there is none. */
static bool get_number(const json_t *row, const char *key, double *x)
{
    const json_t *value = json_object_get(row, key);

    if (json_is_null(value))
        *x = NAN;
    else if (json_is_number(value))
        *x = json_number_value(value);
    else
        return false;
    return true;
}

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

/* Where a row keeps a quantity. */
static double *number_of(mls_compared *row, const mls_quantity *q)
{
    return (double *)(void *)((char *)row + q->at);
}

/* What the model refused: the sentence stands for all figures. */
static bool read_refused(const char *why, mls_compared *row, mls_mean *original,
                         size_t *n_scored)
{
    *row = mls_compared_refused();
    row->kept_row = true;
    row->refused = strdup(why);
    *original = (mls_mean){NAN, NAN};
    *n_scored = 0;
    return row->refused != NULL;
}

/* Other figures of every window, in the order of seq_rest. */
static const char *const rests[] = {"nll_of_windows", "top1_of_windows",
                                    "delta_nll_of_windows"};
enum { RESTS = sizeof rests / sizeof rests[0] };

/* n numbers of an array; false: no such array. */
static bool read_each(double *out, const json_t *object, const char *key, size_t n)
{
    const json_t *each = json_object_get(object, key);
    bool ok = json_is_array(each) && json_array_size(each) == n;

    for (size_t i = 0; ok && i < n; i++) {
        const json_t *x = json_array_get(each, i);

        ok = json_is_number(x);
        out[i] = json_number_value(x);
    }
    return ok;
}

static bool read_row(const json_t *object, mls_compared *row, mls_mean *original,
                     size_t *n_scored)
{
    const char *why = json_string_value(json_object_get(object, "refused"));

    if (why)
        return read_refused(why, row, original, n_scored);
    const json_t *each = json_object_get(object, "kl_of_windows");
    const json_t *scored = json_object_get(object, "scored");
    bool ok = json_is_array(each) && json_array_size(each) >= 1 &&
              json_array_size(each) <= SEQUENCES_MAX && json_is_integer(scored) &&
              json_integer_value(scored) > 0;

    const char *serve = json_string_value(json_object_get(object, "served_by"));

    *row = (mls_compared){.kept_row = true, .measured = true};
    ok = ok && serve && !mls_serve_parse(&row->serve, serve, NULL);
    for (const mls_quantity *q = mls_quantities; q->key; q++)
        ok = ok && (!q->row || get_number(object, q->row, number_of(row, q)));
    ok = ok && get_number(object, "original_nll", &original->mean) &&
         get_number(object, "original_nll_half", &original->half);
    if (!ok)
        return false;
    *n_scored = (size_t)json_integer_value(scored);
    row->N = json_array_size(each);
    row->seq_kl = mls_calloc3(row->N, 1, 1, sizeof *row->seq_kl);
    row->seq_rest = mls_calloc3(row->N, RESTS, 1, sizeof *row->seq_rest);
    ok = row->seq_kl && row->seq_rest &&
         read_each(row->seq_kl, object, "kl_of_windows", row->N);
    if (ok && json_object_get(object, rests[0])) {
        for (size_t k = 0; k < RESTS; k++)
            ok = ok && read_each(row->seq_rest + k * row->N, object, rests[k], row->N);
    } else {
        free(row->seq_rest);
        row->seq_rest = NULL;
    }
    if (!ok)
        mls_compared_free(row);
    return ok;
}

static mls_status read_line(mls_kept_rows *k, const char *line, size_t len, size_t n,
                            mls_err *err)
{
    char name[64];
    json_t *object = NULL;
    mls_compared row;
    mls_mean original;
    size_t scored;
    mls_status st;

    snprintf(name, sizeof name, "line %zu", n);
    st = mls_json_object(&object, line, len, name, NULL, err);
    if (st)
        return mls_fail_in(err, st, "%s", k->path);
    const char *key = json_string_value(json_object_get(object, "key"));

    if (!key || !read_row(object, &row, &original, &scored)) {
        json_decref(object);
        return mls_fail(err, MLS_E_INPUT,
                        "%s: line %zu is not a finished row of mlascope compare; move "
                        "the file away to measure again",
                        k->path, n);
    }
    mls_compared_free(&row);
    if (json_object_set_new(k->by_key, key, object))
        return mls_fail(err, MLS_E_NOMEM, "no memory for the rows of %s", k->path);
    return MLS_OK;
}

/*
 * One run at a time: another's half-written line would look torn. The lock belongs to
 * the process and ends with it; reading through the same descriptor keeps it.
 */
static mls_status lock_and_read(mls_kept_rows *k, char **text, size_t *len,
                                mls_err *err)
{
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat s;

    if (fstat(k->fd, &s))
        return mls_fail(err, MLS_E_IO, "%s: %s", k->path, strerror(errno));
    if (!S_ISREG(s.st_mode))
        return mls_fail(err, MLS_E_INPUT, "%s: is a device or pipe, expected a file",
                        k->path);
    if (fcntl(k->fd, F_SETLK, &all))
        return errno == EACCES || errno == EAGAIN
                   ? mls_fail(err, MLS_E_INPUT, "%s: another run is writing it",
                              k->path)
                   : mls_fail(err, MLS_E_IO, "%s: %s", k->path, strerror(errno));
    if (fstat(k->fd, &s))
        return mls_fail(err, MLS_E_IO, "%s: %s", k->path, strerror(errno));
    if (s.st_size > FILE_MAX)
        return mls_fail(err, MLS_E_INPUT, "%s: %lld bytes, expected at most %d",
                        k->path, (long long)s.st_size, (int)FILE_MAX);
    *len = (size_t)s.st_size;
    *text = mls_calloc3(*len, 1, 1, 1);
    if (!*text)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the rows of %s", k->path);
    return mls_pread_all(k->fd, *text, *len, 0, k->path, err);
}

static bool is_torn_row(const char *line, size_t len)
{
    static const char front[] = "{\"key\":\"";

    return memcmp(line, front, mls_least(len, sizeof front - 1)) == 0;
}

mls_status mls_kept_rows_open(mls_kept_rows **out, const char *path, mls_err *err)
{
    mls_kept_rows *k = calloc(1, sizeof *k);
    char *text = NULL;
    size_t len = 0, at = 0, n = 0;
    mls_status st = MLS_OK;

    *out = NULL;
    if (!k || !(k->path = strdup(path)) || !(k->by_key = json_object())) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the rows of %s", path);
        goto done;
    }
    k->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (k->fd < 0) {
        st = mls_fail(err, MLS_E_INPUT, "%s: %s", path, strerror(errno));
        goto done;
    }
    st = lock_and_read(k, &text, &len, err);
    while (!st && at < len) {
        const char *end = memchr(text + at, '\n', len - at);

        /* Torn by a stop: a beginning of a row, and nothing else is cut off. */
        if (!end && is_torn_row(text + at, len - at)) {
            if (ftruncate(k->fd, (off_t)at))
                st = mls_fail(err, MLS_E_IO, "%s: %s", path, strerror(errno));
            break;
        }
        if (!end)
            end = text + len;
        st = read_line(k, text + at, (size_t)(end - text) - at, ++n, err);
        at = (size_t)(end - text) + 1;
    }

done:
    free(text);
    if (st)
        mls_kept_rows_close(k);
    else
        *out = k;
    return st;
}

void mls_kept_rows_close(mls_kept_rows *k)
{
    if (!k)
        return;
    if (k->path && k->by_key && k->fd >= 0)
        close(k->fd);
    json_decref(k->by_key);
    mls_free_all(k->path, k);
}

bool mls_kept_rows_find(const mls_kept_rows *k, const char *key, mls_compared *row,
                        mls_mean *original, size_t *n_scored)
{
    const json_t *object = json_object_get(k->by_key, key);
    mls_mean nll;
    size_t scored;

    if (!object || !read_row(object, row, &nll, &scored))
        return false;
    if (!row->refused && !row->seq_rest) { /* measured again, with all of it */
        mls_compared_free(row);
        return false;
    }
    if (!row->refused) {
        *original = nll;
        *n_scored = scored;
    }
    return true;
}

static int put_each(json_t *object, const char *key, const double *x, size_t n)
{
    json_t *each = json_array();
    int bad = 0;

    for (size_t i = 0; i < n; i++)
        bad |= json_array_append_new(each, json_real(x[i]));
    return bad | json_object_set_new(object, key, each);
}

/* One line; released with free(), NULL when memory is short. */
static char *row_line(const char *key, const char *setting, const mls_compared *row,
                      mls_mean original, size_t n_scored)
{
    json_t *object = json_object();
    mls_compared copy = *row;
    char *line = NULL;
    int bad = json_object_set_new(object, "key", json_string(key));

    bad |= json_object_set_new(object, "setting", json_string(setting));
    if (row->refused) {
        bad |= json_object_set_new(object, "refused", json_string(row->refused));
        goto done;
    }
    bad |= json_object_set_new(object, "served_by",
                               json_string(mls_serve_name(row->serve)));
    for (const mls_quantity *q = mls_quantities; q->key; q++)
        if (q->row)
            bad |= json_object_set_new(object, q->row, number(*number_of(&copy, q)));
    bad |= json_object_set_new(object, "original_nll", number(original.mean));
    bad |= json_object_set_new(object, "original_nll_half", number(original.half));
    bad |= json_object_set_new(object, "scored", json_integer((json_int_t)n_scored));
    bad |= put_each(object, "kl_of_windows", row->seq_kl, row->N);
    for (size_t k = 0; row->seq_rest && k < RESTS; k++)
        bad |= put_each(object, rests[k], row->seq_rest + k * row->N, row->N);
done:
    if (!bad)
        line = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(object);
    return line;
}

mls_status mls_kept_rows_add(mls_kept_rows *k, const char *const *key,
                             const char *const *setting, const mls_compared *row,
                             size_t n, mls_mean original, size_t n_scored, mls_err *err)
{
    mls_buf b = {0};
    mls_status st = MLS_OK;

    for (size_t i = 0; i < n; i++) {
        char *line;

        if (!key[i])
            continue;
        line = row_line(key[i], setting[i], &row[i], original, n_scored);
        if (!line)
            b.failed = true;
        else
            mls_buf_puts(&b, line);
        mls_buf_puts(&b, "\n");
        free(line);
    }
    if (b.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for rows of %s", k->path);
    for (size_t at = 0; !st && at < b.len;) {
        const ssize_t put = write(k->fd, b.data + at, b.len - at);

        if (put < 0 && errno != EINTR)
            st = mls_fail(err, MLS_E_IO, "%s: %s", k->path, strerror(errno));
        at += put > 0 ? (size_t)put : 0;
    }
    if (!st && fsync(k->fd))
        st = mls_fail(err, MLS_E_IO, "%s: %s", k->path, strerror(errno));
    mls_buf_free(&b);
    return st;
}
