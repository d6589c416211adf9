/* TransMLA inside: what its settings say, and the form they make of one layer. */
#ifndef MLS_TRANSMLA_H
#define MLS_TRANSMLA_H

#include <stddef.h>

#include "bench/frame/method.h"

enum mls_transmla_alpha { MLS_ALPHA_CODE, MLS_ALPHA_PAPER, MLS_ALPHA_NONE };

typedef struct mls_transmla {
    size_t alpha;    /* mls_transmla_alpha: how keys are balanced against values */
    double balance;  /* factor on alpha */
    size_t q_rank;   /* 0: full */
    size_t rank;     /* kv_lora_rank; 0: the latent is not reduced */
    size_t rope_dim; /* qk_mqa_dim = D / collapse, shared by all heads */
    size_t collapse; /* frequencies that become one */
    size_t pass;     /* 1 or 2: statistics of the latent, see mls_transmla_pass() */
    size_t freqfold; /* neighbouring frequencies treated as one; 0: auto */
    size_t
        keep; /* components per fold in the rope key; 0: freqfold / collapse, theirs */
} mls_transmla;

/** The shape of one layer's form; freqfold is not read. */
mls_status mls_transmla_shape(mls_latent_form *f, const mls_config *config,
                              const mls_transmla *p, size_t l, mls_err *err);

/**
 * Fill that shape. freqfold must be a number here.
 *
 * @param stats    of the original model, for the rotation; x_second and x_mean are used
 * @param reduced  for the balance and both PCAs: stats again (pass=1), or those of the
 *                 model whose rotations are reduced (pass=2)
 * @return MLS_OK, MLS_E_INPUT (QK-norm, no statistics, widths that do not fit),
 *         MLS_E_NOMEM or MLS_E_NUMERIC
 */
mls_status mls_transmla_fill(mls_latent_form *f, const mls_config *config,
                             const mls_transmla *p, const mls_layer *layer,
                             const mls_layer_stats *stats,
                             const mls_layer_stats *reduced, mls_err *err);

/**
 * Both, with nothing reduced but the rotations.
 * @param[out] out  release with mls_latent_free(); {0} on error
 */
mls_status mls_transmla_whole(mls_latent_form *out, const mls_config *config,
                              const mls_transmla *p, const mls_layer *layer,
                              const mls_layer_stats *stats, mls_err *err);

/**
 * The second pass: run the captured token sequences through the model whose rotations
 * are reduced and nothing else, every layer on what the reduced layers before it give.
 *
 * @param in         all of it
 * @param converted  (L) layers that are reduced, the others run as they are
 * @param[out] out   (L) x_second and x_mean, released with mls_transmla_pass_free()
 * @return MLS_OK, what mls_transmla_form() and mls_layer_forward() say, MLS_E_NOMEM
 */
mls_status mls_transmla_pass(mls_layer_stats **out, const mls_method_input *in,
                             const mls_transmla *p, const bool *converted,
                             mls_err *err);
void mls_transmla_pass_free(mls_layer_stats *s, size_t L); /* NULL is accepted */

#endif
