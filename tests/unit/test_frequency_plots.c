#include "tests/support/demo.h"

#include "common/system/files.h"
#include "datasets/base/csv.h"
#include "reports/tables/frequency_plots.h"

enum { N = 4, T = 24 };

static const char *const names[] = {"high", "2-norm", "ropelite-l2", "ropelite-l1"};
static const size_t chunks[] = {2, 4, 32};
enum { RULES = 4, BUDGETS = 3 };

/* All that a frequency analysis of the demo model on made-up tokens holds. */
static void analyse(mls_frequency *f, bool costs)
{
    const mls_frequency_request request = {.rules = names,
                                           .n_rules = RULES,
                                           .chunks = chunks,
                                           .n_chunks = BUDGETS,
                                           .stability = costs,
                                           .costs = costs};
    mls_corpus corpus = demo_tokens(N, T);
    demo d = demo_open(&corpus, N);

    assert_ok(mls_frequency_run(f, d.capture, &request, d.pool, NULL, &err));
    demo_close(&d);
    mls_corpus_free(&corpus);
}

static void read_data(mls_csv *t, const char *folder, const char *name)
{
    char path[512];

    snprintf(path, sizeof path, "%s/data/%s.csv", folder, name);
    assert_ok(mls_csv_read(t, path, &err));
}

static double number(const mls_csv *t, size_t row, const char *column)
{
    const size_t c = mls_csv_column(t, column);

    assert_true(c < t->n_columns);
    return strtod(mls_csv_cell(t, row, c), NULL);
}

static void overlaps_are_symmetric_and_whole_on_the_diagonal(void **state)
{
    const char *folder = test_scratch("plots");
    mls_frequency f;
    mls_csv t;

    (void)state;
    analyse(&f, true);
    assert_ok(mls_frequency_plots(folder, &f, 1, &err));
    read_data(&t, folder, "frequency-overlap");
    assert_int_equal(t.n_rows, RULES * RULES);
    for (size_t i = 0; i < RULES; i++)
        for (size_t k = 0; k < RULES; k++) {
            const double x = number(&t, i * RULES + k, "jaccard");

            assert_close(x, number(&t, k * RULES + i, "jaccard"), 1e-15);
            assert_true(i == k ? x == 1 : x >= 0 && x < 1);
        }
    mls_csv_free(&t);

    /* No rotation is dropped when every chunk is kept. */
    read_data(&t, folder, "frequency-error");
    assert_int_equal(t.n_rows, RULES * BUDGETS);
    for (size_t i = 0; i < RULES; i++) {
        for (size_t b = 0; b < BUDGETS; b++) {
            const size_t row = i * BUDGETS + b;

            assert_string_equal(mls_csv_cell(&t, row, 0), names[i]);
            assert_true(number(&t, row, "low") <= number(&t, row, "score_error"));
            assert_true(number(&t, row, "high") >= number(&t, row, "score_error"));
        }
        assert_true(number(&t, i * BUDGETS, "score_error") > 0.01);
        assert_close(number(&t, i * BUDGETS + 2, "score_error"), 0, 1e-12);
    }
    mls_csv_free(&t);

    read_data(&t, folder, "frequency-stability"); /* rules of the shape have none */
    for (size_t row = 0; row < t.n_rows; row++) {
        assert_string_not_equal(mls_csv_cell(&t, row, 0), "high");
        assert_in_range((unsigned)number(&t, row, "overlap_percent"), 0, 100);
        assert_close(number(&t, row, "tokens"), T * number(&t, row, "units"), 1e-9);
    }
    assert_true(t.n_rows >= RULES - 1);
    mls_csv_free(&t);

    /* The map is of the first rule that has scores; 4 chunks per head are marked. */
    read_data(&t, folder, "contribution");
    assert_int_equal(t.n_rows, f.L * f.G * f.C);
    for (size_t row = 0; row < t.n_rows; row += f.C) {
        double share = 0, marked = 0;

        for (size_t c = 0; c < f.C; c++) {
            share += number(&t, row + c, "share_percent");
            marked += number(&t, row + c, "selected");
            assert_close(number(&t, row + c, "score"), f.rule[1].score[row + c], 0);
        }
        assert_close(share, 100, 1e-9);
        assert_close(marked, 4, 0);
    }
    mls_csv_free(&t);
    mls_frequency_free(&f);
}

static void what_was_not_measured_is_not_drawn(void **state)
{
    const char *folder = test_scratch("plots-less");
    char path[512];
    mls_frequency f;

    (void)state;
    analyse(&f, false);
    assert_false(mls_frequency_has_stability(&f));
    assert_ok(mls_frequency_plots(folder, &f, 0, &err));
    snprintf(path, sizeof path, "%s/plots/frequency-error.svg", folder);
    assert_false(mls_file_exists(path));
    snprintf(path, sizeof path, "%s/plots/frequency-stability.svg", folder);
    assert_false(mls_file_exists(path));
    snprintf(path, sizeof path, "%s/plots/frequency-overlap.svg", folder);
    assert_true(mls_file_exists(path));
    mls_frequency_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overlaps_are_symmetric_and_whole_on_the_diagonal),
        cmocka_unit_test(what_was_not_measured_is_not_drawn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
