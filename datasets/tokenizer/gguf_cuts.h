/* tokenizer.ggml.pre: where byte-level BPE of a GGUF file cuts text into words. */
#ifndef MLS_GGUF_CUTS_H
#define MLS_GGUF_CUTS_H

#include <stdbool.h>

#include <jansson.h>

/**
 * One way of cutting; llama.cpp, llama-vocab.cpp, and the models' own tokenizer.json.
 */
typedef struct mls_gguf_cut {
    const char *names[9];    /* of tokenizer.ggml.pre */
    const char *patterns[4]; /* one after the other; none: GPT-2's own */
    bool digits;             /* every digit is a word, before GPT-2's pattern */
    bool nfc;                /* text is normalized: Hugging Face does, llama.cpp not */
    bool ignore_merges;      /* a word that is a token stays whole */
    bool add_bos;            /* when tokenizer.ggml.add_bos_token is missing */
} mls_gguf_cut;

/** NULL when it is not done. */
const mls_gguf_cut *mls_gguf_cut_find(const char *pre);

/**
 * The "pre_tokenizer" of tokenizer.json; a new reference, NULL when memory is short.
 */
json_t *mls_gguf_cut_json(const mls_gguf_cut *cut);

#endif
