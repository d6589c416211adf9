/*
 * libmlascope: what a setting caches and what it does to a model. The functions named
 * beside each include are what stays as it is within 0.2 (docs/ARCHITECTURE.md, "The
 * library"); the rest of these headers comes along for types.
 *
 *     cc program.c $(pkg-config --cflags --libs mlascope)
 *
 * Calls return mls_status and fill the caller's mls_err. Call mls_blas_single_thread()
 * once at the start: BLAS then leaves the threads to mls_pool, and the same input gives
 * the same bytes for any number of them. That a capture is of the model at hand is the
 * caller's to check: mls_capture_model_sha256() against mls_checkpoint_sha256().
 */
#ifndef MLASCOPE_H
#define MLASCOPE_H

/* mls_err, mls_status_exit() */
#include "common/base/status.h"
/* mls_pool_new(), mls_pool_free() */
#include "common/system/pool.h"

/* Open a model: mls_config_read() for its shape, mls_model_open(), _close(), _config()
   for its weights */
#include "analysis/model/model.h"
#include "datasets/checkpoint/config.h"

/* Text as ids in windows: mls_tokenizer_open(), _close(), mls_corpus_read(), _free() */
#include "datasets/text/corpus.h"
#include "datasets/tokenizer/tokenizer.h"

/* Statistics: mls_capture_run(), mls_capture_open(), _close() */
#include "analysis/capture/capture.h"

/* A setting: mls_setting_parse(), _expand(), _text(); mls_method_layout() for what it
   caches; mls_scheme_uniform(), _per_layer(), _free(), _prepare(), _build() for its
   forms, mls_latent_free() */
#include "analysis/latent/latent.h"
#include "bench/frame/method.h"
#include "bench/frame/scheme.h"
#include "bench/setting/setting.h"

/* Bytes: mls_size(), mls_size_one(), mls_size_own() */
#include "analysis/latent/size.h"

/* Errors from moments, without running the model: mls_predict() */
#include "analysis/latent/predict.h"

/* Perplexity and KL on a text: mls_evaluate(), mls_evaluation_free() */
#include "bench/evaluate/evaluate.h"
#include "bench/evaluate/isolated.h"

/* mls_blas_single_thread() */
#include "analysis/numeric/blas.h"

#endif
