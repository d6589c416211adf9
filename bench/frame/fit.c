/*
 * From a size to settings: a method says which of its numbers give the size, the model
 * says which of those it can take. Thresholds (an energy) give a size only through the
 * data; more of them never gives fewer numbers, so bisection finds the largest that
 * fits.
 */
#include "bench/frame/fit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/latent/size.h"

enum { LINE = 256 };

void mls_fits_free(mls_fits *f)
{
    free(f->setting);
    *f = (mls_fits){0};
}

void mls_fits_add(mls_fits *f, const char *format, ...)
{
    char line[LINE];
    int n = snprintf(line, sizeof line, "%s ", f->method);
    va_list args;

    if (f->status)
        return;
    va_start(args, format);
    vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    if (f->n == f->cap) {
        const size_t cap = f->cap ? 2 * f->cap : 8;
        mls_setting *more = realloc(f->setting, cap * sizeof *more);

        if (!more) {
            f->status = MLS_E_NOMEM;
            return;
        }
        f->setting = more;
        f->cap = cap;
    }
    f->status = mls_setting_parse(&f->setting[f->n], line, NULL);
    if (!f->status)
        f->n++;
}

bool mls_fit_share(double *share, size_t (*elements)(const void *arg, double share),
                   const void *arg, size_t most)
{
    const size_t parts = 1000000;
    size_t low = 1, high = parts; /* low fits, high is never asked */

    if (elements(arg, 1.0 / (double)parts) > most)
        return false;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;

        if (elements(arg, (double)middle / (double)parts) <= most)
            low = middle;
        else
            high = middle;
    }
    *share = (double)low / (double)parts;
    return true;
}

mls_status mls_method_fit(const mls_method *method, const mls_config *config,
                          double fraction, mls_fits *out, mls_err *err)
{
    mls_cache_layout *layout = calloc(1, sizeof *layout);
    size_t kept = 0;

    *out = (mls_fits){.method = method->name};
    if (!layout)
        return mls_fail(err, MLS_E_NOMEM, "no memory for settings of %s", method->name);
    const size_t own = config->mla_kv_lora_rank
                           ? config->mla_kv_lora_rank + config->mla_rope_dim
                           : 2 * config->G * config->D;

    if (method->fit && !mls_method_converts(method, config, NULL))
        method->fit(config, (size_t)(fraction * (double)own), out);
    if (out->status) {
        const mls_status st = out->status;

        mls_fits_free(out);
        free(layout);
        return mls_fail(err, st, "no settings of %s for %g of the cache", method->name,
                        fraction);
    }
    /* Only what the model's shape can take. */
    for (size_t i = 0; i < out->n; i++)
        if (!mls_method_layout(layout, config, &out->setting[i], NULL))
            out->setting[kept++] = out->setting[i];
    out->n = kept;
    free(layout);
    return MLS_OK;
}

mls_status mls_method_fit_data(const mls_method *method, const mls_method_input *in,
                               double fraction, mls_fits *out, mls_err *err)
{
    const mls_config *c = in->config;
    mls_status st = MLS_OK;

    *out = (mls_fits){.method = method->name};
    if (method->fit_data && !c->mla_kv_lora_rank &&
        !mls_method_converts(method, c, NULL))
        st = method->fit_data(in, (size_t)(fraction * (double)(2 * c->G * c->D)), out,
                              err);
    if (!st && out->status)
        st = mls_fail(err, out->status, "no settings of %s for %g of the cache",
                      method->name, fraction);
    if (st)
        mls_fits_free(out);
    return st;
}

mls_status mls_method_first_fit(mls_setting *out, bool *found, const char *method,
                                const mls_config *config, double share, mls_err *err)
{
    const mls_method *m = NULL;
    mls_fits fits = {0};
    mls_status st = mls_method_find(&m, method, err);

    if (!st)
        st = mls_method_fit(m, config, share, &fits, err);
    *found = !st && fits.n > 0;
    if (*found)
        *out = fits.setting[0];
    mls_fits_free(&fits);
    return st;
}
