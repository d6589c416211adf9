/* What a setting of X-EcoMLA says; its export writes it into the project's files. */
#ifndef MLS_X_ECOMLA_H
#define MLS_X_ECOMLA_H

#include <stddef.h>

#include "bench/setting/setting.h"

enum { MLS_ENDS_FIXED, MLS_ENDS_DYNAMIC };

typedef struct mls_x_ecomla {
    size_t rest, init, rule, ends;
    char rope[MLS_SETTING_WORD]; /* rule of init=paired */
    size_t rank;                 /* r_kv, of the layer */
    size_t rope_dim;             /* d_r, shared by all heads */
    size_t nope_dim;             /* rows of a key that are read from the latent */
    size_t q_rank;               /* 0: full */
    double energy, q_energy; /* share that a layer's rank must hold; 0: fixed rank */
} mls_x_ecomla;

#endif
