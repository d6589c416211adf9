/* Dated tables of kernels and engines (datasets/serving), each row with its source. */
#ifndef MLS_SERVING_TABLE_H
#define MLS_SERVING_TABLE_H

#include "analysis/latent/size.h"
#include "common/base/buf.h"
#include "common/base/status.h"

/** A kernel and a shape that it takes; one row each. */
typedef struct mls_kernel {
    char name[24], engine[48], release[32], heads[16], page[8], dtypes[16];
    char checked[12], source[160], note[64];
    size_t rank, rope; /* 0: any */
} mls_kernel;

typedef struct mls_kernels {
    size_t n;
    mls_kernel *item; /* (n) */
} mls_kernels;

/** @param[out] out  release with mls_kernels_free(); MLS_E_INPUT names the row */
mls_status mls_kernels_read(mls_kernels *out, const char *path, mls_err *err);
void mls_kernels_free(mls_kernels *k); /* {0} is accepted */
/** MLS_E_ARG names those that there are. */
mls_status mls_kernels_find(const mls_kernels *k, const char *name, mls_err *err);
/** Does the kernel of this name take what the layer caches? */
bool mls_kernels_take(const mls_kernels *k, const char *name,
                      const mls_cache_layer *layer);

/**
 * "transformers 5.24, triton (vLLM after PR 41119); not flashmla, cutlass": who takes a
 * latent and a rope key of these sizes, and in which release.
 */
void mls_kernels_say(mls_buf *b, const mls_kernels *k, size_t rank, size_t rope);

/** How an engine lays out a cache of one type. */
typedef struct mls_engine {
    char name[16], cache[16], checked[12], source[256];
    double latent_bits, rope_bits, head_bits; /* of a number */
    double scale_bytes, scale_group;          /* for so many numbers of a latent */
    double extra_bytes;                       /* of a latent's row */
    double page, page_align; /* tokens; bytes that a page's are rounded up to */
    bool windows_full;       /* a sliding window is given whole contexts */
    double reserve;          /* share of memory for weights and cache, or, */
    bool reserve_of_free;    /* of what weights leave, for the cache */
} mls_engine;

typedef struct mls_engines {
    size_t n;
    mls_engine *item; /* (n) */
} mls_engines;

mls_status mls_engines_read(mls_engines *out, const char *path, mls_err *err);
void mls_engines_free(mls_engines *e); /* {0} is accepted */
/** @param cache  "auto", "fp8" ...; MLS_E_ARG names what there is */
mls_status mls_engines_find(const mls_engine **out, const mls_engines *e,
                            const char *name, const char *cache, mls_err *err);

#endif
