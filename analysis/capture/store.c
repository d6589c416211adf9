/* Reading half of analysis/capture/store.h, and what both halves need. */
#include "analysis/capture/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analysis/capture/store_inner.h"
#include "common/base/checked.h"
#include "common/system/files.h"

/* After a close that failed (a full disk) HDF5's work at exit, on what it then still
   holds, crashes; we close all that we open. */
void mls_store_quiet(void)
{
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* The system's own words when the stack holds them, else the innermost sentence. */
static herr_t take_reason(unsigned n, const H5E_error2_t *e, void *arg)
{
    static const char system_words[] = "error message = '";
    char *reason = arg;
    const char *found = strstr(e->desc, system_words);

    if (found)
        snprintf(reason, 128, "%.*s",
                 (int)strcspn(found + sizeof system_words - 1, "'"),
                 found + sizeof system_words - 1);
    else if (n == 0)
        snprintf(reason, 128, "%s", e->desc);
    return 0;
}

mls_status mls_store_fail(mls_err *err, mls_status status, const char *format, ...)
{
    char sentence[800], reason[128] = "";
    va_list args;

    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_reason, reason);
    H5Eclear2(H5E_DEFAULT);
    return mls_fail(err, status, "%s%s%s%s", sentence, *reason ? " (HDF5: " : "",
                    reason, *reason ? ")" : "");
}

/* IEEE's 16 bits, which HDF5 1.10 has no name for, from its 32 in either byte order. */
static hid_t half_type(hid_t single)
{
    const hid_t half = H5Tcopy(single);

    H5Tset_fields(half, 15, 10, 5, 0, 10);
    H5Tset_size(half, 2);
    H5Tset_ebias(half, 15);
    return half;
}

hid_t mls_store_memory_type(mls_store_type type)
{
    switch (type) {
    case MLS_STORE_F64:
        return H5Tcopy(H5T_NATIVE_DOUBLE);
    case MLS_STORE_F32:
        return H5Tcopy(H5T_NATIVE_FLOAT);
    case MLS_STORE_F16:
        return half_type(H5T_NATIVE_FLOAT);
    case MLS_STORE_I32:
        return H5Tcopy(H5T_NATIVE_INT32);
    case MLS_STORE_U64:
        break;
    }
    return H5Tcopy(H5T_NATIVE_UINT64);
}

hid_t mls_store_file_type(mls_store_type type)
{
    switch (type) {
    case MLS_STORE_F64:
        return H5Tcopy(H5T_IEEE_F64LE);
    case MLS_STORE_F32:
        return H5Tcopy(H5T_IEEE_F32LE);
    case MLS_STORE_F16:
        return half_type(H5T_IEEE_F32LE);
    case MLS_STORE_I32:
        return H5Tcopy(H5T_STD_I32LE);
    case MLS_STORE_U64:
        break;
    }
    return H5Tcopy(H5T_STD_U64LE);
}

size_t mls_store_type_size(mls_store_type type)
{
    switch (type) {
    case MLS_STORE_F64:
    case MLS_STORE_U64:
        return 8;
    case MLS_STORE_F32:
    case MLS_STORE_I32:
        return 4;
    case MLS_STORE_F16:
        break;
    }
    return 2;
}

bool mls_store_type_is(hid_t type, mls_store_type want)
{
    const hid_t same = mls_store_file_type(want);
    const bool is = H5Tequal(type, same) > 0;

    H5Tclose(same);
    return is;
}

hid_t mls_store_line_type(bool in_file)
{
    const size_t size = in_file ? MLS_STORE_PATH + 8 : sizeof(mls_store_line);
    const hid_t line = H5Tcreate(H5T_COMPOUND, size);
    const hid_t text = H5Tcopy(H5T_C_S1);

    H5Tset_size(text, MLS_STORE_PATH);
    H5Tset_strpad(text, H5T_STR_NULLPAD);
    H5Tset_cset(text, H5T_CSET_UTF8);
    H5Tinsert(line, "path", in_file ? 0 : offsetof(mls_store_line, path), text);
    H5Tinsert(line, "xxh3", in_file ? MLS_STORE_PATH : offsetof(mls_store_line, xxh3),
              in_file ? H5T_STD_U64LE : H5T_NATIVE_UINT64);
    H5Tclose(text);
    return line;
}

void mls_store_front(char out[MLS_STORE_BLOCK], const char *kind, uint64_t xxh3,
                     uint64_t n_bytes)
{
    memset(out, 0, MLS_STORE_BLOCK);
    snprintf(out, MLS_STORE_BLOCK,
             "mlascope %s\nXXH3 %016llx of the %llu bytes from offset %d, "
             "an HDF5 file\n",
             kind, (unsigned long long)xxh3, (unsigned long long)n_bytes,
             MLS_STORE_BLOCK);
}

void mls_store_close_each(const hid_t *handle, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (handle[i] >= 0)
            H5Idec_ref(handle[i]);
}

void mls_store_free(mls_store *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_items; i++) {
        if (s->items[i].set >= 0)
            H5Dclose(s->items[i].set);
        mls_xxh3_stream_free(s->items[i].hash);
    }
    if (s->file >= 0)
        H5Fclose(s->file);
    mls_store_reap(s);
    mls_free_all(s->items, s->temp, s->path, s);
}

void mls_store_close(mls_store *s)
{
    mls_store_free(s);
}

const char *mls_store_path(const mls_store *s)
{
    return s->path;
}

/* The bytes of the whole file are those that were written, or the sentence that says
   why not. HDF5 sees a file only after this, so that chance damage never reaches it. */
static mls_status check_bytes(int fd, const char *path, const char *kind, mls_err *err)
{
    static const char hdf5[] = "\211HDF\r\n\032\n";
    char found[MLS_STORE_BLOCK] = "", want[MLS_STORE_BLOCK];
    char expected_kind[48];
    const char *is;
    unsigned long long said = 0, said_bytes = 0;
    uint64_t hash = 0, n_bytes = 0;
    mls_status st;
    ssize_t got = pread(fd, found, sizeof found, 0);

    if (got < 0)
        return mls_fail(err, MLS_E_IO, "%s: %s", path, strerror(errno));
    found[sizeof found - 1] = '\0';
    snprintf(expected_kind, sizeof expected_kind, "mlascope %s\n", kind);
    if (got >= 8 && memcmp(found, hdf5, 8) == 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: is HDF5, but not a file written by mlascope", path);
    if (strncmp(found, "mlascope ", 9) != 0 &&
        (is = mls_bytes_kind(found, (size_t)got)))
        return mls_fail(
            err, MLS_E_INPUT,
            "%s: is %s, expected a capture or another HDF5 file of mlascope", path, is);
    if (got < (ssize_t)sizeof found || strncmp(found, "mlascope ", 9) != 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: is not a capture or another HDF5 file of mlascope", path);
    const size_t word = strcspn(kind, " "); /* the command that makes such files */

    if (strncmp(found, expected_kind, strlen(expected_kind)) != 0 && kind[word] &&
        strncmp(found + 9, kind, word + 1) == 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: begins with \"%.*s\", expected \"mlascope %s\": another "
                        "version wrote it; make it again with mlascope %.*s",
                        path,
                        (int)strcspn(found, "\n") < 40 ? (int)strcspn(found, "\n") : 40,
                        found, kind, (int)word, kind);
    if (strncmp(found, expected_kind, strlen(expected_kind)) != 0)
        return mls_fail(
            err, MLS_E_INPUT, "%s: begins with \"%.*s\", expected \"mlascope %s\"",
            path,
            (int)strnlen(found, strcspn(found, "\n") < 40 ? strcspn(found, "\n") : 40),
            found, kind);
    if (sscanf(found + strlen(expected_kind), "XXH3 %16llx of the %llu bytes", &said,
               &said_bytes) != 2)
        return mls_fail(err, MLS_E_INPUT, "%s: its first %d bytes are damaged", path,
                        MLS_STORE_BLOCK);
    st = mls_xxh3_fd(fd, path, MLS_STORE_BLOCK, &hash, &n_bytes, err);
    if (st)
        return st;
    if (n_bytes != said_bytes)
        return mls_fail(
            err, MLS_E_INPUT,
            "%s: holds %llu bytes after the first %d, expected %llu: it was "
            "cut or added to",
            path, (unsigned long long)n_bytes, MLS_STORE_BLOCK, said_bytes);
    mls_store_front(want, kind, hash, n_bytes);
    if (hash != said)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: XXH3 of its contents is %016llx, expected %016llx: it was "
                        "changed after it was written",
                        path, (unsigned long long)hash, said);
    if (memcmp(found, want, sizeof want) != 0)
        return mls_fail(err, MLS_E_INPUT, "%s: its first %d bytes are damaged", path,
                        MLS_STORE_BLOCK);
    return MLS_OK;
}

/* A process for the file that fd shows; closes fd. */
static mls_status open_fd(mls_store **out, int fd, uint64_t size, const char *name,
                          mls_err *err)
{
    mls_store *s = calloc(1, sizeof *s);
    mls_status st;

    if (s) {
        s->file = -1;
        s->channel = -1;
        s->path = strdup(name);
    }
    if (!s || !s->path) {
        free(s);
        close(fd);
        return mls_fail(err, MLS_E_NOMEM, "no memory to open %s", name);
    }
    st = mls_store_spawn(s, fd, size, err);
    if (st)
        mls_store_free(s);
    else
        *out = s;
    return st;
}

mls_status mls_store_open_file(mls_store **out, const char *file, const char *name,
                               mls_err *err)
{
    int fd;
    uint64_t size;
    const mls_status st = mls_file_open(file, &fd, &size, err);

    *out = NULL;
    return st ? st : open_fd(out, fd, size, name, err);
}

mls_status mls_store_open(mls_store **out, const char *path, const char *kind,
                          mls_err *err)
{
    int fd;
    uint64_t size;
    mls_status st = mls_file_open(path, &fd, &size, err);

    *out = NULL;
    if (st)
        return st;
    st = check_bytes(fd, path, kind, err);
    if (!st)
        return open_fd(out, fd, size, path, err);
    close(fd);
    return st;
}

static mls_store_request request(mls_store_op op, const char *path)
{
    mls_store_request r = {.op = op};

    snprintf(r.path, sizeof r.path, "%s", path);
    return r;
}

mls_status mls_store_check(mls_store *s, const mls_store_spec *spec, mls_err *err)
{
    mls_store_request r = request(MLS_STORE_OP_CHECK, spec->path);
    mls_store_answer nothing = {0};

    r.type = spec->type;
    r.rank = spec->rank;
    memcpy(r.shape, spec->shape, sizeof r.shape);
    return mls_store_ask(s, &r, &nothing, err);
}

mls_status mls_store_read(mls_store *s, const char *path, mls_store_type type,
                          const size_t *lead, size_t n_lead, void *data,
                          size_t n_values, mls_err *err)
{
    mls_store_request r = request(MLS_STORE_OP_READ, path);
    mls_store_answer a = {.data = data, .room = n_values * mls_store_type_size(type)};
    mls_status st;

    r.type = type;
    r.n = n_values;
    r.rank = n_lead;
    for (size_t i = 0; i < n_lead; i++)
        r.shape[i] = lead[i];
    st = mls_store_ask(s, &r, &a, err);
    if (!st && a.n != a.room)
        st = mls_fail(err, MLS_E_INPUT, "%s: dataset %s gives %zu bytes, expected %zu",
                      s->path, path, a.n, a.room);
    return st;
}

static mls_status ask_text(mls_store *s, const mls_store_request *r, char **text,
                           size_t *len, mls_err *err)
{
    mls_store_answer a = {.grows = true};
    mls_status st = mls_store_ask(s, r, &a, err);

    *text = NULL;
    *len = 0;
    if (!st && !a.data && !(a.data = calloc(1, 1)))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a text");
    if (st) {
        free(a.data);
        return st;
    }
    a.data[a.n] = '\0';
    *text = a.data;
    *len = a.n;
    return MLS_OK;
}

mls_status mls_store_read_text(mls_store *s, const char *path, char **text, size_t *len,
                               mls_err *err)
{
    const mls_store_request r = request(MLS_STORE_OP_TEXT, path);

    return ask_text(s, &r, text, len, err);
}

mls_status mls_store_names(mls_store *s, char **names, mls_err *err)
{
    const mls_store_request r = request(MLS_STORE_OP_NAMES, "/");
    size_t len;

    return ask_text(s, &r, names, &len, err);
}

mls_status mls_store_get_text(mls_store *s, const char *path, const char *name,
                              char *value, size_t size, mls_err *err)
{
    mls_store_request r = request(MLS_STORE_OP_GET_TEXT, path);
    mls_store_answer a = {.data = value, .room = size - 1};
    mls_status st;

    snprintf(r.name, sizeof r.name, "%s", name);
    r.n = size;
    st = mls_store_ask(s, &r, &a, err);
    value[st ? 0 : a.n] = '\0';
    return st;
}

mls_status mls_store_get_count(mls_store *s, const char *path, const char *name,
                               uint64_t *value, mls_err *err)
{
    mls_store_request r = request(MLS_STORE_OP_GET_COUNT, path);
    mls_store_answer a = {.data = (char *)value, .room = sizeof *value};
    mls_status st;

    *value = 0;
    snprintf(r.name, sizeof r.name, "%s", name);
    st = mls_store_ask(s, &r, &a, err);
    if (st)
        *value = 0;
    return st;
}

mls_status mls_store_verify(mls_store *s, size_t *n_datasets, uint64_t *n_bytes,
                            mls_err *err)
{
    const mls_store_request r = request(MLS_STORE_OP_VERIFY, MLS_STORE_MANIFEST);
    uint64_t counts[2] = {0};
    mls_store_answer a = {.data = (char *)counts, .room = sizeof counts};
    const mls_status st = mls_store_ask(s, &r, &a, err);

    *n_datasets = counts[0];
    *n_bytes = counts[1];
    return st;
}
