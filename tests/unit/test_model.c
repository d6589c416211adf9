#include "tests/support/expect.h"

#include "analysis/model/model.h"

static mls_model *open_demo(void)
{
    mls_model *m;

    assert_ok(mls_model_open(&m, test_source("datasets/demo"), &err));
    return m;
}

static void an_id_outside_the_vocabulary_is_refused(void **state)
{
    (void)state;
    mls_model *m = open_demo();
    float *x = malloc(3 * mls_model_config(m)->E * sizeof *x);
    const int32_t high[] = {0, 2047, 2048}, low[] = {5, -1, 0};

    assert_non_null(x);
    assert_refused(mls_model_embed(m, high, 3, x, &err), MLS_E_INPUT,
                   "token 2 has id 2048, the model's vocabulary has 2048");
    assert_refused(mls_model_embed(m, low, 3, x, &err), MLS_E_INPUT,
                   "token 1 has id -1");
    free(x);
    mls_model_close(m);
}

static void a_layer_that_is_not_there_is_refused(void **state)
{
    (void)state;
    mls_model *m = open_demo();
    mls_layer layer;

    assert_refused(mls_model_layer(m, 6, &layer, &err), MLS_E_ARG,
                   "layer 6 of a model with 6 layers");
    assert_null(layer.wq);
    mls_model_close(m);
}

static void the_attention_part_is_read_without_the_mlp(void **state)
{
    (void)state;
    mls_model *m = open_demo();
    const mls_config *c = mls_model_config(m);
    mls_layer part, whole_layer;

    assert_ok(mls_model_attention(m, 3, &part, &err));
    assert_ok(mls_model_layer(m, 3, &whole_layer, &err));
    assert_true(part.attn_norm && part.wq && part.wk && part.wv && part.wo);
    assert_true(!part.mlp_norm && !part.w_gate && !part.w_up && !part.w_down);
    assert_true(!part.bq && !part.q_norm); /* this model has none */
    assert_memory_equal(part.wo, whole_layer.wo, c->E * c->H * c->D * sizeof(float));
    mls_layer_free(&whole_layer);
    mls_layer_free(&part);
    mls_layer_free(&part); /* {0} is accepted */
    mls_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_outside_the_vocabulary_is_refused),
        cmocka_unit_test(a_layer_that_is_not_there_is_refused),
        cmocka_unit_test(the_attention_part_is_read_without_the_mlp),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
