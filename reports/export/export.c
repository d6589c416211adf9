/*
 * All files go into a folder of another name that is renamed at the end, SHA-256 sums
 * last: a folder of the asked name is complete or not there. How much will be written
 * is held against the disk before the work.
 */
#include "reports/export/export.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/checked.h"
#include "common/base/words.h"
#include "common/system/files.h"
#include "common/system/room.h"
#include "common/system/sums.h"
#include "reports/export/export_inner.h"

static const mls_export_target *const targets[] = {
    &mls_export_deepseek, &mls_export_elitekv, &mls_export_gguf,
    &mls_export_latent,   &mls_export_mha2mla, &mls_export_transmla,
    &mls_export_x_ecomla,
};
enum { N_TARGETS = sizeof targets / sizeof targets[0] };

const char *const mls_export_names[] = {"deepseek", "elitekv",  "gguf",     "latent",
                                        "mha2mla",  "transmla", "x-ecomla", NULL};

/* --- The folder: complete or not there --- */

/* Files directly in a folder; -1 when it cannot be read. */
static long count_entries(const char *path)
{
    DIR *dir = opendir(path);
    long n = 0;

    if (!dir)
        return -1;
    for (const struct dirent *e; (e = readdir(dir));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(dir);
    return n;
}

/* Remove a folder that holds only files. */
static void remove_folder(const char *path)
{
    DIR *dir = opendir(path);

    for (const struct dirent *e; dir && (e = readdir(dir));) {
        char *file = e->d_name[0] == '.' ? NULL : mls_path_join(path, e->d_name);

        if (file)
            unlink(file);
        free(file);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

static mls_status begin_folder(const char *folder, char **temp, mls_err *err)
{
    char *name = strdup(folder);
    size_t len = name ? strlen(name) : 0;
    mls_status st = MLS_OK;

    *temp = NULL;
    if (!name)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the name of a folder");
    while (len > 1 && name[len - 1] == '/')
        name[--len] = '\0';
    if (mls_folder_exists(name) && count_entries(name) != 0)
        st = mls_fail(err, MLS_E_INPUT,
                      "%s holds files already; an export goes into a new or empty "
                      "folder",
                      name);
    if (!st)
        st = mls_folder_prepare(name, err);
    if (!st)
        st = mls_file_temp_name(name, temp, err);
    if (!st && mkdir(*temp, 0777) != 0)
        st = mls_fail(err, MLS_E_IO, "%s: %s", *temp, strerror(errno));
    free(name);
    return st;
}

/* --- README.md --- */

/* Where the attention weights come from. */
static void describe_weights(mls_buf *b, const mls_export_work *w)
{
    char word[MLS_SETTING_WORD];

    for (size_t i = 0; i < w->job->scheme->n_settings; i++)
        if (w->parsed[i].method == &mls_method_converted) {
            mls_buf_printf(
                b,
                "- Attention weights are those of `%s`: where that folder is "
                "healed or trained, this is a better start for training "
                "than the setting it began as.\n",
                mls_parsed_say(&w->parsed[i], w->config, "path", word));
            return;
        }
    mls_buf_puts(b, "- No weight was trained: quality is what `mlascope evaluate` "
                    "measures for this setting.\n");
}

static mls_status write_readme(mls_export_work *w, const mls_export_target *t,
                               mls_err *err)
{
    const mls_export *job = w->job;
    mls_buf b = {0};
    char *path = NULL;
    mls_status st;

    mls_buf_printf(&b, "# %s for %s\n\n", t->title, job->model_name);
    mls_buf_printf(&b, "Setting: `%s`  \n", job->scheme->name);
    mls_buf_printf(&b, "Model: `%s`, SHA-256 of its config.json %s  \n",
                   job->model_name, w->config->sha256);
    if (job->in->capture)
        mls_buf_printf(&b, "Calibration text: SHA-256 %s  \n",
                       mls_capture_text_sha256(job->in->capture));
    mls_buf_printf(&b, "Made by: `%s`, version %s\n", job->command, MLS_VERSION);
    mls_buf_printf(&b, "\n## Files\n\n%s", w->files.data ? w->files.data : "");
    mls_buf_printf(&b, "\n## What to type next\n\n```sh\n%s```\n",
                   w->next.data ? w->next.data : "");
    mls_buf_printf(&b, "\n## What to know\n\n%s%s", w->known.data ? w->known.data : "",
                   t->known);
    if (t->weights)
        describe_weights(&b, w);
    if (b.failed || w->files.failed || w->next.failed || w->known.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for README.md");
    else
        st = mls_export_path(w, "README.md", &path, err);
    if (!st)
        st = mls_file_write(path, b.data, b.len, err);
    free(path);
    mls_buf_free(&b);
    return st;
}

/* Quantizers are no part of any converter's input. */
static void note_quantizers(mls_export_work *w)
{
    for (size_t i = 0; i < w->job->scheme->n_settings; i++) {
        const mls_setting *s = &w->job->scheme->setting[i];

        for (const mls_key *k = mls_common_key_table; k->name; k++)
            if (mls_common_quantizes(k) && mls_setting_get(s, k->name)) {
                mls_buf_printf(&w->known,
                               "- The setting quantizes the cache (`%s=%s`). That "
                               "happens when the model runs and is in no file here.\n",
                               k->name, mls_setting_get(s, k->name));
                return;
            }
    }
}

/* Said before the work: the weights that will be written, as far as is known. */
static mls_status has_room(const mls_export_work *w, const mls_export_target *t,
                           mls_err *err)
{
    const mls_export *job = w->job;
    const mls_checkpoint *source = mls_model_checkpoint(job->in->model);
    const bool halves = t->copies && !(job->dtype && strcmp(job->dtype, "F32") == 0);
    uint64_t bytes = 0;

    if (t->weights)
        bytes =
            (halves ? 2 : 4) * (uint64_t)mls_scheme_parameters(job->scheme, w->config);
    for (size_t i = 0; t->copies && i < mls_checkpoint_tensors(source); i++) {
        const mls_tensor_info *one = mls_checkpoint_tensor(source, i, NULL);

        if (!strstr(one->name, ".self_attn."))
            bytes += one->n_bytes;
    }
    return mls_room_for(job->folder, bytes, err);
}

static mls_status read_settings(mls_export_work *w, mls_err *err)
{
    const mls_scheme *s = w->job->scheme;
    mls_status st = MLS_OK;

    w->parsed = mls_calloc3(s->n_settings, 1, 1, sizeof *w->parsed);
    if (!w->parsed)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu settings", s->n_settings);
    for (size_t i = 0; !st && i < s->n_settings; i++)
        st = mls_method_parse(&w->parsed[i], w->config, &s->setting[i], err);
    return st;
}

mls_status mls_export_write(const mls_export *job, mls_err *err)
{
    mls_export_work w = {.job = job, .config = job->in->config};
    const mls_export_target *t = NULL;
    char *temp = NULL;
    bool made = false;
    mls_status st = MLS_OK;

    for (size_t i = 0; i < N_TARGETS; i++)
        if (strcmp(targets[i]->name, job->target) == 0)
            t = targets[i];
    if (!t) {
        char suggestion[MLS_SUGGESTION];

        return mls_fail(err, MLS_E_ARG, "nothing is exported for \"%s\"%s", job->target,
                        mls_suggest(job->target, mls_export_names, suggestion));
    }
    for (size_t l = 0; l < w.config->L; l++)
        if (t != &mls_export_latent && mls_latent_ours(w.config, l))
            return mls_fail(err, MLS_E_INPUT,
                            "%s: layer %zu has %s, which its code does not compute; "
                            "--for latent takes it",
                            t->name, l, mls_latent_ours(w.config, l));
    made = !mls_folder_exists(job->folder);
    st = read_settings(&w, err);
    if (!st)
        st = has_room(&w, t, err);
    if (!st)
        st = begin_folder(job->folder, &temp, err);
    w.folder = temp;
    if (!st)
        st = t->write(&w, err);
    if (!st) {
        note_quantizers(&w);
        st = write_readme(&w, t, err);
    }
    if (!st)
        st = mls_sums_write(temp, err);
    /* An empty folder may be replaced by rename(). */
    if (!st && rename(temp, job->folder) != 0)
        st = mls_fail(err, MLS_E_IO, "%s: %s", job->folder, strerror(errno));
    if (st && temp)
        remove_folder(temp);
    if (st && made)
        rmdir(job->folder); /* stays when it holds anything */
    for (size_t i = 0; w.parsed && i < job->scheme->n_settings; i++)
        mls_parsed_free(&w.parsed[i]);
    mls_free_all(w.parsed, temp);
    mls_buf_free(&w.files);
    mls_buf_free(&w.next);
    mls_buf_free(&w.known);
    return st;
}
