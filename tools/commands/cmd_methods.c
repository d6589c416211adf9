/*
 * mlascope methods: the key tables of the methods, as one table. What a setting may say
 * is written down once, in the method's own file; reading it, refusing it and showing
 * it here are the same table.
 */
#include "bench/frame/method.h"
#include "bench/frame/common_keys.h"
#include "tools/base/command.h"
#include "tools/base/hub.h"
#include "tools/base/inputs.h"
#include "tools/base/options.h"
#include "tools/commands/help.h"

extern const mls_command cmd_methods;

/* What stands for a value: its words, or its hint. */
static void add_values(mls_table *t, const mls_key *k)
{
    mls_buf b = {0};

    if (k->hint)
        mls_buf_puts(&b, k->hint);
    else
        for (size_t i = 0; k->words && k->words[i]; i++)
            mls_buf_printf(&b, "%s%s", i ? "|" : "", k->words[i]);
    mls_table_buf(t, &b);
}

static void add_meaning(mls_table *t, const mls_key *k)
{
    mls_buf b = {0};

    mls_buf_puts(&b, k->help);
    if (k->open && k->open[0])
        mls_buf_printf(&b, "; %s needs the weights", k->open);
    else if (k->open)
        mls_buf_puts(&b, "; needs the weights");
    mls_table_buf(t, &b);
}

/* The default as it is written down. */
static void add_default(mls_table *t, const mls_key *k)
{
    mls_buf b = {0};

    if (k->said)
        mls_buf_puts(&b, k->said);
    else if (k->like)
        mls_buf_puts(&b, k->like);
    else if (k->words)
        mls_buf_puts(&b, k->words[0]);
    else if (k->text)
        mls_buf_puts(&b, k->text);
    else
        mls_buf_printf(&b, "%g", k->usual);
    mls_table_buf(t, &b);
}

/* The largest value: by the model, or of any. */
static void add_bound(mls_table *t, const mls_key *k)
{
    mls_buf b = {0};

    if (k->bound)
        mls_buf_puts(&b, k->bound);
    else if (k->type == MLS_KEY_REAL)
        mls_buf_printf(&b, "%g", k->most);
    else
        mls_buf_puts(&b, "-");
    mls_table_buf(t, &b);
}

/*
 * The numbers of a model, where they follow from its shape: those of the method's
 * setting without keys.
 */
static void add_here(mls_table *t, const mls_key *k, const mls_config *config,
                     const void *params)
{
    const bool counted = k->type == MLS_KEY_SIZE || k->type == MLS_KEY_HEADS;
    const bool meant = params && counted && !(k->refuse && k->refuse(params));
    const size_t value = meant ? *(const size_t *)((const char *)params + k->at) : 0;

    if (meant && value && (k->otherwise || k->like || k->said))
        mls_table_count(t, (long long)value);
    else
        mls_table_empty(t);
    if (meant && k->limit)
        mls_table_count(t, (long long)k->limit(config, params));
    else
        mls_table_empty(t);
}

static void add_keys(mls_table *t, const char *method, const mls_key *keys,
                     const mls_config *config, const void *params)
{
    for (const mls_key *k = keys; k && k->name; k++) {
        mls_table_line(t, "%s %s", method, k->name);
        add_values(t, k);
        add_meaning(t, k);
        add_default(t, k);
        add_bound(t, k);
        if (config)
            add_here(t, k, config, params);
    }
}

static mls_status add_method(mls_table *t, const mls_method *m,
                             const mls_config *config, mls_err *err)
{
    mls_setting plain = {0};
    mls_parsed parsed = {0};
    mls_err why = {0};
    mls_status st = MLS_OK;

    if (config) {
        st = mls_setting_parse(&plain, m->name, err);
        /* A model that cannot take the plain setting has no numbers to show. */
        if (!st && mls_method_parse(&parsed, config, &plain, &why) == MLS_E_NOMEM)
            st = mls_fail(err, MLS_E_NOMEM, "%s", why.text);
    }
    if (!st && !m->keys) {
        mls_table_line(t, "%s", m->name);
        for (size_t i = 1; i < mls_table_columns(t); i++)
            mls_table_empty(t);
    }
    if (!st)
        add_keys(t, m->name, m->keys, config, parsed.params);
    if (why.text[0])
        mls_table_note(t, why.text);
    mls_parsed_free(&parsed);
    return st;
}

static mls_status fill(mls_table *t, const char **names, size_t n,
                       const mls_config *config, mls_err *err)
{
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < n; i++) {
        const mls_method *m;

        if (!(st = mls_method_find(&m, names[i], err))) {
            mls_table_meta(t, m->name, m->title);
            mls_table_meta(t, "source", m->source);
            if (m->formula)
                mls_table_meta(t, "numbers a token and layer", m->formula);
            st = add_method(t, m, config, err);
        }
    }
    if (n == 0)
        add_keys(t, "every method", mls_common_key_table, config, NULL);
    for (size_t i = 0; !st && n == 0 && mls_methods[i]; i++)
        st = add_method(t, mls_methods[i], config, err);
    return st;
}

static mls_status show(const char **names, size_t n, const char *model,
                       mls_format format, const char *output, mls_err *err)
{
    mls_config config;
    mls_table *t = mls_table_new(n == 1 ? NULL : "Settings");
    mls_status st = MLS_OK;

    if (!t)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a table");
    MLS_COLUMNS(t, {"method", "method", "", 0}, {"key", "key", "", 0},
                {"values", "values", "", 0}, {"meaning", "meaning", "", 0},
                {"default", "default", "", 0}, {"most", "most", "", 0});
    if (model) {
        mls_table_column(t, "default_here", "default here", "", 0);
        mls_table_column(t, "most_here", "most here", "", 0);
        st = mls_tool_config(&config, mls_hub_model(model), err);
        mls_table_meta(t, "model", model);
    }
    if (!st)
        st = fill(t, names, n, model ? &config : NULL, err);
    if (!st)
        st = mls_tool_print(t, format, output, err);
    mls_table_free(t);
    return st;
}

static int run(int argc, char **argv)
{
    const char *names[64], *model = NULL, *output = "-";
    mls_format format = MLS_FORMAT_TABLE;
    const mls_option options[] = {
        {"--model", 0, MLS_OPT_TEXT, &model, 0, 0},
        {"--format", 0, MLS_OPT_FORMAT, &format, 0, 0},
        {"--output", 'o', MLS_OPT_TABLE, &output, 0, 0},
        {0},
    };
    size_t n;
    int status;
    mls_err err = {0};

    if (!mls_options_parse(&cmd_methods, argc, argv, options, names, 0,
                           sizeof names / sizeof names[0], &n, &status))
        return status;
    show(names, n, model, format, output, &err);
    return mls_exit_status(&err);
}

MLS_COMMAND(methods, "bench",
            "what a setting may say: methods, their keys and defaults");
