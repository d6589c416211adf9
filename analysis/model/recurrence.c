/*
 * Which computation of analysis/recurrent a layer without keys and values is, with its
 * weights as they were read.
 */
#include "analysis/model/recurrence.h"

#include "analysis/recurrent/gated_delta.h"
#include "analysis/recurrent/mamba2.h"
#include "analysis/recurrent/short_conv.h"

static mls_gated_delta delta_of(const mls_config *c, const mls_layer *w)
{
    const mls_recurrent *r = &c->net.recurrent;

    return (mls_gated_delta){
        .E = c->E,
        .groups = r->groups,
        .heads = r->heads,
        .K = r->K,
        .V = r->V,
        .taps = r->taps,
        .eps = c->rms_eps,
        .in = w->rec_in,
        .z = w->rec_z,
        .b = w->rec_b,
        .a = w->rec_a,
        .conv = w->rec_conv,
        .dt_bias = w->rec_dt_bias,
        .a_log = w->rec_a_log,
        .norm = w->rec_norm,
        .out = w->rec_out,
    };
}

static mls_mamba2 mamba2_of(const mls_config *c, const mls_layer *w)
{
    const mls_recurrent *r = &c->net.recurrent;

    return (mls_mamba2){
        .E = c->E,
        .heads = r->heads,
        .P = r->V,
        .groups = r->groups,
        .N = r->K,
        .taps = r->taps,
        .norm_groups = r->groups,
        .norm_first = r->norm_first,
        .eps = c->rms_eps,
        .dt_min = r->dt_min,
        .dt_max = r->dt_max,
        .in = w->rec_in,
        .in_bias = w->rec_in_bias,
        .conv = w->rec_conv,
        .conv_bias = w->rec_conv_bias,
        .dt_bias = w->rec_dt_bias,
        .a_log = w->rec_a_log,
        .d = w->rec_d,
        .norm = w->rec_norm,
        .out = w->rec_out,
        .out_bias = w->rec_out_bias,
    };
}

static mls_short_conv conv_of(const mls_config *c, const mls_layer *w)
{
    return (mls_short_conv){
        .E = c->E,
        .taps = c->net.recurrent.taps,
        .in = w->rec_in,
        .in_bias = w->rec_in_bias,
        .conv = w->rec_conv,
        .conv_bias = w->rec_conv_bias,
        .out = w->rec_out,
        .out_bias = w->rec_out_bias,
    };
}

/* Floats of scratch for T tokens. */
static size_t scratch_for(const mls_config *c, size_t T)
{
    const mls_layer none = {0};
    const mls_gated_delta delta = delta_of(c, &none);
    const mls_mamba2 mamba2 = mamba2_of(c, &none);
    const mls_short_conv conv = conv_of(c, &none);

    switch (c->net.recurrent.kind) {
    case MLS_REC_DELTA:
        return mls_gated_delta_scratch(&delta, T);
    case MLS_REC_MAMBA2:
        return mls_mamba2_scratch(&mamba2, T);
    case MLS_REC_CONV:
        return T * mls_short_conv_scratch(&conv);
    case MLS_REC_NONE:
        break;
    }
    return 0;
}

size_t mls_recurrence_state(const mls_config *config)
{
    return scratch_for(config, 0);
}

size_t mls_recurrence_scratch(const mls_config *config)
{
    return scratch_for(config, 1) - scratch_for(config, 0);
}

void mls_recurrence_run(const mls_config *config, const mls_layer *layer,
                        const float *x, size_t T, float *out, float *scratch)
{
    const mls_gated_delta delta = delta_of(config, layer);
    const mls_mamba2 mamba2 = mamba2_of(config, layer);
    const mls_short_conv conv = conv_of(config, layer);

    switch (config->net.recurrent.kind) {
    case MLS_REC_DELTA:
        mls_gated_delta_run(&delta, x, T, out, scratch);
        break;
    case MLS_REC_MAMBA2:
        mls_mamba2_run(&mamba2, x, T, out, scratch);
        break;
    case MLS_REC_CONV:
        mls_short_conv_run(&conv, x, T, out, scratch);
        break;
    case MLS_REC_NONE:
        break;
    }
}
