/*
 * Every format is known by name and refused where its numbers would be misread: GPTQ's
 * zero points mean another thing in gptq_v2, MLX says no quant_method.
 */
#include "datasets/checkpoint/quantization.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "datasets/base/json.h"

static const struct {
    const char *name;
    mls_quant_method method;
} methods[] = {
    {"fp8", MLS_QUANT_FP8},
    {"fbgemm_fp8", MLS_QUANT_FP8},
    {"gptq", MLS_QUANT_GPTQ},
    {"awq", MLS_QUANT_AWQ},
    {"bitsandbytes", MLS_QUANT_BITSANDBYTES},
    {"compressed-tensors", MLS_QUANT_COMPRESSED_TENSORS},
    {"mxfp4", MLS_QUANT_MXFP4},
};

static const json_t *object_of(const json_t *file, const json_t *inner)
{
    static const char *const keys[] = {"quantization_config", "compression_config",
                                       "quantization"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const json_t *v = json_object_get(file, keys[i]);

        if (!json_is_object(v))
            v = json_object_get(inner, keys[i]);
        if (json_is_object(v) && json_object_size(v) > 0)
            return v;
    }
    return NULL;
}

static const char *text_of(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);

    return json_is_string(v) ? json_string_value(v) : "";
}

static size_t whole_of(const json_t *v)
{
    return json_is_integer(v) && json_integer_value(v) > 0 &&
                   json_integer_value(v) <= 1 << 24
               ? (size_t)json_integer_value(v)
               : 0;
}

static void refuse(char *why, size_t size, const char *key, const char *value)
{
    snprintf(why, size,
             "quantization_config.%s is \"%.40s\", a format that is not read: "
             "download the model's unquantized weights (BF16, F16), or a GGUF, FP8, "
             "GPTQ or AWQ file of it",
             key, value);
}

static bool is_one_of(const char *text, const char *const *list)
{
    for (; *list; list++)
        if (strcasecmp(text, *list) == 0)
            return true;
    return false;
}

/* What compressed-tensors says of each group of layers: formats, blocks of scales. */
static void read_groups(mls_quantization *q, const char *const *formats, char *why,
                        size_t size)
{
    json_t *groups = json_object_get(q->json, "config_groups"), *group;
    const char *name;

    json_object_foreach(groups, name, group)
    {
        const json_t *weights = json_object_get(group, "weights");
        const json_t *block = json_object_get(weights, "block_structure");
        const size_t bits = whole_of(json_object_get(weights, "num_bits"));

        if (!is_one_of(text_of(group, "format"), formats))
            refuse(why, size, "config_groups.format", text_of(group, "format"));
        if (strcmp(text_of(weights, "type"), "float") == 0 && bits != 8)
            refuse(why, size, "config_groups.weights", "a float of other than 8 bits");
        for (size_t i = 0; i < 2 && json_array_size(block) == 2; i++) {
            const size_t n = whole_of(json_array_get(block, i));

            if (q->block[i] && q->block[i] != n)
                refuse(why, size, "config_groups.weights", "blocks of several sizes");
            q->block[i] = n;
        }
    }
}

void mls_quantization_read(mls_quantization *q, const json_t *file, const json_t *inner,
                           char *why, size_t size)
{
    static const char *const gptq[] = {"", "gptq", "gptq_v2", NULL};
    static const char *const awq[] = {"", "gemm", NULL};
    static const char *const compressed[] = {"",
                                             "dense",
                                             "pack-quantized",
                                             "float-quantized",
                                             "int-quantized",
                                             "naive-quantized",
                                             "mixed-precision",
                                             NULL};
    static const char *const mlx[] = {"", "affine", NULL};
    const json_t *o = object_of(file, inner);
    const char *method = text_of(o, "quant_method");
    const json_t *block = json_object_get(o, "weight_block_size");

    why[0] = '\0';
    *q = (mls_quantization){.json = o};
    if (!o)
        return;
    q->bits = (unsigned)whole_of(json_object_get(o, "bits"));
    q->group = whole_of(json_object_get(o, "group_size"));
    q->zero_as_is = strcmp(text_of(o, "checkpoint_format"), "gptq_v2") == 0;
    for (size_t i = 0; i < 2; i++)
        q->block[i] = whole_of(json_array_get(block, i));
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (strcasecmp(methods[i].name, method) == 0)
            q->method = methods[i].method;
    if (!*method && q->bits && q->group)
        q->method = MLS_QUANT_MLX; /* its config has no quant_method */

    static const char *const other[] = {"is_marlin_format", "transform_config",
                                        "rotation", "sparsity_config"};

    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        const json_t *v = json_object_get(o, other[i]);
        const char *format = text_of(v, "format");

        if (v && !json_is_null(v) && !json_is_false(v) &&
            !(json_is_object(v) && json_object_size(v) == 0) &&
            strcmp(format, "dense") != 0) {
            refuse(why, size, other[i], *format ? format : "set");
            return;
        }
    }
    if (q->method == MLS_QUANT_NONE)
        refuse(why, size, "quant_method", *method ? method : "missing");
    else if (q->method == MLS_QUANT_GPTQ &&
             !is_one_of(text_of(o, "checkpoint_format"), gptq))
        refuse(why, size, "checkpoint_format", text_of(o, "checkpoint_format"));
    else if (q->method == MLS_QUANT_AWQ && !is_one_of(text_of(o, "version"), awq))
        refuse(why, size, "version", text_of(o, "version"));
    else if (q->method == MLS_QUANT_COMPRESSED_TENSORS &&
             !is_one_of(text_of(o, "format"), compressed))
        refuse(why, size, "format", text_of(o, "format"));
    else if (q->method == MLS_QUANT_COMPRESSED_TENSORS)
        read_groups(q, compressed, why, size);
    else if (q->method == MLS_QUANT_MLX && !is_one_of(text_of(o, "mode"), mlx))
        refuse(why, size, "mode", text_of(o, "mode"));
    else if ((q->method == MLS_QUANT_GPTQ && q->bits != 2 && q->bits != 4 &&
              q->bits != 8) ||
             (q->method == MLS_QUANT_AWQ && q->bits != 4)) {
        char bits[24];

        snprintf(bits, sizeof bits, "%u", q->bits);
        refuse(why, size, "bits", bits);
    }
}
