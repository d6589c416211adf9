/*
 * Pickles are written by hand, opcode by opcode, as torch.save and pickle.dump of a
 * contiguous tensor would have written them: PyTorch reads them, and none is needed to
 * write them.
 */
#include "datasets/files/rankfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zip.h>

#include "common/base/buf.h"
#include "common/base/checked.h"
#include "common/system/files.h"

/* --- Pickle, protocol 2 --- */

/* Little-endian, `bytes` wide. */
static void put_le(mls_buf *b, uint64_t x, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        const char byte = (char)(unsigned char)(x >> 8 * i & 0xff);

        mls_buf_add(b, &byte, 1);
    }
}

/* BININT1, BININT2 or BININT; x < 2^31. */
static void put_int(mls_buf *b, size_t x)
{
    mls_buf_puts(b, x < 1 << 8 ? "K" : x < 1 << 16 ? "M" : "J");
    put_le(b, x, x < 1 << 8 ? 1 : x < 1 << 16 ? 2 : 4);
}

/* BINUNICODE */
static void put_text(mls_buf *b, const char *text)
{
    mls_buf_puts(b, "X");
    put_le(b, strlen(text), 4);
    mls_buf_puts(b, text);
}

static void put_tuple(mls_buf *b, const size_t *x, size_t n)
{
    mls_buf_puts(b, "(");
    for (size_t i = 0; i < n; i++)
        put_int(b, x[i]);
    mls_buf_puts(b, "t");
}

/*
 * torch._utils._rebuild_tensor_v2(storage "0", offset 0, shape, strides, requires_grad
 * False, no hooks): what torch.save writes for one contiguous tensor of three
 * dimensions.
 */
static void put_tensor(mls_buf *b, const char *storage, const size_t shape[3])
{
    const size_t n = shape[0] * shape[1] * shape[2];
    const size_t strides[3] = {shape[1] * shape[2], shape[2], 1};

    mls_buf_add(b, "\x80\x02", 2);
    mls_buf_puts(b, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put_text(b, "storage");
    mls_buf_printf(b, "ctorch\n%s\n", storage);
    put_text(b, "0");
    put_text(b, "cpu");
    put_int(b, n);
    mls_buf_puts(b, "tQ"); /* BINPERSID of that tuple */
    put_int(b, 0);
    put_tuple(b, shape, 3);
    put_tuple(b, strides, 3);
    mls_buf_puts(b, "\x89"
                    "ccollections\nOrderedDict\n)RtR.");
}

/* {"note": note, "rank": {layer: torch.tensor([[chunk, ...], ...])}} */
static void put_orders(mls_buf *b, const mls_rankfile *f, const char *note)
{
    mls_buf_add(b, "\x80\x02}(", 4);
    put_text(b, "note");
    put_text(b, note ? note : "");
    put_text(b, "rank");
    mls_buf_puts(b, "}(");
    for (size_t l = 0; l < f->L; l++) {
        put_int(b, l);
        mls_buf_puts(b, "ctorch\ntensor\n(](");
        for (size_t h = 0; h < f->heads; h++) {
            mls_buf_puts(b, "](");
            for (size_t c = 0; c < f->C; c++)
                put_int(b, f->order[(l * f->heads + h) * f->C + c]);
            mls_buf_puts(b, "e");
        }
        mls_buf_puts(b, "etR");
    }
    mls_buf_puts(b, "uu.");
}

/* --- The archive --- */

/*
 * One stored member; no clock of ours goes in. data must live until the archive ends.
 */
static bool add_member(zip_t *zip, const char *name, const void *data, size_t len)
{
    zip_source_t *source = zip_source_buffer(zip, data, len, 0);
    zip_int64_t at;

    if (!source)
        return false;
    at = zip_file_add(zip, name, source, ZIP_FL_ENC_UTF_8);
    if (at < 0) {
        zip_source_free(source);
        return false;
    }
    return zip_set_file_compression(zip, (zip_uint64_t)at, ZIP_CM_STORE, 0) == 0 &&
           zip_file_set_dostime(zip, (zip_uint64_t)at, 0, 0x21 /* 1980-01-01 */, 0) ==
               0;
}

/* Make the archive in memory; source keeps its bytes. */
static bool make_archive(zip_source_t *source, const mls_buf *pickle,
                         const mls_buf *numbers)
{
    zip_t *zip = zip_open_from_source(source, ZIP_TRUNCATE, NULL);

    if (!zip)
        return false;
    zip_source_keep(source); /* zip_close() gives one reference back */
    if (add_member(zip, "archive/data.pkl", pickle->data, pickle->len) &&
        add_member(zip, "archive/byteorder", "little", 6) &&
        add_member(zip, "archive/data/0", numbers->data, numbers->len) &&
        add_member(zip, "archive/version", "3\n", 2) && zip_close(zip) == 0)
        return true;
    zip_discard(zip);
    return false;
}

static mls_status write_archive(const mls_buf *pickle, const mls_buf *numbers,
                                const char *path, mls_err *err)
{
    zip_source_t *source = zip_source_buffer_create(NULL, 0, 0, NULL);
    mls_status st = MLS_OK;
    char *bytes = NULL;
    zip_stat_t about;

    if (!source || !make_archive(source, pickle, numbers) ||
        zip_source_stat(source, &about) || !(about.valid & ZIP_STAT_SIZE) ||
        !(bytes = malloc((size_t)about.size)) || zip_source_open(source))
        st = mls_fail(err, MLS_E_NOMEM, "%s: no memory for an archive of %zu bytes",
                      path, numbers->len);
    if (!st) {
        const zip_int64_t n = zip_source_read(source, bytes, about.size);

        zip_source_close(source);
        st = n == (zip_int64_t)about.size
                 ? mls_file_write(path, bytes, (size_t)n, err)
                 : mls_fail(err, MLS_E_IO, "%s: the archive could not be made", path);
    }
    if (source)
        zip_source_free(source);
    free(bytes);
    return st;
}

/* --- Numbers --- */

/* uint8 (L, heads, 2 C): rank of the chunk of every dim. */
static mls_status put_ranks(mls_buf *b, const mls_rankfile *f, const char *path,
                            mls_err *err)
{
    char *row = mls_calloc3(2 * f->C, 1, 1, 1);

    if (!row)
        return mls_fail(err, MLS_E_NOMEM, "%s: no memory for %zu ranks", path, f->C);
    for (size_t i = 0; i < f->L * f->heads; i++) {
        for (size_t k = 0; k < f->C; k++) {
            const size_t c = f->order[i * f->C + k];

            row[c] = row[c + f->C] = (char)(unsigned char)k;
        }
        mls_buf_add(b, row, 2 * f->C);
    }
    free(row);
    return MLS_OK;
}

/* float32 (L, heads, C), larger is kept first. */
static mls_status put_scores(mls_buf *b, const mls_rankfile *f, const char *path,
                             mls_err *err)
{
    float *row = mls_calloc3(f->C, 1, 1, sizeof *row);

    if (!row)
        return mls_fail(err, MLS_E_NOMEM, "%s: no memory for %zu scores", path, f->C);
    for (size_t i = 0; i < f->L * f->heads; i++) {
        for (size_t k = 0; k < f->C; k++) {
            const size_t c = f->order[i * f->C + k];

            row[c] = f->score ? (float)f->score[i * f->C + c] : (float)(f->C - 1 - k);
        }
        for (size_t c = 0; c < f->C; c++) {
            uint32_t bits;

            memcpy(&bits, &row[c], sizeof bits);
            put_le(b, bits, 4);
        }
    }
    free(row);
    return MLS_OK;
}

mls_status mls_rankfile_write(const mls_rankfile *f, const char *note, const char *path,
                              mls_err *err)
{
    const bool ranks = f->kind == MLS_RANKFILE_RANKS;
    const size_t shape[3] = {f->L, f->heads, ranks ? 2 * f->C : f->C};
    mls_buf pickle = {0}, numbers = {0};
    mls_status st = MLS_OK;

    if (ranks && f->C > 256)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: ranks of %zu chunks do not fit a byte; the most is 256",
                        path, f->C);
    if (f->kind == MLS_RANKFILE_ORDERS)
        put_orders(&pickle, f, note);
    else
        put_tensor(&pickle, ranks ? "ByteStorage" : "FloatStorage", shape);
    if (f->kind != MLS_RANKFILE_ORDERS)
        st = ranks ? put_ranks(&numbers, f, path, err)
                   : put_scores(&numbers, f, path, err);
    if (!st && (pickle.failed || numbers.failed))
        st = mls_fail(err, MLS_E_NOMEM, "%s: no memory for the ranks of %zu layers",
                      path, f->L);
    if (!st)
        st = f->kind == MLS_RANKFILE_ORDERS
                 ? mls_file_write(path, pickle.data, pickle.len, err)
                 : write_archive(&pickle, &numbers, path, err);
    mls_buf_free(&pickle);
    mls_buf_free(&numbers);
    return st;
}
