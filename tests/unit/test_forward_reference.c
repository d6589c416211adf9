#include "tests/support/expect.h"

#include <jansson.h>
#include <unistd.h>

#include "tests/support/logits.h"
#include "tests/support/named_weights.h"

/*
 * tests/reference/forward.txt: cases computed by tests/reference/forward.py;
 * tests/families/logits.txt: by transformers, see tests/families/logits.py.
 */
enum { TENSORS_MAX = 400, SEQUENCES_MAX = 4, NAME_SIZE = 128, PROBES = 3 };

/* One case of the file. */
typedef struct {
    char name[NAME_SIZE], folder[1024];
    uint64_t seed;
    double tolerance; /* of logits, relative to the largest */
    size_t n_tensors, V;
    named_tensor tensor[TENSORS_MAX];
    size_t start[SEQUENCES_MAX + 1], N;
    int32_t *ids; /* (start[N]) */
    int *argmax;  /* (start[N]) */
    double nll[SEQUENCES_MAX];
    struct {
        size_t sequence, position;
        double *logits; /* (V) */
    } probe[SEQUENCES_MAX * PROBES];
    size_t n_probes;
} reference;

static void read_line(void *arg, char *line)
{
    reference *r = arg;
    const char *kind = named_word(&line);

    if (strcmp(kind, "config") == 0) {
        char path[1100];
        json_t *config = json_loads(line, 0, NULL);

        assert_non_null(config);
        r->V = (size_t)json_integer_value(json_object_get(config, "vocab_size"));
        json_decref(config);
        snprintf(path, sizeof path, "%s/config.json", r->folder);
        assert_ok(mls_file_write(path, line, strlen(line), &err));
    } else if (strcmp(kind, "tensor") == 0) {
        assert_true(r->n_tensors < TENSORS_MAX);
        named_parse(&r->tensor[r->n_tensors++], line);
    } else if (strcmp(kind, "ids") == 0) {
        const size_t T = named_whole(&line), first = r->start[r->N];

        assert_true(r->N < SEQUENCES_MAX);
        r->start[++r->N] = first + T;
        r->ids = realloc(r->ids, (first + T) * sizeof *r->ids);
        r->argmax = realloc(r->argmax, (first + T) * sizeof *r->argmax);
        assert_true(r->ids && r->argmax);
        for (size_t t = 0; t < T; t++)
            r->ids[first + t] = (int32_t)named_whole(&line);
    } else if (strcmp(kind, "nll") == 0) {
        r->nll[r->N - 1] = strtod(named_word(&line), NULL);
    } else if (strcmp(kind, "argmax") == 0) {
        for (size_t t = r->start[r->N - 1]; t < r->start[r->N]; t++)
            r->argmax[t] = (int)named_whole(&line);
    } else if (strcmp(kind, "logits") == 0) {
        const size_t i = r->n_probes++;

        r->probe[i].sequence = r->N - 1;
        r->probe[i].position = named_whole(&line);
        r->probe[i].logits = malloc(r->V * sizeof(double));
        assert_non_null(r->probe[i].logits);
        for (size_t v = 0; v < r->V; v++)
            r->probe[i].logits[v] = strtod(named_word(&line), NULL);
    } else {
        fail_msg("a line starts with %s", kind);
    }
}

static void free_reference(reference *r)
{
    for (size_t i = 0; i < r->n_probes; i++)
        free(r->probe[i].logits);
    free(r->argmax);
    free(r->ids);
    *r = (reference){.tolerance = r->tolerance};
}

static void compare(const reference *r)
{
    const mls_corpus corpus = {.ids = r->ids,
                               .n_ids = r->start[r->N],
                               .start = (size_t *)(uintptr_t)r->start,
                               .N = r->N};
    mls_model *m;
    float *logits;

    assert_ok(mls_model_open(&m, r->folder, &err));
    for (size_t l = 0; l < mls_model_config(m)->L; l++) {
        mls_layer layer;

        if (mls_model_config(m)->layer[l].kind == MLS_LAYER_RECURRENT)
            assert_refused(mls_model_attention(m, l, &layer, &err), MLS_E_INPUT,
                           "no keys and values");
    }
    logits = logits_of(m, &corpus, 2, 1);
    for (size_t i = 0; i < r->n_probes; i++) {
        const size_t row = r->start[r->probe[i].sequence] + r->probe[i].position;
        double size = 0;

        for (size_t v = 0; v < r->V; v++)
            size = fmax(size, fabs(r->probe[i].logits[v]));
        for (size_t v = 0; v < r->V; v++)
            if (!(fabs((double)logits[row * r->V + v] - r->probe[i].logits[v]) <=
                  r->tolerance * size))
                fail_msg("%s: sequence %zu, position %zu, logit %zu is %.9g, "
                         "expected %.9g",
                         r->name, r->probe[i].sequence, r->probe[i].position, v,
                         (double)logits[row * r->V + v], r->probe[i].logits[v]);
    }
    for (size_t row = 0; row < r->start[r->N]; row++)
        assert_int_equal(largest(logits + row * r->V, r->V), r->argmax[row]);
    for (size_t n = 0; n < r->N; n++)
        assert_close(mean_nll(logits + r->start[n] * r->V, r->V, r->ids + r->start[n],
                              r->start[n + 1] - r->start[n]),
                     r->nll[n], r->tolerance / 10 * (1 + r->nll[n]));
    for (size_t threads = 1; threads <= 5; threads += threads < 3 ? 1 : 2) {
        float *again = logits_of(m, &corpus, threads, threads);

        assert_memory_equal(again, logits, r->start[r->N] * r->V * sizeof *logits);
        free(again);
    }
    free(logits);
    mls_model_close(m);
}

static void begin_case(void *arg, char *line)
{
    reference *r = arg;

    snprintf(r->name, sizeof r->name, "%s", named_word(&line));
    r->seed = named_whole(&line);
    snprintf(r->folder, sizeof r->folder, "%s", test_scratch(r->name));
    assert_ok(mls_folder_prepare(r->folder, &err));
}

static void end_case(void *arg)
{
    reference *r = arg;

    named_write(r->folder, r->tensor, r->n_tensors, r->seed);
    compare(r);
    free_reference(r);
}

static void random_models_match_the_independent_program(void **state)
{
    (void)state;
    reference r = {.tolerance = 1e-5};

    assert_int_equal(named_each_case(test_source("tests/reference/forward.txt"), &r,
                                     begin_case, read_line, end_case),
                     11);
}

static void families_match_transformers(void **state)
{
    (void)state;
    reference r = {.tolerance = 1e-4};

    assert_true(named_each_case(test_source("tests/families/logits.txt"), &r,
                                begin_case, read_line, end_case) > 0);
}

static void compare_golden(const char *folder, const char *golden)
{
    json_t *g = json_load_file(golden, 0, NULL);
    mls_model *m;

    assert_non_null(g);
    assert_ok(mls_model_open(&m, folder, &err));
    const size_t V = mls_model_config(m)->V;
    const json_t *ids = json_object_get(g, "ids");
    const json_t *argmax = json_object_get(g, "argmax");
    const json_t *last = json_object_get(g, "last_logits");
    const size_t T = json_array_size(argmax); /* positions that were computed */
    int32_t *sequence = malloc(T * sizeof *sequence);
    size_t start[] = {0, T};

    assert_true(sequence && T > 50 && json_array_size(ids) >= T);
    assert_int_equal(json_array_size(last), V);
    for (size_t t = 0; t < T; t++)
        sequence[t] = (int32_t)json_integer_value(json_array_get(ids, t));
    const mls_corpus corpus = {.ids = sequence, .n_ids = T, .start = start, .N = 1};
    float *logits = logits_of(m, &corpus, 2, 1);

    for (size_t t = 0; t < T; t++)
        assert_int_equal(largest(logits + t * V, V),
                         json_integer_value(json_array_get(argmax, t)));
    for (size_t v = 0; v < V; v++)
        assert_close(logits[(T - 1) * V + v],
                     json_number_value(json_array_get(last, v)), 1e-4);
    const double want = json_number_value(json_object_get(g, "mean_nll"));
    assert_close(mean_nll(logits, V, sequence, T), want, 1e-5 * want);
    free(logits);
    free(sequence);
    mls_model_close(m);
    json_decref(g);
}

static void the_demo_model_matches_its_golden_file(void **state)
{
    (void)state;
    compare_golden(test_source("datasets/demo"),
                   test_source("datasets/demo/golden.json"));
}

static void stories260k_matches_its_golden_file(void **state)
{
    (void)state;
    const char *folder = test_shared("models/stories260K");
    char golden[1100];

    if (!folder)
        skip();
    snprintf(golden, sizeof golden, "%s/golden.json", folder);
    compare_golden(folder, golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_models_match_the_independent_program),
        cmocka_unit_test(families_match_transformers),
        cmocka_unit_test(the_demo_model_matches_its_golden_file),
        cmocka_unit_test(stories260k_matches_its_golden_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
