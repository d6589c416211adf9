/* What the parts of capture share: the record of one layer, the head of a file, the
   restart folder. Include capture.h from elsewhere. */
#ifndef MLS_CAPTURE_INNER_H
#define MLS_CAPTURE_INNER_H

#include <stdbool.h>

#include "analysis/capture/capture.h"
#include "analysis/capture/store.h"

#define MLS_CAPTURE_KIND "capture 2"
enum {
    MLS_WINDOW_PARTS = 4,
    /* Jobs of a layer, each with sums of its own, and so most parts of a run. A part of
       the format: sums depend on it. */
    MLS_CAPTURE_JOBS = 1024,
    MLS_CAPTURE_RECORD_MAX = 1 << 16, /* bytes of an attribute, HDF5's limit */
};

/** Which jobs (runs of per_job sequences) of a run a capture has; capture_shard.c */
typedef struct mls_capture_shard {
    size_t index, count; /* part index, from 0, of count; 0, 0: a whole run */
    size_t N;            /* sequences of the whole run */
    size_t per_job, n_jobs;
    size_t from, to;   /* its jobs from .. to - 1 */
    size_t first, end; /* and their sequences */
    uint64_t key;      /* of the whole run: parts with another do not belong together */
} mls_capture_shard;

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
    mls_capture_shard shard;
    char arithmetic[48]; /* products of the forward pass */
    char model_sha256[65], text_sha256[65], tokenizer_sha256[65];
} mls_capture_head;

/** Everything one layer adds. Release with mls_record_free(). */
typedef struct mls_record {
    mls_layer_stats stats;     /* q_norm and k_norm are not used: the file has them per
                              sequence */
    double *q_norms, *k_norms; /* (N, H, C), (N, G, C) */
    float *window[MLS_WINDOW_PARTS]; /* (W, window_T, n) by mls_window_part */
    double *sums; /* of a part: (nodes, values), see mls_shard_values() */
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

/* Parts of a run (capture_shard.c). */

/** Which jobs of N sequences part index of count has; MLS_E_INPUT: none. */
mls_status mls_shard_plan(mls_capture_shard *s, size_t N, size_t index, size_t count,
                          mls_err *err);
/** Sums of the tree of mls_moments_join() that a part keeps per layer; 0: whole run. */
size_t mls_shard_nodes(const mls_capture_shard *s);
/** Values of such a sum: upper triangle of x_second, then all others but the norms. */
size_t mls_shard_values(const mls_config *config);
/** One sum from and to its parts: second (E, E), small as one job has it. */
void mls_shard_pack(double *sum, const double *second, const double *small,
                    const mls_config *config);
void mls_shard_unpack(const double *sum, double *second, double *small,
                      const mls_config *config);
/** The attributes of /shard, which a whole run has not. */
mls_status mls_shard_write(mls_store *s, const mls_capture_shard *shard, mls_err *err);
/** @param shard  of a capture of N sequences; count is 0 when it is a whole run */
mls_status mls_shard_read(mls_store *s, mls_capture_shard *shard, size_t N,
                          mls_err *err);
/** Sum number node of layer l, (values). */
mls_status mls_capture_sum(mls_capture *c, size_t l, size_t node, double *sum,
                           mls_err *err);
/** Put parts in order; a missing, double or foreign one is refused by name. */
mls_status mls_shards_sort(mls_capture **parts, size_t n, mls_err *err);
/** All parts' sums of layer l into the moments of the whole. */
mls_status mls_shards_join(mls_capture *const *parts, size_t n, size_t l,
                           mls_layer_stats *s, mls_err *err);

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
