/* TransMLA's two passes against PyTorch in float64 (tests/reference/transmla.py). */
#include "tests/support/demo.h"

#include "bench/evaluate/evaluate.h"
#include "bench/methods/transmla.h"

enum { N = 4, T = 24 };

static mls_method_input input(const demo *d)
{
    return (mls_method_input){.config = mls_model_config(d->model),
                              .model = d->model,
                              .capture = d->capture,
                              .pool = d->pool};
}

static int setup(void **state)
{
    static demo d;
    mls_corpus corpus = demo_tokens(N, T);

    d = demo_open(&corpus, 0);
    mls_corpus_free(&corpus);
    *state = &d;
    return 0;
}

static int teardown(void **state)
{
    demo_close(*state);
    return 0;
}

/* Sequence by sequence NLL of a setting. */
static void measure(double nll[N], const mls_method_input *in, const char *text)
{
    mls_corpus corpus = demo_tokens(N, T);
    mls_evaluation e;
    mls_setting s;
    mls_scheme scheme;

    assert_ok(mls_setting_parse(&s, text, &err));
    assert_ok(mls_scheme_uniform(&scheme, &s, in->config->L, &err));
    const mls_variant v = {.scheme = &scheme, .only_layer = MLS_NONE};
    assert_ok(mls_evaluate(&e, in, &corpus, &v, 1, NULL, NULL, &err));
    memcpy(nll, e.variant[0].seq_nll, N * sizeof *nll);
    mls_evaluation_free(&e);
    mls_scheme_free(&scheme);
    mls_corpus_free(&corpus);
}

/* The moments of the inputs that pass=2 sees, for the fold of a setting. */
static mls_layer_stats *second_pass(const mls_method_input *in, const char *text)
{
    mls_transmla p = {.pass = 2, .balance = 1};
    bool converted[MLS_LAYERS_MAX];
    mls_layer_stats *s;
    mls_setting setting;

    for (size_t l = 0; l < in->config->L; l++)
        converted[l] = true;
    assert_ok(mls_setting_parse(&setting, text, &err));
    assert_ok(mls_setting_size(&setting, "freqfold", 0, 1, 64, &p.freqfold, &err));
    assert_ok(mls_setting_size(&setting, "rope_dim", 0, 1, 64, &p.rope_dim, &err));
    p.collapse = in->config->D / p.rope_dim;
    assert_ok(mls_transmla_pass(&s, in, &p, converted, &err));
    return s;
}

static void both_passes_are_those_of_pytorch(void **state)
{
    const mls_method_input in = input(*state);
    const size_t L = in.config->L, E = in.config->E;
    FILE *f = fopen(test_source("tests/reference/transmla.txt"), "r");
    mls_layer_stats *s = NULL;
    char line[512];
    double nll[N], want[4];
    size_t n = 0, layers = 0, l;

    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "case ", 5) == 0) {
            mls_transmla_pass_free(s, L);
            s = strstr(line, "pass=2") ? second_pass(&in, line + 5) : NULL;
            measure(nll, &in, line + 5);
        } else if (sscanf(line, "layer %zu %lf %lf %lf %lf", &l, &want[0], &want[1],
                          &want[2], &want[3]) == 5) {
            mls_layer_stats own = {0};
            double trace = 0;

            assert_true(l < L);
            if (!s)
                assert_ok(mls_capture_stats(in.capture, l, &own, &err));
            const mls_layer_stats *got = s ? &s[l] : &own;
            for (size_t i = 0; i < E; i++)
                trace += got->x_second[i * (E + 1)];
            assert_close(trace, want[0], 1e-3);
            assert_close(got->x_second[0], want[1], 1e-5);
            assert_close(got->x_second[3 * E + 200], want[2], 1e-5);
            assert_close(got->x_mean[5], want[3], 1e-5);
            mls_layer_stats_free(&own);
            layers++;
        } else if (sscanf(line, "nll %lf %lf %lf %lf", &want[0], &want[1], &want[2],
                          &want[3]) == 4) {
            for (size_t i = 0; i < N; i++)
                assert_close(nll[i], want[i], 2e-4);
            n++;
        } else {
            fail_msg("what is \"%s\"?", line);
        }
    }
    fclose(f);
    mls_transmla_pass_free(s, L);
    assert_int_equal(n, 6);
    assert_int_equal(layers, 6 * L);
}

/* Where nothing is reduced, later layers see what they always saw. */
static void a_pass_without_loss_changes_nothing(void **state)
{
    const mls_method_input in = input(*state);
    double one[N], two[N];

    measure(one, &in, "transmla freqfold=1 keep=2 rank=64");
    measure(two, &in, "transmla freqfold=1 keep=2 rank=64 pass=2");
    for (size_t i = 0; i < N; i++)
        assert_close(two[i], one[i], 1e-3);
    measure(one, &in, "transmla freqfold=8 rope_dim=8 rank=64 layers=5");
    measure(two, &in, "transmla freqfold=8 rope_dim=8 rank=64 layers=5 pass=2");
    for (size_t i = 0; i < N; i++)
        assert_close(two[i], one[i], 1e-4);
}

static void any_number_of_threads_gives_the_same_moments(void **state)
{
    mls_method_input in = input(*state);
    const char *setting = "transmla freqfold=8 rope_dim=8";
    mls_layer_stats *two = second_pass(&in, setting), *one;
    mls_pool *pool;

    assert_ok(mls_pool_new(&pool, 1, &err));
    in.pool = pool;
    one = second_pass(&in, setting);
    for (size_t l = 0; l < in.config->L; l++) {
        assert_memory_equal(one[l].x_second, two[l].x_second,
                            in.config->E * in.config->E * sizeof(double));
        assert_memory_equal(one[l].x_mean, two[l].x_mean,
                            in.config->E * sizeof(double));
    }
    mls_transmla_pass_free(one, in.config->L);
    mls_transmla_pass_free(two, in.config->L);
    mls_pool_free(pool);
}

static void a_third_pass_and_no_capture_are_refused(void **state)
{
    mls_method_input in = input(*state);
    mls_ready_scheme *ready;
    mls_setting s;
    mls_scheme scheme;
    mls_cache_layout layout;

    assert_ok(mls_setting_parse(&s, "transmla freqfold=4 rank=32 pass=3", &err));
    assert_refused(mls_method_layout(&layout, in.config, &s, &err), MLS_E_INPUT,
                   "pass=3 is more than 2");
    assert_ok(mls_setting_parse(&s, "transmla freqfold=4 rank=32 pass=2", &err));
    assert_ok(mls_method_layout(&layout, in.config, &s, &err));
    assert_ok(mls_scheme_uniform(&scheme, &s, in.config->L, &err));
    in.capture = NULL;
    assert_refused(mls_scheme_prepare(&ready, &scheme, &in, &err), MLS_E_INPUT,
                   "pass=2 needs the weights and a capture file");
    mls_scheme_free(&scheme);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_passes_are_those_of_pytorch),
        cmocka_unit_test(a_pass_without_loss_changes_nothing),
        cmocka_unit_test(any_number_of_threads_gives_the_same_moments),
        cmocka_unit_test(a_third_pass_and_no_capture_are_refused),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
