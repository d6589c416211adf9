/* What every checkpoint of DeepSeek-V3's layers needs, whatever file holds it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/settle.h"
#include "common/base/checked.h"
#include "datasets/checkpoint/tensors.h"
#include "reports/export/export_deepseek.h"

enum { ROWS = 256 };

/*
 * DeepSeek-V3's dense layer is h + f(RMSNorm(h)) with a SiLU-gated MLP, and its head is
 * a matrix. What mls_layer brings into that form (settle.c) is written so; the rest is
 * refused, because the folder would load and compute something else.
 */
static mls_status body_fits(const mls_export_work *w, mls_err *err)
{
    const mls_config *c = w->config;
    const mls_net *n = &c->net;
    const struct {
        bool there;
        const char *what;
    } other[] = {
        {n->norm != MLS_NORM_RMS || n->norm_bias || n->norm_free,
         "norms other than RMSNorm with a gain"},
        {n->place != MLS_NORM_BEFORE, "norms after its blocks"},
        {n->parallel, "attention and MLP side by side"},
        {n->act != MLS_ACT_SILU || n->plain_mlp, "no SiLU-gated MLP"},
        {c->mlp_bias, "biases in its MLP"},
        {n->experts.n > 0, "experts"},
        {n->positions || n->embed_norm, "learned positions or normed embeddings"},
        {n->head_bias || n->logit_cap > 0 ||
             (n->logit_scale != 0 && n->logit_scale != 1),
         "logits with a bias, a scale or a cap"},
    };

    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        if (other[i].there)
            return mls_fail(err, MLS_E_INPUT,
                            "%s: the model has %s, and DeepSeek-V3's dense "
                            "layers have not; --for latent takes any model",
                            w->job->target, other[i].what);
    return MLS_OK;
}

/* The dtype that was asked for or the model's own, where the norm can be written. */
static mls_status choose_dtype(mls_deepseek_target *y, mls_export_work *w, mls_err *err)
{
    const mls_export *job = w->job;
    const mls_tensor_info *t = mls_checkpoint_find(
        mls_model_checkpoint(job->in->model), mls_tensor_embed(w->config).name, NULL);
    const char *own = t ? t->dtype : "";

    if (job->dtype && job->norm == MLS_NORM_LINEAR && strcmp(job->dtype, "F16") == 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: --norm linear needs numbers smaller than f16 has; "
                        "take --dtype bf16",
                        job->target);
    y->dtype = job->dtype                                                ? job->dtype
               : strcmp(own, "F32") == 0                                 ? "F32"
               : strcmp(own, "F16") == 0 && job->norm != MLS_NORM_LINEAR ? "F16"
                                                                         : "BF16";
    if (!job->dtype && strcmp(own, y->dtype) != 0)
        mls_buf_printf(&w->known,
                       "- The model's weights are %s; here they are rounded to "
                       "bfloat16. `--dtype f32` keeps them.\n",
                       own);
    return MLS_OK;
}

mls_status mls_deepseek_begin(mls_deepseek_target *y, mls_export_work *w, mls_err *err)
{
    const double eps = w->config->rms_eps;
    const mls_status st = body_fits(w, err);

    *y = (mls_deepseek_target){.residual = 1};
    if (w->job->norm != MLS_NORM_NONE && fabs(eps / MLS_DEEPSEEK_EPS - 1) > 1e-6)
        y->residual = sqrt(MLS_DEEPSEEK_EPS / eps);
    return st ? st : choose_dtype(y, w, err);
}

/* A form without a bias of the queries that computes the same; owns `numbers`. */
typedef struct {
    mls_latent_form form;
    float *numbers;
} carried;

/*
 * DeepSeek-V3's q_proj has no bias, and its low-rank queries have one in front:
 * W x + b = [W b] ([I; 0] x + [0; 1]), a rank of E + 1, or one more than there is.
 */
static mls_status carry_query_bias(carried *y, const mls_latent_form *f, mls_err *err)
{
    const size_t E = f->E, rows = f->query.rows, cols = f->query.cols;
    const size_t r = f->query.cols + 1;

    *y = (carried){.form = *f};
    if (!f->query.b || f->q_down_norm.n)
        return MLS_OK;
    y->numbers = mls_calloc3(r, E + 1 + rows, 1, sizeof *y->numbers);
    if (!y->numbers)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the queries of layer %zu",
                        f->layer);
    float *down = y->numbers, *bias = down + r * E, *up = bias + r;

    for (size_t i = 0; i < cols * E; i++)
        down[i] = f->q_rank ? f->q_down.w[i] : i / E == i % E;
    if (f->q_down.b)
        memcpy(bias, f->q_down.b, cols * sizeof *bias);
    bias[cols] = 1;
    for (size_t i = 0; i < rows; i++) {
        memcpy(up + i * r, f->query.w + i * cols, cols * sizeof *up);
        up[i * r + cols] = f->query.b[i];
    }
    y->form.q_rank = r;
    y->form.q_down = mls_affine_of(down, bias, r, E);
    y->form.query = mls_affine_of(up, NULL, rows, r);
    return MLS_OK;
}

mls_status mls_deepseek_layer_of(mls_deepseek_layer *y, mls_deepseek_target *target,
                                 const mls_export_work *w, const mls_latent_form *form,
                                 mls_err *err)
{
    const bool stock = w->job->norm != MLS_NORM_NONE;
    mls_deepseek_shape shape;
    mls_deepseek_norms_of norms;
    mls_layer body = {0};
    carried same = {.form = *form};
    const mls_latent_form *f = &same.form;
    mls_status st = stock ? carry_query_bias(&same, form, err) : MLS_OK;

    *y = (mls_deepseek_layer){0};
    if (!st)
        st = mls_deepseek_shape_of(&shape, f, err);
    if (!st)
        st = mls_deepseek_biases(&shape, f, stock, err);
    if (!st && f->layer == 0)
        target->shape = shape;
    if (!st)
        st = mls_deepseek_same(&shape, &target->shape, f->layer, err);
    if (!st)
        st = mls_model_body(w->job->in->model, f->layer, &body, err);
    if (!st)
        st = mls_deepseek_norms(&norms, w->job, f, body.attn_norm, err);
    if (!st)
        st = mls_deepseek_make(y, &shape, &norms, f, &body, w->config->F,
                               target->residual, err);
    mls_layer_free(&body);
    free(same.numbers);
    return st;
}

/* Rows of a matrix (V, E), times `by`. */
static mls_status give_rows(const mls_checkpoint *source, const mls_tensor_need *t,
                            double by, float *room, mls_deepseek_sink sink, void *arg,
                            mls_err *err)
{
    mls_status st = MLS_OK;

    for (size_t i = 0; i < t->rows && !st; i += ROWS) {
        const size_t n = t->rows - i < ROWS ? t->rows - i : ROWS;

        st = mls_checkpoint_read_rows(source, t->name, t->rows, t->cols, i, n, room,
                                      err);
        for (size_t e = 0; e < n * t->cols && !st && by != 1; e++)
            room[e] = (float)(by * (double)room[e]);
        if (!st)
            st = sink(arg, room, n * t->cols, true, err);
    }
    return st;
}

mls_status mls_deepseek_rest(const mls_deepseek_target *y, const mls_export_work *w,
                             int part, mls_deepseek_sink sink, void *arg, mls_err *err)
{
    const mls_config *c = w->config;
    const mls_checkpoint *source = mls_model_checkpoint(w->job->in->model);
    const mls_tensor_need embed = mls_tensor_embed(c), norm = mls_tensor_norm(c);
    const mls_tensor_need head = c->tied_embeddings ? embed : mls_tensor_head(c);
    const double scale = c->net.embed_scale != 0 ? c->net.embed_scale : 1;
    float *room = mls_calloc3(ROWS, c->E, 1, sizeof *room);
    mls_status st = MLS_OK;

    if (!room)
        return mls_fail(err, MLS_E_NOMEM, "no memory for rows of the embedding");
    if (part == 0)
        st = give_rows(source, &embed, scale * y->residual, room, sink, arg, err);
    else if (part == 2)
        st = give_rows(source, &head, 1, room, sink, arg, err);
    else if (!(st = mls_checkpoint_read(source, norm.name, norm.rows, norm.cols, room,
                                        err))) {
        mls_gain_settle(c, mls_checkpoint_gguf(source) != NULL, room, c->E);
        st = sink(arg, room, c->E, false, err);
    }
    free(room);
    return st;
}
