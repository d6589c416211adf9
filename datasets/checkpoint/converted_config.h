/* What config.json of a converted checkpoint says besides the model's shape. */
#ifndef MLS_CONVERTED_CONFIG_H
#define MLS_CONVERTED_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"

enum { MLS_CONVERTED_PATH = 512 };

/**
 * Keys of MHA2MLA's object `mha2mla`; of DeepSeek-V3 and TransMLA; of mlascope export.
 */
typedef struct mls_converted_config {
    bool is_mha2mla;      /* there is an object `mha2mla` */
    char rule[16];        /* partial_rope_version: "2-norm", "high", ... */
    size_t rope_dim;      /* rope_dim_for_mla, dims per head, even */
    size_t uniform_start; /* uniform_start_point */
    char rank_file[MLS_CONVERTED_PATH]; /* qk_tensor_path, "" when none */
    bool per_query_head; /* is_gqa2mha2mla: every query head has a key of its own */

    bool rope_interleaved; /* rope_interleave: rows 2i, 2i + 1 are a pair; else
                             half-split */
    double norm_eps;     /* mlascope_norm_eps, of the latents' norms; 0: rms_norm_eps */
    double residual;     /* mlascope_residual_scale: hidden states are times this; 0:
                            not of ours, the layers are written as the original's */
    double query_scalar; /* query_pre_attn_scalar: scores / sqrt of it; 0: not given */

    char model_sha256[65]; /* mlascope_model: the original's hash; "" when not given */
} mls_converted_config;

/**
 * Read FOLDER/config.json once more for these keys.
 * @return MLS_OK, MLS_E_INPUT (file and key are named), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_converted_config_read(mls_converted_config *c, const char *folder,
                                     mls_err *err);

#endif
