/* What the targets of an export share. */
#ifndef MLS_EXPORT_INNER_H
#define MLS_EXPORT_INNER_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/latent/latent.h"
#include "common/base/buf.h"
#include "datasets/base/json.h"
#include "reports/export/export.h"

/** One export under way. */
typedef struct mls_export_work {
    const mls_export *job;
    const mls_config *config;
    mls_parsed *parsed; /* (n_settings) of the scheme */
    const char *folder; /* under its temporary name */
    mls_buf files;      /* README: one "- `name`: what" line per file */
    mls_buf next;       /* README: what the user types next, in a code block */
    mls_buf known;      /* README: one "- sentence" line per thing to know */
} mls_export_work;

typedef struct mls_export_target {
    const char *name;
    const char *title; /* "MHA2MLA" */
    const char *known; /* what the project is known to get wrong; lines "- ..." */
    bool weights; /* it writes attention weights, not only what a converter reads */
    bool copies;  /* and the rest of the checkpoint */
    mls_status (*write)(mls_export_work *w, mls_err *err);
} mls_export_target;

extern const mls_export_target mls_export_deepseek, mls_export_elitekv, mls_export_gguf,
    mls_export_latent, mls_export_mha2mla, mls_export_transmla, mls_export_x_ecomla;

/**
 * Every layer is of this method, with as many chunks in every head; MLS_E_INPUT says
 * who can take it.
 */
mls_status mls_export_require(const mls_export_work *w, const char *method,
                              mls_err *err);
/** Every layer's `key`, where the method has it, is `usual`; MLS_E_INPUT adds why. */
mls_status mls_export_refuse_key(const mls_export_work *w, const char *key,
                                 const char *usual, const char *why, mls_err *err);
/** Every layer is converted; MLS_E_INPUT otherwise. */
mls_status mls_export_all_layers(const mls_export_work *w, mls_err *err);

/** What the setting of layer l says. */
const mls_parsed *mls_export_says(const mls_export_work *w, size_t l);
/**
 * What every layer caches, each by its own setting.
 * @param[out] out  release with free()
 */
mls_status mls_export_layout(const mls_export_work *w, mls_cache_layout **out,
                             mls_err *err);
/** Numbers of all vectors of a kind in a layer. */
size_t mls_export_numbers(const mls_cache_layer *layer, mls_part_kind kind);
/**
 * MLS_E_INPUT when the values (L) differ, because the target takes one: "TITLE takes
 * one NAME for all layers, ...; the nearest is NAME=mean".
 */
mls_status mls_export_same(const mls_export_work *w, const char *title,
                           const char *name, const size_t *value, mls_err *err);

/**
 * Chunk orders of all layers, from the rule of each layer's setting, whose parameters
 * begin with mls_partial.
 * @param[out] order  (L, G, C), release with free()
 */
mls_status mls_export_orders(const mls_export_work *w, const size_t *chunks,
                             uint16_t **order, mls_err *err);

/** Called with one layer's form after the other. */
typedef mls_status (*mls_export_form)(void *arg, const mls_latent_form *form,
                                      mls_err *err);
/** Build every layer's form, one at a time. */
mls_status mls_export_forms(const mls_export_work *w, mls_export_form use, void *arg,
                            mls_err *err);

/** Write a text file of the export and list it in the README. */
mls_status mls_export_text(mls_export_work *w, const char *name, const mls_buf *text,
                           const char *what, mls_err *err);
/** The same for JSON, indented. */
mls_status mls_export_json(mls_export_work *w, const char *name, const json_t *value,
                           const char *what, mls_err *err);
/** A text as a YAML or JSON string, in double quotes. */
void mls_export_quoted(mls_buf *b, const char *text);
/** List a file in the README. */
void mls_export_listed(mls_export_work *w, const char *name, const char *what);
/** Path of a file of the export; released by the caller with free(). */
mls_status mls_export_path(const mls_export_work *w, const char *name, char **path,
                           mls_err *err);
/**
 * tokenizer.json, tokenizer_config.json and generation_config.json: the model's files,
 * or made of a GGUF file's keys.
 */
mls_status mls_export_tokenizer(mls_export_work *w, mls_err *err);
/** The model's own config.json. @param[out] out  release: json_decref() */
mls_status mls_export_config(const mls_export_work *w, json_t **out, mls_err *err);

#endif
