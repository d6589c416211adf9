/*
 * Folders that MLX's converter wrote (mlx-lm, models: sanitize): experts lie in three
 * stacks under names of their own. Convolutions are (channels, taps, 1), the same
 * numbers in the same order; but of families with such layers it also changes weights,
 * 1 + w for the gains w of Qwen3-Next and Qwen3.5, and factors for Falcon-H1, which
 * nothing else in the file tells.
 */
#include <string.h>

#include "datasets/checkpoint/checkpoint_inner.h"
#include "datasets/checkpoint/config_reader.h"

/* Where a stack's name goes on behind a layer's number; NULL: no stack of gates. */
static const char *stack_in(const char *name)
{
    static const char *const stacks[] = {
        "mlp.switch_mlp.", "block_sparse_moe.switch_mlp.", "feed_forward.switch_mlp."};
    static const char gate[] = "gate_proj.weight";

    for (size_t i = 0; i < sizeof stacks / sizeof stacks[0]; i++) {
        const size_t n = strlen(stacks[i]);
        const char *at = strstr(name, stacks[i]);

        if (at && strcmp(at + n, gate) == 0)
            return stacks[i];
    }
    return NULL;
}

static bool is_conv(const mls_tensor_info *t)
{
    return t->n_dims == 3 && t->shape[2] == 1 && t->shape[1] > 1 &&
           (strstr(t->name, "conv1d.weight") || strstr(t->name, ".conv.conv.weight") ||
            strstr(t->name, ".conv.weight"));
}

void mls_checkpoint_find_mlx(mls_checkpoint *c)
{
    mls_net *n = &c->config.net;
    const char *other = NULL;

    for (size_t i = 0; i < c->n_tensors; i++) {
        const mls_tensor_info *t = c->tensors[i].info;
        const char *stacks = n->experts.n ? stack_in(t->name) : NULL;

        if (stacks) {
            n->experts.stacks = stacks;
            n->experts.layout = MLS_EXPERTS_SPLIT;
            n->experts.shared_apart = true;
        }
        if (strstr(t->name, ".switch_mlp."))
            other = t->name;
        if (n->recurrent.kind != MLS_REC_NONE && is_conv(t) &&
            (n->unit_offset || n->beside))
            mls_config_unsupported(
                &c->config,
                "MLX wrote this folder (\"%.60s\" has its shape) and changed %s: "
                "download the model's own safetensors, or a GGUF file of it",
                t->name, n->beside ? "weights by the multipliers" : "norms to 1 + w");
    }
    if (other && !n->experts.stacks)
        mls_config_unsupported(
            &c->config,
            "MLX's stacks of experts (\"%.60s\") are not read for this model_type: "
            "download the model's own safetensors, or a GGUF file of it",
            other);
}
