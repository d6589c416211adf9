/*
 * Jobs are runs of whole sequences for attention and pieces of at most 256 rows for the
 * MLP. How rows fall to jobs depends on lengths alone, never on the number of threads,
 * which is why the same input gives the same bytes for any number of them. Hidden
 * states lie in a spill (common/system/spill.h) and are left row by row as soon as they
 * are written. Logits are shown in blocks and never kept. The first state that is not
 * finite ends the pass with its layer, sequence and token: found later, a NaN has no
 * place.
 */
#include "analysis/model/forward.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/block.h"
#include "analysis/model/carried.h"
#include "analysis/numeric/kernels.h"
#include "common/base/checked.h"
#include "common/numbers/finite.h"

/*
 * Most rows that one job of the MLP takes: enough for BLAS, and several jobs a
 * sequence.
 */
enum { MLP_ROWS = 256 };

/* Rows of a block when T rows go into as few blocks of at most max as possible. */
static size_t even_rows(size_t T, size_t max)
{
    const size_t n_blocks = (T + max - 1) / max;

    return n_blocks ? (T + n_blocks - 1) / n_blocks : 1;
}

static mls_status states_new(mls_states *s, size_t N, size_t E, size_t width,
                             const size_t *start, uint64_t ram, mls_err *err)
{
    size_t bytes;
    mls_status st;

    *s = (mls_states){
        .N = N, .E = E, .width = width, .start = start, .ram = ram, .per_job = 1};
    for (size_t n = 0; n < N; n++)
        if (start[n + 1] - start[n] > s->T_max)
            s->T_max = start[n + 1] - start[n];
    if (s->T_max > INT_MAX)
        return mls_fail(err, MLS_E_INPUT,
                        "a sequence of %zu tokens is longer than BLAS can count",
                        s->T_max);
    if (!mls_mul_size(&bytes, start[N], E + width) ||
        !mls_mul_size(&bytes, bytes, sizeof *s->h))
        return mls_fail(err, MLS_E_NOMEM,
                        "no memory for the hidden states of %zu tokens x %zu", start[N],
                        E);
    /* Two states, of the original and of a form, are there at a time. */
    st = mls_spill_new(&s->room, bytes, ram / 2, err);
    if (st)
        return mls_fail_in(err, st, "hidden states of %zu tokens x %zu", start[N], E);
    s->h = s->room.data;
    s->carried = width ? s->h + start[N] * E : NULL;
    return MLS_OK;
}

mls_status mls_states_embed(mls_states *s, const mls_model *m, const mls_corpus *corpus,
                            mls_err *err)
{
    const mls_config *c = mls_model_config(m);
    mls_status st = states_new(s, corpus->N, c->E, mls_carried_width(c), corpus->start,
                               mls_model_ram(m), err);

    for (size_t n = 0; !st && n < corpus->N; n++)
        st = mls_model_embed(m, corpus->ids + corpus->start[n],
                             corpus->start[n + 1] - corpus->start[n],
                             s->h + corpus->start[n] * s->E, err);
    if (!st && s->width)
        st = mls_carried_embed(m, corpus, s->h, s->carried, err);
    if (st)
        mls_states_free(s);
    return st;
}

mls_status mls_states_copy(mls_states *to, const mls_states *from, mls_err *err)
{
    const mls_status st =
        states_new(to, from->N, from->E, from->width, from->start, from->ram, err);

    if (st)
        return st;
    to->per_job = from->per_job;
    to->entered = from->entered;
    memcpy(to->h, from->h,
           from->start[from->N] * (from->E + from->width) * sizeof *to->h);
    return MLS_OK;
}

void mls_states_free(mls_states *s)
{
    mls_spill_free(&s->room);
    *s = (mls_states){0};
}

/* One layer over all sequences; what its jobs share. */
typedef struct {
    const mls_config *config;
    const mls_layer *layer;
    mls_states *s;
    mls_attention attention;
    void *arg;
    float *scratch; /* (workers, scratch_size) */
    size_t scratch_size;
    size_t *piece; /* MLP job i does rows piece[i] .. piece[i + 1] - 1 of h */
    size_t n_pieces;
} layer_pass;

/* The MLP of rows (n, E), in pieces; beside: (n, E) of the normed input. */
static void mlp_beside(const layer_pass *p, float *out, const float *beside, size_t n,
                       float *scratch)
{
    const size_t E = p->s->E;

    for (size_t first = 0; first < n; first += MLP_ROWS)
        mls_block_mlp(p->config, p->layer, out + first * E, beside + first * E,
                      n - first < MLP_ROWS ? n - first : MLP_ROWS, scratch);
}

static mls_status refuse_not_finite(const layer_pass *p, size_t first, size_t n,
                                    mls_err *err);

/* What the tokens from `row` on carry. */
static float *carried_by(const mls_states *s, size_t row)
{
    return s->width ? s->carried + row * s->width : NULL;
}

mls_status mls_layer_enter(const mls_config *config, const mls_layer *layer,
                           mls_states *s, mls_err *err)
{
    float *scratch;

    if (!config->net.carry.streams || s->entered > layer->index)
        return MLS_OK;
    scratch = mls_calloc3(config->E, 1, 1, sizeof *scratch);
    if (!scratch)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a state");
    mls_carried_enter(config, layer, s->h, s->carried, s->start[s->N], scratch);
    free(scratch);
    s->entered = layer->index + 1;
    return MLS_OK;
}

static mls_status attend_sequences(void *arg, size_t job, size_t worker, mls_err *err)
{
    const layer_pass *p = arg;
    const mls_states *s = p->s;
    const mls_layer *w = p->layer;
    const mls_net *net = &p->config->net;
    const size_t E = s->E;
    float *x = p->scratch + worker * p->scratch_size; /* (T, E) */
    float *out = x + s->T_max * E;                    /* (T, E) */
    float *made = out + s->T_max * E;                 /* (T, E), parallel blocks only */
    const size_t first = job * s->per_job;

    for (size_t n = first; n < s->N && n < first + s->per_job; n++) {
        const size_t T = s->start[n + 1] - s->start[n];
        float *h = s->h + s->start[n] * E; /* (T, E) */

        mls_block_norm(p->config, x, h, w->attn_norm, w->attn_norm_bias, T);
        const mls_status st =
            p->attention(p->arg, n, worker, x, T, out, carried_by(s, s->start[n]), err);
        if (st)
            return st;
        if (net->place != MLS_NORM_BEFORE)
            mls_block_norm(p->config, out, out, w->attn_post_norm, NULL, T);
        if (net->parallel) {
            if (!net->one_norm)
                mls_block_norm(p->config, x, h, w->mlp_norm, w->mlp_norm_bias, T);
            mlp_beside(p, made, x, T, made + s->T_max * E);
            mls_add(h, made, T * E);
        }
        mls_add(h, out, T * E);
        mls_carried_beside(p->config, w, h, x, T, made);
        if (net->parallel && !mls_all_finite(h, T * E))
            return refuse_not_finite(p, s->start[n], T, err);
        mls_spill_leave(&s->room, h, T * E * sizeof *h);
    }
    return MLS_OK;
}

static mls_status refuse_not_finite(const layer_pass *p, size_t first, size_t n,
                                    mls_err *err)
{
    const mls_states *s = p->s;
    const size_t E = s->E;
    size_t row = first, sequence = 0;

    while (row + 1 < first + n && mls_all_finite(s->h + row * E, E))
        row++;
    while (s->start[sequence + 1] <= row)
        sequence++;
    return mls_fail(
        err, MLS_E_NUMERIC,
        "layer %zu, sequence %zu, token %zu: the hidden state is not finite",
        p->layer->index, sequence, row - s->start[sequence]);
}

static mls_status mlp_piece(void *arg, size_t job, size_t worker, mls_err *err)
{
    const layer_pass *p = arg;
    const mls_layer *w = p->layer;
    const size_t E = p->config->E;
    const size_t first = p->piece[job], n = p->piece[job + 1] - first;
    float *h = p->s->h + first * E;                   /* (n, E) */
    float *x = p->scratch + worker * p->scratch_size; /* (n, E) */

    mls_block_norm(p->config, x, h, w->mlp_norm, w->mlp_norm_bias, n);
    mls_block_mlp(p->config, w, x, x, n, x + n * E);
    if (w->experts_norm)
        mls_block_add_experts(p->config, w, x, h, n, x + n * E);
    if (p->config->net.place != MLS_NORM_BEFORE || w->mlp_post_norm)
        mls_block_norm(p->config, x, x, w->mlp_post_norm, NULL, n);
    mls_add(h, x, n * E);
    mls_carried_leave(p->config, w, h, carried_by(p->s, first), n, x);
    if (!mls_all_finite(h, n * E))
        return refuse_not_finite(p, first, n, err);
    mls_spill_leave(&p->s->room, h, n * E * sizeof *h);
    return MLS_OK;
}

/* Pieces never cross a sequence, so that a sequence's bytes depend on itself alone. */
static mls_status cut_pieces(layer_pass *p, mls_err *err)
{
    const mls_states *s = p->s;
    size_t n = 0;

    for (size_t i = 0; i < s->N; i++)
        n += (s->start[i + 1] - s->start[i] + MLP_ROWS - 1) / MLP_ROWS;
    p->piece = mls_calloc3(n + 1, 1, 1, sizeof *p->piece);
    if (!p->piece)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu pieces of text", n);
    for (size_t i = 0; i < s->N; i++) {
        const size_t rows = even_rows(s->start[i + 1] - s->start[i], MLP_ROWS);

        for (size_t row = s->start[i]; row < s->start[i + 1]; row += rows)
            p->piece[p->n_pieces++] = row;
    }
    p->piece[p->n_pieces] = s->start[s->N];
    return MLS_OK;
}

mls_status mls_layer_forward(const mls_config *config, const mls_layer *layer,
                             mls_states *s, mls_attention attention, void *arg,
                             mls_pool *pool, mls_err *err)
{
    const size_t per_job = s->per_job ? s->per_job : 1;
    layer_pass p = {
        .config = config, .layer = layer, .s = s, .attention = attention, .arg = arg};
    const bool parallel = config->net.parallel, single = config->net.single;
    const bool is_mlp = config->layer[layer->index].kind == MLS_LAYER_NONE;
    const size_t for_carried = MLP_ROWS * mls_carried_scratch(config);
    size_t for_mlp = MLP_ROWS * config->E + mls_block_scratch(config, MLP_ROWS);
    size_t for_attention;
    mls_status st;

    if (for_carried > for_mlp)
        for_mlp = for_carried;
    if (!mls_mul_size(&for_attention, s->T_max,
                      (parallel ? 3 : 2) * config->E +
                          (config->net.laurel ? config->E + config->net.laurel : 0)))
        return mls_fail(err, MLS_E_NOMEM, "a sequence of %zu tokens is too long",
                        s->T_max);
    p.scratch_size = parallel                  ? for_attention + for_mlp
                     : for_attention > for_mlp ? for_attention
                                               : for_mlp;
    p.scratch = mls_calloc3(mls_pool_threads(pool), p.scratch_size, 1, sizeof(float));
    if (!p.scratch) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for sequences of %zu tokens",
                      s->T_max);
        goto done;
    }
    if (!(st = mls_layer_enter(config, layer, s, err)))
        st = cut_pieces(&p, err);
    if (!st && !(single && is_mlp))
        st = mls_pool_run(pool, (s->N + per_job - 1) / per_job, attend_sequences, &p,
                          err);
    if (!st && !parallel && !(single && !is_mlp))
        st = mls_pool_run(pool, p.n_pieces, mlp_piece, &p, err);

done:
    mls_free_all(p.piece, p.scratch);
    return st;
}

/* The output head over all sequences; what its jobs share. */
typedef struct {
    const mls_head_variants *v;
    size_t rows, kept; /* kept: 1, or 2 for variant 0 and the one that passes */
    float *x;          /* (workers, rows, E) */
    float *logits;     /* (workers, kept, rows, V) */
    mls_variants_seen see;
    void *arg;
} head_pass;

/* Logits of one block, of every variant in turn. */
static mls_status show_block(const head_pass *p, mls_logits_view *view, mls_err *err)
{
    const mls_head_variants *v = p->v;
    const size_t E = v->config->E, V = v->config->V;
    const size_t at = v->s[0]->start[view->sequence] + view->first;
    float *x = p->x + view->worker * p->rows * E;
    float *reference = p->logits + view->worker * p->kept * p->rows * V;
    mls_status st = MLS_OK;

    view->reference = reference;
    for (size_t i = 0; !st && i < v->n; i++) {
        float *logits = i == 0 ? reference : reference + p->rows * V;

        mls_head_logits(v->config, &v->head[i], logits, x, v->s[i]->h + at * E,
                        view->n);
        view->variant = i;
        view->logits = logits;
        st = p->see(p->arg, view, err);
    }
    return st;
}

static mls_status show_sequence(void *arg, size_t job, size_t worker, mls_err *err)
{
    const head_pass *p = arg;
    const size_t *start = p->v->s[0]->start;
    const size_t from = p->v->from ? p->v->from[job] : 0;
    const size_t to = p->v->to ? p->v->to[job] : start[job + 1] - start[job];
    const size_t rows = p->rows;
    mls_status st = MLS_OK;

    for (size_t first = from; !st && first < to; first += rows) {
        mls_logits_view view = {.sequence = job,
                                .worker = worker,
                                .first = first,
                                .n = to - first < rows ? to - first : rows};

        st = show_block(p, &view, err);
    }
    for (size_t i = 0; i < p->v->n; i++) {
        const mls_states *s = p->v->s[i];

        mls_spill_leave(&s->room, s->h + start[job] * s->E,
                        (start[job + 1] - start[job]) * s->E * sizeof *s->h);
    }
    return st;
}

mls_status mls_head_forward_variants(const mls_head_variants *v, mls_variants_seen see,
                                     void *arg, mls_pool *pool, mls_err *err)
{
    const size_t threads = mls_pool_threads(pool), V = v->config->V;
    head_pass p = {.v = v, .rows = v->rows, .see = see, .arg = arg};

    assert(v->n > 0 && v->rows > 0);
    p.kept = v->n > 1 ? 2 : 1;
    mls_status st;

    p.x = mls_calloc3(threads, p.rows, v->config->E, sizeof *p.x);
    p.logits = mls_calloc3(p.kept * threads, p.rows, V, sizeof *p.logits);
    st = p.x && p.logits
             ? mls_pool_run(pool, v->s[0]->N, show_sequence, &p, err)
             : mls_fail(err, MLS_E_NOMEM, "no memory for %zu x %zu logits", p.rows, V);
    mls_free_all(p.logits, p.x);
    return st;
}

double mls_nll(const float *logits, size_t V, int32_t target)
{
    return mls_logsumexp(logits, V) - (double)logits[target];
}
