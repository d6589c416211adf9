/* What a capture holds, against NumPy, the identities of moments and itself. */
#include "tests/support/capture_fixture.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/system/files.h"
#include "datasets/files/safetensors.h"

/* One number of a layer's statistics by the path in the file and up to 3 indices. */
static double number(const mls_layer_stats *s, const double *q, const double *k,
                     const char *path, const size_t at[3])
{
    const size_t D = s->D, E = s->E, C = s->C;
    const struct {
        const char *path;
        const double *x;
        size_t n1, n2; /* extents of the second and third index; 1: there is none */
    } arrays[] = {
        {"moments/x/second", s->x_second, E, 1},
        {"moments/x/mean", s->x_mean, 1, 1},
        {"moments/x/abs", s->x_abs, 1, 1},
        {"moments/q/second", s->q_second, D, D},
        {"moments/q/mean", s->q_mean, D, 1},
        {"moments/k/second", s->k_second, D, D},
        {"moments/k/mean", s->k_mean, D, 1},
        {"moments/v/second", s->v_second, D, D},
        {"moments/v/mean", s->v_mean, D, 1},
        {"moments/kv/cross", s->kv_cross, D, D},
        {"moments/q_rot/second", s->q_rot_second, D, D},
        {"moments/q_rot/mean", s->q_rot_mean, D, 1},
        {"moments/k_rot/second", s->k_rot_second, D, D},
        {"moments/k_rot/mean", s->k_rot_mean, D, 1},
        {"norms/q", q, s->H, C},
        {"norms/k", k, s->G, C},
    };

    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        if (strcmp(path, arrays[i].path) == 0)
            return arrays[i].x[(at[0] * arrays[i].n1 + at[1]) * arrays[i].n2 + at[2]];
    fail_msg("no statistic %s", path);
    return NAN;
}

static double trace(const mls_layer_stats *s, const char *path, size_t head)
{
    const bool whole = strcmp(path, "moments/x/second") == 0;
    double sum = 0;

    for (size_t i = 0; i < (whole ? s->E : s->D); i++) {
        const size_t of_x[3] = {i, i, 0}, of_head[3] = {head, i, i};

        sum += number(s, NULL, NULL, path, whole ? of_x : of_head);
    }
    return sum;
}

static void a_capture_of_the_demo_agrees_with_numpy(void **state)
{
    const char *path = test_scratch("numpy.h5");
    mls_corpus corpus = demo_tokens(4, 64);
    FILE *f = fopen(test_source("tests/reference/capture.txt"), "r");
    mls_layer_stats s = {0};
    double *q = NULL, *k = NULL;
    mls_capture *c;
    size_t layer = SIZE_MAX, n_compared = 0;
    char line[256], name[64], head[64];

    (void)state;
    assert_non_null(f);
    assert_ok(capture(&corpus, path, 2, NULL, &err));
    assert_ok(mls_capture_open(&c, path, &err));
    while (fgets(line, sizeof line, f)) {
        size_t l, at[3] = {0};
        double want, got;

        if (line[0] == '#')
            continue;
        if (sscanf(line, "nll %zu %lf", &l, &want) == 2) {
            assert_close(mls_capture_nll_each(c)[l], want, 1e-6 * want);
            continue;
        }
        assert_int_equal(sscanf(line, "%63s", head), 1);
        const bool is_trace = strcmp(head, "trace") == 0;
        if (is_trace)
            assert_int_equal(
                sscanf(line, "trace %63s %zu %zu %lf", name, &l, &at[0], &want), 4);
        else
            assert_int_equal(sscanf(line, "%63s %zu %zu %zu %zu %lf", name, &l, &at[0],
                                    &at[1], &at[2], &want),
                             6);
        if (l != layer) {
            mls_layer_stats_free(&s);
            free(q);
            free(k);
            assert_ok(mls_capture_stats(c, l, &s, &err));
            assert_ok(mls_capture_norms(c, l, &q, &k, &err));
            layer = l;
        }
        got = is_trace ? trace(&s, name, at[0]) : number(&s, q, k, name, at);
        /* the forward pass is in float here and in double there */
        if (!(fabs(got - want) <= 2e-5 * (fabs(want) + 0.05)))
            fail_msg("%s: got %.9g", line, got);
        n_compared++;
    }
    assert_int_equal(n_compared, 6 * (16 * 3 + 1 + 6 + 2 + 2 + 6 + 2));
    mls_layer_stats_free(&s);
    free(q);
    free(k);
    fclose(f);
    mls_capture_close(c);
    mls_corpus_free(&corpus);
    unlink(path);
}

/* Largest difference of two symmetric blocks relative to the largest entry. */
static double difference(const double *a, size_t lda, const double *b, size_t n)
{
    double worst = 0, largest = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            worst = fmax(worst, fabs(a[i * lda + j] - b[i * n + j]));
            largest = fmax(largest, fabs(b[i * n + j]));
        }
    return worst / largest;
}

static void the_moments_of_keys_and_values_follow_from_those_of_x(void **state)
{
    const char *path = test_scratch("identity.h5");
    mls_corpus corpus = demo_tokens(5, 48);
    mls_capture *c;
    mls_model *m;

    (void)state;
    assert_ok(capture(&corpus, path, 2, NULL, &err));
    assert_ok(mls_capture_open(&c, path, &err));
    assert_ok(mls_model_open(&m, test_source("datasets/demo"), &err));
    for (size_t l = 0; l < 6; l++) {
        mls_layer layer;
        mls_layer_stats s;
        double second[128 * 128];

        assert_ok(mls_capture_stats(c, l, &s, &err));
        assert_ok(mls_model_attention(m, l, &layer, &err));
        assert_ok(mls_second_of_outputs(second, &s, layer.wk, layer.bk, 128, &err));
        for (size_t g = 0; g < 2; g++)
            assert_close(difference(second + g * (128 * 64 + 64), 128,
                                    s.k_second + g * 64 * 64, 64),
                         0, 1e-6);
        assert_ok(mls_second_of_outputs(second, &s, layer.wv, layer.bv, 128, &err));
        for (size_t g = 0; g < 2; g++)
            assert_close(difference(second + g * (128 * 64 + 64), 128,
                                    s.v_second + g * 64 * 64, 64),
                         0, 1e-6);
        mls_layer_free(&layer);
        mls_layer_stats_free(&s);
    }
    mls_model_close(m);
    mls_capture_close(c);
    mls_corpus_free(&corpus);
    unlink(path);
}

static void windows_show_the_sequences_they_name(void **state)
{
    const char *path = test_scratch("windows.h5");
    mls_corpus corpus = demo_tokens(7, 24);
    mls_corpus one = demo_tokens(1, 24);
    const char *alone = test_scratch("alone.h5");
    mls_capture *c, *a;
    float x[24 * 384], y[24 * 384];

    (void)state;
    /* the last sequence alone, as the only one of a capture of its own */
    memcpy(one.ids, corpus.ids + 3 * 24, 24 * sizeof *one.ids);
    assert_ok(capture(&corpus, path, 2, NULL, &err));
    assert_ok(capture(&one, alone, 1, NULL, &err));
    assert_ok(mls_capture_open(&c, path, &err));
    assert_ok(mls_capture_open(&a, alone, &err));
    assert_int_equal(mls_capture_windows(c), 2);
    assert_int_equal(mls_capture_window_sequence(c, 0), 0);
    assert_int_equal(mls_capture_window_sequence(c, 1), 3); /* 7 / 2 */
    assert_int_equal(mls_capture_windows(a), 1);
    for (size_t l = 0; l < 6; l++) {
        assert_ok(mls_capture_window(c, l, 1, MLS_WINDOW_Q, x, &err));
        assert_ok(mls_capture_window(a, l, 0, MLS_WINDOW_Q, y, &err));
        assert_memory_equal(x, y, sizeof x);
    }
    mls_capture_close(a);
    mls_capture_close(c);
    mls_corpus_free(&one);
    mls_corpus_free(&corpus);
    unlink(path);
    unlink(alone);
}

static void the_file_is_the_same_for_any_number_of_threads(void **state)
{
    mls_corpus corpus = demo_tokens(70, 20); /* 3 sequences per job, the last has 1 */
    uint64_t first = 0;

    (void)state;
    for (size_t threads = 1; threads <= 3; threads++) {
        const char *path = test_scratch("threads.h5");

        assert_ok(capture(&corpus, path, threads, NULL, &err));
        if (threads == 1)
            first = hash_of(path);
        assert_true(hash_of(path) == first);
        assert_false(mls_folder_exists(test_scratch("threads.h5.part")));
        unlink(path);
    }
    mls_corpus_free(&corpus);
}

static void a_random_draw_keeps_whole_sequences_in_order(void **state)
{
    enum { N = 40, T = 3, KEPT = 9, DRAWS = 400 };
    size_t times[N] = {0};

    (void)state;
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        mls_corpus c = demo_tokens(N, T);
        size_t last = 0;

        for (size_t i = 0; i < N * T; i++)
            c.ids[i] = (int32_t)i;
        mls_corpus_sample(&c, KEPT, seed);
        assert_int_equal(c.N, KEPT);
        assert_int_equal(c.n_ids, KEPT * T);
        for (size_t n = 0; n < KEPT; n++) {
            const size_t from = (size_t)c.ids[c.start[n]] / T;

            assert_int_equal(c.start[n + 1] - c.start[n], T);
            assert_true(n == 0 || from > last);
            for (size_t t = 0; t < T; t++)
                assert_int_equal(c.ids[c.start[n] + t], from * T + t);
            last = from;
            times[from]++;
        }
        mls_corpus_free(&c);
    }
    /* 90 expected, standard deviation 8.4 */
    for (size_t n = 0; n < N; n++)
        assert_true(times[n] > 55 && times[n] < 125);
}

static void merged_captures_are_that_of_the_joined_text(void **state)
{
    const char *paths[] = {test_scratch("m0.h5"), test_scratch("m1.h5")};
    const char *whole = test_scratch("m.h5"), *merged = test_scratch("merged.h5");
    mls_corpus all = demo_tokens(7, 20);
    mls_corpus first = {
        .ids = all.ids, .n_ids = 60, .start = all.start, .N = 3, .sha256 = "first"};
    const size_t rest_start[] = {0, 20, 40, 60, 80};
    size_t start[5];
    mls_corpus rest = {
        .ids = all.ids + 60, .n_ids = 80, .start = start, .N = 4, .sha256 = "rest"};
    mls_capture *parts[2], *a, *b;

    (void)state;
    memcpy(start, rest_start, sizeof start);
    assert_ok(capture(&first, paths[0], 1, NULL, &err));
    assert_ok(capture(&rest, paths[1], 1, NULL, &err));
    assert_ok(capture(&all, whole, 1, NULL, &err));
    assert_ok(mls_capture_open(&parts[0], paths[0], &err));
    assert_ok(mls_capture_open(&parts[1], paths[1], &err));
    assert_ok(mls_capture_merge(parts, 2, merged, "merge", "names", &err));
    assert_ok(mls_capture_open(&a, whole, &err));
    assert_ok(mls_capture_open(&b, merged, &err));

    assert_int_equal(mls_capture_sequences(b), 7);
    assert_memory_equal(mls_capture_start(b), all.start, 8 * sizeof *all.start);
    assert_memory_equal(mls_capture_ids(b), all.ids, 140 * sizeof *all.ids);
    assert_memory_equal(mls_capture_nll_each(b), mls_capture_nll_each(a),
                        7 * sizeof(double));
    assert_int_equal(mls_capture_windows(b), 4); /* 0 and 1; 3 and 5 */
    assert_int_equal(mls_capture_window_sequence(b, 1), 1);
    assert_int_equal(mls_capture_window_sequence(b, 3), 5);
    for (size_t l = 0; l < 6; l++) {
        mls_layer_stats x, y;
        double *q, *k, *q2, *k2;
        float w1[20 * 128], w2[20 * 128];

        assert_ok(mls_capture_stats(a, l, &x, &err));
        assert_ok(mls_capture_stats(b, l, &y, &err));
        assert_int_equal(x.n_block, y.n_block);
        for (size_t i = 0; i < x.n_block; i++)
            assert_close(y.block[i], x.block[i], 2e-7 * (1 + fabs(x.block[i])));
        assert_ok(mls_capture_norms(a, l, &q, &k, &err));
        assert_ok(mls_capture_norms(b, l, &q2, &k2, &err));
        assert_memory_equal(q, q2, 7 * 6 * 32 * sizeof *q);
        assert_memory_equal(k, k2, 7 * 2 * 32 * sizeof *k);
        assert_ok(mls_capture_window(parts[1], l, 1, MLS_WINDOW_K, w1, &err));
        assert_ok(mls_capture_window(b, l, 3, MLS_WINDOW_K, w2, &err));
        assert_memory_equal(w1, w2, sizeof w1);
        free(q);
        free(k);
        free(q2);
        free(k2);
        mls_layer_stats_free(&x);
        mls_layer_stats_free(&y);
    }
    mls_capture *twice[] = {a, parts[1]};
    assert_refused(mls_capture_merge(twice, 2, merged, NULL, NULL, &err), MLS_E_INPUT,
                   "it would count twice");
    mls_capture_close(a);
    mls_capture_close(b);
    mls_capture_close(parts[0]);
    mls_capture_close(parts[1]);
    mls_corpus_free(&all);
    unlink(paths[0]);
    unlink(paths[1]);
    unlink(whole);
    unlink(merged);
}

/* A copy of the demo model with one number of a tensor overwritten. */
static const char *demo_with(const char *tensor, uint64_t element, uint16_t bits)
{
    const char *folder = test_scratch("spoiled");
    static const char *const names[] = {"config.json", "model.safetensors"};
    mls_safetensors *f;

    assert_ok(mls_folder_prepare(folder, &err));
    for (size_t i = 0; i < 2; i++) {
        char *from = mls_path_join(test_source("datasets/demo"), names[i]);
        char *to = mls_path_join(folder, names[i]);
        char *data;
        size_t len;

        assert_ok(mls_file_read(from, 1 << 28, &data, &len, &err));
        assert_ok(mls_file_write(to, data, len, &err));
        if (i == 1) {
            assert_ok(mls_safetensors_open(&f, to, &err));
            const mls_tensor_info *t = mls_safetensors_find(f, tensor);
            assert_non_null(t);
            const int fd = open(to, O_WRONLY);
            assert_int_equal(pwrite(fd, &bits, 2, (off_t)(t->offset + 2 * element)), 2);
            close(fd);
            mls_safetensors_close(f);
        }
        free(data);
        free(from);
        free(to);
    }
    return folder;
}

static void numbers_that_are_not_finite_are_refused_with_their_place(void **state)
{
    enum { NAN_BITS = 0x7FC0, LARGEST = 0x7F7F, E = 256 };
    const char *path = test_scratch("nan.h5");
    mls_corpus corpus = demo_tokens(2, 16);
    /* row 67 of the keys of layer 2: head 1, dimension 3 */
    const char *keys = "model.layers.2.self_attn.k_proj.weight";
    const char *folder = demo_with(keys, 67 * E + 9, NAN_BITS);

    (void)state;
    assert_refused(capture_of(folder, &corpus, path, 2, 0, NULL, &err), MLS_E_INPUT,
                   "k_proj.weight\" holds nan at [67, 9]; a weight must be finite");
    /* a weight that is finite, but not its product with inputs beyond 1 */
    folder = demo_with(keys, 67 * E, LARGEST);
    assert_refused(
        capture_of(folder, &corpus, path, 2, 0, NULL, &err), MLS_E_NUMERIC,
        "layer 2, sequence 0, token 6: the key, head 1, dimension 3 is -inf");
    assert_false(mls_file_exists(path));
    assert_false(mls_folder_exists(test_scratch("nan.h5.part")));
    mls_corpus_free(&corpus);
}

/* -log p of tokens 1 and 2, and of 2 alone where token 0 is not of the text. */
static void what_stands_before_a_text_is_not_scored(void **state)
{
    const char *path[] = {test_scratch("two.h5"), test_scratch("three.h5"),
                          test_scratch("lead.h5")};
    double nll[3];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        mls_corpus corpus = demo_tokens(1, i == 0 ? 2 : 3);
        mls_capture *c;

        corpus.lead = i == 2;
        assert_ok(capture(&corpus, path[i], 2, NULL, &err));
        assert_ok(mls_capture_open(&c, path[i], &err));
        nll[i] = mls_capture_nll(c);
        assert_int_equal(mls_capture_lead(c), corpus.lead);
        mls_capture_close(c);
        mls_corpus_free(&corpus);
    }
    assert_close(2 * nll[1] - nll[0], nll[2], 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stands_before_a_text_is_not_scored),
        cmocka_unit_test(a_capture_of_the_demo_agrees_with_numpy),
        cmocka_unit_test(the_moments_of_keys_and_values_follow_from_those_of_x),
        cmocka_unit_test(windows_show_the_sequences_they_name),
        cmocka_unit_test(the_file_is_the_same_for_any_number_of_threads),
        cmocka_unit_test(merged_captures_are_that_of_the_joined_text),
        cmocka_unit_test(a_random_draw_keeps_whole_sequences_in_order),
        cmocka_unit_test(numbers_that_are_not_finite_are_refused_with_their_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
