/*
 * Parts of one capture, made by processes that know nothing of each other, and what
 * makes of them the bytes of one run. Floating-point sums depend on their order, so the
 * order is fixed and no part changes it: a run sums each of up to MLS_CAPTURE_JOBS runs
 * of sequences (jobs) by itself and joins them in a binary tree of neighbours
 * (mls_moments_join). A part has consecutive jobs. It keeps, in full precision, the
 * largest subtrees that lie within them (one where the number of parts is a power of
 * two, at most 2 log2 1024 otherwise); the merge joins these as the rest of the tree
 * is.
 */
#include <stdlib.h>
#include <string.h>

#include "analysis/capture/capture_layout.h"
#include "analysis/capture/moments.h"
#include "common/base/checked.h"

mls_status mls_shard_plan(mls_capture_shard *s, size_t N, size_t index, size_t count,
                          mls_err *err)
{
    const size_t per_job = (N + MLS_CAPTURE_JOBS - 1) / MLS_CAPTURE_JOBS;
    const size_t n_jobs = (N + per_job - 1) / per_job;

    *s = (mls_capture_shard){.index = index,
                             .count = count,
                             .N = N,
                             .per_job = per_job,
                             .n_jobs = n_jobs,
                             .to = n_jobs,
                             .end = N};
    if (count == 0)
        return MLS_OK;
    if (count > n_jobs)
        return mls_fail(err, MLS_E_INPUT,
                        "%zu shards of %zu sequences, which are summed in %zu runs: "
                        "expected at most as many shards as runs",
                        count, N, n_jobs);
    s->from = index * n_jobs / count;
    s->to = (index + 1) * n_jobs / count;
    s->first = s->from * per_job;
    s->end = s->to * per_job < N ? s->to * per_job : N;
    return MLS_OK;
}

size_t mls_shard_nodes(const mls_capture_shard *s)
{
    size_t n = 0;

    for (size_t at = s->from; s->count && at < s->to; n++)
        at = mls_moments_node_end(at, s->to, s->n_jobs);
    return n;
}

static size_t small_values(const mls_config *c)
{
    return mls_layer_stats_size(c) - c->E * c->E;
}

size_t mls_shard_values(const mls_config *c)
{
    return c->E * (c->E + 1) / 2 + small_values(c);
}

void mls_shard_pack(double *sum, const double *second, const double *small,
                    const mls_config *c)
{
    for (size_t i = 0; i < c->E; sum += c->E - i, i++)
        memcpy(sum, second + i * c->E + i, (c->E - i) * sizeof *sum);
    memcpy(sum, small, small_values(c) * sizeof *sum);
}

void mls_shard_unpack(const double *sum, double *second, double *small,
                      const mls_config *c)
{
    for (size_t i = 0; i < c->E; sum += c->E - i, i++)
        memcpy(second + i * c->E + i, sum, (c->E - i) * sizeof *sum);
    memcpy(small, sum, small_values(c) * sizeof *sum);
}

mls_status mls_shard_write(mls_store *s, const mls_capture_shard *shard, mls_err *err)
{
    mls_status st = MLS_OK;

    if (shard->count == 0)
        return MLS_OK;
    st = mls_store_set_count(s, "/shard", "index", shard->index, err);
    if (!st)
        st = mls_store_set_count(s, "/shard", "count", shard->count, err);
    if (!st)
        st = mls_store_set_count(s, "/shard", "sequences", shard->N, err);
    if (!st)
        st = mls_store_set_count(s, "/shard", "run", shard->key, err);
    return st;
}

mls_status mls_shard_read(mls_store *s, mls_capture_shard *shard, size_t N,
                          mls_err *err)
{
    enum { SEQUENCES_MAX = 1 << 30 };
    uint64_t index = 0, count = 0, whole = 0, key = 0;
    mls_status st = MLS_OK;

    if (mls_store_get_count(s, "/shard", "count", &count, NULL))
        return mls_shard_plan(shard, N, 0, 0, err);
    st = mls_store_get_count(s, "/shard", "index", &index, err);
    if (!st)
        st = mls_store_get_count(s, "/shard", "sequences", &whole, err);
    if (!st)
        st = mls_store_get_count(s, "/shard", "run", &key, err);
    if (!st && (count == 0 || count > MLS_CAPTURE_JOBS || index >= count || whole < N ||
                whole > SEQUENCES_MAX))
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: is part %llu of %llu of %llu sequences, which no run has",
                      mls_store_path(s), (unsigned long long)index,
                      (unsigned long long)count, (unsigned long long)whole);
    if (!st)
        st = mls_shard_plan(shard, whole, index, count, err);
    if (!st && shard->end - shard->first != N)
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: holds %zu sequences, expected %zu in part %zu of %zu",
                      mls_store_path(s), N, shard->end - shard->first, shard->index,
                      shard->count);
    shard->key = key;
    return st;
}

static const mls_capture_shard *shard_of(const mls_capture *c)
{
    return &mls_capture_head_of(c)->shard;
}

static int by_index(const void *a, const void *b)
{
    const size_t i = shard_of(*(mls_capture *const *)a)->index;
    const size_t j = shard_of(*(mls_capture *const *)b)->index;

    return (i > j) - (i < j);
}

/* What makes b a part of another run than a. */
static mls_status refuse_foreign(const mls_capture *a, const mls_capture *b,
                                 mls_err *err)
{
    static const struct {
        const char *name, *what;
    } texts[] = {{"model_sha256", "model"},   {"text_sha256", "text"},
                 {"command_line", "command"}, {"tokenizer_sha256", "tokenizer"},
                 {"program", "program"},      {"products", "arithmetic"},
                 {"blas_library", "BLAS"},    {"blas_core", "BLAS core"}};
    char *x = mls_calloc3(2, MLS_CAPTURE_RECORD_MAX, 1, 1),
         *y = x ? x + MLS_CAPTURE_RECORD_MAX : NULL;
    const char *what = "run";
    mls_status st = MLS_OK;

    if (!x)
        return mls_fail(err, MLS_E_NOMEM, "no memory to compare parts");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && strcmp(what, "run") == 0;
         i++)
        if (mls_store_get_text(mls_capture_store(a), "/provenance", texts[i].name, x,
                               MLS_CAPTURE_RECORD_MAX, NULL) ||
            mls_store_get_text(mls_capture_store(b), "/provenance", texts[i].name, y,
                               MLS_CAPTURE_RECORD_MAX, NULL) ||
            strcmp(x, y) != 0)
            what = texts[i].what;
    if (shard_of(a)->count != shard_of(b)->count)
        st =
            mls_fail(err, MLS_E_INPUT, "%s: is part %zu/%zu, expected one of %zu as %s",
                     mls_capture_path(b), shard_of(b)->index, shard_of(b)->count,
                     shard_of(a)->count, mls_capture_path(a));
    else
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: is a part of another run than %s: another "
                      "%s%s%.200s",
                      mls_capture_path(b), mls_capture_path(a), what,
                      strcmp(what, "run") == 0 ? "" : ", ",
                      strcmp(what, "run") == 0 ? "" : y);
    free(x);
    return st;
}

mls_status mls_shards_sort(mls_capture **parts, size_t n, mls_err *err)
{
    const size_t count = shard_of(parts[0])->count;

    for (size_t i = 0; i < n; i++) {
        const mls_capture_shard *s = shard_of(parts[i]);

        if ((s->count == 0) != (count == 0))
            return mls_fail(
                err, MLS_E_INPUT, "%s: is %s, %s is %s: they cannot be joined",
                mls_capture_path(parts[i]),
                s->count ? "a part of a run" : "a whole run",
                mls_capture_path(parts[0]), count ? "a part of a run" : "a whole run");
        if (s->count != count || s->key != shard_of(parts[0])->key)
            return refuse_foreign(parts[0], parts[i], err);
    }
    if (count == 0)
        return MLS_OK;
    qsort(parts, n, sizeof *parts, by_index);
    for (size_t i = 0; i < n; i++) {
        const size_t index = shard_of(parts[i])->index;

        if (i > 0 && index == shard_of(parts[i - 1])->index)
            return mls_fail(err, MLS_E_INPUT, "%s: is part %zu/%zu, as %s is",
                            mls_capture_path(parts[i]), index, count,
                            mls_capture_path(parts[i - 1]));
        if (index != i)
            return mls_fail(err, MLS_E_INPUT,
                            "part %zu/%zu is missing: make it with --shard %zu/%zu", i,
                            count, i, count);
    }
    return n == count ? MLS_OK
                      : mls_fail(err, MLS_E_INPUT,
                                 "part %zu/%zu is missing: make it with --shard "
                                 "%zu/%zu",
                                 n, count, n, count);
}

mls_status mls_shards_join(mls_capture *const *parts, size_t n, size_t l,
                           mls_layer_stats *s, mls_err *err)
{
    const mls_config *c = mls_capture_config(parts[0]);
    const size_t n_values = mls_shard_values(c), n_small = small_values(c);
    double *v[MLS_CAPTURE_JOBS] = {0},
           *small = mls_calloc3(n_small, 1, 1, sizeof *small);
    const mls_capture_shard *whole = shard_of(parts[0]);
    mls_status st = MLS_OK;
    double n_tokens = 0;

    for (size_t i = 0; i < n; i++)
        n_tokens +=
            (double)mls_capture_start(parts[i])[mls_capture_sequences(parts[i])];
    for (size_t i = 0; i < n && !st; i++) {
        const mls_capture_shard *part = shard_of(parts[i]);

        for (size_t at = part->from, node = 0; at < part->to && !st; node++) {
            v[at] = mls_calloc3(n_values, 1, 1, sizeof **v);
            st = v[at] && small
                     ? mls_capture_sum(parts[i], l, node, v[at], err)
                     : mls_fail(err, MLS_E_NOMEM, "no memory for the sums of a layer");
            at = mls_moments_node_end(at, part->to, part->n_jobs);
            mls_moments_join(v, n_values, 0, at, part->n_jobs, true);
        }
    }
    if (!st) {
        mls_shard_unpack(v[0], s->x_second, small, c);
        mls_moments_finish_x(s->x_second, c->E, n_tokens);
        mls_moments_finish(s, small, n_small, n_tokens);
    }
    for (size_t i = 0; i < whole->n_jobs; i++)
        free(v[i]);
    free(small);
    return st;
}
