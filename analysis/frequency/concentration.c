/*
 * What a head hears by distance (TriAttention, arXiv 2604.04921). Before RoPE, chunk
 * f of a query is a point of the plane; its mean resultant length R_f = |E q_f| /
 * E|q_f| is 1 where all queries point one way and 0 where they point everywhere.
 * Where R is near 1 for q and k, the logit at distance d is nearly that of the means,
 *
 *   logit(d) = sum_f |E q_f| |E k_f| cos(w_f d + arg E q_f - arg E k_f) / sqrt(D)
 *
 * and its correlation with the true mean logits says how much of the head's hearing
 * is position alone. Heads whose attention lies on the first token are sinks, on the
 * last few tokens local, far away long-range: fast chunks matter to local ones, slow
 * ones to the others.
 */
#include "analysis/frequency/concentration.h"

#include <math.h>
#include <stdlib.h>

#include "analysis/frequency/layer_windows.h"
#include "analysis/model/rope.h"
#include "common/base/checked.h"

enum { NEAR = 8, QUERIES = 32 }; /* tokens that are near; queries of a window */

size_t mls_distances(size_t out[MLS_DISTANCES], size_t most)
{
    size_t n = 0;

    for (size_t d = 1; d <= most && n < MLS_DISTANCES;) {
        size_t octave = 1;

        out[n++] = d;
        while (2 * octave <= d)
            octave *= 2;
        d += octave >= 4 ? octave / 4 : 1;
    }
    return n;
}

void mls_concentration(double *r, const double *mean, const double *norm, size_t C)
{
    for (size_t c = 0; c < C; c++)
        r[c] = norm[c] > 0 ? hypot(mean[c], mean[c + C]) / norm[c] : (double)NAN;
}

void mls_distance_curve(double *out, const double *q, const double *k,
                        const double *inv_freq, size_t C, const size_t *distance,
                        size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = 0;
        for (size_t c = 0; c < C; c++) {
            const double length = hypot(q[c], q[c + C]) * hypot(k[c], k[c + C]);
            const double phase = atan2(q[c + C], q[c]) - atan2(k[c + C], k[c]);

            out[i] += length * cos(inv_freq[c] * (double)distance[i] + phase);
        }
        out[i] /= sqrt(2.0 * (double)C);
    }
}

/* Before softmax, of query i and key j of one head. */
static double logit(const mls_chunk_window *w, size_t h, size_t i, size_t j)
{
    const size_t D = w->D, C = D / 2, g = h / (w->H / w->G);
    const float *q = w->q + (i * w->H + h) * D, *k = w->k + (j * w->G + g) * D;
    double sum = 0;

    for (size_t c = 0; c < C; c++) {
        const double a = (double)q[c], b = (double)q[c + C];
        const double x = (double)k[c], y = (double)k[c + C];
        const double angle = w->inv_freq[c] * (double)(i - j);

        sum += (a * x + b * y) * cos(angle) + (a * y - b * x) * sin(angle);
    }
    return sum / sqrt((double)D);
}

/* The same for many pairs of one distance: sums over pairs first, angles once. */
void mls_distance_logits(double *out, const mls_chunk_windows *set, size_t h,
                         const size_t *distance, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const size_t d = distance[i];
        double sum = 0, pairs = 0;

        for (size_t s = 0; s < set->n; s++) {
            const mls_chunk_window *w = &set->window[s];
            const size_t D = w->D, C = D / 2, g = h / (w->H / w->G);

            for (size_t c = 0; c < C; c++) {
                double same = 0, cross = 0;

                for (size_t j = 0; j + d < w->T; j++) {
                    const float *q = w->q + ((j + d) * w->H + h) * D;
                    const float *k = w->k + (j * w->G + g) * D;

                    same += (double)(q[c] * k[c] + q[c + C] * k[c + C]);
                    cross += (double)(q[c] * k[c + C] - q[c + C] * k[c]);
                }
                sum += same * cos(w->inv_freq[c] * (double)d) +
                       cross * sin(w->inv_freq[c] * (double)d);
            }
            if (d < w->T)
                pairs += (double)(w->T - d);
        }
        out[i] = sum / pairs / sqrt((double)set->window[0].D);
    }
}

double mls_curve_correlation(const double *a, const double *b, size_t n)
{
    double mean_a = 0, mean_b = 0, aa = 0, bb = 0, ab = 0;

    for (size_t i = 0; i < n; i++) {
        mean_a += a[i] / (double)n;
        mean_b += b[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        aa += (a[i] - mean_a) * (a[i] - mean_a);
        bb += (b[i] - mean_b) * (b[i] - mean_b);
        ab += (a[i] - mean_a) * (b[i] - mean_b);
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : (double)NAN;
}

/* Softmax of query i's logits, in place. */
static void attention_row(double *p, const mls_chunk_window *w, size_t h, size_t i)
{
    const size_t first = mls_chunk_first_key(w, i);
    double top = -INFINITY, sum = 0;

    for (size_t j = 0; j <= i; j++) {
        p[j] = j < first ? -(double)INFINITY : logit(w, h, i, j);
        top = fmax(top, p[j]);
    }
    for (size_t j = 0; j <= i; j++) {
        p[j] = exp(p[j] - top);
        sum += p[j];
    }
    for (size_t j = 0; j <= i; j++)
        p[j] /= sum;
}

mls_status mls_head_reach(mls_reach *out, const mls_chunk_windows *set, size_t h,
                          mls_err *err)
{
    const size_t T = set->window[0].T, from = T / 2;
    const size_t step = (T - from + QUERIES - 1) / QUERIES;
    double *p = mls_calloc3(T, 1, 1, sizeof *p);
    size_t rows = 0;

    *out = (mls_reach){0};
    if (!p)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a row of attention");
    for (size_t s = 0; s < set->n; s++)
        for (size_t i = from; i < T; i += step, rows++) {
            attention_row(p, &set->window[s], h, i);
            out->first += p[0];
            for (size_t j = 1; j <= i; j++) {
                if (i - j < NEAR)
                    out->near += p[j];
                if (i - j >= T / 4)
                    out->far += p[j];
            }
            out->even += (double)(i - T / 4) / (double)(i + 1);
        }
    out->first /= (double)rows;
    out->near /= (double)rows;
    out->far /= (double)rows;
    out->even /= (double)rows;
    free(p);
    return MLS_OK;
}

const char *mls_reach_name(const mls_reach *r)
{
    if (r->first > 0.5)
        return "sink";
    if (r->near > 0.5)
        return "local";
    if (r->far > 0.5)
        return r->far > r->even ? "long-range" : "diffuse";
    return "";
}

typedef struct {
    const mls_layer_stats *s;
    const mls_layer_windows *w;
    const double *inv_freq;
    mls_hearing *out;
    size_t layer;
} work;

static mls_status hear(void *arg, size_t h, size_t worker, mls_err *err)
{
    const work *w = arg;
    const mls_layer_stats *s = w->s;
    mls_hearing *out = w->out;
    const size_t C = s->C, D = s->D, g = h / (s->H / s->G), n = out->n;
    const size_t at = w->layer * out->H + h;
    mls_heard *head = &out->head[at];
    double r_q[MLS_DIM_MAX / 2], r_k[MLS_DIM_MAX / 2], weight = 0, strongest = -1;

    (void)worker;
    mls_concentration(r_q, s->q_mean + h * D, s->q_norm + h * C, C);
    mls_concentration(r_k, s->k_mean + g * D, s->k_norm + g * C, C);
    *head = (mls_heard){0};
    for (size_t c = 0; c < C; c++) {
        const double x = s->q_norm[h * C + c] * s->k_norm[g * C + c];

        if (!(x > 0))
            continue;
        weight += x;
        head->r_q += x * r_q[c];
        head->r_k += x * r_k[c];
        if (x > strongest) {
            strongest = x;
            head->r_strongest = r_q[c];
        }
    }
    head->r_q /= weight;
    head->r_k /= weight;
    mls_distance_curve(out->predicted + at * n, s->q_mean + h * D, s->k_mean + g * D,
                       w->inv_freq, C, out->distance, n);
    mls_distance_logits(out->logit + at * n, &w->w->set, h, out->distance, n);
    head->correlation =
        mls_curve_correlation(out->predicted + at * n, out->logit + at * n, n);
    return mls_head_reach(&head->reach, &w->w->set, h, err);
}

void mls_hearing_free(mls_hearing *h)
{
    mls_free_all(h->head, h->predicted, h->logit);
    *h = (mls_hearing){0};
}

mls_status mls_hearing_run(mls_hearing *out, mls_capture *capture, mls_pool *pool,
                           const mls_progress *progress, mls_err *err)
{
    const mls_config *c = mls_capture_config(capture);
    const size_t T = mls_capture_window_length(capture);
    double inv_freq[MLS_DIM_MAX / 2];
    mls_status st = MLS_OK;

    *out = (mls_hearing){.L = c->L, .H = c->H, .T = T};
    out->n = mls_distances(out->distance, T / 2);
    out->head = mls_calloc3(c->L, c->H, 1, sizeof *out->head);
    out->predicted = mls_calloc3(c->L * c->H, out->n, 1, sizeof *out->predicted);
    out->logit = mls_calloc3(c->L * c->H, out->n, 1, sizeof *out->logit);
    if (!out->head || !out->predicted || !out->logit)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for curves of %zu heads", c->H);
    for (size_t l = 0; !st && l < c->L; l++) {
        mls_layer_stats stats = {0};
        mls_layer_windows windows = {0};
        work w = {&stats, &windows, inv_freq, out, l};

        if (c->layer[l].no_rope) {
            for (size_t h = 0; h < c->H; h++)
                out->head[l * c->H + h] =
                    (mls_heard){NAN, NAN, NAN, NAN, {NAN, NAN, NAN, NAN}};
            continue;
        }
        mls_layer_frequencies(inv_freq, c, l);
        st = mls_progress_step(progress, "hearing", (double)l, (double)c->L, err);
        if (!st)
            st = mls_capture_stats(capture, l, &stats, err);
        if (!st)
            st = mls_layer_windows_load(&windows, capture, l, NULL,
                                        mls_capture_windows(capture), false, 0, err);
        if (!st)
            st = mls_pool_run(pool, c->H, hear, &w, err);
        mls_layer_windows_free(&windows);
        mls_layer_stats_free(&stats);
    }
    if (st)
        mls_hearing_free(out);
    return st;
}
