#include "tests/support/window_fixture.h"

#include "analysis/frequency/contribution.h"
#include "analysis/frequency/rule_scores.h"
#include "analysis/frequency/spread.h"

enum { D = 16, C = D / 2, T = 60, H = 4, G = 2, W = 3 };

typedef struct {
    fixture f[W];
    mls_chunk_window w[W];
    mls_chunk_windows set;
    mls_rule_data data;
    mls_pool *pool;
} bench;

static void bench_new(bench *b)
{
    for (size_t i = 0; i < W; i++) {
        b->f[i] = fixture_new(T, H, G, D, 1e4, i);
        b->w[i] = b->f[i].w;
    }
    b->set = (mls_chunk_windows){.window = b->w, .n = W, .turns = b->f[0].turns};
    b->data = (mls_rule_data){.H = H, .G = G, .C = C, .windows = &b->set};
    assert_ok(mls_pool_new(&b->pool, 2, &err));
}

static void bench_free(bench *b)
{
    for (size_t i = 0; i < W; i++)
        fixture_free(&b->f[i]);
    mls_pool_free(b->pool);
}

static void make(mls_rule_scores *s, const char *name, const bench *b)
{
    const mls_rule *rule;

    assert_ok(mls_rule_find(&rule, name, &err));
    assert_ok(mls_rule_scores_make(s, rule, &b->data, b->pool, NULL, &err));
    assert_int_equal(s->units, W);
}

static void scores_are_means_over_windows_and_query_heads(void **state)
{
    mls_rule_scores s;
    bench b;

    (void)state;
    bench_new(&b);
    make(&s, "contribution", &b);
    for (size_t g = 0; g < G; g++) {
        double want[C] = {0}, one[C];

        for (size_t i = 0; i < W; i++)
            for (size_t h = 2 * g; h < 2 * g + 2; h++) {
                assert_ok(mls_contribution(one, &b.w[i], b.set.turns, h, &err));
                for (size_t c = 0; c < C; c++)
                    want[c] += one[c] / (2 * W);
            }
        for (size_t c = 0; c < C; c++)
            assert_close(s.score[g * C + c], want[c], 1e-12);
        for (size_t r = 1; r < C; r++)
            assert_true(s.score[g * C + s.order[g * C + r]] <=
                        s.score[g * C + s.order[g * C + r - 1]]);
    }
    assert_null(s.loss);
    mls_rule_scores_free(&s);
    bench_free(&b);
}

static void every_rule_of_the_data_gives_a_permutation_and_falling_losses(void **state)
{
    double q_norm[2 * H * C], k_norm[2 * G * C];
    bench b;

    (void)state;
    bench_new(&b);
    for (size_t i = 0; i < 2 * H * C; i++)
        q_norm[i] = (double)(fixture_hash((uint32_t)i) % 100);
    for (size_t i = 0; i < 2 * G * C; i++)
        k_norm[i] = (double)(fixture_hash((uint32_t)i + 999) % 100);
    b.data.q_norm = q_norm;
    b.data.k_norm = k_norm;
    b.data.N = 2;
    for (size_t i = 0; mls_rules[i]; i++) {
        mls_rule_scores s;

        if (mls_rules[i]->needs == MLS_NEEDS_CONFIG) {
            assert_refused(
                mls_rule_scores_make(&s, mls_rules[i], &b.data, b.pool, NULL, &err),
                MLS_E_ARG, "scores nothing");
            continue;
        }
        assert_ok(mls_rule_scores_make(&s, mls_rules[i], &b.data, b.pool, NULL, &err));
        for (size_t g = 0; g < G; g++) {
            bool seen[C] = {false};

            for (size_t r = 0; r < C; r++) {
                assert_false(seen[s.order[g * C + r]]);
                seen[s.order[g * C + r]] = true;
                if (s.loss)
                    assert_close(s.score[g * C + s.order[g * C + r]],
                                 s.loss[g * (C + 1) + r] - s.loss[g * (C + 1) + r + 1],
                                 0.0);
            }
            if (s.loss) {
                assert_true(s.loss[g * (C + 1)] > 0.0);
                assert_close(s.loss[g * (C + 1) + C], 0.0, 1e-14);
            }
        }
        mls_rule_scores_free(&s);
    }
    bench_free(&b);
}

static void picking_all_units_gives_the_scores_of_all(void **state)
{
    static const char *const names[] = {"contribution", "ablation", "kl",
                                        "ropelite-l2"};
    const size_t all[] = {2, 0, 1}, first[] = {0, 0};
    bench b, one;

    (void)state;
    bench_new(&b);
    bench_new(&one);
    one.set.n = 1;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        mls_rule_scores s, single;
        const mls_rule *rule;
        double score[G * C];
        uint16_t order[G * C];

        make(&s, names[i], &b);
        double *work = malloc(mls_rule_scores_work(&s) * sizeof *work);

        assert_non_null(work);
        assert_true(mls_rule_scores_resampled(&s));
        mls_rule_scores_resample(&s, all, 3, score, order, work);
        assert_memory_equal(order, s.order, sizeof order);
        for (size_t c = 0; c < G * C; c++)
            assert_close(score[c], s.score[c], 1e-12 * fabs(s.score[c]) + 1e-15);

        assert_ok(mls_rule_find(&rule, names[i], &err));
        assert_ok(mls_rule_scores_make(&single, rule, &one.data, one.pool, NULL, &err));
        mls_rule_scores_resample(&s, first, 2, score, order, work);
        assert_memory_equal(order, single.order, sizeof order);
        for (size_t c = 0; c < G * C; c++)
            assert_close(score[c], single.score[c],
                         1e-12 * fabs(single.score[c]) + 1e-15);
        mls_rule_scores_free(&single);
        mls_rule_scores_free(&s);
        free(work);
    }
    bench_free(&b);
    bench_free(&one);
}

static void norms_are_means_over_sequences_before_they_are_multiplied(void **state)
{
    /* H = 1, G = 1, C = 2, two sequences */
    const double q[] = {1, 2, 3, 4}, k[] = {5, 1, 7, 2};
    const mls_rule_data data = {
        .H = 1, .G = 1, .C = 2, .q_norm = q, .k_norm = k, .N = 2};
    const size_t second[] = {1};
    double score[2], work[64];
    uint16_t order[2];
    mls_rule_scores s;
    const mls_rule *rule;

    (void)state;
    assert_ok(mls_rule_find(&rule, "2-norm", &err));
    assert_ok(mls_rule_scores_make(&s, rule, &data, NULL, NULL, &err));
    assert_close(s.score[0], 2.0 * 6.0, 0.0);
    assert_close(s.score[1], 3.0 * 1.5, 0.0);
    assert_true(mls_rule_scores_work(&s) <= 64);
    mls_rule_scores_resample(&s, second, 1, score, order, work);
    assert_close(score[0], 21.0, 0.0);
    assert_close(score[1], 8.0, 0.0);
    mls_rule_scores_free(&s);
}

/* Smallest sum of losses over all ways to spend a budget on three heads. */
static double cheapest(const double *loss, size_t c, size_t budget)
{
    double best = INFINITY;

    for (size_t a = 0; a <= c; a++)
        for (size_t b = 0; b <= c; b++)
            if (a + b <= budget && budget - a - b <= c)
                best = fmin(best, loss[a] + loss[c + 1 + b] +
                                      loss[2 * (c + 1) + budget - a - b]);
    return best;
}

static void spreading_a_budget_over_convex_losses_is_optimal(void **state)
{
    enum { n = 3, c = 6 };
    double loss[n * (c + 1)];

    (void)state;
    for (uint32_t seed = 0; seed < 20; seed++) {
        for (uint32_t i = 0; i < n; i++) {
            double gain = 0.0; /* from the end: gains grow towards r = 0 */

            loss[i * (c + 1) + c] = 0.0;
            for (uint32_t r = c; r-- > 0;) {
                gain += (double)(fixture_hash(seed * 100 + i * 10 + r) % 1000);
                loss[i * (c + 1) + r] = loss[i * (c + 1) + r + 1] + gain;
            }
        }
        for (size_t budget = 0; budget <= n * c; budget++) {
            size_t count[n], spent = 0;
            double sum = 0.0;

            assert_ok(mls_spread_budget(count, loss, n, c, budget, &err));
            for (size_t i = 0; i < n; i++) {
                spent += count[i];
                sum += loss[i * (c + 1) + count[i]];
            }
            assert_int_equal(spent, budget);
            assert_close(sum, cheapest(loss, c, budget), 1e-9);
        }
    }
}

static void a_step_that_pays_late_is_seen_from_the_start(void **state)
{
    /* Head 0 saves 1 a chunk; head 1 nothing with one chunk, 10 with two. */
    const double loss[] = {3, 2, 1, 0, 10, 10, 0, 0};
    size_t count[2];

    (void)state;
    assert_ok(mls_spread_budget(count, loss, 2, 3, 2, &err));
    assert_int_equal(count[0], 0);
    assert_int_equal(count[1], 2);
    assert_ok(mls_spread_budget(count, loss, 2, 3, 3, &err));
    assert_int_equal(count[0], 1);
    assert_int_equal(count[1], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_means_over_windows_and_query_heads),
        cmocka_unit_test(every_rule_of_the_data_gives_a_permutation_and_falling_losses),
        cmocka_unit_test(picking_all_units_gives_the_scores_of_all),
        cmocka_unit_test(norms_are_means_over_sequences_before_they_are_multiplied),
        cmocka_unit_test(spreading_a_budget_over_convex_losses_is_optimal),
        cmocka_unit_test(a_step_that_pays_late_is_seen_from_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
