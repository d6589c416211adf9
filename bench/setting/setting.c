/*
 * Commas and ranges stand for several settings, multiplied out word by word, so that
 * the last key changes fastest. A range is digits, "-", digits and perhaps +step or
 * *factor; what only looks like one (2-norm) is a word. `layers` is a list itself: its
 * alternatives are split at ";".
 */
#include "bench/setting/setting.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/words.h"

static const char spaces[] = " \t\r\n\v\f";

mls_status mls_setting_set(mls_setting *s, const char *key, const char *value,
                           mls_err *err)
{
    size_t i = 0;

    if (strlen(key) >= sizeof s->key[0])
        return mls_fail(err, MLS_E_ARG, "the key \"%s\" is longer than %zu bytes", key,
                        sizeof s->key[0] - 1);
    if (strlen(value) >= sizeof s->value[0])
        return mls_fail(err, MLS_E_ARG, "the value of %s is longer than %zu bytes", key,
                        sizeof s->value[0] - 1);
    while (i < s->n && strcmp(s->key[i], key) != 0)
        i++;
    if (i == MLS_SETTING_KEYS_MAX)
        return mls_fail(err, MLS_E_ARG, "a setting has more than %d keys",
                        MLS_SETTING_KEYS_MAX);
    if (i == s->n)
        s->n++;
    memcpy(s->key[i], key, strlen(key) + 1);
    memcpy(s->value[i], value, strlen(value) + 1);
    return MLS_OK;
}

/* Letters, digits, '_' and '-': what names and keys are made of. */
static bool is_name(const char *word)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";

    return *word && strspn(word, allowed) == strlen(word);
}

/* One word of a setting; the first is the method. */
static mls_status add_word(mls_setting *s, char *word, mls_err *err)
{
    char *equals = strchr(word, '=');

    if (!s->method[0]) {
        if (!is_name(word))
            return mls_fail(err, MLS_E_ARG,
                            "a setting starts with the name of a method, found \"%s\"",
                            word);
        if (strlen(word) >= sizeof s->method)
            return mls_fail(err, MLS_E_ARG,
                            "the name of a method is longer than %zu bytes: \"%s\"",
                            sizeof s->method - 1, word);
        memcpy(s->method, word, strlen(word) + 1);
        return MLS_OK;
    }
    if (!equals)
        return mls_fail(err, MLS_E_ARG, "expected key=value, found \"%s\"", word);
    *equals = '\0';
    if (!is_name(word))
        return mls_fail(err, MLS_E_ARG, "\"%s\" cannot be a key", word);
    if (!equals[1])
        return mls_fail(err, MLS_E_ARG, "the key %s has no value", word);
    if (mls_setting_get(s, word))
        return mls_fail(err, MLS_E_ARG, "the key %s is given twice", word);
    return mls_setting_set(s, word, equals + 1, err);
}

/* Like mls_setting_parse() with values of any length, one call per word. */
static mls_status each_word(const char *text,
                            mls_status (*take)(void *arg, char *word, mls_err *err),
                            void *arg, mls_err *err)
{
    char *copy = strdup(text), *state = NULL;
    mls_status st = MLS_OK;

    if (!copy)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a setting");
    for (char *word = strtok_r(copy, spaces, &state); word && !st;
         word = strtok_r(NULL, spaces, &state))
        st = take(arg, word, err);
    free(copy);
    return st;
}

static mls_status take_word(void *arg, char *word, mls_err *err)
{
    return add_word(arg, word, err);
}

mls_status mls_setting_parse(mls_setting *s, const char *text, mls_err *err)
{
    *s = (mls_setting){0};

    mls_status st = each_word(text, take_word, s, err);
    if (!st && !s->method[0])
        st = mls_fail(err, MLS_E_ARG, "a setting starts with the name of a method");
    return st ? mls_fail_in(err, st, "setting \"%.200s\"", text) : MLS_OK;
}

/* "first-last", "first-last+step" or "first-last*factor", digits only. */
typedef struct {
    size_t first, last, step;
    bool multiply;
} range;

typedef enum { NOT_A_RANGE, RANGE, BAD_RANGE } range_kind;

static range_kind parse_range(const char *word, range *r)
{
    static const char digits[] = "0123456789";
    const size_t n_first = strspn(word, digits);
    const char *last = word + n_first + 1;
    char number[32];

    if (n_first == 0 || word[n_first] != '-')
        return NOT_A_RANGE;
    const size_t n_last = strspn(last, digits);
    const char *rest = last + n_last;
    if (n_last == 0 || (*rest && *rest != '+' && *rest != '*') ||
        strspn(rest + (*rest != '\0'), digits) != strlen(rest + (*rest != '\0')))
        return NOT_A_RANGE; /* a word such as "2-norm" */

    if (n_first >= sizeof number || n_last >= sizeof number)
        return BAD_RANGE;
    snprintf(number, sizeof number, "%.*s", (int)n_first, word);
    if (!mls_parse_size(number, &r->first))
        return BAD_RANGE;
    snprintf(number, sizeof number, "%.*s", (int)n_last, last);
    if (!mls_parse_size(number, &r->last))
        return BAD_RANGE;
    r->step = 1;
    r->multiply = *rest == '*';
    if (*rest && !mls_parse_size(rest + 1, &r->step))
        return BAD_RANGE;
    if (r->last < r->first || r->step == 0 ||
        (r->multiply && (r->step < 2 || r->first == 0)))
        return BAD_RANGE;
    return RANGE;
}

/* The number after n in the range; false when there is none. */
static bool range_next(const range *r, size_t *n)
{
    size_t next;

    if (r->multiply ? __builtin_mul_overflow(*n, r->step, &next)
                    : __builtin_add_overflow(*n, r->step, &next))
        return false;
    *n = next;
    return next <= r->last;
}

/* Alternatives of one value, NUL-terminated one after the other. */
typedef struct {
    mls_buf text;
    size_t n;
} word_list;

static mls_status add_alternative(word_list *w, const char *word, const char *name,
                                  mls_err *err)
{
    if (w->n == MLS_SETTINGS_MAX)
        return mls_fail(err, MLS_E_ARG, "%s: more than %d values", name,
                        MLS_SETTINGS_MAX);
    w->n++;
    mls_buf_add(&w->text, word, strlen(word) + 1);
    if (w->text.failed)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the values of %s", name);
    return MLS_OK;
}

/* Split a value at `separator`; ranges are written out unless the value is a list. */
static mls_status alternatives(word_list *w, const char *value, char separator,
                               bool ranges, const char *name, mls_err *err)
{
    mls_status st = MLS_OK;
    char *copy = strdup(value);
    char *word = copy;

    if (!copy)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the values of %s", name);
    for (char *end; word && !st; word = end) {
        range r = {0};

        end = strchr(word, separator);
        if (end)
            *end++ = '\0';
        const range_kind kind = ranges ? parse_range(word, &r) : NOT_A_RANGE;
        if (!*word) {
            st = mls_fail(err, MLS_E_ARG, "%s: a value is missing in \"%s\"", name,
                          value);
        } else if (kind == BAD_RANGE) {
            st = mls_fail(err, MLS_E_ARG,
                          "%s: a range is first-last, first-last+step or "
                          "first-last*factor with first <= last, found \"%s\"",
                          name, word);
        } else if (kind == NOT_A_RANGE) {
            st = add_alternative(w, word, name, err);
        } else {
            size_t n = r.first;

            do {
                char number[32];

                snprintf(number, sizeof number, "%zu", n);
                st = add_alternative(w, number, name, err);
            } while (!st && range_next(&r, &n));
        }
    }
    free(copy);
    return st;
}

/* While a setting is expanded: all settings made of the words so far. */
typedef struct {
    mls_setting *item;
    size_t n;
} expansion;

static mls_status expand_word(void *arg, char *word, mls_err *err)
{
    expansion *e = arg;
    mls_status st = MLS_OK;
    mls_setting *wider = NULL;
    word_list w = {0};
    char *equals = strchr(word, '=');

    if (!e->item[0].method[0] || !equals || !is_name((*equals = '\0', word)) ||
        !equals[1]) {
        if (equals)
            *equals = '=';
        return add_word(&e->item[0], word, err);
    }
    /* The layers of a hybrid are one value. */
    const bool whole = strcmp(word, "layers") == 0;
    st = alternatives(&w, equals + 1, whole ? ';' : ',', !whole, word, err);
    if (st)
        goto done;
    if (mls_setting_get(&e->item[0], word)) {
        st = mls_fail(err, MLS_E_ARG, "the key %s is given twice", word);
        goto done;
    }
    if (e->n > MLS_SETTINGS_MAX / w.n) {
        st = mls_fail(err, MLS_E_ARG, "more than %d settings", MLS_SETTINGS_MAX);
        goto done;
    }
    wider = malloc(e->n * w.n * sizeof *wider);
    if (!wider) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu settings", e->n * w.n);
        goto done;
    }
    for (size_t i = 0; i < e->n && !st; i++) {
        const char *value = w.text.data;

        for (size_t j = 0; j < w.n && !st; j++, value += strlen(value) + 1) {
            wider[i * w.n + j] = e->item[i];
            st = mls_setting_set(&wider[i * w.n + j], word, value, err);
        }
    }
    free(e->item);
    e->item = wider;
    e->n *= w.n;

done:
    mls_buf_free(&w.text);
    return st;
}

mls_status mls_setting_expand(const char *text, mls_setting **out, size_t *n,
                              mls_err *err)
{
    expansion e = {calloc(1, sizeof(mls_setting)), 1};

    *out = NULL;
    *n = 0;
    if (!e.item)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a setting");
    mls_status st = each_word(text, expand_word, &e, err);
    if (!st && !e.item[0].method[0])
        st = mls_fail(err, MLS_E_ARG, "a setting starts with the name of a method");
    if (st) {
        free(e.item);
        return mls_fail_in(err, st, "setting \"%.200s\"", text);
    }
    *out = e.item;
    *n = e.n;
    return MLS_OK;
}

const char *mls_setting_text(const mls_setting *s, char *out, size_t size)
{
    int at = snprintf(out, size, "%s", s->method);

    for (size_t i = 0; i < s->n && at >= 0 && (size_t)at < size; i++)
        at += snprintf(out + at, size - (size_t)at, " %s=%s", s->key[i], s->value[i]);
    return out;
}

const char *mls_setting_get(const mls_setting *s, const char *key)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->key[i], key) == 0)
            return s->value[i];
    return NULL;
}

bool mls_setting_names_file(const mls_setting *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->key[i], "path") == 0 || strncmp(s->value[i], "file:", 5) == 0)
            return true;
    return false;
}

bool mls_setting_quantized(const mls_setting *s)
{
    static const char *const keys[] = {"bits", "quant", "kquant", "vquant", "rquant"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *value = mls_setting_get(s, keys[i]);

        if (value && strcmp(value, "16") != 0 && strcmp(value, "none") != 0)
            return true;
    }
    return false;
}

mls_status mls_setting_size(const mls_setting *s, const char *key, size_t otherwise,
                            size_t min, size_t max, size_t *out, mls_err *err)
{
    const char *value = mls_setting_get(s, key);

    if (!value) {
        *out = otherwise;
        return MLS_OK;
    }
    if (!mls_parse_size(value, out) || *out < min || *out > max)
        return mls_fail(err, MLS_E_ARG,
                        "%s: %s is a whole number from %zu to %zu, found \"%s\"",
                        s->method, key, min, max, value);
    return MLS_OK;
}

mls_status mls_setting_real(const mls_setting *s, const char *key, double otherwise,
                            double min, double max, double *out, mls_err *err)
{
    const char *value = mls_setting_get(s, key);

    if (!value) {
        *out = otherwise;
        return MLS_OK;
    }
    if (!mls_parse_real(value, out) || *out < min || *out > max)
        return mls_fail(err, MLS_E_ARG,
                        "%s: %s is a number from %g to %g, found \"%s\"", s->method,
                        key, min, max, value);
    return MLS_OK;
}

mls_status mls_setting_word(const mls_setting *s, const char *key,
                            const char *const *words, size_t *out, mls_err *err)
{
    const char *value = mls_setting_get(s, key);
    mls_buf all = {0};

    *out = 0;
    if (!value)
        return MLS_OK;
    for (size_t i = 0; words[i]; i++) {
        if (strcmp(words[i], value) == 0) {
            *out = i;
            mls_buf_free(&all);
            return MLS_OK;
        }
        mls_buf_printf(&all, "%s%s", i ? ", " : "", words[i]);
    }
    const char *near = mls_nearest(value, words);
    const mls_status st =
        mls_fail(err, MLS_E_ARG, "%s: %s is one of %s, found \"%s\"%s%s%s", s->method,
                 key, all.data ? all.data : "", value, near ? "; did you mean " : "",
                 near ? near : "", near ? "?" : "");
    mls_buf_free(&all);
    return st;
}

mls_status mls_size_list(const char *name, const char *text, size_t min, size_t max,
                         size_t **out, size_t *n, mls_err *err)
{
    word_list w = {0};
    const char *word;
    mls_status st = alternatives(&w, text, ',', true, name, err);

    *out = NULL;
    *n = 0;
    if (st)
        goto done;
    *out = malloc(w.n * sizeof **out);
    if (!*out) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the values of %s", name);
        goto done;
    }
    word = w.text.data;
    for (size_t i = 0; i < w.n && !st; i++, word += strlen(word) + 1)
        if (!mls_parse_size(word, &(*out)[i]) || (*out)[i] < min || (*out)[i] > max)
            st = mls_fail(err, MLS_E_ARG,
                          "%s: expected whole numbers from %zu to %zu, found \"%s\"",
                          name, min, max, word);
    *n = w.n;

done:
    if (st) {
        free(*out);
        *out = NULL;
        *n = 0;
    }
    mls_buf_free(&w.text);
    return st;
}
