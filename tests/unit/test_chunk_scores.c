#include "tests/support/window_fixture.h"

#include "analysis/frequency/contribution.h"
#include "analysis/frequency/ropelite_l2.h"

enum { T = 150, H = 4, G = 2, D = 16, C = D / 2 };

static void differences_are_what_a_score_loses_with_the_rotation(void **state)
{
    fixture f = fixture_new(40, H, G, D, 1e4, 0);
    bool all[C], others[C];
    double a[4 * C], b[4 * C];

    (void)state;
    for (size_t c = 0; c < C; c++)
        all[c] = true;
    for (size_t i = 0; i < 40; i += 3)
        for (size_t j = 0; j <= i; j += 5)
            for (size_t c = 0; c < C; c++) {
                double rho = 0.0;

                memcpy(others, all, sizeof others);
                others[c] = false;
                mls_chunk_query_factors(a, &f.w, f.turns, 3, i);
                mls_chunk_key_factors(b, &f.w, f.turns, 1, j);
                for (size_t m = 0; m < 4; m++)
                    rho += a[m * C + c] * b[m * C + c];
                assert_close(rho,
                             naive_score(&f.w, 3, i, j, others) -
                                 naive_score(&f.w, 3, i, j, all),
                             1e-14);
            }
    fixture_free(&f);
}

/* The Gram from all pairs, each difference from its own factors. */
static void quadratic_gram(double *gram, const fixture *f, size_t h)
{
    const size_t n = f->w.D / 2, g = h / (f->w.H / f->w.G);
    double a[4 * 64], b[4 * 64], rho[64];

    memset(gram, 0, n * n * sizeof *gram);
    for (size_t i = 0; i < f->w.T; i++)
        for (size_t j = mls_chunk_first_key(&f->w, i); j <= i; j++) {
            mls_chunk_query_factors(a, &f->w, f->turns, h, i);
            mls_chunk_key_factors(b, &f->w, f->turns, g, j);
            for (size_t c = 0; c < n; c++) {
                rho[c] = 0.0;
                for (size_t m = 0; m < 4; m++)
                    rho[c] += a[m * n + c] * b[m * n + c];
            }
            for (size_t c = 0; c < n; c++)
                for (size_t d = 0; d < n; d++)
                    gram[c * n + d] += rho[c] * rho[d];
        }
}

static void assert_gram_is_quadratic_form(size_t tokens, double theta, size_t visible)
{
    fixture f = fixture_new(tokens, H, G, D, theta, 0);
    double fast[C * C], slow[C * C];

    f.w.visible = visible;
    for (size_t h = 0; h < H; h += 3) {
        assert_ok(mls_ropelite_gram(fast, &f.w, f.turns, h, &err));
        quadratic_gram(slow, &f, h);
        for (size_t c = 0; c < C; c++)
            for (size_t d = 0; d < C; d++)
                assert_close(fast[c * C + d], slow[c * C + d],
                             1e-10 * sqrt(slow[c * C + c] * slow[d * C + d]));
    }
    fixture_free(&f);
}

static void gram_is_linear_in_tokens_and_equals_the_quadratic_form(void **state)
{
    (void)state;
    assert_gram_is_quadratic_form(1, 1e4, 0);
    assert_gram_is_quadratic_form(64, 1e4, 0);
    assert_gram_is_quadratic_form(65, 1e4, 0);
    assert_gram_is_quadratic_form(T, 1e4, 0);
    assert_gram_is_quadratic_form(T, 5e5, 0);
    assert_gram_is_quadratic_form(T, 1e4, T); /* as long as the window: all keys */
    assert_gram_is_quadratic_form(T, 1e4, 20);
    assert_gram_is_quadratic_form(T, 1e4, 1);
}

/* Mean square and mean magnitude of what is lost when only `rotated` turn. */
static void naive_distance(const fixture *f, size_t h, const bool *rotated,
                           double *square, double *magnitude)
{
    bool all[64];

    for (size_t c = 0; c < 64; c++)
        all[c] = true;
    *square = *magnitude = 0.0;
    for (size_t i = 0; i < f->w.T; i++)
        for (size_t j = 0; j <= i; j++) {
            const double d =
                naive_score(&f->w, h, i, j, rotated) - naive_score(&f->w, h, i, j, all);

            *square += d * d;
            *magnitude += fabs(d);
        }
}

static void l2_order_is_the_greedy_order_of_the_definition(void **state)
{
    fixture f = fixture_new(50, H, G, D, 1e4, 0);
    double gram[C * C], loss[C + 1], again[C + 1];
    uint16_t order[C];

    (void)state;
    for (size_t h = 0; h < H; h++) {
        bool kept[C] = {false};
        double square, unused;

        assert_ok(mls_ropelite_gram(gram, &f.w, f.turns, h, &err));
        mls_ropelite_l2_order(order, loss, gram, C);
        naive_distance(&f, h, kept, &square, &unused);
        assert_close(loss[0], square, 1e-10 * square);
        for (size_t r = 0; r < C; r++) {
            size_t best = C;
            double least = INFINITY;

            for (size_t c = 0; c < C; c++) {
                if (kept[c])
                    continue;
                kept[c] = true;
                naive_distance(&f, h, kept, &square, &unused);
                kept[c] = false;
                if (square < least) {
                    least = square;
                    best = c;
                }
            }
            assert_int_equal(order[r], best);
            assert_close(loss[r + 1], least, 1e-10 * loss[0]);
            kept[best] = true;
        }
        mls_ropelite_l2_loss(again, gram, order, C);
        assert_memory_equal(again, loss, sizeof loss);
    }
    fixture_free(&f);
}

/* What chunk c adds to the score of (i, j). */
static double naive_part(const fixture *f, size_t h, size_t i, size_t j, size_t c)
{
    const mls_chunk_window *w = &f->w;
    const size_t n = w->D / 2, g = h / (w->H / w->G);
    const float *q = w->q + (i * w->H + h) * w->D, *k = w->k + (j * w->G + g) * w->D;
    const double angle = ((double)i - (double)j) * w->inv_freq[c];
    const double dot =
        (double)q[c] * (double)k[c] + (double)q[c + n] * (double)k[c + n];
    const double cross =
        (double)q[c + n] * (double)k[c] - (double)q[c] * (double)k[c + n];

    return (dot * cos(angle) - cross * sin(angle)) / sqrt((double)w->D);
}

static void contribution_and_ablation_are_means_over_the_causal_pairs(void **state)
{
    fixture f = fixture_new(T, H, G, D, 1e4, 0);
    double mean[C], ablation[C];

    (void)state;
    for (size_t visible = 0; visible <= 30; visible += 30)
        for (size_t h = 0; h < H; h++) {
            f.w.visible = visible;
            assert_ok(mls_contribution(mean, &f.w, f.turns, h, &err));
            assert_ok(mls_ablation(ablation, &f.w, f.turns, h, &err));
            for (size_t c = 0; c < C; c++) {
                double sum = 0.0, magnitude = 0.0, n = 0.0;

                for (size_t i = 0; i < T; i++)
                    for (size_t j = mls_chunk_first_key(&f.w, i); j <= i; j++, n++) {
                        const double p = naive_part(&f, h, i, j, c);

                        sum += p;
                        magnitude += fabs(p);
                    }
                assert_close(n, mls_chunk_pairs(&f.w), 0.0);
                assert_close(mean[c], sum / n, 1e-12);
                assert_close(ablation[c], magnitude / n, 1e-12);
            }
        }
    fixture_free(&f);
}

static void sampled_contribution_comes_near_the_mean_of_the_other_side(void **state)
{
    fixture f = fixture_new(40, H, G, D, 1e4, 0);
    double sampled[C], again[C];

    (void)state;
    assert_ok(mls_contribution_sampled(sampled, &f.w, f.turns, 1, 200000, 5, &err));
    assert_ok(mls_contribution_sampled(again, &f.w, f.turns, 1, 200000, 5, &err));
    assert_memory_equal(again, sampled, sizeof sampled);
    for (size_t c = 0; c < C; c++) {
        double mean = 0.0; /* x uniform, y uniform in x..T-1 */

        for (size_t x = 0; x < 40; x++)
            for (size_t y = x; y < 40; y++)
                mean += naive_part(&f, 1, x, y, c) / (40.0 * (double)(40 - x));
        assert_close(sampled[c], mean, 0.02);
    }
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(differences_are_what_a_score_loses_with_the_rotation),
        cmocka_unit_test(gram_is_linear_in_tokens_and_equals_the_quadratic_form),
        cmocka_unit_test(l2_order_is_the_greedy_order_of_the_definition),
        cmocka_unit_test(contribution_and_ablation_are_means_over_the_causal_pairs),
        cmocka_unit_test(sampled_contribution_comes_near_the_mean_of_the_other_side),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
