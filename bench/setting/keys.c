/*
 * A value passes three gates, in this order: its grammar and the range of any model
 * (status "argument", the user mistyped), its meaning beside the other keys, and what
 * the model at hand can take (status "input", the user meant something else). The last
 * names the nearest value that would pass.
 */
#include "bench/setting/keys.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/shape.h"
#include "common/base/words.h"

const mls_key *mls_keys_find(const mls_key *keys, const char *name)
{
    for (; keys && keys->name; keys++)
        if (strcmp(keys->name, name) == 0)
            return keys;
    return NULL;
}

mls_status mls_keys_check(const mls_setting *s, const mls_key *own,
                          const mls_key *common, mls_err *err)
{
    const mls_key *const tables[] = {own, common};
    const char *names[2 * MLS_SETTING_KEYS_MAX + 1];
    mls_buf list = {0};
    size_t n = 0;
    mls_status st = MLS_OK;

    for (size_t t = 0; t < 2; t++)
        for (const mls_key *k = tables[t]; k && k->name; k++) {
            assert(n < 2 * MLS_SETTING_KEYS_MAX);
            mls_buf_printf(&list, "%s%s", n ? ", " : "", k->name);
            names[n++] = k->name;
        }
    names[n] = NULL;
    for (size_t i = 0; i < s->n && !st; i++) {
        if (mls_keys_find(own, s->key[i]) || mls_keys_find(common, s->key[i]))
            continue;
        const char *near = mls_nearest(s->key[i], names);

        st = near ? mls_fail(err, MLS_E_ARG, "%s has no key %s; did you mean %s?",
                             s->method, s->key[i], near)
                  : mls_fail(err, MLS_E_ARG, "%s has no key %s; it takes %s", s->method,
                             s->key[i], list.data ? list.data : "none");
    }
    mls_buf_free(&list);
    return st;
}

/* One number for all heads, or G of them with ':' between. */
static mls_status read_heads(size_t *rank, const mls_key *k, const mls_config *config,
                             size_t most, const mls_setting *s, const char *text,
                             mls_err *err)
{
    const size_t G = config->G;
    const char *p = text;
    size_t n = 0;

    while (p && n < G) {
        char *end;
        const unsigned long value = *p >= '0' && *p <= '9' ? strtoul(p, &end, 10) : 0;

        if (value == 0 || value > MLS_WIDTH_MAX || (*end && *end != ':'))
            break;
        rank[n++] = value;
        p = *end ? end + 1 : NULL;
        if (!p && n == 1)
            for (; n < G; n++)
                rank[n] = rank[0];
    }
    if (p || n != G)
        return mls_fail(
            err, MLS_E_ARG,
            "%s: %s is a whole number from 1 to %zu, or one for each of %zu "
            "KV heads with ':' between them, found \"%s\"",
            s->method, k->name, most, G, text);
    return MLS_OK;
}

static mls_status read_quant(mls_quant *to, const mls_key *k, const mls_setting *s,
                             mls_err *err)
{
    const char *text = mls_setting_get(s, k->name);
    const mls_status st = mls_quant_parse(to, text, err);

    return st ? mls_fail_in(err, st, "%s: %s", s->method, k->name) : MLS_OK;
}

/* The group and residual length of Hugging Face's QuantizedCache. */
static mls_status read_bits(mls_quant *to, const mls_key *k, const mls_setting *s,
                            mls_err *err)
{
    const size_t none = (size_t)k->most;
    size_t bits;
    char text[32];
    mls_status st =
        mls_setting_size(s, k->name, none, (size_t)k->least, none, &bits, err);

    if (st || bits == none)
        return st;
    snprintf(text, sizeof text, "int%zu/64+128", bits);
    st = mls_quant_parse(to, text, err);
    return st ? mls_fail_in(err, st, "%s: %s=%zu", s->method, k->name, bits) : MLS_OK;
}

/* The value that an absent key has. */
static void set_default(void *to, const mls_key *k, const mls_key *keys,
                        const mls_config *config, const void *params)
{
    const mls_key *like = k->like ? mls_keys_find(keys, k->like) : NULL;
    const size_t n = k->otherwise ? k->otherwise(config, params) : (size_t)k->usual;
    const size_t *of_like =
        like ? (const void *)((const char *)params + like->at) : NULL;

    assert(!k->like || (like && like->type == k->type));
    switch (k->type) {
    case MLS_KEY_SIZE:
        *(size_t *)to = like ? *of_like : n;
        break;
    case MLS_KEY_REAL:
        *(double *)to = k->usual;
        break;
    case MLS_KEY_WORD:
        *(size_t *)to = k->values ? k->values[0] : 0;
        break;
    case MLS_KEY_TEXT:
        snprintf(to, MLS_SETTING_WORD, "%s", k->text ? k->text : "");
        break;
    case MLS_KEY_HEADS:
        for (size_t g = 0; g < config->G; g++)
            ((size_t *)to)[g] = like ? of_like[g] : n;
        break;
    case MLS_KEY_QUANT:
        if (like)
            *(mls_quant *)to = *(const mls_quant *)(const void *)of_like;
        break;
    case MLS_KEY_BITS:
        break;
    }
}

static mls_status read_value(void *to, const mls_key *k, const mls_config *config,
                             size_t limit, const mls_setting *s, mls_err *err)
{
    const char *text = mls_setting_get(s, k->name);
    size_t word = 0;
    mls_status st = MLS_OK;

    switch (k->type) {
    case MLS_KEY_SIZE:
        if (!k->words || strcmp(text, k->words[0]) != 0)
            st = mls_setting_size(s, k->name, 0, limit ? (size_t)k->least : 0,
                                  (size_t)k->most, to, err);
        break;
    case MLS_KEY_REAL:
        st = mls_setting_real(s, k->name, 0, k->least, k->most, to, err);
        break;
    case MLS_KEY_WORD:
        st = mls_setting_word(s, k->name, k->words, &word, err);
        *(size_t *)to = k->values ? k->values[word] : word;
        break;
    case MLS_KEY_TEXT:
        snprintf(to, MLS_SETTING_WORD, "%s", text);
        break;
    case MLS_KEY_HEADS:
        st = read_heads(to, k, config, limit, s, text, err);
        break;
    case MLS_KEY_QUANT:
        st = read_quant(to, k, s, err);
        break;
    case MLS_KEY_BITS:
        st = read_bits(to, k, s, err);
        break;
    }
    return st;
}

/* "METHOD: KEY=VALUE is more than MAX, WHAT; the nearest possible is MAX". */
static mls_status at_most(const mls_key *k, const size_t *value, size_t n, size_t max,
                          const mls_setting *s, mls_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (value[i] > max)
            return mls_fail(
                err, MLS_E_INPUT,
                "%s: %s=%zu is more than %zu, %s; the nearest possible is %zu",
                s->method, k->name, value[i], max, k->what, max);
    return MLS_OK;
}

mls_status mls_keys_read(void *params, const mls_key *keys, const mls_config *config,
                         const mls_setting *s, mls_err *err)
{
    mls_status st = MLS_OK;

    for (const mls_key *k = keys; !st && k && k->name; k++) {
        const bool given = mls_setting_get(s, k->name) != NULL;
        const char *why = k->refuse ? k->refuse(params) : NULL;
        void *to = (char *)params + k->at;

        if (why && given)
            return mls_fail(err, MLS_E_INPUT, "%s: %s", s->method, why);
        if (why)
            continue;
        const size_t limit = k->limit ? k->limit(config, params) : SIZE_MAX;

        if (given)
            st = read_value(to, k, config, limit, s, err);
        else
            set_default(to, k, keys, config, params);
        if (!st && k->limit)
            st =
                at_most(k, to, k->type == MLS_KEY_HEADS ? config->G : 1, limit, s, err);
    }
    return st;
}

/* Which of a key's words its parameter is. */
static size_t word_of(const mls_key *k, size_t value)
{
    size_t i = 0;

    while (k->values && k->values[i] != value)
        i++;
    return k->values ? i : value;
}

static bool heads_differ(const size_t *of, const mls_config *config)
{
    for (size_t g = 1; g < config->G; g++)
        if (of[g] != of[0])
            return true;
    return false;
}

const char *mls_keys_say(const mls_key *k, const mls_config *config, const void *params,
                         char out[MLS_SETTING_WORD])
{
    const void *at = (const char *)params + k->at;
    const size_t *n = at;
    size_t len = 0, heads = 1;

    switch (k->type) {
    case MLS_KEY_SIZE:
        snprintf(out, MLS_SETTING_WORD, "%zu", *n);
        return k->words && *n == 0 ? k->words[0] : out;
    case MLS_KEY_REAL:
        snprintf(out, MLS_SETTING_WORD, "%.15g", *(const double *)at);
        return out;
    case MLS_KEY_WORD:
        return k->words[word_of(k, *n)];
    case MLS_KEY_TEXT:
        return at;
    case MLS_KEY_HEADS:
        heads = heads_differ(n, config) ? config->G : 1;
        for (size_t g = 0; g < heads && len < MLS_SETTING_WORD; g++)
            len += (size_t)snprintf(out + len, MLS_SETTING_WORD - len, "%s%zu",
                                    g ? ":" : "", n[g]);
        return out;
    case MLS_KEY_QUANT:
    case MLS_KEY_BITS:
        break;
    }
    return mls_quant_name(at, out, MLS_SETTING_WORD);
}

/* Does the parameter say that the key was not given? */
static bool says_nothing(const mls_key *k, const void *params)
{
    const void *at = (const char *)params + k->at;

    return (k->refuse && k->refuse(params)) ||
           (k->type == MLS_KEY_SIZE && !k->words &&
            (double)*(const size_t *)at < k->least) ||
           (k->type == MLS_KEY_REAL && *(const double *)at < k->least) ||
           (k->type == MLS_KEY_TEXT && !*(const char *)at);
}

mls_status mls_keys_write(mls_setting *s, const char *method, const mls_key *keys,
                          const mls_config *config, const void *params, mls_err *err)
{
    char word[MLS_SETTING_WORD];
    mls_status st = MLS_OK;

    *s = (mls_setting){0};
    snprintf(s->method, sizeof s->method, "%s", method);
    for (const mls_key *k = keys; !st && k->name; k++)
        if (!says_nothing(k, params))
            st =
                mls_setting_set(s, k->name, mls_keys_say(k, config, params, word), err);
    return st;
}

bool mls_keys_by_head(const mls_key *keys, const mls_config *config, const void *params)
{
    for (const mls_key *k = keys; k && k->name; k++) {
        const void *at = (const char *)params + k->at;

        if ((k->type == MLS_KEY_HEADS && heads_differ(at, config)) ||
            (k->by_head &&
             (k->type == MLS_KEY_REAL ? *(const double *)at != k->usual
                                      : word_of(k, *(const size_t *)at) != 0)))
            return true;
    }
    return false;
}

bool mls_keys_leave(const mls_key *keys, const mls_setting *s, const char *name)
{
    bool left = mls_keys_find(keys, name) != NULL;

    for (const mls_key *k = keys; k && k->name; k++)
        if (strcmp(k->name, name) == 0 || (k->instead && strcmp(k->instead, name) == 0))
            left = left && !mls_setting_get(s, k->name);
    return left;
}

bool mls_keys_open(const mls_key *keys, const mls_setting *s)
{
    for (; keys && keys->name; keys++) {
        const char *value = keys->open ? mls_setting_get(s, keys->name) : NULL;

        if (value && (!keys->open[0] || strcmp(value, keys->open) == 0))
            return true;
    }
    return false;
}
