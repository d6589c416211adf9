/*
 * What a format does is in its own file; here is what all share: the name
 * h:NAMEBITS/GROUP+WINDOW@SINKS#SEED, which tokens are quantized at all, and the
 * refusal of numbers that a half cannot hold. A window keeps its newest tokens in 16
 * bits, or with MLS_RESIDUAL_REST only what does not fill one; a format says so for
 * keys and values apart. The Hadamard rotation is its own inverse and is applied before
 * and after. Formats that quantize everything anew when the window is full run over
 * growing prefixes, so that errors pile up as in such a cache.
 */
#include "analysis/quant/quantizer.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/quant/quant_format.h"
#include "common/base/checked.h"
#include "common/base/order.h"
#include "common/base/shape.h"
#include "common/base/words.h"

static const mls_quant_format *const formats[] = {
    &mls_quant_int,
    &mls_quant_int_s,
    &mls_quant_int_z,
    &mls_quant_int_c,
    &mls_quant_int_cs,
    &mls_quant_kivi,
    &mls_quant_quanto,
    &mls_quant_quanto_c,
    &mls_quant_hqq,
    &mls_quant_hqq_0,
    &mls_quant_q8_0,
    &mls_quant_q5_1,
    &mls_quant_q5_0,
    &mls_quant_q4_1,
    &mls_quant_q4_0,
    &mls_quant_iq4_nl,
    &mls_quant_fp8,
    &mls_quant_fp8_t,
    &mls_quant_fp8_e5m2,
    &mls_quant_nvfp4,
    &mls_quant_mxfp4,
    &mls_quant_nf,
    &mls_quant_nf_z,
    &mls_quant_kvquant,
    &mls_quant_kvquant_d,
    &mls_quant_turbo,
    &mls_quant_turbo_f,
    &mls_quant_turbo_quarter,
    &mls_quant_turbo_half,
    &mls_quant_turbo_product,
    &mls_quant_qjl,
    &mls_quant_qjl_first,
    NULL,
};

enum { NAME_MAX_ = 24, NAMES_MAX = 256 };

const mls_quant_format *const *mls_quant_formats(void)
{
    return formats;
}

const char *mls_quant_format_pattern(const mls_quant_format *f, char *out, size_t size)
{
    if (f->bits_min == f->bits_max)
        snprintf(out, size, "%s%s", f->name, f->suffix);
    else
        snprintf(out, size, "%s{%u..%u}%s", f->name, f->bits_min, f->bits_max,
                 f->suffix);
    return out;
}

const char *mls_quant_format_help(const mls_quant_format *f)
{
    return f->help;
}

mls_quant mls_quant_default(const mls_quant_format *f, unsigned bits)
{
    return (mls_quant){.format = f,
                       .bits = bits,
                       .group = f->group,
                       .window = f->window,
                       .sinks = f->sinks};
}

void mls_largest_channels(const float *x, size_t T, size_t n, size_t m, bool *largest)
{
    double square[MLS_CHANNELS_MAX] = {0};
    uint16_t order[MLS_CHANNELS_MAX];

    for (size_t t = 0; t < T; t++)
        for (size_t i = 0; i < n; i++)
            square[i] += (double)x[t * n + i] * (double)x[t * n + i];
    mls_order_by_score(order, square, n);
    for (size_t i = 0; i < n; i++)
        largest[order[i]] = i < m;
}

/* The bits that a bare name asks for; 0 when it is not this format's name at all. */
static unsigned bits_named(const mls_quant_format *f, const char *name)
{
    const size_t prefix = strlen(f->name);
    unsigned bits = 0;

    if (strncmp(name, f->name, prefix) != 0)
        return 0;
    name += prefix;
    if (f->bits_min == f->bits_max)
        return strcmp(name, f->suffix) == 0 ? f->bits_min : 0;
    for (; isdigit((unsigned char)*name) && bits < 100; name++)
        bits = 10 * bits + (unsigned)(*name - '0');
    return strcmp(name, f->suffix) == 0 ? bits : 0;
}

static mls_status unknown_name(const char *name, mls_err *err)
{
    char word[NAMES_MAX][NAME_MAX_];
    const char *words[NAMES_MAX + 1];
    size_t n = 0;

    for (size_t i = 0; formats[i]; i++) {
        const mls_quant_format *f = formats[i];

        for (unsigned bits = f->bits_min; bits <= f->bits_max && n < NAMES_MAX;
             bits++) {
            if (f->bits_min == f->bits_max)
                snprintf(word[n], NAME_MAX_, "%s%s", f->name, f->suffix);
            else
                snprintf(word[n], NAME_MAX_, "%s%u%s", f->name, bits, f->suffix);
            words[n] = word[n];
            n++;
        }
    }
    words[n] = NULL;

    const char *near = mls_nearest(name, words);
    if (near)
        return mls_fail(err, MLS_E_ARG,
                        "there is no quantizer \"%s\"; did you mean %s?", name, near);
    return mls_fail(err, MLS_E_ARG,
                    "there is no quantizer \"%s\"; mlascope quantize --formats lists "
                    "them",
                    name);
}

static mls_status find_format(mls_quant *q, const char *name, mls_err *err)
{
    for (size_t i = 0; formats[i]; i++) {
        const mls_quant_format *f = formats[i];
        const unsigned bits = bits_named(f, name);

        if (bits == 0)
            continue;
        if (bits < f->bits_min || bits > f->bits_max)
            return mls_fail(err, MLS_E_ARG, "quantizer \"%s\": %s takes %u to %u bits",
                            name, f->name, f->bits_min, f->bits_max);
        *q = mls_quant_default(f, bits);
        return MLS_OK;
    }
    return unknown_name(name, err);
}

/* One of /GROUP, +WINDOW, @SINKS, #SEED. */
static mls_status set_option(mls_quant *q, char mark, size_t value, const char *text,
                             mls_err *err)
{
    switch (mark) {
    case '/':
        if (!q->format->groups || value == 0)
            return mls_fail(err, MLS_E_ARG,
                            value ? "quantizer \"%s\": the group of %s is fixed"
                                  : "quantizer \"%s\": a group of 0 numbers (%s)",
                            text, q->format->name);
        if (value > MLS_WIDTH_MAX)
            return mls_fail(err, MLS_E_ARG,
                            "quantizer \"%s\": a group of more than %d, the widest "
                            "vector of any model",
                            text, MLS_WIDTH_MAX);
        q->group = value;
        return MLS_OK;
    case '+':
        q->window = value;
        return MLS_OK;
    case '@':
        q->sinks = value;
        return MLS_OK;
    default:
        if (!q->format->random)
            return mls_fail(err, MLS_E_ARG, "quantizer \"%s\": %s has no random part",
                            text, q->format->name);
        q->seed = value;
        return MLS_OK;
    }
}

mls_status mls_quant_parse(mls_quant *q, const char *text, mls_err *err)
{
    static const char marks[] = "/+@#";
    char name[NAME_MAX_];
    bool seen[sizeof marks] = {false};
    mls_quant found = {0};
    const bool rotate = text[0] == 'h' && text[1] == ':';
    const char *at = text + (rotate ? 2 : 0);
    const size_t length = strcspn(at, marks);
    size_t digits_length;
    mls_status st;

    *q = (mls_quant){0};
    if (strcmp(text, "none") == 0 || strcmp(text, "16") == 0)
        return MLS_OK;
    if (length >= sizeof name)
        return mls_fail(err, MLS_E_ARG, "there is no quantizer \"%.40s\"", text);
    memcpy(name, at, length);
    name[length] = '\0';
    st = find_format(&found, name, err);
    if (st)
        return st;
    found.rotate = rotate;
    for (at += length; *at; at += 1 + digits_length) {
        const char *which = strchr(marks, *at);
        char digits[NAME_MAX_] = "";
        size_t value;

        digits_length = strcspn(at + 1, marks);
        if (digits_length < sizeof digits)
            memcpy(digits, at + 1, digits_length);
        if (!mls_parse_size(digits, &value))
            return mls_fail(err, MLS_E_ARG,
                            "quantizer \"%s\": a whole number follows '%c'", text, *at);
        if (seen[which - marks])
            return mls_fail(err, MLS_E_ARG, "quantizer \"%s\": '%c' is given twice",
                            text, *at);
        seen[which - marks] = true;
        st = set_option(&found, *at, value, text, err);
        if (st)
            return st;
    }
    *q = found;
    return MLS_OK;
}

const char *mls_quant_name(const mls_quant *q, char *out, size_t size)
{
    const mls_quant_format *f = q->format;
    char bits[16] = "", group[32] = "", window[32] = "", sinks[32] = "", seed[32] = "";

    if (!f) {
        snprintf(out, size, "16");
        return out;
    }
    if (f->bits_min < f->bits_max)
        snprintf(bits, sizeof bits, "%u", q->bits);
    if (q->group != f->group)
        snprintf(group, sizeof group, "/%zu", q->group);
    if (q->window != f->window)
        snprintf(window, sizeof window, "+%zu", q->window);
    if (q->sinks != f->sinks)
        snprintf(sinks, sizeof sinks, "@%zu", q->sinks);
    if (q->seed != 0)
        snprintf(seed, sizeof seed, "#%llu", (unsigned long long)q->seed);
    snprintf(out, size, "%s%s%s%s%s%s%s%s", q->rotate ? "h:" : "", f->name, bits,
             f->suffix, group, window, sinks, seed);
    return out;
}

/* Tokens first .. last-1 of T are quantized; those around them stay in 16 bits. */
static void quantized_range(const mls_quant *q, bool is_key, size_t T, size_t *first,
                            size_t *last)
{
    const mls_quant_residual rule =
        is_key ? q->format->key_residual : q->format->value_residual;
    size_t kept = 0;

    *first = q->sinks < T ? q->sinks : T;
    if (q->window > 0)
        kept = rule == MLS_RESIDUAL_REST ? (T - *first) % q->window : q->window;
    *last = kept < T - *first ? T - kept : *first;
}

mls_quant_cost mls_quant_bits(const mls_quant *q, bool is_key, size_t n, size_t T)
{
    mls_quant_cost cost = {0};
    size_t first, last;

    if (!q->format) {
        cost.payload = 16.0 * (double)n * (double)T;
        return cost;
    }
    quantized_range(q, is_key, T, &first, &last);
    if (n > 0 && last > first)
        q->format->cost(q, is_key, n, last - first, &cost);
    cost.window = 16.0 * (double)n * (double)(T - (last - first));
    return cost;
}

mls_status mls_quant_fits(const mls_quant *q, size_t n, mls_err *err)
{
    enum { BLOCK_MIN = 8 };
    char name[MLS_QUANT_NAME];

    if (!q->format)
        return MLS_OK;
    if (n == 0)
        return mls_fail(err, MLS_E_INPUT, "%s: a vector of 0 numbers",
                        mls_quant_name(q, name, sizeof name));
    if (q->rotate && mls_hadamard_block(n) < BLOCK_MIN)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: the Hadamard rotation takes vectors of a multiple of %d "
                        "numbers, not %zu",
                        mls_quant_name(q, name, sizeof name), BLOCK_MIN, n);
    return q->format->fits ? q->format->fits(q, n, err) : MLS_OK;
}

/*
 * The cache holds halves without the quantizer, so larger numbers were lost before it.
 */
static mls_status check_numbers(const mls_quant *q, const float *x, size_t stride,
                                size_t T, size_t n, mls_err *err)
{
    for (size_t t = 0; t < T; t++) {
        const float *row = x + t * stride;
        bool fine = true;

        for (size_t i = 0; i < n; i++)
            fine &= fabsf(row[i]) <= 65504.0f;
        if (fine)
            continue;
        for (size_t i = 0; i < n; i++)
            if (!(fabsf(row[i]) <= 65504.0f)) {
                char name[MLS_QUANT_NAME];

                return mls_fail(err, MLS_E_NUMERIC,
                                "%s: number %zu of token %zu is %g, expected a finite "
                                "one of at most 65504",
                                mls_quant_name(q, name, sizeof name), i, t,
                                (double)row[i]);
            }
    }
    return MLS_OK;
}

/*
 * A cache that quantizes all its tokens anew whenever its window is full, as tokens
 * arrive one by one from an empty prompt.
 */
static mls_status apply_rounds(const mls_quant *q, bool is_key, float *x, size_t T,
                               size_t n, mls_err *err)
{
    mls_status st = MLS_OK;

    if (!q->format->requantizes || q->window == 0)
        return q->format->apply(q, is_key, x, T, n, err);
    for (size_t cached = q->window; !st && cached <= T; cached += q->window)
        st = q->format->apply(q, is_key, x, cached, n, err);
    return st;
}

mls_status mls_quant_apply(const mls_quant *q, bool is_key, float *x, size_t stride,
                           size_t T, size_t n, mls_err *err)
{
    size_t first, last;
    mls_status st;

    if (!q->format)
        return MLS_OK;
    st = mls_quant_fits(q, n, err);
    if (st)
        return st;
    quantized_range(q, is_key, T, &first, &last);
    st = check_numbers(q, x, stride, T, n, err);
    if (st || first == last)
        return st;

    const size_t tokens = last - first;
    float *copy = mls_calloc3(tokens, n, 1, sizeof *copy); /* (tokens, n) */
    if (!copy)
        return mls_fail(err, MLS_E_NOMEM, "no memory to quantize %zu tokens of %zu",
                        tokens, n);
    for (size_t t = 0; t < tokens; t++)
        memcpy(copy + t * n, x + (first + t) * stride, n * sizeof *copy);
    if (q->rotate)
        mls_hadamard(copy, tokens, n);
    st = apply_rounds(q, is_key, copy, tokens, n, err);
    if (q->rotate)
        mls_hadamard(copy, tokens, n);
    for (size_t t = 0; !st && t < tokens; t++)
        memcpy(x + (first + t) * stride, copy + t * n, n * sizeof *copy);
    free(copy);
    return st;
}
