#include <stdio.h>
#include <unistd.h>

#include "analysis/numeric/blas.h"
#include "bench/evaluate/compare.h"
#include "bench/setting/settings_file.h"
#include "common/system/files.h"
#include "datasets/files/rankfile.h"
#include "tests/support/expect.h"

/* Layers of the demo model on two short windows. */
typedef struct {
    mls_model *model;
    mls_tokenizer *tok;
    mls_corpus corpus;
    mls_pool *pool;
    mls_setting setting[3];
} demo;

enum { LAYERS = 2 };

static int setup(void **state)
{
    static demo d;
    const char *text = test_source("datasets/demo/evaluation.txt");
    const char *folder = test_demo_layers(LAYERS);
    static const char *const line[3] = {"mha2mla rope=uniform chunks=4 rank=16",
                                        "mha2mla rope=uniform chunks=4 rank=32",
                                        "baseline"};

    assert_ok(mls_model_open(&d.model, folder, &err));
    assert_ok(mls_tokenizer_open(&d.tok, folder, &err));
    assert_ok(mls_corpus_read(&d.corpus, d.tok, &text, 1, 24, 2, 0, &err));
    assert_ok(mls_pool_new(&d.pool, 2, &err));
    for (size_t i = 0; i < 3; i++)
        assert_ok(mls_setting_parse(&d.setting[i], line[i], &err));
    *state = &d;
    return 0;
}

static int teardown(void **state)
{
    demo *d = *state;

    mls_pool_free(d->pool);
    mls_corpus_free(&d->corpus);
    mls_tokenizer_close(d->tok);
    mls_model_close(d->model);
    return 0;
}

static mls_compare_request request(const demo *d, size_t n, const char *rows)
{
    return (mls_compare_request){.in = {.config = mls_model_config(d->model),
                                        .model = d->model,
                                        .pool = d->pool},
                                 .corpus = &d->corpus,
                                 .setting = d->setting,
                                 .n = n,
                                 .tokens = 24,
                                 .group = 1,
                                 .rows_path = rows,
                                 .model_id = "demo",
                                 .capture_id = ""};
}

static void an_added_row_costs_only_itself(void **state)
{
    const demo *d = *state;
    const char *rows = test_scratch("added.jsonl");
    mls_compare_request two = request(d, 2, rows), three = request(d, 3, rows);
    mls_comparison a = {0}, b = {0}, whole = {0};

    assert_ok(mls_compare(&a, &two, NULL, &err));
    assert_int_equal(a.n_measured, 2);
    assert_ok(mls_compare(&b, &three, NULL, &err));
    assert_int_equal(b.n_measured, 1);
    assert_true(b.row[0].kept_row && b.row[1].kept_row && !b.row[2].kept_row);

    /* Kept rows are those that were measured, to the last bit. */
    three.rows_path = NULL;
    assert_ok(mls_compare(&whole, &three, NULL, &err));
    assert_int_equal(whole.n_measured, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(whole.row[i].kl.mean == b.row[i].kl.mean);
        assert_true(whole.row[i].nll.half == b.row[i].nll.half);
        assert_memory_equal(whole.row[i].seq_kl, b.row[i].seq_kl,
                            whole.row[i].N * sizeof(double));
        assert_true(whole.row[i].pareto == b.row[i].pareto);
    }
    assert_close(whole.row[2].kl.mean, 0, 1e-9);
    assert_true(whole.row[0].kl.mean > whole.row[1].kl.mean);
    mls_comparison_free(&a);
    mls_comparison_free(&b);
    mls_comparison_free(&whole);
}

/* Every but-th window of a corpus, or the others. */
static mls_corpus windows_of(const mls_corpus *all, size_t but, bool others)
{
    mls_corpus c = *all;

    c.N = c.n_ids = 0;
    c.ids = calloc(all->start[all->N], sizeof *c.ids);
    c.start = calloc(all->N + 1, sizeof *c.start);
    for (size_t i = 0; i < all->N; i++) {
        const size_t n = all->start[i + 1] - all->start[i];

        if ((i % but != 0) != others)
            continue;
        memcpy(c.ids + c.n_ids, all->ids + all->start[i], n * sizeof *c.ids);
        c.start[++c.N] = c.n_ids += n;
    }
    return c;
}

static void rows_of_two_parts_become_the_row_of_all(void **state)
{
    const demo *d = *state;
    const char *rows = test_scratch("joined.jsonl"),
               *text = test_source("datasets/demo/evaluation.txt");
    mls_corpus all, few, rest;
    mls_compare_request r = request(d, 1, NULL);
    mls_comparison whole, a, b;

    assert_ok(mls_corpus_read(&all, d->tok, &text, 1, 12, 7, 0, &err));
    few = windows_of(&all, 3, false);
    rest = windows_of(&all, 3, true);
    r.corpus = &all;
    assert_ok(mls_compare(&whole, &r, NULL, &err));
    r.corpus = &few;
    assert_ok(mls_compare(&a, &r, NULL, &err));
    assert_int_equal(a.row[0].N, 3);
    for (size_t kept = 0; kept < 2; kept++) { /* read back, it is the same row */
        r.corpus = &rest;
        r.rows_path = rows;
        assert_ok(mls_compare(&b, &r, NULL, &err));
        assert_true(b.row[0].kept_row == (kept == 1));
        if (kept == 0)
            mls_comparison_free(&b);
    }
    assert_refused(mls_compared_join(&a.row[0], &b.row[0], 2, &err), MLS_E_ARG,
                   "not parts of one text");
    assert_ok(mls_compared_join(&a.row[0], &b.row[0], 3, &err));

    const mls_compared *x = &whole.row[0], *y = &a.row[0];

    assert_int_equal(y->N, 7);
    assert_memory_equal(x->seq_kl, y->seq_kl, 7 * sizeof(double));
    assert_true(x->kl.mean == y->kl.mean && x->kl.half == y->kl.half);
    assert_true(x->nll.mean == y->nll.mean && x->nll.half == y->nll.half);
    assert_true(x->top1.mean == y->top1.mean && x->top1.half == y->top1.half);
    assert_true(x->dnll.mean == y->dnll.mean && x->dnll.half == y->dnll.half);
    mls_comparison_free(&whole);
    mls_comparison_free(&a);
    mls_comparison_free(&b);
    mls_corpus_free(&all);
    mls_corpus_free(&few);
    mls_corpus_free(&rest);
}

/* A file of before rows kept more than KL of each window: its rows are made anew. */
static void a_row_of_an_earlier_build_is_measured_again(void **state)
{
    const demo *d = *state;
    const char *rows = test_scratch("earlier.jsonl");
    mls_compare_request one = request(d, 1, rows);
    mls_comparison a = {0}, b = {0};
    char *text, *at;
    size_t len;

    assert_ok(mls_compare(&a, &one, NULL, &err));
    assert_ok(mls_file_read(rows, 1 << 20, &text, &len, &err));
    at = strstr(text, "\"nll_of_windows\"");
    assert_non_null(at);
    at[1] = 'N'; /* another member */
    assert_ok(mls_file_write(rows, text, len, &err));
    free(text);
    assert_ok(mls_compare(&b, &one, NULL, &err));
    assert_int_equal(b.n_measured, 1);
    assert_true(a.row[0].kl.mean == b.row[0].kl.mean);
    mls_comparison_free(&b);
    assert_ok(mls_compare(&b, &one, NULL, &err));
    assert_int_equal(b.n_measured, 0);
    mls_comparison_free(&a);
    mls_comparison_free(&b);
}

/* Stop before the second group, as a signal would. */
typedef struct {
    size_t calls, limit;
} stopper;

static void count_step(void *arg, const char *what, double done, double total)
{
    (void)what;
    (void)done;
    (void)total;
    ((stopper *)arg)->calls++;
}

static bool is_stopped(void *arg)
{
    const stopper *s = arg;

    return s->calls > s->limit;
}

static void a_stopped_run_goes_on_where_it_was(void **state)
{
    const demo *d = *state;
    const char *rows = test_scratch("stopped.jsonl");
    const mls_compare_request three = request(d, 3, rows);
    stopper s = {.limit =
                     LAYERS + 4}; /* layers, the logits and the end are a setting */
    const mls_progress progress = {
        .arg = &s, .step = count_step, .stopped = is_stopped};
    mls_comparison c = {0};
    FILE *f;

    assert_refused(mls_compare(&c, &three, &progress, &err), MLS_E_STOPPED, "");
    f = fopen(rows, "a"); /* and a kill in the middle of a write */
    assert_non_null(f);
    fputs("{\"key\":\"ab", f);
    fclose(f);
    assert_ok(mls_compare(&c, &three, NULL, &err));
    assert_int_equal(c.n_measured, 2);
    mls_comparison_free(&c);
    assert_ok(mls_compare(&c, &three, NULL, &err));
    assert_int_equal(c.n_measured, 0);
    mls_comparison_free(&c);
}

static void rows_of_other_inputs_do_not_count(void **state)
{
    const demo *d = *state;
    const char *rows = test_scratch("other.jsonl");
    mls_compare_request r = request(d, 1, rows);
    mls_comparison c = {0};

    assert_ok(mls_compare(&c, &r, NULL, &err));
    mls_comparison_free(&c);
    r.model_id = "another";
    assert_ok(mls_compare(&c, &r, NULL, &err));
    assert_int_equal(c.n_measured, 1);
    mls_comparison_free(&c);
    d->corpus.ids[5]++; /* what another tokenizer may do */
    assert_ok(mls_compare(&c, &r, NULL, &err));
    d->corpus.ids[5]--;
    assert_int_equal(c.n_measured, 1);
    mls_comparison_free(&c);
    r.tokens = 25;
    assert_ok(mls_compare(&c, &r, NULL, &err));
    assert_int_equal(c.n_measured, 1);
    mls_comparison_free(&c);
    r.how.scored = MLS_SCORE_SECOND_HALF;
    assert_ok(mls_compare(&c, &r, NULL, &err));
    assert_int_equal(c.n_measured, 1);
    mls_comparison_free(&c);
}

/* The file behind a setting can change, so its row is measured again. */
static void settings_that_name_a_file_are_not_kept(void **state)
{
    const demo *d = *state;
    const char *rows = test_scratch("files.jsonl"), *ranks = test_scratch("ranks.pth");
    mls_compare_request r = request(d, 2, rows);
    uint16_t order[LAYERS * 2 * 32];
    const mls_rankfile file = {
        .kind = MLS_RANKFILE_RANKS, .L = LAYERS, .heads = 2, .C = 32, .order = order};
    mls_comparison c = {0};
    mls_setting setting[2];
    char text[256];
    double kl;

    snprintf(text, sizeof text, "mha2mla rope=file:%s chunks=4 rank=32", ranks);
    setting[0] = d->setting[0];
    assert_ok(mls_setting_parse(&setting[1], text, &err));
    r.setting = setting;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        order[i] = (uint16_t)(i % 32);
    assert_ok(mls_rankfile_write(&file, NULL, ranks, &err));
    assert_ok(mls_compare(&c, &r, NULL, &err));
    assert_int_equal(c.n_measured, 2);
    kl = c.row[1].kl.mean;
    mls_comparison_free(&c);
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        order[i] = (uint16_t)(31 - i % 32);
    assert_ok(mls_rankfile_write(&file, NULL, ranks, &err));
    assert_ok(mls_compare(&c, &r, NULL, &err));
    assert_int_equal(c.n_measured, 1);
    assert_true(c.row[0].kept_row && !c.row[1].kept_row && c.row[1].kl.mean != kl);
    mls_comparison_free(&c);
}

static void a_line_that_is_no_row_is_refused(void **state)
{
    const demo *d = *state;
    static const char *const bad[] = {"{}\n", "[]\n", "not JSON\n",
                                      "{\"key\":\"a\",\"kl\":\"b\"}\n"};
    mls_comparison c = {0};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *rows = test_scratch("bad.jsonl");
        const mls_compare_request r = request(d, 1, rows);

        assert_ok(mls_file_write(rows, bad[i], strlen(bad[i]), &err));
        assert_refused(mls_compare(&c, &r, NULL, &err), MLS_E_INPUT, "line 1");
        assert_null(c.row);
    }
}

/* A rank that no head has, a method without its data, and what can be measured. */
static void what_is_refused_is_a_row_with_its_reason(void **state)
{
    const demo *d = *state;
    static const char *const line[3] = {"mha2mla rank=1000", "kqsvd rank=4",
                                        "mha2mla rope=uniform chunks=4 rank=32"};
    const char *rows = test_scratch("refused.jsonl");
    mls_setting setting[3];
    mls_compare_request r = request(d, 3, rows);
    mls_comparison c = {0};

    r.setting = setting;
    for (size_t i = 0; i < 3; i++)
        assert_ok(mls_setting_parse(&setting[i], line[i], &err));
    /* In one group and apart; measured and kept from before. */
    for (size_t again = 0; again < 3; again++) {
        r.group = again ? 1 : 3;
        r.rows_path = again == 1 ? NULL : rows;
        assert_ok(mls_compare(&c, &r, NULL, &err));
        assert_int_equal(c.n_measured, again == 2 ? 0 : 1);
        assert_ok(mls_comparison_possible(&c, &err));
        assert_non_null(strstr(c.row[0].refused, "nearest possible is 120"));
        assert_non_null(strstr(c.row[1].refused, "needs --capture"));
        assert_null(c.row[2].refused);
        for (size_t i = 0; i < 3; i++) {
            const bool refused = i < 2;

            assert_true(isnan(c.row[i].kl.mean) == refused);
            assert_true(isnan(c.row[i].bytes) == refused);
            assert_true(c.row[i].measured == !refused);
            assert_true(c.row[i].pareto == !refused);
            assert_true(c.row[i].kept_row == (again == 2));
        }
        assert_true(c.original.mean > 0 && c.n_scored == 2 * 23);
        mls_comparison_free(&c);
    }

    r.n = 2; /* nothing is left: the first reason */
    r.rows_path = NULL;
    assert_ok(mls_compare(&c, &r, NULL, &err));
    assert_true(isnan(c.original.mean));
    assert_refused(mls_comparison_possible(&c, &err), MLS_E_INPUT, "possible is 120");
    mls_comparison_free(&c);
}

static void words_in_braces_follow_the_shape(void **state)
{
    const mls_config c = {.L = 30, .E = 576, .H = 9, .G = 3, .D = 64};
    char out[128];

    (void)state;
    assert_ok(
        mls_shape_words(out, sizeof out, "x rank={G*D*5/6} a={D/128} {L}", &c, &err));
    assert_string_equal(out, "x rank=160 a=1 30");
    /* Exact as a fraction: not (64/3)*3 = 63. */
    assert_ok(mls_shape_words(out, sizeof out, "{D/3*G}", &c, &err));
    assert_string_equal(out, "64");
    static const char *const bad[] = {"{",      "{}",    "{D",
                                      "{D+1}",  "{D/0}", "{*D}",
                                      "{D**2}", "{x}",   "{99999999999999999999999}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_refused(mls_shape_words(out, sizeof out, bad[i], &c, &err), MLS_E_INPUT,
                       "is not a product");
    assert_refused(mls_shape_words(out, 4, "abcdef", &c, &err), MLS_E_ARG, "too long");
}

/*
 * The fractions give back the numbers that the papers print for the models they name.
 */
static void presets_give_the_published_ranks(void **state)
{
    static const struct {
        const char *file, *setting;
        mls_config c;
    } want[] = {
        {"mha2mla",
         "mha2mla rope=2-norm chunks=8 rank=64 svd=joint",
         {.L = 32, .E = 4096, .H = 32, .G = 32, .D = 128}},
        {"elitekv",
         "elitekv chunks=12 rank=2048",
         {.L = 32, .E = 4096, .H = 32, .G = 32, .D = 128}},
        {"x-ecomla",
         "x-ecomla rank=160 rope_dim=32",
         {.L = 30, .E = 576, .H = 9, .G = 3, .D = 64}},
        {"x-ecomla",
         "x-ecomla rank=816 rope_dim=64",
         {.L = 28, .E = 3072, .H = 24, .G = 8, .D = 128}},
        {"x-ecomla",
         "x-ecomla rank=48 qrank=1440 rope_dim=32",
         {.L = 16, .E = 2048, .H = 32, .G = 8, .D = 64}},
        {"x-ecomla",
         "x-ecomla rank=64 qrank=1424 rope_dim=32",
         {.L = 16, .E = 2048, .H = 32, .G = 8, .D = 64}},
        {"transmla",
         "transmla rank=512 rope_dim=64 freqfold=8",
         {.L = 32, .E = 4096, .H = 32, .G = 32, .D = 128}},
        {"transmla",
         "transmla rank=320 rope_dim=256 freqfold=4",
         {.L = 42, .E = 3584, .H = 16, .G = 8, .D = 256}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        mls_listing list = {0};
        char path[64], text[256];
        bool found = false;

        snprintf(path, sizeof path, "bench/settings/%s.csv", want[i].file);
        assert_ok(mls_listing_read(&list, test_source(path), &want[i].c, &err));
        for (size_t j = 0; j < list.n; j++) {
            assert_true(list.item[j].source[0] && list.item[j].label[0]);
            found |= strcmp(mls_setting_text(&list.item[j].setting, text, sizeof text),
                            want[i].setting) == 0;
        }
        if (!found)
            fail_msg("%s: no %s", want[i].file, want[i].setting);
        mls_listed_free(&list);
    }
}

/* Ranks of one method: the law of those that are run predicts the others. */
static void some_settings_are_run_and_the_others_predicted(void **state)
{
    const demo *d = *state;
    const mls_capture_options options = {.n_windows = 2, .command = "test"};
    const char *rows = test_scratch("some.jsonl"), *run = test_scratch("some.h5");
    mls_compare_request some = request(d, 9, rows);
    mls_comparison a = {0}, b = {0}, all = {0};
    mls_setting setting[9];
    char text[64];
    size_t measured = 0;

    mls_blas_single_thread();
    assert_ok(
        mls_capture_run(d->model, &d->corpus, run, &options, d->pool, NULL, &err));
    for (size_t i = 0; i < 9; i++) {
        snprintf(text, sizeof text, "mha2mla rope=high chunks=12 rank=%zu", 8 + 8 * i);
        assert_ok(mls_setting_parse(&setting[i], text, &err));
    }
    some.setting = setting;
    some.measure = 5;
    assert_refused(mls_compare(&a, &some, NULL, &err), MLS_E_INPUT,
                   "needs a capture file with windows");
    assert_ok(mls_capture_open(&some.in.capture, run, &err));
    some.capture_id = "run";
    assert_ok(mls_compare(&a, &some, NULL, &err));
    assert_int_equal(a.n_measured, 5);
    assert_int_equal(a.law.n, 5);
    for (size_t i = 0; i < 9; i++) {
        measured += a.row[i].measured;
        assert_true(a.row[i].measured ? a.row[i].kl.mean > 0 : isnan(a.row[i].kl.mean));
        assert_true(a.row[i].measured == (a.row[i].seq_kl != NULL));
        assert_true(a.row[i].law_kl > 0 && a.row[i].predicted.attention > 0);
        assert_true(a.row[i].bytes > 0);
    }
    assert_int_equal(measured, 5);
    assert_true(a.row[0].measured && a.row[8].measured); /* most and least error */

    /* Again: nothing is left to run. All of them: four are. */
    assert_ok(mls_compare(&b, &some, NULL, &err));
    assert_int_equal(b.n_measured, 0);
    some.measure = 0;
    assert_ok(mls_compare(&all, &some, NULL, &err));
    assert_int_equal(all.n_measured, 4);
    for (size_t i = 0; i < 9; i++) {
        assert_true(b.row[i].measured == a.row[i].measured);
        assert_true(b.row[i].law_kl == a.row[i].law_kl);
        if (!a.row[i].measured)
            assert_true(fabs(log(a.row[i].law_kl / all.row[i].kl.mean)) < log(1.6));
    }
    mls_comparison_free(&a);
    mls_comparison_free(&b);
    mls_comparison_free(&all);
    mls_capture_close(some.in.capture);
}

/* Bins of positions hold every scored position once. */
static void positions_make_up_the_mean(void **state)
{
    const demo *d = *state;
    const mls_method_input in = {
        .config = mls_model_config(d->model), .model = d->model, .pool = d->pool};
    mls_scheme scheme;
    mls_variant v = {.scheme = &scheme, .only_layer = MLS_NONE};
    mls_evaluation e;
    double kl = 0, nll = 0, n = 0;

    assert_ok(mls_scheme_uniform(&scheme, &d->setting[0], in.config->L, &err));
    assert_ok(mls_evaluate(&e, &in, &d->corpus, &v, 1, NULL, NULL, &err));
    assert_int_equal(e.variant[0].at.n, 5); /* 1, 2-3, 4-7, 8-15, 16-23 */
    for (size_t b = 0; b < 5; b++) {
        const double positions = b < 4 ? 1 << b : 8;

        kl += positions * e.variant[0].at.kl[b].mean;
        nll += positions * e.original.at.nll[b].mean;
        n += positions;
    }
    assert_close(kl / n, e.variant[0].kl.mean, 1e-9);
    assert_close(nll / n, e.original.nll.mean, 1e-9);
    mls_evaluation_free(&e);
    mls_scheme_free(&scheme);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_make_up_the_mean),
        cmocka_unit_test(an_added_row_costs_only_itself),
        cmocka_unit_test(rows_of_two_parts_become_the_row_of_all),
        cmocka_unit_test(a_row_of_an_earlier_build_is_measured_again),
        cmocka_unit_test(a_stopped_run_goes_on_where_it_was),
        cmocka_unit_test(rows_of_other_inputs_do_not_count),
        cmocka_unit_test(settings_that_name_a_file_are_not_kept),
        cmocka_unit_test(a_line_that_is_no_row_is_refused),
        cmocka_unit_test(some_settings_are_run_and_the_others_predicted),
        cmocka_unit_test(what_is_refused_is_a_row_with_its_reason),
        cmocka_unit_test(words_in_braces_follow_the_shape),
        cmocka_unit_test(presets_give_the_published_ranks),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
