/*
 * A row's key is the SHA-256 of all that it depends on: version, model, arithmetic,
 * token ids, capture, options, setting. A finished row is found again by it, whichever
 * run made it; settings that name files have none, because files change. Settings run
 * in groups, so that what is finished is kept on the way, and equal ones run once. With
 * `measure` a few run, spread evenly over the predicted error of attention, and the law
 * of kl_law.h says the others. Only what the same code serves competes for the Pareto
 * front.
 */
#include "bench/evaluate/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/evaluate/ties.h"
#include "common/base/buf.h"
#include "common/base/checked.h"
#include "common/system/hash.h"
#include "common/system/progress_part.h"

enum { GROUP = 8, SETTING_TEXT = 2048 };

enum { RESTS = 3 /* arrays of seq_rest */ };

void mls_compared_free(mls_compared *row)
{
    mls_free_all(row->seq_kl, row->seq_rest, row->refused);
    *row = (mls_compared){0};
}

void mls_comparison_free(mls_comparison *c)
{
    for (size_t i = 0; c->row && i < c->n; i++)
        mls_compared_free(&c->row[i]);
    free(c->row);
    *c = (mls_comparison){0};
}

/* Everything that a row depends on, hashed. */
static mls_status make_key(char key[MLS_SHA256_HEX], const mls_compare_request *r,
                           const char *setting, mls_err *err)
{
    mls_buf b = {0};
    mls_sha256 *h = NULL;
    mls_status st = mls_sha256_new(&h, err);

    if (st)
        return st;
    mls_buf_printf(&b, "mlascope %s\nmodel %s\n%s\ntext %s\nN %zu, %zu\n", MLS_VERSION,
                   r->model_id, mls_model_arithmetic(r->in.model), r->corpus->sha256,
                   r->corpus->N, r->corpus->lead);
    for (size_t i = 0; i <= r->corpus->N; i++)
        mls_buf_printf(&b, "%zu ", r->corpus->start[i]);
    /* Another tokenizer makes other tokens of the same text. */
    mls_buf_add(&b, (const char *)r->corpus->ids,
                r->corpus->start[r->corpus->N] * sizeof *r->corpus->ids);
    mls_buf_printf(&b, "\ncapture %s\ntokens %zu\nscored %d\nabsorbed %d\n%s%s\n",
                   r->in.capture ? r->capture_id : "", r->tokens, (int)r->how.scored,
                   r->how.absorbed, r->unpredicted ? "unpredicted\n" : "", setting);
    if (b.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to compare settings");
    else {
        mls_sha256_add(h, b.data, b.len);
        mls_sha256_hex(h, key);
    }
    mls_sha256_free(h);
    mls_buf_free(&b);
    return st;
}

mls_compared mls_compared_refused(void)
{
    const mls_mean none = {NAN, NAN};

    return (mls_compared){.bytes = NAN,
                          .payload = NAN,
                          .growing = NAN,
                          .fixed = NAN,
                          .kept = NAN,
                          .kept_payload = NAN,
                          .serve = MLS_SERVE_CLASSES,
                          .parameters = NAN,
                          .predicted = mls_predicted_mean(NULL, 0),
                          .law_kl = NAN,
                          .nll = none,
                          .kl = none,
                          .top1 = none,
                          .dnll = none,
                          .seconds = NAN};
}

mls_compared mls_compared_of(const mls_quality *q, const mls_config *config,
                             const mls_size_result *own, size_t tokens)
{
    const mls_size_request request = mls_size_one(tokens);
    mls_size_result size = *own;

    if (q->refused)
        return mls_compared_refused();
    if (q->layout)
        mls_size(&size, q->layout, &request);
    return (mls_compared){.bytes = size.bytes_per_token,
                          .payload = size.payload_bytes_per_token,
                          .growing = size.growing_bytes_per_token,
                          .fixed = size.fixed_bytes,
                          .kept = size.bytes_per_token / own->bytes_per_token,
                          .kept_payload = size.payload_bytes_per_token /
                                          own->payload_bytes_per_token,
                          .serve = q->serve,
                          .parameters = (double)q->parameters,
                          .predicted = mls_predicted_mean(q->predicted, config->L),
                          .law_kl = NAN,
                          .nll = q->nll,
                          .kl = q->kl,
                          .top1 = q->top1,
                          .dnll = q->dnll,
                          .N = q->N,
                          .measured = q->seq_kl != NULL,
                          .seconds = q->seconds};
}

/* Work on all settings: the rows of equal texts are measured once. */
typedef struct {
    const mls_compare_request *r;
    mls_comparison *out;
    mls_kept_rows *kept;
    char (*key)[MLS_SHA256_HEX]; /* (n) */
    size_t *same;                /* (n) the first setting of the same text */
    size_t *todo;                /* (n) settings that have no row */
    size_t n_todo, n_kept;       /* how many, and how many have one */
} work;

/* What a row keeps of every window, and why it was refused: the row's from here on. */
static mls_status take_windows(mls_compared *row, mls_quality *q,
                               const mls_quality *original, mls_err *err)
{
    const size_t N = q->N;

    row->seq_kl = q->seq_kl;
    row->refused = q->refused;
    q->seq_kl = NULL;
    q->refused = NULL;
    if (!row->measured)
        return MLS_OK;
    row->seq_rest = mls_calloc3(RESTS, N, 1, sizeof *row->seq_rest);
    if (!row->seq_rest)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the results");
    for (size_t i = 0; i < N; i++) {
        row->seq_rest[i] = q->seq_nll[i];
        row->seq_rest[N + i] = q->seq_top1[i];
        row->seq_rest[2 * N + i] = q->seq_nll[i] - original->seq_nll[i];
    }
    return MLS_OK;
}

mls_status mls_compared_join(mls_compared *a, const mls_compared *b, size_t every,
                             mls_err *err)
{
    const size_t N = a->N + b->N;
    double *kl, *rest;

    if (!a->seq_rest || !b->seq_rest || (N + every - 1) / every != a->N)
        return mls_fail(err, MLS_E_ARG,
                        "rows of %zu and %zu windows are not parts of "
                        "one text",
                        a->N, b->N);
    kl = mls_calloc3(N, 1, 1, sizeof *kl);
    rest = mls_calloc3(RESTS, N, 1, sizeof *rest);
    if (!kl || !rest) {
        mls_free_all(kl, rest);
        return mls_fail(err, MLS_E_NOMEM, "no memory for the results");
    }
    for (size_t i = 0, of_b = 0; i < N; i++) {
        const mls_compared *from = i % every ? b : a;
        const size_t at = i % every ? of_b++ : i / every;

        kl[i] = from->seq_kl[at];
        for (size_t k = 0; k < RESTS; k++)
            rest[k * N + i] = from->seq_rest[k * from->N + at];
    }
    mls_free_all(a->seq_kl, a->seq_rest);
    a->seq_kl = kl;
    a->seq_rest = rest;
    a->N = N;
    a->kl = mls_mean_of(kl, N);
    a->nll = mls_mean_of(rest, N);
    a->top1 = mls_mean_of(rest + N, N);
    a->dnll = mls_mean_of(rest + 2 * N, N);
    a->seconds += b->seconds;
    a->kept_row = a->kept_row && b->kept_row;
    return MLS_OK;
}

/* Rows of a group of settings; only those that were run are kept in the file. */
static mls_status do_group(work *w, const size_t *which, size_t n, bool forms_only,
                           const mls_progress *progress, mls_err *err)
{
    const mls_compare_request *r = w->r;
    mls_scheme *scheme = mls_calloc3(n, 1, 1, sizeof *scheme);
    mls_variant *variant = mls_calloc3(n, 1, 1, sizeof *variant);
    const char **key = mls_calloc3(n, 1, 1, sizeof(char *));
    const char **text = mls_calloc3(n, 1, 1, sizeof(char *));
    mls_compared *row = mls_calloc3(n, 1, 1, sizeof *row);
    mls_evaluate_options how = r->how;
    mls_size_result own;
    mls_evaluation e = {0};
    mls_status st = MLS_OK;

    how.predict = r->in.capture != NULL && !r->unpredicted;
    how.forms_only = forms_only;
    how.keep_going = true;
    if (!scheme || !variant || !key || !text || !row)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to compare %zu settings", n);
    for (size_t i = 0; !st && i < n; i++) {
        st =
            mls_scheme_uniform(&scheme[i], &r->setting[which[i]], r->in.config->L, err);
        variant[i] = (mls_variant){.scheme = &scheme[i], .only_layer = MLS_NONE};
        key[i] =
            mls_setting_names_file(&r->setting[which[i]]) ? NULL : w->key[which[i]];
        text[i] = scheme[i].name;
    }
    if (!st)
        st = mls_evaluate(&e, &r->in, r->corpus, variant, n, &how, progress, err);
    if (!st)
        st = mls_size_own(&own, r->in.config, r->tokens, err);
    for (size_t i = 0; !st && i < n; i++) {
        row[i] = mls_compared_of(&e.variant[i], r->in.config, &own, r->tokens);
        st = take_windows(&row[i], &e.variant[i], &e.original, err);
    }
    if (!st && w->kept && !forms_only)
        st = mls_kept_rows_add(w->kept, key, text, row, n, e.original.nll,
                               e.original.n_scored, err);
    if (!st && e.original.seq_nll) {
        w->out->original = e.original.nll;
        w->out->n_scored = e.original.n_scored;
    }
    for (size_t i = 0; row && i < n; i++) {
        if (st) {
            mls_compared_free(&row[i]);
            continue;
        }
        w->out->n_measured += row[i].measured;
        mls_compared_free(&w->out->row[which[i]]);
        w->out->row[which[i]] = row[i];
    }
    for (size_t i = 0; scheme && i < n; i++)
        mls_scheme_free(&scheme[i]);
    mls_evaluation_free(&e);
    mls_free_all(scheme, variant, key, text, row);
    return st;
}

/* Keys, rows that are there already, and what is left to do. */
static mls_status find_rows(work *w, mls_err *err)
{
    const mls_compare_request *r = w->r;
    char text[SETTING_TEXT];
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < r->n; i++) {
        st = make_key(w->key[i], r, mls_setting_text(&r->setting[i], text, sizeof text),
                      err);
        while (!st && strcmp(w->key[w->same[i]], w->key[i]) != 0)
            w->same[i]++;
        if (st || w->same[i] != i)
            continue;
        if (w->kept && !mls_setting_names_file(&r->setting[i]) &&
            mls_kept_rows_find(w->kept, w->key[i], &w->out->row[i], &w->out->original,
                               &w->out->n_scored))
            w->n_kept++;
        else
            w->todo[w->n_todo++] = i;
    }
    return st;
}

static mls_status repeat_rows(work *w, mls_err *err)
{
    mls_compared *row = w->out->row;

    for (size_t i = 0; i < w->out->n; i++) {
        const mls_compared *from = &row[w->same[i]];

        if (w->same[i] == i)
            continue;
        row[i] = *from;
        row[i].refused = from->refused ? strdup(from->refused) : NULL;
        row[i].seq_kl = row[i].seq_rest = NULL;
        if (from->refused && !row[i].refused)
            return mls_fail(err, MLS_E_NOMEM, "no memory for the results");
        if (!from->measured)
            continue;
        row[i].seq_kl = mls_calloc3(from->N, 1, 1, sizeof(double));
        if (from->seq_rest)
            row[i].seq_rest = mls_calloc3(from->N, RESTS, 1, sizeof(double));
        if (!row[i].seq_kl || (from->seq_rest && !row[i].seq_rest))
            return mls_fail(err, MLS_E_NOMEM, "no memory for the results");
        memcpy(row[i].seq_kl, from->seq_kl, from->N * sizeof(double));
        if (from->seq_rest)
            memcpy(row[i].seq_rest, from->seq_rest, RESTS * from->N * sizeof(double));
    }
    return MLS_OK;
}

/* Only what the same code serves is held against each other. */
static mls_status mark_front(mls_comparison *c, mls_err *err)
{
    const mls_compared **row = mls_calloc3(c->n, 1, 1, sizeof(mls_compared *));
    size_t *which = mls_calloc3(c->n, 1, 1, sizeof *which);
    bool *front = mls_calloc3(c->n, 1, 1, sizeof *front);
    mls_status st = MLS_OK;

    if (!row || !which || !front)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the results");
    for (int s = 0; !st && s < MLS_SERVE_CLASSES; s++) {
        size_t n = 0;

        for (size_t i = 0; i < c->n; i++)
            if (c->row[i].serve == (mls_serve)s) {
                row[n] = &c->row[i];
                which[n++] = i;
            }
        mls_compared_front(front, row, n);
        for (size_t i = 0; i < n; i++)
            c->row[which[i]].pareto = front[i];
    }
    mls_free_all(row, which, front);
    return st;
}

static mls_status do_all(work *w, const size_t *which, size_t n, bool forms_only,
                         const mls_progress *progress, mls_err *err)
{
    const size_t group = w->r->group ? w->r->group : GROUP;
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < n; i += group) {
        const size_t k = n - i < group ? n - i : group;
        mls_progress_part part;

        st = do_group(w, which + i, k, forms_only,
                      mls_progress_part_of(&part, progress, (double)i / (double)n,
                                           (double)(i + k) / (double)n),
                      err);
    }
    return st;
}

/*
 * Indices of todo by the error of their attention outputs, those without one left out.
 */
static size_t by_error(size_t *order, const work *w)
{
    const mls_compared *row = w->out->row;
    size_t n = 0;

    for (size_t i = 0; i < w->n_todo; i++) {
        const double x = row[w->todo[i]].predicted.attention;
        size_t at = n;

        if (isnan(x))
            continue;
        for (; at > 0 && row[order[at - 1]].predicted.attention > x; at--)
            order[at] = order[at - 1];
        order[at] = w->todo[i];
        n++;
    }
    return n;
}

/* Forms of all, then a run of some: spread evenly over what they do to the outputs. */
static mls_status measure_some(work *w, const mls_progress *progress, mls_err *err)
{
    const size_t k = w->r->measure > w->n_kept ? w->r->measure - w->n_kept : 0;
    size_t *order = mls_calloc3(w->n_todo, 1, 1, sizeof *order), n;
    mls_status st =
        order ? MLS_OK
              : mls_fail(err, MLS_E_NOMEM, "no memory for %zu settings", w->n_todo);

    if (!st && !(w->r->in.capture && mls_capture_windows(w->r->in.capture) > 0))
        st = mls_fail(err, MLS_E_INPUT,
                      "to measure only some settings the others are predicted, which "
                      "needs a capture file with windows");
    if (!st)
        st = do_all(w, w->todo, w->n_todo, true, progress, err);
    if (!st) {
        n = by_error(order, w);
        for (size_t i = 0; i < k && i < n; i++)
            order[i] = order[n <= k ? i : k == 1 ? n / 2 : i * (n - 1) / (k - 1)];
        st = do_all(w, order, n < k ? n : k, false, progress, err);
    }
    free(order);
    return st;
}

/* What every row's KL would be by the law of the others. */
static mls_status apply_law(mls_comparison *c, mls_err *err)
{
    double *x = mls_calloc3(c->n, 3, 1, sizeof *x), *kl = x + c->n, *y = kl + c->n;

    if (!x)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the results");
    for (size_t i = 0; i < c->n; i++) {
        x[i] = c->row[i].predicted.attention;
        kl[i] = c->row[i].measured ? c->row[i].kl.mean : (double)NAN;
    }
    c->law = mls_kl_law_fit(x, kl, c->n, y);
    for (size_t i = 0; i < c->n; i++)
        c->row[i].law_kl = y[i];
    free(x);
    return MLS_OK;
}

mls_status mls_comparison_possible(const mls_comparison *c, mls_err *err)
{
    for (size_t i = 0; i < c->n; i++)
        if (!c->row[i].refused)
            return MLS_OK;
    return c->n ? mls_fail(err, MLS_E_INPUT, "%s", c->row[0].refused) : MLS_OK;
}

mls_status mls_compare(mls_comparison *out, const mls_compare_request *r,
                       const mls_progress *progress, mls_err *err)
{
    work w = {.r = r,
              .out = out,
              .key = mls_calloc3(r->n, 1, 1, sizeof *w.key),
              .same = mls_calloc3(r->n, 1, 1, sizeof *w.same),
              .todo = mls_calloc3(r->n, 1, 1, sizeof *w.todo)};
    mls_status st = MLS_OK;

    *out = (mls_comparison){.n = r->n,
                            .row = mls_calloc3(r->n, 1, 1, sizeof *out->row),
                            .original = {NAN, NAN}};
    if (!w.key || !w.same || !w.todo || !out->row)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to compare %zu settings", r->n);
    if (!st && r->rows_path)
        st = mls_kept_rows_open(&w.kept, r->rows_path, err);
    if (!st)
        st = find_rows(&w, err);
    if (!st)
        st = r->measure && r->measure < w.n_kept + w.n_todo
                 ? measure_some(&w, progress, err)
                 : do_all(&w, w.todo, w.n_todo, false, progress, err);
    if (!st)
        st = repeat_rows(&w, err);
    for (size_t i = 0; !st && i < r->n; i++)
        out->row[i].quantized = mls_setting_quantized(&r->setting[i]);
    if (!st)
        st = apply_law(out, err);
    if (!st)
        st = mark_front(out, err);
    mls_kept_rows_close(w.kept);
    mls_free_all(w.key, w.same, w.todo);
    if (st)
        mls_comparison_free(out);
    return st;
}
