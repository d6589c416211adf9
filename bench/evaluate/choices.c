/*
 * Multiple choice by log-likelihood, as lm-evaluation-harness does it in
 * lm_eval/api/task.py and lm_eval/api/model.py: choice c of context x is the text
 * x + " " + c, tokenized as a whole; what follows as many tokens as x alone has is the
 * choice. acc picks the largest sum of log-likelihoods, acc_norm the largest of them
 * divided by the characters of c.
 */
#include <string.h>

#include "bench/evaluate/items.h"
#include "common/base/buf.h"
#include "common/base/checked.h"

void mls_choices_free(mls_choices *c)
{
    mls_free_all(c->first, c->answer, c->chars);
    mls_items_free(&c->items);
    *c = (mls_choices){0};
}

static size_t characters(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

/* Context and one choice, in ids: what is before, and what is scored. */
static mls_status add_choice(mls_choices *out, const mls_question *q, size_t i,
                             mls_tokenizer *tok, mls_piece first, size_t positions,
                             mls_err *err)
{
    size_t len = strlen(q->context), n_context, n_all;
    int32_t *context = NULL, *all = NULL;
    mls_buf text = {0};
    mls_status st;

    while (len > 0 && strchr(" \t\n\r", q->context[len - 1]))
        len--;
    mls_buf_puts(&text, q->context);
    if (len > 0 && !q->context[len])
        mls_buf_puts(&text, " ");
    mls_buf_puts(&text, q->choice[i]);
    st = text.failed ? mls_fail(err, MLS_E_NOMEM, "no memory for a question")
                     : mls_tokenizer_encode(tok, q->context, len, false, &context,
                                            &n_context, err);
    if (!st)
        st = mls_tokenizer_encode(tok, text.data, text.len, false, &all, &n_all, err);
    if (!st) {
        if (n_context >= n_all) /* the choice went into the context's last token */
            n_context = n_all - 1;
        const mls_piece piece[] = {
            first, {all, n_context}, {all + n_context, n_all - n_context}};

        if (first.n + n_context == 0)
            st = mls_fail(err, MLS_E_INPUT,
                          "the context is empty and no BOS stands before it: the first "
                          "token cannot be scored");
        else if (positions && first.n + n_all > positions)
            st = mls_fail(err, MLS_E_INPUT,
                          "choice %zu makes %zu tokens, the model has %zu positions", i,
                          first.n + n_all, positions);
        else
            st = mls_items_add(&out->items, piece, 3, err);
    }
    mls_buf_free(&text);
    mls_free_all(context, all);
    return st;
}

mls_status mls_choices_make(mls_choices *out, const mls_questions *q,
                            mls_tokenizer *tok, bool no_bos, size_t positions,
                            mls_err *err)
{
    size_t n_first, sequences = 0;
    const int32_t *first = mls_tokenizer_first(tok, &n_first);
    mls_status st = MLS_OK;

    if (no_bos)
        n_first = 0;
    for (size_t i = 0; i < q->n; i++)
        sequences += q->question[i].n;
    *out = (mls_choices){.n = q->n,
                         .first = mls_calloc3(q->n + 1, 1, 1, sizeof *out->first),
                         .answer = mls_calloc3(q->n, 1, 1, sizeof *out->answer),
                         .chars = mls_calloc3(sequences, 1, 1, sizeof *out->chars)};
    if (!out->first || !out->answer || !out->chars)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu questions", q->n);
    for (size_t i = 0, at = 0; !st && i < q->n; i++) {
        const mls_question *one = &q->question[i];

        out->answer[i] = one->answer;
        for (size_t k = 0; !st && k < one->n; k++, at++) {
            out->chars[at] = characters(one->choice[k]);
            st = add_choice(out, one, k, tok, (mls_piece){first, n_first}, positions,
                            err);
        }
        if (st)
            mls_fail_in(err, st, "question %zu", i + 1);
        out->first[i + 1] = at;
    }
    out->items.corpus.lead = n_first;
    if (!st)
        memcpy(out->items.corpus.sha256, q->sha256, sizeof q->sha256);
    if (st)
        mls_choices_free(out);
    return st;
}

void mls_choices_pick(size_t *pick, size_t *norm, const mls_choices *c,
                      const double *nll)
{
    const mls_items *t = &c->items;

    for (size_t i = 0; i < c->n; i++) {
        double best = 0, best_norm = 0;

        for (size_t s = c->first[i]; s < c->first[i + 1]; s++) {
            const size_t ids = t->corpus.start[s + 1] - t->corpus.start[s];
            const double sum = -nll[s] * (double)(ids - 1 - t->from[s]);
            const double each = sum / (double)c->chars[s];

            if (s == c->first[i] || sum > best) {
                best = sum;
                pick[i] = s - c->first[i];
            }
            if (s == c->first[i] || each > best_norm) {
                best_norm = each;
                norm[i] = s - c->first[i];
            }
        }
    }
}
