#include "tests/support/demo.h"

#include <math.h>
#include <stdlib.h>

#include "analysis/latent/sensitivity.h"
#include "analysis/model/rope.h"

enum { LAYER = 3, WINDOWS = 2, LENGTH = 10, D = 64 };

typedef struct {
    double q[LENGTH][D], k[LENGTH][D], v[LENGTH][D];
} one_head;

/* Of one window: query head h and its KV head. */
static void read_head(one_head *x, const demo *d, size_t window, size_t h)
{
    const mls_config *c = mls_model_config(d->model);
    const size_t g = h / (c->H / c->G);
    float *q = malloc(LENGTH * c->H * D * sizeof *q);
    float *k = malloc(2 * LENGTH * c->G * D * sizeof *k), *v = k + LENGTH * c->G * D;

    assert_true(q && k);
    assert_ok(mls_capture_window(d->capture, LAYER, window, MLS_WINDOW_Q, q, &err));
    assert_ok(mls_capture_window(d->capture, LAYER, window, MLS_WINDOW_K, k, &err));
    assert_ok(mls_capture_window(d->capture, LAYER, window, MLS_WINDOW_V, v, &err));
    for (size_t t = 0; t < LENGTH; t++)
        for (size_t i = 0; i < D; i++) {
            x->q[t][i] = (double)q[(t * c->H + h) * D + i];
            x->k[t][i] = (double)k[(t * c->G + g) * D + i];
            x->v[t][i] = (double)v[(t * c->G + g) * D + i];
        }
    free(q);
    free(k);
}

static void turn(double *y, const double *x, const double *freq, double distance)
{
    for (size_t c = 0; c < D / 2; c++) {
        const double t = distance * freq[c];

        y[c] = x[c] * cos(t) - x[c + D / 2] * sin(t);
        y[c + D / 2] = x[c + D / 2] * cos(t) + x[c] * sin(t);
    }
}

/* Attention of query i over 0..i, from scores that depend on the distance alone. */
static void attend(double *a, const one_head *x, const double *freq, size_t i)
{
    double sum = 0, y[D];

    for (size_t j = 0; j <= i; j++) {
        double score = 0;

        turn(y, x->q[i], freq, (double)(i - j));
        for (size_t d = 0; d < D; d++)
            score += y[d] * x->k[j][d];
        sum += a[j] = exp(score / sqrt(D));
    }
    for (size_t j = 0; j <= i; j++)
        a[j] /= sum;
}

/* |W_O,h x|^2 */
static double output_square(const mls_layer *layer, const mls_config *c, size_t h,
                            const double *x)
{
    double sum = 0;

    for (size_t e = 0; e < c->E; e++) {
        double y = 0;

        for (size_t d = 0; d < D; d++)
            y += (double)layer->wo[e * c->H * D + h * D + d] * x[d];
        sum += y * y;
    }
    return sum;
}

/*
 * A key off by e shifts the output of query i by about a_ij (e^T y) W_O (v_j - o_i) /
 * sqrt(D), y the query turned to the key: the mean of squares is e^T key e.
 */
static void keys_and_values_weigh_as_the_definition_says(void **state)
{
    mls_corpus corpus = demo_text(WINDOWS, LENGTH);
    demo d = demo_open(&corpus, WINDOWS);
    const mls_config *c = mls_model_config(d.model);
    mls_layer layer;
    mls_sensitivity s;
    one_head *x = malloc(sizeof *x);
    double freq[D / 2], e[D], key = 0, plain = 0, value = 0;

    (void)state;
    assert_non_null(x);
    assert_ok(mls_model_attention(d.model, LAYER, &layer, &err));
    assert_ok(mls_sensitivity_measure(&s, d.capture, &layer, 0, d.pool, &err));
    mls_layer_frequencies(freq, c, LAYER);
    for (size_t i = 0; i < D; i++)
        e[i] = sin(3.0 + 7.0 * (double)i);
    for (size_t w = 0; w < WINDOWS; w++)
        for (size_t h = 0; h < c->H / c->G; h++) { /* those of KV head 0 */
            read_head(x, &d, w, h);
            for (size_t i = 0; i < LENGTH; i++) {
                double a[LENGTH], o[D] = {0}, change[D], y[D];

                attend(a, x, freq, i);
                for (size_t j = 0; j <= i; j++)
                    for (size_t k = 0; k < D; k++)
                        o[k] += a[j] * x->v[j][k];
                for (size_t j = 0; j <= i; j++) {
                    double off = 0, off_plain = 0;

                    for (size_t k = 0; k < D; k++)
                        change[k] = a[j] * (x->v[j][k] - o[k]) / sqrt(D);
                    turn(y, x->q[i], freq, (double)(i - j));
                    for (size_t k = 0; k < D; k++) {
                        off += e[k] * y[k];
                        off_plain += e[k] * x->q[i][k];
                    }
                    const double moved = output_square(&layer, c, h, change);

                    key += off * off * moved;
                    plain += off_plain * off_plain * moved;
                    value += a[j] * a[j] * output_square(&layer, c, h, e);
                }
            }
        }
    double got[3] = {0};
    for (size_t i = 0; i < D; i++)
        for (size_t j = 0; j < D; j++) {
            got[0] += e[i] * s.key[i * D + j] * e[j];
            got[1] += e[i] * s.key_plain[i * D + j] * e[j];
            got[2] += e[i] * s.value[i * D + j] * e[j];
        }
    const double queries = WINDOWS * LENGTH;
    assert_close(got[0] / (key / queries), 1, 1e-4);
    assert_close(got[1] / (plain / queries), 1, 1e-4);
    assert_close(got[2] / (value / queries), 1, 1e-4);
    free(x);
    mls_sensitivity_free(&s);
    mls_layer_free(&layer);
    demo_close(&d);
    mls_corpus_free(&corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_and_values_weigh_as_the_definition_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
