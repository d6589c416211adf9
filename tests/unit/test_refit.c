#include "tests/support/built.h"
#include "tests/support/demo.h"

#include <math.h>

#include "analysis/latent/output_error.h"
#include "analysis/latent/refit.h"
#include "analysis/model/rope.h"
#include "bench/frame/scheme.h"
#include "common/numbers/rng.h"

enum { LAYER = 2, LENGTH_MAX = 96, WINDOWS = 3, K = 96 };

/* Of 3 windows: 12 tokens span less than half of the 256 dims, 96 all of them. */
static size_t length;

static demo d;
static mls_layer layer;
static mls_layer_stats stats;

static int setup(size_t tokens)
{
    mls_corpus corpus = demo_text(4, tokens);

    length = tokens;
    d = demo_open(&corpus, WINDOWS);
    assert_ok(mls_model_attention(d.model, LAYER, &layer, &err));
    assert_ok(mls_capture_stats(d.capture, LAYER, &stats, &err));
    mls_corpus_free(&corpus);
    return 0;
}

static int setup_few(void **state)
{
    (void)state;
    return setup(12);
}

static int setup_many(void **state)
{
    (void)state;
    return setup(LENGTH_MAX);
}

static int teardown(void **state)
{
    (void)state;
    mls_layer_stats_free(&stats);
    mls_layer_free(&layer);
    demo_close(&d);
    return 0;
}

static mls_latent_form form_of(const char *text)
{
    const mls_method_input in = {.config = mls_model_config(d.model),
                                 .model = d.model,
                                 .capture = d.capture,
                                 .pool = d.pool};

    return built(&in, text, &layer, &stats);
}

/* Everything of head 0 in double, from the definition. */
typedef struct {
    double x[WINDOWS][LENGTH_MAX][256];
    double s[WINDOWS][LENGTH_MAX][LENGTH_MAX], a[WINDOWS][LENGTH_MAX][LENGTH_MAX];
    double phi[WINDOWS][LENGTH_MAX][LENGTH_MAX][K]; /* of query i, key j */
    double cov[K][K]; /* mean weighted covariance of phi */
    double power;     /* mean square of a number of x */
} head;

static void turn(double *v, size_t chunks, const double *freq, double angle)
{
    for (size_t c = 0; c < chunks; c++) {
        const double p = v[c], q = v[c + chunks], t = angle * freq[c];

        v[c] = p * cos(t) - q * sin(t);
        v[c + chunks] = q * cos(t) + p * sin(t);
    }
}

static void fill(head *w, const mls_latent_form *f)
{
    const mls_config *c = mls_model_config(d.model);
    const size_t E = c->E, D = c->D, r = f->latent[0].r, n = f->rope_key[0].n;
    float *x = malloc(length * E * sizeof *x);
    double freq[32];

    assert_true(x && D + n == K && E == 256);
    mls_rope_frequencies(freq, &c->rope, D);
    for (size_t b = 0; b < WINDOWS; b++) {
        double q[LENGTH_MAX][64] = {{0}}, k[LENGTH_MAX][64] = {{0}},
               key[LENGTH_MAX][K] = {{0}};

        assert_ok(mls_capture_window(d.capture, LAYER, b, MLS_WINDOW_X, x, &err));
        for (size_t t = 0; t < length; t++) {
            double latent[MLS_DIM_MAX];

            for (size_t e = 0; e < E; e++) {
                w->x[b][t][e] = (double)x[t * E + e];
                w->power +=
                    w->x[b][t][e] * w->x[b][t][e] / (double)(E * length * WINDOWS);
                for (size_t i = 0; i < D; i++) {
                    q[t][i] += (double)layer.wq[i * E + e] * (double)x[t * E + e];
                    k[t][i] += (double)layer.wk[i * E + e] * (double)x[t * E + e];
                }
                for (size_t i = 0; i < n; i++)
                    key[t][D + i] +=
                        (double)f->rope_key[0].map.w[i * E + e] * (double)x[t * E + e];
            }
            for (size_t i = 0; i < r; i++) {
                latent[i] = (double)f->latent[0].down.b[i];
                for (size_t e = 0; e < E; e++)
                    latent[i] +=
                        (double)f->latent[0].down.w[i * E + e] * (double)x[t * E + e];
            }
            for (size_t i = 0; i < D; i++) {
                key[t][i] = (double)f->head[0].key.b[i];
                for (size_t j = 0; j < r; j++)
                    key[t][i] += (double)f->head[0].key.w[i * r + j] * latent[j];
            }
        }
        for (size_t i = 0; i < length; i++) {
            double sum = 0, mean[K] = {0};

            for (size_t j = 0; j <= i; j++) {
                double turned[64];

                memcpy(turned, k[j], sizeof turned);
                turn(turned, D / 2, freq, (double)j - (double)i);
                for (size_t e = 0; e < D; e++)
                    w->s[b][i][j] += q[i][e] * turned[e];
                memcpy(w->phi[b][i][j], key[j], sizeof key[j]);
                turn(w->phi[b][i][j] + D, n / 2, f->rope_key[0].inv_freq,
                     (double)j - (double)i);
                sum += exp(w->s[b][i][j] / 8);
            }
            double s_mean = 0;
            for (size_t j = 0; j <= i; j++) {
                w->a[b][i][j] = exp(w->s[b][i][j] / 8) / sum;
                s_mean += w->a[b][i][j] * w->s[b][i][j];
                for (size_t e = 0; e < K; e++)
                    mean[e] += w->a[b][i][j] * w->phi[b][i][j][e];
            }
            for (size_t j = 0; j <= i; j++) {
                double *phi = w->phi[b][i][j];

                w->s[b][i][j] -= s_mean;
                for (size_t e = 0; e < K; e++)
                    phi[e] -= mean[e];
                for (size_t e = 0; e < K; e++)
                    for (size_t g = 0; g < K; g++)
                        w->cov[e][g] += w->a[b][i][j] * phi[e] * phi[g] /
                                        ((double)WINDOWS * (double)length);
            }
        }
    }
    free(x);
}

/* What the queries are to make least: m is (K, E), m0 what the ridge holds them to. */
static double objective(const head *w, const double *m, const float *m0)
{
    const size_t E = 256;
    double sum = 0, ridge = 0, diagonal = 0;

    for (size_t b = 0; b < WINDOWS; b++)
        for (size_t i = 0; i < length; i++) {
            double u[K] = {0};

            for (size_t e = 0; e < K; e++)
                for (size_t x = 0; x < E; x++)
                    u[e] += m[e * E + x] * w->x[b][i][x];
            for (size_t j = 0; j <= i; j++) {
                double rest = w->s[b][i][j];

                for (size_t e = 0; e < K; e++)
                    rest -= u[e] * w->phi[b][i][j][e];
                sum += w->a[b][i][j] * rest * rest;
            }
        }
    for (size_t e = 0; e < K; e++)
        diagonal += w->cov[e][e] / K;
    for (size_t x = 0; x < E; x++)
        for (size_t e = 0; e < K; e++)
            for (size_t g = 0; g < K; g++)
                ridge += (w->cov[e][g] + (e == g ? 0.3 * diagonal : 0)) *
                         (m[e * E + x] - (double)m0[e * E + x]) *
                         (m[g * E + x] - (double)m0[g * E + x]);
    return sum / ((double)WINDOWS * (double)length) + 0.3 * w->power * ridge;
}

/*
 * A quadratic has its only stationary point at its minimum: a step to either side of
 * it costs the same, wherever it goes.
 */
static void queries_end_where_the_weighted_squares_are_least(void **state)
{
    mls_latent_form f = form_of("kq rope=shared rope_dim=32 rank=32");
    const size_t n = (size_t)K * f.E;
    head *w = calloc(1, sizeof *w);
    float *m0 = malloc(n * sizeof *m0);
    double *m = calloc(n, sizeof *m), *to = calloc(n, sizeof *to);
    mls_rng rng;

    (void)state;
    assert_true(w && m0 && m && to);
    fill(w, &f);
    memcpy(m0, f.query.w, n * sizeof *m0);
    for (size_t i = 0; i < n; i++)
        m[i] = (double)m0[i];
    const double before = objective(w, m, m0);
    assert_ok(mls_refit_queries(&f, d.capture, 0, 200, MLS_COMPUTE_F32, d.pool, &err));
    for (size_t i = 0; i < n; i++)
        m[i] = (double)f.query.w[i];
    const double least = objective(w, m, m0);
    assert_true(least < 0.5 * before);
    mls_rng_seed(&rng, 1, 0);
    for (size_t k = 0; k < 3; k++) {
        double there, back;

        for (size_t i = 0; i < n; i++)
            to[i] = 0.02 * mls_rng_normal(&rng);
        for (size_t i = 0; i < n; i++)
            m[i] = (double)f.query.w[i] + to[i];
        there = objective(w, m, m0) - least;
        for (size_t i = 0; i < n; i++)
            m[i] = (double)f.query.w[i] - to[i];
        back = objective(w, m, m0) - least;
        assert_true(there > 0 && back > 0);
        assert_close(there / back, 1.0, 1e-2);
    }
    free(w);
    free(m0);
    free(m);
    free(to);
    mls_latent_free(&f);
}

static void fitted_queries_bring_the_attention_output_nearer(void **state)
{
    const char *const settings[] = {"kq rope=shared rope_dim=32 rank=32",
                                    "kq rope=shared rope_dim=32 rank=32 refit=queries",
                                    "kq rope=shared rope_dim=32 rank=32 refit=all"};
    mls_latent_form original;
    mls_output_windows w;
    double error[3];

    (void)state;
    assert_ok(mls_latent_identity(&original, mls_model_config(d.model), &layer, &err));
    assert_ok(mls_output_windows_load(&w, d.capture, &original, 8, d.pool, &err));
    for (size_t i = 0; i < 3; i++) {
        mls_latent_form f = form_of(settings[i]);

        assert_ok(mls_output_error(&error[i], &w, &f, &err));
        mls_latent_free(&f);
    }
    assert_true(error[1] < 0.8 * error[0]);
    assert_true(error[2] <= error[1]);
    mls_output_windows_free(&w);
    mls_latent_free(&original);
}

/* The model's own layer with an output projection a tenth too large. */
static void a_wrong_output_projection_is_mended(void **state)
{
    mls_latent_form original, f;
    mls_output_windows w;
    double before, after;

    (void)state;
    assert_ok(mls_latent_identity(&original, mls_model_config(d.model), &layer, &err));
    assert_ok(mls_latent_identity(&f, mls_model_config(d.model), &layer, &err));
    for (size_t i = 0; i < f.E * f.H * f.D; i++)
        f.output.w[i] *= 1.1F;
    assert_ok(mls_output_windows_load(&w, d.capture, &original, 8, d.pool, &err));
    assert_ok(mls_output_error(&before, &w, &f, &err));
    assert_close(before, 0.01, 1e-5);
    assert_ok(
        mls_refit_output(&f, &original, d.capture, 0, MLS_COMPUTE_F32, d.pool, &err));
    assert_ok(mls_output_error(&after, &w, &f, &err));
    assert_true(after < 0.5 * before);
    mls_output_windows_free(&w);
    mls_latent_free(&original);
    mls_latent_free(&f);
}

static void queries_over_the_own_keys_stay_as_they_are(void **state)
{
    mls_latent_form f = form_of("kq rope=2-norm chunks=32 rank=128");
    const size_t n = f.H * 64 * f.E;
    float *before = malloc(n * sizeof *before);
    double moved = 0, size = 0;

    (void)state;
    assert_non_null(before);
    memcpy(before, f.query.w, n * sizeof *before);
    assert_ok(mls_refit_queries(&f, d.capture, 0, 10, MLS_COMPUTE_F32, d.pool, &err));
    for (size_t i = 0; i < n; i++) {
        const double change = (double)f.query.w[i] - (double)before[i];

        moved += change * change;
        size += (double)before[i] * (double)before[i];
    }
    assert_true(moved < 1e-4 * size); /* windows are halves: scores are right to 1e-3 */
    free(before);
    mls_latent_free(&f);
}

static void rotations_after_reading_are_refused(void **state)
{
    mls_setting setting;
    mls_cache_layout layout;

    (void)state;
    assert_ok(mls_setting_parse(&setting, "kq rank=64 refit=all", &err));
    assert_refused(
        mls_method_layout(&layout, mls_model_config(d.model), &setting, &err),
        MLS_E_INPUT, "refit belongs to keys that a decoder absorbs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_end_where_the_weighted_squares_are_least),
        cmocka_unit_test(fitted_queries_bring_the_attention_output_nearer),
        cmocka_unit_test(a_wrong_output_projection_is_mended),
        cmocka_unit_test(queries_over_the_own_keys_stay_as_they_are),
        cmocka_unit_test(rotations_after_reading_are_refused),
    };
    const int failed =
        cmocka_run_group_tests_name("few inputs", tests, setup_few, teardown);

    return failed +
           cmocka_run_group_tests_name("many inputs", tests, setup_many, teardown);
}
