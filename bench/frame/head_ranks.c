#include "bench/frame/head_ranks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/frame/common_keys.h"
#include "common/base/checked.h"

static const char *const side_keys[MLS_SIDES] = {"rank_k", "rank_v"};

/* One number for all heads, or G of them; *found tells whether the key is there. */
static mls_status read_list(size_t *rank, bool *found, const mls_config *config,
                            const mls_setting *s, const char *key, mls_err *err)
{
    const size_t most = mls_least(config->D, config->E), G = config->G;
    const char *p = mls_setting_get(s, key), *text = p;
    size_t n = 0;

    *found = p != NULL;
    while (p && n < G) {
        char *end;
        const unsigned long value = *p >= '0' && *p <= '9' ? strtoul(p, &end, 10) : 0;

        if (value == 0 || value > MLS_WIDTH_MAX || (*end && *end != ':'))
            break;
        rank[n++] = value;
        p = *end ? end + 1 : NULL;
        if (!p && n == 1)
            for (; n < G; n++)
                rank[n] = rank[0];
    }
    if (p || (text && n != G))
        return mls_fail(
            err, MLS_E_ARG,
            "%s: %s is a whole number from 1 to %zu, or one for each of %zu "
            "KV heads with ':' between them, found \"%s\"",
            s->method, key, most, G, text);
    for (size_t g = 0; text && g < G; g++) {
        const mls_status st =
            mls_at_most(s, key, rank[g], most, "the dims of a head", err);

        if (st)
            return st;
    }
    return MLS_OK;
}

mls_status mls_head_ranks(mls_head_rank *rank, const mls_config *config,
                          const mls_setting *s, mls_err *err)
{
    const size_t half = (mls_least(config->D, config->E) + 1) / 2;
    size_t both[MLS_HEADS_MAX];
    bool found;
    mls_status st = read_list(both, &found, config, s, "rank", err);

    for (size_t g = 0; !found && g < config->G; g++)
        both[g] = half;
    for (size_t i = 0; !st && i < MLS_SIDES; i++) {
        st = read_list(rank->of[i], &found, config, s, side_keys[i], err);
        if (!st && !found)
            memcpy(rank->of[i], both, config->G * sizeof *both);
    }
    return st;
}

mls_status mls_head_layout(const mls_head_rank *rank, const mls_config *config,
                           const mls_setting *s, mls_cache_layout *out, mls_err *err)
{
    mls_common_keys k;
    mls_status st = mls_common_convert(out, &k, config, s, err);

    for (size_t l = 0; !st && l < config->L; l++) {
        if (!k.converted[l])
            continue;
        for (size_t g = 0; !st && g < config->G; g++)
            st = mls_cache_add(&out->layer[l], MLS_PART_KEY_LATENT,
                               rank->of[MLS_KEYS][g], 1, false, &k.key, err);
        for (size_t g = 0; !st && g < config->G; g++)
            st = mls_cache_add(&out->layer[l], MLS_PART_LATENT, rank->of[MLS_VALUES][g],
                               1, false, &k.value, err);
    }
    return st;
}

mls_status mls_tail_of(double **tail, const double *values, size_t n, mls_err *err)
{
    *tail = mls_calloc3(n + 1, 1, 1, sizeof **tail);
    if (!*tail)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a spectrum of %zu values", n);
    for (size_t r = n; r-- > 0;)
        (*tail)[r] = (*tail)[r + 1] + fmax(values[r], 0);
    return MLS_OK;
}

void mls_split_ranks(size_t *rank, const double *tail, size_t n, size_t most,
                     size_t total, size_t step)
{
    const size_t least = mls_least(step, most);
    size_t left = total;

    for (size_t i = 0; i < n; i++) {
        rank[i] = least;
        left -= least;
    }
    while (left > 0) {
        double best_gain = -1;
        size_t best = n, best_by = 0;

        for (size_t i = 0; i < n; i++) {
            const double *t = tail + i * (most + 1);
            const size_t by = mls_least(mls_least(step, left), most - rank[i]);
            const double gain = by ? (t[rank[i]] - t[rank[i] + by]) / (double)by : -1.0;

            if (gain > best_gain) {
                best_gain = gain;
                best = i;
                best_by = by;
            }
        }
        if (best == n)
            return;
        rank[best] += best_by;
        left -= best_by;
    }
}

mls_status mls_set_head_ranks(mls_setting *s, const char *key, const size_t *rank,
                              size_t n, mls_err *err)
{
    char text[MLS_SETTING_WORD] = "";
    size_t at = 0;
    bool alike = true;

    for (size_t g = 1; g < n; g++)
        alike = alike && rank[g] == rank[0];
    for (size_t g = 0; g < (alike ? 1 : n); g++) {
        const int len =
            snprintf(text + at, sizeof text - at, "%s%zu", g ? ":" : "", rank[g]);

        if (len < 0 || (size_t)len >= sizeof text - at)
            return mls_fail(err, MLS_E_ARG, "%s: ranks of %zu heads do not fit %s",
                            s->method, n, key);
        at += (size_t)len;
    }
    return mls_setting_set(s, key, text, err);
}
