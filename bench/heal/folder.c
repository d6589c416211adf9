/*
 * The folder of healed forms: FOLDER.part while the work goes on, with healing.csv of
 * the layers that are ready, so that the same command goes on from there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analysis/numeric/blas.h"
#include "bench/heal/heal_inner.h"
#include "common/base/checked.h"
#include "common/system/files.h"
#include "common/system/room.h"
#include "common/system/sums.h"
#include "datasets/files/parts.h"

mls_status mls_healing_layer_path(const mls_heal_run_state *k, size_t l, char **path,
                                  mls_err *err)
{
    char name[48];
    mls_buf b = {0};

    if (mls_parts_making(k->job->in->parts)) { /* on its way into the part */
        mls_buf_printf(&b, "%s.layer", k->job->folder);
        *path = b.data;
        return *path ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
    }
    snprintf(name, sizeof name, "layer-%05zu.safetensors", l);
    *path = mls_path_join(k->part, name);
    return *path ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
}

/* A setting's text, and what the file or the folder's sums that it names hold. */
static mls_status add_setting(mls_sha256 *h, const mls_setting *s, mls_err *err)
{
    const char *const named[] = {mls_setting_get(s, "path"),
                                 mls_setting_get(s, "rope")};
    char text[1024], hex[MLS_SHA256_HEX];
    mls_status st = MLS_OK;

    mls_setting_text(s, text, sizeof text);
    mls_sha256_add(h, text, strlen(text) + 1);
    for (size_t i = 0; !st && i < 2 && mls_setting_names_file(s); i++) {
        const char *at = named[i] ? named[i] : "";
        char *sums = NULL;

        if (strncmp(at, "file:", 5) == 0)
            at += 5;
        if (mls_folder_exists(at))
            at = sums = mls_path_join(at, "SHA256SUMS");
        if (at && mls_file_exists(at) && !(st = mls_sha256_file(at, hex, err)))
            mls_sha256_add(h, hex, sizeof hex);
        free(sums);
    }
    return st;
}

mls_status mls_healing_id(char id[MLS_SHA256_HEX], const mls_heal_job *job,
                          mls_err *err)
{
    const mls_corpus *c = job->corpus;
    const double real[] = {job->repair, job->rate, job->damping};
    const size_t count[] = {c->N,       c->lead,   job->n_held, job->healed_inputs,
                            job->steps, job->batch};
    const char *const said[] = {job->model_sha256, c->sha256, mls_blas_core(),
                                mls_model_arithmetic(job->in->model)};
    mls_sha256 *h = NULL;
    mls_status st =
        job->in->capture ? mls_capture_id(job->in->capture, id, err) : MLS_OK;

    if (!st)
        st = mls_sha256_new(&h, err);
    if (st)
        return st;
    if (job->in->capture)
        mls_sha256_add(h, id, MLS_SHA256_HEX);
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++)
        mls_sha256_add(h, said[i], strlen(said[i]) + 1);
    mls_sha256_add(h, real, sizeof real);
    mls_sha256_add(h, count, sizeof count);
    mls_sha256_add(h, c->start, (c->N + 1) * sizeof *c->start);
    mls_sha256_add(h, c->ids, c->start[c->N] * sizeof *c->ids);
    mls_sha256_add(h, job->scheme->which, job->scheme->L * sizeof(size_t));
    for (size_t i = 0; !st && i < job->scheme->n_settings; i++)
        st = add_setting(h, &job->scheme->setting[i], err);
    if (!st)
        mls_sha256_hex(h, id);
    mls_sha256_free(h);
    return st;
}

mls_status mls_healing_describe(mls_buf *b, const mls_heal_job *job, mls_err *err)
{
    char id[MLS_SHA256_HEX];
    const mls_status st = mls_healing_id(id, job, err);

    if (st)
        return st;
    mls_buf_printf(
        b,
        "# %s; model %.16s; text %.16s, %zu windows of %zu tokens, %zu held "
        "out; inputs %s, repair %g; %zu steps of %zu windows, rate %g, damping %g; "
        "%s; all of it %.16s\n",
        job->scheme->name, job->model_sha256, job->corpus->sha256, job->corpus->N,
        job->corpus->start[1], job->n_held, job->healed_inputs ? "healed" : "original",
        job->repair, job->steps, job->batch, job->rate, job->damping,
        mls_model_arithmetic(job->in->model), id);
    mls_losses_header(b);
    return MLS_OK;
}

mls_status mls_healing_write_record(mls_heal_run_state *k, mls_err *err)
{
    char *path = mls_path_join(k->part, "healing.csv");
    const mls_status st =
        path && !k->record.failed
            ? mls_file_write(path, k->record.data, k->record.len, err)
            : mls_fail(err, MLS_E_NOMEM, "no memory for the record of losses");

    free(path);
    return st;
}

/* Reads back the rows that a stopped run left, when it was the same work. */
static void read_record(mls_heal_run_state *k)
{
    char *path = mls_path_join(k->part, "healing.csv"), *text = NULL;
    size_t len;
    mls_err ignored = {0};

    if (path && mls_file_exists(path) &&
        !mls_file_read_regular(path, 1 << 20, &text, &len, &ignored) &&
        len >= k->record.len && memcmp(text, k->record.data, k->record.len) == 0) {
        mls_losses_parse(k->result, k->config->L, text + k->record.len);
        mls_buf_puts(&k->record, text + k->record.len);
    }
    mls_free_all(text, path);
}

mls_status mls_healing_begin(mls_heal_run_state *k, mls_err *err)
{
    mls_buf name = {0};
    const uint64_t bytes =
        sizeof(float) * (uint64_t)mls_scheme_parameters(k->job->scheme, k->config);
    mls_status st = mls_room_for(k->job->folder, bytes, err);

    if (!st)
        st = mls_folder_prepare(k->job->folder, err);
    if (st)
        return st;
    if (rmdir(k->job->folder) != 0)
        return mls_fail(err, MLS_E_INPUT, "%s holds files: give a new or empty folder",
                        k->job->folder);
    mls_buf_printf(&name, "%s.part", k->job->folder);
    if (name.failed)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
    k->part = name.data;
    if ((st = mls_healing_describe(&k->record, k->job, err)))
        return st;
    if (mkdir(k->part, 0777) == 0)
        return MLS_OK;
    if (errno != EEXIST)
        return mls_fail(err, MLS_E_IO, "%s: %s", k->part, strerror(errno));
    read_record(k);
    return MLS_OK;
}

mls_status mls_healing_end(mls_heal_run_state *k, mls_err *err)
{
    static const char readme[] =
        "# Healed latent forms\n\n"
        "Attention of a converted model, one file a layer (docs/format/export.md of "
        "mlascope), every\nlayer fitted to the original's attention output on text. "
        "healing.csv says what each gained.\n\n"
        "    mlascope evaluate MODEL --against THIS_FOLDER -f TEXT\n"
        "    mlascope export MODEL --from THIS_FOLDER --for deepseek -o CHECKPOINT\n";
    char *path = mls_path_join(k->part, "README.md");
    mls_status st = path ? mls_file_write(path, readme, sizeof readme - 1, err)
                         : mls_fail(err, MLS_E_NOMEM, "no memory for a file name");

    free(path);
    if (!st)
        st = mls_sums_write(k->part, err);
    if (!st && rename(k->part, k->job->folder) != 0)
        st = mls_fail(err, MLS_E_IO, "%s: %s", k->job->folder, strerror(errno));
    return st;
}
