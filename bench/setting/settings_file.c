/*
 * One file serves models of any shape: {G*D/2} is a product of letters and whole
 * numbers. Factors above and below are gathered apart and divided once, so that nothing
 * is truncated on the way; what comes out is 1 at least.
 */
#include "bench/setting/settings_file.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "datasets/base/csv.h"

enum { LINE = 1024 };

void mls_listed_free(mls_listing *list)
{
    free(list->item);
    *list = (mls_listing){0};
}

static uint64_t letter(char c, const mls_config *m)
{
    switch (c) {
    case 'L':
        return m->L;
    case 'E':
        return m->E;
    case 'H':
        return m->H;
    case 'G':
        return m->G;
    case 'D':
        return m->D;
    case 'C':
        return m->D / 2;
    case 'F':
        return m->F;
    case 'V':
        return m->V;
    default:
        return 0;
    }
}

/* The value of one {word}; *p is behind its '{' and comes to stand behind its '}'. */
static bool read_word(const char **p, const mls_config *m, uint64_t *value)
{
    uint64_t above = 1, below = 1;
    bool divide = false;

    for (;;) {
        uint64_t x = 0;

        if (isdigit((unsigned char)**p)) {
            while (isdigit((unsigned char)**p))
                if (!mls_mul_u64(&x, x, 10) ||
                    !mls_add_u64(&x, x, (uint64_t)(*(*p)++ - '0')))
                    return false;
        } else {
            x = letter(**p, m);
            if (x)
                ++*p;
        }
        if (x == 0 ||
            !(divide ? mls_mul_u64(&below, below, x) : mls_mul_u64(&above, above, x)))
            return false;
        if (**p == '}')
            break;
        if (**p != '*' && **p != '/')
            return false;
        divide = *(*p)++ == '/';
    }
    ++*p;
    *value = above / below ? above / below : 1;
    return true;
}

mls_status mls_shape_words(char *out, size_t size, const char *text,
                           const mls_config *config, mls_err *err)
{
    size_t n = 0;

    for (const char *p = text; *p;) {
        char number[24] = {*p, 0};
        const char *word = p++;
        uint64_t value;

        if (*word == '{') {
            if (!read_word(&p, config, &value))
                return mls_fail(err, MLS_E_INPUT,
                                "%s: \"%.40s\" is not a product like {G*D/2} of the "
                                "letters L E H G D C F V and whole numbers",
                                text, word);
            snprintf(number, sizeof number, "%llu", (unsigned long long)value);
        }
        if (n + strlen(number) >= size)
            return mls_fail(err, MLS_E_ARG, "%.60s...: the setting is too long", text);
        n += (size_t)snprintf(out + n, size - n, "%s", number);
    }
    out[n] = '\0';
    return MLS_OK;
}

mls_status mls_listing_add(mls_listing *list, const char *text, const char *label,
                           const char *source, size_t row, const mls_config *config,
                           mls_err *err)
{
    char line[LINE];
    mls_setting *s = NULL;
    mls_listed *more;
    size_t n = 0;
    mls_status st = mls_shape_words(line, sizeof line, text, config, err);

    if (!st)
        st = mls_setting_expand(line, &s, &n, err);
    if (st)
        return st;
    more = n + list->n <= MLS_SETTINGS_MAX
               ? realloc(list->item, (list->n + n) * sizeof *more)
               : NULL;
    if (!more) {
        free(s);
        return mls_fail(err, MLS_E_INPUT, "more than %d settings", MLS_SETTINGS_MAX);
    }
    list->item = more;
    for (size_t i = 0; i < n; i++) {
        mls_listed *l = &list->item[list->n++];

        *l = (mls_listed){.setting = s[i], .row = row};
        snprintf(l->label, sizeof l->label, "%s", label);
        snprintf(l->source, sizeof l->source, "%s", source);
    }
    free(s);
    return MLS_OK;
}

mls_status mls_listing_read(mls_listing *list, const char *path,
                            const mls_config *config, mls_err *err)
{
    mls_csv csv = {0};
    mls_status st = mls_csv_read(&csv, path, err);

    if (st)
        return st;
    const size_t setting = mls_csv_column(&csv, "setting");
    const size_t label = mls_csv_column(&csv, "label");
    const size_t source = mls_csv_column(&csv, "source");

    if (setting == csv.n_columns)
        st = mls_fail(err, MLS_E_INPUT, "%s: no column `setting`", path);
    else if (csv.n_rows == 0)
        st = mls_fail(err, MLS_E_INPUT, "%s: no settings", path);
    for (size_t i = 0; !st && i < csv.n_rows; i++) {
        st =
            mls_listing_add(list, mls_csv_cell(&csv, i, setting),
                            label < csv.n_columns ? mls_csv_cell(&csv, i, label) : "",
                            source < csv.n_columns ? mls_csv_cell(&csv, i, source) : "",
                            i + 2, config, err);
        if (st == MLS_E_ARG)
            st = MLS_E_INPUT;
        if (st)
            mls_fail_in(err, st, "%s, row %zu", path, i + 2);
    }
    mls_csv_free(&csv);
    return st;
}
