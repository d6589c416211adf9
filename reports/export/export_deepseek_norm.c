/* Norms of the latents, for code that always normalizes them. */
#include <math.h>
#include <stdlib.h>

#include "common/base/checked.h"
#include "reports/export/export_deepseek.h"

/* Largest share of eps that the mean square of a latent may reach. */
static const double SMALL = 1e-6;

/*
 * What the mean square of c = Down x + b never exceeds: x = g * u with |u|^2 <= E,
 * because RMSNorm made u, so |c_i| <= sqrt(E) |Down_i * g| + |b_i|.
 */
static double largest_mean_square(const float *down, const float *bias, const float *g,
                                  size_t r, size_t E)
{
    double sum = 0;

    for (size_t i = 0; i < r; i++) {
        double row = 0;

        for (size_t e = 0; e < E; e++) {
            const double x = (double)down[i * E + e] * (double)g[e];

            row += x * x;
        }
        const double c = sqrt((double)E * row) + (bias ? fabs((double)bias[i]) : 0);

        sum += c * c;
    }
    return sum / (double)r;
}

/*
 * RMSNorm(s c) = w s c / sqrt(s^2 |c|^2 / r + eps) = c (1 - SMALL / 2 at most) with
 * s = sqrt(eps) / w and w so large that the first term is SMALL eps at most. w is a
 * power of two, which every number format holds.
 */
static mls_deepseek_norm linear_norm(double mean_square, double eps)
{
    const double w = exp2(ceil(log2(sqrt(mean_square / SMALL))));

    return (mls_deepseek_norm){.scale = sqrt(eps) / w, .weight = w, .used = true};
}

/* The constant that gives the latent of the calibration text its own size back. */
static mls_status fitted_norm(mls_deepseek_norm *n, const mls_layer_stats *stats,
                              const float *down, const float *bias, size_t r,
                              double eps, mls_err *err)
{
    double *second = mls_calloc3(r, r, 1, sizeof *second), trace = 0;
    mls_status st =
        second ? mls_second_of_outputs(second, stats, down, bias, r, err)
               : mls_fail(err, MLS_E_NOMEM, "no memory for %zu x %zu moments", r, r);

    for (size_t i = 0; !st && i < r; i++)
        trace += second[i * r + i];
    free(second);
    *n = (mls_deepseek_norm){
        .scale = 1, .weight = sqrt(trace / (double)r + eps), .used = true};
    return st;
}

mls_status mls_deepseek_norms(mls_deepseek_norms_of *out, const mls_export *job,
                              const mls_latent_form *f, const float *gain, mls_err *err)
{
    const mls_latent_vector *v = &f->latent[0];
    const double eps = MLS_DEEPSEEK_EPS;
    mls_layer_stats stats = {0};
    mls_status st = MLS_OK;

    *out = (mls_deepseek_norms_of){.kv = {.scale = 1}, .q = {.scale = 1}};
    if (job->norm == MLS_NORM_NONE)
        return MLS_OK;
    if (job->norm == MLS_NORM_LINEAR) {
        out->kv = linear_norm(
            largest_mean_square(v->down.w, v->down.b, gain, v->r, f->E), eps);
        if (f->q_rank)
            out->q = linear_norm(
                largest_mean_square(f->q_down.w, f->q_down.b, gain, f->q_rank, f->E),
                eps);
        return MLS_OK;
    }
    if (!job->in->capture)
        return mls_fail(err, MLS_E_INPUT,
                        "deepseek: --norm fitted takes the size of the latents from "
                        "data; it needs --capture RUN.h5, written by mlascope capture");
    st = mls_capture_stats(job->in->capture, f->layer, &stats, err);
    if (!st)
        st = fitted_norm(&out->kv, &stats, v->down.w, v->down.b, v->r, eps, err);
    if (!st && f->q_rank)
        st =
            fitted_norm(&out->q, &stats, f->q_down.w, f->q_down.b, f->q_rank, eps, err);
    mls_layer_stats_free(&stats);
    return st;
}
