/*
 * Whole models through settings short of full rank: layers alone, shared and shortened
 * caches, and what more rank may do.
 */
#include "tests/support/built.h"
#include "tests/support/demo_bench.h"

#include "analysis/latent/predict.h"
#include "common/system/files.h"

/* Quality of one setting, all layers or one alone. */
static mls_quality quality(const bench *b, const char *text, int only_layer)
{
    mls_setting setting;
    mls_scheme scheme;
    mls_evaluation e;
    const mls_variant variant = {&scheme, only_layer};

    assert_ok(mls_setting_parse(&setting, text, &err));
    assert_ok(mls_scheme_uniform(&scheme, &setting, b->in.config->L, &err));
    assert_ok(mls_evaluate(&e, &b->in, &b->measured, &variant, 1, NULL, NULL, &err));
    const mls_quality q = {.kl = e.variant[0].kl, .elements = e.variant[0].elements};
    mls_evaluation_free(&e);
    mls_scheme_free(&scheme);
    return q;
}

/* Layers before the first that differs are the original's, computed once for all. */
static void a_setting_of_late_layers_starts_at_the_first_of_them(void **state)
{
    static const struct {
        const char *text;
        size_t plain; /* layers at the front that are the model's own */
    } settings[] = {{"lorc rank=32 layers=4", 4},
                    {"lorc rank=32 layers=2,4", 2},
                    {"lorc rank=32 layers=4 quant=int4/64", 0},
                    {"baseline", 6},
                    {"baseline kquant=int4/64", 0}};
    const bench *b = *state;

    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        mls_ready_scheme *ready;
        mls_scheme scheme;
        mls_setting setting;
        size_t l = 0;

        assert_ok(mls_setting_parse(&setting, settings[i].text, &err));
        assert_ok(mls_scheme_uniform(&scheme, &setting, b->in.config->L, &err));
        assert_ok(mls_scheme_prepare(&ready, &scheme, &b->in, &err));
        while (l < b->in.config->L && mls_scheme_is_original(ready, l))
            l++;
        assert_int_equal(l, settings[i].plain);
        mls_ready_scheme_free(ready);
        mls_scheme_free(&scheme);
    }
    const double alone = quality(b, "lorc rank=32", 4).kl.mean;
    assert_true(alone > 0);
    assert_true(quality(b, "lorc rank=32 layers=4", MLS_NONE).kl.mean == alone);
    assert_true(quality(b, "lorc rank=32 layers=2,4", MLS_NONE).kl.mean > alone);
    assert_true(quality(b, "baseline", MLS_NONE).kl.mean == 0);
    assert_true(quality(b, "baseline kquant=int4/64", MLS_NONE).kl.mean > 0);
}

/* |a - b| of mean caches, head by head and position by position, from the windows. */
static double cache_distance(const bench *b, size_t i, size_t j, mls_window_part part)
{
    const mls_config *c = b->in.config;
    const size_t G = c->G, D = c->D, W = mls_capture_windows(b->in.capture);
    float *x = malloc(T * G * D * sizeof *x);
    double *mean = calloc(T * G * D, sizeof *mean), sum = 0;

    for (size_t w = 0; w < 2 * W; w++) {
        assert_ok(
            mls_capture_window(b->in.capture, w < W ? i : j, w % W, part, x, &err));
        for (size_t t = 0; t < T; t++)
            for (size_t k = 0; k < G * D; k++)
                mean[t * G * D + k] +=
                    (w < W ? 1.0 : -1.0) * (double)x[t * G * D + k] / (double)W;
    }
    for (size_t t = 0; t < T; t++) /* RoPE turns both alike: lengths stay */
        for (size_t g = 0; g < G; g++) {
            double square = 0;

            for (size_t k = 0; k < D; k++)
                square += pow(mean[(t * G + g) * D + k], 2);
            sum += sqrt(square);
        }
    free(mean);
    free(x);
    return sum / (double)(T * G);
}

static void kvsharer_shares_the_most_dissimilar_pair_that_passes_the_gate(void **state)
{
    size_t late = 0, early = 0;
    double most = 0;
    const bench *b = *state;

    const size_t L = b->in.config->L;
    for (size_t i = 1; i < L; i++)
        for (size_t j = 0; j < i; j++) {
            const double d = cache_distance(b, i, j, MLS_WINDOW_K) +
                             cache_distance(b, i, j, MLS_WINDOW_V);

            if (d > most) {
                most = d;
                late = i;
                early = j;
            }
        }
    mls_ready_scheme *ready;
    mls_scheme scheme;
    mls_setting setting;
    int share[MLS_LAYERS_MAX];

    assert_ok(mls_setting_parse(&setting, "kvsharer layers_shared=1 gate=0", &err));
    assert_ok(mls_scheme_uniform(&scheme, &setting, L, &err));
    assert_ok(mls_scheme_prepare(&ready, &scheme, &b->in, &err));
    assert_ok(mls_scheme_shares(ready, share, &err));
    for (size_t l = 0; l < L; l++)
        assert_int_equal(share[l], l == late ? (int)early : MLS_NONE);
    mls_ready_scheme_free(ready);
    mls_scheme_free(&scheme);

    /*
     * One layer alone is the whole setting; a layer that shares nothing is untouched.
     */
    const mls_quality all = quality(b, "kvsharer layers_shared=1 gate=0", MLS_NONE);
    const mls_quality alone = quality(b, "kvsharer layers_shared=1 gate=0", (int)late);

    assert_int_equal(all.elements, (L - 1) * 2 * b->in.config->G * b->in.config->D);
    assert_int_equal(alone.elements, all.elements);
    assert_true(all.kl.mean > 0.01);
    assert_close(alone.kl.mean, all.kl.mean, 1e-5);
    assert_close(quality(b, "kvsharer layers_shared=1 gate=0", 0).kl.mean, 0.0, 1e-7);

    /* Nothing passes a gate of 1. */
    const mls_variant variant = {&scheme, MLS_NONE};
    mls_evaluation e;

    assert_ok(mls_setting_parse(&setting, "kvsharer layers_shared=1 gate=1", &err));
    assert_ok(mls_scheme_uniform(&scheme, &setting, L, &err));
    assert_refused(
        mls_evaluate(&e, &b->in, &b->measured, &variant, 1, NULL, NULL, &err),
        MLS_E_INPUT, "only 0 layers can share");
    mls_scheme_free(&scheme);
}

/* Budget of a layer by the definition, attention from queries and keys. */
static double budget_by_hand(const bench *b, size_t l, double threshold)
{
    const mls_config *c = b->in.config;
    const size_t H = c->H, G = c->G, D = c->D, W = mls_capture_windows(b->in.capture);
    float *q = malloc(T * H * D * sizeof *q), *k = malloc(T * G * D * sizeof *k);
    double budget = 0;

    for (size_t w = 0; w < W; w++) {
        double column[T] = {0}, all = 0;
        size_t kept = T;

        assert_ok(mls_capture_window(b->in.capture, l, w, MLS_WINDOW_Q, q, &err));
        assert_ok(mls_capture_window(b->in.capture, l, w, MLS_WINDOW_K, k, &err));
        for (size_t h = 0; h < H; h++)
            for (size_t i = 0; i < T; i++) {
                double a[T], sum = 0;

                for (size_t j = 0; j <= i; j++) {
                    const float *x = q + (i * H + h) * D;
                    const float *y = k + (j * G + h / (H / G)) * D;
                    double dot = 0;

                    for (size_t p = 0; p < D / 2; p++) { /* as complex numbers */
                        const double angle = (double)(i - j) *
                                             pow(10000.0, -2.0 * (double)p / (double)D);
                        const double re = (double)x[p] * (double)y[p] +
                                          (double)x[p + D / 2] * (double)y[p + D / 2];
                        const double im = (double)x[p + D / 2] * (double)y[p] -
                                          (double)x[p] * (double)y[p + D / 2];

                        dot += re * cos(angle) - im * sin(angle);
                    }
                    a[j] = exp(dot / sqrt((double)D));
                    sum += a[j];
                }
                for (size_t j = 0; j <= i; j++)
                    column[j] += pow(a[j] / sum, 2);
            }
        for (size_t j = 0; j < T; j++)
            all += column[j];
        for (size_t n = T; n-- > MLS_BUDGET_SINKS;) { /* first 4 and the newest n - 4 */
            double left = 0;

            for (size_t j = 0; j < T; j++)
                left += j < MLS_BUDGET_SINKS || j + n >= T + MLS_BUDGET_SINKS
                            ? column[j]
                            : 0;
            if (n > MLS_BUDGET_SINKS && sqrt(left / all) >= 1 - threshold)
                kept = n;
        }
        budget += (double)kept / (double)T / (double)W;
    }
    free(q);
    free(k);
    return budget;
}

static void the_token_budget_is_what_the_norm_of_attention_allows(void **state)
{
    const bench *b = *state;

    for (size_t l = 1; l < b->in.config->L; l += 3) {
        mls_latent_form form;
        mls_layer layer;

        assert_ok(mls_model_attention(b->model, l, &layer, &err));
        form =
            built(&b->in, "dbudgetkv rule=norm-unverified threshold=0.1", &layer, NULL);
        assert_true(form.token_budget < 1);
        assert_close(form.token_budget, budget_by_hand(b, l, 0.1), 1e-9);
        mls_latent_free(&form);
        mls_layer_free(&layer);
    }
}

/* --- More rank --- */

static void predict(mls_predicted *out, const bench *b, const char *text)
{
    mls_layer_stats stats;
    mls_latent_form form;
    mls_own_moments own = {0};
    mls_layer layer;

    assert_ok(mls_model_attention(b->model, 1, &layer, &err));
    assert_ok(mls_capture_stats(b->in.capture, 1, &stats, &err));
    form = built(&b->in, text, &layer, &stats);
    assert_ok(mls_predict(&form, b->in.config, &layer, &stats, &own, T, b->in.pool,
                          NULL, out, &err));
    mls_own_moments_free(&own);
    mls_latent_free(&form);
    mls_layer_stats_free(&stats);
    mls_layer_free(&layer);
}

/* Larger by more than rounding; NaN, where a prediction does not exist, never is. */
static bool rises(double before, double after)
{
    return after > before + 1e-6 * (before + 1e-3);
}

/* kq and kqsvd nest in a weighted metric: of their values the output error falls. */
/* Of all directions the means are given back with biases and without. */
static void an_uncentred_latent_of_full_rank_is_the_centred_one(void **state)
{
    const bench *b = *state;

    const double centred =
        quality(b, "kq rope=shared rope_dim=32 rank=224", MLS_NONE).kl.mean;
    const double plain =
        quality(b, "kq rope=shared rope_dim=32 rank=224 centre=no", MLS_NONE).kl.mean;

    assert_true(centred > 0.01);
    assert_close(plain, centred, 1e-4);
}

static void more_rank_never_raises_a_predicted_error(void **state)
{
    static const struct {
        const char *setting; /* less the rank */
        size_t step, most;
        bool weighted;
    } cases[] = {
        {"lorc rank=", 32, 128, false},
        {"asvd rank=", 32, 128, false},
        {"svdllm rank=", 32, 128, false},
        {"palu group=M rank=", 32, 128, false},
        {"eigen rank=", 16, 64, false},
        {"matryoshka rank=", 16, 64, false},
        {"kqsvd rank=", 16, 64, true},
        {"kq rank=", 64, 256, true},
        {"mha2mla chunks=8 rank=", 28, 112, false},
    };
    const bench *b = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mls_predicted last = {0}, now;

        for (size_t rank = cases[i].step; rank <= cases[i].most;
             rank += cases[i].step) {
            char text[128];

            snprintf(text, sizeof text, "%s%zu", cases[i].setting, rank);
            predict(&now, b, text);
            if (rank > cases[i].step &&
                (rises(last.key, now.key) ||
                 (cases[i].weighted ? rises(last.output, now.output)
                                    : rises(last.value, now.value))))
                fail_msg("%s: key %g to %g, value %g to %g, output %g to %g", text,
                         last.key, now.key, last.value, now.value, last.output,
                         now.output);
            last = now;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_setting_of_late_layers_starts_at_the_first_of_them),
        cmocka_unit_test(kvsharer_shares_the_most_dissimilar_pair_that_passes_the_gate),
        cmocka_unit_test(the_token_budget_is_what_the_norm_of_attention_allows),
        cmocka_unit_test(an_uncentred_latent_of_full_rank_is_the_centred_one),
        cmocka_unit_test(more_rank_never_raises_a_predicted_error),
    };

    return cmocka_run_group_tests(tests, bench_open_demo, bench_close_demo);
}
