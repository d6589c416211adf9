/*
 * Methods that differ in the matrix G, in groups of heads and in ranks alone: care,
 * svdllm, lorc, palu and asvd. Ranks of one side are spread over its groups by size;
 * each group keeps the leading eigenvectors of its G (lowrank.h).
 */
#include "bench/frame/fit.h"
#include "bench/frame/lowrank.h"

static size_t heads_of(const mls_projection *p, const mls_config *config)
{
    return p->heads ? mls_least(p->heads, config->G) : config->G;
}

size_t mls_projection_groups(const mls_projection *p, const mls_config *config)
{
    const size_t heads = heads_of(p, config);

    return (config->G + heads - 1) / heads;
}

static mls_rows group_rows(const mls_projection *p, const mls_config *config,
                           mls_side side, size_t group)
{
    const size_t heads = heads_of(p, config);
    const size_t first = group * heads, left = config->G - first;

    return (mls_rows){side, first, mls_least(heads, left)};
}

static size_t most_of_group(const mls_projection *p, const mls_config *config,
                            size_t group)
{
    const mls_rows rows = group_rows(p, config, MLS_KEYS, group);

    return mls_least(rows.heads * config->D, config->E);
}

size_t mls_projection_most(const mls_projection *p, const mls_config *config)
{
    size_t sum = 0;

    for (size_t j = 0; j < mls_projection_groups(p, config); j++)
        sum += most_of_group(p, config, j);
    return sum;
}

size_t mls_projection_limit(const mls_config *config, const void *params)
{
    return mls_projection_most(params, config);
}

size_t mls_projection_half(const mls_config *config, const void *params)
{
    return mls_least(config->G * config->D / 2, mls_projection_most(params, config));
}

mls_status mls_projection_settle(const mls_projection *p, const mls_config *config,
                                 const char *method, mls_err *err)
{
    const size_t least = mls_projection_groups(p, config);

    for (size_t i = 0; i < MLS_SIDES; i++)
        if (p->rank[i] < least)
            return mls_fail(err, MLS_E_INPUT,
                            "%s: %zu numbers cannot serve %zu groups of heads; the "
                            "nearest possible rank is %zu",
                            method, p->rank[i], least, least);
    return MLS_OK;
}

/* Spread one side's rank evenly over its groups, by size: out (groups). */
static void spread(size_t *out, const mls_projection *p, const mls_config *config,
                   size_t rank)
{
    const size_t n = mls_projection_groups(p, config);
    const size_t most = mls_projection_most(p, config);
    size_t before = 0, given = 0;

    for (size_t j = 0; j < n; j++) {
        before += most_of_group(p, config, j);
        const size_t until = rank * before / most;

        out[j] = until - given;
        given = until;
    }
}

mls_status mls_projection_sized(const mls_config *config, const mls_parsed *parsed,
                                mls_err *err)
{
    const mls_projection *p = parsed->params;

    (void)config;
    return p->by_data ? mls_needs_weights(parsed, "the rank of a layer", err) : MLS_OK;
}

mls_status mls_projection_shape(mls_latent_form *f, const mls_config *config,
                                const mls_parsed *parsed, const void *prepared,
                                size_t l, mls_err *err)
{
    const mls_projection *p = parsed->params;
    const size_t n = mls_projection_groups(p, config);
    const size_t *rank = mls_layer_ranks_at(prepared, l, p->rank);
    size_t share[MLS_HEADS_MAX];
    mls_status st = mls_lowrank_shape(f, config, l, MLS_SIDES * n, err);

    for (size_t side = 0; !st && side < MLS_SIDES; side++) {
        spread(share, p, config, rank[side]);
        for (size_t j = 0; j < n; j++) {
            const mls_rows rows =
                group_rows(p, config, side == MLS_KEYS ? MLS_KEYS : MLS_VALUES, j);

            mls_lowrank_place(f, config, side * n + j, &rows, share[j], false);
        }
    }
    return st;
}

mls_status mls_projection_build(const mls_method_input *in, const mls_parsed *parsed,
                                const void *prepared, const mls_layer *layer,
                                const mls_layer_stats *stats, mls_latent_form *f,
                                mls_err *err)
{
    const mls_projection *p = parsed->params;
    const size_t n = mls_projection_groups(p, in->config);
    mls_status st = MLS_OK;

    (void)prepared; /* its ranks are in the shape */
    if (p->metric.kind != MLS_METRIC_WEIGHTS)
        st = mls_needs_capture(parsed->method->name, stats, err);
    if (!st)
        st = mls_lowrank_start(f, in->config, layer, err);
    for (size_t i = 0; !st && i < MLS_SIDES * n; i++) {
        const mls_rows rows =
            group_rows(p, in->config, i < n ? MLS_KEYS : MLS_VALUES, i % n);

        st = mls_lowrank_pca(f, &p->metric, (mls_basis)p->basis, i, &rows, in->config,
                             layer, stats, err);
    }
    return st;
}

void mls_projection_fit(const mls_config *config, size_t elements, mls_fits *out)
{
    (void)config;
    if (elements >= 2)
        mls_fits_add(out, "rank=%zu", elements / 2);
}
