/*
 * Two sources: a capture's own queries, keys and values, with bias and QK-norm, or W x
 * of its inputs with rows of the model's weights and no bias, which is what a spectrum
 * of W weighted by the data means. Keys are captured before RoPE and turned here. A row
 * of kv is all keys and then all values, so that a head of it is two pieces.
 */
#include "analysis/spectrum/outputs.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/model/rope.h"
#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"

static mls_status new_outputs(mls_outputs *out, size_t n, size_t T, size_t m,
                              mls_err *err)
{
    *out = (mls_outputs){n, T, m, mls_calloc3(n * T, m, 1, sizeof *out->y)};
    if (out->y)
        return MLS_OK;
    *out = (mls_outputs){0};
    return mls_fail(err, MLS_E_NOMEM, "no memory for %zu windows of %zu tokens", n, T);
}

void mls_outputs_free(mls_outputs *o)
{
    free(o->y);
    *o = (mls_outputs){0};
}

static mls_status load_part(mls_outputs *out, mls_capture *capture, size_t l,
                            mls_window_part part, size_t m, mls_err *err)
{
    const size_t n = mls_capture_windows(capture);
    const size_t T = n ? mls_capture_window_length(capture) : 0;
    mls_status st = new_outputs(out, n, T, m, err);

    for (size_t i = 0; !st && i < n; i++)
        st = mls_capture_window(capture, l, i, part, out->y + i * T * m, err);
    if (st)
        mls_outputs_free(out);
    return st;
}

mls_status mls_outputs_load_inputs(mls_outputs *out, mls_capture *capture, size_t l,
                                   mls_err *err)
{
    return load_part(out, capture, l, MLS_WINDOW_X, mls_capture_config(capture)->E,
                     err);
}

mls_status mls_outputs_join(mls_outputs *out, const mls_outputs *a,
                            const mls_outputs *b, mls_err *err)
{
    const mls_status st = new_outputs(out, a->n, a->T, a->m + b->m, err);

    for (size_t t = 0; !st && t < a->n * a->T; t++) {
        memcpy(out->y + t * out->m, a->y + t * a->m, a->m * sizeof *a->y);
        memcpy(out->y + t * out->m + a->m, b->y + t * b->m, b->m * sizeof *b->y);
    }
    return st;
}

mls_status mls_outputs_turn(mls_outputs *o, const mls_config *config, size_t l,
                            mls_err *err)
{
    const size_t D = config->D, C = D / 2;
    double *inv_freq = mls_calloc3(D, 1, 1, sizeof *inv_freq);
    float *cs = mls_calloc3(o->T, C, 2, sizeof *cs);
    mls_status st = MLS_OK;

    if (!inv_freq || !cs)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the angles of %zu tokens", o->T);
    if (!st && !config->layer[l].no_rope) {
        mls_layer_frequencies(inv_freq, config, l);
        mls_rope_table(cs, inv_freq, C, o->T);
        for (size_t i = 0; i < o->n; i++)
            for (size_t h = 0; h < o->m / D; h++)
                mls_rope_apply(o->y + i * o->T * o->m + h * D, o->m, cs, C, o->T, 1);
    }
    mls_free_all(inv_freq, cs);
    return st;
}

mls_status mls_outputs_load(mls_outputs *out, mls_capture *capture, size_t l,
                            mls_matrix matrix, mls_err *err)
{
    const mls_config *c = mls_capture_config(capture);
    const size_t GD = c->G * c->D;
    mls_outputs k = {0}, v = {0};
    mls_status st = MLS_OK;

    *out = (mls_outputs){0};
    switch (matrix) {
    case MLS_MATRIX_Q:
        return load_part(out, capture, l, MLS_WINDOW_Q, c->H * c->D, err);
    case MLS_MATRIX_V:
        return load_part(out, capture, l, MLS_WINDOW_V, GD, err);
    case MLS_MATRIX_K:
        return load_part(out, capture, l, MLS_WINDOW_K, GD, err);
    case MLS_MATRIX_K_ROT:
        st = load_part(out, capture, l, MLS_WINDOW_K, GD, err);
        if (!st)
            st = mls_outputs_turn(out, c, l, err);
        break;
    case MLS_MATRIX_KV:
        st = load_part(&k, capture, l, MLS_WINDOW_K, GD, err);
        if (!st)
            st = load_part(&v, capture, l, MLS_WINDOW_V, GD, err);
        if (!st)
            st = mls_outputs_join(out, &k, &v, err);
        mls_outputs_free(&k);
        mls_outputs_free(&v);
        break;
    }
    if (st)
        mls_outputs_free(out);
    return st;
}

mls_status mls_outputs_project(mls_outputs *out, const mls_outputs *x, const float *w,
                               size_t m, mls_err *err)
{
    const mls_status st = new_outputs(out, x->n, x->T, m, err);

    if (!st)
        mls_matmul_f32(out->y, x->y, w, x->n * x->T, m, x->m);
    return st;
}

mls_status mls_outputs_head(mls_outputs *out, const mls_outputs *all, size_t head,
                            size_t D, size_t parts, mls_err *err)
{
    const mls_status st = new_outputs(out, all->n, all->T, parts * D, err);

    for (size_t t = 0; !st && t < all->n * all->T; t++)
        for (size_t p = 0; p < parts; p++)
            memcpy(out->y + (t * parts + p) * D,
                   all->y + t * all->m + p * (all->m / parts) + head * D,
                   D * sizeof *all->y);
    return st;
}

mls_status mls_outputs_moments(mls_window_moments *w, const mls_outputs *o,
                               mls_err *err)
{
    mls_status st = mls_window_moments_new(w, o->n, o->m, err);

    for (size_t i = 0; !st && i < o->n; i++)
        st = mls_window_moments_set(w, i, o->y + i * o->T * o->m, o->T, err);
    if (st)
        mls_window_moments_free(w);
    return st;
}
