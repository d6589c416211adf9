/*
 * Latent forms in safetensors files, one layer each (docs/format/export.md): every
 * array of mls_latent_form as a tensor, the rest as JSON in __metadata__.
 */
#ifndef MLS_LATENT_FILE_H
#define MLS_LATENT_FILE_H

#include <stddef.h>

#include "analysis/latent/latent.h"
#include "common/base/status.h"

/** What a form was made from. */
typedef struct mls_latent_origin {
    char setting[512]; /* as text */
    char model_sha256[65];
    size_t L; /* layers of the model */
} mls_latent_origin;

/** Write one layer; the same form gives the same bytes. */
mls_status mls_latent_write(const mls_latent_form *f, const mls_latent_origin *origin,
                            const char *path, mls_err *err);

/**
 * Read and check one layer: every size against the JSON and mls_latent_check().
 *
 * @param[out] f  release with mls_latent_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (not such a file; a key or tensor missing, unknown or of
 *         another size; a number that is not finite), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_latent_read(mls_latent_form *f, mls_latent_origin *origin,
                           const char *path, mls_err *err);

#endif
