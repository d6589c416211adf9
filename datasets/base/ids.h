/* A growing list of token ids. */
#ifndef MLS_IDS_H
#define MLS_IDS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

/** Starts as {0}; release with mls_ids_free(). */
typedef struct mls_ids {
    int32_t *id;
    size_t n, cap;
} mls_ids;

/** Append one id. @return MLS_OK or MLS_E_NOMEM */
mls_status mls_ids_add(mls_ids *ids, int32_t id, mls_err *err);

/** Append n ids. @return MLS_OK or MLS_E_NOMEM */
mls_status mls_ids_join(mls_ids *ids, const int32_t *more, size_t n, mls_err *err);
void mls_ids_free(mls_ids *ids); /* {0} is accepted */

#endif
