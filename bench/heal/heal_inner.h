/* A scheme while it is healed: what its layers, its folder and their end share. */
#ifndef MLS_HEAL_INNER_H
#define MLS_HEAL_INNER_H

#include "analysis/heal/shared_cache.h"
#include "analysis/model/forward.h"
#include "bench/heal/heal.h"
#include "common/base/buf.h"
#include "common/system/hash.h"
#include "common/system/spill.h"

/* Everything that the loop keeps. */
typedef struct {
    const mls_heal_job *job;
    const mls_config *config;
    mls_heal_layer_result *result;
    mls_ready_scheme *ready;
    int *share;             /* (L) */
    mls_shared_cache *kept; /* (L) keys and values that a later layer shares */
    mls_states original, healed;
    mls_own_attention plain;
    mls_latent_runner *runner;
    /* (tokens, E) each: input, what is wanted, original minus healed states below */
    float *x, *target, *residual;
    mls_spill room[3]; /* of these */
    char *part;        /* the folder in progress */
    mls_buf record;    /* healing.csv so far */
} mls_heal_run_state;

/** The file of a layer's form; released by the caller with free(). */
mls_status mls_healing_layer_path(const mls_heal_run_state *k, size_t l, char **path,
                                  mls_err *err);

/**
 * All that decides what a layer becomes, as lines of a record and as a hash: a run that
 * goes on must agree in it.
 */
mls_status mls_healing_describe(mls_buf *b, const mls_heal_job *job, mls_err *err);
mls_status mls_healing_id(char id[MLS_SHA256_HEX], const mls_heal_job *job,
                          mls_err *err);
mls_status mls_healing_write_record(mls_heal_run_state *k, mls_err *err);

/** Does it fit into memory, as far as that is bounded? Else said before the work. */
mls_status mls_healing_fits(const mls_heal_job *job, mls_err *err);

/** The folder in progress, with what an earlier run left; and its end. */
mls_status mls_healing_begin(mls_heal_run_state *k, mls_err *err);
mls_status mls_healing_end(mls_heal_run_state *k, mls_err *err);

/** Distil the forms in the folder in progress, on the windows that all layers saw. */
mls_status mls_healing_together(mls_heal_run_state *k, mls_distilled *out,
                                mls_err *err);

#endif
