/* What the projects themselves run, as settings for any model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/frame/method.h"

enum { TYPICAL_MAX = 16, LINE = 128 };

/* Fill `line`; returns how many. */
static size_t write_settings(char line[][LINE], const mls_config *c)
{
    const size_t D = c->D, GD = c->G * c->D;
    const size_t chunks = D / 16 ? D / 16 : 1;
    size_t n = 0;

    snprintf(line[n++], LINE, "baseline");
    snprintf(line[n++], LINE, "baseline bits=4");
    if (c->mla_kv_lora_rank)
        return n;
    /* Table 1 and 2: d_r = D/8, d_kv = D/2, D/4, D/8, Int4. */
    snprintf(line[n++], LINE, "mha2mla chunks=%zu rank=%zu", chunks, D / 2);
    snprintf(line[n++], LINE, "mha2mla chunks=%zu rank=%zu bits=4", chunks, D / 2);
    snprintf(line[n++], LINE, "mha2mla chunks=%zu rank=%zu", chunks, D / 4);
    snprintf(line[n++], LINE, "mha2mla chunks=%zu rank=%zu", chunks, D / 8);
    /* README: r = 12 of 64 chunks, kv_dim = half of the values' width. */
    snprintf(line[n++], LINE, "elitekv chunks=%zu rank=%zu",
             D * 3 / 32 ? D * 3 / 32 : 1, GD / 2);
    /* Llama-3.2-1B of Table 2: r_kv = 512 and 128 of 2 G D = 1024, d_r = D/2. */
    snprintf(line[n++], LINE, "x-ecomla rank=%zu rope_dim=%zu", GD, D / 4 * 2);
    snprintf(line[n++], LINE, "x-ecomla rank=%zu rope_dim=%zu", GD / 4, D / 4 * 2);
    /* README: 512 + 64 and 448 + 128; half of the cache where that is less. */
    snprintf(line[n++], LINE, "transmla rank=%zu rope_dim=%zu", mls_least(512, GD),
             mls_least(64, D));
    if (D >= 128 && GD >= 512)
        snprintf(line[n++], LINE, "transmla rank=448 rope_dim=128");
    snprintf(line[n++], LINE, "gqa2mla");
    return n;
}

mls_status mls_method_typical(const mls_config *config, mls_setting **out, size_t *n,
                              mls_err *err)
{
    char line[TYPICAL_MAX][LINE];
    mls_status st = MLS_OK;

    const size_t written = write_settings(line, config);

    *n = 0;
    *out = calloc(written, sizeof **out);
    if (!*out)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu settings", written);
    for (size_t i = 0; i < written && !st; i++)
        if (!strstr(line[i], "=0")) /* an eighth of very small heads */
            st = mls_setting_parse(&(*out)[(*n)++], line[i], err);
    if (st) {
        free(*out);
        *out = NULL;
    }
    return st;
}
