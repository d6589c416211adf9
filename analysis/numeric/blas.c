/*
 * OpenBLAS picks its kernels by the name of the CPU and takes an old set for one that
 * it does not know: so what was picked is held against what the CPU can do. It reads
 * OPENBLAS_CORETYPE while it is loaded, hence starting again is the program's business.
 * Its functions are weak symbols, so that a program with another BLAS links, too.
 */
#include "analysis/numeric/blas.h"

#include <cblas.h>
#include <stddef.h>
#include <strings.h>

#include "analysis/numeric/packed.h"

/*
 * Another BLAS behind the same cblas interface has none of these: then they are NULL.
 */
#pragma weak openblas_get_corename
#pragma weak openblas_get_config
#pragma weak openblas_get_parallel
#pragma weak openblas_set_num_threads

#ifdef MLS_HAVE_DNNL
#include <dnnl.h>
#include <pthread.h>
#include <stdio.h>
#endif

static const char unknown[] = "unknown";

static const char *openblas_core(void)
{
    return openblas_get_corename ? openblas_get_corename() : unknown;
}

#ifdef MLS_HAVE_DNNL
static char with_dnnl[96];

static void name_both(void)
{
    const dnnl_version_t *v = dnnl_version();

    snprintf(with_dnnl, sizeof with_dnnl, "oneDNN %d.%d.%d and %.48s", v->major,
             v->minor, v->patch, openblas_core());
}

const char *mls_blas_core(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, name_both);
    return mls_f32_available() ? with_dnnl : openblas_core();
}
#else
const char *mls_blas_core(void)
{
    return openblas_core();
}
#endif

const char *mls_blas_version(void)
{
    return openblas_get_config ? openblas_get_config() : "a BLAS other than OpenBLAS";
}

void mls_blas_single_thread(void)
{
    if (openblas_set_num_threads)
        openblas_set_num_threads(1);
}

bool mls_blas_is_openmp(void)
{
    return openblas_get_parallel && openblas_get_parallel() == OPENBLAS_OPENMP;
}

static bool is_one_of(const char *core, const char *const *names)
{
    for (size_t i = 0; names[i]; i++)
        if (strcasecmp(core, names[i]) == 0)
            return true;
    return false;
}

const char *mls_blas_choose_core(const char *core, mls_cpu_level cpu)
{
    static const char *const avx512[] = {"SkylakeX", "Cooperlake", "SapphireRapids",
                                         NULL};
    static const char *const avx2[] = {"Haswell", "Zen", "Excavator", NULL};

    if (cpu == MLS_CPU_OTHER || is_one_of(core, avx512) ||
        strcasecmp(core, unknown) == 0)
        return NULL;
    if (cpu == MLS_CPU_AVX512)
        return "SkylakeX";
    return is_one_of(core, avx2) ? NULL : "Haswell";
}

static mls_cpu_level this_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return MLS_CPU_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return MLS_CPU_AVX2;
#endif
    return MLS_CPU_OTHER;
}

const char *mls_blas_better_core(void)
{
    return mls_blas_choose_core(openblas_core(), this_cpu());
}
