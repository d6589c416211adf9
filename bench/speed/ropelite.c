/*
 * Times of the RoPElite searches for one layer: ropelite [T [H [G [D]]]].
 * The same numbers go through bench/speed/ropelite.py (PyTorch, from the definition).
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "analysis/frequency/ropelite_l1.h"
#include "analysis/frequency/ropelite_l2.h"
#include "analysis/numeric/blas.h"
#include "common/numbers/rng.h"

static double now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds since the last call, by the wall and of CPU; printed unless name is NULL. */
static void lap(const char *name)
{
    static double wall, cpu;
    const double wall_now = now(CLOCK_MONOTONIC),
                 cpu_now = now(CLOCK_PROCESS_CPUTIME_ID);

    if (name)
        printf("%s: full order %.3f s, of CPU %.3f s\n", name, wall_now - wall,
               cpu_now - cpu);
    wall = wall_now;
    cpu = cpu_now;
}

typedef struct {
    const mls_chunk_window *w;
    const double *turns;
    double *gram; /* (H, C, C) */
} gram_job;

static mls_status make_gram(void *arg, size_t job, size_t worker, mls_err *err)
{
    const gram_job *g = arg;
    const size_t C = g->w->D / 2;

    (void)worker;
    return mls_ropelite_gram(g->gram + job * C * C, g->w, g->turns, job, err);
}

int main(int argc, char **argv)
{
    size_t size[4] = {2048, 32, 32, 128}; /* T, H, G, D of Llama-2-7B */

    for (int i = 1; i < argc && i < 5; i++)
        size[i - 1] = strtoul(argv[i], NULL, 10);
    const size_t T = size[0], H = size[1], G = size[2], D = size[3], C = D / 2;
    float *q = malloc(T * H * D * sizeof *q), *k = malloc(T * G * D * sizeof *k);
    double *inv_freq = malloc(C * sizeof *inv_freq);
    double *turns = malloc(T * D * sizeof *turns);
    double *gram = malloc(H * C * C * sizeof *gram);
    uint16_t *order = malloc(H * C * sizeof *order);
    mls_greedy greedy = {0};
    mls_ropelite_l1 *l1 = NULL;
    mls_pool *pool = NULL;
    mls_err err = {0};
    mls_rng rng;

    if (!q || !k || !inv_freq || !turns || !gram || !order)
        return 1;
    mls_blas_single_thread();
    mls_rng_seed(&rng, 1, 1);
    for (size_t i = 0; i < T * H * D; i++)
        q[i] = (float)mls_rng_normal(&rng);
    for (size_t i = 0; i < T * G * D; i++)
        k[i] = (float)mls_rng_normal(&rng);
    for (size_t c = 0; c < C; c++)
        inv_freq[c] = pow(1e4, -(double)c / (double)C);
    mls_chunk_turns(turns, inv_freq, C, T);

    const mls_chunk_window w = {
        .T = T, .H = H, .G = G, .D = D, .q = q, .k = k, .inv_freq = inv_freq};
    const mls_chunk_windows ws = {
        .window = &w, .n = 1, .turns = turns, .per_query_head = true};

    if (mls_pool_new(&pool, 0, &err) ||
        mls_ropelite_l1_new(&l1, &ws, mls_pool_threads(pool), &err))
        goto done;

    const mls_greedy_objective objective = mls_ropelite_l1_objective(l1);

    printf("T %zu, H %zu, G %zu, C %zu, %zu threads, %s\n", T, H, G, C,
           mls_pool_threads(pool), mls_blas_core());
    lap(NULL);
    if (mls_greedy_search(&greedy, &ws, &objective, pool, NULL, &err))
        goto done;
    lap("L1");
    gram_job job = {.w = &w, .turns = turns, .gram = gram};

    if (mls_pool_run(pool, H, make_gram, &job, &err))
        goto done;
    for (size_t h = 0; h < H; h++)
        mls_ropelite_l2_order(order + h * C, NULL, gram + h * C * C, C);
    lap("L2");

done:
    if (err.status)
        fprintf(stderr, "ropelite: %s\n", err.text);
    mls_greedy_free(&greedy);
    mls_ropelite_l1_free(l1);
    mls_pool_free(pool);
    free(q);
    free(k);
    free(inv_freq);
    free(turns);
    free(gram);
    free(order);
    return mls_status_exit(err.status);
}
