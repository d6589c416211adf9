/* mlascope tokenize: the ids of a text, to hold against another tokenizer's. */
#include <stdlib.h>

#include "common/base/buf.h"
#include "datasets/base/ids.h"
#include "datasets/text/documents.h"
#include "datasets/tokenizer/tokenizer.h"
#include "tools/base/command.h"
#include "tools/base/options.h"
#include "tools/commands/help.h"

extern const mls_command cmd_tokenize;

/* What happens to each document. */
typedef struct work {
    mls_tokenizer *tok;
    bool special;
    mls_ids ids; /* of all documents */
} work;

static mls_status encode(void *arg, const char *text, size_t len, mls_err *err)
{
    work *w = arg;
    int32_t *ids;
    size_t n;
    mls_status st = mls_tokenizer_encode(w->tok, text, len, w->special, &ids, &n, err);

    if (!st)
        st = mls_ids_join(&w->ids, ids, n, err);
    free(ids);
    return st;
}

/* A token on one line: control characters and backslashes as escapes. */
static void put_token(mls_buf *out, const char *token)
{
    for (; *token; token++)
        if (*token == '\n')
            mls_buf_puts(out, "\\n");
        else if (*token == '\t')
            mls_buf_puts(out, "\\t");
        else if (*token == '\\')
            mls_buf_puts(out, "\\\\");
        else if ((unsigned char)*token < ' ' || *token == 0x7F)
            mls_buf_printf(out, "\\x%02X", (unsigned)*token);
        else
            mls_buf_add(out, token, 1);
}

/* One id per line, or one JSON array. */
static void put_ids(mls_buf *out, const work *w, bool json, bool show)
{
    if (json)
        mls_buf_puts(out, "[");
    for (size_t i = 0; i < w->ids.n; i++) {
        const int32_t id = w->ids.id[i];

        if (json) {
            mls_buf_printf(out, "%s%d", i ? ", " : "", id);
            continue;
        }
        mls_buf_printf(out, "%d", id);
        if (show) {
            mls_buf_puts(out, "\t");
            put_token(out, mls_tokenizer_token(w->tok, id));
        }
        mls_buf_puts(out, "\n");
    }
    if (json)
        mls_buf_puts(out, "]\n");
}

static mls_status print_table(const work *w, bool show, mls_format format,
                              const char *path, mls_err *err)
{
    mls_table *t = mls_table_new("Tokens");
    mls_status st;

    if (!t)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a table");
    mls_table_column(t, "id", "id", "", 0);
    if (show)
        mls_table_column(t, "token", "token", "", 0);
    for (size_t i = 0; i < w->ids.n; i++) {
        mls_table_row(t);
        mls_table_count(t, w->ids.id[i]);
        if (show)
            mls_table_text(t, mls_tokenizer_token(w->tok, w->ids.id[i]));
    }
    st = mls_tool_print(t, format, path, err);
    mls_table_free(t);
    return st;
}

static mls_status print(const work *w, bool count, bool show, mls_format format,
                        const char *path, mls_err *err)
{
    const bool json = format == MLS_FORMAT_JSON && !show;
    mls_buf out = {0};
    mls_status st;

    if (!count && !json && format != MLS_FORMAT_TABLE)
        return print_table(w, show, format, path, err);
    mls_buf_puts(&out, "");
    if (count)
        mls_buf_printf(&out, "%zu\n", w->ids.n);
    else
        put_ids(&out, w, json, show);
    st = mls_tool_write(&out, path, err);
    mls_buf_free(&out);
    return st;
}

static int run(int argc, char **argv)
{
    mls_err err = {0};
    work w = {0};
    mls_texts files = {0};
    bool special = false, no_special = false, count = false, show = false;
    mls_format format = MLS_FORMAT_TABLE;
    const char *output = "-";
    const char *operands[257];
    size_t n = 0;
    int status;
    const mls_option options[] = {
        {.name = "--text", .letter = 'f', .type = MLS_OPT_LIST, .value = &files},
        {.name = "--special", .type = MLS_OPT_FLAG, .value = &special},
        {.name = "--no-special", .type = MLS_OPT_FLAG, .value = &no_special},
        {.name = "--count", .type = MLS_OPT_FLAG, .value = &count},
        {.name = "--show", .type = MLS_OPT_FLAG, .value = &show},
        {.name = "--format", .type = MLS_OPT_FORMAT, .value = &format},
        {.name = "--output", .letter = 'o', .type = MLS_OPT_TABLE, .value = &output},
        {0},
    };

    if (!mls_options_parse(&cmd_tokenize, argc, argv, options, operands, 1, 257, &n,
                           &status))
        return status;
    if (special && no_special)
        return mls_usage_error(&cmd_tokenize, "--special and --no-special exclude each "
                                              "other");
    for (size_t i = 1; i < n; i++) {
        if (files.n == sizeof files.item / sizeof files.item[0])
            return mls_usage_error(&cmd_tokenize, "at most %zu files are taken",
                                   files.n);
        files.item[files.n++] = operands[i];
    }
    if (files.n == 0)
        return mls_usage_error(&cmd_tokenize, "no text given");
    w.special = !no_special;
    if (mls_tokenizer_open(&w.tok, operands[0], &err))
        goto done;
    if (mls_documents_read(files.item, files.n, encode, &w, NULL, &err))
        goto done;
    print(&w, count, show, format, output, &err);

done:
    mls_ids_free(&w.ids);
    mls_tokenizer_close(w.tok);
    return mls_exit_status(&err);
}

MLS_COMMAND(tokenize, "datasets", "print the token ids of a text");
