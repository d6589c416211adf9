#include "datasets/text/corpus.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/numbers/rng.h"
#include "datasets/base/ids.h"
#include "datasets/text/documents.h"

typedef struct stream {
    mls_tokenizer *tok;
    mls_ids ids;
    size_t wanted; /* ids that suffice; SIZE_MAX: all */
} stream;

/*
 * The first ids of a long text without tokenizing all of it: of a part, and of a part
 * twice as long, until both begin with the same ids, as many as are wanted. A tokenizer
 * looks a few words ahead at most; parts begin at 64 KiB and 64 bytes an id.
 */
static mls_status encode_first(const stream *s, const char *text, size_t len,
                               size_t wanted, int32_t **ids, size_t *n, mls_err *err)
{
    size_t part = len, n_before = 0;
    int32_t *before = NULL;
    mls_status st = MLS_OK;

    if (wanted < (len >> 8))
        part = ((size_t)64 << 10) + 64 * wanted;
    for (;; part *= 2) {
        size_t cut = part < len ? part : len;

        while (cut < len && ((unsigned char)text[cut] & 0xC0) == 0x80)
            cut--; /* to the start of a character */
        st = mls_tokenizer_encode(s->tok, text, cut, true, ids, n, err);
        if (st || cut == len ||
            (n_before >= wanted && *n >= wanted &&
             memcmp(before, *ids, wanted * sizeof *before) == 0))
            break;
        free(before);
        before = *ids;
        n_before = *n;
    }
    free(before);
    return st;
}

static mls_status add_document(void *arg, const char *text, size_t len, mls_err *err)
{
    stream *s = arg;
    int32_t *ids = NULL;
    size_t n = 0;
    mls_status st;

    if (s->ids.n >= s->wanted)
        return MLS_OK;
    st = encode_first(s, text, len, s->wanted - s->ids.n, &ids, &n, err);
    if (!st)
        st = mls_ids_join(&s->ids, ids, n, err);
    free(ids);
    return st;
}

/* Cut the stream of n ids at multiples of length. */
static mls_status cut(mls_corpus *corpus, size_t n, size_t length, size_t max_sequences,
                      bool keep_tail, mls_err *err)
{
    const size_t tail = n % length;
    size_t N = n / length;

    if (tail > 0 && (N == 0 || (keep_tail && tail >= 2)))
        N++;
    if (max_sequences > 0 && N > max_sequences)
        N = max_sequences;
    corpus->start = mls_calloc3(N + 1, 1, 1, sizeof *corpus->start);
    if (!corpus->start)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu sequences", N);
    for (size_t i = 1; i <= N; i++)
        corpus->start[i] = i * length < n ? i * length : n;
    corpus->N = N;
    corpus->n_ids = corpus->start[N];
    corpus->tokens_available = n;
    return MLS_OK;
}

mls_status mls_corpus_read(mls_corpus *corpus, mls_tokenizer *tok,
                           const char *const *paths, size_t n_paths, size_t length,
                           size_t max_sequences, bool keep_tail, mls_err *err)
{
    stream s = {.tok = tok, .wanted = SIZE_MAX};
    mls_status st;

    *corpus = (mls_corpus){0};
    if (n_paths == 0 || length == 0)
        return mls_fail(err, MLS_E_ARG, "a corpus needs a file and a length");
    if (max_sequences > 0 && !mls_mul_size(&s.wanted, max_sequences, length))
        s.wanted = SIZE_MAX;
    st = mls_documents_read(paths, n_paths, add_document, &s, corpus->sha256, err);
    if (!st && s.ids.n == 0)
        st = mls_fail(err, MLS_E_INPUT, "%s: the text has no tokens", paths[0]);
    if (!st)
        st = cut(corpus, s.ids.n, length, max_sequences, keep_tail, err);
    if (st) {
        mls_ids_free(&s.ids);
        *corpus = (mls_corpus){0};
        return st;
    }
    corpus->ids = s.ids.id;
    return MLS_OK;
}

void mls_corpus_free(mls_corpus *corpus)
{
    free(corpus->ids);
    free(corpus->start);
    *corpus = (mls_corpus){0};
}

mls_status mls_corpus_part(mls_corpus *part, const mls_corpus *all, size_t first,
                           size_t n, mls_err *err)
{
    const size_t begin = all->start[first], n_ids = all->start[first + n] - begin;

    *part = *all;
    part->N = n;
    part->n_ids = n_ids;
    part->ids = mls_calloc3(n_ids, 1, 1, sizeof *part->ids);
    part->start = mls_calloc3(n + 1, 1, 1, sizeof *part->start);
    if (!part->ids || !part->start) {
        mls_corpus_free(part);
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu tokens", n_ids);
    }
    memcpy(part->ids, all->ids + begin, n_ids * sizeof *part->ids);
    for (size_t i = 0; i <= n; i++)
        part->start[i] = all->start[first + i] - begin;
    return MLS_OK;
}

void mls_corpus_sample(mls_corpus *corpus, size_t n, uint64_t seed)
{
    const size_t N = corpus->N;
    size_t kept = 0, end = 0;
    mls_rng rng;

    mls_rng_seed(&rng, seed, 0);
    for (size_t i = 0; i < N && kept < n; i++) {
        const size_t first = corpus->start[i], T = corpus->start[i + 1] - first;

        if (mls_rng_below(&rng, N - i) >= n - kept)
            continue;
        memmove(corpus->ids + end, corpus->ids + first, T * sizeof *corpus->ids);
        corpus->start[kept++] = end; /* kept <= i: not read again */
        end += T;
    }
    corpus->start[kept] = end;
    corpus->N = kept;
    corpus->n_ids = end;
}
