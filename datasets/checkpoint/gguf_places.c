/*
 * Every tensor of a GGUF file under Hugging Face's name, and where its numbers are:
 * some are one tensor of two (kv_b, qkvz), some are several in one (Gemma 3n's maps of
 * its streams), some lie in another order (gguf_order.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "datasets/checkpoint/checkpoint_inner.h"
#include "datasets/checkpoint/gguf_names.h"

static bool in_pairs(const mls_checkpoint *c)
{
    char *arch = NULL;
    const mls_gguf_family *f;
    bool out;

    (void)mls_gguf_text(c->gguf.part[0], "general.architecture", &arch, NULL);
    f = arch ? mls_gguf_family_find(arch) : NULL;
    out = f && f->interleaved;
    free(arch);
    return out;
}

static uint64_t last_dim(const mls_tensor_info *t)
{
    return t->n_dims > 1 ? t->shape[t->n_dims - 1] : 1;
}

/* "blk.3." and what follows. */
static const mls_tensor_info *sibling(const mls_checkpoint *c, size_t l,
                                      const char *rest, const mls_gguf **part)
{
    char name[96];

    snprintf(name, sizeof name, "blk.%zu.%s", l, rest);
    return mls_gguf_parts_find(&c->gguf, name, part);
}

/* One tensor of (rows, cols), of two. */
static void join_two(mls_checkpoint_renamed *r, mls_gguf_order order, size_t rows,
                     size_t cols)
{
    r->place.order = order;
    r->info.n_dims = 2;
    r->info.shape[0] = rows;
    r->info.shape[1] = cols;
    r->info.n_elements = (uint64_t)rows * cols;
    r->info.n_bytes += r->place.stored2->n_bytes;
}

/* kv_b where keys' and values' parts are apart; false: they do not fit. */
static bool place_latent(const mls_checkpoint *c, size_t l, mls_checkpoint_renamed *r)
{
    const mls_config *k = &c->config;
    const size_t H = k->layer[l].H, N = k->mla_nope_dim, V = k->mla_value_dim;
    const size_t rank = k->mla_kv_lora_rank;
    mls_gguf_place *p = &r->place;

    p->stored2 = sibling(c, l, "attn_v_b.weight", &p->file2);
    if (sibling(c, l, "attn_kv_b.weight", NULL) || !p->stored2 ||
        k->layer[l].kind != MLS_LAYER_MLA ||
        p->stored->n_elements != (uint64_t)H * rank * N || last_dim(p->stored) != N ||
        p->stored2->n_elements != (uint64_t)H * V * rank ||
        last_dim(p->stored2) != rank) {
        p->stored2 = NULL;
        return false;
    }
    p->cols = rank;
    p->heads = H;
    p->K = N;
    p->V = V;
    join_two(r, MLS_GGUF_LATENT, H * (N + V), rank);
    mls_tensor_role_name(k, l, MLS_TENSOR_KV_B, r->name);
    return true;
}

/* qkvz of which the file has q, k, v and, apart, z. */
static void place_groups(const mls_checkpoint *c, size_t l, mls_checkpoint_renamed *r)
{
    const mls_recurrent *n = &c->config.net.recurrent;
    const size_t E = c->config.E, inner = n->heads * n->V;
    const size_t mixed = 2 * n->groups * n->K + inner;
    mls_gguf_place *p = &r->place;

    p->stored2 = sibling(c, l, "attn_gate.weight", &p->file2);
    if (!p->stored2 || p->stored->n_elements != (uint64_t)mixed * E ||
        last_dim(p->stored) != E || p->stored2->n_elements != (uint64_t)inner * E ||
        last_dim(p->stored2) != E) {
        p->stored2 = NULL;
        return;
    }
    p->cols = E;
    p->groups = n->groups;
    p->heads = n->heads;
    p->K = n->K;
    p->V = n->V;
    join_two(r, MLS_GGUF_GROUPS, mixed + inner, E);
}

/* Value heads in tiles, and what has one row, column or number for each. */
static void place_tiles(const mls_config *c, mls_tensor_role role, mls_gguf_place *p)
{
    const mls_recurrent *n = &c->net.recurrent;
    const bool whole = role == MLS_TENSOR_REC_IN || role == MLS_TENSOR_REC_CONV;
    const bool one = role == MLS_TENSOR_REC_B || role == MLS_TENSOR_REC_A ||
                     role == MLS_TENSOR_REC_DT_BIAS || role == MLS_TENSOR_REC_A_LOG;
    const bool columns = role == MLS_TENSOR_REC_OUT;
    const uint64_t rows = p->stored->n_elements / p->cols;

    p->head = whole ? 2 * n->groups * n->K : 0;
    p->D = one ? 1 : n->V;
    p->groups = n->groups;
    p->heads = n->heads;
    if (n->heads == n->groups || n->heads % n->groups ||
        (columns ? p->cols : rows) != p->head + n->heads * p->D)
        return;
    if (columns)
        p->order = MLS_GGUF_COLUMNS;
    else if (whole || one || role == MLS_TENSOR_REC_Z)
        p->order = MLS_GGUF_TILES;
}

/* What a name of a supported config needs beside itself; false: it is no tensor. */
static bool place_one(const mls_checkpoint *c, bool pairs, mls_checkpoint_renamed *r)
{
    const mls_config *k = &c->config;
    const bool delta = k->net.recurrent.kind == MLS_REC_DELTA;
    mls_gguf_place *p = &r->place;
    size_t l = 0;
    const char *rest = "";
    const mls_tensor_role role = mls_gguf_tensor_role(p->stored->name, k, &l);
    const bool is_layer = mls_gguf_layer_of(p->stored->name, &l, &rest) && l < k->L;
    const bool grouped = is_layer && delta && k->net.recurrent.by_group &&
                         k->layer[l].kind == MLS_LAYER_RECURRENT;

    mls_gguf_tensor_name(p->stored->name, k, r->name);
    if (!is_layer || k->unsupported[0] || p->stored->n_elements == 0)
        return true;
    if (strcmp(rest, "attn_k_b.weight") == 0) {
        place_latent(c, l, r);
    } else if (strcmp(rest, "attn_v_b.weight") == 0) {
        mls_checkpoint_renamed keys = {.place.stored =
                                           sibling(c, l, "attn_k_b.weight", NULL)};

        return !keys.place.stored || !place_latent(c, l, &keys);
    } else if (grouped && strcmp(rest, "attn_qkv.weight") == 0) {
        place_groups(c, l, r);
    } else if (grouped && strcmp(rest, "attn_gate.weight") == 0) {
        return !sibling(c, l, "attn_qkv.weight", NULL);
    } else if (pairs && p->stored->n_dims <= 2 &&
               (role == MLS_TENSOR_WQ || role == MLS_TENSOR_WK ||
                role == MLS_TENSOR_BQ || role == MLS_TENSOR_BK) &&
               p->stored->shape[0] % k->D == 0) {
        p->order = MLS_GGUF_PAIRS;
        p->D = k->D;
    } else if (delta && !k->net.recurrent.by_group && role != MLS_TENSOR_ROLES &&
               k->layer[l].kind == MLS_LAYER_RECURRENT) {
        place_tiles(k, role, p);
    }
    p->decay = role == MLS_TENSOR_REC_A_LOG;
    return true;
}

/* Maps of streams that the file has one after the other; 0: it is not that tensor. */
static size_t place_streams(const mls_config *k, const mls_checkpoint_renamed *one,
                            mls_checkpoint_renamed *out)
{
    const char *name = one->place.stored->name;
    const bool before = strcmp(name, "altup_proj.weight") == 0;
    const uint64_t E = k->E,
                   n = k->net.carry.streams > 1 ? k->net.carry.streams - 1 : 0;

    if (k->unsupported[0] || n == 0 || one->place.stored->n_elements != n * E * E ||
        (!before && strcmp(name, "altup_unembd_proj.weight") != 0))
        return 0;
    for (size_t i = 0; i < n; i++) {
        mls_checkpoint_renamed *r = &out[i];

        *r = *one;
        r->place.from = i * E * E;
        r->info.n_dims = 2;
        r->info.shape[0] = r->info.shape[1] = E;
        r->info.n_elements = E * E;
        r->info.n_bytes /= n;
        snprintf(r->name, sizeof r->name,
                 before ? "model.altup_projections.%zu.weight"
                        : "model.altup_unembed_projections.%zu.weight",
                 i);
    }
    return (size_t)n;
}

mls_status mls_checkpoint_place_tensors(mls_checkpoint *c, mls_err *err)
{
    const bool pairs = in_pairs(c);
    size_t n = 0;

    c->renamed =
        mls_calloc3(c->n_tensors + 2 * MLS_STREAMS_MAX, 1, 1, sizeof *c->renamed);
    if (!c->renamed)
        return mls_checkpoint_no_memory(c, err);
    for (size_t i = 0; i < c->gguf.n; i++) {
        const mls_gguf_header *h = mls_gguf_head(c->gguf.part[i]);

        for (size_t j = 0; j < h->n_tensors; j++) {
            const mls_tensor_info *t = &h->tensor[j];
            mls_checkpoint_renamed *r = &c->renamed[n];
            const mls_checkpoint_renamed one = {
                .info = *t,
                .shard = i,
                .place = {.file = c->gguf.part[i], .stored = t, .cols = last_dim(t)}};
            const size_t streams = place_streams(&c->config, &one, r);

            n += streams;
            if (streams)
                continue;
            *r = one;
            n += place_one(c, pairs, r);
        }
    }
    c->n_tensors = n;
    return MLS_OK;
}
