#include "tests/support/window_fixture.h"

#include "analysis/frequency/score_rows.h"
#include "analysis/frequency/selection_cost.h"
#include "analysis/frequency/softmax_score.h"

enum { D = 16, C = D / 2, T = 45 };

/* Probabilities of query i with the chunks of `rotated` rotated. p (T) */
static void naive_softmax(const mls_chunk_window *w, size_t h, size_t i,
                          const bool *rotated, double *p)
{
    double max = -INFINITY, sum = 0.0;

    for (size_t j = 0; j < w->T; j++)
        p[j] = 0.0;
    for (size_t j = mls_chunk_first_key(w, i); j <= i; j++)
        max = fmax(max, p[j] = naive_score(w, h, i, j, rotated));
    for (size_t j = mls_chunk_first_key(w, i); j <= i; j++)
        sum += p[j] = exp(p[j] - max);
    for (size_t j = mls_chunk_first_key(w, i); j <= i; j++)
        p[j] /= sum;
}

/* Sum over queries of KL, pairs of |score change|, and squared output changes. */
typedef struct {
    double kl, magnitude, change, output;
} naive_cost;

/* Of queries first .. end - 1. */
static naive_cost naive_rows(const mls_chunk_window *w, size_t h, const bool *rotated,
                             size_t first, size_t end)
{
    naive_cost cost = {0};
    bool all[C];
    double p[T], changed[T];
    const size_t g = h / (w->H / w->G);

    for (size_t c = 0; c < C; c++)
        all[c] = true;
    for (size_t i = first; i < end; i++) {
        naive_softmax(w, h, i, all, p);
        naive_softmax(w, h, i, rotated, changed);
        for (size_t j = mls_chunk_first_key(w, i); j <= i; j++) {
            cost.kl += p[j] * log(p[j] / changed[j]);
            cost.magnitude +=
                fabs(naive_score(w, h, i, j, all) - naive_score(w, h, i, j, rotated));
        }
        for (size_t d = 0; d < w->D; d++) {
            double o = 0.0, o_changed = 0.0;

            for (size_t j = 0; j <= i; j++) {
                const double v = (double)w->v[(j * w->G + g) * w->D + d];

                o += p[j] * v;
                o_changed += changed[j] * v;
            }
            cost.output += o * o;
            cost.change += (o_changed - o) * (o_changed - o);
        }
    }
    return cost;
}

static naive_cost naive(const mls_chunk_window *w, size_t h, const bool *rotated)
{
    return naive_rows(w, h, rotated, 0, w->T);
}

static void single_scores_are_the_kl_of_the_definition(void **state)
{
    (void)state;
    for (size_t visible = 0; visible <= 7; visible += 7) {
        fixture f = fixture_new(T, 4, 2, D, 1e4, 0);

        f.w.visible = visible;
        const mls_chunk_windows ws = {.window = &f.w, .n = 1, .turns = f.turns};
        mls_softmax_score *s;
        double score[C];

        assert_ok(mls_softmax_score_new(&s, &ws, 1, &err));
        for (size_t h = 0; h < 4; h += 3) {
            mls_softmax_score_single(s, &f.w, h, score, 0);
            for (size_t c = 0; c < C; c++) {
                bool rotated[C];

                for (size_t x = 0; x < C; x++)
                    rotated[x] = x != c;
                const double want = naive(&f.w, h, rotated).kl;

                assert_close(score[c], want, 1e-5 * want + 1e-9);
            }
        }
        mls_softmax_score_free(s);
        fixture_free(&f);
    }
}

static void greedy_search_keeps_what_leaves_the_smallest_kl(void **state)
{
    fixture f = fixture_new(T, 4, 2, D, 1e4, 0);
    const mls_chunk_windows ws = {.window = &f.w, .n = 1, .turns = f.turns};
    mls_softmax_score *s;
    mls_pool *pool;
    mls_greedy g;

    (void)state;
    assert_ok(mls_pool_new(&pool, 2, &err));
    assert_ok(mls_softmax_score_new(&s, &ws, 2, &err));
    const mls_greedy_objective objective = mls_softmax_score_objective(s);

    assert_ok(mls_greedy_search(&g, &ws, &objective, pool, NULL, &err));
    for (size_t head = 0; head < 2; head++) {
        bool kept[C] = {false};
        const double nothing =
            naive(&f.w, 2 * head, kept).kl + naive(&f.w, 2 * head + 1, kept).kl;

        assert_close(g.loss[head * (C + 1)], nothing / (2 * T), 1e-6 * nothing);
        for (size_t r = 0; r < C; r++) {
            size_t best = C;
            double least = INFINITY;

            for (size_t c = 0; c < C; c++) {
                if (kept[c])
                    continue;
                kept[c] = true;
                const double kl =
                    naive(&f.w, 2 * head, kept).kl + naive(&f.w, 2 * head + 1, kept).kl;

                kept[c] = false;
                if (kl < least) {
                    least = kl;
                    best = c;
                }
            }
            assert_int_equal(g.order[head * C + r], best);
            assert_close(g.loss[head * (C + 1) + r + 1], least / (2 * T),
                         1e-6 * least + 1e-9);
            kept[best] = true;
        }
    }
    mls_greedy_free(&g);
    mls_softmax_score_free(s);
    mls_pool_free(pool);
    fixture_free(&f);
}

static void kl_survives_scores_beyond_the_range_of_exp(void **state)
{
    const double score[] = {0.0, 900.0, 5.0}, p[] = {0.0, 1.0, 0.0};
    const float x[] = {0.0f, -1000.0f, 0.0f};
    double changed[3], sum;

    (void)state;
    /* p' is the softmax of (0, -100, 5): KL = log(1 + e^5 + e^-100) + 100. */
    assert_close(mls_score_rows_kl(score, p, 900.0, x, 3, changed, &sum),
                 log(1.0 + exp(5.0)) + 100.0, 1e-9);
    assert_close(changed[2] / sum, 1.0 / (1.0 + exp(-5.0)), 1e-12);
}

static void the_fast_kl_is_near_the_exact_one(void **state)
{
    enum { N = 200 };
    double score[N], p[N], changed[N], lse, sum = 0.0, unused;
    float p_float[N], x[N];

    (void)state;
    for (uint32_t j = 0; j < N; j++) {
        score[j] = (double)(fixture_hash(j) % 1000) / 100.0;
        sum += exp(score[j]);
    }
    lse = log(sum);
    for (uint32_t j = 0; j < N; j++) {
        p[j] = exp(score[j] - lse);
        p_float[j] = (float)p[j];
    }
    /* From changes that softmax hardly sees to such that turn everything over. */
    for (double size = 1e-4; size < 100.0; size *= 10.0)
        for (double shift = 0.0; shift < 20.0 * size; shift += 9.0 * size) {
            for (uint32_t j = 0; j < N; j++)
                x[j] = (float)(shift +
                               size * ((double)(fixture_hash(j + 7) % 2000) / 1000.0 -
                                       1.0));
            const double exact =
                mls_score_rows_kl(score, p, lse, x, N, changed, &unused);
            const double fast =
                mls_score_rows_kl_fast(score, p, p_float, lse, x, N, changed);

            assert_true(exact > 0.0);
            assert_close(fast, exact, 1e-4 * exact);
        }
}

static void costs_are_those_of_the_definition(void **state)
{
    fixture f[2] = {fixture_new(T, 4, 2, D, 1e4, 0), fixture_new(T, 4, 2, D, 1e4, 1)};
    const mls_chunk_window w[2] = {f[0].w, f[1].w};
    const mls_chunk_windows ws = {.window = w, .n = 2, .turns = f[0].turns};
    mls_selection selection[3];
    mls_cost cost[2 * 4 * 3];
    mls_pool *pool;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_ok(mls_selection_new(&selection[i], 2, C, &err));
    selection[1].count[0] = 3;
    selection[1].count[1] = 5;
    selection[2].count[0] = selection[2].count[1] = C;
    assert_ok(mls_pool_new(&pool, 3, &err));
    assert_ok(mls_selection_cost(cost, &ws, selection, 3, 1, pool, &err));
    for (size_t i = 0; i < 2; i++)
        for (size_t row = 0; row < 8; row++) {
            const mls_cost *got = &cost[row * 3 + i];
            const size_t h = row % 4;
            naive_cost want;
            bool rotated[C];

            for (size_t c = 0; c < C; c++)
                rotated[c] = c < selection[i].count[h / 2];
            want = naive(&w[row / 4], h, rotated);
            assert_close(got->kl, want.kl / T, 1e-5 * got->kl);
            assert_close(got->score_error, want.magnitude / mls_chunk_pairs(&w[0]),
                         1e-6 * got->score_error);
            assert_close(got->output_error, want.change / want.output,
                         1e-5 * got->output_error);
        }
    /* One block of queries of three: of head 1 in the first window 16 .. 31. */
    assert_ok(mls_selection_cost(cost, &ws, selection, 3, 3, pool, &err));
    const bool none[C] = {false};
    const naive_cost some = naive_rows(&w[0], 1, none, 16, 32);

    assert_close(cost[3].kl, some.kl / 16, 1e-5 * cost[3].kl);
    assert_close(cost[3].output_error, some.change / some.output,
                 1e-5 * cost[3].output_error);
    assert_ok(mls_selection_cost(cost, &ws, selection, 3, 1, pool, &err));
    for (size_t row = 0; row < 8; row++) { /* everything kept: nothing lost */
        const mls_cost *got = &cost[row * 3 + 2];

        assert_close(got->kl, 0.0, 1e-14);
        assert_close(got->score_error, 0.0, 0.0);
        assert_close(got->output_error, 0.0, 1e-28);
    }
    for (size_t i = 0; i < 3; i++)
        mls_selection_free(&selection[i]);
    mls_pool_free(pool);
    fixture_free(&f[0]);
    fixture_free(&f[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_scores_are_the_kl_of_the_definition),
        cmocka_unit_test(greedy_search_keeps_what_leaves_the_smallest_kl),
        cmocka_unit_test(kl_survives_scores_beyond_the_range_of_exp),
        cmocka_unit_test(the_fast_kl_is_near_the_exact_one),
        cmocka_unit_test(costs_are_those_of_the_definition),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
