#include "tests/support/expect.h"

#include "analysis/capture/moments.h"
#include "analysis/numeric/blas.h"
#include "analysis/numeric/kernels.h"
#include "common/numbers/rng.h"

enum { E = 150, H = 4, G = 2, D = 8, C = D / 2, T = 37 }; /* E is more than one tile */

static const mls_config config = {.L = 1, .E = E, .H = H, .G = G, .D = D};

static float *random_rows(size_t n, uint64_t stream)
{
    float *x = malloc(n * sizeof *x);
    mls_rng rng;

    mls_rng_seed(&rng, 7, stream);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(mls_rng_normal(&rng) + 0.3);
    return x;
}

typedef struct {
    float *x, *q, *k, *v, *q_rot, *k_rot;
    mls_attention_view view;
} sample;

static sample new_sample(size_t n, uint64_t stream)
{
    sample s = {.x = random_rows(n * E, stream),
                .q = random_rows(n * H * D, stream + 1),
                .k = random_rows(n * G * D, stream + 2),
                .v = random_rows(n * G * D, stream + 3),
                .q_rot = random_rows(n * H * D, stream + 4),
                .k_rot = random_rows(n * G * D, stream + 5)};

    s.view = (mls_attention_view){.T = n,
                                  .x = s.x,
                                  .q = s.q,
                                  .k = s.k,
                                  .v = s.v,
                                  .q_rot = s.q_rot,
                                  .k_rot = s.k_rot};
    return s;
}

static void free_sample(sample *s)
{
    free(s->x);
    free(s->q);
    free(s->k);
    free(s->v);
    free(s->q_rot);
    free(s->k_rot);
}

/*
 * Blocks of 256 tokens are summed in float: what an element of a moment may be off by,
 * relative to sqrt(S_ii S_jj). The bound is 1.6e-5 for the worst of all numbers.
 */
#define IN_FLOAT 3e-7

/* Mean over both samples of a[t, i] * b[t, j] for one head of each, the plain way. */
static double naive(const float *a1, const float *b1, const float *a2, const float *b2,
                    size_t width, size_t i, size_t j)
{
    double sum = 0;

    for (size_t t = 0; t < T; t++)
        sum += (double)a1[t * width + i] * (double)b1[t * width + j];
    for (size_t t = 0; t < T / 2; t++)
        sum += (double)a2[t * width + i] * (double)b2[t * width + j];
    return sum / (T + T / 2);
}

static void check_second(const double *second, const float *a1, const float *b1,
                         const float *a2, const float *b2, size_t heads)
{
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < D; i++)
            for (size_t j = 0; j < D; j++)
                assert_close(
                    second[(h * D + i) * D + j],
                    naive(a1, b1, a2, b2, heads * D, h * D + i, h * D + j),
                    IN_FLOAT *
                        sqrt(naive(a1, a1, a2, a2, heads * D, h * D + i, h * D + i) *
                             naive(b1, b1, b2, b2, heads * D, h * D + j, h * D + j)));
}

static void check_mean(const double *mean, const float *a1, const float *a2, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double sum = 0;

        for (size_t t = 0; t < T; t++)
            sum += (double)a1[t * n + i];
        for (size_t t = 0; t < T / 2; t++)
            sum += (double)a2[t * n + i];
        assert_close(mean[i], sum / (T + T / 2), 1e-14);
    }
}

static void moments_of_two_jobs_are_those_of_a_plain_loop(void **state)
{
    sample a = new_sample(T, 10), b = new_sample(T / 2, 20);
    mls_layer_stats sums[2], s;
    float *scratch = calloc(mls_moments_scratch(D), sizeof *scratch);
    double q_norms[2 * H * C], k_norms[2 * G * C], mean[H * C];
    const size_t start[] = {0, T, T + T / 2};

    (void)state;
    mls_blas_single_thread();
    assert_ok(mls_layer_stats_new_small(&sums[0], &config, &err));
    assert_ok(mls_layer_stats_new_small(&sums[1], &config, &err));
    assert_ok(mls_layer_stats_new(&s, &config, &err));
    assert_null(sums[0].x_second);
    mls_moments_add(&sums[0], &a.view, q_norms, k_norms, scratch);
    mls_moments_add(&sums[1], &b.view, q_norms + H * C, k_norms + G * C, scratch);
    mls_moments_join((double *[]){sums[0].block, sums[1].block}, sums[0].n_block, 0, 2,
                     2, false);
    mls_moments_finish(&s, sums[0].block, sums[0].n_block, T + T / 2);

    assert_close(s.n_tokens, T + T / 2, 0);
    check_second(s.q_second, a.q, a.q, b.q, b.q, H);
    check_second(s.q_rot_second, a.q_rot, a.q_rot, b.q_rot, b.q_rot, H);
    check_second(s.k_second, a.k, a.k, b.k, b.k, G);
    check_second(s.k_rot_second, a.k_rot, a.k_rot, b.k_rot, b.k_rot, G);
    check_second(s.v_second, a.v, a.v, b.v, b.v, G);
    check_second(s.kv_cross, a.k, a.v, b.k, b.v, G);
    check_mean(s.x_mean, a.x, b.x, E);
    check_mean(s.q_mean, a.q, b.q, H * D);
    check_mean(s.q_rot_mean, a.q_rot, b.q_rot, H * D);
    check_mean(s.k_mean, a.k, b.k, G * D);
    check_mean(s.k_rot_mean, a.k_rot, b.k_rot, G * D);
    check_mean(s.v_mean, a.v, b.v, G * D);
    for (size_t e = 0; e < E; e++) {
        double sum = 0;

        for (size_t t = 0; t < T; t++)
            sum += fabs((double)a.x[t * E + e]);
        for (size_t t = 0; t < T / 2; t++)
            sum += fabs((double)b.x[t * E + e]);
        assert_close(s.x_abs[e], sum / (T + T / 2), 1e-14);
    }

    /* chunk 3 of query head 2 in the second sequence: dims 3 and 7 of the head */
    double norm = 0, all = 0;
    for (size_t t = 0; t < T / 2; t++)
        norm +=
            hypot((double)b.q[(t * H + 2) * D + 3], (double)b.q[(t * H + 2) * D + 7]);
    assert_close(q_norms[H * C + 2 * C + 3], norm / (T / 2), 1e-14);
    mls_moments_mean_norm(mean, q_norms, start, 2, H * C);
    all = norm;
    for (size_t t = 0; t < T; t++)
        all +=
            hypot((double)a.q[(t * H + 2) * D + 3], (double)a.q[(t * H + 2) * D + 7]);
    assert_close(mean[2 * C + 3], all / (T + T / 2), 1e-14);

    mls_layer_stats_free(&s);
    mls_layer_stats_free(&sums[0]);
    mls_layer_stats_free(&sums[1]);
    free(scratch);
    free_sample(&a);
    free_sample(&b);
}

/* Numbers whose sum shows the order in which they were added. */
static void fill_sums(double **v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        v[i] = malloc(sizeof *v[i]);
        *v[i] = (i % 2 ? 1.0 : -1.0) / (3.0 * (double)i + 1) * (double)(1u << i % 13);
    }
}

static void parts_of_a_tree_join_to_the_same_last_digit(void **state)
{
    enum { JOBS = 32 };

    (void)state;
    for (size_t n = 1; n <= JOBS; n++)
        for (size_t a = 0; a <= n; a++)
            for (size_t b = a; b <= n; b++) {
                const size_t cut[] = {0, a, b, n};
                double *whole[JOBS] = {0}, *parts[JOBS] = {0};

                fill_sums(whole, n);
                fill_sums(parts, n);
                mls_moments_join(whole, 1, 0, n, n, true);
                for (int p = 0; p < 3; p++) {
                    size_t at = cut[p];

                    mls_moments_join(parts, 1, cut[p], cut[p + 1], n, true);
                    for (size_t i = cut[p]; i < cut[p + 1]; i++) {
                        assert_int_equal(parts[i] != NULL, i == at);
                        if (i == at)
                            at = mls_moments_node_end(at, cut[p + 1], n);
                    }
                }
                mls_moments_join(parts, 1, 0, n, n, true);
                assert_memory_equal(whole[0], parts[0], sizeof(double));
                for (size_t i = 1; i < n; i++)
                    assert_true(!whole[i] && !parts[i]);
                free(whole[0]);
                free(parts[0]);
            }
}

static void so_do_a_thousand_parts(void **state)
{
    enum { JOBS = 1024 };
    const size_t counts[] = {3, 64, 1000, JOBS};
    static double *whole[JOBS], *parts[JOBS];

    (void)state;
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        const size_t n = JOBS - c, count = counts[c] < n ? counts[c] : n;

        fill_sums(whole, n);
        fill_sums(parts, n);
        mls_moments_join(whole, 1, 0, n, n, true);
        for (size_t p = 0; p < count; p++)
            mls_moments_join(parts, 1, p * n / count, (p + 1) * n / count, n, true);
        for (size_t to = 1; to <= n; to++)
            mls_moments_join(parts, 1, 0, to, n, true);
        assert_memory_equal(whole[0], parts[0], sizeof(double));
        free(whole[0]);
        free(parts[0]);
    }
}

/* Sums of jobs that are joined as mls_moments_left() says, one job after the other. */
static void each_job_joins_what_the_tree_joins(void **state)
{
    enum { JOBS = 21 };
    double *whole[JOBS] = {0}, *by_job[JOBS] = {0};

    (void)state;
    for (size_t n = 1; n <= JOBS; n++)
        for (size_t from = 0; from < n; from++) {
            fill_sums(whole, n);
            fill_sums(by_job, n);
            mls_moments_join(whole, 1, from, n, n, true);
            for (size_t job = from; job < n; job++) {
                size_t node[MLS_MOMENTS_STEPS];
                const size_t n_left = mls_moments_left(node, job, from, n);

                for (size_t i = 0, right = job; i < n_left; right = node[i++]) {
                    *by_job[node[i]] += *by_job[right];
                    free(by_job[right]);
                    by_job[right] = NULL;
                }
            }
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(whole[i] != NULL, by_job[i] != NULL);
                if (whole[i])
                    assert_memory_equal(whole[i], by_job[i], sizeof(double));
                free(whole[i]);
                free(by_job[i]);
            }
        }
}

/* The E x E sums of jobs, joined tile by tile, against one job's after the other. */
static void moments_of_jobs_are_joined_by_tiles(void **state)
{
    enum { W = 150, N = 1100, JOBS = 3 }; /* two tiles; more than one block of tokens */
    float *h = random_rows(JOBS * N * W, 77), *gain = random_rows(W, 78);
    const mls_config made = {.E = W, .rms_eps = 1e-5};
    const mls_layer layer = {.attn_norm = gain};
    mls_pool *pool;

    (void)state;
    assert_ok(mls_pool_new(&pool, 2, &err));
    for (size_t n = 100; n <= N; n += N - 100) {
        double *sum[JOBS], *joined[JOBS] = {0};

        for (size_t job = 0; job < JOBS; job++) {
            size_t node[MLS_MOMENTS_STEPS];
            mls_moments_sum where = {.E = W,
                                     .n_left = mls_moments_left(node, job, 0, JOBS)};

            for (size_t i = 0; i < where.n_left; i++)
                where.left[i] = joined[node[i]];
            sum[job] = calloc(W * W, sizeof(double));
            joined[job] = calloc(W * W, sizeof(double));
            where.to = joined[job];
            assert_ok(mls_moments_x_add(&where, &(mls_spill){0}, h + job * n * W, n,
                                        &made, &layer, pool, &err));
            where = (mls_moments_sum){.E = W, .to = sum[job]};
            assert_ok(mls_moments_x_add(&where, &(mls_spill){0}, h + job * n * W, n,
                                        &made, &layer, pool, &err));
        }
        for (size_t i = 0; i < W; i++)
            for (size_t j = i; j < W; j++)
                assert_true(joined[0][i * W + j] ==
                            (sum[0][i * W + j] + sum[1][i * W + j]) +
                                sum[2][i * W + j]);
        for (size_t job = 0; job < JOBS; job++) {
            free(sum[job]);
            free(joined[job]);
        }
    }
    mls_pool_free(pool);
    free(h);
    free(gain);
}

static void
the_moment_of_x_is_right_and_the_same_for_any_number_of_threads(void **state)
{
    enum { N = 1500 }; /* more than one block of tokens */
    float *h = random_rows(N * E, 30), *gain = random_rows(E, 31);
    float *x = malloc(N * E * sizeof *x);
    double *second = malloc(E * E * sizeof *second);
    double *first = malloc(E * E * sizeof *first);
    static mls_config made; /* large for a stack */
    const mls_layer layer = {.attn_norm = gain};

    (void)state;
    made.E = E;
    made.rms_eps = 1e-5;
    mls_blas_single_thread();
    for (size_t threads = 1; threads <= 4; threads++) {
        mls_pool *pool;

        assert_ok(mls_pool_new(&pool, threads, &err));
        assert_ok(
            mls_moments_x(second, &(mls_spill){0}, h, N, &made, &layer, pool, &err));
        if (threads == 1)
            memcpy(first, second, E * E * sizeof *first);
        assert_memory_equal(second, first, E * E * sizeof *first);
        mls_pool_free(pool);
    }
    mls_rmsnorm(x, h, gain, 1e-5, N, E);
    for (size_t i = 0; i < E; i += 7)
        for (size_t j = 0; j < E; j++) {
            double sum = 0;

            for (size_t t = 0; t < N; t++)
                sum += (double)x[t * E + i] * (double)x[t * E + j];
            assert_close(second[i * E + j], sum / N,
                         IN_FLOAT * sqrt(second[i * E + i] * second[j * E + j]));
            assert_close(second[j * E + i], second[i * E + j], 0);
        }
    free(first);
    free(second);
    free(x);
    free(gain);
    free(h);
}

static void a_projected_moment_is_that_of_the_projected_rows(void **state)
{
    enum { N = 5, ROWS = 5 };
    float *x = random_rows(N * E, 40), *w = random_rows(ROWS * E, 41);
    const float b[ROWS] = {0.5F, -2, 1, 0.5F, 3};
    double second[ROWS * ROWS], y[N][ROWS];
    mls_layer_stats s;

    (void)state;
    /* Row 3 is row 0, row 4 is row 1 with another bias. */
    memcpy(w + 3 * E, w, 2 * E * sizeof *w);
    assert_ok(mls_layer_stats_new(&s, &config, &err));
    for (size_t t = 0; t < N; t++) {
        for (size_t i = 0; i < E; i++) {
            s.x_mean[i] += (double)x[t * E + i] / N;
            for (size_t j = 0; j < E; j++)
                s.x_second[i * E + j] +=
                    (double)x[t * E + i] * (double)x[t * E + j] / N;
        }
        for (size_t r = 0; r < ROWS; r++) {
            y[t][r] = (double)b[r];
            for (size_t i = 0; i < E; i++)
                y[t][r] += (double)w[r * E + i] * (double)x[t * E + i];
        }
    }
    assert_ok(mls_second_of_outputs(second, &s, w, b, ROWS, &err));
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < ROWS; j++) {
            double want = 0;

            for (size_t t = 0; t < N; t++)
                want += y[t][i] * y[t][j] / N;
            assert_close(second[i * ROWS + j], want, 1e-11 * fabs(want) + 1e-11);
        }
    mls_layer_stats_free(&s);
    assert_ok(mls_layer_stats_new_small(&s, &config, &err));
    assert_refused(mls_second_of_outputs(second, &s, w, b, ROWS, &err), MLS_E_ARG,
                   "lack the second moment");
    mls_layer_stats_free(&s);
    free(w);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_of_two_jobs_are_those_of_a_plain_loop),
        cmocka_unit_test(parts_of_a_tree_join_to_the_same_last_digit),
        cmocka_unit_test(so_do_a_thousand_parts),
        cmocka_unit_test(each_job_joins_what_the_tree_joins),
        cmocka_unit_test(moments_of_jobs_are_joined_by_tiles),
        cmocka_unit_test(
            the_moment_of_x_is_right_and_the_same_for_any_number_of_threads),
        cmocka_unit_test(a_projected_moment_is_that_of_the_projected_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
