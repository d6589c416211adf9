/*
 * A file's first bytes may be neither JSON nor numbers: what git leaves without git-lfs
 * and what a server answers instead of weights are told as what they are. Offsets
 * become those of the file, once.
 */
#include "datasets/files/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/numbers/half.h"
#include "datasets/files/safetensors_header.h"
#include "datasets/files/weight_file.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensors are stored and read in little-endian order");

enum { HEADER_BYTES_MAX = 100000000 }; /* of the official parser */

struct mls_safetensors {
    mls_weight_file file;
    mls_tensor_table table;
};

/*
 * What downloads leave in the place of weights: git without git-lfs its pointer, a
 * server its page. MLS_OK when it is neither.
 */
static mls_status refuse_stand_in(const mls_safetensors *f, uint64_t size, mls_err *err)
{
    static const char pointer[] = "version https://git-lfs";
    char begin[256] = "";
    const size_t n = size < sizeof begin - 1 ? (size_t)size : sizeof begin - 1;
    const char *text = begin;

    if (mls_weight_file_read(&f->file, 0, n, begin, NULL))
        return MLS_OK; /* the read that follows says why */
    if (strncmp(begin, pointer, sizeof pointer - 1) == 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: is a git-lfs pointer, not the weights: the repository was "
                        "cloned without git-lfs; run `git lfs pull` there",
                        f->file.path);
    text += strspn(text, " \t\r\n");
    if (strncasecmp(text, "<!doctype html", 14) == 0 ||
        strncasecmp(text, "<html", 5) == 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: is a web page, not the weights: the download was answered "
                        "by an error or a login page; download the file again",
                        f->file.path);
    return MLS_OK;
}

static mls_status read_header(mls_safetensors *f, mls_err *err)
{
    const uint64_t size = mls_weight_file_size(&f->file);
    unsigned char prefix[8];
    uint64_t n = 0;
    char *header;
    mls_status st = refuse_stand_in(f, size, err);

    if (st)
        return st;
    if (size < 8)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: has %llu bytes, expected at least 8 for the header's "
                        "length",
                        f->file.path, (unsigned long long)size);
    st = mls_weight_file_read(&f->file, 0, 8, prefix, err);
    if (st)
        return st;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | prefix[i];
    if (n > HEADER_BYTES_MAX)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: the header's length is %llu, expected at most %d: not a "
                        "safetensors file",
                        f->file.path, (unsigned long long)n, HEADER_BYTES_MAX);
    if (n > size - 8)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: the header ends at offset %llu, but the file at %llu: it "
                        "is truncated",
                        f->file.path, (unsigned long long)(n + 8),
                        (unsigned long long)size);
    header = malloc((size_t)n + 1);
    if (!header)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the header of %s",
                        f->file.path);
    st = mls_weight_file_read(&f->file, 8, (size_t)n, header, err);
    if (st) {
        free(header);
        return st;
    }
    st = mls_tensor_table_parse(&f->table, header, (size_t)n, size - 8 - n,
                                f->file.path, err);
    for (size_t i = 0; !st && i < f->table.n; i++)
        f->table.tensor[i].offset += 8 + n;
    return st;
}

mls_status mls_safetensors_open(mls_safetensors **out, const char *path, mls_err *err)
{
    mls_safetensors *f = calloc(1, sizeof *f);
    mls_status st;

    *out = NULL;
    if (!f)
        return mls_fail(err, MLS_E_NOMEM, "no memory to open %s", path);
    st = mls_weight_file_open(&f->file, path, err);
    if (!st)
        st = read_header(f, err);
    if (st)
        mls_safetensors_close(f);
    else
        *out = f;
    return st;
}

void mls_safetensors_close(mls_safetensors *f)
{
    if (!f)
        return;
    mls_weight_file_close(&f->file);
    mls_tensor_table_free(&f->table);
    free(f);
}

uint64_t mls_safetensors_size(const mls_safetensors *f)
{
    return mls_weight_file_size(&f->file);
}

mls_status mls_safetensors_bytes(const mls_safetensors *f, uint64_t offset, size_t n,
                                 void *out, mls_err *err)
{
    return mls_weight_file_read(&f->file, offset, n, out, err);
}

void mls_safetensors_want(const mls_safetensors *f, const mls_tensor_info *t)
{
    mls_weight_file_want(&f->file, t->offset, t->n_bytes);
}

size_t mls_safetensors_count(const mls_safetensors *f)
{
    return f->table.n;
}

const mls_tensor_info *mls_safetensors_at(const mls_safetensors *f, size_t i)
{
    return &f->table.tensor[i];
}

const mls_tensor_info *mls_safetensors_find(const mls_safetensors *f, const char *name)
{
    return mls_tensor_table_find(&f->table, name);
}

const char *mls_safetensors_metadata(const mls_safetensors *f, const char *key)
{
    for (size_t i = 0; i < f->table.n_metadata; i++)
        if (strcmp(f->table.metadata[i][0], key) == 0)
            return f->table.metadata[i][1];
    return NULL;
}

mls_status mls_safetensors_read_raw(const mls_safetensors *f, const mls_tensor_info *t,
                                    uint64_t first_byte, size_t n, void *out,
                                    mls_err *err)
{
    if (first_byte > t->n_bytes || n > t->n_bytes - first_byte)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: tensor \"%.200s\": %zu bytes from %llu were asked for, it "
                        "has %llu",
                        f->file.path, t->name, n, (unsigned long long)first_byte,
                        (unsigned long long)t->n_bytes);
    return mls_weight_file_read(&f->file, t->offset + first_byte, n, out, err);
}

const char *mls_shape_text(char text[128], const uint64_t *shape, size_t n_dims)
{
    size_t at = 1;

    text[0] = '[';
    for (size_t i = 0; i < n_dims && at < 120; i++)
        at += (size_t)snprintf(text + at, 128 - at, "%s%llu", i ? ", " : "",
                               (unsigned long long)shape[i]);
    snprintf(text + (at < 126 ? at : 126), 2, "]");
    return text;
}

const char *mls_index_text(char text[128], const mls_tensor_info *t, uint64_t at)
{
    uint64_t index[MLS_RANK_MAX] = {0};

    for (size_t i = t->n_dims; i-- > 0;) {
        index[i] = at % t->shape[i];
        at /= t->shape[i];
    }
    return mls_shape_text(text, index, t->n_dims);
}

bool mls_dtype_is_float(const char *dtype)
{
    static const char *const floats[] = {"F32", "BF16", "F16", "F64"};

    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++)
        if (strcmp(floats[i], dtype) == 0)
            return true;
    return false;
}

void mls_dtype_to_float(float *out, const unsigned char *raw, const char *dtype,
                        size_t n)
{
    const bool bf16 = dtype[0] == 'B';
    uint16_t h;
    double d;

    if (dtype[1] == '6')
        for (size_t i = 0; i < n; i++) {
            memcpy(&d, raw + 8 * i, 8);
            out[i] = (float)d;
        }
    else
        for (size_t i = 0; i < n; i++) {
            memcpy(&h, raw + 2 * i, 2);
            out[i] = bf16 ? mls_bf16_to_float(h) : mls_f16_to_float(h);
        }
}

mls_status mls_safetensors_read_f32(const mls_safetensors *f, const mls_tensor_info *t,
                                    uint64_t first, size_t n, float *out, mls_err *err)
{
    unsigned char raw[1 << 16];
    const size_t size = mls_dtype_bits(t->dtype) / 8;
    mls_status st;

    if (!mls_dtype_is_float(t->dtype))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: tensor \"%.200s\" has dtype %s, expected F32, BF16, F16 "
                        "or F64",
                        f->file.path, t->name, t->dtype);
    if (first > t->n_elements || n > t->n_elements - first)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: tensor \"%.200s\": %zu elements from %llu were asked for, "
                        "it has %llu",
                        f->file.path, t->name, n, (unsigned long long)first,
                        (unsigned long long)t->n_elements);
    if (strcmp(t->dtype, "F32") == 0)
        return mls_safetensors_read_raw(f, t, 4 * first, 4 * n, out, err);
    while (n > 0) {
        const size_t m = n < sizeof raw / size ? n : sizeof raw / size;

        st = mls_safetensors_read_raw(f, t, size * first, size * m, raw, err);
        if (st)
            return st;
        mls_dtype_to_float(out, raw, t->dtype, m);
        first += m;
        out += m;
        n -= m;
    }
    return MLS_OK;
}
