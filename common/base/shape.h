/*
 * Letters for sizes, the same in every file:
 *
 *   L layers, E hidden size, F intermediate size, V vocabulary, T tokens
 *   H query heads, G KV heads, D head dimension, C = D/2 chunks
 *   kv head of query head h: g(h) = h / (H/G)
 *
 * A chunk is one RoPE frequency, the pair of dims (c, c + D/2): everything is
 * half-split after loading. RoPE budgets are counted in chunks per KV head; chunk 0 is
 * the fastest. Arrays are row-major with the last index contiguous; x[t, :] is a row.
 * Weights are (out, in), so that y = W x.
 */
#ifndef MLS_SHAPE_H
#define MLS_SHAPE_H

/** Limits that a config must keep; larger values are refused when it is read. */
enum {
    MLS_LAYERS_MAX = 512,
    MLS_HEADS_MAX = 1024,
    MLS_DIM_MAX = 1024,      /* head dimension */
    MLS_WIDTH_MAX = 1 << 18, /* hidden and intermediate size */
    MLS_VOCAB_MAX = 1 << 24,
    MLS_EXPERTS_MAX = 1024,
};

#endif
