/* Ranks, neighbours and top tokens of a capture against tests/reference/ranks.py. */
#include "tests/support/expect.h"

#include "analysis/capture/capture_inner.h"
#include "analysis/numeric/blas.h"
#include "analysis/spectrum/latent_top.h"
#include "analysis/spectrum/neighbours.h"
#include "analysis/spectrum/spectra.h"
#include "common/numbers/rng.h"

enum { L = 3, W = 3, T = 24, H = 4, G = 2, D = 8, E = 16 };

static const char json[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", "
    "\"vocab_size\": 50, \"hidden_size\": 16, \"intermediate_size\": 20, "
    "\"num_hidden_layers\": 3, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, "
    "\"head_dim\": 8, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-5, "
    "\"rope_theta\": 40.0, \"hidden_act\": \"silu\"}";

static uint32_t mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

/* Exact in 16 bits; every layer has what is shared and something of its own. */
static float value(uint32_t layer, uint32_t part, uint32_t t, uint32_t j)
{
    const int size = (int)(mix(part * 31 + j * 17 + 5) % 8) + 1;
    const int shared = (int)(mix(mix(part * 7919 + t) + j * 4099) % 63) - 31;
    const int own = (int)(mix(mix(part * 104729 + layer * 1299709 + t) + j) % 63) - 31;

    return (float)(shared * size + own * (int)(layer + 1)) / 64.0f;
}

static mls_capture *made_capture(char *path, bool windows)
{
    static size_t start[W + 1];
    static int32_t ids[W * T];
    static uint64_t sequence[W];
    const double nll[W] = {1, 1, 1};
    const mls_capture_options options = {.command = "made"};
    mls_capture_head head = {.N = W,
                             .start = start,
                             .ids = ids,
                             .T = T,
                             .window_T = T,
                             .W = windows ? W : 0,
                             .window_sequence = sequence,
                             .config_json = json,
                             .config_json_len = sizeof json - 1,
                             .model_sha256 = "m",
                             .text_sha256 = "t"};
    mls_store *file;
    mls_capture *c;
    size_t n_cut = 0;

    for (size_t i = 0; i < W; i++) {
        start[i + 1] = (i + 1) * T;
        sequence[i] = i;
    }
    assert_ok(mls_config_parse(&head.config, json, sizeof json - 1, "config", &err));
    assert_ok(mls_capture_create(&file, path, NULL, &head, &options, &err));
    for (uint32_t l = 0; l < L; l++) {
        mls_record r;

        assert_ok(mls_record_new(&r, &head, &err));
        for (uint32_t part = 0; part < MLS_WINDOW_PARTS; part++) {
            const size_t n = mls_window_width(&head.config, (mls_window_part)part);

            for (size_t i = 0; windows && i < W * T * n; i++)
                r.window[part][i] =
                    value(l, part, (uint32_t)(i / n), (uint32_t)(i % n));
        }
        assert_ok(mls_capture_append(file, &head, &r, &n_cut, &err));
        mls_record_free(&r);
    }
    assert_ok(mls_capture_finish(file, nll, W, &err));
    assert_ok(mls_capture_open(&c, path, &err));
    return c;
}

static const mls_spectra_row *spectrum_row(const mls_spectra *s, size_t layer,
                                           const char *matrix)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->row[i].layer == layer &&
            strcmp(mls_matrix_name(s->row[i].matrix), matrix) == 0)
            return &s->row[i];
    fail_msg("no spectrum of layer %zu, %s", layer, matrix);
    abort();
}

static void check_rank(const mls_spectra *s, const char *line)
{
    size_t layer, rank[3];
    char name[8];
    double want[4];

    assert_int_equal(sscanf(line, "rank %zu %7s %lf %lf %lf %lf %zu %zu %zu", &layer,
                            name, &want[0], &want[1], &want[2], &want[3], &rank[0],
                            &rank[1], &rank[2]),
                     9);
    const mls_spectra_row *row = spectrum_row(s, layer, name);
    const mls_spectrum_summary y =
        mls_spectrum_summarize(row->spectrum.sigma, row->spectrum.n);
    const double got[] = {y.energy, y.effective_rank, y.effective_rank_energy,
                          y.stable_rank};

    for (size_t i = 0; i < 4; i++)
        assert_close(got[i], want[i], 1e-6 * want[i]);
    assert_int_equal(y.rank_90, rank[0]);
    assert_int_equal(y.rank_95, rank[1]);
    assert_int_equal(y.rank_99, rank[2]);
}

static void check_pair(const mls_neighbours *n, const char *line)
{
    size_t layer, rank[2];
    char name[8];
    double want[5];

    assert_int_equal(sscanf(line, "pair %zu %7s %zu %zu %lf %lf %lf %lf %lf", &layer,
                            name, &rank[0], &rank[1], &want[0], &want[1], &want[2],
                            &want[3], &want[4]),
                     9);
    for (size_t i = 0; i < n->n; i++) {
        const mls_neighbours_row *r = &n->row[i];
        const double got[] = {r->pooled.mean, r->overlap.mean, r->angle.mean,
                              r->largest.mean, r->inputs.mean};

        if (r->first != layer || strcmp(mls_matrix_name(r->matrix), name) != 0)
            continue;
        assert_int_equal(r->second, layer + 1);
        assert_int_equal(r->rank[0], rank[0]);
        assert_int_equal(r->rank[1], rank[1]);
        for (size_t k = 0; k < 5; k++)
            assert_close(got[k], want[k], 1e-6 * fabs(want[k]) + 1e-7);
        assert_true(r->overlap.half > 0 && r->overlap.half < 0.5);
        return;
    }
    fail_msg("no pair %zu %s", layer, name);
}

static void check_top(const mls_latent_top *top, const char *line)
{
    size_t layer, rank;
    double want[4];

    assert_int_equal(sscanf(line, "top %zu %zu %lf %lf %lf %lf", &layer, &rank,
                            &want[0], &want[1], &want[2], &want[3]),
                     6);
    for (size_t i = 0; i < top->n; i++) {
        const mls_latent_top_row *r = &top->row[i];
        const double got[] = {r->found.mean, r->mass.mean, r->turned_found.mean,
                              r->turned_mass.mean};

        if (r->layer != layer || r->rank != rank)
            continue;
        for (size_t k = 0; k < 4; k++)
            assert_close(got[k], want[k], 1e-6);
        return;
    }
    fail_msg("no layer %zu with rank %zu", layer, rank);
}

static void every_figure_is_what_numpy_says(void **state)
{
    static const size_t ranks[] = {3, 8, 16};
    const mls_spectra_request request = {
        .matrix =
            {[MLS_MATRIX_K] = true, [MLS_MATRIX_V] = true, [MLS_MATRIX_K_ROT] = true},
        .draws = 20,
        .seed = 1};
    FILE *file = fopen(test_source("tests/reference/ranks.txt"), "r");
    char path[] = "ranks.h5", line[512];
    mls_capture *c = made_capture(path, true);
    mls_spectra s;
    mls_neighbours n;
    mls_latent_top top;
    mls_pool *pool;
    size_t checked = 0;

    (void)state;
    assert_non_null(file);
    assert_ok(mls_pool_new(&pool, 2, &err));
    assert_ok(mls_spectra_run(&s, NULL, c, &request, pool, NULL, &err));
    assert_ok(mls_neighbours_run(&n, c, 20, 1, pool, NULL, &err));
    assert_ok(mls_latent_top_run(&top, c, ranks, 3, pool, NULL, &err));
    for (; fgets(line, sizeof line, file); checked++) {
        if (line[0] == 'r')
            check_rank(&s, line);
        else if (line[0] == 'p')
            check_pair(&n, line);
        else
            check_top(&top, line);
    }
    assert_int_equal(checked, 3 * L + 3 * (L - 1) + 3 * L);
    fclose(file);
    mls_spectra_free(&s);
    mls_neighbours_free(&n);
    mls_latent_top_free(&top);
    mls_capture_close(c);
    mls_pool_free(pool);
    remove(path);
}

static void all_directions_find_every_token_that_turning_finds(void **state)
{
    static const size_t all = G * D, more = G * D + 1;
    char path[] = "ranks-all.h5";
    mls_capture *c = made_capture(path, true);
    mls_latent_top top;
    mls_pool *pool;

    (void)state;
    assert_ok(mls_pool_new(&pool, 1, &err));
    assert_ok(mls_latent_top_run(&top, c, &all, 1, pool, NULL, &err));
    for (size_t i = 0; i < top.n; i++) {
        assert_close(top.row[i].turned_found.mean, 1, 1e-12);
        assert_close(top.row[i].turned_mass.mean, 1, 1e-12);
        assert_true(top.row[i].found.mean < 1);
    }
    mls_latent_top_free(&top);
    assert_refused(mls_latent_top_run(&top, c, &more, 1, pool, NULL, &err), MLS_E_INPUT,
                   "a layer's keys have 16");
    mls_capture_close(c);
    mls_pool_free(pool);
    remove(path);
}

static void without_windows_nothing_is_made_up(void **state)
{
    const mls_spectra_request layers = {.matrix = {[MLS_MATRIX_K] = true}};
    const size_t rank = 4;
    char path[] = "ranks-none.h5";
    mls_capture *c = made_capture(path, false);
    mls_spectra s;
    mls_neighbours n;
    mls_latent_top top;
    mls_pool *pool;

    (void)state;
    assert_ok(mls_pool_new(&pool, 1, &err));
    assert_refused(mls_spectra_run(&s, NULL, c, &layers, pool, NULL, &err), MLS_E_INPUT,
                   "no windows: ask for --per head");
    assert_refused(mls_neighbours_run(&n, c, 20, 1, pool, NULL, &err), MLS_E_INPUT,
                   "holds no windows");
    assert_refused(mls_latent_top_run(&top, c, &rank, 1, pool, NULL, &err), MLS_E_INPUT,
                   "holds no windows");
    mls_capture_close(c);
    mls_pool_free(pool);
    remove(path);
}

/* The energy is a mean over windows, whose interval is known without a bootstrap. */
static void the_interval_of_a_mean_is_students(void **state)
{
    enum { n = 12, m = 3, tokens = 8 };
    mls_window_moments w, same;
    mls_spectrum_spread s;
    double energy[n], second[m * m];
    float y[tokens * m];
    mls_rng rng;

    (void)state;
    mls_rng_seed(&rng, 7, 0);
    assert_ok(mls_window_moments_new(&w, n, m, &err));
    assert_ok(mls_window_moments_new(&same, n, m, &err));
    for (size_t i = 0; i < n; i++) {
        energy[i] = 0;
        for (size_t j = 0; j < tokens * m; j++) {
            y[j] = (float)mls_rng_normal(&rng) * (float)(1 + i % 4);
            energy[i] += (double)y[j] * (double)y[j] / tokens;
        }
        assert_ok(mls_window_moments_set(&w, i, y, tokens, &err));
    }
    for (size_t i = 0; i < n; i++)
        assert_ok(mls_window_moments_set(&same, i, y, tokens, &err));
    const mls_mean want = mls_mean_of(energy, n);

    mls_window_moments_draw(second, &w, 0, 1);
    assert_close(second[0] + second[4] + second[8], want.mean, 1e-12 * want.mean);
    assert_ok(mls_spectrum_spread_of(&s, &w, 4000, 1, &err));
    assert_int_equal(s.windows, n);
    assert_close(s.energy, want.half, 0.05 * want.half);
    assert_true(s.effective_rank > 0 && s.sigma[0] > 0);
    mls_spectrum_spread_free(&s);
    /* Windows that are alike leave no doubt; one window leaves all. */
    assert_ok(mls_spectrum_spread_of(&s, &same, 30, 1, &err));
    assert_close(s.energy, 0, 1e-9);
    assert_close(s.rank_95, 0, 0);
    mls_spectrum_spread_free(&s);
    same.n = 1;
    assert_ok(mls_spectrum_spread_of(&s, &same, 30, 1, &err));
    assert_int_equal(s.windows, 0);
    mls_window_moments_free(&w);
    mls_window_moments_free(&same);
}

static void labels_are_by_quarters(void **state)
{
    (void)state;
    assert_string_equal(mls_rank_label(32, 128), "rank-deficient");
    assert_string_equal(mls_rank_label(33, 128), "middling");
    assert_string_equal(mls_rank_label(96, 128), "middling");
    assert_string_equal(mls_rank_label(97, 128), "full-rank");
    assert_string_equal(mls_rank_label(0, 128), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_figure_is_what_numpy_says),
        cmocka_unit_test(all_directions_find_every_token_that_turning_finds),
        cmocka_unit_test(without_windows_nothing_is_made_up),
        cmocka_unit_test(the_interval_of_a_mean_is_students),
        cmocka_unit_test(labels_are_by_quarters),
    };
    mls_blas_single_thread();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
