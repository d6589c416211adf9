/*
 * X-EcoMLA (arXiv 2503.11132) and the MLA layers of Zebra-Llama (2505.17272): one SVD
 * of [K; V], and one rope key shared by all heads, the last rows of the mean key.
 *
 * init=theirs is what the project starts its training from: the rope rows are taken by
 * their place in the head and turned as interleaved pairs with new frequencies, so the
 * original pairs are broken. init=paired keeps whole chunks with their own frequencies
 * and spends no rank on the keys that are rotated; it is ours, for comparison.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/rope.h"
#include "analysis/spectrum/spectrum.h"
#include "bench/frame/common_keys.h"
#include "bench/frame/factor.h"
#include "bench/frame/fit.h"
#include "bench/frame/method.h"
#include "bench/frame/partial.h"
#include "bench/frame/shared_key.h"
#include "bench/methods/x_ecomla.h"
#include "common/base/checked.h"

/* What the layers that `layers` leaves out are: kept, or replaced by Mamba as
   Zebra-Llama does; a Mamba state does not grow with the tokens and is not counted. */
enum { REST_ATTENTION, REST_MAMBA };
static const char *const rest_words[] = {"attention", "mamba", NULL};
enum { INIT_THEIRS, INIT_PAIRED };
static const char *const init_words[] = {"theirs", "paired", NULL};
enum { RULE_CODE, RULE_PAPER };
static const char *const rule_words[] = {"code", "paper", NULL};
static const char *const ends_words[] = {"fixed", "dynamic", NULL};

typedef mls_x_ecomla params;

MLS_KEY_REFUSED(not_paired, params, p->init == INIT_THEIRS,
                "rope belongs to init=paired; init=theirs takes "
                "the last rows of a head")
MLS_KEY_REFUSED(not_theirs, params, p->init == INIT_PAIRED,
                "nope_dim belongs to init=theirs; with init=paired "
                "all that is not rotated is read from the latent")
MLS_KEY_REFUSED(no_energy, params, !(p->energy > 0.0 || p->q_energy > 0.0),
                "rule and ends belong to energy")
MLS_KEY_FROM(half_dims, void, c->D / 4 * 2)
MLS_KEY_FROM(even_dims, void, c->D / 2 * 2)
MLS_KEY_FROM(rest_dims, params, c->D - p->rope_dim)
MLS_KEY_FROM(dims, void, c->D)

static size_t most(const mls_config *c, const void *v)
{
    const params *p = v;
    const size_t keys_rows = p->init == INIT_PAIRED ? c->D - p->rope_dim : c->D;

    return mls_least(c->G * (keys_rows + c->D), c->E);
}

MLS_KEY_FROM(usual, void, mls_least(c->G * c->D, most(c, p)))
MLS_KEY_FROM(query_limit, void, mls_least(c->H * c->D, c->E))
MLS_KEY_FROM(query_rank, params, p->q_energy > 0.0 ? query_limit(c, p) : 0)

static const mls_key keys[] = {
    {"init", MLS_KEY_WORD, offsetof(params, init), .words = init_words,
     .help = "what the project trains from, or whole chunks of rotation"},
    {"energy", MLS_KEY_REAL, offsetof(params, energy), .hint = "SHARE",
     .help = "rank by energy", .said = "none", .usual = 0, .least = 1e-6, .most = 1,
     .open = "", .instead = "rank"},
    {"qenergy", MLS_KEY_REAL, offsetof(params, q_energy), .hint = "SHARE",
     .help = "rank of queries by energy", .said = "none", .usual = 0, .least = 1e-6,
     .most = 1},
    {"rule", MLS_KEY_WORD, offsetof(params, rule), .words = rule_words,
     .help = "how energy is counted", .refuse = no_energy},
    {"ends", MLS_KEY_WORD, offsetof(params, ends), .words = ends_words,
     .help = "first and last layer keep the fixed rank, or not", .refuse = no_energy},
    {"rest", MLS_KEY_WORD, offsetof(params, rest), .words = rest_words,
     .help = "what layers left out by `layers` are; mamba: no cache that grows, sizes "
             "only"},
    {"rope", MLS_KEY_TEXT, offsetof(params, rope), .hint = "RULE", .text = "high",
     .help = "rule of init=paired", .refuse = not_paired},
    {"rope_dim", MLS_KEY_SIZE, offsetof(params, rope_dim), .hint = "N",
     .help = "qk_rope_head_dim, shared by all heads", .least = 0, .most = MLS_DIM_MAX,
     .otherwise = half_dims, .said = "D/2", .bound = "D", .limit = even_dims,
     .what = "the head dimension"},
    {"nope_dim", MLS_KEY_SIZE, offsetof(params, nope_dim), .hint = "N",
     .help = "rows of a key read from the latent", .least = 0, .most = MLS_DIM_MAX,
     .otherwise = rest_dims, .said = "D - rope_dim", .bound = "D", .limit = dims,
     .what = "the head dimension", .refuse = not_theirs},
    {"rank", MLS_KEY_SIZE, offsetof(params, rank), .hint = "N",
     .help = "kv_lora_rank of the layer", .least = 1, .most = MLS_WIDTH_MAX,
     .otherwise = usual, .said = "G D", .bound = "min(2 G D, E)", .limit = most,
     .what = "the rank of what is factorized"},
    {"qrank", MLS_KEY_SIZE, offsetof(params, q_rank), .hint = "N",
     .help = "of the queries", .least = 1, .most = MLS_WIDTH_MAX,
     .otherwise = query_rank, .said = "none", .bound = "min(H D, E)",
     .limit = query_limit, .what = "the rank of the queries"},
    MLS_KEYS_END};

static mls_status settle(const mls_parsed *parsed, const mls_config *c, mls_err *err)
{
    params *p = parsed->params;
    const char *method = parsed->method->name;

    if (p->rope_dim % 2)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: rope_dim=%zu is odd; the nearest possible is %zu", method,
                        p->rope_dim, p->rope_dim - 1);
    if (p->init == INIT_PAIRED)
        p->nope_dim = c->D - p->rope_dim;
    if (p->rope_dim + p->nope_dim == 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: rope_dim=0 nope_dim=0 leaves no keys; the nearest "
                        "possible is nope_dim=1",
                        method);
    return p->init == INIT_PAIRED ? mls_partial_rule(method, p->rope, c, err) : MLS_OK;
}

static mls_status sized(const mls_config *c, const mls_parsed *parsed, mls_err *err)
{
    const params *p = parsed->params;

    (void)c;
    if (!(p->energy > 0.0))
        return MLS_OK;
    return mls_fail(err, MLS_E_INPUT,
                    "%s: the ranks of energy=%g follow from the singular values: "
                    "needs the weights",
                    parsed->method->name, p->energy);
}

static bool drops_rest(const mls_parsed *parsed)
{
    const params *p = parsed->params;

    return p->rest == REST_MAMBA;
}

/* Ranks of all layers. */
typedef struct ranks {
    size_t rank[MLS_LAYERS_MAX], q_rank[MLS_LAYERS_MAX];
} ranks;

static mls_status shape(mls_latent_form *f, const mls_config *c,
                        const mls_parsed *parsed, const void *prepared, size_t l,
                        mls_err *err)
{
    const params *p = parsed->params;
    const ranks *r = prepared;
    const bool rotates = !c->layer[l].no_rope;
    const size_t n_rope = rotates ? p->rope_dim : 0;
    const size_t n_nope = p->init == INIT_PAIRED ? c->D - n_rope
                          : rotates              ? p->nope_dim
                                                 : c->D;
    const mls_shared_sizes sizes = {.n_rope = n_rope,
                                    .n_key = n_nope,
                                    .rank = r ? r->rank[l] : p->rank,
                                    .q_rank = r ? r->q_rank[l] : p->q_rank,
                                    .read_biased = c->qkv_bias};
    const mls_status st = mls_shared_shape(f, c, l, &sizes, err);

    if (st)
        return st;
    f->latent[0].holds_keys = true; /* their SVD is of keys, too */
    f->scale = 1.0 / sqrt((double)(n_nope + n_rope));
    return MLS_OK;
}

/*
 * Which dims of a head are read from the latent and which are rotated; in `rope` the
 * first half holds the first members of the pairs.
 */
typedef struct heads {
    size_t n_nope, n_rope;
    size_t nope[MLS_DIM_MAX], rope[MLS_DIM_MAX];
    double inv_freq[MLS_DIM_MAX / 2]; /* (n_rope / 2) */
} heads;

static void split_theirs(heads *y, const params *p, const mls_config *c, size_t layer)
{
    const size_t rope_dim = c->layer[layer].no_rope ? 0 : p->rope_dim;

    y->n_nope = c->layer[layer].no_rope ? c->D : p->nope_dim;
    y->n_rope = rope_dim;
    for (size_t i = 0; i < y->n_nope; i++)
        y->nope[i] = i;
    for (size_t i = 0; i < rope_dim / 2; i++) {
        y->rope[i] = c->D - rope_dim + 2 * i; /* interleaved pairs of the last rows */
        y->rope[rope_dim / 2 + i] = y->rope[i] + 1;
    }
    if (rope_dim > 0)
        mls_rope_frequencies(y->inv_freq, mls_config_layer_rope(c, layer), rope_dim);
}

static mls_status split_paired(heads *y, const params *p, const mls_method_input *in,
                               const mls_layer *layer, const mls_layer_stats *stats,
                               mls_err *err)
{
    const mls_config *c = in->config;
    size_t rope[MLS_DIM_MAX], nope[MLS_DIM_MAX];
    double inv_freq[MLS_DIM_MAX / 2];
    mls_selection chosen;
    mls_status st = mls_partial_select(&chosen, "x-ecomla", in, p->rope,
                                       p->rope_dim / 2, layer, stats, err);

    if (st)
        return st;
    y->n_rope = 2 * chosen.count[0];
    y->n_nope = c->D - y->n_rope;
    mls_partial_dims(&chosen, 0, y->rope, y->nope);
    for (size_t g = 1; g < c->G && !st; g++) {
        mls_partial_dims(&chosen, g, rope, nope);
        if (memcmp(rope, y->rope, y->n_rope * sizeof *rope) != 0)
            st = mls_fail(err, MLS_E_INPUT,
                          "x-ecomla: a rope key for all heads needs the same chunks in "
                          "each, and rope=%s chooses per head; high, low and uniform "
                          "do not",
                          p->rope);
    }
    mls_layer_frequencies(inv_freq, c, layer->index);
    for (size_t i = 0; i < y->n_rope / 2; i++)
        y->inv_freq[i] = inv_freq[y->rope[i]];
    mls_selection_free(&chosen);
    return st;
}

/*
 * What is factorized, (m, E): all keys above all values as in the project, or only the
 * keys that are read from the latent. Their repeated heads come in as a factor later.
 */
static double *stack(const heads *y, const params *p, const mls_config *c,
                     const mls_layer *layer, size_t *m)
{
    const size_t D = c->D, E = c->E, G = c->G;
    double *w = mls_calloc3(2 * G * D, E, 1, sizeof *w);
    size_t every[MLS_DIM_MAX];
    const bool all = p->init == INIT_THEIRS;
    const size_t n = all ? D : y->n_nope;

    for (size_t i = 0; i < D; i++)
        every[i] = i;
    for (size_t g = 0; w && g < G; g++) {
        mls_gather_rows(w + g * n * E, layer->wk + g * D * E, all ? every : y->nope, n,
                        E);
        mls_gather_rows(w + (G * n + g * D) * E, layer->wv + g * D * E, every, D, E);
    }
    *m = G * (n + D);
    return w;
}

/* The rank of one layer, by the energy of its singular values. */
static size_t dynamic_rank(const params *p, const double *sigma, size_t n, double share)
{
    double total = 0.0, sum = 0.0;
    size_t count = 0;

    if (p->rule == RULE_PAPER)
        return mls_energy_rank(sigma, n, share);
    for (size_t i = 0; i < n; i++)
        total += sigma[i] * sigma[i];
    for (size_t i = 0; i < n; i++) {
        sum += sigma[i] * sigma[i];
        count += sum / total <= share;
    }
    count = count > 0 ? (count + 7) / 8 * 8 : 8;
    return mls_least(count, n);
}

/* Singular values of what a layer factorizes. */
static mls_status layer_spectrum(mls_spectrum *out, const params *p,
                                 const mls_method_input *in, const mls_layer *layer,
                                 mls_err *err)
{
    const mls_config *c = in->config;
    double *w = NULL;
    float *rows = NULL;
    size_t m = 0;
    heads y;
    mls_status st = MLS_OK;

    if (p->init == INIT_PAIRED)
        st = split_paired(&y, p, in, layer, NULL, err);
    else
        split_theirs(&y, p, c, layer->index);
    if (st)
        return st;
    w = stack(&y, p, c, layer, &m);
    rows = mls_calloc3(m, c->E, 1, sizeof *rows);
    if (w && rows)
        mls_narrow(rows, w, m * c->E);
    st = w && rows ? mls_spectrum_of_weights(out, rows, m, c->E, err)
                   : mls_fail(err, MLS_E_NOMEM, "no memory for the ranks of layer %zu",
                              layer->index);
    mls_free_all(rows, w);
    return st;
}

static mls_status rank_layer(ranks *r, const params *p, const mls_method_input *in,
                             size_t l, mls_err *err)
{
    const mls_config *c = in->config;
    mls_spectrum spectrum = {0};
    mls_layer layer = {0};
    mls_status st = mls_model_attention(in->model, l, &layer, err);

    if (st)
        goto done;
    if (p->energy > 0.0) {
        st = layer_spectrum(&spectrum, p, in, &layer, err);
        if (st)
            goto done;
        r->rank[l] = dynamic_rank(p, spectrum.sigma, spectrum.n, p->energy);
        mls_spectrum_free(&spectrum);
    }
    if (p->q_energy > 0.0) {
        st = mls_spectrum_of_weights(&spectrum, layer.wq, c->H * c->D, c->E, err);
        if (!st)
            r->q_rank[l] = dynamic_rank(p, spectrum.sigma, spectrum.n, p->q_energy);
    }

done:
    mls_spectrum_free(&spectrum);
    mls_layer_free(&layer);
    return st;
}

static mls_status prepare(const mls_method_input *in, const mls_parsed *parsed,
                          void **prepared, mls_err *err)
{
    const params *p = parsed->params;
    const size_t L = in->config->L;
    mls_status st = MLS_OK;

    *prepared = NULL;
    if (p->rest == REST_MAMBA)
        return mls_fail(
            err, MLS_E_INPUT,
            "%s: the Mamba layers of rest=mamba are trained, not converted, "
            "so there is no form to run; rest=attention has one",
            parsed->method->name);
    if (!(p->energy > 0.0 || p->q_energy > 0.0))
        return MLS_OK;
    if (!in->model)
        return mls_fail(err, MLS_E_INPUT, "%s: ranks by energy need the weights",
                        parsed->method->name);
    ranks *r = calloc(1, sizeof *r);
    if (!r)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the ranks of %zu layers", L);
    for (size_t l = 0; l < L; l++) {
        r->rank[l] = p->rank;
        r->q_rank[l] = p->q_rank;
    }
    /* The project's default keeps the first and the last layer at the fixed rank. */
    const size_t skip = p->ends == MLS_ENDS_FIXED ? 1 : 0;
    for (size_t l = skip; l + skip < L && !st; l++)
        if (parsed->common.converted[l])
            st = rank_layer(r, p, in, l, err);
    if (st) {
        free(r);
        return st;
    }
    *prepared = r;
    return MLS_OK;
}

/* The rope key of all heads: the mean of their rows. */
static void add_rope_key(mls_latent_form *f, const heads *y, const mls_layer *layer)
{
    mls_affine *key = &f->rope_key[0].map;

    memcpy(f->rope_key[0].inv_freq, y->inv_freq, y->n_rope / 2 * sizeof *y->inv_freq);
    for (size_t i = 0; i < y->n_rope; i++) {
        for (size_t e = 0; e < f->E; e++) {
            double sum = 0.0;

            for (size_t g = 0; g < f->G; g++)
                sum += (double)layer->wk[(g * f->D + y->rope[i]) * f->E + e];
            key->w[i * f->E + e] = (float)(sum / (double)f->G);
        }
        if (key->b) {
            double sum = 0.0;

            for (size_t g = 0; g < f->G; g++)
                sum += (double)layer->bk[g * f->D + y->rope[i]];
            key->b[i] = (float)(sum / (double)f->G);
        }
    }
}

/* One latent of keys and values: W_DKV = S V^T, W_UK and W_UV rows of U. */
static mls_status add_latent(mls_latent_form *f, const heads *y, const params *p,
                             const mls_config *c, const mls_layer *layer, mls_err *err)
{
    const size_t G = f->G, D = f->D, E = f->E, r = f->latent[0].r;
    const bool theirs = p->init == INIT_THEIRS;
    const size_t stacked = theirs ? D : y->n_nope; /* stacked per head */
    /* Every head repeated H/G times: sigma grows by the root, U shrinks by it. */
    const float root = sqrtf((float)(f->H / G));
    size_t m = 0;
    double *w = stack(y, p, c, layer, &m);
    float *up = mls_calloc3(m, r, 1, sizeof *up), *down = f->latent[0].down.w;
    mls_status st = MLS_OK;

    if (!w || !up)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a latent of %zu", r);
    if (!st)
        st = mls_factor_weights(down, up, w, m, E, r, MLS_SIGMA_DOWN, err);
    for (size_t i = 0; !st && i < r * E; i++)
        down[i] *= root;
    for (size_t i = 0; !st && i < m * r; i++)
        up[i] /= root;
    const mls_affine all = mls_affine_of(up, NULL, m, r);
    for (size_t g = 0; !st && g < G; g++) {
        const mls_affine key = mls_affine_rows(&all, g * stacked, stacked);
        const mls_affine value = mls_affine_rows(&all, G * stacked + g * D, D);
        mls_read_head *h = &f->head[g];

        mls_affine_put(&h->value, 0, &value, NULL, D);
        if (h->value.b)
            memcpy(h->value.b, layer->bv + g * D, D * sizeof *h->value.b);
        if (y->n_nope)
            mls_affine_put(&h->key, 0, &key, theirs ? y->nope : NULL, y->n_nope);
        for (size_t i = 0; h->key.b && i < y->n_nope; i++)
            h->key.b[i] = layer->bk[g * D + y->nope[i]];
    }
    mls_free_all(up, w);
    return st;
}

/* Rows [nope; rope] of every head, out of W_q or out of its left factor. */
static mls_status add_queries(mls_latent_form *f, const heads *y, const mls_config *c,
                              const mls_layer *layer, mls_err *err)
{
    const size_t n = y->n_nope + y->n_rope, all = f->H * f->D, r = f->q_rank;
    mls_affine from = mls_latent_queries(c, layer);
    double *wq = NULL;
    float *left = NULL; /* (H D, q_rank) */
    size_t dims[2 * MLS_DIM_MAX];
    mls_status st = MLS_OK;

    if (r) {
        wq = mls_calloc3(all, f->E, 1, sizeof *wq);
        left = mls_calloc3(all, r, 1, sizeof *left);
        if (!wq || !left) {
            st = mls_fail(err, MLS_E_NOMEM, "no memory for the queries of %zu heads",
                          f->H);
            goto done;
        }
        mls_widen(wq, layer->wq, all * f->E);
        st = mls_factor_weights(f->q_down.w, left, wq, all, f->E, r, MLS_SIGMA_DOWN,
                                err);
        from = mls_affine_of(left, layer->bq, all, r);
    }
    memcpy(dims, y->nope, y->n_nope * sizeof *dims);
    memcpy(dims + y->n_nope, y->rope, y->n_rope * sizeof *dims);
    for (size_t h = 0; h < f->H && !st; h++) {
        const mls_affine head = mls_affine_rows(&from, h * f->D, f->D);

        mls_affine_put(&f->query, h * n, &head, dims, n);
    }

done:
    mls_free_all(left, wq);
    return st;
}

static mls_status build(const mls_method_input *in, const mls_parsed *parsed,
                        const void *prepared, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *f, mls_err *err)
{
    const params *p = parsed->params;
    heads y;
    mls_status st = MLS_OK;

    (void)prepared;
    if (p->init == INIT_PAIRED)
        st = split_paired(&y, p, in, layer, stats, err);
    else
        split_theirs(&y, p, in->config, layer->index);
    if (st || (st = mls_latent_start(f, in->config, layer, err)))
        return st;
    if (y.n_rope)
        add_rope_key(f, &y, layer);
    st = add_latent(f, &y, p, in->config, layer, err);
    return st ? st : add_queries(f, &y, in->config, layer, err);
}

/* Their d_r = D/2 first, in their form and in the corrected one. */
static void fit(const mls_config *c, size_t elements, mls_fits *out)
{
    for (size_t share = 2; share <= 8; share *= 2) {
        const size_t d_r = c->D / share / 2 * 2;

        if (d_r == 0 || elements <= d_r)
            continue;
        mls_fits_add(out, "rope_dim=%zu rank=%zu", d_r, elements - d_r);
        mls_fits_add(out, "rope_dim=%zu rank=%zu init=paired", d_r, elements - d_r);
    }
}

/* Spectra of all layers, and what their ranks add up to. */
typedef struct model_spectra {
    const mls_config *config;
    params p;
    mls_spectrum layer[MLS_LAYERS_MAX];
} model_spectra;

static size_t elements_of(const void *arg, double share)
{
    const model_spectra *m = arg;
    size_t sum = 0;

    for (size_t l = 0; l < m->config->L; l++)
        sum += !mls_common_can_convert(m->config, l)
                   ? 0
                   : dynamic_rank(&m->p, m->layer[l].sigma, m->layer[l].n, share) +
                         (m->config->layer[l].no_rope ? 0 : m->p.rope_dim);
    return sum;
}

/* Their rule for every layer, with the rope key of the first setting of fit(). */
static mls_status fit_data(const mls_method_input *in, size_t elements, mls_fits *out,
                           mls_err *err)
{
    const mls_config *c = in->config;
    model_spectra *m = calloc(1, sizeof *m);
    double share;
    mls_status st =
        m ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for spectra of all layers");

    if (!st) {
        m->config = c;
        m->p = (params){.rope_dim = c->D / 4 * 2, .nope_dim = c->D - c->D / 4 * 2};
    }
    for (size_t l = 0; !st && l < c->L; l++) {
        mls_layer layer = {0};

        if (!mls_common_can_convert(c, l))
            continue;
        st = mls_model_attention(in->model, l, &layer, err);
        if (!st)
            st = layer_spectrum(&m->layer[l], &m->p, in, &layer, err);
        mls_layer_free(&layer);
    }
    if (!st &&
        mls_fit_share(&share, elements_of, m, elements * mls_common_convertible(c)))
        mls_fits_add(out, "rope_dim=%zu energy=%.6f ends=dynamic", m->p.rope_dim,
                     share);
    for (size_t l = 0; m && l < c->L; l++)
        mls_spectrum_free(&m->layer[l]);
    free(m);
    return st;
}

/* Its code has no paired start, and its ranks are multiples of 8. */
static bool theirs(const mls_config *c, const mls_parsed *parsed)
{
    const params *p = parsed->params;

    return !c->qk_norm && p->init == INIT_THEIRS && p->rank % 8 == 0;
}

const mls_method mls_method_x_ecomla = {
    .name = "x-ecomla",
    .title = "X-EcoMLA",
    .source = "arXiv 2503.11132; AMD-AGI/AMD-Hybrid-Models mla/hybrid_mla_layer.py",
    .keys = keys,
    .formula = "rank + d_r",
    .exact = true,
    .theirs = theirs,
    .project = MLS_SERVE_X_ECOMLA,
    .params_size = sizeof(params),
    .settle = settle,
    .sized = sized,
    .drops_rest = drops_rest,
    .shape = shape,
    .fit = fit,
    .fit_data = fit_data,
    .prepare = prepare,
    .release = free,
    .build = build,
};
