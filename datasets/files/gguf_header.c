/*
 * Nothing is believed: counts are held against the file's size before memory is taken,
 * each tensor begins where the one before ended, and a refusal names the byte and what
 * it belongs to. `more` says that the bytes at hand end inside the header, which is no
 * error. Names get their NUL where the next field's first byte was, which is read by
 * then.
 */
#include "datasets/files/gguf_header.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "datasets/base/utf8.h"
#include "datasets/files/ggml_types.h"

enum {
    VALUE_BYTES_MIN = 8 + 1 + 4 + 1,      /* key of one byte, type, a byte */
    TENSOR_BYTES_MIN = 8 + 1 + 4 + 4 + 8, /* name of one byte, no dims, type, offset */
    DIMS_MAX = 4,
    NAME_MAX_BYTES = 63, /* ggml keeps 64 with the NUL */
    ALIGNMENT_DEFAULT = 32,
    ALIGNMENT_MAX = 1 << 20,
};

typedef struct cursor {
    mls_gguf_header *h;
    unsigned char *data;
    size_t at, len;
    uint64_t size;    /* of the file */
    bool more;        /* what is asked for lies behind len */
    char subject[96]; /* "key \"general.name\"": what the bytes belong to */
    const char *path;
    mls_err *err;
} cursor;

static const struct {
    const char *name;
    size_t bytes;
} kinds[MLS_GGUF_TYPES] = {
    [MLS_GGUF_U8] = {"u8", 1},         [MLS_GGUF_I8] = {"i8", 1},
    [MLS_GGUF_U16] = {"u16", 2},       [MLS_GGUF_I16] = {"i16", 2},
    [MLS_GGUF_U32] = {"u32", 4},       [MLS_GGUF_I32] = {"i32", 4},
    [MLS_GGUF_F32] = {"f32", 4},       [MLS_GGUF_BOOL] = {"bool", 1},
    [MLS_GGUF_STRING] = {"string", 0}, [MLS_GGUF_ARRAY] = {"array", 0},
    [MLS_GGUF_U64] = {"u64", 8},       [MLS_GGUF_I64] = {"i64", 8},
    [MLS_GGUF_F64] = {"f64", 8},
};

const char *mls_gguf_type_name(mls_gguf_type type)
{
    return kinds[type].name;
}

/* "FILE: offset N: SUBJECT: ..." */
__attribute__((format(printf, 3, 4))) static mls_status
refuse(const cursor *c, size_t offset, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return mls_fail(c->err, MLS_E_INPUT, "%s: offset %zu: %s%s%s", c->path, offset,
                    c->subject, c->subject[0] ? ": " : "", text);
}

static mls_status fail_memory(const cursor *c)
{
    return mls_fail(c->err, MLS_E_NOMEM, "no memory for the header of %s", c->path);
}

/* The next n bytes: *p, or c->more when they are not in memory yet. */
static mls_status take(cursor *c, uint64_t n, const char *what, unsigned char **p)
{
    *p = c->data + c->at;
    if (n > c->size - c->at)
        return refuse(c, c->at, "%s has %llu bytes, but the file ends at offset %llu",
                      what, (unsigned long long)n, (unsigned long long)c->size);
    if (n > c->len - c->at) {
        c->more = true;
        return MLS_E_INPUT; /* never seen outside */
    }
    c->at += (size_t)n;
    return MLS_OK;
}

static uint64_t little(const unsigned char *p, size_t bytes)
{
    uint64_t x = 0;

    while (bytes-- > 0)
        x = x << 8 | p[bytes];
    return x;
}

static mls_status take_u32(cursor *c, const char *what, uint32_t *x)
{
    unsigned char *p;
    const mls_status st = take(c, 4, what, &p);

    if (!st)
        *x = (uint32_t)little(p, 4);
    return st;
}

static mls_status take_u64(cursor *c, const char *what, uint64_t *x)
{
    unsigned char *p;
    const mls_status st = take(c, 8, what, &p);

    if (!st)
        *x = little(p, 8);
    return st;
}

static mls_status take_string(cursor *c, const char *what, unsigned char **text,
                              size_t *len)
{
    char length[64];
    uint64_t n;
    mls_status st;

    snprintf(length, sizeof length, "the length of %s", what);
    if ((st = take_u64(c, length, &n)))
        return st;
    *len = (size_t)n;
    return take(c, n, what, text);
}

/* A key or a name: some bytes of UTF-8 without NUL. */
static mls_status take_name(cursor *c, const char *what, unsigned char **text,
                            size_t *len)
{
    const size_t begin = c->at;
    mls_status st = take_string(c, what, text, len);
    size_t bad;

    if (st)
        return st;
    if (*len == 0)
        return refuse(c, begin, "%s is empty", what);
    if (memchr(*text, 0, *len))
        return refuse(c, begin, "%s has a NUL", what);
    bad = mls_utf8_check((const char *)*text, *len);
    if (bad < *len)
        return refuse(c, begin + 8 + bad, "%s is not UTF-8: byte 0x%02x", what,
                      (*text)[bad]);
    return MLS_OK;
}

/* ---- metadata ---- */

static mls_status take_type(cursor *c, const char *what, mls_gguf_type *type)
{
    const size_t begin = c->at;
    uint32_t id;
    const mls_status st = take_u32(c, what, &id);

    if (st)
        return st;
    if (id >= MLS_GGUF_TYPES)
        return refuse(c, begin, "%s is %u, expected 0 to %d", what, (unsigned)id,
                      MLS_GGUF_TYPES - 1);
    *type = (mls_gguf_type)id;
    return MLS_OK;
}

/* The n elements of v from here on. */
static mls_status take_elements(cursor *c, mls_gguf_value *v)
{
    const size_t begin = c->at, bytes = kinds[v->type].bytes;
    const uint64_t left = c->size - c->at;
    unsigned char *p = NULL;
    size_t len;
    mls_status st = MLS_OK;

    if (v->n > left / (bytes ? bytes : 8))
        return refuse(c, begin, "%llu elements of %s, but the file ends at offset %llu",
                      (unsigned long long)v->n, kinds[v->type].name,
                      (unsigned long long)c->size);
    if (bytes)
        st = take(c, v->n * bytes, "the value", &p);
    else
        for (uint64_t i = 0; !st && i < v->n; i++)
            st = take_string(c, "a string", &p, &len);
    if (st)
        return st;
    v->data = c->data + begin;
    v->bytes = c->at - begin;
    if (v->type == MLS_GGUF_BOOL)
        for (size_t i = 0; i < v->bytes; i++)
            if (v->data[i] > 1)
                return refuse(c, begin + i, "a bool is %u, expected 0 or 1",
                              (unsigned)v->data[i]);
    return MLS_OK;
}

static mls_status take_value(cursor *c, mls_gguf_value *v)
{
    const size_t begin = c->at;
    unsigned char *key;
    size_t len;
    mls_status st;

    c->subject[0] = '\0';
    if ((st = take_name(c, "a key", &key, &len)))
        return st;
    snprintf(c->subject, sizeof c->subject, "key \"%.*s\"", (int)(len < 64 ? len : 64),
             (char *)key);
    if ((st = take_type(c, "its type", &v->type)))
        return st;
    v->n = 1;
    v->is_array = v->type == MLS_GGUF_ARRAY;
    if (v->is_array && ((st = take_type(c, "the type of its elements", &v->type)) ||
                        (st = take_u64(c, "the number of its elements", &v->n))))
        return st;
    if (v->type == MLS_GGUF_ARRAY)
        return refuse(c, begin, "an array of arrays, which is not read");
    if ((st = take_elements(c, v)))
        return st;
    key[len] = '\0'; /* the first byte of the type, which is read */
    v->key = (const char *)key;
    return MLS_OK;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp((*(const mls_gguf_value *const *)a)->key,
                  (*(const mls_gguf_value *const *)b)->key);
}

static mls_status take_values(cursor *c, uint64_t n)
{
    mls_gguf_header *h = c->h;
    size_t room = 0;
    mls_status st = MLS_OK;

    while (!st && h->n_values < n) {
        if (h->n_values == room) {
            mls_gguf_value *bigger;

            room = room ? 2 * room : 64;
            bigger = realloc(h->value, room * sizeof *bigger);
            if (!bigger)
                return fail_memory(c);
            h->value = bigger;
        }
        st = take_value(c, &h->value[h->n_values]);
        h->n_values += !st;
    }
    c->subject[0] = '\0';
    if (st)
        return st;
    h->by_key = mls_calloc3(h->n_values, 1, 1, sizeof *h->by_key);
    if (!h->by_key)
        return fail_memory(c);
    for (size_t i = 0; i < h->n_values; i++)
        h->by_key[i] = &h->value[i];
    qsort(h->by_key, h->n_values, sizeof *h->by_key, compare_keys);
    for (size_t i = 1; i < h->n_values; i++)
        if (compare_keys(&h->by_key[i - 1], &h->by_key[i]) == 0)
            return mls_fail(c->err, MLS_E_INPUT, "%s: key \"%.200s\" is given twice",
                            c->path, h->by_key[i]->key);
    return MLS_OK;
}

static mls_status read_alignment(cursor *c)
{
    const mls_gguf_value *v = mls_gguf_header_value(c->h, "general.alignment");
    uint64_t a;

    c->h->alignment = ALIGNMENT_DEFAULT;
    if (!v)
        return MLS_OK;
    if (v->is_array || v->type != MLS_GGUF_U32)
        return mls_fail(c->err, MLS_E_INPUT,
                        "%s: general.alignment is of type %s%s, expected u32", c->path,
                        v->is_array ? "array of " : "", mls_gguf_type_name(v->type));
    a = little(v->data, 4);
    if (a < 8 || a > ALIGNMENT_MAX || (a & (a - 1)) != 0)
        return mls_fail(c->err, MLS_E_INPUT,
                        "%s: general.alignment is %llu, expected a power of two from 8 "
                        "to %d",
                        c->path, (unsigned long long)a, ALIGNMENT_MAX);
    c->h->alignment = a;
    return MLS_OK;
}

/* ---- tensors ---- */

/* Shape, from the fastest dim to the slowest as ggml counts them. */
static mls_status take_shape(cursor *c, mls_tensor_info *t)
{
    const size_t begin = c->at;
    uint64_t ne[DIMS_MAX];
    uint32_t dims;
    mls_status st = take_u32(c, "its number of dims", &dims);

    if (st)
        return st;
    if (dims > DIMS_MAX)
        return refuse(c, begin, "it has %u dims, expected at most %d", (unsigned)dims,
                      DIMS_MAX);
    t->n_dims = dims;
    t->n_elements = 1;
    for (uint32_t i = 0; i < dims; i++) {
        const size_t at = c->at;

        if ((st = take_u64(c, "its shape", &ne[i])))
            return st;
        if (ne[i] > INT64_MAX)
            return refuse(c, at, "dim %u is %lld, expected 0 or more", (unsigned)i,
                          (long long)ne[i]);
        if (!mls_mul_u64(&t->n_elements, t->n_elements, ne[i]) ||
            t->n_elements > INT64_MAX)
            return refuse(c, at, "its shape has 2^63 elements or more");
    }
    for (uint32_t i = 0; i < dims; i++)
        t->shape[dims - 1 - i] = ne[i];
    return MLS_OK;
}

static mls_status take_number_type(cursor *c, mls_tensor_info *t)
{
    const uint64_t row = t->n_dims ? t->shape[t->n_dims - 1] : 1;
    const size_t begin = c->at;
    const mls_ggml_type *type;
    uint32_t id;
    mls_status st = take_u32(c, "its type", &id);

    if (st)
        return st;
    type = mls_ggml_type_of(id);
    if (!type)
        return refuse(c, begin, "its type is %u, which is none of ggml's",
                      (unsigned)id);
    snprintf(t->dtype, sizeof t->dtype, "%s", type->name);
    if (row % type->numbers != 0)
        return refuse(c, begin,
                      "its rows have %llu numbers, expected a multiple of %zu "
                      "for %s",
                      (unsigned long long)row, type->numbers, type->name);
    if (!mls_mul_u64(&t->n_bytes, t->n_elements / type->numbers, type->bytes) ||
        t->n_bytes > INT64_MAX)
        return refuse(c, begin, "its data has 2^63 bytes or more");
    return MLS_OK;
}

/*
 * Tensor i; `next` is where its data must begin, and becomes where the next one's must.
 */
static mls_status take_tensor(cursor *c, mls_tensor_info *t, uint64_t *next)
{
    const uint64_t pad = c->h->alignment - 1;
    unsigned char *name;
    size_t len, begin = c->at;
    uint64_t end;
    mls_status st;

    c->subject[0] = '\0';
    if ((st = take_name(c, "a tensor's name", &name, &len)))
        return st;
    snprintf(c->subject, sizeof c->subject, "tensor \"%.*s\"",
             (int)(len < 70 ? len : 70), (char *)name);
    if (len > NAME_MAX_BYTES)
        return refuse(c, begin, "its name has %zu bytes, expected at most %d", len,
                      NAME_MAX_BYTES);
    memset(t, 0, sizeof *t);
    if ((st = take_shape(c, t)) || (st = take_number_type(c, t)))
        return st;
    begin = c->at;
    if ((st = take_u64(c, "its offset", &t->offset)))
        return st;
    if (t->offset % c->h->alignment != 0)
        return refuse(c, begin,
                      "its data begins at %llu, expected a multiple of the "
                      "alignment %llu",
                      (unsigned long long)t->offset,
                      (unsigned long long)c->h->alignment);
    if (t->offset != *next)
        return refuse(
            c, begin,
            "its data begins at %llu, expected %llu behind the tensor before: "
            "%s",
            (unsigned long long)t->offset, (unsigned long long)*next,
            t->offset < *next ? "an overlap" : "a gap");
    if (!mls_add_u64(&end, t->offset, t->n_bytes) || !mls_add_u64(next, end, pad))
        return refuse(c, begin, "its data ends at 2^64 or behind");
    *next &= ~pad;
    name[len] = '\0'; /* the first byte of the number of dims */
    t->name = (const char *)name;
    return MLS_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const mls_tensor_info *const *)a)->name,
                  (*(const mls_tensor_info *const *)b)->name);
}

static mls_status take_tensors(cursor *c, uint64_t n)
{
    mls_gguf_header *h = c->h;
    uint64_t next = 0;
    size_t room = 0;
    mls_status st = MLS_OK;

    while (!st && h->n_tensors < n) {
        if (h->n_tensors == room) {
            mls_tensor_info *bigger;

            room = room ? 2 * room : 64;
            bigger = realloc(h->tensor, room * sizeof *bigger);
            if (!bigger)
                return fail_memory(c);
            h->tensor = bigger;
        }
        st = take_tensor(c, &h->tensor[h->n_tensors], &next);
        h->n_tensors += !st;
    }
    c->subject[0] = '\0';
    if (st)
        return st;
    h->by_name = mls_calloc3(h->n_tensors, 1, 1, sizeof *h->by_name);
    if (!h->by_name)
        return fail_memory(c);
    for (size_t i = 0; i < h->n_tensors; i++)
        h->by_name[i] = &h->tensor[i];
    qsort(h->by_name, h->n_tensors, sizeof *h->by_name, compare_names);
    for (size_t i = 1; i < h->n_tensors; i++)
        if (compare_names(&h->by_name[i - 1], &h->by_name[i]) == 0)
            return mls_fail(c->err, MLS_E_INPUT,
                            "%s: tensor \"%s\" is given twice, with data at %llu and "
                            "%llu",
                            c->path, h->by_name[i]->name,
                            (unsigned long long)h->by_name[i - 1]->offset,
                            (unsigned long long)h->by_name[i]->offset);
    return MLS_OK;
}

/* From offsets in the data to offsets in the file, which must hold all of it. */
static mls_status place_data(cursor *c)
{
    mls_gguf_header *h = c->h;
    uint64_t data;

    if (!mls_add_u64(&data, c->at, h->alignment - 1))
        return refuse(c, c->at, "the data begins behind 2^64");
    data &= ~(h->alignment - 1);
    h->end = c->at; /* without tensors nothing needs to follow */
    for (size_t i = 0; i < h->n_tensors; i++) {
        mls_tensor_info *t = &h->tensor[i];

        if (t->n_bytes > 0 && (data > c->size || t->offset > c->size - data ||
                               t->n_bytes > c->size - data - t->offset))
            return mls_fail(
                c->err, MLS_E_INPUT,
                "%s: tensor \"%s\" has %llu bytes of data from offset %llu, "
                "but the file ends at %llu: it is truncated",
                c->path, t->name, (unsigned long long)t->n_bytes,
                (unsigned long long)(t->offset + data), (unsigned long long)c->size);
        t->offset += data;
        if (t->n_bytes > 0)
            h->end = t->offset + t->n_bytes;
    }
    return MLS_OK;
}

/* ---- all of it ---- */

static mls_status take_start(cursor *c, uint64_t *n_tensors, uint64_t *n_values)
{
    unsigned char *magic;
    uint32_t version;
    mls_status st;

    if ((st = take(c, 4, "the magic", &magic)))
        return st;
    if (memcmp(magic, "GGUF", 4) != 0)
        return refuse(c, 0, "found 0x%08x, expected the letters GGUF",
                      (unsigned)little(magic, 4));
    if ((st = take_u32(c, "the version", &version)))
        return st;
    if (version != 2 && version != 3) {
        const bool swapped = version > 0 && (version & 0xFFFF) == 0;

        return refuse(c, 4, "the version is %u, expected 2 or 3%s", (unsigned)version,
                      swapped        ? ": a big-endian file, which is not read"
                      : version == 1 ? ": version 1 was replaced in 2023, convert anew"
                                     : "");
    }
    c->h->version = version;
    if ((st = take_u64(c, "the number of tensors", n_tensors)) ||
        (st = take_u64(c, "the number of keys", n_values)))
        return st;
    if (*n_tensors > c->size / TENSOR_BYTES_MIN)
        return refuse(c, 8, "%llu tensors, which a file of %llu bytes cannot list",
                      (unsigned long long)*n_tensors, (unsigned long long)c->size);
    if (*n_values > c->size / VALUE_BYTES_MIN)
        return refuse(c, 16, "%llu keys, which a file of %llu bytes cannot hold",
                      (unsigned long long)*n_values, (unsigned long long)c->size);
    return MLS_OK;
}

mls_status mls_gguf_header_parse(mls_gguf_header *h, unsigned char *data, size_t len,
                                 uint64_t size, bool *more, const char *path,
                                 mls_err *err)
{
    mls_err inner = {0};
    cursor c = {
        .h = h, .data = data, .len = len, .size = size, .path = path, .err = &inner};
    uint64_t n_tensors, n_values;
    mls_status st;

    memset(h, 0, sizeof *h);
    if (!(st = take_start(&c, &n_tensors, &n_values)) &&
        !(st = take_values(&c, n_values)) && !(st = read_alignment(&c)) &&
        !(st = take_tensors(&c, n_tensors)))
        st = place_data(&c);
    *more = c.more;
    if (st)
        mls_gguf_header_free(h);
    if (c.more)
        return MLS_OK;
    return st ? mls_fail(err, st, "%s", inner.text) : MLS_OK;
}

void mls_gguf_header_free(mls_gguf_header *h)
{
    free(h->value);
    free(h->by_key);
    free(h->tensor);
    free(h->by_name);
    memset(h, 0, sizeof *h);
}

const mls_gguf_value *mls_gguf_header_value(const mls_gguf_header *h, const char *key)
{
    const mls_gguf_value v = {.key = key}, *at = &v;
    const mls_gguf_value **found =
        bsearch(&at, h->by_key, h->n_values, sizeof *h->by_key, compare_keys);

    return found ? *found : NULL;
}

const mls_tensor_info *mls_gguf_header_tensor(const mls_gguf_header *h,
                                              const char *name)
{
    const mls_tensor_info t = {.name = name}, *at = &t;
    const mls_tensor_info **found =
        bsearch(&at, h->by_name, h->n_tensors, sizeof *h->by_name, compare_names);

    return found ? *found : NULL;
}
