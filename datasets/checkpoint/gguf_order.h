/* Tensors whose numbers lie in a GGUF file in another order than Hugging Face's. */
#ifndef MLS_GGUF_ORDER_H
#define MLS_GGUF_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datasets/files/gguf.h"

typedef enum mls_gguf_order {
    MLS_GGUF_SAME,
    MLS_GGUF_PAIRS,   /* rows 2c, 2c + 1 of a head are the dims c, c + D/2 */
    MLS_GGUF_LATENT,  /* kv_b: all k_b, (H, rank, N), and apart all v_b, (H, V, rank) */
    MLS_GGUF_GROUPS,  /* rows of all q, all k, all v and, apart, all z */
    MLS_GGUF_TILES,   /* value head j of key head g is head j * groups + g */
    MLS_GGUF_COLUMNS, /* so are columns */
} mls_gguf_order;

/** Where the numbers of a tensor of Hugging Face's are. */
typedef struct mls_gguf_place {
    mls_gguf_order order;
    const mls_gguf *file, *file2;
    const mls_tensor_info *stored, *stored2; /* the second one: NULL, or see above */
    uint64_t from; /* first element in `stored` that belongs to the tensor */
    uint64_t cols; /* of the tensor; 1: a vector */
    uint64_t D;    /* PAIRS: rows of a head; TILES: of a value head; COLUMNS: columns */
    uint64_t head; /* TILES: rows before the first value head */
    uint64_t groups, heads; /* key heads; value heads. LATENT: heads */
    uint64_t K, V;          /* dims of a key, without RoPE, and of a value */
    bool decay;             /* -exp(x) is stored for x */
} mls_gguf_place;

/** Whether the place needs more than reading n elements from `from` on. */
bool mls_gguf_place_is_plain(const mls_gguf_place *p);

/** Elements first .. first + n - 1 of the tensor, within its size. */
mls_status mls_gguf_place_read(const mls_gguf_place *p, uint64_t first, size_t n,
                               float *out, mls_err *err);

#endif
