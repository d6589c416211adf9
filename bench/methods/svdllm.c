/*
 * SVD-LLM (arXiv 2403.07378, v2 2503.12340): SVD of W S with S S^T = sum x x^T, undone
 * after truncation; the discarded singular values are the loss. In exact arithmetic
 * this is the PCA of the outputs W x, and v1 (Cholesky) and v2 (eigenvalues) give the
 * same. alloc=v2 removes more from the layers where less is lost: R_l ~ 1 / ln(loss).
 */
#include <math.h>
#include <stdio.h>

#include "bench/frame/common_keys.h"
#include "bench/frame/fit.h"
#include "bench/frame/lowrank.h"
#include "bench/frame/method.h"

static const char *const alloc_words[] = {"uniform", "v2", NULL};

/* Ranks of one side, none above `most`, from the losses over so many tokens. */
static mls_status side_by_loss(mls_layer_ranks *prepared, const mls_projection *p,
                               size_t side, const mls_spectra *spectra, size_t most,
                               double tokens, mls_err *err)
{
    const size_t m = spectra->m;
    const double removed = 1.0 - (double)p->rank[side] / (double)m;
    double want[MLS_LAYERS_MAX], inverse[MLS_LAYERS_MAX], sum = 0.0;
    size_t rank[MLS_LAYERS_MAX], at[MLS_LAYERS_MAX], n = 0;

    for (size_t l = 0; l < spectra->L; l++) {
        const double *lambda = spectra->values + (l * MLS_SIDES + side) * m;
        double tail = 0.0;

        if (!spectra->converted[l])
            continue;
        for (size_t i = p->rank[side]; i < m; i++)
            tail += lambda[i];
        const double loss = sqrt(tokens * tail); /* |W X - (W X)_r|_F over the text */
        if (!(loss > 1.0))
            return mls_fail(err, MLS_E_INPUT,
                            "svdllm: alloc=v2 takes 1 / ln(loss), but the loss of "
                            "layer %zu is %g, which is not above 1; use a smaller rank "
                            "or alloc=uniform",
                            l, loss);
        inverse[n] = 1.0 / log(loss);
        sum += inverse[n];
        at[n++] = l;
    }
    if (n == 0)
        return MLS_OK; /* the setting converts no layer */
    for (size_t i = 0; i < n; i++)
        want[i] = (double)m * (1.0 - (double)n * removed * inverse[i] / sum);
    mls_share_ranks(rank, 1, want, n, n * p->rank[side], 1, most);
    for (size_t i = 0; i < n; i++)
        prepared->rank[at[i] * MLS_SIDES + side] = rank[i];
    return MLS_OK;
}

static mls_status ranks_by_loss(mls_layer_ranks *prepared, const mls_spectra *spectra,
                                const mls_method_input *in, const void *arg,
                                mls_err *err)
{
    const mls_projection *p = arg;
    const size_t most = mls_projection_most(p, in->config);
    mls_layer_stats stats = {0};
    mls_status st = mls_capture_stats(in->capture, 0, &stats, err);

    for (size_t side = 0; !st && side < MLS_SIDES; side++)
        st = side_by_loss(prepared, p, side, spectra, most, stats.n_tokens, err);
    mls_layer_stats_free(&stats);
    return st;
}

static mls_status prepare(const mls_method_input *in, const mls_parsed *parsed,
                          void **prepared, mls_err *err)
{
    const mls_projection *p = parsed->params;

    return p->by_data
               ? mls_layer_ranks_make(prepared, parsed, in, ranks_by_loss, p, err)
               : MLS_OK;
}

static const mls_key keys[] = {{"alloc", MLS_KEY_WORD,
                                offsetof(mls_projection, by_data), .words = alloc_words,
                                .help = "ranks per layer by 1/ln(loss)", .open = "v2"},
                               MLS_PROJECTION_KEYS(NULL),
                               MLS_BASIS_KEY(mls_root_first),
                               MLS_KEYS_END};

static mls_status settle(const mls_parsed *parsed, const mls_config *c, mls_err *err)
{
    mls_projection *p = parsed->params;
    const char *method = parsed->method->name;

    p->metric.kind = MLS_METRIC_COVARIANCE;
    return mls_projection_settle(p, c, method, err);
}

/* The rule refuses small losses: then there is nothing to offer. */
static mls_status fit_data(const mls_method_input *in, size_t elements, mls_fits *out,
                           mls_err *err)
{
    char text[64];
    mls_setting s;
    mls_parsed p;
    void *prepared = NULL;
    mls_err why = {0};
    mls_status st;

    if (elements < 2)
        return MLS_OK;
    snprintf(text, sizeof text, "svdllm alloc=v2 rank=%zu", elements / 2);
    if ((st = mls_setting_parse(&s, text, err)) ||
        (st = mls_method_parse(&p, in->config, &s, err)))
        return st;
    st = prepare(in, &p, &prepared, &why);
    mls_layer_ranks_free(prepared);
    mls_parsed_free(&p);
    if (st == MLS_E_INPUT)
        return MLS_OK;
    if (st)
        return mls_fail(err, st, "%s", why.text);
    mls_fits_add(out, "alloc=v2 rank=%zu", elements / 2);
    return MLS_OK;
}

const mls_method mls_method_svdllm = {
    .name = "svdllm",
    .title = "SVD-LLM",
    .source = "arXiv 2403.07378 and 2503.12340; AIoT-MLSys-Lab/SVD-LLM SVDLLM.py",
    .keys = keys,
    .exact = true,
    .fits_need_data = true,
    .params_size = sizeof(mls_projection),
    .settle = settle,
    MLS_PROJECTION_METHOD,
    .fit = mls_projection_fit,
    .fit_data = fit_data,
    .prepare = prepare,
};
