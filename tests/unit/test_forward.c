#include "tests/support/expect.h"

#include "analysis/model/forward.h"

static mls_model *open_demo(void)
{
    mls_model *m;

    assert_ok(mls_model_open(&m, test_source("datasets/demo"), &err));
    return m;
}

/*
 * What the view shows must be what the layer computed: checked from x by its formulas.
 */
typedef struct {
    const mls_layer *layer;
    const mls_config *config;
    size_t calls;
} watcher;

static void look(void *arg, const mls_attention_view *view)
{
    watcher *w = arg;
    const mls_config *c = w->config;
    const size_t HD = c->H * c->D, GD = c->G * c->D, half = c->D / 2;

    w->calls++;
    assert_int_equal(view->layer, w->layer->index);
    for (size_t t = 0; t < view->T; t += 3)
        for (size_t i = 0; i < GD; i += 5) {
            double k = 0, v = 0;

            for (size_t e = 0; e < c->E; e++) {
                const double x = (double)view->x[t * c->E + e];

                k += x * (double)w->layer->wk[i * c->E + e];
                v += x * (double)w->layer->wv[i * c->E + e];
            }
            assert_close(view->k[t * GD + i], k, 1e-4);
            assert_close(view->v[t * GD + i], v, 1e-4);
        }
    for (size_t t = 0; t < view->T; t++)
        for (size_t h = 0; h < c->H; h++)
            for (size_t i = 0; i < half; i++) {
                const float *q = view->q + t * HD + h * c->D;
                const float *rot = view->q_rot + t * HD + h * c->D;
                const double angle =
                    (double)t * pow(c->rope.theta, -2.0 * (double)i / (double)c->D);

                assert_close(
                    rot[i],
                    (double)q[i] * cos(angle) - (double)q[i + half] * sin(angle), 1e-5);
                assert_close(
                    rot[i + half],
                    (double)q[i + half] * cos(angle) + (double)q[i] * sin(angle), 1e-5);
            }
}

static void the_view_shows_every_sequence_once_as_the_layer_saw_it(void **state)
{
    (void)state;
    mls_model *m = open_demo();
    int32_t ids[30];
    size_t start[] = {0, 10, 11, 30};
    const mls_corpus corpus = {.ids = ids, .n_ids = 30, .start = start, .N = 3};
    mls_states states;
    mls_own_attention plain;
    mls_pool *pool;
    mls_layer layer;

    for (int i = 0; i < 30; i++)
        ids[i] = 37 * i + 5;
    assert_ok(mls_pool_new(&pool, 1, &err));
    assert_ok(mls_states_embed(&states, m, &corpus, &err));
    assert_ok(
        mls_own_attention_new(&plain, mls_model_config(m), states.T_max, 1, &err));
    assert_ok(mls_model_layer(m, 0, &layer, &err));
    watcher w = {.layer = &layer, .config = mls_model_config(m)};
    plain.layer = &layer;
    plain.see = look;
    plain.see_arg = &w;
    assert_ok(mls_layer_forward(w.config, &layer, &states, mls_own_attention_run,
                                &plain, pool, &err));
    assert_int_equal(w.calls, 3);
    mls_layer_free(&layer);
    mls_own_attention_free(&plain);
    mls_states_free(&states);
    mls_pool_free(pool);
    mls_model_close(m);
}

static void a_state_that_is_not_finite_is_named(void **state)
{
    (void)state;
    mls_model *m = open_demo();
    const mls_config *c = mls_model_config(m);
    int32_t ids[600] = {0};
    size_t start[] = {0, 290, 600};
    const mls_corpus corpus = {.ids = ids, .n_ids = 600, .start = start, .N = 2};
    mls_states states;
    mls_own_attention plain;
    mls_pool *pool;
    mls_layer layer;

    assert_ok(mls_pool_new(&pool, 2, &err));
    assert_ok(mls_states_embed(&states, m, &corpus, &err));
    assert_ok(mls_own_attention_new(&plain, c, states.T_max, 2, &err));
    assert_ok(mls_model_layer(m, 2, &layer, &err));
    plain.layer = &layer;
    states.h[(290 + 256) * c->E + 7] = INFINITY; /* earlier blocks do not see it */
    assert_refused(mls_layer_forward(c, &layer, &states, mls_own_attention_run, &plain,
                                     pool, &err),
                   MLS_E_NUMERIC, "layer 2, sequence 1, token 256");
    mls_layer_free(&layer);
    mls_own_attention_free(&plain);
    mls_states_free(&states);
    mls_pool_free(pool);
    mls_model_close(m);
}

/* What the head showed of one or two variants, all of it. */
typedef struct {
    const size_t *start;
    size_t V;
    float *logits[2]; /* (tokens, V) each */
} seen;

static mls_status keep(void *arg, const mls_logits_view *view, mls_err *err)
{
    const seen *s = arg;
    const size_t at = s->start[view->sequence] + view->first;

    (void)err;
    memcpy(s->logits[view->variant] + at * s->V, view->logits,
           view->n * s->V * sizeof(float));
    assert_memory_equal(view->reference, s->logits[0] + at * s->V,
                        view->n * s->V * sizeof(float));
    return MLS_OK;
}

static void variants_side_by_side_equal_each_alone(void **state)
{
    (void)state;
    mls_model *m = open_demo();
    const size_t V = mls_model_config(m)->V, bytes = 300 * V * sizeof(float);
    int32_t ids[300];
    size_t start[] = {0, 270, 300};
    const mls_corpus corpus = {.ids = ids, .n_ids = 300, .start = start, .N = 2};
    seen pair = {.start = start, .V = V};
    mls_head head[2];
    mls_states a, b;
    mls_pool *pool;

    for (int i = 0; i < 300; i++)
        ids[i] = 6 * i + 1;
    assert_ok(mls_pool_new(&pool, 2, &err));
    assert_ok(mls_states_embed(&a, m, &corpus, &err));
    assert_ok(mls_states_copy(&b, &a, &err));
    assert_true(a.h != b.h && a.T_max == 270 && b.T_max == 270);
    for (size_t i = 0; i < 300 * a.E; i++)
        b.h[i] += 0.01f * (float)(i % 7);

    const mls_states *both[] = {&a, &b};
    for (size_t i = 0; i < 2; i++) {
        pair.logits[i] = malloc(bytes);
        assert_non_null(pair.logits[i]);
    }
    assert_ok(mls_model_head(m, &head[0], &err));
    head[1] = head[0];
    mls_head_variants v = {
        .config = mls_model_config(m), .n = 2, .s = both, .head = head, .rows = 64};
    assert_ok(mls_head_forward_variants(&v, keep, &pair, pool, &err));
    assert_true(memcmp(pair.logits[0], pair.logits[1], V * sizeof(float)) != 0);
    for (size_t i = 0; i < 2; i++) {
        seen alone = {.start = start, .V = V};

        alone.logits[0] = malloc(bytes);
        assert_non_null(alone.logits[0]);
        v.n = 1;
        v.s = &both[i];
        assert_ok(mls_head_forward_variants(&v, keep, &alone, pool, &err));
        assert_memory_equal(pair.logits[i], alone.logits[0], bytes);
        free(alone.logits[0]);
        free(pair.logits[i]);
    }
    mls_head_free(&head[0]);
    mls_states_free(&a);
    mls_states_free(&b);
    mls_pool_free(pool);
    mls_model_close(m);
}

static mls_status fail_second(void *arg, size_t sequence, size_t worker, const float *x,
                              size_t T, float *out, float *carried, mls_err *err)
{
    (void)carried;
    (void)arg;
    (void)worker;
    (void)x;
    if (sequence == 1)
        return mls_fail(err, MLS_E_NUMERIC, "no second sequence");
    memset(out, 0, T * 256 * sizeof *out);
    return MLS_OK;
}

static void the_error_of_an_attention_ends_the_layer(void **state)
{
    (void)state;
    mls_model *m = open_demo();
    int32_t ids[] = {1, 2, 3, 4};
    size_t start[] = {0, 2, 4};
    const mls_corpus corpus = {.ids = ids, .n_ids = 4, .start = start, .N = 2};
    mls_states states;
    mls_pool *pool;
    mls_layer layer;

    assert_ok(mls_pool_new(&pool, 2, &err));
    assert_ok(mls_states_embed(&states, m, &corpus, &err));
    assert_ok(mls_model_layer(m, 0, &layer, &err));
    assert_refused(mls_layer_forward(mls_model_config(m), &layer, &states, fail_second,
                                     NULL, pool, &err),
                   MLS_E_NUMERIC, "no second sequence");
    mls_layer_free(&layer);
    mls_states_free(&states);
    mls_pool_free(pool);
    mls_model_close(m);
}

static void nll_of_equal_logits_is_the_log_of_their_number(void **state)
{
    (void)state;
    float logits[1000];

    for (size_t i = 0; i < 1000; i++)
        logits[i] = -3.5f;
    assert_close(mls_nll(logits, 1000, 7), log(1000), 1e-13);
    logits[7] = 1e30f;
    assert_close(mls_nll(logits, 1000, 7), 0, 0);
    assert_close(mls_nll(logits, 1000, 8), 1e30, 1e24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_view_shows_every_sequence_once_as_the_layer_saw_it),
        cmocka_unit_test(a_state_that_is_not_finite_is_named),
        cmocka_unit_test(variants_side_by_side_equal_each_alone),
        cmocka_unit_test(the_error_of_an_attention_ends_the_layer),
        cmocka_unit_test(nll_of_equal_logits_is_the_log_of_their_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
