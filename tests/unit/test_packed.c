/* Products in bfloat16 against the same in double on rounded numbers. */
#include "tests/support/expect.h"

#include <pthread.h>

#include "analysis/numeric/blas.h"
#include "analysis/numeric/packed.h"
#include "common/numbers/half.h"
#include "common/numbers/rng.h"

enum { OUT = 96, IN = 200, ROWS = 70, LD = 110 };

static float w[OUT * IN], x[ROWS * IN], b[OUT];

static void fill(float *a, size_t n, uint64_t seed)
{
    mls_rng rng;

    mls_rng_seed(&rng, seed, 0);
    for (size_t i = 0; i < n; i++)
        a[i] = (float)mls_rng_normal(&rng);
}

static double rounded(float a)
{
    return (double)mls_bf16_to_float(mls_float_to_bf16(a));
}

static mls_packed *packed_weights(void)
{
    mls_packed *p;

    fill(w, OUT * IN, 1);
    fill(x, ROWS * IN, 2);
    fill(b, OUT, 3);
    assert_ok(mls_packed_new(&p, &err));
    assert_ok(mls_packed_add(p, w, OUT, IN, &err));
    assert_ok(mls_packed_add(p, w, OUT, IN, &err)); /* once is enough */
    assert_ok(mls_packed_add(p, NULL, OUT, IN, &err));
    return p;
}

static void needs_hardware(void)
{
    const char *how;

    if (!mls_bf16_available(&how)) {
        print_message("SKIPPED: %s\n", how);
        skip();
    }
}

/* x w^T + b at (t, i), and the sum of the sizes of its terms. */
static double product(size_t t, size_t i, double (*value)(float), double *size)
{
    double sum = (double)b[i];

    *size = 1;
    for (size_t k = 0; k < IN; k++) {
        const double term = value(x[t * IN + k]) * value(w[i * IN + k]);

        sum += term;
        *size += fabs(term);
    }
    return sum;
}

static double exact(float a)
{
    return (double)a;
}

static void products_are_those_of_rounded_numbers(void **state)
{
    static float y[ROWS * OUT];

    (void)state;
    needs_hardware();
    mls_packed *p = packed_weights();
    mls_packed_linear(p, y, OUT, x, w, b, ROWS, OUT, IN);
    for (size_t t = 0; t < ROWS; t++)
        for (size_t i = 0; i < OUT; i++) {
            double size;
            const double want = product(t, i, rounded, &size);

            assert_close((double)y[t * OUT + i], want, 1e-6 * size);
        }
    mls_packed_free(p);
}

/* Where oneDNN has no kernel, in float; two roundings to 8 bits at most. */
static void any_rows_at_any_stride_come_out(void **state)
{
    static float y[ROWS * LD];

    (void)state;
    needs_hardware();
    mls_packed *p = packed_weights();
    for (size_t T = 1; T <= ROWS; T += 23) {
        mls_packed_linear(p, y, LD, x, w, b, T, OUT, IN);
        for (size_t t = 0; t < T; t++)
            for (size_t i = 0; i < OUT; i++) {
                double size;
                const double want = product(t, i, exact, &size);

                assert_close((double)y[t * LD + i], want, size / 256);
            }
    }
    mls_packed_free(p);
}

static void other_weights_are_multiplied_in_float(void **state)
{
    static float other[OUT * IN], y[ROWS * OUT], z[ROWS * LD];

    (void)state;
    fill(other, OUT * IN, 4);
    fill(x, ROWS * IN, 2);
    mls_packed_linear(NULL, y, OUT, x, other, NULL, ROWS, OUT, IN);
    mls_packed_linear(NULL, z, LD, x, other, b, ROWS, OUT, IN);
    for (size_t t = 0; t < ROWS; t++)
        for (size_t i = 0; i < OUT; i++) {
            double want = 0;

            for (size_t k = 0; k < IN; k++)
                want += (double)x[t * IN + k] * (double)other[i * IN + k];
            assert_close((double)y[t * OUT + i], want, 1e-4);
            assert_close((double)z[t * LD + i], want + (double)b[i], 1e-4);
        }
}

typedef struct {
    mls_packed *p;
    float *y;
} task;

static void *multiply(void *arg)
{
    const task *t = arg;

    mls_packed_linear(t->p, t->y, OUT, x, w, NULL, ROWS, OUT, IN);
    return NULL;
}

static void every_thread_gets_the_same_bits(void **state)
{
    enum { THREADS = 4 };
    static float y[THREADS][ROWS * OUT];
    pthread_t thread[THREADS];
    task t[THREADS];

    (void)state;
    needs_hardware();
    mls_packed *p = packed_weights();
    for (size_t i = 0; i < THREADS; i++) {
        t[i] = (task){p, y[i]};
        assert_int_equal(pthread_create(&thread[i], NULL, multiply, &t[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    for (size_t i = 1; i < THREADS; i++)
        assert_memory_equal(y[i], y[0], sizeof y[0]);
    mls_packed_free(p);
}

/* dx (t, k) = sum over i of dy (t, i) w (i, k). */
static void the_way_back_is_that_of_rounded_numbers(void **state)
{
    static float dy[ROWS * OUT], dx[ROWS * IN];
    mls_packed *p;
    double worst = 0;

    (void)state;
    needs_hardware();
    p = packed_weights();
    fill(dy, ROWS * OUT, 4);
    for (int packed = 0; packed < 2; packed++) {
        double (*const value)(float) = packed ? rounded : exact;

        if (packed)
            assert_ok(mls_packed_add_back(p, w, OUT, IN, &err));
        mls_packed_back(p, dx, dy, w, ROWS, OUT, IN);
        for (size_t t = 0; t < ROWS; t++)
            for (size_t k = 0; k < IN; k++) {
                double sum = 0, size = 1;

                for (size_t i = 0; i < OUT; i++) {
                    const double term = value(dy[t * OUT + i]) * value(w[i * IN + k]);

                    sum += term;
                    size += fabs(term);
                }
                worst = fmax(worst, fabs((double)dx[t * IN + k] - sum) / size);
            }
    }
    assert_true(worst < 1e-6);
    mls_packed_free(p);
}

/* Every way of storing the two, anew or added to what is there. */
static void changing_matrices_are_multiplied_rounded(void **state)
{
    enum { M = 160, N = 96, K = 288, AT = 300 };
    static float a[K * AT], right[K * AT], c[M * LD], before[M * LD];
    double worst = 0;

    (void)state;
    needs_hardware();
    fill(a, K * AT, 7);
    fill(right, K * AT, 8);
    for (int kind = 0; kind < 8; kind++) {
        const mls_operand left = {a, AT, kind & 1}, by = {right, AT, (kind & 2) != 0};
        const bool add = (kind & 4) != 0;

        fill(c, M * LD, 9);
        memcpy(before, c, sizeof c);
        assert_true(mls_bf16_product(c, LD, &left, &by, M, N, K, add));
        for (size_t i = 0; i < M; i++)
            for (size_t j = 0; j < N; j++) {
                double sum = add ? (double)before[i * LD + j] : 0, size = 1;

                for (size_t k = 0; k < K; k++) {
                    const double term =
                        rounded(left.turned ? a[k * AT + i] : a[i * AT + k]) *
                        rounded(by.turned ? right[j * AT + k] : right[k * AT + j]);

                    sum += term;
                    size += fabs(term);
                }
                worst = fmax(worst, fabs((double)c[i * LD + j] - sum) / size);
            }
        assert_memory_equal(c + N, before + N, (LD - N) * sizeof *c); /* the gap */
    }
    assert_true(worst < 1e-6);
}

static void small_products_are_left_to_float(void **state)
{
    const mls_operand some = {w, IN, false};
    float c[4] = {1, 2, 3, 4};

    (void)state;
    assert_false(mls_bf16_product(c, 2, &some, &some, 2, 2, 2, false));
    assert_true(c[0] == 1.0f && c[3] == 4.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_those_of_rounded_numbers),
        cmocka_unit_test(any_rows_at_any_stride_come_out),
        cmocka_unit_test(other_weights_are_multiplied_in_float),
        cmocka_unit_test(every_thread_gets_the_same_bits),
        cmocka_unit_test(the_way_back_is_that_of_rounded_numbers),
        cmocka_unit_test(changing_matrices_are_multiplied_rounded),
        cmocka_unit_test(small_products_are_left_to_float),
    };
    mls_blas_single_thread();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
