/* Which chunks keep their rotation: every selection rule of the field, by name. */
#ifndef MLS_SELECT_RULES_H
#define MLS_SELECT_RULES_H

#include <stddef.h>

#include "analysis/capture/capture.h"
#include "analysis/frequency/rule_scores.h"
#include "analysis/frequency/rules.h"
#include "analysis/frequency/selection.h"
#include "analysis/model/stats.h"
#include "common/base/status.h"
#include "common/system/pool.h"
#include "common/system/progress.h"
#include "datasets/checkpoint/config.h"

/** How one budget is spread. */
typedef enum mls_scope {
    MLS_SCOPE_HEAD,   /* every KV head keeps `chunks` */
    MLS_SCOPE_LAYER,  /* the layer keeps G * chunks, heads may differ */
    MLS_SCOPE_GLOBAL, /* the model keeps L * G * chunks, layers and heads may differ */
    /*
     * Every query head keeps `chunks` of its own, as EliteKV searches. To measure, not
     * to build: with grouped keys a KV head can cache one choice only.
     */
    MLS_SCOPE_QUERY,
} mls_scope;

/** "head", "layer", "global" or "query". */
const char *mls_scope_name(mls_scope scope);
/** The same back; MLS_E_ARG otherwise. */
mls_status mls_scope_parse(mls_scope *scope, const char *text, mls_err *err);

/** What the rule looks at; borrowed during the call. */
typedef struct mls_rule_input {
    const mls_config *config;
    size_t layer;
    const mls_layer_stats *stats; /* of this layer; NULL where the rule needs none */
    mls_capture *capture;         /* NULL where the rule needs no windows */
    mls_pool *pool;               /* NULL: the caller's thread does all */
} mls_rule_input;

/**
 * The chunks that each KV head of one layer keeps.
 *
 * Rules of the shape alone: `high` (fastest), `low` (slowest), `uniform` or
 * `uniform:START` (MHA2MLA), `uniform-elite` (EliteKV), `high+low` or `high+low:HIGH`
 * (HIGH fast ones, the rest slow; half and half by default), `xecomla` (the last rows).
 * Rules of the data: see mls_rules; they sum over the query heads of a KV head.
 *
 * MLS_SCOPE_LAYER: rules of the shape are the same for all heads; norms, contribution,
 * ablation and kl keep the largest G * chunks scores of the layer (MHA2MLA v1 no. 6);
 * greedy rules spend the budget where their own loss falls most.
 *
 * A layer without RoPE keeps nothing.
 *
 * @param rule      name, with its argument after a colon where it takes one
 * @param chunks    kept per KV head, 0..C (on average under MLS_SCOPE_LAYER)
 * @param scope     MLS_SCOPE_HEAD or _LAYER; a global budget needs all layers:
 *                  mls_selections_by_rule()
 * @param[out] out  made here, release with mls_selection_free(); {0} on error. order is
 *                  a whole permutation whose first count[g] chunks are kept
 * @return MLS_OK, MLS_E_ARG (unknown rule or argument), MLS_E_INPUT (chunks > C, the
 *         rule needs data that is not there) or MLS_E_NOMEM
 */
mls_status mls_selection_by_rule(mls_selection *out, const char *rule,
                                 const mls_rule_input *in, size_t chunks,
                                 mls_scope scope, mls_err *err);

/**
 * The same for all layers of a model at once. Under MLS_SCOPE_GLOBAL the budget of all
 * layers with RoPE is spent where a measured loss falls most: the rule's own where it
 * is greedy, else the mean squared score error of its order (one Gram per head and
 * window).
 *
 * @param capture    NULL for rules of the shape under MLS_SCOPE_HEAD and _LAYER
 * @param[out] out   (L), each released by the caller; all {0} on error
 */
mls_status mls_selections_by_rule(mls_selection *out, const char *rule,
                                  const mls_config *config, mls_capture *capture,
                                  size_t chunks, mls_scope scope, mls_pool *pool,
                                  const mls_progress *progress, mls_err *err);

/**
 * order (C) of a rule of the shape for a budget of r chunks. MLS_E_ARG on a wrong
 * argument.
 */
mls_status mls_rule_order(uint16_t *order, const char *rule, size_t C, size_t r,
                          mls_err *err);

/** Counts per head of a layer from scores (G, C) or, when given, losses (G, C + 1). */
mls_status mls_selection_spread(mls_selection *s, const double *score,
                                const double *loss, size_t chunks, mls_err *err);

/**
 * Mean squared score error of a rule for every budget, from one layer's Grams.
 * @param grams      of rule ropelite-l2
 * @param order      (G, C); NULL for a rule of the shape, which is asked for each
 *                   budget
 * @param[out] loss  (G, C + 1)
 */
mls_status mls_rule_square_losses(double *loss, const char *rule,
                                  const mls_rule_scores *grams, const uint16_t *order,
                                  mls_err *err);

/**
 * Counts of all layers with RoPE (and, for a rule of the shape, the orders that go with
 * them) under one global budget.
 * @param out   (L) selections with orders
 * @param loss  (layers with RoPE, G, C + 1)
 */
mls_status mls_selections_spread(mls_selection *out, const char *rule,
                                 const mls_config *config, const double *loss,
                                 size_t chunks, mls_err *err);

#endif
