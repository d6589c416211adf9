/* llama.cpp's cache types, and MXFP4: through their real bytes. */
#include "analysis/quant/quant_format.h"
#include "datasets/files/ggml_blocks.h"

static void cost(const mls_quant *q, bool is_key, size_t n, size_t T,
                 mls_quant_cost *cost)
{
    const mls_ggml_block *b = q->format->block;
    const double blocks = (double)T * (double)(n / MLS_GGML_NUMBERS);

    (void)is_key;
    cost->payload += blocks * MLS_GGML_NUMBERS * b->bits;
    cost->metadata += blocks * ((double)b->bytes * 8 - MLS_GGML_NUMBERS * b->bits);
}

static mls_status fits(const mls_quant *q, size_t n, mls_err *err)
{
    if (n % MLS_GGML_NUMBERS != 0)
        return mls_fail(
            err, MLS_E_INPUT,
            "%s has blocks of %d numbers, of which %zu is no multiple; int%u "
            "takes any",
            q->format->name, MLS_GGML_NUMBERS, n, q->format->bits_max);
    return MLS_OK;
}

static mls_status apply(const mls_quant *q, bool is_key, float *x, size_t T, size_t n,
                        mls_err *err)
{
    const mls_ggml_block *b = q->format->block;
    uint8_t bytes[MLS_GGML_BYTES_MAX];

    (void)is_key;
    (void)err;
    for (size_t at = 0; at < T * n; at += MLS_GGML_NUMBERS) {
        b->encode(x + at, bytes);
        b->decode(bytes, x + at);
    }
    return MLS_OK;
}

#define GGUF_FAMILY                                                                    \
    .group = MLS_GGML_NUMBERS, .cost = cost, .fits = fits, .apply = apply

MLS_QUANT_FORMAT(q8_0, "q8_0", "", 8, 8, "llama.cpp: int8, half scale per 32",
                 GGUF_FAMILY, .block = &mls_ggml_q8_0);

MLS_QUANT_FORMAT(q5_1, "q5_1", "", 5, 5,
                 "llama.cpp: 5 bits, half scale and minimum per 32", GGUF_FAMILY,
                 .block = &mls_ggml_q5_1);

MLS_QUANT_FORMAT(q5_0, "q5_0", "", 5, 5, "llama.cpp: 5 bits, half scale per 32",
                 GGUF_FAMILY, .block = &mls_ggml_q5_0);

MLS_QUANT_FORMAT(q4_1, "q4_1", "", 4, 4,
                 "llama.cpp: 4 bits, half scale and minimum per 32", GGUF_FAMILY,
                 .block = &mls_ggml_q4_1);

MLS_QUANT_FORMAT(q4_0, "q4_0", "", 4, 4, "llama.cpp: 4 bits, half scale per 32",
                 GGUF_FAMILY, .block = &mls_ggml_q4_0);

MLS_QUANT_FORMAT(iq4_nl, "iq4_nl", "", 4, 4,
                 "llama.cpp: 4 bits into a fixed uneven table, half scale per 32",
                 GGUF_FAMILY, .block = &mls_ggml_iq4_nl);

MLS_QUANT_FORMAT(mxfp4, "mxfp4", "", 4, 4, "OCP MXFP4: E2M1, power-of-two scale per 32",
                 GGUF_FAMILY, .block = &mls_ggml_mxfp4);
