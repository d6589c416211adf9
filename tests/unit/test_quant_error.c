#include "tests/support/quant_fixture.h"

#include "analysis/model/rope.h"
#include "analysis/survey/quant_error.h"
#include "analysis/survey/quant_survey.h"
#include "common/numbers/rng.h"

enum { T = 23, H = 4, G = 2, D = 16 };

typedef struct fixture {
    float q[T * H * D], k[T * G * D], v[T * G * D], cs[T * D];
    mls_quant_window w;
} fixture;

static fixture *make(size_t sliding, bool rotates)
{
    static fixture f;
    mls_rng rng;
    double inv_freq[D / 2];

    mls_rng_seed(&rng, 3, 1);
    for (size_t i = 0; i < T * H * D; i++)
        f.q[i] = (float)mls_rng_normal(&rng);
    for (size_t i = 0; i < T * G * D; i++) {
        f.k[i] = (float)(mls_rng_normal(&rng) * (i % D == 5 ? 6.0 : 1.0));
        f.v[i] = (float)mls_rng_normal(&rng);
    }
    for (size_t c = 0; c < D / 2; c++)
        inv_freq[c] = pow(100.0, -2.0 * (double)c / D);
    mls_rope_table(f.cs, inv_freq, D / 2, T);
    f.w = (mls_quant_window){.T = T,
                             .H = H,
                             .G = G,
                             .D = D,
                             .q = f.q,
                             .k = f.k,
                             .v = f.v,
                             .cs = rotates ? f.cs : NULL,
                             .sliding = sliding};
    return &f;
}

/* One vector of D numbers turned to position t, from the definition. */
static void turn(double *x, size_t t)
{
    for (size_t c = 0; c < D / 2; c++) {
        const double angle = (double)t * pow(100.0, -2.0 * (double)c / D);
        const double a = x[c], b = x[c + D / 2];

        x[c] = a * cos(angle) - b * sin(angle);
        x[c + D / 2] = a * sin(angle) + b * cos(angle);
    }
}

/* Scores of the query of head h at position t, and what it reads; all in double. */
static void attend(const fixture *f, double (*k)[D], double (*v)[D], size_t h, size_t t,
                   double *score, double *out)
{
    const size_t first =
        f->w.sliding && t + 1 > f->w.sliding ? t + 1 - f->w.sliding : 0;
    double q[D], sum = 0.0;

    for (size_t d = 0; d < D; d++)
        q[d] = (double)f->q[(t * H + h) * D + d];
    if (f->w.cs)
        turn(q, t);
    for (size_t d = 0; d < D; d++)
        out[d] = 0.0;
    for (size_t j = 0; j < T; j++)
        score[j] = NAN;
    for (size_t j = first; j <= t; j++) {
        score[j] = 0.0;
        for (size_t d = 0; d < D; d++)
            score[j] += q[d] * k[j][d] / sqrt((double)D);
        sum += exp(score[j]);
    }
    for (size_t j = first; j <= t; j++)
        for (size_t d = 0; d < D; d++)
            out[d] += exp(score[j]) / sum * v[j][d];
}

/* Sum of (a - b)^2 about the mean, over the keys that count. */
static double spread(const double *a, const double *b)
{
    double mean = 0.0, n = 0.0, sum = 0.0;

    for (size_t j = 0; j < T; j++)
        if (!isnan(a[j])) {
            mean += a[j] - b[j];
            n += 1.0;
        }
    for (size_t j = 0; j < T; j++)
        if (!isnan(a[j]))
            sum += pow(a[j] - b[j] - mean / n, 2);
    return sum;
}

static double apart(const double *a, const double *b)
{
    double sum = 0.0;

    for (size_t d = 0; d < D; d++)
        sum += (a[d] - b[d]) * (a[d] - b[d]);
    return sum;
}

/* Everything again for all queries of KV head g, the slow way. */
static mls_quant_sums slow_sums(const fixture *f, size_t g, const mls_quant *quant,
                                mls_quant_stage stage)
{
    static const double nothing[T];
    double k[T][D], v[T][D], k_q[T][D], v_q[T][D];
    float kf[T * D], vf[T * D];
    mls_quant_sums s = {0};

    for (size_t t = 0; t < T; t++)
        for (size_t d = 0; d < D; d++) {
            k[t][d] = (double)f->k[(t * G + g) * D + d];
            v[t][d] = (double)f->v[(t * G + g) * D + d];
            s.key_all += k[t][d] * k[t][d];
            s.value_all += v[t][d] * v[t][d];
        }
    for (size_t t = 0; t < T; t++) {
        if (f->w.cs && stage == MLS_AFTER_ROPE)
            turn(k[t], t);
        for (size_t d = 0; d < D; d++) {
            kf[t * D + d] = (float)k[t][d];
            vf[t * D + d] = (float)v[t][d];
        }
    }
    assert_ok(mls_quant_apply(quant, true, kf, D, T, D, &err));
    assert_ok(mls_quant_apply(quant, false, vf, D, T, D, &err));
    for (size_t t = 0; t < T; t++) {
        for (size_t d = 0; d < D; d++) {
            k_q[t][d] = (double)kf[t * D + d];
            v_q[t][d] = (double)vf[t * D + d];
        }
        s.key_error += apart(k_q[t], k[t]);
        s.value_error += apart(v_q[t], v[t]);
        if (f->w.cs && stage == MLS_BEFORE_ROPE) {
            turn(k[t], t);
            turn(k_q[t], t);
        }
    }
    for (size_t h = g * (H / G); h < (g + 1) * (H / G); h++)
        for (size_t t = 0; t < T; t++) {
            double score[T], score_q[T], o[D], o_k[D], o_v[D], o_kv[D];

            attend(f, k, v_q, h, t, score, o_v);
            attend(f, k, v, h, t, score, o);
            attend(f, k_q, v_q, h, t, score_q, o_kv);
            attend(f, k_q, v, h, t, score_q, o_k);
            for (size_t j = 0; j < T; j++)
                s.scores += !isnan(score[j]);
            s.score_all += spread(score, nothing);
            s.score_error += spread(score_q, score);
            s.output_all += apart(o, nothing);
            s.output_key += apart(o_k, o);
            s.output_value += apart(o_v, o);
            s.output_both += apart(o_kv, o);
        }
    return s;
}

static void assert_near(const char *what, double got, double want)
{
    if (!(fabs(got - want) <= 2e-5 * fabs(want)))
        fail_msg("%s: %.9g, expected %.9g", what, got, want);
}

static void check(size_t sliding, bool rotates)
{
    const mls_quant quant[] = {parsed("int3"), parsed("kivi2/4+8"), parsed("h:int4@2")};
    const fixture *f = make(sliding, rotates);

    for (size_t g = 0; g < G; g++) {
        mls_quant_sums sums[3][MLS_QUANT_STAGES];

        assert_ok(mls_quant_errors(&f->w, g, quant, 3, T, sums[0], &err));
        for (size_t i = 0; i < 3; i++)
            for (int stage = 0; stage < MLS_QUANT_STAGES; stage++) {
                const mls_quant_sums *s = &sums[i][stage];
                const mls_quant_sums want =
                    slow_sums(f, g, &quant[i], (mls_quant_stage)stage);

                assert_near("key_error", s->key_error, want.key_error);
                assert_near("key_all", s->key_all, want.key_all);
                assert_near("value_error", s->value_error, want.value_error);
                assert_near("value_all", s->value_all, want.value_all);
                assert_near("scores", s->scores, want.scores);
                assert_near("score_error", s->score_error, want.score_error);
                assert_near("score_all", s->score_all, want.score_all);
                assert_near("output_all", s->output_all, want.output_all);
                assert_near("output_key", s->output_key, want.output_key);
                assert_near("output_value", s->output_value, want.output_value);
                assert_near("output_both", s->output_both, want.output_both);
            }
    }
}

static void sums_are_those_of_a_slow_attention(void **state)
{
    (void)state;
    check(0, true);
}

static void sums_are_right_without_rotation(void **state)
{
    (void)state;
    check(0, false);
}

static void sums_are_right_in_a_sliding_window(void **state)
{
    (void)state;
    check(7, true);
}

static void sixteen_bits_have_no_error(void **state)
{
    const fixture *f = make(0, true);
    const mls_quant none = {0};
    mls_quant_sums sums[MLS_QUANT_STAGES];

    (void)state;
    assert_ok(mls_quant_errors(&f->w, 1, &none, 1, T, sums, &err));
    assert_close(sums[MLS_AFTER_ROPE].key_error, 0, 0);
    assert_close(sums[MLS_AFTER_ROPE].score_error, 0, 0);
    assert_close(sums[MLS_AFTER_ROPE].output_both, 0, 0);
    assert_close(sums[MLS_BEFORE_ROPE].key_error, 0, 0);
    assert_true(sums[MLS_BEFORE_ROPE].output_all > 0);
}

static void fewer_queries_end_with_the_newest_token(void **state)
{
    const fixture *f = make(0, true);
    const mls_quant none = {0};
    mls_quant_sums one[MLS_QUANT_STAGES], three[MLS_QUANT_STAGES];

    (void)state;
    assert_ok(mls_quant_errors(&f->w, 0, &none, 1, 1, one, &err));
    assert_ok(mls_quant_errors(&f->w, 0, &none, 1, 3, three, &err));
    assert_close(one[0].scores, 2 * T, 0);                      /* two query heads */
    assert_close(three[0].scores, 2 * (T + T - 7 + T - 15), 0); /* 23, 16, 8 keys */
}

static void channel_statistics_by_hand(void **state)
{
    /* ranges 1, 2, 9, 4: widest 9, median 3 */
    const float x[] = {0, 0, 0, 4, 1, 2, 9, 0};
    /* one large number of 8: sqrt(8) rms; a Hadamard rotation makes all equal */
    const float peak[] = {0, 0, 8, 0, 0, 0, 0, 0};
    mls_channel_stats s;

    (void)state;
    assert_ok(mls_channel_stats_of(&s, x, 4, 2, 4, &err));
    assert_close(s.range_ratio, 3.0, 1e-12);
    assert_close(s.first_token, 16.0 / (0.5 * (16 + 86)), 1e-12);
    assert_ok(mls_channel_stats_of(&s, peak, 8, 1, 8, &err));
    assert_close(s.peak, sqrt(8.0), 1e-12);
    assert_close(s.peak_hadamard, 1.0, 1e-6);
}

/* "all" gives no format more bits than its tables have. */
static void every_quantizer_of_all_is_one_that_can_be_named(void **state)
{
    (void)state;
    char name[MLS_QUANT_NAME];
    mls_quant *all, one;
    size_t n;

    assert_ok(mls_quant_list("all", &all, &n, &err));
    assert_true(n > 25);
    for (size_t i = 0; i < n; i++) {
        assert_ok(
            mls_quant_parse(&one, mls_quant_name(&all[i], name, sizeof name), &err));
        assert_int_equal(one.bits, all[i].bits);
    }
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_quantizer_of_all_is_one_that_can_be_named),
        cmocka_unit_test(sums_are_those_of_a_slow_attention),
        cmocka_unit_test(sums_are_right_without_rotation),
        cmocka_unit_test(sums_are_right_in_a_sliding_window),
        cmocka_unit_test(sixteen_bits_have_no_error),
        cmocka_unit_test(fewer_queries_end_with_the_newest_token),
        cmocka_unit_test(channel_statistics_by_hand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
