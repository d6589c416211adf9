/*
 * Both operands are rounded into memory of their own and multiplied by a product that
 * was prepared for the shape when it was first asked for: preparing one takes as long
 * as a small product. It runs on the thread that asks.
 */
#include "analysis/numeric/packed.h"

#ifdef MLS_HAVE_DNNL
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "analysis/numeric/packed_inner.h"

enum { KINDS_MAX = 128, SIZE_LEAST = 1 << 22 };

/* A product of one shape, ready to run. */
typedef struct {
    size_t m, n, k, ld_c;
    bool a_turned, b_turned, add;
    dnnl_primitive_t run; /* NULL: in float */
    dnnl_memory_desc_t a, b, c, scratch;
} changing;

static struct {
    pthread_mutex_t lock;
    dnnl_engine_t engine;
    changing kind[KINDS_MAX];
    size_t n;
} ready = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void prepare(changing *s)
{
    dnnl_matmul_desc_t what;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t after = NULL;
    dnnl_primitive_desc_t how = NULL;
    bool ok = mls_dnnl_describe(&s->a, dnnl_bf16, s->m, s->k, s->a_turned ? 1 : s->k,
                                s->a_turned ? s->m : 1) &&
              mls_dnnl_describe(&s->b, dnnl_bf16, s->k, s->n, s->b_turned ? 1 : s->n,
                                s->b_turned ? s->k : 1) &&
              mls_dnnl_describe(&s->c, dnnl_f32, s->m, s->n, s->ld_c, 1) &&
              dnnl_matmul_desc_init(&what, &s->a, &s->b, NULL, &s->c) == dnnl_success &&
              dnnl_primitive_attr_create(&attr) == dnnl_success &&
              dnnl_post_ops_create(&after) == dnnl_success;

    if (ok && s->add)
        ok = dnnl_post_ops_append_sum(after, 1) == dnnl_success;
    ok = ok && dnnl_primitive_attr_set_post_ops(attr, after) == dnnl_success &&
         dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) ==
             dnnl_success &&
         dnnl_primitive_desc_create(&how, &what, attr, ready.engine, NULL) ==
             dnnl_success &&
         mls_dnnl_is_fast(how);
    if (ok && dnnl_primitive_create(&s->run, how) == dnnl_success)
        s->scratch = *dnnl_primitive_desc_query_md(how, dnnl_query_scratchpad_md, 0);
    if (how)
        dnnl_primitive_desc_destroy(how);
    if (after)
        dnnl_post_ops_destroy(after);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
}

static bool same_kind(const changing *x, const changing *y)
{
    return x->m == y->m && x->n == y->n && x->k == y->k && x->ld_c == y->ld_c &&
           x->a_turned == y->a_turned && x->b_turned == y->b_turned && x->add == y->add;
}

/* Made when it is asked for first. False: in float. */
static bool find_kind(changing *wanted)
{
    bool found = false;

    pthread_mutex_lock(&ready.lock);
    if (!ready.engine && dnnl_engine_create(&ready.engine, dnnl_cpu, 0) != dnnl_success)
        ready.engine = NULL;
    for (size_t i = 0; ready.engine && i < ready.n && !found; i++)
        if (same_kind(&ready.kind[i], wanted)) {
            *wanted = ready.kind[i];
            found = true;
        }
    if (ready.engine && !found && ready.n < KINDS_MAX) {
        prepare(wanted);
        ready.kind[ready.n++] = *wanted;
    }
    pthread_mutex_unlock(&ready.lock);
    return wanted->run != NULL;
}

/* The rows of x in bfloat16, one behind the other. */
static void round_operand(uint16_t *y, const mls_operand *x, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows; i++)
        mls_bf16_round(y + i * cols, x->at + i * x->ld, cols);
}

static size_t lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

bool mls_bf16_product(float *c, size_t ld_c, const mls_operand *a, const mls_operand *b,
                      size_t m, size_t n, size_t k, bool add_to)
{
    changing s = {.m = m,
                  .n = n,
                  .k = k,
                  .ld_c = ld_c,
                  .a_turned = a->turned,
                  .b_turned = b->turned,
                  .add = add_to};
    dnnl_memory_t ma = NULL, mb = NULL, mc = NULL, ms = NULL;
    char *memory;
    const char *how;
    bool ok;

    if (m * n * k < SIZE_LEAST || !mls_bf16_available(&how))
        return false;
    mls_dnnl_one_thread();
    if (!find_kind(&s))
        return false;
    const size_t of_a = lines(m * k * sizeof(uint16_t)),
                 of_b = lines(k * n * sizeof(uint16_t));

    memory = aligned_alloc(
        64, lines(of_a + of_b + dnnl_memory_desc_get_size(&s.scratch) + 64));
    if (!memory)
        return false;
    round_operand((uint16_t *)(void *)memory, a, a->turned ? k : m, a->turned ? m : k);
    round_operand((uint16_t *)(void *)(memory + of_a), b, b->turned ? n : k,
                  b->turned ? k : n);
    ok = dnnl_memory_create(&ma, &s.a, ready.engine, memory) == dnnl_success &&
         dnnl_memory_create(&mb, &s.b, ready.engine, memory + of_a) == dnnl_success &&
         dnnl_memory_create(&mc, &s.c, ready.engine, c) == dnnl_success &&
         dnnl_memory_create(&ms, &s.scratch, ready.engine, memory + of_a + of_b) ==
             dnnl_success;
    if (ok) {
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, ma},
                                        {DNNL_ARG_WEIGHTS, mb},
                                        {DNNL_ARG_DST, mc},
                                        {DNNL_ARG_SCRATCHPAD, ms}};

        ok = mls_dnnl_run(ready.engine, s.run, 4, args);
    }
    if (ms)
        dnnl_memory_destroy(ms);
    if (mc)
        dnnl_memory_destroy(mc);
    if (mb)
        dnnl_memory_destroy(mb);
    if (ma)
        dnnl_memory_destroy(ma);
    free(memory);
    return ok;
}

#else /* without oneDNN */

bool mls_bf16_product(float *c, size_t ld_c, const mls_operand *a, const mls_operand *b,
                      size_t m, size_t n, size_t k, bool add)
{
    (void)c;
    (void)ld_c;
    (void)a;
    (void)b;
    (void)m;
    (void)n;
    (void)k;
    (void)add;
    return false;
}

#endif
