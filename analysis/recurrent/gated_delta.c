/*
 * Gated DeltaNet (Yang et al., arXiv 2412.06464), token by token for each value head h,
 * whose query and key are those of head h / (heads / groups), of length 1 after a
 * convolution and SiLU (modeling_qwen3_next.py, torch_recurrent_gated_delta_rule):
 *
 *   S <- exp(g_t) S,  g_t = -exp(A) softplus(a_t + dt)
 *   S <- S + k_t (beta_t (v_t - S^T k_t))^T,  beta_t = sigmoid(b_t)
 *   o_t = S^T q_t / sqrt(K),  out = W_o (norm(o_t) * silu(z_t))
 *
 * The state S (K, V) is held in double; chunks, as GPUs compute them, give the same.
 */
#include "analysis/recurrent/gated_delta.h"

#include <math.h>
#include <string.h>

#include "analysis/numeric/kernels.h"
#include "analysis/recurrent/causal_conv.h"

static size_t qkv_width(const mls_gated_delta *w)
{
    return 2 * w->groups * w->K + w->heads * w->V;
}

/* The state and the row that is read from it, in doubles of two floats each. */
static size_t state_floats(const mls_gated_delta *w)
{
    return 2 * (w->K * w->V + w->V);
}

size_t mls_gated_delta_scratch(const mls_gated_delta *w, size_t T)
{
    return T * (2 * qkv_width(w) + 2 * w->heads * w->V + 2 * w->heads) +
           state_floats(w);
}

static double softplus(double z)
{
    return z > 20 ? z : log1p(exp(z));
}

/* Rows of n numbers become vectors of length `length`. */
static void normalize(float *x, size_t stride, size_t T, size_t n, double length)
{
    for (size_t t = 0; t < T; t++) {
        float *row = x + t * stride;
        double square = 0;

        for (size_t i = 0; i < n; i++)
            square += (double)row[i] * (double)row[i];
        const double by = length / sqrt(square + 1e-6);

        for (size_t i = 0; i < n; i++)
            row[i] = (float)((double)row[i] * by);
    }
}

typedef struct {
    const float *q, *k, *v, *a, *b; /* of one head, rows at their strides */
    size_t qkv_stride, ab_stride;
} head;

static void run_head(const mls_gated_delta *w, const head *h, size_t index, size_t T,
                     float *read, double *state)
{
    const size_t K = w->K, V = w->V;
    double *row = state + K * V;
    const double rate = -exp((double)w->a_log[index]);

    memset(state, 0, K * V * sizeof *state);
    for (size_t t = 0; t < T; t++) {
        const float *q = h->q + t * h->qkv_stride, *k = h->k + t * h->qkv_stride;
        const float *v = h->v + t * h->qkv_stride;
        const double a = (double)h->a[t * h->ab_stride] + (double)w->dt_bias[index];
        const double keep = exp(rate * softplus(a));
        const double beta = 1 / (1 + exp(-(double)h->b[t * h->ab_stride]));

        memset(row, 0, V * sizeof *row);
        for (size_t i = 0; i < K; i++)
            for (size_t j = 0; j < V; j++) {
                state[i * V + j] *= keep;
                row[j] += state[i * V + j] * (double)k[i];
            }
        for (size_t j = 0; j < V; j++)
            row[j] = beta * ((double)v[j] - row[j]);
        for (size_t i = 0; i < K; i++)
            for (size_t j = 0; j < V; j++)
                state[i * V + j] += (double)k[i] * row[j];
        memset(row, 0, V * sizeof *row);
        for (size_t i = 0; i < K; i++)
            for (size_t j = 0; j < V; j++)
                row[j] += state[i * V + j] * (double)q[i];
        for (size_t j = 0; j < V; j++)
            read[t * w->heads * V + j] = (float)row[j];
    }
}

void mls_gated_delta_run(const mls_gated_delta *w, const float *x, size_t T, float *out,
                         float *scratch)
{
    const size_t n = qkv_width(w), keys = w->groups * w->K, width = w->heads * w->V;
    float *states = scratch + state_floats(w), *raw = states, *qkv = raw + T * n;
    float *z = qkv + T * n, *read = z + T * width, *a = read + T * width;
    float *b = a + T * w->heads;
    double *state = (double *)(void *)scratch;

    mls_linear(raw, x, w->in, NULL, T, n, w->E);
    mls_linear(z, x, w->z, NULL, T, width, w->E);
    mls_linear(a, x, w->a, NULL, T, w->heads, w->E);
    mls_linear(b, x, w->b, NULL, T, w->heads, w->E);
    mls_causal_conv(qkv, raw, w->conv, NULL, T, n, w->taps);
    mls_silu(qkv, T * n);
    for (size_t g = 0; g < w->groups; g++) {
        normalize(qkv + g * w->K, n, T, w->K, 1 / sqrt((double)w->K));
        normalize(qkv + keys + g * w->K, n, T, w->K, 1);
    }
    for (size_t i = 0; i < w->heads; i++) {
        const size_t g = i / (w->heads / w->groups);
        const head h = {.q = qkv + g * w->K,
                        .k = qkv + keys + g * w->K,
                        .v = qkv + 2 * keys + i * w->V,
                        .a = a + i,
                        .b = b + i,
                        .qkv_stride = n,
                        .ab_stride = w->heads};

        run_head(w, &h, i, T, read + i * w->V, state);
        mls_rmsnorm_rows(read + i * w->V, width, w->norm, w->eps, T, w->V);
    }
    mls_silu(z, T * width);
    mls_multiply(read, z, T * width);
    mls_linear(out, read, w->out, NULL, T, w->E, width);
}
