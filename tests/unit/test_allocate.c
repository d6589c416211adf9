#include "bench/plan/allocate.h"
#include "common/numbers/rng.h"
#include "tests/support/expect.h"

enum { LAYERS = 4, EACH = 5 };

typedef struct {
    mls_choice item[LAYERS * EACH];
    size_t first[LAYERS + 1];
    mls_choices c;
} problem;

static void make(problem *p, mls_rng *rng, size_t scale)
{
    for (size_t l = 0; l <= LAYERS; l++)
        p->first[l] = l * EACH;
    for (size_t i = 0; i < LAYERS * EACH; i++)
        p->item[i] = (mls_choice){.bytes = scale * (1 + mls_rng_below(rng, 30)),
                                  .loss = mls_rng_uniform(rng)};
    p->c = (mls_choices){.L = LAYERS, .first = p->first, .item = p->item};
}

/* Least loss within the budget, by trying all; INFINITY when nothing fits. */
static double brute_force(const problem *p, size_t budget)
{
    double best = INFINITY;

    for (size_t n = 0; n < 625; n++) { /* EACH^LAYERS */
        size_t rest = n, bytes = 0;
        double loss = 0;

        for (size_t l = 0; l < LAYERS; l++, rest /= EACH) {
            bytes += p->item[l * EACH + rest % EACH].bytes;
            loss += p->item[l * EACH + rest % EACH].loss;
        }
        if (bytes <= budget && loss < best)
            best = loss;
    }
    return best;
}

static void sum(const problem *p, const size_t *chosen, size_t *bytes, double *loss)
{
    *bytes = 0;
    *loss = 0;
    for (size_t l = 0; l < LAYERS; l++) {
        assert_true(chosen[l] >= p->first[l] && chosen[l] < p->first[l + 1]);
        *bytes += p->item[chosen[l]].bytes;
        *loss += p->item[chosen[l]].loss;
    }
}

static void exact_agrees_with_trying_all(void **state)
{
    mls_rng rng;

    (void)state;
    mls_rng_seed(&rng, 7, 0);
    for (size_t n = 0; n < 300; n++) {
        problem p;
        const size_t scale = n % 3 ? 24 : 1, budget = scale * (10 + n % 100);
        size_t chosen[LAYERS], bytes;
        double loss;

        make(&p, &rng, scale);
        const double want = brute_force(&p, budget);

        if (isinf(want)) {
            assert_refused(mls_allocate_exact(chosen, &p.c, budget, &err), MLS_E_INPUT,
                           "the smallest choices take");
            assert_refused(mls_allocate_water(chosen, NULL, NULL, &p.c, budget, &err),
                           MLS_E_INPUT, "the smallest choices take");
            continue;
        }
        assert_ok(mls_allocate_exact(chosen, &p.c, budget, &err));
        sum(&p, chosen, &bytes, &loss);
        assert_true(bytes <= budget);
        assert_close(loss, want, 1e-12);
    }
}

static void budgets_too_fine_for_the_table_are_kept(void **state)
{
    mls_rng rng;

    (void)state;
    mls_rng_seed(&rng, 11, 0);
    for (size_t n = 0; n < 10; n++) {
        problem p;
        const size_t budget = 80000000 + n;
        size_t chosen[LAYERS], bytes;
        double loss;

        make(&p, &rng, 1000003);
        for (size_t i = 0; i < LAYERS * EACH; i++)
            p.item[i].bytes += i; /* no common divisor */
        assert_ok(mls_allocate_exact(chosen, &p.c, budget, &err));
        sum(&p, chosen, &bytes, &loss);
        assert_true(bytes <= budget);
        /* Rounding up costs at most a cell per layer. */
        assert_true(loss >= brute_force(&p, budget) - 1e-12);
        assert_true(loss <=
                    brute_force(&p, budget - LAYERS * (budget / 65536 + 1)) + 1e-12);
    }
}

static void water_filling_satisfies_the_lagrangian_condition(void **state)
{
    mls_rng rng;

    (void)state;
    mls_rng_seed(&rng, 13, 0);
    for (size_t n = 0; n < 300; n++) {
        problem p;
        const size_t budget = 60 + n % 60;
        size_t chosen[LAYERS], bytes;
        double loss, price, bound;

        make(&p, &rng, 1);
        if (mls_choices_least(&p.c) > budget)
            continue;
        assert_ok(mls_allocate_water(chosen, &price, &bound, &p.c, budget, &err));
        sum(&p, chosen, &bytes, &loss);
        assert_true(bytes <= budget && price >= 0);
        for (size_t l = 0; l < LAYERS; l++) {
            const mls_choice *own = &p.item[chosen[l]];

            for (size_t i = p.first[l]; i < p.first[l + 1]; i++)
                assert_true(own->loss + price * (double)own->bytes <=
                            p.item[i].loss + price * (double)p.item[i].bytes + 1e-12);
        }
        /* Nothing within the budget is below the bound. */
        assert_true(brute_force(&p, budget) >= bound - 1e-12);
        assert_true(loss >= bound - 1e-12);
    }
}

/*
 * Tails of spectra are convex: what is kept are the largest eigenvalues of all layers.
 */
static void water_filling_of_spectra_keeps_the_largest_eigenvalues(void **state)
{
    enum { R = 12 };
    mls_choice item[3 * (R + 1)];
    const size_t first[] = {0, R + 1, 2 * (R + 1), 3 * (R + 1)};
    const mls_choices c = {.L = 3, .first = first, .item = item};
    double lambda[3][R], least_kept = INFINITY, most_left = 0, price;
    size_t chosen[3], ranks = 0;
    mls_rng rng;

    (void)state;
    mls_rng_seed(&rng, 17, 0);
    for (size_t l = 0; l < 3; l++) {
        double x = 1 + (double)l, tail = 0;

        for (size_t i = 0; i < R; i++)
            lambda[l][i] = x *= 0.5 + 0.49 * mls_rng_uniform(&rng);
        for (size_t r = R + 1; r-- > 0;) {
            tail += r < R ? lambda[l][r] : 0;
            item[first[l] + r] = (mls_choice){.bytes = 8 * r, .loss = tail};
        }
    }
    assert_ok(mls_allocate_water(chosen, &price, NULL, &c, 8 * 17, &err));
    for (size_t l = 0; l < 3; l++) {
        const size_t r = chosen[l] - first[l];

        ranks += r;
        for (size_t i = 0; i < R; i++)
            if (i < r)
                least_kept = fmin(least_kept, lambda[l][i]);
            else
                most_left = fmax(most_left, lambda[l][i]);
    }
    assert_int_equal(ranks, 17);
    assert_true(least_kept >= most_left);
    assert_close(price, most_left / 8, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_agrees_with_trying_all),
        cmocka_unit_test(budgets_too_fine_for_the_table_are_kept),
        cmocka_unit_test(water_filling_satisfies_the_lagrangian_condition),
        cmocka_unit_test(water_filling_of_spectra_keeps_the_largest_eigenvalues),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
