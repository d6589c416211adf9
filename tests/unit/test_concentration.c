/* Concentration and distance curves against tests/reference/concentration.py. */
#include "tests/support/window_fixture.h"

#include "analysis/frequency/concentration.h"

enum { T = 24, H = 4, G = 2, D = 16, C = D / 2, W = 2 };

/* Mean point and mean length of every chunk of a head; x (T, heads, D) of windows. */
static void means(double *mean, double *norm, const fixture *f, bool keys, size_t h)
{
    const size_t heads = keys ? G : H;

    for (size_t c = 0; c < C; c++) {
        mean[c] = mean[c + C] = norm[c] = 0;
        for (size_t i = 0; i < W * T; i++) {
            const float *x = (keys ? f[i / T].k : f[i / T].q) + (i % T * heads + h) * D;

            mean[c] += (double)x[c] / (W * T);
            mean[c + C] += (double)x[c + C] / (W * T);
            norm[c] += hypot((double)x[c], (double)x[c + C]) / (W * T);
        }
    }
}

static void assert_numbers(const char *line, const double *got, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char *end;
        const double want = strtod(line, &end);

        assert_true(end > line);
        assert_close(got[i], want, 1e-6 * fabs(want) + 1e-7);
        line = end;
    }
    assert_true(*line == '\n');
}

static void heads_hear_what_numpy_says(void **state)
{
    FILE *file = fopen(test_source("tests/reference/concentration.txt"), "r");
    fixture f[W];
    mls_chunk_window w[W];
    char line[1024], what[16];
    size_t h, checked = 0, distance[MLS_DISTANCES];
    const size_t n = mls_distances(distance, T / 2);
    int used;

    (void)state;
    assert_non_null(file);
    assert_int_equal(n, 10);
    for (size_t i = 0; i < W; i++) {
        f[i] = fixture_new(T, H, G, D, 30.0, i);
        w[i] = f[i].w;
    }
    const mls_chunk_windows set = {.window = w, .n = W, .turns = f[0].turns};
    while (fgets(line, sizeof line, file)) {
        double q[D], k[D], q_norm[C], k_norm[C], r[C], curve[MLS_DISTANCES];
        double logits[MLS_DISTANCES], correlation;
        mls_reach reach;

        assert_int_equal(sscanf(line, "%15s %zu%n", what, &h, &used), 2);
        means(q, q_norm, f, false, h);
        means(k, k_norm, f, true, h / (H / G));
        mls_concentration(r, q, q_norm, C);
        mls_distance_curve(curve, q, k, w[0].inv_freq, C, distance, n);
        mls_distance_logits(logits, &set, h, distance, n);
        correlation = mls_curve_correlation(curve, logits, n);
        assert_ok(mls_head_reach(&reach, &set, h, &err));
        const double reached[] = {reach.first, reach.near, reach.far};

        if (strcmp(what, "concentration") == 0)
            assert_numbers(line + used, r, C);
        else if (strcmp(what, "curve") == 0)
            assert_numbers(line + used, curve, n);
        else if (strcmp(what, "logits") == 0)
            assert_numbers(line + used, logits, n);
        else if (strcmp(what, "correlation") == 0)
            assert_numbers(line + used, &correlation, 1);
        else
            assert_numbers(line + used, reached, 3);
        checked++;
    }
    assert_int_equal(checked, 5 * H);
    fclose(file);
    for (size_t i = 0; i < W; i++)
        fixture_free(&f[i]);
}

static void a_head_is_named_by_where_more_than_half_lies(void **state)
{
    (void)state;
    assert_string_equal(mls_reach_name(&(mls_reach){0.6, 0.3, 0.1, 0.6}), "sink");
    assert_string_equal(mls_reach_name(&(mls_reach){0.2, 0.7, 0.1, 0.6}), "local");
    assert_string_equal(mls_reach_name(&(mls_reach){0.1, 0.1, 0.8, 0.6}), "long-range");
    assert_string_equal(mls_reach_name(&(mls_reach){0.1, 0.1, 0.6, 0.6}), "diffuse");
    assert_string_equal(mls_reach_name(&(mls_reach){0.4, 0.4, 0.2, 0.6}), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_hear_what_numpy_says),
        cmocka_unit_test(a_head_is_named_by_where_more_than_half_lies),
    };

    return cmocka_run_group_tests_name("concentration", tests, NULL, NULL);
}
