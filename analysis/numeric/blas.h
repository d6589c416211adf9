/* Which BLAS kernels run, and how to get the right ones (docs/METHODS.md, "BLAS"). */
#ifndef MLS_BLAS_H
#define MLS_BLAS_H

#include <stdbool.h>

/** Kernel name OpenBLAS chose ("SkylakeX"), or "unknown" for another BLAS. */
const char *mls_blas_core(void);
/** One line: library and version. */
const char *mls_blas_version(void);

/**
 * Widest vectors that CPU and operating system offer, as far as kernels differ by it.
 */
typedef enum mls_cpu_level {
    MLS_CPU_OTHER, /* neither, or not x86: OpenBLAS's choice stands */
    MLS_CPU_AVX2,  /* with FMA */
    MLS_CPU_AVX512 /* F, DQ, BW and VL */
} mls_cpu_level;

/**
 * The core to run instead of `core` on such a CPU; NULL when `core` is as good.
 * OpenBLAS before 0.3.25 falls back to SSE3 kernels on CPUs newer than itself (OpenBLAS
 * #4267).
 */
const char *mls_blas_choose_core(const char *core, mls_cpu_level cpu);

/**
 * The core this CPU should run, when OpenBLAS chose a slower one; NULL when all is
 * well. Set OPENBLAS_CORETYPE to it and start again: the library reads it before
 * main().
 */
const char *mls_blas_better_core(void);

/**
 * True for an OpenBLAS made with OpenMP: it ignores mls_blas_single_thread() in the
 * pool's threads (OpenBLAS #5806), so OMP_NUM_THREADS=1 must be set before it starts.
 */
bool mls_blas_is_openmp(void);

/** BLAS on one thread per call; our pool holds the threads. Call once at start. */
void mls_blas_single_thread(void);

#endif
