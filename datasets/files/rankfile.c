/*
 * Three files that look alike are told apart by what is in them. The trap: MHA2MLA's
 * ranks say at which place a dim is (lower is kept first), EliteKV's orders which chunk
 * is at a place: one is the other's inverse. Ranks must be the same for both dims of a
 * chunk.
 */
#include "datasets/files/rankfile.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/base/order.h"
#include "common/base/shape.h"
#include "datasets/files/torch_tensor.h"

void mls_rankfile_free(mls_rankfile *f)
{
    free(f->order);
    free(f->score);
    *f = (mls_rankfile){0};
}

const char *mls_rankfile_kind_name(mls_rankfile_kind kind)
{
    static const char *const names[] = {"MHA2MLA ranks", "MHA2MLA v1 scores",
                                        "EliteKV orders"};

    return names[kind];
}

static mls_status make_room(mls_rankfile *f, const char *path, mls_err *err)
{
    if (f->L == 0 || f->L > MLS_LAYERS_MAX || f->heads == 0 ||
        f->heads > MLS_HEADS_MAX || f->C == 0 || f->C > MLS_DIM_MAX / 2)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: %zu layers, %zu heads, %zu chunks are beyond any model",
                        path, f->L, f->heads, f->C);
    f->order = mls_calloc3(f->L, f->heads, f->C, sizeof *f->order);
    if (!f->order)
        return mls_fail(err, MLS_E_NOMEM, "%s: no memory for its ranks", path);
    return MLS_OK;
}

/* order[rank[c]] = c; false when rank (n) is no permutation of 0..n-1. */
static bool invert(uint16_t *order, const double *rank, size_t n)
{
    bool seen[MLS_DIM_MAX / 2] = {false};

    for (size_t c = 0; c < n; c++) {
        if (!(rank[c] >= 0.0 && rank[c] < (double)n) || rank[c] != floor(rank[c]) ||
            seen[(size_t)rank[c]])
            return false;
        seen[(size_t)rank[c]] = true;
        order[(size_t)rank[c]] = (uint16_t)c;
    }
    return true;
}

/* MHA2MLA: [L, G, D] ranks, the same for dims c and c + C. */
static mls_status read_ranks(mls_rankfile *f, const mls_torch_tensor *t,
                             const char *path, mls_err *err)
{
    mls_status st;

    f->kind = MLS_RANKFILE_RANKS;
    f->L = t->shape[0];
    f->heads = t->shape[1];
    f->C = t->shape[2] / 2;
    if (t->shape[2] % 2)
        return mls_fail(err, MLS_E_INPUT, "%s: %zu dims per head is odd", path,
                        t->shape[2]);
    st = make_room(f, path, err);
    for (size_t i = 0; i < f->L * f->heads && !st; i++) {
        const double *rank = t->values + i * 2 * f->C;

        if (memcmp(rank, rank + f->C, f->C * sizeof *rank) != 0)
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: layer %zu, head %zu: the two halves of the head differ",
                          path, i / f->heads, i % f->heads);
        else if (!invert(f->order + i * f->C, rank, f->C))
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: layer %zu, head %zu: the ranks are no permutation of "
                          "0..%zu",
                          path, i / f->heads, i % f->heads, f->C - 1);
    }
    return st;
}

static mls_status read_scores(mls_rankfile *f, mls_torch_tensor *t, const char *path,
                              mls_err *err)
{
    mls_status st;

    f->kind = MLS_RANKFILE_SCORES;
    f->L = t->shape[0];
    f->heads = t->shape[1];
    f->C = t->shape[2];
    st = make_room(f, path, err);
    if (st)
        return st;
    for (size_t i = 0; i < t->n; i++)
        if (isnan(t->values[i]))
            return mls_fail(err, MLS_E_INPUT,
                            "%s: layer %zu, head %zu: a score is not a number", path,
                            i / (f->heads * f->C), i / f->C % f->heads);
    for (size_t i = 0; i < f->L * f->heads; i++)
        mls_order_by_score(f->order + i * f->C, t->values + i * f->C, f->C);
    f->score = t->values;
    t->values = NULL;
    return MLS_OK;
}

/* One layer of EliteKV: [H, C], row h is a permutation of chunks. */
static mls_status read_order(mls_rankfile *f, const mls_torch_tensor *t, size_t layer,
                             const char *path, mls_err *err)
{
    for (size_t h = 0; h < f->heads; h++) {
        const double *row = t->values + h * f->C;
        uint16_t unused[MLS_DIM_MAX / 2];

        if (!invert(unused, row, f->C))
            return mls_fail(err, MLS_E_INPUT,
                            "%s: layer %zu, head %zu: the chunks are no permutation of "
                            "0..%zu",
                            path, layer, h, f->C - 1);
        for (size_t c = 0; c < f->C; c++)
            f->order[(layer * f->heads + h) * f->C + c] = (uint16_t)row[c];
    }
    return MLS_OK;
}

static mls_status read_orders(mls_rankfile *f, const mls_torch_file *file,
                              const mls_pickle_node *layers, const char *path,
                              mls_err *err)
{
    bool seen[MLS_LAYERS_MAX] = {false};
    mls_status st = MLS_OK;

    f->kind = MLS_RANKFILE_ORDERS;
    f->L = layers->n / 2;
    if (f->L == 0 || f->L > MLS_LAYERS_MAX)
        return mls_fail(err, MLS_E_INPUT, "%s: ranks of %zu layers", path, f->L);
    for (size_t i = 0; i < f->L && !st; i++) {
        const mls_pickle_node *key = layers->items[2 * i];
        mls_torch_tensor t;
        char what[64];

        if (key->kind != MLS_PICKLE_INT || key->integer < 0 ||
            (size_t)key->integer >= f->L || seen[key->integer])
            return mls_fail(err, MLS_E_INPUT,
                            "%s: the keys of \"rank\" are not the layers 0..%zu", path,
                            f->L - 1);
        seen[key->integer] = true;
        snprintf(what, sizeof what, "layer %zu", (size_t)key->integer);
        st = mls_torch_tensor_read(&t, file, layers->items[2 * i + 1], what, err);
        if (!st && i == 0 && t.rank == 2) {
            f->heads = t.shape[0];
            f->C = t.shape[1];
            st = make_room(f, path, err);
        }
        if (!st && (t.rank != 2 || t.shape[0] != f->heads || t.shape[1] != f->C))
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: %s: not a table of heads and chunks like the first",
                          path, what);
        if (!st)
            st = read_order(f, &t, (size_t)key->integer, path, err);
        mls_torch_tensor_free(&t);
    }
    return st;
}

static mls_status read_tensor(mls_rankfile *f, const mls_torch_file *file,
                              const mls_pickle_node *node, const char *path,
                              mls_err *err)
{
    mls_torch_tensor t;
    mls_status st = mls_torch_tensor_read(&t, file, node, "the tensor", err);

    if (st)
        return st;
    if (t.rank != 3)
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: the tensor has %zu dimensions, expected [layers, heads, "
                      "dims]",
                      path, t.rank);
    else
        st = t.real ? read_scores(f, &t, path, err) : read_ranks(f, &t, path, err);
    mls_torch_tensor_free(&t);
    return st;
}

mls_status mls_rankfile_read(mls_rankfile *f, const char *path, mls_err *err)
{
    mls_torch_file *file = NULL;
    mls_status st = mls_torch_file_open(&file, path, err);

    *f = (mls_rankfile){0};
    if (st)
        return st;

    const mls_pickle_node *root = mls_torch_file_root(file);
    const mls_pickle_node *orders = mls_pickle_get(root, "rank");
    const mls_pickle_node *scores = mls_pickle_get(root, "qk_tensor");

    if (mls_torch_is_tensor(root))
        st = read_tensor(f, file, root, path, err);
    else if (orders && orders->kind == MLS_PICKLE_DICT)
        st = read_orders(f, file, orders, path, err);
    else if (scores)
        st = read_tensor(f, file, scores, path, err);
    else
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: neither a tensor nor a dict with \"rank\" or \"qk_tensor\"",
                      path);
    mls_torch_file_close(file);
    if (st)
        mls_rankfile_free(f);
    return st;
}
