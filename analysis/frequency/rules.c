/*
 * A row says where a rule comes from, paper or file at a commit, and what it needs to
 * see: whoever reads a capture loads no more than that. Behind a colon stands an
 * argument (uniform:2), which only some rules take.
 */
#include "analysis/frequency/rules.h"

#include <stdio.h>
#include <string.h>

#include "common/base/words.h"

/*
 * X-EcoMLA rotates the last 2r rows of a head. Row c + C is the second half of chunk c,
 * so in whole chunks the last rows are the slowest chunks; the broken pairs and the new
 * frequencies of the real thing belong to the method, not to a selection.
 */
static const mls_rule rules[] = {
    {MLS_RULE_HIGH, "high", "the fastest chunks", "MHA2MLA (2502.14837), S_high",
     MLS_NEEDS_CONFIG, false},
    {MLS_RULE_LOW, "low", "the slowest chunks", "MHA2MLA (2502.14837), S_low",
     MLS_NEEDS_CONFIG, false},
    {MLS_RULE_UNIFORM, "uniform", "every C/r-th chunk from a start",
     "MHA2MLA (2502.14837), S_uniform", MLS_NEEDS_CONFIG, true},
    {MLS_RULE_UNIFORM_ELITE, "uniform-elite", "evenly from the first to the last chunk",
     "EliteKV (2503.01586), Uniform", MLS_NEEDS_CONFIG, false},
    {MLS_RULE_HIGH_LOW, "high+low", "half fastest, half slowest",
     "MHA2MLA v1 (94467d1), no. 3", MLS_NEEDS_CONFIG, true},
    {MLS_RULE_XECOMLA, "xecomla", "the last rows, in whole chunks",
     "X-EcoMLA (2503.11132), hybrid_mla_layer.py", MLS_NEEDS_CONFIG, false},
    {MLS_RULE_NORM, "2-norm", "product of mean 2-norms of q and k",
     "MHA2MLA, 2_norm.py at 7a56785", MLS_NEEDS_STATS, false},
    {MLS_RULE_NORM_SUM, "2-norm-sum", "sum of mean 2-norms of q and k",
     "MHA2MLA v1 (94467d1)", MLS_NEEDS_STATS, false},
    {MLS_RULE_CONTRIBUTION, "contribution", "mean share of the rotated score",
     "EliteKV (2503.01586), Contribution, over all causal pairs", MLS_NEEDS_WINDOWS,
     false},
    {MLS_RULE_CONTRIBUTION_SAMPLED, "contribution-sampled",
     "the same from random pairs on the acausal side",
     "EliteKV, analysis.py at e9a8616", MLS_NEEDS_WINDOWS, false},
    {MLS_RULE_ABLATION, "ablation", "mean magnitude of the share of the score",
     "zero-ablation, shenth222/MHA2MLA at 225bcda", MLS_NEEDS_WINDOWS, false},
    {MLS_RULE_ROPELITE_L1, "ropelite-l1", "greedy, mean |score error|",
     "EliteKV (2503.01586), RoPElite", MLS_NEEDS_WINDOWS, false},
    {MLS_RULE_ROPELITE_L2, "ropelite-l2", "greedy, mean squared score error", "",
     MLS_NEEDS_WINDOWS, false},
    {MLS_RULE_KL, "kl", "KL of attention without one chunk's rotation", "",
     MLS_NEEDS_WINDOWS, false},
    {MLS_RULE_KL_GREEDY, "kl-greedy", "greedy, KL of attention", "", MLS_NEEDS_WINDOWS,
     false},
};

const mls_rule *const mls_rules[] = {
    &rules[0],  &rules[1],  &rules[2],  &rules[3], &rules[4],  &rules[5],
    &rules[6],  &rules[7],  &rules[8],  &rules[9], &rules[10], &rules[11],
    &rules[12], &rules[13], &rules[14], NULL,
};

enum { N_RULES = sizeof rules / sizeof rules[0], NAME_SIZE = 48 };

mls_status mls_rule_find(const mls_rule **out, const char *name, mls_err *err)
{
    const char *names[N_RULES + 1] = {0};
    char plain[NAME_SIZE];

    *out = NULL;
    snprintf(plain, sizeof plain, "%.*s", (int)strcspn(name, ":"), name);
    for (size_t i = 0; i < N_RULES; i++) {
        names[i] = rules[i].name;
        if (strcmp(plain, names[i]) != 0)
            continue;
        if (strchr(name, ':') && !rules[i].takes_argument)
            return mls_fail(err, MLS_E_ARG, "rule %s takes no argument", plain);
        *out = &rules[i];
        return MLS_OK;
    }
    char suggestion[MLS_SUGGESTION];

    return mls_fail(err, MLS_E_ARG, "there is no selection rule %s%s", plain,
                    mls_suggest(plain, names, suggestion));
}
