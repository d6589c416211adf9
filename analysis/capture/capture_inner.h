/* What the parts of capture share: the record of one layer, the head of a file, the
   restart folder. Include capture.h from elsewhere. */
#ifndef MLS_CAPTURE_INNER_H
#define MLS_CAPTURE_INNER_H

#include <stdbool.h>

#include "analysis/capture/capture.h"
#include "analysis/capture/store.h"

#define MLS_CAPTURE_KIND "capture 2"
enum { MLS_WINDOW_PARTS = 4 };

/** What a capture is about: all that is known before the first layer. */
typedef struct mls_capture_head {
    mls_config config;
    size_t N;
    const size_t *start;       /* (N + 1) */
    const int32_t *ids;        /* (start[N]) */
    size_t T;                  /* ids of the longest sequence */
    size_t lead;               /* of them not of the text, at the head of each: BOS */
    size_t W;                  /* windows */
    size_t window_T;           /* tokens of a window, the first of its sequence */
    uint64_t *window_sequence; /* (W) */
    const char *config_json;   /* as the checkpoint has it */
    size_t config_json_len;
    char arithmetic[48]; /* products of the forward pass */
    char model_sha256[65], text_sha256[65], tokenizer_sha256[65];
} mls_capture_head;

/** Everything one layer adds. Release with mls_record_free(). */
typedef struct mls_record {
    mls_layer_stats stats;     /* q_norm and k_norm are not used: the file has them per
                              sequence */
    double *q_norms, *k_norms; /* (N, H, C), (N, G, C) */
    float *window[MLS_WINDOW_PARTS]; /* (W, window_T, n) by mls_window_part */
} mls_record;

/** Numbers per token of a window's part. */
size_t mls_window_width(const mls_config *config, mls_window_part part);
/** Room for one layer, all 0. @param[out] r  {0} on error */
mls_status mls_record_new(mls_record *r, const mls_capture_head *head, mls_err *err);
void mls_record_free(mls_record *r); /* {0} is accepted */

/* The capture file (capture_file.c). */

/** Make the file with every dataset; @param temp as in mls_store_create() */
mls_status mls_capture_create(mls_store **out, const char *path, const char *temp,
                              const mls_capture_head *head,
                              const mls_capture_options *options, mls_err *err);
/** The next layer; adds to n_cut the window values that were too large for a half. */
mls_status mls_capture_append(mls_store *s, const mls_capture_head *head,
                              const mls_record *r, size_t *n_cut, mls_err *err);
/** All layers are in: add the mean NLL of each sequence (N) and finish; frees s. */
mls_status mls_capture_finish(mls_store *s, const double *nll, size_t N, mls_err *err);

/**
 * Is the file at path whole, and what the same call writes? False when it is not there.
 */
bool mls_capture_is_finished(const char *path, const mls_capture_head *head,
                             const mls_capture_options *options);

/** What an open file is about; borrowed. */
const mls_capture_head *mls_capture_head_of(const mls_capture *c);
mls_store *mls_capture_store(const mls_capture *c);

/* The restart folder (capture_part.c). */

typedef struct mls_part mls_part;

/**
 * Open or make `path`.part and lock it. What it holds of another run (another key) is
 * removed, which `stale` tells.
 */
mls_status mls_part_open(mls_part **out, const char *path, uint64_t key, bool *stale,
                         mls_err *err);
/** Unlock; `remove`: delete the folder as well. */
void mls_part_close(mls_part *p, bool remove);
/** A name in the folder for the file that is being put together; borrowed. */
const char *mls_part_temp(const mls_part *p);

/** Layers that need not be done again: their records and the states after are whole. */
size_t mls_part_finished(mls_part *p, const mls_capture_head *head);
/**
 * The record of layer l, written and read; rooms as mls_record_new() makes them. Adds
 * to n_cut the window values that were too large for a half.
 */
mls_status mls_part_save_record(mls_part *p, size_t l, const mls_capture_head *head,
                                const mls_record *r, size_t *n_cut, mls_err *err);
mls_status mls_part_load_record(mls_part *p, size_t l, const mls_capture_head *head,
                                mls_record *r, mls_err *err);
/** Hidden states (start[N], E) after layer l; those of earlier layers are removed. */
mls_status mls_part_save_states(mls_part *p, size_t l, const mls_capture_head *head,
                                float *h, mls_err *err);
mls_status mls_part_load_states(mls_part *p, size_t l, const mls_capture_head *head,
                                float *h, mls_err *err);

#endif
