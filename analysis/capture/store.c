/* Reading half of analysis/capture/store.h, and what both halves need. */
#include "analysis/capture/store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/capture/store_inner.h"
#include "common/base/checked.h"
#include "common/system/files.h"

enum { TEXT_MAX = 1 << 24, MANIFEST_MAX = 1 << 16, RANK_LIMIT = 8 };

void mls_store_quiet(void)
{
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

hid_t mls_store_memory_type(mls_store_type type)
{
    switch (type) {
    case MLS_STORE_F64:
        return H5T_NATIVE_DOUBLE;
    case MLS_STORE_F32:
        return H5T_NATIVE_FLOAT;
    case MLS_STORE_I32:
        return H5T_NATIVE_INT32;
    case MLS_STORE_U64:
        break;
    }
    return H5T_NATIVE_UINT64;
}

size_t mls_store_type_size(mls_store_type type)
{
    return type == MLS_STORE_F64 || type == MLS_STORE_U64 ? 8 : 4;
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
    free(s->items);
    free(s->temp);
    free(s->path);
    free(s);
}

void mls_store_close(mls_store *s)
{
    mls_store_free(s);
}

const char *mls_store_path(const mls_store *s)
{
    return s->path;
}

mls_status mls_store_open_file(mls_store **out, const char *file, const char *name,
                               const char *kind, mls_err *err)
{
    mls_status st = MLS_OK;
    mls_store *s = calloc(1, sizeof *s);

    *out = NULL;
    if (s)
        s->file = -1;
    if (s)
        s->path = strdup(name);
    if (!s || !s->path) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to open %s", name);
        goto done;
    }
    snprintf(s->kind, sizeof s->kind, "%s", kind);
    mls_store_quiet();
    s->file = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (s->file < 0) {
        st = mls_store_fail(err, MLS_E_INPUT, "%s: cannot be opened as HDF5", name);
        goto done;
    }
    *out = s;
    s = NULL;

done:
    mls_store_free(s);
    return st;
}

/* The bytes of the whole file are those that were written, or the sentence that says
   why not. HDF5 sees a file only after this, so that chance damage never reaches it. */
static mls_status check_bytes(const char *path, const char *kind, mls_err *err)
{
    static const char hdf5[] = "\211HDF\r\n\032\n";
    char found[MLS_STORE_BLOCK] = "", want[MLS_STORE_BLOCK];
    char expected_kind[48];
    unsigned long long said = 0, said_bytes = 0;
    uint64_t hash = 0, n_bytes = 0;
    mls_status st;
    FILE *f = fopen(path, "rb");

    if (!f)
        return mls_fail(err, MLS_E_INPUT, "%s: %s", path, strerror(errno));
    if (mls_folder_exists(path)) {
        fclose(f);
        return mls_fail(err, MLS_E_INPUT, "%s: is a folder, expected a file", path);
    }
    const size_t got = fread(found, 1, sizeof found, f);
    fclose(f);
    snprintf(expected_kind, sizeof expected_kind, "mlascope %s\n", kind);
    if (got >= 8 && memcmp(found, hdf5, 8) == 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: is HDF5, but not a file written by mlascope", path);
    if (got < sizeof found || strncmp(found, "mlascope ", 9) != 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: is not a capture or another HDF5 file of mlascope", path);
    if (strncmp(found, expected_kind, strlen(expected_kind)) != 0)
        return mls_fail(
            err, MLS_E_INPUT, "%s: begins with \"%.*s\", expected \"mlascope %s\"",
            path,
            (int)strnlen(found, strcspn(found, "\n") < 40 ? strcspn(found, "\n") : 40),
            found, kind);
    found[sizeof found - 1] = '\0';
    if (sscanf(found + strlen(expected_kind), "XXH3 %16llx of the %llu bytes", &said,
               &said_bytes) != 2)
        return mls_fail(err, MLS_E_INPUT, "%s: its first %d bytes are damaged", path,
                        MLS_STORE_BLOCK);
    st = mls_xxh3_file(path, MLS_STORE_BLOCK, &hash, &n_bytes, err);
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

mls_status mls_store_open(mls_store **out, const char *path, const char *kind,
                          mls_err *err)
{
    mls_status st;

    *out = NULL;
    st = check_bytes(path, kind, err);
    return st ? st : mls_store_open_file(out, path, path, kind, err);
}

typedef struct {
    hid_t set, space, type;
    int rank;
    hsize_t shape[RANK_LIMIT];
} opened;

static void close_set(opened *o)
{
    if (o->type >= 0)
        H5Tclose(o->type);
    if (o->space >= 0)
        H5Sclose(o->space);
    if (o->set >= 0)
        H5Dclose(o->set);
}

static mls_status open_set(opened *o, mls_store *s, const char *path, mls_err *err)
{
    *o = (opened){.set = -1, .space = -1, .type = -1};
    o->set = H5Dopen2(s->file, path, H5P_DEFAULT);
    if (o->set < 0) {
        H5Eclear2(H5E_DEFAULT);
        return mls_fail(err, MLS_E_INPUT, "%s: dataset %s is missing", s->path, path);
    }
    o->space = H5Dget_space(o->set);
    o->type = H5Dget_type(o->set);
    o->rank = H5Sget_simple_extent_ndims(o->space);
    if (o->rank < 0 || o->rank > RANK_LIMIT || o->type < 0 ||
        H5Sget_simple_extent_dims(o->space, o->shape, NULL) < 0)
        return mls_store_fail(err, MLS_E_INPUT, "%s: dataset %s has no readable shape",
                              s->path, path);
    return MLS_OK;
}

static bool type_is(hid_t type, mls_store_type want)
{
    const bool real = want == MLS_STORE_F64 || want == MLS_STORE_F32;

    return H5Tget_class(type) == (real ? H5T_FLOAT : H5T_INTEGER) &&
           H5Tget_size(type) == mls_store_type_size(want) &&
           H5Tget_order(type) == H5T_ORDER_LE &&
           (real ||
            H5Tget_sign(type) == (want == MLS_STORE_I32 ? H5T_SGN_2 : H5T_SGN_NONE));
}

static const char *type_name(mls_store_type type)
{
    static const char *const names[] = {"64-bit float", "32-bit float",
                                        "signed 32-bit integer",
                                        "unsigned 64-bit integer"};

    return names[type];
}

/* "(6, 2, 64)" */
static void shape_text(char *out, size_t size, const hsize_t *shape, int rank)
{
    size_t used = 0;

    out[0] = '\0';
    for (int i = 0; i < rank && used + 24 < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%llu", i ? ", " : "",
                                 (unsigned long long)shape[i]);
}

mls_status mls_store_check(mls_store *s, const mls_store_spec *spec, mls_err *err)
{
    opened o;
    hsize_t want[MLS_STORE_RANK];
    bool same;
    char found_text[160], want_text[160];
    mls_status st = open_set(&o, s, spec->path, err);

    if (st)
        goto done;
    if (!type_is(o.type, spec->type)) {
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: dataset %s has another type than little-endian %s", s->path,
                      spec->path, type_name(spec->type));
        goto done;
    }
    same = (size_t)o.rank == spec->rank;
    for (size_t i = 0; i < spec->rank; i++) {
        want[i] = spec->shape[i];
        same = same && o.shape[i] == want[i];
    }
    if (!same) {
        shape_text(found_text, sizeof found_text, o.shape, o.rank);
        shape_text(want_text, sizeof want_text, want, (int)spec->rank);
        st = mls_fail(err, MLS_E_INPUT, "%s: dataset %s has shape (%s), expected (%s)",
                      s->path, spec->path, found_text, want_text);
    }

done:
    close_set(&o);
    return st;
}

/* Of the shape of the selection: HDF5 then copies whole rows, not single values. */
static hid_t memory_space(int rank, const hsize_t *count)
{
    return rank > 0 ? H5Screate_simple(rank, count, NULL) : H5Screate(H5S_SCALAR);
}

mls_status mls_store_read(mls_store *s, const char *path, mls_store_type type,
                          const size_t *lead, size_t n_lead, void *data,
                          size_t n_values, mls_err *err)
{
    opened o;
    hsize_t start[RANK_LIMIT] = {0}, count[RANK_LIMIT];
    hid_t memory = -1;
    hsize_t n = 1;
    mls_status st = open_set(&o, s, path, err);

    if (st)
        goto done;
    for (int i = 0; i < o.rank; i++) {
        const bool fixed = (size_t)i < n_lead;

        start[i] = fixed ? lead[i] : 0;
        count[i] = fixed ? 1 : o.shape[i];
        if (start[i] + count[i] > o.shape[i])
            st = mls_fail(err, MLS_E_ARG, "%s: dataset %s has no index %zu, only %llu",
                          s->path, path, lead[i], (unsigned long long)o.shape[i]);
        n *= count[i];
    }
    if (!st && (n_lead > (size_t)o.rank || n != n_values || !type_is(o.type, type)))
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: dataset %s gives %llu values, expected %zu of type %s",
                      s->path, path, (unsigned long long)n, n_values, type_name(type));
    if (st || n == 0)
        goto done;
    memory = memory_space(o.rank, count);
    if (memory < 0 ||
        (o.rank > 0 &&
         H5Sselect_hyperslab(o.space, H5S_SELECT_SET, start, NULL, count, NULL) < 0) ||
        H5Dread(o.set, mls_store_memory_type(type), memory, o.space, H5P_DEFAULT,
                data) < 0)
        st = mls_store_fail(err, MLS_E_INPUT, "%s: dataset %s cannot be read", s->path,
                            path);

done:
    if (memory >= 0)
        H5Sclose(memory);
    close_set(&o);
    return st;
}

mls_status mls_store_read_text(mls_store *s, const char *path, char **text, size_t *len,
                               mls_err *err)
{
    opened o;
    mls_status st = open_set(&o, s, path, err);

    *text = NULL;
    *len = 0;
    if (st)
        goto done;
    if (o.rank != 0 || H5Tget_class(o.type) != H5T_STRING ||
        H5Tis_variable_str(o.type) > 0 || H5Tget_size(o.type) > TEXT_MAX) {
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: dataset %s is not a text of fixed length up to %d bytes",
                      s->path, path, TEXT_MAX);
        goto done;
    }
    *len = H5Tget_size(o.type);
    *text = calloc(*len + 1, 1);
    if (!*text)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu bytes of text", *len);
    else if (H5Dread(o.set, o.type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *text) < 0)
        st = mls_store_fail(err, MLS_E_INPUT, "%s: dataset %s cannot be read", s->path,
                            path);
    if (st) {
        free(*text);
        *text = NULL;
        *len = 0;
    }

done:
    close_set(&o);
    return st;
}

mls_status mls_store_get_text(mls_store *s, const char *path, const char *name,
                              char *value, size_t size, mls_err *err)
{
    const hid_t a = H5Aopen_by_name(s->file, path, name, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t type = a >= 0 ? H5Aget_type(a) : -1;
    mls_status st = MLS_OK;

    value[0] = '\0';
    if (a < 0 || type < 0 || H5Tget_class(type) != H5T_STRING ||
        H5Tis_variable_str(type) > 0 || H5Tget_size(type) >= size) {
        H5Eclear2(H5E_DEFAULT);
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: attribute %s of %s is missing or not a text below %zu bytes",
                      s->path, name, path, size);
    } else if (H5Aread(a, type, value) < 0) {
        st = mls_store_fail(err, MLS_E_INPUT, "%s: attribute %s of %s cannot be read",
                            s->path, name, path);
    } else {
        value[H5Tget_size(type)] = '\0';
    }
    if (type >= 0)
        H5Tclose(type);
    if (a >= 0)
        H5Aclose(a);
    return st;
}

mls_status mls_store_get_count(mls_store *s, const char *path, const char *name,
                               uint64_t *value, mls_err *err)
{
    const hid_t a = H5Aopen_by_name(s->file, path, name, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t type = a >= 0 ? H5Aget_type(a) : -1;
    const hid_t space = a >= 0 ? H5Aget_space(a) : -1;
    mls_status st = MLS_OK;

    *value = 0;
    if (a < 0 || type < 0 || !type_is(type, MLS_STORE_U64) ||
        H5Sget_simple_extent_npoints(space) != 1) {
        H5Eclear2(H5E_DEFAULT);
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: attribute %s of %s is missing or not a whole number",
                      s->path, name, path);
    } else if (H5Aread(a, H5T_NATIVE_UINT64, value) < 0) {
        st = mls_store_fail(err, MLS_E_INPUT, "%s: attribute %s of %s cannot be read",
                            s->path, name, path);
    }
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    if (a >= 0)
        H5Aclose(a);
    return st;
}

/* XXH3 of a dataset's values, read slice by slice along dimension 0. */
static mls_status hash_set(mls_store *s, const char *path, uint64_t *hash,
                           uint64_t *n_bytes, mls_err *err)
{
    opened o;
    mls_xxh3_stream *x = mls_xxh3_stream_new();
    void *slice = NULL;
    hid_t memory = -1;
    hsize_t start[RANK_LIMIT] = {0}, count[RANK_LIMIT];
    hsize_t n = 1;
    mls_status st = open_set(&o, s, path, err);

    *n_bytes = 0;
    if (st)
        goto done;
    for (int i = 0; i < o.rank; i++) {
        count[i] = i == 0 && o.rank > 1 ? 1 : o.shape[i];
        n *= count[i];
    }
    const size_t size = H5Tget_size(o.type);
    slice = mls_calloc3(n, size, 1, 1);
    memory = memory_space(o.rank, count);
    if (!x || !slice || memory < 0) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a slice of %s", path);
        goto done;
    }
    const hsize_t n_slices = o.rank > 1 ? o.shape[0] : 1;
    for (hsize_t i = 0; i < n_slices && n > 0; i++) {
        start[0] = i;
        if ((o.rank > 0 && H5Sselect_hyperslab(o.space, H5S_SELECT_SET, start, NULL,
                                               count, NULL) < 0) ||
            H5Dread(o.set, o.type, memory, o.space, H5P_DEFAULT, slice) < 0) {
            st = mls_store_fail(err, MLS_E_INPUT,
                                "%s: dataset %s cannot be read at %llu", s->path, path,
                                (unsigned long long)i);
            goto done;
        }
        mls_xxh3_stream_add(x, slice, n * size);
        *n_bytes += n * size;
    }
    *hash = mls_xxh3_stream_digest(x);

done:
    if (memory >= 0)
        H5Sclose(memory);
    free(slice);
    mls_xxh3_stream_free(x);
    close_set(&o);
    return st;
}

mls_status mls_store_verify(mls_store *s, size_t *n_datasets, uint64_t *n_bytes,
                            mls_err *err)
{
    opened o;
    mls_store_line *lines = NULL;
    hid_t type = -1;
    mls_status st = open_set(&o, s, MLS_STORE_MANIFEST, err);

    *n_datasets = 0;
    *n_bytes = 0;
    if (st)
        goto done;
    if (o.rank != 1 || o.shape[0] > MANIFEST_MAX ||
        H5Tget_class(o.type) != H5T_COMPOUND ||
        H5Tget_size(o.type) != MLS_STORE_PATH + 8) {
        st = mls_fail(err, MLS_E_INPUT, "%s: %s is not a list of paths and hashes",
                      s->path, MLS_STORE_MANIFEST);
        goto done;
    }
    lines = mls_calloc3(o.shape[0], 1, 1, sizeof *lines);
    type = mls_store_line_type(false);
    if (!lines || type < 0) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the manifest of %s", s->path);
        goto done;
    }
    if (H5Dread(o.set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, lines) < 0) {
        st = mls_store_fail(err, MLS_E_INPUT, "%s: %s cannot be read", s->path,
                            MLS_STORE_MANIFEST);
        goto done;
    }
    for (size_t i = 0; i < o.shape[0] && !st; i++) {
        uint64_t hash = 0, bytes;

        lines[i].path[MLS_STORE_PATH - 1] = '\0';
        st = hash_set(s, lines[i].path, &hash, &bytes, err);
        if (!st && hash != lines[i].xxh3)
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: dataset %s has XXH3 %016llx, the manifest says %016llx",
                          s->path, lines[i].path, (unsigned long long)hash,
                          (unsigned long long)lines[i].xxh3);
        *n_bytes += bytes;
        *n_datasets += 1;
    }

done:
    if (type >= 0)
        H5Tclose(type);
    free(lines);
    close_set(&o);
    return st;
}
