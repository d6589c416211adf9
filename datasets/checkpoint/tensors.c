#include "datasets/checkpoint/tensors.h"

#include <stdio.h>

/* Sizes by letter, as in common/base/shape.h; NONE: a vector has no columns. */
typedef enum size_letter { NONE, SIZE_E, SIZE_F, SIZE_D, SIZE_HD, SIZE_GD } size_letter;

/* When a model has a tensor. */
typedef enum when { ALWAYS, QKV_BIAS, O_BIAS, MLP_BIAS, QK_NORM } when;

/* One layer of the Llama layout, which all families that we compute share. */
static const struct {
    const char *name;
    size_letter rows, cols;
    when when;
    mls_tensor_role role;
} layer_tensors[] = {
    {"input_layernorm.weight", SIZE_E, NONE, ALWAYS, MLS_TENSOR_ATTN_NORM},
    {"self_attn.q_proj.weight", SIZE_HD, SIZE_E, ALWAYS, MLS_TENSOR_WQ},
    {"self_attn.q_proj.bias", SIZE_HD, NONE, QKV_BIAS, MLS_TENSOR_BQ},
    {"self_attn.k_proj.weight", SIZE_GD, SIZE_E, ALWAYS, MLS_TENSOR_WK},
    {"self_attn.k_proj.bias", SIZE_GD, NONE, QKV_BIAS, MLS_TENSOR_BK},
    {"self_attn.v_proj.weight", SIZE_GD, SIZE_E, ALWAYS, MLS_TENSOR_WV},
    {"self_attn.v_proj.bias", SIZE_GD, NONE, QKV_BIAS, MLS_TENSOR_BV},
    {"self_attn.o_proj.weight", SIZE_E, SIZE_HD, ALWAYS, MLS_TENSOR_WO},
    {"self_attn.o_proj.bias", SIZE_E, NONE, O_BIAS, MLS_TENSOR_BO},
    {"self_attn.q_norm.weight", SIZE_D, NONE, QK_NORM, MLS_TENSOR_Q_NORM},
    {"self_attn.k_norm.weight", SIZE_D, NONE, QK_NORM, MLS_TENSOR_K_NORM},
    {"post_attention_layernorm.weight", SIZE_E, NONE, ALWAYS, MLS_TENSOR_MLP_NORM},
    {"mlp.gate_proj.weight", SIZE_F, SIZE_E, ALWAYS, MLS_TENSOR_GATE},
    {"mlp.gate_proj.bias", SIZE_F, NONE, MLP_BIAS, MLS_TENSOR_GATE_BIAS},
    {"mlp.up_proj.weight", SIZE_F, SIZE_E, ALWAYS, MLS_TENSOR_UP},
    {"mlp.up_proj.bias", SIZE_F, NONE, MLP_BIAS, MLS_TENSOR_UP_BIAS},
    {"mlp.down_proj.weight", SIZE_E, SIZE_F, ALWAYS, MLS_TENSOR_DOWN},
    {"mlp.down_proj.bias", SIZE_E, NONE, MLP_BIAS, MLS_TENSOR_DOWN_BIAS},
};

enum { LAYER_TENSORS = sizeof layer_tensors / sizeof layer_tensors[0] };

static bool is_there(const mls_config *c, when w)
{
    switch (w) {
    case QKV_BIAS:
        return c->qkv_bias;
    case O_BIAS:
        return c->o_bias;
    case MLP_BIAS:
        return c->mlp_bias;
    case QK_NORM:
        return c->qk_norm;
    case ALWAYS:
        break;
    }
    return true;
}

static size_t size_of(const mls_config *c, size_letter letter)
{
    switch (letter) {
    case SIZE_E:
        return c->E;
    case SIZE_F:
        return c->F;
    case SIZE_D:
        return c->D;
    case SIZE_HD:
        return c->H * c->D;
    case SIZE_GD:
        return c->G * c->D;
    case NONE:
        break;
    }
    return 0;
}

size_t mls_tensor_layer_needs(const mls_config *config)
{
    size_t n = 0;

    for (size_t k = 0; k < LAYER_TENSORS; k++)
        n += is_there(config, layer_tensors[k].when);
    return n;
}

size_t mls_tensor_needs(const mls_config *config)
{
    return (config->tied_embeddings ? 2 : 3) +
           config->L * mls_tensor_layer_needs(config);
}

mls_tensor_need mls_tensor_layer_need_at(const mls_config *config, size_t l, size_t i)
{
    mls_tensor_need need = {0};
    size_t k = 0;

    while (!is_there(config, layer_tensors[k].when) || i-- > 0)
        k++;
    snprintf(need.name, sizeof need.name, "model.layers.%zu.%s", l,
             layer_tensors[k].name);
    need.rows = size_of(config, layer_tensors[k].rows);
    need.cols = size_of(config, layer_tensors[k].cols);
    need.role = layer_tensors[k].role;
    return need;
}

mls_tensor_need mls_tensor_embed(const mls_config *config)
{
    return (mls_tensor_need){"model.embed_tokens.weight", config->V, config->E,
                             MLS_TENSOR_EMBED};
}

mls_tensor_need mls_tensor_norm(const mls_config *config)
{
    return (mls_tensor_need){"model.norm.weight", config->E, 0, MLS_TENSOR_NORM};
}

mls_tensor_need mls_tensor_head(const mls_config *config)
{
    if (config->tied_embeddings)
        return mls_tensor_embed(config);
    return (mls_tensor_need){"lm_head.weight", config->V, config->E, MLS_TENSOR_HEAD};
}

mls_tensor_need mls_tensor_need_at(const mls_config *config, size_t i)
{
    const size_t per_layer = mls_tensor_layer_needs(config);

    if (i == 0)
        return mls_tensor_embed(config);
    const size_t l = (i - 1) / per_layer, k = (i - 1) % per_layer;
    if (l < config->L)
        return mls_tensor_layer_need_at(config, l, k);
    return k == 0 ? mls_tensor_norm(config) : mls_tensor_head(config);
}
