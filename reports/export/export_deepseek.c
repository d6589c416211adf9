/* DeepSeek-V3's form: the converted checkpoint itself, one shard per layer. */
#include "reports/export/export_deepseek.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/export/embedded.h"
#include "reports/export/export_inner.h"

/* Who can read the folder, by mls_export_norm. */
static const char *const readers[] = {
    [MLS_NORM_NONE] = mls_deepseek_none_md,
    [MLS_NORM_LINEAR] = mls_deepseek_linear_md,
    [MLS_NORM_FITTED] = mls_deepseek_fitted_md,
};

/* The checkpoint under way. */
typedef struct {
    mls_export_work *w;
    const mls_checkpoint *source;
    mls_deepseek_target target;
    json_t *weights; /* tensor name -> shard */
    uint64_t bytes;  /* of all tensors */
    bool scaled_rope;
} writing;

enum { NAME = 128 };

static uint64_t dtype_bytes(const writing *k)
{
    return strcmp(k->target.dtype, "F32") == 0 ? 4 : 2;
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
        plan[t] = (mls_tensor_plan){
            names[t], k->target.dtype, x->cols ? 2 : 1, {x->rows, x->cols}};
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

static mls_status take_rows(void *arg, const float *x, size_t n, bool matrix,
                            mls_err *err)
{
    (void)matrix;
    return mls_safetensors_write_f32(arg, x, n, err);
}

/*
 * Embedding, final norm, head. The head is written where the model ties it to the
 * embedding, too: vLLM's and SGLang's DeepSeek classes tie nothing.
 */
static mls_status write_rest(writing *k, mls_err *err)
{
    const mls_config *c = k->w->config;
    const mls_tensor_plan plan[] = {
        {"model.embed_tokens.weight", k->target.dtype, 2, {c->V, c->E}},
        {"model.norm.weight", k->target.dtype, 1, {c->E}},
        {"lm_head.weight", k->target.dtype, 2, {c->V, c->E}}};
    mls_safetensors_writer *out = NULL;
    mls_status st = begin_shard(k, &out, 0, plan, 3, err);

    for (int part = 0; part < 3 && !st; part++)
        st = mls_deepseek_rest(&k->target, k->w, part, take_rows, out, err);
    if (!st) {
        st = mls_safetensors_finish(out, err);
        out = NULL;
    }
    mls_safetensors_abandon(out);
    return st;
}

static mls_status write_layer(void *arg, const mls_latent_form *f, mls_err *err)
{
    writing *k = arg;
    mls_deepseek_layer layer;
    mls_status st = mls_deepseek_layer_of(&layer, &k->target, k->w, f, err);

    if (!st)
        st = write_layer_shard(k, &layer, f->layer, err);
    mls_deepseek_layer_free(&layer);
    return st;
}

/* ---- the other files ---- */

static mls_status write_config(writing *k, mls_err *err)
{
    char sha256[65];
    mls_rope_config rope = {0};
    mls_status st = mls_deepseek_rope(&rope, &k->target.shape, k->w->config, err);

    if (!st)
        st = mls_checkpoint_sha256(k->source, sha256, k->w->job->progress, err);
    k->scaled_rope = rope.type != MLS_ROPE_DEFAULT;
    return st ? st
              : mls_deepseek_config(k->w, &k->target.shape, &rope, k->target.dtype,
                                    k->target.residual, sha256, err);
}

/* Which kernels take this shape, in the file and to whoever is watching. */
static void say_kernels(const writing *k)
{
    const mls_export *job = k->w->job;
    mls_buf text = {0};

    if (!job->kernels)
        return;
    mls_kernels_say(&text, job->kernels, k->target.shape.rank, k->target.shape.rope);
    if (text.data) {
        mls_buf_printf(&k->w->known,
                       "- Kernels that take %zu + %zu numbers "
                       "(datasets/serving/kernels.csv, checked %s): %s.\n",
                       k->target.shape.rank, k->target.shape.rope,
                       job->kernels->item[0].checked, text.data);
        if (job->progress)
            mls_progress_note(job->progress, "%zu + %zu is taken by %s",
                              k->target.shape.rank, k->target.shape.rope, text.data);
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
    if (k->target.shape.o_bias)
        mls_buf_puts(&k->w->known,
                     "- `o_proj` has a bias (the model's, and what the values' biases "
                     "come to), which TransMLA's mla.py does not read: set bias=True "
                     "of its o_proj.\n");
    if (k->target.shape.q_bias && k->target.shape.q_rank)
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
    if (!k->target.shape.bias && !k->scaled_rope) {
        mls_buf_puts(next, "vllm serve ");
        mls_buf_shell(next, k->w->job->folder);
        mls_buf_puts(next, "\n");
    }
    mls_buf_puts(&k->w->known,
                 "- This kind of folder was run in transformers 5.24 with torch 2.13 "
                 "(tests/exports): perplexity and KL as ours to 1e-4, 64 greedy tokens "
                 "the same with its cache. vLLM and SGLang were not run: their loaders "
                 "were read (vLLM's of 2026, SGLang's of 2025).\n");
    if (k->target.residual != 1)
        mls_buf_printf(
            &k->w->known,
            "- transformers adds 1e-6 in the norm of the latent, vLLM and SGLang "
            "rms_norm_eps. One file serves both: rms_norm_eps is 1e-6 here, and the "
            "hidden states are times %.6g (in embedding, o_proj and down_proj), so "
            "that "
            "every norm still does what it did with %g.\n",
            k->target.residual, k->w->config->rms_eps);
    if (k->target.shape.bias)
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
    writing k = {.w = w, .source = mls_model_checkpoint(w->job->in->model)};
    json_t *index = NULL;
    mls_status st = mls_deepseek_begin(&k.target, w, err);

    if (st)
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
    .known = mls_deepseek_md,
    .weights = true,
    .copies = true,
    .write = write,
};
