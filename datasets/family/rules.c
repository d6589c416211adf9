/*
 * The order of a family's layers where the file has no layer_types: what __post_init__
 * of its config class in transformers 5.24 derives, as a pattern of letters.
 */
#include "datasets/family/rules.h"

#include <string.h>

/* Zamba2's published order: shared attention after every sixth layer, then closer. */
#define ZAMBA2_LAYERS                                                                  \
    "l"                                                                                \
    "lllllhlllllhlllllhlllllhlllllhlllllhlllllh"                                       \
    "llllhlllhll|l"

static const mls_layer_rule rules[] = {
    /* windows */
    {.model_type = "afmoe", .pattern = "sssf", .key = "global_attn_every_n_layers"},
    {.model_type = "beam", .pattern = "sssssf$"},
    {.model_type = "cohere2", .pattern = "sssf", .key = "sliding_window_pattern"},
    {.model_type = "cohere2_moe", .pattern = "sssf", .key = "sliding_window_pattern"},
    {.model_type = "cwm", .pattern = "fsss"},
    {.model_type = "dory", .pattern = "sssf"},
    {.model_type = "exaone4", .pattern = "sssf", .key = "sliding_window_pattern"},
    {.model_type = "exaone_moe", .pattern = "sssf", .key = "sliding_window_pattern"},
    {.model_type = "flint", .pattern = "ff|sfss$"},
    {.model_type = "gemma2", .pattern = "sf"},
    {.model_type = "gemma3_text", .pattern = "sssssf", .key = "sliding_window_pattern"},
    {.model_type = "gemma3n_text", .pattern = "ssssf"},
    {.model_type = "gemma4_text", .pattern = "sssssf$"},
    {.model_type = "gemma4_unified_text",
     .pattern = "sssssf$",
     .key = "sliding_window_pattern"},
    {.model_type = "gpt_oss", .pattern = "sf"},
    {.model_type = "granite_swa", .pattern = "fsss"},
    {.model_type = "granitemoe_swa", .pattern = "fsss"},
    {.model_type = "kolibri1", .pattern = "ssssf"},
    {.model_type = "mimo_v2_flash", .pattern = "f|sssssf"},
    {.model_type = "modernbert-decoder",
     .pattern = "fss",
     .key = "global_attn_every_n_layers"},
    {.model_type = "muse_glimmer_text", .pattern = "<sssf"},
    {.model_type = "muse_spark_text", .pattern = "<sssf"},
    {.model_type = "olmo3", .pattern = "sssf"},
    {.model_type = "vaultgemma", .pattern = "sf"},
    {.model_type = "llama4_text", .pattern = "cccf", .key = "no_rope_layer_interval"},
    /* of classes that keep their keys and read no window */
    {.model_type = "laguna", .pattern = "f"},
    {.model_type = "mellum", .pattern = "f"},
    {.model_type = "step3p5", .pattern = "f"},
    {.model_type = "gpt_neo", .pattern = "f"},
    {.model_type = "cohere_compass_text", .pattern = "f"},

    /* recurrent layers */
    {.model_type = "qwen3_next",
     .pattern = "lllf",
     .key = "full_attention_interval",
     .state = MLS_STATE_DELTA},
    {.model_type = "qwen3_5_text",
     .pattern = "lllf",
     .key = "full_attention_interval",
     .state = MLS_STATE_DELTA},
    {.model_type = "qwen3_5_moe_text",
     .pattern = "lllf",
     .key = "full_attention_interval",
     .state = MLS_STATE_DELTA},
    {.model_type = "qwen4_exp_text",
     .pattern = "lllf",
     .key = "full_attention_interval",
     .state = MLS_STATE_DELTA,
     .all_indexed = true},
    {.model_type = "olmo_hybrid", .pattern = "lllf", .state = MLS_STATE_DELTA},
    {.model_type = "lara_mini", .pattern = "lslfs", .state = MLS_STATE_DELTA},
    {.model_type = "bailing_hybrid",
     .pattern = "lllllf",
     .key = "layer_group_size",
     .state = MLS_STATE_KDA},
    {.model_type = "kimi_linear", .pattern = "l|flll", .state = MLS_STATE_KDA},
    {.model_type = "glm5_next_text",
     .pattern = "lllf",
     .state = MLS_STATE_KDA,
     .all_indexed = true},
    {.model_type = "minimax", .pattern = "fl", .state = MLS_STATE_LIGHTNING},
    {.model_type = "granitemoehybrid", .pattern = "l", .state = MLS_STATE_MAMBA2},
    {.model_type = "bamba", .pattern = "l", .state = MLS_STATE_MAMBA2},
    {.model_type = "falcon_h1", .pattern = "h", .state = MLS_STATE_MAMBA2},
    {.model_type = "nemotron_h", .pattern = "l-f-", .state = MLS_STATE_MAMBA2},
    {.model_type = "mamba2", .pattern = "l", .state = MLS_STATE_MAMBA2},
    {.model_type = "zamba2", .pattern = ZAMBA2_LAYERS, .state = MLS_STATE_MAMBA2},
    {.model_type = "zamba", .state = MLS_STATE_MAMBA},
    {.model_type = "jamba", .state = MLS_STATE_MAMBA},
    {.model_type = "mamba", .pattern = "l", .state = MLS_STATE_MAMBA},
    {.model_type = "falcon_mamba", .pattern = "l", .state = MLS_STATE_MAMBA},
    {.model_type = "recurrent_gemma", .state = MLS_STATE_RGLRU},
    {.model_type = "rwkv", .pattern = "l", .state = MLS_STATE_RWKV},
    {.model_type = "lfm2", .pattern = "f"},
    {.model_type = "lfm2_moe", .pattern = "f"},
    {.model_type = "lfm3", .pattern = "v|svfv"},
    {.model_type = "zaya", .pattern = "h", .state = MLS_STATE_CCA},
    {.model_type = "inkling_text", .pattern = "kkkkkh", .state = MLS_STATE_SCONV},
    {.model_type = "inkling2_text", .pattern = "kkkkkh", .state = MLS_STATE_SCONV},
    {.model_type = "inkling2_loop_text", .pattern = "kkkkkh", .state = MLS_STATE_SCONV},

    /* sparse indexers and compressed tokens */
    {.model_type = "deepseek_v32", .pattern = "f", .all_indexed = true},
    {.model_type = "glm_moe_dsa", .pattern = "f", .all_indexed = true},
    {.model_type = "axk2", .pattern = "f", .all_indexed = true},
    {.model_type = "hy_v4", .pattern = "f", .all_indexed = true},
    {.model_type = "hy_v4_vl_text", .pattern = "f", .all_indexed = true},
    {.model_type = "mistral_large4_text", .pattern = "f", .all_indexed = true},
    {.model_type = "dots3_note_text", .pattern = "ff|sfss", .all_indexed = true},
    {.model_type = "minimax_m3_vl_text", .pattern = "f"},
    {.model_type = "deepseek_v4", .pattern = "HH|HC"},
};

/* Models with code of their own whose shapes are those of a class. */
static const struct {
    const char *model_type, *class;
} likes[] = {
    {"kimi_k2", "deepseek_v3"},
    {"internlm", "llama"},
    {"internlm2", "llama"},
    {"minicpm", "llama"},
    {"baichuan", "llama"},
    {"xverse", "llama"},
    {"orion", "llama"},
    {"yi", "llama"},
    {"aquila", "llama"},
    {"deepseek", "llama"},
    {"bailing_moe", "llama"},
    {"bailing_moe_v2", "llama"},
    {"mimo", "qwen2"},
    {"mimo_v2", "mimo_v2_flash"},
    {"olmo_1124", "olmo2"},
    {"minimax_text_01", "minimax"},
    {"MiniMaxText01", "minimax"},
    {"minimax_m1", "minimax"},
    {"MiniMaxM1", "minimax"},
    {"bailing_moe_linear", "minimax"},
    {"ouro", "llama"},
    {"hunyuan", "llama"},
    {"step3", "llama"},
    {"step3_text", "llama"},
    {"qwen", "llama"},
    {"chatglm", "llama"},
    {"telechat", "llama"},
    {"RefinedWeb", "llama"},
    {"RefinedWebModel", "llama"},
    {"mixformer-sequential", "llama"},
    {"phi-msft", "llama"},
    {"phi3small", "llama"},
    {"openelm", "llama"},
    {"nemotron-nas", "llama"},
    {"deci", "llama"},
    {"arctic", "llama"},
    {"grok-1", "llama"},
    {"qwen3_5_vl_text", "qwen3_5_text"},
};

const mls_layer_rule *mls_layer_rule_find(const char *model_type)
{
    static const mls_layer_rule plain = {0};

    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (strcmp(rules[i].model_type, model_type) == 0)
            return &rules[i];
    return &plain;
}

char mls_layer_rule_letter(const char *pattern, size_t period, size_t i, size_t L)
{
    const bool from_end = pattern[0] == '<';
    const char *body = pattern + from_end;
    const char *bar = strchr(body, '|');
    const size_t prefix = bar ? (size_t)(bar - body) : 0;
    const char *cycle = bar ? bar + 1 : body;
    const size_t n = strcspn(cycle, "$");
    size_t at;

    if (cycle[n] == '$' && i + 1 == L)
        return MLS_FULL;
    if (i < prefix)
        return body[i];
    if (!period)
        period = n;
    at = from_end ? period - 1 - (L - 1 - i) % period : i % period;
    if (period == n)
        return cycle[at];
    /* A longer or shorter period keeps its first and last letter where they are. */
    if (at + 1 == period)
        return cycle[n - 1];
    return at == 0 ? cycle[0] : cycle[n > 2 ? 1 : 0];
}

const char *mls_family_like(const char *model_type)
{
    for (size_t i = 0; i < sizeof likes / sizeof likes[0]; i++)
        if (strcmp(likes[i].model_type, model_type) == 0)
            return likes[i].class;
    return model_type;
}
