/* The selection rules of the field by name. */
#ifndef MLS_RULES_H
#define MLS_RULES_H

#include <stdbool.h>

#include "common/base/status.h"

/** What a rule must see; each includes the ones before. */
typedef enum mls_rule_needs {
    MLS_NEEDS_CONFIG,  /* the shape alone: the same for every head and layer */
    MLS_NEEDS_STATS,   /* the layer's mean 2-norms */
    MLS_NEEDS_WINDOWS, /* whole windows of q and k from a capture file */
} mls_rule_needs;

typedef enum mls_rule_id {
    MLS_RULE_HIGH,
    MLS_RULE_LOW,
    MLS_RULE_UNIFORM,
    MLS_RULE_UNIFORM_ELITE,
    MLS_RULE_HIGH_LOW,
    MLS_RULE_XECOMLA,
    MLS_RULE_NORM,
    MLS_RULE_NORM_SUM,
    MLS_RULE_CONTRIBUTION,
    MLS_RULE_CONTRIBUTION_SAMPLED,
    MLS_RULE_ABLATION,
    MLS_RULE_ROPELITE_L1,
    MLS_RULE_ROPELITE_L2,
    MLS_RULE_KL,
    MLS_RULE_KL_GREEDY,
} mls_rule_id;

typedef struct mls_rule {
    mls_rule_id id;
    const char *name;   /* as in a setting: rope=NAME */
    const char *title;  /* one line for people */
    const char *source; /* paper, project and file; "" for ours */
    mls_rule_needs needs;
    bool takes_argument; /* "uniform:2" */
} mls_rule;

/** NULL-terminated, in the order of tables. */
extern const mls_rule *const mls_rules[];

/**
 * A rule by name; an argument after a colon is accepted where the rule takes one (its
 * value is checked by mls_selection_by_rule()). MLS_E_ARG names the nearest rule.
 */
mls_status mls_rule_find(const mls_rule **out, const char *name, mls_err *err);

#endif
