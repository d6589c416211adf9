/* A scheme: which setting each layer of a model gets; a setting for all, or a plan. */
#ifndef MLS_SCHEME_H
#define MLS_SCHEME_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/serving/serving.h"
#include "bench/frame/method.h"
#include "bench/setting/setting.h"
#include "common/base/status.h"

enum { MLS_SCHEME_NAME = 256 };

/** Layer l uses setting[which[l]]. */
typedef struct mls_scheme {
    char name[MLS_SCHEME_NAME]; /* what tables show */
    size_t L, n_settings;
    mls_setting *setting; /* (n_settings), different texts */
    size_t *which;        /* (L) */
} mls_scheme;

/** One setting for every layer; its own `layers` key leaves some as they are. */
mls_status mls_scheme_uniform(mls_scheme *s, const mls_setting *setting, size_t L,
                              mls_err *err);
/** A setting per layer; equal ones are stored once. @param setting (L) */
mls_status mls_scheme_per_layer(mls_scheme *s, const char *name,
                                const mls_setting *setting, size_t L, mls_err *err);
void mls_scheme_free(mls_scheme *s); /* {0} is accepted */

/** Who serves a setting or a scheme whose layers cache `layout`; MLS_E_NOMEM. */
mls_status mls_setting_serve(mls_serve *out, const mls_setting *s,
                             const mls_config *config, const mls_cache_layout *layout,
                             mls_err *err);
mls_status mls_scheme_serve(mls_serve *out, const mls_scheme *s,
                            const mls_config *config, const mls_cache_layout *layout,
                            mls_err *err);

/**
 * Numbers of all attention blocks in the scheme's forms, as far as the config tells:
 * layers whose ranks follow from the data count as nothing.
 */
size_t mls_scheme_parameters(const mls_scheme *s, const mls_config *config);

/**
 * A scheme made ready on a model: methods found, model-wide decisions taken. Then layer
 * by layer its latent forms.
 */
typedef struct mls_ready_scheme mls_ready_scheme;

/** @param[out] out  release with mls_ready_scheme_free(); the scheme is borrowed */
mls_status mls_scheme_prepare(mls_ready_scheme **out, const mls_scheme *s,
                              const mls_method_input *in, mls_err *err);
void mls_ready_scheme_free(mls_ready_scheme *r); /* NULL is accepted */

/**
 * The form of one layer: its method's, or the model's own where the setting's `layers`
 * leaves it out.
 * @param[out] form  release with mls_latent_free(); {0} on error
 */
mls_status mls_scheme_build(const mls_ready_scheme *r, const mls_layer *layer,
                            const mls_layer_stats *stats, mls_latent_form *form,
                            mls_err *err);

/** The same with the layer's weights and statistics read for it, and left again. */
mls_status mls_scheme_form(const mls_ready_scheme *r, size_t l, mls_latent_form *form,
                           mls_err *err);

/** Does layer l run as the model's own, quantizers included? */
bool mls_scheme_is_original(const mls_ready_scheme *r, size_t l);

/** False where the setting's `layers` leaves layer l as it is. */
bool mls_scheme_converts(const mls_ready_scheme *r, size_t l);

/** What a form of layer l is kept by: forms alike but for quantizers; NULL: none. */
const char *mls_scheme_form_text(const mls_ready_scheme *r, size_t l);

/**
 * Where everything but attention of layer l is read from when the scheme converts it;
 * NULL: the model itself. l = SIZE_MAX: embedding, final norm and head of the scheme as
 * a whole.
 */
const mls_model *mls_scheme_body(const mls_ready_scheme *r, size_t l);

/**
 * Layers that use another layer's cache.
 * @param[out] share  (L) the layer whose cache is used, or MLS_NONE
 */
mls_status mls_scheme_shares(const mls_ready_scheme *r, int *share, mls_err *err);

#endif
