/*
 * KVSharer (arXiv 2410.18517): some layers use the cache of an earlier one. Layers are
 * compared by their caches (keys after RoPE), averaged over calibration texts position
 * by position:
 *
 *   d(i, j) = ( mean over heads and positions of |K_i - K_j|_2 + the same of V ) / 2
 *
 * as the project's code has it (norm=head); its paper flattens a cache to one vector
 * and takes |K_i - K_j|_2 of that (norm=cache), which can order pairs in another way.
 * Pairs are tried from the most dissimilar on; the later layer takes the earlier one's
 * cache, or whatever that one uses itself. A replacement is kept when the last hidden
 * states of the changed model stay near the original's: mean cosine above `gate`.
 * A layer reads keys that another one has turned, of the tokens that the other holds:
 * pairs whose RoPE or window differ are not tried.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/forward.h"
#include "analysis/model/rope.h"
#include "bench/frame/common_keys.h"
#include "bench/frame/fit.h"
#include "bench/frame/method.h"
#include "common/base/checked.h"
#include "common/base/words.h"

enum { POSITIONS = 64 }; /* of a text, theirs */
enum { NORM_HEAD, NORM_CACHE };
static const char *const norm_words[] = {"head", "cache", NULL};

typedef struct params {
    size_t layers_shared;
    double gate; /* 0: every replacement is taken */
    size_t norm;
} params;

typedef struct prepared {
    int share[MLS_LAYERS_MAX];
} prepared;

MLS_KEY_FROM(quarter, void, c->L / 4)

static const mls_key keys[] = {
    {"layers_shared", MLS_KEY_SIZE, offsetof(params, layers_shared), .hint = "N",
     .help = "layers that use an earlier one's cache", .least = 0,
     .most = MLS_LAYERS_MAX, .otherwise = quarter, .said = "L/4"},
    {"gate", MLS_KEY_REAL, offsetof(params, gate), .hint = "COSINE",
     .help = "least mean cosine of the last hidden states; 0: no gate", .usual = 0.5,
     .least = -1, .most = 1},
    {"norm", MLS_KEY_WORD, offsetof(params, norm), .words = norm_words,
     .help = "distance of caches"},
    MLS_KEYS_END};

static mls_status settle(const mls_parsed *parsed, const mls_config *c, mls_err *err)
{
    const params *p = parsed->params;
    const char *method = parsed->method->name;

    size_t n = 0;

    for (size_t l = 1; l < c->L; l++)
        n += parsed->common.converted[l];
    if (p->layers_shared <= n)
        return MLS_OK;
    return mls_fail(err, MLS_E_INPUT,
                    "%s: layers_shared=%zu is more than %zu, the layers that have an "
                    "earlier one; the nearest possible is %zu",
                    method, p->layers_shared, n, n);
}

/* When windows differ, the size follows from which layers share. */
static mls_status sized(const mls_config *c, const mls_parsed *p, mls_err *err)
{
    for (size_t l = 1; l < c->L; l++)
        if (c->layer[l].window != c->layer[0].window ||
            mls_layer_numbers(&c->layer[l]) != mls_layer_numbers(&c->layer[0]))
            return mls_fail(err, MLS_E_INPUT,
                            "%s: layers %d and %zu cache different numbers of tokens, "
                            "so the size follows from which layers share: it needs the "
                            "weights",
                            p->method->name, 0, l);
    return MLS_OK;
}

/*
 * Which layers share follows from the data, but when all cache the same, not how much:
 * without it the last ones do.
 */
static mls_status shape(mls_latent_form *f, const mls_config *c,
                        const mls_parsed *parsed, const void *all, size_t l,
                        mls_err *err)
{
    const params *p = parsed->params;
    const prepared *made = all;
    const mls_status st = mls_latent_identity_shape(f, c, l, err);
    size_t later = 0;

    for (size_t i = l + 1; i < c->L; i++)
        later += parsed->common.converted[i];
    if (!st && made)
        f->share_layer = made->share[l];
    else if (!st && l > 0 && later < p->layers_shared)
        f->share_layer = 0;
    return st;
}

/* --- Distances --- */

/* Mean caches of all layers: (L, 2, P, G D), keys rotated. */
static mls_status mean_caches(double *mean, mls_capture *capture, size_t P,
                              mls_err *err)
{
    const mls_config *c = mls_capture_config(capture);
    const size_t T = mls_capture_window_length(capture), G = c->G, D = c->D;
    const size_t W = mls_capture_windows(capture), row = G * D;
    float *x = mls_calloc3(T, row, 1, sizeof *x),
          *cs = mls_calloc3(T, D, 1, sizeof *cs);
    double *inv_freq = mls_calloc3(D, 1, 1, sizeof *inv_freq);
    mls_status st = x && cs && inv_freq
                        ? MLS_OK
                        : mls_fail(err, MLS_E_NOMEM, "no memory for mean caches");

    for (size_t i = 0; !st && i < 2 * c->L * W; i++) {
        const size_t l = i / (2 * W), side = i / W % 2;
        double *to = mean + (2 * l + side) * P * row;

        if (i % (2 * W) == 0) {
            mls_layer_frequencies(inv_freq, c, l);
            mls_rope_table(cs, inv_freq, D / 2, T);
        }
        st = mls_capture_window(capture, l, i % W, side ? MLS_WINDOW_V : MLS_WINDOW_K,
                                x, err);
        for (size_t g = 0; !st && !side && !c->layer[l].no_rope && g < G; g++)
            mls_rope_apply(x + g * D, row, cs, D / 2, T, 1);
        for (size_t j = 0; !st && j < P * row; j++)
            to[j] += (double)x[j] / (double)W;
    }
    mls_free_all(inv_freq, cs, x);
    return st;
}

/* Mean 2-norm of n vectors of D numbers. */
static double distance(const double *a, const double *b, size_t n, size_t D)
{
    double sum = 0.0;

    for (size_t i = 0; i < n; i++) {
        double square = 0.0;

        for (size_t d = 0; d < D; d++)
            square += pow(a[i * D + d] - b[i * D + d], 2);
        sum += sqrt(square);
    }
    return sum / (double)n;
}

typedef struct pair {
    size_t early, late;
    double distance;
} pair;

/* Most dissimilar first; equal ones in the order of layers. */
static int by_distance(const void *a, const void *b)
{
    const pair *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? 1 : -1;
    if (x->late != y->late)
        return x->late < y->late ? -1 : 1;
    return x->early < y->early ? -1 : x->early > y->early;
}

static bool may_share(const mls_config *c, size_t early, size_t late)
{
    const mls_layer_shape *a = &c->layer[early], *b = &c->layer[late];

    return mls_common_can_convert(c, early) && a->window == b->window &&
           a->no_rope == b->no_rope && (a->no_rope || a->local_rope == b->local_rope);
}

/*
 * All pairs of layers that may share, the later one convertible.
 * @param[out] pairs  (L (L-1) / 2)
 */
static mls_status sort_pairs(pair *pairs, size_t *n, size_t norm,
                             const mls_method_input *in, const bool *may, mls_err *err)
{
    const mls_config *c = in->config;
    const size_t T = mls_capture_window_length(in->capture);
    const size_t P = mls_least(T, POSITIONS), size = P * c->G * c->D;
    const size_t vector = norm == NORM_HEAD ? c->D : size;
    double *mean = mls_calloc3(c->L, 2, size, sizeof *mean);
    mls_status st =
        mean ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for mean caches");

    *n = 0;
    if (!st)
        st = mean_caches(mean, in->capture, P, err);
    for (size_t late = 1; !st && late < c->L; late++)
        for (size_t early = 0; early < late && may[late]; early++) {
            const double *a = mean + 2 * late * size, *b = mean + 2 * early * size;

            if (!may_share(c, early, late))
                continue;
            pairs[(*n)++] =
                (pair){early, late,
                       (distance(a, b, size / vector, vector) +
                        distance(a + size, b + size, size / vector, vector)) /
                           2};
        }
    if (!st)
        qsort(pairs, *n, sizeof *pairs, by_distance);
    free(mean);
    return st;
}

/* --- The gate: the whole model with some layers sharing --- */

/* Last hidden states of the windows' first tokens, some layers using others' caches. */
static mls_status last_states(mls_states *out, const mls_method_input *in,
                              const mls_corpus *corpus, const int *share, mls_err *err)
{
    const mls_config *c = in->config;
    mls_latent_runner *runner = NULL;
    mls_own_attention own = {0};
    bool kept[MLS_LAYERS_MAX] = {false};
    mls_status st = mls_states_embed(out, in->model, corpus, err);

    for (size_t l = 0; l < c->L; l++)
        if (share[l] >= 0)
            kept[share[l]] = true;
    if (!st)
        st = mls_latent_runner_new(&runner, out->T_max, mls_pool_threads(in->pool),
                                   false, err);
    if (!st)
        st =
            mls_own_attention_new(&own, c, out->T_max, mls_pool_threads(in->pool), err);
    for (size_t l = 0; !st && l < c->L; l++) {
        mls_layer layer = {0};
        mls_latent_form form = {0};

        st = mls_model_layer(in->model, l, &layer, err);
        if (!st)
            st = mls_latent_identity(&form, c, &layer, err);
        form.share_layer = share[l];
        own.layer = &layer;
        if (!st && !form.own)
            st = mls_latent_runner_set(runner, &form, kept[l] ? out : NULL, err);
        if (!st)
            st = mls_layer_forward(
                c, &layer, out, form.own ? mls_own_attention_run : mls_latent_attention,
                form.own ? (void *)&own : (void *)runner, in->pool, err);
        mls_latent_free(&form);
        mls_layer_free(&layer);
    }
    mls_latent_runner_free(runner);
    mls_own_attention_free(&own);
    return st;
}

static double mean_cosine(const mls_states *a, const mls_states *b)
{
    const size_t T = a->start[a->N], E = a->E;
    double sum = 0.0;

    for (size_t t = 0; t < T; t++) {
        double ab = 0.0, aa = 0.0, bb = 0.0;

        for (size_t e = 0; e < E; e++) {
            const double x = (double)a->h[t * E + e], y = (double)b->h[t * E + e];

            ab += x * y;
            aa += x * x;
            bb += y * y;
        }
        sum += ab / sqrt(aa * bb);
    }
    return sum / (double)T;
}

/* The first tokens of every window. */
static mls_status window_starts(mls_corpus *corpus, const mls_capture *capture,
                                mls_err *err)
{
    const size_t W = mls_capture_windows(capture);
    const size_t P = mls_least(mls_capture_window_length(capture), POSITIONS);
    const size_t *start = mls_capture_start(capture);

    *corpus = (mls_corpus){.N = W,
                           .lead = mls_capture_lead(capture),
                           .n_ids = W * P,
                           .ids = mls_calloc3(W, P, 1, sizeof *corpus->ids),
                           .start = mls_calloc3(W + 1, 1, 1, sizeof *corpus->start)};
    if (!corpus->ids || !corpus->start)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu sequences", W);
    for (size_t w = 0; w < W; w++) {
        memcpy(corpus->ids + w * P,
               mls_capture_ids(capture) +
                   start[mls_capture_window_sequence(capture, w)],
               P * sizeof *corpus->ids);
        corpus->start[w + 1] = (w + 1) * P;
    }
    return MLS_OK;
}

/* Take pairs in order until enough layers share. */
static mls_status choose(prepared *made, const params *p, const mls_method_input *in,
                         const pair *pairs, size_t n, mls_err *err)
{
    const size_t L = in->config->L;
    mls_corpus corpus = {0};
    mls_states original = {0};
    size_t shared = 0;
    mls_status st = window_starts(&corpus, in->capture, err);

    for (size_t l = 0; l < L; l++)
        made->share[l] = MLS_NONE;
    if (!st && p->gate > 0.0)
        st = last_states(&original, in, &corpus, made->share, err);
    for (size_t i = 0; !st && i < n && shared < p->layers_shared; i++) {
        const size_t late = pairs[i].late, early = pairs[i].early;
        int before[MLS_LAYERS_MAX];
        mls_states changed = {0};

        if (made->share[late] >= 0)
            continue;
        memcpy(before, made->share, sizeof before);
        made->share[late] = made->share[early] >= 0 ? made->share[early] : (int)early;
        for (size_t l = late + 1; l < L; l++) /* who uses `late` follows it */
            if (made->share[l] == (int)late)
                made->share[l] = made->share[late];
        bool good = true;
        if (p->gate > 0.0) {
            st = last_states(&changed, in, &corpus, made->share, err);
            good = !st && mean_cosine(&original, &changed) > p->gate;
        }
        if (good)
            shared++;
        else
            memcpy(made->share, before, sizeof before);
        mls_states_free(&changed);
    }
    if (!st && shared < p->layers_shared)
        st =
            mls_fail(err, MLS_E_INPUT,
                     "kvsharer: only %zu layer%s can share a cache with a cosine above "
                     "%g, %zu are asked for",
                     shared, mls_plural(shared), p->gate, p->layers_shared);
    mls_states_free(&original);
    mls_corpus_free(&corpus);
    return st;
}

static mls_status prepare(const mls_method_input *in, const mls_parsed *parsed,
                          void **out, mls_err *err)
{
    const params *p = parsed->params;
    const size_t L = in->config->L;
    size_t n;
    mls_status st = MLS_OK;

    if (!in->model || !in->capture || mls_capture_windows(in->capture) == 0)
        return mls_fail(
            err, MLS_E_INPUT,
            "%s compares caches; it needs the model and a capture file with "
            "windows (mlascope capture)",
            parsed->method->name);
    prepared *made = calloc(1, sizeof *made);
    pair *pairs = mls_calloc3(L, L, 1, sizeof *pairs);

    if (!made || !pairs)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to compare %zu layers", L);
    if (!st)
        st = sort_pairs(pairs, &n, p->norm, in, parsed->common.converted, err);
    if (!st)
        st = choose(made, p, in, pairs, n, err);
    free(pairs);
    if (st) {
        free(made);
        made = NULL;
    }
    *out = made;
    return st;
}

static int shares(const void *all, size_t l)
{
    const prepared *p = all;

    return p->share[l];
}

static mls_status build(const mls_method_input *in, const mls_parsed *p,
                        const void *all, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *f, mls_err *err)
{
    (void)p, (void)all, (void)stats;
    return mls_latent_identity_fill(f, in->config, layer, err);
}

static void fit(const mls_config *c, size_t elements, mls_fits *out)
{
    const size_t kept = elements * c->L / (2 * c->G * c->D);

    if (kept > 0)
        mls_fits_add(out, "layers_shared=%zu", c->L - kept);
}

const mls_method mls_method_kvsharer = {
    .name = "kvsharer",
    .title = "KVSharer",
    .source = "arXiv 2410.18517; yangyifei729/KVSharer, test_llama.ipynb",
    .keys = keys,
    .formula = "2 G D in L - layers_shared layers",
    .full_rope = true,
    .plain_keys = true,
    .exact = true,
    .identity = true,
    .fits_need_data = true,
    .params_size = sizeof(params),
    .settle = settle,
    .sized = sized,
    .shape = shape,
    .fit = fit,
    .prepare = prepare,
    .release = free,
    .shares = shares,
    .build = build,
};
