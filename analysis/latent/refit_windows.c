/* The model's own queries and keys of a layer, turned, beside its inputs. */
#include "analysis/latent/refit_windows.h"

#include <cblas.h>

#include "analysis/model/rope.h"
#include "common/base/checked.h"

void mls_refit_windows_free(mls_refit_windows *w)
{
    mls_free_all(w->x, w->q, w->k);
    *w = (mls_refit_windows){0};
}

static size_t widest(const mls_latent_form *f)
{
    size_t width = 0;

    for (size_t i = 0; i < f->n_latents; i++)
        width = f->latent[i].r > width ? f->latent[i].r : width;
    for (size_t i = 0; i < f->n_rope_keys; i++)
        width = f->rope_key[i].n > width ? f->rope_key[i].n : width;
    return width;
}

mls_status mls_refit_windows_load(mls_refit_windows *w, mls_capture *capture,
                                  const mls_latent_form *f, size_t n, size_t scores_max,
                                  mls_err *err)
{
    const mls_config *c = mls_capture_config(capture);
    const size_t all = mls_capture_windows(capture);
    const size_t T = mls_capture_window_length(capture), D = c->D;
    const size_t q_row = c->H * D, k_row = c->G * D;
    float *cs = mls_calloc3(T, D / 2, 2, sizeof *cs);
    double *inv_freq = mls_calloc3(D / 2, 1, 1, sizeof *inv_freq);
    mls_status st = MLS_OK;

    *w = (mls_refit_windows){.T = T,
                             .E = c->E,
                             .H = c->H,
                             .G = c->G,
                             .D = D,
                             .sliding_window = f->sliding_window,
                             .width = widest(f)};
    if (all == 0)
        st = mls_fail(err, MLS_E_INPUT,
                      "%s holds no windows, on which queries could be fitted",
                      mls_capture_path(capture));
    w->n = n && n < all ? n : all;
    while (w->n > 1 && w->n * T * T > scores_max)
        w->n--;
    w->x = mls_calloc3(w->n, T, c->E, sizeof *w->x);
    w->q = mls_calloc3(w->n, T, q_row, sizeof *w->q);
    w->k = mls_calloc3(w->n, T, k_row, sizeof *w->k);
    if (!st && (!cs || !inv_freq || !w->x || !w->q || !w->k))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu windows of layer %zu", w->n,
                      f->layer);
    if (!st) {
        mls_layer_frequencies(inv_freq, c, f->layer);
        mls_rope_table(cs, inv_freq, D / 2, T);
    }
    for (size_t i = 0; !st && i < w->n; i++) {
        const size_t window = i * all / w->n;
        float *q = w->q + i * T * q_row, *k = w->k + i * T * k_row;

        st = mls_capture_window(capture, f->layer, window, MLS_WINDOW_X,
                                w->x + i * T * c->E, err);
        if (!st)
            st = mls_capture_window(capture, f->layer, window, MLS_WINDOW_Q, q, err);
        if (!st)
            st = mls_capture_window(capture, f->layer, window, MLS_WINDOW_K, k, err);
        if (st || c->layer[f->layer].no_rope)
            continue;
        for (size_t h = 0; h < c->H; h++)
            mls_rope_apply(q + h * D, q_row, cs, D / 2, T, 1);
        for (size_t g = 0; g < c->G; g++)
            mls_rope_apply(k + g * D, k_row, cs, D / 2, T, 1);
    }
    mls_free_all(cs, inv_freq);
    if (st)
        mls_refit_windows_free(w);
    return st;
}

void mls_refit_scores(const mls_refit_windows *w, size_t h, size_t window, size_t first,
                      size_t n, float *s)
{
    const size_t g = h / (w->H / w->G), T = w->T, D = w->D;

    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)(first + n),
                (int)D, 1.0F, w->q + (window * T + first) * w->H * D + h * D,
                (int)(w->H * D), w->k + window * T * w->G * D + g * D, (int)(w->G * D),
                1.0F, s, (int)T);
}

size_t mls_refit_first_key(const mls_refit_windows *w, size_t i)
{
    return w->sliding_window && i + 1 > w->sliding_window ? i + 1 - w->sliding_window
                                                          : 0;
}
