/*
 * GGUF, architecture deepseek2: what llama.cpp's converter would make of the folder of
 * `--for deepseek` (conversion/deepseek.py: keys and names, kv_b_proj split into k_b,
 * transposed, and v_b, as its absorbed attention reads them). All norms of that
 * architecture add one eps, so the linear norm holds there as it does in vLLM.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/checked.h"
#include "common/numbers/half.h"
#include "common/system/files.h"
#include "datasets/files/gguf.h"
#include "datasets/tokenizer/gguf_cuts.h"
#include "reports/export/export_deepseek.h"

static const char known[] =
    "- Run in llama-cpp-python 0.3.36 (tests/exports). llama.cpp before the split of "
    "kv_b (April 2025) does not read it.\n"
    "- When you quantize it, keep attn_kv_a_mqa as it is: rows of the latent are too "
    "small for the 16-bit scales of blocks.\n";

enum { ALIGNMENT = 32, F32 = 0, BF16 = 30, NAME = 96, PIECE = 4096 };

/* File names of a layer's tensors; kv_b_proj is two there. */
static const char *const names[][2] = {
    {"self_attn.q_proj.weight", "attn_q"},
    {"self_attn.q_a_proj.weight", "attn_q_a"},
    {"self_attn.q_a_layernorm.weight", "attn_q_a_norm"},
    {"self_attn.q_b_proj.weight", "attn_q_b"},
    {"self_attn.kv_a_proj_with_mqa.weight", "attn_kv_a_mqa"},
    {"self_attn.kv_a_layernorm.weight", "attn_kv_a_norm"},
    {"self_attn.o_proj.weight", "attn_output"},
    {"input_layernorm.weight", "attn_norm"},
    {"post_attention_layernorm.weight", "ffn_norm"},
    {"mlp.gate_proj.weight", "ffn_gate"},
    {"mlp.up_proj.weight", "ffn_up"},
    {"mlp.down_proj.weight", "ffn_down"},
};

typedef struct {
    mls_export_work *w;
    mls_deepseek_target target;
    FILE *out;
    mls_buf keys, tensors;
    uint64_t n_keys, n_tensors, offset;
} writing;

/* ---- keys ---- */

static void put_u32(mls_buf *b, uint32_t x)
{
    mls_buf_add(b, (const char *)&x, sizeof x);
}

static void put_u64(mls_buf *b, uint64_t x)
{
    mls_buf_add(b, (const char *)&x, sizeof x);
}

static void put_string(mls_buf *b, const char *text, size_t len)
{
    put_u64(b, len);
    mls_buf_add(b, text, len);
}

static void put_key(writing *k, const char *key, mls_gguf_type type)
{
    put_string(&k->keys, key, strlen(key));
    put_u32(&k->keys, (uint32_t)type);
    k->n_keys++;
}

static void key_u32(writing *k, const char *key, size_t x)
{
    put_key(k, key, MLS_GGUF_U32);
    put_u32(&k->keys, (uint32_t)x);
}

static void key_f32(writing *k, const char *key, double x)
{
    const float value = (float)x;

    put_key(k, key, MLS_GGUF_F32);
    mls_buf_add(&k->keys, (const char *)&value, sizeof value);
}

static void key_text(writing *k, const char *key, const char *text)
{
    put_key(k, key, MLS_GGUF_STRING);
    put_string(&k->keys, text, strlen(text));
}

static void key_array(writing *k, const char *key, mls_gguf_type type, uint64_t n)
{
    put_key(k, key, MLS_GGUF_ARRAY);
    put_u32(&k->keys, (uint32_t)type);
    put_u64(&k->keys, n);
}

static void put_shape(writing *k, const mls_deepseek_shape *s, double theta)
{
    const mls_config *c = k->w->config;

    key_text(k, "general.architecture", "deepseek2");
    key_text(k, "general.name", k->w->job->scheme->name);
    key_u32(k, "deepseek2.block_count", c->L);
    key_u32(k, "deepseek2.context_length", c->max_position ? c->max_position : 4096);
    key_u32(k, "deepseek2.embedding_length", c->E);
    key_u32(k, "deepseek2.feed_forward_length", c->F);
    key_u32(k, "deepseek2.vocab_size", c->V);
    key_u32(k, "deepseek2.attention.head_count", s->H);
    key_u32(k, "deepseek2.attention.head_count_kv", 1);
    key_f32(k, "deepseek2.attention.layer_norm_rms_epsilon", MLS_DEEPSEEK_EPS);
    key_u32(k, "deepseek2.attention.q_lora_rank", s->q_rank);
    key_u32(k, "deepseek2.attention.kv_lora_rank", s->rank);
    key_u32(k, "deepseek2.attention.key_length", s->rank + s->rope);
    key_u32(k, "deepseek2.attention.value_length", s->rank);
    key_u32(k, "deepseek2.attention.key_length_mla", s->nope + s->rope);
    key_u32(k, "deepseek2.attention.value_length_mla", s->value);
    key_u32(k, "deepseek2.rope.dimension_count", s->rope);
    key_f32(k, "deepseek2.rope.freq_base", theta);
    key_u32(k, "deepseek2.leading_dense_block_count", c->L);
    key_u32(k, "deepseek2.expert_feed_forward_length", c->F);
    key_u32(k, "deepseek2.expert_shared_count", 0);
}

/* ---- the tokenizer ---- */

/* The keys of a GGUF file as they are. */
static void copy_tokenizer(writing *k, const mls_gguf *f)
{
    const mls_gguf_header *h = mls_gguf_head(f);

    for (size_t i = 0; i < h->n_values; i++) {
        const mls_gguf_value *v = &h->value[i];

        if (strncmp(v->key, "tokenizer.", 10) != 0)
            continue;
        if (v->is_array)
            key_array(k, v->key, v->type, v->n);
        else
            put_key(k, v->key, v->type);
        mls_buf_add(&k->keys, (const char *)v->data, v->bytes);
    }
}

/* A pre_tokenizer as one sequence of steps, without what does not change tokens. */
static json_t *steps_of(const json_t *pre)
{
    const json_t *inner = json_object_get(pre, "pretokenizers");
    json_t *steps =
        inner ? json_deep_copy(inner) : json_pack("[o]", json_deep_copy(pre));
    json_t *one;
    size_t i;

    json_array_foreach(steps, i, one) json_object_del(one, "trim_offsets");
    return steps;
}

/* tokenizer.ggml.pre by what it makes of tokenizer.json; NULL: not known. */
static const char *find_cut(const json_t *pre)
{
    static const char *const tried[] = {"gpt-2",  "smollm",      "llama-bpe", "qwen2",
                                        "tekken", "deepseek-v3", "gpt-4o",    "qwen35"};
    json_t *ours = pre ? steps_of(pre) : NULL;
    const char *found = NULL;

    for (size_t i = 0; i < sizeof tried / sizeof tried[0] && !found && ours; i++) {
        json_t *cut = mls_gguf_cut_json(mls_gguf_cut_find(tried[i]));
        json_t *steps = cut ? steps_of(cut) : NULL;

        if (steps && json_equal(steps, ours))
            found = tried[i];
        json_decref(steps);
        json_decref(cut);
    }
    json_decref(ours);
    return found;
}

static void put_merges(writing *k, const json_t *merges)
{
    size_t i;
    const json_t *one;

    key_array(k, "tokenizer.ggml.merges", MLS_GGUF_STRING, json_array_size(merges));
    json_array_foreach(merges, i, one)
    {
        const char *a = json_string_value(json_array_get(one, 0));
        const char *b = json_string_value(json_array_get(one, 1));
        mls_buf text = {0};

        if (json_is_string(one))
            mls_buf_puts(&text, json_string_value(one));
        else
            mls_buf_printf(&text, "%s %s", a ? a : "", b ? b : "");
        put_string(&k->keys, text.data ? text.data : "", text.len);
        mls_buf_free(&text);
    }
}

static mls_status put_vocabulary(writing *k, json_t *vocab, const json_t *added,
                                 mls_err *err)
{
    enum { NORMAL = 1, CONTROL = 3, USER = 4, UNUSED = 5 };
    const size_t V = k->w->config->V;
    const char **text = mls_calloc3(V, 1, 1, sizeof *text);
    uint32_t *type = mls_calloc3(V, 1, 1, sizeof *type);
    const char *word;
    json_t *id;
    size_t i;

    if (!text || !type) {
        free(text);
        free(type);
        return mls_fail(err, MLS_E_NOMEM, "no memory for a vocabulary of %zu", V);
    }
    json_object_foreach(vocab, word, id)
    {
        const json_int_t at = json_integer_value(id);

        if (at >= 0 && (size_t)at < V) {
            text[at] = word;
            type[at] = NORMAL;
        }
    }
    json_array_foreach(added, i, id)
    {
        const json_int_t at = json_integer_value(json_object_get(id, "id"));

        if (at >= 0 && (size_t)at < V) {
            text[at] = json_string_value(json_object_get(id, "content"));
            type[at] = json_is_true(json_object_get(id, "special")) ? CONTROL : USER;
        }
    }
    key_array(k, "tokenizer.ggml.tokens", MLS_GGUF_STRING, V);
    for (i = 0; i < V; i++) {
        char pad[32];

        snprintf(pad, sizeof pad, "[PAD%zu]", i);
        if (!text[i])
            type[i] = UNUSED;
        put_string(&k->keys, text[i] ? text[i] : pad, strlen(text[i] ? text[i] : pad));
    }
    key_array(k, "tokenizer.ggml.token_type", MLS_GGUF_I32, V);
    mls_buf_add(&k->keys, (const char *)type, V * sizeof *type);
    free(text);
    free(type);
    return MLS_OK;
}

/* Byte-level BPE of a tokenizer.json; of another kind the file has no vocabulary. */
static mls_status make_tokenizer(writing *k, const char *folder, mls_err *err)
{
    const mls_config *c = k->w->config;
    char *path = mls_path_join(folder, "tokenizer.json");
    json_t *file = NULL;
    mls_err why = {0};
    const json_t *model;
    const char *cut;
    mls_status st = MLS_OK;

    if (!path)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
    if (!mls_json_read(&file, path, (size_t)1 << 28, NULL, &why)) {
        model = json_object_get(file, "model");
        cut = find_cut(json_object_get(file, "pre_tokenizer"));
        if (cut && !json_is_true(json_object_get(model, "byte_fallback"))) {
            key_text(k, "tokenizer.ggml.model", "gpt2");
            key_text(k, "tokenizer.ggml.pre", cut);
            put_merges(k, json_object_get(model, "merges"));
            st = put_vocabulary(k, json_object_get(model, "vocab"),
                                json_object_get(file, "added_tokens"), err);
            if (c->bos_id >= 0)
                key_u32(k, "tokenizer.ggml.bos_token_id", (size_t)c->bos_id);
            if (c->eos_id >= 0)
                key_u32(k, "tokenizer.ggml.eos_token_id", (size_t)c->eos_id);
            put_key(k, "tokenizer.ggml.add_bos_token", MLS_GGUF_BOOL);
            mls_buf_add(&k->keys, "", 1);
        } else {
            snprintf(why.text, sizeof why.text,
                     "its tokenizer is no byte-level BPE that is cut in a known way");
            cut = NULL;
        }
    } else {
        cut = NULL;
    }
    if (!st && !cut) {
        key_text(k, "tokenizer.ggml.model", "no_vocab");
        mls_buf_printf(&k->w->known, "- There is no vocabulary in it: %s.\n", why.text);
    }
    json_decref(file);
    free(path);
    return st;
}

/* ---- tensors ---- */

/* Announce a tensor; dims as the file has them, the contiguous one first. */
static void add_tensor(writing *k, const char *name, size_t n_dims, size_t a, size_t b,
                       size_t c)
{
    const uint64_t dim[] = {a, b, c};
    const bool halves = n_dims > 1 && strcmp(k->target.dtype, "F32") != 0;
    uint64_t bytes = halves ? 2 : 4;

    put_string(&k->tensors, name, strlen(name));
    put_u32(&k->tensors, (uint32_t)n_dims);
    for (size_t i = 0; i < n_dims; i++) {
        put_u64(&k->tensors, dim[i]);
        bytes *= dim[i];
    }
    put_u32(&k->tensors, halves ? BF16 : F32);
    put_u64(&k->tensors, k->offset);
    k->offset += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    k->n_tensors++;
}

static const char *name_in_file(const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i][0], name) == 0)
            return names[i][1];
    return NULL;
}

/* All layers are of one shape, so the first one announces every tensor. */
static mls_status write_header(writing *k, const mls_deepseek_layer *y, mls_err *err)
{
    const mls_deepseek_shape *s = &k->target.shape;
    const mls_config *c = k->w->config;
    const mls_gguf *source =
        mls_checkpoint_gguf(mls_model_checkpoint(k->w->job->in->model));
    static const char zeros[ALIGNMENT] = {0};
    mls_rope_config rope;
    mls_buf head = {0};
    mls_status st;

    if (s->bias || s->o_bias)
        return mls_fail(err, MLS_E_INPUT,
                        "gguf: the form has biases, and llama.cpp's deepseek2 has no "
                        "place for them; --for deepseek is read by transformers");
    if ((st = mls_deepseek_rope(&rope, s, c, err)))
        return st;
    if (rope.type != MLS_ROPE_DEFAULT)
        return mls_fail(err, MLS_E_INPUT,
                        "gguf: RoPE is scaled, and llama.cpp's deepseek2 scales the "
                        "scores with it; --for deepseek is read by transformers");
    put_shape(k, s, rope.theta);
    if (source)
        copy_tokenizer(k, source);
    else
        st = make_tokenizer(
            k, mls_checkpoint_folder(mls_model_checkpoint(k->w->job->in->model)), err);
    for (size_t l = 0; l < c->L; l++)
        for (size_t i = 0; i < y->n; i++) {
            const mls_deepseek_tensor *t = &y->tensor[i];
            const char *word = name_in_file(t->name);
            char name[NAME];

            if (word) {
                snprintf(name, sizeof name, "blk.%zu.%s.weight", l, word);
                add_tensor(k, name, t->cols ? 2 : 1, t->cols ? t->cols : t->rows,
                           t->rows, 0);
                continue;
            }
            snprintf(name, sizeof name, "blk.%zu.attn_k_b.weight", l);
            add_tensor(k, name, 3, s->nope, s->rank, s->H);
            snprintf(name, sizeof name, "blk.%zu.attn_v_b.weight", l);
            add_tensor(k, name, 3, s->rank, s->value, s->H);
        }
    add_tensor(k, "token_embd.weight", 2, c->E, c->V, 0);
    add_tensor(k, "output_norm.weight", 1, c->E, 0, 0);
    add_tensor(k, "output.weight", 2, c->E, c->V, 0);
    mls_buf_add(&head, "GGUF", 4);
    put_u32(&head, 3);
    put_u64(&head, k->n_tensors);
    put_u64(&head, k->n_keys);
    if (!st && (head.failed || k->keys.failed || k->tensors.failed))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a GGUF header");
    if (!st) {
        const size_t len = head.len + k->keys.len + k->tensors.len;

        fwrite(head.data, 1, head.len, k->out);
        fwrite(k->keys.data, 1, k->keys.len, k->out);
        fwrite(k->tensors.data, 1, k->tensors.len, k->out);
        fwrite(zeros, 1, (ALIGNMENT - len % ALIGNMENT) % ALIGNMENT, k->out);
    }
    mls_buf_free(&head);
    return st;
}

/* n numbers of a tensor, in its type; errors stay in the stream. */
static void write_numbers(const writing *k, const float *x, size_t n, bool matrix)
{
    uint16_t room[PIECE];

    if (!matrix || strcmp(k->target.dtype, "F32") == 0) {
        fwrite(x, sizeof *x, n, k->out);
        return;
    }
    for (size_t i = 0; i < n; i += PIECE) {
        const size_t piece = n - i < PIECE ? n - i : PIECE;

        for (size_t e = 0; e < piece; e++)
            room[e] = mls_float_to_bf16(x[i + e]);
        fwrite(room, sizeof *room, piece, k->out);
    }
}

static void end_tensor(const writing *k, size_t n, bool matrix)
{
    static const char zeros[ALIGNMENT] = {0};
    const size_t bytes = n * (matrix && strcmp(k->target.dtype, "F32") != 0 ? 2 : 4);

    fwrite(zeros, 1, (ALIGNMENT - bytes % ALIGNMENT) % ALIGNMENT, k->out);
}

/* (H (nope + v), r): keys of all heads transposed, then their values. */
static mls_status write_up(const writing *k, const float *up, mls_err *err)
{
    const mls_deepseek_shape *s = &k->target.shape;
    const size_t rows = s->nope + s->value, r = s->rank;
    float *keys = mls_calloc3(s->nope, r, 1, sizeof *keys);

    if (!keys)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu x %zu", s->nope, r);
    for (size_t h = 0; h < s->H; h++) {
        const float *from = up + h * rows * r;

        for (size_t j = 0; j < r; j++)
            for (size_t i = 0; i < s->nope; i++)
                keys[j * s->nope + i] = from[i * r + j];
        write_numbers(k, keys, s->nope * r, true);
    }
    end_tensor(k, s->H * s->nope * r, true);
    for (size_t h = 0; h < s->H; h++)
        write_numbers(k, up + (h * rows + s->nope) * r, s->value * r, true);
    end_tensor(k, s->H * s->value * r, true);
    free(keys);
    return MLS_OK;
}

static mls_status write_layer(void *arg, const mls_latent_form *f, mls_err *err)
{
    writing *k = arg;
    mls_deepseek_layer y;
    mls_status st = mls_deepseek_layer_of(&y, &k->target, k->w, f, err);

    if (!st && f->layer == 0)
        st = write_header(k, &y, err);
    for (size_t i = 0; i < y.n && !st; i++) {
        const mls_deepseek_tensor *t = &y.tensor[i];

        if (!name_in_file(t->name)) {
            st = write_up(k, t->data, err);
            continue;
        }
        write_numbers(k, t->data, t->rows * (t->cols ? t->cols : 1), t->cols > 0);
        end_tensor(k, t->rows * (t->cols ? t->cols : 1), t->cols > 0);
    }
    mls_deepseek_layer_free(&y);
    return st;
}

static mls_status take_rows(void *arg, const float *x, size_t n, bool matrix,
                            mls_err *err)
{
    (void)err;
    write_numbers(arg, x, n, matrix);
    return MLS_OK;
}

static mls_status write_file(mls_export_work *w, mls_err *err)
{
    static const char file[] = "model.gguf";
    const mls_config *c = w->config;
    writing k = {.w = w};
    char *path = NULL;
    mls_status st = mls_deepseek_begin(&k.target, w, err);

    if (st || (st = mls_export_path(w, file, &path, err)))
        return st;
    k.out = fopen(path, "wb");
    if (!k.out)
        st = mls_fail(err, MLS_E_IO, "%s: cannot be written", path);
    if (!st)
        st = mls_export_forms(w, write_layer, &k, err);
    for (int part = 0; part < 3 && !st; part++) {
        st = mls_deepseek_rest(&k.target, w, part, take_rows, &k, err);
        end_tensor(&k, part == 1 ? c->E : c->E * c->V, part != 1);
    }
    if (k.out) {
        const bool bad = ferror(k.out) || fflush(k.out) || fsync(fileno(k.out));

        if ((fclose(k.out) || bad) && !st)
            st = mls_fail(err, MLS_E_IO, "%s: cannot be written", path);
    }
    mls_export_listed(w, file, "architecture deepseek2, with the tokenizer");
    mls_buf_puts(&w->next, "llama-cli -m ");
    mls_buf_shell(&w->next, w->job->folder);
    mls_buf_puts(&w->next, "/model.gguf\n");
    mls_buf_free(&k.keys);
    mls_buf_free(&k.tensors);
    free(path);
    return st;
}

const mls_export_target mls_export_gguf = {
    .name = "gguf",
    .title = "llama.cpp",
    .known = known,
    .weights = true,
    .copies = true,
    .write = write_file,
};
