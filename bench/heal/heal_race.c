/*
 * An eighth of the steps, on at most 32 windows in batches of 4, tested on the windows
 * that the real healing holds out: what training repairs early tells the order. Refused
 * settings have no KL and never win; equal ones keep their order. What a race found is
 * kept in base/race.txt, a line for each runner, and its forms are not: the same call
 * reads the file and heals nothing.
 */
#include "bench/heal/heal_race.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/heal/measure.h"
#include "common/base/buf.h"
#include "common/base/checked.h"
#include "common/system/files.h"

enum { SHORTER = 8, WINDOWS = 32, HELD = 4, BATCH = 4, RECORD_MAX = 1 << 24 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A race: its runners and what they came to. */
typedef struct {
    const mls_heal_job *like;
    const char *base;
    const mls_scheme *scheme; /* (n) */
    size_t n;
    mls_heal_job job; /* of a runner */
    mls_corpus train, test;
    double *kl;     /* (n); NaN: not known yet, or refused */
    bool *known;    /* (n) */
    char **folder;  /* (n) */
    char *path;     /* of the record */
    mls_buf record; /* of earlier races, and of this */
} race;

static void race_free(race *r)
{
    for (size_t i = 0; r->folder && i < r->n; i++)
        free(r->folder[i]);
    free(r->folder);
    free(r->kl);
    free(r->known);
    free(r->path);
    mls_buf_free(&r->record);
    mls_corpus_free(&r->train);
    mls_corpus_free(&r->test);
}

/* A runner's line begins with the folder of its forms and the windows of the test. */
static void put_name(mls_buf *b, const race *r, size_t i)
{
    const char *slash = strrchr(r->folder[i], '/');

    mls_buf_printf(b, "%s %zu %zu ", slash ? slash + 1 : r->folder[i],
                   r->like->corpus->N, r->like->n_held);
}

/* What earlier races found. */
static mls_status read_record(race *r, mls_err *err)
{
    char *text = NULL;
    size_t len;
    mls_status st = MLS_OK;

    if (!mls_file_exists(r->path))
        return MLS_OK;
    st = mls_file_read(r->path, RECORD_MAX, &text, &len, err);
    for (size_t i = 0; !st && i < r->n; i++) {
        mls_buf name = {0};
        const char *at;

        mls_buf_puts(&name, "\n");
        put_name(&name, r, i);
        at = name.failed ? NULL : strstr(text, name.data);
        r->known[i] = at && sscanf(at + name.len, "%lf", &r->kl[i]) == 1;
        mls_buf_free(&name);
    }
    if (!st)
        mls_buf_puts(&r->record, text);
    free(text);
    return st;
}

static mls_status race_new(race *r, mls_err *err)
{
    const mls_heal_job *like = r->like;
    const mls_corpus *all = like->corpus;
    mls_status st;

    r->kl = mls_calloc3(r->n, 1, 1, sizeof *r->kl);
    r->known = mls_calloc3(r->n, 1, 1, sizeof *r->known);
    r->folder = mls_calloc3(r->n, 1, 1, sizeof *r->folder);
    r->path = mls_path_join(r->base, "race.txt");
    if (!r->kl || !r->known || !r->folder || !r->path)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a race of %zu settings", r->n);
    st = mls_corpus_part(&r->train, all, 0, least(all->N - like->n_held, WINDOWS), err);
    if (!st)
        st = mls_corpus_part(&r->test, all, all->N - like->n_held, like->n_held, err);
    if (!st && r->train.N < 2)
        st = mls_fail(err, MLS_E_INPUT, "%zu windows of text are too few to heal on",
                      all->N);
    r->job = *like;
    r->job.corpus = &r->train;
    r->job.n_held = least(HELD, r->train.N - 1);
    r->job.batch = least(BATCH, like->batch);
    r->job.steps = (like->steps + SHORTER - 1) / SHORTER;
    for (size_t i = 0; !st && i < r->n; i++)
        st = mls_heal_folder(&r->folder[i], r->base, &r->scheme[i], &r->job, err);
    if (!st)
        st = read_record(r, err);
    if (!st && r->record.len == 0)
        mls_buf_puts(&r->record, "# KL after a short healing: forms, windows of the "
                                 "text and those held out, nat\n");
    return st;
}

/* The forms of a runner are not needed again. */
static void remove_forms(const race *r, size_t i)
{
    static const char *const beside[] = {"healing.csv", "README.md", "SHA256SUMS"};
    const size_t L = r->scheme[i].L, n = sizeof beside / sizeof beside[0];

    for (size_t f = 0; f < L + n; f++) {
        char name[48], *path;

        snprintf(name, sizeof name, "layer-%05zu.safetensors", f);
        path = mls_path_join(r->folder[i], f < L ? name : beside[f - L]);
        if (path)
            unlink(path);
        free(path);
    }
    rmdir(r->folder[i]);
}

/* Heals and measures those that no earlier race knows. */
static mls_status run(race *r, const mls_evaluate_options *how, mls_err *err)
{
    mls_scheme *scheme = mls_calloc3(r->n, 1, 1, sizeof *scheme);
    mls_evaluation e = {0};
    size_t n = 0, at = 0;
    mls_status st = scheme ? MLS_OK
                           : mls_fail(err, MLS_E_NOMEM,
                                      "no memory for a race of %zu settings", r->n);

    for (size_t i = 0; scheme && i < r->n; i++)
        if (!r->known[i])
            scheme[n++] = r->scheme[i]; /* borrowed */
    if (!st && n)
        st = mls_heal_measure(&e, &r->job, r->base, scheme, n, &r->test, how, err);
    for (size_t i = 0; !st && i < r->n; i++)
        if (!r->known[i]) {
            r->kl[i] = e.variant[at++].kl.mean;
            put_name(&r->record, r, i);
            mls_buf_printf(&r->record, "%.17g\n", r->kl[i]);
        }
    if (!st && n)
        st = r->record.failed
                 ? mls_fail(err, MLS_E_NOMEM, "no memory for the record of a race")
                 : mls_file_write(r->path, r->record.data, r->record.len, err);
    for (size_t i = 0; !st && i < r->n; i++)
        if (!r->known[i])
            remove_forms(r, i);
    mls_evaluation_free(&e);
    free(scheme);
    return st;
}

mls_status mls_heal_race(size_t *best, size_t keep, const mls_heal_job *like,
                         const char *base, const mls_scheme *scheme, size_t n,
                         const mls_evaluate_options *how, mls_err *err)
{
    race r = {.like = like, .base = base, .scheme = scheme, .n = n};
    mls_status st;

    if (n <= keep) {
        for (size_t i = 0; i < keep; i++)
            best[i] = i;
        return MLS_OK;
    }
    st = race_new(&r, err);
    if (!st)
        st = run(&r, how, err);
    for (size_t k = 0; !st && k < keep; k++) {
        const double bar = k ? r.kl[best[k - 1]] : -HUGE_VAL;

        best[k] = n;
        for (size_t i = 0; i < n; i++) {
            const bool after = r.kl[i] > bar || (k && r.kl[i] == bar &&
                                                 i > best[k - 1]); /* not chosen yet */

            if (after && (best[k] == n || r.kl[i] < r.kl[best[k]]))
                best[k] = i;
        }
    }
    race_free(&r);
    return st;
}
