/* All layers together: the gradient is the loss's, it falls, a stop changes nothing. */
#include "tests/support/expect.h"
#include "tests/support/random_model.h"

#include "analysis/distil/distil_inner.h"
#include "analysis/numeric/blas.h"
#include "common/system/files.h"

enum { TOKENS = 24, WINDOWS = 12, HELD = 4, L = MLS_RANDOM_L };

typedef struct {
    mls_model *model;
    mls_pool *pool;
    mls_corpus corpus;
    mls_states original;
    mls_latent_form form[L];
    mls_progress progress;
    int steps_left; /* until somebody stops it */
    bool fixed[L];
    char keep[1200];
    mls_distil_job job;
} lesson;

static void make_corpus(mls_corpus *c, mls_rng *rng)
{
    *c = (mls_corpus){.N = WINDOWS, .n_ids = WINDOWS * TOKENS};
    c->ids = calloc(c->n_ids, sizeof *c->ids);
    c->start = calloc(WINDOWS + 1, sizeof *c->start);
    for (size_t i = 0; i < c->n_ids; i++)
        c->ids[i] = (int32_t)mls_rng_below(rng, MLS_RANDOM_V);
    for (size_t i = 0; i <= WINDOWS; i++)
        c->start[i] = i * TOKENS;
}

/* The original's attention, each number off by about a third of its size. */
static void make_forms(lesson *s)
{
    mls_rng rng;

    mls_rng_seed(&rng, 6, 1);
    for (size_t l = 0; l < L; l++) {
        mls_layer layer;
        mls_parameters p;

        assert_ok(mls_model_layer(s->model, l, &layer, &err));
        assert_ok(
            mls_latent_identity(&s->form[l], mls_model_config(s->model), &layer, &err));
        assert_ok(mls_parameters_of(&p, &s->form[l], &err));
        for (size_t a = 0; a < p.n_arrays; a++)
            for (size_t i = 0; i < p.array[a].rows * p.array[a].cols; i++)
                p.array[a].at[i] *= (float)(1 + 0.3 * mls_rng_normal(&rng));
        mls_parameters_free(&p);
        mls_layer_free(&layer);
    }
}

static void run_original(lesson *s)
{
    mls_own_attention plain;

    assert_ok(mls_states_embed(&s->original, s->model, &s->corpus, &err));
    assert_ok(
        mls_own_attention_new(&plain, mls_model_config(s->model), TOKENS, 1, &err));
    for (size_t l = 0; l < L; l++) {
        mls_layer layer;
        mls_pool *one;

        assert_ok(mls_pool_new(&one, 1, &err));
        assert_ok(mls_model_layer(s->model, l, &layer, &err));
        plain.layer = &layer;
        assert_ok(mls_layer_forward(mls_model_config(s->model), &layer, &s->original,
                                    mls_own_attention_run, &plain, one, &err));
        mls_layer_free(&layer);
        mls_pool_free(one);
    }
    mls_own_attention_free(&plain);
}

static bool asked_to_stop(void *arg)
{
    lesson *s = arg;

    return s->steps_left-- == 0;
}

static void ignore_step(void *arg, const char *what, double done, double total)
{
    (void)arg;
    (void)what;
    (void)done;
    (void)total;
}

static void begin(lesson *s, const char *name, size_t threads)
{
    const mls_random_shape shape = {
        .name = "distil", .type = "qwen2", .H = 4, .G = 2, .D = 8, .biases = true};
    mls_rng rng;

    mls_blas_single_thread();
    *s = (lesson){.steps_left = -1};
    mls_rng_seed(&rng, 4, 4);
    random_model(test_scratch("distil"), &shape, &rng);
    assert_ok(mls_model_open(&s->model, test_scratch("distil"), &err));
    assert_ok(mls_pool_new(&s->pool, threads, &err));
    make_corpus(&s->corpus, &rng);
    make_forms(s);
    run_original(s);
    snprintf(s->keep, sizeof s->keep, "%s", test_scratch(name));
    remove(s->keep);
    s->progress =
        (mls_progress){.arg = s, .step = ignore_step, .stopped = asked_to_stop};
    s->job = (mls_distil_job){.model = s->model,
                              .pool = s->pool,
                              .corpus = &s->corpus,
                              .original = &s->original,
                              .n_held = HELD,
                              .fixed = s->fixed,
                              .steps = 16,
                              .batch = 3,
                              .rate = 0.03,
                              .damping = 1,
                              .keep = s->keep,
                              .identity = name,
                              .progress = &s->progress};
}

static void end(lesson *s)
{
    for (size_t l = 0; l < L; l++)
        mls_latent_free(&s->form[l]);
    mls_states_free(&s->original);
    mls_corpus_free(&s->corpus);
    mls_pool_free(s->pool);
    mls_model_close(s->model);
    remove(s->keep);
}

/* The forms as they were; the place of the run stays. */
static void begin_again(lesson *s)
{
    for (size_t l = 0; l < L; l++)
        mls_latent_free(&s->form[l]);
    make_forms(s);
    s->steps_left = -1;
}

static double sum_of(const mls_distilling *k, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += k->kl[i];
    return sum / (double)(n * k->T);
}

/* Mean divergence when all of a layer's numbers have moved by step * gradient. */
static double moved(mls_distilling *k, size_t l, const float *gradient, double step)
{
    mls_distil_layer *a = &k->layer[l];
    double kl;

    for (size_t i = 0; i < a->p.n; i++)
        a->theta[i] += (float)(step * (double)gradient[i]);
    mls_parameters_scatter(&a->p, a->theta);
    k->back = false;
    assert_ok(mls_distil_pass(k, 2, &err));
    kl = sum_of(k, 2);
    memcpy(a->theta, a->best, a->p.n * sizeof *a->theta);
    mls_parameters_scatter(&a->p, a->theta);
    return kl;
}

/* Along its gradient g, the loss grows by |g|^2; in float, so to a few thousandths. */
static void the_gradient_is_that_of_the_whole_model(void **state)
{
    lesson s;
    mls_distilled out = {0};

    (void)state;
    begin(&s, "gradient", 2);
    mls_distilling k = {.job = &s.job,
                        .config = mls_model_config(s.model),
                        .form = s.form,
                        .out = &out,
                        .T = TOKENS,
                        .E = MLS_RANDOM_E,
                        .L = L,
                        .n_train = WINDOWS - HELD,
                        .batch = 2,
                        .n_sums = 2,
                        .keep_weights = true};
    assert_ok(mls_distilling_new(&k, &err));
    k.window[0] = 5;
    k.window[1] = 1;
    for (size_t l = 0; l < L; l++) {
        const size_t n = k.layer[l].p.n;
        float *gradient = calloc(n, sizeof *gradient);
        double square = 0, step;

        k.back = true;
        assert_ok(mls_distil_pass(&k, 2, &err));
        memcpy(gradient, k.layer[l].gradient, n * sizeof *gradient);
        for (size_t i = 0; i < n; i++)
            square += (double)gradient[i] * (double)gradient[i];
        assert_true(square > 1e-8);
        step = 0.01 / sqrt(square);
        assert_close((moved(&k, l, gradient, step) - moved(&k, l, gradient, -step)) /
                         (2 * step),
                     square, 5e-3 * square);
        free(gradient);
    }
    mls_distilling_free(&k);
    end(&s);
}

static void the_divergence_falls(void **state)
{
    mls_distilled out;
    lesson s;

    (void)state;
    begin(&s, "falls", 2);
    assert_ok(mls_distil(&out, s.form, &s.job, &err));
    assert_int_equal(out.steps, 16);
    assert_true(out.held_after < 0.85 * out.held_before);
    assert_true(out.train_after < 0.5 * out.train_before);
    assert_int_equal(out.n_points, MLS_DISTIL_POINTS);
    for (size_t l = 0; l < L; l++)
        assert_ok(mls_latent_check(&s.form[l], &err));
    end(&s);
}

static void steps_too_large_leave_no_harm(void **state)
{
    mls_distilled out;
    lesson s;

    (void)state;
    begin(&s, "large", 2);
    s.job.rate = 1;
    assert_ok(mls_distil(&out, s.form, &s.job, &err));
    assert_true(out.held_after <= out.held_before);
    assert_true(out.rate < 1);
    end(&s);
}

static void a_form_that_is_fixed_stays(void **state)
{
    mls_distilled out;
    lesson s;
    float before[64], other[64];

    (void)state;
    begin(&s, "fixed", 2);
    s.fixed[0] = true;
    memcpy(before, s.form[0].query.w, sizeof before);
    memcpy(other, s.form[1].query.w, sizeof other);
    assert_ok(mls_distil(&out, s.form, &s.job, &err));
    assert_true(out.best > 0);
    assert_memory_equal(before, s.form[0].query.w, sizeof before);
    assert_memory_not_equal(other, s.form[1].query.w, sizeof other);
    end(&s);
}

static void expect_same_forms(const lesson *a, const lesson *b)
{
    for (size_t l = 0; l < L; l++) {
        mls_parameters p, q;

        assert_ok(mls_parameters_of(&p, &a->form[l], &err));
        assert_ok(mls_parameters_of(&q, &b->form[l], &err));
        for (size_t i = 0; i < p.n_arrays; i++)
            assert_memory_equal(p.array[i].at, q.array[i].at,
                                p.array[i].rows * p.array[i].cols * sizeof(float));
        mls_parameters_free(&p);
        mls_parameters_free(&q);
    }
}

static void threads_and_a_stop_change_nothing(void **state)
{
    mls_distilled of_one, of_three;
    lesson one, three;

    (void)state;
    begin(&one, "one", 1);
    begin(&three, "three", 3);
    assert_ok(mls_distil(&of_one, one.form, &one.job, &err));

    /* Stopped after seven steps; begun again from the forms that it was given. */
    three.steps_left = 7;
    assert_int_equal(mls_distil(&of_three, three.form, &three.job, NULL),
                     MLS_E_STOPPED);
    assert_true(mls_file_exists(three.keep));
    begin_again(&three);
    assert_ok(mls_distil(&of_three, three.form, &three.job, &err));
    expect_same_forms(&one, &three);
    assert_memory_equal(&of_one, &of_three, sizeof of_one);
    end(&one);
    end(&three);
}

static void a_place_of_another_run_is_not_taken(void **state)
{
    mls_distilled first, second;
    lesson s;

    (void)state;
    begin(&s, "place", 2);
    assert_ok(mls_distil(&first, s.form, &s.job, &err));
    begin_again(&s);
    s.job.identity = "another";
    assert_ok(mls_distil(&second, s.form, &s.job, &err));
    assert_memory_equal(&first, &second, sizeof first);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gradient_is_that_of_the_whole_model),
        cmocka_unit_test(the_divergence_falls),
        cmocka_unit_test(steps_too_large_leave_no_harm),
        cmocka_unit_test(a_form_that_is_fixed_stays),
        cmocka_unit_test(threads_and_a_stop_change_nothing),
        cmocka_unit_test(a_place_of_another_run_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
