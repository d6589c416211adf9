/*
 * Documents become one stream of ids, cut into sequences of one length; a lead (BOS)
 * stands before each and is not repeated where a document begins at the cut. Where few
 * sequences are wanted only the text's beginning is tokenized: a part and one twice as
 * long until both begin with the same ids. Sampling keeps the order and needs one pass
 * (Knuth's algorithm S).
 */
#include "datasets/text/corpus.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/numbers/rng.h"
#include "common/system/hash.h"
#include "datasets/base/ids.h"
#include "datasets/text/documents.h"

typedef struct stream {
    mls_tokenizer *tok;
    mls_ids ids;
    size_t wanted;       /* ids that suffice; SIZE_MAX: all */
    size_t bytes, words; /* of the text that became ids */
    bool without_first;  /* what the tokenizer puts before a text is left out */
} stream;

/* Pieces as Python's re.split(r"\s+") makes them of ASCII white space. */
static void count_text(stream *s, const char *text, size_t len)
{
    bool space = false;

    s->bytes += len;
    s->words += len > 0;
    for (size_t i = 0; i < len; i++) {
        const bool now = strchr(" \t\n\v\f\r", text[i]) != NULL && text[i];

        s->words += now && !space;
        space = now;
    }
}

/*
 * The first ids of a long text without tokenizing all of it: of a part, and of a part
 * twice as long, until both begin with the same ids, as many as are wanted. A tokenizer
 * looks a few words ahead at most; parts begin at 64 KiB and 64 bytes an id.
 */
static mls_status encode_first(stream *s, const char *text, size_t len, size_t wanted,
                               int32_t **ids, size_t *n, mls_err *err)
{
    size_t part = len, cut = len, n_before = 0;
    int32_t *before = NULL;
    mls_status st = MLS_OK;

    if (wanted < (len >> 8))
        part = ((size_t)64 << 10) + 64 * wanted;
    for (;; part *= 2) {
        cut = part < len ? part : len;
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
    if (!st)
        count_text(s, text, cut);
    return st;
}

static mls_status add_document(void *arg, const char *text, size_t len, mls_err *err)
{
    stream *s = arg;
    int32_t *ids = NULL;
    size_t n = 0, n_first;
    mls_status st;

    mls_tokenizer_first(s->tok, &n_first);
    if (!s->without_first)
        n_first = 0;
    if (s->ids.n >= s->wanted)
        return MLS_OK;
    st = encode_first(s, text, len, s->wanted - s->ids.n, &ids, &n, err);
    if (!st)
        st = mls_ids_join(&s->ids, ids + n_first, n - n_first, err);
    free(ids);
    return st;
}

/* Does the stream go on with these ids at i? */
static bool goes_on(const mls_ids *s, size_t i, const int32_t *id, size_t n)
{
    return n > 0 && s->n - i >= n && memcmp(s->id + i, id, n * sizeof *id) == 0;
}

/*
 * Cut the stream into sequences of `length` ids, each behind the `lead` ids of first,
 * which are not repeated where a document begins at the cut.
 */
static mls_status cut(mls_corpus *corpus, const mls_ids *s, size_t length,
                      const int32_t *first, size_t max_sequences, bool keep_tail,
                      mls_err *err)
{
    const size_t lead = corpus->lead, N_max = s->n / length + 1;
    size_t N = 0, end = 0, i = 0;

    corpus->ids = mls_calloc3(s->n + N_max * lead, 1, 1, sizeof *corpus->ids);
    corpus->start = mls_calloc3(N_max + 1, 1, 1, sizeof *corpus->start);
    if (!corpus->ids || !corpus->start) {
        mls_corpus_free(corpus);
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu sequences", N_max);
    }
    while (i < s->n && (max_sequences == 0 || N < max_sequences)) {
        if (goes_on(s, i, first, lead))
            i += lead;
        const size_t n = s->n - i < length ? s->n - i : length;

        if (n == 0 || (n < length && N > 0 && !(keep_tail && n >= 2)))
            break;
        for (size_t j = 0; j < lead; j++)
            corpus->ids[end++] = first[j];
        memcpy(corpus->ids + end, s->id + i, n * sizeof *s->id);
        end += n;
        i += n;
        corpus->start[++N] = end;
    }
    corpus->N = N;
    corpus->n_ids = end;
    corpus->tokens_available = s->n;
    return MLS_OK;
}

mls_status mls_corpus_read(mls_corpus *corpus, mls_tokenizer *tok,
                           const char *const *paths, size_t n_paths, size_t length,
                           size_t max_sequences, unsigned how, mls_err *err)
{
    stream s = {
        .tok = tok, .wanted = SIZE_MAX, .without_first = how & MLS_CORPUS_NO_BOS};
    size_t n_first, room;
    const int32_t *first = mls_tokenizer_first(tok, &n_first);
    mls_status st;

    *corpus = (mls_corpus){.lead = how & MLS_CORPUS_BOS ? n_first : 0};
    if (n_paths == 0 || length == 0)
        return mls_fail(err, MLS_E_ARG, "a corpus needs a file and a length");
    /* Each sequence may begin with a document, whose first ids are not repeated. */
    if (max_sequences > 0 && (!mls_add_size(&room, length, corpus->lead) ||
                              !mls_mul_size(&s.wanted, max_sequences, room)))
        s.wanted = SIZE_MAX;
    st = mls_documents_read(paths, n_paths, add_document, &s, corpus->sha256, err);
    if (!st && s.ids.n == 0)
        st = mls_fail(err, MLS_E_INPUT, "%s: the text has no tokens", paths[0]);
    if (!st)
        st = cut(corpus, &s.ids, length, first, max_sequences,
                 how & MLS_CORPUS_KEEP_TAIL, err);
    if (!st && corpus->N == 0)
        st = mls_fail(err, MLS_E_INPUT, "%s: the text has no tokens", paths[0]);
    corpus->text_bytes = s.bytes;
    corpus->text_words = s.words;
    mls_ids_free(&s.ids);
    if (st)
        mls_corpus_free(corpus);
    return st;
}

void mls_corpus_free(mls_corpus *corpus)
{
    free(corpus->ids);
    free(corpus->start);
    *corpus = (mls_corpus){0};
}

uint64_t mls_corpus_windows_id(const mls_corpus *corpus)
{
    const uint64_t parts[] = {
        corpus->N, corpus->lead,
        mls_xxh3(corpus->start, (corpus->N + 1) * sizeof *corpus->start),
        mls_xxh3(corpus->ids, corpus->start[corpus->N] * sizeof *corpus->ids)};

    return mls_xxh3(parts, sizeof parts);
}

size_t mls_corpus_length(const mls_corpus *corpus)
{
    return corpus->start[1] - corpus->start[0] - corpus->lead;
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

mls_status mls_corpus_recut(mls_corpus *out, const mls_corpus *all, size_t length,
                            mls_err *err)
{
    const size_t lead = all->lead;
    size_t N = 0, end = 0;

    *out = *all;
    out->N = 0;
    for (size_t n = 0; n < all->N; n++)
        N += (all->start[n + 1] - all->start[n] - lead) / length;
    out->ids = mls_calloc3(N, length + lead, 1, sizeof *out->ids);
    out->start = mls_calloc3(N + 1, 1, 1, sizeof *out->start);
    if (N == 0 || !out->ids || !out->start) {
        mls_corpus_free(out);
        return N == 0 ? mls_fail(err, MLS_E_INPUT,
                                 "no window of the text holds %zu tokens", length)
                      : mls_fail(err, MLS_E_NOMEM, "no memory for %zu sequences", N);
    }
    for (size_t n = 0; n < all->N; n++) {
        const int32_t *ids = all->ids + all->start[n];
        const size_t T = all->start[n + 1] - all->start[n] - lead;

        for (size_t i = 0; i + length <= T; i += length) {
            memcpy(out->ids + end, ids, lead * sizeof *ids);
            memcpy(out->ids + end + lead, ids + lead + i, length * sizeof *ids);
            end += lead + length;
            out->start[++out->N] = end;
        }
    }
    out->n_ids = end;
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
