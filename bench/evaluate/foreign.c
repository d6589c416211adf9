/*
 * Three signs, each enough for a warning: a perplexity above half of the vocabulary,
 * more than a quarter of the tokens single bytes of characters that the tokenizer has
 * not, or a setting that changes much (KL above 0.05 nat) and makes the text easier by
 * more than twice the interval of that difference. What a model gains by damage it had
 * not read.
 */
#include "bench/evaluate/foreign.h"

#include <math.h>
#include <stdio.h>

#include "common/base/buf.h"

static const double bytes_from = 0.25, changed_from = 0.05 /* nat */;

bool mls_foreign_text(char *out, size_t size, const mls_foreign *f)
{
    const bool guessing = f->nll > log((double)f->V / 2);
    const bool bytes = f->byte_share > bytes_from;
    mls_buf b = {0};

    *out = '\0';
    if (guessing)
        mls_buf_printf(
            &b, "; its perplexity is %.0f, guessing among all %zu tokens has %zu",
            exp(f->nll), f->V, f->V);
    if (bytes)
        mls_buf_printf(
            &b,
            "; %.0f %% of its tokens are single bytes of characters that the "
            "tokenizer has not",
            100 * f->byte_share);
    if (*f->easier)
        mls_buf_printf(&b,
                       "; compression makes it easier: %s loses %.3f nat less than the "
                       "original",
                       f->easier, f->easier_by);
    if (b.len && !b.failed)
        snprintf(out, size,
                 "The text is foreign to the model, what is measured on it says little"
                 "%s",
                 b.data);
    mls_buf_free(&b);
    return *out != '\0';
}

void mls_foreign_compare(mls_foreign *f, const mls_comparison *c,
                         const mls_setting *setting)
{
    for (size_t i = 0; i < c->n; i++) {
        const mls_compared *r = &c->row[i];
        const double by = -r->dnll.mean;

        if (!r->measured || !(r->kl.mean > changed_from) ||
            !(by > 2 * r->dnll.half && by > f->easier_by))
            continue;
        f->easier_by = by;
        mls_setting_text(&setting[i], f->easier, sizeof f->easier);
    }
}
