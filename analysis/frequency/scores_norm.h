/* MHA2MLA's frequency score: how long a chunk of q and of k is on average. */
#ifndef MLS_SCORES_NORM_H
#define MLS_SCORES_NORM_H

#include <stddef.h>

typedef enum mls_norm_form {
    MLS_NORM_PRODUCT, /* current code and every shipped *_rank.pth */
    MLS_NORM_SUM,     /* first release (94467d1), qk_tensor_*.pth */
} mls_norm_form;

/**
 * Score of every chunk per KV head, from mean 2-norms over tokens a_q, a_k:
 *
 *   product  s[g,c] = sum over h of group g of a_q[h,c] * a_k[g,c]
 *   sum      s[g,c] = sum over h of group g of (a_q[h,c] + a_k[g,c])
 *
 * A product of means, not a mean of products; summed over the query heads of a group
 * (the paper's text says average: the same ranking). The norm of a pair does not change
 * under RoPE. MHA2MLA, src/mha2mla/2_norm.py at 7a56785.
 *
 * @param q_norm      (H, C), unit of q
 * @param k_norm      (G, C), unit of k
 * @param[out] score  (G, C), larger is kept first
 */
void mls_scores_norm(double *score, const double *q_norm, const double *k_norm,
                     size_t H, size_t G, size_t C, mls_norm_form form);

#endif
