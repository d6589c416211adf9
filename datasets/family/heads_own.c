/*
 * Heads and dims that are not those of all layers: of the layers with a window, of full
 * ones, and of single layers, by lists or by an object for each.
 */
#include <stdio.h>
#include <string.h>

#include "datasets/base/json.h"
#include "datasets/family/layers_inner.h"

/* A number from whichever of two keys is there. */
static mls_status either(const mls_layers_reader *r, const char *a, const char *b,
                         size_t max, size_t *out)
{
    return mls_fact_whole(r->k, mls_fact_peek(r->k, a) ? a : b, 1, max, out);
}

/* Layers with a window may have heads of their own. */
static mls_status sliding_heads(const mls_layers_reader *r, mls_heads *h)
{
    mls_status st;

    if (strcmp(r->model_type, "mimo_v2_flash") == 0 &&
        !mls_fact_peek(r->k, "swa_num_key_value_heads") &&
        !mls_fact_peek(r->k, "per_layer_config"))
        h->G *= 2;
    if (strcmp(r->model_type, "dots3_note_text") == 0 &&
        !mls_fact_peek(r->k, "per_layer_config")) { /* of the class */
        *h = (mls_heads){
            .H = 64, .G = 64, .V = 128, .latent = 1024, .nope = 192, .rope = 64};
        if ((st = mls_fact_whole(r->k, "swa_kv_lora_rank", 1, MLS_WIDTH_MAX,
                                 &h->latent)))
            return st;
    }
    if ((st = either(r, "swa_num_attention_heads", "num_swa_attention_heads",
                     MLS_HEADS_MAX, &h->H)) ||
        (st = either(r, "swa_num_key_value_heads", "num_swa_key_value_heads",
                     MLS_HEADS_MAX, &h->G)) ||
        (st = mls_fact_whole(r->k, "num_sliding_attention_heads", 1, MLS_HEADS_MAX,
                             &h->H)))
        return st;
    if (h->latent)
        return MLS_OK;
    st = mls_fact_whole(r->k, "swa_head_dim", 1, MLS_DIM_MAX, &h->K);
    if (!st && mls_fact_peek(r->k, "swa_head_dim") &&
        !mls_fact_peek(r->k, "v_head_dim"))
        h->V = h->K;
    return st ? st : mls_fact_whole(r->k, "swa_v_head_dim", 1, MLS_DIM_MAX, &h->V);
}

/* Gemma 4: full layers have longer and fewer heads. */
static mls_status full_heads(const mls_layers_reader *r, mls_heads *h)
{
    bool shared = false;
    mls_status st;

    if (strcmp(r->model_type, "gemma4_unified_text") != 0 &&
        strcmp(r->model_type, "gemma4_text") != 0)
        return MLS_OK;
    if (mls_fact_peek(r->k, "per_layer_config"))
        return MLS_OK;
    h->K = 512;
    if ((st = mls_fact_whole(r->k, "global_head_dim", 1, MLS_DIM_MAX, &h->K)) ||
        (st = mls_fact_flag(r->k, "attention_k_eq_v", &shared)))
        return st;
    h->V = h->K;
    return shared ? mls_fact_whole(r->k, "num_global_key_value_heads", 1, MLS_HEADS_MAX,
                                   &h->G)
                  : MLS_OK;
}

mls_status mls_layers_member(const mls_layers_reader *r, const json_t *object,
                             const char *name, size_t min, size_t max, size_t *out)
{
    const json_t *v = json_object_get(object, name);

    return v && !json_is_null(v) ? mls_fact_whole_of(r->k, name, v, min, max, out)
                                 : MLS_OK;
}

/* per_layer_config: {"5": {"head_dim": 512}} of transformers 5. */
static mls_status per_layer(const mls_layers_reader *r, size_t l, mls_heads *h)
{
    const json_t *all = mls_fact(r->k, "per_layer_config"), *one;
    const size_t K = h->K;
    char name[24];
    mls_status st;

    snprintf(name, sizeof name, "%zu", l);
    one = json_object_get(all, name);
    if (!one) {
        snprintf(name, sizeof name, "%02zu", l);
        one = json_object_get(all, name);
    }
    if ((st = mls_layers_member(r, one, "num_attention_heads", 1, MLS_HEADS_MAX,
                                &h->H)) ||
        (st = mls_layers_member(r, one, "num_key_value_heads", 1, MLS_HEADS_MAX,
                                &h->G)) ||
        (st =
             mls_layers_member(r, one, "kv_lora_rank", 1, MLS_WIDTH_MAX, &h->latent)) ||
        (st =
             mls_layers_member(r, one, "qk_nope_head_dim", 0, MLS_DIM_MAX, &h->nope)) ||
        (st =
             mls_layers_member(r, one, "qk_rope_head_dim", 0, MLS_DIM_MAX, &h->rope)) ||
        (!h->latent &&
         (st = mls_layers_member(r, one, "head_dim", 1, MLS_DIM_MAX, &h->K))))
        return st;
    if (!h->latent && h->K != K)
        h->V = h->K;
    return mls_layers_member(r, one, "v_head_dim", 1, MLS_DIM_MAX, &h->V);
}

/* Nemotron-NAS: block_configs[l].attention, which may be left out or replaced. */
static mls_status block_config(mls_layers_reader *r, size_t l, mls_heads *h)
{
    const json_t *blocks = mls_fact(r->k, "block_configs"), *one;
    size_t in_group = 0;
    mls_status st;

    if (!blocks)
        return MLS_OK;
    if (json_array_size(blocks) != r->out->L)
        return mls_fail(r->k->err, MLS_E_INPUT,
                        "%s: block_configs has %zu items, expected num_hidden_layers "
                        "%zu",
                        r->k->path, json_array_size(blocks), r->out->L);
    one = json_object_get(json_array_get(blocks, l), "attention");
    if (json_is_true(json_object_get(one, "no_op")) ||
        json_is_true(json_object_get(one, "replace_with_linear"))) {
        r->letter[l] = MLS_EMPTY;
        return MLS_OK;
    }
    if ((st = mls_layers_member(r, one, "n_heads_in_group", 1, MLS_HEADS_MAX,
                                &in_group)) ||
        (st =
             mls_layers_member(r, one, "num_key_value_heads", 1, MLS_HEADS_MAX, &h->G)))
        return st;
    if (in_group)
        h->G = h->H / in_group;
    return MLS_OK;
}

/* Lists with a number for every layer: OpenELM, DeciLM, Laguna, GGUF. */
static mls_status listed_heads(const mls_layers_reader *r, size_t l, mls_heads *h)
{
    static const char *const queries[] = {"num_attention_heads", "num_query_heads",
                                          "num_attention_heads_per_layer"};
    static const char *const groups[] = {"num_key_value_heads", "num_kv_heads",
                                         "num_key_value_heads_per_layer"};
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < sizeof queries / sizeof queries[0]; i++)
        if (json_is_array(mls_fact_peek(r->k, queries[i])))
            st = mls_layers_number(r, queries[i], l, 0, MLS_HEADS_MAX, &h->H);
    for (size_t i = 0; !st && i < sizeof groups / sizeof groups[0]; i++)
        if (json_is_array(mls_fact_peek(r->k, groups[i])))
            st = mls_layers_number(r, groups[i], l, 0, MLS_HEADS_MAX, &h->G);
    return st;
}

mls_status mls_layers_own_heads(mls_layers_reader *r, size_t l, mls_heads *h)
{
    const char letter = r->letter[l];
    mls_status st = MLS_OK;

    if (letter == MLS_SLIDING || letter == MLS_HYBRID_SLIDING)
        st = sliding_heads(r, h);
    else if (letter == MLS_FULL)
        st = full_heads(r, h);
    if (st || (st = listed_heads(r, l, h)) || (st = per_layer(r, l, h)))
        return st;
    return block_config(r, l, h);
}
