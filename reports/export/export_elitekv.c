/* EliteKV: RoPElite_<r>.pkl and the command that reads it. */
#include <stdio.h>
#include <stdlib.h>

#include "datasets/files/rankfile.h"
#include "reports/export/embedded.h"
#include "reports/export/export_inner.h"

static mls_status read_layers(const mls_export_work *w, size_t *chunks, size_t *rank,
                              mls_err *err)
{
    mls_cache_layout *layout = NULL;
    mls_status st = mls_export_layout(w, &layout, err);

    for (size_t l = 0; l < w->config->L && !st; l++) {
        chunks[l] = mls_export_numbers(&layout->layer[l], MLS_PART_ROPE_KEY) /
                    (2 * w->config->G);
        rank[l] = mls_export_numbers(&layout->layer[l], MLS_PART_LATENT);
    }
    free(layout);
    if (!st)
        st = mls_export_same(w, "EliteKV", "number of chunks", chunks, err);
    if (!st)
        st = mls_export_same(w, "EliteKV", "rank (kv_dim)", rank, err);
    return st;
}

static mls_status write(mls_export_work *w, mls_err *err)
{
    const mls_config *c = w->config;
    size_t chunks[MLS_LAYERS_MAX], rank[MLS_LAYERS_MAX];
    mls_rankfile ranks = {
        .kind = MLS_RANKFILE_ORDERS, .L = c->L, .heads = c->H, .C = c->D / 2};
    char *path = NULL, name[64];
    mls_status st;

    if ((st = mls_export_require(w, "elitekv", err)) ||
        (st = mls_export_refuse_key(w, "svd", "joint",
                                    "S-LRD has no released code; the nearest is "
                                    "svd=joint",
                                    err)) ||
        (st = mls_export_all_layers(w, err)))
        return st;
    if (c->G != c->H)
        return mls_fail(err, MLS_E_INPUT,
                        "elitekv: its code needs as many KV heads as query heads, and "
                        "this model has %zu of %zu; mha2mla keeps the same chunks per "
                        "KV head and takes GQA",
                        c->G, c->H);
    if ((st = read_layers(w, chunks, rank, err)) ||
        (st = mls_export_orders(w, chunks, &ranks.order, err)))
        return st;
    snprintf(name, sizeof name, "RoPElite_%zu.pkl", chunks[0]);
    st = mls_export_path(w, name, &path, err);
    if (!st)
        st = mls_rankfile_write(&ranks, w->job->scheme->name, path, err);
    mls_export_listed(w, name,
                      "pickle, {\"note\", \"rank\": {layer: int64 [heads, chunks]}}");
    mls_buf_puts(&w->next, "# in a checkout of CiaranZhou/EliteKV, with the paths made "
                           "absolute\nmodel=");
    mls_buf_shell(&w->next, w->job->model_name);
    mls_buf_puts(&w->next, "\nranks=RoPElite/rank/$(basename \"$model\")\n"
                           "mkdir -p \"$ranks\" && cp ");
    mls_buf_shell(&w->next, w->job->folder);
    mls_buf_printf(
        &w->next,
        "/%s \"$ranks\"\n"
        "python convert/convert.py --model_path \"$model\" --pe_mode EliteKV "
        "--half_of_rope_dim %zu --kv_dim %zu --save_dir converted\n",
        name, chunks[0], rank[0]);
    free(path);
    mls_rankfile_free(&ranks);
    return st;
}

const mls_export_target mls_export_elitekv = {
    .name = "elitekv",
    .title = "EliteKV",
    .known = mls_elitekv_md,
    .write = write,
};
