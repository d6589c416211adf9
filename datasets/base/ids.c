/*
 * Room doubles, with its size checked: the number of tokens follows from a stranger's
 * text.
 */
#include "datasets/base/ids.h"

#include <stdlib.h>

#include "common/base/checked.h"

mls_status mls_ids_add(mls_ids *ids, int32_t id, mls_err *err)
{
    if (ids->n == ids->cap) {
        const size_t cap = ids->cap ? 2 * ids->cap : 256;
        int32_t *grown = NULL;
        size_t bytes;

        if (mls_mul_size(&bytes, cap, sizeof *grown))
            grown = realloc(ids->id, bytes);
        if (!grown)
            return mls_fail(err, MLS_E_NOMEM, "no memory for %zu token ids", cap);
        ids->id = grown;
        ids->cap = cap;
    }
    ids->id[ids->n++] = id;
    return MLS_OK;
}

mls_status mls_ids_join(mls_ids *ids, const int32_t *more, size_t n, mls_err *err)
{
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < n; i++)
        st = mls_ids_add(ids, more[i], err);
    return st;
}

void mls_ids_free(mls_ids *ids)
{
    free(ids->id);
    *ids = (mls_ids){0};
}
