/*
 * Heals one layer: fits all numbers of a latent form so that its attention output on
 * given windows is the original's (docs/methods/heal.md).
 */
#ifndef MLS_HEAL_LAYER_H
#define MLS_HEAL_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/latent/latent.h"
#include "common/base/status.h"
#include "common/system/pool.h"
#include "common/system/progress.h"

/** What a layer reads and should give, in windows of equal length; all borrowed. */
typedef struct mls_heal_windows {
    size_t n, n_held; /* windows; the last n_held are never trained on */
    size_t T, E;
    uint64_t ram;        /* more bytes than these in one array go to disk; 0: none */
    const float *x;      /* (n, T, E) normed input */
    const float *target; /* (n, T, E) attention output wanted */
    const float *keys;   /* (n, ..) of the layer whose cache is shared, as */
    const float *values; /* mls_heal_pass_keys() gives them; else NULL */
} mls_heal_windows;

typedef struct mls_heal_options {
    size_t steps;   /* of Adam; 0: closed form alone */
    size_t batch;   /* windows a step */
    double rate;    /* of Adam at most: rises at first, falls to 0 by a cosine */
    double damping; /* of the inputs' whitening, share of the mean eigenvalue */
    const mls_progress *progress;
    const char *what;     /* for the progress: "layer 3 of 30" */
    double before, total; /* progress: steps of earlier layers, of all layers */
} mls_heal_options;

enum { MLS_HEAL_POINTS = 9 };

/** Losses are sum |o_hat - o|^2 / sum |o|^2. */
typedef struct mls_healed {
    double train_before, train_after;
    double held_before, held_after;
    double closed; /* held-out loss after the closed form */
    double rate;   /* in the end: halved whenever training got worse */
    size_t steps;  /* done, and after which of them the loss was lowest */
    size_t best;
    size_t n_points; /* held-out loss against steps */
    struct {
        size_t step;
        double held;
    } point[MLS_HEAL_POINTS];
    bool kept; /* nothing was better on the held-out windows: the form is as it was */
} mls_healed;

/**
 * The same windows give the same bytes for any number of threads.
 *
 * @param f         its arrays are overwritten when that lowers the held-out loss and
 *                  does not raise the training loss
 * @param[out] out  what came of it
 * @return MLS_OK, MLS_E_NOMEM, MLS_E_NUMERIC (a loss is not finite), MLS_E_STOPPED, or
 *         what a quantizer says
 */
mls_status mls_heal_layer(mls_latent_form *f, const mls_heal_windows *w,
                          const mls_heal_options *options, mls_pool *pool,
                          mls_healed *out, mls_err *err);

#endif
