/*
 * Typed keys: one table says what the words of a method's settings are called, mean,
 * default to and may be. Settings are read by it, once, into a struct of parameters;
 * the names that a refusal lists, the open ranks and the settings page come from it.
 */
#ifndef MLS_KEYS_H
#define MLS_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/quant/quantizer.h"
#include "bench/setting/setting.h"
#include "common/base/status.h"
#include "datasets/checkpoint/config.h"

typedef enum mls_key_type {
    MLS_KEY_SIZE,  /* size_t */
    MLS_KEY_REAL,  /* double */
    MLS_KEY_WORD,  /* size_t: which of `words`, or its number in `values` */
    MLS_KEY_TEXT,  /* char[MLS_SETTING_WORD]; "" when absent and without a default */
    MLS_KEY_HEADS, /* size_t[MLS_HEADS_MAX]: "24", or "24:40:16:8" for each KV head */
    MLS_KEY_QUANT, /* mls_quant; absent and without a default: as it is */
    MLS_KEY_BITS,  /* mls_quant: "4" for int4/64+128; most: none */
} mls_key_type;

/** Keys are read in the order of their table: later ones may look at earlier ones. */
typedef struct mls_key {
    const char *name; /* NULL ends a table */
    mls_key_type type;
    size_t at;        /* offset in the parameters */
    const char *hint; /* what stands for a value: "N", "RULE", "SHARE" */
    const char *help; /* one line */

    const char *const *words; /* NULL-terminated, the first is the default; of a size:
                                 one word that stands for 0 */
    const size_t *values;     /* of the words, where the index is not meant */
    double least, most;       /* what any model takes */

    /* The default, one of these; a size or a number without: 0. */
    double usual;
    const char *text;
    const char *like; /* the value of this earlier key of the same type */
    size_t (*otherwise)(const mls_config *config, const void *params);
    const char *said; /* what an absent key means, for people: "D/2", "by the data" */

    /* The most that this model takes, and what that is: "the chunks of a head". */
    size_t (*limit)(const mls_config *config, const void *params);
    const char *what;
    const char *bound; /* the same as a formula: "min(G D, E)" */

    /* Why the key has no meaning beside the earlier ones; returns NULL: it has. */
    const char *(*refuse)(const void *params);

    /* With this word, or "" with any value, ranks follow from the data. */
    const char *open;
    const char *instead; /* a key that has nothing to say beside this one */
    bool by_head;        /* other than by default, heads of a layer may differ by it */
} mls_key;

/** Defines a default or limit: a value of config c and parameters p of that type. */
#define MLS_KEY_FROM(name, type, value)                                                \
    static size_t name(const mls_config *c, const void *said)                          \
    {                                                                                  \
        const type *p = said;                                                          \
                                                                                       \
        (void)c;                                                                       \
        (void)p;                                                                       \
        return (value);                                                                \
    }

/** Defines what refuses a key: a condition on parameters p, and the words for it. */
#define MLS_KEY_REFUSED(name, type, when, words)                                       \
    static const char *name(const void *said)                                          \
    {                                                                                  \
        const type *p = said;                                                          \
                                                                                       \
        return (when) ? (words) : NULL;                                                \
    }

/** Ends a table. */
#define MLS_KEYS_END                                                                   \
    {                                                                                  \
        .name = NULL                                                                   \
    }

/**
 * Every key of the setting is in one of two tables (either may be NULL); MLS_E_ARG
 * names the one that is not and the nearest known one.
 */
mls_status mls_keys_check(const mls_setting *s, const mls_key *own,
                          const mls_key *common, mls_err *err);

/**
 * @param[out] params  zeroed by the caller
 * @return MLS_OK, MLS_E_ARG (no such value) or MLS_E_INPUT (not for this model, with
 *         the nearest possible; no meaning beside the other keys)
 */
mls_status mls_keys_read(void *params, const mls_key *keys, const mls_config *config,
                         const mls_setting *s, mls_err *err);

/**
 * The parameter of a key as a setting says it: the inverse of reading. Returns out.
 * @param config  how many heads there are
 */
const char *mls_keys_say(const mls_key *k, const mls_config *config, const void *params,
                         char out[MLS_SETTING_WORD]);
/** A setting that says the parameters. MLS_OK or MLS_E_ARG (too many). */
mls_status mls_keys_write(mls_setting *s, const char *method, const mls_key *keys,
                          const mls_config *config, const void *params, mls_err *err);

/** Can heads of a layer differ by these parameters? keys may be NULL. */
bool mls_keys_by_head(const mls_key *keys, const mls_config *config,
                      const void *params);

/** Has the method a key of that name whose value the setting leaves open? */
bool mls_keys_leave(const mls_key *keys, const mls_setting *s, const char *name);

/** The key of that name, or NULL; keys may be NULL. */
const mls_key *mls_keys_find(const mls_key *keys, const char *name);

/** Does a key of the setting make ranks follow from the data? */
bool mls_keys_open(const mls_key *keys, const mls_setting *s);

static inline size_t mls_least(size_t a, size_t b)
{
    return a < b ? a : b;
}

#endif
