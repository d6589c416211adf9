/*
 * Keys of a text model's config.json under one name each, with the defaults of its
 * class filled in. Every key that is asked for is remembered, so that what nobody
 * understood can be told afterwards.
 */
#ifndef MLS_FACTS_H
#define MLS_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/base/status.h"
#include "datasets/family/class.h"

typedef struct mls_facts {
    const char *path;
    json_t *file;           /* the text model's object, as the file has it; borrowed */
    json_t *full;           /* canonical names and class defaults; owned */
    json_t *defaults;       /* of the class, under all their names; owned, or NULL */
    json_t *asked;          /* names that were read, as a set; owned */
    const mls_class *class; /* NULL: nobody taught us this model_type */
    bool alike;             /* another model_type, which is read as that class */
    mls_err *err;
} mls_facts;

/**
 * @param file        borrowed until mls_facts_free()
 * @param model_type  whose defaults count, or those of the class that it is like
 * @param nested      a text_config may leave out what a whole model must say
 */
mls_status mls_facts_init(mls_facts *k, const char *path, json_t *file,
                          const char *model_type, mls_err *err);
void mls_facts_free(mls_facts *k);

/** The value of a key; NULL when it is missing or null. */
json_t *mls_fact(const mls_facts *k, const char *name);
/** The same without remembering: for a look that uses nothing. */
json_t *mls_fact_peek(const mls_facts *k, const char *name);
/** The file itself says it, under this name or another of the class; null counts. */
bool mls_fact_given(const mls_facts *k, const char *name);
/** The class has such a key, or there is no class. */
bool mls_fact_belongs(const mls_facts *k, const char *name);
/** The class reads such a key, for the cache or for anything else. */
bool mls_fact_known(const mls_facts *k, const char *name);

/** A whole number in min..max; *out stays when the key is missing or null. */
mls_status mls_fact_whole(const mls_facts *k, const char *name, size_t min, size_t max,
                          size_t *out);
/** value is one of the key's: a whole number in min..max, or MLS_E_INPUT naming it. */
mls_status mls_fact_whole_of(const mls_facts *k, const char *name, const json_t *value,
                             size_t min, size_t max, size_t *out);
/** true or false; *out stays when the key is missing or null. */
mls_status mls_fact_flag(const mls_facts *k, const char *name, bool *out);

/**
 * A key of the file whose name says that it touches the cache ("*swa*", "*ssm*", ...),
 * that is not off, and that neither the class nor any reader knows; NULL when there is
 * none.
 */
const char *mls_facts_doubtful(const mls_facts *k);

#endif
