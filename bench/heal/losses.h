/* The losses of healed layers as healing.csv in the folder of forms keeps them. */
#ifndef MLS_LOSSES_H
#define MLS_LOSSES_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/heal/layer.h"
#include "common/base/buf.h"
#include "common/base/status.h"

/** One layer's losses and what they took. */
typedef struct mls_heal_layer_result {
    bool converted; /* false: the scheme leaves this layer as it is */
    mls_healed losses;
    double seconds;
} mls_heal_layer_result;

/** Append the line of column names, or a layer's. */
void mls_losses_header(mls_buf *b);
void mls_losses_add(mls_buf *b, size_t layer, const mls_heal_layer_result *r);

/**
 * Set the layers that lines of text speak of; others stay, and so do lines that are no
 * layer's.
 *
 * @param[in,out] result  (L)
 */
void mls_losses_parse(mls_heal_layer_result *result, size_t L, const char *text);

/**
 * The layers of a folder of healed forms.
 *
 * @param[out] result  (L)
 * @return MLS_OK, MLS_E_INPUT, MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_losses_read(mls_heal_layer_result *result, size_t L, const char *folder,
                           mls_err *err);

#endif
