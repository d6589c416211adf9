/*
 * Spellings lie in one arena; a table with open addressing finds ids, an array
 * spellings. At most half of the slots are used.
 */
#include "datasets/tokenizer/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/base/shape.h"
#include "common/system/hash.h"

typedef struct entry {
    const char *token; /* in the arena */
    uint32_t len;
    int32_t id;
} entry;

struct mls_vocabulary {
    char *arena;        /* every spelling, each with a NUL */
    entry *slots;       /* open addressing; token is NULL in a free one */
    size_t mask;        /* number of slots - 1 */
    const char **by_id; /* (size) */
    size_t size;
};

void mls_vocabulary_free(mls_vocabulary *v)
{
    if (!v)
        return;
    free(v->arena);
    free(v->slots);
    free(v->by_id);
    free(v);
}

/* The slot of a spelling, or the free one where it belongs. */
static entry *find(const mls_vocabulary *v, const char *token, size_t len)
{
    size_t i = (size_t)mls_xxh3(token, len) & v->mask;

    while (v->slots[i].token &&
           (v->slots[i].len != len || memcmp(v->slots[i].token, token, len) != 0))
        i = (i + 1) & v->mask;
    return &v->slots[i];
}

/* Check all ids and find out how much memory is needed. */
static mls_status measure(const json_t *tokens, size_t *bytes, size_t *size,
                          mls_err *err)
{
    union {
        const json_t *read;
        json_t *iterate; /* jansson's iterators change nothing */
    } o = {tokens};

    *bytes = *size = 0;
    for (void *i = json_object_iter(o.iterate); i;
         i = json_object_iter_next(o.iterate, i)) {
        const char *token = json_object_iter_key(i);
        const json_t *value = json_object_iter_value(i);
        const json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;

        if (id < 0 || id >= MLS_VOCAB_MAX)
            return mls_fail(err, MLS_E_INPUT,
                            "model: token \"%.64s\": expected an id from 0 to %d, "
                            "found %s",
                            token, MLS_VOCAB_MAX - 1,
                            json_is_integer(value) ? "another number"
                                                   : mls_json_kind(value));
        *bytes += strlen(token) + 1;
        if ((size_t)id >= *size)
            *size = (size_t)id + 1;
    }
    return MLS_OK;
}

mls_status mls_vocabulary_new(mls_vocabulary **out, const json_t *tokens, mls_err *err)
{
    mls_vocabulary *v = NULL;
    size_t bytes, size, slots = 16;
    union {
        const json_t *read;
        json_t *iterate;
    } o = {tokens};
    mls_status st = measure(tokens, &bytes, &size, err);
    char *end;

    *out = NULL;
    if (st)
        return st;
    while (slots < 2 * json_object_size(tokens))
        slots *= 2;
    v = calloc(1, sizeof *v);
    if (v) {
        v->arena = malloc(bytes + 1);
        v->slots = mls_calloc3(slots, 1, 1, sizeof *v->slots);
        v->by_id = mls_calloc3(size, 1, 1, sizeof *v->by_id);
    }
    if (!v || !v->arena || !v->slots || !v->by_id) {
        mls_vocabulary_free(v);
        return mls_fail(err, MLS_E_NOMEM, "no memory for a vocabulary of %zu tokens",
                        json_object_size(tokens));
    }
    v->mask = slots - 1;
    v->size = size;
    end = v->arena;
    for (void *i = json_object_iter(o.iterate); i;
         i = json_object_iter_next(o.iterate, i)) {
        const char *token = json_object_iter_key(i);
        const size_t len = strlen(token);
        const int32_t id = (int32_t)json_integer_value(json_object_iter_value(i));

        memcpy(end, token, len + 1);
        *find(v, token, len) = (entry){end, (uint32_t)len, id};
        v->by_id[id] = end;
        end += len + 1;
    }
    *out = v;
    return MLS_OK;
}

size_t mls_vocabulary_size(const mls_vocabulary *v)
{
    return v->size;
}

int32_t mls_vocabulary_id(const mls_vocabulary *v, const char *token, size_t len)
{
    const entry *e = find(v, token, len);

    return e->token ? e->id : -1;
}

const char *mls_vocabulary_token(const mls_vocabulary *v, int32_t id)
{
    return id >= 0 && (size_t)id < v->size ? v->by_id[id] : NULL;
}
