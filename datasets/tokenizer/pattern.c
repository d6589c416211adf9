/*
 * Steps, depth and heap of a match are bounded, because patterns come from a file. An
 * empty match at the end of the last one is not one: the search goes on a character
 * later, as Oniguruma's does.
 */
#define _GNU_SOURCE /* memmem */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "datasets/tokenizer/pattern.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "datasets/base/utf8.h"
#include "datasets/tokenizer/oniguruma.h"

enum {
    PATTERN_MAX = 1 << 16,
    MATCH_STEPS_MAX = 10 * 1000 * 1000,
    MATCH_HEAP_KIB = 1 << 16,
    JIT_STACK_FIRST = 1 << 15,
    JIT_STACK_MAX = 1 << 23,
};

struct mls_pattern {
    char *literal; /* NULL: code is used */
    size_t literal_len;
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *limits;
    pcre2_jit_stack *stack;
};

void mls_pattern_free(mls_pattern *p)
{
    if (!p)
        return;
    free(p->literal);
    pcre2_jit_stack_free(p->stack);
    pcre2_match_context_free(p->limits);
    pcre2_match_data_free(p->match);
    pcre2_code_free(p->code);
    free(p);
}

static mls_status compile(mls_pattern *p, const char *source, size_t len,
                          const char *where, mls_err *err)
{
    const uint32_t options =
        PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    mls_status st = MLS_OK;
    int code;
    PCRE2_SIZE at;

    if (!context)
        return mls_fail(err, MLS_E_NOMEM, "%s: no memory for the pattern", where);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_max_pattern_length(context, PATTERN_MAX);
    p->code = pcre2_compile((PCRE2_SPTR)source, len, options, &code, &at, context);
    pcre2_compile_context_free(context);
    if (!p->code) {
        char text[128];

        if (code == PCRE2_ERROR_HEAP_FAILED)
            return mls_fail(err, MLS_E_NOMEM, "%s: no memory for the pattern", where);
        pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
        return mls_fail(err, MLS_E_INPUT, "%s: pattern: %s", where, text);
    }
    /*
     * Without JIT (no executable memory, say) PCRE2 interprets: slower, same matches.
     */
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
    p->match = pcre2_match_data_create(1, NULL);
    p->limits = pcre2_match_context_create(NULL);
    p->stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MAX, NULL);
    if (!p->match || !p->limits || !p->stack) {
        st = mls_fail(err, MLS_E_NOMEM, "%s: no memory for the pattern", where);
    } else {
        pcre2_set_match_limit(p->limits, MATCH_STEPS_MAX);
        pcre2_set_depth_limit(p->limits, MATCH_STEPS_MAX);
        pcre2_set_heap_limit(p->limits, MATCH_HEAP_KIB);
        pcre2_jit_stack_assign(p->limits, NULL, p->stack);
    }
    return st;
}

mls_status mls_pattern_new(mls_pattern **out, mls_dialect dialect, const char *source,
                           size_t len, const char *where, mls_err *err)
{
    mls_pattern *p = calloc(1, sizeof *p);
    mls_buf rewritten = {0};
    mls_status st = MLS_OK;

    *out = NULL;
    if (!p)
        return mls_fail(err, MLS_E_NOMEM, "%s: no memory for the pattern", where);
    if (dialect == MLS_LITERAL && len > 0) {
        p->literal = malloc(len);
        if (p->literal)
            memcpy(p->literal, source, len);
        else
            st = mls_fail(err, MLS_E_NOMEM, "%s: no memory for the pattern", where);
        p->literal_len = len;
    } else if (dialect == MLS_ONIGURUMA) {
        st = mls_oniguruma_to_pcre2(source, len, where, &rewritten, err);
        if (!st)
            st = compile(p, rewritten.len ? rewritten.data : "", rewritten.len, where,
                         err);
    } else {
        st = compile(p, source, len, where, err);
    }
    mls_buf_free(&rewritten);
    if (st)
        mls_pattern_free(p);
    else
        *out = p;
    return st;
}

mls_status mls_pattern_read(mls_pattern **out, const json_t *part, const char *where,
                            mls_err *err)
{
    static const char *const kinds[] = {"String", "Regex", NULL};
    const json_t *pattern = json_object_get(part, "pattern");
    const bool regex = json_object_get(pattern, "Regex") != NULL;
    mls_text source;
    mls_status st = mls_json_only(pattern, where, kinds, err);

    if (!st && json_object_size(pattern) != 1)
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: \"pattern\": expected one of \"String\" and \"Regex\"",
                      where);
    if (!st)
        st = mls_json_text(pattern, where, regex ? "Regex" : "String", &source, err);
    if (!st)
        st = mls_pattern_new(out, regex ? MLS_ONIGURUMA : MLS_LITERAL, source.data,
                             source.len, where, err);
    return st;
}

/* One search from an offset. */
static mls_status search(mls_pattern *p, const char *text, size_t len, size_t from,
                         bool *found, size_t *begin, size_t *end, mls_err *err)
{
    if (p->literal) {
        const char *hit = memmem(text + from, len - from, p->literal, p->literal_len);

        *found = hit;
        if (hit) {
            *begin = (size_t)(hit - text);
            *end = *begin + p->literal_len;
        }
        return MLS_OK;
    }

    const int n = pcre2_match(p->code, (PCRE2_SPTR)text, len, from, PCRE2_NO_UTF_CHECK,
                              p->match, p->limits);
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(p->match);

    if (n == PCRE2_ERROR_NOMATCH) {
        *found = false;
        return MLS_OK;
    }
    if (n == PCRE2_ERROR_NOMEMORY)
        return mls_fail(err, MLS_E_NOMEM, "no memory to match a pattern");
    if (n < 0) {
        char what[128];

        pcre2_get_error_message(n, (PCRE2_UCHAR *)what, sizeof what);
        return mls_fail(err, MLS_E_INPUT, "matching a pattern at byte %zu: %s", from,
                        what);
    }
    *found = true;
    *begin = range[0];
    *end = range[1];
    return MLS_OK;
}

mls_status mls_pattern_next(mls_pattern *p, const char *text, size_t len,
                            mls_scan *scan, bool *found, size_t *begin, size_t *end,
                            mls_err *err)
{
    size_t b = 0, e = 0;

    *found = false;
    while (scan->from <= len) {
        const mls_status st = search(p, text, len, scan->from, found, &b, &e, err);

        if (st || !*found)
            return st;
        if (b < e || !scan->any || e != scan->last_end) {
            *scan = (mls_scan){.from = e, .last_end = e, .any = true};
            *begin = b;
            *end = e;
            return MLS_OK;
        }
        /* Empty where the last match ended: search one code point later. */
        *found = false;
        if (scan->from == len)
            break;
        mls_utf8_next(text, len, &scan->from);
    }
    return MLS_OK;
}
