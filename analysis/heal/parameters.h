/* All numbers of a latent form that training may change, as one vector. */
#ifndef MLS_PARAMETERS_H
#define MLS_PARAMETERS_H

#include <stddef.h>
#include <stdint.h>

#include "analysis/heal/real.h"
#include "analysis/latent/latent.h"
#include "common/base/status.h"

/** Where an array stands in the vector when the form has none. */
#define MLS_NO_ARRAY SIZE_MAX

/** What an array does: optimizers treat the roles differently. */
typedef enum mls_parameter_role {
    MLS_PARAMETER_OF_INPUT, /* (rows, E): acts on the layer's input */
    MLS_PARAMETER_INSIDE,   /* any other matrix between input and heads */
    MLS_PARAMETER_OUTPUT,   /* W_O (E, columns) */
    MLS_PARAMETER_OUTPUT_BIAS,
    MLS_PARAMETER_BIAS,
    MLS_PARAMETER_NORM, /* weights of an RMSNorm */
} mls_parameter_role;

/** One array; cols is 1 for vectors. */
typedef struct mls_parameter_array {
    float *at; /* in the form */
    size_t first, rows, cols;
    mls_parameter_role role;
} mls_parameter_array;

/** First numbers of a map's weight and bias in the vector, or MLS_NO_ARRAY. */
typedef struct mls_affine_place {
    size_t w, b;
} mls_affine_place;

/** Places of all arrays, named as in the form. */
typedef struct mls_parameters {
    size_t n; /* numbers in all */
    mls_parameter_array *array;
    size_t n_arrays;
    struct {
        mls_affine_place down;
        size_t norm;
    } * latent;                 /* (n_latents) */
    mls_affine_place *rope_key; /* (n_rope_keys) */
    struct {
        mls_affine_place key, value;
    } * head; /* (G) */
    mls_affine_place q_down, query, output, key;
    size_t q_down_norm, q_norm, k_norm;
} mls_parameters;

/**
 * Frequencies, ranks and the score scale are no parameters: training keeps the
 * structure. Of a form that shares another layer's cache only queries and output are.
 *
 * @param f         borrowed: gather and scatter go through its arrays
 * @param[out] out  release with mls_parameters_free(); {0} on error
 */
mls_status mls_parameters_of(mls_parameters *out, const mls_latent_form *f,
                             mls_err *err);
void mls_parameters_free(mls_parameters *p); /* {0} is accepted */

/** theta (n) from the form's arrays, and back. */
void mls_parameters_gather(const mls_parameters *p, mls_real *theta);
void mls_parameters_scatter(const mls_parameters *p, const mls_real *theta);

#endif
