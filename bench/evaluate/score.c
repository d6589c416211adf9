/*
 * How far a variant's next-token distributions are from the original's, position by
 * position: KL(p || q) = sum_v p(v) (a(v) - b(v)) - lse(a) + lse(b), with logits a of
 * the original and b of the variant. Written so, only p is exponentiated, and the
 * difference of logits is taken before anything large cancels. The original's logits
 * of a block are made once and every variant is held against them.
 */
#include <math.h>
#include <stdlib.h>

#include "analysis/numeric/kernels.h"
#include "analysis/numeric/vector.h"
#include "bench/evaluate/evaluate_inner.h"
#include "common/base/checked.h"

/* Probabilities of the positions of a block take about this. */
enum { PROB_BYTES = 128 << 20, ROWS_MIN = 32, ROWS_MAX = 256 };

mls_status mls_scores_new(mls_scores *s, const mls_corpus *corpus,
                          const mls_evaluate_options *options, size_t n, mls_err *err)
{
    const size_t N = corpus->N;

    *s = (mls_scores){
        .n = n,
        .N = N,
        .row = mls_calloc3(N + 1, 1, 1, sizeof *s->row),
        .from = mls_calloc3(N, 1, 1, sizeof *s->from),
        .to = mls_calloc3(N, 1, 1, sizeof *s->to),
        .nll = mls_calloc3(n + 1, N, 1, sizeof *s->nll),
        .kl = mls_calloc3(n + 1, N, 1, sizeof *s->kl),
        .top1 = mls_calloc3(n + 1, N, 1, sizeof *s->top1),
        .hit = mls_calloc3(n + 1, N, 1, sizeof *s->hit),
        .bin_nll = mls_calloc3(n + 1, N, MLS_POSITION_BINS, sizeof *s->bin_nll),
        .bin_kl = mls_calloc3(n + 1, N, MLS_POSITION_BINS, sizeof *s->bin_kl),
        .bin_n = mls_calloc3(N, MLS_POSITION_BINS, 1, sizeof *s->bin_n)};
    if (!s->row || !s->from || !s->to || !s->nll || !s->kl || !s->top1 || !s->hit ||
        !s->bin_nll || !s->bin_kl || !s->bin_n)
        return mls_fail(err, MLS_E_NOMEM, "no memory to evaluate %zu settings", n);
    for (size_t i = 0; i < N; i++) {
        const size_t T = corpus->start[i + 1] - corpus->start[i];

        if (T > corpus->lead + 1) {
            s->from[i] = options->from ? options->from[i] : corpus->lead;
            if (!options->from && options->scored == MLS_SCORE_SECOND_HALF)
                s->from[i] += (T - corpus->lead) / 2;
            s->to[i] = T - 1; /* the last token has no next one */
        }
        if (s->to[i] <= s->from[i])
            return mls_fail(err, MLS_E_INPUT,
                            "sequence %zu has %zu tokens, too few to score", i, T);
        s->row[i + 1] = s->row[i] + s->to[i] - s->from[i];
    }
    s->kl_at = mls_calloc3(n + 1, s->row[N], 1, sizeof *s->kl_at);
    if (!s->kl_at)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the KL of %zu positions",
                        s->row[N]);
    return MLS_OK;
}

void mls_scores_free(mls_scores *s)
{
    mls_free_all(s->row, s->from, s->to, s->nll, s->kl, s->top1, s->hit, s->bin_nll,
                 s->bin_kl, s->bin_n, s->kl_at);
    *s = (mls_scores){0};
}

/* The original's distributions of the block that a worker is at. */
typedef struct {
    double *prob; /* (rows, V) */
    double lse[ROWS_MAX];
    size_t top[ROWS_MAX];
} distributions;

typedef struct {
    mls_scores *s;
    const mls_pass *p;
    distributions *original; /* per worker */
    const size_t *row;       /* of the scores, for each variant that the head runs */
} scoring;

static size_t argmax(const float *x, size_t n)
{
    size_t best = 0;

    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

/* sum_v p(v) (a(v) - b(v)), a and b logits. */
MLS_WIDE static double weighted_difference(const double *prob, const float *a,
                                           const float *b, size_t V)
{
    double sum[8] = {0};
    size_t v = 0;

    for (; v + 8 <= V; v += 8)
        for (size_t j = 0; j < 8; j++)
            sum[j] += prob[v + j] * ((double)a[v + j] - (double)b[v + j]);
    for (; v < V; v++)
        sum[0] += prob[v] * ((double)a[v] - (double)b[v]);
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) +
           ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

/* The tokens that follow the positions of a block. */
static const int32_t *next_tokens(const mls_pass *p, const mls_logits_view *view)
{
    return p->corpus->ids + p->corpus->start[view->sequence] + view->first + 1;
}

/* The bin of a position: how often the number of tokens so far can be halved. */
static size_t bin_of(const scoring *w, const mls_logits_view *view, size_t j)
{
    size_t n = view->first + j + 1 - w->p->corpus->lead, bin = 0;

    while (n >>= 1)
        bin++;
    return bin < MLS_POSITION_BINS ? bin : MLS_POSITION_BINS - 1;
}

static mls_status see_original(const scoring *w, const mls_logits_view *view,
                               mls_err *err)
{
    const size_t V = w->p->config->V;
    const int32_t *next = next_tokens(w->p, view);
    distributions *d = &w->original[view->worker];

    for (size_t j = 0; j < view->n; j++) {
        const float *row = view->logits + j * V;

        d->lse[j] = mls_logsumexp(row, V);
        d->top[j] = argmax(row, V);
        mls_exp(d->prob + j * V, row, d->lse[j], V);
        const double nll = d->lse[j] - (double)row[next[j]];
        const size_t bin = view->sequence * MLS_POSITION_BINS + bin_of(w, view, j);

        w->s->nll[view->sequence] += nll;
        w->s->hit[view->sequence] += d->top[j] == (size_t)next[j];
        w->s->bin_nll[bin] += nll;
        w->s->bin_n[bin]++;
        if (!isfinite(d->lse[j]))
            return mls_fail(err, MLS_E_NUMERIC,
                            "the original's logits are not finite in sequence %zu at "
                            "token %zu",
                            view->sequence, view->first + j);
    }
    return MLS_OK;
}

static mls_status see(void *arg, const mls_logits_view *view, mls_err *err)
{
    const scoring *w = arg;
    mls_scores *s = w->s;
    const size_t V = w->p->config->V, i = w->row[view->variant], n = view->sequence;
    const size_t at = i * s->N + n;
    const int32_t *next = next_tokens(w->p, view);
    const distributions *d = &w->original[view->worker];
    float *kl_at = s->kl_at + i * s->row[s->N] + s->row[n] + view->first - s->from[n];

    if (i == 0)
        return see_original(w, view, err);
    for (size_t j = 0; j < view->n; j++) {
        const float *row = view->logits + j * V;
        const double lse = mls_logsumexp(row, V);
        const double kl =
            weighted_difference(d->prob + j * V, view->reference + j * V, row, V) -
            d->lse[j] + lse;

        kl_at[j] = (float)kl;
        s->kl[at] += kl;
        const double nll = lse - (double)row[next[j]];
        const size_t bin = at * MLS_POSITION_BINS + bin_of(w, view, j);

        s->bin_kl[bin] += kl;
        s->bin_nll[bin] += nll;
        s->nll[at] += nll;

        const size_t top = argmax(row, V);

        s->top1[at] += top == d->top[j];
        s->hit[at] += top == (size_t)next[j];
    }
    return MLS_OK;
}

/* A variant with a distance that is no number is refused, or ends the pass. */
static mls_status refuse_infinite(const mls_scores *s, const mls_pass *p, mls_err *err)
{
    for (size_t i = 1; i <= s->n; i++) {
        const float *kl_at = s->kl_at + i * s->row[s->N];
        mls_quality *q = &p->quality[i - 1];
        mls_err why = {0};
        size_t n = 0, at = 0;

        while (n < s->N && (q->refused || isfinite(s->kl[i * s->N + n])))
            n++;
        if (n == s->N)
            continue;
        while (at + 1 < s->to[n] - s->from[n] && isfinite(kl_at[s->row[n] + at]))
            at++;
        mls_fail(&why, MLS_E_NUMERIC,
                 "%s: logits are not finite in sequence %zu at token %zu",
                 p->variant[i - 1].scheme->name, n, s->from[n] + at);
        if (!p->options->keep_going)
            return mls_fail(err, MLS_E_NUMERIC, "%s", why.text);
        if (mls_quality_refuse(q, why.text))
            return mls_fail(err, MLS_E_NOMEM, "no memory for what was refused");
    }
    return MLS_OK;
}

/* From sums to means. */
static void divide(mls_scores *s)
{
    for (size_t i = 0; i <= s->n; i++)
        for (size_t n = 0; n < s->N; n++) {
            const double scored = (double)(s->row[n + 1] - s->row[n]);

            s->nll[i * s->N + n] /= scored;
            s->kl[i * s->N + n] /= scored;
            s->top1[i * s->N + n] /= scored;
            s->hit[i * s->N + n] /= scored;
        }
}

/*
 * What the head runs over: the original and what was not refused; the model's own head
 * serves all that have none.
 */
typedef struct {
    size_t n;
    const mls_states **s; /* (n) */
    mls_head *head;       /* (n) */
    size_t *row;          /* (n) of the scores */
} heads;

static void heads_free(heads *h)
{
    for (size_t i = h->n; h->head && i-- > 0;)
        if (i == 0 || h->head[i].w != h->head[0].w)
            mls_head_free(&h->head[i]);
    mls_free_all(h->head, h->s, h->row);
}

static mls_status heads_read(heads *h, const mls_pass *p, mls_err *err)
{
    mls_status st;

    *h = (heads){1, mls_calloc3(p->n + 1, 1, 1, sizeof *h->s),
                 mls_calloc3(p->n + 1, 1, 1, sizeof *h->head),
                 mls_calloc3(p->n + 1, 1, 1, sizeof *h->row)};
    if (!h->s || !h->head || !h->row)
        return mls_fail(err, MLS_E_NOMEM, "no memory to evaluate %zu settings", p->n);
    st = mls_model_head(p->in->model, &h->head[0], err);
    h->s[0] = &p->original;
    for (size_t i = 1; !st && i <= p->n; i++) {
        const mls_run *run = &p->run[i - 1];
        const mls_model *body = NULL;

        if (p->quality[i - 1].refused)
            continue;
        if (p->variant[i - 1].only_layer < 0)
            body = mls_scheme_body(p->run[run->scheme_of].ready, SIZE_MAX);
        h->s[h->n] = &run->states;
        h->row[h->n] = i;
        h->head[h->n++] = h->head[0];
        if (body)
            st = mls_model_head(body, &h->head[h->n - 1], err);
    }
    return st;
}

/* The more rows pass at once, the less often the head's weights are read. */
static size_t rows_of_block(size_t V)
{
    const size_t rows = PROB_BYTES / (V * sizeof(double));

    return rows < ROWS_MIN ? ROWS_MIN : rows > ROWS_MAX ? ROWS_MAX : rows;
}

mls_status mls_score(mls_scores *s, const mls_pass *p, mls_err *err)
{
    const size_t workers = mls_pool_threads(p->in->pool), V = p->config->V;
    const size_t rows = rows_of_block(V);
    scoring w = {s, p, mls_calloc3(workers, 1, 1, sizeof *w.original), NULL};
    heads h = {0};
    mls_status st = w.original ? heads_read(&h, p, err)
                               : mls_fail(err, MLS_E_NOMEM, "no memory for logits");

    for (size_t i = 0; !st && i < workers; i++) {
        w.original[i].prob = mls_calloc3(rows, V, 1, sizeof(double));
        if (!w.original[i].prob)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for logits of %zu tokens", V);
    }
    if (!st) {
        const mls_head_variants v = {.config = p->config,
                                     .n = h.n,
                                     .s = h.s,
                                     .head = h.head,
                                     .from = s->from,
                                     .to = s->to,
                                     .rows = rows};

        w.row = h.row;
        st = mls_head_forward_variants(&v, see, &w, p->in->pool, err);
    }
    if (!st)
        st = refuse_infinite(s, p, err);
    divide(s);
    for (size_t i = 0; w.original && i < workers; i++)
        free(w.original[i].prob);
    free(w.original);
    heads_free(&h);
    return st;
}
