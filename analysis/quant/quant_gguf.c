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

const mls_quant_format mls_quant_q8_0 = {
    .name = "q8_0",
    .suffix = "",
    .help = "llama.cpp: int8, half scale per 32",
    .bits_min = 8,
    .bits_max = 8,
    .group = MLS_GGML_NUMBERS,
    .block = &mls_ggml_q8_0,
    .cost = cost,
    .fits = fits,
    .apply = apply,
};

const mls_quant_format mls_quant_q5_1 = {
    .name = "q5_1",
    .suffix = "",
    .help = "llama.cpp: 5 bits, half scale and minimum per 32",
    .bits_min = 5,
    .bits_max = 5,
    .group = MLS_GGML_NUMBERS,
    .block = &mls_ggml_q5_1,
    .cost = cost,
    .fits = fits,
    .apply = apply,
};

const mls_quant_format mls_quant_q5_0 = {
    .name = "q5_0",
    .suffix = "",
    .help = "llama.cpp: 5 bits, half scale per 32",
    .bits_min = 5,
    .bits_max = 5,
    .group = MLS_GGML_NUMBERS,
    .block = &mls_ggml_q5_0,
    .cost = cost,
    .fits = fits,
    .apply = apply,
};

const mls_quant_format mls_quant_q4_1 = {
    .name = "q4_1",
    .suffix = "",
    .help = "llama.cpp: 4 bits, half scale and minimum per 32",
    .bits_min = 4,
    .bits_max = 4,
    .group = MLS_GGML_NUMBERS,
    .block = &mls_ggml_q4_1,
    .cost = cost,
    .fits = fits,
    .apply = apply,
};

const mls_quant_format mls_quant_q4_0 = {
    .name = "q4_0",
    .suffix = "",
    .help = "llama.cpp: 4 bits, half scale per 32",
    .bits_min = 4,
    .bits_max = 4,
    .group = MLS_GGML_NUMBERS,
    .block = &mls_ggml_q4_0,
    .cost = cost,
    .fits = fits,
    .apply = apply,
};

const mls_quant_format mls_quant_iq4_nl = {
    .name = "iq4_nl",
    .suffix = "",
    .help = "llama.cpp: 4 bits into a fixed uneven table, half scale per 32",
    .bits_min = 4,
    .bits_max = 4,
    .group = MLS_GGML_NUMBERS,
    .block = &mls_ggml_iq4_nl,
    .cost = cost,
    .fits = fits,
    .apply = apply,
};

const mls_quant_format mls_quant_mxfp4 = {
    .name = "mxfp4",
    .suffix = "",
    .help = "OCP MXFP4: E2M1, power-of-two scale per 32",
    .bits_min = 4,
    .bits_max = 4,
    .group = MLS_GGML_NUMBERS,
    .block = &mls_ggml_mxfp4,
    .cost = cost,
    .fits = fits,
    .apply = apply,
};
