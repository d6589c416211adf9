/*
 * Settings side by side: size, predicted errors, measured quality; finished rows stay.
 */
#ifndef MLS_COMPARE_H
#define MLS_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/latent/predict.h"
#include "analysis/numeric/interval.h"
#include "bench/evaluate/evaluate.h"
#include "bench/evaluate/kl_law.h"
#include "bench/setting/setting.h"
#include "common/base/status.h"
#include "common/system/progress.h"
#include "datasets/text/corpus.h"

/** What is known of one setting. */
typedef struct mls_compared {
    double bytes, payload;     /* per token at the length asked */
    double growing, fixed;     /* of a sequence: by each token from there on, and not */
    double kept, kept_payload; /* shares of the model's own 16-bit cache */
    mls_serve serve;           /* who can serve it; MLS_SERVE_CLASSES: refused */
    double parameters;         /* of all attention blocks in this form */
    mls_predicted predicted;   /* mean over layers; NaN without a capture */
    double law_kl;             /* KL by the law of the other rows; NaN without one */
    bool measured;             /* false: forms were made, nothing was run */
    mls_mean nll, kl, top1, dnll;
    size_t N;
    double *seq_kl;   /* (N) means per sequence */
    double *seq_rest; /* (3, N) the same of nll, top1 and dnll */
    char *refused;    /* why this model has no such form; figures are NaN then */
    double seconds;
    bool kept_row;  /* read from the file of finished rows */
    bool pareto;    /* no other setting is as small and as near the original */
    bool quantized; /* its figures depend on how numbers round */
} mls_compared;

/**
 * Without seq_kl, seq_rest and refused, which stay the quality's or the caller's.
 * @param own  the model's own cache at `tokens`: mls_size_own()
 */
mls_compared mls_compared_of(const mls_quality *q, const mls_config *config,
                             const mls_size_result *own, size_t tokens);

/** A row without figures, of no class; its sentence is the caller's to set. */
mls_compared mls_compared_refused(void);

/** One row and its arrays; {0} afterwards. */
void mls_compared_free(mls_compared *row);

/**
 * Rows of one setting on two parts of a text become one of all: a's windows are every
 * `every`-th from the first on, b's the others. All means and intervals are those of a
 * row that was measured on all at once; seconds add up.
 *
 * @param[in,out] a  the whole row afterwards
 * @return MLS_OK, MLS_E_ARG (a row without windows, or of an earlier build),
 *         MLS_E_NOMEM
 */
mls_status mls_compared_join(mls_compared *a, const mls_compared *b, size_t every,
                             mls_err *err);

typedef struct mls_comparison {
    size_t n, n_measured; /* rows, and how many of them were measured now */
    mls_kl_law law;       /* of the measured rows; n = 0: too few */
    mls_compared *row;    /* (n), in the order of the settings */
    mls_mean original;    /* its NLL; NaN where all settings are refused */
    size_t n_scored;
} mls_comparison;

typedef struct mls_compare_request {
    mls_method_input in; /* all of it; capture may be NULL */
    const mls_corpus *corpus;
    const mls_setting *setting; /* (n) */
    size_t n;
    mls_evaluate_options how; /* `predict` is set here */
    bool unpredicted;         /* the predicted errors of rows stay NaN */
    size_t tokens;            /* context length of the bytes, windows included */
    size_t group;             /* settings measured together, 0: 8 */
    /*
     * How many settings to measure, finished rows included; 0: all. They are chosen
     * evenly over the errors of attention outputs, the least and the largest among
     * them, so that the law predicts the others; needs a capture with windows.
     */
    size_t measure;
    /* Finished rows, JSON lines (docs/format/compare.md); NULL: none are kept. */
    const char *rows_path;
    const char *model_id, *capture_id; /* what a row depends on; "" without a capture */
} mls_compare_request;

/**
 * Measure what the file of finished rows does not hold, a group at a time, each group
 * appended and synced before the next begins. What the model refuses is a row, too. A
 * row counts when model, text, tokens, capture, options, version and the setting's text
 * are the same; settings that name a file are measured every time and not kept.
 *
 * @param[out] out  release with mls_comparison_free(); {0} on error, rows stay in the
 *                  file
 * @return MLS_OK, what mls_evaluate() says, MLS_E_INPUT (a line of the file that is not
 *         a row), MLS_E_IO
 */
mls_status mls_compare(mls_comparison *out, const mls_compare_request *r,
                       const mls_progress *progress, mls_err *err);
void mls_comparison_free(mls_comparison *c); /* {0} is accepted */
/** Fails with the first reason when every setting is refused. */
mls_status mls_comparison_possible(const mls_comparison *c, mls_err *err);

/** Every canonical setting of the file's rows with this key: compare_rows.c. */
typedef struct mls_kept_rows mls_kept_rows;

/** Open or begin the file; a torn last line of a stopped run is cut off. */
mls_status mls_kept_rows_open(mls_kept_rows **out, const char *path, mls_err *err);
void mls_kept_rows_close(mls_kept_rows *k); /* NULL is accepted */
/**
 * The row of this key; false when there is none, or one of an earlier build that lacks
 * figures of windows. row->seq_kl, row->seq_rest and
 * row->refused are the caller's; *original and *n_scored stay as they are when
 * the row was refused.
 */
bool mls_kept_rows_find(const mls_kept_rows *k, const char *key, mls_compared *row,
                        mls_mean *original, size_t *n_scored);
/** Append n rows and sync; those whose key is NULL are left out. */
mls_status mls_kept_rows_add(mls_kept_rows *k, const char *const *key,
                             const char *const *setting, const mls_compared *row,
                             size_t n, mls_mean original, size_t n_scored,
                             mls_err *err);

#endif
