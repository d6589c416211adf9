/* Calibration text as token sequences of one length. */
#ifndef MLS_CORPUS_H
#define MLS_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "datasets/tokenizer/tokenizer.h"

/** N sequences; sequence n is ids[start[n] .. start[n+1]-1]. */
typedef struct mls_corpus {
    int32_t *ids;
    size_t n_ids;
    size_t *start; /* (N + 1) */
    size_t N;
    size_t tokens_available; /* in the text as far as it was tokenized: all of it, but
                                for what follows the last sequence asked for */
    size_t lead; /* ids at the head of every sequence that are not of the text (BOS):
                         they and the first token behind them are not scored */
    size_t text_bytes, text_words; /* of the text that tokens_available were made of;
                                      words: pieces between white space */
    char sha256[65];               /* of the bytes of all files, in order */
} mls_corpus;

/** How sequences are cut; 0: documents as the tokenizer gives them, no tail. */
enum {
    MLS_CORPUS_KEEP_TAIL = 1, /* a shorter last piece of two tokens or more counts */
    MLS_CORPUS_BOS = 2,    /* every sequence begins with the ids that the tokenizer puts
                                 before a text, beside its `length` tokens; a document
                                 that begins there does not repeat them */
    MLS_CORPUS_NO_BOS = 4, /* these ids are left out everywhere */
};

/**
 * Read text files (.txt: the whole file is one document; .jsonl: the "text" field of
 * each line is one) and cut them into sequences.
 *
 * Documents are tokenized each by itself (with the post-processor, as the model saw
 * them) and joined; the stream is cut into consecutive sequences of `length` tokens.
 * A shorter last piece is left out, unless it is all there is.
 *
 * @param max_sequences  0: all that the text gives
 * @param how            the flags above
 * @return MLS_OK, MLS_E_INPUT (missing, not UTF-8: file and offset; empty: the file),
 *         MLS_E_IO or MLS_E_NOMEM; on error *corpus is {0}
 */
mls_status mls_corpus_read(mls_corpus *corpus, mls_tokenizer *tok,
                           const char *const *paths, size_t n_paths, size_t length,
                           size_t max_sequences, unsigned how, mls_err *err);
void mls_corpus_free(mls_corpus *corpus); /* {0} is accepted */
/** What tells these sequences of tokens from all others. */
uint64_t mls_corpus_windows_id(const mls_corpus *corpus);
/** Tokens of the text in the first sequence. */
size_t mls_corpus_length(const mls_corpus *corpus);

/**
 * Sequences first .. first+n-1 as a corpus of their own, with sha256 and
 * tokens_available of the whole text.
 *
 * @param[out] part  released by the caller with mls_corpus_free(); {0} on error
 * @param all        first + n <= all->N
 * @return MLS_OK or MLS_E_NOMEM
 */
mls_status mls_corpus_part(mls_corpus *part, const mls_corpus *all, size_t first,
                           size_t n, mls_err *err);

/**
 * The same text in shorter sequences: each is cut into as many of `length` tokens as it
 * holds, each behind what stood before the whole.
 *
 * @param[out] cut  released by the caller with mls_corpus_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (no sequence is that long) or MLS_E_NOMEM
 */
mls_status mls_corpus_recut(mls_corpus *cut, const mls_corpus *all, size_t length,
                            mls_err *err);

/**
 * Keep n of the sequences, drawn at random without return, in their order in the text
 * (Knuth, The Art of Computer Programming, vol. 2, algorithm 3.4.2 S).
 *
 * @param n  1..corpus->N
 */
void mls_corpus_sample(mls_corpus *corpus, size_t n, uint64_t seed);

#endif
