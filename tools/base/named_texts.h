/* Texts with names, `-f wiki=FILE`: what is the same on all, and what is not. */
#ifndef MLS_NAMED_TEXTS_H
#define MLS_NAMED_TEXTS_H

#include "analysis/capture/capture.h"
#include "common/base/buf.h"
#include "common/base/status.h"
#include "datasets/text/corpus.h"
#include "tools/base/options.h"

enum { MLS_NAMED_TEXTS = 8, MLS_TEXT_NAME = 32 };

typedef struct mls_named_text {
    char name[MLS_TEXT_NAME]; /* letters, digits, '-' and '_' */
    mls_texts files;          /* borrowed, without the name */
} mls_named_text;

/** n = 0: the texts have no names. */
typedef struct mls_named_texts {
    size_t n;
    mls_named_text text[MLS_NAMED_TEXTS];
} mls_named_texts;

/**
 * Sort what was given by name and take the names off; files of one name belong
 * together. A file that is there under its whole name has none.
 * @return MLS_OK or MLS_E_INPUT (some with and some without, a single name, too many)
 */
mls_status mls_tool_named_texts(mls_named_texts *out, mls_texts *texts, mls_err *err);

/**
 * At most `wanted` sequences of each text.
 * @param[out] each  (names->n) released with mls_corpus_free(), also on error
 */
mls_status mls_tool_read_named(mls_corpus *each, const mls_named_texts *names,
                               mls_tokenizer *tok, size_t length, size_t wanted,
                               unsigned how, mls_err *err);

/** Sequences of several corpora with the same lead, one after the other. */
mls_status mls_tool_join(mls_corpus *all, const mls_corpus *each, size_t n,
                         mls_err *err);

/**
 * A capture of each text at path[i], as `options` say but for windows, which they
 * share, and their sum at `all`.
 * @param[out] out  (names->n) released with mls_capture_close(), also on error
 */
mls_status mls_tool_capture_named(mls_capture **out, const mls_named_texts *names,
                                  const mls_corpus *each, const char *const *path,
                                  const char *all, const mls_model *model,
                                  const mls_capture_options *options, mls_pool *pool,
                                  const mls_progress *progress, mls_err *err);

/** A file as it was given, with its name, for the record of a command. */
void mls_tool_named_shell(mls_buf *command, const mls_named_texts *names,
                          const char *file);

#endif
