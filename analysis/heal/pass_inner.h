/* The memory of a pass through a latent form, which both directions use. */
#ifndef MLS_HEAL_PASS_INNER_H
#define MLS_HEAL_PASS_INNER_H

#include <stdbool.h>

#include "analysis/heal/pass.h"
#include "analysis/heal/products.h"

/* Where one latent, rope key or KV head stands in the memory of a window. */
typedef struct {
    mls_real *raw, *c;       /* (T, r) before its norm, and cached */
    mls_real *key_raw, *key; /* (T, D) of a latent of rotated keys */
    mls_real *d;             /* (T, r) gradient by c */
} mls_latent_place;

typedef struct {
    mls_real *c, *d; /* (T, n) */
    float *cs;       /* (T_max, n/2, 2) */
} mls_rope_place;

typedef struct {
    size_t dk, dv;
    mls_real *k_raw; /* (T, D) before QK-norm, when rotated after reading */
    mls_real *k, *v; /* (T, dk), (T, dv) */
} mls_head_place;

struct mls_heal_pass {
    const mls_latent_form *f;
    const mls_parameters *p;
    bool bf16; /* products of whole windows are */
    size_t T_max, T;
    size_t k_dims, v_dims, q_dims, out_dims;
    mls_latent_place *latent;
    mls_rope_place *rope_key;
    mls_head_place *head;
    float *cs_full;          /* (T_max, D/2, 2), NULL when nothing of full D turns */
    mls_real *keys, *values; /* of all KV heads */
    mls_real *y_raw, *y;     /* (T, q_rank) */
    mls_real *q_raw, *q;     /* (T, q_dims); q_raw only with QK-norm */
    mls_real *prob;          /* (H, T, T) */
    mls_real *o;             /* (T, out_dims) */
    mls_real *d_o, *d_q, *d_y, *d_k, *d_v, *d_s, *d_row;
    mls_real *memory;
};

enum { MLS_HEAL_BLOCK = 64 }; /* query rows of a block of scores */

/** prob (T, T) and o (T, dv) of one head; rows beyond the causal triangle are 0. */
void mls_head_attend(const mls_heal_pass *s, const mls_head_place *a, const mls_real *q,
                     mls_real *prob, mls_real *o);
/** d_q is written, s->d_k and s->d_v (T, dk), (T, dv) are added to. */
void mls_head_attend_back(const mls_heal_pass *s, const mls_head_place *a,
                          const mls_real *q, const mls_real *prob, const mls_real *d_o,
                          mls_real *d_q);

/** mls_real_linear() and its way back, as the pass multiplies. */
void mls_pass_linear(const mls_heal_pass *s, mls_real *y, size_t ld_y,
                     const mls_real *x, size_t ld_x, const mls_real *w,
                     const mls_real *b, size_t T, size_t out, size_t in);
void mls_pass_linear_back(const mls_heal_pass *s, const mls_real *dy, size_t ld_y,
                          const mls_real *x, size_t ld_x, const mls_real *w, size_t T,
                          size_t out, size_t in, mls_real *dw, mls_real *db,
                          mls_real *dx);

/** Numbers of an array that may be absent. */
static inline const mls_real *mls_at(const mls_real *theta, size_t first)
{
    return first == MLS_NO_ARRAY ? NULL : theta + first;
}

#endif
