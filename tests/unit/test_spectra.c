/* Spectra of the demo model against numpy.linalg.svd (tests/reference/spectrum.py). */
#include "tests/support/demo.h"

#include "analysis/spectrum/spectra.h"

static const mls_spectra_request all_layers = {.matrix = {true, true, true, true}};
static const mls_spectra_request all_heads = {.matrix = {true, true, true, true},
                                              .per_head = true};

static const mls_spectra_row *find_row(const mls_spectra *s, size_t layer,
                                       const char *matrix, long head)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->row[i].layer == layer &&
            strcmp(mls_matrix_name(s->row[i].matrix), matrix) == 0 &&
            s->row[i].head == (head < 0 ? MLS_WHOLE_LAYER : (size_t)head))
            return &s->row[i];
    fail_msg("no spectrum of layer %zu, %s, head %ld", layer, matrix, head);
    return NULL;
}

static void every_number_agrees_with_numpy(void **state)
{
    FILE *file = fopen(test_source("tests/reference/spectrum.txt"), "r");
    char line[512];
    size_t n_lines = 0, n_by_svd = 0;
    mls_spectra layers, heads;
    mls_model *model;
    mls_pool *pool;

    (void)state;
    assert_non_null(file);
    assert_ok(mls_pool_new(&pool, 2, &err));
    assert_ok(mls_model_open(&model, test_source("datasets/demo"), &err));
    assert_ok(mls_spectra_run(&layers, model, NULL, &all_layers, pool, NULL, &err));
    assert_ok(mls_spectra_run(&heads, model, NULL, &all_heads, pool, NULL, &err));
    assert_int_equal(layers.n, 6 * 4);
    assert_int_equal(heads.n, 6 * (6 + 2 + 2 + 2));
    while (fgets(line, sizeof line, file)) {
        size_t layer, n, rank_90, rank_95, rank_99;
        char matrix[8];
        long head;
        double want[7];

        if (line[0] == '#')
            continue;
        assert_int_equal(sscanf(line,
                                "%zu %7s %ld %zu %lf %lf %lf %lf %lf %lf %lf %zu %zu "
                                "%zu",
                                &layer, matrix, &head, &n, &want[0], &want[1], &want[2],
                                &want[3], &want[4], &want[5], &want[6], &rank_90,
                                &rank_95, &rank_99),
                         14);
        const mls_spectrum *s =
            &find_row(head < 0 ? &layers : &heads, layer, matrix, head)->spectrum;
        const mls_spectrum_summary y = mls_spectrum_summarize(s->sigma, s->n);
        const double got[7] = {
            s->sigma[0],        s->sigma[1],      s->sigma[2],
            s->sigma[s->n - 1], y.effective_rank, y.effective_rank_energy,
            y.stable_rank,
        };

        assert_int_equal(s->n, n);
        for (size_t i = 0; i < 7; i++)
            assert_close(got[i], want[i], 1e-6 * want[i]);
        assert_int_equal(y.rank_90, rank_90);
        assert_int_equal(y.rank_95, rank_95);
        assert_int_equal(y.rank_99, rank_99);
        n_lines++;
        n_by_svd += !s->gram;
    }
    assert_int_equal(n_lines, 6 * (4 + 2 + 6));
    assert_true(n_by_svd >=
                6); /* [W_k; W_v] is too ill-conditioned for a Gram matrix */
    fclose(file);
    mls_spectra_free(&layers);
    mls_spectra_free(&heads);
    mls_model_close(model);
    mls_pool_free(pool);
}

static void threads_do_not_change_a_bit(void **state)
{
    mls_spectra one, three;
    mls_model *model;
    mls_pool *pool;

    (void)state;
    assert_ok(mls_model_open(&model, test_source("datasets/demo"), &err));
    assert_ok(mls_pool_new(&pool, 1, &err));
    assert_ok(mls_spectra_run(&one, model, NULL, &all_heads, pool, NULL, &err));
    mls_pool_free(pool);
    assert_ok(mls_pool_new(&pool, 3, &err));
    assert_ok(mls_spectra_run(&three, model, NULL, &all_heads, pool, NULL, &err));
    mls_pool_free(pool);
    assert_int_equal(one.n, three.n);
    for (size_t i = 0; i < one.n; i++)
        assert_memory_equal(one.row[i].spectrum.sigma, three.row[i].spectrum.sigma,
                            one.row[i].spectrum.n * sizeof(double));
    mls_spectra_free(&one);
    mls_spectra_free(&three);
    mls_model_close(model);
}

/* The demo model has no biases, so both ways to the data give the same values. */
static void weights_times_data_are_the_captured_outputs(void **state)
{
    mls_corpus corpus = demo_text(6, 64);
    demo d = demo_open(&corpus, 0);
    mls_spectra weighted, captured, whole;

    (void)state;
    assert_ok(
        mls_spectra_run(&weighted, d.model, d.capture, &all_heads, d.pool, NULL, &err));
    assert_ok(
        mls_spectra_run(&captured, NULL, d.capture, &all_heads, d.pool, NULL, &err));
    assert_int_equal(weighted.n, captured.n);
    for (size_t i = 0; i < weighted.n; i++) {
        const mls_spectrum *a = &weighted.row[i].spectrum;
        const mls_spectrum *b = &captured.row[i].spectrum;

        assert_int_equal(a->n, b->n);
        for (size_t j = 0; j < a->n; j++) /* q, k, v are made in float */
            assert_close(a->sigma[j], b->sigma[j], 3e-4 * a->sigma[0]);
    }
    /* Energy of a layer is the sum over its heads. */
    assert_ok(
        mls_spectra_run(&whole, d.model, d.capture, &all_layers, d.pool, NULL, &err));
    const mls_spectrum *k = &find_row(&whole, 3, "k", -1)->spectrum;
    double sum = 0.0;
    for (long g = 0; g < 2; g++) {
        const mls_spectrum *s = &find_row(&weighted, 3, "k", g)->spectrum;
        sum += mls_spectrum_summarize(s->sigma, s->n).energy;
    }
    assert_close(mls_spectrum_summarize(k->sigma, k->n).energy, sum, 1e-9 * sum);
    mls_spectra_free(&captured);
    mls_spectra_free(&whole);
    mls_spectra_free(&weighted);
    demo_close(&d);
    mls_corpus_free(&corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_agrees_with_numpy),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(weights_times_data_are_the_captured_outputs),
    };
    mls_blas_single_thread();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
