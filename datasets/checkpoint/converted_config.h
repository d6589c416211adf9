/* What config.json of a converted checkpoint says besides the model's shape. */
#ifndef MLS_CONVERTED_CONFIG_H
#define MLS_CONVERTED_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"
#include "datasets/checkpoint/config.h"

enum { MLS_CONVERTED_PATH = 512 };

/**
 * Keys of MHA2MLA's object `mha2mla`; of EliteKV; of X-EcoMLA; of DeepSeek-V3 and
 * TransMLA; of mlascope export.
 */
typedef struct mls_converted_config {
    bool is_mha2mla;      /* there is an object `mha2mla` */
    char rule[16];        /* partial_rope_version: "2-norm", "high", ... */
    size_t rope_dim;      /* rope_dim_for_mla, or qk_rope_head_dim of X-EcoMLA: even */
    size_t uniform_start; /* uniform_start_point */
    char rank_file[MLS_CONVERTED_PATH]; /* qk_tensor_path, "" when none */
    bool per_query_head; /* is_gqa2mha2mla: every query head has a key of its own */

    bool is_elitekv;     /* there is half_of_rope_dim */
    size_t chunks;       /* that, per head */
    bool uniform_chunks; /* auto_map names modeling_llama_Uniform: evenly spread ones;
                            else a rank file beside the checkpoint says which */

    bool is_x_ecomla;           /* there is a mla_layer_config.json, which says: */
    size_t nope_dim, value_dim; /* qk_nope_head_dim, v_head_dim; rope_dim is above */
    mls_rope_config rope;       /* rope_theta, and rope_scaling as its YaRN reads it */
    double rope_scale;          /* softmax_scale over (nope + rope)^-1/2; 0: 1 */

    bool rope_interleaved; /* rope_interleave: rows 2i, 2i + 1 are a pair; else
                             half-split */
    double norm_eps;     /* mlascope_norm_eps, of the latents' norms; 0: rms_norm_eps */
    double residual;     /* mlascope_residual_scale: hidden states are times this; 0:
                            not of ours, the layers are written as the original's */
    double query_scalar; /* query_pre_attn_scalar: scores / sqrt of it; 0: not given */

    char model_sha256[65]; /* mlascope_model: the original's hash; "" when not given */
} mls_converted_config;

/**
 * Read FOLDER/config.json once more for these keys, and mla_layer_config.json.
 * @return MLS_OK, MLS_E_INPUT (file and key are named), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_converted_config_read(mls_converted_config *c, const char *folder,
                                     mls_err *err);

#endif
