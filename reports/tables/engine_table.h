/* The table of `mlascope size --engine`: what each GPU is given, does it fit. */
#ifndef MLS_ENGINE_TABLE_H
#define MLS_ENGINE_TABLE_H

#include "analysis/serving/engine.h"
#include "bench/setting/setting.h"
#include "reports/page/table.h"

typedef struct mls_engine_request {
    const mls_engine *engine;
    mls_engine_use use;
    const mls_setting *setting; /* (n) */
    size_t n;
    bool skip_refused;   /* settings that the model cannot take become notes */
    double weight_bytes; /* of the model as it is; only read with a memory */
    double memory;       /* of a GPU, bytes; 0: not asked */
} mls_engine_request;

/**
 * @param[out] out  released by the caller with mls_table_free()
 * @return MLS_OK, MLS_E_ARG or MLS_E_INPUT (a setting, named), MLS_E_NOMEM
 */
mls_status mls_engine_table(mls_table **out, const mls_config *config,
                            const mls_engine_request *r, mls_err *err);

#endif
