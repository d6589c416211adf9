/* Attention of other kinds as a form: MLA whole, quantized and cut; capped, gated. */
#include "tests/support/built.h"
#include "tests/support/demo_bench.h"
#include "tests/support/named_weights.h"

#include "analysis/latent/latent_file.h"
#include "analysis/numeric/linalg.h"
#include "bench/frame/scheme.h"

/* --- One layer, against NumPy (tests/reference/truncate.py) --- */

enum { E = 24, H = 4, NOPE = 6, ROPE = 4, VALUE = 5, R = 12, Q = 10, ROWS = 8, N = 64 };

static void attention(const mls_config *config, const mls_layer *layer,
                      const mls_layer_stats *stats, const char *text, bool absorbed,
                      const float *x, float *out)
{
    const mls_method_input in = {.config = config};
    mls_latent_form form = built(&in, text, layer, stats);

    if (absorbed) { /* through its file, too */
        mls_latent_origin origin = {.L = 1};
        mls_latent_origin found = {0};

        snprintf(origin.setting, sizeof origin.setting, "%s", text);
        memset(origin.model_sha256, 'a', 64);
        assert_ok(mls_latent_write(&form, &origin, test_scratch("cut"), &err));
        mls_latent_free(&form);
        assert_ok(mls_latent_read(&form, &found, test_scratch("cut"), &err));
    }
    built_attention(&form, absorbed, x, ROWS, out);
    mls_latent_free(&form);
}

static void a_cut_latent_is_the_one_nearest_on_the_text(void **state)
{
    (void)state;
    static mls_config c = {.L = 1,
                           .E = E,
                           .H = H,
                           .G = H,
                           .D = NOPE + ROPE,
                           .mla_kv_lora_rank = R,
                           .mla_q_lora_rank = Q,
                           .mla_rope_dim = ROPE,
                           .mla_nope_dim = NOPE,
                           .mla_value_dim = VALUE,
                           .rope = {.theta = 100.0, .factor = 1},
                           .net = {.latent_eps = 1e-6, .interleaved = true}};
    FILE *file = fopen(test_source("tests/reference/truncate.txt"), "r");
    float read[ROWS * E], absorbed[ROWS * E], *x = named_floats(ROWS * E, "x", 0);
    double *cal = named_doubles(N * E, "calibration");
    mls_layer_stats stats = {.E = E};
    char line[1024], text[64] = "";
    size_t cases = 0, row = 0;

    mls_config_uniform(&c);
    mls_layer layer = {.q_a = named_floats(Q * E, "q_a", 0),
                       .q_a_norm = named_floats(Q, "q_gain", 1.5),
                       .q_b = named_floats(H * (NOPE + ROPE) * Q, "q_b", 0),
                       .kv_a = named_floats((R + ROPE) * E, "kv_a", 0),
                       .kv_a_norm = named_floats(R, "kv_gain", 1.5),
                       .kv_b = named_floats(H * (NOPE + VALUE) * R, "kv_b", 0),
                       .wo = named_floats(E * H * VALUE, "wo", 0)};
    assert_non_null(file);
    for (size_t i = 0; i < N * E; i++)
        cal[i] = cal[i] * (double)(1 + i % E % 5) + 0.25;
    stats.x_second = calloc(E * E, sizeof *stats.x_second);
    stats.block = stats.x_second;
    mls_matmul(stats.x_second, cal, true, cal, false, E, E, N);
    for (size_t i = 0; i < E * E; i++)
        stats.x_second[i] /= N;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "case ", 5) == 0) {
            snprintf(text, sizeof text, "%.*s", (int)strcspn(line + 5, "\n"), line + 5);
            attention(&c, &layer, &stats, text, false, x, read);
            attention(&c, &layer, &stats, text, true, x, absorbed);
            cases++;
            row = 0;
        } else if (strncmp(line, "row ", 4) == 0) {
            char *p = line + 4;

            for (size_t e = 0; e < E; e++) {
                const double want = strtod(p, &p);

                assert_close((double)read[row * E + e], want, 1e-4);
                assert_close((double)absorbed[row * E + e], want, 1e-4);
            }
            row++;
        }
    }
    assert_int_equal(cases, 4);
    assert_int_equal(row, ROWS);
    fclose(file);
    free(x);
    free(cal);
    free(stats.x_second);
    mls_layer_free(&layer);
}

/* --- Whole models --- */

static void measure(const bench *b, mls_evaluation *e, const char *const *text,
                    size_t n)
{
    mls_scheme scheme[8];
    mls_variant variant[8];
    mls_setting setting;

    for (size_t i = 0; i < n; i++) {
        assert_ok(mls_setting_parse(&setting, text[i], &err));
        assert_ok(mls_scheme_uniform(&scheme[i], &setting, b->in.config->L, &err));
        variant[i] = (mls_variant){.scheme = &scheme[i], .only_layer = MLS_NONE};
    }
    assert_ok(mls_evaluate(e, &b->in, &b->measured, variant, n, NULL, NULL, &err));
    for (size_t i = 0; i < n; i++)
        mls_scheme_free(&scheme[i]);
}

static void all_numbers_are_the_model_and_fewer_lose(void **state)
{
    (void)state;
    static const char *const models[] = {"deepseek_v3", "deepseek_v3_yarn"};
    static const char *const settings[] = {
        "truncate rank=12",      "truncate rank=8",          "truncate rank=3",
        "baseline quant=int8/4", "truncate rank=3 layers=1", "baseline"};

    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        bench b = {0};
        mls_evaluation e = {0};
        mls_rng rng;
        char folder[300], name[64];

        snprintf(name, sizeof name, "truncate-%s", models[i]);
        snprintf(folder, sizeof folder, "%s", test_scratch(name));
        named_model(folder, models[i]);
        mls_rng_seed(&rng, 3, i);
        bench_corpus(&b.calibration, &rng, CALIBRATION, 61);
        bench_corpus(&b.measured, &rng, MEASURED, 61);
        strcat(name, ".h5");
        bench_open(&b, folder, test_scratch(name));
        measure(&b, &e, settings, 6);
        const mls_quality *v = e.variant;

        assert_true(fabs(v[0].kl.mean) < 1e-7);
        assert_true(v[1].kl.mean > 1e-6 && v[2].kl.mean > v[1].kl.mean);
        assert_true(v[3].kl.mean > 1e-9 && v[3].kl.mean < v[1].kl.mean);
        assert_true(v[4].kl.mean > 1e-6 && v[4].kl.mean < v[2].kl.mean);
        assert_true(v[5].kl.mean == 0);
        /* 12 + 4 numbers of the model, 3 + 4 in their place */
        assert_int_equal(mls_cache_elements(&v[0].layout->layer[1]), 16);
        assert_int_equal(mls_cache_elements(&v[2].layout->layer[1]), 7);
        assert_int_equal(mls_cache_elements(&v[4].layout->layer[0]), 16);
        assert_int_equal(v[2].serve, MLS_SERVE_OWN_KERNEL);
        mls_evaluation_free(&e);
        bench_close(&b);
    }
}

/* --- Scores of other kinds --- */

static void caps_sinks_and_gates_are_in_the_files(void **state)
{
    (void)state;
    static const char *const models[] = {"gemma2", "gpt_oss", "qwen3_next"};

    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        mls_latent_origin origin = {0}, found = {0};
        mls_latent_form form, again;
        mls_ready_scheme *ready;
        mls_setting setting;
        mls_scheme scheme;
        mls_model *model;
        char folder[300];

        snprintf(folder, sizeof folder, "%s", test_scratch(models[i]));
        named_model(folder, models[i]);
        assert_ok(mls_model_open(&model, folder, &err));
        const mls_config *c = mls_model_config(model);
        const mls_method_input in = {.config = c, .model = model};
        float *x = named_floats(ROWS * c->E, "x", 0);
        float *a = calloc(2 * ROWS * c->E, sizeof *a), *b = a + ROWS * c->E;
        const size_t last = c->L - 1;

        assert_non_null(mls_latent_ours(c, last));
        assert_null(mls_latent_other(c, last));
        assert_ok(mls_setting_parse(&setting, "gqa2mla", &err));
        assert_ok(mls_scheme_uniform(&scheme, &setting, c->L, &err));
        assert_ok(mls_scheme_prepare(&ready, &scheme, &in, &err));
        assert_ok(mls_scheme_form(ready, last, &form, &err));
        origin.L = c->L;
        snprintf(origin.setting, sizeof origin.setting, "gqa2mla");
        memset(origin.model_sha256, 'a', 64);
        assert_ok(mls_latent_write(&form, &origin, test_scratch("scores"), &err));
        assert_ok(mls_latent_read(&again, &found, test_scratch("scores"), &err));
        built_attention(&form, false, x, ROWS, a);
        built_attention(&again, false, x, ROWS, b);
        assert_memory_equal(a, b, ROWS * c->E * sizeof *a);
        /* Without, it is another function. */
        again.score_cap = 0;
        again.sinks.n = again.gate.cols = 0;
        built_attention(&again, false, x, ROWS, b);
        assert_true(memcmp(a, b, ROWS * c->E * sizeof *a) != 0);
        mls_latent_free(&again);
        mls_latent_free(&form);
        mls_ready_scheme_free(ready);
        mls_scheme_free(&scheme);
        mls_model_close(model);
        free(x);
        free(a);
    }
}

static void models_without_a_latent_are_refused(void **state)
{
    (void)state;
    static mls_config c = {.L = 1, .E = 64, .H = 4, .G = 2, .D = 16};
    mls_setting s;
    mls_parsed p;

    mls_config_uniform(&c);
    assert_ok(mls_setting_parse(&s, "truncate rank=8", &err));
    assert_refused(mls_method_parse(&p, &c, &s, &err), MLS_E_INPUT,
                   "no latent that could be cut");
    c.mla_kv_lora_rank = 6;
    c.mla_rope_dim = 4;
    mls_config_uniform(&c);
    assert_refused(mls_method_parse(&p, &c, &s, &err), MLS_E_INPUT,
                   "the model's own latent");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_latent_is_the_one_nearest_on_the_text),
        cmocka_unit_test(all_numbers_are_the_model_and_fewer_lose),
        cmocka_unit_test(caps_sinks_and_gates_are_in_the_files),
        cmocka_unit_test(models_without_a_latent_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
