/*
 * Forward pass, layer-major: each layer's weights are read once, all sequences pass
 * through it, then the next. What replaces attention (a latent form) and what watches
 * it (statistics) come in through one function.
 */
#ifndef MLS_FORWARD_H
#define MLS_FORWARD_H

#include <stddef.h>
#include <stdint.h>

#include "analysis/model/model.h"
#include "common/base/status.h"
#include "common/system/pool.h"
#include "common/system/progress.h"
#include "common/system/spill.h"
#include "datasets/text/corpus.h"

/** Hidden states of all sequences of a corpus. */
typedef struct mls_states {
    size_t N, E;
    const size_t *start; /* (N + 1), borrowed from the corpus */
    float *h;            /* (start[N], E), in room */
    float *carried;      /* (start[N], width) behind it: analysis/model/carried.h */
    size_t width;        /* 0 for most models */
    size_t entered;      /* layers whose first step mls_layer_enter() did */
    mls_spill room;
    uint64_t ram;   /* mls_model_ram() */
    size_t T_max;   /* longest sequence */
    size_t per_job; /* consecutive sequences done by one job, in order; 1 at first,
                            the caller may raise it (sums in a fixed order) */
} mls_states;

/**
 * The embeddings of all tokens of a corpus, which is borrowed: it must outlive *s.
 *
 * @param[out] s  release with mls_states_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (an id that the model has not, a sequence beyond INT_MAX
 *         tokens, the file), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_states_embed(mls_states *s, const mls_model *m, const mls_corpus *corpus,
                            mls_err *err);
/** A copy of its own, for a second variant of the model; the corpus stays borrowed. */
mls_status mls_states_copy(mls_states *to, const mls_states *from, mls_err *err);
void mls_states_free(mls_states *s); /* {0} is accepted */

/**
 * The layer's step before its first norm (AltUp), so that h is what it sees; nothing
 * for most models. mls_layer_forward() does it where nobody asked for it before.
 */
mls_status mls_layer_enter(const mls_config *config, const mls_layer *layer,
                           mls_states *s, mls_err *err);

/**
 * Attention of one sequence: out (T, E) from the normed input x (T, E); carried (T,
 * width) of its tokens, or NULL. Called from
 * pool threads, several sequences at once; `worker` selects scratch memory.
 */
typedef mls_status (*mls_attention)(void *arg, size_t sequence, size_t worker,
                                    const float *x, size_t T, float *out,
                                    float *carried, mls_err *err);

/**
 * h += attention(norm(h)); h += mlp(norm(h)) for every sequence. Attention: job j does
 * sequences j * per_job .. (j + 1) * per_job - 1, in order, on one worker. The MLP has
 * jobs of its own, pieces of one sequence each. Several variants of the states may pass
 * through one layer, one call each.
 *
 * @return MLS_OK, MLS_E_NOMEM, the error of an attention, or MLS_E_NUMERIC (NaN or
 *         infinity: layer, sequence and token are named)
 */
mls_status mls_layer_forward(const mls_config *config, const mls_layer *layer,
                             mls_states *s, mls_attention attention, void *arg,
                             mls_pool *pool, mls_err *err);

/** What the plain attention saw; rows are tokens; borrowed during the call. */
typedef struct mls_attention_view {
    size_t layer, sequence, worker, T;
    const float *x;             /* (T, E) normed input */
    const float *q, *k, *v;     /* (T, H D), (T, G D), (T, G D): with bias and QK-norm,
                                    before RoPE */
    const float *q_rot, *k_rot; /* the same after RoPE */
} mls_attention_view;

/** Cosines and sines of heads whose K dims turn as one of the two ropes says. */
typedef struct mls_turn {
    size_t K;   /* 0: not made yet */
    bool local; /* rope_local */
    float *cs;  /* (T_max, K / 2, 2) */
} mls_turn;

enum { MLS_TURNS = 4 };

/**
 * The model's own attention. mls_own_attention_new() takes all memory once; before each
 * layer set `layer` (and, when somebody watches, `see`), then pass
 * mls_own_attention_run.
 */
typedef struct mls_own_attention {
    const mls_config *config;
    const mls_layer *layer;
    mls_turn turn[MLS_TURNS]; /* each of the model's */
    size_t T_max;
    void (*see)(void *arg, const mls_attention_view *view); /* NULL: nobody watches */
    void *see_arg;
    float **scratch; /* per worker, from mls_own_attention_new() */
    size_t n_workers;
} mls_own_attention;

/**
 * Memory for sequences of at most T_max tokens, one at a time on each of n_workers pool
 * threads, and the RoPE table. config is borrowed.
 *
 * @param[out] p  release with mls_own_attention_free(); {0} on error
 * @return MLS_OK or MLS_E_NOMEM
 */
mls_status mls_own_attention_new(mls_own_attention *p, const mls_config *config,
                                 size_t T_max, size_t n_workers, mls_err *err);
void mls_own_attention_free(mls_own_attention *p); /* {0} is accepted */
/** An mls_attention; arg is the mls_own_attention. */
mls_status mls_own_attention_run(void *arg, size_t sequence, size_t worker,
                                 const float *x, size_t T, float *out, float *carried,
                                 mls_err *err);

/** Variants of the states of one corpus, whose logits are to be seen side by side. */
typedef struct mls_head_variants {
    const mls_config *config;
    size_t n;                   /* at least 1; the first is what others stand beside */
    const mls_states *const *s; /* (n) */
    const mls_head *head;       /* (n), borrowed; they may be the same */
    const size_t *from, *to; /* (N) positions from[i] .. to[i] - 1 of sequence i; NULL:
                                all of them */
    size_t rows;             /* most positions of a block, at least 1 */
} mls_head_variants;

/** Logits of positions first .. first+n-1 of a sequence; borrowed during the call. */
typedef struct mls_logits_view {
    size_t sequence, worker, first, n;
    size_t variant;         /* 0 comes before the others of its block */
    const float *logits;    /* (n, V) of this variant */
    const float *reference; /* (n, V) of variant 0 */
} mls_logits_view;

/** What it returns ends the pass when it is not MLS_OK. */
typedef mls_status (*mls_variants_seen)(void *arg, const mls_logits_view *view,
                                        mls_err *err);
/**
 * The same for several variants. Beside those of variant 0, which stay while the others
 * pass, one variant's logits are in memory at a time.
 *
 * @return MLS_OK, what `see` returned, or MLS_E_NOMEM
 */
mls_status mls_head_forward_variants(const mls_head_variants *v, mls_variants_seen see,
                                     void *arg, mls_pool *pool, mls_err *err);

/** Tells that a sequence is done; what it returns ends the pass when not MLS_OK. */
typedef mls_status (*mls_sequence_done)(void *arg, size_t worker, mls_err *err);
/**
 * Mean negative log-likelihood (nat) of each sequence: of its ids after the first
 * lead + 1 from those before. The vocabulary passes in parts that stay in the cache
 * with their logits; sums over it run in double.
 *
 * @param ids       (s->start[N])
 * @param[out] nll  (N)
 * @param done      NULL: nobody counts
 * @return MLS_OK, what `done` returned, MLS_E_INPUT or MLS_E_IO (reading the head), or
 *         MLS_E_NOMEM
 */
mls_status mls_head_nll(const mls_model *m, const mls_states *s, const int32_t *ids,
                        size_t lead, double *nll, mls_sequence_done done, void *arg,
                        mls_pool *pool, mls_err *err);

/** Negative log-likelihood (nat) of logits (V) at a target id, in double. */
double mls_nll(const float *logits, size_t V, int32_t target);

#endif
