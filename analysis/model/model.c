#include "analysis/model/model.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "datasets/checkpoint/tensors.h"

/* Where a tensor of a layer goes: offsets of float pointers, by role. */
static const size_t field_of[] = {
    [MLS_TENSOR_ATTN_NORM] = offsetof(mls_layer, attn_norm),
    [MLS_TENSOR_WQ] = offsetof(mls_layer, wq),
    [MLS_TENSOR_BQ] = offsetof(mls_layer, bq),
    [MLS_TENSOR_WK] = offsetof(mls_layer, wk),
    [MLS_TENSOR_BK] = offsetof(mls_layer, bk),
    [MLS_TENSOR_WV] = offsetof(mls_layer, wv),
    [MLS_TENSOR_BV] = offsetof(mls_layer, bv),
    [MLS_TENSOR_WO] = offsetof(mls_layer, wo),
    [MLS_TENSOR_BO] = offsetof(mls_layer, bo),
    [MLS_TENSOR_Q_NORM] = offsetof(mls_layer, q_norm),
    [MLS_TENSOR_K_NORM] = offsetof(mls_layer, k_norm),
    [MLS_TENSOR_MLP_NORM] = offsetof(mls_layer, mlp_norm),
    [MLS_TENSOR_GATE] = offsetof(mls_layer, w_gate),
    [MLS_TENSOR_GATE_BIAS] = offsetof(mls_layer, b_gate),
    [MLS_TENSOR_UP] = offsetof(mls_layer, w_up),
    [MLS_TENSOR_UP_BIAS] = offsetof(mls_layer, b_up),
    [MLS_TENSOR_DOWN] = offsetof(mls_layer, w_down),
    [MLS_TENSOR_DOWN_BIAS] = offsetof(mls_layer, b_down),
};
enum { N_FIELDS = sizeof field_of / sizeof field_of[0] };

struct mls_model {
    mls_checkpoint *owned; /* NULL: the checkpoint is borrowed */
    const mls_checkpoint *checkpoint;
    const mls_config *config; /* borrowed from the checkpoint, or body_config */
    mls_config body_config;
    mls_compute compute;
    uint64_t ram;
};

static float **slot(mls_layer *layer, size_t role)
{
    return (float **)(void *)((char *)layer + field_of[role]);
}

mls_status mls_model_open(mls_model **out, const char *folder, mls_err *err)
{
    mls_model *m = calloc(1, sizeof *m);
    mls_status st;

    *out = NULL;
    if (!m)
        return mls_fail(err, MLS_E_NOMEM, "no memory to open %s", folder);
    st = mls_checkpoint_open(&m->owned, folder, err);
    if (st)
        goto done;
    m->checkpoint = m->owned;
    m->config = mls_checkpoint_config(m->checkpoint);
    /* A GGUF file has no config.json to point at. */
    st = mls_checkpoint_gguf(m->checkpoint) && m->config->unsupported[0]
             ? mls_fail(err, MLS_E_INPUT, "%s: %s", folder, m->config->unsupported)
             : mls_config_runnable(m->config, err);
    if (!st)
        st = mls_checkpoint_complete(m->checkpoint, err);

done:
    if (st) {
        mls_model_close(m);
        return st;
    }
    *out = m;
    return MLS_OK;
}

void mls_model_close(mls_model *m)
{
    if (!m)
        return;
    mls_checkpoint_close(m->owned);
    free(m);
}

mls_status mls_model_set_compute(mls_model *m, mls_compute compute, mls_err *err)
{
    const char *how;

    if (compute == MLS_COMPUTE_BF16 && !mls_bf16_available(&how))
        return mls_fail(err, MLS_E_ARG, "no products in bfloat16: %s", how);
    m->compute = compute;
    return MLS_OK;
}

void mls_model_set_ram(mls_model *m, uint64_t bytes)
{
    m->ram = bytes;
}

uint64_t mls_model_ram(const mls_model *m)
{
    return m->ram;
}

mls_compute mls_model_compute(const mls_model *m)
{
    return m->compute;
}

const char *mls_model_arithmetic(const mls_model *m)
{
    const char *how;

    if (m->compute == MLS_COMPUTE_F32)
        return "f32";
    mls_bf16_available(&how);
    return strstr(how, "AMX") ? "bf16 (oneDNN with AMX)"
                              : "bf16 (oneDNN with AVX512_BF16)";
}

const mls_config *mls_model_config(const mls_model *m)
{
    return m->config;
}

const mls_checkpoint *mls_model_checkpoint(const mls_model *m)
{
    return m->checkpoint;
}

/* A tensor in memory of its own; NULL on error. */
static mls_status read_new(const mls_model *m, const mls_tensor_need *t, float **out,
                           mls_err *err)
{
    const size_t cols = t->cols ? t->cols : 1;
    mls_status st;

    *out = mls_calloc3(t->rows, cols, 1, sizeof **out);
    if (!*out)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %s, %zu x %zu numbers",
                        t->name, t->rows, cols);
    st = mls_checkpoint_read(m->checkpoint, t->name, t->rows, t->cols, *out, err);
    if (st) {
        free(*out);
        *out = NULL;
    }
    return st;
}

static bool is_projection(mls_tensor_role role)
{
    return role >= MLS_TENSOR_WQ && role <= MLS_TENSOR_K_NORM;
}

static bool any_role(mls_tensor_role role)
{
    (void)role;
    return true;
}

static bool of_attention(mls_tensor_role role)
{
    return role <= MLS_TENSOR_K_NORM;
}

static bool of_body(mls_tensor_role role)
{
    return !is_projection(role);
}

/* The layer's tensors whose role is wanted. */
static mls_status read_layer(const mls_model *m, size_t l,
                             bool (*wanted)(mls_tensor_role), mls_layer *layer,
                             mls_err *err)
{
    const mls_config *c = m->config;

    *layer = (mls_layer){.index = l};
    if (l >= c->L)
        return mls_fail(err, MLS_E_ARG, "layer %zu of a model with %zu layers", l,
                        c->L);
    for (size_t i = 0; i < mls_tensor_layer_needs(c); i++) {
        const mls_tensor_need t = mls_tensor_layer_need_at(c, l, i);

        if (!wanted(t.role))
            continue;
        const mls_status st = read_new(m, &t, slot(layer, t.role), err);
        if (st) {
            mls_layer_free(layer);
            return st;
        }
    }
    return MLS_OK;
}

/* The layer's matrices for a forward pass. */
static mls_status pack(const mls_model *m, mls_layer *w, mls_err *err)
{
    const mls_config *c = m->config;
    const size_t E = c->E, F = c->F, HD = c->H * c->D, GD = c->G * c->D;
    const struct {
        const float *w;
        size_t n_out, n_in;
    } matrix[] = {{w->wq, HD, E},    {w->wk, GD, E},  {w->wv, GD, E},   {w->wo, E, HD},
                  {w->w_gate, F, E}, {w->w_up, F, E}, {w->w_down, E, F}};
    mls_status st;

    if (m->compute == MLS_COMPUTE_F32)
        return MLS_OK;
    st = mls_packed_new(&w->packed, err);
    for (size_t i = 0; !st && i < sizeof matrix / sizeof matrix[0]; i++)
        st = mls_packed_add(w->packed, matrix[i].w, matrix[i].n_out, matrix[i].n_in,
                            err);
    if (st)
        mls_layer_free(w);
    return st;
}

mls_status mls_model_layer(const mls_model *m, size_t l, mls_layer *layer, mls_err *err)
{
    const mls_status st = read_layer(m, l, any_role, layer, err);

    return st ? st : pack(m, layer, err);
}

mls_status mls_model_attention(const mls_model *m, size_t l, mls_layer *layer,
                               mls_err *err)
{
    return read_layer(m, l, of_attention, layer, err);
}

mls_status mls_model_body(const mls_model *m, size_t l, mls_layer *layer, mls_err *err)
{
    const mls_status st = read_layer(m, l, of_body, layer, err);

    return st ? st : pack(m, layer, err);
}

mls_status mls_model_of_body(mls_model **out, const mls_checkpoint *c,
                             const mls_config *config, mls_err *err)
{
    mls_model *m = calloc(1, sizeof *m);
    mls_status st = MLS_OK;

    *out = NULL;
    if (!m)
        return mls_fail(err, MLS_E_NOMEM, "no memory to open %s",
                        mls_checkpoint_folder(c));
    m->checkpoint = c;
    m->body_config = *config;
    m->body_config.tied_embeddings = mls_checkpoint_config(c)->tied_embeddings;
    m->config = &m->body_config;
    for (size_t i = 0; i < mls_tensor_needs(m->config) && !st; i++) {
        const mls_tensor_need t = mls_tensor_need_at(m->config, i);

        if (of_body(t.role))
            st = mls_checkpoint_has(c, t.name, t.rows, t.cols, err);
    }
    if (st) {
        mls_model_close(m);
        return st;
    }
    *out = m;
    return MLS_OK;
}

void mls_layer_free(mls_layer *layer)
{
    for (size_t role = 0; role < N_FIELDS; role++)
        free(*slot(layer, role));
    mls_packed_free(layer->packed);
    *layer = (mls_layer){0};
}

mls_status mls_model_embed(const mls_model *m, const int32_t *ids, size_t n, float *x,
                           mls_err *err)
{
    const mls_config *c = m->config;
    const mls_tensor_need t = mls_tensor_embed(c);

    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= c->V)
            return mls_fail(err, MLS_E_INPUT,
                            "token %zu has id %d, the model's vocabulary has %zu", i,
                            (int)ids[i], c->V);
        const mls_status st =
            mls_checkpoint_read_rows(m->checkpoint, t.name, t.rows, t.cols,
                                     (size_t)ids[i], 1, x + i * c->E, err);
        if (st)
            return st;
    }
    return MLS_OK;
}

mls_status mls_model_head(const mls_model *m, float **norm, float **head, mls_err *err)
{
    const mls_tensor_need norm_t = mls_tensor_norm(m->config);
    const mls_tensor_need head_t = mls_tensor_head(m->config);
    mls_status st;

    *head = NULL;
    st = read_new(m, &norm_t, norm, err);
    if (!st)
        st = read_new(m, &head_t, head, err);
    if (st) {
        free(*norm);
        *norm = NULL;
    }
    return st;
}
