/*
 * Two layers on the same tokens. With Y_a, Y_b (tokens, m) of the layers, a cache that
 * both share is a set of columns: vectors over tokens. Layer a's leading ones are
 * U_a = Y_a V_a S_a^-1 (its SVD at the rank r_a of 95 % of the energy), and the cosines
 * of the principal angles between the spans of U_a and U_b are the singular values of
 *
 *   U_a^T U_b = S_a^-1 V_a^T (Y_a^T Y_b) V_b S_b^-1
 *
 * (Bjorck and Golub 1973), so the moment of [y_a; y_b] alone gives them. Its own rank,
 * both layers scaled to energy 1, is what xKV and CommonKV would keep for the two; it
 * lies between the larger of the two ranks and their sum.
 */
#include "analysis/spectrum/neighbours.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/linalg.h"
#include "analysis/spectrum/outputs.h"
#include "common/base/checked.h"

enum { MATRICES = 3, FIGURES = 4 /* pooled, overlap, angle, largest */ };

static const mls_matrix matrices[MATRICES] = {MLS_MATRIX_K, MLS_MATRIX_K_ROT,
                                              MLS_MATRIX_V};

/* One matrix of one pair. */
typedef struct {
    mls_outputs a, b; /* as loaded */
    mls_window_moments moments;
    mls_neighbours_row *row;
} pair;

typedef struct {
    pair *pair; /* (layers at once, MATRICES) */
    size_t draws;
    uint64_t seed;
} work;

/* Block (i, j) of a joint moment, divided by the energies of both layers. */
static void block_of(double *out, const double *joint, size_t m, size_t i, size_t j)
{
    double energy[2] = {0, 0};

    for (size_t d = 0; d < 2 * m; d++)
        energy[d / m] += joint[d * 2 * m + d];
    for (size_t r = 0; r < m; r++)
        for (size_t c = 0; c < m; c++)
            out[r * m + c] =
                joint[(i * m + r) * 2 * m + j * m + c] / sqrt(energy[i] * energy[j]);
}

/* Leading directions over their singular values: rows of w (r, m), r = its rank. */
static mls_status whitener(double *w, size_t *r, const double *second, size_t m,
                           double *lambda, mls_err *err)
{
    const mls_status st = mls_eigen(second, m, lambda, w, err);

    if (st)
        return st;
    for (size_t i = 0; i < m; i++)
        lambda[i] = sqrt(fmax(lambda[i], 0));
    *r = mls_energy_rank(lambda, m, 0.95);
    for (size_t i = 0; i < *r; i++)
        for (size_t d = 0; d < m; d++)
            w[i * m + d] /= lambda[i];
    return MLS_OK;
}

static double degrees(double cosine)
{
    return 180 / 3.14159265358979323846 * acos(fmin(fmax(cosine, -1), 1));
}

/* Figures of one joint moment (2m, 2m). */
static mls_status figures_of(double figure[FIGURES], size_t rank[2],
                             const double *joint, size_t m, mls_err *err)
{
    const size_t mm = m * m;
    double *room = mls_calloc3(10, m, m, sizeof *room);
    double *block = room, *w[2] = {room + mm, room + 2 * mm}, *left = room + 3 * mm;
    double *cosine = room + 4 * mm, *both = room + 5 * mm, *lambda = room + 9 * mm;
    mls_status st = MLS_OK;

    if (!room || m < 2)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a pair of layers");
    for (size_t i = 0; !st && i < 2; i++) {
        block_of(block, joint, m, i, i);
        st = whitener(w[i], &rank[i], block, m, lambda, err);
    }
    for (size_t i = 0; !st && i < 4; i++) {
        block_of(block, joint, m, i / 2, i % 2);
        for (size_t r = 0; r < m; r++)
            memcpy(both + (i / 2 * m + r) * 2 * m + i % 2 * m, block + r * m,
                   m * sizeof *both);
    }
    if (!st)
        st = mls_eigen(both, 2 * m, lambda, NULL, err);
    if (!st && rank[0] && rank[1]) {
        const size_t r = rank[0] < rank[1] ? rank[0] : rank[1];

        for (size_t i = 0; i < 2 * m; i++)
            lambda[i] = sqrt(fmax(lambda[i], 0));
        figure[0] = (double)mls_energy_rank(lambda, 2 * m, 0.95);
        block_of(block, joint, m, 0, 1);
        mls_matmul(left, w[0], false, block, false, rank[0], m, m);
        mls_matmul(cosine, left, false, w[1], true, rank[0], rank[1], m);
        st = mls_svd(cosine, rank[0], rank[1], NULL, lambda, NULL, err);
        figure[1] = 0;
        for (size_t i = 0; i < r; i++)
            figure[1] += lambda[i] * lambda[i] / (double)r;
        figure[2] = (degrees(lambda[(r - 1) / 2]) + degrees(lambda[r / 2])) / 2;
        figure[3] = degrees(lambda[r - 1]);
    } else if (!st) { /* a layer of zeros */
        for (size_t i = 0; i < FIGURES; i++)
            figure[i] = NAN;
    }
    free(room);
    return st;
}

static mls_status run_matrix(void *arg, size_t job, size_t worker, mls_err *err)
{
    const work *w = arg;
    pair *p = &w->pair[job];
    const size_t m = p->a.m, n = p->a.n;
    mls_mean *const mean[FIGURES] = {&p->row->pooled, &p->row->overlap, &p->row->angle,
                                     &p->row->largest};
    double *joint = mls_calloc3(2 * m, 2 * m, 1, sizeof *joint);
    const size_t draws = n > 1 && 2 * m <= MLS_SPREAD_WIDTH_MAX ? w->draws : 0;
    double figure[FIGURES], sum[FIGURES] = {0}, square[FIGURES] = {0};
    mls_outputs side = {0};
    size_t rank[2];
    mls_status st = joint ? mls_outputs_join(&side, &p->a, &p->b, err)
                          : mls_fail(err, MLS_E_NOMEM, "no memory for two layers");

    (void)worker;
    if (!st)
        st = mls_outputs_moments(&p->moments, &side, err);
    mls_outputs_free(&side);
    if (!st) {
        mls_window_moments_draw(joint, &p->moments, 0, 0);
        st = figures_of(figure, p->row->rank, joint, m, err);
    }
    for (size_t i = 0; !st && i < FIGURES; i++)
        *mean[i] = (mls_mean){figure[i], NAN};
    for (size_t draw = 1; !st && draw <= draws; draw++) {
        mls_window_moments_draw(joint, &p->moments, draw, w->seed);
        st = figures_of(figure, rank, joint, m, err);
        for (size_t i = 0; i < FIGURES; i++) {
            const double off = figure[i] - sum[i];

            sum[i] += off / (double)draw;
            square[i] += off * (figure[i] - sum[i]);
        }
    }
    for (size_t i = 0; !st && draws > 1 && i < FIGURES; i++)
        mean[i]->half = mls_spread_factor(n) * sqrt(square[i] / (double)(draws - 1));
    mls_window_moments_free(&p->moments);
    free(joint);
    return st;
}

/* Mean cosine of the two inputs of each token; its interval over windows. */
static mls_status compare_inputs(mls_mean *out, const mls_outputs *a,
                                 const mls_outputs *b, mls_err *err)
{
    double *each = mls_calloc3(a->n, 1, 1, sizeof *each);

    if (!each)
        return mls_fail(err, MLS_E_NOMEM, "no memory for two layers");
    for (size_t t = 0; t < a->n * a->T; t++) {
        double ab = 0, aa = 0, bb = 0;

        for (size_t d = 0; d < a->m; d++) {
            const double x = (double)a->y[t * a->m + d], y = (double)b->y[t * a->m + d];

            ab += x * y;
            aa += x * x;
            bb += y * y;
        }
        each[t / a->T] +=
            aa > 0 && bb > 0 ? ab / sqrt(aa * bb) / (double)a->T : (double)NAN;
    }
    *out = mls_mean_of(each, a->n);
    free(each);
    return MLS_OK;
}

/* Rows of a pair of layers, and what its jobs need; p (MATRICES). */
static mls_status load_pair(pair *p, mls_neighbours_row *row, mls_capture *capture,
                            size_t a, size_t b, mls_err *err)
{
    mls_outputs x = {0}, y = {0};
    mls_mean inputs = {NAN, NAN};
    mls_status st = mls_outputs_load_inputs(&x, capture, a, err);

    if (!st)
        st = mls_outputs_load_inputs(&y, capture, b, err);
    if (!st)
        st = compare_inputs(&inputs, &x, &y, err);
    mls_outputs_free(&x);
    mls_outputs_free(&y);
    for (size_t i = 0; !st && i < MATRICES; i++) {
        row[i] = (mls_neighbours_row){
            .first = a, .second = b, .matrix = matrices[i], .inputs = inputs};
        p[i].row = &row[i];
        st = mls_outputs_load(&p[i].a, capture, a, matrices[i], err);
        if (!st)
            st = mls_outputs_load(&p[i].b, capture, b, matrices[i], err);
    }
    return st;
}

/* Pairs of neighbours among the n + 1 layers seen[], side by side. */
static mls_status run_pairs(mls_neighbours_row *row, mls_capture *capture,
                            const size_t *seen, size_t n, size_t draws, uint64_t seed,
                            mls_pool *pool, mls_err *err)
{
    pair *p = mls_calloc3(n, MATRICES, 1, sizeof *p);
    work w = {p, draws, seed};
    mls_status st =
        p ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for %zu pairs of layers", n);

    for (size_t i = 0; !st && i < n; i++)
        st = load_pair(p + i * MATRICES, row + i * MATRICES, capture, seen[i],
                       seen[i + 1], err);
    if (!st)
        st = mls_pool_run(pool, n * MATRICES, run_matrix, &w, err);
    for (size_t i = 0; p && i < n * MATRICES; i++) {
        mls_outputs_free(&p[i].a);
        mls_outputs_free(&p[i].b);
    }
    free(p);
    return st;
}

void mls_neighbours_free(mls_neighbours *n)
{
    free(n->row);
    *n = (mls_neighbours){0};
}

mls_status mls_neighbours_run(mls_neighbours *out, mls_capture *capture, size_t draws,
                              uint64_t seed, mls_pool *pool,
                              const mls_progress *progress, mls_err *err)
{
    const mls_config *c = mls_capture_config(capture);
    const size_t windows = mls_capture_windows(capture);
    const size_t at_once = (mls_pool_threads(pool) + MATRICES - 1) / MATRICES;
    size_t seen[MLS_LAYERS_MAX], n_seen = 0;
    mls_status st = MLS_OK;

    *out = (mls_neighbours){0};
    if (windows == 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s holds no windows, on which layers could be compared",
                        mls_capture_path(capture));
    out->tokens = windows * mls_capture_window_length(capture);
    out->row = mls_calloc3(c->L, MATRICES, 1, sizeof *out->row);
    if (!out->row)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu layers", c->L);
    for (size_t l = 0; l < c->L; l++)
        if (mls_config_layer_is_seen(c, l))
            seen[n_seen++] = l;
    for (size_t i = 0; !st && i + 1 < n_seen; i += at_once) {
        const size_t left = n_seen - 1 - i, n = left < at_once ? left : at_once;

        st = mls_progress_step(progress, "neighbours", (double)i, (double)n_seen, err);
        if (!st)
            st = run_pairs(out->row + out->n, capture, seen + i, n, draws, seed, pool,
                           err);
        out->n += n * MATRICES;
    }
    if (st)
        mls_neighbours_free(out);
    return st;
}
