/*
 * What a setting may say for every method, besides the method's own keys:
 *
 *   layers=LIST      layers that are converted, the others stay as they are; without
 *                    it those that can be (mls_latent_other() says why others cannot)
 *   bits=N           N < 16: the same as quant=int<N>/64+128, bits=16: no quantizer
 *   quant=FORMAT     quantizer of everything that is cached (quantizer.h)
 *   kquant=FORMAT    only of keys: plain ones, latents of keys alone, rope keys
 *   vquant=FORMAT    only of values: plain ones, latents of values alone
 *   rquant=FORMAT    only of rope keys
 *
 * The narrowest key counts. Quantizers act on every layer, also on those that `layers`
 * leaves as they are.
 */
#ifndef MLS_COMMON_KEYS_H
#define MLS_COMMON_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/latent/size.h"
#include "analysis/quant/quantizer.h"
#include "bench/setting/keys.h"
#include "common/base/status.h"
#include "datasets/checkpoint/config.h"

typedef struct mls_common_keys {
    char layers[MLS_SETTING_WORD]; /* as it was written; "": all that can be */
    bool converted[MLS_LAYERS_MAX];
    mls_quant key;      /* plain keys, and latents of keys alone */
    mls_quant value;    /* plain values, and latents of values alone */
    mls_quant latent;   /* latents of keys and values together */
    mls_quant rope_key; /* keys that carry the rotation */
    bool apart; /* kquant or vquant says otherwise: a latent of both cannot follow */
} mls_common_keys;

/** @return MLS_OK, MLS_E_ARG or MLS_E_INPUT (a layer that the model has not) */
mls_status mls_common_keys_read(mls_common_keys *k, const mls_config *config,
                                const mls_setting *s, mls_err *err);

/** Keys and values of its own, and mls_latent_other() has nothing against it. */
bool mls_common_can_convert(const mls_config *config, size_t l);
/** How many layers a method can convert. */
size_t mls_common_convertible(const mls_config *config);

/**
 * "2 of 6 layers can be converted (2,5); as they are stay 4 (a recurrent state)", with
 * what follows where it is none; "" where all can be. Returns out, cut at size.
 */
const char *mls_common_left_alone(char *out, size_t size, const mls_config *config);

/** Keys that every method takes besides its own; mls_common_keys_read() reads them. */
extern const mls_key mls_common_key_table[];

/** Is it about quantizers, which are set on top of a form? */
bool mls_common_quantizes(const mls_key *k);

#endif
