/* Healing a layer: the pass is the form, losses fall, threads change nothing. */
#include "tests/support/heal_fixture.h"

#include "analysis/heal/layer.h"
#include "analysis/heal/pass.h"
#include "analysis/heal/shared_cache.h"
#include "analysis/numeric/blas.h"
#include "common/numbers/rng.h"

enum { WINDOWS = 12, TOKENS = HEAL_T * HEAL_E };

/* Windows of noise whose outputs a second form of the case made. */
typedef struct {
    float x[WINDOWS * TOKENS], target[WINDOWS * TOKENS];
    mls_heal_windows windows;
    mls_pool *pool;
} lesson;

static void run_form(const mls_latent_form *f, const float *x, bool absorbed,
                     float *out)
{
    mls_latent_runner *r;

    assert_ok(mls_latent_runner_new(&r, HEAL_T, 1, absorbed, &err));
    assert_ok(mls_latent_runner_set(r, f, NULL, &err));
    assert_ok(mls_latent_attention(r, 0, 0, x, HEAL_T, out, NULL, &err));
    mls_latent_runner_free(r);
}

/* Every array of the form moved by noise of a tenth of its numbers' size. */
static void disturb(mls_latent_form *f)
{
    mls_parameters p;
    mls_rng rng;

    mls_rng_seed(&rng, 3, 1);
    assert_ok(mls_parameters_of(&p, f, &err));
    for (size_t a = 0; a < p.n_arrays; a++)
        for (size_t i = 0; i < p.array[a].rows * p.array[a].cols; i++)
            p.array[a].at[i] += (float)(0.1 * mls_rng_normal(&rng));
    mls_parameters_free(&p);
}

static void begin(lesson *s, const heal_case *c, size_t threads)
{
    mls_latent_form teacher;
    mls_rng rng;

    mls_blas_single_thread();
    mls_rng_seed(&rng, 8, 0);
    for (size_t i = 0; i < WINDOWS * TOKENS; i++)
        s->x[i] = (float)mls_rng_normal(&rng);
    heal_form(&teacher, c);
    for (size_t i = 0; i < WINDOWS; i++)
        run_form(&teacher, s->x + i * TOKENS, false, s->target + i * TOKENS);
    mls_latent_free(&teacher);
    s->windows = (mls_heal_windows){.n = WINDOWS,
                                    .n_held = 4,
                                    .T = HEAL_T,
                                    .E = HEAL_E,
                                    .x = s->x,
                                    .target = s->target};
    assert_ok(mls_pool_new(&s->pool, threads, &err));
}

static const mls_heal_options few_steps = {.steps = 60,
                                           .batch = 5,
                                           .rate = 0.03,
                                           .damping = 0.01,
                                           .what = "healing",
                                           .total = 1};

static void the_pass_computes_what_the_runner_computes(void **state)
{
    (void)state;
    for (size_t i = 0; i < HEAL_CASES; i++)
        for (int quantized = 0; quantized < 2; quantized++) {
            mls_latent_form f;
            mls_parameters p;
            mls_heal_pass *pass;
            float x[TOKENS], out[TOKENS], want[TOKENS], *theta;

            if (heal_cases[i].shares)
                continue;
            heal_form(&f, &heal_cases[i]);
            for (size_t l = 0; quantized && l < f.n_latents; l++)
                assert_ok(mls_quant_parse(&f.latent[l].quant, "int4", &err));
            assert_ok(mls_parameters_of(&p, &f, &err));
            assert_ok(mls_heal_pass_new(&pass, &f, &p, HEAL_T, &err));
            theta = calloc(p.n, sizeof *theta);
            mls_parameters_gather(&p, theta);
            for (size_t j = 0; j < TOKENS; j++)
                x[j] = (float)heal_wave(j, 0.7);
            assert_ok(
                mls_heal_pass_forward(pass, theta, x, HEAL_T, NULL, NULL, out, &err));
            for (int absorbed = 0; absorbed < 2; absorbed++) {
                run_form(&f, x, absorbed, want);
                for (size_t j = 0; j < TOKENS; j++)
                    assert_close((double)out[j], (double)want[j], 2e-5);
            }
            free(theta);
            mls_heal_pass_free(pass);
            mls_parameters_free(&p);
            mls_latent_free(&f);
        }
}

static void a_disturbed_form_is_healed(void **state)
{
    (void)state;
    for (size_t i = 0; i < HEAL_CASES; i++) {
        mls_latent_form f;
        mls_healed healed;
        lesson s;

        if (heal_cases[i].shares)
            continue;
        begin(&s, &heal_cases[i], 2);
        heal_form(&f, &heal_cases[i]);
        disturb(&f);
        assert_ok(mls_heal_layer(&f, &s.windows, &few_steps, s.pool, &healed, &err));
        assert_false(healed.kept);
        if (!(healed.held_after < 0.8 * healed.held_before))
            fail_msg("%s: %g -> %g", heal_cases[i].name, healed.held_before,
                     healed.held_after);
        assert_true(healed.train_after < healed.train_before);
        assert_ok(mls_latent_check(&f, &err));
        mls_latent_free(&f);
        mls_pool_free(s.pool);
    }
}

static void what_is_reported_is_the_loss_of_the_form(void **state)
{
    mls_latent_form f;
    mls_healed healed;
    double loss = 0, power = 0;
    lesson s;

    (void)state;
    begin(&s, &heal_cases[1], 1);
    heal_form(&f, &heal_cases[1]);
    disturb(&f);
    assert_ok(mls_heal_layer(&f, &s.windows, &few_steps, s.pool, &healed, &err));
    for (size_t i = WINDOWS - 4; i < WINDOWS; i++) {
        float out[TOKENS];

        run_form(&f, s.x + i * TOKENS, true, out);
        for (size_t j = 0; j < TOKENS; j++) {
            const double target = (double)s.target[i * TOKENS + j];

            loss += ((double)out[j] - target) * ((double)out[j] - target);
            power += target * target;
        }
    }
    assert_close(healed.held_after, loss / power, 1e-4 * loss / power);
    mls_latent_free(&f);
    mls_pool_free(s.pool);
}

static void any_number_of_threads_gives_the_same_numbers(void **state)
{
    float first[4096];

    (void)state;
    for (size_t threads = 1; threads <= 3; threads++) {
        mls_latent_form f;
        mls_parameters p;
        mls_healed healed;
        float theta[4096];
        lesson s;

        begin(&s, &heal_cases[1], threads);
        heal_form(&f, &heal_cases[1]);
        disturb(&f);
        assert_ok(mls_heal_layer(&f, &s.windows, &few_steps, s.pool, &healed, &err));
        assert_ok(mls_parameters_of(&p, &f, &err));
        assert_true(p.n <= 4096);
        mls_parameters_gather(&p, threads == 1 ? first : theta);
        if (threads > 1)
            assert_memory_equal(theta, first, p.n * sizeof *first);
        mls_parameters_free(&p);
        mls_latent_free(&f);
        mls_pool_free(s.pool);
    }
}

static void a_form_that_is_right_stays_as_it_is(void **state)
{
    mls_latent_form f, same;
    mls_healed healed;
    lesson s;

    (void)state;
    begin(&s, &heal_cases[0], 1);
    heal_form(&f, &heal_cases[0]);
    heal_form(&same, &heal_cases[0]);
    memset(s.target, 0, sizeof s.target);
    for (size_t i = 0; i < WINDOWS; i++)
        run_form(&f, s.x + i * TOKENS, false, s.target + i * TOKENS);
    assert_ok(mls_heal_layer(&f, &s.windows, &few_steps, s.pool, &healed, &err));
    assert_true(healed.held_after <= healed.held_before);
    assert_true(healed.train_after <= healed.train_before);
    if (healed.kept)
        assert_memory_equal(f.query.w, same.query.w, HEAL_E * sizeof(float));
    mls_latent_free(&f);
    mls_latent_free(&same);
    mls_pool_free(s.pool);
}

static void a_form_that_shares_a_cache_is_healed_on_it(void **state)
{
    const heal_case *giver = &heal_cases[2], *taker = &heal_cases[HEAL_CASES - 1];
    mls_latent_form below, f, teacher;
    mls_shared_cache cache;
    mls_healed healed;
    mls_parameters p;
    mls_heal_pass *pass;
    float *theta;
    size_t n_keys, n_values;
    lesson s;

    (void)state;
    begin(&s, giver, 2);
    heal_form(&below, giver);
    assert_ok(
        mls_shared_cache_make(&cache, &below, s.x, WINDOWS, HEAL_T, s.pool, &err));
    heal_form(&teacher, taker);
    assert_ok(mls_parameters_of(&p, &teacher, &err));
    assert_ok(mls_heal_pass_new(&pass, &teacher, &p, HEAL_T, &err));
    theta = calloc(p.n, sizeof *theta);
    mls_parameters_gather(&p, theta);
    mls_heal_pass_keys(pass, &n_keys);
    mls_heal_pass_values(pass, &n_values);
    for (size_t i = 0; i < WINDOWS; i++)
        assert_ok(mls_heal_pass_forward(
            pass, theta, s.x + i * TOKENS, HEAL_T, cache.keys + i * n_keys,
            cache.values + i * n_values, s.target + i * TOKENS, &err));
    heal_form(&f, taker);
    disturb(&f);
    s.windows.keys = cache.keys;
    s.windows.values = cache.values;
    assert_ok(mls_heal_layer(&f, &s.windows, &few_steps, s.pool, &healed, &err));
    assert_true(healed.held_after < 0.5 * healed.held_before);
    /* What it does not use stays: its own cache. */
    assert_memory_equal(f.latent[0].down.w, teacher.latent[0].down.w,
                        5 * HEAL_E * sizeof(float));
    free(theta);
    mls_heal_pass_free(pass);
    mls_parameters_free(&p);
    mls_shared_cache_free(&cache);
    mls_latent_free(&below);
    mls_latent_free(&teacher);
    mls_latent_free(&f);
    mls_pool_free(s.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pass_computes_what_the_runner_computes),
        cmocka_unit_test(a_disturbed_form_is_healed),
        cmocka_unit_test(what_is_reported_is_the_loss_of_the_form),
        cmocka_unit_test(any_number_of_threads_gives_the_same_numbers),
        cmocka_unit_test(a_form_that_is_right_stays_as_it_is),
        cmocka_unit_test(a_form_that_shares_a_cache_is_healed_on_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
