/*
 * Training all layers together keeps, however large --ram is, in numbers of 4 bytes:
 *
 *   7 P             forms, best point, gradient, Adam's three, the numbers themselves
 *   L E^2           coordinates in which inputs are white
 *   (L + 2) b T E   states before each layer, of a batch of b windows
 *   s P / L         gradients side by side, s of them
 *   workers (H T^2 + 10 T E + scratch)
 *   V E             the head; with --compute bf16 as much again
 *   weights         of the whole model, or of one layer where memory is bounded
 *
 * P numbers of all attention blocks. Hidden states of the text are not in it: those go
 * to disk where memory is bounded.
 */
#include "analysis/distil/divergence.h"
#include "analysis/model/model.h"
#include "bench/heal/heal_inner.h"
#include "common/system/room.h"

enum { SUMS_MOST = 8, GIB = 1 << 30 };

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static double numbers(const mls_heal_job *job)
{
    const mls_config *c = job->in->config;
    const double L = (double)c->L, E = (double)c->E, F = (double)c->F,
                 T = (double)job->corpus->start[1];
    const double P = (double)mls_scheme_parameters(job->scheme, c);
    const double workers = (double)mls_pool_threads(job->in->pool),
                 batch = (double)job->distil_batch;
    const mls_logits head = {.E = c->E, .V = c->V};
    const double scratch =
        larger((double)mls_divergence_scratch(&head), T * (6 * E + 3 * F));
    const double own =
        (double)mls_checkpoint_parameters(mls_model_checkpoint(job->in->model));
    const double share = mls_model_ram(job->in->model) ? 1 / L : 1;
    const bool rounded = mls_model_compute(job->in->model) == MLS_COMPUTE_BF16;

    return 7 * P + L * E * E + (L + 2) * batch * T * E +
           (batch < SUMS_MOST ? batch : SUMS_MOST) * P / L +
           workers * ((double)c->H * T * T + 10 * T * E + scratch) +
           ((double)c->V * E + share * own) * (rounded ? 2 : 1);
}

mls_status mls_healing_fits(const mls_heal_job *job, mls_err *err)
{
    const double bytes = job->distil ? sizeof(float) * numbers(job) : 0;
    const double ram = (double)mls_model_ram(job->in->model),
                 free = (double)mls_memory_free();

    if (ram > 0 && bytes > ram)
        return mls_fail(err, MLS_E_INPUT,
                        "training all layers together takes about %.2f GiB, more than "
                        "--ram %.2f: a smaller --distil-batch or fewer threads take "
                        "less; without --distil layers are healed one at a time",
                        bytes / GIB, ram / GIB);
    if (ram == 0 && free > 0 && bytes > free)
        mls_progress_note(job->progress,
                          "training all layers together takes about %.1f GiB, and "
                          "%.1f GiB are free: --ram bounds it",
                          bytes / GIB, free / GIB);
    return MLS_OK;
}
