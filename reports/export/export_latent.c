/* Any latent form, as it is: one safetensors file per layer (docs/format/export.md). */
#include <stdio.h>
#include <stdlib.h>

#include "analysis/latent/latent_file.h"
#include "reports/export/embedded.h"
#include "reports/export/export_inner.h"

typedef struct {
    mls_export_work *w;
    mls_latent_origin origin;
} writing;

static mls_status write_layer(void *arg, const mls_latent_form *f, mls_err *err)
{
    writing *k = arg;
    char name[32], *path = NULL;
    mls_status st;

    snprintf(name, sizeof name, "layer-%05zu.safetensors", f->layer);
    st = mls_export_path(k->w, name, &path, err);
    if (!st)
        st = mls_latent_write(f, &k->origin, path, err);
    free(path);
    return st;
}

static mls_status write(mls_export_work *w, mls_err *err)
{
    const mls_export *job = w->job;
    writing k = {.w = w, .origin = {.L = w->config->L}};
    mls_status st;

    snprintf(k.origin.setting, sizeof k.origin.setting, "%s", job->scheme->name);
    st = mls_checkpoint_sha256(mls_model_checkpoint(job->in->model),
                               k.origin.model_sha256, job->progress, err);
    if (!st)
        st = mls_export_forms(w, write_layer, &k, err);
    mls_export_listed(w, "layer-*.safetensors", "the latent form of each layer");
    mls_buf_puts(&w->next, "mlascope evaluate ");
    mls_buf_shell(&w->next, job->model_name);
    mls_buf_puts(&w->next, " --against ");
    mls_buf_shell(&w->next, job->folder);
    mls_buf_puts(&w->next, " -f TEXT\n");
    return st;
}

const mls_export_target mls_export_latent = {
    .name = "latent",
    .title = "Latent forms",
    .known = mls_latent_md,
    .weights = true,
    .write = write,
};
