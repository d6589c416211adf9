/*
 * The place of a run that may be stopped: a line that says whose it is, how far it is,
 * and of every layer the numbers and Adam's moments. Floats as they lie in memory: the
 * file is for the same machine, and gone when the run has ended.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/distil/distil_inner.h"
#include "common/system/files.h"

/* Everything beside the layers, as it lies in the file. */
typedef struct {
    mls_distilled out;
    mls_rng rng;
    double rate;
    size_t next, since;
} place;

enum { LINE_MAX_BYTES = 4096 };

/* Calls one of fread and fwrite, as `write` says, for n items of a size. */
static bool transfer(FILE *file, bool write, void *data, size_t size, size_t n)
{
    return (write ? fwrite(data, size, n, file) : fread(data, size, n, file)) == n;
}

static bool transfer_all(FILE *file, bool write, place *at, const mls_distilling *k)
{
    bool ok = transfer(file, write, at, sizeof *at, 1) &&
              transfer(file, write, k->order, sizeof *k->order, k->n_train);

    for (size_t l = 0; ok && l < k->L; l++) {
        mls_distil_layer *a = &k->layer[l];

        ok = transfer(file, write, a->theta, sizeof(float), a->p.n) &&
             transfer(file, write, a->best, sizeof(float), a->p.n) &&
             transfer(file, write, a->adam.mean, sizeof(float), a->p.n) &&
             transfer(file, write, a->adam.square, sizeof(float), a->p.n) &&
             transfer(file, write, &a->adam.steps, sizeof a->adam.steps, 1);
    }
    return ok;
}

mls_status mls_distil_save(const mls_distilling *k, mls_err *err)
{
    place at = {*k->out, k->rng, k->rate, k->next, k->since};
    char *temp = NULL;
    FILE *file = NULL;
    mls_status st = mls_file_temp_name(k->job->keep, &temp, err);
    bool ok;

    if (!st && !(file = fopen(temp, "wb")))
        st = mls_fail(err, MLS_E_IO, "%s cannot be written", temp);
    if (!st) {
        ok = fprintf(file, "%s\n", k->job->identity) > 0 &&
             transfer_all(file, true, &at, k);
        if (fclose(file) != 0 || !ok)
            st = mls_fail(err, MLS_E_IO, "%s: no room for the place of this run", temp);
    }
    if (!st)
        st = mls_file_commit(temp, k->job->keep, err);
    if (st && temp)
        remove(temp);
    free(temp);
    return st;
}

/* Bytes behind the line. */
static size_t size_of(const mls_distilling *k)
{
    size_t n = sizeof(place) + k->n_train * sizeof *k->order;

    for (size_t l = 0; l < k->L; l++)
        n += 4 * k->layer[l].p.n * sizeof(float) + sizeof k->layer[l].adam.steps;
    return n;
}

/* It is this run's, and whole. */
static bool is_ours(const mls_distilling *k, FILE *file)
{
    char line[LINE_MAX_BYTES];
    long begin, end;

    if (!fgets(line, sizeof line, file) || !strchr(line, '\n'))
        return false;
    *strchr(line, '\n') = '\0';
    begin = ftell(file);
    if (strcmp(line, k->job->identity) != 0 || fseek(file, 0, SEEK_END) != 0)
        return false;
    end = ftell(file);
    return begin >= 0 && end - begin == (long)size_of(k) &&
           fseek(file, begin, SEEK_SET) == 0;
}

bool mls_distil_load(mls_distilling *k)
{
    place at;
    FILE *file = fopen(k->job->keep, "rb");
    bool ok;

    if (!file)
        return false;
    ok = is_ours(k, file) && transfer_all(file, false, &at, k);
    fclose(file);
    if (!ok)
        return false;
    *k->out = at.out;
    k->rng = at.rng;
    k->rate = at.rate;
    k->next = at.next;
    k->since = at.since;
    for (size_t l = 0; l < k->L; l++)
        mls_parameters_scatter(&k->layer[l].p, k->layer[l].theta);
    return true;
}
