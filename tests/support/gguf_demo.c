/* The demo model as a GGUF file, as llama.cpp's converter would write it. */
#include "tests/support/gguf_demo.h"

size_t interleaved_row(size_t row, size_t rows, size_t heads)
{
    const size_t D = rows / heads, d = row % D;

    return row - d + (d % (D / 2)) * 2 + d / (D / 2);
}

void demo_keys(gguf_file *g)
{
    gguf_text(g, "general.architecture", "llama");
    gguf_u32(g, "llama.block_count", 6);
    gguf_u32(g, "llama.context_length", 256);
    gguf_u32(g, "llama.embedding_length", 256);
    gguf_u32(g, "llama.feed_forward_length", 768);
    gguf_u32(g, "llama.attention.head_count", 6);
    gguf_u32(g, "llama.attention.head_count_kv", 2);
    gguf_u32(g, "llama.attention.key_length", 64);
    gguf_u32(g, "llama.attention.value_length", 64);
    gguf_f32(g, "llama.attention.layer_norm_rms_epsilon", 1e-5F);
    gguf_f32(g, "llama.rope.freq_base", 10000);
    gguf_u32(g, "tokenizer.ggml.bos_token_id", 0);
    gguf_u32(g, "tokenizer.ggml.eos_token_id", 0);
}

/* Hugging Face's name backwards: the one that maps to it. */
static void stored_name(const char *hf, char out[96])
{
    static const char *const names[] = {"token_embd.weight",
                                        "output_norm.weight",
                                        "attn_norm",
                                        "attn_q",
                                        "attn_k",
                                        "attn_v",
                                        "attn_output",
                                        "ffn_norm",
                                        "ffn_gate",
                                        "ffn_up",
                                        "ffn_down"};
    const mls_config llama = {.L = 6};
    char back[96];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (size_t l = 0; l < 6; l++) {
            if (i < 2)
                snprintf(out, 96, "%s", names[i]);
            else
                snprintf(out, 96, "blk.%zu.%s.weight", l, names[i]);
            if (mls_gguf_tensor_name(out, &llama, back) && strcmp(back, hf) == 0)
                return;
        }
    fail_msg("no name for %s", hf);
}

void save_demo(const char *path, const mls_checkpoint *c, const mls_ggml_block *block)
{
    const mls_config *k = mls_checkpoint_config(c);
    gguf_file g = {0};

    demo_keys(&g);
    for (size_t i = 0; i < mls_tensor_needs(k); i++) {
        const mls_tensor_need t = mls_tensor_need_at(k, i);
        const size_t width = t.cols ? t.cols : 1;
        const size_t heads = t.role == MLS_TENSOR_WQ   ? k->H
                             : t.role == MLS_TENSOR_WK ? k->G
                                                       : 0;
        const uint64_t ne[2] = {t.cols ? t.cols : t.rows, t.rows};
        float *x = malloc(t.rows * width * sizeof *x);
        float *stored = malloc(t.rows * width * sizeof *x);
        char name[96];

        assert_ok(mls_checkpoint_read(c, t.name, t.rows, t.cols, x, &err));
        for (size_t row = 0; row < t.rows; row++)
            memcpy(stored + (heads ? interleaved_row(row, t.rows, heads) : row) * width,
                   x + row * width, width * sizeof *x);
        stored_name(t.name, name);
        if (t.cols && block) {
            const size_t n = t.rows * width / MLS_GGML_NUMBERS;
            uint8_t *blocks = malloc(n * block->bytes);

            for (size_t b = 0; b < n; b++)
                block->encode(stored + b * MLS_GGML_NUMBERS, blocks + b * block->bytes);
            gguf_tensor(&g, name, block->type, 2, ne, blocks, n * block->bytes);
            free(blocks);
        } else {
            gguf_tensor(&g, name, 0, t.cols ? 2 : 1, ne, stored,
                        t.rows * width * sizeof *x);
        }
        free(stored);
        free(x);
    }
    gguf_save(&g, path);
    gguf_free(&g);
}
