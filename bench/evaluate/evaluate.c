/*
 * Quality before training: variants run through the layers, their logits are scored,
 * the scores become figures. Variants that do not fit in memory beside each other go in
 * a later pass over the weights.
 */
#include "bench/evaluate/evaluate.h"

#include "bench/evaluate/evaluate_inner.h"
#include "common/base/checked.h"

enum { DEFAULT_STATES_GIB = 4 };

static mls_status run_pass(mls_pass *p, mls_quality *original, mls_err *err)
{
    mls_scores s = {0};
    mls_status st = mls_scores_new(&s, p->corpus, p->options, p->n, err);

    if (!st)
        st = mls_pass_start(p, err);
    if (!st)
        st = mls_pass_layers(p, err);
    if (!st && p->span && mls_pass_is_over(p))
        st = mls_scores_keep(p, &s, err);
    if (st || p->options->forms_only || mls_pass_is_over(p))
        goto done;
    if (!st)
        st = mls_progress_step(p->progress, "comparing logits", p->done, p->total, err);
    if (!st)
        st = mls_score(&s, p, err);
    p->done += (double)p->n;
    if (!st && p->span)
        st = mls_scores_keep(p, &s, err);
    if (!st)
        st = mls_quality_of(original, p->quality, &s, err);

done:
    for (size_t i = 0; i < p->n; i++)
        if (!p->quality[i].seq_nll)
            mls_quality_unmeasured(&p->quality[i]);
    mls_scores_free(&s);
    mls_pass_free(p);
    return st;
}

mls_status mls_evaluate_here(mls_evaluation *out, const mls_method_input *in,
                             const mls_corpus *corpus, const mls_variant *variants,
                             size_t n, const mls_evaluate_options *options,
                             const mls_span *span, const mls_progress *progress,
                             mls_err *err)
{
    const mls_config *config = mls_model_config(in->model);
    mls_method_input own = *in;
    mls_status st = MLS_OK;
    double done = 0;

    if (options->calibration) /* forms are then of other moments than the capture's */
        own.forms = NULL;
    *out =
        (mls_evaluation){.n = n, .variant = mls_calloc3(n, 1, 1, sizeof *out->variant)};
    if (!out->variant)
        return mls_fail(err, MLS_E_NOMEM, "no memory to evaluate %zu settings", n);
    const uint64_t ram = mls_model_ram(in->model);
    const uint64_t limit = options->states_bytes ? options->states_bytes
                           : ram                 ? ram
                                                 : (uint64_t)DEFAULT_STATES_GIB << 30;
    const uint64_t each =
        (uint64_t)corpus->start[corpus->N] * config->E * sizeof(float);
    size_t per_pass = each && limit / each > 1 ? (size_t)(limit / each) - 1 : 1;

    if (per_pass > n)
        per_pass = n;
    for (size_t first = 0; !st && (first < n || (n == 0 && first == 0));
         first += per_pass ? per_pass : 1) {
        mls_pass p = {.in = &own,
                      .config = config,
                      .corpus = corpus,
                      .variant = variants + first,
                      .n = n - first < per_pass ? n - first : per_pass,
                      .options = options,
                      .progress = progress,
                      .span = span,
                      .last = first + per_pass >= n || out->original.seq_nll,
                      .done = done,
                      .total = (double)n * (double)(config->L + 1),
                      .quality = out->variant + first};

        st = run_pass(&p, &out->original, err);
        done = p.done;
    }
    if (!st)
        st = mls_progress_step(progress, "evaluated", 1, 1, err);
    if (!st && !out->original.seq_nll)
        mls_quality_unmeasured(&out->original);
    if (st)
        mls_evaluation_free(out);
    return st;
}

mls_status mls_evaluate(mls_evaluation *out, const mls_method_input *in,
                        const mls_corpus *corpus, const mls_variant *variants, size_t n,
                        const mls_evaluate_options *options,
                        const mls_progress *progress, mls_err *err)
{
    const mls_evaluate_options defaults = {0};
    mls_err said = {0};

    if (!err)
        err = &said; /* what is refused needs its sentence */
    if (!options)
        options = &defaults;
    /* Forms alone are what a choice of settings rests on: every part makes them. */
    if (in->parts && !options->forms_only)
        return mls_evaluate_parts(out, in, corpus, variants, n, options, progress, err);
    return mls_evaluate_here(out, in, corpus, variants, n, options, NULL, progress,
                             err);
}

mls_status mls_evaluation_possible(const mls_evaluation *e, mls_err *err)
{
    for (size_t i = 0; i < e->n; i++)
        if (!e->variant[i].refused)
            return MLS_OK;
    return e->n ? mls_fail(err, MLS_E_INPUT, "%s", e->variant[0].refused) : MLS_OK;
}
