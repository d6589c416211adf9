/*
 * A quantity is named once. Means are kept in files as they are (nat, shares) and shown
 * as people read them (perplexity, percent), so most have both a number and a view.
 */
#include "bench/evaluate/quantities.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define GET(name, value)                                                               \
    static double name(const mls_compared *r)                                          \
    {                                                                                  \
        return value;                                                                  \
    }
GET(get_bytes, r->bytes)
GET(get_payload, r->payload)
GET(get_growing, r->growing)
GET(get_fixed, r->fixed)
GET(get_kept, 100 * r->kept)
GET(get_kept_payload, 100 * r->kept_payload)
GET(get_key, r->predicted.key)
GET(get_value, r->predicted.value)
GET(get_logit, r->predicted.logit)
GET(get_logit_relative, r->predicted.logit_relative)
GET(get_output, r->predicted.output)
GET(get_attention, r->predicted.attention)
GET(get_perplexity, exp(r->nll.mean))
GET(get_nll_half, r->nll.half)
GET(get_low, exp(r->nll.mean - r->nll.half))
GET(get_high, exp(r->nll.mean + r->nll.half))
GET(get_kl, r->kl.mean)
GET(get_kl_half, r->kl.half)
GET(get_top1, 100 * r->top1.mean)
GET(get_top1_half, 100 * r->top1.half)
GET(get_dnll, r->dnll.mean)
GET(get_dnll_half, r->dnll.half)
GET(get_seconds, r->seconds)
GET(get_parameters, r->parameters)
GET(get_law, r->law_kl)
#undef GET

#define KEPT(name, member) .row = name, .at = offsetof(mls_compared, member)

const mls_quantity mls_quantities[] = {
    {"bytes_per_token", "cache", "B/token", 1, get_bytes, KEPT("bytes", bytes)},
    {"payload_bytes_per_token", "payload", "B/token", 1, get_payload,
     KEPT("payload", payload)},
    {"growing_bytes_per_token", "grows", "B/token", 1, get_growing,
     KEPT("growing", growing)},
    {"fixed_bytes", "fixed", "B", 0, get_fixed, KEPT("fixed", fixed)},
    {"kept_percent", "kept", "%", 2, get_kept, KEPT("kept", kept)},
    {"payload_kept_percent", "payload kept", "%", 2, get_kept_payload,
     KEPT("kept_payload", kept_payload)},
    {"predicted_key", "key error", "", 4, get_key,
     KEPT("predicted_key", predicted.key)},
    {"predicted_value", "value error", "", 4, get_value,
     KEPT("predicted_value", predicted.value)},
    {"predicted_logit", "logit error", "nat", 4, get_logit,
     KEPT("predicted_logit", predicted.logit)},
    {"predicted_logit_relative", "logit error", "", 4, get_logit_relative,
     KEPT("predicted_logit_relative", predicted.logit_relative)},
    {"predicted_output", "output error", "", 4, get_output,
     KEPT("predicted_output", predicted.output)},
    {"attention_error", "attention error", "", 4, get_attention,
     KEPT("attention_error", predicted.attention)},
    {"perplexity", "perplexity", "", 3, get_perplexity, KEPT("nll", nll.mean)},
    {"nll_half", "±", "nat", 5, get_nll_half, KEPT("nll_half", nll.half)},
    {"kl", "KL", "nat", 5, get_kl, KEPT("kl", kl.mean)},
    {"kl_half", "±", "nat", 5, get_kl_half, KEPT("kl_half", kl.half)},
    {"top1_percent", "same top-1", "%", 2, get_top1, KEPT("top1", top1.mean)},
    {"top1_half", "±", "%", 2, get_top1_half, KEPT("top1_half", top1.half)},
    {"delta_nll", "ΔNLL", "nat", 5, get_dnll, KEPT("delta_nll", dnll.mean)},
    {"delta_nll_half", "±", "nat", 5, get_dnll_half, KEPT("delta_nll_half", dnll.half)},
    {"seconds", "time", "s", 2, get_seconds, KEPT("seconds", seconds)},
    {"attention_parameters", "attention weights", "", 0, get_parameters,
     KEPT("attention_parameters", parameters)},
    {"perplexity_low", "low", "", 3, get_low, NULL, 0},
    {"perplexity_high", "high", "", 3, get_high, NULL, 0},
    {"predicted_kl", "predicted KL", "nat", 4, get_law, NULL, 0},
    {0},
};

const mls_quantity *mls_quantity_find(const char *key)
{
    for (const mls_quantity *q = mls_quantities; q->key; q++)
        if (strcmp(q->key, key) == 0)
            return q;
    return NULL;
}
