/*
 * Of all ways to cut a word into pieces the one whose sum of log probabilities is
 * largest (Kudo 2018, "Subword regularization", section 3.1; Viterbi):
 *
 *   best[j] = max over pieces word[i, j) of best[i] + score(piece),  best[0] = 0
 *
 * A character that is no piece by itself is one of score min(scores) - 10 and the id
 * unk_id. Of equal sums the cut stays that was found first, from the left (unigram's
 * model.rs of the library tokenizers; SentencePiece's EncodeOptimized). Unknown
 * neighbours are one piece, and with byte_fallback what is no piece becomes its bytes'
 * tokens <0xNN>.
 */
#include "datasets/tokenizer/unigram.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/base/shape.h"
#include "datasets/base/utf8.h"
#include "datasets/tokenizer/byte_trie.h"

static const double unknown_penalty = 10.0;

/* The best cut that ends at a byte. */
typedef struct node {
    double score;
    uint32_t begins; /* of its last piece; MLS_TRIE_NONE: no cut ends here */
    int32_t id;
} node;

struct mls_unigram {
    mls_vocabulary *vocabulary;
    mls_trie trie; /* of places in `score` */
    double *score;
    double unknown_score;
    int32_t unknown_id; /* -1: none */
    int32_t byte_id[256];
    bool byte_fallback;

    node *best; /* (best_cap), scratch */
    uint32_t *cut;
    size_t best_cap;
};

void mls_unigram_free(mls_unigram *u)
{
    if (!u)
        return;
    mls_vocabulary_free(u->vocabulary);
    mls_trie_free(&u->trie);
    free(u->score);
    free(u->best);
    free(u->cut);
    free(u);
}

/* ["▁the", -3.5] */
static mls_status read_piece(mls_unigram *u, json_t *ids, const json_t *pair, size_t i,
                             mls_err *err)
{
    const json_t *text = json_array_get(pair, 0), *score = json_array_get(pair, 1);
    const char *piece = json_string_value(text);
    const size_t len = json_string_length(text);
    uint32_t holder;

    if (json_array_size(pair) != 2 || !piece || !json_is_number(score) ||
        strlen(piece) != len || !isfinite(json_number_value(score)))
        return mls_fail(err, MLS_E_INPUT,
                        "model: \"vocab\": item %zu is not a piece with its score", i);
    u->score[i] = json_number_value(score);
    u->unknown_score = fmin(u->unknown_score, u->score[i]);
    if (json_object_set_new(ids, piece, json_integer((json_int_t)i)))
        return mls_fail(err, MLS_E_NOMEM, "no memory for a vocabulary");
    if (len == 0)
        return MLS_OK;
    const mls_status st = mls_trie_add(&u->trie, piece, len, (uint32_t)i, &holder, err);

    if (!st && holder != i)
        return mls_fail(err, MLS_E_INPUT,
                        "model: \"vocab\": \"%.64s\" is item %u and item %zu", piece,
                        holder, i);
    return st;
}

static mls_status read_settings(mls_unigram *u, const json_t *model, size_t n,
                                mls_err *err)
{
    const json_t *unknown = json_object_get(model, "unk_id");
    int64_t id = 0;
    mls_status st =
        mls_json_bool(model, "model", "byte_fallback", false, &u->byte_fallback, err);

    u->unknown_id = -1;
    if (st || !unknown || json_is_null(unknown))
        return st;
    st = mls_json_count(model, "model", "unk_id", MLS_VOCAB_MAX - 1, &id, err);
    if (!st && (size_t)id >= n)
        st = mls_fail(err, MLS_E_INPUT, "model: \"unk_id\" is %lld of %zu pieces",
                      (long long)id, n);
    if (!st)
        u->unknown_id = (int32_t)id;
    return st;
}

mls_status mls_unigram_new(mls_unigram **out, const json_t *model, mls_err *err)
{
    static const char *const settings[] = {"type", "unk_id", "vocab", "byte_fallback",
                                           NULL};
    mls_unigram *u = calloc(1, sizeof *u);
    json_t *ids = json_object();
    const json_t *vocab = NULL;
    size_t n = 0;
    mls_status st = u && ids ? mls_json_only(model, "model", settings, err)
                             : mls_fail(err, MLS_E_NOMEM, "no memory for a vocabulary");

    *out = NULL;
    if (!st)
        st = mls_json_array(model, "model", "vocab", &vocab, err);
    if (!st) {
        n = json_array_size(vocab);
        mls_trie_start(&u->trie);
        u->unknown_score = INFINITY;
        u->score = mls_calloc3(n, 1, 1, sizeof *u->score);
        if (!u->score)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for a vocabulary");
        else if (n == 0 || n > MLS_VOCAB_MAX)
            st = mls_fail(err, MLS_E_INPUT,
                          "model: \"vocab\": %zu pieces, expected 1 to %d", n,
                          MLS_VOCAB_MAX);
    }
    for (size_t i = 0; !st && i < n; i++)
        st = read_piece(u, ids, json_array_get(vocab, i), i, err);
    if (!st)
        st = read_settings(u, model, n, err);
    if (!st)
        st = mls_vocabulary_new(&u->vocabulary, ids, err);
    json_decref(ids);
    if (st) {
        mls_unigram_free(u);
        return st;
    }
    u->unknown_score -= unknown_penalty;
    for (int b = 0; b < 256; b++) {
        char token[8];

        snprintf(token, sizeof token, "<0x%02X>", (unsigned)b);
        u->byte_id[b] = mls_vocabulary_id(u->vocabulary, token, 6);
    }
    *out = u;
    return MLS_OK;
}

const mls_vocabulary *mls_unigram_vocabulary(const mls_unigram *u)
{
    return u->vocabulary;
}

static mls_status make_room(mls_unigram *u, size_t len, mls_err *err)
{
    if (len < u->best_cap)
        return MLS_OK;
    const size_t cap = 2 * len + 256;
    node *best = realloc(u->best, cap * sizeof *best);
    uint32_t *cut;

    if (best)
        u->best = best;
    cut = realloc(u->cut, cap * sizeof *cut);
    if (cut)
        u->cut = cut;
    if (!best || !cut)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a word of %zu bytes", len);
    u->best_cap = cap;
    return MLS_OK;
}

static void offer(node *to, double score, size_t begins, int32_t id)
{
    if (to->begins == MLS_TRIE_NONE || score > to->score)
        *to = (node){score, (uint32_t)begins, id};
}

/* All pieces that begin at byte i of the word, and the unknown one. */
static void step(mls_unigram *u, const char *word, size_t len, size_t i, size_t next)
{
    const double till = u->best[i].score;
    uint32_t at = MLS_TRIE_NONE;
    bool single = false;

    for (size_t j = i; j < len; j++) {
        at = mls_trie_step(&u->trie, at, (unsigned char)word[j]);
        if (at == MLS_TRIE_NONE)
            break;
        const uint32_t piece = u->trie.nodes[at].value;

        if (piece == MLS_TRIE_NONE)
            continue;
        offer(&u->best[j + 1], till + u->score[piece], i, (int32_t)piece);
        single = single || j + 1 == next;
    }
    if (!single)
        offer(&u->best[next], till + u->unknown_score, i, u->unknown_id);
}

/* One part of a cut; what is no piece by its bytes or as unk_id. */
static mls_status add_part(const mls_unigram *u, const char *part, size_t len,
                           mls_ids *ids, mls_err *err)
{
    const int32_t id = mls_vocabulary_id(u->vocabulary, part, len);
    bool bytes = u->byte_fallback;
    mls_status st = MLS_OK;

    if (id >= 0)
        return mls_ids_add(ids, id, err);
    for (size_t i = 0; bytes && i < len; i++)
        bytes = u->byte_id[(unsigned char)part[i]] >= 0;
    for (size_t i = 0; bytes && !st && i < len; i++)
        st = mls_ids_add(ids, u->byte_id[(unsigned char)part[i]], err);
    return bytes ? st : mls_ids_add(ids, u->unknown_id, err);
}

mls_status mls_unigram_encode(mls_unigram *u, const char *word, size_t len,
                              mls_ids *ids, mls_err *err)
{
    size_t n = 0;
    mls_status st = make_room(u, len, err);

    if (st)
        return st;
    for (size_t i = 0; i <= len; i++)
        u->best[i] = (node){0, MLS_TRIE_NONE, -1};
    u->best[0].begins = 0;
    for (size_t i = 0, next = 0; i < len; i = next) {
        mls_utf8_next(word, len, &next);
        step(u, word, len, i, next);
        if (u->best[next].id < 0)
            return mls_fail(
                err, MLS_E_INPUT,
                "model: a character is in no piece, and there is no unk_id");
    }
    /* Where parts begin, from the last one; unknown neighbours are one. */
    for (size_t end = len; end > 0; end = u->best[end].begins) {
        const size_t begins = u->best[end].begins;
        const bool unknown = u->best[end].id == u->unknown_id;

        if (!(unknown && begins > 0 && u->best[begins].id == u->unknown_id))
            u->cut[n++] = (uint32_t)begins;
    }
    for (size_t end = len; !st && n > 0; n--) {
        const size_t begins = u->cut[n - 1];

        end = n > 1 ? u->cut[n - 2] : len;
        st = add_part(u, word + begins, end - begins, ids, err);
    }
    return st;
}
