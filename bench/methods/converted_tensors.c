/*
 * The names are model.layers.L.self_attn.WHAT in the files of every project but
 * X-EcoMLA, which has model.layers.L.mla.WHAT for what it converts. Ranks may
 * follow from a tensor's own rows: these are held against MLS_WIDTH_MAX before memory
 * is taken for them. A form that begins here neither slides nor turns; the readers of
 * each project set that.
 */
#include "bench/methods/converted_tensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/checked.h"

enum { NAME = 128 };

static const char *name_of(char name[NAME], size_t l, const char *what)
{
    const bool of_mla = strncmp(what, "mla.", 4) == 0;

    snprintf(name, NAME, "model.layers.%zu.%s%s", l, of_mla ? "" : "self_attn.", what);
    return name;
}

bool mls_converted_has(const mls_checkpoint *c, size_t l, const char *what)
{
    char name[NAME];

    return mls_checkpoint_find(c, name_of(name, l, what), NULL) != NULL;
}

mls_status mls_converted_read(float *out, const mls_checkpoint *c, size_t l,
                              const char *what, size_t rows, size_t cols, mls_err *err)
{
    char name[NAME];
    const mls_status st =
        mls_checkpoint_has(c, name_of(name, l, what), rows, cols, err);

    return st ? st : mls_checkpoint_read(c, name, rows, cols, out, err);
}

mls_status mls_converted_map(mls_affine *to, const mls_checkpoint *c, size_t l,
                             const char *prefix, mls_err *err)
{
    char what[NAME];
    mls_status st;

    snprintf(what, sizeof what, "%s.weight", prefix);
    st = mls_converted_read(to->w, c, l, what, to->rows, to->cols, err);
    snprintf(what, sizeof what, "%s.bias", prefix);
    if (!st && to->biased)
        st = mls_converted_read(to->b, c, l, what, to->rows, 0, err);
    return st;
}

mls_status mls_converted_take(mls_affine *to, const mls_checkpoint *c, size_t l,
                              const char *prefix, size_t rows, size_t cols,
                              mls_err *err)
{
    char what[NAME];

    snprintf(what, sizeof what, "%s.bias", prefix);
    *to = mls_affine_shape(rows, cols, mls_converted_has(c, l, what));
    to->w = mls_calloc3(rows, cols + 1, 1, sizeof *to->w);
    if (!to->w)
        return mls_fail(err, MLS_E_NOMEM, "no memory for layer %zu", l);
    to->b = to->biased ? to->w + rows * cols : NULL;
    return mls_converted_map(to, c, l, prefix, err);
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

mls_status mls_converted_begin(mls_latent_form *f, const mls_config *config, size_t l,
                               size_t G, size_t n_latents, size_t n_rope_keys,
                               mls_err *err)
{
    mls_config own = *config;
    mls_status st;

    own.G = G;
    st = mls_latent_begin(f, &own, l, n_latents, n_rope_keys, err);
    f->sliding_window = 0;
    f->turns = false;
    return st;
}
