/*
 * Which tensors of a folder are parts of a quantized matrix: their names and types say
 * so, quantization_config what they do not say. The parts become one tensor, under the
 * name of the matrix. Shapes are checked against each other: what is decoded later
 * stays within each part.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "datasets/base/json.h"
#include "datasets/checkpoint/checkpoint_inner.h"
#include "datasets/checkpoint/quantization.h"

enum { NAME = 256 };

typedef struct finder {
    mls_checkpoint *c;
    mls_quantization q;
    bool *used; /* (n_tensors): part of another tensor */
    mls_err *err;
} finder;

static mls_status wrong(const finder *f, const mls_packed *p, const char *what)
{
    return mls_fail(f->err, MLS_E_INPUT, "%s: quantized tensor \"%.200s\": %s",
                    f->c->folder, p->name, what);
}

/* base + suffix as a part, which nobody else then shows. */
static mls_packed_part take(finder *f, const char *base, const char *suffix)
{
    mls_packed_part part = {NULL, NULL};
    char name[2 * NAME];
    const mls_checkpoint_entry *e;

    snprintf(name, sizeof name, "%s%s", base, suffix);
    e = mls_checkpoint_entry_of(f->c, name);
    if (!e || e->packed)
        return part;
    part.file = f->c->shards[e->shard].file;
    part.info = e->info;
    f->used[e - f->c->tensors] = true;
    return part;
}

static bool is_type(const mls_packed_part *t, const char *dtype)
{
    return t->info && strcmp(t->info->dtype, dtype) == 0;
}

static bool is_word(const mls_packed_part *t)
{
    return is_type(t, "I32") || is_type(t, "U32");
}

static bool is_scale(const mls_packed_part *t)
{
    return t->info && (mls_dtype_is_float(t->info->dtype) || is_type(t, "F8_E8M0") ||
                       is_type(t, "U8"));
}

static void round_like(mls_packed *p, const char *dtype)
{
    if (strcmp(dtype, "F16") == 0 || strcmp(dtype, "BF16") == 0)
        snprintf(p->round, sizeof p->round, "%.6s", dtype);
}

/* Scales of one, of a row, or of a block of it: groups, group and row_block. */
static mls_status fit_scale(finder *f, mls_packed *p, uint64_t row_block,
                            uint64_t col_block)
{
    const mls_tensor_info *s = p->scale.info;
    const uint64_t planes = p->rows / p->plane_rows;

    p->groups = 1;
    p->group = p->cols;
    p->row_block = p->plane_rows;
    if (!s)
        return MLS_OK;
    if (!is_scale(&p->scale))
        return wrong(f, p, "its scales have a type that is no float");
    if (s->n_elements == planes)
        return MLS_OK;
    p->row_block = 1;
    /* As many blocks as rows are no rows: those are (R), (R, 1), of planes (n, R). */
    const uint64_t last = s->n_dims > 1 ? s->shape[s->n_dims - 1] : 1;

    if (s->n_elements == p->rows && (last == 1 || planes > 1))
        return MLS_OK;
    if (row_block && col_block) {
        p->row_block = row_block;
        p->group = col_block;
        p->groups = (p->cols + col_block - 1) / col_block;
        if (s->n_elements ==
            planes * ((p->plane_rows + row_block - 1) / row_block) * p->groups)
            return MLS_OK;
    }
    p->row_block = 1;
    p->groups = s->n_elements / p->rows;
    if (p->groups == 0 || s->n_elements % p->rows || p->groups > p->cols ||
        last != p->groups) /* (R, groups), not blocks that happen to be as many */
        return wrong(f, p, "the shape of its scales does not fit its own");
    p->group = (p->cols + p->groups - 1) / p->groups;
    return p->index.info || p->cols % p->groups == 0
               ? MLS_OK
               : wrong(f, p, "its columns are no multiple of its scales");
}

static void set_shape(mls_packed *p, const char *dtype, uint64_t rows, uint64_t cols)
{
    p->rows = rows;
    p->cols = cols;
    p->plane_rows = rows;
    p->info.n_dims = 2;
    p->info.shape[0] = rows;
    p->info.shape[1] = cols;
    snprintf(p->info.dtype, sizeof p->info.dtype, "%s", dtype);
}

/* rows (of all planes) and columns of a tensor as the file has it. */
static void shape_of(mls_packed *p, const mls_tensor_info *t)
{
    const size_t n = t->n_dims;
    const uint64_t cols = n ? t->shape[n - 1] : 1;

    set_shape(p, t->dtype, t->n_elements / cols, cols);
    p->info.n_dims = n;
    memcpy(p->info.shape, t->shape, sizeof p->info.shape);
    if (n > 2)
        p->plane_rows = t->shape[n - 2];
}

/* ---- the formats ---- */

/* Whether a tensor beside "X.weight" is an X.*scale* of another name than is known. */
static bool has_other_scale(const finder *f, const char *name)
{
    const char *dot = strrchr(name, '.');
    const size_t n = dot ? (size_t)(dot - name) + 1 : 0;

    for (size_t i = 0; n && i < f->c->n_tensors; i++) {
        const char *other = f->c->tensors[i].info->name;

        if (strncmp(other, name, n) == 0 && strcmp(other, name) != 0 &&
            strstr(other + n, "scale") && !strchr(other + n, '.'))
            return true;
    }
    return false;
}

/* name (.weight, or experts' own), name_scale_inv or name_scale. */
static mls_status find_float8(finder *f, mls_packed *p)
{
    p->layout = MLS_PACKED_FLOAT8;
    p->scale = take(f, p->name, "_scale_inv");
    if (!p->scale.info)
        p->scale = take(f, p->name, "_scale");
    shape_of(p, p->code.info);
    if (p->scale.info)
        round_like(p, p->scale.info->dtype);
    else if (f->q.json || has_other_scale(f, p->name))
        return wrong(f, p, "it has no weight_scale or weight_scale_inv");
    return fit_scale(f, p, f->q.block[0] ? f->q.block[0] : 128,
                     f->q.block[1] ? f->q.block[1] : 128);
}

static mls_status find_int8(finder *f, mls_packed *p, const char *base)
{
    mls_packed_part format;

    p->layout = MLS_PACKED_INT8;
    shape_of(p, p->code.info);
    p->scale = take(f, base, ".SCB");
    if (p->scale.info) { /* bitsandbytes: round(127 w / max), in rows */
        format = take(f, base, ".weight_format");
        if (format.info && format.info->n_bytes == 1) {
            unsigned char row = 0;

            if (mls_safetensors_read_raw(format.file, format.info, 0, 1, &row, f->err))
                return f->err->status;
            if (row != 0)
                return wrong(f, p, "its weight_format is not row");
        }
        p->scale_by = 7.874015718698502e-3f; /* 1 / 127, as the library writes it */
        snprintf(p->round, sizeof p->round, "F16");
        return p->scale.info->n_elements == p->rows ? fit_scale(f, p, 0, 0)
                                                    : wrong(f, p,
                                                            "its SCB has a wrong "
                                                            "shape");
    }
    p->scale = take(f, p->name, "_scale");
    p->zero = take(f, p->name, "_zero_point");
    if (!p->scale.info)
        return wrong(f, p, "it has no scales");
    round_like(p, p->scale.info->dtype);
    const mls_status st = fit_scale(f, p, 0, 0);

    if (!st && p->zero.info &&
        (!is_type(&p->zero, "I8") || p->row_block != 1 ||
         p->zero.info->n_elements != p->rows * p->groups))
        return wrong(f, p, "its zero points do not fit its scales");
    return st;
}

/* compressed-tensors: codes packed along a row, plus 2^(bits - 1). */
static mls_status find_compressed(finder *f, mls_packed *p, const char *base)
{
    const mls_packed_part shape = take(f, base, ".weight_shape");
    int64_t dims[2] = {0, 0};
    mls_status st;

    p->layout = MLS_PACKED_BITS;
    p->scale = take(f, base, ".weight_scale");
    p->zero = take(f, base, ".weight_zero_point");
    p->index = take(f, base, ".weight_g_idx");
    if (!is_word(&p->code) || p->code.info->n_dims != 2 || !p->scale.info ||
        !is_type(&shape, "I64") || shape.info->n_elements != 2)
        return wrong(f, p, "it lacks a part of compressed-tensors' pack-quantized");
    if ((st = mls_safetensors_read_raw(shape.file, shape.info, 0, sizeof dims, dims,
                                       f->err)))
        return st;
    const uint64_t words = p->code.info->shape[1];

    if (dims[0] <= 0 || dims[1] <= 0 || (uint64_t)dims[0] != p->code.info->shape[0])
        return wrong(f, p, "its weight_shape does not fit its codes");
    set_shape(p, "", (uint64_t)dims[0], (uint64_t)dims[1]);
    p->bits = 0;
    for (unsigned bits = 2; bits <= 8; bits *= 2)
        if (p->cols <= (uint64_t)1 << 40 && (p->cols * bits + 31) / 32 == words)
            p->bits = bits;
    if (!p->bits)
        return wrong(f, p, "its codes have neither 2, 4 nor 8 bits");
    p->center = 1 << (p->bits - 1);
    snprintf(p->info.dtype, sizeof p->info.dtype, "INT%u", p->bits);
    round_like(p, p->scale.info->dtype);
    if ((st = fit_scale(f, p, 0, 0)))
        return st;
    const uint64_t zero_rows = (p->rows * p->bits + 31) / 32;

    if (p->zero.info && (!is_word(&p->zero) || p->row_block != 1 ||
                         p->zero.info->n_elements != zero_rows * p->groups))
        return wrong(f, p, "its zero points do not fit its scales");
    if (p->index.info &&
        (!is_type(&p->index, "I32") || p->index.info->n_elements != p->cols))
        return wrong(f, p, "its weight_g_idx does not fit its columns");
    return MLS_OK;
}

/* GPTQ and AWQ: (in / 8, out) and (in, out / 8). */
static mls_status find_words(finder *f, mls_packed *p, const char *base)
{
    const bool awq = f->q.method == MLS_QUANT_AWQ;
    const mls_tensor_info *code = p->code.info;

    p->layout = awq ? MLS_PACKED_OUTPUTS : MLS_PACKED_INPUTS;
    p->scale = take(f, base, ".scales");
    p->zero = take(f, base, ".qzeros");
    p->index = take(f, base, ".g_idx");
    p->bits = f->q.bits;
    p->zero_less_one = !awq && !f->q.zero_as_is;
    if ((f->q.method != MLS_QUANT_GPTQ && !awq) || !is_word(&p->code) ||
        code->n_dims != 2 || !is_scale(&p->scale) || p->scale.info->n_dims != 2 ||
        !is_word(&p->zero))
        return wrong(f, p, "it lacks a part of GPTQ's or AWQ's layout");
    const uint64_t pack = 32 / p->bits;

    set_shape(p, awq ? "AWQ" : "GPTQ", code->shape[1] * (awq ? pack : 1),
              code->shape[0] * (awq ? 1 : pack));
    p->groups = p->scale.info->shape[0];
    p->group = f->q.group ? f->q.group : p->cols;
    p->row_block = 1;
    round_like(p, p->scale.info->dtype);
    if (p->groups == 0 || p->scale.info->shape[1] != p->rows || p->rows % pack ||
        (!p->index.info && (p->cols + p->group - 1) / p->group != p->groups))
        return wrong(f, p, "the shape of its scales does not fit its own");
    if (p->zero.info->n_elements != p->groups * (p->rows / pack))
        return wrong(f, p, "its zero points do not fit its scales");
    if (p->index.info &&
        (!is_type(&p->index, "I32") || p->index.info->n_elements != p->cols))
        return wrong(f, p, "its g_idx does not fit its columns");
    if (!p->index.info && !awq && p->groups > 1 &&
        json_is_true(json_object_get(f->q.json, "desc_act")))
        return wrong(f, p, "desc_act is true, and it has no g_idx");
    return MLS_OK;
}

/* MLX: a scale and a bias for each group; the bits follow from the shapes. */
static mls_status find_mlx(finder *f, mls_packed *p, const char *base)
{
    const mls_tensor_info *code = p->code.info;
    char module[NAME];

    p->layout = MLS_PACKED_BITS;
    p->scale = take(f, base, ".scales");
    p->bias = take(f, base, ".biases");
    snprintf(module, sizeof module, "%s", base);
    const json_t *own = json_object_get(f->q.json, module);
    const json_t *size = json_object_get(own, "group_size");
    const uint64_t group = json_is_integer(size) && json_integer_value(size) > 0
                               ? (uint64_t)json_integer_value(size)
                               : f->q.group;

    if (!p->bias.info)
        return wrong(f, p,
                     "it has scales without biases, which is not MLX's affine mode");
    if (code->n_dims < 2 || !mls_dtype_is_float(p->scale.info->dtype) || !group ||
        group > 1 << 20 || p->scale.info->n_dims != code->n_dims ||
        !mls_dtype_is_float(p->bias.info->dtype) ||
        p->bias.info->n_elements != p->scale.info->n_elements)
        return wrong(f, p, "it lacks a part of MLX's layout");
    const uint64_t groups = p->scale.info->shape[code->n_dims - 1];
    const uint64_t words = code->shape[code->n_dims - 1],
                   rows = code->n_elements / words;

    if (groups == 0 || groups > (uint64_t)1 << 30 ||
        p->scale.info->n_elements != rows * groups)
        return wrong(f, p, "the shape of its scales does not fit its own");
    p->bits = (unsigned)(words * 32 / (groups * group));
    if (p->bits < 2 || p->bits > 8 || p->bits * groups * group != words * 32)
        return wrong(f, p, "its codes have not 2 to 8 bits");
    shape_of(p, code);
    set_shape(p, "", rows, groups * group);
    if (code->n_dims > 2) {
        memcpy(p->info.shape, code->shape, sizeof p->info.shape);
        p->info.n_dims = code->n_dims;
        p->info.shape[code->n_dims - 1] = p->cols;
        p->plane_rows = code->shape[code->n_dims - 2];
    }
    snprintf(p->info.dtype, sizeof p->info.dtype, "MLX%u", p->bits);
    p->groups = groups;
    p->group = group;
    p->row_block = 1;
    round_like(p, p->scale.info->dtype);
    return MLS_OK;
}

static mls_status read_table(finder *f, const mls_packed *p, const mls_packed_part *t,
                             size_t n, float *out)
{
    if (!t->info || t->info->n_elements != n || !mls_dtype_is_float(t->info->dtype))
        return wrong(f, p, "it lacks a table of bitsandbytes");
    return mls_safetensors_read_f32(t->file, t->info, 0, n, out, f->err);
}

/* bitsandbytes: what the matrix was is told by a JSON text in a tensor of bytes. */
static mls_status find_flat4(finder *f, mls_packed *p)
{
    enum { STATE_MAX = 4096 };
    mls_packed_part state = take(f, p->name, ".quant_state.bitsandbytes__nf4");
    const mls_packed_part table = take(f, p->name, ".quant_map");
    const mls_packed_part inner = take(f, p->name, ".nested_quant_map");
    char text[STATE_MAX];
    json_t *json = NULL;
    mls_status st;

    if (!state.info)
        state = take(f, p->name, ".quant_state.bitsandbytes__fp4");
    p->layout = MLS_PACKED_FLAT4;
    p->scale = take(f, p->name, ".absmax");
    p->nested = take(f, p->name, ".nested_absmax");
    if (!state.info || state.info->n_bytes > STATE_MAX)
        return wrong(f, p, "it lacks bitsandbytes' quant_state");
    const size_t n = (size_t)state.info->n_bytes;

    if ((st = mls_safetensors_read_raw(state.file, state.info, 0, n, text, f->err)) ||
        (st = read_table(f, p, &table, 16, p->table)) ||
        (p->nested.info && (st = read_table(f, p, &inner, 256, p->nested_table))) ||
        (st = mls_json_object(&json, text, n, p->name, NULL, f->err)))
        return st;
    const json_t *shape = json_object_get(json, "shape");
    const json_int_t rows = json_integer_value(json_array_get(shape, 0));
    const json_int_t cols = json_integer_value(json_array_get(shape, 1));
    const json_int_t block = json_integer_value(json_object_get(json, "blocksize"));
    const json_int_t outer =
        json_integer_value(json_object_get(json, "nested_blocksize"));
    const char *dtype = json_string_value(json_object_get(json, "dtype"));
    const uint64_t total = rows > 0 && cols > 0 && rows <= 1 << 26 && cols <= 1 << 26
                               ? (uint64_t)rows * (uint64_t)cols
                               : 0;
    const char *fault = NULL;

    if (json_array_size(shape) != 2 || total == 0 || block <= 0 || block > 1 << 20 ||
        (total + 1) / 2 != p->code.info->n_elements)
        fault = "its quant_state does not fit its codes";
    else if (!p->scale.info || p->scale.info->n_elements !=
                                   (total + (uint64_t)block - 1) / (uint64_t)block)
        fault = "its absmax does not fit its codes";
    else if (p->nested.info &&
             (!is_type(&p->scale, "U8") || outer <= 0 || outer > 1 << 20 ||
              !mls_dtype_is_float(p->nested.info->dtype) ||
              p->nested.info->n_elements !=
                  (p->scale.info->n_elements + (uint64_t)outer - 1) / (uint64_t)outer))
        fault = "its nested_absmax does not fit its absmax";
    else if (!p->nested.info && !mls_dtype_is_float(p->scale.info->dtype))
        fault = "its absmax is no float";
    if (fault) {
        json_decref(json);
        return wrong(f, p, fault);
    }
    set_shape(p, table.info && strstr(state.info->name, "fp4") ? "FP4" : "NF4",
              (uint64_t)rows, (uint64_t)cols);
    p->block = (uint64_t)block;
    p->nested_block = (uint64_t)outer;
    p->nested_offset = (float)json_number_value(json_object_get(json, "nested_offset"));
    round_like(p, dtype && strcmp(dtype, "float16") == 0    ? "F16"
                  : dtype && strcmp(dtype, "bfloat16") == 0 ? "BF16"
                                                            : "");
    json_decref(json);
    return MLS_OK;
}

static mls_status find_mx4(finder *f, mls_packed *p)
{
    const mls_tensor_info *t = p->code.info;

    p->layout = MLS_PACKED_MX4;
    p->scale = take(f, p->name, "_scales");
    if (t->n_dims != 4 || t->shape[3] != 16 || !is_type(&p->scale, "U8") ||
        p->scale.info->n_elements * 16 != t->n_elements || t->shape[0] > 1 << 16 ||
        t->shape[2] > 1 << 20 || t->n_elements == 0)
        return wrong(f, p, "it lacks a part of gpt-oss's MXFP4 layout");
    set_shape(p, "MXFP4", t->shape[0] * t->shape[2] * 32, t->shape[1]);
    p->plane_rows = t->shape[2] * 32;
    p->info.n_dims = 3;
    p->info.shape[0] = t->shape[0];
    p->info.shape[1] = p->plane_rows;
    p->info.shape[2] = t->shape[1];
    return MLS_OK;
}

/* ---- all of them ---- */

static bool ends(const char *name, const char *suffix)
{
    const size_t n = strlen(name), m = strlen(suffix);

    return n > m && strcmp(name + n - m, suffix) == 0;
}

static bool has(const finder *f, const char *base, const char *suffix)
{
    char name[2 * NAME];

    snprintf(name, sizeof name, "%s%s", base, suffix);
    return mls_checkpoint_entry_of(f->c, name) != NULL;
}

static mls_status find_one(finder *f, mls_checkpoint_entry *e, bool *found,
                           mls_packed *p)
{
    const char *name = e->info->name, *dtype = e->info->dtype;
    char base[NAME];
    const char *dot = strrchr(name, '.');
    const bool weight = ends(name, ".weight");
    mls_status st = MLS_OK;

    *found = true;
    snprintf(base, sizeof base, "%.*s", dot ? (int)(dot - name) : 0, name);
    p->code = (mls_packed_part){f->c->shards[e->shard].file, e->info};
    p->scale_by = 1;
    snprintf(p->name, NAME + 8, "%s", name);
    if (ends(name, ".qweight") || ends(name, ".weight_packed"))
        snprintf(p->name, NAME + 8, "%s.weight", base);
    if (ends(name, ".qweight"))
        st = find_words(f, p, base);
    else if (ends(name, ".weight_packed"))
        st = find_compressed(f, p, base);
    else if (strcmp(dtype, "U8") == 0 && has(f, name, ".absmax"))
        st = find_flat4(f, p);
    else if (weight && has(f, name, ".absmax"))
        st = wrong(f, p, "its codes are stored as another type than U8");
    else if (weight && strcmp(dtype, "I8") == 0)
        st = find_int8(f, p, base);
    else if (weight && strcmp(dtype, "U32") == 0 && has(f, base, ".scales"))
        st = find_mlx(f, p, base);
    else if (strcmp(dtype, "F8_E4M3") == 0 || strcmp(dtype, "F8_E5M2") == 0)
        st = find_float8(f, p);
    else if (ends(name, "_blocks") && strcmp(dtype, "U8") == 0) {
        snprintf(p->name, NAME + 8, "%.*s", (int)(strlen(name) - strlen("_blocks")),
                 name);
        st = find_mx4(f, p);
    } else
        *found = false;
    return st;
}

/* Values of activations, which weights do not need. */
static bool is_of_activations(const char *name)
{
    static const char *const suffixes[] = {".input_scale",      ".output_scale",
                                           ".activation_scale", ".input_scale_ub",
                                           ".input_zero_point", ".input_global_scale"};

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
        if (ends(name, suffixes[i]))
            return true;
    return false;
}

static mls_status find_all(finder *f)
{
    mls_checkpoint *c = f->c;

    for (size_t i = 0; i < c->n_tensors; i++) {
        mls_checkpoint_entry *e = &c->tensors[i];
        bool found;
        mls_packed *p;
        mls_status st;

        if (f->used[i] || strlen(e->info->name) >= NAME || e->info->n_elements == 0)
            continue;
        if (f->q.json && is_of_activations(e->info->name)) {
            f->used[i] = true;
            continue;
        }
        p = calloc(1, sizeof *p);
        if (!p || !(p->name = calloc(1, NAME + 8))) {
            free(p);
            return mls_checkpoint_no_memory(c, f->err);
        }
        st = find_one(f, e, &found, p);
        if (st || !found) {
            free(p->name);
            free(p);
            if (st)
                return st;
            continue;
        }
        p->info.name = p->name;
        p->info.n_elements = p->rows * p->cols;
        p->info.n_bytes = p->code.info->n_bytes;
        e->packed = p;
        e->info = &p->info;
    }
    return MLS_OK;
}

mls_status mls_checkpoint_find_packed(mls_checkpoint *c, mls_err *err)
{
    finder f = {.c = c, .err = err};
    json_t *file = NULL;
    char why[256];
    size_t k = 0, packed = 0;
    mls_status st = mls_json_object(&file, c->config_json, c->config_json_len,
                                    c->folder, NULL, err);

    if (st)
        return st;
    mls_quantization_read(&f.q, file, json_object_get(file, "text_config"), why,
                          sizeof why);
    f.used = calloc(c->n_tensors + 1, sizeof *f.used);
    if (!f.used)
        st = mls_checkpoint_no_memory(c, err);
    else if (!why[0]) /* of others the layout is not known */
        st = find_all(&f);
    c->parameters = 0;
    for (size_t i = 0; !st && i < c->n_tensors; i++)
        if (!f.used[i]) {
            c->parameters += c->tensors[i].info->n_elements;
            packed += c->tensors[i].packed != NULL;
            c->tensors[k++] = c->tensors[i];
        }
    if (!st && (packed > 0 || k < c->n_tensors)) {
        c->n_tensors = k;
        st = mls_checkpoint_sort(c, err);
    }
    free(f.used);
    json_decref(file);
    return st;
}

void mls_checkpoint_free_packed(mls_checkpoint *c)
{
    for (size_t i = 0; i < c->n_tensors; i++)
        if (c->tensors[i].packed) {
            free(c->tensors[i].packed->name);
            free(c->tensors[i].packed);
        }
}
