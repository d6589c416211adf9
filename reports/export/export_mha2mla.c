/* MHA2MLA: the rank file of qk_tensor_path and the keys of its training yaml. */
#include <stdlib.h>
#include <string.h>

#include "bench/frame/partial.h"
#include "datasets/files/rankfile.h"
#include "reports/export/embedded.h"
#include "reports/export/export_inner.h"

/* svd_init_method: the words of the setting are the project's. */
static const char *svd_method(const mls_export_work *w, size_t l)
{
    return mls_parsed_say(mls_export_says(w, l), w->config, "svd", NULL);
}

/* One value of each kind for all layers. */
static mls_status read_layers(const mls_export_work *w, size_t *chunks, size_t *rank,
                              mls_err *err)
{
    const size_t L = w->config->L, G = w->config->G;
    mls_cache_layout *layout = NULL;
    mls_status st = mls_export_layout(w, &layout, err);

    for (size_t l = 0; l < L && !st; l++) {
        const mls_cache_layer *layer = &layout->layer[l];
        const size_t latent = mls_export_numbers(layer, MLS_PART_LATENT);
        const size_t key = mls_export_numbers(layer, MLS_PART_KEY_LATENT);

        chunks[l] = mls_export_numbers(layer, MLS_PART_ROPE_KEY) / (2 * G);
        rank[l] = (latent ? latent : key) / G;
        if (strcmp(svd_method(w, l), svd_method(w, 0)) != 0)
            st = mls_fail(err, MLS_E_INPUT,
                          "mha2mla: it takes one svd_init_method for all layers, and "
                          "layer %zu has another than layer 0; the nearest is svd=%s "
                          "in every layer",
                          l, svd_method(w, 0));
    }
    free(layout);
    if (!st)
        st = mls_export_same(w, "MHA2MLA", "number of chunks", chunks, err);
    if (!st)
        st = mls_export_same(w, "MHA2MLA", "rank", rank, err);
    return st;
}

/* The rule as the project's own code makes it, or "2-norm": read the rank file. */
static const char *rope_version(const mls_export_work *w)
{
    const mls_partial *first = mls_export_says(w, 0)->params;

    for (size_t l = 0; l < w->config->L; l++) {
        const mls_partial *says = mls_export_says(w, l)->params;

        if (strcmp(says->rule, first->rule) != 0)
            return "2-norm";
    }
    return strcmp(first->rule, "high") == 0 || strcmp(first->rule, "low") == 0
               ? first->rule
               : "2-norm";
}

static mls_status write_yaml(mls_export_work *w, const char *rank_file, size_t chunks,
                             size_t rank, mls_err *err)
{
    const char *svd = svd_method(w, 0);
    mls_buf b = {0};
    mls_status st;

    mls_buf_puts(&b,
                 "# Model keys of MHA2MLA's training yaml; merge them into yours.\n");
    mls_buf_puts(&b, "model_name_or_path: ");
    mls_export_quoted(&b, w->job->model_name);
    mls_buf_puts(&b, "\n");
    if (w->job->first_release) {
        mls_buf_printf(&b,
                       "RoPE:\n"
                       "  partial_rope_version: 4 # 2-norm, by the tensor\n"
                       "  top_k_rope_dim: %zu # chunks per KV head, %zu dims\n"
                       "  qk_tensor_path: %s\n"
                       "  n_gqa_group: %zu\n",
                       chunks, 2 * chunks, rank_file, w->config->H / w->config->G);
        if (strcmp(svd, "none") != 0)
            mls_buf_printf(&b,
                           "SVD:\n"
                           "  method: %d # %s\n"
                           "  low_rank: %zu\n",
                           strcmp(svd, "joint") == 0 ? 7 : 2, svd, rank);
    } else {
        mls_buf_printf(&b,
                       "partial_rope_version: %s\n"
                       "rope_dim_for_mla: %zu # dims: %zu chunks per KV head\n"
                       "qk_tensor_path: %s\n"
                       "svd_init_method: %s\n",
                       rope_version(w), 2 * chunks, chunks, rank_file, svd);
        if (strcmp(svd, "none") != 0)
            mls_buf_printf(&b, "low_rank: %zu # per KV head\n", rank);
        mls_buf_puts(&b, "is_baseline: false\n"
                         "is_gqa2mha2mla: false\n"
                         "is_mla_from_scratch: false\n");
    }
    st = mls_export_text(w, "mha2mla.yaml", &b, "the model keys of the training yaml",
                         err);
    mls_buf_free(&b);
    return st;
}

static mls_status write(mls_export_work *w, mls_err *err)
{
    const mls_config *c = w->config;
    const bool first = w->job->first_release;
    const char *name = first ? "qk_tensor.pth" : "2-norm_rank.pth";
    size_t chunks[MLS_LAYERS_MAX], rank[MLS_LAYERS_MAX];
    mls_rankfile ranks = {.kind = first ? MLS_RANKFILE_SCORES : MLS_RANKFILE_RANKS,
                          .L = c->L,
                          .heads = c->G,
                          .C = c->D / 2};
    char *path = NULL;
    mls_status st;

    if ((st = mls_export_require(w, "mha2mla", err)) ||
        (st = mls_export_all_layers(w, err)) ||
        (st = read_layers(w, chunks, rank, err)))
        return st;
    const char *svd = svd_method(w, 0);

    if (first && strcmp(svd, "joint") != 0 && strcmp(svd, "split") != 0 &&
        strcmp(svd, "none") != 0)
        return mls_fail(err, MLS_E_INPUT,
                        "mha2mla: the first release has no svd=%s; the nearest is "
                        "svd=split",
                        svd);
    if ((st = mls_export_orders(w, chunks, &ranks.order, err)) ||
        (st = mls_export_path(w, name, &path, err)) ||
        (st = mls_rankfile_write(&ranks, NULL, path, err)))
        goto done;
    mls_export_listed(w, name,
                      first ? "torch file, float32 [layers, KV heads, chunks], larger "
                              "is kept first (chunks - 1 - rank)"
                            : "torch file, uint8 [layers, KV heads, dims], rank of "
                              "each dim's chunk, 0 is kept first");
    st = write_yaml(w, name, chunks[0], rank[0], err);
    mls_buf_puts(&w->next,
                 first ? "# in a checkout of JT-Ushio/MHA2MLA at release 1.0.0 "
                         "(nanotron), with qk_tensor_path\n# made absolute: "
                         "merge the keys into a training yaml of its configs\n"
                       : "# in a checkout of JT-Ushio/MHA2MLA, with "
                         "qk_tensor_path made absolute and\n# the keys merged "
                         "into a training yaml (max_steps: 0 converts and saves "
                         "only)\ntorchrun --nproc_per_node 1 "
                         "src/mha2mla/run_train.py --cfg_file mha2mla.yaml\n");

done:
    free(path);
    mls_rankfile_free(&ranks);
    return st;
}

const mls_export_target mls_export_mha2mla = {
    .name = "mha2mla",
    .title = "MHA2MLA",
    .known = mls_mha2mla_md,
    .write = write,
};
