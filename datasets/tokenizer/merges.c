/*
 * Two tables with open addressing: pairs of ids with rank and result, and pairs of
 * characters across which some merge reaches, so that a long word may be cut where none
 * does. Of two merges of one pair the later holds, as in the tokenizers library.
 */
#include "datasets/tokenizer/merges.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/checked.h"
#include "datasets/base/utf8.h"

#define FREE UINT64_MAX /* no pair: ids and code points are below 2^24 */

struct mls_merges {
    mls_merge *merges; /* open addressing by pair; FREE in a free slot */
    uint64_t *joints;  /* open addressing: pairs of code points */
    size_t mask;       /* number of slots of each - 1 */
};

void mls_merges_free(mls_merges *m)
{
    if (!m)
        return;
    free(m->merges);
    free(m->joints);
    free(m);
}

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* Fibonacci hashing: both halves move the slot. */
static size_t first_slot(const mls_merges *m, uint64_t pair)
{
    return (size_t)((pair * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & m->mask;
}

/* The slot of a pair, or the free one where it belongs. */
static mls_merge *merge_slot(const mls_merges *m, uint64_t pair)
{
    size_t i = first_slot(m, pair);

    while (m->merges[i].pair != pair && m->merges[i].pair != FREE)
        i = (i + 1) & m->mask;
    return &m->merges[i];
}

static uint64_t *joint_slot(const mls_merges *m, uint64_t pair)
{
    size_t i = first_slot(m, pair);

    while (m->joints[i] != pair && m->joints[i] != FREE)
        i = (i + 1) & m->mask;
    return &m->joints[i];
}

/* A merge as "a b" (old files) or ["a", "b"]. */
static mls_status read_pair(const json_t *item, size_t rank, mls_text *left,
                            mls_text *right, mls_err *err)
{
    const json_t *a = json_array_get(item, 0);
    const json_t *b = json_array_get(item, 1);

    if (json_is_string(item)) {
        const char *text = json_string_value(item);
        const size_t len = json_string_length(item);
        const char *space = memchr(text, ' ', len);
        const size_t before = space ? (size_t)(space - text) : len;

        if (space && !memchr(space + 1, ' ', len - before - 1)) {
            *left = (mls_text){text, before};
            *right = (mls_text){space + 1, len - before - 1};
            return MLS_OK;
        }
    } else if (json_array_size(item) == 2 && json_is_string(a) && json_is_string(b)) {
        *left = (mls_text){json_string_value(a), json_string_length(a)};
        *right = (mls_text){json_string_value(b), json_string_length(b)};
        return MLS_OK;
    }
    return mls_fail(err, MLS_E_INPUT,
                    "model: merge %zu: expected \"a b\" or [\"a\", \"b\"]", rank);
}

/* The id of a token in a merge. */
static mls_status merged_id(const mls_vocabulary *vocabulary, const char *token,
                            size_t len, size_t rank, int32_t *id, mls_err *err)
{
    *id = mls_vocabulary_id(vocabulary, token, len);
    if (*id >= 0)
        return MLS_OK;
    return mls_fail(err, MLS_E_INPUT,
                    "model: merge %zu: \"%.*s\" is not in the vocabulary", rank,
                    (int)(len < 64 ? len : 64), token);
}

static mls_status read_merge(mls_merges *m, const json_t *item, size_t rank,
                             const mls_vocabulary *vocabulary, size_t skip,
                             mls_buf *joined, mls_err *err)
{
    int32_t left_id, right_id, id;
    mls_text left = {0}, right = {0};
    mls_status st = read_pair(item, rank, &left, &right, err);

    if (!st)
        st = merged_id(vocabulary, left.data, left.len, rank, &left_id, err);
    if (!st)
        st = merged_id(vocabulary, right.data, right.len, rank, &right_id, err);
    if (st)
        return st;
    if (left.len == 0 || right.len <= skip)
        return mls_fail(err, MLS_E_INPUT, "model: merge %zu: a side is empty", rank);
    joined->len = 0;
    mls_buf_add(joined, left.data, left.len);
    mls_buf_add(joined, right.data + skip, right.len - skip);
    if (joined->failed)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a merge");
    st = merged_id(vocabulary, joined->data, joined->len, rank, &id, err);
    if (st)
        return st;

    size_t last = mls_utf8_before(left.data, left.len), first = 0;
    const int32_t before = mls_utf8_next(left.data, left.len, &last);
    const int32_t after = mls_utf8_next(right.data, right.len, &first);
    const uint64_t pair = pair_of(left_id, right_id);

    /* Of two merges of one pair the later one holds, as in the reference. */
    *merge_slot(m, pair) = (mls_merge){pair, (uint32_t)rank, id};
    *joint_slot(m, pair_of(before, after)) = pair_of(before, after);
    return MLS_OK;
}

mls_status mls_merges_new(mls_merges **out, const json_t *list,
                          const mls_vocabulary *vocabulary, size_t skip, mls_err *err)
{
    const size_t n = json_array_size(list);
    mls_merges *m = calloc(1, sizeof *m);
    mls_buf joined = {0};
    size_t slots = 16, rank = 0;
    mls_status st = MLS_OK;

    *out = NULL;
    while (slots < 2 * n)
        slots *= 2;
    if (m) {
        m->merges = mls_calloc3(slots, 1, 1, sizeof *m->merges);
        m->joints = mls_calloc3(slots, 1, 1, sizeof *m->joints);
        m->mask = slots - 1;
    }
    if (!m || !m->merges || !m->joints) {
        mls_merges_free(m);
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu merges", n);
    }
    for (size_t i = 0; i < slots; i++)
        m->merges[i].pair = m->joints[i] = FREE;
    for (size_t i = 0; !st && i < n; i++) {
        const json_t *item = json_array_get(list, i);

        /* The first line of merges.txt, which old files kept. */
        if (json_is_string(item) &&
            strncmp(json_string_value(item), "#version", 8) == 0)
            continue;
        st = read_merge(m, item, rank++, vocabulary, skip, &joined, err);
    }
    mls_buf_free(&joined);
    if (st)
        mls_merges_free(m);
    else
        *out = m;
    return st;
}

const mls_merge *mls_merges_find(const mls_merges *m, int32_t left, int32_t right)
{
    const mls_merge *slot = merge_slot(m, pair_of(left, right));

    return slot->pair != FREE ? slot : NULL;
}

bool mls_merges_join(const mls_merges *m, int32_t before, int32_t after)
{
    return *joint_slot(m, pair_of(before, after)) != FREE;
}
