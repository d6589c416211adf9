/*
 * The three parts of an evaluation: variants run through the layers (variants.c), their
 * logits are scored (score.c), the scores become figures with intervals (quality.c).
 */
#ifndef MLS_EVALUATE_INNER_H
#define MLS_EVALUATE_INNER_H

#include "analysis/latent/latent.h"
#include "analysis/model/forward.h"
#include "bench/evaluate/evaluate.h"

/* --- variants.c --- */

/** The calibration text on its way through a scheme's layers (sequential.c). */
typedef struct mls_sequential {
    mls_states states;
    mls_own_attention own;
    mls_latent_runner *runner;
} mls_sequential;

/** One variant on its way through the layers. */
typedef struct mls_run {
    mls_states states;
    mls_latent_runner *runner;
    size_t scheme_of; /* index of the first run with this scheme, which holds it */
    mls_ready_scheme *ready;
    bool kept[MLS_LAYERS_MAX]; /* a later layer shares this layer's cache */
    mls_sequential sequential; /* of the first run with this scheme, where asked for */
    size_t begins;             /* first layer that does not run as the original's */
} mls_run;

/** Which windows of a run that is split a pass is on. */
typedef struct mls_span {
    uint64_t text; /* hash of all windows */
    size_t first;  /* number of the pass' first window */
} mls_span;

/** One pass over the weights: the original and as many variants as fit in memory. */
typedef struct mls_pass {
    const mls_method_input *in;
    const mls_config *config;
    const mls_corpus *corpus;
    const mls_variant *variant; /* (n) */
    size_t n;
    const mls_evaluate_options *options;
    const mls_progress *progress;
    const mls_span *span; /* where scores are kept in a part; NULL: nowhere */
    bool last;            /* no variant of a later pass is held against the original */
    double done, total;   /* units of work for the progress: layers times variants */

    mls_states original;
    mls_own_attention own; /* the original's attention */
    mls_run *run;          /* (n) */
    mls_quality *quality;  /* (n) seconds, sizes and predicted errors go here */
} mls_pass;

/** Schemes made ready and states at the embedding; mls_pass_free() on error, too. */
mls_status mls_pass_start(mls_pass *p, mls_err *err);
/** Nothing is left to run: all variants are refused and the original is not wanted. */
bool mls_pass_is_over(const mls_pass *p);
/**
 * Everything through every layer: final states, sizes, predicted errors; no further
 * than to where the pass is over.
 */
mls_status mls_pass_layers(mls_pass *p, mls_err *err);
void mls_pass_free(mls_pass *p);

/* --- sequential.c --- */

/** The text at its embedding; mls_sequential_free() on error, too. */
mls_status mls_sequential_new(mls_sequential *q, const mls_pass *p, mls_err *err);
void mls_sequential_free(mls_sequential *q); /* {0} is accepted */
/**
 * Moments of what a layer reads now. @param[out] out  release with
 * mls_layer_stats_free(); {0} on error
 */
mls_status mls_sequential_stats(mls_layer_stats *out, mls_sequential *q,
                                const mls_pass *p, const mls_layer *layer,
                                mls_err *err);
/** Through the layer in its form. @param keep  a later form shares its cache */
mls_status mls_sequential_forward(mls_sequential *q, const mls_pass *p,
                                  const mls_layer *layer, const mls_latent_form *form,
                                  bool keep, mls_err *err);

/* --- score.c --- */

/** What the logits said; row 0 of each array is the original's. */
typedef struct mls_scores {
    size_t n, N;       /* variants without the original, sequences */
    size_t *row;       /* (N + 1) first scored position of each, counted on */
    size_t *from, *to; /* (N) positions from .. to - 1 of a sequence are scored */
    double *nll, *kl, *top1, *hit; /* (n + 1, N) means per sequence */
    double *bin_nll, *bin_kl;      /* (n + 1, N, bins) sums by position; */
    double *bin_n;                 /* (N, bins) of so many */
    float *kl_at;                  /* (n + 1, row[N]) every position's KL */
} mls_scores;

/** Which positions count; MLS_E_INPUT for a sequence that is too short. */
mls_status mls_scores_new(mls_scores *s, const mls_corpus *corpus,
                          const mls_evaluate_options *options, size_t n, mls_err *err);
/**
 * The output head over the states of a pass whose layers are done. A variant whose
 * logits are not finite is refused, or ends the pass without `keep_going`.
 */
mls_status mls_score(mls_scores *s, const mls_pass *p, mls_err *err);
void mls_scores_free(mls_scores *s); /* {0} is accepted */

/* --- quality.c --- */

/**
 * Means, intervals and percentiles. The original's are written once, by the first pass.
 * Positions of s->kl_at are sorted in place.
 *
 * @param variant  (s->n)
 */
mls_status mls_quality_of(mls_quality *original, mls_quality *variant, mls_scores *s,
                          mls_err *err);
void mls_quality_free(mls_quality *q); /* {0} is accepted */
/** Keep why there is no such form; MLS_E_NOMEM without a sentence. */
mls_status mls_quality_refuse(mls_quality *q, const char *why);
/** What was not run on the text has NaN for figures. */
void mls_quality_unmeasured(mls_quality *q);

/* --- evaluate.c --- */

/** mls_evaluate() of all windows by this process. @param span  NULL: none */
mls_status mls_evaluate_here(mls_evaluation *out, const mls_method_input *in,
                             const mls_corpus *corpus, const mls_variant *variants,
                             size_t n, const mls_evaluate_options *options,
                             const mls_span *span, const mls_progress *progress,
                             mls_err *err);

/* --- evaluate_parts.c --- */

/** What a pass has measured, into the part that is made. */
mls_status mls_scores_keep(const mls_pass *p, const mls_scores *s, mls_err *err);
/** mls_evaluate() of this process' share, or of what all parts hold. */
mls_status mls_evaluate_parts(mls_evaluation *out, const mls_method_input *in,
                              const mls_corpus *corpus, const mls_variant *variants,
                              size_t n, const mls_evaluate_options *options,
                              const mls_progress *progress, mls_err *err);

#endif
