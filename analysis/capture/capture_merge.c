/* Captures of the same model on several texts, joined into one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/capture/capture_inner.h"
#include "common/base/checked.h"
#include "common/system/files.h"
#include "common/system/hash.h"

typedef struct {
    mls_capture *const *from; /* (n) */
    size_t n;
    mls_capture_head head; /* of the whole; its pointers are those below */
    size_t *start;
    int32_t *ids;
    uint64_t *windows;
    double *nll;
    bool parts; /* of one run */
} merger;

static mls_status refuse(mls_capture *const *from, size_t i, const char *what,
                         const char *found, const char *expected, mls_err *err)
{
    return mls_fail(err, MLS_E_INPUT, "%s: %s %s, expected %s as in %s",
                    mls_capture_path(from[i]), what, found, expected,
                    mls_capture_path(from[0]));
}

/* All captures are of one model, tokenizer and length of sequences. */
static mls_status check_alike(mls_capture *const *from, size_t n, mls_err *err)
{
    const mls_capture_head *a = mls_capture_head_of(from[0]);

    for (size_t i = 1; i < n; i++) {
        const mls_capture_head *b = mls_capture_head_of(from[i]);
        char found[32], expected[32];

        if (strcmp(a->model_sha256, b->model_sha256) != 0)
            return refuse(from, i, "is of model", b->model_sha256, a->model_sha256,
                          err);
        if (strcmp(a->tokenizer_sha256, b->tokenizer_sha256) != 0)
            return refuse(from, i, "is of tokenizer", b->tokenizer_sha256,
                          a->tokenizer_sha256, err);
        if (strcmp(a->arithmetic, b->arithmetic) != 0)
            return refuse(from, i, "multiplied in", b->arithmetic, a->arithmetic, err);
        if (a->T != b->T) {
            snprintf(found, sizeof found, "%zu tokens", b->T);
            snprintf(expected, sizeof expected, "%zu", a->T);
            return refuse(from, i, "has sequences of", found, expected, err);
        }
        if (a->lead != b->lead) {
            snprintf(found, sizeof found, "%zu ids", b->lead);
            snprintf(expected, sizeof expected, "%zu", a->lead);
            return refuse(from, i, "begins sequences with", found, expected, err);
        }
        if (a->window_T != b->window_T) {
            snprintf(found, sizeof found, "%zu tokens", b->window_T);
            snprintf(expected, sizeof expected, "%zu", a->window_T);
            return refuse(from, i, "has windows of", found, expected, err);
        }
    }
    return MLS_OK;
}

typedef struct {
    uint64_t hash; /* of the ids */
    size_t capture, sequence;
} seen_sequence;

static int by_hash(const void *a, const void *b)
{
    const seen_sequence *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    if (x->capture != y->capture)
        return x->capture < y->capture ? -1 : 1;
    return x->sequence < y->sequence ? -1 : 1;
}

/* The same sequence twice would count twice and narrow every interval. */
static mls_status refuse_repeats(const merger *m, mls_err *err)
{
    seen_sequence *seen = mls_calloc3(m->head.N, 1, 1, sizeof *seen);
    size_t n = 0;
    mls_status st = MLS_OK;

    if (!seen)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu sequences", m->head.N);
    for (size_t i = 0; i < m->n; i++) {
        const mls_capture_head *h = mls_capture_head_of(m->from[i]);

        for (size_t s = 0; s < h->N; s++)
            seen[n++] = (seen_sequence){
                mls_xxh3(h->ids + h->start[s],
                         (h->start[s + 1] - h->start[s]) * sizeof *h->ids),
                i, s};
    }
    qsort(seen, n, sizeof *seen, by_hash);
    for (size_t k = 1; k < n && !st; k++) {
        const seen_sequence *a = &seen[k - 1], *b = &seen[k];

        if (a->hash == b->hash && a->capture != b->capture)
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: sequence %zu is also sequence %zu of %s: it would count "
                          "twice",
                          mls_capture_path(m->from[b->capture]), b->sequence,
                          a->sequence, mls_capture_path(m->from[a->capture]));
    }
    free(seen);
    return st;
}

/* SHA-256 over the SHA-256 of each text: the texts themselves are not here any more. */
static mls_status hash_texts(merger *m, mls_err *err)
{
    mls_sha256 *h;

    if (m->parts) /* each has that of the whole text */
        return MLS_OK;
    const mls_status st = mls_sha256_new(&h, err);

    if (st)
        return st;
    for (size_t i = 0; i < m->n; i++) {
        mls_sha256_add(h, mls_capture_text_sha256(m->from[i]),
                       strlen(mls_capture_text_sha256(m->from[i])));
        mls_sha256_add(h, "\n", 1);
    }
    mls_sha256_hex(h, m->head.text_sha256);
    mls_sha256_free(h);
    return MLS_OK;
}

static mls_status join_heads(merger *m, mls_err *err)
{
    mls_capture_head *h = &m->head;
    size_t tokens = 0, N = 0, W = 0;

    *h = *mls_capture_head_of(m->from[0]);
    h->shard = (mls_capture_shard){0};
    h->N = h->W = 0;
    for (size_t i = 0; i < m->n; i++) {
        const mls_capture_head *b = mls_capture_head_of(m->from[i]);

        h->N += b->N;
        h->W += b->W;
        tokens += b->start[b->N];
    }
    m->start = mls_calloc3(h->N + 1, 1, 1, sizeof *m->start);
    m->ids = mls_calloc3(tokens, 1, 1, sizeof *m->ids);
    m->windows = mls_calloc3(h->W, 1, 1, sizeof *m->windows);
    m->nll = mls_calloc3(h->N, 1, 1, sizeof *m->nll);
    if (!m->start || !m->ids || !m->windows || !m->nll)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu sequences", h->N);
    h->start = m->start;
    h->ids = m->ids;
    h->window_sequence = m->windows;
    for (size_t i = 0; i < m->n; i++) {
        const mls_capture_head *b = mls_capture_head_of(m->from[i]);

        memcpy(m->ids + m->start[N], b->ids, b->start[b->N] * sizeof *m->ids);
        memcpy(m->nll + N, mls_capture_nll_each(m->from[i]), b->N * sizeof *m->nll);
        for (size_t w = 0; w < b->W; w++)
            m->windows[W++] = N + b->window_sequence[w];
        for (size_t s = 0; s < b->N; s++, N++)
            m->start[N + 1] = m->start[N] + (b->start[s + 1] - b->start[s]);
    }
    return hash_texts(m, err);
}

/* One layer of one capture into the record of the whole, at sequence N and window W. */
static mls_status add_layer(const merger *m, size_t i, size_t l, size_t N, size_t W,
                            mls_record *r, mls_err *err)
{
    const mls_capture_head *b = mls_capture_head_of(m->from[i]);
    const mls_config *c = &m->head.config;
    const size_t n_q = c->H * (c->D / 2), n_k = c->G * (c->D / 2);
    const double weight = (double)b->start[b->N] / (double)m->head.start[m->head.N];
    mls_layer_stats s = {0};
    double *q = NULL, *k = NULL;
    mls_status st = m->parts ? MLS_OK : mls_capture_stats(m->from[i], l, &s, err);

    if (!st)
        st = mls_capture_norms(m->from[i], l, &q, &k, err);
    if (!st) {
        for (size_t j = 0; j < s.n_block; j++)
            r->stats.block[j] += weight * s.block[j];
        memcpy(r->q_norms + N * n_q, q, b->N * n_q * sizeof *q);
        memcpy(r->k_norms + N * n_k, k, b->N * n_k * sizeof *k);
    }
    for (size_t w = 0; w < b->W && !st; w++)
        for (int p = 0; p < MLS_WINDOW_PARTS && !st; p++)
            st = mls_capture_window(m->from[i], l, w, (mls_window_part)p,
                                    r->window[p] +
                                        (W + w) * b->window_T *
                                            mls_window_width(c, (mls_window_part)p),
                                    err);
    mls_free_all(k, q);
    mls_layer_stats_free(&s);
    return st;
}

static mls_status write_whole(const merger *m, const char *path,
                              const mls_capture_options *options, mls_err *err)
{
    mls_store *file = NULL;
    size_t unused = 0; /* what was read fits */
    mls_record r = {0};
    mls_status st = mls_record_new(&r, &m->head, err);

    if (!st)
        st = mls_capture_create(&file, path, NULL, &m->head, options, err);
    for (size_t l = 0; l < m->head.config.L && !st; l++) {
        size_t N = 0, W = 0;

        memset(r.stats.block, 0, r.stats.n_block * sizeof(double));
        for (size_t i = 0; i < m->n && !st; i++) {
            st = add_layer(m, i, l, N, W, &r, err);
            N += mls_capture_sequences(m->from[i]);
            W += mls_capture_windows(m->from[i]);
        }
        if (!st && m->parts)
            st = mls_shards_join(m->from, m->n, l, &r.stats, err);
        if (!st)
            st = mls_capture_append(file, &m->head, &r, &unused, err);
    }
    mls_record_free(&r);
    if (st) {
        mls_store_abandon(file);
        return st;
    }
    return mls_capture_finish(file, m->nll, m->head.N, err);
}

/* What a part says of its run, which the file of the whole run would say as well. */
typedef struct {
    char *text; /* (3, MLS_CAPTURE_RECORD_MAX) */
    char *names;
    char sampling[32];
} recorded;

static mls_status read_recorded(recorded *r, mls_capture *c,
                                mls_capture_options *options, mls_err *err)
{
    static const char *const names[] = {"command_line", "blas_library", "blas_core"};
    const char **const to[] = {&options->command, &options->blas_library,
                               &options->blas_core};
    mls_store *s = mls_capture_store(c);
    mls_status st = MLS_OK;

    r->text = mls_calloc3(3, MLS_CAPTURE_RECORD_MAX, 1, 1);
    if (!r->text)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the record of a run");
    for (size_t i = 0; i < 3 && !st; i++) {
        char *text = r->text + i * MLS_CAPTURE_RECORD_MAX;

        st = mls_store_get_text(s, "/provenance", names[i], text,
                                MLS_CAPTURE_RECORD_MAX, err);
        *to[i] = text;
    }
    if (!st)
        st = mls_store_get_text(s, "/provenance", "sampling", r->sampling,
                                sizeof r->sampling, err);
    if (!st)
        st = mls_store_get_count(s, "/provenance", "seed", &options->seed, err);
    if (!st)
        st = mls_capture_text_names(c, &r->names, err);
    options->sampling = r->sampling;
    options->text_names = r->names;
    return st;
}

mls_status mls_capture_merge(mls_capture **captures, size_t n, const char *path,
                             const char *command, const char *text_names, mls_err *err)
{
    mls_capture_options options = {
        .sampling = "merged", .command = command, .text_names = text_names};
    recorded of_run = {0};
    merger m = {.from = captures, .n = n};
    mls_status st = mls_file_replaceable(path, err);

    if (!st)
        st = mls_shards_sort(captures, n, err);
    if (!st)
        st = check_alike(captures, n, err);
    m.parts = !st && mls_capture_head_of(captures[0])->shard.count > 0;
    if (!st)
        st = join_heads(&m, err);
    if (!st)
        st = m.parts ? read_recorded(&of_run, captures[0], &options, err)
                     : refuse_repeats(&m, err);
    if (!st)
        st = write_whole(&m, path, &options, err);
    mls_free_all(of_run.names, of_run.text, m.nll, m.windows, m.ids, m.start);
    return st;
}
