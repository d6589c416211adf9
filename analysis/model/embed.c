/*
 * What goes into the first layer: rows of the embedding, times what the family says,
 * with places added where it has learned ones or waves (Vaswani et al. 2017), normed
 * where it has a norm there.
 */
#include <math.h>
#include <stdlib.h>

#include "analysis/model/block.h"
#include "analysis/model/model.h"
#include "analysis/numeric/kernels.h"
#include "common/base/checked.h"

/* Position t of a sequence is row first_position + t. */
static mls_status add_positions(const mls_model *m, size_t n, float *x, mls_err *err)
{
    const mls_config *c = mls_model_config(m);
    const mls_tensor_need t = mls_tensor_of(c, MLS_TENSOR_POSITIONS);
    float *row;
    mls_status st = MLS_OK;

    if (n > c->max_position)
        return mls_fail(err, MLS_E_INPUT,
                        "a sequence of %zu tokens, but %s has %zu positions", n, t.name,
                        c->max_position);
    row = mls_calloc3(n, c->E, 1, sizeof *row);
    if (!row)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu positions", n);
    st = mls_checkpoint_read_rows(mls_model_checkpoint(m), t.name, t.rows, t.cols,
                                  c->net.first_position, n, row, err);
    if (!st)
        mls_add(x, row, n * c->E);
    free(row);
    return st;
}

/* XGLM: sine of place times 10000^(-i / (E/2 - 1)), then the cosines, in float. */
static void add_waves(const mls_config *c, size_t n, float *x)
{
    const size_t half = c->E / 2;
    const float step = half > 1 ? logf(10000.0f) / (float)(half - 1) : 0;

    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < half; i++) {
            const float place = (float)(t + c->net.first_position);
            const double angle = (double)(place * expf(-(float)i * step));

            x[t * c->E + i] += (float)sin(angle);
            x[t * c->E + half + i] += (float)cos(angle);
        }
}

mls_status mls_model_embed(const mls_model *m, const int32_t *ids, size_t n, float *x,
                           mls_err *err)
{
    const mls_config *c = mls_model_config(m);
    const mls_tensor_need t = mls_tensor_embed(c);
    const float by = (float)c->net.embed_scale;
    float *norm = NULL, *bias = NULL;
    mls_status st = MLS_OK;

    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= c->V)
            return mls_fail(err, MLS_E_INPUT,
                            "token %zu has id %d, the model's vocabulary has %zu", i,
                            (int)ids[i], c->V);
        st = mls_checkpoint_read_rows(mls_model_checkpoint(m), t.name, t.rows, t.cols,
                                      (size_t)ids[i], 1, x + i * c->E, err);
        if (st)
            return st;
    }
    for (size_t i = 0; by != 0 && i < n * c->E; i++)
        x[i] *= by;
    if (c->net.positions)
        st = add_positions(m, n, x, err);
    if (c->net.waves)
        add_waves(c, n, x);
    if (!st && c->net.embed_norm &&
        !(st = mls_model_whole(m, MLS_TENSOR_EMBED_NORM, &norm, err)) &&
        !(st = mls_model_whole(m, MLS_TENSOR_EMBED_NORM_BIAS, &bias, err)))
        mls_block_norm(c, x, x, norm, bias, n);
    mls_free_all(bias, norm);
    return st;
}
