/*
 * Speed of the forward pass on a model of SmolLM-135M's shape with random weights:
 * forward [SEQUENCES [TOKENS [THREADS]]], 8 x 512 on all CPUs when not given.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "analysis/model/forward.h"
#include "analysis/numeric/blas.h"
#include "analysis/numeric/kernels.h"
#include "common/base/checked.h"
#include "common/base/words.h"

enum { HEAD_ROWS = 128, PEAK_SIZE = 1024, PEAK_PRODUCTS = 8 };

enum { ROUNDS = 3 };

static double clock_of(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/*
 * Best of the rounds, each by itself: `wall` is what a user waits; `cpu`, summed over
 * threads, hardly sees what else the machine does, and tells how good the code is.
 */
typedef struct {
    double wall, cpu;
} seconds;

static seconds begin(void)
{
    return (seconds){clock_of(CLOCK_MONOTONIC), clock_of(CLOCK_PROCESS_CPUTIME_ID)};
}

static void keep_best(seconds *best, seconds start)
{
    const seconds end = begin();

    if (end.wall - start.wall < best->wall)
        best->wall = end.wall - start.wall;
    if (end.cpu - start.cpu < best->cpu)
        best->cpu = end.cpu - start.cpu;
}

/* n numbers in [-spread, spread), never freed: the program ends soon. */
static float *numbers(size_t n, float spread)
{
    static uint32_t state = 1;
    float *x = mls_calloc3(n, 1, 1, sizeof *x);

    if (!x) {
        fputs("no memory\n", stderr);
        exit(1);
    }
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525 + 1013904223;
        x[i] = spread * ((float)(state >> 8) / 8388608.0f - 1.0f);
    }
    return x;
}

typedef struct {
    mls_config config;
    mls_layer *layer; /* (L) */
    float *head;      /* (V, E) */
    size_t N, T;
    float **x, **y; /* per worker: the largest (T, n) that is needed */
    mls_states states;
    double nll; /* only so that the work is not optimized away */
} speed;

/* What the machine can do: square products, one per thread at a time. */
static mls_status peak_job(void *arg, size_t job, size_t worker, mls_err *err)
{
    const speed *s = arg;

    (void)job;
    (void)err;
    mls_linear(s->y[worker], s->x[worker], s->head, NULL, PEAK_SIZE, PEAK_SIZE,
               PEAK_SIZE);
    return MLS_OK;
}

/* The products of all layers for one sequence, and nothing else. */
static mls_status linear_job(void *arg, size_t job, size_t worker, mls_err *err)
{
    const speed *s = arg;
    const mls_config *c = &s->config;
    const mls_layer *w = &s->layer[job / s->N];
    const size_t HD = c->H * c->D, GD = c->G * c->D;
    const float *x = s->x[worker];
    float *y = s->y[worker];

    (void)err;
    mls_linear(y, x, w->wq, NULL, s->T, HD, c->E);
    mls_linear(y, x, w->wk, NULL, s->T, GD, c->E);
    mls_linear(y, x, w->wv, NULL, s->T, GD, c->E);
    mls_linear(y, x, w->wo, NULL, s->T, c->E, HD);
    mls_linear(y, x, w->w_gate, NULL, s->T, c->F, c->E);
    mls_linear(y, x, w->w_up, NULL, s->T, c->F, c->E);
    mls_linear(y, x, w->w_down, NULL, s->T, c->E, c->F);
    return MLS_OK;
}

/* Logits and likelihood of one sequence, HEAD_ROWS at a time. */
static mls_status head_job(void *arg, size_t job, size_t worker, mls_err *err)
{
    speed *s = arg;
    const mls_config *c = &s->config;
    double nll = 0;

    (void)err;
    for (size_t first = 0; first < s->T; first += HEAD_ROWS) {
        const size_t n = s->T - first < HEAD_ROWS ? s->T - first : HEAD_ROWS;

        mls_rmsnorm(s->x[worker], s->states.h + (job * s->T + first) * c->E,
                    s->layer[0].attn_norm, c->rms_eps, n, c->E);
        mls_linear(s->y[worker], s->x[worker], s->head, NULL, n, c->V, c->E);
        for (size_t t = 0; t < n; t++)
            nll += mls_nll(s->y[worker] + t * c->V, c->V, (int32_t)t);
    }
    if (job == 0)
        s->nll = nll;
    return MLS_OK;
}

static mls_layer random_layer(const mls_config *c, size_t l)
{
    const size_t HD = c->H * c->D, GD = c->G * c->D;

    return (mls_layer){.index = l,
                       .attn_norm = numbers(c->E, 1),
                       .wq = numbers(HD * c->E, 0.05f),
                       .wk = numbers(GD * c->E, 0.05f),
                       .wv = numbers(GD * c->E, 0.05f),
                       .wo = numbers(c->E * HD, 0.05f),
                       .mlp_norm = numbers(c->E, 1),
                       .w_gate = numbers(c->F * c->E, 0.05f),
                       .w_up = numbers(c->F * c->E, 0.05f),
                       .w_down = numbers(c->E * c->F, 0.05f)};
}

static seconds time_jobs(mls_pool *pool, size_t n, mls_job job, speed *s)
{
    seconds best = {1e30, 1e30};
    mls_err err = {0};

    for (size_t round = 0; round < ROUNDS; round++) {
        const seconds start = begin();

        if (mls_pool_run(pool, n, job, s, &err)) {
            fprintf(stderr, "%s\n", err.text);
            exit(1);
        }
        keep_best(&best, start);
    }
    return best;
}

static seconds time_layers(mls_pool *pool, mls_own_attention *plain, speed *s)
{
    seconds best = {1e30, 1e30};
    mls_err err = {0};

    for (size_t round = 0; round < ROUNDS; round++) {
        const seconds start = begin();

        for (size_t l = 0; l < s->config.L; l++) {
            plain->layer = &s->layer[l];
            if (mls_layer_forward(&s->config, plain->layer, &s->states,
                                  mls_own_attention_run, plain, pool, &err)) {
                fprintf(stderr, "%s\n", err.text);
                exit(1);
            }
        }
        keep_best(&best, start);
    }
    return best;
}

/* tokens 0: the row is not about tokens. */
static void row(const char *name, double tokens, double flop, seconds t, double best)
{
    if (tokens > 0)
        printf("%-16s %7.0f", name, tokens / t.wall);
    else
        printf("%-16s %7s", name, "");
    printf(" %9.1f %12.1f %7.0f %%\n", 1e-9 * flop / t.wall, 1e-9 * flop / t.cpu,
           100 * flop / t.cpu / best);
}

int main(int argc, char **argv)
{
    speed s = {.config = {.L = 30,
                          .E = 576,
                          .H = 9,
                          .G = 3,
                          .D = 64,
                          .F = 1536,
                          .V = 49152,
                          .rms_eps = 1e-5,
                          .rope = {.type = MLS_ROPE_DEFAULT, .theta = 10000}},
               .N = 8,
               .T = 512};
    const mls_config *c = &s.config;
    size_t threads = 0;
    mls_pool *pool;
    mls_own_attention plain;
    mls_err err = {0};

    if ((argc > 1 && (!mls_parse_size(argv[1], &s.N) || s.N == 0)) ||
        (argc > 2 && (!mls_parse_size(argv[2], &s.T) || s.T == 0)) ||
        (argc > 3 && !mls_parse_size(argv[3], &threads)) || argc > 4) {
        fputs("Usage: forward [SEQUENCES [TOKENS [THREADS]]]\n", stderr);
        return 2;
    }
    mls_blas_single_thread();
    if (mls_pool_new(&pool, threads, &err) ||
        mls_own_attention_new(&plain, c, s.T, mls_pool_threads(pool), &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    threads = mls_pool_threads(pool);

    size_t *start = malloc((s.N + 1) * sizeof *start);
    s.layer = malloc(c->L * sizeof *s.layer);
    s.x = malloc(threads * sizeof *s.x);
    s.y = malloc(threads * sizeof *s.y);
    if (!start || !s.layer || !s.x || !s.y)
        return 1;
    for (size_t n = 0; n <= s.N; n++)
        start[n] = n * s.T;
    for (size_t l = 0; l < c->L; l++)
        s.layer[l] = random_layer(c, l);
    s.head = numbers(c->V * c->E, 0.05f);
    const size_t square = PEAK_SIZE * PEAK_SIZE;
    for (size_t i = 0; i < threads; i++) {
        s.x[i] = numbers(s.T * c->F > square ? s.T * c->F : square, 1);
        s.y[i] =
            numbers(HEAD_ROWS * c->V > s.T * c->F ? HEAD_ROWS * c->V : s.T * c->F, 0);
    }
    s.states = (mls_states){.N = s.N,
                            .E = c->E,
                            .start = start,
                            .h = numbers(s.N * s.T * c->E, 1),
                            .T_max = s.T,
                            .per_job = 1};

    const double tokens = (double)(s.N * s.T);
    const double per_layer =
        2.0 * (double)c->E *
        (double)(2 * c->H * c->D + 2 * c->G * c->D + 3 * c->F); /* FLOP per token */
    const double linear_flop = tokens * (double)c->L * per_layer;
    const double head_flop = tokens * 2.0 * (double)c->V * (double)c->E;

    const double peak_flop =
        2.0 * (double)square * PEAK_SIZE * PEAK_PRODUCTS * (double)threads;
    const seconds peak = time_jobs(pool, PEAK_PRODUCTS * threads, peak_job, &s);
    const seconds linear = time_jobs(pool, c->L * s.N, linear_job, &s);
    const seconds layers = time_layers(pool, &plain, &s);
    const seconds head = time_jobs(pool, s.N, head_job, &s);
    const double best = peak_flop / peak.cpu; /* FLOP per second of one CPU */

    printf("%s, %zu threads, %zu x %zu tokens, nll %.4f\n", mls_blas_core(), threads,
           s.N, s.T, s.nll / (double)s.T);
    printf("                   tok/s   GFLOP/s  GFLOP/s/CPU  of sgemm\n");
    row("sgemm", 0, peak_flop, peak, best);
    row("linear products", tokens, linear_flop, linear, best);
    row("layers, whole", tokens, linear_flop, layers, best);
    row("head and nll", tokens, head_flop, head, best);
    printf("%-16s %7.0f\n", "layers and head", tokens / (layers.wall + head.wall));
    return 0;
}
