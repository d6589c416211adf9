/*
 * Norms, MLPs and mixtures of experts, as the families' classes in transformers compute
 * them. Experts see the tokens that chose them, gathered, so that a matrix is used once
 * for all of them; a token's sum runs over its experts in the order of their numbers.
 */
#include "analysis/model/block.h"

#include <math.h>
#include <string.h>

#include "analysis/numeric/kernels.h"

void mls_block_norm(const mls_config *config, float *y, const float *x,
                    const float *gain, const float *bias, size_t n)
{
    const size_t E = config->E;

    if (!gain && !config->net.norm_free) {
        memmove(y, x, n * E * sizeof *y);
        return;
    }
    if (config->net.norm == MLS_NORM_LAYER)
        mls_layernorm(y, E, x, gain, bias, config->rms_eps, n, E);
    else
        mls_rmsnorm(y, x, gain, config->rms_eps, n, E);
}

/* ---- activations ---- */

/* Apertus: a parabola above 0, x and an exponential below; its two numbers are learned
   through a softplus. */
static void xielu(float *x, const mls_layer *w, size_t n)
{
    const double beta = (double)*w->beta, eps = (double)*w->eps;
    const double p = log1p(exp((double)*w->alpha_p));
    const double m = beta + log1p(exp((double)*w->alpha_n));

    for (size_t i = 0; i < n; i++) {
        const double z = (double)x[i];

        x[i] = (float)(z > 0 ? p * z * z + beta * z
                             : (expm1(fmin(z, eps)) - z) * m + beta * z);
    }
}

void mls_block_activate(const mls_config *config, const mls_layer *layer, float *x,
                        size_t n)
{
    const mls_config *c = config;
    const mls_layer *w = layer;

    switch (c->net.act) {
    case MLS_ACT_SILU:
        mls_silu(x, n);
        break;
    case MLS_ACT_GELU:
        for (size_t i = 0; i < n; i++)
            x[i] = (float)(0.5 * (double)x[i] * (1 + erf((double)x[i] / sqrt(2.0))));
        break;
    case MLS_ACT_GELU_TANH:
        mls_gelu_tanh(x, n);
        break;
    case MLS_ACT_RELU:
    case MLS_ACT_RELU2:
        for (size_t i = 0; i < n; i++) {
            const float z = x[i] > 0 ? x[i] : 0;

            x[i] = c->net.act == MLS_ACT_RELU ? z : z * z;
        }
        break;
    case MLS_ACT_XIELU:
        xielu(x, w, n);
        break;
    case MLS_ACT_OAI: /* of pairs: gated_oai */
        break;
    }
}

/* gpt-oss: gate and up are held to 7, gate times its sigmoid at 1.702, up plus one. */
static void gated_oai(float *gate, const float *up, size_t n)
{
    const float limit = 7.0f;

    for (size_t i = 0; i < n; i++) {
        const float g = gate[i] < limit ? gate[i] : limit;
        const float u = up[i] < -limit ? -limit : up[i] > limit ? limit : up[i];

        gate[i] = (u + 1) * (float)((double)g / (1 + exp(-1.702 * (double)g)));
    }
}

/* One MLP of width F: x (n, E) to out (n, E); scratch (2, n, F). */
typedef struct {
    const float *gate, *gate_bias, *up, *up_bias, *down, *down_bias;
    const float *norm; /* of the inside, or NULL */
    size_t F;
    double sparsity; /* share of the gate that is cut */
} mlp;

/* z with Phi(z) = p, by halving: erfc is exact to the last digits. */
static double normal_quantile(double p)
{
    double low = -10, high = 10;

    for (int i = 0; i < 80; i++) {
        const double z = (low + high) / 2;

        if (0.5 * erfc(-z / sqrt(2.0)) < p)
            low = z;
        else
            high = z;
    }
    return low;
}

/*
 * Gemma 3n (gaussian top-k): of each row stays what exceeds mean + z std, z the normal
 * quantile of the share that is to go.
 */
static void cut_low(float *x, size_t n, size_t F, double share)
{
    const double z = normal_quantile(share);

    for (size_t t = 0; t < n; t++, x += F) {
        double sum = 0, square = 0;

        for (size_t i = 0; i < F; i++)
            sum += (double)x[i];
        for (size_t i = 0; i < F; i++) {
            const double d = (double)x[i] - sum / (double)F;

            square += d * d;
        }
        const double limit = sum / (double)F + z * sqrt(square / (double)F);

        for (size_t i = 0; i < F; i++)
            x[i] = (double)x[i] > limit ? (float)((double)x[i] - limit) : 0;
    }
}

static void run_mlp(const mls_config *c, const mls_layer *w, const mlp *m, float *out,
                    const float *x, size_t n, float *scratch)
{
    const size_t E = c->E, F = m->F;
    float *gate = scratch, *up = scratch + n * F;

    if (!m->gate) {
        mls_packed_linear(w->packed, gate, F, x, m->up, m->up_bias, n, F, E);
        mls_block_activate(c, w, gate, n * F);
    } else {
        mls_packed_linear(w->packed, gate, F, x, m->gate, m->gate_bias, n, F, E);
        mls_packed_linear(w->packed, up, F, x, m->up, m->up_bias, n, F, E);
        if (m->sparsity > 0)
            cut_low(gate, n, F, m->sparsity);
        if (c->net.act == MLS_ACT_SILU) {
            mls_silu_mul(gate, up, n * F);
        } else if (c->net.act == MLS_ACT_OAI) {
            gated_oai(gate, up, n * F);
        } else {
            mls_block_activate(c, w, gate, n * F);
            mls_multiply(gate, up, n * F);
        }
    }
    if (m->norm)
        mls_rmsnorm(gate, gate, m->norm, c->rms_eps, n, F);
    mls_packed_linear(w->packed, out, E, gate, m->down, m->down_bias, n, E, F);
}

/* ---- experts ---- */

static double sigmoid(double z)
{
    return 1 / (1 + exp(-z));
}

/* The best of n that is not taken; the first of equals. */
static size_t best_of(const double *score, size_t n)
{
    size_t best = 0;

    for (size_t i = 1; i < n; i++)
        if (score[i] > score[best])
            best = i;
    return best;
}

/* Experts of all but the best groups cannot be chosen. */
static void keep_groups(const mls_experts *x, double *choose)
{
    const size_t size = x->n / x->groups;
    double score[MLS_EXPERTS_MAX];
    bool kept[MLS_EXPERTS_MAX] = {false};

    for (size_t g = 0; g < x->groups; g++) {
        double first = -INFINITY, second = -INFINITY;

        for (size_t i = g * size; i < (g + 1) * size; i++) {
            if (choose[i] > first) {
                second = first;
                first = choose[i];
            } else if (choose[i] > second) {
                second = choose[i];
            }
        }
        score[g] = x->best_two ? first + second : first;
    }
    for (size_t k = 0; k < x->top_groups; k++) {
        const size_t g = best_of(score, x->groups);

        kept[g] = true;
        score[g] = -INFINITY;
    }
    for (size_t i = 0; i < x->n; i++)
        if (!kept[i / size])
            choose[i] = -INFINITY;
}

/*
 * Phi-3.5-MoE (arXiv 2409.12136, inference): the best logit, weighed by a softmax over
 * those within 2 `near` of it, relative to the larger of both; then again without it.
 */
static void route_mixer(const mls_experts *x, const float *logits, float *weight)
{
    double left[MLS_EXPERTS_MAX];

    for (size_t i = 0; i < x->n; i++) {
        left[i] = (double)logits[i];
        weight[i] = 0;
    }
    for (size_t k = 0; k < x->top_k; k++) {
        const size_t best = best_of(left, x->n);
        const double most = left[best];
        double sum = 0;

        for (size_t i = 0; i < x->n; i++) {
            const double larger = fmax(fabs((double)logits[i]), most);

            if (isfinite(left[i]) && (most - (double)logits[i]) / larger <= 2 * x->near)
                sum += exp(left[i] - most);
        }
        weight[best] = (float)(1 / sum);
        left[best] = -INFINITY;
    }
}

/* weight (n): of the chosen experts of one token, 0 of the others. */
static void route(const mls_experts *x, const float *correction, const float *logits,
                  float *weight)
{
    double score[MLS_EXPERTS_MAX], choose[MLS_EXPERTS_MAX], sum = 0;
    const double lse = mls_logsumexp(logits, x->n);

    if (x->routing == MLS_ROUTE_MIXER) {
        route_mixer(x, logits, weight);
        return;
    }
    for (size_t i = 0; i < x->n; i++) {
        score[i] = x->routing == MLS_ROUTE_SOFTMAX ? exp((double)logits[i] - lse)
                                                   : sigmoid((double)logits[i]);
        choose[i] = (x->by_logit ? (double)logits[i] : score[i]) +
                    (correction ? (double)correction[i] : 0);
        weight[i] = 0;
    }
    if (x->groups)
        keep_groups(x, choose);
    for (size_t k = 0; k < x->top_k; k++) {
        const size_t i = best_of(choose, x->n);

        choose[i] = -INFINITY;
        weight[i] = (float)score[i];
        sum += score[i];
    }
    for (size_t i = 0; i < x->n; i++)
        if (weight[i] != 0)
            weight[i] =
                (float)((double)weight[i] * (x->normalize ? x->scale / sum : x->scale));
}

static mlp expert_of(const mls_config *c, const mls_layer *w, size_t i)
{
    const size_t E = c->E, F = c->net.experts.F;

    return (mlp){
        .gate = w->expert_gate ? w->expert_gate + i * F * E : NULL,
        .gate_bias = w->expert_gate_bias ? w->expert_gate_bias + i * F : NULL,
        .up = w->expert_up + i * F * E,
        .up_bias = w->expert_up_bias ? w->expert_up_bias + i * F : NULL,
        .down = w->expert_down + i * F * E,
        .down_bias = w->expert_down_bias ? w->expert_down_bias + i * E : NULL,
        .F = F,
    };
}

/* out += what one expert makes of the tokens that chose it. */
static void add_expert(const mls_config *c, const mls_layer *w, size_t i, float *out,
                       const float *x, const float *weight, size_t n, float *scratch)
{
    const mls_experts *e = &c->net.experts;
    const mlp m = expert_of(c, w, i);
    const size_t E = c->E;
    float *in = scratch, *made = in + n * E, *inner = made + n * E;
    size_t k = 0;

    for (size_t t = 0; t < n; t++) {
        const float by = weight[t * e->n + i];

        if (by == 0)
            continue;
        for (size_t j = 0; j < E; j++)
            in[k * E + j] =
                e->routing == MLS_ROUTE_INPUT ? by * x[t * E + j] : x[t * E + j];
        k++;
    }
    if (k == 0)
        return;
    run_mlp(c, w, &m, made, in, k, inner);
    k = 0;
    for (size_t t = 0; t < n; t++) {
        const float by = weight[t * e->n + i];

        if (by == 0)
            continue;
        for (size_t j = 0; j < E; j++)
            out[t * E + j] +=
                e->routing == MLS_ROUTE_INPUT ? made[k * E + j] : by * made[k * E + j];
        k++;
    }
}

static void add_shared(const mls_config *c, const mls_layer *w, float *out,
                       const float *x, size_t n, float *scratch)
{
    const mlp m = {.gate = w->shared_gate,
                   .up = w->shared_up,
                   .down = w->shared_down,
                   .F = c->net.experts.shared_F};
    const size_t E = c->E;
    float *made = scratch, *inner = made + n * E;

    run_mlp(c, w, &m, made, x, n, inner);
    for (size_t t = 0; t < n; t++) {
        double by = 1;

        if (w->shared_weight) {
            float z;

            mls_linear(&z, x + t * E, w->shared_weight, NULL, 1, 1, E);
            by = sigmoid((double)z);
        }
        for (size_t j = 0; j < E; j++)
            out[t * E + j] += (float)(by * (double)made[t * E + j]);
    }
}

/* Experts are chosen by what `chooses`, and make something of x. */
static void run_experts(const mls_config *c, const mls_layer *w, float *out,
                        const float *x, const float *chooses, size_t n, float *scratch)
{
    const mls_experts *e = &c->net.experts;
    float *sum = scratch, *weight = sum + n * c->E, *logits = weight + n * e->n;
    float *rest = logits + n * e->n;

    mls_linear(logits, chooses, w->router, w->router_bias, n, e->n, c->E);
    for (size_t t = 0; t < n; t++)
        route(e, w->correction, logits + t * e->n, weight + t * e->n);
    memset(sum, 0, n * c->E * sizeof *sum);
    for (size_t i = 0; i < e->n; i++)
        add_expert(c, w, i, sum, x, weight, n, rest);
    if (e->shared_F)
        add_shared(c, w, sum, x, n, rest);
    memcpy(out, sum, n * c->E * sizeof *out);
}

size_t mls_block_scratch(const mls_config *config, size_t n)
{
    const mls_experts *e = &config->net.experts;
    size_t wide = e->F > e->shared_F ? e->F : e->shared_F;

    for (size_t l = 0; l < config->L; l++)
        if (mls_config_mlp_width(config, l) > wide)
            wide = mls_config_mlp_width(config, l);
    return n * ((e->beside ? 5 : 3) * config->E + 2 * e->n + 2 * wide);
}

void mls_block_mlp(const mls_config *config, const mls_layer *layer, float *out,
                   const float *x, size_t n, float *scratch)
{
    const mlp m = {.gate = layer->w_gate,
                   .gate_bias = layer->b_gate,
                   .up = layer->w_up,
                   .up_bias = layer->b_up,
                   .down = layer->w_down,
                   .down_bias = layer->b_down,
                   .norm = layer->mlp_sub_norm,
                   .F = mls_config_mlp_width(config, layer->index),
                   .sparsity = (double)config->layer[layer->index].sparsity};

    if (config->net.sparse[layer->index] && !config->net.experts.beside)
        run_experts(config, layer, out, x, x, n, scratch);
    else
        run_mlp(config, layer, &m, out, x, n, scratch);
}

void mls_block_add_experts(const mls_config *config, const mls_layer *layer, float *out,
                           const float *h, size_t n, float *scratch)
{
    const size_t E = config->E;
    float *chooses = scratch, *x = chooses + n * E, *rest = x + n * E;

    mls_rmsnorm(chooses, h, NULL, config->rms_eps, n, E); /* its gain is the router's */
    mls_rmsnorm(x, h, layer->experts_norm, config->rms_eps, n, E);
    run_experts(config, layer, x, x, chooses, n, rest);
    mls_rmsnorm(x, x, layer->experts_post_norm, config->rms_eps, n, E);
    mls_rmsnorm(out, out, layer->beside_post_norm, config->rms_eps, n, E);
    mls_add(out, x, n * E);
}
