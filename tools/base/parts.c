/*
 * A part of a run is the same command with --shard, and the merge is that command again
 * with all parts at hand: it runs as ever and takes from them what they computed. Parts
 * record the words of the command without those on which no figure depends, and what
 * the inputs were; parts of something else are refused.
 */
#include "tools/base/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/capture/capture.h"
#include "analysis/numeric/blas.h"
#include "common/base/checked.h"
#include "common/system/hash.h"
#include "tools/base/command.h"

/* What the command that mls_tool_parts_join() runs is to join. */
static mls_parts *joined;

/* Options on which no figure depends: parts have none of them, a merge has its own. */
static const char *const own[] = {"--shard", "--output", "--format", "--threads",
                                  "--ram",   "--rows",   "--plots",  NULL};

static const char *text_of(const mls_option *options, const char *name)
{
    for (; options->name; options++)
        if (strcmp(options->name, name) == 0)
            return *(const char **)options->value;
    return NULL;
}

mls_status mls_tool_parts(mls_parts **out, const mls_command *c, int argc, char **argv,
                          const mls_option *options, mls_err *err)
{
    const char *shard = text_of(options, "--shard");
    const char *output = text_of(options, "--output");
    const char **word;
    size_t index, count, n;
    mls_status st;

    *out = joined;
    if (!shard)
        return MLS_OK;
    if (!output || strcmp(output, "-") == 0)
        return mls_fail(err, MLS_E_ARG, "--shard needs -o FILE: where the part goes");
    st = mls_tool_shard(shard, &index, &count, err);
    if (!st && count > MLS_PARTS_COUNT_MAX)
        st = mls_fail(err, MLS_E_ARG, "--shard %s: at most %d parts", shard,
                      (int)MLS_PARTS_COUNT_MAX);
    if (st)
        return st;
    word = mls_calloc3((size_t)argc + 1, 1, 1, sizeof *word);
    if (!word)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the words of a command");
    word[0] = c->name;
    n = mls_options_without(options, argc, argv, own, word + 1);
    st = mls_parts_begin(out, output, index, count, word, n + 1, err);
    free(word);
    return st;
}

void mls_tool_parts_close(mls_parts *p)
{
    if (p != joined)
        mls_parts_close(p);
}

/* The tokens, which another tokenizer would make others. */
static mls_status text_id(char id[MLS_SHA256_HEX], const mls_corpus *c, mls_err *err)
{
    mls_sha256 *h;
    const size_t counts[] = {c->N, c->lead};
    const mls_status st = mls_sha256_new(&h, err);

    if (st)
        return st;
    mls_sha256_add(h, c->sha256, strlen(c->sha256));
    mls_sha256_add(h, counts, sizeof counts);
    mls_sha256_add(h, c->start, (c->N + 1) * sizeof *c->start);
    mls_sha256_add(h, c->ids, c->start[c->N] * sizeof *c->ids);
    mls_sha256_hex(h, id);
    mls_sha256_free(h);
    return MLS_OK;
}

mls_status mls_tool_parts_about(mls_parts *p, const mls_tool_subject *s, mls_err *err)
{
    char id[MLS_SHA256_HEX];
    mls_status st = mls_parts_about(p, "BLAS core", mls_blas_core(), err);

    if (!p || st)
        return st;
    if (s->model)
        st = mls_parts_about(p, "arithmetic", mls_model_arithmetic(s->model), err);
    if (!st && s->model_sha256[0])
        st = mls_parts_about(p, "model", s->model_sha256, err);
    if (!st && s->corpus.N)
        st = text_id(id, &s->corpus, err);
    if (!st && s->corpus.N)
        st = mls_parts_about(p, "text", id, err);
    if (!st && s->capture)
        st = mls_capture_id(s->capture, id, err);
    return !st && s->capture ? mls_parts_about(p, "capture", id, err) : st;
}

mls_status mls_tool_parts_finish(mls_parts *p, mls_err *err)
{
    const mls_status st = mls_parts_finish(p, err);

    if (!st)
        fprintf(stderr, "mlascope: part %zu/%zu is made\n", mls_parts_index(p),
                mls_parts_count(p));
    return st;
}

/* What is known of the words that parts have; they are nobody's but the file's. */
typedef struct {
    int argc;
    char **argv;
    bool harmless;
} recorded;

static void look(void *arg, const mls_command *c, const mls_option *options)
{
    recorded *r = arg;
    const char **word = mls_calloc3((size_t)r->argc, 1, 1, sizeof *word);

    (void)c;
    /* None of our own is there, so none is left out. */
    r->harmless = word && mls_options_without(options, r->argc, r->argv, own, word) ==
                              (size_t)r->argc - 1;
    free(word);
}

int mls_tool_parts_join(const mls_command *const *commands, const char *const *path,
                        size_t n, char *const *extra, size_t n_extra)
{
    mls_err err = {0};
    mls_parts *p = NULL;
    char **argv = NULL;
    size_t n_words = 0;
    int status = 0;

    if (mls_parts_open(&p, path, n, &err))
        return mls_exit_status(&err);
    while (mls_parts_argument(p, n_words))
        n_words++;
    while (*commands && n_words > 0 &&
           strcmp((*commands)->name, mls_parts_argument(p, 0)) != 0)
        commands++;
    argv = mls_calloc3(n_words + n_extra + 1, 1, 1, sizeof *argv);
    if (!argv)
        mls_fail(&err, MLS_E_NOMEM, "no memory for the words of a command");
    for (size_t i = 0; argv && i < n_words + n_extra; i++) {
        argv[i] = strdup(i < n_words ? mls_parts_argument(p, i) : extra[i - n_words]);
        if (!argv[i])
            mls_fail(&err, MLS_E_NOMEM, "no memory for the words of a command");
    }
    if (!err.status && (!*commands || n_words == 0)) {
        mls_fail(&err, MLS_E_INPUT, "%s: is a part of no command that can be split",
                 path[0]);
    } else if (!err.status) {
        recorded r = {.argc = (int)n_words, .argv = argv};

        mls_options_show(*commands, look, &r);
        if (!r.harmless)
            mls_fail(&err, MLS_E_INPUT,
                     "%s: its command has options that parts do not have", path[0]);
    }
    if (!err.status && !mls_tool_set_command_line((int)(n_words + n_extra), argv))
        mls_fail(&err, MLS_E_NOMEM, "no memory for the command line");
    if (err.status) {
        status = mls_exit_status(&err);
    } else {
        joined = p;
        status = (*commands)->run((int)(n_words + n_extra), argv);
        joined = NULL;
    }
    for (size_t i = 0; argv && i < n_words + n_extra; i++)
        free(argv[i]);
    free(argv);
    mls_parts_close(p);
    return status;
}
