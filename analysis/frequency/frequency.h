/*
 * Everything about which chunks a model needs, from one capture: what `frequency`
 * shows.
 */
#ifndef MLS_FREQUENCY_H
#define MLS_FREQUENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/capture/capture.h"
#include "analysis/frequency/bootstrap.h"
#include "analysis/frequency/select_rules.h"
#include "analysis/frequency/selection_cost.h"
#include "analysis/numeric/interval.h"
#include "common/base/status.h"
#include "common/system/pool.h"
#include "common/system/progress.h"

struct mls_parts; /* datasets/files/parts.h */

typedef struct mls_frequency_request {
    const char *const *rules; /* (n_rules) names, with arguments */
    size_t n_rules;
    const size_t *chunks; /* (n_chunks) budgets per KV head */
    size_t n_chunks;
    mls_scope scope;
    size_t bootstrap; /* draws; 0: none */
    bool stability;
    /*
     * Measure what selections cost: then windows 0, 2, 4, ... choose (and the sequences
     * of the others are left out of the norms), windows 1, 3, 5, ... measure. Without
     * costs all windows choose.
     */
    bool costs;
    size_t tokens;  /* windows are their first tokens only; 0, or too many: all */
    size_t windows; /* so many at most, evenly over the capture's; 0: all */
    size_t every;   /* costs by one block of queries in so many; 0: all */
    uint64_t seed;
    struct mls_parts *parts; /* of a run that several processes share; NULL: not so.
                                Layers of others stay empty while a part is made */
} mls_frequency_request;

enum { MLS_RULE_TEXT = 48 };

/** One layer's share of the agreements of a rule. */
typedef struct mls_agreement {
    size_t n_sizes, units[MLS_STABILITY_SIZES];
    double correlation[MLS_STABILITY_SIZES];
    double *overlap; /* (MLS_STABILITY_SIZES, n_chunks) */
} mls_agreement;

/** One rule. Layers without RoPE hold NaN and keep nothing. */
typedef struct mls_frequency_rule {
    char name[MLS_RULE_TEXT]; /* with its argument */
    const mls_rule *rule;
    double *score;            /* (L, G, C); NaN for rules of the shape */
    double *low, *high;       /* (L, G, C): 95 % intervals; NaN where none were made */
    double *in_top;           /* (n_chunks, L, G, C): chance to be kept with that budget
                                 per head; NaN where none was made */
    double *loss;             /* (L, G, C + 1) of greedy rules; NaN otherwise */
    mls_selection *selection; /* (n_chunks, L) */
    mls_cost *cost;           /* (n_chunks, L, n_held, H); NULL without costs */
    mls_agreement *agreement; /* (L) of each layer's halves */
    /*
     * Agreement of two disjoint samples of units[i] sequences or windows, mean over
     * layers with RoPE; 0 sizes for rules of the shape. Searches are made again for the
     * two halves only.
     */
    size_t n_sizes, units[MLS_STABILITY_SIZES];
    double *overlap;                         /* (n_sizes, n_chunks) */
    double correlation[MLS_STABILITY_SIZES]; /* Spearman's */
} mls_frequency_rule;

typedef struct mls_frequency {
    mls_config config;
    size_t L, H, G, C; /* G: heads that choose, H under MLS_SCOPE_QUERY */
    size_t n_rules, n_chunks;
    size_t *chunks;         /* (n_chunks) */
    double *inv_freq;       /* (L, C), radians per token */
    size_t n_windows, T;    /* windows that choose; tokens of a window */
    size_t step;            /* of the capture's windows one in so many is used */
    size_t n_held;          /* windows that measure */
    size_t n_sequences;     /* sequences behind the norms */
    double sequence_tokens; /* mean length of a sequence */
    size_t n_layers;        /* with RoPE */
    mls_scope scope;
    size_t bootstrap;
    uint64_t seed;
    mls_frequency_rule *rule; /* (n_rules) */
    double *work;             /* (3, n_held), of mls_frequency_cost() */
} mls_frequency;

/**
 * @param[out] out  release with mls_frequency_free(); {0} on error
 * @return MLS_OK, MLS_E_ARG (rule, argument), MLS_E_INPUT (a budget larger than C,
 *         rules that need windows of a capture without, costs with fewer than two
 *         windows, no layer with RoPE), MLS_E_STOPPED, MLS_E_IO, MLS_E_NUMERIC or
 *         MLS_E_NOMEM
 */
mls_status mls_frequency_run(mls_frequency *out, mls_capture *capture,
                             const mls_frequency_request *request, mls_pool *pool,
                             const mls_progress *progress, mls_err *err);
void mls_frequency_free(mls_frequency *f); /* {0} is accepted */

/** Tokens of one full turn of a layer's chunk: 2 pi / inv_freq. */
double mls_frequency_wavelength(const mls_frequency *f, size_t l, size_t c);
/** The same of all layers that turn; NaN where they turn in different ways. */
double mls_frequency_wavelength_of_all(const mls_frequency *f, size_t c);

/** Selection of rule i, budget b, layer l. */
const mls_selection *mls_frequency_selection(const mls_frequency *f, size_t i, size_t b,
                                             size_t l);

/** A figure with its 95 % interval over the held windows. */
typedef struct mls_cost_means {
    mls_mean score_error, kl, output_error;
} mls_cost_means;

/**
 * Costs of rule i with budget b, mean over layers [l, l + n_layers) with RoPE and heads
 * [h, h + n_heads). One thread at a time: it uses f->work.
 */
mls_cost_means mls_frequency_cost(const mls_frequency *f, size_t i, size_t b, size_t l,
                                  size_t n_layers, size_t h, size_t n_heads);

/**
 * Mean chance (bootstrap) of the chunks that rule i keeps with budget b; NaN if none.
 */
double mls_frequency_sureness(const mls_frequency *f, size_t i, size_t b);

#endif
