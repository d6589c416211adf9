/*
 * Losses by the length of the windows. Attention over T tokens rotates by up to T
 * positions, so what a conversion loses by touching slow chunks shows only in windows
 * long enough to turn them. All lengths read the same tokens: windows of the longest
 * are cut into shorter ones, so that the text is no part of the difference.
 */
#include "bench/evaluate/lengths.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/system/progress_part.h"

void mls_lengths_free(mls_lengths *l)
{
    for (size_t i = 0; l->e && i < l->n; i++)
        mls_evaluation_free(&l->e[i]);
    mls_free_all(l->e, l->length);
    *l = (mls_lengths){0};
}

static int by_size(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;

    return (x > y) - (x < y);
}

mls_status mls_lengths_measure(mls_lengths *out, const mls_method_input *in,
                               const mls_corpus *corpus, const size_t *length, size_t n,
                               const mls_variant *variants, size_t n_variants,
                               const mls_evaluate_options *options,
                               const mls_progress *progress, mls_err *err)
{
    mls_status st = MLS_OK;

    *out = (mls_lengths){.n = n,
                         .length = mls_calloc3(n, 1, 1, sizeof *out->length),
                         .e = mls_calloc3(n, 1, 1, sizeof *out->e)};
    if (!out->length || !out->e)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu lengths", n);
    if (!st)
        memcpy(out->length, length, n * sizeof *length);
    if (!st)
        qsort(out->length, n, sizeof *length, by_size);
    for (size_t i = 0; !st && i < n; i++) {
        mls_corpus cut = {0};
        mls_progress_part part;

        st = mls_corpus_recut(&cut, corpus, out->length[i], err);
        if (!st)
            st = mls_evaluate(&out->e[i], in, &cut, variants, n_variants, options,
                              mls_progress_part_of(&part, progress,
                                                   (double)i / (double)n,
                                                   (double)(i + 1) / (double)n),
                              err);
        mls_corpus_free(&cut);
    }
    if (st)
        mls_lengths_free(out);
    return st;
}

/* By how much a loses more than b at length i, when that is beyond the intervals. */
static double surely_more(const mls_lengths *l, size_t i, size_t a, size_t b)
{
    const mls_mean x = l->e[i].variant[a].kl, y = l->e[i].variant[b].kl;
    const double difference = x.mean - y.mean, half = hypot(x.half, y.half);

    return fabs(difference) > half ? difference : 0;
}

bool mls_lengths_turn(const mls_lengths *l, size_t *one, size_t *other)
{
    const size_t n_variants = l->n ? l->e[0].n : 0;

    for (size_t a = 0; a < n_variants; a++)
        for (size_t b = a + 1; b < n_variants; b++) {
            bool more = false, less = false;

            for (size_t i = 0; i < l->n; i++) {
                more |= surely_more(l, i, a, b) > 0;
                less |= surely_more(l, i, a, b) < 0;
            }
            if (more && less) {
                *one = a;
                *other = b;
                return true;
            }
        }
    return false;
}

bool mls_lengths_moved(const mls_lengths *l, size_t *variant)
{
    double most = 0;

    for (size_t v = 0; l->n && v < l->e[0].n; v++) {
        const mls_mean from = l->e[0].variant[v].kl, to = l->e[l->n - 1].variant[v].kl;
        const double ratio = fabs(log(to.mean / from.mean));

        if (fabs(to.mean - from.mean) > hypot(from.half, to.half) && ratio > most) {
            most = ratio;
            *variant = v;
        }
    }
    return most > 0;
}
