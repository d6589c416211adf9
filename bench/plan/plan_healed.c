/*
 * A plan by healed loss (docs/methods/plan.md): wherever settings are measured, their
 * healed forms stand for them. A scheme is healed once in all its layers; what each of
 * them loses alone is then measured with the others as the original has them.
 */
#include "bench/plan/plan_healed.h"

#include <stdlib.h>

#include "bench/heal/measure.h"
#include "common/base/checked.h"

/* The variant of a scheme that came before variant i, or i. */
static size_t first_of(const mls_variant *variant, size_t i)
{
    size_t k = 0;

    while (variant[k].scheme != variant[i].scheme)
        k++;
    return k;
}

/*
 * Healed forms of a variant's scheme. What cannot be healed is measured as its method
 * makes it, and said: what the model refuses altogether is refused there.
 */
static mls_status heal(mls_variant *v, mls_scheme *healed, const mls_plan_request *r,
                       const mls_progress *progress, mls_err *err)
{
    mls_err why = {0};
    const mls_status st =
        mls_heal_scheme(healed, r->heal, r->heal_folder, v->scheme, &why);

    if (!st) {
        v->scheme = healed;
        return MLS_OK;
    }
    if (st != MLS_E_INPUT)
        return mls_fail(err, st, "%s", why.text);
    mls_progress_note(progress, "%s is not healed: %s", v->scheme->name, why.text);
    return MLS_OK;
}

mls_status mls_plan_evaluate(mls_evaluation *out, const mls_plan_request *r,
                             const mls_corpus *text, const mls_variant *variant,
                             size_t n, const mls_evaluate_options *how,
                             const mls_progress *progress, mls_err *err)
{
    mls_scheme *scheme;
    mls_variant *healed;
    mls_status st = MLS_OK;

    if (!r->heal)
        return mls_evaluate(out, &r->in, text, variant, n, how, progress, err);
    *out = (mls_evaluation){0};
    scheme = mls_calloc3(n, 1, 1, sizeof *scheme);
    healed = mls_calloc3(n, 1, 1, sizeof *healed);
    if (!scheme || !healed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to heal %zu settings", n);
    for (size_t i = 0; !st && i < n; i++) {
        const size_t first = first_of(variant, i);

        healed[i] = variant[i];
        if (first == i)
            st = heal(&healed[i], &scheme[i], r, progress, err);
        else
            healed[i].scheme = healed[first].scheme;
    }
    if (!st)
        st = mls_evaluate(out, &r->in, text, healed, n, how, progress, err);
    for (size_t i = 0; scheme && i < n; i++)
        mls_scheme_free(&scheme[i]);
    free(scheme);
    free(healed);
    return st;
}
