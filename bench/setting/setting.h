/* A setting: "mha2mla rope=2-norm chunks=4 rank=32 svd=joint bits=4", one line. */
#ifndef MLS_SETTING_H
#define MLS_SETTING_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"

enum {
    MLS_SETTING_KEYS_MAX = 24,
    MLS_SETTING_WORD = 256,
    MLS_SETTINGS_MAX = 10000, /* settings that one line may expand to */
};

/** A plain value: method name and key=value pairs, in the order they were written. */
typedef struct mls_setting {
    char method[32];
    size_t n;
    char key[MLS_SETTING_KEYS_MAX][32];
    char value[MLS_SETTING_KEYS_MAX][MLS_SETTING_WORD];
} mls_setting;

/**
 * MLS_E_ARG on grammar, twice the same key, or words too long. Values are not checked.
 */
mls_status mls_setting_parse(mls_setting *s, const char *text, mls_err *err);

/**
 * Expand lists and ranges ("8,16", "16-128+16", "16-256*2") of every key into the full
 * cross product, first key slowest. The value of `layers` is itself a list and stays
 * whole; ';' separates its alternatives ("layers=0-7;8-15").
 *
 * @param[out] out  released by the caller with free()
 * @return MLS_OK, MLS_E_NOMEM or MLS_E_ARG (grammar, more than MLS_SETTINGS_MAX)
 */
mls_status mls_setting_expand(const char *text, mls_setting **out, size_t *n,
                              mls_err *err);

/** "method key=value ...", the canonical text. Returns out, cut at size. */
const char *mls_setting_text(const mls_setting *s, char *out, size_t size);

/**
 * True when it reads a file that it names (path=..., rope=file:...): what it stands for
 * can change while its text does not.
 */
bool mls_setting_names_file(const mls_setting *s);

/** True when it quantizes anything that is cached. */
bool mls_setting_quantized(const mls_setting *s);

/** NULL when the key is absent. */
const char *mls_setting_get(const mls_setting *s, const char *key);
/** Replace or append; MLS_E_ARG when there is no room or a word is too long. */
mls_status mls_setting_set(mls_setting *s, const char *key, const char *value,
                           mls_err *err);
/** Whole number min..max, or `otherwise` when absent; MLS_E_ARG names key and range. */
mls_status mls_setting_size(const mls_setting *s, const char *key, size_t otherwise,
                            size_t min, size_t max, size_t *out, mls_err *err);
/** The same for a number. */
mls_status mls_setting_real(const mls_setting *s, const char *key, double otherwise,
                            double min, double max, double *out, mls_err *err);
/**
 * One of a NULL-terminated list of words; absent: the first.
 * @param[out] out  index in words
 */
mls_status mls_setting_word(const mls_setting *s, const char *key,
                            const char *const *words, size_t *out, mls_err *err);
/**
 * Whole numbers of a list with ranges, as option `name` takes them: "8,16-64*2".
 * @param[out] out  released by the caller with free()
 * @return MLS_OK, MLS_E_NOMEM or MLS_E_ARG (grammar, outside min..max)
 */
mls_status mls_size_list(const char *name, const char *text, size_t min, size_t max,
                         size_t **out, size_t *n, mls_err *err);

#endif
