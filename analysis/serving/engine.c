/*
 * What an engine allocates is not what a form holds. A row of a latent is
 *
 *   latent * bits / 8 + scales * ceil(latent / group) + rope * bits / 8 + extra
 *
 * (512 + 64 in BF16: 1,152; FP8 with one scale: 576; FP8 with four fp32 scales and a
 * BF16 rope key: 656; with a sparse indexer's 128 FP8 and fp32 scale 132 more), and all
 * tensor-parallel GPUs hold the same row, where keys and values of heads are divided.
 * So a cache that keeps 28 % of a model with GQA can take 225 % on each of 8 GPUs.
 * Decode context parallelism gives each GPU a part of the tokens, DP attention a part
 * of the sequences. Pages are rounded up, and most engines reserve whole contexts for
 * layers with a window, where one page table serves all.
 */
#include "analysis/serving/engine.h"

#include <math.h>

static double up(double x, double to)
{
    return ceil(x / to) * to;
}

/* A latent and its rope key, or the model's own cache of one: a row for all heads. */
static bool is_row(const mls_cache_layer *layer)
{
    bool latent = false, other = false;

    for (size_t i = 0; i < layer->n_parts; i++) {
        const mls_cache_part *p = &layer->part[i];

        latent |= p->kind == MLS_PART_LATENT && p->count == 1;
        other |= p->kind != MLS_PART_LATENT && p->kind != MLS_PART_ROPE_KEY;
        other |= p->count != 1;
    }
    return latent && !other;
}

static double row_bytes(const mls_engine *e, const mls_cache_layer *layer,
                        const mls_layer_shape *own)
{
    double bytes = e->extra_bytes;

    for (size_t i = 0; i < layer->n_parts; i++) {
        const double n = (double)layer->part[i].n;

        if (layer->part[i].kind == MLS_PART_LATENT)
            bytes += n * e->latent_bits / 8 + e->scale_bytes * ceil(n / e->scale_group);
        else
            bytes += n * e->rope_bits / 8;
    }
    if (own->index.n) /* FP8 keys of a sparse indexer, an fp32 scale for each 128 */
        bytes += (double)own->index.n + 4 * ceil((double)own->index.n / 128);
    return bytes;
}

double mls_engine_token(const mls_engine *e, const mls_cache_layer *layer,
                        const mls_layer_shape *own, const mls_engine_use *use)
{
    double bytes = 0;

    if (layer->shares_other)
        return 0;
    if (is_row(layer))
        return row_bytes(e, layer, own);
    for (size_t i = 0; i < layer->n_parts; i++) {
        const mls_cache_part *p = &layer->part[i];
        const double gpus = use->dp_attention ? 1 : (double)use->tensor_parallel;

        if ((p->kind != MLS_PART_KEY && p->kind != MLS_PART_VALUE) || p->quant.format)
            return NAN;
        bytes += ceil((double)p->count / gpus) * (double)p->n * e->head_bits / 8;
    }
    return bytes;
}

double mls_engine_tokens(const mls_engine *e, const mls_cache_layout *layout,
                         const mls_config *config, const mls_engine_use *use)
{
    double sum = 0;

    for (size_t l = 0; l < layout->L; l++)
        sum += mls_engine_token(e, &layout->layer[l], &config->layer[l], use) /
               (is_row(&layout->layer[l]) ? (double)use->context_parallel : 1);
    return sum;
}

double mls_engine_cache(const mls_engine *e, const mls_cache_layout *layout,
                        const mls_config *config, const mls_engine_use *use)
{
    const double sequences =
        use->dp_attention ? ceil((double)use->batch / (double)use->tensor_parallel)
                          : (double)use->batch;
    double sum = 0;

    for (size_t l = 0; l < layout->L; l++) {
        const mls_cache_layer *layer = &layout->layer[l];
        const double token = mls_engine_token(e, layer, &config->layer[l], use);
        double T = (double)use->tokens;

        if (!e->windows_full && layer->window)
            T = fmin(T, (double)layer->window);
        if (is_row(layer))
            T = ceil(T / (double)use->context_parallel);
        sum += sequences * ceil(T / e->page) * up(token * e->page, e->page_align);
    }
    return sum;
}

double mls_engine_usable(const mls_engine *e, double memory, double weights)
{
    return e->reserve_of_free ? weights + e->reserve * (memory - weights)
                              : e->reserve * memory;
}
