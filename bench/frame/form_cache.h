/* Latent forms that were made once and are asked for again. */
#ifndef MLS_FORM_CACHE_H
#define MLS_FORM_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/latent/latent.h"
#include "common/base/status.h"

/** Of one model and one capture, without quantizers. Several threads may use it. */
typedef struct mls_form_cache mls_form_cache;

/**
 * @param bytes     numbers of forms stay below this; of more, those that took the least
 *                  time for their size leave
 * @param[out] out  release with mls_form_cache_free(); NULL on error
 * @return MLS_OK or MLS_E_NOMEM
 */
mls_status mls_form_cache_new(mls_form_cache **out, uint64_t bytes, mls_err *err);
void mls_form_cache_free(mls_form_cache *c); /* NULL is accepted */

/**
 * A copy of the form of this text and layer.
 *
 * @param[out] f  release with mls_latent_free(); as it was where there is none
 * @return MLS_OK, *found tells whether there is one; MLS_E_NOMEM
 */
mls_status mls_form_cache_get(mls_form_cache *c, const char *text, size_t layer,
                              mls_latent_form *f, bool *found, mls_err *err);

/** Keep a copy of a form, which took so many seconds, where there is room for it. */
void mls_form_cache_put(mls_form_cache *c, const char *text, const mls_latent_form *f,
                        double seconds);

#endif
