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
#include "reports/export/embedded.h"
#include "reports/export/export_deepseek.h"
#include "reports/export/export_gguf.h"

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
    mls_gguf_keys keys;
    mls_buf tensors;
    uint64_t n_tensors, offset;
} writing;

static void put_shape(writing *k, const mls_deepseek_shape *s, double theta)
{
    const mls_config *c = k->w->config;
    mls_gguf_keys *keys = &k->keys;

    mls_gguf_key_text(keys, "general.architecture", "deepseek2");
    mls_gguf_key_text(keys, "general.name", k->w->job->scheme->name);
    mls_gguf_key_u32(keys, "deepseek2.block_count", c->L);
    mls_gguf_key_u32(keys, "deepseek2.context_length",
                     c->max_position ? c->max_position : 4096);
    mls_gguf_key_u32(keys, "deepseek2.embedding_length", c->E);
    mls_gguf_key_u32(keys, "deepseek2.feed_forward_length", c->F);
    mls_gguf_key_u32(keys, "deepseek2.vocab_size", c->V);
    mls_gguf_key_u32(keys, "deepseek2.attention.head_count", s->H);
    mls_gguf_key_u32(keys, "deepseek2.attention.head_count_kv", 1);
    mls_gguf_key_f32(keys, "deepseek2.attention.layer_norm_rms_epsilon",
                     MLS_DEEPSEEK_EPS);
    mls_gguf_key_u32(keys, "deepseek2.attention.q_lora_rank", s->q_rank);
    mls_gguf_key_u32(keys, "deepseek2.attention.kv_lora_rank", s->rank);
    mls_gguf_key_u32(keys, "deepseek2.attention.key_length", s->rank + s->rope);
    mls_gguf_key_u32(keys, "deepseek2.attention.value_length", s->rank);
    mls_gguf_key_u32(keys, "deepseek2.attention.key_length_mla", s->nope + s->rope);
    mls_gguf_key_u32(keys, "deepseek2.attention.value_length_mla", s->value);
    mls_gguf_key_u32(keys, "deepseek2.rope.dimension_count", s->rope);
    mls_gguf_key_f32(keys, "deepseek2.rope.freq_base", theta);
    mls_gguf_key_u32(keys, "deepseek2.leading_dense_block_count", c->L);
    mls_gguf_key_u32(keys, "deepseek2.expert_feed_forward_length", c->F);
    mls_gguf_key_u32(keys, "deepseek2.expert_shared_count", 0);
}

/* Announce a tensor; dims as the file has them, the contiguous one first. */
static void add_tensor(writing *k, const char *name, size_t n_dims, size_t a, size_t b,
                       size_t c)
{
    const uint64_t dim[] = {a, b, c};
    const bool halves = n_dims > 1 && strcmp(k->target.dtype, "F32") != 0;
    uint64_t bytes = halves ? 2 : 4;

    mls_gguf_put_string(&k->tensors, name, strlen(name));
    mls_gguf_put_u32(&k->tensors, (uint32_t)n_dims);
    for (size_t i = 0; i < n_dims; i++) {
        mls_gguf_put_u64(&k->tensors, dim[i]);
        bytes *= dim[i];
    }
    mls_gguf_put_u32(&k->tensors, halves ? BF16 : F32);
    mls_gguf_put_u64(&k->tensors, k->offset);
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
    st = mls_gguf_key_tokenizer(&k->keys, k->w, err);
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
    mls_gguf_put_u32(&head, 3);
    mls_gguf_put_u64(&head, k->n_tensors);
    mls_gguf_put_u64(&head, k->keys.n);
    if (!st && (head.failed || k->keys.bytes.failed || k->tensors.failed))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a GGUF header");
    if (!st) {
        const size_t len = head.len + k->keys.bytes.len + k->tensors.len;

        fwrite(head.data, 1, head.len, k->out);
        fwrite(k->keys.bytes.data, 1, k->keys.bytes.len, k->out);
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
    mls_buf_free(&k.keys.bytes);
    mls_buf_free(&k.tensors);
    free(path);
    return st;
}

const mls_export_target mls_export_gguf = {
    .name = "gguf",
    .title = "llama.cpp",
    .known = mls_gguf_md,
    .weights = true,
    .copies = true,
    .write = write_file,
};
