/*
 * KL(original || model with one layer converted), mean over positions, for every layer
 * and several schemes in one evaluation: each layer's weights are read once for all of
 * them. It may come out below zero by rounding where a form is exact; then it is 0.
 */
#include "bench/evaluate/isolated.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/evaluate/evaluate.h"
#include "common/base/checked.h"

/* A corpus of the capture's first sequences. */
static mls_status first_sequences(mls_corpus *corpus, const mls_capture *capture,
                                  size_t n, mls_err *err)
{
    const size_t *start = mls_capture_start(capture);
    const size_t N = mls_least(mls_capture_sequences(capture), n);

    *corpus = (mls_corpus){.N = N,
                           .n_ids = start[N],
                           .lead = mls_capture_lead(capture),
                           .ids = mls_calloc3(start[N], 1, 1, sizeof *corpus->ids),
                           .start = mls_calloc3(N + 1, 1, 1, sizeof *corpus->start)};
    if (!corpus->ids || !corpus->start)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu sequences", N);
    memcpy(corpus->ids, mls_capture_ids(capture), start[N] * sizeof *corpus->ids);
    memcpy(corpus->start, start, (N + 1) * sizeof *start);
    return MLS_OK;
}

mls_status mls_isolated_kl_of_model(const mls_method_input *in,
                                    const mls_scheme *scheme, size_t n,
                                    const bool *converted, size_t sequences, double *kl,
                                    mls_err *err)
{
    const size_t L = in->config->L;
    mls_variant *variant = mls_calloc3(n, L, 1, sizeof *variant);
    mls_evaluation e = {0};
    mls_corpus corpus = {0};
    size_t n_variants = 0, used = 0;
    mls_method_input whole = *in;
    mls_status st = variant ? MLS_OK
                            : mls_fail(err, MLS_E_NOMEM,
                                       "no memory for %zu schemes of one layer", n * L);

    whole.parts = NULL; /* a choice that every part makes by itself */
    if (!st)
        st = first_sequences(&corpus, in->capture, sequences, err);
    for (size_t i = 0; !st && i < n; i++)
        for (size_t l = 0; l < L; l++)
            if (converted[l])
                variant[n_variants++] = (mls_variant){&scheme[i], (int)l};
    if (!st)
        st = mls_evaluate(&e, &whole, &corpus, variant, n_variants, NULL, NULL, err);
    for (size_t i = 0; !st && i < n; i++)
        for (size_t l = 0; l < L; l++)
            kl[l * n + i] = converted[l] ? fmax(e.variant[used++].kl.mean, 0.0) : 0.0;
    mls_corpus_free(&corpus);
    mls_evaluation_free(&e);
    free(variant);
    return st;
}
