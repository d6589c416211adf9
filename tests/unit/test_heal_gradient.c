/*
 * Gradients of the latent form against differences in double, and against PyTorch. The
 * pass under test is the library's source, compiled in double (analysis/heal/real.h).
 */
#include "tests/support/heal_fixture.h"

#include "analysis/heal/pass.h"

/* A case with everything that a pass needs; the loss is sum d_out . out. */
typedef struct {
    mls_latent_form f;
    mls_parameters p;
    mls_heal_pass *pass;
    double *theta, *gradient;
    double x[HEAL_T * HEAL_E], d_out[HEAL_T * HEAL_E], d_x[HEAL_T * HEAL_E];
    double keys[1024], values[1024];
} checked;

static double loss(const checked *c)
{
    double out[HEAL_T * HEAL_E], sum = 0;

    assert_ok(mls_heal_pass_forward(c->pass, c->theta, c->x, HEAL_T, c->keys, c->values,
                                    out, &err));
    for (size_t i = 0; i < HEAL_T * HEAL_E; i++)
        sum += out[i] * c->d_out[i];
    return sum;
}

static void begin(checked *c, const heal_case *which)
{
    *c = (checked){0};
    heal_form(&c->f, which);
    assert_ok(mls_parameters_of(&c->p, &c->f, &err));
    assert_ok(mls_heal_pass_new(&c->pass, &c->f, &c->p, HEAL_T, &err));
    c->theta = calloc(c->p.n, sizeof *c->theta);
    c->gradient = calloc(c->p.n, sizeof *c->gradient);
    mls_parameters_gather(&c->p, c->theta);
    for (size_t i = 0; i < HEAL_T * HEAL_E; i++) {
        c->x[i] = heal_wave(i, 0.7);
        c->d_out[i] = heal_wave(i, 1.1);
    }
    for (size_t i = 0; i < 1024; i++) {
        c->keys[i] = heal_wave(i, 0.9);
        c->values[i] = heal_wave(i, 1.3);
    }
    loss(c);
    mls_heal_pass_backward(c->pass, c->theta, c->x, c->d_out, c->gradient, c->d_x);
}

static void end(checked *c)
{
    free(c->theta);
    free(c->gradient);
    mls_heal_pass_free(c->pass);
    mls_parameters_free(&c->p);
    mls_latent_free(&c->f);
}

/* Central difference of the loss by *number. */
static double difference(const checked *c, double *number)
{
    const double step = 1e-5, kept = *number;
    double above, below;

    *number = kept + step;
    above = loss(c);
    *number = kept - step;
    below = loss(c);
    *number = kept;
    return (above - below) / (2 * step);
}

static double largest(const double *x, size_t n)
{
    double top = 0;

    for (size_t i = 0; i < n; i++)
        top = fmax(top, fabs(x[i]));
    return top;
}

/* Every number, 1e-5 of the largest gradient of its array. */
static void expect_differences(const checked *c, double *x, const double *gradient,
                               size_t n, const char *name)
{
    const double top = largest(gradient, n);

    for (size_t i = 0; i < n; i++) {
        const double want = difference(c, &x[i]);

        if (!(fabs(gradient[i] - want) <= 1e-5 * top + 1e-9))
            fail_msg("%s, number %zu: %.12g, difference %.12g, largest %.3g", name, i,
                     gradient[i], want, top);
    }
}

static void gradients_are_the_differences_of_the_loss(void **state)
{
    (void)state;
    for (size_t i = 0; i < HEAL_CASES; i++) {
        checked c;

        begin(&c, &heal_cases[i]);
        for (size_t a = 0; a < c.p.n_arrays; a++)
            expect_differences(
                &c, c.theta + c.p.array[a].first, c.gradient + c.p.array[a].first,
                c.p.array[a].rows * c.p.array[a].cols, heal_cases[i].name);
        expect_differences(&c, c.x, c.d_x, HEAL_T * HEAL_E, heal_cases[i].name);
        end(&c);
    }
}

static void every_matrix_of_every_structure_has_a_gradient(void **state)
{
    (void)state;
    for (size_t i = 0; i < HEAL_CASES; i++) {
        checked c;

        begin(&c, &heal_cases[i]);
        for (size_t a = 0; a < c.p.n_arrays; a++) {
            const mls_parameter_array *array = &c.p.array[a];

            /* What is added to all keys alike, the softmax may cancel. */
            if (array->role != MLS_PARAMETER_BIAS &&
                largest(c.gradient + array->first, array->rows * array->cols) < 1e-6)
                fail_msg("%s: array %zu has no gradient", heal_cases[i].name, a);
        }
        end(&c);
    }
}

/* "case NAME LOSS", "array i SUM WEIGHTED", "input SUM WEIGHTED": heal.py's sums. */
static void sums(const double *x, size_t n, double *sum, double *weighted)
{
    *sum = *weighted = 0;
    for (size_t i = 0; i < n; i++) {
        *sum += x[i];
        *weighted += x[i] * cos(0.3 * (double)i);
    }
}

static void expect_sums(const double *x, size_t n, const double want[2])
{
    double sum, weighted;

    sums(x, n, &sum, &weighted);
    assert_close(sum, want[0], 1e-4 * fmax(1e-3, fabs(want[0])));
    assert_close(weighted, want[1], 1e-4 * fmax(1e-3, fabs(want[1])));
}

static void gradients_are_those_of_pytorch(void **state)
{
    FILE *file = fopen(test_source("tests/reference/heal.txt"), "r");
    char line[256], name[64];
    checked c = {0};
    double want[2];
    size_t n_cases = 0, n_arrays = 0, a;

    (void)state;
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "case %63s %lf", name, want) == 2) {
            assert_string_equal(name, heal_cases[n_cases].name);
            end(&c);
            begin(&c, &heal_cases[n_cases++]);
            assert_close(loss(&c), want[0], 1e-4 * fabs(want[0]));
            n_arrays = 0;
        } else if (sscanf(line, "array %zu %lf %lf", &a, &want[0], &want[1]) == 3) {
            assert_int_equal(a, n_arrays);
            expect_sums(c.gradient + c.p.array[a].first,
                        c.p.array[a].rows * c.p.array[a].cols, want);
            n_arrays++;
        } else if (sscanf(line, "input %lf %lf", &want[0], &want[1]) == 2) {
            assert_int_equal(n_arrays, c.p.n_arrays);
            expect_sums(c.d_x, HEAL_T * HEAL_E, want);
        }
    }
    end(&c);
    fclose(file);
    assert_int_equal(n_cases, HEAL_CASES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_the_differences_of_the_loss),
        cmocka_unit_test(every_matrix_of_every_structure_has_a_gradient),
        cmocka_unit_test(gradients_are_those_of_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
