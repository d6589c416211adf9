/*
 * LoRC (arXiv 2410.03111): truncated SVD of W_K and W_V themselves, without data; ranks
 * fall from the first layer to the last. No code was published and the paper's
 * equations could not be read, so the rule for ranks has "unverified" in its name.
 */
#include <math.h>

#include "bench/frame/common_keys.h"
#include "bench/frame/fit.h"
#include "bench/frame/lowrank.h"
#include "bench/frame/method.h"

static const char *const rule_words[] = {"uniform", "cond-unverified", NULL};

/*
 * Singular values below this share of the largest count as this in a condition number.
 */
static const double sigma_floor = 1e-6;

typedef struct params {
    mls_projection projection;
    size_t least, most; /* d_min, d_max of the rule */
} params;

/* ln kappa of W from the eigenvalues of W W^T (n), largest first. */
static double log_condition(const double *values, size_t n)
{
    const double top = values[0], end = values[n - 1];

    return top > 0 ? 0.5 * log(top / fmax(end, top * sigma_floor * sigma_floor)) : 0.0;
}

/*
 * ln of the product of kappa(W_K) kappa(W_V) over this layer and all after it, as a
 * share of its range over layers: 1 at the first layer that is converted, 0 at the
 * last.
 */
static mls_status ranks_by_condition(mls_layer_ranks *prepared,
                                     const mls_spectra *spectra,
                                     const mls_method_input *in, const void *arg,
                                     mls_err *err)
{
    const params *p = arg;
    const size_t L = spectra->L, m = spectra->m;
    const size_t rows = mls_projection_most(&p->projection, in->config);
    double product[MLS_LAYERS_MAX], sum = 0.0, least = INFINITY, most = -INFINITY;

    (void)err;
    for (size_t l = L; l-- > 0;) {
        if (!spectra->converted[l])
            continue;
        for (size_t i = 0; i < MLS_SIDES; i++)
            sum += log_condition(spectra->values + (l * MLS_SIDES + i) * m, rows);
        product[l] = sum;
        least = fmin(least, sum);
        most = fmax(most, sum);
    }
    for (size_t l = 0; l < L; l++) {
        if (!spectra->converted[l])
            continue;
        const double range = most - least;
        const double gone = range > 0 ? (most - product[l]) / range : 0.0;
        const double floor_share = (double)p->least / (double)p->most;
        const double rank = (double)p->most * (1.0 - gone * (1.0 - floor_share));

        for (size_t i = 0; i < MLS_SIDES; i++)
            prepared->rank[l * MLS_SIDES + i] = (size_t)lround(rank);
    }
    return MLS_OK;
}

static mls_status prepare(const mls_method_input *in, const mls_parsed *parsed,
                          void **prepared, mls_err *err)
{
    const params *p = parsed->params;

    return p->projection.by_data
               ? mls_layer_ranks_make(prepared, parsed, in, ranks_by_condition, p, err)
               : MLS_OK;
}

MLS_KEY_REFUSED(no_rank, params, p->projection.by_data,
                "rule=cond-unverified takes dmin and dmax, not a rank")
MLS_KEY_REFUSED(no_range, params, !p->projection.by_data,
                "dmin and dmax belong to rule=cond-unverified")
MLS_KEY_FROM(full, void, mls_projection_limit(c, p))
MLS_KEY_FROM(half_of_most, params, (p->most + 1) / 2)
MLS_KEY_FROM(most_of, params, p->most)

static const mls_key keys[] = {
    {"rule", MLS_KEY_WORD, offsetof(params, projection.by_data), .words = rule_words,
     .help = "ranks fall from dmax to dmin over the layers", .open = "cond-unverified"},
    MLS_PROJECTION_KEYS(no_rank),
    MLS_BASIS_KEY(mls_unit_first),
    {"dmax", MLS_KEY_SIZE, offsetof(params, most), .hint = "N",
     .help = "rank of the first layer", .least = 1, .most = MLS_WIDTH_MAX,
     .otherwise = full, .said = "min(G D, E)", .bound = "min(G D, E)", .limit = full,
     .what = "the rank of keys and values", .refuse = no_range},
    {"dmin", MLS_KEY_SIZE, offsetof(params, least), .hint = "N",
     .help = "rank of the last layer", .least = 1, .most = MLS_WIDTH_MAX,
     .otherwise = half_of_most, .said = "dmax/2", .bound = "dmax", .limit = most_of,
     .what = "which is dmax", .refuse = no_range},
    MLS_KEYS_END};

static mls_status settle(const mls_parsed *parsed, const mls_config *c, mls_err *err)
{
    params *p = parsed->params;
    const char *method = parsed->method->name;

    return p->projection.by_data
               ? MLS_OK
               : mls_projection_settle(&p->projection, c, method, err);
}

/* The largest d_max, with half of it as d_min, whose ranks fit a total. */
typedef struct target {
    params p;
    size_t total; /* of both sides of all layers; d_max comes out in p.most */
} target;

static mls_status find_most(mls_layer_ranks *prepared, const mls_spectra *spectra,
                            const mls_method_input *in, const void *arg, mls_err *err)
{
    target *const *t = arg;
    params *p = &(*t)->p;
    mls_status st = MLS_OK;

    for (; !st && p->most > 0; p->most--) {
        size_t sum = 0;

        p->least = (p->most + 1) / 2;
        st = ranks_by_condition(prepared, spectra, in, p, err);
        for (size_t i = 0; i < spectra->L * MLS_SIDES; i++)
            sum += prepared->rank[i];
        if (sum <= (*t)->total)
            break;
    }
    return st;
}

static mls_status fit_data(const mls_method_input *in, size_t elements, mls_fits *out,
                           mls_err *err)
{
    target t = {.total = elements * mls_common_convertible(in->config)}, *const wanted =
                                                                             &t;
    mls_setting s;
    mls_parsed p = {0};
    void *prepared = NULL;
    mls_status st = mls_setting_parse(&s, "lorc rule=cond-unverified", err);

    if (!st)
        st = mls_method_parse(&p, in->config, &s, err);
    if (!st) {
        t.p = *(const params *)p.params;
        st = mls_layer_ranks_make(&prepared, &p, in, find_most, &wanted, err);
    }
    if (!st && t.p.most > 0)
        mls_fits_add(out, "rule=cond-unverified dmax=%zu", t.p.most);
    mls_layer_ranks_free(prepared);
    mls_parsed_free(&p);
    return st;
}

const mls_method mls_method_lorc = {
    .name = "lorc",
    .title = "LoRC",
    .source = "arXiv 2410.03111 (no code was published)",
    .keys = keys,
    .exact = true,
    .params_size = sizeof(params),
    .settle = settle,
    MLS_PROJECTION_METHOD,
    .fit = mls_projection_fit,
    .fit_data = fit_data,
    .prepare = prepare,
};
