/*
 * Each weight matrix is reordered once into the blocks that oneDNN's product wants, and
 * products are prepared once per number of rows: preparing one takes as long as a small
 * product. A product runs on the thread that asks for it; which of our threads that is
 * changes nothing, because its blocks depend on its shape alone.
 */
#include "analysis/numeric/packed.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/kernels.h"

const char *mls_compute_name(mls_compute compute)
{
    return compute == MLS_COMPUTE_BF16 ? "bf16" : "f32";
}

/* y (T, n_out) at its own stride, in float. */
static void linear_f32(float *y, size_t ld_y, const float *x, const float *w,
                       const float *b, size_t T, size_t n_out, size_t n_in)
{
    if (ld_y == n_out) {
        mls_linear(y, x, w, b, T, n_out, n_in);
        return;
    }
    for (size_t t = 0; b && t < T; t++)
        memcpy(y + t * ld_y, b, n_out * sizeof *b);
    if (mls_f32_product(y, ld_y, &(mls_operand){x, n_in, false},
                        &(mls_operand){w, n_in, true}, T, n_out, n_in, b != NULL))
        return;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)T, (int)n_out, (int)n_in,
                1.0f, x, (int)n_in, w, (int)n_in, b ? 1.0f : 0.0f, y, (int)ld_y);
}

static void back_f32(float *dx, const float *dy, const float *w, size_t T, size_t n_out,
                     size_t n_in)
{
    if (mls_f32_product(dx, n_in, &(mls_operand){dy, n_out, false},
                        &(mls_operand){w, n_in, false}, T, n_in, n_out, false))
        return;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)T, (int)n_in,
                (int)n_out, 1.0f, dy, (int)n_out, w, (int)n_in, 0.0f, dx, (int)n_in);
}

#ifdef MLS_HAVE_DNNL
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>

#include "analysis/numeric/packed_inner.h"
#include "analysis/numeric/vector.h"

/*
 * oneDNN is made with OpenMP: its own threads would run beside ours. The setting is
 * one of the calling thread. Which OpenMP that is, only the loader knows; a weak
 * reference to it is not kept by every linker.
 */
static void (*set_threads)(int n);

static void find_openmp(void)
{
    void *const program = dlopen(NULL, RTLD_LAZY);
    void *const found = program ? dlsym(program, "omp_set_num_threads") : NULL;

    memcpy(&set_threads, &found, sizeof found);
}

void mls_dnnl_one_thread(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, find_openmp);
    if (set_threads)
        set_threads(1);
}

enum { SHAPES_MAX = 16, ROWS_TYPICAL = 256, WIDTH_LEAST = 32 };

/* A product that is ready to run, or one that is better done in float. */
typedef struct {
    size_t T, ld_y;
    dnnl_primitive_t run; /* NULL: in float */
    dnnl_memory_desc_t x, y, scratch;
} product;

typedef struct {
    const float *w; /* what it was made of */
    bool back;      /* transposed */
    size_t n_out, n_in;
    dnnl_memory_desc_t layout;
    dnnl_memory_t packed;
    product shape[SHAPES_MAX];
    size_t n_shapes;
} entry;

struct mls_packed {
    dnnl_engine_t engine;
    entry *item; /* (n), never moved while products run */
    size_t n, cap;
    pthread_mutex_t lock; /* of the shapes */
};

bool mls_bf16_available(const char **how)
{
    const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();

    if ((isa & dnnl_cpu_isa_avx512_core_amx) == dnnl_cpu_isa_avx512_core_amx)
        *how = "oneDNN with AMX";
    else if ((isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16)
        *how = "oneDNN with AVX512_BF16";
    else
        *how = "this CPU has neither AVX512_BF16 nor AMX";
    return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

mls_status mls_packed_new(mls_packed **out, mls_err *err)
{
    mls_packed *p = calloc(1, sizeof *p);

    *out = NULL;
    if (!p || dnnl_engine_create(&p->engine, dnnl_cpu, 0) != dnnl_success) {
        free(p);
        return mls_fail(err, MLS_E_NOMEM, "no memory for weights in bfloat16");
    }
    pthread_mutex_init(&p->lock, NULL);
    *out = p;
    return MLS_OK;
}

void mls_packed_free(mls_packed *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++) {
        for (size_t s = 0; s < p->item[i].n_shapes; s++)
            if (p->item[i].shape[s].run)
                dnnl_primitive_destroy(p->item[i].shape[s].run);
        dnnl_memory_destroy(p->item[i].packed);
    }
    free(p->item);
    pthread_mutex_destroy(&p->lock);
    dnnl_engine_destroy(p->engine);
    free(p);
}

bool mls_dnnl_describe(dnnl_memory_desc_t *out, dnnl_data_type_t type, size_t rows,
                       size_t cols, size_t row_stride, size_t col_stride)
{
    const dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)cols};
    const dnnl_dims_t strides = {(dnnl_dim_t)row_stride, (dnnl_dim_t)col_stride};

    return dnnl_memory_desc_init_by_strides(out, 2, dims, type, strides) ==
           dnnl_success;
}

/* oneDNN falls back to plain loops for shapes that it has no kernel for. */
bool mls_dnnl_is_fast(const_dnnl_primitive_desc_t how)
{
    const char *name = NULL;

    return dnnl_primitive_desc_query(how, dnnl_query_impl_info_str, 0, (void *)&name) ==
               dnnl_success &&
           name && strncmp(name, "ref", 3) != 0;
}

/* A product of T rows with weights laid out as `weights` says. */
static bool describe_product(dnnl_primitive_desc_t *out, const mls_packed *p,
                             const dnnl_memory_desc_t *weights, size_t n_out,
                             size_t n_in, size_t T, size_t ld_y, product *shape)
{
    dnnl_matmul_desc_t what;
    dnnl_primitive_attr_t attr = NULL;
    bool ok = mls_dnnl_describe(&shape->x, dnnl_bf16, T, n_in, n_in, 1) &&
              mls_dnnl_describe(&shape->y, dnnl_f32, T, n_out, ld_y, 1) &&
              dnnl_matmul_desc_init(&what, &shape->x, weights, NULL, &shape->y) ==
                  dnnl_success &&
              dnnl_primitive_attr_create(&attr) == dnnl_success;

    /* Its scratch memory is ours: it may run on another thread than this one. */
    ok =
        ok &&
        dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) ==
            dnnl_success &&
        dnnl_primitive_desc_create(out, &what, attr, p->engine, NULL) == dnnl_success &&
        mls_dnnl_is_fast(*out);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return ok;
}

bool mls_dnnl_run(dnnl_engine_t engine, dnnl_primitive_t run, int n,
                  const dnnl_exec_arg_t *args)
{
    dnnl_stream_t stream;

    if (dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) != dnnl_success)
        return false;
    const bool ok = dnnl_primitive_execute(run, stream, n, args) == dnnl_success &&
                    dnnl_stream_wait(stream) == dnnl_success;
    dnnl_stream_destroy(stream);
    return ok;
}

/* Reorder e->w into e->packed. */
static bool pack(const mls_packed *p, entry *e, const dnnl_memory_desc_t *plain)
{
    dnnl_memory_t from = NULL;
    dnnl_primitive_desc_t how = NULL;
    dnnl_primitive_t run = NULL;
    void *w; /* only read */
    bool ok;

    memcpy(&w, &e->w, sizeof w);
    ok = dnnl_memory_create(&from, plain, p->engine, w) == dnnl_success &&
         dnnl_memory_create(&e->packed, &e->layout, p->engine, DNNL_MEMORY_ALLOCATE) ==
             dnnl_success &&
         dnnl_reorder_primitive_desc_create(&how, plain, p->engine, &e->layout,
                                            p->engine, NULL) == dnnl_success &&
         dnnl_primitive_create(&run, how) == dnnl_success;
    if (ok) {
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from},
                                        {DNNL_ARG_TO, e->packed}};

        ok = mls_dnnl_run(p->engine, run, 2, args);
    }
    if (run)
        dnnl_primitive_destroy(run);
    if (how)
        dnnl_primitive_desc_destroy(how);
    if (from)
        dnnl_memory_destroy(from);
    return ok;
}

static entry *find(const mls_packed *p, const float *w, bool back)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->item[i].w == w && p->item[i].back == back)
            return &p->item[i];
    return NULL;
}

/* Add weights of a product of n_in to n_out numbers: w, or its transpose. */
static mls_status add(mls_packed *p, const float *w, bool back, size_t n_out,
                      size_t n_in, mls_err *err)
{
    const char *how;
    entry e = {.w = w, .back = back, .n_out = n_out, .n_in = n_in};
    dnnl_memory_desc_t any, plain;
    dnnl_primitive_desc_t wanted = NULL;
    product typical = {0};
    const dnnl_dims_t dims = {(dnnl_dim_t)n_in, (dnnl_dim_t)n_out};

    /* Small ones gain nothing, and have no kernels. */
    if (!w || n_out < WIDTH_LEAST || n_in < WIDTH_LEAST || find(p, w, back))
        return MLS_OK;
    if (!mls_bf16_available(&how))
        return mls_fail(err, MLS_E_ARG, "no products in bfloat16: %s", how);
    mls_dnnl_one_thread();
    if (p->n == p->cap) {
        const size_t cap = p->cap ? 2 * p->cap : 16;
        entry *bigger = realloc(p->item, cap * sizeof *bigger);

        if (!bigger)
            return mls_fail(err, MLS_E_NOMEM, "no memory for weights in bfloat16");
        p->item = bigger;
        p->cap = cap;
    }
    bool ok =
        dnnl_memory_desc_init_by_tag(&any, 2, dims, dnnl_bf16, dnnl_format_tag_any) ==
            dnnl_success &&
        mls_dnnl_describe(&plain, dnnl_f32, n_in, n_out, back ? n_out : 1,
                          back ? 1 : n_in) &&
        describe_product(&wanted, p, &any, n_out, n_in, ROWS_TYPICAL, n_out, &typical);
    const bool takes_it = ok;
    if (ok) {
        e.layout = *dnnl_primitive_desc_query_md(wanted, dnnl_query_weights_md, 0);
        ok = pack(p, &e, &plain);
    }
    if (wanted)
        dnnl_primitive_desc_destroy(wanted);
    if (!takes_it) /* in float then */
        return MLS_OK;
    if (!ok) {
        if (e.packed)
            dnnl_memory_destroy(e.packed);
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu x %zu weights in bfloat16",
                        n_out, n_in);
    }
    p->item[p->n++] = e;
    return MLS_OK;
}

mls_status mls_packed_add(mls_packed *p, const float *w, size_t n_out, size_t n_in,
                          mls_err *err)
{
    return add(p, w, false, n_out, n_in, err);
}

mls_status mls_packed_add_back(mls_packed *p, const float *w, size_t n_out, size_t n_in,
                               mls_err *err)
{
    return add(p, w, true, n_in, n_out, err);
}

/*
 * The product of T rows, made when it is asked for first; a copy. What finds no place
 * is the caller's to destroy: which lengths come early must change nothing. False: in
 * float.
 */
static bool find_shape(mls_packed *p, entry *e, size_t T, size_t ld_y, product *out,
                       bool *is_kept)
{
    dnnl_primitive_desc_t what = NULL;

    *is_kept = false;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < e->n_shapes && !*is_kept; i++)
        if (e->shape[i].T == T && e->shape[i].ld_y == ld_y) {
            *out = e->shape[i];
            *is_kept = true;
        }
    if (!*is_kept) {
        *out = (product){.T = T, .ld_y = ld_y};
        if (describe_product(&what, p, &e->layout, e->n_out, e->n_in, T, ld_y, out) &&
            dnnl_primitive_create(&out->run, what) == dnnl_success)
            out->scratch =
                *dnnl_primitive_desc_query_md(what, dnnl_query_scratchpad_md, 0);
        if (what)
            dnnl_primitive_desc_destroy(what);
        *is_kept = e->n_shapes < SHAPES_MAX;
        if (*is_kept)
            e->shape[e->n_shapes++] = *out;
    }
    pthread_mutex_unlock(&p->lock);
    return out->run != NULL;
}

/* To nearest even, as mls_float_to_bf16(); NaN stays NaN. */
MLS_WIDE
void mls_bf16_round(uint16_t *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, &x[i], sizeof bits);
        const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
        const uint32_t quiet = (bits >> 16) | 0x40u;

        y[i] = (uint16_t)((bits & 0x7FFFFFFFu) > 0x7F800000u ? quiet : rounded);
    }
}

/* False when oneDNN refused: then nothing was written that counts. */
static bool linear_bf16(mls_packed *p, entry *e, float *y, size_t ld_y, const float *x,
                        size_t T)
{
    product s;
    dnnl_memory_t mx = NULL, my = NULL, ms = NULL;
    char *memory;
    bool ok, is_kept;

    mls_dnnl_one_thread();
    if (!find_shape(p, e, T, ld_y, &s, &is_kept))
        return false;
    const size_t of_x = (T * e->n_in * sizeof(uint16_t) + 63) / 64 * 64;
    const size_t of_scratch = dnnl_memory_desc_get_size(&s.scratch);

    memory = aligned_alloc(64, (of_x + of_scratch + 64) / 64 * 64);
    if (memory)
        mls_bf16_round((uint16_t *)(void *)memory, x, T * e->n_in);
    ok = memory && dnnl_memory_create(&mx, &s.x, p->engine, memory) == dnnl_success &&
         dnnl_memory_create(&my, &s.y, p->engine, y) == dnnl_success &&
         dnnl_memory_create(&ms, &s.scratch, p->engine, memory + of_x) == dnnl_success;
    if (ok) {
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, mx},
                                        {DNNL_ARG_WEIGHTS, e->packed},
                                        {DNNL_ARG_DST, my},
                                        {DNNL_ARG_SCRATCHPAD, ms}};

        ok = mls_dnnl_run(p->engine, s.run, 4, args);
    }
    if (ms)
        dnnl_memory_destroy(ms);
    if (my)
        dnnl_memory_destroy(my);
    if (mx)
        dnnl_memory_destroy(mx);
    free(memory);
    if (!is_kept)
        dnnl_primitive_destroy(s.run);
    return ok;
}

void mls_packed_linear(mls_packed *p, float *y, size_t ld_y, const float *x,
                       const float *w, const float *b, size_t T, size_t n_out,
                       size_t n_in)
{
    entry *e = p && T > 0 ? find(p, w, false) : NULL;

    if (!e || !linear_bf16(p, e, y, ld_y, x, T)) {
        linear_f32(y, ld_y, x, w, b, T, n_out, n_in);
        return;
    }
    for (size_t t = 0; b && t < T; t++)
        mls_add(y + t * ld_y, b, n_out);
}

void mls_packed_back(mls_packed *p, float *dx, const float *dy, const float *w,
                     size_t T, size_t n_out, size_t n_in)
{
    entry *e = p && T > 0 ? find(p, w, true) : NULL;

    if (!e || !linear_bf16(p, e, dx, n_in, dy, T))
        back_f32(dx, dy, w, T, n_out, n_in);
}

#else /* without oneDNN */

bool mls_bf16_available(const char **how)
{
    *how = "this program was built without oneDNN (libdnnl-dev)";
    return false;
}

mls_status mls_packed_new(mls_packed **out, mls_err *err)
{
    const char *how;

    *out = NULL;
    mls_bf16_available(&how);
    return mls_fail(err, MLS_E_ARG, "no products in bfloat16: %s", how);
}

void mls_packed_free(mls_packed *p)
{
    (void)p; /* there is none */
}

mls_status mls_packed_add(mls_packed *p, const float *w, size_t n_out, size_t n_in,
                          mls_err *err)
{
    (void)w;
    (void)n_out;
    (void)n_in;
    return mls_packed_new(&p, err);
}

mls_status mls_packed_add_back(mls_packed *p, const float *w, size_t n_out, size_t n_in,
                               mls_err *err)
{
    return mls_packed_add(p, w, n_out, n_in, err);
}

void mls_packed_back(mls_packed *p, float *dx, const float *dy, const float *w,
                     size_t T, size_t n_out, size_t n_in)
{
    (void)p;
    back_f32(dx, dy, w, T, n_out, n_in);
}

void mls_packed_linear(mls_packed *p, float *y, size_t ld_y, const float *x,
                       const float *w, const float *b, size_t T, size_t n_out,
                       size_t n_in)
{
    (void)p;
    linear_f32(y, ld_y, x, w, b, T, n_out, n_in);
}

#endif
