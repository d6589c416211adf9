/*
 * The table: 4 bytes, the size of a double array in bytes; the double array, 32-bit
 * units; replacements, each ending in NUL. All little-endian. A unit holds
 * (Darts-clone, darts.h, DoubleArrayUnit)
 *
 *   bit 31 and bits 0-7   the label of the way here, or the value of a leaf (bits 0-30)
 *   bit 8                 a string ends here: its value is in the unit at the offset
 *   bits 10-31, bit 9     the offset, times 256 when bit 9 is set; children are at
 *                         (place ^ offset) ^ byte
 *
 * and the value is where the replacement begins. SentencePiece takes the longest
 * sequence at each place (normalizer.cc, NormalizePrefix). The library tokenizers asks
 * for graphemes below 6 bytes, else for their characters, and takes the shortest
 * sequence that what it asked for begins with (precompiled.rs): where "e" alone is in
 * the table, an accent behind it is lost. Ids of a tokenizer.json are its ids.
 */
#include "datasets/tokenizer/charsmap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "datasets/base/utf8.h"

enum { GRAPHEME_BYTES = 6 };

struct mls_charsmap {
    unsigned char *data;
    size_t n_units;
    const char *text; /* replacements, the last one ends in NUL */
    size_t text_len;
    bool longest;
};

void mls_charsmap_free(mls_charsmap *m)
{
    if (!m)
        return;
    free(m->data);
    free(m);
}

/* Value of a base64 digit; -1: it is none. */
static int digit_of(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* RFC 4648; out has room for 3 bytes of every 4. */
static bool decode(unsigned char *out, size_t *n, const char *text, size_t len)
{
    uint32_t bits = 0;
    unsigned held = 0;

    *n = 0;
    if (len % 4)
        return false;
    while (len > 0 && text[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++) {
        const int digit = digit_of(text[i]);

        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[(*n)++] = (unsigned char)(bits >> held);
        }
    }
    return true;
}

static uint32_t le32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

mls_status mls_charsmap_new(mls_charsmap **out, const char *base64, size_t len,
                            bool longest, const char *where, mls_err *err)
{
    mls_charsmap *m = calloc(1, sizeof *m);
    size_t n = 0, units = 0;
    bool good = false;

    *out = NULL;
    if (m)
        m->data = malloc(len / 4 * 3 + 4);
    if (!m || !m->data) {
        mls_charsmap_free(m);
        return mls_fail(err, MLS_E_NOMEM, "%s: no memory for a charsmap", where);
    }
    if (decode(m->data, &n, base64, len) && n > 4) {
        units = le32(m->data);
        good = units % 4 == 0 && units >= 4 && units < n - 4 && m->data[n - 1] == '\0';
    }
    if (!good) {
        mls_charsmap_free(m);
        return mls_fail(err, MLS_E_INPUT, "%s: is not a precompiled_charsmap", where);
    }
    m->n_units = units / 4;
    m->text = (const char *)m->data + 4 + units;
    m->text_len = n - 4 - units;
    m->longest = longest;
    if (mls_utf8_check(m->text, m->text_len) == m->text_len) {
        *out = m;
        return MLS_OK;
    }
    mls_charsmap_free(m);
    return mls_fail(err, MLS_E_INPUT, "%s: a replacement of the charsmap is not UTF-8",
                    where);
}

/* 0, which leads nowhere, outside of the array. */
static uint32_t unit_at(const mls_charsmap *m, size_t place)
{
    return place < m->n_units ? le32(m->data + 4 + 4 * place) : 0;
}

static size_t offset_of(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6);
}

/*
 * The replacement of the shortest or longest sequence that text begins with, and the
 * bytes of that sequence; NULL when there is none.
 */
static const char *find(const mls_charsmap *m, const char *text, size_t len,
                        size_t *length)
{
    size_t place = offset_of(unit_at(m, 0));
    const char *found = NULL;

    for (size_t i = 0; i < len && text[i]; i++) {
        const unsigned char c = (unsigned char)text[i];

        place ^= c;
        const uint32_t unit = unit_at(m, place);

        if ((unit & (1u << 31 | 0xFF)) != c)
            break;
        place ^= offset_of(unit);
        if (!(unit >> 8 & 1))
            continue;
        const size_t value = unit_at(m, place) & 0x7FFFFFFF;

        if (value >= m->text_len)
            break;
        found = m->text + value;
        *length = i + 1;
        if (!m->longest)
            break;
    }
    return found;
}

/* Where the grapheme that begins at i ends (UAX 29). */
static size_t grapheme_end(const char *text, size_t len, size_t i)
{
    size_t next = i;
    int32_t state = 0;
    int32_t before = mls_utf8_next(text, len, &next);

    while (next < len) {
        const size_t at = next;
        const int32_t c = mls_utf8_next(text, len, &next);

        if (utf8proc_grapheme_break_stateful(before, c, &state))
            return at;
        before = c;
    }
    return next;
}

/* One character or grapheme, begin..end-1. */
static bool put(const mls_charsmap *m, const char *text, size_t begin, size_t end,
                mls_buf *out, bool *start_kept)
{
    size_t length;
    const char *found = find(m, text + begin, end - begin, &length);

    if (!found)
        return false;
    mls_buf_puts(out, found);
    if (begin == 0 && !*found)
        *start_kept = false;
    return true;
}

void mls_charsmap_run(const mls_charsmap *m, const char *text, size_t len, mls_buf *out,
                      bool *start_kept)
{
    size_t i = 0;

    while (i < len && m->longest) {
        size_t length, next = i;
        const char *found = find(m, text + i, len - i, &length);

        mls_utf8_next(text, len, &next);
        if (found) {
            mls_buf_puts(out, found);
            next = i + length;
        } else {
            mls_buf_add(out, text + i, next - i);
        }
        if (i == 0 && found && !*found)
            *start_kept = false;
        i = next;
    }
    while (i < len) {
        const size_t end = grapheme_end(text, len, i);

        if (end - i < GRAPHEME_BYTES && put(m, text, i, end, out, start_kept)) {
            i = end;
            continue;
        }
        while (i < end) {
            const size_t begin = i;

            mls_utf8_next(text, len, &i);
            if (!put(m, text, begin, i, out, start_kept))
                mls_buf_add(out, text + begin, i - begin);
        }
    }
}
