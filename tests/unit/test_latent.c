/* Latent forms: exact where they should be, refused where they cannot be. */
#include "tests/support/random_layer.h"

#include "analysis/model/rope.h"

static void make(random_layer *s, size_t H, size_t G, size_t D, bool biases,
                 bool qk_norm)
{
    mls_rng rng;

    mls_rng_seed(&rng, 5, H * 100 + G * 10 + D + biases);
    random_layer_make(s, &rng, H, G, D, biases, qk_norm);
}

static void expect_same(const float *got, const float *want, double tolerance)
{
    double top = 0;

    for (size_t i = 0; i < T * E; i++)
        top = fmax(top, fabs((double)want[i]));
    for (size_t i = 0; i < T * E; i++)
        assert_close((double)got[i], (double)want[i], tolerance * top);
}

static const struct {
    size_t H, G, D;
    bool biases, qk_norm;
} shapes[] = {
    {4, 4, 8, false, false}, {6, 2, 8, false, false}, {6, 1, 16, true, false},
    {4, 2, 12, true, false}, {4, 2, 8, false, true},  {3, 3, 6, true, true},
};

static void the_identity_form_is_the_models_own_attention(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int absorbed = 0; absorbed < 2; absorbed++) {
            random_layer s;
            mls_latent_form f;

            make(&s, shapes[i].H, shapes[i].G, shapes[i].D, shapes[i].biases,
                 shapes[i].qk_norm);
            assert_ok(mls_latent_identity(&f, &s.config, &s.layer, &err));
            assert_int_equal(mls_latent_elements(&f), 2 * shapes[i].G * shapes[i].D);
            latent_attention(&f, &s, absorbed, s.got);
            expect_same(s.got, s.want, 1e-5);
            mls_latent_free(&f);
            random_layer_free(&s);
        }
}

/*
 * All keys and values of a layer in one latent, mixed by a random orthogonal matrix (a
 * product of reflections), so that reading back is a real matrix product.
 */
static void mixed_form(mls_latent_form *f, const random_layer *s)
{
    const size_t G = s->config.G, D = s->config.D, R = 2 * G * D;
    double *mix = calloc(R * R, sizeof *mix);
    float *w = malloc(R * E * sizeof *w), *b = calloc(R, sizeof *b);
    mls_rng rng;

    mls_rng_seed(&rng, 77, 0);
    for (size_t i = 0; i < R; i++)
        mix[i * R + i] = 1;
    for (int round = 0; round < 4; round++) {
        double u[256], square = 0;

        for (size_t i = 0; i < R; i++) {
            u[i] = mls_rng_normal(&rng);
            square += u[i] * u[i];
        }
        for (size_t i = 0; i < R; i++) {
            double dot = 0;

            for (size_t j = 0; j < R; j++)
                dot += mix[i * R + j] * u[j];
            for (size_t j = 0; j < R; j++)
                mix[i * R + j] -= 2 * dot * u[j] / square;
        }
    }
    memcpy(w, s->layer.wk, G * D * E * sizeof *w);
    memcpy(w + G * D * E, s->layer.wv, G * D * E * sizeof *w);
    if (s->layer.bk) {
        memcpy(b, s->layer.bk, G * D * sizeof *b);
        memcpy(b + G * D, s->layer.bv, G * D * sizeof *b);
    }
    assert_ok(mls_latent_begin(f, &s->config, 0, 1, 0, &err));
    f->latent[0] = (mls_latent_vector){.r = R,
                                       .down = mls_affine_shape(R, E, false),
                                       .holds_keys = true,
                                       .holds_values = true};
    for (size_t g = 0; g < G; g++)
        f->head[g] = (mls_read_head){.n_key = D,
                                     .key = mls_affine_shape(D, R, true),
                                     .rotation = MLS_ROTATE_AFTER_READ,
                                     .rope_key = MLS_NONE,
                                     .n_value = D,
                                     .value = mls_affine_shape(D, R, true)};
    assert_ok(mls_latent_start(f, &s->config, &s->layer, &err));
    for (size_t i = 0; i < R; i++) /* down = mix w */
        for (size_t e = 0; e < E; e++) {
            double sum = 0;

            for (size_t j = 0; j < R; j++)
                sum += mix[i * R + j] * (double)w[j * E + e];
            f->latent[0].down.w[i * E + e] = (float)sum;
        }
    for (size_t g = 0; g < G; g++) {
        mls_read_head *h = &f->head[g];

        for (size_t d = 0; d < D; d++) {
            for (size_t j = 0; j < R; j++) { /* rows of mix^T */
                h->key.w[d * R + j] = (float)mix[j * R + g * D + d];
                h->value.w[d * R + j] = (float)mix[j * R + (G + g) * D + d];
            }
            h->key.b[d] = b[g * D + d];
            h->value.b[d] = b[(G + g) * D + d];
        }
    }
    const mls_affine queries = mls_latent_queries(&s->config, &s->layer);

    mls_affine_put(&f->query, 0, &queries, NULL, queries.rows);
    free(mix);
    free(w);
    free(b);
}

static void one_mixed_latent_of_full_rank_loses_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        random_layer s;
        mls_latent_form f;

        make(&s, shapes[i].H, shapes[i].G, shapes[i].D, shapes[i].biases, false);
        mixed_form(&f, &s);
        latent_attention(&f, &s, false, s.got);
        expect_same(s.got, s.want, 1e-5);
        mls_latent_free(&f);
        random_layer_free(&s);
    }
}

static void absorbed_and_expanded_evaluation_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        random_layer s;
        mls_latent_form f;
        float *expanded;

        make(&s, shapes[i].H, shapes[i].G, shapes[i].D, shapes[i].biases, false);
        expanded = malloc(T * E * sizeof *expanded);
        mixed_form(&f, &s);
        /* Without rotation the scores can come straight from the latent. */
        for (size_t g = 0; g < s.config.G; g++)
            f.head[g].rotation = MLS_ROTATE_NEVER;
        latent_attention(&f, &s, false, expanded);
        latent_attention(&f, &s, true, s.got);
        expect_same(s.got, expanded, 1e-5);
        free(expanded);
        mls_latent_free(&f);
        random_layer_free(&s);
    }
}

static void a_shared_cache_is_the_other_layers_keys_and_values(void **state)
{
    random_layer s;
    mls_latent_form first, second;
    mls_latent_runner *r;
    const size_t start[] = {0, T};
    const mls_states states = {.N = 1, .E = E, .start = start, .T_max = T};

    (void)state;
    make(&s, 4, 2, 8, false, false);
    s.config.L = 2;
    mls_config_uniform(&s.config);
    assert_ok(mls_latent_identity(&first, &s.config, &s.layer, &err));
    s.layer.index = 1;
    assert_ok(mls_latent_identity(&second, &s.config, &s.layer, &err));
    second.share_layer = 0;
    memset(second.latent[0].down.w, 0, 8 * E * sizeof(float)); /* must not be used */
    assert_ok(mls_latent_runner_new(&r, T, 1, false, &err));
    assert_refused(mls_latent_runner_set(r, &second, NULL, &err), MLS_E_INPUT,
                   "was not kept");
    assert_ok(mls_latent_runner_set(r, &first, &states, &err));
    assert_ok(mls_latent_attention(r, 0, 0, s.x, T, s.got, NULL, &err));
    expect_same(s.got, s.want, 1e-5);
    assert_ok(mls_latent_runner_set(r, &second, NULL, &err));
    assert_ok(mls_latent_attention(r, 0, 0, s.x, T, s.got, NULL, &err));
    expect_same(s.got, s.want, 1e-5);
    mls_latent_runner_free(r);
    mls_latent_free(&first);
    mls_latent_free(&second);
    s.layer.index = 0;
    random_layer_free(&s);
}

static void a_token_budget_keeps_the_first_tokens_and_the_newest(void **state)
{
    random_layer s;
    mls_latent_form f;

    (void)state;
    make(&s, 4, 2, 8, false, false);
    assert_ok(mls_latent_identity(&f, &s.config, &s.layer, &err));
    f.token_budget = 0.5;
    latent_attention(&f, &s, false, s.got);
    /* Up to MLS_BUDGET_SINKS + 1 tokens nothing is dropped. */
    for (size_t i = 0; i < (MLS_BUDGET_SINKS + 1) * E; i++)
        assert_close((double)s.got[i], (double)s.want[i], 1e-4);
    double change = 0;
    for (size_t i = (T - 1) * E; i < T * E; i++)
        change += fabs((double)s.got[i] - (double)s.want[i]);
    assert_true(change > 1e-2);
    f.token_budget = 1.0 - 1e-9; /* by the other code path: all tokens are kept */
    latent_attention(&f, &s, false, s.got);
    expect_same(s.got, s.want, 1e-5);
    mls_latent_free(&f);
    random_layer_free(&s);
}

static void the_layout_counts_what_is_cached(void **state)
{
    random_layer s;
    mls_latent_form f;
    mls_cache_layer layer;
    size_t total = 0;

    (void)state;
    make(&s, 6, 2, 8, false, false);
    assert_ok(mls_latent_identity(&f, &s.config, &s.layer, &err));
    assert_ok(mls_latent_layout(&f, &layer, &err));
    assert_int_equal(layer.n_parts, 2);
    for (size_t i = 0; i < layer.n_parts; i++) {
        total += layer.part[i].n * layer.part[i].count;
        assert_false(layer.part[i].shared);
        assert_true(layer.part[i].kind == MLS_PART_KEY ||
                    layer.part[i].kind == MLS_PART_VALUE);
    }
    assert_int_equal(total, 2 * 2 * 8);
    /* Queries, output, keys and values of the plain layer. */
    assert_int_equal(mls_latent_parameters(&f), 2 * 6 * 8 * E + 2 * 2 * 8 * E);
    mls_latent_free(&f);
    mixed_form(&f, &s);
    assert_ok(mls_latent_layout(&f, &layer, &err));
    assert_int_equal(layer.n_parts, 1);
    assert_int_equal(layer.part[0].kind, MLS_PART_LATENT);
    assert_true(layer.part[0].shared);
    mls_latent_free(&f);
    random_layer_free(&s);
}

static void inconsistent_forms_are_refused(void **state)
{
    random_layer s;
    mls_latent_form f;

    (void)state;
    make(&s, 4, 2, 8, false, false);
    assert_ok(mls_latent_identity(&f, &s.config, &s.layer, &err));
    f.head[1].value_latent = 2;
    assert_refused(mls_latent_check(&f, &err), MLS_E_INPUT, "value latent 2");
    f.head[1].value_latent = 1;
    f.rope_key[0].n = 7;
    assert_refused(mls_latent_check(&f, &err), MLS_E_INPUT, "even number");
    f.rope_key[0].n = 8;
    f.head[0].n_value = 9;
    assert_refused(mls_latent_check(&f, &err), MLS_E_INPUT, "9 value dims");
    f.head[0].n_value = 8;
    f.token_budget = 0;
    assert_refused(mls_latent_check(&f, &err), MLS_E_INPUT, "token budget");
    mls_latent_free(&f);
    random_layer_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_identity_form_is_the_models_own_attention),
        cmocka_unit_test(one_mixed_latent_of_full_rank_loses_nothing),
        cmocka_unit_test(absorbed_and_expanded_evaluation_agree),
        cmocka_unit_test(a_shared_cache_is_the_other_layers_keys_and_values),
        cmocka_unit_test(a_token_budget_keeps_the_first_tokens_and_the_newest),
        cmocka_unit_test(the_layout_counts_what_is_cached),
        cmocka_unit_test(inconsistent_forms_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
