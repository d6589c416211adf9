/*
 * llama.cpp's converter orders some matrices for its own kernels (conversion/llama.py,
 * deepseek.py, qwen.py, mamba.py). Here each row of Hugging Face's tensor is looked up
 * where the file has it, so that sums run over the same numbers in the same order:
 *
 *   q, k of Llama's kin   dim c of a head beside dim c + D/2
 *   kv_b of MLA           keys' part transposed for absorption, values' part apart
 *   qkvz of Qwen3-Next    of all heads q, then k, then v; z is a tensor of its own
 *   Qwen3.5's value heads  head j of key head g lies at j G + g, not at g r + j
 *   A_log                 its -exp: the logarithm is taken again, to 1e-7
 */
#include "datasets/checkpoint/gguf_order.h"

#include <math.h>
#include <stdlib.h>

bool mls_gguf_place_is_plain(const mls_gguf_place *p)
{
    return p->order == MLS_GGUF_SAME && !p->decay;
}

/* Value head h of Hugging Face's, in the file. */
static uint64_t tiled_head(const mls_gguf_place *p, uint64_t h)
{
    const uint64_t each = p->heads / p->groups;

    return h % each * p->groups + h / each;
}

static uint64_t tiled(const mls_gguf_place *p, uint64_t row)
{
    return row < p->head ? row
                         : p->head + tiled_head(p, (row - p->head) / p->D) * p->D +
                               (row - p->head) % p->D;
}

/* Row of q, k, v, z of a key head: its row in the file, *second: of z's tensor. */
static uint64_t grouped(const mls_gguf_place *p, uint64_t row, bool *second)
{
    const uint64_t each = p->heads / p->groups * p->V, all = 2 * p->K + 2 * each;
    const uint64_t g = row / all, d = row % all, keys = p->groups * p->K;

    *second = d >= 2 * p->K + each;
    return d < p->K              ? g * p->K + d
           : d < 2 * p->K        ? keys + g * p->K + d - p->K
           : d < 2 * p->K + each ? 2 * keys + g * each + d - 2 * p->K
                                 : g * each + d - 2 * p->K - each;
}

/* The row as the file has it. */
static uint64_t stored_row(const mls_gguf_place *p, uint64_t row, bool *second)
{
    const uint64_t d = p->D ? row % p->D : 0, made = p->K + p->V;

    *second = false;
    switch (p->order) {
    case MLS_GGUF_PAIRS:
        return row - d + (d < p->D / 2 ? 2 * d : 2 * (d - p->D / 2) + 1);
    case MLS_GGUF_GROUPS:
        return grouped(p, row, second);
    case MLS_GGUF_TILES:
        return tiled(p, row);
    case MLS_GGUF_LATENT: /* of values; see latent_key */
        *second = true;
        return row / made * p->V + row % made - p->K;
    case MLS_GGUF_SAME:
    case MLS_GGUF_COLUMNS:
        break;
    }
    return row;
}

/* A key's row of kv_b: a column of its head's plane, which is read into `plane`. */
static mls_status latent_key(const mls_gguf_place *p, uint64_t row, float *plane,
                             uint64_t *held, uint64_t col, size_t n, float *out,
                             mls_err *err)
{
    const uint64_t h = row / (p->K + p->V), d = row % (p->K + p->V);
    mls_status st = MLS_OK;

    if (*held != h)
        st = mls_gguf_read_f32(p->file, p->stored, h * p->cols * p->K,
                               (size_t)(p->cols * p->K), plane, err);
    *held = st ? UINT64_MAX : h;
    for (size_t i = 0; !st && i < n; i++)
        out[i] = plane[(col + i) * p->K + d];
    return st;
}

/* Part of a row whose columns lie in another order, from the whole row. */
static mls_status tiled_columns(const mls_gguf_place *p, uint64_t row, float *whole,
                                uint64_t col, size_t n, float *out, mls_err *err)
{
    const mls_status st = mls_gguf_read_f32(p->file, p->stored, row * p->cols,
                                            (size_t)p->cols, whole, err);

    for (size_t i = 0; !st && i < n; i++)
        out[i] = whole[tiled(p, col + i)];
    return st;
}

static mls_status read_rows(const mls_gguf_place *p, uint64_t first, size_t n,
                            float *out, float *space, mls_err *err)
{
    uint64_t held = UINT64_MAX; /* the head whose plane `space` holds */
    mls_status st = MLS_OK;

    while (!st && n > 0) {
        const uint64_t row = first / p->cols, col = first % p->cols;
        const size_t m = n < p->cols - col ? n : (size_t)(p->cols - col);
        bool second;

        if (p->order == MLS_GGUF_LATENT && row % (p->K + p->V) < p->K)
            st = latent_key(p, row, space, &held, col, m, out, err);
        else if (p->order == MLS_GGUF_COLUMNS)
            st = tiled_columns(p, row, space, col, m, out, err);
        else {
            const uint64_t at = stored_row(p, row, &second) * p->cols + col;

            st = mls_gguf_read_f32(second ? p->file2 : p->file,
                                   second ? p->stored2 : p->stored, at, m, out, err);
        }
        first += m;
        out += m;
        n -= m;
    }
    return st;
}

mls_status mls_gguf_place_read(const mls_gguf_place *p, uint64_t first, size_t n,
                               float *out, mls_err *err)
{
    const uint64_t room = p->order == MLS_GGUF_LATENT    ? p->cols * p->K
                          : p->order == MLS_GGUF_COLUMNS ? p->cols
                                                         : 1;
    float *space = NULL;
    mls_status st;

    if (p->order == MLS_GGUF_SAME)
        st = mls_gguf_read_f32(p->file, p->stored, p->from + first, n, out, err);
    else if (!(space = malloc((size_t)room * sizeof *space)))
        st = mls_fail(err, MLS_E_NOMEM, "no memory to read a tensor of %s",
                      mls_gguf_path(p->file));
    else
        st = read_rows(p, first, n, out, space, err);
    free(space);
    for (size_t i = 0; !st && p->decay && i < n; i++)
        out[i] = (float)log(-(double)out[i]);
    return st;
}
