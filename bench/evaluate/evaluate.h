/* The quality of schemes before any training, measured through the whole model. */
#ifndef MLS_EVALUATE_H
#define MLS_EVALUATE_H

#include <stddef.h>
#include <stdint.h>

#include "analysis/latent/predict.h"
#include "analysis/latent/size.h"
#include "analysis/numeric/interval.h"
#include "analysis/serving/serving.h"
#include "bench/frame/scheme.h"
#include "common/system/pool.h"
#include "common/system/progress.h"
#include "datasets/text/corpus.h"

enum { MLS_POSITION_BINS = 24 };

/**
 * Losses by the tokens before the predicted one: bin b has 2^b .. 2^(b+1) - 1 of them,
 * BOS not counted. A bin that no position is in has NaN.
 */
typedef struct mls_by_position {
    size_t n; /* bins up to the longest sequence */
    mls_mean nll[MLS_POSITION_BINS], kl[MLS_POSITION_BINS];
} mls_by_position;

/**
 * What one variant of the model does on the text. Every mean is over scored positions,
 * its 95 % interval over sequences.
 */
typedef struct mls_quality {
    size_t N, n_scored; /* sequences, positions with a next token */
    mls_mean nll;       /* nat per token; perplexity is exp of it */
    mls_mean kl;   /* nat: KL(original || variant) of the next-token distribution */
    mls_mean top1; /* share of positions whose most likely token is the original's */
    mls_mean dnll; /* nll minus the original's, paired by sequence */
    mls_by_position at;
    double kl_median, kl_90, kl_95, kl_99, kl_999, kl_max; /* over positions */
    double *seq_nll, *seq_kl;                              /* (N) means per sequence */
    double *seq_top1;  /* (N) as top1, of each sequence */
    double *seq_hit;   /* (N) share of scored positions whose most likely token is the
                        next one */
    size_t elements;   /* cached per token, all layers */
    size_t parameters; /* of all attention blocks */
    mls_cache_layout *layout; /* what it caches */
    mls_serve serve;          /* who can serve that */
    mls_predicted *predicted; /* (L), with the option `predict`; else NULL */
    char *refused;  /* why this model has no such form; figures are NaN then */
    bool trained;   /* its norms or MLPs are not the original's, beyond a rounding to
                     bfloat16: a conversion that was trained further */
    double seconds; /* on the clock, from its forms' begin to its layers' end, others'
                       work beside it included; a scheme's forms count for its first
                       variant */
} mls_quality;

typedef struct mls_variant {
    const mls_scheme *scheme;
    int only_layer; /* convert this layer alone; MLS_NONE: all that the scheme says */
} mls_variant;

typedef enum mls_scored {
    MLS_SCORE_ALL, /* every position with a next token (TransMLA, Hugging Face) */
    MLS_SCORE_SECOND_HALF, /* the second half of each window (llama-perplexity) */
} mls_scored;

typedef struct mls_evaluate_options {
    mls_scored scored;
    const size_t *from; /* (N) of each sequence the first position that is scored, by
                           the token after it; NULL: as `scored` says */
    const mls_corpus *calibration; /* forms of a layer are made of the moments of what
                                      the converted layers below make of this text, and
                                      not of the capture's, which is needed, too. One
                                      variant a scheme, without a body of its own */
    bool absorbed;                 /* run the forms as a decoder would */
    bool predict; /* errors of every form from the capture's moments and, where it
                        holds windows, of attention outputs, too */
    bool
        forms_only; /* make the forms, their sizes and predicted errors, and run nothing
                        through the model: what is measured on the text stays NaN */
    bool keep_going; /* what this model refuses does not end the others: their variants
                        are `refused`, with the sentence */
    size_t output_windows; /* of the capture, for the errors of outputs; 0: at most 8 */
    uint64_t states_bytes; /* variants beyond this share of memory go in a later pass
                              over the weights; default 4 GiB */
} mls_evaluate_options;

typedef struct mls_evaluation {
    mls_quality original;
    size_t n;
    mls_quality *variant; /* (n) */
} mls_evaluation;

/**
 * Run the original and all variants over the corpus; each layer's weights are read once
 * for as many variants as fit. Windows are the corpus' sequences, each from position 0.
 *
 * @param in        model and pool are needed; capture too when a method uses data
 * @param[out] out  release with mls_evaluation_free(); {0} on error
 * @return MLS_OK (with `keep_going` also when all are refused: the original may not
 *         have been run then and has NaN), what a method's prepare or build says,
 *         MLS_E_NUMERIC (NaN in logits: variant and sequence), MLS_E_STOPPED,
 *         MLS_E_NOMEM, MLS_E_IO
 */
mls_status mls_evaluate(mls_evaluation *out, const mls_method_input *in,
                        const mls_corpus *corpus, const mls_variant *variants, size_t n,
                        const mls_evaluate_options *options,
                        const mls_progress *progress, mls_err *err);
void mls_evaluation_free(mls_evaluation *e); /* {0} is accepted */
/** Fails with the first reason when every variant is refused. */
mls_status mls_evaluation_possible(const mls_evaluation *e, mls_err *err);

#endif
