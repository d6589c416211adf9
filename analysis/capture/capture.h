/* The capture file: statistics of a model on a text, in HDF5 (docs/FORMAT.md). */
#ifndef MLS_CAPTURE_H
#define MLS_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/model/model.h"
#include "analysis/model/stats.h"
#include "common/base/status.h"
#include "common/system/hash.h"
#include "common/system/pool.h"
#include "common/system/progress.h"
#include "datasets/text/corpus.h"

/** {0} takes the defaults; texts may be NULL, which records an empty one. */
typedef struct mls_capture_options {
    size_t n_windows;       /* windows of q, k, v, x kept; 0: none */
    uint64_t windows_bytes; /* fewer, then shorter windows when they would take more; 0:
                               100 MB, or half of what the moments take */
    const char *sampling; /* which sequences of the text: "the first", for the record */
    uint64_t seed;        /* of a random sampling, for the record */
    const char *command;  /* the command line, for the record */
    const char *text_names;               /* names of the text files, for the record */
    const char *blas_library, *blas_core; /* for the record; NULL: those of now */
    const char *tokenizer_sha256;
    const char *model_sha256; /* NULL: computed here, which reads the whole model */
    size_t shard, n_shards;   /* 0, 0: all; else part `shard`, from 0, of n_shards */
    uint64_t beside;          /* bytes that will be written beside the file */
    double save_every;        /* seconds between restart points; 0: after each layer */
    bool
        keep_finished; /* a whole file at path that this call would write again stays */
} mls_capture_options;

/**
 * One pass of the model over the corpus, streamed into a capture file at path. Finished
 * layers and now and then the hidden states are kept in the folder `path`.part; the
 * same call after a stop, a kill or a full disk goes on from there and gives the same
 * bytes. The folder is removed at the end. Jobs are a fixed number of runs of
 * consecutive sequences, so that the file does not depend on the number of threads.
 *
 * With n_shards the file is a capture of some of these runs of sequences, and holds
 * their sums as well: mls_capture_merge() makes of all n_shards the bytes of one run.
 *
 * Every sequence of the corpus must have two tokens or more.
 *
 * @return MLS_OK, MLS_E_INPUT (path cannot be written: said before the work; another
 *         run is writing it; a single token), MLS_E_NUMERIC (not finite: layer, part,
 *         head, sequence, token), MLS_E_STOPPED, MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_capture_run(const mls_model *m, const mls_corpus *corpus,
                           const char *path, const mls_capture_options *options,
                           mls_pool *pool, const mls_progress *progress, mls_err *err);

/** An open capture file. One thread at a time. */
typedef struct mls_capture mls_capture;

/**
 * Open and check: every byte against the hash in front of the file, the format's
 * version, every dataset's type and shape.
 * @param[out] out  release with mls_capture_close(); NULL on error
 * @return MLS_OK, MLS_E_INPUT, MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_capture_open(mls_capture **out, const char *path, mls_err *err);
void mls_capture_close(mls_capture *c); /* NULL is accepted */

/** The path it was opened by; borrowed, as all that follow. */
const char *mls_capture_path(const mls_capture *c);
/**
 * What tells this file from any other: a hash of its first bytes, which hold that of
 * all others.
 * @return MLS_OK, MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_capture_id(const mls_capture *c, char id[MLS_SHA256_HEX], mls_err *err);
/**
 * Where the one user that works out results from this file keeps them (shared_results.h
 * in analysis/frequency): NULL at first, released with the capture.
 */
void **mls_capture_kept(mls_capture *c, void (*release)(void *kept));
const mls_config *mls_capture_config(const mls_capture *c);
size_t mls_capture_sequences(const mls_capture *c); /* N */
size_t mls_capture_length(const mls_capture *c);    /* ids of the longest sequence */
/** How many of them, at the head of every sequence, are not of the text: BOS. */
size_t mls_capture_lead(const mls_capture *c);
size_t mls_capture_windows(const mls_capture *c); /* W */
/** Tokens of every window, the first of its sequence. */
size_t mls_capture_window_length(const mls_capture *c);
/**
 * Hashes of the model and of the text, as mls_checkpoint_sha256() and
 * mls_corpus_read().
 */
const char *mls_capture_model_sha256(const mls_capture *c);
const char *mls_capture_text_sha256(const mls_capture *c);
/** Sequence n is ids[start[n] .. start[n + 1] - 1]; start (N + 1), both borrowed. */
const size_t *mls_capture_start(const mls_capture *c);
const int32_t *mls_capture_ids(const mls_capture *c);
/** Mean negative log-likelihood (nat) of the captured text under the model. */
double mls_capture_nll(const mls_capture *c);
/** The same for every sequence (N); borrowed. */
const double *mls_capture_nll_each(const mls_capture *c);
/** The sequence that a window shows. */
size_t mls_capture_window_sequence(const mls_capture *c, size_t window);

/** Names of the text files, one per line. @param[out] names  released with free() */
mls_status mls_capture_text_names(mls_capture *c, char **names, mls_err *err);

/**
 * Join captures of one model and tokenizer with sequences of one length into a file at
 * path: moments weighted by tokens, sequences and windows one after the other.
 *
 * All parts of one run (n_shards) become the file that one run writes, byte for byte;
 * command and text_names are then the run's.
 *
 * @param captures    (n), n >= 1; parts are put in order
 * @param command     for the record
 * @param text_names  for the record
 * @return MLS_OK, MLS_E_INPUT (another model, tokenizer or length; a sequence that is
 *         in two of them; a missing, double or foreign part), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_capture_merge(mls_capture **captures, size_t n, const char *path,
                             const char *command, const char *text_names, mls_err *err);

/**
 * Compare every dataset with the manifest, and every value with what it can be (a
 * number; not negative where it is a mean square); MLS_E_INPUT names what differs.
 */
mls_status mls_capture_verify(mls_capture *c, size_t *n_datasets, uint64_t *n_bytes,
                              mls_err *err);

/** All moments of layer l. @param[out] s  release with mls_layer_stats_free() */
mls_status mls_capture_stats(mls_capture *c, size_t l, mls_layer_stats *s,
                             mls_err *err);

/**
 * Mean 2-norm of every chunk, per sequence: q (N, H, C) and k (N, G, C); each is
 * allocated here and released by the caller with free().
 */
mls_status mls_capture_norms(mls_capture *c, size_t l, double **q, double **k,
                             mls_err *err);

typedef enum mls_window_part {
    MLS_WINDOW_X, /* (T, E) */
    MLS_WINDOW_Q, /* (T, H D), with bias and QK-norm, before RoPE */
    MLS_WINDOW_K, /* (T, G D) */
    MLS_WINDOW_V, /* (T, G D) */
} mls_window_part;

/** One whole window. @param[out] data  of the part's shape, provided by the caller */
mls_status mls_capture_window(mls_capture *c, size_t l, size_t window,
                              mls_window_part part, float *data, mls_err *err);

#endif
