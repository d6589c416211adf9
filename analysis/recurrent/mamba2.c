/*
 * Mamba-2 (Dao and Gu, arXiv 2405.21060), token by token for each head h, which reads
 * B and C of group h / (heads / groups); x, B, C after a convolution and SiLU
 * (modeling_mamba2.py, torch_forward):
 *
 *   dt = softplus(dt_t + dt_bias),  S <- exp(-exp(A) dt) S + dt x_t B_t^T
 *   y_t = S C_t + D x_t,  out = W_o norm(y * silu(z)), or W_o norm(y) * silu(z)
 *
 * The state S (P, N) is held in double; chunks, as GPUs compute them, give the same.
 */
#include "analysis/recurrent/mamba2.h"

#include <math.h>
#include <string.h>

#include "analysis/numeric/kernels.h"
#include "analysis/recurrent/causal_conv.h"

static size_t conv_width(const mls_mamba2 *w)
{
    return w->heads * w->P + 2 * w->groups * w->N;
}

static size_t in_width(const mls_mamba2 *w)
{
    return w->heads * w->P + conv_width(w) + w->heads;
}

/* The state, in doubles of two floats each. */
static size_t state_floats(const mls_mamba2 *w)
{
    return 2 * w->P * w->N;
}

size_t mls_mamba2_scratch(const mls_mamba2 *w, size_t T)
{
    return T * (in_width(w) + 2 * conv_width(w) + w->heads * w->P) + state_floats(w);
}

static double step_of(const mls_mamba2 *w, double dt, size_t h)
{
    const double z = dt + (double)w->dt_bias[h];
    const double step = z > 20 ? z : log1p(exp(z));

    return w->dt_max > 0 ? fmin(fmax(step, w->dt_min), w->dt_max)
                         : fmax(step, w->dt_min);
}

static void run_head(const mls_mamba2 *w, size_t h, const float *made, const float *xbc,
                     size_t T, float *read, double *state)
{
    const size_t P = w->P, N = w->N, n_in = in_width(w), n = conv_width(w);
    const size_t width = w->heads * P, g = h / (w->heads / w->groups);
    const double rate = -exp((double)w->a_log[h]), through = (double)w->d[h];

    memset(state, 0, P * N * sizeof *state);
    for (size_t t = 0; t < T; t++) {
        const double dt = step_of(w, (double)made[t * n_in + n_in - w->heads + h], h);
        const double keep = exp(rate * dt);
        const float *x = xbc + t * n + h * P, *b = xbc + t * n + width + g * N;
        const float *c = b + w->groups * N;

        for (size_t i = 0; i < P; i++) {
            double sum = 0;

            for (size_t j = 0; j < N; j++) {
                state[i * N + j] =
                    keep * state[i * N + j] + dt * (double)x[i] * (double)b[j];
                sum += state[i * N + j] * (double)c[j];
            }
            read[t * width + i] = (float)(sum + through * (double)x[i]);
        }
    }
}

void mls_mamba2_run(const mls_mamba2 *w, const float *x, size_t T, float *out,
                    float *scratch)
{
    const size_t width = w->heads * w->P, n = conv_width(w), n_in = in_width(w);
    const size_t part = width / w->norm_groups;
    float *made = scratch + state_floats(w), *raw = made + T * n_in;
    float *xbc = raw + T * n, *read = xbc + T * n;
    double *state = (double *)(void *)scratch;

    mls_linear(made, x, w->in, w->in_bias, T, n_in, w->E);
    for (size_t t = 0; t < T; t++)
        memcpy(raw + t * n, made + t * n_in + width, n * sizeof *raw);
    mls_causal_conv(xbc, raw, w->conv, w->conv_bias, T, n, w->taps);
    mls_silu(xbc, T * n);
    for (size_t h = 0; h < w->heads; h++)
        run_head(w, h, made, xbc, T, read + h * w->P, state);
    for (size_t i = 0; w->norm && w->norm_first && i < w->norm_groups; i++)
        mls_rmsnorm_rows(read + i * part, width, w->norm + i * part, w->eps, T, part);
    for (size_t t = 0; t < T; t++) {
        mls_silu(made + t * n_in, width);
        mls_multiply(read + t * width, made + t * n_in, width);
    }
    for (size_t i = 0; w->norm && !w->norm_first && i < w->norm_groups; i++)
        mls_rmsnorm_rows(read + i * part, width, w->norm + i * part, w->eps, T, part);
    mls_linear(out, read, w->out, w->out_bias, T, w->E, width);
}
