#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "analysis/numeric/blas.h"
#include "bench/frame/head_ranks.h"
#include "bench/plan/plan.h"
#include "bench/plan/plan_costs.h"
#include "common/numbers/rng.h"
#include "common/system/files.h"
#include "reports/tables/plan_tables.h"
#include "tests/support/expect.h"
#include "tests/support/named_weights.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* The demo model, 2 short windows to search on and 2 to verify. */
typedef struct {
    mls_model *model;
    mls_tokenizer *tok;
    mls_corpus search, verify;
    mls_pool *pool;
    mls_setting method[2];
    size_t bits[2];
} demo;

static int setup(void **state)
{
    static demo d = {.bits = {16, 8}};
    const char *text = test_source("datasets/demo/evaluation.txt");
    const char *other = test_source("datasets/demo/calibration.txt");
    const char *folder = test_source("datasets/demo");

    assert_ok(mls_model_open(&d.model, folder, &err));
    assert_ok(mls_tokenizer_open(&d.tok, folder, &err));
    assert_ok(mls_corpus_read(&d.search, d.tok, &text, 1, 24, 2, 0, &err));
    assert_ok(mls_corpus_read(&d.verify, d.tok, &other, 1, 24, 2, 0, &err));
    assert_ok(mls_pool_new(&d.pool, 2, &err));
    assert_ok(mls_setting_parse(&d.method[0], "mha2mla rope=uniform chunks=8", &err));
    assert_ok(mls_setting_parse(&d.method[1], "baseline", &err));
    *state = &d;
    return 0;
}

static int teardown(void **state)
{
    demo *d = *state;

    mls_pool_free(d->pool);
    mls_corpus_free(&d->search);
    mls_corpus_free(&d->verify);
    mls_tokenizer_close(d->tok);
    mls_model_close(d->model);
    return 0;
}

static mls_plan_request request(const demo *d, double keep)
{
    return (mls_plan_request){.in = {.config = mls_model_config(d->model),
                                     .model = d->model,
                                     .pool = d->pool},
                              .model_sha256 = SHA,
                              .search = &d->search,
                              .verify = &d->verify,
                              .method = d->method,
                              .n_methods = 1,
                              .bits = d->bits,
                              .n_bits = 1,
                              .multiple = 16,
                              .tokens = 24,
                              .budget = keep * 3072};
}

static void a_plan_keeps_to_its_budget_and_is_read_back(void **state)
{
    const demo *d = *state;
    const mls_plan_request r = request(d, 0.4);
    const char *path = test_scratch("plan.json");
    mls_plan a = {0}, b = {0};
    char x[512], y[512];
    double bytes = 0, loss = 0;
    mls_scheme s;

    assert_ok(mls_plan_make(&a, &r, NULL, &err));
    for (size_t l = 0; l < a.L; l++) {
        bytes += a.layer[l].bytes;
        loss += a.layer[l].loss;
    }
    assert_int_equal(a.L, 6);
    assert_true(bytes <= 0.4 * 3072 + 1e-9);
    /* What was really run is as large as what was planned. */
    assert_close(a.measured[0].bytes, bytes, 1e-9);
    assert_close(a.measured[0].predicted, loss, 1e-12);
    assert_true(loss >= a.bound - 1e-12 && a.price >= 0);
    assert_true(a.n_measured >= 2 && a.measured[0].kl.mean > 0);
    assert_string_equal(a.measured[1].name, "mha2mla rope=uniform chunks=8 rank=32");
    assert_true(a.measured[1].predicted >= loss - 1e-12);

    assert_ok(mls_plan_write(&a, path, "test", &err));
    assert_ok(mls_plan_read(&b, path, &err));
    assert_string_equal(b.model_sha256, SHA);
    assert_int_equal(b.L, a.L);
    for (size_t l = 0; l < a.L; l++) {
        assert_string_equal(mls_setting_text(&a.layer[l].setting, x, sizeof x),
                            mls_setting_text(&b.layer[l].setting, y, sizeof y));
        assert_true(a.layer[l].bytes == b.layer[l].bytes);
        assert_true(a.layer[l].loss == b.layer[l].loss);
    }
    /* Apart, what grows and what does not are the same bytes. */
    for (size_t l = 0; l < a.L; l++)
        assert_close(b.layer[l].growing * 24 + b.layer[l].fixed, b.layer[l].bytes * 24,
                     1e-9);
    assert_true(b.measured[0].growing == a.measured[0].growing);
    assert_true(a.scale == b.scale && a.price == b.price && a.budget == b.budget);
    assert_int_equal(b.n_measured, a.n_measured);
    assert_true(a.measured[0].kl.mean == b.measured[0].kl.mean);
    assert_true(isnan(b.measured[0].reduction));
    assert_ok(mls_plan_check(&b, path, r.in.config, SHA, &err));
    assert_ok(mls_plan_scheme(&s, &b, "p", &err));
    assert_int_equal(s.L, 6);
    mls_scheme_free(&s);
    mls_plan_free(&a);
    mls_plan_free(&b);
}

static void losses_pass_through_what_was_measured(void **state)
{
    const demo *d = *state;
    mls_plan_request r = request(d, 0.4);
    mls_plan_costs c;
    size_t fits, quantized;

    r.n_bits = 2; /* 16 and 8 */
    assert_ok(mls_plan_candidates(&c, &r, &err));
    assert_int_equal(c.n, 2 * 7); /* ranks 16 .. 112 = 2 D - d_r */
    assert_ok(mls_plan_measure(&c, &r, (size_t)(r.budget * 24), NULL, &err));
    fits = mls_plan_uniform(&c, 0, 0, (size_t)(r.budget * 24));
    assert_int_equal(c.candidate[fits].rank, 32);

    /* The same, measured by hand. */
    mls_scheme s, q;
    mls_variant v[7];
    mls_evaluation e;
    double sum = 0;

    quantized = mls_plan_uniform(&c, 0, 1, (size_t)(r.budget * 24));
    assert_true(c.candidate[quantized].rank > 32);
    assert_string_equal(mls_setting_get(&c.candidate[quantized].setting, "quant"),
                        "int8/64");
    assert_ok(mls_scheme_uniform(&q, &c.candidate[quantized].setting, 6, &err));
    for (size_t l = 0; l < 6; l++)
        v[l] = (mls_variant){.scheme = &q, .only_layer = (int)l};
    assert_ok(mls_evaluate(&e, &r.in, &d->search, v, 6, NULL, NULL, &err));
    for (size_t l = 0; l < 6; l++) {
        const double plain = c.loss[(quantized - 7) * 6 + l];

        assert_close(c.loss[quantized * 6 + l], fmax(e.variant[l].kl.mean, plain),
                     1e-12);
    }
    mls_evaluation_free(&e);
    mls_scheme_free(&q);

    assert_ok(mls_scheme_uniform(&s, &c.candidate[fits].setting, 6, &err));
    for (size_t l = 0; l < 7; l++)
        v[l] = (mls_variant){.scheme = &s, .only_layer = l < 6 ? (int)l : MLS_NONE};
    assert_ok(mls_evaluate(&e, &r.in, &d->search, v, 7, NULL, NULL, &err));
    for (size_t l = 0; l < 6; l++) {
        assert_close(c.loss[fits * 6 + l], e.variant[l].kl.mean, 1e-12);
        sum += e.variant[l].kl.mean;
    }
    assert_close(c.scale, e.variant[6].kl.mean / sum, 1e-12);
    mls_evaluation_free(&e);
    mls_scheme_free(&s);
    mls_plan_costs_free(&c);
}

static void constraints_are_kept(void **state)
{
    const demo *d = *state;
    mls_plan_request r = request(d, 0.5);
    mls_plan_costs c;

    r.n_bits = 2;
    r.n_methods = 2;
    r.first_last = 48;
    r.cap = 64;
    assert_ok(mls_plan_candidates(&c, &r, &err));
    for (size_t i = 0; i < c.n; i++)
        for (size_t l = 0; l < 6; l++) {
            const size_t rank = c.candidate[i].rank;
            const bool end = l == 0 || l == 5;

            assert_true(c.allowed[i * 6 + l] ==
                        (rank <= 64 && (!end || rank == 0 || rank == 48)));
        }
    mls_plan_costs_free(&c);

    mls_kernel item = {.name = "flashmla", .rank = 512, .rope = 64};
    const mls_kernels kernels = {.n = 1, .item = &item};

    r.kernels = &kernels;
    r.kernel = "flashmla";
    r.n_methods = 1;
    assert_refused(mls_plan_candidates(&c, &r, &err), MLS_E_INPUT, "kernel flashmla");
}

static void impossible_budgets_are_refused_with_the_smallest(void **state)
{
    const demo *d = *state;
    const mls_plan_request r = request(d, 0.1);
    mls_plan p;

    /* chunks=8, rank=16 per KV head: 2 (16 + 16) numbers of 2 bytes in 6 layers. */
    assert_refused(mls_plan_make(&p, &r, NULL, &err), MLS_E_INPUT,
                   "the smallest possible with ranks in multiples of 16 is 768 "
                   "(25 %)");
    assert_null(p.layer);
}

static void the_smallest_cache_under_a_limit_is_found(void **state)
{
    const demo *d = *state;
    mls_plan_request r = request(d, 0);
    mls_plan loose, tight;
    double a = 0, b = 0;

    r.n_methods = 2;
    r.max_kl = 0.8;
    assert_ok(mls_plan_make(&loose, &r, NULL, &err));
    r.max_kl = 0.2;
    assert_ok(mls_plan_make(&tight, &r, NULL, &err));
    for (size_t l = 0; l < 6; l++) {
        a += loose.layer[l].bytes;
        b += tight.layer[l].bytes;
    }
    assert_true(a < b && b <= 3072);

    /* Measured again on the windows it was made on, it stays under. */
    mls_scheme s;
    mls_evaluation e;

    assert_ok(mls_plan_scheme(&s, &tight, "tight", &err));
    const mls_variant v = {.scheme = &s, .only_layer = MLS_NONE};

    assert_ok(mls_evaluate(&e, &r.in, &d->search, &v, 1, NULL, NULL, &err));
    assert_true(e.variant[0].kl.mean <= 0.2);
    mls_evaluation_free(&e);
    mls_scheme_free(&s);
    mls_plan_free(&loose);
    mls_plan_free(&tight);
}

/* A small plan, to be damaged. */
static char *small_plan(const char *path, size_t *len)
{
    mls_plan_layer layer[2] = {{.bytes = 8, .loss = 0.1}, {.bytes = 8, .loss = 0.2}};
    mls_plan_quality q = {.name = "plan",
                          .bytes = 16,
                          .kept = 0.5,
                          .predicted = 0.3,
                          .kl = {0.3, 0.1},
                          .nll = {2, 1},
                          .top1 = 0.9,
                          .reduction = NAN,
                          .difference = {NAN, NAN}};
    mls_plan p = {.model_sha256 = SHA,
                  .text_sha256 = SHA,
                  .capture_sha256 = SHA,
                  .L = 2,
                  .layer = layer,
                  .tokens = 24,
                  .budget = 16,
                  .price = 0.1,
                  .scale = 1,
                  .n_measured = 1,
                  .measured = &q};
    char *text;

    assert_ok(mls_setting_parse(&layer[0].setting, "kq rank=8", &err));
    assert_ok(mls_setting_parse(&layer[1].setting, "baseline bits=8", &err));
    assert_ok(mls_plan_write(&p, path, "test", &err));
    assert_ok(mls_file_read(path, 1 << 20, &text, len, &err));
    return text;
}

/* Every change of a value is found; white space is no value. */
/* The number around text[i]. */
static double number_at(const char *text, size_t i)
{
    while (i > 0 && strchr("0123456789.eE+-", text[i - 1]))
        i--;
    return strtod(text + i, NULL);
}

/* A last digit can change and the number stay: 0.29999999999999998 is 0.3. */
static void a_changed_plan_is_not_what_was_written(void **state)
{
    const char *path = test_scratch("verified.json"), *other = test_scratch("other");
    size_t len, found = 0, tried = 0;
    char *text = small_plan(path, &len);
    mls_plan p;

    (void)state;
    assert_ok(mls_plan_verify(path, &err));
    for (size_t i = 0; i < len; i++) {
        const char old = text[i];
        const double before = number_at(text, i);

        if (old < '0' || old > '9')
            continue;
        text[i] = old == '9' ? '8' : (char)(old + 1);
        if (text[i - 1] != '"' && number_at(text, i) == before && before != 0) {
            text[i] = old;
            continue;
        }
        assert_ok(mls_file_write(path, text, len, &err));
        tried++;
        found += mls_plan_verify(path, NULL) == MLS_E_INPUT;
        text[i] = old;
    }
    assert_true(tried > 100);
    assert_int_equal(found, tried);
    text[len - 1] = ' ';
    assert_ok(mls_file_write(path, text, len, &err));
    assert_ok(mls_plan_verify(path, &err));
    assert_ok(mls_plan_read(&p, path, &err));
    assert_string_equal(p.capture_sha256, SHA);
    assert_ok(mls_plan_check_capture(&p, path, NULL, &err));
    assert_ok(mls_file_write(other, "x", 1, &err));
    assert_refused(mls_plan_check_capture(&p, path, other, &err), MLS_E_INPUT,
                   "made with the capture with SHA-256");
    mls_plan_free(&p);
    free(text);
}

static void damaged_plans_are_refused_or_read(void **state)
{
    const char *path = test_scratch("mutated.json");
    size_t len, refused = 0;
    char *text = small_plan(path, &len), *copy = malloc(len);
    mls_rng rng;

    (void)state;
    assert_non_null(copy);
    mls_rng_seed(&rng, 5, 0);
    for (size_t n = 0; n < 400; n++) {
        static const char put[] = "\0\"{}[]:,-0919ea\\\xff ";
        size_t cut = len;
        mls_plan p;
        mls_err err = {0};
        FILE *f;

        memcpy(copy, text, len);
        if (n % 4 == 0)
            cut = mls_rng_below(&rng, len);
        for (size_t k = 0; k <= n % 3; k++)
            copy[mls_rng_below(&rng, len)] = put[mls_rng_below(&rng, sizeof put - 1)];
        f = fopen(path, "wb");
        assert_non_null(f);
        fwrite(copy, 1, cut, f);
        fclose(f);
        if (mls_plan_read(&p, path, &err)) {
            assert_int_equal(err.status, MLS_E_INPUT);
            assert_null(p.layer);
            refused++;
        }
        mls_plan_free(&p);
    }
    assert_true(refused > 200);
    free(copy);
    free(text);
}

static void wrong_members_are_named(void **state)
{
    static const struct {
        const char *from, *to, *says;
    } change[] = {
        {"mlascope plan", "mlascope plum", "format is"},
        {"\"version\": 1", "\"version\": 2", "version 2"},
        {"\"layer\": 1", "\"layer\": 0", "layer is 0, expected 1"},
        {"kq rank=8", "kq rank", "layers[0]"},
        {"\"bytes_per_token\": 8.0", "\"bytes_per_token\": -8.0", "expected a number"},
        {"\"scale\": 1.0", "\"scale\": \"1.0\"", "scale is \"1.0\""},
        {"\"model_sha256\": \"0", "\"model_sha256\": \"g", "expected 64 hex digits"},
        {"\"kept\"", "\"kapt\"", "measured[0]: kept is missing"},
        {"\"layers\"", "\"layer5\"", "layers"},
    };
    const char *path = test_scratch("wrong.json");
    size_t len;
    char *text = small_plan(path, &len);

    (void)state;
    for (size_t i = 0; i < sizeof change / sizeof change[0]; i++) {
        char changed[8192];
        const char *at = strstr(text, change[i].from);
        mls_plan p;

        assert_non_null(at);
        snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text,
                 change[i].to, at + strlen(change[i].from));
        assert_ok(mls_file_write(path, changed, strlen(changed), &err));
        assert_refused(mls_plan_read(&p, path, &err), MLS_E_INPUT, change[i].says);
    }
    free(text);
}

static void a_plan_for_another_model_is_refused_by_both_hashes(void **state)
{
    const demo *d = *state;
    const char *path = test_scratch("other.json");
    const char *other =
        "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    size_t len;
    char *text = small_plan(path, &len);
    mls_plan p;

    assert_ok(mls_plan_read(&p, path, &err));
    assert_refused(mls_plan_check(&p, path, mls_model_config(d->model), other, &err),
                   MLS_E_INPUT, "SHA-256 " SHA ", this one has f123456789abcdef");
    assert_refused(mls_plan_check(&p, path, mls_model_config(d->model), SHA, &err),
                   MLS_E_INPUT, "2 layers, the model has 6");
    mls_plan_free(&p);
    free(text);
}

/* --- Heads --- */

static double left_over(const double *tail, const size_t *rank, size_t n, size_t most)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += tail[i * (most + 1) + rank[i]];
    return sum;
}

static void ranks_split_over_heads_lose_least_of_all_splits(void **state)
{
    (void)state;
    enum { N = 3, MOST = 8 };
    mls_rng rng;

    mls_rng_seed(&rng, 7, 7);
    for (size_t round = 0; round < 50; round++) {
        const size_t step = 1 + round % 2, total = step * (N + round % 9);
        double tail[N * (MOST + 1)], best = INFINITY;
        size_t rank[N];

        for (size_t i = 0; i < N; i++) {
            double values[MOST], t[MOST + 1] = {0};

            values[0] = mls_rng_uniform(&rng);
            for (size_t k = 1; k < MOST; k++)
                values[k] = values[k - 1] * mls_rng_uniform(&rng);
            mls_tail_of(t, values, MOST);
            memcpy(tail + i * (MOST + 1), t, (MOST + 1) * sizeof *t);
        }
        mls_split_ranks(rank, tail, N, MOST, total, step);
        assert_int_equal(rank[0] + rank[1] + rank[2], total);
        for (size_t a = step; a <= MOST; a += step)
            for (size_t b = step; b <= MOST; b += step) {
                const size_t other[] = {a, b, total - a - b};

                if (a + b + step <= total && other[2] <= MOST)
                    best = fmin(best, left_over(tail, other, N, MOST));
            }
        assert_close(left_over(tail, rank, N, MOST), best, 1e-12);
    }
}

/* Ranks of a setting whose parameters begin with them. */
static mls_status head_ranks(mls_head_rank *rank, const mls_config *c,
                             const mls_setting *s, mls_err *e)
{
    mls_parsed p;
    const mls_status st = mls_method_parse(&p, c, s, e);

    if (!st)
        *rank = *(const mls_head_rank *)p.params;
    mls_parsed_free(&p);
    return st;
}

static void a_setting_may_give_every_head_its_own_rank(void **state)
{
    const demo *d = *state;
    const mls_config *c = mls_model_config(d->model);
    mls_head_rank rank;
    mls_setting s;

    assert_ok(mls_setting_parse(&s, "kqsvd rank=20 rank_v=12:40", &err));
    assert_ok(head_ranks(&rank, c, &s, &err));
    assert_int_equal(rank.of[MLS_KEYS][0], 20);
    assert_int_equal(rank.of[MLS_KEYS][1], 20);
    assert_int_equal(rank.of[MLS_VALUES][0], 12);
    assert_int_equal(rank.of[MLS_VALUES][1], 40);
    static const struct {
        const char *text, *says;
        mls_status st;
    } each[] = {
        {"kqsvd rank_v=12:40:7", "one for each of 2 KV heads", MLS_E_ARG},
        {"kqsvd rank_v=12:", "found \"12:\"", MLS_E_ARG},
        {"kqsvd rank_v=0", "from 1 to 64", MLS_E_ARG},
        {"kqsvd rank_k=-3", "found \"-3\"", MLS_E_ARG},
        {"kqsvd rank_v=12:65", "rank_v", MLS_E_INPUT},
    };
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
        assert_ok(mls_setting_parse(&s, each[i].text, &err));
        assert_refused(head_ranks(&rank, c, &s, &err), each[i].st, each[i].says);
    }
}

/* A capture of the demo model on a few short windows. */
static mls_capture *small_capture(const demo *d)
{
    const mls_capture_options options = {.n_windows = 1, .command = "test"};
    const char *path = test_scratch("heads.h5");
    mls_capture *capture;

    mls_blas_single_thread();
    assert_ok(
        mls_capture_run(d->model, &d->verify, path, &options, d->pool, NULL, &err));
    assert_ok(mls_capture_open(&capture, path, &err));
    return capture;
}

static void a_plan_splits_a_layers_rank_over_its_heads(void **state)
{
    const demo *d = *state;
    mls_plan_request r = request(d, 0.4);
    mls_capture *capture = small_capture(d);
    mls_setting method;
    mls_plan p = {0};
    mls_head_rank rank;
    size_t differ = 0, len;
    double bytes = 0;
    char *text;

    assert_ok(mls_setting_parse(&method, "kqsvd", &err));
    r.in.capture = capture;
    r.method = &method;
    r.multiple = 4;
    r.per_head = true;
    assert_ok(mls_plan_make(&p, &r, NULL, &err));
    for (size_t l = 0; l < p.L; l++) {
        const mls_plan_layer *layer = &p.layer[l];
        size_t sum = 0;

        assert_ok(head_ranks(&rank, r.in.config, &layer->setting, &err));
        for (size_t i = 0; i < 4; i++) {
            sum += rank.of[i / 2][i % 2];
            assert_int_equal(rank.of[i / 2][i % 2] % 4, 0);
        }
        assert_close(layer->bytes, 2.0 * (double)sum, 1e-9);
        assert_int_equal(rank.of[0][0] + rank.of[0][1], rank.of[1][0] + rank.of[1][1]);
        if (layer->head) {
            differ++;
            assert_int_equal(layer->G, 2);
            for (size_t g = 0; g < 2; g++) {
                assert_int_equal(layer->head[g].key_rank, rank.of[MLS_KEYS][g]);
                assert_int_equal(layer->head[g].value_rank, rank.of[MLS_VALUES][g]);
                assert_int_equal(layer->head[g].chunks, 0);
            }
        }
        bytes += layer->bytes;
    }
    assert_true(differ > 0);
    assert_close(p.measured[0].bytes, bytes, 1e-9);
    assert_true(isnan(p.measured[1].predicted)); /* kqsvd with all heads alike */
    assert_ok(mls_plan_write(&p, test_scratch("heads.json"), "test", &err));
    assert_ok(mls_file_read(test_scratch("heads.json"), 1 << 20, &text, &len, &err));
    assert_non_null(strstr(text, "\"key_rank\""));
    free(text);
    mls_plan_free(&p);
    assert_ok(mls_plan_read(&p, test_scratch("heads.json"), &err));
    mls_plan_free(&p);

    assert_ok(mls_setting_parse(&method, "kq", &err));
    assert_refused(mls_plan_make(&p, &r, NULL, &err), MLS_E_INPUT,
                   "no method of this plan has a rank of its own for each head; kqsvd "
                   "and matryoshka have");
    mls_capture_close(capture);
}

static void a_setting_that_beats_the_plan_is_named(void **state)
{
    mls_plan_quality measured[] = {
        {.name = "plan", .bytes = 100, .kl = {0.5, 0.1}},
        {.name = "kq rank=4",
         .bytes = 90,
         .difference = {-0.1, 0.05},
         .kl = {0.4, 0.1}},
        {.name = "kq rank=9",
         .bytes = 200,
         .difference = {-0.3, 0.1},
         .kl = {0.2, 0.1}},
    };
    const mls_plan p = {.budget = 100, .measured = measured, .n_measured = 3};

    (void)state;
    for (int sure = 1; sure >= 0; sure--) {
        mls_table *t = mls_plan_quality_table(&p, true);
        mls_buf text = {0};

        assert_ok(mls_table_print(t, MLS_FORMAT_TABLE, &text, &err));
        /* rank 9 takes more than the budget; an interval with 0 in it says nothing */
        assert_int_equal(strstr(text.data, "kq rank=4 fits the same budget and loses "
                                           "0.10000 ± 0.05000 nat less") != NULL,
                         sure);
        mls_buf_free(&text);
        mls_table_free(t);
        measured[1].difference.half = 0.2;
    }
}

/* A convolution below one layer of attention. */
static void a_hybrid_is_planned_where_it_has_keys(void **state)
{
    const demo *d = *state;
    mls_plan_request r = request(d, 1);
    const char *folder = test_scratch("plan-lfm2");
    int32_t ids[4 * 24];
    size_t start[] = {0, 24, 48}, stays = 0;
    mls_corpus search = {.ids = ids, .n_ids = 48, .start = start, .N = 2};
    mls_corpus verify = {.ids = ids + 48, .n_ids = 48, .start = start, .N = 2};
    mls_buf text = {0};
    mls_model *m;
    mls_plan p = {0};

    for (size_t i = 0; i < 4 * 24; i++)
        ids[i] = (int32_t)(i * 7 % 61);
    named_model(folder, "lfm2");
    assert_ok(mls_model_open(&m, folder, &err));
    const mls_capture_options options = {.sampling = "the first", .n_windows = 1};
    const char *path = test_scratch("plan-lfm2.h5");
    mls_setting method;

    assert_ok(mls_capture_run(m, &search, path, &options, r.in.pool, NULL, &err));
    assert_ok(mls_capture_open(&r.in.capture, path, &err));
    assert_ok(mls_setting_parse(&method, "gqa2mla", &err));
    r.in.model = m;
    r.in.config = mls_model_config(m);
    r.search = &search;
    r.verify = &verify;
    r.method = &method;
    r.multiple = 1;
    r.budget = 1e6;
    assert_ok(mls_plan_make(&p, &r, NULL, &err));
    assert_true(p.has_fixed);
    for (size_t l = 0; l < p.L; l++) {
        const mls_layer_shape *s = &r.in.config->layer[l];

        stays += p.layer[l].stays;
        assert_true(p.layer[l].stays == (s->kind == MLS_LAYER_RECURRENT));
        if (!p.layer[l].stays)
            continue;
        assert_true(p.layer[l].growing == 0 && p.layer[l].loss == 0);
        assert_true(p.layer[l].fixed == 2.0 * (double)s->conv_numbers);
    }
    assert_int_equal(stays, 1);
    mls_table *t = mls_plan_layers_table(&p, false);
    assert_ok(mls_table_print(t, MLS_FORMAT_TABLE, &text, &err));
    assert_non_null(strstr(text.data, "fixed (B)"));
    assert_non_null(strstr(text.data, "stays as it is"));
    mls_buf_free(&text);
    mls_table_free(t);
    mls_plan_free(&p);
    mls_capture_close(r.in.capture);
    mls_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_keeps_to_its_budget_and_is_read_back),
        cmocka_unit_test(losses_pass_through_what_was_measured),
        cmocka_unit_test(constraints_are_kept),
        cmocka_unit_test(ranks_split_over_heads_lose_least_of_all_splits),
        cmocka_unit_test(a_setting_may_give_every_head_its_own_rank),
        cmocka_unit_test(a_plan_splits_a_layers_rank_over_its_heads),
        cmocka_unit_test(impossible_budgets_are_refused_with_the_smallest),
        cmocka_unit_test(the_smallest_cache_under_a_limit_is_found),
        cmocka_unit_test(a_setting_that_beats_the_plan_is_named),
        cmocka_unit_test(a_hybrid_is_planned_where_it_has_keys),
        cmocka_unit_test(a_changed_plan_is_not_what_was_written),
        cmocka_unit_test(damaged_plans_are_refused_or_read),
        cmocka_unit_test(wrong_members_are_named),
        cmocka_unit_test(a_plan_for_another_model_is_refused_by_both_hashes),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
