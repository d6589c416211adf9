/* Names where curves end, kept apart; equal curves told from others. */
#include "tests/support/expect.h"

#include <math.h>

#include "common/base/buf.h"
#include "reports/tables/curves.h"

enum { N = 9 };

/* Heights of the labels, in the order in which the script sets them. */
static size_t heights(const char *script, double *at)
{
    size_t n = 0;

    for (const char *p = script; (p = strstr(p, "at graph 1.03, graph ")); p++)
        at[n++] = strtod(p + strlen("at graph 1.03, graph "), NULL);
    return n;
}

static void expect_apart(const double *end, size_t n, bool logarithmic)
{
    mls_curve curve[N] = {{.line = 1}};
    mls_buf script = {0};
    double at[N];

    for (size_t i = 0; i < n; i++) {
        snprintf(curve[i].name, sizeof curve[i].name, "curve %zu", i);
        curve[i].line = (int)i + 1;
        curve[i].end = end[i];
    }
    mls_curves_prelude(&script, curve, n, 0.01, 1, logarithmic);
    assert_false(script.failed);
    assert_int_equal(heights(script.data, at), n);
    for (size_t i = 0; i < n; i++) {
        char name[32];

        assert_true(at[i] <= 1.0001);
        if (i)
            assert_true(at[i] - at[i - 1] >= 0.0559);
        snprintf(name, sizeof name, "line[%zu] = %zu\n", i + 1, i + 1);
        assert_non_null(strstr(script.data, name));
    }
    mls_buf_free(&script);
}

static void labels_are_moved_apart_and_stay_in_the_plot(void **state)
{
    const double same[N] = {0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1};
    const double top[N] = {1, 1, 0.99, 0.98, 2, 5, 0.97, 0.96, 0.95};
    const double low[N] = {0.01, 0.001, 0.011, 0.012, 0, 0.5, 0.9, 0.3, 0.02};

    (void)state;
    for (size_t n = 1; n <= N; n++)
        for (int logarithmic = 0; logarithmic < 2; logarithmic++) {
            expect_apart(same, n, logarithmic);
            expect_apart(top, n, logarithmic);
            expect_apart(low, n, logarithmic);
        }
}

static void labels_keep_the_order_and_place_of_the_ends(void **state)
{
    mls_curve curve[2] = {{"high", 1, 0.1}, {"low", 2, 0.0316227766}};
    mls_buf script = {0};
    double at[2];

    (void)state;
    mls_curves_prelude(&script, curve, 2, 0.01, 1, true);
    assert_int_equal(heights(script.data, at), 2);
    assert_close(at[0], 0.25, 1e-4); /* a quarter of two decades, and half of them */
    assert_close(at[1], 0.5, 1e-4);
    assert_true(strstr(script.data, "\"low\"") < strstr(script.data, "\"high\""));
    mls_buf_free(&script);
}

static void equal_curves_get_one_name(void **state)
{
    const double x[3] = {1, 2, 3}, y[3] = {0.5, NAN, 0.1};
    const double near[3] = {0.500001, NAN, 0.1}, far[3] = {0.50001, NAN, 0.1};
    const double more[3] = {0.5, 0.2, 0.1}, other[3] = {1, 2, 4};
    mls_curve c = {.name = "Palu"};

    (void)state;
    assert_true(mls_curves_equal(x, y, x, y, 3));
    assert_true(mls_curves_equal(x, y, x, near, 3));
    assert_false(mls_curves_equal(x, y, x, far, 3));
    assert_false(mls_curves_equal(x, y, x, more, 3));
    assert_false(mls_curves_equal(x, more, x, y, 3));
    assert_false(mls_curves_equal(x, y, other, y, 3));
    mls_curve_also(&c, "SVD-LLM");
    assert_string_equal(c.name, "Palu = SVD-LLM");
    for (int i = 0; i < 20; i++)
        mls_curve_also(&c, "another name");
    assert_int_equal(strlen(c.name), sizeof c.name - 1);
}

static void a_method_has_one_line_in_all_plots(void **state)
{
    (void)state;
    for (size_t i = 0; mls_methods[i]; i++)
        assert_int_equal(mls_curve_line_of(mls_methods[i]->name),
                         mls_curve_line(mls_methods[i]));
    assert_int_equal(mls_curve_line_of("transmla rope_dim=32 rank=32"),
                     mls_curve_line_of("transmla"));
    assert_int_equal(mls_curve_line_of("no method"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_moved_apart_and_stay_in_the_plot),
        cmocka_unit_test(labels_keep_the_order_and_place_of_the_ends),
        cmocka_unit_test(equal_curves_get_one_name),
        cmocka_unit_test(a_method_has_one_line_in_all_plots),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
