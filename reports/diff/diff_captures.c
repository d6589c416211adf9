/*
 * Two captures: how well the model predicts the text, sequence by sequence where it is
 * the same, and whether 2-norm keeps the same chunks. What the halves of A's own
 * sequences do not agree on is noise.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/capture/capture.h"
#include "analysis/frequency/agreement.h"
#include "analysis/frequency/frequency.h"
#include "reports/diff/diff.h"

/* Share of the chunks kept in A that B keeps, too, mean over layers and heads. */
static double kept_again(const mls_frequency *a, const mls_frequency *b)
{
    double common = 0, kept = 0;

    for (size_t l = 0; l < a->L; l++) {
        const mls_selection *x = mls_frequency_selection(a, 0, 0, l);
        const mls_selection *y = mls_frequency_selection(b, 0, 0, l);

        for (size_t g = 0; g < a->G; g++) {
            common += (double)mls_order_common(x->order + g * a->C, x->count[g],
                                               y->order + g * a->C, y->count[g]);
            kept += (double)x->count[g];
        }
    }
    return kept > 0 ? common / kept : (double)NAN;
}

/* In words: what one would keep of the keys' chunks; nothing where heads differ. */
static mls_status say_chunks(mls_diff *d, mls_capture *const c[2], mls_err *err)
{
    static const char *const rule[] = {"2-norm"};
    mls_frequency f[2] = {{.L = 0}, {.L = 0}};
    const mls_config *x = mls_capture_config(c[0]), *y = mls_capture_config(c[1]);
    const size_t budget = x->D / 16 ? x->D / 16 : 1;
    mls_status st = MLS_OK;

    if (x->L != y->L || x->G != y->G || x->D != y->D)
        return MLS_OK;
    for (size_t i = 0; !st && i < 2; i++)
        st = mls_frequency_run(&f[i], c[i],
                               &(mls_frequency_request){.rules = rule,
                                                        .n_rules = 1,
                                                        .chunks = &budget,
                                                        .n_chunks = 1,
                                                        .stability = i == 0},
                               NULL, NULL, err);
    if (st == MLS_E_INPUT) { /* a model without RoPE */
        *err = (mls_err){0};
        st = MLS_OK;
    } else if (!st) {
        const mls_frequency_rule *r = &f[0].rule[0];
        const double again = kept_again(&f[0], &f[1]);
        const double halves = r->n_sizes ? r->overlap[r->n_sizes - 1] : (double)NAN;

        mls_buf_printf(&d->words,
                       "Of the %zu chunks a KV head that 2-norm keeps in A, B keeps "
                       "%.0f %%",
                       budget, 100 * again);
        if (isfinite(halves))
            mls_buf_printf(&d->words,
                           "; two halves of A agree on %.0f %%, so that is %s.\n",
                           100 * halves,
                           again < halves ? "more than noise" : "no more than noise");
        else
            mls_buf_puts(&d->words, ".\n");
    }
    mls_frequency_free(&f[0]);
    mls_frequency_free(&f[1]);
    return st;
}

static void say_loss(mls_diff *d, const mls_diff_line *l, bool model)
{
    mls_buf_printf(&d->words,
                   "%s%s the text has perplexity %.3f in A and %.3f in B, %s.\n",
                   model ? "The same model: " : "Another model, or other weights: ",
                   l->paired ? "on the same sequences" : "on other sequences",
                   exp(l->a), exp(l->b),
                   isnan(l->change.half) ? "without an interval from one sequence"
                   : l->more             ? "which is more than noise"
                                         : "which is no more than noise");
    mls_buf_printf(&d->words, "%s\n",
                   l->paired ? "Negative log-likelihood, paired by sequence; interval "
                               "95 %."
                             : "Negative log-likelihood, intervals taken as "
                               "independent; 95 %.");
}

static mls_status compare(mls_diff *d, mls_capture *const c[2], mls_err *err)
{
    const size_t n = mls_capture_sequences(c[0]), m = mls_capture_sequences(c[1]);
    const double *each[2] = {mls_capture_nll_each(c[0]), mls_capture_nll_each(c[1])};
    const mls_mean a = mls_mean_of(each[0], n), b = mls_mean_of(each[1], m);
    const bool text =
        strcmp(mls_capture_text_sha256(c[0]), mls_capture_text_sha256(c[1])) == 0;
    const bool model =
        strcmp(mls_capture_model_sha256(c[0]), mls_capture_model_sha256(c[1])) == 0;
    char number[2][32];
    mls_diff_line *l = mls_diff_add(d);

    if (!l || !(l->what = strdup(text ? "the same" : "another")))
        return mls_fail(err, MLS_E_NOMEM, "no memory to compare captures");
    l->paired = text && n == m && mls_capture_length(c[0]) == mls_capture_length(c[1]);
    l->a = a.mean;
    l->b = b.mean;
    l->change = l->paired ? mls_mean_of_difference(each[1], each[0], n)
                          : (mls_mean){b.mean - a.mean, hypot(a.half, b.half)};
    l->more = !isnan(l->change.half) && fabs(l->change.mean) > l->change.half;
    mls_diff_fact_add(d, "model SHA-256", mls_capture_model_sha256(c[0]),
                      mls_capture_model_sha256(c[1]));
    mls_diff_fact_add(d, "text SHA-256", mls_capture_text_sha256(c[0]),
                      mls_capture_text_sha256(c[1]));
    snprintf(number[0], sizeof number[0], "%zu", n);
    snprintf(number[1], sizeof number[1], "%zu", m);
    mls_diff_fact_add(d, "sequences", number[0], number[1]);
    for (size_t i = 0; i < 2; i++)
        snprintf(number[i], sizeof number[i], "%zu", mls_capture_length(c[i]));
    mls_diff_fact_add(d, "tokens of a sequence", number[0], number[1]);
    say_loss(d, l, model);
    return say_chunks(d, c, err);
}

mls_status mls_diff_captures(mls_diff *d, mls_err *err)
{
    mls_capture *c[2] = {NULL, NULL};
    mls_status st = mls_capture_open(&c[0], d->path[0], err);

    if (!st)
        st = mls_capture_open(&c[1], d->path[1], err);
    if (!st)
        st = compare(d, c, err);
    mls_capture_close(c[0]);
    mls_capture_close(c[1]);
    return st;
}
