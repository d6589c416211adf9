/*
 * Which layer is of which kind. Configs say it in many ways; each becomes one letter a
 * layer: layer_types word by word, lists of the layers that are full, a pattern, a
 * period, or nothing, and then the rule of the family (rules.c).
 */
#include <ctype.h>
#include <string.h>

#include "datasets/base/json.h"
#include "datasets/family/layers_inner.h"

/* Words of layer_types and its older forms. */
static const struct {
    const char *word;
    mls_layer_letter letter;
} words[] = {
    {"full_attention", MLS_FULL},
    {"attention", MLS_FULL},
    {"full", MLS_FULL},
    {"global", MLS_FULL},
    {"global_attention", MLS_FULL},
    {"sliding_attention", MLS_SLIDING},
    {"sliding_window", MLS_SLIDING},
    {"sliding_window_attention", MLS_SLIDING},
    {"sliding", MLS_SLIDING},
    {"local", MLS_SLIDING},
    {"local_attention", MLS_SLIDING},
    {"swa", MLS_SLIDING},
    {"chunked_attention", MLS_CHUNKED},
    {"linear_attention", MLS_LINEAR},
    {"linear", MLS_LINEAR},
    {"mamba", MLS_LINEAR},
    {"mamba2", MLS_LINEAR},
    {"recurrent", MLS_LINEAR},
    {"kda", MLS_LINEAR},
    {"gated_deltanet", MLS_LINEAR},
    {"conv", MLS_CONV},
    {"short_conv", MLS_CONV},
    {"hybrid", MLS_HYBRID},
    {"hybrid_sliding", MLS_HYBRID_SLIDING},
    {"indexed_attention", MLS_INDEXED},
    {"deepseek_sparse_attention", MLS_INDEXED},
    {"qwen_sparse_attention", MLS_INDEXED},
    {"minimax_m3_sparse", MLS_INDEXED},
    {"compressed_sparse_attention", MLS_COMPRESSED},
    {"heavily_compressed_attention", MLS_HEAVY},
    {"moe", MLS_EMPTY},
    {"mlp", MLS_EMPTY},
    {"none", MLS_EMPTY},
    {"no_op", MLS_EMPTY},
};

static char letter_of(const json_t *word)
{
    for (size_t i = 0; json_is_string(word) && i < sizeof words / sizeof words[0]; i++)
        if (strcmp(json_string_value(word), words[i].word) == 0)
            return (char)words[i].letter;
    return 0;
}

/* A list of one word a layer; lists that go on for extra prediction layers are cut. */
static mls_status by_words(mls_layers_reader *r, const char *key, const json_t *list)
{
    const size_t L = r->out->L, n = json_array_size(list);
    char shown[MLS_JSON_SHOW];
    size_t extra = 0;

    mls_status st =
        mls_layers_has(r, "num_nextn_predict_layers")
            ? mls_fact_whole(r->k, "num_nextn_predict_layers", 0, 64, &extra)
            : MLS_OK;
    if (st)
        return st;
    if (!json_is_array(list) || n < L || n > L + extra)
        return mls_fail(r->k->err, MLS_E_INPUT,
                        "%s: %s has %zu items, expected num_hidden_layers %zu",
                        r->k->path, key, n, L);
    for (size_t l = 0; l < L; l++) {
        r->letter[l] = letter_of(json_array_get(list, l));
        if (!r->letter[l])
            return mls_fail(r->k->err, MLS_E_INPUT,
                            "%s: %s[%zu] is %s, expected full_attention, "
                            "sliding_attention, linear_attention or another kind that "
                            "is known",
                            r->k->path, key, l,
                            mls_json_show(shown, json_array_get(list, l)));
    }
    return MLS_OK;
}

/* A list of one number a layer: 0 is `no`, everything else `yes`. */
static mls_status by_numbers(mls_layers_reader *r, const char *key, const json_t *list,
                             char no, char yes)
{
    if (json_array_size(list) != r->out->L)
        return mls_fail(r->k->err, MLS_E_INPUT,
                        "%s: %s has %zu items, expected num_hidden_layers %zu",
                        r->k->path, key, json_array_size(list), r->out->L);
    for (size_t l = 0; l < r->out->L; l++) {
        const json_t *v = json_array_get(list, l);

        r->letter[l] = json_is_true(v) || json_integer_value(v) != 0 ? yes : no;
    }
    return MLS_OK;
}

/* A list of the layers that are `in`; all others are `out`. Numbers begin at first. */
static mls_status by_indices(mls_layers_reader *r, const char *key, const json_t *list,
                             size_t first, char in, char out)
{
    if (!json_is_array(list))
        return mls_fail(r->k->err, MLS_E_INPUT, "%s: %s is no list of layers",
                        r->k->path, key);
    memset(r->letter, out, r->out->L);
    for (size_t i = 0; i < json_array_size(list); i++) {
        size_t l;
        const mls_status st = mls_fact_whole_of(r->k, key, json_array_get(list, i),
                                                first, r->out->L - 1 + first, &l);

        if (st)
            return st;
        r->letter[l - first] = in;
    }
    return MLS_OK;
}

/* "LLLG", "M-M*-": one letter a layer, from the start again when it is too short. */
static mls_status by_string(mls_layers_reader *r, const char *key, const char *pattern)
{
    static const char from[] = "LSGFM*-ERAla";
    static const char to[] = "ssfflf--lfsf";
    const size_t n = strlen(pattern);

    for (size_t l = 0; l < r->out->L; l++) {
        const char *at = n ? strchr(from, pattern[l % n]) : NULL;

        if (!at || !*at)
            return mls_fail(r->k->err, MLS_E_INPUT,
                            "%s: %s is \"%.60s\", expected letters such as L and G, or "
                            "M, * and -",
                            r->k->path, key, pattern);
        r->letter[l] = to[at - from];
    }
    return MLS_OK;
}

static mls_status by_rule(mls_layers_reader *r, const char *pattern, size_t period)
{
    for (size_t l = 0; l < r->out->L; l++)
        r->letter[l] = mls_layer_rule_letter(pattern, period, l, r->out->L);
    return MLS_OK;
}

/* Which layers turn their keys: no_rope_layers has a 1 for those that do. */
static mls_status read_moves(mls_layers_reader *r)
{
    const char *position =
        json_string_value(mls_fact_peek(r->k, "position_embedding_type"));
    const json_t *list;
    size_t interval = 4;
    mls_status st;

    for (size_t l = 0; l < r->out->L; l++)
        r->moves[l] = !(position && strcmp(position, "nope") == 0);
    if (!r->k->class || !mls_layers_has(r, "no_rope_layers"))
        return MLS_OK;
    list = mls_fact(r->k, "no_rope_layers");
    if (json_array_size(list) == 0) {
        if ((st = mls_fact_whole(r->k, "no_rope_layer_interval", 1, MLS_LAYERS_MAX,
                                 &interval)))
            return st;
        for (size_t l = 0; l < r->out->L; l++)
            r->moves[l] = (l + 1) % interval != 0;
        return MLS_OK;
    }
    if (json_array_size(list) < r->out->L)
        return mls_fail(r->k->err, MLS_E_INPUT,
                        "%s: no_rope_layers has %zu items, expected num_hidden_layers "
                        "%zu",
                        r->k->path, json_array_size(list), r->out->L);
    for (size_t l = 0; l < r->out->L; l++) {
        size_t turns;

        if ((st = mls_fact_whole_of(r->k, "no_rope_layers[]", json_array_get(list, l),
                                    0, 1, &turns)))
            return st;
        r->moves[l] = turns;
    }
    return MLS_OK;
}

/* Keys that name the layers one by one; *found stays false when there is none. */
static mls_status by_lists(mls_layers_reader *r, bool *found)
{
    static const char *const typed[] = {"layer_types", "layers_block_type",
                                        "attention_layer_types"};
    const json_t *inner, *v;

    *found = true;
    for (size_t i = 0; i < sizeof typed / sizeof typed[0]; i++)
        if ((v = mls_fact(r->k, typed[i])))
            return by_words(r, typed[i], v);
    if (mls_fact_peek(r->k, "hybrid_override_pattern")) {
        v = mls_fact(r->k, "hybrid_override_pattern");
        return by_string(r, "hybrid_override_pattern",
                         json_is_string(v) ? json_string_value(v) : "");
    }
    if ((v = mls_fact(r->k, "attn_type_list")))
        return by_numbers(r, "attn_type_list", v, MLS_LINEAR, MLS_FULL);
    if ((v = mls_fact(r->k, "hybrid_layer_pattern")))
        return by_numbers(r, "hybrid_layer_pattern", v, MLS_FULL, MLS_SLIDING);
    if ((v = mls_fact(r->k, "full_attn_idxs")))
        return by_indices(r, "full_attn_idxs", v, 0, MLS_FULL, MLS_CONV);
    if ((v = mls_fact(r->k, "attn_layer_indices")))
        return by_indices(r, "attn_layer_indices", v, 0, MLS_FULL, MLS_LINEAR);
    if ((v = mls_fact(r->k, "local_layer_ids")))
        return by_indices(r, "local_layer_ids", v, 0, MLS_HYBRID_SLIDING, MLS_HYBRID);
    if ((v = mls_fact(r->k, "sliding_window_layers")))
        return by_indices(r, "sliding_window_layers", v, 0, MLS_SLIDING, MLS_FULL);
    inner = mls_fact(r->k, "linear_attn_config");
    if ((v = json_object_get(inner, "full_attn_layers")))
        return by_indices(r, "linear_attn_config.full_attn_layers", v, 1, MLS_FULL,
                          MLS_LINEAR);
    inner = mls_fact(r->k, "sparse_attention_config");
    if ((v = json_object_get(inner, "sparse_attention_freq")))
        return by_numbers(r, "sparse_attention_config.sparse_attention_freq", v,
                          MLS_FULL, MLS_INDEXED);
    *found = false;
    return MLS_OK;
}

/* DeepSeek-V4's own spelling: 0, 4 or 128 tokens in a block. */
static mls_status by_ratios(mls_layers_reader *r, const json_t *list)
{
    if (json_array_size(list) < r->out->L)
        return mls_fail(r->k->err, MLS_E_INPUT,
                        "%s: compress_ratios has %zu items, expected num_hidden_layers "
                        "%zu",
                        r->k->path, json_array_size(list), r->out->L);
    for (size_t l = 0; l < r->out->L; l++) {
        const json_int_t ratio = json_integer_value(json_array_get(list, l));

        if (ratio != 0 && ratio != 4 && ratio != 128)
            return mls_fail(r->k->err, MLS_E_INPUT,
                            "%s: compress_ratios[%zu] is %lld, expected 0, 4 or 128",
                            r->k->path, l, (long long)ratio);
        r->letter[l] = ratio == 0   ? MLS_SLIDING
                       : ratio == 4 ? MLS_COMPRESSED
                                    : MLS_HEAVY;
    }
    return MLS_OK;
}

/* attn_layer_period and attn_layer_offset; Zamba counts from its fourth layer on. */
static mls_status by_period(mls_layers_reader *r)
{
    const bool zamba = strcmp(r->model_type, "zamba") == 0;
    size_t period = 0, offset = 0;
    mls_status st;

    if ((st = mls_fact_whole(r->k, "attn_layer_period", 1, MLS_LAYERS_MAX, &period)) ||
        (st = mls_fact_whole(r->k, "attn_layer_offset", 0, MLS_LAYERS_MAX, &offset)))
        return st;
    for (size_t l = 0; l < r->out->L; l++) {
        if (!zamba)
            r->letter[l] = l % period == offset ? MLS_FULL : MLS_LINEAR;
        else if (l < 3)
            r->letter[l] = l == 2 ? MLS_HYBRID : MLS_LINEAR;
        else
            r->letter[l] = (l - 3) % period == offset ? MLS_HYBRID : MLS_LINEAR;
    }
    return MLS_OK;
}

/* A list of words that is repeated: RecurrentGemma. */
static mls_status by_block_types(mls_layers_reader *r, const json_t *list)
{
    const size_t n = json_array_size(list);

    for (size_t l = 0; l < r->out->L; l++) {
        const char letter = n ? letter_of(json_array_get(list, l % n)) : '\0';

        if (!letter)
            return mls_fail(r->k->err, MLS_E_INPUT,
                            "%s: block_types[%zu] is no kind of layer that is known",
                            r->k->path, n ? l % n : 0);
        r->letter[l] = letter == MLS_FULL ? MLS_SLIDING : letter;
    }
    return MLS_OK;
}

/* A period or a pattern under one key, for families of which nobody knows more. */
static mls_status by_any_period(mls_layers_reader *r, bool *found)
{
    static const struct {
        const char *key, *pattern;
    } periods[] = {
        {"full_attention_interval", "lf"},
        {"layer_group_size", "lf"},
        {"sliding_window_pattern", "sf"},
        {"global_attn_every_n_layers", "sf"},
    };

    *found = true;
    for (size_t i = 0; i < sizeof periods / sizeof periods[0]; i++) {
        const json_t *v = mls_fact(r->k, periods[i].key);
        size_t period = 0;
        mls_status st;

        if (!v || (periods[i].pattern[0] == 's' && !r->window))
            continue;
        if (json_is_string(v))
            return by_string(r, periods[i].key, json_string_value(v));
        st = mls_fact_whole(r->k, periods[i].key, 1, MLS_LAYERS_MAX, &period);
        return st ? st : by_rule(r, periods[i].pattern, period);
    }
    *found = false;
    return MLS_OK;
}

/* Qwen2: a window from max_window_layers on; its MoE: every other layer before it. */
static mls_status by_max_window(mls_layers_reader *r)
{
    const bool moe = strcmp(r->model_type, "qwen2_moe") == 0;
    size_t from = 0;
    const mls_status st =
        mls_fact_whole(r->k, "max_window_layers", 0, INT32_MAX, &from);

    for (size_t l = 0; !st && l < r->out->L; l++) {
        const bool slides = moe ? (l + 1) % 2 && l < from : l >= from;

        r->letter[l] = slides && r->window ? MLS_SLIDING : MLS_FULL;
    }
    return st;
}

/* The rule of the family, with the period that a key gives. */
static mls_status by_family(mls_layers_reader *r)
{
    const mls_layer_rule *rule = r->rule;
    const json_t *v = rule->key ? mls_fact(r->k, rule->key) : NULL;
    size_t period = 0;
    mls_status st;

    if (json_is_string(v))
        return by_string(r, rule->key, json_string_value(v));
    if (v && (st = mls_fact_whole(r->k, rule->key, 1, MLS_LAYERS_MAX, &period)))
        return st;
    if (strcmp(r->model_type, "llama4_text") == 0) {
        for (size_t l = 0; l < r->out->L; l++)
            r->letter[l] = r->moves[l] && r->chunk ? MLS_CHUNKED : MLS_FULL;
        return MLS_OK;
    }
    return by_rule(r, rule->pattern, period);
}

/* No list and no pattern: the window or the chunks hold for every layer. */
static mls_status by_window(mls_layers_reader *r)
{
    const char all = r->window ? MLS_SLIDING : r->chunk ? MLS_CHUNKED : MLS_FULL;

    memset(r->letter, all, r->out->L);
    if (r->k->class && strcmp(r->model_type, "smollm3") == 0)
        for (size_t l = 0; l < r->out->L; l++)
            r->letter[l] = r->window && !r->moves[l] ? MLS_SLIDING : MLS_FULL;
    if (!r->k->class && all != MLS_FULL) {
        memset(r->letter, MLS_FULL, r->out->L);
        mls_layers_doubt(r->out,
                         "%s is %zu, and which layers of model_type \"%.60s\" it holds "
                         "for is not known",
                         r->window ? "sliding_window" : "attention_chunk_size",
                         r->window ? r->window : r->chunk, r->model_type);
    }
    return MLS_OK;
}

/* Mllama: layers that read the pictures keep nothing of the text. */
static mls_status by_crossing(mls_layers_reader *r)
{
    const json_t *list = mls_fact(r->k, "cross_attention_layers");

    memset(r->letter, MLS_FULL, r->out->L);
    if (!list)
        for (size_t l = 3; l < r->out->L && l <= 38; l += 5) /* of the class */
            r->letter[l] = MLS_EMPTY;
    return list ? by_indices(r, "cross_attention_layers", list, 0, MLS_EMPTY, MLS_FULL)
                : MLS_OK;
}

static mls_status choose(mls_layers_reader *r)
{
    const json_t *v;
    bool found;
    mls_status st = by_lists(r, &found);

    if (st || found)
        return st;
    if (strcmp(r->model_type, "mllama_text_model") == 0)
        return by_crossing(r);
    if ((v = mls_fact(r->k, "compress_ratios")))
        return by_ratios(r, v);
    if (mls_layers_has(r, "block_types") && (v = mls_fact(r->k, "block_types")))
        return by_block_types(r, v);
    if (mls_layers_has(r, "attn_layer_period") && mls_fact(r->k, "attn_layer_period"))
        return by_period(r);
    if (r->rule->pattern)
        return by_family(r);
    if (r->k->class && mls_layers_has(r, "max_window_layers"))
        return by_max_window(r);
    if (!r->k->class) {
        st = by_any_period(r, &found);
        if (st || found)
            return st;
    }
    return by_window(r);
}

mls_status mls_layers_order(mls_layers_reader *r)
{
    bool implied = false;
    mls_status st;

    if ((st = read_moves(r)) || (st = mls_layers_window(r)) || (st = choose(r)))
        return st;
    /* A pattern of the family's own is off together with its window. */
    implied = !mls_fact_peek(r->k, "layer_types");
    for (size_t l = 0; l < r->out->L; l++) {
        if (implied && !r->window && r->letter[l] == MLS_SLIDING)
            r->letter[l] = MLS_FULL;
        if (r->rule->all_indexed && r->letter[l] == MLS_FULL)
            r->letter[l] = MLS_INDEXED;
    }
    /* Too few layers for its period: OLMo Hybrid's last one is full. */
    if (implied && strcmp(r->model_type, "olmo_hybrid") == 0 && r->out->L < 4)
        r->letter[r->out->L - 1] = MLS_FULL;
    /* Its class makes the last layer full, whatever layer_types says. */
    if (strcmp(r->model_type, "gemma4_text") == 0 ||
        strcmp(r->model_type, "gemma4_unified_text") == 0)
        r->letter[r->out->L - 1] = MLS_FULL;
    return mls_layers_windowed(r);
}
