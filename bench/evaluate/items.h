/*
 * What is measured beside running text: items, each a context and a few tokens behind
 * it that are scored. Multiple-choice questions and planted pairs are made of them.
 */
#ifndef MLS_ITEMS_H
#define MLS_ITEMS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "datasets/text/corpus.h"
#include "datasets/text/questions.h"
#include "datasets/tokenizer/tokenizer.h"

/** Sequences of different lengths; starts as {0}, release with mls_items_free(). */
typedef struct mls_items {
    mls_corpus corpus;
    size_t *from; /* (N) of mls_evaluate_options: what follows `from` is scored */
} mls_items;

/** Pieces of one sequence, of which the last is scored. */
typedef struct mls_piece {
    const int32_t *id;
    size_t n;
} mls_piece;
mls_status mls_items_add(mls_items *t, const mls_piece *piece, size_t n, mls_err *err);
void mls_items_free(mls_items *t); /* {0} is accepted */

/* --- Multiple choice (as multiple_choice tasks of lm-evaluation-harness) --- */

typedef struct mls_choices {
    size_t n;       /* questions */
    size_t *first;  /* (n + 1) sequence of each one's first choice */
    size_t *answer; /* (n) */
    size_t *chars;  /* (sequences) characters of each choice */
    mls_items items;
} mls_choices;

/**
 * Every choice behind its context, with a space between them; ids of both together, of
 * which those behind the context's own are scored. Spaces at a context's end go to its
 * choices.
 *
 * @param positions  most tokens of a sequence, 0: any
 * @param[out] out   release with mls_choices_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (question, counted from 1: too long; nothing before the
 *         first scored token), MLS_E_NOMEM or what tokenizing says
 */
mls_status mls_choices_make(mls_choices *out, const mls_questions *q,
                            mls_tokenizer *tok, bool no_bos, size_t positions,
                            mls_err *err);
void mls_choices_free(mls_choices *c); /* {0} is accepted */

/**
 * What a model picks: the choice of the largest sum of log-likelihoods, and of the
 * largest sum over its characters (acc and acc_norm); of equal ones the first.
 *
 * @param nll             (sequences) mean over the scored tokens: mls_quality.seq_nll
 * @param[out] pick, norm (n) numbers of choices
 */
void mls_choices_pick(size_t *pick, size_t *norm, const mls_choices *c,
                      const double *nll);

/* --- Planted pairs --- */

/**
 * n places, and in each text of its own, a pair of key and value is planted at several
 * distances before the question for it.
 */
typedef struct mls_retrieval {
    size_t n, n_distances;
    size_t *distance; /* (n_distances) tokens of text between the pair and the question,
                         rising; SIZE_MAX, the last: there is no pair */
    mls_items items;  /* sequence i * n_distances + d */
    size_t longest;   /* ids of the longest sequence */
} mls_retrieval;

/**
 * Keys and values are two words each, drawn from the texts' own; a pair is a line
 * "key: value", the question "key:" on a line of its own behind all text, and what is
 * scored are the tokens of the value. Every distance has the same text, key and value.
 *
 * @param paths     (n_paths) texts
 * @param distance  (n_distances), any order
 * @param n         most pairs; fewer where the text is short
 * @param[out] out  release with mls_retrieval_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (text too short for one, too few different words), or as
 *         mls_corpus_read()
 */
mls_status mls_retrieval_make(mls_retrieval *out, mls_tokenizer *tok,
                              const char *const *paths, size_t n_paths, bool no_bos,
                              const size_t *distance, size_t n_distances, size_t n,
                              uint64_t seed, mls_err *err);
void mls_retrieval_free(mls_retrieval *r); /* {0} is accepted */

#endif
