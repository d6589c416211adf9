/* Small latent forms of every structure, numbers by formula (reference/heal.py). */
#ifndef MLS_HEAL_FIXTURE_H
#define MLS_HEAL_FIXTURE_H

#include "tests/support/expect.h"

#include "analysis/heal/parameters.h"
#include "analysis/latent/latent.h"

enum { HEAL_T = 11, HEAL_E = 12, HEAL_H = 4, HEAL_G = 2, HEAL_D = 6 };

typedef struct heal_case {
    const char *name;
    const char *keys; /* "shared", "per-head", "after-read", "rotated", "plain" */
    bool biases, norms, qk_norm;
    size_t q_rank, window;
    double budget; /* kept share of tokens; 0: all */
    bool shares;
} heal_case;

static const heal_case heal_cases[] = {
    {.name = "shared", .keys = "shared"},
    {.name = "shared-all",
     .keys = "shared",
     .biases = true,
     .norms = true,
     .q_rank = 5},
    {.name = "per-head", .keys = "per-head", .biases = true},
    {.name = "after-read", .keys = "after-read", .biases = true},
    {.name = "after-read-qk-norm",
     .keys = "after-read",
     .qk_norm = true,
     .norms = true},
    {.name = "rotated", .keys = "rotated", .biases = true},
    {.name = "rotated-qk-norm", .keys = "rotated", .qk_norm = true, .q_rank = 7},
    {.name = "plain-window", .keys = "plain", .biases = true, .window = 4},
    {.name = "budget", .keys = "shared", .budget = 0.6},
    {.name = "sharing", .keys = "per-head", .biases = true, .shares = true},
};
enum { HEAL_CASES = sizeof heal_cases / sizeof heal_cases[0] };

static inline void heal_frequencies(double *x, size_t n, double base)
{
    for (size_t i = 0; i < n; i++)
        x[i] = base / (double)(i + 1);
}

static inline void heal_latent(mls_latent_form *f, size_t i, size_t r, bool keys,
                               bool values, const heal_case *c)
{
    mls_latent_vector *v = &f->latent[i];

    v->r = r;
    v->holds_keys = keys;
    v->holds_values = values;
    v->down = mls_affine_shape(r, HEAL_E, c->biases);
    v->norm.n = c->norms ? r : 0;
}

static inline void heal_read_key(mls_read_head *h, int latent, size_t n, size_t r,
                                 const heal_case *c)
{
    h->key_latent = latent;
    h->n_key = n;
    h->key = mls_affine_shape(n, r, c->biases);
}

static inline void heal_read_value(mls_read_head *h, int latent, size_t n, size_t r,
                                   const heal_case *c)
{
    h->value_latent = latent;
    h->n_value = n;
    h->value = mls_affine_shape(n, r, c->biases);
}

static inline void heal_keys_with_rope(mls_latent_form *f, const heal_case *c)
{
    heal_latent(f, 0, 5, true, true, c);
    for (size_t b = 0; b < f->n_rope_keys; b++) {
        mls_rope_key *k = &f->rope_key[b];

        k->n = f->n_rope_keys == 1 ? 4 : 2;
        k->map = mls_affine_shape(k->n, HEAL_E, c->biases);
    }
    for (size_t g = 0; g < HEAL_G; g++) {
        heal_read_key(&f->head[g], 0, 3, 5, c);
        heal_read_value(&f->head[g], 0, HEAL_D, 5, c);
        f->head[g].rope_key = f->n_rope_keys == 1 ? 0 : (int)g;
    }
}

/* Keys in latents 0 .. G - 1, values in those that follow, read as they are. */
static inline void heal_keys_of_heads(mls_latent_form *f, const heal_case *c)
{
    const bool rotated = strcmp(c->keys, "rotated") == 0;
    const bool plain = strcmp(c->keys, "plain") == 0;

    for (size_t g = 0; g < HEAL_G; g++) {
        mls_read_head *h = &f->head[g];
        mls_latent_vector *v = &f->latent[g];

        if (rotated) {
            *v = (mls_latent_vector){.r = g == 0 ? 4 : HEAL_D,
                                     .source = MLS_LATENT_OF_ROT_KEY,
                                     .head = g,
                                     .holds_keys = true};
            if (g == 0) {
                v->down = mls_affine_shape(4, HEAL_D, false);
                heal_read_key(h, 0, HEAL_D, 4, c);
            }
        } else {
            heal_latent(f, g, plain ? HEAL_D : 3, true, false, c);
            if (!plain)
                heal_read_key(h, (int)g, HEAL_D, 3, c);
        }
        h->key_latent = (int)g;
        h->n_key = HEAL_D;
        h->rotation = rotated ? MLS_ROTATE_BEFORE
                      : plain ? MLS_ROTATE_NEVER
                              : MLS_ROTATE_AFTER_READ;
        heal_latent(f, HEAL_G + g, 4, false, true, c);
        h->value_latent = (int)(HEAL_G + g);
        h->n_value = 4;
    }
    if (rotated)
        f->key = mls_affine_shape(HEAL_G * HEAL_D, HEAL_E, c->biases);
}

/* The form of a case. Release with mls_latent_free(). */
static inline void heal_form(mls_latent_form *f, const heal_case *c)
{
    const bool shared = strcmp(c->keys, "shared") == 0;
    const bool rope = shared || strcmp(c->keys, "per-head") == 0;
    mls_parameters p;

    *f = (mls_latent_form){.E = HEAL_E,
                           .H = HEAL_H,
                           .G = HEAL_G,
                           .D = HEAL_D,
                           .n_latents = rope ? 1 : 2 * HEAL_G,
                           .n_rope_keys = !rope    ? 0
                                          : shared ? 1
                                                   : HEAL_G,
                           .scale = 0.6,
                           .norm_eps = 1e-3,
                           .sliding_window = c->window,
                           .share_layer = MLS_NONE,
                           .token_budget = c->budget > 0 ? c->budget : 1.0,
                           .q_rank = c->q_rank};
    f->latent = calloc(f->n_latents, sizeof *f->latent);
    f->rope_key = calloc(f->n_rope_keys + 1, sizeof *f->rope_key);
    f->head = calloc(HEAL_G, sizeof *f->head);
    for (size_t g = 0; g < HEAL_G; g++)
        f->head[g] = (mls_read_head){.key_latent = MLS_NONE, .rope_key = MLS_NONE};
    if (rope)
        heal_keys_with_rope(f, c);
    else
        heal_keys_of_heads(f, c);
    f->turns = true;
    if (c->q_rank) {
        f->q_down = mls_affine_shape(c->q_rank, HEAL_E, c->biases);
        f->q_down_norm.n = c->norms ? c->q_rank : 0;
    }
    f->query.biased = f->output.biased = c->biases;
    f->q_norm.n = f->k_norm.n = c->qk_norm ? HEAL_D : 0;
    assert_ok(mls_latent_allocate(f, &err));
    heal_frequencies(f->inv_freq, HEAL_D / 2, 0.9);
    for (size_t b = 0; b < f->n_rope_keys; b++)
        heal_frequencies(f->rope_key[b].inv_freq, f->rope_key[b].n / 2,
                         0.7 + 0.2 * (double)b);
    assert_ok(mls_parameters_of(&p, f, &err));
    for (size_t a = 0; a < p.n_arrays; a++)
        for (size_t i = 0; i < p.array[a].rows * p.array[a].cols; i++) {
            const double wave = sin(1.7 * (double)(i + 1) * (double)(a + 2));

            p.array[a].at[i] =
                (float)(p.array[a].role == MLS_PARAMETER_NORM ? 1 + 0.3 * wave
                                                              : 0.4 * wave);
        }
    mls_parameters_free(&p);
    /* Only afterwards, so that the cache that it leaves alone has numbers, too. */
    if (c->shares) {
        f->layer = 1;
        f->share_layer = 0;
    }
    assert_ok(mls_latent_check(f, &err));
}

/* Input, gradient of the loss by the output, shared keys and values: any numbers. */
static inline double heal_wave(size_t i, double step)
{
    return sin(step * (double)(i + 1) + 0.013 * (double)(i * i));
}

#endif
