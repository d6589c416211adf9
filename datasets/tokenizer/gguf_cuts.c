/*
 * The patterns are those of llama.cpp's llama-vocab.cpp by the names that its converter
 * writes; names that mean the same cuts share a row. A name that is not here is
 * refused.
 */
#include "datasets/tokenizer/gguf_cuts.h"

#include <string.h>

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORDS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#define LLAMA3 CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}" WORDS

/* o200k: a word's capitals are one part, what follows them another. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(tail)                                                                    \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" tail "|[^\\r\\n\\p{L}\\p{N}]?" UPPER  \
    "+" LOWER "*" tail
#define CASED_WORDS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const mls_gguf_cut cuts[] = {
    {.names = {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral",
               "lfm2"},
     .patterns = {LLAMA3},
     .ignore_merges = true,
     .add_bos = true},
    {.names = {"glm4", "chatglm-bpe", "dbrx"}, .patterns = {LLAMA3}},
    {.names = {"gpt-4o", "llama4", "kanana2"},
     .patterns = {CASED(CONTRACTIONS "?") "|\\p{N}{1,3}" CASED_WORDS}},
    {.names = {"tekken"},
     .patterns = {CASED("") "|\\p{N}" CASED_WORDS},
     .ignore_merges = true},
    {.names = {"deepseek-v3"},
     .patterns = {"\\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
                  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|"
                  "[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
                  "?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {.names = {"qwen2", "deepseek-r1-qwen"},
     .patterns = {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" WORDS},
     .nfc = true},
    {.names = {"qwen35"},
     .patterns = {CONTRACTIONS
                  "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "
                  "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
     .nfc = true},
    {.names = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone",
               "minerva-7b"},
     .digits = true},
    {.names = {"gpt-2", "phi-2", "olmo", "mpt", "jais"}},
    {.names = {"default"},
     .patterns = {"[\\p{P}\\$\\+<=>\\^~\\|]+",
                  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|"
                  "\\s+(?!\\S)",
                  "\\p{N}+", "[0-9][0-9][0-9]"}},
};

const mls_gguf_cut *mls_gguf_cut_find(const char *pre)
{
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++)
        for (const char *const *name = cuts[i].names; *name; name++)
            if (strcmp(*name, pre) == 0)
                return &cuts[i];
    return NULL;
}

json_t *mls_gguf_cut_json(const mls_gguf_cut *cut)
{
    json_t *steps = json_array();

    if (cut->digits)
        json_array_append_new(
            steps, json_pack("{s:s,s:b}", "type", "Digits", "individual_digits", 1));
    for (size_t i = 0; i < 4 && cut->patterns[i]; i++)
        json_array_append_new(steps, json_pack("{s:s,s:{s:s},s:s,s:b}", "type", "Split",
                                               "pattern", "Regex", cut->patterns[i],
                                               "behavior", "Isolated", "invert", 0));
    json_array_append_new(steps, json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel",
                                           "add_prefix_space", 0, "trim_offsets", 1,
                                           "use_regex", !cut->patterns[0]));
    return json_pack("{s:s,s:o}", "type", "Sequence", "pretokenizers", steps);
}
