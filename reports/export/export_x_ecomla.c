/* X-EcoMLA: the yaml of a fixed rank, or the two json files with a rank per layer. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/methods/x_ecomla.h"
#include "reports/export/embedded.h"
#include "reports/export/export_inner.h"

/* What is read off the forms of all layers. */
typedef struct {
    size_t rank[MLS_LAYERS_MAX], q_rank[MLS_LAYERS_MAX]; /* q_rank 0: full */
    bool converted[MLS_LAYERS_MAX];
    size_t rope, nope, L;
    bool differ; /* rope or nope differ between layers */
} shape;

static mls_status read_form(void *arg, const mls_latent_form *f, mls_err *err)
{
    shape *s = arg;
    const size_t l = f->layer;

    (void)err;
    s->converted[l] = f->n_latents == 1 && f->n_rope_keys <= 1;
    if (!s->converted[l])
        return MLS_OK;
    const size_t rope = f->n_rope_keys ? f->rope_key[0].n : 0, nope = f->head[0].n_key;
    if (s->L++ == 0) {
        s->rope = rope;
        s->nope = nope;
    }
    s->differ = s->differ || s->rope != rope || s->nope != nope;
    s->rank[l] = f->latent[0].r;
    s->q_rank[l] = f->q_rank;
    return MLS_OK;
}

/* Full queries are a factorization of full rank. */
static void fill_query_ranks(shape *s, const mls_config *c)
{
    const size_t full = c->H * c->D < c->E ? c->H * c->D : c->E;

    for (size_t l = 0; l < c->L; l++)
        if (s->converted[l] && s->q_rank[l] == 0)
            s->q_rank[l] = full;
}

static mls_status check_ranks(const shape *s, size_t L, mls_err *err)
{
    if (s->L == 0)
        return mls_fail(err, MLS_E_INPUT, "x-ecomla: no layer is converted");
    if (s->differ)
        return mls_fail(err, MLS_E_INPUT,
                        "x-ecomla: it takes one qk_rope_head_dim and one "
                        "qk_nope_head_dim for all layers; the nearest is rope_dim=%zu "
                        "nope_dim=%zu in every layer",
                        s->rope, s->nope);
    for (size_t l = 0; l < L; l++) {
        const size_t odd = !s->converted[l]   ? 0
                           : s->rank[l] % 8   ? s->rank[l]
                           : s->q_rank[l] % 8 ? s->q_rank[l]
                                              : 0;

        if (odd)
            return mls_fail(err, MLS_E_INPUT,
                            "x-ecomla: its ranks are multiples of 8, and layer %zu has "
                            "%zu; the nearest is %zu",
                            l, odd, odd < 4 ? 8 : (odd + 4) / 8 * 8);
    }
    return MLS_OK;
}

static size_t first_converted(const shape *s)
{
    size_t l = 0;

    while (!s->converted[l])
        l++;
    return l;
}

static bool ranks_differ(const shape *s, size_t L)
{
    const size_t first = first_converted(s);

    for (size_t l = 0; l < L; l++)
        if (s->converted[l] &&
            (s->rank[l] != s->rank[first] || s->q_rank[l] != s->q_rank[first]))
            return true;
    return false;
}

static mls_status write_yaml(mls_export_work *w, const shape *s, bool per_layer,
                             mls_err *err)
{
    const mls_x_ecomla *says = mls_export_says(w, 0)->params;
    const size_t first = first_converted(s);
    const char *comma = "";
    mls_buf b = {0};
    mls_status st;

    mls_buf_puts(&b,
                 "# Model keys of X-EcoMLA's training yaml; merge them into yours.\n"
                 "model_name_or_path: ");
    mls_export_quoted(&b, w->job->model_name);
    mls_buf_puts(&b, "\nmla_layers: [");
    for (size_t l = 0; l < w->config->L; l++)
        if (s->converted[l]) {
            mls_buf_printf(&b, "%s%zu", comma, l);
            comma = ", ";
        }
    mls_buf_printf(&b,
                   "]\n"
                   "init_with_svd: true\n"
                   "q_lora_rank: %zu\n"
                   "kv_lora_rank: %zu\n"
                   "qk_rope_head_dim: %zu\n"
                   "qk_nope_head_dim: %zu\n"
                   "v_head_dim: %zu\n"
                   "mla_num_key_value_heads: %zu\n"
                   "use_lora_layer_norm: false\n",
                   s->q_rank[first], s->rank[first], s->rope, s->nope, w->config->D,
                   w->config->H);
    if (per_layer) {
        if (says->energy > 0)
            mls_buf_printf(&b, "kv_energy_ratio: %.15g\n", says->energy);
        if (says->q_energy > 0)
            mls_buf_printf(&b, "q_energy_ratio: %.15g\n", says->q_energy);
        mls_buf_printf(&b, "use_fixed_rank_for_first_and_last_block: %s\n",
                       says->ends == MLS_ENDS_DYNAMIC ? "false" : "true");
        mls_buf_puts(&b, "# the ranks of the layers: mla_layer_config.json\n");
    }
    st = mls_export_text(w, "x-ecomla.yaml", &b, "the model keys of the training yaml",
                         err);
    mls_buf_free(&b);
    return st;
}

/* MLA_config.json and mla_layer_config.json, as the project's loaders read them. */
static mls_status write_ranks(mls_export_work *w, const shape *s, mls_err *err)
{
    const mls_config *c = w->config;
    const mls_x_ecomla *says = mls_export_says(w, 0)->params;
    const size_t first = first_converted(s);
    json_t *source = NULL, *mla = NULL, *layers = NULL;
    json_t *attn = json_array(), *list = json_object(), *scaling;
    mls_status st = mls_export_config(w, &source, err);

    if (st)
        goto done;
    for (size_t l = 0; l < c->L; l++) {
        char key[24];

        if (!s->converted[l]) {
            json_array_append_new(attn, json_integer((json_int_t)l));
            continue;
        }
        snprintf(key, sizeof key, "%zu", l);
        json_object_set_new(list, key,
                            json_pack("{s:I,s:I}", "q_rank", (json_int_t)s->q_rank[l],
                                      "kv_rank", (json_int_t)s->rank[l]));
    }
    mla =
        json_pack("{s:I,s:f,s:I,s:I,s:I,s:I,s:s,s:I,s:O}", "d_model", (json_int_t)c->E,
                  "rms_norm_eps", c->rms_eps, "vocab_size", (json_int_t)c->V, "d_inner",
                  (json_int_t)(c->H * c->D), "d_xb", (json_int_t)(c->G * c->D),
                  "intermediate_size", (json_int_t)c->F, "hidden_act", "silu",
                  "n_layer", (json_int_t)c->L, "attn_layers", attn);
    scaling = json_object_get(source, "rope_scaling");
    layers = json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:b,s:f,s:O?,s:I,s:b,s:O}",
        "hidden_size", (json_int_t)c->E, "intermediate_size", (json_int_t)c->F,
        "num_attention_heads", (json_int_t)c->H, "llama_num_key_value_heads",
        (json_int_t)c->G, "mla_num_key_value_heads", (json_int_t)c->H, "kv_lora_rank",
        (json_int_t)s->rank[first], "q_lora_rank", (json_int_t)s->q_rank[first],
        "qk_rope_head_dim", (json_int_t)s->rope, "qk_nope_head_dim",
        (json_int_t)s->nope, "v_head_dim", (json_int_t)c->D, "use_lora_layer_norm", 0,
        "use_fixed_rank_for_first_and_last_block", says->ends == MLS_ENDS_FIXED,
        "rope_theta", c->rope.theta, "rope_scaling",
        scaling && !json_is_null(scaling) ? scaling : NULL, "max_position_embeddings",
        (json_int_t)c->max_position, "attention_bias", c->qkv_bias, "layer_rank_list",
        list);
    if (layers && says->energy > 0)
        json_object_set_new(layers, "kv_energy_ratio", json_real(says->energy));
    if (layers && says->q_energy > 0)
        json_object_set_new(layers, "q_energy_ratio", json_real(says->q_energy));
    st = mls_export_json(w, "MLA_config.json", mla,
                         "shapes, and the layers that stay attention", err);
    if (!st)
        st = mls_export_json(w, "mla_layer_config.json", layers,
                             "the MLA layers, ranks in layer_rank_list", err);

done:
    json_decref(attn);
    json_decref(list);
    json_decref(mla);
    json_decref(layers);
    json_decref(source);
    return st;
}

static mls_status write(mls_export_work *w, mls_err *err)
{
    shape *s = calloc(1, sizeof *s);
    mls_status st;

    if (!s)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the ranks");
    st = mls_export_require(w, "x-ecomla", err);
    if (!st)
        st = mls_export_refuse_key(w, "init", "theirs",
                                   "its code takes the last rows of a head; the "
                                   "nearest is init=theirs, and --for deepseek writes "
                                   "the checkpoint of init=paired",
                                   err);
    if (!st)
        st = mls_export_forms(w, read_form, s, err);
    if (st)
        goto done;
    fill_query_ranks(s, w->config);
    st = check_ranks(s, w->config->L, err);
    if (st)
        goto done;

    const mls_x_ecomla *says = mls_export_says(w, 0)->params;
    const bool per_layer =
        says->energy > 0 || says->q_energy > 0 || ranks_differ(s, w->config->L);
    st = write_yaml(w, s, per_layer, err);
    if (!st && per_layer)
        st = write_ranks(w, s, err);
    mls_buf_puts(&w->next,
                 "# in a checkout of AMD-AGI/AMD-Hybrid-Models, with the keys merged "
                 "into a training yaml\n"
                 "accelerate launch --config_file configs/fsdp.yaml "
                 "train_mla/train_distill.py x-ecomla.yaml\n");

done:
    free(s);
    return st;
}

const mls_export_target mls_export_x_ecomla = {
    .name = "x-ecomla",
    .title = "X-EcoMLA",
    .known = mls_x_ecomla_md,
    .write = write,
};
