/* One random layer without a checkpoint; plain attention with it is the truth. */
#include "tests/support/random_layer.h"

float *random_floats(mls_rng *rng, size_t n, double scale)
{
    float *x = malloc(n * sizeof *x);

    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(scale * mls_rng_normal(rng));
    return x;
}

void plain_attention(const random_layer *s, float *out)
{
    mls_own_attention p;

    assert_ok(mls_own_attention_new(&p, &s->config, T, 1, &err));
    p.layer = &s->layer;
    assert_ok(mls_own_attention_run(&p, 0, 0, s->x, T, out, NULL, &err));
    mls_own_attention_free(&p);
}

void latent_attention(const mls_latent_form *f, const random_layer *s, bool absorbed,
                      float *out)
{
    mls_latent_runner *r;

    assert_ok(mls_latent_runner_new(&r, T, 1, absorbed, &err));
    assert_ok(mls_latent_runner_set(r, f, NULL, &err));
    assert_ok(mls_latent_attention(r, 0, 0, s->x, T, out, NULL, &err));
    mls_latent_runner_free(r);
}

void random_layer_make(random_layer *s, mls_rng *rng, size_t H, size_t G, size_t D,
                       bool biases, bool qk_norm)
{
    memset(s, 0, sizeof *s);
    s->config.L = 1;
    s->config.E = E;
    s->config.H = H;
    s->config.G = G;
    s->config.D = D;
    mls_config_uniform(&s->config);
    s->config.rms_eps = 1e-5;
    s->config.rope = (mls_rope_config){.theta = 100.0, .factor = 1};
    s->config.qkv_bias = s->config.o_bias = biases;
    s->config.qk_norm = qk_norm;
    s->layer.wq = random_floats(rng, H * D * E, 0.2);
    s->layer.wk = random_floats(rng, G * D * E, 0.2);
    s->layer.wv = random_floats(rng, G * D * E, 0.2);
    s->layer.wo = random_floats(rng, E * H * D, 0.2);
    if (biases) {
        s->layer.bq = random_floats(rng, H * D, 0.3);
        s->layer.bk = random_floats(rng, G * D, 0.3);
        s->layer.bv = random_floats(rng, G * D, 0.3);
        s->layer.bo = random_floats(rng, E, 0.3);
    }
    if (qk_norm) {
        s->layer.q_norm = random_floats(rng, D, 1);
        s->layer.k_norm = random_floats(rng, D, 1);
    }
    s->x = random_floats(rng, T * E, 1);
    s->want = random_floats(rng, T * E, 1);
    s->got = random_floats(rng, T * E, 1);
    plain_attention(s, s->want);
}

void random_layer_stats(random_layer *s, mls_rng *rng)
{
    double *mix = malloc(E * E * sizeof *mix),
           *u = malloc(LAYER_TOKENS * E * sizeof *u);
    double *x = malloc(LAYER_TOKENS * E * sizeof *x);

    assert_ok(mls_layer_stats_new(&s->stats, &s->config, &err));
    s->stats.n_tokens = LAYER_TOKENS;
    for (size_t i = 0; i < E * E; i++)
        mix[i] = mls_rng_normal(rng) / sqrt(E);
    for (size_t i = 0; i < LAYER_TOKENS * E; i++)
        u[i] = mls_rng_normal(rng) * (1.0 + (double)(i % E) / E) + 0.2;
    mls_matmul(x, u, false, mix, true, LAYER_TOKENS, E, E);
    for (size_t i = 0; i < LAYER_TOKENS * E; i++)
        s->stats.x_mean[i % E] += x[i] / LAYER_TOKENS;
    mls_matmul(s->stats.x_second, x, true, x, false, E, E, LAYER_TOKENS);
    for (size_t i = 0; i < E * E; i++)
        s->stats.x_second[i] /= LAYER_TOKENS;
    for (size_t i = 0; i < s->stats.H * s->stats.C; i++)
        s->stats.q_norm[i] = 1.0 + mls_rng_uniform(rng);
    for (size_t i = 0; i < s->stats.G * s->stats.C; i++)
        s->stats.k_norm[i] = 1.0 + mls_rng_uniform(rng);
    free(mix);
    free(u);
    free(x);
}

void random_layer_free(random_layer *s)
{
    mls_layer_free(&s->layer);
    mls_layer_stats_free(&s->stats);
    free(s->x);
    free(s->want);
    free(s->got);
}
