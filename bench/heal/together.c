/*
 * After the layers, all of them together: reads their forms, distils, writes them back.
 */
#include <stdio.h>
#include <stdlib.h>

#include "analysis/distil/distil.h"
#include "analysis/latent/latent_file.h"
#include "analysis/model/forward.h"
#include "bench/heal/heal_inner.h"
#include "common/base/checked.h"

/* The first line of the file of a run's place: what is healed, and how all together. */
static mls_status identity_of(const mls_heal_run_state *k, mls_buf *line, mls_err *err)
{
    const mls_heal_job *job = k->job;
    const mls_corpus *c = job->distil_corpus ? job->distil_corpus : job->corpus;
    char id[MLS_SHA256_HEX];
    const mls_status st = mls_healing_id(id, job, err);

    if (st)
        return st;
    mls_buf_printf(
        line,
        "%s; all together: %zu steps of %zu of %zu windows of text %s, rate %.17g", id,
        job->distil, job->distil_batch, c->N, c->sha256, job->distil_rate);
    return line->failed ? mls_fail(err, MLS_E_NOMEM, "no memory to heal") : MLS_OK;
}

/* The original's last states on windows that the layers have not seen, too. */
static mls_status through_original(mls_states *states, const mls_heal_run_state *k,
                                   mls_err *err)
{
    const mls_heal_job *job = k->job;
    mls_own_attention plain = {0};
    mls_status st = mls_states_embed(states, job->in->model, job->distil_corpus, err);

    if (!st)
        st = mls_own_attention_new(&plain, k->config, states->T_max,
                                   mls_pool_threads(job->in->pool), err);
    for (size_t l = 0; !st && l < k->config->L; l++) {
        mls_layer layer;

        st = mls_progress_step(job->progress, "the original on all windows", (double)l,
                               (double)k->config->L, err);
        if (st || (st = mls_model_layer(job->in->model, l, &layer, err)))
            break;
        plain.layer = &layer;
        st = mls_layer_forward(k->config, &layer, states, mls_own_attention_run, &plain,
                               job->in->pool, err);
        mls_layer_free(&layer);
    }
    mls_own_attention_free(&plain);
    return st;
}

static void record_together(mls_heal_run_state *k, const mls_distilled *d)
{
    mls_buf_printf(
        &k->record,
        "# all layers together, %zu steps: KL %.9g -> %.9g held out, %.9g -> "
        "%.9g in training, best after %zu, rate in the end %g;",
        d->steps, d->held_before, d->held_after, d->train_before, d->train_after,
        d->best, d->rate);
    for (size_t i = 0; i < d->n_points; i++)
        mls_buf_printf(&k->record, " %zu:%.9g", d->point[i].step, d->point[i].held);
    mls_buf_puts(&k->record, "\n");
}

/* Reads the forms of all layers from their files, or writes them. */
static mls_status move_forms(mls_heal_run_state *k, mls_latent_form *form,
                             mls_latent_origin *origin, bool write, mls_err *err)
{
    mls_status st = MLS_OK;

    for (size_t l = 0; !st && l < k->config->L; l++) {
        char *path = NULL;

        st = mls_healing_layer_path(k, l, &path, err);
        if (!st)
            st = write ? mls_latent_write(&form[l], origin, path, err)
                       : mls_latent_read(&form[l], origin, path, err);
        free(path);
    }
    return st;
}

/*
 * The layers' files hold forms healed each by itself until this has ended: a run that
 * goes on starts from them and from its place.
 */
mls_status mls_healing_together(mls_heal_run_state *k, mls_distilled *out, mls_err *err)
{
    const mls_heal_job *job = k->job;
    const size_t L = k->config->L;
    mls_latent_form *form = mls_calloc3(L, 1, 1, sizeof *form);
    bool *fixed = mls_calloc3(L, 1, 1, sizeof *fixed);
    mls_buf identity = {0}, keep = {0};
    mls_latent_origin origin = {0};
    mls_states more = {0};
    mls_status st = form && fixed ? identity_of(k, &identity, err)
                                  : mls_fail(err, MLS_E_NOMEM, "no memory to heal");

    mls_buf_printf(&keep, "%s.place", job->folder);
    if (!st && keep.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
    if (!st)
        st = move_forms(k, form, &origin, false, err);
    if (!st && job->distil_corpus)
        st = through_original(&more, k, err);
    if (!st) {
        const mls_distil_job distil = {
            .model = job->in->model,
            .pool = job->in->pool,
            .corpus = job->distil_corpus ? job->distil_corpus : job->corpus,
            .original = job->distil_corpus ? &more : &k->original,
            .n_held = job->n_held,
            .fixed = fixed,
            .steps = job->distil,
            .batch = job->distil_batch,
            .rate = job->distil_rate,
            .damping = job->damping,
            .keep = keep.data,
            .identity = identity.data,
            .progress = job->progress};

        for (size_t l = 0; l < L; l++)
            fixed[l] = !mls_scheme_converts(k->ready, l);
        st = mls_distil(out, form, &distil, err);
    }
    if (!st && out->best > 0)
        st = move_forms(k, form, &origin, true, err);
    if (!st) {
        record_together(k, out);
        st = mls_healing_write_record(k, err);
    }
    if (!st)
        remove(keep.data);
    mls_states_free(&more);
    for (size_t l = 0; form && l < L; l++)
        mls_latent_free(&form[l]);
    mls_free_all(form, fixed);
    mls_buf_free(&identity);
    mls_buf_free(&keep);
    return st;
}
