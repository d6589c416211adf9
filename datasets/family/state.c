/*
 * What a recurrent layer keeps of a sequence, however long it is: the last inputs of
 * its convolution and its state. Shapes as transformers 5.24 caches them: a convolution
 * over k inputs keeps k columns.
 */
#include <string.h>

#include "datasets/base/json.h"
#include "datasets/family/layers_inner.h"

enum { SIZE_MAX_ONE = 1 << 24 };

/* The first key of a NULL-terminated list that the file or the class has. */
static mls_status first_of(const mls_layers_reader *r, const char *const *keys,
                           size_t fallback, size_t *out)
{
    *out = fallback;
    for (; *keys; keys++) {
        const json_t *v = mls_fact(r->k, *keys);

        if (v && !json_is_string(v)) /* "auto" */
            return mls_fact_whole_of(r->k, *keys, v, 1, SIZE_MAX_ONE, out);
    }
    return *out ? MLS_OK
                : mls_fail(r->k->err, MLS_E_INPUT, "%s: %s is missing", r->k->path,
                           *(keys - 1));
}

#define FIRST(fallback, out, ...)                                                      \
    first_of(r, (const char *const[]){__VA_ARGS__, NULL}, fallback, out)

/* Keys and values of heads in one convolution; a state of key by value dims a head. */
static mls_status delta(const mls_layers_reader *r, mls_layer_shape *s)
{
    size_t k_heads, v_heads, k_dim, v_dim, kernel;
    const size_t H = r->out->H ? r->out->H : 1;
    mls_status st;

    if ((st = FIRST(H, &k_heads, "linear_num_key_heads")) ||
        (st = FIRST(H, &v_heads, "linear_num_value_heads")) ||
        (st = FIRST(3 * r->out->E / (4 * k_heads), &k_dim, "linear_key_head_dim")) ||
        (st = FIRST(2 * k_dim, &v_dim, "linear_value_head_dim")) ||
        (st = FIRST(4, &kernel, "linear_conv_kernel_dim")))
        return st;
    s->conv_numbers = (2 * k_heads * k_dim + v_heads * v_dim) * kernel;
    s->state_numbers = v_heads * k_dim * v_dim;
    return MLS_OK;
}

/* Kimi: as many heads for queries, keys and values, each with a convolution. */
static mls_status kda(const mls_layers_reader *r, mls_layer_shape *s)
{
    const bool bailing = strcmp(r->model_type, "bailing_hybrid") == 0;
    const json_t *own = mls_fact(r->k, "linear_attn_config");
    size_t heads, dim, kernel;
    /* Bailing's class derives them, but what the file says of them counts first. */
    mls_status st = bailing
                        ? FIRST(0, &heads, "linear_num_heads", "num_attention_heads")
                        : FIRST(0, &heads, "linear_num_heads");

    if (st ||
        (st = bailing ? FIRST(0, &dim, "linear_head_dim", "head_dim")
                      : FIRST(0, &dim, "linear_head_dim")) ||
        (st = FIRST(4, &kernel, "linear_conv_kernel_dim", "short_conv_kernel_size")))
        return st;
    const struct {
        const char *name;
        size_t *out;
    } members[] = {
        {"num_heads", &heads}, {"head_dim", &dim}, {"short_conv_kernel_size", &kernel}};

    for (size_t i = 0; i < 3; i++) {
        const json_t *v = json_object_get(own, members[i].name);

        if (v && (st = mls_fact_whole_of(r->k, members[i].name, v, 1, SIZE_MAX_ONE,
                                         members[i].out)))
            return st;
    }
    s->conv_numbers = 3 * heads * dim * kernel;
    s->state_numbers = heads * dim * dim;
    return MLS_OK;
}

static mls_status mamba(const mls_layers_reader *r, mls_layer_shape *s)
{
    size_t expand, inner, kernel, state;
    mls_status st;

    if ((st = FIRST(2, &expand, "mamba_expand", "expand")) ||
        (st = FIRST(4, &kernel, "mamba_d_conv", "conv_kernel")) ||
        (st = FIRST(16, &state, "mamba_d_state", "state_size")))
        return st;
    inner = expand * r->out->E;
    /* Mamba has no MLP: its class's word for the inner width is intermediate_size. */
    if (!mls_layers_has(r, "num_attention_heads") &&
        (st = FIRST(inner, &inner, "intermediate_size")))
        return st;
    s->conv_numbers = inner * kernel;
    s->state_numbers = inner * state;
    return MLS_OK;
}

static mls_status mamba2(const mls_layers_reader *r, mls_layer_shape *s)
{
    size_t expand, heads, dim, groups, kernel, state, inner;
    mls_status st;

    if ((st = FIRST(2, &expand, "mamba_expand", "expand")) ||
        (st = FIRST(0, &heads, "mamba_n_heads", "n_mamba_heads", "mamba_num_heads",
                    "num_heads")) ||
        (st = FIRST(expand * r->out->E / heads, &dim, "mamba_d_head", "mamba_headdim",
                    "mamba_head_dim")) ||
        (st = FIRST(1, &groups, "mamba_n_groups", "mamba_ngroups", "n_groups")) ||
        (st = FIRST(4, &kernel, "mamba_d_conv", "conv_kernel")) ||
        (st = FIRST(0, &state, "mamba_d_state", "ssm_state_size", "state_size")))
        return st;
    if (strcmp(r->model_type, "mamba2") == 0 && (st = FIRST(dim, &dim, "head_dim")))
        return st;
    inner = heads * dim;
    if (strcmp(r->model_type, "falcon_h1") == 0 &&
        (st = FIRST(expand * r->out->E, &inner, "mamba_d_ssm")))
        return st;
    s->conv_numbers = (inner + 2 * groups * state) * kernel;
    s->state_numbers = heads * dim * state;
    return MLS_OK;
}

static mls_status rglru(const mls_layers_reader *r, mls_layer_shape *s)
{
    size_t width, kernel;
    mls_status st;

    if ((st = FIRST(r->out->E, &width, "lru_width")) ||
        (st = FIRST(4, &kernel, "conv1d_width")))
        return st;
    s->conv_numbers = width * (kernel - 1);
    s->state_numbers = width;
    return MLS_OK;
}

/* RWKV-4: the last input of both blocks, and three sums in 32 bits. */
static mls_status rwkv(const mls_layers_reader *r, mls_layer_shape *s)
{
    size_t width;
    const mls_status st = FIRST(r->out->E, &width, "attention_hidden_size");

    s->conv_numbers = 2 * r->out->E;
    s->state_numbers = 3 * width;
    return st;
}

/* Zaya: two convolutions over queries and keys, and the values of one token. */
static mls_status cca(const mls_layers_reader *r, mls_layer_shape *s)
{
    size_t first, second;
    mls_status st;

    if ((st = FIRST(2, &first, "cca_time0")) || (st = FIRST(2, &second, "cca_time1")))
        return st;
    s->conv_numbers =
        (uint64_t)(s->H + s->G) * s->K * (first + second - 2) + s->G * s->K / 2;
    return MLS_OK;
}

/* Inkling: keys, values, both blocks' outputs: a convolution each, in 32 bits. */
static mls_status sconv(const mls_layers_reader *r, mls_layer_shape *s)
{
    size_t kernel;
    const mls_status st = FIRST(4, &kernel, "conv_kernel_size", "sconv_kernel_size");

    s->state_numbers = (2 * (uint64_t)s->G * s->K + 2 * r->out->E) * kernel;
    return st;
}

static mls_status short_conv(const mls_layers_reader *r, mls_layer_shape *s)
{
    size_t kernel;
    const mls_status st = FIRST(3, &kernel, "conv_L_cache");

    s->conv_numbers = kernel * r->out->E;
    return st;
}

static mls_status lightning(const mls_layers_reader *r, mls_layer_shape *s)
{
    size_t heads, dim;
    mls_status st;

    if ((st = FIRST(0, &heads, "num_attention_heads")) ||
        (st = FIRST(r->out->E / heads, &dim, "head_dim")))
        return st;
    s->state_numbers = heads * dim * dim;
    return MLS_OK;
}

static mls_status state_of(const mls_layers_reader *r, mls_layer_shape *s)
{
    switch (r->rule->state) {
    case MLS_STATE_DELTA:
        return delta(r, s);
    case MLS_STATE_KDA:
        return kda(r, s);
    case MLS_STATE_MAMBA:
        return mamba(r, s);
    case MLS_STATE_MAMBA2:
        return mamba2(r, s);
    case MLS_STATE_LIGHTNING:
        return lightning(r, s);
    case MLS_STATE_RGLRU:
        return rglru(r, s);
    case MLS_STATE_RWKV:
        return rwkv(r, s);
    case MLS_STATE_CCA:
        return cca(r, s);
    case MLS_STATE_SCONV:
        return sconv(r, s);
    case MLS_STATE_NONE:
        break;
    }
    return mls_fail(r->k->err, MLS_E_INPUT,
                    "%s: the size of the state that recurrent layers of model_type "
                    "\"%.60s\" keep is not known",
                    r->k->path, r->model_type);
}

mls_status mls_layers_states(mls_layers_reader *r)
{
    mls_status st = MLS_OK;

    for (size_t l = 0; !st && l < r->out->L; l++) {
        mls_layer_shape *s = &r->out->layer[l];

        if (r->letter[l] == MLS_CONV)
            st = short_conv(r, s);
        else if (r->letter[l] == MLS_LINEAR || r->letter[l] == MLS_HYBRID ||
                 r->letter[l] == MLS_HYBRID_SLIDING)
            st = state_of(r, s);
    }
    return st;
}
