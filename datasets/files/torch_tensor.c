/*
 * torch.save's archives store members uncompressed, and all else is refused: so no
 * member is larger than the file. A tensor is a view, offset and strides into a
 * storage; its last element must lie in there before any is read. pickle.dump puts the
 * older format, five pickles in a row, inside a byte string.
 */
#include "datasets/files/torch_tensor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zip.h>

#include "common/base/checked.h"
#include "common/system/files.h"

struct mls_torch_file {
    char *path;
    char *data; /* the file */
    size_t len;
    zip_t *zip;        /* NULL: the file is one pickle */
    char *prefix;      /* of the members: "archive" */
    char *pickle_data; /* of data.pkl, or NULL */
    mls_pickle pickle;
};

void mls_torch_tensor_free(mls_torch_tensor *t)
{
    free(t->values);
    *t = (mls_torch_tensor){0};
}

const mls_pickle_node *mls_torch_file_root(const mls_torch_file *f)
{
    return f->pickle.root;
}

void mls_torch_file_close(mls_torch_file *f)
{
    if (!f)
        return;
    mls_pickle_free(&f->pickle);
    free(f->pickle_data);
    free(f->prefix);
    if (f->zip)
        zip_discard(f->zip);
    free(f->data);
    free(f->path);
    free(f);
}

/* A whole member, which torch stores uncompressed. */
static mls_status read_member(const mls_torch_file *f, const char *name, char **data,
                              size_t *len, mls_err *err)
{
    zip_stat_t stat;
    zip_file_t *file = NULL;
    mls_status st = MLS_OK;

    *data = NULL;
    if (zip_stat(f->zip, name, 0, &stat) != 0)
        return mls_fail(err, MLS_E_INPUT, "%s: the archive has no member %s", f->path,
                        name);
    if (!(stat.valid & ZIP_STAT_SIZE) || !(stat.valid & ZIP_STAT_COMP_METHOD) ||
        stat.comp_method != ZIP_CM_STORE || stat.size > f->len)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: member %s is not stored as it is, as torch.save does",
                        f->path, name);
    *len = (size_t)stat.size;
    *data = malloc(*len + 1);
    if (!*data)
        return mls_fail(err, MLS_E_NOMEM, "%s: no memory for member %s", f->path, name);
    file = zip_fopen(f->zip, name, 0);
    /* One byte more than there is: the end is reached and the checksum compared. */
    if (!file || zip_fread(file, *data, *len + 1) != (zip_int64_t)*len)
        st = mls_fail(err, MLS_E_INPUT, "%s: member %s cannot be read: %s", f->path,
                      name, file ? zip_file_strerror(file) : zip_strerror(f->zip));
    if (file)
        zip_fclose(file);
    if (st) {
        free(*data);
        *data = NULL;
    }
    return st;
}

/* "PREFIX/data.pkl", exactly one. */
static mls_status find_prefix(mls_torch_file *f, mls_err *err)
{
    static const char tail[] = "/data.pkl";
    const zip_int64_t n = zip_get_num_entries(f->zip, 0);

    for (zip_int64_t i = 0; i < n; i++) {
        const char *name = zip_get_name(f->zip, (zip_uint64_t)i, 0);
        const size_t len = name ? strlen(name) : 0;

        if (len < sizeof tail || strcmp(name + len - (sizeof tail - 1), tail) != 0)
            continue;
        if (f->prefix)
            return mls_fail(err, MLS_E_INPUT, "%s: two members end in data.pkl",
                            f->path);
        f->prefix = strndup(name, len - (sizeof tail - 1));
        if (!f->prefix)
            return mls_fail(err, MLS_E_NOMEM, "%s: no memory", f->path);
    }
    if (!f->prefix)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: the archive has no data.pkl; is it of torch.save?",
                        f->path);
    return MLS_OK;
}

static mls_status open_zip(mls_torch_file *f, mls_err *err)
{
    zip_error_t error;
    zip_source_t *source;
    char *name = NULL, *order = NULL;
    size_t len;
    mls_status st;

    zip_error_init(&error);
    source = zip_source_buffer_create(f->data, f->len, 0, &error);
    if (source)
        f->zip = zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error);
    if (!f->zip) {
        zip_source_free(source);
        st = mls_fail(err, MLS_E_INPUT, "%s: not a sound zip archive: %s", f->path,
                      zip_error_strerror(&error));
        zip_error_fini(&error);
        return st;
    }
    st = find_prefix(f, err);
    if (!st)
        name = mls_path_join(f->prefix, "byteorder");
    if (!st && name && zip_name_locate(f->zip, name, 0) >= 0) {
        st = read_member(f, name, &order, &len, err);
        if (!st && (len != 6 || memcmp(order, "little", 6) != 0))
            st = mls_fail(err, MLS_E_INPUT, "%s: byteorder is not little", f->path);
        free(order);
    }
    free(name);
    name = st ? NULL : mls_path_join(f->prefix, "data.pkl");
    if (!st && !name)
        st = mls_fail(err, MLS_E_NOMEM, "%s: no memory", f->path);
    if (!st)
        st = read_member(f, name, &f->pickle_data, &len, err);
    if (!st)
        st = mls_pickle_read(&f->pickle, f->pickle_data, len, f->path, err);
    free(name);
    return st;
}

mls_status mls_torch_file_open(mls_torch_file **out, const char *path, mls_err *err)
{
    mls_torch_file *f = calloc(1, sizeof *f);
    mls_status st = MLS_OK;

    *out = NULL;
    if (f)
        f->path = strdup(path);
    if (!f || !f->path)
        st = mls_fail(err, MLS_E_NOMEM, "%s: no memory", path);
    if (!st)
        st = mls_file_read_regular(path, MLS_TORCH_FILE_MAX, &f->data, &f->len, err);
    if (!st && f->len >= 4 && memcmp(f->data, "PK\3\4", 4) == 0)
        st = open_zip(f, err);
    else if (!st)
        st = mls_pickle_read(&f->pickle, f->data, f->len, path, err);
    if (st)
        mls_torch_file_close(f);
    else
        *out = f;
    return st;
}

/* How numbers of a storage class are stored. */
typedef struct {
    const char *global;
    size_t size;
    bool real, is_signed;
} element_type;

static const element_type types[] = {
    {"torch\nByteStorage", 1, false, false}, {"torch\nCharStorage", 1, false, true},
    {"torch\nShortStorage", 2, false, true}, {"torch\nIntStorage", 4, false, true},
    {"torch\nLongStorage", 8, false, true},  {"torch\nFloatStorage", 4, true, true},
    {"torch\nDoubleStorage", 8, true, true},
};

static double element(const element_type *type, const char *data, size_t i)
{
    const unsigned char *p = (const unsigned char *)data + i * type->size;
    uint64_t bits = 0;

    for (size_t b = 0; b < type->size; b++)
        bits |= (uint64_t)p[b] << (8 * b);
    if (type->real && type->size == 4) {
        const uint32_t bits32 = (uint32_t)bits;
        float f;

        memcpy(&f, &bits32, sizeof f);
        return (double)f;
    }
    if (type->real) {
        double d;

        memcpy(&d, &bits, sizeof d);
        return d;
    }
    if (type->is_signed && type->size < 8 && bits >> (8 * type->size - 1))
        bits |= UINT64_MAX << (8 * type->size);
    return type->is_signed ? (double)(int64_t)bits : (double)bits;
}

/* A storage: its type and bytes. owned is freed by the caller. */
typedef struct {
    const element_type *type;
    const char *data;
    size_t n; /* elements */
    char *owned;
} storage;

static mls_status storage_type(const mls_torch_file *f, const mls_pickle_node *id,
                               storage *s, const char *what, mls_err *err)
{
    const mls_pickle_node *tuple = id->items[0];

    if (tuple->kind != MLS_PICKLE_TUPLE || tuple->n < 5 ||
        !mls_pickle_is(tuple->items[0], MLS_PICKLE_TEXT, "storage") ||
        tuple->items[1]->kind != MLS_PICKLE_GLOBAL ||
        tuple->items[2]->kind != MLS_PICKLE_TEXT ||
        tuple->items[4]->kind != MLS_PICKLE_INT || tuple->items[4]->integer < 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: %s: its storage is not described as "
                        "torch.save does",
                        f->path, what);
    s->n = (size_t)tuple->items[4]->integer;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (mls_pickle_is(tuple->items[1], MLS_PICKLE_GLOBAL, types[i].global))
            s->type = &types[i];
    if (!s->type)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: %s: numbers of type %.*s are not read "
                        "here",
                        f->path, what,
                        (int)(tuple->items[1]->n < 60 ? tuple->items[1]->n : 60),
                        tuple->items[1]->bytes);
    return MLS_OK;
}

/* A storage of the archive: member PREFIX/data/KEY. */
static mls_status open_member(const mls_torch_file *f, const mls_pickle_node *id,
                              storage *s, const char *what, mls_err *err)
{
    char name[512];
    size_t len, wanted;
    mls_status st = storage_type(f, id, s, what, err);

    if (st)
        return st;

    const mls_pickle_node *key = id->items[0]->items[2];

    if (!f->zip || key->n > 64 || memchr(key->bytes, 0, key->n) ||
        snprintf(name, sizeof name, "%s/data/%.*s", f->prefix, (int)key->n,
                 key->bytes) >= (int)sizeof name)
        return mls_fail(err, MLS_E_INPUT, "%s: %s: its storage is not in this file",
                        f->path, what);
    st = read_member(f, name, &s->owned, &len, err);
    if (st)
        return st;
    s->data = s->owned;
    if (!mls_mul_size(&wanted, s->n, s->type->size) || wanted != len)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: member %s: %zu bytes found, expected %zu numbers of %zu "
                        "bytes",
                        f->path, name, len, s->n, s->type->size);
    return MLS_OK;
}

/*
 * The format of torch.save before archives, which tensors of pickle.dump carry inside:
 * four pickles (magic number, protocol 1001, sizes of the system, the storage), one of
 * the list of keys, then the count and the numbers of each key.
 */
static mls_status open_legacy(const mls_torch_file *f, const mls_pickle_node *bytes,
                              storage *s, const char *what, mls_err *err)
{
    static const char magic[] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    const char *data = bytes->bytes;
    size_t left = bytes->n, wanted;
    mls_status st = MLS_OK;

    for (size_t i = 0; i < 5 && !st; i++) {
        mls_pickle p;
        bool right = true;

        st = mls_pickle_read(&p, data, left, f->path, err);
        if (st)
            break;
        if (i == 0)
            right = p.root->kind == MLS_PICKLE_BIG && p.root->n == 10 &&
                    memcmp(p.root->bytes, magic, 10) == 0;
        if (i == 1)
            right = p.root->kind == MLS_PICKLE_INT && p.root->integer == 1001;
        if (i == 2) {
            const mls_pickle_node *little = mls_pickle_get(p.root, "little_endian");

            right = little && little->kind == MLS_PICKLE_BOOL && little->integer;
        }
        if (i == 3)
            right = p.root->kind == MLS_PICKLE_PERSISTENT;
        if (i == 3 && right)
            st = storage_type(f, p.root, s, what, err);
        if (i == 4)
            right = p.root->kind == MLS_PICKLE_LIST && p.root->n == 1;
        if (!right)
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: %s: part %zu of its storage is not as torch writes it",
                          f->path, what, i + 1);
        data += p.end;
        left -= p.end;
        mls_pickle_free(&p);
    }
    if (st)
        return st;
    if (!mls_mul_size(&wanted, s->n, s->type->size) || left < 8 || left - 8 != wanted)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: %s: %zu bytes found, expected %zu numbers of %zu bytes",
                        f->path, what, left < 8 ? 0 : left - 8, s->n, s->type->size);
    s->data = data + 8;
    return MLS_OK;
}

/* A tuple of n sizes, each 0 or more. */
static bool sizes_of(const mls_pickle_node *tuple, size_t n, size_t *out)
{
    if (tuple->kind != MLS_PICKLE_TUPLE || tuple->n != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (tuple->items[i]->kind != MLS_PICKLE_INT || tuple->items[i]->integer < 0)
            return false;
        out[i] = (size_t)tuple->items[i]->integer;
    }
    return true;
}

/* Elements of a strided view; false when they do not lie in the storage. */
static bool copy_view(mls_torch_tensor *t, const storage *s, size_t offset,
                      const size_t *stride)
{
    size_t last = offset, index[MLS_TORCH_RANK] = {0};

    for (size_t d = 0; d < t->rank; d++) {
        size_t reach;

        if (t->shape[d] == 0)
            return true;
        if (!mls_mul_size(&reach, t->shape[d] - 1, stride[d]) ||
            !mls_add_size(&last, last, reach))
            return false;
    }
    if (last >= s->n)
        return false;
    for (size_t i = 0; i < t->n; i++) {
        size_t at = offset;

        for (size_t d = 0; d < t->rank; d++)
            at += index[d] * stride[d];
        t->values[i] = element(s->type, s->data, at);
        for (size_t d = t->rank; d-- > 0;) {
            if (++index[d] < t->shape[d])
                break;
            index[d] = 0;
        }
    }
    return true;
}

/*
 * torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)
 */
static mls_status rebuild(mls_torch_tensor *t, const mls_torch_file *f,
                          const mls_pickle_node *arguments, const char *what,
                          mls_err *err)
{
    size_t offset, stride[MLS_TORCH_RANK];
    storage s = {0};
    mls_status st;

    if (arguments->n < 4 || arguments->items[1]->kind != MLS_PICKLE_INT ||
        arguments->items[1]->integer < 0 ||
        arguments->items[2]->kind != MLS_PICKLE_TUPLE ||
        arguments->items[2]->n > MLS_TORCH_RANK)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: %s: not described as torch does (at most %d dimensions)",
                        f->path, what, MLS_TORCH_RANK);
    offset = (size_t)arguments->items[1]->integer;
    t->rank = arguments->items[2]->n;
    if (!sizes_of(arguments->items[2], t->rank, t->shape) ||
        !sizes_of(arguments->items[3], t->rank, stride))
        return mls_fail(err, MLS_E_INPUT, "%s: %s: shape or strides are not sizes",
                        f->path, what);

    const mls_pickle_node *from = arguments->items[0];

    if (from->kind == MLS_PICKLE_PERSISTENT)
        st = open_member(f, from, &s, what, err);
    else if (mls_pickle_calls(from, "torch.storage\n_load_from_bytes") &&
             from->items[1]->n == 1 &&
             from->items[1]->items[0]->kind == MLS_PICKLE_BYTES)
        st = open_legacy(f, from->items[1]->items[0], &s, what, err);
    else
        st = mls_fail(err, MLS_E_INPUT, "%s: %s: it has no storage", f->path, what);
    t->n = 1;
    for (size_t d = 0; d < t->rank && !st; d++)
        if (!mls_mul_size(&t->n, t->n, t->shape[d]) || t->n > MLS_TORCH_FILE_MAX)
            st = mls_fail(err, MLS_E_INPUT, "%s: %s: the shape is too large", f->path,
                          what);
    if (!st && t->n > s.n)
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: %s: shows the %zu numbers of its storage as %zu", f->path,
                      what, s.n, t->n);
    if (!st) {
        t->real = s.type->real;
        t->values = mls_calloc3(t->n, 1, 1, sizeof *t->values);
        if (!t->values)
            st = mls_fail(err, MLS_E_NOMEM, "%s: no memory for %s", f->path, what);
        else if (!copy_view(t, &s, offset, stride))
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: %s: its elements reach beyond its storage of %zu",
                          f->path, what, s.n);
    }
    free(s.owned);
    return st;
}

/* Numbers of nested lists of equal lengths; false when they are something else. */
static bool copy_lists(mls_torch_tensor *t, const mls_pickle_node *node, size_t depth,
                       size_t *at)
{
    if (depth == t->rank) {
        if ((node->kind != MLS_PICKLE_INT && node->kind != MLS_PICKLE_REAL) ||
            *at >= t->n)
            return false;
        t->real = t->real || node->kind == MLS_PICKLE_REAL;
        t->values[(*at)++] =
            node->kind == MLS_PICKLE_REAL ? node->real : (double)node->integer;
        return true;
    }
    if (node->kind != MLS_PICKLE_LIST || node->n != t->shape[depth])
        return false;
    for (size_t i = 0; i < node->n; i++)
        if (!copy_lists(t, node->items[i], depth + 1, at))
            return false;
    return true;
}

/* torch.tensor([[...], ...]) */
static mls_status from_lists(mls_torch_tensor *t, const mls_torch_file *f,
                             const mls_pickle_node *arguments, const char *what,
                             mls_err *err)
{
    const mls_pickle_node *node = arguments->n == 1 ? arguments->items[0] : NULL;
    size_t at = 0;

    t->n = 1;
    for (; node && node->kind == MLS_PICKLE_LIST && node->n > 0 &&
           t->rank < MLS_TORCH_RANK;
         node = node->items[0]) {
        t->shape[t->rank++] = node->n;
        /* A number takes a byte at least: more is a list that repeats itself. */
        if (!mls_mul_size(&t->n, t->n, node->n) || t->n > f->len)
            return mls_fail(err, MLS_E_INPUT, "%s: %s: its lists are too large",
                            f->path, what);
    }
    t->values = mls_calloc3(t->n, 1, 1, sizeof *t->values);
    if (!t->values)
        return mls_fail(err, MLS_E_NOMEM, "%s: no memory for %s", f->path, what);
    if (t->rank == 0 || !copy_lists(t, arguments->items[0], 0, &at))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: %s: its lists are not numbers in rows of equal length",
                        f->path, what);
    return MLS_OK;
}

bool mls_torch_is_tensor(const mls_pickle_node *node)
{
    return mls_pickle_calls(node, "torch._utils\n_rebuild_tensor_v2") ||
           mls_pickle_calls(node, "torch\ntensor");
}

mls_status mls_torch_tensor_read(mls_torch_tensor *out, const mls_torch_file *f,
                                 const mls_pickle_node *node, const char *what,
                                 mls_err *err)
{
    mls_torch_tensor t = {0};
    mls_status st;

    *out = t;
    if (mls_pickle_calls(node, "torch._utils\n_rebuild_tensor_v2"))
        st = rebuild(&t, f, node->items[1], what, err);
    else if (mls_pickle_calls(node, "torch\ntensor"))
        st = from_lists(&t, f, node->items[1], what, err);
    else
        st = mls_fail(err, MLS_E_INPUT, "%s: %s is not a tensor", f->path, what);
    if (st)
        mls_torch_tensor_free(&t);
    *out = t;
    return st;
}
