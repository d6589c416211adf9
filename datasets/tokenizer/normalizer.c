/*
 * Steps run one after another from buffer to buffer. The result may not grow beyond a
 * multiple of the text, however the steps multiply each other. `start_kept` says
 * whether the first character is still the text's own, which a pre-tokenizer may ask.
 */
#include "datasets/tokenizer/normalizer.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "datasets/base/utf8.h"
#include "datasets/tokenizer/charsmap.h"
#include "datasets/tokenizer/pattern.h"

enum {
    STEPS_MAX = 64,
    NESTING_MAX = 16,
    GROWTH_MAX = 64, /* the steps may make a text so many times as long */
    GROWTH_FREE = 1 << 16,
};

typedef enum kind {
    UNICODE_FORM,
    LOWERCASE,
    STRIP,
    PREPEND,
    REPLACE,
    CHARSMAP,
    NMT
} kind;

typedef struct step {
    kind kind;
    utf8proc_option_t form; /* UNICODE_FORM */
    bool left, right;       /* STRIP */
    mls_buf content;        /* PREPEND, REPLACE */
    mls_pattern *pattern;   /* REPLACE */
    mls_charsmap *charsmap; /* CHARSMAP; NULL: an empty one */
} step;

struct mls_normalizer {
    size_t n;
    step steps[STEPS_MAX];
    mls_buf scratch;
    bool start_kept; /* nothing was taken away before the first character */
};

void mls_normalizer_free(mls_normalizer *n)
{
    if (!n)
        return;
    for (size_t i = 0; i < n->n; i++) {
        mls_buf_free(&n->steps[i].content);
        mls_pattern_free(n->steps[i].pattern);
        mls_charsmap_free(n->steps[i].charsmap);
    }
    mls_buf_free(&n->scratch);
    free(n);
}

static const struct {
    const char *type;
    kind kind;
    int form;
    const char *settings[4];
} types[] = {
    {"NFC", UNICODE_FORM, UTF8PROC_COMPOSE, {"type"}},
    {"NFD", UNICODE_FORM, UTF8PROC_DECOMPOSE, {"type"}},
    {"NFKC", UNICODE_FORM, UTF8PROC_COMPOSE | UTF8PROC_COMPAT, {"type"}},
    {"NFKD", UNICODE_FORM, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, {"type"}},
    {"Lowercase", LOWERCASE, 0, {"type"}},
    {"Strip", STRIP, 0, {"type", "strip_left", "strip_right"}},
    {"Prepend", PREPEND, 0, {"type", "prepend"}},
    {"Replace", REPLACE, 0, {"type", "pattern", "content"}},
    {"Precompiled", CHARSMAP, 0, {"type", "precompiled_charsmap"}},
    {MLS_NORMALIZER_LONGEST, CHARSMAP, 1, {"type", "precompiled_charsmap"}},
    {"Nmt", NMT, 0, {"type"}},
};

static mls_status read_text(step *s, const json_t *part, const char *where,
                            const char *key, mls_err *err)
{
    mls_text text;
    const mls_status st = mls_json_text(part, where, key, &text, err);

    if (st)
        return st;
    mls_buf_add(&s->content, text.data, text.len);
    if (s->content.failed)
        return mls_fail(err, MLS_E_NOMEM, "%s: no memory", where);
    return MLS_OK;
}

/* An empty or missing one changes nothing. */
static mls_status read_charsmap(step *s, const json_t *part, const char *where,
                                bool longest, mls_err *err)
{
    const json_t *value = json_object_get(part, "precompiled_charsmap");
    mls_text text;
    mls_status st;

    if (!value || json_is_null(value))
        return MLS_OK;
    st = mls_json_text(part, where, "precompiled_charsmap", &text, err);
    return st || text.len == 0 ? st
                               : mls_charsmap_new(&s->charsmap, text.data, text.len,
                                                  longest, where, err);
}

static mls_status read_step(mls_normalizer *n, const json_t *part, const char *type,
                            mls_err *err)
{
    char where[64];
    size_t k = 0;
    mls_status st;

    while (k < sizeof types / sizeof types[0] && strcmp(types[k].type, type) != 0)
        k++;
    if (k == sizeof types / sizeof types[0])
        return mls_fail(err, MLS_E_INPUT, "normalizer: type \"%.64s\" is not done",
                        type);
    if (n->n == STEPS_MAX)
        return mls_fail(err, MLS_E_INPUT, "normalizer: more than %d steps", STEPS_MAX);
    step *s = &n->steps[n->n++];
    *s = (step){.kind = types[k].kind, .form = (utf8proc_option_t)types[k].form};
    snprintf(where, sizeof where, "normalizer: %s", types[k].type);
    st = mls_json_only(part, where, types[k].settings, err);
    if (st)
        return st;
    switch (s->kind) {
    case UNICODE_FORM:
    case LOWERCASE:
    case NMT:
        break;
    case CHARSMAP:
        st = read_charsmap(s, part, where, types[k].form == 1, err);
        break;
    case STRIP:
        st = mls_json_bool(part, where, "strip_left", true, &s->left, err);
        if (!st)
            st = mls_json_bool(part, where, "strip_right", true, &s->right, err);
        break;
    case PREPEND:
        st = read_text(s, part, where, "prepend", err);
        if (!st && s->content.len == 0) /* the reference repeats a character then */
            st = mls_fail(err, MLS_E_INPUT, "%s: an empty \"prepend\" is not done",
                          where);
        break;
    case REPLACE:
        st = read_text(s, part, where, "content", err);
        if (!st)
            st = mls_pattern_read(&s->pattern, part, where, err);
        break;
    }
    return st;
}

static mls_status read_part(mls_normalizer *n, const json_t *part, int nesting,
                            mls_err *err)
{
    const json_t *list;
    mls_text type;
    mls_status st = mls_json_text(part, "normalizer", "type", &type, err);

    if (st || strcmp(type.data, "Sequence") != 0)
        return st ? st : read_step(n, part, type.data, err);
    if (nesting == NESTING_MAX)
        return mls_fail(err, MLS_E_INPUT, "normalizer: sequences nested too deep");
    st = mls_json_array(part, "normalizer: Sequence", "normalizers", &list, err);
    for (size_t i = 0; !st && i < json_array_size(list); i++)
        st = read_part(n, json_array_get(list, i), nesting + 1, err);
    return st;
}

mls_status mls_normalizer_new(mls_normalizer **out, const json_t *part, mls_err *err)
{
    mls_normalizer *n = calloc(1, sizeof *n);
    mls_status st = MLS_OK;

    *out = NULL;
    if (!n)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a normalizer");
    if (part && !json_is_null(part))
        st = read_part(n, part, 0, err);
    if (st)
        mls_normalizer_free(n);
    else
        *out = n;
    return st;
}

static bool more_than_one(const mls_buf *content)
{
    size_t i = 0;

    if (content->len > 0)
        mls_utf8_next(content->data, content->len, &i);
    return i < content->len;
}

bool mls_normalizer_grows(const mls_normalizer *n)
{
    for (size_t i = 0; i < n->n; i++)
        if (n->steps[i].kind != STRIP && n->steps[i].kind != NMT &&
            !(n->steps[i].kind == REPLACE && !more_than_one(&n->steps[i].content)))
            return true;
    return false;
}

bool mls_normalizer_start_kept(const mls_normalizer *n)
{
    return n->start_kept;
}

/* A run of text to one of the Unicode normalization forms (UAX 15). */
static mls_status add_form(mls_buf *out, const char *text, size_t len,
                           utf8proc_option_t form, mls_err *err)
{
    utf8proc_uint8_t *formed;
    const utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, &formed,
                     UTF8PROC_STABLE | form);

    if (n < 0)
        return mls_fail(err, MLS_E_NOMEM, "normalizing %zu bytes: %s", len,
                        utf8proc_errmsg(n));
    mls_buf_add(out, (const char *)formed, (size_t)n);
    free(formed);
    return MLS_OK;
}

/*
 * Nothing composes with, or is reordered across, an ASCII character that follows it, so
 * the text can be cut before each: ASCII is copied and only the runs between are
 * formed.
 */
static mls_status unicode_form(mls_buf *out, const char *text, size_t len,
                               utf8proc_option_t form, mls_err *err)
{
    size_t copied = 0;
    size_t i = 0;

    while (i < len) {
        size_t run;

        while (i < len && (unsigned char)text[i] < 0x80)
            i++;
        if (i == len)
            break;
        run = i > 0 ? i - 1 : 0; /* the ASCII character before may compose */
        if (run < copied)
            run = copied;
        mls_buf_add(out, text + copied, run - copied);
        while (i < len && (unsigned char)text[i] >= 0x80)
            i++;
        const mls_status st = add_form(out, text + run, i - run, form, err);
        if (st)
            return st;
        copied = i;
    }
    mls_buf_add(out, text + copied, len - copied);
    return MLS_OK;
}

/* Each code point by itself, as Rust's char::to_lowercase(): no final sigma. */
static void lowercase(mls_buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        const int32_t c = mls_utf8_next(text, len, &i);
        char utf8[4];

        if (c == 0x130) /* the one whose lower case is two code points */
            mls_buf_add(out, "i\xCC\x87", 3);
        else
            mls_buf_add(out, utf8, mls_utf8_put(utf8proc_tolower(c), utf8));
    }
}

static void strip(mls_buf *out, const char *text, size_t len, const step *s,
                  bool *start_kept)
{
    size_t begin = 0;

    while (s->left && begin < len) {
        size_t next = begin;

        if (!mls_is_white_space(mls_utf8_next(text, len, &next)))
            break;
        begin = next;
    }
    while (s->right && len > begin) {
        const size_t before = mls_utf8_before(text, len);
        size_t next = before;

        if (!mls_is_white_space(mls_utf8_next(text, len, &next)))
            break;
        len = before;
    }
    if (begin > 0)
        *start_kept = false;
    mls_buf_add(out, text + begin, len - begin);
}

/* unicode.rs of the library: what is no text goes, what is a space becomes one. */
static void nmt(mls_buf *out, const char *text, size_t len, bool *start_kept)
{
    for (size_t i = 0; i < len;) {
        const size_t begin = i;
        const int32_t c = mls_utf8_next(text, len, &i);

        if ((c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F ||
            c == 0x8F || c == 0x9F) {
            *start_kept = *start_kept && begin > 0;
            continue;
        }
        if (c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
            (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
            c == 0xFEFF || c == 0xFFFD)
            mls_buf_add(out, " ", 1);
        else
            mls_buf_add(out, text + begin, i - begin);
    }
}

/* What the steps make of a text of len bytes together stays in proportion. */
static mls_status check_growth(const mls_buf *out, size_t len, mls_err *err)
{
    if (out->len > MLS_TOKENIZER_TEXT_MAX || out->len > GROWTH_MAX * len + GROWTH_FREE)
        return mls_fail(err, MLS_E_INPUT,
                        "normalizer: %zu bytes become more than %d times as long, or "
                        "more than %zu",
                        len, GROWTH_MAX, MLS_TOKENIZER_TEXT_MAX);
    return MLS_OK;
}

static mls_status replace(mls_buf *out, const char *text, size_t len, size_t whole,
                          const step *s, bool *start_kept, mls_err *err)
{
    mls_scan scan = {0};
    size_t copied = 0;

    if (len == 0)
        return MLS_OK;
    while (!out->failed) {
        size_t begin, end;
        bool found;
        mls_status st = check_growth(out, whole, err);

        if (!st)
            st = mls_pattern_next(s->pattern, text, len, &scan, &found, &begin, &end,
                                  err);
        if (st)
            return st;
        if (!found)
            break;
        if (begin == end && more_than_one(&s->content)) /* out of order there */
            return mls_fail(err, MLS_E_INPUT,
                            "normalizer: Replace: more than one character in place of "
                            "nothing is not done");
        mls_buf_add(out, text + copied, begin - copied);
        mls_buf_add(out, s->content.data, s->content.len);
        if (begin == 0 && end > 0 && s->content.len == 0)
            *start_kept = false;
        copied = end;
    }
    mls_buf_add(out, text + copied, len - copied);
    return MLS_OK;
}

static mls_status run_step(const step *s, const char *text, size_t len, size_t whole,
                           mls_buf *out, bool *start_kept, mls_err *err)
{
    switch (s->kind) {
    case UNICODE_FORM:
        return unicode_form(out, text, len, s->form, err);
    case LOWERCASE:
        lowercase(out, text, len);
        break;
    case STRIP:
        strip(out, text, len, s, start_kept);
        break;
    case PREPEND:
        if (len > 0)
            mls_buf_add(out, s->content.data, s->content.len);
        mls_buf_add(out, text, len);
        break;
    case CHARSMAP:
        if (s->charsmap)
            mls_charsmap_run(s->charsmap, text, len, out, start_kept);
        else
            mls_buf_add(out, text, len);
        break;
    case NMT:
        nmt(out, text, len, start_kept);
        break;
    case REPLACE:
        return replace(out, text, len, whole, s, start_kept, err);
    }
    return MLS_OK;
}

mls_status mls_normalizer_run(mls_normalizer *n, const char *text, size_t len,
                              mls_buf *out, mls_err *err)
{
    const size_t whole = len;

    out->len = 0;
    n->start_kept = true;
    if (n->n == 0)
        mls_buf_add(out, text, len);
    for (size_t i = 0; i < n->n; i++) {
        mls_status st;

        if (i > 0) {
            const mls_buf swap = *out;

            *out = n->scratch;
            n->scratch = swap;
            out->len = 0;
            text = n->scratch.len ? n->scratch.data : "";
            len = n->scratch.len;
        }
        st = run_step(&n->steps[i], text, len, whole, out, &n->start_kept, err);
        if (!st)
            st = check_growth(out, whole, err);
        if (st)
            return st;
        if (out->failed)
            break;
    }
    if (out->failed)
        return mls_fail(err, MLS_E_NOMEM, "no memory to normalize %zu bytes", len);
    return MLS_OK;
}
