/* Converted models read back: method `converted`, and what it reads. */
#ifndef MLS_CONVERTED_H
#define MLS_CONVERTED_H

#include <stddef.h>

#include "analysis/frequency/selection.h"
#include "analysis/latent/latent.h"
#include "common/base/status.h"
#include "datasets/checkpoint/checkpoint.h"
#include "datasets/checkpoint/converted_config.h"

/**
 * Layer l of a checkpoint in DeepSeek-V3's names (deepseek_v3, TransMLA, mlascope
 * export) as a latent form: latent with or without kv_a_layernorm, query full or
 * low-rank with or without q_a_layernorm, rope rows interleaved or half-split.
 *
 * @param config  of the original model; shapes must agree
 * @return MLS_OK, MLS_E_INPUT (a tensor missing or of another shape; a bias that no
 *         form has), MLS_E_IO or MLS_E_NOMEM; *f is {0} on error
 */
mls_status mls_converted_deepseek(mls_latent_form *f, const mls_checkpoint *c,
                                  const mls_converted_config *how,
                                  const mls_config *config, size_t l, mls_err *err);

/**
 * Which chunks keep their rotation in a checkpoint that MHA2MLA wrote. It does not hold
 * them: they follow from the rule or, for "2-norm" and "mkl", from the rank file that
 * config.json names, looked for in the checkpoint's folder first, then as named.
 *
 * @param[out] s  (L) one selection a layer, of G or, per query head, H heads; the
 *                caller releases each with mls_selection_free(). All {0} on error
 */
mls_status mls_converted_mha2mla_chunks(mls_selection *s, const mls_checkpoint *c,
                                        const mls_converted_config *how,
                                        const mls_config *config, mls_err *err);

/**
 * Layer l of such a checkpoint (JT-Ushio/MHA2MLA src/mha2mla/patching_model_load.py,
 * patch_func.py): q_proj rows of all heads' kept dims, then of all heads' other dims;
 * k_r_proj; kv_proj with down_kv, or down_k and down_v, or neither of one or both.
 *
 * @param s  chunks of this layer
 */
mls_status mls_converted_mha2mla(mls_latent_form *f, const mls_checkpoint *c,
                                 const mls_selection *s, const mls_config *config,
                                 size_t l, mls_err *err);

/**
 * The same of a checkpoint that EliteKV wrote, of H heads: evenly spread chunks, or
 * those of RoPElite_<chunks>.pkl in its folder.
 */
mls_status mls_converted_elitekv_chunks(mls_selection *s, const mls_checkpoint *c,
                                        const mls_converted_config *how,
                                        const mls_config *config, mls_err *err);

/**
 * Layer l of such a checkpoint (CiaranZhou/EliteKV convert/convert.py,
 * modeling_llama_EliteKV.py): q_nope_proj, q_rope_proj and k_rope_proj, in each head
 * first halves of its chunks, then second halves, chunks ascending; kv_a_proj;
 * kv_b_proj of each head's keys, then values. Every query head has a key of its own.
 *
 * @param s  chunks of this layer
 */
mls_status mls_converted_elitekv(mls_latent_form *f, const mls_checkpoint *c,
                                 const mls_selection *s, const mls_config *config,
                                 size_t l, mls_err *err);

/**
 * Layer l of a checkpoint that X-EcoMLA wrote (AMD-AGI/AMD-Hybrid-Models X-EcoMLA/mla):
 * model.layers.L.mla in DeepSeek-V3's names, out_proj for o_proj, ranks by their rows;
 * a layer without them is as the original's.
 */
mls_status mls_converted_x_ecomla(mls_latent_form *f, const mls_checkpoint *c,
                                  const mls_converted_config *how,
                                  const mls_config *config, size_t l, mls_err *err);

#endif
