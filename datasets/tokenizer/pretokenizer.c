/*
 * Each type of the tokenizers library becomes one to three of four steps over a list of
 * words (cut, bytes, spaces, prefix), and an unknown type or setting is refused:
 * another cut gives other ids without an error. The trap is prepend_scheme "first",
 * which asks where a piece was in the text before anything was changed.
 */
#include "datasets/tokenizer/pretokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "datasets/base/utf8.h"
#include "datasets/tokenizer/cuts.h"
#include "datasets/tokenizer/normalizer.h"
#include "datasets/tokenizer/pattern.h"

enum { STEPS_MAX = 64, NESTING_MAX = 16 };

/* Every type is made of these four steps. */
typedef enum action {
    SPLIT,  /* cut words at a pattern */
    BYTES,  /* each byte to a visible character, as GPT-2 does */
    SPACES, /* each space to `content` */
    PREFIX, /* `content` before each word that does not begin with it */
} action;

typedef struct step {
    action kind;
    mls_pattern *pattern; /* SPLIT */
    mls_split behavior;   /* SPLIT */
    bool invert;          /* SPLIT: what lies between matches is the match */
    bool only_at_start;   /* PREFIX */
    char content[8];      /* SPACES, PREFIX: one code point and a NUL */
} step;

struct mls_pretokenizer {
    size_t n;
    step steps[STEPS_MAX];
    bool first_of_cut; /* prepend_scheme "first" behind a SPLIT */
    mls_words scratch;
};

/* byte_level.rs, and encoder.py of GPT-2 before it. */
static const char gpt2_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| "
                                   "?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

void mls_pretokenizer_free(mls_pretokenizer *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        mls_pattern_free(p->steps[i].pattern);
    mls_words_free(&p->scratch);
    free(p);
}

/* ---- reading ---- */

/* NULL, with err filled, when there are too many. */
static step *new_step(mls_pretokenizer *p, action kind, mls_err *err)
{
    step *s;

    if (p->n == STEPS_MAX) {
        mls_fail(err, MLS_E_INPUT, "pre_tokenizer: more than %d steps", STEPS_MAX);
        return NULL;
    }
    s = &p->steps[p->n++];
    *s = (step){.kind = kind};
    return s;
}

static mls_status new_split(mls_pretokenizer *p, mls_dialect dialect,
                            const char *source, mls_split behavior, bool invert,
                            const char *where, mls_err *err)
{
    step *s = new_step(p, SPLIT, err);

    if (!s)
        return MLS_E_INPUT;
    s->behavior = behavior;
    s->invert = invert;
    return mls_pattern_new(&s->pattern, dialect, source, strlen(source), where, err);
}

static mls_status new_content(mls_pretokenizer *p, action kind, const char *content,
                              bool only_at_start, mls_err *err)
{
    step *s = new_step(p, kind, err);

    if (!s)
        return MLS_E_INPUT;
    snprintf(s->content, sizeof s->content, "%s", content);
    s->only_at_start = only_at_start;
    return MLS_OK;
}

static mls_status read_behavior(const json_t *part, const char *where,
                                const char *otherwise, mls_split *out, mls_err *err)
{
    static const struct {
        const char *name;
        mls_split behavior;
    } behaviors[] = {
        {"Removed", MLS_SPLIT_REMOVED},
        {"Isolated", MLS_SPLIT_ISOLATED},
        {"MergedWithPrevious", MLS_SPLIT_MERGED_WITH_PREVIOUS},
        {"MergedWithNext", MLS_SPLIT_MERGED_WITH_NEXT},
        {"Contiguous", MLS_SPLIT_CONTIGUOUS},
    };
    mls_text name = {otherwise, 0};
    mls_status st = MLS_OK;

    if (json_object_get(part, "behavior") || !otherwise)
        st = mls_json_text(part, where, "behavior", &name, err);
    if (st)
        return st;
    for (size_t i = 0; i < sizeof behaviors / sizeof behaviors[0]; i++)
        if (strcmp(name.data, behaviors[i].name) == 0) {
            *out = behaviors[i].behavior;
            return MLS_OK;
        }
    return mls_fail(err, MLS_E_INPUT, "%s: behavior \"%.64s\" is not known", where,
                    name.data);
}

static mls_status read_split(mls_pretokenizer *p, const json_t *part, const char *where,
                             mls_err *err)
{
    mls_split behavior;
    bool invert;
    step *s;
    mls_status st = read_behavior(part, where, NULL, &behavior, err);

    if (!st)
        st = mls_json_bool(part, where, "invert", false, &invert, err);
    if (st)
        return st;
    s = new_step(p, SPLIT, err);
    if (!s)
        return MLS_E_INPUT;
    s->behavior = behavior;
    s->invert = invert;
    return mls_pattern_read(&s->pattern, part, where, err);
}

static mls_status read_byte_level(mls_pretokenizer *p, const json_t *part,
                                  const char *where, mls_err *err)
{
    bool prefix, regex;
    mls_status st = mls_json_bool(part, where, "add_prefix_space", true, &prefix, err);

    if (!st)
        st = mls_json_bool(part, where, "use_regex", true, &regex, err);
    if (!st && prefix)
        st = new_content(p, PREFIX, " ", false, err);
    if (!st && regex)
        st = new_split(p, MLS_ONIGURUMA, gpt2_pattern, MLS_SPLIT_ISOLATED, false, where,
                       err);
    if (!st && !new_step(p, BYTES, err))
        st = MLS_E_INPUT;
    return st;
}

/* Old files say add_prefix_space, new ones prepend_scheme; both must agree. */
static mls_status read_scheme(const json_t *part, const char *where, bool *prefix,
                              bool *only_at_start, mls_err *err)
{
    const char *key = "prepend_scheme";
    mls_text name;
    mls_status st = mls_json_bool(part, where, "add_prefix_space", true, prefix, err);

    *only_at_start = false;
    if (st || !json_object_get(part, key))
        return st;
    st = mls_json_text(part, where, key, &name, err);
    if (st)
        return st;
    if (!*prefix && strcmp(name.data, "never") != 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: \"add_prefix_space\" is false and \"%s\" is \"%.16s\"",
                        where, key, name.data);
    if (strcmp(name.data, "first") == 0)
        *only_at_start = true;
    else if (strcmp(name.data, "never") == 0)
        *prefix = false;
    else if (strcmp(name.data, "always") != 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: \"%s\": expected always, first or never, found \"%.16s\"",
                        where, key, name.data);
    return MLS_OK;
}

/*
 * Which piece behind a cut begins at the text's first character is a matter of offsets:
 * what was put in there counts as that character. Then p->first_of_cut, or a refusal.
 */
static mls_status check_first(mls_pretokenizer *p, const char *where, mls_err *err)
{
    bool cut = false, grown = false;

    for (size_t i = 0; i < p->n; i++) {
        cut = cut || p->steps[i].kind == SPLIT;
        grown = grown || p->steps[i].kind == PREFIX || p->steps[i].kind == BYTES;
    }
    p->first_of_cut = p->first_of_cut || cut;
    return cut && grown ? mls_fail(err, MLS_E_INPUT,
                                   "%s: prepend_scheme \"first\" behind steps that "
                                   "prepend and cut is not done",
                                   where)
                        : MLS_OK;
}

static mls_status read_metaspace(mls_pretokenizer *p, const json_t *part,
                                 const char *where, mls_err *err)
{
    bool prefix, only_at_start, split;
    mls_text mark;
    size_t first = 0;
    mls_status st = mls_json_text(part, where, "replacement", &mark, err);

    if (!st && mark.len > 0)
        mls_utf8_next(mark.data, mark.len, &first);
    if (!st && (mark.len == 0 || first != mark.len))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: \"replacement\": expected one character, found \"%.16s\"",
                        where, mark.data);
    if (!st)
        st = read_scheme(part, where, &prefix, &only_at_start, err);
    if (!st)
        st = mls_json_bool(part, where, "split", true, &split, err);
    if (!st && prefix && only_at_start)
        st = check_first(p, where, err);
    if (!st)
        st = new_content(p, SPACES, mark.data, false, err);
    if (!st && prefix)
        st = new_content(p, PREFIX, mark.data, only_at_start, err);
    if (!st && split)
        st = new_split(p, MLS_LITERAL, mark.data, MLS_SPLIT_MERGED_WITH_NEXT, false,
                       where, err);
    return st;
}

static mls_status read_digits(mls_pretokenizer *p, const json_t *part,
                              const char *where, mls_err *err)
{
    bool each;
    const mls_status st =
        mls_json_bool(part, where, "individual_digits", false, &each, err);

    return st ? st
              : new_split(p, MLS_PCRE2, "\\p{N}",
                          each ? MLS_SPLIT_ISOLATED : MLS_SPLIT_CONTIGUOUS, false,
                          where, err);
}

static mls_status read_punctuation(mls_pretokenizer *p, const json_t *part,
                                   const char *where, mls_err *err)
{
    mls_split behavior;
    const mls_status st = read_behavior(part, where, "Isolated", &behavior, err);

    return st ? st
              : new_split(p, MLS_PCRE2, "[!-/:-@\\[-`{-~\\p{P}]", behavior, false,
                          where, err);
}

/* The words of Rust's regex crate, which count the joiners in. */
static mls_status read_whitespace(mls_pretokenizer *p, const json_t *part,
                                  const char *where, mls_err *err)
{
    (void)part;
    return new_split(p, MLS_PCRE2,
                     "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]+|"
                     "[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}"
                     "\\p{White_Space}]+",
                     MLS_SPLIT_REMOVED, true, where, err);
}

static mls_status read_whitespace_split(mls_pretokenizer *p, const json_t *part,
                                        const char *where, mls_err *err)
{
    (void)part;
    return new_split(p, MLS_PCRE2, "\\p{White_Space}", MLS_SPLIT_REMOVED, false, where,
                     err);
}

static const struct {
    const char *type;
    mls_status (*read)(mls_pretokenizer *, const json_t *, const char *, mls_err *);
    const char *settings[7];
} types[] = {
    {"Split", read_split, {"type", "pattern", "behavior", "invert"}},
    {"ByteLevel",
     read_byte_level,
     {"type", "add_prefix_space", "trim_offsets", "use_regex"}},
    {"Metaspace",
     read_metaspace,
     {"type", "replacement", "str_rep", "add_prefix_space", "prepend_scheme", "split"}},
    {"Digits", read_digits, {"type", "individual_digits"}},
    {"Punctuation", read_punctuation, {"type", "behavior"}},
    {"Whitespace", read_whitespace, {"type"}},
    {"WhitespaceSplit", read_whitespace_split, {"type"}},
};

static mls_status read_part(mls_pretokenizer *p, const json_t *part, int nesting,
                            mls_err *err)
{
    const json_t *list;
    mls_text type;
    mls_status st = mls_json_text(part, "pre_tokenizer", "type", &type, err);

    if (st)
        return st;
    if (strcmp(type.data, "Sequence") == 0) {
        if (nesting == NESTING_MAX)
            return mls_fail(err, MLS_E_INPUT,
                            "pre_tokenizer: sequences nested too deep");
        st = mls_json_array(part, "pre_tokenizer: Sequence", "pretokenizers", &list,
                            err);
        for (size_t i = 0; !st && i < json_array_size(list); i++)
            st = read_part(p, json_array_get(list, i), nesting + 1, err);
        return st;
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].type, type.data) == 0) {
            char where[64];

            snprintf(where, sizeof where, "pre_tokenizer: %s", types[i].type);
            st = mls_json_only(part, where, types[i].settings, err);
            return st ? st : types[i].read(p, part, where, err);
        }
    return mls_fail(err, MLS_E_INPUT, "pre_tokenizer: type \"%.64s\" is not done",
                    type.data);
}

mls_status mls_pretokenizer_new(mls_pretokenizer **out, const json_t *part,
                                mls_err *err)
{
    mls_pretokenizer *p = calloc(1, sizeof *p);
    mls_status st = MLS_OK;

    *out = NULL;
    if (!p)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a pre-tokenizer");
    if (part && !json_is_null(part))
        st = read_part(p, part, 0, err);
    if (st)
        mls_pretokenizer_free(p);
    else
        *out = p;
    return st;
}

bool mls_pretokenizer_asks_first(const mls_pretokenizer *p)
{
    return p->first_of_cut;
}

/* ---- running ---- */

/*
 * GPT-2's alphabet: visible Latin-1 bytes stand for themselves, the other 68 for the
 * code points from 256 on, in order.
 */
static int32_t visible(unsigned char byte)
{
    if ((byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD))
        return byte;
    if (byte <= 0x20)
        return 256 + byte;
    return byte == 0xAD ? 256 + 67 : 256 + 33 + (byte - 0x7F);
}

static void add_bytes(mls_buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char utf8[4];

        mls_buf_add(out, utf8, mls_utf8_put(visible((unsigned char)text[i]), utf8));
    }
}

static void add_spaces(mls_buf *out, const char *text, size_t len, const char *content)
{
    const size_t n = strlen(content);

    while (len > 0) {
        const char *space = memchr(text, ' ', len);
        const size_t before = space ? (size_t)(space - text) : len;

        mls_buf_add(out, text, before);
        if (!space)
            return;
        mls_buf_add(out, content, n);
        text += before + 1;
        len -= before + 1;
    }
}

/* Write one word anew at the end of out's text. */
static void rewrite_word(const step *s, const char *text, size_t len, bool at_start,
                         mls_buf *out)
{
    const size_t n = strlen(s->content);

    switch (s->kind) {
    case SPLIT:
        break;
    case BYTES:
        add_bytes(out, text, len);
        break;
    case SPACES:
        add_spaces(out, text, len, s->content);
        break;
    case PREFIX:
        if ((at_start || !s->only_at_start) &&
            !(len >= n && memcmp(text, s->content, n) == 0))
            mls_buf_add(out, s->content, n);
        mls_buf_add(out, text, len);
        break;
    }
}

static mls_status run_step(const step *s, const mls_words *in, mls_words *out,
                           mls_err *err)
{
    out->n = 0;
    out->failed = in->failed || in->text.failed;
    out->at_start = in->at_start;
    if (s->kind == SPLIT) {
        for (size_t i = 0; i < in->n; i++) {
            const mls_status st =
                mls_words_split(out, in->text.data, in->word[i], s->pattern,
                                s->behavior, s->invert, err);

            if (st)
                return st;
        }
        if (in->n > 0 && (out->n == 0 || out->word[0].begin != in->word[0].begin))
            out->at_start = false;
        return MLS_OK;
    }
    out->text.len = 0;
    for (size_t i = 0; i < in->n; i++) {
        const mls_word word = in->word[i];
        const size_t begin = out->text.len;

        rewrite_word(s, in->text.data + word.begin, word.end - word.begin,
                     in->at_start && i == 0, &out->text);
        if (out->text.len > MLS_TOKENIZER_TEXT_MAX)
            return mls_fail(err, MLS_E_INPUT, "the words are longer than %zu bytes",
                            MLS_TOKENIZER_TEXT_MAX);
        mls_words_add(out, begin, out->text.len);
    }
    return MLS_OK;
}

static void swap_text(mls_words *a, mls_words *b)
{
    const mls_buf text = a->text;

    a->text = b->text;
    b->text = text;
}

mls_status mls_pretokenizer_run(mls_pretokenizer *p, const char *text, size_t len,
                                bool at_start, mls_words *out, mls_err *err)
{
    out->n = 0;
    out->at_start = at_start;
    out->text.len = 0;
    mls_buf_add(&out->text, text, len);
    mls_words_add(out, 0, len);
    for (size_t i = 0; i < p->n && !out->failed && !out->text.failed; i++) {
        mls_words *in = &p->scratch;
        const mls_words swap = *in;
        mls_status st;

        *in = *out;
        *out = swap;
        st = run_step(&p->steps[i], in, out, err);
        if (p->steps[i].kind == SPLIT) /* same text, other cuts */
            swap_text(in, out);
        if (st)
            return st;
    }
    if (out->failed || out->text.failed)
        return mls_fail(err, MLS_E_NOMEM, "no memory to cut %zu bytes into words", len);
    return MLS_OK;
}
