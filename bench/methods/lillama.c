/*
 * Lillama (arXiv 2412.16719): W ~ (U sqrt(S)) (sqrt(S) V^T), which it then distils
 * layer by layer; a proxy here. The factor in the middle changes no product, only what
 * is cached and quantized, so the latent is sqrt(S) V^T x. init=features takes the
 * optimum of the plain distance between the layer's features instead, PCA of the
 * outputs.
 *
 * Its rule picks layers: from the third on (skip=2), rule=bottom goes upwards from the
 * first of them and lowers each to ranks in steps of `step` before it touches the next,
 * until the parameters of W_K and W_V are down by `reduction`; rule=top comes from the
 * last layer; rule=uniform gives all the same rank, the break-even rank less the
 * reduction, a multiple of 8. Layers that are not reached keep their plain cache.
 */
#include <math.h>

#include "bench/frame/common_keys.h"
#include "bench/frame/fit.h"
#include "bench/frame/lowrank.h"
#include "bench/frame/method.h"

enum { RULE_BOTTOM, RULE_TOP, RULE_UNIFORM };
static const char *const rule_words[] = {"bottom", "top", "uniform", NULL};
enum { INIT_SVD, INIT_FEATURES };
static const char *const init_words[] = {"svd", "features", NULL};

enum { STEP = 256, SMALL_STEP = 8 };

typedef struct params {
    size_t rule, init, skip, step;
    size_t given; /* one rank for all; 0: a rule */
    double reduction;
    size_t rank[MLS_LAYERS_MAX]; /* of keys and of values; 0: the layer stays */
} params;

/* Lower layers one after the other until few enough parameters are left. */
static void lower(size_t *rank, const bool *may, size_t L, bool from_top, size_t step,
                  size_t break_even, size_t rows, size_t E, double reduction)
{
    const double whole = (double)rows * (double)E;
    double left = 0.0, target;

    for (size_t l = 0; l < L; l++)
        left += may[l] ? whole : 0.0;
    target = (1.0 - reduction) * left;
    for (size_t i = 0; i < L; i++) {
        const size_t l = from_top ? L - 1 - i : i;

        if (!may[l])
            continue;
        for (size_t r = break_even / step * step; r > 0 && left > target; r -= step) {
            left -= rank[l] ? (double)(rank[l] * (rows + E)) : whole;
            left += (double)(r * (rows + E));
            rank[l] = r;
        }
    }
}

/* The largest rank with r (rows + E) < rows E. */
static size_t break_even(const mls_config *c)
{
    const size_t rows = c->G * c->D;

    return (rows * c->E - 1) / (rows + c->E);
}

MLS_KEY_REFUSED(no_rule, params, p->given,
                "rank is given, so rule, step and reduction choose nothing")
MLS_KEY_FROM(rows, void, mls_least(c->G * c->D, c->E))
MLS_KEY_FROM(last, void, c->L - 1)
MLS_KEY_FROM(second, void, mls_least(2, c->L - 1))
MLS_KEY_FROM(steps, void, break_even(c) >= STEP ? STEP : SMALL_STEP)

static const mls_key keys[] = {
    {"rank", MLS_KEY_SIZE, offsetof(params, given), .hint = "N",
     .help = "instead of a rule: of keys and of values", .least = 1,
     .most = MLS_WIDTH_MAX, .said = "by the rule", .bound = "min(G D, E)",
     .limit = rows, .what = "the rank of a layer's keys or values"},
    {"rule", MLS_KEY_WORD, offsetof(params, rule), .words = rule_words,
     .help = "which layers are lowered first", .refuse = no_rule},
    {"reduction", MLS_KEY_REAL, offsetof(params, reduction), .hint = "SHARE",
     .help = "parameters of W_K and W_V to lose", .usual = 0.2, .least = 0, .most = 1,
     .refuse = no_rule},
    {"step", MLS_KEY_SIZE, offsetof(params, step), .hint = "N",
     .help = "ranks go down by it", .least = 1, .most = MLS_WIDTH_MAX,
     .otherwise = steps, .said = "256, or 8", .refuse = no_rule},
    {"skip", MLS_KEY_SIZE, offsetof(params, skip), .hint = "N",
     .help = "first layers left out", .least = 0, .most = MLS_LAYERS_MAX,
     .otherwise = second, .said = "2", .bound = "L - 1", .limit = last,
     .what = "which leaves the last layer"},
    {"init", MLS_KEY_WORD, offsetof(params, init), .words = init_words,
     .help = "SVD of the weights, or PCA of the outputs"},
    MLS_KEYS_END};

static mls_status settle(const mls_parsed *parsed, const mls_config *c, mls_err *err)
{
    params *p = parsed->params;
    const char *method = parsed->method->name;

    const size_t all = c->G * c->D, L = c->L, most = break_even(c);
    bool may[MLS_LAYERS_MAX];
    size_t n = 0;

    if (!p->given && p->rule != RULE_UNIFORM && p->step > most)
        return mls_fail(
            err, MLS_E_INPUT,
            "%s: step=%zu leaves no rank that saves parameters; the nearest "
            "possible is %zu",
            method, p->step, most);
    for (size_t l = 0; l < L; l++) {
        may[l] = parsed->common.converted[l] && l >= p->skip;
        n += may[l];
    }
    if (n == 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: no layer is left after the first %zu are skipped", method,
                        p->skip);
    if (p->given || p->rule == RULE_UNIFORM) {
        const double even = (double)most * (1.0 - p->reduction);
        const size_t eights = (size_t)fmax(ceil(even / 8) * 8, 8);

        for (size_t l = 0; l < L; l++)
            if (may[l])
                p->rank[l] =
                    p->given ? p->given : mls_least(eights, mls_least(all, c->E));
    } else {
        lower(p->rank, may, L, p->rule == RULE_TOP, p->step, most, all, c->E,
              p->reduction);
    }
    return MLS_OK;
}

static mls_status shape(mls_latent_form *f, const mls_config *c,
                        const mls_parsed *parsed, const void *prepared, size_t l,
                        mls_err *err)
{
    const params *p = parsed->params;
    mls_status st;

    (void)prepared;
    if (p->rank[l] == 0)
        return mls_latent_identity_shape(f, c, l, err);
    st = mls_lowrank_shape(f, c, l, MLS_SIDES, err);
    for (size_t i = 0; !st && i < MLS_SIDES; i++) {
        const mls_rows all = {i == MLS_KEYS ? MLS_KEYS : MLS_VALUES, 0, c->G};

        mls_lowrank_place(f, c, i, &all, p->rank[l], false);
    }
    return st;
}

static mls_status build(const mls_method_input *in, const mls_parsed *parsed,
                        const void *prepared, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *f, mls_err *err)
{
    const params *p = parsed->params;
    const mls_config *c = in->config;
    const bool features = p->init == INIT_FEATURES;
    const mls_metric metric = {features ? MLS_METRIC_COVARIANCE : MLS_METRIC_WEIGHTS, 0,
                               0};
    const mls_basis basis = features ? MLS_BASIS_UNIT : MLS_BASIS_ROOT;
    mls_status st = MLS_OK;

    (void)prepared;
    if (p->rank[layer->index] == 0)
        return mls_latent_identity_fill(f, c, layer, err);
    if (features)
        st = mls_needs_capture(parsed->method->name, stats, err);
    if (!st)
        st = mls_lowrank_start(f, c, layer, err);
    for (size_t i = 0; !st && i < MLS_SIDES; i++) {
        const mls_side side = i == MLS_KEYS ? MLS_KEYS : MLS_VALUES;
        const mls_rows all = {side, 0, c->G};

        st = mls_lowrank_pca(f, &metric, basis, i, &all, c, layer, stats, err);
    }
    return st;
}

static void fit(const mls_config *c, size_t elements, mls_fits *out)
{
    (void)c;
    if (elements >= 2)
        mls_fits_add(out, "skip=0 rank=%zu", elements / 2);
}

const mls_method mls_method_lillama = {
    .name = "lillama",
    .title = "Lillama (start)",
    .source = "arXiv 2412.16719; the lillama project at 91bf898",
    .keys = keys,
    .formula = "2 rank in the layers that are lowered, 2 G D elsewhere",
    .full_rope = true,
    .plain_keys = true,
    .exact = false,
    .identity = true,
    .params_size = sizeof(params),
    .settle = settle,
    .shape = shape,
    .fit = fit,
    .build = build,
};
