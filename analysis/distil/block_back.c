/*
 * Back through norms and MLP with fixed weights; dX is the gradient of the loss by X.
 *
 *   m = h + n1(a),  out = m + n2(mlp(norm(m)))     one after the other
 *   out = h + n1(a) + mlp(norm(h))                 side by side
 *   mlp(y) = down(act(gate y) up y):  with z = gate y, u = up y, w = down^T d
 *     du = w act(z),  dz = w u act'(z),  dy = gate^T dz + up^T du
 *
 * What mlp() needs of its way forward is computed anew: gate and up, a third less than
 * keeping nothing would suggest, and no memory.
 */
#include "analysis/distil/block_back.h"

#include <math.h>
#include <string.h>

#include "analysis/heal/products.h"
#include "analysis/numeric/exponential.h"
#include "analysis/numeric/vector.h"

size_t mls_block_back_scratch(const mls_block *b, size_t T)
{
    return T * (3 * b->E + 3 * b->F);
}

/* --- Products with fixed weights --- */

static void forth(const mls_block *b, mls_real *y, const mls_real *x, const mls_real *w,
                  const mls_real *bias, size_t T, size_t out, size_t in)
{
#ifdef MLS_HEAL_DOUBLE
    (void)b;
    mls_real_linear(y, out, x, in, w, bias, T, out, in);
#else
    mls_packed_linear(b->packed, y, out, x, w, bias, T, out, in);
#endif
}

static void back(const mls_block *b, mls_real *dx, const mls_real *dy,
                 const mls_real *w, size_t T, size_t out, size_t in)
{
#ifdef MLS_HEAL_DOUBLE
    (void)b;
    memset(dx, 0, T * in * sizeof *dx);
    mls_real_linear_back(dy, out, NULL, in, w, T, out, in, NULL, NULL, dx);
#else
    mls_packed_back(b->packed, dx, dy, w, T, out, in);
#endif
}

static void add(mls_real *y, const mls_real *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

/* --- Norms: as mls_block_norm() --- */

static void norm(const mls_block *b, mls_real *y, const mls_real *x,
                 const mls_real *gain, const mls_real *bias, size_t T)
{
    if (!gain && !b->norm_free)
        memmove(y, x, T * b->E * sizeof *y);
    else if (b->norm == MLS_NORM_LAYER)
        mls_real_layernorm(y, x, gain, bias, b->eps, T, b->E);
    else
        mls_real_norm(y, x, b->E, gain, b->eps, T, b->E);
}

/* d by norm(x) becomes d by x. */
static void norm_back(const mls_block *b, mls_real *d, const mls_real *x,
                      const mls_real *gain, size_t T)
{
    if (!gain && !b->norm_free)
        return;
    if (b->norm == MLS_NORM_LAYER)
        mls_real_layernorm_back(d, x, gain, b->eps, T, b->E);
    else
        mls_real_norm_back(d, x, b->E, gain, b->eps, T, b->E, NULL);
}

/* --- Activations: z becomes act'(z), y is act(z) --- */

MLS_WIDE
static void silu(mls_real *restrict y, mls_real *restrict z, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const mls_real s = 1 / (1 + MLS_REAL_EXP(-z[i]));

        y[i] = z[i] * s;
        z[i] = s * (1 + z[i] * (1 - s));
    }
}

static void gelu(mls_real *y, mls_real *z, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double x = (double)z[i], below = 0.5 * (1 + erf(x / sqrt(2.0)));

        y[i] = (mls_real)(x * below);
        z[i] = (mls_real)(below + x * exp(-0.5 * x * x) / sqrt(2 * 3.14159265358979));
    }
}

static void gelu_tanh(mls_real *y, mls_real *z, size_t n)
{
    const double k = sqrt(2 / 3.14159265358979);

    for (size_t i = 0; i < n; i++) {
        const double x = (double)z[i], t = tanh(k * (x + 0.044715 * x * x * x));

        y[i] = (mls_real)(0.5 * x * (1 + t));
        z[i] = (mls_real)(0.5 * (1 + t) +
                          0.5 * x * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x));
    }
}

static void relu(mls_real *y, mls_real *z, size_t n, bool squared)
{
    for (size_t i = 0; i < n; i++) {
        const mls_real x = z[i] > 0 ? z[i] : 0;

        y[i] = squared ? x * x : x;
        z[i] = squared ? 2 * x : z[i] > 0 ? 1 : 0;
    }
}

static void activate(const mls_block *b, mls_real *y, mls_real *z, size_t n)
{
    if (b->act == MLS_ACT_SILU)
        silu(y, z, n);
    else if (b->act == MLS_ACT_GELU)
        gelu(y, z, n);
    else if (b->act == MLS_ACT_GELU_TANH)
        gelu_tanh(y, z, n);
    else
        relu(y, z, n, b->act == MLS_ACT_RELU2);
}

/* --- The MLP --- */

static void multiply(mls_real *y, const mls_real *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] *= x[i];
}

/*
 * d (T, E) by the MLP's output, or by what a norm behind it makes of that, becomes d by
 * its input y (T, E), which is overwritten.
 */
static void mlp_back(const mls_block *b, mls_real *d, mls_real *y, size_t T,
                     mls_real *scratch)
{
    const size_t E = b->E, n = T * b->F;
    mls_real *z = scratch, *made = z + n, *u = made + n;

    forth(b, z, y, b->gate ? b->gate : b->up, b->gate ? b->gate_bias : b->up_bias, T,
          b->F, E);
    activate(b, made, z, n); /* made = act(z), z = act'(z) */
    if (b->gate) {
        forth(b, u, y, b->up, b->up_bias, T, b->F, E);
        multiply(z, u, n); /* of made = act(z) u: dz = z, du = act(z) */
    }
    if (b->mlp_post_norm || (b->norm_free && b->place != MLS_NORM_BEFORE)) {
        if (b->gate)
            multiply(u, made, n);
        forth(b, y, b->gate ? u : made, b->down, b->down_bias, T, E, b->F);
        norm_back(b, d, y, b->mlp_post_norm, T);
    }
    back(b, u, d, b->down, T, E, b->F);
    multiply(z, u, n);
    back(b, d, z, b->gate ? b->gate : b->up, T, b->F, E);
    if (b->gate) {
        multiply(u, made, n);
        back(b, y, u, b->up, T, b->F, E);
        add(d, y, T * E);
    }
}

void mls_block_back(const mls_block *b, const mls_real *h, const mls_real *a,
                    const mls_real *d, size_t T, mls_real *d_a, mls_real *d_h,
                    mls_real *scratch)
{
    const size_t n = T * b->E;
    const bool behind = b->place != MLS_NORM_BEFORE;
    mls_real *m = scratch, *y = m + n, *d_y = y + n, *rest = d_y + n;

    memcpy(m, h, n * sizeof *m);
    if (!b->parallel) {
        memcpy(y, a, n * sizeof *y);
        if (behind)
            norm(b, y, a, b->attn_post_norm, NULL, T);
        add(m, y, n);
    }
    const mls_real *gain = b->parallel && b->one_norm ? b->attn_norm : b->mlp_norm;
    norm(b, y, m, gain,
         b->parallel && b->one_norm ? b->attn_norm_bias : b->mlp_norm_bias, T);
    memcpy(d_y, d, n * sizeof *d_y);
    mlp_back(b, d_y, y, T, rest);
    norm_back(b, d_y, m, gain, T);
    memcpy(d_a, d, n * sizeof *d_a);
    if (!b->parallel)
        add(d_a, d_y, n);
    memmove(d_h, d, n * sizeof *d_h);
    add(d_h, d_y, n);
    if (behind)
        norm_back(b, d_a, a, b->attn_post_norm, T);
}

void mls_block_input_back(const mls_block *b, const mls_real *h, mls_real *d_x,
                          size_t T, mls_real *d_h)
{
    norm_back(b, d_x, h, b->attn_norm, T);
    add(d_h, d_x, T * b->E);
}
