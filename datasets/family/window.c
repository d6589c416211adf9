/*
 * The window of a family, and whether the words of layer_types fit it. The classes of
 * transformers differ in what they read:
 *
 *   both keys             a window in the layers that layer_types calls sliding
 *   sliding_window alone  a window in every layer, whatever layer_types says (Mixtral,
 *                         Phi-3, StarCoder 2, Qwen3-MoE); Mistral with layer_types is
 *                         opened as Ministral, which reads both
 *   layer_types alone     words of their own, no window (LFM2, Qwen3-Next)
 *   neither               attention sees every token (Llama and most others)
 *
 * The cache of transformers is made from the two keys whatever the class reads: a model
 * of the last kind keeps fewer tokens than it looks at in one pass. Such a window is a
 * doubt, never a number. A file that contradicts its class is refused.
 */
#include <string.h>

#include "datasets/family/layers_inner.h"

static const size_t TOKENS_MAX = (size_t)1 << 40;

mls_status mls_layers_window(mls_layers_reader *r)
{
    const json_t *v;
    bool use = true;
    size_t half = 0;
    mls_status st;

    if (mls_layers_has(r, "attention_chunk_size") &&
        (st = mls_fact_whole(r->k, "attention_chunk_size", 1, TOKENS_MAX, &r->chunk)))
        return st;
    if (strcmp(r->model_type, "modernbert-decoder") == 0) {
        if ((st = mls_fact_whole(r->k, "local_attention", 1, TOKENS_MAX, &half)))
            return st;
        r->window = half / 2; /* tokens on either side */
        return mls_fact_given(r->k, "sliding_window")
                   ? mls_fact_whole(r->k, "sliding_window", 1, TOKENS_MAX, &r->window)
                   : MLS_OK;
    }
    if (!mls_fact_peek(r->k, "sliding_window") ||
        json_is_false(mls_fact_peek(r->k, "use_sliding_window")))
        mls_fact(r->k, "max_window_layers"); /* of no window */
    if (!mls_layers_has(r, "sliding_window")) {
        const json_t *most = mls_fact_peek(r->k, "max_position_embeddings");

        v = mls_fact_peek(r->k, "sliding_window");
        if (json_is_false(mls_fact_peek(r->k, "use_sliding_window")) ||
            (json_is_integer(v) && json_is_integer(most) &&
             json_integer_value(v) >= json_integer_value(most))) {
            mls_fact(r->k, "sliding_window"); /* it is of no consequence */
            mls_fact(r->k, "use_sliding_window");
        }
        return MLS_OK;
    }
    if (mls_layers_has(r, "use_sliding_window") &&
        (st = mls_fact_flag(r->k, "use_sliding_window", &use)))
        return st;
    v = mls_fact(r->k, "sliding_window");
    if (v && json_equal(mls_fact_peek(r->k, "sliding_window_size"), v))
        mls_fact(r->k, "sliding_window_size"); /* Gemma 2 says it twice */
    if (v && use && !json_is_false(v) &&
        !(json_is_integer(v) && json_integer_value(v) == 0 &&
          !mls_fact_given(r->k, "sliding_window")) &&
        (st = mls_fact_whole(r->k, "sliding_window", 1, TOKENS_MAX, &r->window)))
        return st;
    if (strcmp(r->model_type, "mimo_v2_flash") == 0 &&
        mls_fact_peek(r->k, "sliding_window_size")) {
        if ((st = mls_fact_whole(r->k, "sliding_window_size", 1, TOKENS_MAX,
                                 &r->window)))
            return st;
        r->window++; /* the token itself comes on top */
    }
    if (r->k->class && mls_layers_has(r, "use_bidirectional_attention")) {
        v = mls_fact(r->k, "use_bidirectional_attention");
        if (json_is_true(v) ||
            (json_is_string(v) && strcmp(json_string_value(v), "all") == 0))
            r->window = r->window / 2 + 1; /* as many on either side */
    }
    return MLS_OK;
}

/* The class looks at layer_types. */
static bool reads_kinds(const mls_layers_reader *r)
{
    return mls_fact_known(r->k, "layer_types") || strcmp(r->model_type, "mistral") == 0;
}

/* A class that reads neither key sees every token. */
static void see_all(mls_layers_reader *r)
{
    if (!reads_kinds(r) && !mls_layers_has(r, "sliding_window") &&
        mls_fact_peek(r->k, "sliding_window"))
        for (size_t l = 0; l < r->out->L; l++)
            if (r->letter[l] == MLS_SLIDING)
                r->letter[l] = MLS_FULL;
}

/* layer_types says sliding, and there is no window. */
static mls_status refuse_windowless(const mls_layers_reader *r, size_t l)
{
    const bool given = mls_fact_peek(r->k, "sliding_window");

    if (given && !mls_layers_has(r, "sliding_window"))
        return mls_fail(r->k->err, MLS_E_INPUT,
                        "%s: layer_types[%zu] is sliding_attention, but the class of "
                        "model_type \"%.60s\" reads no sliding_window",
                        r->k->path, l, r->model_type);
    return mls_fail(r->k->err, MLS_E_INPUT,
                    "%s: layer_types[%zu] is sliding_attention, but sliding_window is "
                    "%s",
                    r->k->path, l,
                    given                                    ? "off"
                    : mls_fact_given(r->k, "sliding_window") ? "null"
                                                             : "missing");
}

mls_status mls_layers_windowed(mls_layers_reader *r)
{
    const bool blind = r->k->class && mls_fact_peek(r->k, "layer_types") &&
                       mls_layers_has(r, "sliding_window") && !reads_kinds(r);

    see_all(r);
    for (size_t l = 0; l < r->out->L; l++) {
        const char letter = r->letter[l];

        if ((letter == MLS_SLIDING || letter == MLS_HYBRID_SLIDING) && !r->window)
            return refuse_windowless(r, l);
        if (blind && r->window && letter == MLS_FULL)
            return mls_fail(r->k->err, MLS_E_INPUT,
                            "%s: layer_types[%zu] is full_attention, but the class of "
                            "model_type \"%.60s\" reads no layer_types: its "
                            "sliding_window %zu holds in every layer",
                            r->k->path, l, r->model_type, r->window);
        if (letter == MLS_CHUNKED && !r->chunk)
            return mls_fail(r->k->err, MLS_E_INPUT,
                            "%s: layer_types[%zu] is chunked_attention, but "
                            "attention_chunk_size is %s",
                            r->k->path, l,
                            mls_fact_peek(r->k, "attention_chunk_size")
                                ? "not read by its class"
                                : "missing");
    }
    return MLS_OK;
}
