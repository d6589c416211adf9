/*
 * Trains the latent forms of all layers together: the healed model's next tokens are to
 * be the original's (docs/methods/heal.md). Norms, MLPs and embeddings stay.
 */
#ifndef MLS_DISTIL_H
#define MLS_DISTIL_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/latent/latent.h"
#include "analysis/model/forward.h"
#include "common/base/status.h"
#include "common/system/pool.h"
#include "common/system/progress.h"
#include "datasets/text/corpus.h"

/** What is trained on what, and how; all borrowed. */
typedef struct mls_distil_job {
    const mls_model *model;
    mls_pool *pool;
    const mls_corpus *corpus;   /* windows of equal length */
    const mls_states *original; /* of them all, after the original's last layer */
    size_t n_held;              /* the last of them, never trained on */
    const bool *fixed;          /* (L) forms that stay as they are */
    size_t steps, batch;        /* batch: windows a step */
    double rate, damping;       /* as mls_heal_options has them */
    const char *keep;           /* file in which a stopped run keeps its place */
    const char *identity;       /* a line that says what this run is, for that file */
    const mls_progress *progress;
} mls_distil_job;

enum { MLS_DISTIL_POINTS = 9 };

/** Means over tokens of KL(original || student), nat. */
typedef struct mls_distilled {
    double held_before, held_after;
    double train_before, train_after; /* of as many training windows as a batch has */
    double rate;                      /* in the end: halved whenever it got worse */
    size_t steps, best; /* done; and after which of them it was lowest: 0, the forms
                           are as they were */
    size_t n_points;    /* held-out divergence against steps */
    struct {
        size_t step;
        double held;
    } point[MLS_DISTIL_POINTS];
} mls_distilled;

/**
 * Can gradients pass through this model's layers?
 * @return MLS_OK, or MLS_E_INPUT with the first layer and what it has
 */
mls_status mls_distil_possible(const mls_config *config, mls_err *err);

/**
 * The same windows give the same bytes for any number of threads, and after a stop.
 *
 * @param form      (L) numbers are overwritten when that lowers the divergence of the
 *                  windows held out
 * @param[out] out  what came of it
 * @return MLS_OK, MLS_E_INPUT (mls_distil_possible(); a form that shares another
 *         layer's cache, or that no latent form can say), MLS_E_NOMEM, MLS_E_NUMERIC,
 *         MLS_E_STOPPED, or what reading weights says
 */
mls_status mls_distil(mls_distilled *out, mls_latent_form *form,
                      const mls_distil_job *job, mls_err *err);

#endif
