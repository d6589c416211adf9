/*
 * SentencePiece joins the two neighbours whose piece has the best score. That is BPE
 * with every way to make a piece of two others as a merge, ranked by the score of the
 * piece (transformers, convert_slow_tokenizer.py, generate_merges).
 */
#include "datasets/tokenizer/spm_pieces.h"

#include <stdlib.h>

#include "datasets/base/utf8.h"

/* A way to make a piece of two. */
typedef struct split {
    float score; /* of the piece */
    uint32_t piece, left, right;
} split;

/* The piece of the best score first; of one piece, as Hugging Face orders them. */
static int compare_splits(const void *a, const void *b)
{
    const split *x = a, *y = b;

    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->piece != y->piece)
        return x->piece < y->piece ? -1 : 1;
    if (x->left != y->left)
        return x->left < y->left ? -1 : 1;
    return (x->right > y->right) - (x->right < y->right);
}

/* The id of a piece that text can consist of; -1 when there is none. */
static int64_t find_piece(const mls_piece *piece, const json_t *vocab, const char *text,
                          size_t len)
{
    const json_t *id = json_object_getn(vocab, text, len);
    const int64_t i = id ? json_integer_value(id) : -1;

    return i >= 0 && piece[i].type == MLS_PIECE_NORMAL ? i : -1;
}

mls_status mls_spm_merges(const mls_piece *piece, size_t n_pieces, const json_t *vocab,
                          json_t *merges, const char *name, mls_err *err)
{
    split *splits = NULL;
    size_t n = 0, room = 0;
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < n_pieces; i++) {
        const mls_piece *p = &piece[i];

        if (p->type != MLS_PIECE_NORMAL)
            continue;
        for (size_t at = 0; mls_utf8_next(p->text, p->len, &at), at < p->len;) {
            const int64_t left = find_piece(piece, vocab, p->text, at);
            const int64_t right =
                left < 0 ? -1 : find_piece(piece, vocab, p->text + at, p->len - at);

            if (right < 0)
                continue;
            if (n == room) {
                room = room ? 2 * room : 1 << 16;
                split *bigger = realloc(splits, room * sizeof *bigger);

                if (!bigger) {
                    st = mls_fail(err, MLS_E_NOMEM, "no memory for the tokenizer of %s",
                                  name);
                    goto done;
                }
                splits = bigger;
            }
            splits[n++] =
                (split){p->score, (uint32_t)i, (uint32_t)left, (uint32_t)right};
        }
    }
    if (n > 0)
        qsort(splits, n, sizeof *splits, compare_splits);
    for (size_t i = 0; i < n; i++) {
        const mls_piece *l = &piece[splits[i].left], *r = &piece[splits[i].right];

        if (json_array_append_new(
                merges, json_pack("[s%,s%]", l->text, l->len, r->text, r->len))) {
            st = mls_fail(err, MLS_E_NOMEM, "no memory for the tokenizer of %s", name);
            goto done;
        }
    }

done:
    free(splits);
    return st;
}
