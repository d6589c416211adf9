/*
 * A header's length is not written anywhere: a megabyte is parsed, and four times as
 * much while it goes on. Blocks are decoded whole, and of the first and the last one
 * the wanted numbers are taken. Reals are kept as float: 1e-05 is found again as the
 * shortest decimal that is the same float, since a model's config meant that.
 */
#include "datasets/files/gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/checked.h"
#include "common/system/files.h"
#include "datasets/base/utf8.h"
#include "datasets/files/ggml_types.h"
#include "datasets/files/weight_file.h"

/* How much of a file is read at first, and at most, for its header. */
enum { HEADER_BYTES_FIRST = 1 << 20, HEADER_BYTES_MAX = 1 << 30 };

struct mls_gguf {
    mls_weight_file file;
    unsigned char *bytes; /* of the header */
    mls_gguf_header head;
};

bool mls_gguf_is(const char *path)
{
    char magic[4];

    return mls_file_front(path, magic, sizeof magic) == sizeof magic &&
           memcmp(magic, "GGUF", 4) == 0;
}

/* Read more and more of the file until its header is whole. */
static mls_status read_header(mls_gguf *f, mls_err *err)
{
    const uint64_t size = mls_weight_file_size(&f->file);
    size_t len = size < HEADER_BYTES_FIRST ? (size_t)size : HEADER_BYTES_FIRST;
    bool more = true;
    mls_status st = MLS_OK;

    while (!st && more) {
        free(f->bytes);
        f->bytes = malloc(len ? len : 1);
        if (!f->bytes)
            return mls_fail(err, MLS_E_NOMEM, "no memory for the header of %s",
                            f->file.path);
        st = mls_weight_file_read(&f->file, 0, len, f->bytes, err);
        if (!st)
            st = mls_gguf_header_parse(&f->head, f->bytes, len, size, &more,
                                       f->file.path, err);
        if (st || !more)
            break;
        if (len >= HEADER_BYTES_MAX)
            return mls_fail(err, MLS_E_INPUT,
                            "%s: its header has more than %d bytes, which is no model",
                            f->file.path, HEADER_BYTES_MAX);
        len = size / 4 < len ? (size_t)size : 4 * len;
    }
    return st;
}

mls_status mls_gguf_open(mls_gguf **out, const char *path, mls_err *err)
{
    mls_gguf *f = calloc(1, sizeof *f);
    mls_status st;

    *out = NULL;
    if (!f)
        return mls_fail(err, MLS_E_NOMEM, "no memory to open %s", path);
    st = mls_weight_file_open(&f->file, path, err);
    if (!st)
        st = read_header(f, err);
    if (st)
        mls_gguf_close(f);
    else
        *out = f;
    return st;
}

void mls_gguf_close(mls_gguf *f)
{
    if (!f)
        return;
    mls_weight_file_close(&f->file);
    mls_gguf_header_free(&f->head);
    free(f->bytes);
    free(f);
}

const mls_gguf_header *mls_gguf_head(const mls_gguf *f)
{
    return &f->head;
}

const char *mls_gguf_path(const mls_gguf *f)
{
    return f->file.path;
}

uint64_t mls_gguf_size(const mls_gguf *f)
{
    return mls_weight_file_size(&f->file);
}

mls_status mls_gguf_bytes(const mls_gguf *f, uint64_t offset, size_t n, void *out,
                          mls_err *err)
{
    return mls_weight_file_read(&f->file, offset, n, out, err);
}

/* ---- tensors ---- */

bool mls_gguf_reads(const mls_tensor_info *t)
{
    return mls_dtype_is_float(t->dtype) ||
           mls_ggml_decodes(mls_ggml_type_named(t->dtype));
}

mls_status mls_gguf_read_raw(const mls_gguf *f, const mls_tensor_info *t,
                             uint64_t first_byte, size_t n, void *out, mls_err *err)
{
    if (first_byte > t->n_bytes || n > t->n_bytes - first_byte)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: tensor \"%s\": %zu bytes from %llu were asked for, it has "
                        "%llu",
                        f->file.path, t->name, n, (unsigned long long)first_byte,
                        (unsigned long long)t->n_bytes);
    return mls_weight_file_read(&f->file, t->offset + first_byte, n, out, err);
}

/* Blocks first / numbers and on, of which the wanted numbers are kept. */
static mls_status read_blocks(const mls_gguf *f, const mls_tensor_info *t,
                              const mls_ggml_type *type, uint64_t first, size_t n,
                              float *out, mls_err *err)
{
    unsigned char raw[1 << 16];
    float x[MLS_GGML_SUPER];
    mls_status st = MLS_OK;

    while (!st && n > 0) {
        const size_t skip = (size_t)(first % type->numbers);
        const size_t room = sizeof raw / type->bytes;
        const size_t want = (skip + n - 1) / type->numbers + 1;
        const size_t blocks = want < room ? want : room;

        st = mls_gguf_read_raw(f, t, first / type->numbers * type->bytes,
                               blocks * type->bytes, raw, err);
        for (size_t b = 0; !st && b < blocks; b++) {
            const size_t from = b ? 0 : skip;
            const size_t left = type->numbers - from, m = n < left ? n : left;

            if (m == type->numbers) {
                mls_ggml_decode(type, raw + b * type->bytes, out);
            } else {
                mls_ggml_decode(type, raw + b * type->bytes, x);
                memcpy(out, x + from, m * sizeof *out);
            }
            first += m;
            out += m;
            n -= m;
        }
    }
    return st;
}

static mls_status read_plain(const mls_gguf *f, const mls_tensor_info *t, size_t bytes,
                             uint64_t first, size_t n, float *out, mls_err *err)
{
    unsigned char raw[1 << 16];
    mls_status st = MLS_OK;

    if (strcmp(t->dtype, "F32") == 0)
        return mls_gguf_read_raw(f, t, 4 * first, 4 * n, out, err);
    while (!st && n > 0) {
        const size_t m = n < sizeof raw / bytes ? n : sizeof raw / bytes;

        st = mls_gguf_read_raw(f, t, bytes * first, bytes * m, raw, err);
        if (!st)
            mls_dtype_to_float(out, raw, t->dtype, m);
        first += m;
        out += m;
        n -= m;
    }
    return st;
}

mls_status mls_gguf_read_f32(const mls_gguf *f, const mls_tensor_info *t,
                             uint64_t first, size_t n, float *out, mls_err *err)
{
    const mls_ggml_type *type = mls_ggml_type_named(t->dtype);

    if (!mls_gguf_reads(t))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: tensor \"%s\" has type %s, which is not decoded",
                        f->file.path, t->name, t->dtype);
    if (first > t->n_elements || n > t->n_elements - first)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: tensor \"%s\": %zu elements from %llu were asked for, it "
                        "has %llu",
                        f->file.path, t->name, n, (unsigned long long)first,
                        (unsigned long long)t->n_elements);
    if (type->numbers > 1)
        return read_blocks(f, t, type, first, n, out, err);
    return read_plain(f, t, type->bytes, first, n, out, err);
}

/* ---- metadata ---- */

static mls_status wrong_type(const mls_gguf *f, const mls_gguf_value *v,
                             const char *expected, mls_err *err)
{
    return mls_fail(err, MLS_E_INPUT, "%s: key \"%s\" is of type %s%s, expected %s",
                    f->file.path, v->key, v->is_array ? "array of " : "",
                    mls_gguf_type_name(v->type), expected);
}

bool mls_gguf_has(const mls_gguf *f, const char *key)
{
    return mls_gguf_header_value(&f->head, key) != NULL;
}

/* Element i as an integer; false for other types. */
static bool integer_of(const mls_gguf_value *v, uint64_t i, bool *negative,
                       uint64_t *out)
{
    static const struct {
        uint8_t bytes, is_signed;
    } kinds[MLS_GGUF_TYPES] = {
        [MLS_GGUF_U8] = {1, 0},  [MLS_GGUF_I8] = {1, 1},  [MLS_GGUF_U16] = {2, 0},
        [MLS_GGUF_I16] = {2, 1}, [MLS_GGUF_U32] = {4, 0}, [MLS_GGUF_I32] = {4, 1},
        [MLS_GGUF_U64] = {8, 0}, [MLS_GGUF_I64] = {8, 1},
    };
    const size_t n = kinds[v->type].bytes;

    if (n == 0)
        return false;
    *out = 0;
    memcpy(out, v->data + i * n, n);
    *negative = kinds[v->type].is_signed && (v->data[i * n + n - 1] & 0x80);
    return true;
}

static mls_status whole_of(const mls_gguf *f, const mls_gguf_value *v, uint64_t i,
                           uint64_t *out, mls_err *err)
{
    bool negative;

    if (!integer_of(v, i, &negative, out))
        return wrong_type(f, v, "a whole number", err);
    if (negative)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: key \"%s\" is negative, expected 0 or "
                        "more",
                        f->file.path, v->key);
    return MLS_OK;
}

mls_status mls_gguf_whole(const mls_gguf *f, const char *key, uint64_t *out,
                          mls_err *err)
{
    const mls_gguf_value *v = mls_gguf_header_value(&f->head, key);

    if (!v)
        return MLS_OK;
    return v->is_array ? wrong_type(f, v, "a whole number", err)
                       : whole_of(f, v, 0, out, err);
}

mls_status mls_gguf_whole_at(const mls_gguf *f, const char *key, uint64_t i,
                             uint64_t *out, mls_err *err)
{
    const mls_gguf_value *v = mls_gguf_header_value(&f->head, key);

    if (!v)
        return MLS_OK;
    if (!v->is_array)
        return wrong_type(f, v, "an array of whole numbers", err);
    if (i >= v->n)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: key \"%s\" has %llu items, expected %llu "
                        "or more",
                        f->file.path, key, (unsigned long long)v->n,
                        (unsigned long long)i + 1);
    return whole_of(f, v, i, out, err);
}

/* 1e-05 was written as the float 9.99999975e-06: take back what was meant. */
static double shortest(float x)
{
    char text[32];

    for (int digits = 1; digits < 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            return strtod(text, NULL);
    }
    return (double)x;
}

mls_status mls_gguf_real(const mls_gguf *f, const char *key, double *out, mls_err *err)
{
    const mls_gguf_value *v = mls_gguf_header_value(&f->head, key);
    double x = NAN;
    float single;

    if (!v)
        return MLS_OK;
    if (v->is_array || (v->type != MLS_GGUF_F32 && v->type != MLS_GGUF_F64))
        return wrong_type(f, v, "f32", err);
    if (v->type == MLS_GGUF_F64) {
        memcpy(&x, v->data, sizeof x);
    } else {
        memcpy(&single, v->data, sizeof single);
        x = isfinite(single) ? shortest(single) : (double)single;
    }
    if (!isfinite(x))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: key \"%s\" is %g, expected a finite "
                        "number",
                        f->file.path, key, x);
    *out = x;
    return MLS_OK;
}

mls_status mls_gguf_bool(const mls_gguf *f, const char *key, bool *out, mls_err *err)
{
    const mls_gguf_value *v = mls_gguf_header_value(&f->head, key);

    if (!v)
        return MLS_OK;
    if (v->is_array || v->type != MLS_GGUF_BOOL)
        return wrong_type(f, v, "bool", err);
    *out = v->data[0] != 0;
    return MLS_OK;
}

mls_status mls_gguf_text(const mls_gguf *f, const char *key, char **out, mls_err *err)
{
    const mls_gguf_value *v = mls_gguf_header_value(&f->head, key);
    mls_gguf_walk walk = {0};
    const char *text;
    size_t len;

    if (!v)
        return MLS_OK;
    if (v->is_array || v->type != MLS_GGUF_STRING)
        return wrong_type(f, v, "string", err);
    text = mls_gguf_next_string(v, &walk, &len);
    if (memchr(text, 0, len) || mls_utf8_check(text, len) < len)
        return mls_fail(err, MLS_E_INPUT, "%s: key \"%s\" is not UTF-8 without NUL",
                        f->file.path, key);
    *out = strndup(text, len);
    return *out ? MLS_OK
                : mls_fail(err, MLS_E_NOMEM, "no memory to read %s", f->file.path);
}

mls_status mls_gguf_array(const mls_gguf *f, const char *key, mls_gguf_type type,
                          const mls_gguf_value **out, mls_err *err)
{
    const mls_gguf_value *v = mls_gguf_header_value(&f->head, key);
    char expected[32];

    *out = NULL;
    if (v && (!v->is_array || v->type != type)) {
        snprintf(expected, sizeof expected, "array of %s", mls_gguf_type_name(type));
        return wrong_type(f, v, expected, err);
    }
    *out = v;
    return MLS_OK;
}

const char *mls_gguf_next_string(const mls_gguf_value *v, mls_gguf_walk *walk,
                                 size_t *len)
{
    const unsigned char *p = v->data + walk->at;
    uint64_t n;

    memcpy(&n, p, sizeof n);
    walk->at += sizeof n + (size_t)n;
    *len = (size_t)n;
    return (const char *)p + sizeof n;
}
