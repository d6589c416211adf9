/* The pass of a model over a text that fills a capture file, layer by layer. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "analysis/capture/capture_layout.h"
#include "analysis/capture/moments.h"
#include "analysis/model/forward.h"
#include "analysis/numeric/blas.h"
#include "common/base/buf.h"
#include "common/base/checked.h"
#include "common/numbers/finite.h"
#include "common/system/files.h"
#include "common/system/hash.h"
#include "common/system/room.h"

static const uint64_t windows_bytes_default = 100000000;
enum {
    WINDOWS_WHOLE = 4, /* so many windows are rather cut short than given up */
    WINDOW_SHORTEST = 16
};

typedef struct {
    const mls_model *model;
    const mls_corpus *corpus;
    mls_corpus ours; /* the sequences of a part; else {0} */
    const mls_capture_options *options;
    mls_pool *pool;
    const mls_progress *progress;

    mls_capture_head head;
    mls_part *part;
    mls_states states;
    mls_own_attention plain;
    mls_record record;               /* of the present layer */
    mls_layer_stats *sum;            /* per worker: of the job that it is at */
    double *small[MLS_CAPTURE_JOBS]; /* sums of finished jobs, as far as joined */
    bool *is_summed;                 /* (jobs of ours) */
    size_t n_summed;                 /* all jobs before this one are */
    pthread_mutex_t lock;            /* of the three */
    size_t *window_of;               /* (N): 1 + window of a sequence; 0: none */
    float **scratch;                 /* per worker */
    mls_err *seen_bad;   /* per worker: what mls_own_attention_run() could not return */
    double *nll;         /* (N) */
    size_t layer, n_cut; /* window values that were too large for a half */
    atomic_size_t sequences_done;
} capture_run;

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Progress counts sequences through layers; the output head is one layer more. */
static mls_status report(capture_run *r, mls_err *err)
{
    const size_t L = r->head.config.L;
    char what[64];

    if (r->layer < L)
        snprintf(what, sizeof what, "layer %zu of %zu", r->layer + 1, L);
    else
        snprintf(what, sizeof what, "output head");
    return mls_progress_step(r->progress, what, (double)atomic_load(&r->sequences_done),
                             (double)((L + 1) * r->head.N), err);
}

/* NaN and infinity are refused where they are first seen. */
static bool refuse_bad(mls_err *bad, const mls_attention_view *v, const char *part,
                       const float *x, size_t n, size_t D)
{
    const size_t at = mls_first_not_finite(x, v->T * n);
    char head[32] = "";

    if (at == v->T * n)
        return false;
    if (D)
        snprintf(head, sizeof head, ", head %zu", at % n / D);
    mls_fail(bad, MLS_E_NUMERIC,
             "layer %zu, sequence %zu, token %zu: %s%s, dimension %zu is %g", v->layer,
             v->sequence, at / n, part, head, D ? at % n % D : at % n, (double)x[at]);
    return true;
}

/*
 * The sums of a finished job among those of others, joined as far as all before it are
 * finished: so the tree is the same in whatever order jobs end, and few sums are in
 * memory.
 */
static void join_job(capture_run *r, size_t job, const double *block, mls_err *bad)
{
    const mls_capture_shard *s = &r->head.shard;
    const size_t n = r->sum[0].n_block;
    double *own = malloc(n * sizeof *own);

    if (!own) {
        mls_fail(bad, MLS_E_NOMEM, "no memory for the sums of a layer");
        return;
    }
    memcpy(own, block, n * sizeof *own);
    pthread_mutex_lock(&r->lock);
    r->small[s->from + job] = own;
    r->is_summed[job] = true;
    while (r->n_summed < s->to - s->from && r->is_summed[r->n_summed])
        r->n_summed++;
    mls_moments_join(r->small, n, s->from, s->from + r->n_summed, s->n_jobs, true);
    pthread_mutex_unlock(&r->lock);
}

/* A layer without keys and values that could be seen: all of its sums are 0. */
static mls_status record_nothing(capture_run *r, mls_err *err)
{
    const mls_capture_head *h = &r->head;
    const mls_config *c = &h->config;
    mls_err bad = {0};

    memset(r->sum[0].block, 0, r->sum[0].n_block * sizeof(double));
    memset(r->record.q_norms, 0, h->N * c->H * (c->D / 2) * sizeof *r->record.q_norms);
    memset(r->record.k_norms, 0, h->N * c->G * (c->D / 2) * sizeof *r->record.k_norms);
    for (int i = 0; i < MLS_WINDOW_PARTS; i++)
        memset(r->record.window[i], 0,
               h->W * h->window_T * mls_window_width(c, (mls_window_part)i) *
                   sizeof *r->record.window[i]);
    for (size_t job = 0; job < h->shard.to - h->shard.from; job++)
        join_job(r, job, r->sum[0].block, &bad);
    return bad.status ? mls_fail(err, bad.status, "%s", bad.text) : MLS_OK;
}

static void see(void *arg, const mls_attention_view *v)
{
    capture_run *r = arg;
    const mls_config *c = &r->head.config;
    const size_t D = c->D, HD = c->H * D, GD = c->G * D, C = D / 2;
    const float *const parts[MLS_WINDOW_PARTS] = {v->x, v->q, v->k, v->v};
    mls_err *bad = &r->seen_bad[v->worker];

    if (refuse_bad(bad, v, "the input of attention", v->x, c->E, 0) ||
        refuse_bad(bad, v, "the query", v->q, HD, D) ||
        refuse_bad(bad, v, "the key", v->k, GD, D) ||
        refuse_bad(bad, v, "the value", v->v, GD, D))
        return;
    const size_t job = v->sequence / r->states.per_job;

    if (v->sequence % r->states.per_job == 0)
        memset(r->sum[v->worker].block, 0, r->sum[0].n_block * sizeof(double));
    mls_moments_add(&r->sum[v->worker], v, r->record.q_norms + v->sequence * c->H * C,
                    r->record.k_norms + v->sequence * c->G * C, r->scratch[v->worker]);
    if ((v->sequence + 1) % r->states.per_job == 0 || v->sequence + 1 == r->head.N)
        join_job(r, job, r->sum[v->worker].block, bad);
    if (r->window_of[v->sequence] == 0)
        return;
    for (int i = 0; i < MLS_WINDOW_PARTS; i++) {
        const size_t n = r->head.window_T * mls_window_width(c, (mls_window_part)i);

        memcpy(r->record.window[i] + (r->window_of[v->sequence] - 1) * n, parts[i],
               n * sizeof(float));
    }
}

static mls_status watched_attention(void *arg, size_t sequence, size_t worker,
                                    const float *x, size_t T, float *out,
                                    float *carried, mls_err *err)
{
    capture_run *r = arg;
    mls_status st;

    st = mls_own_attention_run(&r->plain, sequence, worker, x, T, out, carried, err);
    if (!st && r->seen_bad[worker].status)
        st = mls_fail(err, r->seen_bad[worker].status, "%s", r->seen_bad[worker].text);
    atomic_fetch_add(&r->sequences_done, 1);
    /* Worker 0 is the thread that called us: only there may progress be told. */
    return !st && worker == 0 ? report(r, err) : st;
}

static mls_status sequence_done(void *arg, size_t worker, mls_err *err)
{
    capture_run *r = arg;

    atomic_fetch_add(&r->sequences_done, 1);
    return worker == 0 ? report(r, err) : MLS_OK;
}

/* Bytes of all moments, and of a token of a window. */
static void bytes_of(const mls_capture_head *h, uint64_t *moments, uint64_t *token)
{
    mls_capture_head one = *h;

    one.W = one.window_T = 1;
    *moments = *token = 0;
    for (size_t i = 0; i < MLS_LAYOUTS; i++) {
        const uint64_t n =
            h->config.L * (uint64_t)mls_layout_bytes(&mls_layouts[i], &one);

        if (mls_layouts[i].kind == MLS_LAYOUT_WINDOW)
            *token += n;
        else if (mls_layouts[i].kind == MLS_LAYOUT_MOMENT)
            *moments += n;
    }
}

/*
 * How many windows and how long: the first tokens of so many sequences of full length
 * as are wanted and fit the limit; whole ones while that leaves WINDOWS_WHOLE of them,
 * then shorter ones: a rule that chooses and a check on other windows need several.
 */
static void size_windows(capture_run *r, size_t n_full)
{
    mls_capture_head *h = &r->head;
    const size_t wanted = r->options->n_windows;
    const size_t most = wanted < n_full ? wanted : n_full;
    uint64_t moments, token, limit = r->options->windows_bytes;

    bytes_of(h, &moments, &token);
    if (!limit)
        limit =
            moments / 2 > windows_bytes_default ? moments / 2 : windows_bytes_default;
    const size_t tokens = limit / token;

    h->W = most;
    h->window_T = h->T;
    if (tokens < most * h->T) {
        const size_t least = most < WINDOWS_WHOLE ? most : WINDOWS_WHOLE;

        h->W = tokens / h->T > least ? tokens / h->T : least;
        if (h->W * h->T > tokens)
            h->window_T = tokens / h->W / WINDOW_SHORTEST * WINDOW_SHORTEST;
        if (h->window_T == 0) {
            h->W = tokens / WINDOW_SHORTEST;
            h->window_T = WINDOW_SHORTEST;
        }
        mls_progress_note(r->progress,
                          "windows: %zu of %zu tokens instead of %zu of %zu, which "
                          "would take %.0f MB; the limit is %.0f MB",
                          h->W, h->window_T, wanted, h->T,
                          1e-6 * (double)token * (double)(most * h->T),
                          1e-6 * (double)limit);
    }
}

/* The windows, spread evenly over the sequences of full length. */
static mls_status choose_windows(capture_run *r, mls_err *err)
{
    mls_capture_head *h = &r->head;
    const size_t *start = h->start;
    size_t n_full = 0, full = 0, w = 0;

    for (size_t n = 0; n < h->N; n++)
        n_full += start[n + 1] - start[n] == h->T;
    size_windows(r, n_full);
    h->window_sequence = mls_calloc3(h->W, 1, 1, sizeof *h->window_sequence);
    r->window_of = mls_calloc3(h->N, 1, 1, sizeof *r->window_of);
    if (!h->window_sequence || !r->window_of)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu windows", h->W);
    for (size_t n = 0; n < h->N && w < h->W; n++) {
        if (start[n + 1] - start[n] != h->T)
            continue;
        if (full == w * n_full / h->W) {
            h->window_sequence[w] = n;
            r->window_of[n] = ++w;
        }
        full++;
    }
    return MLS_OK;
}

static mls_status make_head(capture_run *r, mls_err *err)
{
    const mls_checkpoint *checkpoint = mls_model_checkpoint(r->model);
    const mls_corpus *corpus = r->corpus;
    mls_capture_head *h = &r->head;
    mls_status st = MLS_OK;

    h->config = *mls_model_config(r->model);
    snprintf(h->arithmetic, sizeof h->arithmetic, "%s", mls_model_arithmetic(r->model));
    h->N = corpus->N;
    h->start = corpus->start;
    h->ids = corpus->ids;
    h->lead = corpus->lead;
    for (size_t n = 0; n < h->N; n++)
        if (h->start[n + 1] - h->start[n] > h->T)
            h->T = h->start[n + 1] - h->start[n];
    if (h->T < h->lead + 2)
        return mls_fail(
            err, MLS_E_INPUT,
            "the text gives a single token, a capture needs two: the first of "
            "a sequence is not predicted");
    snprintf(h->text_sha256, sizeof h->text_sha256, "%s", corpus->sha256);
    if (r->options->tokenizer_sha256)
        snprintf(h->tokenizer_sha256, sizeof h->tokenizer_sha256, "%s",
                 r->options->tokenizer_sha256);
    h->config_json = mls_checkpoint_config_json(checkpoint, &h->config_json_len);
    if (r->options->model_sha256)
        snprintf(h->model_sha256, sizeof h->model_sha256, "%s",
                 r->options->model_sha256);
    else
        st = mls_checkpoint_sha256(checkpoint, h->model_sha256, r->progress, err);
    return st ? st : choose_windows(r, err);
}

/* The hash of what was written, which is released. */
static mls_status take_key(mls_buf *b, uint64_t *key, mls_err *err)
{
    const mls_status st =
        b->failed ? mls_fail(err, MLS_E_NOMEM, "no memory for the identity of a run")
                  : MLS_OK;

    if (!st)
        *key = mls_xxh3(b->data, b->len);
    mls_buf_free(b);
    return st;
}

/* Two runs with one key give the same file; what is recorded only is left out. */
static mls_status run_key(const capture_run *r, uint64_t *key, mls_err *err)
{
    const mls_capture_head *h = &r->head;
    mls_buf b = {0};

    mls_buf_printf(&b, "%s %s %s %s %s %zu %zu %zu %zu %zu\n", MLS_CAPTURE_KIND,
                   MLS_VERSION, mls_blas_core(), h->arithmetic, h->model_sha256, h->N,
                   h->T, h->lead, h->W, h->window_T);
    mls_buf_add(&b, (const char *)h->start, (h->N + 1) * sizeof *h->start);
    mls_buf_add(&b, (const char *)h->ids, h->start[h->N] * sizeof *h->ids);
    return take_key(&b, key, err);
}

/*
 * What two parts must share to be of one run: besides the key what is recorded only,
 * since the merge takes it from any of them.
 */
static mls_status whole_key(const capture_run *r, uint64_t run, uint64_t *key,
                            mls_err *err)
{
    const mls_capture_options *o = r->options;
    mls_buf b = {0};

    mls_buf_printf(&b, "%016llx %s %s %s %llu %s\n", (unsigned long long)run,
                   r->head.text_sha256, r->head.tokenizer_sha256,
                   o->sampling ? o->sampling : "", (unsigned long long)o->seed,
                   mls_blas_version());
    mls_buf_puts(&b, o->command ? o->command : "");
    mls_buf_puts(&b, "\n");
    mls_buf_puts(&b, o->text_names ? o->text_names : "");
    return take_key(&b, key, err);
}

/* From the head of the whole run to that of one part: its sequences, its windows. */
static mls_status take_part(capture_run *r, uint64_t *key, mls_err *err)
{
    mls_capture_head *h = &r->head;
    mls_capture_shard *s = &h->shard;
    size_t W = 0;
    mls_status st =
        mls_shard_plan(s, h->N, r->options->shard, r->options->n_shards, err);

    if (st || s->count == 0)
        return st;
    st = whole_key(r, *key, &s->key, err);
    if (!st)
        st = mls_corpus_part(&r->ours, r->corpus, s->first, s->end - s->first, err);
    if (st)
        return st;
    r->corpus = &r->ours;
    h->N = r->ours.N;
    h->start = r->ours.start;
    h->ids = r->ours.ids;
    memset(r->window_of, 0, s->N * sizeof *r->window_of);
    for (size_t w = 0; w < h->W; w++)
        if (h->window_sequence[w] >= s->first && h->window_sequence[w] < s->end) {
            h->window_sequence[W] = h->window_sequence[w] - s->first;
            r->window_of[h->window_sequence[W]] = W + 1;
            W++;
        }
    h->W = W;
    const uint64_t part[] = {s->key, s->index, s->count};
    *key = mls_xxh3(part, sizeof part);
    return MLS_OK;
}

static mls_status prepare(capture_run *r, mls_err *err)
{
    const mls_config *c = &r->head.config;
    const size_t N = r->head.N, workers = mls_pool_threads(r->pool);
    mls_status st = mls_states_embed(&r->states, r->model, r->corpus, err);

    if (st)
        return st;
    r->states.per_job = r->head.shard.per_job;
    st = mls_own_attention_new(&r->plain, c, r->states.T_max, workers, err);
    if (!st)
        st = mls_record_new(&r->record, &r->head, err);
    r->sum = mls_calloc3(workers, 1, 1, sizeof *r->sum);
    r->is_summed =
        mls_calloc3(r->head.shard.to - r->head.shard.from, 1, 1, sizeof *r->is_summed);
    if (!st && (!r->sum || !r->is_summed))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the sums of a layer");
    for (size_t i = 0; i < workers && !st; i++)
        st = mls_layer_stats_new_small(&r->sum[i], c, err);
    if (st)
        return st;
    r->plain.see = see;
    r->plain.see_arg = r;
    r->nll = mls_calloc3(N, 1, 1, sizeof *r->nll);
    r->seen_bad = mls_calloc3(workers, 1, 1, sizeof *r->seen_bad);
    r->scratch = mls_calloc3(workers, 1, 1, sizeof *r->scratch);
    bool ok = r->nll && r->seen_bad && r->scratch;
    for (size_t i = 0; i < workers && ok; i++) {
        r->scratch[i] =
            mls_calloc3(mls_moments_scratch(c->D), 1, 1, sizeof *r->scratch[i]);
        ok = r->scratch[i];
    }
    return ok ? MLS_OK
              : mls_fail(err, MLS_E_NOMEM, "no memory for %zu sequences on %zu threads",
                         N, workers);
}

static void free_small(capture_run *r)
{
    for (size_t i = 0; i < MLS_CAPTURE_JOBS; i++) {
        free(r->small[i]);
        r->small[i] = NULL;
    }
}

static void release(capture_run *r)
{
    const size_t workers = mls_pool_threads(r->pool);

    for (size_t i = 0; i < workers && r->scratch; i++)
        free(r->scratch[i]);
    mls_free_all(r->scratch, r->seen_bad, r->nll);
    for (size_t i = 0; r->sum && i < workers; i++)
        mls_layer_stats_free(&r->sum[i]);
    mls_free_all(r->sum, r->is_summed);
    free_small(r);
    pthread_mutex_destroy(&r->lock);
    mls_record_free(&r->record);
    mls_own_attention_free(&r->plain);
    mls_states_free(&r->states);
    mls_free_all(r->window_of, r->head.window_sequence);
    mls_corpus_free(&r->ours);
}

/*
 * The sums of x x^T of our jobs. A job's sum is joined tile by tile as soon as the tile
 * is there, so that only sums that wait for a neighbour are in memory. The first is in
 * the record.
 */
static mls_status sum_x(capture_run *r, double **x, const mls_layer *layer,
                        mls_err *err)
{
    const mls_capture_shard *s = &r->head.shard;
    const size_t E = r->head.config.E, *start = r->head.start;
    mls_status st = MLS_OK;

    for (size_t job = s->from; job < s->to && !st; job++) {
        const size_t first = (job - s->from) * s->per_job, left = r->head.N - first;
        const size_t end = first + (left < s->per_job ? left : s->per_job);
        mls_moments_sum sum = {.E = E};
        size_t node[MLS_MOMENTS_STEPS];

        sum.n_left = mls_moments_left(node, job, s->from, s->n_jobs);
        for (size_t i = 0; i < sum.n_left; i++)
            sum.left[i] = x[node[i]];
        if (sum.n_left == 0) {
            x[job] =
                job > s->from ? malloc(E * E * sizeof **x) : r->record.stats.x_second;
            sum.to = x[job];
        }
        st = sum.n_left > 0 || x[job]
                 ? mls_moments_x_add(
                       &sum, &r->states.room, r->states.h + start[first] * E,
                       start[end] - start[first], &r->head.config, layer, r->pool, err)
                 : mls_fail(err, MLS_E_NOMEM, "no memory for sums of %zu x %zu", E, E);
        for (size_t i = 0; i + 1 < sum.n_left; i++) {
            free(x[node[i]]);
            x[node[i]] = NULL;
        }
    }
    return st;
}

/* Sums of our jobs into the record: those that a part keeps, and means over all. */
static void take_sums(capture_run *r, double **x)
{
    const mls_capture_shard *s = &r->head.shard;
    const mls_config *c = &r->head.config;
    const size_t E = c->E, n_small = r->sum[0].n_block;
    const double n_tokens = (double)r->head.start[r->head.N];
    double **small = r->small, *kept = r->record.sums;

    for (size_t at = s->from; at < s->to;
         at = mls_moments_node_end(at, s->to, s->n_jobs)) {
        if (s->count) {
            mls_shard_pack(kept, x[at], small[at], c);
            kept += mls_shard_values(c);
        }
        for (size_t i = 0; i < E * E && at > s->from; i++)
            x[s->from][i] += x[at][i];
        for (size_t i = 0; i < n_small && at > s->from; i++)
            small[s->from][i] += small[at][i];
    }
    mls_moments_finish_x(r->record.stats.x_second, E, n_tokens);
    mls_moments_finish(&r->record.stats, small[s->from], n_small, n_tokens);
}

static mls_status do_layer(capture_run *r, mls_err *err)
{
    const mls_config *c = &r->head.config;
    double *x[MLS_CAPTURE_JOBS] = {0};
    mls_layer layer = {0};
    /* The sums of many jobs want memory that the weights take afterwards. */
    mls_status st = mls_model_entry(r->model, r->layer, &layer, err);

    if (!st)
        st = mls_layer_enter(c, &layer, &r->states, err);
    if (!st)
        st = sum_x(r, x, &layer, err);
    mls_layer_free(&layer);
    free_small(r);
    memset(r->is_summed, 0, (r->head.shard.to - r->head.shard.from) * sizeof(bool));
    r->n_summed = 0;
    r->plain.layer = &layer;
    if (!st)
        st = mls_model_layer(r->model, r->layer, &layer, err);
    if (!st)
        st = mls_layer_forward(c, &layer, &r->states, watched_attention, r, r->pool,
                               err);
    mls_layer_free(&layer);
    if (!st && r->n_summed == 0)
        st = record_nothing(r, err);
    if (!st) {
        take_sums(r, x);
        st = mls_part_save_record(r->part, r->layer, &r->head, &r->record, &r->n_cut,
                                  err);
    }
    for (size_t job = r->head.shard.from + 1; job < r->head.shard.to; job++)
        free(x[job]);
    return st;
}

static mls_status do_layers(capture_run *r, mls_err *err)
{
    const size_t L = r->head.config.L;
    const size_t finished = mls_part_finished(r->part, &r->head);
    mls_status st = MLS_OK;
    double last_saved = seconds();

    if (finished) {
        mls_progress_note(r->progress, "going on after layer %zu of %zu", finished, L);
        st = mls_part_load_states(r->part, finished - 1, &r->head, r->states.h, err);
    }
    atomic_store(&r->sequences_done, finished * r->head.N);
    for (r->layer = finished; r->layer < L && !st; r->layer++) {
        st = do_layer(r, err);
        if (!st && seconds() - last_saved >= r->options->save_every) {
            st = mls_part_save_states(r->part, r->layer, &r->head, r->states.h, err);
            last_saved = seconds();
        }
    }
    if (!st)
        st = mls_head_nll(r->model, &r->states, r->head.ids, r->head.lead, r->nll,
                          sequence_done, r, r->pool, err);
    return st;
}

/* Put the file together from the records of the layers. */
static mls_status assemble(capture_run *r, const char *path, mls_err *err)
{
    mls_store *file = NULL;
    size_t unused = 0; /* what was read back fits */
    mls_status st = mls_capture_create(&file, path, mls_part_temp(r->part), &r->head,
                                       r->options, err);

    if (r->n_cut)
        mls_progress_note(
            r->progress,
            "windows: %zu values beyond 65504, the largest half, are kept "
            "as that",
            r->n_cut);

    for (size_t l = 0; l < r->head.config.L && !st; l++) {
        st = mls_part_load_record(r->part, l, &r->head, &r->record, err);
        if (!st)
            st = mls_capture_append(file, &r->head, &r->record, &unused, err);
    }
    if (st) {
        mls_store_abandon(file);
        return st;
    }
    return mls_capture_finish(file, r->nll, r->head.N, err);
}

/*
 * What is still to be written: the records of layers, the same again in the file, ids
 * and text of the config, and the states that are saved, old and new.
 */
static mls_status has_room(const capture_run *r, const char *path, mls_err *err)
{
    const mls_capture_head *h = &r->head;
    const size_t L = h->config.L, left = L - mls_part_finished(r->part, h);
    uint64_t layer = 0;

    for (size_t i = 0; i < MLS_LAYOUTS; i++)
        layer += mls_layout_bytes(&mls_layouts[i], h);
    return mls_room_for(path,
                        r->options->beside + layer * (L + left) +
                            h->start[h->N] * sizeof *h->ids + h->config_json_len +
                            2 * (uint64_t)h->start[h->N] * h->config.E * sizeof(float),
                        err);
}

mls_status mls_capture_run(const mls_model *m, const mls_corpus *corpus,
                           const char *path, const mls_capture_options *options,
                           mls_pool *pool, const mls_progress *progress, mls_err *err)
{
    capture_run r = {.model = m,
                     .corpus = corpus,
                     .options = options,
                     .pool = pool,
                     .progress = progress};
    uint64_t key = 0;
    bool stale = false;
    mls_status st = mls_file_replaceable(path, err);

    pthread_mutex_init(&r.lock, NULL);
    if (!st)
        st = make_head(&r, err);
    if (!st)
        st = run_key(&r, &key, err);
    if (!st)
        st = take_part(&r, &key, err);
    if (!st && options->keep_finished &&
        mls_capture_is_finished(path, &r.head, options)) {
        release(&r);
        return MLS_OK;
    }
    if (!st)
        st = mls_part_open(&r.part, path, key, &stale, err);
    if (!st && stale)
        mls_progress_note(
            progress,
            "%s.part is of another run (model, text, options or program): "
            "starting from the first layer",
            path);
    if (!st && (st = has_room(&r, path, err)) &&
        mls_part_finished(r.part, &r.head) == 0) {
        mls_part_close(r.part, true);
        r.part = NULL;
    }
    if (!st)
        st = prepare(&r, err);
    if (!st)
        st = do_layers(&r, err);
    if (!st)
        st = assemble(&r, path, err);
    /* What a second try would meet again is not worth keeping. */
    mls_part_close(r.part, !st || st == MLS_E_INPUT || st == MLS_E_NUMERIC);
    release(&r);
    return st;
}
