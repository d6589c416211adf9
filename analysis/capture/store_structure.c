/*
 * Is an HDF5 file built as store_write.c builds it? Asked by the process that reads it
 * before any value is read. HDF5 allows much more than we write (links into other
 * files, data in other files, types of any size, filters of others, chunks of any size,
 * values without storage), and each of these has been used against readers. What is
 * allowed here: groups and datasets by hard links, little-endian numbers and texts of
 * fixed length, up to MLS_STORE_RANK dimensions that are all there; storage that is
 * contiguous or in chunks up to MLS_STORE_CHUNK bytes, shuffled, deflated, with
 * Fletcher-32, all of it allocated and together no larger than the file; attributes of
 * one number or one text, and those of dimension scales, which are never read.
 */
#include <stdio.h>
#include <string.h>

#include "analysis/capture/store_inner.h"
#include "common/base/buf.h"
#include "common/base/checked.h"

enum { DEPTH = 6, OBJECTS = 1 << 14, FILTERS = 3 };

typedef struct {
    mls_store *s;
    mls_err *err;
    uint64_t size;    /* of the file */
    uint64_t stored;  /* bytes of storage seen so far */
    uint64_t n_bytes; /* bytes of values seen so far */
    size_t n_objects;
    char path[MLS_STORE_PATH]; /* of the group that is walked: "" is the root */
    int depth;
    mls_buf *names; /* NULL: check; otherwise only list the datasets */
} walker;

static mls_status refuse(const walker *w, const char *what, const char *why)
{
    H5Eclear2(H5E_DEFAULT);
    return mls_fail(w->err, MLS_E_INPUT, "%s: %s %s", w->s->path, what, why);
}

static mls_status check_type(const walker *w, hid_t type, int rank)
{
    const H5T_class_t class = H5Tget_class(type);

    if (H5Tcommitted(type) != 0) /* an object of its own, shared by reference */
        return refuse(w, w->path, "is of a type that no dataset of ours has");
    for (int t = MLS_STORE_F64; t <= MLS_STORE_U64; t++)
        if (mls_store_type_is(type, (mls_store_type)t))
            return MLS_OK;
    if (class == H5T_STRING && rank == 0 && H5Tis_variable_str(type) == 0 &&
        H5Tget_size(type) <= MLS_STORE_TEXT)
        return MLS_OK;
    if (class == H5T_COMPOUND && strcmp(w->path, MLS_STORE_MANIFEST) == 0) {
        const hid_t line = mls_store_line_type(true);
        const bool same = H5Tequal(type, line) > 0;

        H5Tclose(line);
        if (same)
            return MLS_OK;
    }
    return refuse(w, w->path, "is of a type that no dataset of ours has");
}

static bool filters_are_ours(hid_t how)
{
    static const H5Z_filter_t ours[FILTERS] = {H5Z_FILTER_SHUFFLE, H5Z_FILTER_DEFLATE,
                                               H5Z_FILTER_FLETCHER32};
    const int n = H5Pget_nfilters(how);
    int next = 0;

    for (int i = 0; i < n; i++) {
        unsigned flags, config, values[8];
        size_t n_values = 8;
        char name[64];
        const H5Z_filter_t f = H5Pget_filter2(how, (unsigned)i, &flags, &n_values,
                                              values, sizeof name, name, &config);

        while (next < FILTERS && ours[next] != f)
            next++;
        if (next++ == FILTERS)
            return false;
    }
    return n >= 0;
}

/*
 * The storage of a dataset: all of it is there. n_values are as many as the shape says.
 */
static mls_status check_storage(walker *w, hid_t set, hid_t space, hid_t how,
                                const hsize_t *shape, int rank, uint64_t n_bytes,
                                size_t value)
{
    hsize_t chunk[MLS_STORE_RANK], found = 0;
    uint64_t n_chunks = 1, chunk_bytes = value;
    const uint64_t stored = H5Dget_storage_size(set);

    if (H5Pget_external_count(how) != 0)
        return refuse(w, w->path, "has its values in another file");
    if (!mls_add_u64(&w->stored, w->stored, stored) || w->stored > w->size)
        return refuse(w, w->path, "claims more storage than the file has");
    if (H5Pget_layout(how) == H5D_CONTIGUOUS)
        return stored == n_bytes
                   ? MLS_OK
                   : refuse(w, w->path, "has values that are nowhere in the file");
    if (H5Pget_layout(how) != H5D_CHUNKED || H5Pget_chunk(how, rank, chunk) != rank)
        return refuse(w, w->path, "is stored as no dataset of ours is");
    if (!filters_are_ours(how))
        return refuse(w, w->path, "is stored through a filter that is not ours");
    for (int i = 0; i < rank; i++) {
        if (chunk[i] == 0 || !mls_mul_u64(&chunk_bytes, chunk_bytes, chunk[i]) ||
            chunk_bytes > MLS_STORE_CHUNK)
            return refuse(w, w->path, "has chunks larger than 1 MiB");
        n_chunks *= shape[i] / chunk[i] + (shape[i] % chunk[i] != 0);
    }
    if (H5Dget_num_chunks(set, space, &found) < 0 || found != n_chunks)
        return refuse(w, w->path, "has values that are nowhere in the file");
    return MLS_OK;
}

static mls_status check_set(walker *w, hid_t set)
{
    const hid_t space = H5Dget_space(set), type = H5Dget_type(set);
    const hid_t how = H5Dget_create_plist(set);
    const int rank = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    hsize_t shape[MLS_STORE_RANK], max[MLS_STORE_RANK];
    uint64_t n_bytes = type >= 0 ? H5Tget_size(type) : 0;
    mls_status st = MLS_OK;

    if (type < 0 || how < 0 || rank < 0 || rank > MLS_STORE_RANK ||
        H5Sget_simple_extent_type(space) == H5S_NULL ||
        H5Sget_simple_extent_dims(space, shape, max) < 0)
        st = refuse(w, w->path, "has no readable shape");
    for (int i = 0; i < rank && !st; i++)
        if (shape[i] != max[i] || !mls_mul_u64(&n_bytes, n_bytes, shape[i]))
            st = refuse(w, w->path, "has a shape that no dataset of ours has");
    if (!st)
        st = check_type(w, type, rank);
    if (!st)
        st = check_storage(w, set, space, how, shape, rank, n_bytes, H5Tget_size(type));
    if (!st && !mls_add_u64(&w->n_bytes, w->n_bytes, n_bytes))
        st = refuse(w, w->path, "has a shape that no dataset of ours has");
    mls_store_close_all(how, type, space);
    return st;
}

/* Ours hold one number or text; those of dimension scales only HDF5 looks at. */
static herr_t check_attribute(hid_t object, const char *name, const H5A_info_t *info,
                              void *arg)
{
    static const char *const scales[] = {"CLASS", "NAME", "REFERENCE_LIST",
                                         "DIMENSION_LIST", "DIMENSION_LABELS"};
    walker *w = arg;

    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++)
        if (strcmp(name, scales[i]) == 0)
            return 0;
    const hid_t a = H5Aopen(object, name, H5P_DEFAULT);
    const hid_t type = a >= 0 ? H5Aget_type(a) : -1;
    const hid_t space = a >= 0 ? H5Aget_space(a) : -1;
    const bool ok =
        type >= 0 && space >= 0 && strlen(name) < MLS_STORE_NAME &&
        H5Sget_simple_extent_type(space) == H5S_SCALAR &&
        (mls_store_type_is(type, MLS_STORE_U64) ||
         (H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
          H5Tget_size(type) <= MLS_STORE_ATTRIBUTE)) &&
        info->data_size == H5Tget_size(type);

    mls_store_close_all(space, type, a);
    if (ok)
        return 0;
    mls_fail(w->err, MLS_E_INPUT,
             "%s: attribute %.60s of %s is not one number or one text", w->s->path,
             name, *w->path ? w->path : "/");
    return -1;
}

static herr_t visit(hid_t group, const char *name, const H5L_info_t *info, void *arg);

/* An open group or dataset at w->path. */
static mls_status check_object(walker *w, hid_t object)
{
    const H5I_type_t what = H5Iget_type(object);
    hsize_t at = 0;

    if (what != H5I_GROUP && what != H5I_DATASET)
        return refuse(w, w->path, "is neither a group nor a dataset");
    if (!w->names &&
        H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, &at, check_attribute, w) < 0)
        return w->err->status ? w->err->status
                              : refuse(w, w->path, "has unreadable attributes");
    if (what == H5I_DATASET && w->names) {
        mls_buf_printf(w->names, "%s\n", w->path);
        return MLS_OK;
    }
    if (what == H5I_DATASET)
        return check_set(w, object);
    at = 0;
    if (H5Literate(object, H5_INDEX_NAME, H5_ITER_INC, &at, visit, w) < 0)
        return w->err->status ? w->err->status
                              : refuse(w, w->path, "has unreadable links");
    return MLS_OK;
}

/* One link of a group. */
static herr_t visit(hid_t group, const char *name, const H5L_info_t *info, void *arg)
{
    walker *w = arg;
    const size_t len = strlen(w->path), more = strlen(name) + 1;
    mls_status st;

    if (len + more >= sizeof w->path || strchr(name, '/')) {
        refuse(w, *w->path ? w->path : "/", "has a name that is none of ours");
        return -1;
    }
    snprintf(w->path + len, sizeof w->path - len, "/%s", name);
    if (info->type != H5L_TYPE_HARD)
        st = refuse(w, w->path, "is a link that leads elsewhere");
    else if (++w->n_objects > OBJECTS || w->depth == DEPTH)
        st = refuse(w, w->path, "is more than a file of ours holds");
    else {
        const hid_t object = H5Oopen(group, name, H5P_DEFAULT);

        w->depth++;
        st = object < 0 ? refuse(w, w->path, "cannot be opened")
                        : check_object(w, object);
        w->depth--;
        if (object >= 0)
            H5Oclose(object);
    }
    w->path[len] = '\0';
    return st ? -1 : 0;
}

static mls_status walk(walker *w)
{
    const hid_t root = H5Gopen2(w->s->file, "/", H5P_DEFAULT);
    const mls_status st =
        root < 0 ? refuse(w, "/", "cannot be opened") : check_object(w, root);

    if (root >= 0)
        H5Gclose(root);
    return st;
}

mls_status mls_store_check_structure(mls_store *s, uint64_t size, uint64_t *n_bytes,
                                     mls_err *err)
{
    walker w = {.s = s, .err = err, .size = size};
    const mls_status st = walk(&w);

    *n_bytes = w.n_bytes;
    return st;
}

mls_status mls_store_say_names(mls_store *s, mls_err *err)
{
    mls_buf names = {0};
    walker w = {.s = s, .err = err, .names = &names};
    mls_status st = walk(&w);

    if (!st && names.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the names in %s", s->path);
    if (!st)
        mls_store_say(s, names.data, names.len);
    mls_buf_free(&names);
    return st;
}
