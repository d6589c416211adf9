/* Memory and bandwidth of GPUs, as their vendors' data sheets print them. */
#ifndef MLS_GPU_H
#define MLS_GPU_H

#include "common/base/status.h"

typedef struct mls_gpu {
    const char *name;  /* "h100", lower case */
    const char *title; /* "NVIDIA H100 SXM5 80 GB" */
    double memory;     /* bytes: the data sheet's GB are counted as 2^30 bytes */
    double bandwidth;  /* bytes per second: its GB/s are 10^9 */
} mls_gpu;

/** Ends with name NULL. */
extern const mls_gpu mls_gpus[];

/** MLS_E_ARG names the nearest, or all of them. */
mls_status mls_gpu_find(const mls_gpu **out, const char *name, mls_err *err);

#endif
