/*
 * Windows 0, 2, 4 ... make the rotation and 1, 3, 5 ... say how much of their keys'
 * energy it holds: on the text that made it every rotation looks better than it is. A
 * collapse changes only how many components are kept, so that one eigendecomposition
 * for each freqfold serves them all; freqfolds are the jobs.
 */
#include "analysis/spectrum/rorope_survey.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/numeric/linalg.h"
#include "analysis/spectrum/rorope.h"
#include "common/base/checked.h"

void mls_rorope_survey_free(mls_rorope_survey *s)
{
    mls_free_all(s->fold, s->collapse, s->captured, s->held);
    *s = (mls_rorope_survey){0};
}

static mls_status survey_new(mls_rorope_survey *s, const mls_capture *capture,
                             mls_err *err)
{
    const mls_config *config = mls_capture_config(capture);
    const size_t W = mls_capture_windows(capture), C = config->D / 2;
    const size_t room = MLS_ROROPE_FOLDS * MLS_ROROPE_FOLDS;

    *s = (mls_rorope_survey){.L = config->L,
                             .C = C,
                             .n_windows = (W + 1) / 2,
                             .n_held = W / 2,
                             .T = mls_capture_window_length(capture)};
    if (W == 0)
        return mls_fail(err, MLS_E_INPUT, "the capture holds no whole windows");
    s->fold = mls_calloc3(room, 1, 1, sizeof *s->fold);
    s->collapse = mls_calloc3(room, 1, 1, sizeof *s->collapse);
    s->captured = mls_calloc3(room, s->L, 1, sizeof *s->captured);
    s->held = mls_calloc3(room, s->L, 1, sizeof *s->held);
    if (!s->fold || !s->collapse || !s->captured || !s->held)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a survey of %zu layers", s->L);
    for (size_t F = 1; C % F == 0 && (F == 1 || config->G * F <= MLS_ROROPE_WIDTH_MAX);
         F *= 2) {
        s->widest = F;
        for (size_t collapse = 1; collapse <= F; collapse *= 2) {
            s->fold[s->n] = F;
            s->collapse[s->n++] = collapse;
        }
    }
    for (size_t i = 0; i < room * s->L; i++)
        s->captured[i] = s->held[i] = NAN;
    return MLS_OK;
}

/* second (G D, G D) = sum k k^T over windows first, first + 2, ... of layer l. */
static mls_status key_moment(double *second, mls_capture *capture, size_t l,
                             size_t first, float *k, double *wide, mls_err *err)
{
    const mls_config *config = mls_capture_config(capture);
    const size_t n = config->G * config->D, T = mls_capture_window_length(capture);
    double *one = mls_calloc3(n, n, 1, sizeof *one);
    mls_status st = MLS_OK;

    if (!one)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a moment of %zu keys", n);
    for (size_t i = 0; i < n * n; i++)
        second[i] = 0.0;
    for (size_t w = first; w < mls_capture_windows(capture) && !st; w += 2) {
        st = mls_capture_window(capture, l, w, MLS_WINDOW_K, k, err);
        for (size_t i = 0; i < T * n && !st; i++)
            wide[i] = (double)k[i];
        if (st)
            break;
        mls_matmul(one, wide, true, wide, false, n, n, T);
        for (size_t i = 0; i < n * n; i++)
            second[i] += one[i];
    }
    free(one);
    return st;
}

typedef struct {
    mls_rorope_survey *s;
    size_t layer, G, D;
    const double *second, *held; /* held NULL: nothing to hold it against */
} fold_jobs;

/* One freqfold: its rotation serves every collapse. */
static mls_status job_fold(void *arg, size_t job, size_t worker, mls_err *err)
{
    const fold_jobs *j = arg;
    mls_rorope_survey *s = j->s;
    const size_t F = (size_t)1 << job;
    mls_rorope r;
    mls_status st = mls_rorope_new(&r, j->second, j->G, j->D, F, 1, 0, err);

    (void)worker;
    for (size_t i = 0; i < s->n && !st; i++) {
        if (s->fold[i] != F)
            continue;
        r.keep = F / s->collapse[i];
        s->captured[i * s->L + j->layer] = mls_rorope_captured(&r);
        if (j->held)
            st =
                mls_rorope_captured_of(&r, j->held, &s->held[i * s->L + j->layer], err);
    }
    mls_rorope_free(&r);
    return st;
}

static mls_status survey_layer(mls_rorope_survey *s, mls_capture *capture, size_t l,
                               mls_pool *pool, mls_err *err)
{
    const mls_config *config = mls_capture_config(capture);
    const size_t n = config->G * config->D;
    double *second = mls_calloc3(n, n, 1, sizeof *second);
    double *held = mls_calloc3(n, n, 1, sizeof *held);
    double *wide = mls_calloc3(s->T, n, 1, sizeof *wide);
    float *k = mls_calloc3(s->T, n, 1, sizeof *k);
    fold_jobs j = {.s = s,
                   .layer = l,
                   .G = config->G,
                   .D = config->D,
                   .second = second,
                   .held = s->n_held ? held : NULL};
    size_t n_folds = 0;
    mls_status st = MLS_OK;

    if (!second || !held || !wide || !k)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the keys of a layer");
    if (!st)
        st = key_moment(second, capture, l, 0, k, wide, err);
    if (!st && s->n_held)
        st = key_moment(held, capture, l, 1, k, wide, err);
    while ((size_t)1 << n_folds <= s->widest)
        n_folds++;
    if (!st)
        st = mls_pool_run(pool, n_folds, job_fold, &j, err);
    mls_free_all(second, held, wide, k);
    return st;
}

mls_status mls_rorope_survey_run(mls_rorope_survey *out, mls_capture *capture,
                                 mls_pool *pool, const mls_progress *progress,
                                 mls_err *err)
{
    const mls_config *config = mls_capture_config(capture);
    mls_rorope_survey s;
    mls_status st = survey_new(&s, capture, err);

    *out = (mls_rorope_survey){0};
    for (size_t l = 0; l < config->L && !st; l++) {
        char phrase[48];

        snprintf(phrase, sizeof phrase, "layer %zu of %zu", l + 1, config->L);
        st = mls_progress_step(progress, phrase, (double)l, (double)config->L, err);
        if (!st && !config->layer[l].no_rope)
            st = survey_layer(&s, capture, l, pool, err);
    }
    if (st)
        mls_rorope_survey_free(&s);
    *out = s;
    return st;
}
