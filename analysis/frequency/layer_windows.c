/*
 * q, k and v of one window lie one after another in a single block; what all windows
 * turn by is made once. Values are read only where a cost is measured.
 */
#include "analysis/frequency/layer_windows.h"

#include "analysis/model/rope.h"
#include "common/base/checked.h"

mls_status mls_layer_windows_load(mls_layer_windows *out, mls_capture *capture,
                                  size_t l, const size_t *which, size_t n,
                                  bool with_values, size_t tokens, mls_err *err)
{
    const mls_config *config = mls_capture_config(capture);
    const size_t T = mls_capture_window_length(capture);
    const size_t H = config->H, G = config->G, D = config->D;
    const size_t per_window = T * D * (H + G + (with_values ? G : 0));
    mls_layer_windows w = {0};
    mls_status st = MLS_OK;

    *out = (mls_layer_windows){0};
    if (n == 0 || mls_capture_windows(capture) == 0)
        return mls_fail(err, MLS_E_INPUT,
                        "the capture holds no whole windows, which this rule needs");
    w.window = mls_calloc3(n, 1, 1, sizeof *w.window);
    w.data = mls_calloc3(n, per_window, 1, sizeof *w.data);
    w.inv_freq = mls_calloc3(D, 1, 1, sizeof *w.inv_freq);
    w.turns = mls_calloc3(T, D, 1, sizeof *w.turns);
    if (!w.window || !w.data || !w.inv_freq || !w.turns)
        st =
            mls_fail(err, MLS_E_NOMEM, "no memory for %zu windows of %zu tokens", n, T);
    if (!st) {
        mls_layer_frequencies(w.inv_freq, config, l);
        mls_chunk_turns(w.turns, w.inv_freq, D / 2, T);
    }
    for (size_t i = 0; i < n && !st; i++) {
        const size_t number = which ? which[i] : i;
        float *q = w.data + i * per_window, *k = q + T * H * D, *v = k + T * G * D;

        w.window[i] = (mls_chunk_window){
            .T = tokens && tokens < T ? tokens : T,
            .H = H,
            .G = G,
            .D = D,
            .q = q,
            .k = k,
            .v = with_values ? v : NULL,
            .inv_freq = w.inv_freq,
            .visible = config->layer[l].window,
        };
        if (number >= mls_capture_windows(capture))
            st = mls_fail(err, MLS_E_INPUT, "window %zu: the capture holds %zu", number,
                          mls_capture_windows(capture));
        if (!st)
            st = mls_capture_window(capture, l, number, MLS_WINDOW_Q, q, err);
        if (!st)
            st = mls_capture_window(capture, l, number, MLS_WINDOW_K, k, err);
        if (!st && with_values)
            st = mls_capture_window(capture, l, number, MLS_WINDOW_V, v, err);
    }
    w.set = (mls_chunk_windows){.window = w.window, .n = n, .turns = w.turns};
    if (st)
        mls_layer_windows_free(&w);
    *out = w;
    return st;
}

void mls_layer_windows_free(mls_layer_windows *w)
{
    mls_free_all(w->window, w->data, w->inv_freq, w->turns);
    *w = (mls_layer_windows){0};
}
