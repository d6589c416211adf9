/*
 * Measuring every rank in every layer would take a run each. Few references are
 * measured, each in one layer alone, at 1/2, 1, 2 and 4 times the rank that the budget
 * gives to all layers alike; between them
 *
 *   loss_l(r) = shape_l(r) exp(g_l(r))
 *
 * with the discarded energy of the form's spectrum as shape (1 without one) and g
 * straight between references. A quantizer adds a term of its own. Layers together lose
 * other than their sum: one factor, the geometric mean of whole over sum at the middle
 * references, says how much.
 */
#include "bench/plan/plan_costs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/plan/plan_heads.h"
#include "bench/plan/plan_healed.h"
#include "common/base/checked.h"
#include "datasets/files/parts.h"

enum { CANDIDATES_MAX = 65000, REFERENCES = 4 };

/* KL below this is rounding; logarithms of it must exist. */
static const double kl_floor = 1e-9;

void mls_plan_costs_free(mls_plan_costs *c)
{
    mls_free_all(c->candidate, c->bytes, c->loss, c->allowed, c->refused.row);
    mls_plan_heads_free(c->heads);
    *c = (mls_plan_costs){0};
}

/* Bytes of a sequence when every layer takes candidate i. */
static size_t uniform_bytes(const mls_plan_costs *c, size_t i)
{
    size_t sum = 0;

    for (size_t l = 0; l < c->L; l++)
        sum += c->bytes[i * c->L + l];
    return sum;
}

size_t mls_plan_uniform(const mls_plan_costs *c, size_t method, size_t bits,
                        size_t budget)
{
    size_t best = c->n;

    for (size_t i = 0; i < c->n; i++)
        if (c->candidate[i].method == method && c->candidate[i].bits == bits &&
            uniform_bytes(c, i) <= budget &&
            (best == c->n || uniform_bytes(c, i) >= uniform_bytes(c, best)))
            best = i;
    return best;
}

/* --- Candidates --- */

static bool is_allowed(const mls_plan_request *r, const mls_candidate *c,
                       const mls_cache_layer *layer, size_t l, size_t L)
{
    const bool end = l == 0 || l + 1 == L;

    if (r->cap && c->rank > r->cap)
        return false;
    if (r->first_last && end && c->rank && c->rank != r->first_last)
        return false;
    if (r->kernel && strcmp(c->setting.method, "baseline") != 0)
        return mls_kernels_take(r->kernels, r->kernel, layer);
    return true;
}

/* Bytes of a sequence of one layer; `single` is scratch. */
static size_t bytes_of_layer(const mls_plan_request *r, const mls_cache_layer *layer,
                             mls_cache_layout *single)
{
    const mls_size_request request = mls_size_one(r->tokens);
    mls_size_result size;

    single->L = 1;
    single->layer[0] = *layer;
    mls_size(&size, single, &request);
    return (size_t)ceil(size.sequence_bytes);
}

static mls_status add_candidate(mls_plan_costs *c, const mls_plan_request *r,
                                const mls_candidate *one, mls_cache_layout *layout,
                                mls_cache_layout *single, mls_err *err)
{
    const size_t L = c->L, n = c->n + 1;
    mls_status st = mls_method_layout(layout, r->in.config, &one->setting, err);
    mls_candidate *candidate;
    mls_serve serve;
    size_t *bytes;
    bool *allowed;

    if (!st)
        st = mls_setting_serve(&serve, &one->setting, r->in.config, layout, err);
    if (st || (r->serve && serve != *r->serve))
        return st;
    if (n > CANDIDATES_MAX)
        return mls_fail(err, MLS_E_INPUT,
                        "more than %d candidates: ranks in larger "
                        "multiples make fewer",
                        CANDIDATES_MAX);
    if ((candidate = realloc(c->candidate, n * sizeof *candidate)))
        c->candidate = candidate;
    if ((bytes = realloc(c->bytes, n * L * sizeof *bytes)))
        c->bytes = bytes;
    if ((allowed = realloc(c->allowed, n * L * sizeof *allowed)))
        c->allowed = allowed;
    if (!candidate || !bytes || !allowed)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu candidates", n);
    c->candidate[c->n] = *one;
    for (size_t l = 0; l < L; l++) {
        c->bytes[c->n * L + l] = bytes_of_layer(r, &layout->layer[l], single);
        c->allowed[c->n * L + l] = is_allowed(r, one, &layout->layer[l], l, L);
    }
    c->n = n;
    return MLS_OK;
}

/* One method with one quantizer: every rank in multiples that the model takes. */
static mls_status add_family(mls_plan_costs *c, const mls_plan_request *r, size_t m,
                             size_t b, mls_cache_layout *layout,
                             mls_cache_layout *single, mls_err *err)
{
    const mls_config *config = r->in.config;
    const mls_method *method;
    mls_candidate one = {.setting = r->method[m], .method = m, .bits = b};
    char text[24];
    const size_t before = c->n;
    mls_status st = mls_method_find(&method, one.setting.method, err);

    if (!st && r->bits[b] != 16) {
        /* No window: one as long as the test windows would hide what it costs. */
        snprintf(text, sizeof text, "int%zu/64", r->bits[b]);
        st = mls_setting_set(&one.setting, "quant", text, err);
    }
    if (st || !mls_keys_leave(method->keys, &one.setting, "rank"))
        return st ? st : add_candidate(c, r, &one, layout, single, err);
    for (size_t rank = r->multiple; rank <= 2 * config->G * config->D;
         rank += r->multiple) {
        mls_err why = {0};

        one.rank = rank;
        snprintf(text, sizeof text, "%zu", rank);
        st = mls_setting_set(&one.setting, "rank", text, err);
        if (st)
            return st;
        st = add_candidate(c, r, &one, layout, single, &why);
        /* A rank too large for the shape ends the family; others are real errors. */
        if (st == MLS_E_INPUT && c->n > before)
            return MLS_OK;
        if (st) {
            if (err)
                *err = why;
            return st;
        }
    }
    return MLS_OK;
}

/* Split ranks over heads; quantizers may then cost other bytes, group by group. */
static mls_status split_heads(mls_plan_costs *c, const mls_plan_request *r,
                              mls_cache_layout *layout, mls_cache_layout *single,
                              mls_err *err)
{
    mls_setting setting;
    mls_status st = mls_plan_heads_new(&c->heads, c, r, err);

    for (size_t i = 0; !st && i < c->n * c->L; i++) {
        const size_t l = i % c->L;

        if (!c->heads->usable[c->candidate[i / c->L].method])
            continue;
        st = mls_plan_setting(&setting, c, i / c->L, l, err);
        if (!st)
            st = mls_method_layout(layout, r->in.config, &setting, err);
        if (!st)
            c->bytes[i] = bytes_of_layer(r, &layout->layer[l], single);
    }
    return st;
}

mls_status mls_plan_candidates(mls_plan_costs *out, const mls_plan_request *r,
                               mls_err *err)
{
    mls_cache_layout *layout = calloc(1, sizeof *layout);
    mls_cache_layout *single = calloc(1, sizeof *single);
    mls_status st = MLS_OK;

    *out = (mls_plan_costs){.L = r->in.config->L, .scale = 1};
    if (!layout || !single)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a cache layout");
    for (size_t m = 0; !st && m < r->n_methods; m++)
        for (size_t b = 0; !st && b < r->n_bits; b++)
            st = add_family(out, r, m, b, layout, single, err);
    if (!st && out->n == 0)
        st = mls_fail(err, MLS_E_INPUT,
                      "nothing that these methods make is served by class %s; without "
                      "--method it takes those that are",
                      mls_serve_name(*r->serve));
    if (!st && r->per_head)
        st = split_heads(out, r, layout, single, err);
    for (size_t l = 0; !st && l < out->L; l++) {
        bool any = false;

        for (size_t i = 0; i < out->n; i++)
            any |= out->allowed[i * out->L + l];
        if (!any)
            st =
                mls_fail(err, MLS_E_INPUT,
                         "no candidate for layer %zu keeps to the constraints%s%s%s", l,
                         r->kernel ? ": the kernel " : "", r->kernel ? r->kernel : "",
                         r->kernel ? " reads one latent and one rope key that all "
                                     "heads share, of its own sizes "
                                     "(datasets/serving/kernels.csv)"
                                   : "");
    }
    if (!st && !(out->loss = mls_calloc3(out->n, out->L, 1, sizeof *out->loss)))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the costs");
    for (size_t i = 0; !st && i < out->n * out->L; i++)
        out->loss[i] = NAN;
    mls_free_all(layout, single);
    if (st)
        mls_plan_costs_free(out);
    return st;
}

/* --- Losses --- */

/* Candidates first .. first+n-1 of one method and bits, ranks rising. */
typedef struct {
    size_t first, n;
    size_t reference[REFERENCES], n_references; /* rising indices of candidates */
    size_t middle;                              /* the reference near the budget */
} family;

static family find_family(const mls_plan_costs *c, size_t method, size_t bits)
{
    family f = {.first = c->n};

    for (size_t i = 0; i < c->n; i++)
        if (c->candidate[i].method == method && c->candidate[i].bits == bits) {
            f.first = i < f.first ? i : f.first;
            f.n++;
        }
    return f;
}

/* Ranks at 1/2, 1, 2 and 4 times what the budget gives when every layer is alike. */
static void choose_references(family *f, const mls_plan_costs *c, size_t budget)
{
    size_t fits = 1;

    while (fits < f->n && uniform_bytes(c, f->first + fits) <= budget)
        fits++; /* so many ranks: the last of them is index fits - 1 */
    for (size_t k = 0; k < REFERENCES; k++) {
        size_t at = (fits << k) / 2;

        at = at == 0 ? 0 : at - 1;
        if (at >= f->n)
            at = f->n - 1;
        if (f->n_references == 0 || f->reference[f->n_references - 1] < f->first + at)
            f->reference[f->n_references++] = f->first + at;
        if (k == 1)
            f->middle = f->reference[f->n_references - 1];
    }
}

/*
 * Everything that is measured: schemes, each alone in every layer and some as a whole.
 */
typedef struct {
    size_t n;
    size_t *candidate; /* (n) */
    double *kl;        /* (n, L) isolated */
    double *whole;     /* (n) all layers, NaN when not measured */
    bool *refused;     /* (n) */
    mls_plan_refused *said;
} measured;

/* A candidate in every layer. */
static mls_status whole_scheme(mls_scheme *s, const mls_plan_costs *c, size_t candidate,
                               mls_err *err)
{
    mls_setting *setting = mls_calloc3(c->L, 1, 1, sizeof *setting);
    char name[MLS_SCHEME_NAME];
    mls_status st = setting
                        ? MLS_OK
                        : mls_fail(err, MLS_E_NOMEM,
                                   "no memory for the settings of %zu layers", c->L);

    *s = (mls_scheme){0};
    for (size_t l = 0; !st && l < c->L; l++)
        st = mls_plan_setting(&setting[l], c, candidate, l, err);
    mls_setting_text(&c->candidate[candidate].setting, name, sizeof name);
    if (!st)
        st = mls_scheme_per_layer(s, name, setting, c->L, err);
    free(setting);
    return st;
}

static mls_status run_references(measured *m, const mls_plan_costs *c,
                                 const mls_plan_request *r, const bool *as_whole,
                                 const mls_progress *progress, mls_err *err)
{
    const size_t L = c->L;
    mls_scheme *scheme = mls_calloc3(m->n, 1, 1, sizeof *scheme);
    mls_variant *variant = mls_calloc3(m->n, L + 1, 1, sizeof *variant);
    mls_evaluation e = {0};
    size_t n = 0;
    mls_status st = MLS_OK;

    if (!scheme || !variant)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to measure %zu settings", m->n);
    for (size_t i = 0; !st && i < m->n; i++) {
        st = whole_scheme(&scheme[i], c, m->candidate[i], err);
        for (size_t l = 0; l < L; l++)
            variant[n++] = (mls_variant){.scheme = &scheme[i], .only_layer = (int)l};
        if (as_whole[i])
            variant[n++] = (mls_variant){.scheme = &scheme[i], .only_layer = MLS_NONE};
    }
    if (!st)
        st = mls_plan_evaluate(&e, r, r->search, variant, n,
                               &(mls_evaluate_options){.keep_going = true}, progress,
                               err);
    if (!st)
        st = mls_evaluation_possible(&e, err);
    for (size_t i = 0, at = 0; !st && i < m->n; i++) {
        const char *why = e.variant[at].refused;

        m->refused[i] = why;
        if (why) {
            mls_progress_note(progress, "left out: %s", why);
            st = mls_plan_refuse(m->said, scheme[i].name, why, err);
        }
        for (size_t l = 0; l < L; l++)
            m->kl[i * L + l] = fmax(e.variant[at++].kl.mean, 0);
        m->whole[i] = as_whole[i] ? e.variant[at++].kl.mean : (double)NAN;
    }
    mls_evaluation_free(&e);
    for (size_t i = 0; scheme && i < m->n; i++)
        mls_scheme_free(&scheme[i]);
    mls_free_all(scheme, variant);
    return st;
}

static const double *measured_at(const measured *m, size_t candidate, size_t L)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->candidate[i] == candidate)
            return m->kl + i * L;
    return NULL;
}

/*
 * Losses of one family in one layer: shape(r) * exp(g(r)), g linear in the rank between
 * references where it makes the product the measured KL. Outside them g is constant
 * with a shape from a spectrum, and goes on along its last piece without one.
 */
static void draw_curve(mls_plan_costs *c, const family *f, const measured *m, size_t l,
                       const double *shape, size_t n_shape)
{
    const size_t L = c->L;
    double x[REFERENCES], g[REFERENCES];
    size_t n = 0;

    for (size_t k = 0; k < f->n_references; k++) {
        const size_t i = f->reference[k], rank = c->candidate[i].rank;
        const double s = !shape ? 1 : rank < n_shape ? shape[rank] : 0;

        if (s <= 0)
            continue;
        x[n] = (double)rank;
        g[n++] = log(fmax(measured_at(m, i, L)[l], kl_floor) / s);
    }
    for (size_t i = f->first; i < f->first + f->n; i++) {
        const size_t rank = c->candidate[i].rank;
        const double s = !shape ? 1 : rank < n_shape ? shape[rank] : 0;
        double r = (double)rank, y;
        size_t k = 1;

        if (n == 0) { /* nothing is lost at any reference */
            c->loss[i * L + l] = 0;
            continue;
        }
        if (shape)
            r = fmin(fmax(r, x[0]), x[n - 1]);
        while (k + 1 < n && x[k] < r)
            k++;
        y = n == 1 ? g[0]
                   : g[k - 1] + (g[k] - g[k - 1]) * (r - x[k - 1]) / (x[k] - x[k - 1]);
        c->loss[i * L + l] = s * exp(y);
    }
}

/*
 * A quantizer adds KL_l(r, bits) - loss_l(r), measured at references of its own, linear
 * in the rank between them and constant outside; never less than nothing.
 */
static void add_quantizer(mls_plan_costs *c, const family *f, const family *base,
                          const measured *m, size_t l)
{
    const size_t L = c->L;
    double x[REFERENCES], added[REFERENCES];

    for (size_t k = 0; k < f->n_references; k++) {
        const size_t i = f->reference[k];

        x[k] = (double)c->candidate[i].rank;
        added[k] = fmax(
            measured_at(m, i, L)[l] - c->loss[(base->first + i - f->first) * L + l], 0);
    }
    for (size_t i = 0; i < f->n; i++) {
        const double rank = (double)c->candidate[f->first + i].rank;
        const double plain = c->loss[(base->first + i) * L + l];
        size_t k = 0;

        while (k + 1 < f->n_references && x[k + 1] <= rank)
            k++;
        double more = added[k];

        if (k + 1 < f->n_references && rank > x[k])
            more += (added[k + 1] - added[k]) * (rank - x[k]) / (x[k + 1] - x[k]);
        c->loss[(f->first + i) * L + l] = plain + more;
    }
}

/* Every method at its smallest rank, made ready: its forms know the spectra. */
typedef struct {
    size_t n;
    mls_scheme *scheme;       /* (n) */
    mls_ready_scheme **ready; /* (n) NULL where there is no rank to choose */
} spectra;

static void spectra_free(spectra *s)
{
    for (size_t k = 0; k < s->n; k++) {
        if (s->ready)
            mls_ready_scheme_free(s->ready[k]);
        if (s->scheme)
            mls_scheme_free(&s->scheme[k]);
    }
    mls_free_all(s->ready, s->scheme);
}

static mls_status spectra_new(spectra *s, const mls_plan_costs *c,
                              const mls_plan_request *r, const family *families,
                              const bool *dropped, mls_err *err)
{
    mls_status st = MLS_OK;

    *s = (spectra){.n = r->n_methods,
                   .scheme = mls_calloc3(r->n_methods, 1, 1, sizeof *s->scheme),
                   .ready = mls_calloc3(r->n_methods, 1, 1, sizeof(void *))};
    if (!s->scheme || !s->ready)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the spectra");
    for (size_t k = 0; !st && k < s->n; k++) {
        const family *base = &families[k * r->n_bits];

        if (base->n < 2 || dropped[k * r->n_bits])
            continue;
        st = mls_scheme_uniform(&s->scheme[k], &c->candidate[base->first].setting, c->L,
                                err);
        if (!st)
            st = mls_scheme_prepare(&s->ready[k], &s->scheme[k], &r->in, err);
    }
    return st;
}

/* Of one layer; none when the method has no spectrum or caches more than one latent. */
static mls_status read_shape(double **shape, size_t *n, const mls_ready_scheme *ready,
                             const mls_layer *layer, const mls_layer_stats *stats,
                             mls_err *err)
{
    mls_latent_form form = {0};
    mls_status st = MLS_OK;

    *shape = NULL;
    *n = 0;
    if (ready)
        st = mls_scheme_build(ready, layer, stats, &form, err);
    if (!st && form.n_latents == 1 && form.latent[0].n_tail) {
        *n = form.latent[0].n_tail;
        *shape = mls_calloc3(*n, 1, 1, sizeof **shape);
        if (!*shape)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for the spectra");
        else
            memcpy(*shape, form.latent[0].tail, *n * sizeof **shape);
    }
    mls_latent_free(&form);
    return st;
}

/*
 * What the model refuses at a reference is no candidate at any rank, nor is any
 * quantizer on top of it.
 */
static mls_status drop_refused(mls_plan_costs *c, const family *families, bool *dropped,
                               const measured *m, size_t n_bits, size_t n_families,
                               mls_err *err)
{
    const size_t L = c->L;
    size_t left = 0;

    for (size_t k = 0; k < n_families; k++) {
        const family *f = &families[k];

        dropped[k] = dropped[k - k % n_bits];
        for (size_t i = 0; i < m->n; i++)
            dropped[k] = dropped[k] || (m->refused[i] && m->candidate[i] >= f->first &&
                                        m->candidate[i] < f->first + f->n);
        for (size_t i = f->first; dropped[k] && i < f->first + f->n; i++)
            for (size_t l = 0; l < L; l++)
                c->allowed[i * L + l] = false;
        left += !dropped[k] && f->n;
    }
    return left ? MLS_OK
                : mls_fail(err, MLS_E_INPUT, "the model can take none of the methods");
}

/* Base families of all methods in one layer, and the quantizers on top. */
static mls_status draw_layer(mls_plan_costs *c, const mls_plan_request *r,
                             const measured *m, const family *families,
                             const bool *dropped, const spectra *known, size_t l,
                             mls_err *err)
{
    mls_layer layer = {0};
    mls_layer_stats stats = {0};
    const bool stays = !mls_common_can_convert(r->in.config, l);
    mls_status st = stays ? MLS_OK : mls_model_keys(r->in.model, l, &layer, err);

    for (size_t i = 0; stays && i < c->n; i++)
        c->loss[i * c->L + l] = 0;
    if (stays)
        return MLS_OK;
    if (!st && r->in.capture)
        st = mls_capture_stats(r->in.capture, l, &stats, err);
    for (size_t k = 0; !st && k < r->n_methods; k++) {
        const family *base = &families[k * r->n_bits];
        double *shape = NULL;
        size_t n_shape = 0;

        if (dropped[k * r->n_bits])
            continue;
        st = read_shape(&shape, &n_shape, known->ready[k], &layer,
                        r->in.capture ? &stats : NULL, err);
        if (!st)
            draw_curve(c, base, m, l, shape, n_shape);
        free(shape);
        for (size_t b = 1; !st && b < r->n_bits; b++)
            if (!dropped[k * r->n_bits + b])
                add_quantizer(c, &families[k * r->n_bits + b], base, m, l);
    }
    mls_layer_stats_free(&stats);
    mls_layer_free(&layer);
    return st;
}

mls_status mls_plan_measure(mls_plan_costs *c, const mls_plan_request *r, size_t budget,
                            const mls_progress *progress, mls_err *err)
{
    const size_t n_families = r->n_methods * r->n_bits;
    family *families = mls_calloc3(n_families, 1, 1, sizeof *families);
    bool *as_whole = mls_calloc3(n_families, REFERENCES, 1, sizeof *as_whole);
    measured m = {.candidate =
                      mls_calloc3(n_families, REFERENCES, 1, sizeof *m.candidate),
                  .kl = mls_calloc3(n_families * REFERENCES, c->L, 1, sizeof *m.kl),
                  .whole = mls_calloc3(n_families, REFERENCES, 1, sizeof *m.whole),
                  .refused = mls_calloc3(n_families, REFERENCES, 1, sizeof(bool)),
                  .said = &c->refused};
    bool *dropped = mls_calloc3(n_families, 1, 1, sizeof *dropped);
    spectra all = {0};
    double ratios = 0;
    size_t n_ratios = 0;
    mls_status st = MLS_OK;

    if (!families || !as_whole || !m.candidate || !m.kl || !m.whole || !m.refused ||
        !dropped)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the costs");
    for (size_t k = 0; !st && k < n_families; k++) {
        family *f = &families[k];
        const family *base = &families[k - k % r->n_bits];

        *f = find_family(c, k / r->n_bits, k % r->n_bits);
        choose_references(f, c, budget);
        for (size_t i = 0; i < f->n_references; i++) {
            as_whole[m.n] = f == base && f->reference[i] == f->middle;
            m.candidate[m.n++] = f->reference[i];
        }
    }
    if (!st)
        st = run_references(&m, c, r, as_whole, progress, err);
    if (!st && mls_parts_making(r->in.parts))
        goto done; /* figures come with all parts */
    if (!st)
        st = drop_refused(c, families, dropped, &m, r->n_bits, n_families, err);
    if (!st)
        st = spectra_new(&all, c, r, families, dropped, err);
    for (size_t l = 0; !st && l < c->L; l++)
        st = draw_layer(c, r, &m, families, dropped, &all, l, err);
    /*
     * Geometric mean over methods; a whole conversion that loses nothing says nothing.
     */
    for (size_t i = 0; !st && i < m.n; i++) {
        double sum = 0;

        for (size_t l = 0; l < c->L; l++)
            sum += m.kl[i * c->L + l];
        if (as_whole[i] && !m.refused[i] && sum > kl_floor && m.whole[i] > kl_floor) {
            ratios += log(m.whole[i] / sum);
            n_ratios++;
        }
    }
    if (n_ratios)
        c->scale = exp(ratios / (double)n_ratios);

done:
    spectra_free(&all);
    mls_free_all(families, as_whole, m.candidate, m.kl, m.whole, m.refused, dropped);
    return st;
}
