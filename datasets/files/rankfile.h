/* Rank files made elsewhere: which chunks MHA2MLA or EliteKV would keep. */
#ifndef MLS_RANKFILE_H
#define MLS_RANKFILE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

typedef enum mls_rankfile_kind {
    MLS_RANKFILE_RANKS,  /* MHA2MLA: uint8 or int64 [L, G, D], rank of a dim's chunk */
    MLS_RANKFILE_SCORES, /* MHA2MLA v1: float32 [L, G, C], larger is kept first; also a
                            dict with "qk_tensor" */
    MLS_RANKFILE_ORDERS, /* EliteKV: {"note", "rank": {layer: int64 [H, C]}}, chunk ids,
                            most important first */
} mls_rankfile_kind;

typedef struct mls_rankfile {
    mls_rankfile_kind kind;
    size_t L, heads, C; /* heads: KV heads, or query heads in EliteKV's files */
    uint16_t *order;    /* (L, heads, C), most important first */
    double *score;      /* (L, heads, C) of SCORES, else NULL */
} mls_rankfile;

/**
 * Read a .pth of torch.save or a .pkl of pickle.dump. Nothing in it is run
 * (datasets/files/pickle.h).
 *
 * @param[out] f  release with mls_rankfile_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (not such a file; a row that is no permutation, halves of
 *         a head that differ, NaN: layer and head are named), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_rankfile_read(mls_rankfile *f, const char *path, mls_err *err);
void mls_rankfile_free(mls_rankfile *f); /* {0} is accepted */

/**
 * Write such a file, the same bytes for the same ranks: .pth archives of stored members
 * that torch.load(weights_only=True) reads, .pkl for pickle.load.
 *
 * RANKS: uint8 [L, heads, 2 C]; SCORES: float32 [L, heads, C], the scores where f has
 * them, else C - 1 - rank; ORDERS: int64 [heads, C] per layer.
 *
 * @param note  goes into ORDERS files; may be NULL
 * @return MLS_OK, MLS_E_INPUT (ranks beyond a byte), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_rankfile_write(const mls_rankfile *f, const char *note, const char *path,
                              mls_err *err);

/** "MHA2MLA ranks", "MHA2MLA v1 scores", "EliteKV orders". */
const char *mls_rankfile_kind_name(mls_rankfile_kind kind);

#endif
