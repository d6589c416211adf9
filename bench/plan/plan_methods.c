/*
 * What a plan searches when nobody names a method: of every method's own settings for
 * this share of the cache those that the asked-for code serves, with the rank open.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/frame/fit.h"
#include "bench/frame/scheme.h"
#include "bench/plan/plan.h"
#include "common/base/checked.h"

enum { METHODS_MAX = 12 };

static mls_status without_rank(mls_setting *out, const mls_setting *s, mls_err *err)
{
    mls_status st = mls_setting_parse(out, s->method, err);

    for (size_t i = 0; !st && i < s->n; i++)
        if (strcmp(s->key[i], "rank") != 0)
            st = mls_setting_set(out, s->key[i], s->value[i], err);
    return st;
}

static bool is_new(const mls_setting *list, size_t n, const mls_setting *s)
{
    char a[512], b[512];

    mls_setting_text(s, a, sizeof a);
    for (size_t i = 0; i < n; i++)
        if (strcmp(a, mls_setting_text(&list[i], b, sizeof b)) == 0)
            return false;
    return true;
}

mls_status mls_plan_methods(mls_setting **out, size_t *n, const mls_config *config,
                            mls_serve serve, double share, size_t each, mls_err *err)
{
    mls_setting *list = mls_calloc3(METHODS_MAX, 1, 1, sizeof *list);
    mls_cache_layout *layout = calloc(1, sizeof *layout);
    mls_status st = MLS_OK;

    *n = 0;
    *out = NULL;
    if (!list || !layout)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the methods of a plan");
    if (!st && serve == MLS_SERVE_CACHE)
        st = mls_setting_parse(&list[(*n)++], "baseline", err);
    for (size_t m = 0; !st && mls_methods[m] && serve != MLS_SERVE_CACHE; m++) {
        size_t taken = 0;
        mls_fits fits;

        st = mls_method_fit(mls_methods[m], config, share, &fits, err);
        for (size_t i = 0; !st && i < fits.n && taken < each; i++) {
            const mls_setting *s = &fits.setting[i];
            mls_err why = {0};
            mls_serve theirs = serve;

            st = mls_method_layout(layout, config, s, &why);
            if (!st)
                st = mls_setting_serve(&theirs, s, config, layout, &why);
            if (st == MLS_E_NOMEM) {
                mls_fail(err, st, "%s", why.text);
                break;
            }
            if (st || theirs != serve || *n == METHODS_MAX) {
                st = MLS_OK;
                continue;
            }
            st = without_rank(&list[*n], s, err);
            if (!st && is_new(list, *n, &list[*n])) {
                ++*n;
                taken++;
            }
        }
        mls_fits_free(&fits);
    }
    free(layout);
    if (!st && *n == 0)
        st = mls_fail(err, MLS_E_INPUT,
                      "no method makes of this model what class %s serves at %.4g %% "
                      "of its cache; --serve own-kernel has the most methods",
                      mls_serve_name(serve), 100 * share);
    if (st)
        free(list);
    else
        *out = list;
    return st;
}

mls_status mls_plan_refuse(mls_plan_refused *list, const char *name, const char *why,
                           mls_err *err)
{
    void *row = realloc(list->row, (list->n + 1) * sizeof *list->row);
    const size_t len = strlen(name);

    if (!row)
        return mls_fail(err, MLS_E_NOMEM, "no memory for what was refused");
    if (strncmp(why, name, len) == 0 && strncmp(why + len, ": ", 2) == 0)
        why += len + 2; /* the name has a place of its own */
    list->row = row;
    snprintf(list->row[list->n].name, sizeof list->row->name, "%s", name);
    snprintf(list->row[list->n++].why, sizeof list->row->why, "%s", why);
    return MLS_OK;
}
