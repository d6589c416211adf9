/*
 * A block of rows sees the output head in parts of PART ids: the logits of both are
 * 1 MB and stay in the cache until their exponentials are summed, where those of a
 * whole vocabulary would go to memory and come back. Of each part a row keeps one
 * number, the logarithm of its sum; that of all parts' is the row's. Rows of a block
 * and ids of a part depend on the sequence and the model alone, hence the bits do.
 */
#include <math.h>
#include <stdlib.h>

#include "analysis/model/block.h"
#include "analysis/model/forward.h"
#include "analysis/numeric/kernels.h"
#include "common/base/checked.h"

enum { ROWS = 256, PART = 1024 };

typedef struct {
    const mls_config *config;
    const mls_states *s;
    const int32_t *ids;
    size_t lead, n_parts;
    double *nll;
    mls_sequence_done done;
    void *arg;
    mls_head head;
    float *x;      /* (workers, ROWS, E) */
    float *logits; /* (workers, ROWS, PART) */
    double *sums;  /* (workers, ROWS, n_parts) */
} head_pass;

/* log of the sum of exp of n numbers. */
static double log_sum(const double *x, size_t n)
{
    double most = x[0], sum = 0;

    for (size_t i = 1; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (size_t i = 0; i < n; i++)
        sum += exp(x[i] - most);
    return most + log(sum);
}

/* Sum of the negative log-likelihoods of target (n), seen from states h (n, E). */
static double nll_of_rows(const head_pass *p, const float *h, const int32_t *target,
                          size_t n, size_t worker)
{
    const size_t E = p->config->E, V = p->config->V;
    float *x = p->x + worker * ROWS * E, *logits = p->logits + worker * ROWS * PART;
    double *sums = p->sums + worker * ROWS * p->n_parts, nll = 0;

    mls_block_norm(p->config, x, h, p->head.norm, p->head.norm_bias, n);
    for (size_t part = 0; part < p->n_parts; part++) {
        const size_t first = part * PART, count = V - first < PART ? V - first : PART;

        mls_head_part(p->config, &p->head, logits, x, n, first, count);
        for (size_t i = 0; i < n; i++) {
            const size_t id = (size_t)target[i];

            sums[i * p->n_parts + part] = mls_logsumexp(logits + i * count, count);
            if (id >= first && id < first + count)
                nll -= (double)logits[i * count + id - first];
        }
    }
    for (size_t i = 0; i < n; i++)
        nll += log_sum(sums + i * p->n_parts, p->n_parts);
    return nll;
}

static mls_status do_sequence(void *arg, size_t job, size_t worker, mls_err *err)
{
    const head_pass *p = arg;
    const mls_states *s = p->s;
    const size_t start = s->start[job] + p->lead, end = s->start[job + 1];
    const size_t n = end > start ? end - start - 1 : 0; /* that predict another */
    const size_t n_blocks = (n + ROWS - 1) / ROWS;
    double sum = 0;

    for (size_t b = 0; b < n_blocks; b++) {
        const size_t from = start + n * b / n_blocks;
        const size_t to = start + n * (b + 1) / n_blocks;

        sum += nll_of_rows(p, s->h + from * s->E, p->ids + from + 1, to - from, worker);
    }
    p->nll[job] = n ? sum / (double)n : 0;
    mls_spill_leave(&s->room, s->h + s->start[job] * s->E,
                    (end - s->start[job]) * s->E * sizeof *s->h);
    return p->done ? p->done(p->arg, worker, err) : MLS_OK;
}

mls_status mls_head_nll(const mls_model *m, const mls_states *s, const int32_t *ids,
                        size_t lead, double *nll, mls_sequence_done done, void *arg,
                        mls_pool *pool, mls_err *err)
{
    const mls_config *c = mls_model_config(m);
    const size_t threads = mls_pool_threads(pool);
    head_pass p = {.config = c,
                   .s = s,
                   .ids = ids,
                   .lead = lead,
                   .n_parts = (c->V + PART - 1) / PART,
                   .nll = nll,
                   .done = done,
                   .arg = arg};
    mls_status st = mls_model_head(m, &p.head, err);

    if (st)
        return st;
    p.x = mls_calloc3(threads, ROWS, c->E, sizeof *p.x);
    p.logits = mls_calloc3(threads, ROWS, PART, sizeof *p.logits);
    p.sums = mls_calloc3(threads, ROWS, p.n_parts, sizeof *p.sums);
    st = p.x && p.logits && p.sums
             ? mls_pool_run(pool, s->N, do_sequence, &p, err)
             : mls_fail(err, MLS_E_NOMEM, "no memory for %d rows of logits", ROWS);
    mls_free_all(p.sums, p.logits, p.x);
    mls_head_free(&p.head);
    return st;
}
