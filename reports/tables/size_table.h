/* The table of `mlascope size`: settings, and sweeps over how they are used. */
#ifndef MLS_SIZE_TABLE_H
#define MLS_SIZE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/setting/setting.h"
#include "common/base/status.h"
#include "datasets/checkpoint/config.h"
#include "reports/page/table.h"

/** A GPU as far as a cache is concerned. */
typedef struct mls_size_device {
    const char *name; /* "h100", "24 GiB" */
    double memory;    /* bytes; 0: not asked */
    double bandwidth; /* bytes per second; 0: not asked */
} mls_size_device;

/** Values of one option; borrowed. */
typedef struct mls_sizes {
    const size_t *item;
    size_t n; /* at least 1 */
} mls_sizes;

typedef struct mls_size_sweep {
    const mls_setting *setting;
    size_t n_settings;
    bool skip_refused; /* settings that the model cannot take become notes */
    mls_sizes tokens, batch, block, tensor_parallel, dtype_bits;
    const mls_size_device *device; /* may be NULL: memory and time are not asked */
    size_t n_devices;
    double weight_bytes; /* of the whole model; only read with devices */
    double
        active_bytes; /* of these, what a decode step reads; NaN: unknown (experts) */
    bool formula;     /* show each formula with its numbers */
} mls_size_sweep;

/**
 * One row per setting, context, batch, page, number of GPUs, width and device, the
 * setting slowest. Kept fractions are against the model's own cache at the same context
 * and width.
 *
 * @param people   columns and units for reading; false: every column, in bytes
 * @param[out] out released by the caller with mls_table_free()
 * @return MLS_OK, MLS_E_ARG or MLS_E_INPUT (a setting, named), MLS_E_NOMEM
 */
mls_status mls_size_table(mls_table **out, const mls_config *config,
                          const mls_size_sweep *sweep, bool people, mls_err *err);

/** "GQA, 8 KV heads of 64 for 32 query heads, 16 layers"; returns out. */
const char *mls_size_describe(const mls_config *config, char *out, size_t size);

#endif
