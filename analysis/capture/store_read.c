/*
 * What the process that reads a file does with HDF5, asked by store.c. Nothing here is
 * run before the structure was checked (store_structure.c); sizes are checked again
 * where memory is taken.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/capture/store_inner.h"
#include "common/base/checked.h"

enum { PIECE = 4 << 20 }; /* bytes read at once: a few chunks */

typedef struct {
    hid_t set, space, type;
    int rank;
    hsize_t shape[MLS_STORE_RANK];
} opened;

static void close_set(opened *o)
{
    mls_store_close_all(o->type, o->space, o->set);
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
    if (o->rank < 0 || o->rank > MLS_STORE_RANK || o->type < 0 ||
        H5Sget_simple_extent_dims(o->space, o->shape, NULL) < 0)
        return mls_store_fail(err, MLS_E_INPUT, "%s: dataset %s has no readable shape",
                              s->path, path);
    return MLS_OK;
}

static const char *type_name(mls_store_type type)
{
    static const char *const names[] = {"64-bit float", "32-bit float", "16-bit float",
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

static mls_status check_set(mls_store *s, const mls_store_request *spec, mls_err *err)
{
    opened o;
    hsize_t want[MLS_STORE_RANK];
    bool same;
    char found_text[160], want_text[160];
    mls_status st = open_set(&o, s, spec->path, err);

    if (st)
        goto done;
    if (!mls_store_type_is(o.type, spec->type)) {
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

typedef bool (*piece_user)(void *arg, const void *data, size_t n);

/*
 * The values of a selection in order, in pieces of whole rows of the last dimensions,
 * as the type `memory`: rows of dimension `cut` together, those before one by one.
 */
static mls_status each_piece(mls_store *s, opened *o, const char *path, hid_t memory,
                             const hsize_t *first, const hsize_t *count, piece_user use,
                             void *arg, mls_err *err)
{
    hsize_t at[MLS_STORE_RANK] = {0}, start[MLS_STORE_RANK], n[MLS_STORE_RANK];
    size_t inner = H5Tget_size(memory), step = 1;
    int cut = o->rank;
    void *piece;
    bool ok = true, more = true;

    for (int i = 0; i < o->rank; i++)
        if (count[i] == 0)
            return MLS_OK;
    while (cut > 0 && inner <= PIECE / count[cut - 1])
        inner *= count[--cut];
    if (cut > 0) {
        step = inner < PIECE ? PIECE / inner : 1;
        cut--;
    } else {
        cut = -1;
    }
    piece = mls_calloc3(inner, step, 1, 1);
    if (!piece)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu bytes of %s", inner, path);
    while (more && ok) {
        hsize_t rows = 1;
        hid_t room;

        for (int i = 0; i < o->rank; i++) {
            start[i] = first[i] + at[i];
            n[i] = i < cut ? 1 : count[i];
        }
        if (cut >= 0) {
            rows = count[cut] - at[cut] < step ? count[cut] - at[cut] : step;
            n[cut] = rows;
        }
        room = memory_space(o->rank, n);
        ok = room >= 0 &&
             (o->rank == 0 || H5Sselect_hyperslab(o->space, H5S_SELECT_SET, start, NULL,
                                                  n, NULL) >= 0) &&
             H5Dread(o->set, memory, room, o->space, H5P_DEFAULT, piece) >= 0;
        if (room >= 0)
            H5Sclose(room);
        if (!ok)
            mls_store_fail(err, MLS_E_INPUT, "%s: dataset %s cannot be read at %llu",
                           s->path, path,
                           o->rank ? (unsigned long long)start[0] : 0ULL);
        else if (!use(arg, piece, rows * inner))
            ok = mls_fail(err, MLS_E_IO, "%s: nobody reads it", s->path) == MLS_OK;
        more = cut >= 0;
        if (more)
            at[cut] += rows;
        for (int i = cut; i >= 0 && at[i] == count[i]; i--) {
            at[i] = 0;
            more = i > 0;
            if (more)
                at[i - 1]++;
        }
    }
    free(piece);
    return ok ? MLS_OK : MLS_E_INPUT;
}

static bool say_piece(void *arg, const void *data, size_t n)
{
    return mls_store_say(arg, data, n);
}

static bool hash_piece(void *arg, const void *data, size_t n)
{
    mls_xxh3_stream_add(arg, data, n);
    return true;
}

static mls_status read_set(mls_store *s, const mls_store_request *r, mls_err *err)
{
    opened o;
    hsize_t start[MLS_STORE_RANK] = {0}, count[MLS_STORE_RANK];
    hsize_t n = 1;
    mls_status st = open_set(&o, s, r->path, err);

    if (st)
        goto done;
    for (int i = 0; i < o.rank; i++) {
        const bool fixed = (size_t)i < r->rank;

        start[i] = fixed ? r->shape[i] : 0;
        count[i] = fixed ? 1 : o.shape[i];
        if (start[i] + count[i] > o.shape[i])
            st =
                mls_fail(err, MLS_E_ARG, "%s: dataset %s has no index %zu, only %llu",
                         s->path, r->path, r->shape[i], (unsigned long long)o.shape[i]);
        n *= count[i];
    }
    if (!st &&
        (r->rank > (size_t)o.rank || n != r->n || !mls_store_type_is(o.type, r->type)))
        st =
            mls_fail(err, MLS_E_INPUT,
                     "%s: dataset %s gives %llu values, expected %zu of type %s",
                     s->path, r->path, (unsigned long long)n, r->n, type_name(r->type));
    if (!st) {
        const hid_t in_memory = mls_store_memory_type(r->type);

        st = each_piece(s, &o, r->path, in_memory, start, count, say_piece, s, err);
        H5Tclose(in_memory);
    }

done:
    close_set(&o);
    return st;
}

static mls_status read_text(mls_store *s, const char *path, mls_err *err)
{
    const hsize_t none[MLS_STORE_RANK] = {0};
    opened o;
    mls_status st = open_set(&o, s, path, err);

    if (!st && (o.rank != 0 || H5Tget_class(o.type) != H5T_STRING ||
                H5Tis_variable_str(o.type) > 0 || H5Tget_size(o.type) > MLS_STORE_TEXT))
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: dataset %s is not a text of fixed length up to %d bytes",
                      s->path, path, MLS_STORE_TEXT);
    if (!st)
        st = each_piece(s, &o, path, o.type, none, none, say_piece, s, err);
    close_set(&o);
    return st;
}

/* The value of an attribute with a single one, of a type that `fits`. */
static mls_status get_attribute(mls_store *s, const mls_store_request *r,
                                bool (*fits)(hid_t type, size_t size), mls_err *err)
{
    const hid_t a =
        H5Aopen_by_name(s->file, r->path, r->name, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t type = a >= 0 ? H5Aget_type(a) : -1;
    const hid_t space = a >= 0 ? H5Aget_space(a) : -1;
    char *value = NULL, expected[48] = "a whole number";
    mls_status st = MLS_OK;

    if (type < 0 || space < 0 || H5Sget_simple_extent_npoints(space) != 1 ||
        !fits(type, r->n)) {
        if (r->n)
            snprintf(expected, sizeof expected, "a text below %zu bytes", r->n);
        H5Eclear2(H5E_DEFAULT);
        st = mls_fail(err, MLS_E_INPUT, "%s: attribute %s of %s is missing or not %s",
                      s->path, r->name, r->path, expected);
        goto done;
    }
    value = calloc(H5Tget_size(type) + 1, 1);
    if (!value)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for attribute %s", r->name);
    else if (H5Aread(a, type, value) < 0)
        st = mls_store_fail(err, MLS_E_INPUT, "%s: attribute %s of %s cannot be read",
                            s->path, r->name, r->path);
    else
        mls_store_say(s, value,
                      H5Tget_class(type) == H5T_STRING
                          ? strnlen(value, H5Tget_size(type))
                          : H5Tget_size(type));

done:
    free(value);
    mls_store_close_all(space, type, a);
    return st;
}

static bool is_text_below(hid_t type, size_t size)
{
    return H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) <= 0 &&
           H5Tget_size(type) < size;
}

static bool is_count(hid_t type, size_t size)
{
    (void)size;
    return mls_store_type_is(type, MLS_STORE_U64);
}

/* XXH3 of a dataset's values as they are in the file. */
static mls_status hash_set(mls_store *s, const char *path, uint64_t *hash,
                           uint64_t *n_bytes, mls_err *err)
{
    const hsize_t start[MLS_STORE_RANK] = {0};
    opened o;
    mls_xxh3_stream *x = mls_xxh3_stream_new();
    mls_status st = open_set(&o, s, path, err);

    if (!st && !x)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a hash");
    if (!st) {
        *n_bytes = H5Tget_size(o.type);
        for (int i = 0; i < o.rank; i++)
            *n_bytes *= o.shape[i];
        st = each_piece(s, &o, path, o.type, start, o.shape, hash_piece, x, err);
    }
    if (!st)
        *hash = mls_xxh3_stream_digest(x);
    mls_xxh3_stream_free(x);
    close_set(&o);
    return st;
}

static mls_status verify(mls_store *s, mls_err *err)
{
    opened o;
    mls_store_line *lines = NULL;
    hid_t type = -1;
    uint64_t counts[2] = {0}; /* datasets, bytes */
    mls_status st = open_set(&o, s, MLS_STORE_MANIFEST, err);

    if (st)
        goto done;
    if (o.rank != 1 || o.shape[0] > MLS_STORE_LINES ||
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
        uint64_t hash = 0, bytes = 0;

        lines[i].path[MLS_STORE_PATH - 1] = '\0';
        st = hash_set(s, lines[i].path, &hash, &bytes, err);
        if (!st && hash != lines[i].xxh3)
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: dataset %s has XXH3 %016llx, the manifest says %016llx",
                          s->path, lines[i].path, (unsigned long long)hash,
                          (unsigned long long)lines[i].xxh3);
        counts[1] += bytes;
        counts[0]++;
    }
    if (!st)
        mls_store_say(s, counts, sizeof counts);

done:
    if (type >= 0)
        H5Tclose(type);
    free(lines);
    close_set(&o);
    return st;
}

mls_status mls_store_serve(mls_store *s, const mls_store_request *r, mls_err *err)
{
    switch (r->op) {
    case MLS_STORE_OP_NAMES:
        return mls_store_say_names(s, err);
    case MLS_STORE_OP_CHECK:
        return check_set(s, r, err);
    case MLS_STORE_OP_READ:
        return read_set(s, r, err);
    case MLS_STORE_OP_TEXT:
        return read_text(s, r->path, err);
    case MLS_STORE_OP_GET_TEXT:
        return get_attribute(s, r, is_text_below, err);
    case MLS_STORE_OP_GET_COUNT:
        return get_attribute(s, r, is_count, err);
    case MLS_STORE_OP_VERIFY:
        return verify(s, err);
    case MLS_STORE_OP_OPEN:
        break;
    }
    return mls_fail(err, MLS_E_ARG, "%s: no such question", s->path);
}
