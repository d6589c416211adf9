/* Ranks that follow from the whole model: spectra of all layers, sharing a total. */
#include <math.h>
#include <stdlib.h>

#include "analysis/numeric/linalg.h"
#include "bench/frame/lowrank.h"
#include "common/base/checked.h"

mls_status mls_layer_ranks_new(mls_layer_ranks **out, size_t L, mls_err *err)
{
    mls_layer_ranks *p = calloc(1, sizeof *p);

    *out = NULL;
    if (p) {
        p->L = L;
        p->rank = mls_calloc3(L, MLS_SIDES, 1, sizeof *p->rank);
    }
    if (!p || !p->rank) {
        free(p);
        return mls_fail(err, MLS_E_NOMEM, "no memory for the ranks of %zu layers", L);
    }
    *out = p;
    return MLS_OK;
}

void mls_layer_ranks_free(void *prepared)
{
    mls_layer_ranks *p = prepared;

    if (p)
        free(p->rank);
    free(p);
}

const size_t *mls_layer_ranks_at(const void *prepared, size_t l, const size_t *uniform)
{
    const mls_layer_ranks *p = prepared;

    return p ? p->rank + l * MLS_SIDES : uniform;
}

/* Eigenvalues of one layer; values (MLS_SIDES, m), G is room for (m, m). */
static mls_status layer_spectra(double *values, const mls_projection *p,
                                const mls_method_input *in, size_t l, double *G,
                                mls_err *err)
{
    const size_t m = in->config->G * in->config->D;
    const bool by_data = p->metric.kind != MLS_METRIC_WEIGHTS;
    mls_layer layer = {0};
    mls_layer_stats stats = {0};
    mls_status st = mls_model_attention(in->model, l, &layer, err);

    if (!st && by_data)
        st = mls_capture_stats(in->capture, l, &stats, err);
    for (size_t i = 0; !st && i < MLS_SIDES; i++) {
        const mls_rows rows = {i == MLS_KEYS ? MLS_KEYS : MLS_VALUES, 0, in->config->G};

        st = mls_metric_matrix(G, &p->metric, in->config, &layer,
                               by_data ? &stats : NULL, &rows, err);
        if (!st)
            st = mls_eigen(G, m, values + i * m, NULL, err);
    }
    /* Rounding may leave a hair below 0. */
    for (size_t i = 0; !st && i < MLS_SIDES * m; i++)
        values[i] = fmax(values[i], 0.0);
    mls_layer_stats_free(&stats);
    mls_layer_free(&layer);
    return st;
}

/* @param[out] out  (L, MLS_SIDES, m), released by the caller with free() */
static mls_status all_spectra(double **out, const mls_parsed *parsed,
                              const mls_method_input *in, mls_err *err)
{
    const mls_projection *p = parsed->params;
    const bool *converted = parsed->common.converted;
    const size_t L = in->config->L, m = in->config->G * in->config->D;
    double *G, *values;
    mls_status st = MLS_OK;

    *out = NULL;
    if (!in->model)
        return mls_fail(err, MLS_E_INPUT, "%s: ranks per layer need the weights",
                        parsed->method->name);
    if (p->metric.kind != MLS_METRIC_WEIGHTS && !in->capture)
        return mls_needs_capture(parsed->method->name, NULL, err);
    G = mls_calloc3(m, m, 1, sizeof *G);
    values = mls_calloc3(L, MLS_SIDES, m, sizeof *values);
    if (!G || !values)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the spectra of %zu layers", L);
    for (size_t l = 0; l < L && !st; l++)
        if (converted[l])
            st = layer_spectra(values + l * MLS_SIDES * m, p, in, l, G, err);
    free(G);
    if (st)
        free(values);
    else
        *out = values;
    return st;
}

mls_status mls_layer_ranks_make(void **out, const mls_parsed *p,
                                const mls_method_input *in, mls_rank_rule *rule,
                                const void *arg, mls_err *err)
{
    const mls_config *c = in->config;
    mls_layer_ranks *prepared = NULL;
    double *values = NULL;
    mls_status st;

    *out = NULL;
    if ((st = all_spectra(&values, p, in, err)) ||
        (st = mls_layer_ranks_new(&prepared, c->L, err)))
        goto done;
    const mls_spectra spectra = {values, p->common.converted, c->L, c->G * c->D};

    st = rule(prepared, &spectra, in, arg, err);
    if (st)
        goto done;
    *out = prepared;
    prepared = NULL;

done:
    mls_layer_ranks_free(prepared);
    free(values);
    return st;
}

void mls_share_ranks(size_t *rank, size_t step, const double *want, size_t n,
                     size_t total, size_t min, size_t most)
{
    size_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        const double near = floor(fmin(fmax(want[i], (double)min), (double)most));

        rank[i * step] = (size_t)near;
        sum += rank[i * step];
    }
    while (sum != total) {
        const bool more = sum < total;
        size_t best = n;
        double best_gap = -INFINITY;

        for (size_t i = 0; i < n; i++) {
            const double unmet = want[i] - (double)rank[i * step];
            const double gap = more ? unmet : -unmet;

            if (rank[i * step] == (more ? most : min) || !(gap > best_gap))
                continue;
            best = i;
            best_gap = gap;
        }
        if (best == n)
            return;
        rank[best * step] += more ? 1 : (size_t)-1;
        sum += more ? 1 : (size_t)-1;
    }
}
