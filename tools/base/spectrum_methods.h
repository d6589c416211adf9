/*
 * What `spectrum --setting` shows: the rank a method's own rule gives, and its error.
 */
#ifndef MLS_SPECTRUM_METHODS_H
#define MLS_SPECTRUM_METHODS_H

#include "analysis/capture/capture.h"
#include "analysis/model/model.h"
#include "common/base/status.h"
#include "common/system/pool.h"
#include "reports/page/table.h"
#include "tools/base/options.h"

/**
 * One row per layer and setting: the numbers its latent form caches after the method's
 * own rank rule, and the errors predicted from the captured second moments.
 *
 * @param settings  with lists and ranges
 * @param t         a new table; columns and rows are added
 */
mls_status mls_spectrum_methods(mls_table *t, const mls_model *model,
                                mls_capture *capture, const mls_texts *settings,
                                mls_pool *pool, mls_err *err);

#endif
