/*
 * Heals a scheme: every layer's latent form is fitted to the original's attention on
 * windows of a text, and written as a folder of latent forms (docs/methods/heal.md).
 */
#ifndef MLS_HEAL_H
#define MLS_HEAL_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/distil/distil.h"
#include "bench/frame/method.h"
#include "bench/frame/scheme.h"
#include "bench/heal/losses.h"
#include "common/base/status.h"
#include "common/system/progress.h"
#include "datasets/text/corpus.h"

/** What is healed, on what, how and where to; all borrowed. */
typedef struct mls_heal_job {
    const mls_method_input *in; /* model and pool; capture where a method uses data */
    const char *model_sha256;
    const mls_scheme *scheme;
    const mls_corpus *corpus; /* windows, all of one length; at least 2 */
    size_t n_held;            /* the last of them, never trained on; at least 1 */
    bool healed_inputs; /* layers read what the healed layers below make of the text;
                           false: what the original's read */
    double repair; /* with healed inputs: share of what the layers below left that each
                      layer is to take away, too */
    size_t steps, batch;
    double rate, damping;
    /* Then steps of all layers together on the original's logits (0: none), each of
       distil_batch of these windows, which may be more than the layers have, the last
       n_held again held out; NULL: of the same. */
    const mls_corpus *distil_corpus;
    size_t distil, distil_batch;
    double distil_rate;
    const char *folder; /* new or empty; work in progress is kept in `folder`.part */
    const mls_progress *progress;
} mls_heal_job;

/** Sensible settings of everything but in, scheme, corpus, folder and progress. */
mls_heal_job mls_heal_defaults(void);

/** MLS_E_INPUT names the first layer that cannot be healed, and why. */
mls_status mls_heal_possible(const mls_config *config, mls_err *err);

/**
 * Layer by layer, from the bottom up. A call that was stopped goes on from the layers
 * that `folder`.part holds when it is made again; other options there start afresh.
 *
 * @param[out] result  (L) With in->parts: while a part is made its layers go there and
 *                     no folder is made; joined they are its folder. Layers are then
 *                     healed by themselves: inputs are the original's, and none shares
 *                     another's cache.
 * @param[out] all     what all layers together came to; NULL: not wanted
 * @return MLS_OK, MLS_E_INPUT (the folder holds files; the scheme brings weights of its
 *         own beside attention; windows of different lengths), MLS_E_STOPPED, or what
 *         building forms, healing and writing say
 */
mls_status mls_heal_run(mls_heal_layer_result *result, mls_distilled *all,
                        const mls_heal_job *job, mls_err *err);

#endif
