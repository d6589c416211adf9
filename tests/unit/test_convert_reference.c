/* Every conversion against PyTorch in float64 (tests/reference/convert.py). */
#include "tests/support/built.h"
#include "tests/support/named_weights.h"

#include "analysis/latent/latent.h"
#include "analysis/numeric/blas.h"
#include "analysis/numeric/linalg.h"
#include "bench/frame/scheme.h"

enum { E = 24, H = 4, G = 2, D = 8, C = D / 2, T = 8, N = 64 };

/* Mean 2-norm of every chunk of W x + b over the calibration tokens. */
static void chunk_norms(double *norm, const float *w, const float *b, size_t heads,
                        const double *cal)
{
    for (size_t h = 0; h < heads; h++)
        for (size_t c = 0; c < C; c++) {
            norm[h * C + c] = 0.0;
            for (size_t t = 0; t < N; t++) {
                const size_t i = h * D + c, j = i + C;
                double u = (double)b[i], v = (double)b[j];

                for (size_t e = 0; e < E; e++) {
                    u += (double)w[i * E + e] * cal[t * E + e];
                    v += (double)w[j * E + e] * cal[t * E + e];
                }
                norm[h * C + c] += hypot(u, v) / N;
            }
        }
}

/*
 * Second moment (D, D) and mean (D) of outputs W x + b of one head over the calibration
 * text; turned: as one sequence from position 0.
 */
static void head_moments(double *second, double *mean, const float *w, const float *b,
                         size_t head, bool turned, const double *cal)
{
    for (size_t t = 0; t < N; t++) {
        double y[D];

        for (size_t i = 0; i < D; i++) {
            y[i] = (double)b[head * D + i];
            for (size_t e = 0; e < E; e++)
                y[i] += (double)w[(head * D + i) * E + e] * cal[t * E + e];
        }
        for (size_t c = 0; turned && c < C; c++) {
            const double angle = (double)t * pow(100.0, -2.0 * (double)c / D);
            const double u = y[c], v = y[c + C];

            y[c] = u * cos(angle) - v * sin(angle);
            y[c + C] = u * sin(angle) + v * cos(angle);
        }
        for (size_t i = 0; i < D; i++) {
            mean[i] += y[i] / N;
            for (size_t j = 0; j < D; j++)
                second[i * D + j] += y[i] * y[j] / N;
        }
    }
}

typedef struct {
    mls_config config;
    mls_layer layer;
    mls_layer_stats stats;
    float *x;
} setup;

static void make(setup *s)
{
    double *cal = named_doubles(N * E, "calibration");

    memset(s, 0, sizeof *s);
    s->config = (mls_config){
        .L = 1, .E = E, .H = H, .G = G, .D = D, .qkv_bias = true, .o_bias = true};
    mls_config_uniform(&s->config);
    s->config.rope = (mls_rope_config){.theta = 100.0, .factor = 1};
    s->layer = (mls_layer){
        .wq = named_floats(H * D * E, "wq", 0),
        .bq = named_floats(H * D, "bq", 0),
        .wk = named_floats(G * D * E, "wk", 0),
        .bk = named_floats(G * D, "bk", 0),
        .wv = named_floats(G * D * E, "wv", 0),
        .bv = named_floats(G * D, "bv", 0),
        .wo = named_floats(E * H * D, "wo", 0),
        .bo = named_floats(E, "bo", 0),
    };
    s->x = named_floats(T * E, "x", 0);
    assert_ok(mls_layer_stats_new(&s->stats, &s->config, &err));
    s->stats.n_tokens = N;
    for (size_t i = 0; i < N * E; i++) {
        cal[i] = cal[i] * (double)(1 + i % E % 5) + 0.25;
        s->stats.x_mean[i % E] += cal[i] / N;
        s->stats.x_abs[i % E] += fabs(cal[i]) / N;
    }
    mls_matmul(s->stats.x_second, cal, true, cal, false, E, E, N);
    for (size_t i = 0; i < E * E; i++)
        s->stats.x_second[i] /= N;
    for (size_t h = 0; h < H; h++)
        head_moments(s->stats.q_rot_second + h * D * D, s->stats.q_rot_mean + h * D,
                     s->layer.wq, s->layer.bq, h, true, cal);
    for (size_t g = 0; g < G; g++) {
        head_moments(s->stats.k_rot_second + g * D * D, s->stats.k_rot_mean + g * D,
                     s->layer.wk, s->layer.bk, g, true, cal);
        head_moments(s->stats.v_second + g * D * D, s->stats.v_mean + g * D,
                     s->layer.wv, s->layer.bv, g, false, cal);
    }
    chunk_norms(s->stats.q_norm, s->layer.wq, s->layer.bq, H, cal);
    chunk_norms(s->stats.k_norm, s->layer.wk, s->layer.bk, G, cal);
    free(cal);
}

static void drop(setup *s)
{
    mls_layer_free(&s->layer);
    mls_layer_stats_free(&s->stats);
    free(s->x);
}

static void attention(const setup *s, const char *text, bool absorbed, float *out)
{
    const mls_method_input in = {.config = &s->config};
    mls_latent_form form = built(&in, text, &s->layer, &s->stats);

    built_attention(&form, absorbed, s->x, T, out);
    mls_latent_free(&form);
}

/* Every case of a file: both evaluations of the form against its rows. */
static void expect_cases(const char *name, size_t expected)
{
    FILE *file = fopen(test_source(name), "r");
    float expanded[T * E], absorbed[T * E];
    char line[1024], text[256] = "";
    size_t n_cases = 0, row = 0;
    setup s;

    assert_non_null(file);
    make(&s);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "case ", 5) == 0) {
            assert_true(n_cases == 0 || row == T);
            snprintf(text, sizeof text, "%.*s", (int)strcspn(line + 5, "\n"), line + 5);
            attention(&s, text, false, expanded);
            attention(&s, text, true, absorbed);
            n_cases++;
            row = 0;
        } else if (strncmp(line, "row ", 4) == 0) {
            char *p = line + 4;

            assert_true(row < T);
            for (size_t e = 0; e < E; e++) {
                const double want = strtod(p, &p);
                const double a = (double)expanded[row * E + e];
                const double b = (double)absorbed[row * E + e];

                if (!(fabs(a - want) <= 1e-4) || !(fabs(b - want) <= 1e-4))
                    fail_msg("%s: token %zu, %zu: %.7g expanded, %.7g absorbed, "
                             "expected %.7g",
                             text, row, e, a, b, want);
            }
            row++;
        }
    }
    assert_int_equal(n_cases, expected);
    assert_int_equal(row, T);
    fclose(file);
    drop(&s);
}

static void attention_of_every_method_agrees_with_pytorch(void **state)
{
    (void)state;
    expect_cases("tests/reference/convert.txt", 19);
}

/* tests/reference/lowrank.py: from the methods' own definitions, not our algebra. */
static void low_rank_methods_agree_with_numpy(void **state)
{
    (void)state;
    expect_cases("tests/reference/lowrank.txt", 12);
}

static void dynamic_ranks_of_the_demo_model_agree_with_numpy(void **state)
{
    FILE *file = fopen(test_source("tests/reference/convert.txt"), "r");
    mls_model *model;
    char line[1024];
    size_t n_lines = 0;

    (void)state;
    assert_non_null(file);
    assert_ok(mls_model_open(&model, test_source("datasets/demo"), &err));
    const mls_config *config = mls_model_config(model);
    const mls_method_input in = {.config = config, .model = model};
    while (fgets(line, sizeof line, file)) {
        mls_ready_scheme *ready;
        mls_setting setting;
        mls_scheme scheme;
        char *p = strchr(line, ':');

        if (strncmp(line, "ranks ", 6) != 0)
            continue;
        assert_non_null(p);
        *p++ = '\0';
        assert_ok(mls_setting_parse(&setting, line + 6, &err));
        assert_ok(mls_scheme_uniform(&scheme, &setting, config->L, &err));
        assert_ok(mls_scheme_prepare(&ready, &scheme, &in, &err));
        for (size_t l = 0; l < config->L; l++) {
            mls_latent_form form;
            mls_layer layer;

            assert_ok(mls_model_attention(model, l, &layer, &err));
            assert_ok(mls_scheme_build(ready, &layer, NULL, &form, &err));
            assert_int_equal(form.latent[0].r, strtoul(p, &p, 10));
            mls_latent_free(&form);
            mls_layer_free(&layer);
        }
        mls_ready_scheme_free(ready);
        mls_scheme_free(&scheme);
        n_lines++;
    }
    assert_int_equal(n_lines, 12);
    fclose(file);
    mls_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_of_every_method_agrees_with_pytorch),
        cmocka_unit_test(low_rank_methods_agree_with_numpy),
        cmocka_unit_test(dynamic_ranks_of_the_demo_model_agree_with_numpy),
    };
    mls_blas_single_thread();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
