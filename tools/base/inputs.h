/* Inputs that several commands open alike. */
#ifndef MLS_INPUTS_H
#define MLS_INPUTS_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/capture/capture.h"
#include "analysis/model/model.h"
#include "bench/frame/method.h"
#include "bench/frame/scheme.h"
#include "common/base/buf.h"
#include "common/base/status.h"
#include "common/system/pool.h"
#include "datasets/text/corpus.h"
#include "datasets/tokenizer/tokenizer.h"
#include "tools/base/options.h"

/** A model and what it is measured on. Starts as {0}. */
typedef struct mls_tool_subject {
    mls_model *model;
    char model_sha256[65]; /* "" when nobody needed it */
    mls_corpus corpus;     /* windows of the text */
    size_t length;         /* tokens of each */
    char before[128];     /* what they begin with, for the record; "": nothing to say */
    mls_capture *capture; /* NULL: none was given */
    mls_pool *pool;
    mls_method_input in; /* all of these */
} mls_tool_subject;

/** The options that say what to measure on. */
typedef struct mls_tool_windows {
    const mls_texts *texts;
    size_t length; /* tokens of a window; 0: mls_tool_length(), or 256 where windows are
                      counted */
    size_t sequences;    /* at most so many, 0: all */
    const char *capture; /* path, or NULL */
    size_t threads;      /* 0: all CPUs */
    bool no_bos;         /* windows do not begin with the tokenizer's BOS */
    bool unread;         /* no windows: the caller makes sequences of its own */
} mls_tool_windows;

/** From a folder, a config.json, or the metadata of a GGUF file. */
mls_status mls_tool_config(mls_config *config, const char *model, mls_err *err);

/** mls_model_open() for a command that computes: says what changes every figure. */
mls_status mls_tool_model(mls_model **out, const char *folder, mls_err *err);

/**
 * After mls_tool_model(&s->model, ...): read the text in windows, start threads, open
 * the capture. A capture of another model is refused; one of the text that is measured
 * on is remarked on.
 *
 * @param hash  fill in model_sha256 also without a capture; it reads all weights once
 * @return MLS_OK, or what reading says; release with mls_tool_close() in any case
 */
mls_status mls_tool_read(mls_tool_subject *s, const mls_tool_windows *w, bool hash,
                         mls_err *err);
void mls_tool_close(mls_tool_subject *s);

/** Remark that a text is foreign to the model, where a sign that is known says so. */
void mls_tool_foreign(const mls_config *config, double nll, double byte_share);

/** What is known at once of the settings of a command. Starts as {0}. */
typedef struct mls_tool_known {
    size_t possible;
    mls_err first;   /* the first reason */
    mls_buf reasons; /* each with its 0 */
} mls_tool_known;

/**
 * Look whether the model can take a setting. Where it cannot, that is a row without
 * figures, said before the work.
 *
 * @param row  of the settings file, for the sentence; 0: none
 * @return MLS_OK also for such a setting; MLS_E_ARG (no such method, key or word)
 */
mls_status mls_tool_possible(mls_tool_known *k, const mls_config *config,
                             const mls_setting *s, size_t row, mls_err *err);
/**
 * Say what is not possible, or fail with the first reason where nothing is; releases k.
 * @param others  there is more to do than these settings
 */
mls_status mls_tool_say_known(mls_tool_known *k, bool others, mls_err *err);

/**
 * What --compute asked for, or float with a remark where this machine has no such
 * products; and what --ram allows, in GiB (0: anything).
 */
void mls_tool_compute(mls_model *model, mls_compute compute, double ram);
/** What is recorded in a table: products that are not float's, a doubt about bytes. */
void mls_tool_record_model(mls_table *t, const mls_model *model);

enum { MLS_TOOL_TOKENS = 128 * 256 }; /* of calibration text, where nothing is said */

/**
 * Tokens of a window where the user names none: the largest power of two up to 1,024,
 * so that MLS_TOOL_TOKENS make 32 windows or more, that the model was trained at and
 * whose attention adds at most a quarter to the time of its weights; at least 256.
 */
size_t mls_tool_length(const mls_model *model, const mls_tokenizer *tok, bool no_bos);
/** Says so, when it is not 256. */
void mls_tool_length_note(const mls_model *model, size_t length);

/** How mls_corpus_read() treats the ids that the tokenizer puts before a text. */
unsigned mls_tool_bos(bool no_bos);
/** What windows begin with: "<bos>", "nothing", or "" where there is no such token. */
void mls_tool_before(char *out, size_t size, const mls_tokenizer *tok, bool no_bos);
/** That as a note and in the record of a table; nothing for "". */
void mls_tool_record_before(mls_table *t, const char *before);

/**
 * The scheme of a plan.json that was made for this model, and with the capture of this
 * path, where one is given (NULL: none).
 * @param[out] out  release with mls_scheme_free(); {0} on error
 */
mls_status mls_tool_plan(mls_scheme *out, const char *path, const mls_model *model,
                         const char *capture, mls_err *err);

/** Open a capture and refuse one of another model. @param[out] out  NULL on error */
mls_status mls_tool_capture(mls_capture **out, const char *path, const mls_model *model,
                            mls_err *err);

/**
 * The first sequences of a capture's own text, at most so many.
 * @param[out] out  release with mls_corpus_free(); {0} on error
 */
mls_status mls_tool_captured_text(mls_corpus *out, const mls_capture *capture,
                                  size_t windows, mls_err *err);

#endif
