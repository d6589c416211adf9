/* What the model is, what its cache costs, how well it predicts the text. */
#define _GNU_SOURCE /* M_PI */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/latent/size.h"
#include "analysis/model/rope.h"
#include "bench/frame/common_keys.h"
#include "common/base/buf.h"
#include "common/base/checked.h"
#include "common/base/words.h"
#include "datasets/checkpoint/checkpoint.h"
#include "reports/report/sections.h"
#include "reports/tables/size_table.h"

/* " with wavelengths from A to B tokens", chunks that do not turn apart. */
static mls_status add_wavelengths(mls_buf *b, const char *where,
                                  const mls_rope_config *rope, size_t D, mls_err *err)
{
    double *inv_freq = mls_calloc3(D / 2, 1, 1, sizeof *inv_freq);
    size_t n = D / 2;

    if (!inv_freq)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu frequencies", D / 2);
    mls_rope_frequencies(inv_freq, rope, D);
    while (n > 0 && inv_freq[n - 1] == 0)
        n--;
    mls_buf_printf(b, "%s with wavelengths from %.2f to %.0f tokens", where,
                   2 * M_PI / inv_freq[0], 2 * M_PI / inv_freq[n ? n - 1 : 0]);
    if (n < D / 2)
        mls_buf_printf(b, " (%zu chunks do not turn)", D / 2 - n);
    free(inv_freq);
    return MLS_OK;
}

void mls_report_shape(char *out, size_t size, const mls_config *c)
{
    size_t alike = 0;

    for (size_t l = 0; l < c->L; l++)
        alike +=
            mls_layer_is_attention(&c->layer[l]) && !mls_layer_slides(&c->layer[l]);
    if (alike < c->L)
        mls_size_describe(c, out, size);
    else
        snprintf(out, size,
                 "%zu layers, %zu KV head%s of %zu dims for %zu query head%s (%s)",
                 c->L, c->G, mls_plural(c->G), c->D, c->H, mls_plural(c->H),
                 c->G == c->H ? "MHA"
                 : c->G == 1  ? "MQA"
                              : "GQA");
}

/* Tokens of a sequence that are of the text. */
static size_t tokens_of(const mls_capture *capture)
{
    return mls_capture_length(capture) - mls_capture_lead(capture);
}

static void say_source(mls_buf *b, const mls_capture *capture)
{
    const size_t N = mls_capture_sequences(capture), T = tokens_of(capture);

    mls_buf_printf(b, " The statistics come from %zu tokens: %zu sequence%s of %zu%s.",
                   N * T, N, mls_plural(N), T,
                   mls_capture_lead(capture)
                       ? ", each behind the token that the tokenizer puts first"
                       : "");
}

mls_status mls_section_model(const mls_report *r, mls_page *page, mls_buf *summary,
                             mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    const mls_checkpoint *checkpoint = mls_model_checkpoint(r->model);
    const double parameters = (double)mls_checkpoint_parameters(checkpoint);
    const size_t turned = c->mla_kv_lora_rank ? c->mla_rope_dim : c->D; /* dims */
    mls_buf turns = {0}, from = {0};
    mls_size_result size;
    char text[512];
    mls_status st = mls_size_own(&size, c, 4096, err);

    if (!st)
        st = add_wavelengths(&turns, "", &c->rope, turned, err);
    if (!st && !mls_layers_turn_alike(c))
        st = add_wavelengths(&turns, ", those of layers with a window", &c->rope_local,
                             c->D, err);
    if (st)
        goto done;
    if (r->capture)
        say_source(&from, r->capture);
    mls_page_section(page, "model", "The model");
    if (parameters < 1e9)
        snprintf(text, sizeof text, "%.4g M", parameters / 1e6);
    else
        snprintf(text, sizeof text, "%.4g B", parameters / 1e9);
    mls_page_tile(page, text, "parameters stored");
    snprintf(text, sizeof text, "%zu × %zu", c->L, c->H);
    mls_page_tile(page, text, "layers × query heads");
    if (c->mla_kv_lora_rank)
        snprintf(text, sizeof text, "%zu + %zu", c->mla_kv_lora_rank, c->mla_rope_dim);
    else
        snprintf(text, sizeof text, "%zu × %zu", c->G, c->D);
    mls_page_tile(page, text,
                  c->mla_kv_lora_rank ? "latent + rope key"
                                      : "KV heads × dims of each");
    snprintf(text, sizeof text, "%.0f B",
             mls_size_has_fixed(c) ? size.growing_bytes_per_token
                                   : size.bytes_per_token);
    mls_page_tile(page, text, "cache per token, 16 bit");
    if (mls_size_has_fixed(c)) {
        snprintf(text, sizeof text, "%.0f B", size.fixed_bytes);
        mls_page_tile(page, text, "of a sequence, that do not grow");
    }
    if (r->capture) {
        snprintf(text, sizeof text, "%.2f", exp(mls_capture_nll(r->capture)));
        mls_page_tile(page, text, "perplexity, calibration text");
    }
    mls_page_text(
        page,
        "%s: %s attention, hidden size %zu, %zu chunks (RoPE frequencies) per "
        "head%s, vocabulary %zu.%s",
        c->architecture,
        c->mla_kv_lora_rank ? "multi-head latent"
        : c->G == c->H      ? "multi-head"
        : c->G == 1         ? "multi-query"
                            : "grouped-query",
        c->E, turned / 2, turns.data, c->V, from.len ? from.data : "");
    if (*mls_common_left_alone(text, sizeof text, c))
        mls_page_text(page, "%s.", text);

    mls_report_shape(text, sizeof text, c);
    mls_buf_printf(summary, "%s: %s, %.0f bytes of cache per token%s\n", r->model_name,
                   text, size.bytes_per_token,
                   mls_size_has_fixed(c) ? " at 4096 tokens, windows and states in it"
                                         : "");
    if (r->capture)
        mls_buf_printf(summary,
                       "calibration: %zu sequences of %zu tokens, perplexity %.3f\n",
                       mls_capture_sequences(r->capture), tokens_of(r->capture),
                       exp(mls_capture_nll(r->capture)));

done:
    mls_buf_free(&from);
    mls_buf_free(&turns);
    return st;
}
