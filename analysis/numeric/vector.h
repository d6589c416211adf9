/* Loops that the compiler should make wide, with the same bytes on every CPU. */
#ifndef MLS_VECTOR_H
#define MLS_VECTOR_H

/*
 * MLS_WIDE in front of a function compiles it once per vector width and picks at load
 * time. Without fused products and without reordered sums (neither is allowed by our
 * flags) every width computes the same bits: only the speed differs.
 */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                 \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define MLS_WIDE                                                                       \
    __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3")))
#else
#define MLS_WIDE
#endif

#endif
