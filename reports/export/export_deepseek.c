/* DeepSeek-V3's form: the converted checkpoint itself, one shard per layer. */
#include "reports/export/export_deepseek.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/settle.h"
#include "common/base/checked.h"
#include "common/system/files.h"
#include "datasets/checkpoint/tensors.h"
#include "reports/export/export_inner.h"

static const char known[] =
    "- The rope rows are interleaved, pairs by frequency; the score scale is folded "
    "into the queries, so that code divides by sqrt(qk_nope_head_dim + "
    "qk_rope_head_dim).\n"
    "- A key's bias is left out where it belongs to dims without RoPE: softmax cancels "
    "it.\n";

/* Who can read the folder, by mls_export_norm. */
static const char *const readers[] = {
    [MLS_NORM_NONE] =
        "- There is no `kv_a_layernorm`: `qk_latent_layernorm` is false, as TransMLA's "
        "own checkpoints have it. Only TransMLA's code computes that, so `model_type` "
        "is \"llamamla\", which transformers, vLLM and SGLang refuse: they would "
        "normalize the latent. `--norm linear`, the default, is for them.\n",
    [MLS_NORM_LINEAR] =
        "- `kv_a_layernorm` is there and changes nothing: the latent comes in so small "
        "that the norm's eps, not the latent, sets its size, and the weights bring it "
        "back (docs/format/export.md). At most 5e-7 of a latent is lost.\n"
        "- Do not train this folder: an optimizer's step is far larger than the small "
        "weights of kv_a_proj_with_mqa. Train an export with `--norm fitted`.\n"
        "- Keep kv_a_proj_with_mqa as it is when you quantize the weights: its rows of "
        "the latent are a million times smaller than those of the rope key.\n",
    [MLS_NORM_FITTED] =
        "- `kv_a_layernorm` has one constant weight, the latent's root mean square on "
        "the calibration text. That is not the same function: measure it with "
        "`--against` above. It is the form to train in DeepSeek-V3's code.\n",
};

/* The checkpoint under way. */
typedef struct {
    mls_export_work *w;
    const mls_checkpoint *source;
    const char *dtype; /* of all tensors */
    double residual;   /* hidden states are times this */
    mls_deepseek_shape shape;
    json_t *weights; /* tensor name -> shard */
    uint64_t bytes;  /* of all tensors */
    bool scaled_rope;
} writing;

enum { ROWS = 256, TENSORS_MAX = 32, NAME = 128 };

/* ---- what DeepSeek's layers compute ---- */

/*
 * DeepSeek-V3's dense layer is h + f(RMSNorm(h)) with a SiLU-gated MLP, and its head is
 * a matrix. What mls_layer brings into that form (settle.c) is written so; the rest is
 * refused, because the folder would load and compute something else.
 */
static mls_status body_fits(const mls_config *c, mls_err *err)
{
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
                            "deepseek: the model has %s, and DeepSeek-V3's dense "
                            "layers have not; --for latent takes any model",
                            other[i].what);
    return MLS_OK;
}

/* The dtype that was asked for or the model's own, where the norm can be written. */
static mls_status choose_dtype(writing *k, mls_err *err)
{
    const mls_export *job = k->w->job;
    const mls_tensor_info *t =
        mls_checkpoint_find(k->source, mls_tensor_embed(k->w->config).name, NULL);
    const char *own = t ? t->dtype : "";

    if (job->dtype && job->norm == MLS_NORM_LINEAR && strcmp(job->dtype, "F16") == 0)
        return mls_fail(err, MLS_E_INPUT,
                        "deepseek: --norm linear needs numbers smaller than f16 has; "
                        "take --dtype bf16");
    k->dtype = job->dtype                                                ? job->dtype
               : strcmp(own, "F32") == 0                                 ? "F32"
               : strcmp(own, "F16") == 0 && job->norm != MLS_NORM_LINEAR ? "F16"
                                                                         : "BF16";
    if (!job->dtype && strcmp(own, k->dtype) != 0)
        mls_buf_printf(&k->w->known,
                       "- The model's weights are %s; here they are rounded to "
                       "bfloat16. `--dtype f32` keeps them.\n",
                       own);
    return MLS_OK;
}

static uint64_t dtype_bytes(const writing *k)
{
    return strcmp(k->dtype, "F32") == 0 ? 4 : 2;
}

/* ---- shards ---- */

/* Open shard i of L + 1 for tensors (n) that are listed in the index. */
static mls_status begin_shard(writing *k, mls_safetensors_writer **out, size_t i,
                              const mls_tensor_plan *plan, size_t n, mls_err *err)
{
    static const char *const metadata[][2] = {{"format", "pt"}};
    char file[64], *path = NULL;
    mls_status st;

    snprintf(file, sizeof file, "model-%05zu-of-%05zu.safetensors", i + 1,
             k->w->config->L + 1);
    st = mls_export_path(k->w, file, &path, err);
    if (!st)
        st = mls_safetensors_create(out, path, plan, n, metadata, 1, err);
    free(path);
    for (size_t t = 0; t < n && !st; t++) {
        const uint64_t cols = plan[t].n_dims > 1 ? plan[t].shape[1] : 1;

        k->bytes += plan[t].shape[0] * cols * dtype_bytes(k);
        if (json_object_set_new(k->weights, plan[t].name, json_string(file)))
            st = mls_fail(err, MLS_E_NOMEM, "no memory for the index of the shards");
    }
    return st;
}

static mls_status write_layer_shard(writing *k, const mls_deepseek_layer *layer,
                                    size_t l, mls_err *err)
{
    mls_tensor_plan plan[MLS_DEEPSEEK_TENSORS] = {0};
    char names[MLS_DEEPSEEK_TENSORS][NAME];
    mls_safetensors_writer *out = NULL;
    mls_status st;

    for (size_t t = 0; t < layer->n; t++) {
        const mls_deepseek_tensor *x = &layer->tensor[t];

        snprintf(names[t], NAME, "model.layers.%zu.%s", l, x->name);
        plan[t] =
            (mls_tensor_plan){names[t], k->dtype, x->cols ? 2 : 1, {x->rows, x->cols}};
    }
    st = begin_shard(k, &out, l + 1, plan, layer->n, err);
    for (size_t t = 0; t < layer->n && !st; t++) {
        const mls_deepseek_tensor *x = &layer->tensor[t];

        st = mls_safetensors_write_f32(out, x->data, x->rows * (x->cols ? x->cols : 1),
                                       err);
    }
    if (!st) {
        st = mls_safetensors_finish(out, err);
        out = NULL;
    }
    mls_safetensors_abandon(out);
    return st;
}

/* Rows of a matrix (V, E), times `by`. */
static mls_status write_rows(const writing *k, const mls_tensor_need *t, double by,
                             mls_safetensors_writer *out, float *room, mls_err *err)
{
    mls_status st = MLS_OK;

    for (size_t i = 0; i < t->rows && !st; i += ROWS) {
        const size_t n = t->rows - i < ROWS ? t->rows - i : ROWS;

        st = mls_checkpoint_read_rows(k->source, t->name, t->rows, t->cols, i, n, room,
                                      err);
        for (size_t e = 0; e < n * t->cols && !st && by != 1; e++)
            room[e] = (float)(by * (double)room[e]);
        if (!st)
            st = mls_safetensors_write_f32(out, room, n * t->cols, err);
    }
    return st;
}

/*
 * Embedding, final norm, head. The head is written where the model ties it to the
 * embedding, too: vLLM's and SGLang's DeepSeek classes tie nothing.
 */
static mls_status write_rest(writing *k, mls_err *err)
{
    const mls_config *c = k->w->config;
    const mls_tensor_need embed = mls_tensor_embed(c), norm = mls_tensor_norm(c);
    const mls_tensor_need head = c->tied_embeddings ? embed : mls_tensor_head(c);
    const double scale = c->net.embed_scale != 0 ? c->net.embed_scale : 1;
    const mls_tensor_plan plan[] = {
        {"model.embed_tokens.weight", k->dtype, 2, {c->V, c->E}},
        {"model.norm.weight", k->dtype, 1, {c->E}},
        {"lm_head.weight", k->dtype, 2, {c->V, c->E}}};
    float *room = mls_calloc3(ROWS, c->E, 1, sizeof *room);
    mls_safetensors_writer *out = NULL;
    mls_status st =
        room ? begin_shard(k, &out, 0, plan, 3, err)
             : mls_fail(err, MLS_E_NOMEM, "no memory for rows of the embedding");

    if (!st)
        st = write_rows(k, &embed, scale * k->residual, out, room, err);
    if (!st)
        st = mls_checkpoint_read(k->source, norm.name, norm.rows, norm.cols, room, err);
    if (!st) {
        mls_gain_settle(c, mls_checkpoint_gguf(k->source) != NULL, room, c->E);
        st = mls_safetensors_write_f32(out, room, c->E, err);
    }
    if (!st)
        st = write_rows(k, &head, 1, out, room, err);
    if (!st) {
        st = mls_safetensors_finish(out, err);
        out = NULL;
    }
    mls_safetensors_abandon(out);
    free(room);
    return st;
}

static mls_status write_layer(void *arg, const mls_latent_form *f, mls_err *err)
{
    writing *k = arg;
    mls_deepseek_shape shape;
    mls_deepseek_norms_of norms;
    mls_deepseek_layer layer = {0};
    mls_layer body = {0};
    mls_status st = mls_deepseek_shape_of(&shape, f, err);

    if (!st)
        st = mls_deepseek_biases(&shape, f, k->w->job->norm != MLS_NORM_NONE, err);
    if (!st && f->layer == 0)
        k->shape = shape;
    if (!st)
        st = mls_deepseek_same(&shape, &k->shape, f->layer, err);
    if (!st)
        st = mls_model_body(k->w->job->in->model, f->layer, &body, err);
    if (!st)
        st = mls_deepseek_norms(&norms, k->w->job, f, body.attn_norm, err);
    if (!st)
        st = mls_deepseek_make(&layer, &shape, &norms, f, &body, k->w->config->F,
                               k->residual, err);
    if (!st)
        st = write_layer_shard(k, &layer, f->layer, err);
    mls_deepseek_layer_free(&layer);
    mls_layer_free(&body);
    return st;
}

/* ---- the other files ---- */

static mls_status write_config(writing *k, mls_err *err)
{
    char sha256[65];
    mls_rope_config rope = {0};
    mls_status st = mls_deepseek_rope(&rope, &k->shape, k->w->config, err);

    if (!st)
        st = mls_checkpoint_sha256(k->source, sha256, k->w->job->progress, err);
    k->scaled_rope = rope.type != MLS_ROPE_DEFAULT;
    return st ? st
              : mls_deepseek_config(k->w, &k->shape, &rope, k->dtype, k->residual,
                                    sha256, err);
}

/* Which kernels take this shape, in the file and to whoever is watching. */
static void say_kernels(const writing *k)
{
    const mls_export *job = k->w->job;
    mls_buf text = {0};

    if (!job->kernels)
        return;
    mls_kernels_say(&text, job->kernels, k->shape.rank, k->shape.rope);
    if (text.data) {
        mls_buf_printf(&k->w->known,
                       "- Kernels that take %zu + %zu numbers "
                       "(datasets/serving/kernels.csv, checked %s): %s.\n",
                       k->shape.rank, k->shape.rope, job->kernels->item[0].checked,
                       text.data);
        if (job->progress)
            mls_progress_note(job->progress, "%zu + %zu is taken by %s", k->shape.rank,
                              k->shape.rope, text.data);
    }
    mls_buf_free(&text);
}

/* What to type when TransMLA's modeling code reads the folder. */
static void say_transmla(const writing *k, mls_buf *next)
{
    mls_buf_puts(next, "# in a checkout of MuLabPKU/TransMLA, with the path made "
                       "absolute: its modeling code reads this folder\ncp "
                       "transmla/transformers/llama/*.py "
                       "transmla/transformers/mla.py ");
    mls_buf_shell(next, k->w->job->folder);
    mls_buf_puts(next, "\n");
    if (k->shape.o_bias)
        mls_buf_puts(&k->w->known,
                     "- `o_proj` has a bias (the model's, and what the values' biases "
                     "come to), which TransMLA's mla.py does not read: set bias=True "
                     "of its o_proj.\n");
    if (k->shape.q_bias && k->shape.q_rank)
        mls_buf_puts(&k->w->known,
                     "- `q_b_proj` has a bias, which TransMLA's mla.py does not read: "
                     "set bias=True of its q_b_proj.\n");
}

/* What to type when DeepSeek-V3's own class reads it. */
static void say_stock(const writing *k, mls_buf *next)
{
    mls_buf_puts(next, "python3 -c 'import sys; from transformers import "
                       "AutoModelForCausalLM as M; "
                       "print(M.from_pretrained(sys.argv[1]))' ");
    mls_buf_shell(next, k->w->job->folder);
    mls_buf_puts(next, "\n");
    if (!k->shape.bias && !k->scaled_rope) {
        mls_buf_puts(next, "vllm serve ");
        mls_buf_shell(next, k->w->job->folder);
        mls_buf_puts(next, "\n");
    }
    mls_buf_puts(&k->w->known,
                 "- Run in transformers 5.24 with torch 2.13 (tests/exports): logits "
                 "as ours, 64 greedy tokens the same with its cache. vLLM and SGLang "
                 "were not run: their loaders were read (2026).\n");
    if (k->residual != 1)
        mls_buf_printf(
            &k->w->known,
            "- transformers adds 1e-6 in the norm of the latent, vLLM and SGLang "
            "rms_norm_eps. One file serves both: rms_norm_eps is 1e-6 here, and the "
            "hidden states are times %.6g (in embedding, o_proj and down_proj), so "
            "that "
            "every norm still does what it did with %g.\n",
            k->residual, k->w->config->rms_eps);
    if (k->shape.bias)
        mls_buf_puts(&k->w->known,
                     "- `attention_bias` is true. transformers reads these biases; "
                     "vLLM and SGLang would skip them without a word, so "
                     "`architectures` names no class of theirs.\n");
    if (k->scaled_rope)
        mls_buf_puts(&k->w->known,
                     "- RoPE is scaled. transformers does what `rope_scaling` says; "
                     "vLLM takes any scaling of a DeepSeek model for YaRN, so "
                     "`architectures` names no class of its.\n");
    mls_buf_puts(&k->w->known,
                 "- All layers are dense (`first_k_dense_replace`). Some releases of "
                 "vLLM in 2025 refuse a DeepSeek model without experts; later ones "
                 "only warn.\n");
}

static void say_next(const writing *k)
{
    mls_buf *next = &k->w->next;

    mls_buf_puts(&k->w->known, readers[k->w->job->norm]);
    say_kernels(k);
    if (k->w->job->norm == MLS_NORM_NONE)
        say_transmla(k, next);
    else
        say_stock(k, next);
    mls_buf_puts(next, "# what the conversion costs, measured on a text of yours\n"
                       "mlascope evaluate ");
    mls_buf_shell(next, k->w->job->model_name);
    mls_buf_puts(next, " --against ");
    mls_buf_shell(next, k->w->job->folder);
    mls_buf_puts(next, " -f TEXT\n");
}

static mls_status write(mls_export_work *w, mls_err *err)
{
    const mls_config *c = w->config;
    writing k = {.w = w,
                 .source = mls_model_checkpoint(w->job->in->model),
                 .residual = w->job->norm == MLS_NORM_NONE ||
                                     fabs(c->rms_eps / MLS_DEEPSEEK_EPS - 1) < 1e-6
                                 ? 1
                                 : sqrt(MLS_DEEPSEEK_EPS / c->rms_eps)};
    json_t *index = NULL;
    mls_status st = body_fits(c, err);

    if (st || (st = choose_dtype(&k, err)))
        return st;
    k.weights = json_object();
    if (!k.weights)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the index of the shards");
    if ((st = mls_export_forms(w, write_layer, &k, err)) || (st = write_rest(&k, err)))
        goto done;
    mls_export_listed(w, "model-*.safetensors",
                      "the weights; shard 1 holds embedding, norm and head, then one "
                      "layer each");
    index = json_pack("{s:{s:I},s:O}", "metadata", "total_size", (json_int_t)k.bytes,
                      "weight_map", k.weights);
    if ((st = mls_export_json(w, "model.safetensors.index.json", index,
                              "which shard holds a tensor", err)) ||
        (st = mls_export_tokenizer(w, err)) || (st = write_config(&k, err)))
        goto done;
    say_next(&k);

done:
    json_decref(index);
    json_decref(k.weights);
    return st;
}

const mls_export_target mls_export_deepseek = {
    .name = "deepseek",
    .title = "DeepSeek-V3's form",
    .known = known,
    .weights = true,
    .copies = true,
    .write = write,
};
