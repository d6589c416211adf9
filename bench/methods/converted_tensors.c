#include "bench/methods/converted_tensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"

enum { NAME = 128 };

static const char *name_of(char name[NAME], size_t l, const char *what)
{
    snprintf(name, NAME, "model.layers.%zu.self_attn.%s", l, what);
    return name;
}

bool mls_converted_has(const mls_checkpoint *c, size_t l, const char *what)
{
    char name[NAME];

    return mls_checkpoint_find(c, name_of(name, l, what), NULL) != NULL;
}

mls_status mls_converted_read(float **out, const mls_checkpoint *c, size_t l,
                              const char *what, size_t rows, size_t cols, mls_err *err)
{
    char name[NAME];
    mls_status st;

    *out = NULL;
    if ((st = mls_checkpoint_has(c, name_of(name, l, what), rows, cols, err)))
        return st;
    *out = mls_calloc3(rows, cols ? cols : 1, 1, sizeof **out);
    if (!*out)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %s", name);
    st = mls_checkpoint_read(c, name, rows, cols, *out, err);
    if (st) {
        free(*out);
        *out = NULL;
    }
    return st;
}

mls_status mls_converted_read_bias(float **out, const mls_checkpoint *c, size_t l,
                                   const char *what, size_t rows, mls_err *err)
{
    *out = NULL;
    return mls_converted_has(c, l, what)
               ? mls_converted_read(out, c, l, what, rows, 0, err)
               : MLS_OK;
}

mls_status mls_converted_rows(size_t *rows, const mls_checkpoint *c, size_t l,
                              const char *what, mls_err *err)
{
    char name[NAME];
    const mls_tensor_info *t = mls_checkpoint_find(c, name_of(name, l, what), NULL);

    *rows = 0;
    if (!t)
        return mls_fail(err, MLS_E_INPUT, "%s: tensor %s is missing",
                        mls_checkpoint_folder(c), name);
    if (t->n_dims != 2 || t->shape[0] == 0 || t->shape[0] > MLS_WIDTH_MAX)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: tensor %s has %zu dims and %" PRIu64
                        " rows, expected a matrix of at most %d rows",
                        mls_checkpoint_folder(c), name, (size_t)t->n_dims,
                        (uint64_t)(t->n_dims ? t->shape[0] : 0), MLS_WIDTH_MAX);
    *rows = (size_t)t->shape[0];
    return MLS_OK;
}

float *mls_converted_copy(const float *x, size_t first, size_t n, size_t columns,
                          bool *failed)
{
    float *y = x ? mls_calloc3(n, columns, 1, sizeof *y) : NULL;

    if (y)
        memcpy(y, x + first * columns, n * columns * sizeof *y);
    else if (x)
        *failed = true;
    return y;
}

mls_status mls_converted_begin(mls_latent_form *f, const mls_config *config, size_t l,
                               size_t G, size_t n_latents, size_t n_rope_keys,
                               mls_err *err)
{
    *f = (mls_latent_form){
        .layer = l,
        .E = config->E,
        .H = config->H,
        .G = G,
        .D = config->D,
        .n_latents = n_latents,
        .n_rope_keys = n_rope_keys,
        .latent = mls_calloc3(n_latents, 1, 1, sizeof *f->latent),
        .rope_key = mls_calloc3(n_rope_keys, 1, 1, sizeof *f->rope_key),
        .head = mls_calloc3(G, 1, 1, sizeof *f->head),
        .norm_eps = config->rms_eps,
        .share_layer = MLS_NONE,
        .token_budget = 1.0,
    };
    if (f->latent && f->rope_key && f->head)
        return MLS_OK;
    mls_latent_free(f);
    return mls_fail(err, MLS_E_NOMEM, "no memory for layer %zu", l);
}
