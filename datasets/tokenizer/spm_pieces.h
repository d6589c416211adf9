/* Pieces of a SentencePiece vocabulary, and the merges that make BPE of them. */
#ifndef MLS_SPM_PIECES_H
#define MLS_SPM_PIECES_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

/** Kinds of pieces: sentencepiece_model.proto, and enum llama_token_type. */
enum {
    MLS_PIECE_NORMAL = 1,
    MLS_PIECE_UNKNOWN,
    MLS_PIECE_CONTROL,
    MLS_PIECE_USER_DEFINED,
    MLS_PIECE_UNUSED,
    MLS_PIECE_BYTE,
};

typedef struct mls_piece {
    const char *text; /* borrowed from the file; no NUL at its end */
    size_t len;
    uint64_t type;
    float score;
} mls_piece;

/**
 * Every way to make a piece of two others, by the score of the piece.
 *
 * @param vocab          spelling: id
 * @param[in,out] merges [left, right] are appended
 * @return MLS_OK or MLS_E_NOMEM; name is for the sentence
 */
mls_status mls_spm_merges(const mls_piece *piece, size_t n, const json_t *vocab,
                          json_t *merges, const char *name, mls_err *err);

#endif
