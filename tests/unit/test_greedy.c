#include "tests/support/window_fixture.h"

#include "analysis/frequency/ropelite_l1.h"

enum { D = 16, C = D / 2 };

/* Sum of |A_E - A_full| over the causal pairs, from the definition. */
static double naive_loss(const mls_chunk_window *w, size_t h, const bool *rotated)
{
    double sum = 0.0;
    bool all[C];

    for (size_t c = 0; c < C; c++)
        all[c] = true;
    for (size_t i = 0; i < w->T; i++)
        for (size_t j = mls_chunk_first_key(w, i); j <= i; j++)
            sum +=
                fabs(naive_score(w, h, i, j, rotated) - naive_score(w, h, i, j, all));
    return sum;
}

static void search(mls_greedy *g, const mls_chunk_windows *ws, size_t threads)
{
    mls_ropelite_l1 *l1;
    mls_pool *pool;

    assert_ok(mls_pool_new(&pool, threads, &err));
    assert_ok(mls_ropelite_l1_new(&l1, ws, threads, &err));
    const mls_greedy_objective objective = mls_ropelite_l1_objective(l1);

    assert_ok(mls_greedy_search(g, ws, &objective, pool, NULL, &err));
    mls_ropelite_l1_free(l1);
    mls_pool_free(pool);
}

/* Greedy search by the definition; every pick and loss must be the same. */
static void assert_search_is_naive(size_t T, size_t H, size_t G, size_t n_windows,
                                   size_t visible, bool per_query_head)
{
    fixture f[3];
    mls_chunk_window w[3];
    mls_greedy g;

    for (size_t i = 0; i < n_windows; i++) {
        f[i] = fixture_new(T, H, G, D, 1e4, i);
        f[i].w.visible = visible;
        w[i] = f[i].w;
    }
    const mls_chunk_windows ws = {.window = w,
                                  .n = n_windows,
                                  .turns = f[0].turns,
                                  .per_query_head = per_query_head};

    search(&g, &ws, 2);
    assert_int_equal(g.n, per_query_head ? H : G);
    for (size_t head = 0; head < g.n; head++) {
        bool kept[C] = {false};
        size_t first, n_query;

        mls_chunk_query_heads(&ws, head, &first, &n_query);
        const double all = mls_chunk_pairs(&w[0]) * (double)(n_query * n_windows);
        double nothing = 0.0;

        for (size_t i = 0; i < n_windows; i++)
            for (size_t h = first; h < first + n_query; h++)
                nothing += naive_loss(&w[i], h, kept);
        assert_close(g.loss[head * (C + 1)] * all, nothing, 2e-7 * nothing);
        for (size_t r = 0; r < C; r++) {
            size_t best = C;
            double least = INFINITY;

            for (size_t c = 0; c < C; c++) {
                double loss = 0.0;

                for (size_t i = 0; i < n_windows; i++) {
                    const double *trace =
                        g.trace + ((head * C + r) * C + c) * n_windows;
                    double window_loss = 0.0;

                    if (kept[c]) {
                        assert_true(isnan(trace[i]));
                        continue;
                    }
                    kept[c] = true;
                    for (size_t h = first; h < first + n_query; h++)
                        window_loss += naive_loss(&w[i], h, kept);
                    kept[c] = false;
                    assert_close(trace[i] * mls_chunk_pairs(&w[i]) * (double)n_query,
                                 window_loss, 2e-7 * window_loss + 1e-7);
                    loss += window_loss;
                }
                if (!kept[c] && loss < least) {
                    least = loss;
                    best = c;
                }
            }
            assert_int_equal(g.order[head * C + r], best);
            assert_close(g.loss[head * (C + 1) + r + 1] * all, least,
                         2e-7 * least + 1e-7);
            kept[best] = true;
        }
    }
    mls_greedy_free(&g);
    for (size_t i = 0; i < n_windows; i++)
        fixture_free(&f[i]);
}

static void residual_search_picks_what_the_definition_picks(void **state)
{
    (void)state;
    assert_search_is_naive(37, 4, 4, 1, 0, true);
    assert_search_is_naive(64, 2, 1, 1, 0, true);
    assert_search_is_naive(2, 1, 1, 1, 0, true);
}

static void kv_heads_choose_for_their_group_over_all_windows(void **state)
{
    (void)state;
    assert_search_is_naive(33, 4, 2, 2, 0, false);
    assert_search_is_naive(20, 3, 1, 3, 0, false);
}

static void windowed_layers_count_visible_pairs_only(void **state)
{
    (void)state;
    assert_search_is_naive(70, 2, 1, 1, 9, false);
    assert_search_is_naive(70, 1, 1, 1, 40, false);
    assert_search_is_naive(30, 1, 1, 1, 100, false);
}

static void threads_do_not_change_a_byte(void **state)
{
    fixture f = fixture_new(300, 4, 2, D, 1e4, 0); /* more than one panel of keys */
    const mls_chunk_windows ws = {.window = &f.w, .n = 1, .turns = f.turns};
    mls_greedy one, three;

    (void)state;
    search(&one, &ws, 1);
    search(&three, &ws, 3);
    assert_memory_equal(one.order, three.order, one.n * C * sizeof *one.order);
    assert_memory_equal(one.loss, three.loss, one.n * (C + 1) * sizeof *one.loss);
    assert_memory_equal(one.trace, three.trace, one.n * C * C * sizeof *one.trace);
    mls_greedy_free(&one);
    mls_greedy_free(&three);
    fixture_free(&f);
}

/* Chunks with the same q, k and frequency differ in nothing: exact ties. */
static void equal_chunks_are_picked_by_number(void **state)
{
    fixture f = fixture_new(50, 1, 1, D, 1e4, 0);
    mls_greedy g;

    (void)state;
    for (size_t c = 1; c < C; c++) {
        f.inv_freq[c] = f.inv_freq[0];
        for (size_t t = 0; t < 50; t++)
            for (size_t p = 0; p < 2; p++) {
                f.q[t * D + p * C + c] = f.q[t * D + p * C];
                f.k[t * D + p * C + c] = f.k[t * D + p * C];
            }
    }
    mls_chunk_turns(f.turns, f.inv_freq, C, 50);
    const mls_chunk_windows ws = {.window = &f.w, .n = 1, .turns = f.turns};

    search(&g, &ws, 1);
    for (size_t c = 0; c < C; c++)
        assert_int_equal(g.order[c], c);
    assert_close(g.loss[C], 0.0, 0.0);
    mls_greedy_free(&g);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(residual_search_picks_what_the_definition_picks),
        cmocka_unit_test(kv_heads_choose_for_their_group_over_all_windows),
        cmocka_unit_test(windowed_layers_count_visible_pairs_only),
        cmocka_unit_test(threads_do_not_change_a_byte),
        cmocka_unit_test(equal_chunks_are_picked_by_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
