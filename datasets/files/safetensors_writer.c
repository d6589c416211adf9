/*
 * The header is written first and parsed back by the reader's own rules, so that
 * nothing is written which the reader would refuse; then tensors must come in its order
 * and with its bytes, and the file gets its name when the last is complete.
 */
#include "datasets/files/safetensors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/base/buf.h"
#include "common/base/checked.h"
#include "common/numbers/half.h"
#include "common/system/files.h"
#include "datasets/base/utf8.h"
#include "datasets/files/safetensors_header.h"

struct mls_safetensors_writer {
    char *path, *temp;
    FILE *file;
    mls_tensor_table table; /* parsed back from the header that was written */
    size_t next;            /* tensor that the next byte belongs to */
    uint64_t written;       /* bytes of it */
};

/* s as a JSON string; false when it is not UTF-8. */
static bool add_string(mls_buf *b, const char *s)
{
    json_t *text;
    char *quoted;

    if (mls_utf8_check(s, strlen(s)) != strlen(s))
        return false;
    text = json_string(s);
    quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
    if (quoted)
        mls_buf_puts(b, quoted);
    else
        b->failed = true;
    free(quoted);
    json_decref(text);
    return true;
}

/* One tensor of the header; *at is where its data begin and then where they end. */
static mls_status add_tensor(mls_buf *b, const mls_tensor_plan *t, uint64_t *at,
                             const char *path, mls_err *err)
{
    uint64_t n = mls_dtype_bits(t->dtype) / 8, end;
    bool fits = t->n_dims <= MLS_RANK_MAX;

    if (n == 0)
        return mls_fail(err, MLS_E_ARG, "%s: tensor \"%s\" has dtype %s", path, t->name,
                        t->dtype);
    if (!add_string(b, t->name))
        return mls_fail(err, MLS_E_ARG, "%s: a tensor's name is not UTF-8", path);
    mls_buf_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", t->dtype);
    for (size_t i = 0; fits && i < t->n_dims; i++) {
        mls_buf_printf(b, "%s%llu", i ? "," : "", (unsigned long long)t->shape[i]);
        fits = mls_mul_u64(&n, n, t->shape[i]);
    }
    if (!fits || !mls_add_u64(&end, *at, n))
        return mls_fail(err, MLS_E_ARG, "%s: tensor \"%s\" is too large", path,
                        t->name);
    mls_buf_printf(b, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)*at,
                   (unsigned long long)end);
    *at = end;
    return MLS_OK;
}

/* The header with spaces up to a multiple of 8 bytes, and the bytes of all data. */
static mls_status make_header(mls_buf *b, const mls_tensor_plan *tensors, size_t n,
                              const char *const (*metadata)[2], size_t n_metadata,
                              const char *path, uint64_t *data_bytes, mls_err *err)
{
    const char *comma = "";

    *data_bytes = 0;
    mls_buf_puts(b, "{");
    if (n_metadata) {
        mls_buf_puts(b, "\"__metadata__\":{");
        for (size_t i = 0; i < n_metadata; i++) {
            mls_buf_puts(b, i ? "," : "");
            if (!add_string(b, metadata[i][0]))
                return mls_fail(err, MLS_E_ARG, "%s: metadata is not UTF-8", path);
            mls_buf_puts(b, ":");
            if (!add_string(b, metadata[i][1]))
                return mls_fail(err, MLS_E_ARG, "%s: metadata is not UTF-8", path);
        }
        mls_buf_puts(b, "}");
        comma = ",";
    }
    for (size_t i = 0; i < n; i++) {
        mls_status st;

        mls_buf_puts(b, comma);
        comma = ",";
        st = add_tensor(b, &tensors[i], data_bytes, path, err);
        if (st)
            return st;
    }
    mls_buf_puts(b, "}");
    while (!b->failed && b->len % 8 != 0)
        mls_buf_puts(b, " ");
    return b->failed
               ? mls_fail(err, MLS_E_NOMEM, "no memory for the header of %s", path)
               : MLS_OK;
}

static mls_status put(mls_safetensors_writer *w, const void *data, size_t n,
                      mls_err *err)
{
    if (fwrite(data, 1, n, w->file) != n)
        return mls_fail(err, MLS_E_IO, "%s: writing %zu bytes: %s", w->path, n,
                        strerror(errno));
    return MLS_OK;
}

mls_status mls_safetensors_create(mls_safetensors_writer **out, const char *path,
                                  const mls_tensor_plan *tensors, size_t n_tensors,
                                  const char *const (*metadata)[2], size_t n_metadata,
                                  mls_err *err)
{
    mls_safetensors_writer *w = calloc(1, sizeof *w);
    mls_buf header = {0};
    unsigned char prefix[8];
    uint64_t data_bytes;
    mls_status st;

    *out = NULL;
    if (!w || !(w->path = strdup(path))) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to write %s", path);
        goto done;
    }
    st = make_header(&header, tensors, n_tensors, metadata, n_metadata, path,
                     &data_bytes, err);
    if (st)
        goto done;
    for (int i = 0; i < 8; i++)
        prefix[i] = (unsigned char)((uint64_t)header.len >> 8 * i);
    if ((st = mls_file_temp_name(path, &w->temp, err)))
        goto done;
    w->file = fopen(w->temp, "wb");
    if (!w->file) {
        st = mls_fail(err, MLS_E_IO, "%s: %s", path, strerror(errno));
        goto done;
    }
    if ((st = put(w, prefix, 8, err)) || (st = put(w, header.data, header.len, err)))
        goto done;
    /* The reader's own rules judge what was written: names given twice, for one. */
    st = mls_tensor_table_parse(&w->table, header.data, header.len, data_bytes, path,
                                err);
    header = (mls_buf){0};
    if (st == MLS_E_INPUT)
        st = mls_fail_in(err, MLS_E_ARG, "cannot be written");
    if (st)
        goto done;
    *out = w;
    w = NULL;

done:
    mls_buf_free(&header);
    mls_safetensors_abandon(w);
    return st;
}

/* The tensor that the next byte belongs to; NULL after the last. */
static const mls_tensor_info *current(mls_safetensors_writer *w)
{
    while (w->next < w->table.n && w->written == w->table.tensor[w->next].n_bytes) {
        w->next++;
        w->written = 0;
    }
    return w->next < w->table.n ? &w->table.tensor[w->next] : NULL;
}

static mls_status fail_full(const mls_safetensors_writer *w, mls_err *err)
{
    return mls_fail(err, MLS_E_ARG, "%s: more data than its tensors have", w->path);
}

mls_status mls_safetensors_write_raw(mls_safetensors_writer *w, const void *data,
                                     size_t n, mls_err *err)
{
    const unsigned char *from = data;

    while (n > 0) {
        const mls_tensor_info *t = current(w);
        size_t m;
        mls_status st;

        if (!t)
            return fail_full(w, err);
        m = n < t->n_bytes - w->written ? n : (size_t)(t->n_bytes - w->written);
        st = put(w, from, m, err);
        if (st)
            return st;
        w->written += m;
        from += m;
        n -= m;
    }
    return MLS_OK;
}

mls_status mls_safetensors_write_f32(mls_safetensors_writer *w, const float *x,
                                     size_t n, mls_err *err)
{
    enum { PIECE = 4096 };
    uint16_t half[PIECE];

    while (n > 0) {
        const mls_tensor_info *t = current(w);
        const bool f32 = t && strcmp(t->dtype, "F32") == 0;
        const bool bf16 = t && strcmp(t->dtype, "BF16") == 0;
        const size_t size = f32 ? 4 : 2;
        size_t m = n < PIECE ? n : PIECE;
        mls_status st;

        if (!t)
            return fail_full(w, err);
        if (!f32 && !bf16 && strcmp(t->dtype, "F16") != 0)
            return mls_fail(err, MLS_E_ARG,
                            "%s: tensor \"%.200s\" has dtype %s, floats were given",
                            w->path, t->name, t->dtype);
        if (m > (t->n_bytes - w->written) / size)
            m = (size_t)((t->n_bytes - w->written) / size);
        if (m == 0)
            return mls_fail(err, MLS_E_ARG, "%s: tensor \"%.200s\" has half an element",
                            w->path, t->name);
        for (size_t i = 0; !f32 && i < m; i++)
            half[i] = bf16 ? mls_float_to_bf16(x[i]) : mls_float_to_f16(x[i]);
        st = mls_safetensors_write_raw(w, f32 ? (const void *)x : half, size * m, err);
        if (st)
            return st;
        x += m;
        n -= m;
    }
    return MLS_OK;
}

mls_status mls_safetensors_finish(mls_safetensors_writer *w, mls_err *err)
{
    const mls_tensor_info *t = current(w);
    FILE *file = w->file;
    mls_status st = MLS_OK;

    if (t)
        st = mls_fail(err, MLS_E_ARG,
                      "%s: tensor \"%.200s\" has %llu bytes, expected %llu", w->path,
                      t->name, (unsigned long long)w->written,
                      (unsigned long long)t->n_bytes);
    w->file = NULL;
    if (fclose(file) && !st)
        st = mls_fail(err, MLS_E_IO, "%s: %s", w->path, strerror(errno));
    if (!st && !(st = mls_file_commit(w->temp, w->path, err))) {
        free(w->temp); /* it has the final name now */
        w->temp = NULL;
    }
    mls_safetensors_abandon(w);
    return st;
}

void mls_safetensors_abandon(mls_safetensors_writer *w)
{
    if (!w)
        return;
    if (w->file)
        fclose(w->file);
    if (w->temp)
        unlink(w->temp);
    mls_tensor_table_free(&w->table);
    free(w->temp);
    free(w->path);
    free(w);
}
