/*
 * NAME=FILE is a name only where no file is called so. The windows of all texts follow
 * one another in one corpus, whose hash is that of the texts' hashes, so that a report
 * of all and of each come from the same tokens.
 */
#include "tools/base/named_texts.h"

#include <ctype.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/system/files.h"
#include "common/system/hash.h"

/* Characters of a name before '=', 0: none. */
static size_t name_length(const char *text)
{
    size_t n = 0;

    while (isalnum((unsigned char)text[n]) || text[n] == '-' || text[n] == '_')
        n++;
    return text[n] == '=' && n > 0 && n < MLS_TEXT_NAME && !mls_file_exists(text) ? n
                                                                                  : 0;
}

mls_status mls_tool_named_texts(mls_named_texts *out, mls_texts *texts, mls_err *err)
{
    size_t named = 0;

    *out = (mls_named_texts){0};
    for (size_t i = 0; i < texts->n; i++)
        named += name_length(texts->item[i]) > 0;
    if (named == 0)
        return MLS_OK;
    if (named < texts->n)
        return mls_fail(
            err, MLS_E_INPUT,
            "--text: some texts have a name (NAME=FILE) and some have none");
    for (size_t i = 0; i < texts->n; i++) {
        const char *item = texts->item[i];
        const size_t n = name_length(item);
        size_t k = 0;

        while (k < out->n && (strncmp(out->text[k].name, item, n) != 0 ||
                              out->text[k].name[n] != '\0'))
            k++;
        if (k == MLS_NAMED_TEXTS)
            return mls_fail(err, MLS_E_INPUT, "--text: more than %d names",
                            MLS_NAMED_TEXTS);
        if (k == out->n)
            memcpy(out->text[out->n++].name, item, n);
        texts->item[i] = item + n + 1;
        out->text[k].files.item[out->text[k].files.n++] = texts->item[i];
    }
    return out->n > 1 ? MLS_OK
                      : mls_fail(err, MLS_E_INPUT,
                                 "--text: one name, \"%s\"; names are to compare two "
                                 "texts or more",
                                 out->text[0].name);
}

mls_status mls_tool_join(mls_corpus *all, const mls_corpus *each, size_t n,
                         mls_err *err)
{
    size_t ids = 0, N = 0;
    mls_sha256 *sha;
    mls_status st = mls_sha256_new(&sha, err);

    *all = (mls_corpus){.lead = each[0].lead};
    for (size_t i = 0; i < n; i++) {
        ids += each[i].n_ids;
        N += each[i].N;
        if (!st)
            mls_sha256_add(sha, each[i].sha256, strlen(each[i].sha256));
    }
    if (!st)
        mls_sha256_hex(sha, all->sha256);
    mls_sha256_free(sha);
    all->ids = mls_calloc3(ids, 1, 1, sizeof *all->ids);
    all->start = mls_calloc3(N + 1, 1, 1, sizeof *all->start);
    if (!st && (!all->ids || !all->start))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu sequences", N);
    for (size_t i = 0; !st && i < n; i++) {
        memcpy(all->ids + all->n_ids, each[i].ids, each[i].n_ids * sizeof *all->ids);
        for (size_t k = 1; k <= each[i].N; k++)
            all->start[all->N + k] = all->n_ids + each[i].start[k];
        all->n_ids += each[i].n_ids;
        all->N += each[i].N;
        all->tokens_available += each[i].tokens_available;
        all->text_bytes += each[i].text_bytes;
        all->text_words += each[i].text_words;
    }
    if (st)
        mls_corpus_free(all);
    return st;
}

mls_status mls_tool_read_named(mls_corpus *each, const mls_named_texts *names,
                               mls_tokenizer *tok, size_t length, size_t wanted,
                               unsigned how, mls_err *err)
{
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < names->n; i++) {
        const mls_texts *files = &names->text[i].files;

        st = mls_corpus_read(&each[i], tok, files->item, files->n, length, wanted, how,
                             err);
        if (st)
            mls_fail_in(err, st, "text %s", names->text[i].name);
        else if (mls_corpus_length(&each[i]) < length)
            st = mls_fail(err, MLS_E_INPUT, "text %s has %zu tokens, a sequence %zu",
                          names->text[i].name, mls_corpus_length(&each[i]), length);
    }
    return st;
}

mls_status mls_tool_capture_named(mls_capture **out, const mls_named_texts *names,
                                  const mls_corpus *each, const char *const *path,
                                  const char *all, const mls_model *model,
                                  const mls_capture_options *options, mls_pool *pool,
                                  const mls_progress *progress, mls_err *err)
{
    mls_capture_options own = *options;
    mls_status st = MLS_OK;

    own.n_windows = (options->n_windows + names->n - 1) / names->n;
    for (size_t i = 0; !st && i < names->n; i++) {
        own.text_names = names->text[i].name;
        st = mls_capture_run(model, &each[i], path[i], &own, pool, progress, err);
        if (!st)
            st = mls_capture_open(&out[i], path[i], err);
        if (st)
            mls_fail_in(err, st, "text %s", names->text[i].name);
    }
    return st ? st
              : mls_capture_merge(out, names->n, all, options->command,
                                  options->text_names, err);
}

void mls_tool_named_shell(mls_buf *command, const mls_named_texts *names,
                          const char *file)
{
    for (size_t i = 0; i < names->n; i++)
        for (size_t k = 0; k < names->text[i].files.n; k++)
            if (names->text[i].files.item[k] == file)
                mls_buf_printf(command, "%s=", names->text[i].name);
    mls_buf_shell(command, file);
}
