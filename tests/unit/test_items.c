/* Multiple choice and planted pairs against tests/reference/items.py (transformers). */
#include "bench/evaluate/items.h"

#include "analysis/numeric/interval.h"
#include "bench/evaluate/evaluate.h"
#include "tests/support/demo.h"

typedef struct {
    mls_model *model;
    mls_pool *pool;
    mls_tokenizer *tok;
} opened;

static opened open_demo(void)
{
    opened o;

    mls_blas_single_thread();
    assert_ok(mls_model_open(&o.model, test_source("datasets/demo"), &err));
    assert_ok(mls_pool_new(&o.pool, 2, &err));
    assert_ok(mls_tokenizer_open(&o.tok, test_source("datasets/demo"), &err));
    return o;
}

static void close_demo(opened *o)
{
    mls_model_close(o->model);
    mls_pool_free(o->pool);
    mls_tokenizer_close(o->tok);
}

static mls_evaluation measure(const opened *o, const mls_items *items)
{
    const mls_method_input in = {
        .config = mls_model_config(o->model), .model = o->model, .pool = o->pool};
    const mls_evaluate_options how = {.from = items->from};
    mls_evaluation e;

    assert_ok(mls_evaluate(&e, &in, &items->corpus, NULL, 0, &how, NULL, &err));
    return e;
}

/* The next line that begins with a word, behind it. */
static const char *next_line(FILE *file, char line[256], const char *word)
{
    while (fgets(line, 256, file))
        if (strncmp(line, word, strlen(word)) == 0)
            return line + strlen(word);
    fail_msg("no more lines of %s", word);
    return NULL;
}

static void choices_are_those_of_the_harness(void **state)
{
    opened o = open_demo();
    FILE *file = fopen(test_source("tests/reference/items.txt"), "r");
    char line[256];
    size_t pick[5], norm[5], right = 0, right_norm = 0, want[3];
    mls_questions q;
    mls_choices c;

    (void)state;
    assert_non_null(file);
    assert_ok(mls_questions_read(&q, test_source("tests/data/questions.jsonl"), &err));
    assert_ok(mls_choices_make(&c, &q, o.tok, false, 256, &err));
    assert_int_equal(c.n, 5);
    mls_evaluation e = measure(&o, &c.items);

    for (size_t i = 0; i < c.n; i++) {
        const char *at = next_line(file, line, "choices");

        for (size_t s = c.first[i]; s < c.first[i + 1]; s++) {
            const size_t *start = c.items.corpus.start;
            const size_t scored = start[s + 1] - start[s] - 1 - c.items.from[s];
            char *end;
            const double sum = strtod(at, &end);

            assert_true(end > at);
            at = end;
            assert_close(-e.original.seq_nll[s] * (double)scored, sum,
                         1e-5 * fabs(sum));
        }
    }
    mls_choices_pick(pick, norm, &c, e.original.seq_nll);
    for (size_t i = 0; i < c.n; i++) {
        right += pick[i] == c.answer[i];
        right_norm += norm[i] == c.answer[i];
    }
    assert_int_equal(sscanf(next_line(file, line, "right"), "%zu %zu %zu", &want[0],
                            &want[1], &want[2]),
                     3);
    assert_int_equal(right, want[0]);
    assert_int_equal(right_norm, want[1]);
    assert_int_equal(c.n, want[2]);
    fclose(file);
    mls_evaluation_free(&e);
    mls_choices_free(&c);
    mls_questions_free(&q);
    close_demo(&o);
}

static void planted_pairs_are_those_of_the_description(void **state)
{
    const size_t distance[] = {40, 8};
    const char *path = test_source("datasets/demo/evaluation.txt");
    opened o = open_demo();
    FILE *file = fopen(test_source("tests/reference/items.txt"), "r");
    char line[256];
    mls_retrieval r;

    (void)state;
    assert_non_null(file);
    assert_ok(mls_retrieval_make(&r, o.tok, &path, 1, false, distance, 2, 4, 1, &err));
    assert_int_equal(r.n, 4);
    assert_int_equal(r.n_distances, 3);
    assert_int_equal(r.distance[0], 8);
    mls_evaluation e = measure(&o, &r.items);

    for (size_t s = 0; s < r.n * r.n_distances; s++) {
        const size_t *start = r.items.corpus.start;
        size_t i, ids;
        char where[16];
        double nll, hit;

        assert_int_equal(sscanf(next_line(file, line, "pair"), "%zu %15s %zu %lf %lf",
                                &i, where, &ids, &nll, &hit),
                         5);
        assert_int_equal(i, s / r.n_distances);
        assert_int_equal(start[s + 1] - start[s], ids);
        assert_close(e.original.seq_nll[s], nll, 1e-5 * nll);
        assert_close(e.original.seq_hit[s], hit, 1e-8);
    }
    fclose(file);
    mls_evaluation_free(&e);
    mls_retrieval_free(&r);
    close_demo(&o);
}

/* A file of one good line and this one. */
static void refuse(const char *line, const char *why)
{
    const char *path = test_scratch("hostile.jsonl");
    FILE *file = fopen(path, "w");
    mls_questions q;

    assert_non_null(file);
    fprintf(file, "{\"context\":\"a\",\"choices\":[\"b\",\"c\"],\"answer\":1}\n%s\n",
            line);
    fclose(file);
    assert_refused(mls_questions_read(&q, path, &err), MLS_E_INPUT, why);
    assert_refused(mls_questions_read(&q, path, &err), MLS_E_INPUT,
                   "hostile.jsonl: line 2: ");
    assert_int_equal(q.n, 0);
}

static void hostile_questions_are_refused_by_their_line(void **state)
{
    (void)state;
    refuse("{", "not JSON");
    refuse("[1]", "expected an object with \"context\"");
    refuse("7", "found a whole number");
    refuse("{\"choices\":[\"b\",\"c\"],\"answer\":1}", "\"context\": expected a text");
    refuse("{\"context\":1,\"choices\":[\"b\",\"c\"],\"answer\":1}",
           "\"context\": expected a text");
    refuse("{\"context\":\"a\",\"choices\":\"bc\",\"answer\":1}",
           "\"choices\": expected a list, found a string");
    refuse("{\"context\":\"a\",\"choices\":[\"b\"],\"answer\":0}",
           "\"choices\": expected 2 to 64, found 1");
    refuse("{\"context\":\"a\",\"choices\":[\"b\",\"\"],\"answer\":0}",
           "number 1 is empty");
    refuse("{\"context\":\"a\",\"choices\":[\"b\",2],\"answer\":0}",
           "\"choices\": expected a text");
    refuse("{\"context\":\"a\",\"choices\":[\"b\",\"b\"],\"answer\":0}",
           "number 1 is number 0 once more");
    refuse("{\"context\":\"a\",\"choices\":[\"b\",\"c\"],\"answer\":2}",
           "2 is none of the 2 choices");
    refuse("{\"context\":\"a\",\"choices\":[\"b\",\"c\"],\"answer\":-1}",
           "-1 is none of the 2 choices");
    refuse("{\"context\":\"a\",\"choices\":[\"b\",\"c\"],\"answer\":0.5}",
           "\"answer\": expected a number");
    refuse("{\"context\":\"a\",\"choices\":[\"b\",\"c\"]}",
           "\"answer\": expected a number");
    refuse("{\"context\":\"a\\u0000b\",\"choices\":[\"b\",\"c\"],\"answer\":0}",
           "holds a 0 character");
    refuse(
        "{\"context\":\"a\",\"context\":\"b\",\"choices\":[\"b\",\"c\"],\"answer\":0}",
        "not JSON");
}

static void what_cannot_be_scored_is_refused(void **state)
{
    char empty[] = "", long_text[] = "In the beginning God created the heaven";
    char one[] = "a", two[] = "b", *choice[] = {one, two};
    mls_question question = {empty, choice, 2, 0};
    const mls_questions q = {.n = 1, .question = &question};
    const char *path = test_source("datasets/demo/evaluation.txt");
    const size_t far = 1 << 19;
    opened o = open_demo();
    mls_choices c;
    mls_retrieval r;

    (void)state;
    assert_refused(mls_choices_make(&c, &q, o.tok, true, 256, &err), MLS_E_INPUT,
                   "question 1: the context is empty");
    question.context = long_text;
    assert_refused(mls_choices_make(&c, &q, o.tok, false, 5, &err), MLS_E_INPUT,
                   "the model has 5 positions");
    assert_refused(mls_retrieval_make(&r, o.tok, &path, 1, false, &far, 1, 4, 1, &err),
                   MLS_E_INPUT, "a pair at a distance of 524288 needs");
    close_demo(&o);
}

static void mcnemar_is_the_binomial_test(void **state)
{
    (void)state;
    assert_close(mls_mcnemar(0, 0), 1, 0);
    assert_close(mls_mcnemar(3, 3), 1, 0);
    assert_close(mls_mcnemar(0, 5), 2.0 / 32, 1e-12);
    assert_close(mls_mcnemar(9, 1), 2.0 * 11 / 1024, 1e-12);
    assert_close(mls_mcnemar(600, 500), 0.00281954499, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choices_are_those_of_the_harness),
        cmocka_unit_test(planted_pairs_are_those_of_the_description),
        cmocka_unit_test(hostile_questions_are_refused_by_their_line),
        cmocka_unit_test(what_cannot_be_scored_is_refused),
        cmocka_unit_test(mcnemar_is_the_binomial_test),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
