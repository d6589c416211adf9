/* DeepSeek-V3's form: the converted checkpoint itself, one shard per layer. */
#include "reports/export/export_deepseek.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/system/files.h"
#include "datasets/checkpoint/tensors.h"
#include "datasets/tokenizer/gguf_tokenizer.h"
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
        "own checkpoints have it. Code that always normalizes the latent "
        "(transformers' `DeepseekV3Attention`, vLLM's and SGLang's DeepSeek) computes "
        "something else with these weights: export with `--norm linear` for it.\n",
    [MLS_NORM_LINEAR] =
        "- `kv_a_layernorm` is there and changes nothing: the latent comes in so small "
        "that the norm's eps, not the latent, sets its size, and the weights bring it "
        "back (docs/format/export.md). At most 5e-7 of a latent is lost.\n"
        "- Do not train this folder: an optimizer's step is far larger than the small "
        "weights of kv_a_proj_with_mqa. Train an export with `--norm fitted` or "
        "`--norm none`.\n",
    [MLS_NORM_FITTED] =
        "- `kv_a_layernorm` has one constant weight, the latent's root mean square on "
        "the calibration text. That is not the same function: measure it with "
        "`--against` above.\n",
};

/* Files of the tokenizer and of generation, copied when they are there. */
static const char *const copied[] = {"tokenizer.json",
                                     "tokenizer_config.json",
                                     "special_tokens_map.json",
                                     "added_tokens.json",
                                     "vocab.json",
                                     "merges.txt",
                                     "tokenizer.model",
                                     "chat_template.jinja",
                                     "chat_template.json",
                                     "generation_config.json"};

/* The checkpoint under way. */
typedef struct {
    mls_export_work *w;
    const mls_checkpoint *source;
    mls_deepseek_shape shape;
    json_t *weights; /* tensor name -> shard */
    uint64_t bytes;  /* of all tensors */
    bool scaled_rope;
} writing;

/* What transformers' DeepseekV3Attention and DeepSeek's model.py add in these norms. */
static const double TRANSFORMERS_EPS = 1e-6;

static double norm_eps(const writing *k)
{
    return k->w->job->norm_eps > 0 ? k->w->job->norm_eps : k->w->config->rms_eps;
}

enum {
    COPY = 1 << 20, /* bytes at once */
    TENSORS_MAX = 32,
    NAME = 128
};

/* Tensor i as it is; numbers of a type that safetensors has not are decoded. */
static mls_status copy_tensor(const mls_checkpoint *source, size_t i,
                              mls_safetensors_writer *out, void *room, mls_err *err)
{
    const mls_tensor_info *t = mls_checkpoint_tensor(source, i, NULL);
    mls_status st = MLS_OK;

    if (!mls_checkpoint_copyable(source, i)) {
        for (uint64_t at = 0; at < t->n_elements && !st; at += COPY / 4) {
            const uint64_t left = t->n_elements - at;
            const size_t n = left < COPY / 4 ? (size_t)left : COPY / 4;

            st = mls_checkpoint_read_at(source, i, at, n, room, err);
            if (!st)
                st = mls_safetensors_write_f32(out, room, n, err);
        }
        return st;
    }

    for (uint64_t at = 0; at < t->n_bytes && !st; at += COPY) {
        const size_t n = t->n_bytes - at < COPY ? (size_t)(t->n_bytes - at) : COPY;

        st = mls_checkpoint_read_raw(source, i, at, n, room, err);
        if (!st)
            st = mls_safetensors_write_raw(out, room, n, err);
    }
    return st;
}

/* Bytes of a number in the dtype that was asked for. */
static uint64_t dtype_bytes(const writing *k)
{
    return strcmp(k->w->job->dtype, "F32") == 0 ? 4 : 2;
}

/*
 * Shard number i: the source's tensors `keep` as they are, then a layer's new ones.
 */
static mls_status write_shard(writing *k, size_t i, const mls_tensor_need *keep,
                              size_t n_keep, const mls_deepseek_layer *layer,
                              size_t layer_index, mls_err *err)
{
    size_t number[TENSORS_MAX];
    static const char *const metadata[][2] = {{"format", "pt"}};
    mls_tensor_plan plan[TENSORS_MAX + MLS_DEEPSEEK_TENSORS] = {0};
    char names[MLS_DEEPSEEK_TENSORS][NAME], file[64], *path = NULL;
    void *room = malloc(COPY);
    mls_safetensors_writer *out = NULL;
    size_t n = 0;
    mls_status st = MLS_OK;

    snprintf(file, sizeof file, "model-%05zu-of-%05zu.safetensors", i + 1,
             k->w->config->L + 1);
    for (; n < n_keep; n++) {
        const mls_tensor_info *t =
            mls_checkpoint_find(k->source, keep[n].name, &number[n]);

        if (!t) {
            st = mls_fail(err, MLS_E_INPUT, "tensor %s is missing", keep[n].name);
            goto done;
        }
        const bool copy = mls_checkpoint_copyable(k->source, number[n]);

        plan[n] = (mls_tensor_plan){
            keep[n].name, copy ? t->dtype : k->w->job->dtype, t->n_dims, {0}};
        memcpy(plan[n].shape, t->shape, sizeof plan[n].shape);
        k->bytes += copy ? t->n_bytes : t->n_elements * dtype_bytes(k);
    }
    for (size_t t = 0; layer && t < layer->n; t++, n++) {
        const mls_deepseek_tensor *x = &layer->tensor[t];

        snprintf(names[t], NAME, "model.layers.%zu.%s", layer_index, x->name);
        plan[n] = (mls_tensor_plan){
            names[t], k->w->job->dtype, x->cols ? 2 : 1, {x->rows, x->cols}};
        k->bytes += (uint64_t)x->rows * (x->cols ? x->cols : 1) * dtype_bytes(k);
    }
    if (!room) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to write %s", file);
        goto done;
    }
    if ((st = mls_export_path(k->w, file, &path, err)) ||
        (st = mls_safetensors_create(&out, path, plan, n, metadata, 1, err)))
        goto done;
    for (size_t t = 0; t < n_keep && !st; t++)
        st = copy_tensor(k->source, number[t], out, room, err);
    for (size_t t = 0; layer && t < layer->n && !st; t++)
        st = mls_safetensors_write_f32(
            out, layer->tensor[t].data,
            layer->tensor[t].rows * (layer->tensor[t].cols ? layer->tensor[t].cols : 1),
            err);
    if (!st) {
        st = mls_safetensors_finish(out, err);
        out = NULL;
    }
    for (size_t t = 0; t < n; t++)
        json_object_set_new(k->weights, plan[t].name, json_string(file));

done:
    mls_safetensors_abandon(out);
    free(path);
    free(room);
    return st;
}

static mls_status write_layer(void *arg, const mls_latent_form *f, mls_err *err)
{
    writing *k = arg;
    const mls_config *c = k->w->config;
    mls_tensor_need keep[TENSORS_MAX];
    mls_deepseek_shape shape;
    mls_deepseek_norms_of norms;
    mls_deepseek_layer layer = {0};
    size_t n = 0;
    mls_status st = mls_deepseek_shape_of(&shape, f, err);

    if (!st)
        st = mls_deepseek_biases(&shape, f, k->w->job->norm != MLS_NORM_NONE, err);
    if (!st && f->layer == 0)
        k->shape = shape;
    if (!st)
        st = mls_deepseek_same(&shape, &k->shape, f->layer, err);
    if (!st)
        st = mls_deepseek_norms(&norms, k->w->job, f, err);
    if (!st)
        st = mls_deepseek_make(&layer, &shape, &norms, f, err);
    for (size_t i = 0;
         !st && i < mls_tensor_layer_needs(c, f->layer) && n < TENSORS_MAX; i++) {
        keep[n] = mls_tensor_layer_need_at(c, f->layer, i);
        n += !mls_tensor_is_projection(keep[n].role);
    }
    if (!st)
        st = write_shard(k, f->layer + 1, keep, n, &layer, f->layer, err);
    mls_deepseek_layer_free(&layer);
    return st;
}

static mls_status write_rest(writing *k, mls_err *err)
{
    const mls_config *c = k->w->config;
    mls_tensor_need keep[3] = {mls_tensor_embed(c), mls_tensor_norm(c),
                               mls_tensor_head(c)};

    return write_shard(k, 0, keep, c->tied_embeddings ? 2 : 3, NULL, 0, err);
}

/* null, or the scaling in Hugging Face's words. */
static json_t *rope_scaling(const mls_rope_config *r)
{
    if (r->type == MLS_ROPE_LINEAR)
        return json_pack("{s:s,s:s,s:f}", "rope_type", "linear", "type", "linear",
                         "factor", r->factor);
    if (r->type == MLS_ROPE_LLAMA3)
        return json_pack("{s:s,s:f,s:f,s:f,s:I}", "rope_type", "llama3", "factor",
                         r->factor, "low_freq_factor", r->low_freq_factor,
                         "high_freq_factor", r->high_freq_factor,
                         "original_max_position_embeddings",
                         (json_int_t)r->original_max_position);
    return json_null();
}

/* The keys that say whose code computes the model. */
static json_t *code_keys(const writing *k)
{
    if (k->w->job->norm == MLS_NORM_NONE)
        return json_pack(
            "{s:[s],s:{s:s,s:s,s:s},s:b}", "architectures", "LlamaMLAForCausalLM",
            "auto_map", "AutoConfig", "configuration_llamamla.LlamaMLAConfig",
            "AutoModel", "modeling_llamamla.LlamaMLAModel", "AutoModelForCausalLM",
            "modeling_llamamla.LlamaMLAForCausalLM", "qk_latent_layernorm", 0);
    return json_pack("{s:[s],s:b,s:f}", "architectures", "DeepseekV3ForCausalLM",
                     "qk_latent_layernorm", 1, "mlascope_norm_eps", norm_eps(k));
}

static mls_status write_config(writing *k, mls_err *err)
{
    const mls_deepseek_shape *s = &k->shape;
    const mls_config *c = k->w->config;
    const char *dtype = strcmp(k->w->job->dtype, "F32") == 0    ? "float32"
                        : strcmp(k->w->job->dtype, "BF16") == 0 ? "bfloat16"
                                                                : "float16";
    char sha256[65];
    mls_rope_config rope;
    json_t *config = NULL, *ours, *code;
    mls_status st = mls_deepseek_rope(&rope, s, c, err);

    if (!st)
        st = mls_checkpoint_sha256(k->source, sha256, k->w->job->progress, err);
    if (!st)
        st = mls_export_config(k->w, &config, err);
    if (st)
        return st;
    code = code_keys(k);
    ours = json_pack(
        "{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:b,s:b,s:I,s:f,s:o,s:s,s:s,s:s}",
        "model_type", "deepseek_v3", "num_key_value_heads", (json_int_t)s->H,
        "head_dim", (json_int_t)s->rope, "qk_rope_head_dim", (json_int_t)s->rope,
        "qk_nope_head_dim", (json_int_t)s->nope, "v_head_dim", (json_int_t)s->value,
        "kv_lora_rank", (json_int_t)s->rank, "q_lora_rank",
        s->q_rank ? json_integer((json_int_t)s->q_rank) : json_null(), "attention_bias",
        s->bias || s->q_bias, "rope_interleave", 1, "first_k_dense_replace",
        (json_int_t)c->L, "rope_theta", rope.theta, "rope_scaling", rope_scaling(&rope),
        "torch_dtype", dtype, "mlascope_setting", k->w->job->scheme->name,
        "mlascope_model", sha256);
    json_object_del(config, "auto_map");
    if (!code || !ours || json_object_update(config, code) ||
        json_object_update(config, ours))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for config.json");
    json_object_del(config, "rope_parameters");
    json_object_del(config, "dtype");
    json_decref(code);
    json_decref(ours);
    k->scaled_rope = rope.type != MLS_ROPE_DEFAULT;
    if (!st)
        st = mls_export_json(k->w, "config.json", config,
                             "the model's own, with DeepSeek-V3's keys", err);
    json_decref(config);
    return st;
}

/* A GGUF file has its vocabulary inside; what is not done is said, not refused. */
static mls_status write_tokenizer(writing *k, const mls_gguf *f, mls_err *err)
{
    char *json = NULL, *path = NULL;
    mls_err why = {0};
    size_t len = 0;
    mls_status st = mls_gguf_tokenizer(f, &json, &len, &why);

    if (st == MLS_E_INPUT) {
        mls_buf_printf(&k->w->known, "- There is no tokenizer.json: %s.\n", why.text);
        return MLS_OK;
    }
    if (st)
        return mls_fail(err, st, "%s", why.text);
    st = mls_export_path(k->w, "tokenizer.json", &path, err);
    if (!st)
        st = mls_file_write(path, json, len, err);
    mls_export_listed(k->w, "tokenizer.json", "made of the GGUF file's vocabulary");
    free(path);
    free(json);
    return st;
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

static mls_status copy_files(writing *k, mls_err *err)
{
    const mls_gguf *gguf = mls_checkpoint_gguf(k->source);
    mls_status st = MLS_OK;

    if (gguf)
        return write_tokenizer(k, gguf, err);

    for (size_t i = 0; i < sizeof copied / sizeof copied[0] && !st; i++) {
        char *from = mls_path_join(mls_checkpoint_folder(k->source), copied[i]);
        char *to = mls_path_join(k->w->folder, copied[i]), *data = NULL;
        size_t len;

        if (!from || !to) {
            st = mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
        } else if (mls_file_exists(from)) {
            st = mls_file_read(from, (uint64_t)1 << 28, &data, &len, err);
            if (!st)
                st = mls_file_write(to, data, len, err);
            mls_export_listed(k->w, copied[i], "copied");
        }
        free(data);
        free(to);
        free(from);
    }
    return st;
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
    const bool fitted = k->w->job->norm == MLS_NORM_FITTED; /* eps hardly matters */
    const bool is_model = norm_eps(k) == k->w->config->rms_eps;

    if (fitted || is_model) {
        mls_buf_puts(next, "vllm serve ");
        mls_buf_shell(next, k->w->job->folder);
        mls_buf_puts(next, "\n");
    }
    if (fitted || norm_eps(k) == TRANSFORMERS_EPS) {
        mls_buf_puts(next, "python3 -c 'import sys; from transformers import "
                           "AutoModelForCausalLM as M; "
                           "print(M.from_pretrained(sys.argv[1]))' ");
        mls_buf_shell(next, k->w->job->folder);
        mls_buf_puts(next, "\n");
    }
    if (!fitted)
        mls_buf_printf(
            &k->w->known,
            "- The norm of the latent is made for code that adds %g in it. vLLM and "
            "SGLang add rms_norm_eps, %g here; transformers and DeepSeek's own "
            "inference/model.py add %g whatever config.json says. Another export with "
            "`--norm-eps` serves the other.\n",
            norm_eps(k), k->w->config->rms_eps, TRANSFORMERS_EPS);
    if (k->shape.bias)
        mls_buf_puts(&k->w->known,
                     "- `attention_bias` is true. transformers reads these biases, "
                     "vLLM and SGLang have no place for them.\n");
    if (k->scaled_rope)
        mls_buf_puts(&k->w->known,
                     "- RoPE is scaled. transformers does what `rope_scaling` says; "
                     "vLLM takes any scaling of a DeepSeek model for YaRN.\n");
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
    mls_status st = MLS_OK;

    if (w->job->norm == MLS_NORM_LINEAR && strcmp(w->job->dtype, "F16") == 0)
        return mls_fail(err, MLS_E_INPUT,
                        "deepseek: --norm linear needs numbers smaller than f16 has; "
                        "take --dtype bf16");
    k.weights = json_object();
    if (!k.weights)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the index of the shards");
    if ((st = mls_export_forms(w, write_layer, &k, err)) || (st = write_rest(&k, err)))
        goto done;
    mls_export_listed(w, "model-*.safetensors",
                      "the weights, everything but attention as it was; shard 1 holds "
                      "embedding, norm and head, then one layer each");
    index = json_pack("{s:{s:I},s:O}", "metadata", "total_size", (json_int_t)k.bytes,
                      "weight_map", k.weights);
    if ((st = mls_export_json(w, "model.safetensors.index.json", index,
                              "which shard holds a tensor", err)) ||
        (st = copy_files(&k, err)) || (st = write_config(&k, err)))
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
