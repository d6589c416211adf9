/* Ranks of every KV head, for methods with one basis per head. */
#ifndef MLS_HEAD_RANKS_H
#define MLS_HEAD_RANKS_H

#include <stddef.h>

#include "bench/frame/lowrank.h"
#include "common/base/shape.h"

typedef struct mls_head_rank {
    size_t both[MLS_HEADS_MAX];          /* (G) where keys and values are alike */
    size_t of[MLS_SIDES][MLS_HEADS_MAX]; /* (MLS_SIDES, G) */
} mls_head_rank;

/**
 * Rows of a key table: `rank`, or `rank_k` and `rank_v`, numbers cached per token and
 * KV head, into the mls_head_rank that a struct begins with.
 * @param why  NULL, or the function that refuses them
 */
#define MLS_HEAD_KEYS(why)                                                             \
    MLS_HEAD_KEY("rank", both, why, .otherwise = mls_head_half, .said = "D/2"),        \
        MLS_HEAD_KEY("rank_k", of[MLS_KEYS], why, .like = "rank"),                     \
        MLS_HEAD_KEY("rank_v", of[MLS_VALUES], why, .like = "rank")
#define MLS_HEAD_KEY(word, member, why, ...)                                           \
    {                                                                                  \
        word, MLS_KEY_HEADS, offsetof(mls_head_rank, member),                          \
            .hint = "N:N..", .help = "numbers per KV head, or one for each",           \
            .limit = mls_head_limit, .what = "the dims of a head", .bound = "D",       \
            .refuse = (why), __VA_ARGS__                                               \
    }
/** Members of a method that begins its parameters with a mls_head_rank. */
#define MLS_HEAD_METHOD                                                                \
    .formula = "G rank_k + G rank_v", .full_rope = true, .identity = true,             \
    .fits_need_data = true, .fit = mls_head_fit
void mls_head_fit(const mls_config *config, size_t elements, struct mls_fits *out);
size_t mls_head_half(const mls_config *config, const void *params);
size_t mls_head_limit(const mls_config *config, const void *params);

/**
 * The shape of a form with a latent of rank->of[side][g] numbers for each side and
 * head, keys first.
 * @param rotated  keys are cached after their rotation
 * @param n_tail   losses that each latent holds
 */
mls_status mls_head_shape(mls_latent_form *f, const mls_config *config, size_t l,
                          const mls_head_rank *rank, bool rotated, size_t n_tail,
                          mls_err *err);

/**
 * Losses that are left when r = 0..n directions are kept: tail[r] = sum of
 * values[r..n-1], none below 0.
 *
 * @param values     (n), largest first
 * @param[out] tail  (n + 1), zero at first
 */
void mls_tail_of(double *tail, const double *values, size_t n);

/**
 * Spend `total` over n latents so that the sum of their losses is least: steps to where
 * the loss falls most per number, which is exact because tails are convex.
 *
 * @param tail       (n, most + 1) of each
 * @param total      at least n min(step, most); what is beyond n most stays unspent
 * @param step       ranks are multiples of it, but for `most` and the rest of the total
 * @param[out] rank  (n), each at least min(step, most)
 */
void mls_split_ranks(size_t *rank, const double *tail, size_t n, size_t most,
                     size_t total, size_t step);

/** "24:40:16:8", or "24" when all are alike. MLS_E_ARG when that is too long. */
mls_status mls_set_head_ranks(mls_setting *s, const char *key, const size_t *rank,
                              size_t n, mls_err *err);

#endif
