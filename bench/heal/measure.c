/*
 * A folder is named by setting, steps and a hash of all that decides, and taken as it
 * is where it is there, so that the finalists of a race are not trained again. Healed
 * forms are measured as `converted path=FOLDER`, through the reader that everybody
 * else's go through.
 */
#include "bench/heal/measure.h"

#include "bench/heal/heal_inner.h"
#include "common/base/buf.h"
#include "common/base/checked.h"
#include "common/system/files.h"

/* base/SETTING+STEPS+HASH, with no character that a shell would ask about. */
mls_status mls_heal_folder(char **out, const char *base, const mls_scheme *s,
                           const mls_heal_job *like, mls_err *err)
{
    mls_heal_job job = *like;
    mls_buf name = {0};
    char id[MLS_SHA256_HEX];
    mls_status st;

    job.scheme = s;
    *out = NULL;
    if ((st = mls_healing_id(id, &job, err)))
        return st;
    mls_buf_printf(&name, "%s+%zu+%.8s", s->name, like->steps, id);
    for (size_t i = 0; !name.failed && i < name.len; i++)
        if (name.data[i] == ' ' || name.data[i] == '/')
            name.data[i] = name.data[i] == ' ' ? '_' : '-';
    *out = name.failed ? NULL : mls_path_join(base, name.data);
    mls_buf_free(&name);
    return *out ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a folder name");
}

/* The scheme of a folder of healed forms. */
static mls_status healed_scheme(mls_scheme *out, const char *folder, size_t L,
                                mls_err *err)
{
    mls_setting s = {.method = "converted"};
    const mls_status st = mls_setting_set(&s, "path", folder, err);

    return st ? st : mls_scheme_uniform(out, &s, L, err);
}

mls_status mls_heal_scheme(mls_scheme *healed, const mls_heal_job *like,
                           const char *base, const mls_scheme *scheme, mls_err *err)
{
    const size_t L = like->in->config->L;
    mls_heal_layer_result *result = mls_calloc3(L, 1, 1, sizeof *result);
    mls_heal_job job = *like;
    char *folder = NULL;
    mls_status st = mls_heal_folder(&folder, base, scheme, like, err);

    if (!st && !result)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the results of %zu layers", L);
    job.scheme = scheme;
    job.folder = folder;
    if (!st && !mls_folder_exists(folder))
        st = mls_heal_run(result, NULL, &job, err);
    if (!st)
        st = healed_scheme(healed, folder, L, err);
    mls_free_all(folder, result);
    return st;
}

mls_status mls_heal_measure(mls_evaluation *out, const mls_heal_job *like,
                            const char *base, const mls_scheme *scheme, size_t n,
                            const mls_corpus *test, const mls_evaluate_options *how,
                            mls_err *err)
{
    mls_scheme *healed = mls_calloc3(n, 1, 1, sizeof *healed);
    mls_variant *variant = mls_calloc3(n, 1, 1, sizeof *variant);
    mls_status st = MLS_OK;

    *out = (mls_evaluation){0};
    if (!healed || !variant)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to heal %zu settings", n);
    for (size_t i = 0; !st && i < n; i++) {
        st = mls_heal_scheme(&healed[i], like, base, &scheme[i], err);
        variant[i] = (mls_variant){.scheme = &healed[i], .only_layer = MLS_NONE};
    }
    if (!st)
        st = mls_evaluate(out, like->in, test, variant, n, how, like->progress, err);
    for (size_t i = 0; healed && i < n; i++)
        mls_scheme_free(&healed[i]);
    mls_free_all(healed, variant);
    return st;
}
