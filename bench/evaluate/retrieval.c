/*
 * Planted pairs: what a cache must keep for a token far away to be found again. Mean
 * losses over running text hardly see it: few tokens need it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/evaluate/items.h"
#include "common/base/checked.h"
#include "common/numbers/rng.h"
#include "datasets/text/documents.h"

enum {
    BEFORE = 16, /* tokens of text before the farthest pair */
    WORDS = 4096,
    SHORTEST = 4,
    LONGEST = 12,
    IN_PAIR = 4 /* words of a pair */
};

/* The first different words of the texts. */
typedef struct {
    char word[WORDS][LONGEST + 1];
    size_t n;
} words;

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c & 0x80);
}

static mls_status add_words(void *arg, const char *text, size_t len, mls_err *err)
{
    words *w = arg;

    (void)err;
    for (size_t i = 0; i < len && w->n < WORDS; i++) {
        size_t n = 0;
        bool known = false;

        while (i + n < len && is_letter(text[i + n]))
            n++;
        if (n >= SHORTEST && n <= LONGEST && (i == 0 || text[i - 1] == ' ')) {
            for (size_t k = 0; k < w->n && !known; k++)
                known = strlen(w->word[k]) == n && memcmp(w->word[k], text + i, n) == 0;
            if (!known)
                memcpy(w->word[w->n++], text + i, n);
        }
        i += n;
    }
    return MLS_OK;
}

void mls_retrieval_free(mls_retrieval *r)
{
    free(r->distance);
    mls_items_free(&r->items);
    *r = (mls_retrieval){0};
}

static int by_size(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;

    return (x > y) - (x < y);
}

/* Ids of a line with key and value, and how many of them are the key's. */
typedef struct {
    int32_t *pair, *question;
    size_t n_pair, n_question, n_key;
} planted;

static void planted_free(planted *p)
{
    mls_free_all(p->pair, p->question);
}

static mls_status draw_pair(planted *p, mls_tokenizer *tok, const words *w,
                            uint64_t seed, size_t number, mls_err *err)
{
    size_t pick[IN_PAIR];
    char text[IN_PAIR * (LONGEST + 1) + 8], key[sizeof text / 2];
    int32_t *ids = NULL;
    mls_rng rng;
    mls_status st;

    mls_rng_seed(&rng, seed, number);
    for (size_t i = 0; i < IN_PAIR; i++) {
        bool again;

        do {
            again = false;
            pick[i] = mls_rng_below(&rng, w->n);
            for (size_t j = 0; j < i; j++)
                again |= pick[j] == pick[i];
        } while (again);
    }
    snprintf(key, sizeof key, "\n%.12s %.12s:", w->word[pick[0]], w->word[pick[1]]);
    snprintf(text, sizeof text, "%s %.12s %.12s", key, w->word[pick[2]],
             w->word[pick[3]]);
    st = mls_tokenizer_encode(tok, text, strlen(text), false, &p->question,
                              &p->n_question, err);
    if (!st)
        st = mls_tokenizer_encode(tok, key, strlen(key), false, &ids, &p->n_key, err);
    free(ids);
    strcat(text, "\n");
    if (!st)
        st = mls_tokenizer_encode(tok, text, strlen(text), false, &p->pair, &p->n_pair,
                                  err);
    if (!st && p->n_key >= p->n_question)
        st = mls_fail(err, MLS_E_INPUT,
                      "the tokenizer makes no tokens of \"%s\" that follow its key",
                      key);
    return st;
}

/* One pair at every distance, in one piece of text. */
static mls_status plant(mls_retrieval *out, const planted *p, mls_piece lead,
                        mls_piece text, mls_err *err)
{
    mls_status st = MLS_OK;

    for (size_t d = 0; !st && d < out->n_distances; d++) {
        const bool none = out->distance[d] == SIZE_MAX;
        const size_t before = none ? text.n : text.n - out->distance[d];
        const mls_piece piece[] = {lead,
                                   {text.id, before},
                                   {p->pair, none ? 0 : p->n_pair},
                                   {text.id + before, text.n - before},
                                   {p->question, p->n_key},
                                   {p->question + p->n_key, p->n_question - p->n_key}};
        size_t ids = 0;

        for (size_t i = 0; i < sizeof piece / sizeof piece[0]; i++)
            ids += piece[i].n;
        if (ids > out->longest)
            out->longest = ids;
        st = mls_items_add(&out->items, piece, sizeof piece / sizeof piece[0], err);
    }
    return st;
}

mls_status mls_retrieval_make(mls_retrieval *out, mls_tokenizer *tok,
                              const char *const *paths, size_t n_paths, bool no_bos,
                              const size_t *distance, size_t n_distances, size_t n,
                              uint64_t seed, mls_err *err)
{
    mls_corpus text = {0};
    words *w = calloc(1, sizeof *w);
    mls_status st = MLS_OK;

    *out = (mls_retrieval){.n_distances = n_distances + 1};
    out->distance = mls_calloc3(n_distances + 1, 1, 1, sizeof *out->distance);
    if (!w || !out->distance)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for planted pairs");
    if (!st) {
        memcpy(out->distance, distance, n_distances * sizeof *distance);
        qsort(out->distance, n_distances, sizeof *distance, by_size);
        out->distance[n_distances] = SIZE_MAX;

        const size_t T = out->distance[n_distances - 1] + BEFORE;

        st = mls_corpus_read(&text, tok, paths, n_paths, T, n,
                             no_bos ? MLS_CORPUS_NO_BOS : MLS_CORPUS_BOS, err);
        if (!st && mls_corpus_length(&text) < T)
            st = mls_fail(err, MLS_E_INPUT,
                          "the text has %zu tokens, a pair at a distance of %zu needs "
                          "%zu",
                          mls_corpus_length(&text), T - BEFORE, T);
    }
    if (!st)
        st = mls_documents_read(paths, n_paths, add_words, w, NULL, err);
    if (!st && w->n < 4 * IN_PAIR)
        st =
            mls_fail(err, MLS_E_INPUT,
                     "the text has %zu different words of %d to %d letters, too few to "
                     "make pairs of",
                     w->n, SHORTEST, LONGEST);
    out->n = text.N;
    for (size_t i = 0; !st && i < text.N; i++) {
        const size_t begin = text.start[i] + text.lead;
        planted p = {0};

        st = draw_pair(&p, tok, w, seed, i, err);
        if (!st)
            st = plant(out, &p, (mls_piece){text.ids + text.start[i], text.lead},
                       (mls_piece){text.ids + begin, text.start[i + 1] - begin}, err);
        planted_free(&p);
    }
    out->items.corpus.lead = text.lead;
    memcpy(out->items.corpus.sha256, text.sha256, sizeof text.sha256);
    mls_corpus_free(&text);
    free(w);
    if (st)
        mls_retrieval_free(out);
    return st;
}
