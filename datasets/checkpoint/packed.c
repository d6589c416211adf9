/*
 * w = round((code - zero) scale) + bias, in the arithmetic of the library that wrote
 * the file: a product of floats, rounded to the scales' type where that is of 16 bits.
 *
 *   FP8                 zero 0, a scale for a block, a row or all (DeepSeek-V3's
 *                       inference/kernel.py, vLLM, compressed-tensors)
 *   GPTQ                AutoGPTQ, nn_modules/qlinear/qlinear_cuda.py: zero + 1 modulo
 *                       2^bits; g_idx says which scales a column has
 *   AWQ                 AutoAWQ, utils/packing_utils.py: rows 0 2 4 6 1 3 5 7 in a word
 *   bitsandbytes        functional.py: a table of 16 numbers times a scale for 64,
 *                       which may be a code itself; int8: scale / 127
 *   compressed-tensors  compressors/pack_quantized: codes are stored plus 2^(bits - 1)
 *   MLX                 mlx/ops.cpp, dequantize: code scale + bias, two roundings
 *   MXFP4               OCP MX 1.0; transformers, integrations/mxfp4.py
 *
 * Rows are decoded in batches, so memory is bounded whatever the file's size.
 */
#include "datasets/checkpoint/packed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/numbers/half.h"
#include "common/numbers/small_float.h"

enum { BATCH = 1 << 22 }; /* numbers */

static mls_status no_memory(const mls_packed *p, mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory to decode %s", p->name);
}

/* A rectangle of a (., width) tensor of `size`-byte numbers. */
static mls_status read_block(const mls_packed_part *t, size_t size, uint64_t width,
                             uint64_t row, uint64_t rows, uint64_t col, uint64_t cols,
                             void *out, mls_err *err)
{
    const size_t run = (size_t)cols * size;
    mls_status st = MLS_OK;

    if (col == 0 && cols == width)
        return mls_safetensors_read_raw(t->file, t->info, row * width * size,
                                        (size_t)rows * run, out, err);
    for (uint64_t i = 0; !st && i < rows; i++)
        st =
            mls_safetensors_read_raw(t->file, t->info, ((row + i) * width + col) * size,
                                     run, (char *)out + i * run, err);
    return st;
}

/* The same as floats; a byte is a power of two. */
static mls_status read_floats(const mls_packed_part *t, uint64_t width, uint64_t row,
                              uint64_t rows, uint64_t col, uint64_t cols, float *out,
                              mls_err *err)
{
    mls_status st = MLS_OK;

    if (mls_dtype_is_float(t->info->dtype)) {
        if (col == 0 && cols == width)
            return mls_safetensors_read_f32(t->file, t->info, row * width,
                                            (size_t)(rows * cols), out, err);
        for (uint64_t i = 0; !st && i < rows; i++)
            st = mls_safetensors_read_f32(t->file, t->info, (row + i) * width + col,
                                          (size_t)cols, out + i * cols, err);
        return st;
    }
    unsigned char *raw = malloc((size_t)(rows * cols));

    if (!raw)
        return mls_fail(err, MLS_E_NOMEM, "no memory to decode %s", t->info->name);
    st = read_block(t, 1, width, row, rows, col, cols, raw, err);
    for (uint64_t i = 0; !st && i < rows * cols; i++)
        out[i] = mls_e8m0_to_float(raw[i]);
    free(raw);
    return st;
}

/* ---- codes, as floats ---- */

static void put_bytes(const mls_packed *p, const unsigned char *raw, size_t n,
                      float *out)
{
    const bool wide = strcmp(p->code.info->dtype, "F8_E5M2") == 0;

    for (size_t i = 0; i < n; i++)
        out[i] = p->layout == MLS_PACKED_INT8 ? (float)(int8_t)raw[i]
                 : wide                       ? mls_e5m2_to_float(raw[i])
                                              : mls_e4m3_to_float(raw[i]);
}

/* Bit k of a row is bit k % 8 of its byte k / 8. */
static void put_bits(const mls_packed *p, const unsigned char *raw, uint64_t row_bytes,
                     size_t n, float *out)
{
    const unsigned mask = (1u << p->bits) - 1;

    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < p->cols; c++) {
            const uint64_t bit = c * p->bits, byte = bit / 8;
            const unsigned char *at = raw + i * row_bytes + byte;
            unsigned code = at[0];

            if (byte + 1 < row_bytes)
                code |= (unsigned)at[1] << 8;
            out[i * p->cols + c] = (float)((code >> bit % 8) & mask);
        }
}

/* Where the row of an output lies in AWQ's word. */
static const unsigned awq_place[8] = {0, 4, 1, 5, 2, 6, 3, 7};

static unsigned code_in(const mls_packed *p, uint32_t word, uint64_t row)
{
    const unsigned pack = 32 / p->bits, at = (unsigned)(row % pack);

    return word >> p->bits * (p->layout == MLS_PACKED_OUTPUTS ? awq_place[at] : at) &
           ((1u << p->bits) - 1);
}

static mls_status read_codes(const mls_packed *p, uint64_t row, size_t n, float *out,
                             mls_err *err)
{
    const uint64_t pack = p->bits ? 32 / p->bits : 1, C = p->cols;
    const uint64_t word0 = row / pack, words = (row + n - 1) / pack - word0 + 1;
    const uint64_t width =
        p->layout == MLS_PACKED_BITS ? p->code.info->n_bytes / p->rows : C;
    uint64_t bytes = n * width;
    mls_status st;

    if (p->layout == MLS_PACKED_INPUTS)
        bytes = C / pack * n * 4;
    if (p->layout == MLS_PACKED_OUTPUTS)
        bytes = C * words * 4;
    unsigned char *raw = malloc((size_t)bytes);

    if (!raw)
        return no_memory(p, err);
    switch (p->layout) {
    case MLS_PACKED_INPUTS:
        st = read_block(&p->code, 4, p->rows, 0, C / pack, row, n, raw, err);
        for (uint64_t c = 0; !st && c < C; c++)
            for (uint64_t i = 0; i < n; i++) {
                uint32_t word;

                memcpy(&word, raw + (c / pack * n + i) * 4, 4);
                out[i * C + c] =
                    (float)(word >> p->bits * (c % pack) & ((1u << p->bits) - 1));
            }
        break;
    case MLS_PACKED_OUTPUTS:
        st = read_block(&p->code, 4, p->rows / pack, 0, C, word0, words, raw, err);
        for (uint64_t c = 0; !st && c < C; c++)
            for (uint64_t i = 0; i < n; i++) {
                uint32_t word;

                memcpy(&word, raw + (c * words + (row + i) / pack - word0) * 4, 4);
                out[i * C + c] = (float)code_in(p, word, row + i);
            }
        break;
    case MLS_PACKED_BITS:
        st = read_block(&p->code, 1, width, row, n, 0, width, raw, err);
        if (!st)
            put_bits(p, raw, width, n, out);
        break;
    default:
        st = read_block(&p->code, 1, C, row, n, 0, C, raw, err);
        if (!st)
            put_bytes(p, raw, n * (size_t)C, out);
    }
    free(raw);
    return st;
}

/* ---- scales and zero points: (n, groups) ---- */

static bool by_column(const mls_packed *p)
{
    return p->layout == MLS_PACKED_INPUTS || p->layout == MLS_PACKED_OUTPUTS;
}

/* Of the rows' scales, which begin with those of *from. */
static mls_status read_scales(const mls_packed *p, const mls_packed_part *part,
                              uint64_t row, size_t n, float **out, mls_err *err)
{
    const uint64_t per_plane = (p->plane_rows + p->row_block - 1) / p->row_block;
    const uint64_t G = p->groups;
    float *x = mls_calloc3(n, (size_t)G, 1, sizeof *x), *rows;
    mls_status st = MLS_OK;

    *out = x;
    if (!x)
        return no_memory(p, err);
    rows = mls_calloc3(n, (size_t)G, 1, sizeof *rows);
    if (!rows)
        return no_memory(p, err);
    if (by_column(p)) {
        st = read_floats(part, p->rows, 0, G, row, n, rows, err);
        for (size_t i = 0; !st && i < n; i++)
            for (uint64_t g = 0; g < G; g++)
                x[i * G + g] = rows[g * n + i];
    } else {
        const uint64_t first =
            row / p->plane_rows * per_plane + row % p->plane_rows / p->row_block;
        const uint64_t end = row + n - 1;
        const uint64_t last =
            end / p->plane_rows * per_plane + end % p->plane_rows / p->row_block;

        st = read_floats(part, G, first, last - first + 1, 0, G, rows, err);
        for (size_t i = 0; !st && i < n; i++) {
            const uint64_t r = row + i;
            const uint64_t at =
                r / p->plane_rows * per_plane + r % p->plane_rows / p->row_block;

            memcpy(x + i * G, rows + (at - first) * G, (size_t)G * sizeof *x);
        }
    }
    free(rows);
    return st;
}

static mls_status read_zeros(const mls_packed *p, uint64_t row, size_t n, float **out,
                             mls_err *err)
{
    const uint64_t G = p->groups, pack = p->bits ? 32 / p->bits : 1;
    const bool bytes = p->layout == MLS_PACKED_INT8;
    const uint64_t word0 = row / pack, words = (row + n - 1) / pack - word0 + 1;
    float *x = mls_calloc3(n, (size_t)G, 1, sizeof *x);
    unsigned char *raw = mls_calloc3((size_t)(bytes ? n : words), (size_t)G, 4, 1);
    const unsigned mask = (1u << p->bits) - 1;
    mls_status st = MLS_OK;

    *out = x;
    if (!x || !raw) {
        free(raw);
        return no_memory(p, err);
    }
    if (!p->zero.info) {
        for (size_t k = 0; k < n * (size_t)G; k++)
            x[k] = (float)p->center;
    } else if (bytes) {
        st = read_block(&p->zero, 1, G, row, n, 0, G, raw, err);
        for (size_t k = 0; !st && k < n * (size_t)G; k++)
            x[k] = (float)(int8_t)raw[k];
    } else {
        st = by_column(p)
                 ? read_block(&p->zero, 4, p->rows / pack, 0, G, word0, words, raw, err)
                 : read_block(&p->zero, 4, G, word0, words, 0, G, raw, err);
        for (size_t i = 0; !st && i < n; i++)
            for (uint64_t g = 0; g < G; g++) {
                const uint64_t w = (row + i) / pack - word0;
                uint32_t word;
                unsigned zero;

                memcpy(&word, raw + 4 * (by_column(p) ? g * words + w : w * G + g), 4);
                zero = code_in(p, word, row + i);
                x[i * G + g] = (float)(p->zero_less_one ? (zero + 1) & mask : zero);
            }
    }
    free(raw);
    return st;
}

static float rounded(const mls_packed *p, float x)
{
    return p->round[0] == 'F'   ? mls_round_f16(x)
           : p->round[0] == 'B' ? mls_bf16_to_float(mls_float_to_bf16(x))
                                : x;
}

/* Which scales a column has. */
static mls_status read_index(const mls_packed *p, uint32_t **out, mls_err *err)
{
    uint32_t *g = mls_calloc3((size_t)p->cols, 1, 1, sizeof *g);
    mls_status st = MLS_OK;

    *out = g;
    if (!g)
        return no_memory(p, err);
    if (p->index.info)
        st = mls_safetensors_read_raw(p->index.file, p->index.info, 0,
                                      (size_t)p->cols * 4, g, err);
    for (uint64_t c = 0; !st && c < p->cols; c++) {
        if (!p->index.info)
            g[c] = (uint32_t)(c / p->group);
        if (g[c] >= p->groups)
            st = mls_fail(err, MLS_E_INPUT,
                          "tensor \"%.200s\" has %u at [%llu], expected a group below "
                          "%llu",
                          p->index.info ? p->index.info->name : p->name, g[c],
                          (unsigned long long)c, (unsigned long long)p->groups);
    }
    return st;
}

static mls_status decode_matrix(const mls_packed *p, uint64_t row, size_t n, float *out,
                                mls_err *err)
{
    float *scale = NULL, *zero = NULL, *bias = NULL;
    uint32_t *g = NULL;
    mls_status st = read_codes(p, row, n, out, err);

    if (!st && p->scale.info)
        st = read_scales(p, &p->scale, row, n, &scale, err);
    if (!st && p->bias.info)
        st = read_scales(p, &p->bias, row, n, &bias, err);
    if (!st && p->layout != MLS_PACKED_FLOAT8)
        st = read_zeros(p, row, n, &zero, err);
    if (!st && scale)
        st = read_index(p, &g, err);
    for (size_t i = 0; !st && scale && i < n; i++)
        for (uint64_t c = 0; c < p->cols; c++) {
            const uint64_t k = i * p->groups + g[c];
            float *x = &out[i * p->cols + c];

            *x = rounded(p, (*x - (zero ? zero[k] : 0.0f)) * (scale[k] * p->scale_by));
            if (bias)
                *x = rounded(p, *x + bias[k]);
        }
    free(g);
    free(bias);
    free(zero);
    free(scale);
    return st;
}

/* ---- bitsandbytes' nibbles ---- */

static mls_status read_absmax(const mls_packed *p, uint64_t first, size_t n, float *out,
                              mls_err *err)
{
    const uint64_t b = p->nested_block;
    mls_status st;

    if (!p->nested.info)
        return mls_safetensors_read_f32(p->scale.file, p->scale.info, first, n, out,
                                        err);
    const size_t outer = (size_t)((first + n - 1) / b - first / b + 1);
    unsigned char *code = malloc(n);
    float *max = mls_calloc3(outer, 1, 1, sizeof *max);

    st = code && max ? mls_safetensors_read_raw(p->scale.file, p->scale.info, first, n,
                                                code, err)
                     : no_memory(p, err);
    if (!st)
        st = mls_safetensors_read_f32(p->nested.file, p->nested.info, first / b, outer,
                                      max, err);
    for (size_t i = 0; !st && i < n; i++)
        out[i] = p->nested_table[code[i]] * max[(first + i) / b - first / b] +
                 p->nested_offset;
    free(max);
    free(code);
    return st;
}

static mls_status decode_flat(const mls_packed *p, uint64_t row, size_t n, float *out,
                              mls_err *err)
{
    const uint64_t first = row * p->cols, end = first + n * p->cols;
    const uint64_t byte = first / 2, scale0 = first / p->block;
    const size_t bytes = (size_t)((end + 1) / 2 - byte);
    const size_t scales = (size_t)((end - 1) / p->block - scale0 + 1);
    unsigned char *raw = malloc(bytes);
    float *scale = mls_calloc3(scales, 1, 1, sizeof *scale);
    mls_status st = raw && scale ? mls_safetensors_read_raw(p->code.file, p->code.info,
                                                            byte, bytes, raw, err)
                                 : no_memory(p, err);

    if (!st)
        st = read_absmax(p, scale0, scales, scale, err);
    for (uint64_t k = first; !st && k < end; k++) {
        const unsigned two = raw[k / 2 - byte];

        out[k - first] = rounded(p, p->table[k % 2 ? two & 15 : two >> 4] *
                                        scale[k / p->block - scale0]);
    }
    free(scale);
    free(raw);
    return st;
}

/* ---- MXFP4: stored (n, cols, rows / 32, 16), read (n, rows, cols) ---- */

static mls_status decode_mx4(const mls_packed *p, uint64_t row, size_t n, float *out,
                             mls_err *err)
{
    const uint64_t C = p->cols, blocks = p->plane_rows / 32;
    const uint64_t plane = row / p->plane_rows, e = row % p->plane_rows;
    const uint64_t b0 = e / 32, b = (e + n - 1) / 32 - b0 + 1;
    unsigned char *code = mls_calloc3((size_t)C, (size_t)b, 16, 1);
    unsigned char *power = mls_calloc3((size_t)C, (size_t)b, 1, 1);
    mls_status st =
        code && power ? read_block(&p->code, 16, blocks, plane * C, C, b0, b, code, err)
                      : no_memory(p, err);

    if (!st)
        st = read_block(&p->scale, 1, blocks, plane * C, C, b0, b, power, err);
    for (uint64_t i = 0; !st && i < n; i++)
        for (uint64_t c = 0; c < C; c++) {
            const uint64_t at = c * b + (e + i) / 32 - b0;
            const unsigned two = code[at * 16 + (e + i) % 32 / 2];

            out[i * C + c] =
                mls_e2m1_to_float((uint8_t)((e + i) % 2 ? two >> 4 : two & 15)) *
                mls_e8m0_to_float(power[at]);
        }
    free(power);
    free(code);
    return st;
}

static mls_status decode_rows(const mls_packed *p, uint64_t row, size_t n, float *out,
                              mls_err *err)
{
    return p->layout == MLS_PACKED_FLAT4 ? decode_flat(p, row, n, out, err)
           : p->layout == MLS_PACKED_MX4 ? decode_mx4(p, row, n, out, err)
                                         : decode_matrix(p, row, n, out, err);
}

mls_status mls_packed_read(const mls_packed *p, uint64_t first, size_t n, float *out,
                           mls_err *err)
{
    const uint64_t C = p->cols;
    const uint64_t batch = C < BATCH ? BATCH / C : 1;
    float *row = NULL;
    mls_status st = MLS_OK;

    while (!st && n > 0) {
        const uint64_t r = first / C, at = first % C;
        uint64_t m = n / C < batch ? n / C : batch;
        size_t done;

        if (m > p->plane_rows - r % p->plane_rows)
            m = p->plane_rows - r % p->plane_rows;
        if (at == 0 && m > 0) {
            st = decode_rows(p, r, (size_t)m, out, err);
            done = (size_t)(m * C);
        } else {
            done = n < C - at ? n : (size_t)(C - at);
            if (!row)
                row = mls_calloc3((size_t)C, 1, 1, sizeof *row);
            st = row ? decode_rows(p, r, 1, row, err) : no_memory(p, err);
            if (!st)
                memcpy(out, row + at, done * sizeof *out);
        }
        first += done;
        out += done;
        n -= done;
    }
    free(row);
    return st;
}
