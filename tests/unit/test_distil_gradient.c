/*
 * Gradients through norms, MLP and logits against differences in double, and against
 * PyTorch. Under test is the library's source, compiled in double
 * (analysis/heal/real.h); the way forward is written here once more.
 */
#include "tests/support/expect.h"

#include "analysis/distil/block_back.h"
#include "analysis/distil/divergence.h"
#include "tests/support/heal_fixture.h"

enum { T = 5, E = 6, F = 9, V = 13, N = T * E, WEIGHTS = 16 };

typedef struct {
    const char *name;
    mls_norm_kind norm;
    mls_norm_place place;
    bool parallel, one_norm, norm_free, plain, biases;
    mls_act act;
} block_case;

/* As tests/reference/distil.py has them. */
static const block_case cases[] = {
    {.name = "llama", .act = MLS_ACT_SILU},
    {.name = "gemma", .place = MLS_NORM_AROUND, .act = MLS_ACT_GELU_TANH},
    {.name = "olmo2", .place = MLS_NORM_AFTER, .act = MLS_ACT_SILU},
    {.name = "olmo", .norm = MLS_NORM_LAYER, .norm_free = true, .act = MLS_ACT_SILU},
    {.name = "neox",
     .norm = MLS_NORM_LAYER,
     .parallel = true,
     .plain = true,
     .biases = true,
     .act = MLS_ACT_GELU},
    {.name = "cohere",
     .norm = MLS_NORM_LAYER,
     .parallel = true,
     .one_norm = true,
     .act = MLS_ACT_SILU},
    {.name = "relu", .plain = true, .act = MLS_ACT_RELU},
    {.name = "nemotron",
     .norm = MLS_NORM_LAYER,
     .plain = true,
     .biases = true,
     .act = MLS_ACT_RELU2},
};
enum { CASES = sizeof cases / sizeof cases[0] };

/* Weight i of a case, n numbers; norms are near 1. */
static const double *weight(double *room, size_t i, size_t n, bool norm)
{
    for (size_t j = 0; j < n; j++) {
        const double w = sin(1.3 * (double)(j + 1) * ((double)i + 2));

        room[j] = norm ? 1 + 0.3 * w : 0.5 * w;
    }
    return room;
}

typedef struct {
    mls_block b;
    double room[WEIGHTS][F * E];
    double h[N], a[N], d[N], d_a[N], d_h[N];
} checked;

static void begin(checked *c, const block_case *of)
{
    const bool behind = of->place != MLS_NORM_BEFORE, gains = !of->norm_free;
    const bool before = of->place != MLS_NORM_AFTER && gains;
    const bool layer_bias = of->norm == MLS_NORM_LAYER && gains;
    double(*r)[F * E] = c->room;

    *c = (checked){0};
    c->b = (mls_block){.E = E,
                       .F = F,
                       .norm = of->norm,
                       .place = of->place,
                       .parallel = of->parallel,
                       .one_norm = of->one_norm,
                       .norm_free = of->norm_free,
                       .act = of->act,
                       .eps = 1e-3,
                       .up = weight(r[0], 0, F * E, false),
                       .down = weight(r[1], 1, E * F, false)};
    c->b.gate = of->plain ? NULL : weight(r[2], 2, F * E, false);
    c->b.up_bias = of->biases ? weight(r[3], 3, F, false) : NULL;
    c->b.down_bias = of->biases ? weight(r[4], 4, E, false) : NULL;
    c->b.attn_norm = before ? weight(r[5], 5, E, true) : NULL;
    c->b.attn_norm_bias = layer_bias ? weight(r[6], 6, E, false) : NULL;
    c->b.mlp_norm = before && !of->one_norm ? weight(r[7], 7, E, true) : NULL;
    c->b.mlp_norm_bias = layer_bias && !of->one_norm ? weight(r[8], 8, E, false) : NULL;
    c->b.attn_post_norm = behind ? weight(r[9], 9, E, true) : NULL;
    c->b.mlp_post_norm = behind ? weight(r[10], 10, E, true) : NULL;
    for (size_t i = 0; i < N; i++) {
        c->h[i] = heal_wave(i, 0.7);
        c->a[i] = heal_wave(i, 0.4);
        c->d[i] = heal_wave(i, 1.1);
    }
}

/* --- The way forward --- */

static void norm(const mls_block *b, double *y, const double *x, const double *gain,
                 const double *bias)
{
    for (size_t t = 0; t < T; t++) {
        double mean = 0, square = 0;

        for (size_t i = 0; i < E; i++)
            mean += b->norm == MLS_NORM_LAYER ? x[t * E + i] / E : 0;
        for (size_t i = 0; i < E; i++)
            square += (x[t * E + i] - mean) * (x[t * E + i] - mean) / E;
        for (size_t i = 0; i < E; i++)
            y[t * E + i] = !gain && !b->norm_free
                               ? x[t * E + i]
                               : (x[t * E + i] - mean) / sqrt(square + b->eps) *
                                         (gain ? gain[i] : 1) +
                                     (bias ? bias[i] : 0);
    }
}

static double act(mls_act which, double z)
{
    const double pi = acos(-1);

    switch (which) {
    case MLS_ACT_SILU:
        return z / (1 + exp(-z));
    case MLS_ACT_GELU:
        return 0.5 * z * (1 + erf(z / sqrt(2)));
    case MLS_ACT_GELU_TANH:
        return 0.5 * z * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 * z * z * z)));
    case MLS_ACT_RELU:
        return fmax(z, 0);
    default:
        return fmax(z, 0) * fmax(z, 0);
    }
}

static double row(const double *w, const double *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += w[i] * x[i];
    return sum;
}

static void mlp(const mls_block *b, double *y, const double *x)
{
    for (size_t t = 0; t < T; t++) {
        double inner[F];

        for (size_t f = 0; f < F; f++) {
            const double u =
                row(b->up + f * E, x + t * E, E) + (b->up_bias ? b->up_bias[f] : 0);

            inner[f] = b->gate ? act(b->act, row(b->gate + f * E, x + t * E, E)) * u
                               : act(b->act, u);
        }
        for (size_t i = 0; i < E; i++)
            y[t * E + i] =
                row(b->down + i * F, inner, F) + (b->down_bias ? b->down_bias[i] : 0);
    }
}

/* sum d . out; the attention's output is given, not made of h. */
static double loss(const checked *c)
{
    const mls_block *b = &c->b;
    double out[N], x[N], y[N], sum = 0;

    memcpy(x, c->a, sizeof x);
    if (b->place != MLS_NORM_BEFORE)
        norm(b, x, c->a, b->attn_post_norm, NULL);
    for (size_t i = 0; i < N; i++)
        out[i] = c->h[i] + x[i];
    if (b->parallel && b->one_norm)
        norm(b, x, c->h, b->attn_norm, b->attn_norm_bias);
    else
        norm(b, x, b->parallel ? c->h : out, b->mlp_norm, b->mlp_norm_bias);
    mlp(b, y, x);
    memcpy(x, y, sizeof x);
    if (b->place != MLS_NORM_BEFORE)
        norm(b, x, y, b->mlp_post_norm, NULL);
    for (size_t i = 0; i < N; i++)
        sum += (out[i] + x[i]) * c->d[i];
    return sum;
}

static void go_back(checked *c)
{
    double *scratch = calloc(mls_block_back_scratch(&c->b, T), sizeof *scratch);

    mls_block_back(&c->b, c->h, c->a, c->d, T, c->d_a, c->d_h, scratch);
    free(scratch);
}

/* Central difference of f(arg) by *number. */
static double difference(double (*f)(const checked *), const checked *c, double *number)
{
    const double step = 1e-5, kept = *number;
    double above, below;

    *number = kept + step;
    above = f(c);
    *number = kept - step;
    below = f(c);
    *number = kept;
    return (above - below) / (2 * step);
}

static void expect_differences(double (*f)(const checked *), checked *c, double *x,
                               const double *gradient, const char *name)
{
    double top = 0;

    for (size_t i = 0; i < N; i++)
        top = fmax(top, fabs(gradient[i]));
    assert_true(top > 1e-3);
    for (size_t i = 0; i < N; i++) {
        const double want = difference(f, c, &x[i]);

        if (!(fabs(gradient[i] - want) <= 1e-5 * top + 1e-9))
            fail_msg("%s, number %zu: %.12g, difference %.12g", name, i, gradient[i],
                     want);
    }
}

static void a_block_gives_the_differences_of_the_loss(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        checked c;

        begin(&c, &cases[i]);
        go_back(&c);
        expect_differences(loss, &c, c.h, c.d_h, cases[i].name);
        expect_differences(loss, &c, c.a, c.d_a, cases[i].name);
    }
}

/* sum d . norm(h), with which attention begins. */
static double input_loss(const checked *c)
{
    double x[N], sum = 0;

    norm(&c->b, x, c->h, c->b.attn_norm, c->b.attn_norm_bias);
    for (size_t i = 0; i < N; i++)
        sum += x[i] * c->d[i];
    return sum;
}

static void the_input_norm_gives_the_differences_of_the_loss(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        checked c;
        double d_x[N];

        begin(&c, &cases[i]);
        memcpy(d_x, c.d, sizeof d_x);
        mls_block_input_back(&c.b, c.h, d_x, T, c.d_h);
        expect_differences(input_loss, &c, c.h, c.d_h, cases[i].name);
    }
}

/* --- Logits --- */

/* Logits of hidden states, with a cap where the case has norms around (Gemma 2). */
static void logits_of(mls_logits *to, checked *c)
{
    static double w[V * E], bias[V], gain[E];
    const bool capped = c->b.place == MLS_NORM_AROUND;

    for (size_t i = 0; i < V * E; i++)
        w[i] = 0.8 * sin(0.9 * (double)(i + 1));
    *to = (mls_logits){.E = E,
                       .V = V,
                       .norm = c->b.norm,
                       .norm_free = c->b.norm_free,
                       .eps = 1e-3,
                       .scale = capped ? 0.7 : 0,
                       .cap = capped ? 1.5 : 0,
                       .gain = c->b.norm_free ? NULL : weight(gain, 12, E, true),
                       .w = w,
                       .bias = c->b.up_bias ? weight(bias, 13, V, false) : NULL};
}

/* h is the student's states, a the original's. */
static double divergence(const checked *c)
{
    static double scratch[1 << 14];
    checked own = *c;
    mls_logits to;

    logits_of(&to, &own);
    assert_true(mls_divergence_scratch(&to) <= sizeof scratch / sizeof *scratch);
    return 0.25 * mls_divergence(&to, c->a, c->h, T, 0, NULL, scratch);
}

static void divergence_back(checked *c)
{
    static double scratch[1 << 14];
    mls_logits to;

    logits_of(&to, c);
    mls_divergence(&to, c->a, c->h, T, 0.25, c->d_h, scratch);
}

static void the_divergence_gives_its_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        checked c;

        begin(&c, &cases[i]);
        divergence_back(&c);
        expect_differences(divergence, &c, c.h, c.d_h, cases[i].name);
    }
}

static void equal_states_diverge_by_nothing(void **state)
{
    checked c;

    (void)state;
    begin(&c, &cases[1]);
    memcpy(c.a, c.h, sizeof c.a);
    assert_close(divergence(&c), 0, 1e-12);
    divergence_back(&c);
    for (size_t i = 0; i < N; i++)
        assert_close(c.d_h[i], 0, 1e-12);
}

/* --- PyTorch --- */

static void expect_sums(const double *x, const double want[2], const char *name)
{
    double sum = 0, weighted = 0;

    for (size_t i = 0; i < N; i++) {
        sum += x[i];
        weighted += x[i] * cos(0.3 * (double)i);
    }
    if (!(fabs(sum - want[0]) <= 1e-4 * fmax(1e-2, fabs(want[0])) &&
          fabs(weighted - want[1]) <= 1e-4 * fmax(1e-2, fabs(want[1]))))
        fail_msg("%s: %.10g %.10g, PyTorch %.10g %.10g", name, sum, weighted, want[0],
                 want[1]);
}

static void gradients_are_those_of_pytorch(void **state)
{
    FILE *file = fopen(test_source("tests/reference/distil.txt"), "r");
    char line[256], name[64];
    double s[9];
    size_t n = 0;

    (void)state;
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        checked c;

        assert_int_equal(sscanf(line, "%63s %lf %lf %lf %lf %lf %lf %lf %lf %lf", name,
                                &s[0], &s[1], &s[2], &s[3], &s[4], &s[5], &s[6], &s[7],
                                &s[8]),
                         10);
        assert_string_equal(name, cases[n].name);
        begin(&c, &cases[n++]);
        go_back(&c);
        expect_sums(c.d_h, s, name);
        expect_sums(c.d_a, s + 2, name);
        memcpy(c.d_a, c.d, sizeof c.d_a);
        memset(c.d_h, 0, sizeof c.d_h);
        mls_block_input_back(&c.b, c.h, c.d_a, T, c.d_h);
        expect_sums(c.d_h, s + 4, name);
        divergence_back(&c);
        expect_sums(c.d_h, s + 6, name);
        assert_close(divergence(&c), s[8], 1e-6 * s[8]);
    }
    fclose(file);
    assert_int_equal(n, CASES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_gives_the_differences_of_the_loss),
        cmocka_unit_test(the_input_norm_gives_the_differences_of_the_loss),
        cmocka_unit_test(the_divergence_gives_its_differences),
        cmocka_unit_test(equal_states_diverge_by_nothing),
        cmocka_unit_test(gradients_are_those_of_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
