/* A CSV of settings; words in braces are computed from the model's shape. */
#ifndef MLS_SETTINGS_FILE_H
#define MLS_SETTINGS_FILE_H

#include <stddef.h>

#include "bench/setting/setting.h"
#include "common/base/status.h"
#include "datasets/checkpoint/config.h"

/** One setting and what its file says about it. */
typedef struct mls_listed {
    mls_setting setting;
    char label[128];  /* column `label`, or "" */
    char source[128]; /* column `source`, or "" */
    size_t row;       /* in the file, the header is row 1 */
} mls_listed;

/** Settings of one or more files; starts as {0}, released with mls_listed_free(). */
typedef struct mls_listing {
    mls_listed *item;
    size_t n;
} mls_listing;

void mls_listed_free(mls_listing *list); /* {0} is accepted */

/**
 * Replace every {A*B/2} by its value: letters L E H G D C F V and whole numbers, from
 * left to right with * and / in exact fractions, rounded down at the end, at least 1.
 * So one file serves every model.
 *
 * @return MLS_OK, MLS_E_INPUT (grammar: the word is named) or MLS_E_ARG (no room in
 * out)
 */
mls_status mls_shape_words(char *out, size_t size, const char *text,
                           const mls_config *config, mls_err *err);

/**
 * Append the settings of a CSV: column `setting` (lists and ranges give every
 * combination), optional `label` and `source`; others are not read.
 *
 * @return MLS_OK, MLS_E_INPUT (file and row are named) or MLS_E_NOMEM
 */
mls_status mls_listing_read(mls_listing *list, const char *path,
                            const mls_config *config, mls_err *err);

/** Append one line, as --setting gives it. */
mls_status mls_listing_add(mls_listing *list, const char *text, const char *label,
                           const char *source, size_t row, const mls_config *config,
                           mls_err *err);

#endif
