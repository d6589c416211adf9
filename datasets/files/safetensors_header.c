/*
 * Rules of the format in one pass: shape, dtype and bytes agree, no name twice, data
 * without gaps or overlaps from the first byte to the last. The table is sized before
 * parsing from the header's braces and its length, so that a header cannot ask for more
 * memory than it has bytes for.
 */
#include "datasets/files/safetensors_header.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "datasets/base/json_scan.h"

/* Shortest text of one tensor: "":{"dtype":"U8","shape":[],"data_offsets":[0,0]} */
enum { ENTRY_BYTES_MIN = 49 };

typedef struct parser {
    mls_json_scan in;
    mls_tensor_table *table;
    bool has_metadata;
} parser;

unsigned mls_dtype_bits(const char *dtype)
{
    static const struct {
        const char *name;
        unsigned bits;
    } dtypes[] = {
        {"F32", 32},        {"BF16", 16},       {"F16", 16},    {"F64", 64},
        {"BOOL", 8},        {"U8", 8},          {"I8", 8},      {"I16", 16},
        {"U16", 16},        {"I32", 32},        {"U32", 32},    {"I64", 64},
        {"U64", 64},        {"C64", 64},        {"F4", 4},      {"F6_E2M3", 6},
        {"F6_E3M2", 6},     {"F8_E5M2", 8},     {"F8_E4M3", 8}, {"F8_E8M0", 8},
        {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
    };

    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (strcmp(dtypes[i].name, dtype) == 0)
            return dtypes[i].bits;
    return 0;
}

/* [n, n, ...] with at most max numbers. */
static mls_status parse_numbers(parser *s, const char *what, const char *name,
                                size_t max, uint64_t *out, size_t *n)
{
    mls_status st = mls_json_scan_char(&s->in, '[');
    bool more = true;

    *n = 0;
    if (st)
        return st;
    if (mls_json_scan_at(&s->in, ']'))
        return mls_json_scan_char(&s->in, ']');
    while (more) {
        uint64_t x = 0;

        if ((st = mls_json_scan_u64(&s->in, &x)) ||
            (st = mls_json_scan_next(&s->in, ']', &more)))
            return st;
        if (*n == max)
            return mls_json_scan_fail(&s->in,
                                      "tensor \"%.200s\": %s has more than %zu numbers",
                                      name, what, max);
        out[(*n)++] = x;
    }
    return MLS_OK;
}

static mls_status parse_dtype(parser *s, mls_tensor_info *t)
{
    const char *dtype;
    mls_status st = mls_json_scan_string(&s->in, &dtype);

    if (st)
        return st;
    if (!mls_dtype_bits(dtype))
        return mls_json_scan_fail(&s->in, "tensor \"%.200s\": unknown dtype \"%.40s\"",
                                  t->name, dtype);
    snprintf(t->dtype, sizeof t->dtype, "%s", dtype);
    return MLS_OK;
}

/* Elements, bytes and the declared range of data must agree. */
static mls_status check_size(const parser *s, mls_tensor_info *t, uint64_t begin,
                             uint64_t end)
{
    uint64_t bits;

    t->n_elements = 1;
    for (size_t i = 0; i < t->n_dims; i++)
        if (!mls_mul_u64(&t->n_elements, t->n_elements, t->shape[i]))
            return mls_json_scan_fail(
                &s->in,
                "tensor \"%.200s\": its shape has 2^64 elements or "
                "more",
                t->name);
    if (!mls_mul_u64(&bits, t->n_elements, mls_dtype_bits(t->dtype)))
        return mls_json_scan_fail(
            &s->in, "tensor \"%.200s\": its shape has 2^64 bits or more", t->name);
    if (bits % 8 != 0)
        return mls_json_scan_fail(
            &s->in, "tensor \"%.200s\": %llu elements of %s are no whole bytes",
            t->name, (unsigned long long)t->n_elements, t->dtype);
    if (end < begin)
        return mls_json_scan_fail(
            &s->in,
            "tensor \"%.200s\": data_offsets end at %llu, before their "
            "begin %llu",
            t->name, (unsigned long long)end, (unsigned long long)begin);
    if (end - begin != bits / 8)
        return mls_json_scan_fail(
            &s->in,
            "tensor \"%.200s\": data_offsets have %llu bytes, expected "
            "%llu for its shape and dtype %s",
            t->name, (unsigned long long)(end - begin), (unsigned long long)(bits / 8),
            t->dtype);
    t->offset = begin;
    t->n_bytes = bits / 8;
    return MLS_OK;
}

/* {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}, each key once. */
static mls_status parse_tensor(parser *s, const char *name)
{
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    mls_tensor_table *table = s->table;
    mls_tensor_info *t;
    uint64_t range[2];
    size_t n_range;
    unsigned seen = 0;
    bool more = true;
    mls_status st = mls_json_scan_char(&s->in, '{');

    if (st)
        return st;
    t = &table->tensor[table->n];
    t->name = name;
    if (mls_json_scan_at(&s->in, '}'))
        more = false;
    while (more) {
        const char *key;
        size_t k = 0;

        if ((st = mls_json_scan_string(&s->in, &key)))
            return st;
        while (k < 3 && strcmp(keys[k], key) != 0)
            k++;
        if (k == 3)
            return mls_json_scan_fail(
                &s->in, "tensor \"%.200s\": unknown key \"%.40s\"", name, key);
        if (seen & 1U << k)
            return mls_json_scan_fail(&s->in, "tensor \"%.200s\": %s is given twice",
                                      name, key);
        seen |= 1U << k;
        if ((st = mls_json_scan_char(&s->in, ':')))
            return st;
        if (k == 0)
            st = parse_dtype(s, t);
        else if (k == 1)
            st = parse_numbers(s, key, name, MLS_RANK_MAX, t->shape, &t->n_dims);
        else
            st = parse_numbers(s, key, name, 2, range, &n_range);
        if (st)
            return st;
        if (k == 2 && n_range != 2)
            return mls_json_scan_fail(
                &s->in,
                "tensor \"%.200s\": data_offsets has %zu numbers, "
                "expected 2",
                name, n_range);
        if ((st = mls_json_scan_next(&s->in, '}', &more)))
            return st;
    }
    for (size_t k = 0; k < 3; k++)
        if (!(seen & 1U << k))
            return mls_json_scan_fail(&s->in, "tensor \"%.200s\": %s is missing", name,
                                      keys[k]);
    st = check_size(s, t, range[0], range[1]);
    if (!st)
        table->n++;
    return st;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static mls_status fail_memory(const parser *s)
{
    return mls_fail(s->in.err, MLS_E_NOMEM, "no memory for the header of %s",
                    s->in.path);
}

/* {"key": "text", ...}, each key once; or null, as MLX writes where there is none. */
static mls_status parse_metadata(parser *s)
{
    mls_tensor_table *t = s->table;
    const char **keys = NULL;
    size_t cap = 0;
    bool more;
    mls_status st;

    if (s->has_metadata)
        return mls_json_scan_fail(&s->in, "__metadata__ is given twice");
    s->has_metadata = true;
    if (mls_json_scan_word(&s->in, "null"))
        return MLS_OK;
    if ((st = mls_json_scan_char(&s->in, '{')))
        return st;
    more = !(mls_json_scan_at(&s->in, '}'));
    if (!more)
        return mls_json_scan_char(&s->in, '}');
    while (more) {
        if (t->n_metadata == cap) {
            const char *(*bigger)[2];

            cap = cap ? 2 * cap : 16;
            bigger = realloc(t->metadata, cap * sizeof *bigger);
            if (!bigger)
                return fail_memory(s);
            t->metadata = bigger;
        }
        const char **pair = t->metadata[t->n_metadata];

        if ((st = mls_json_scan_string(&s->in, &pair[0])) ||
            (st = mls_json_scan_char(&s->in, ':')) ||
            (st = mls_json_scan_string(&s->in, &pair[1])))
            return st;
        t->n_metadata++;
        if ((st = mls_json_scan_next(&s->in, '}', &more)))
            return st;
    }
    keys = malloc(t->n_metadata * sizeof *keys);
    if (!keys)
        return fail_memory(s);
    for (size_t i = 0; i < t->n_metadata; i++)
        keys[i] = t->metadata[i][0];
    qsort(keys, t->n_metadata, sizeof *keys, compare_text);
    for (size_t i = 1; i < t->n_metadata && !st; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0)
            st = mls_json_scan_fail(&s->in, "__metadata__: \"%.200s\" is given twice",
                                    keys[i]);
    free(keys);
    return st;
}

static mls_status parse_header(parser *s)
{
    mls_status st = mls_json_scan_char(&s->in, '{');
    bool more;

    if (st)
        return st;
    more = !(mls_json_scan_at(&s->in, '}'));
    if (!more)
        st = mls_json_scan_char(&s->in, '}');
    while (!st && more) {
        const char *name;

        if ((st = mls_json_scan_string(&s->in, &name)) ||
            (st = mls_json_scan_char(&s->in, ':')))
            return st;
        st = strcmp(name, "__metadata__") == 0 ? parse_metadata(s)
                                               : parse_tensor(s, name);
        if (!st)
            st = mls_json_scan_next(&s->in, '}', &more);
    }
    if (!st && s->in.p < s->in.end)
        st = mls_json_scan_unexpected(&s->in, "nothing after the header's '}'");
    return st;
}

static int compare_offset(const void *a, const void *b)
{
    const mls_tensor_info *x = a, *y = b;

    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->n_bytes == y->n_bytes ? 0 : x->n_bytes < y->n_bytes ? -1 : 1;
}

static int compare_name(const void *a, const void *b)
{
    return strcmp((*(const mls_tensor_info *const *)a)->name,
                  (*(const mls_tensor_info *const *)b)->name);
}

/* Tensors follow each other from 0 to the end of the data. */
static mls_status check_layout(const parser *s, uint64_t data_bytes)
{
    const mls_tensor_table *table = s->table;
    uint64_t at = 0;
    size_t i = 1;

    /* Writers keep the order, and then nothing needs to move. */
    while (i < table->n &&
           compare_offset(&table->tensor[i - 1], &table->tensor[i]) <= 0)
        i++;
    if (i < table->n)
        qsort(table->tensor, table->n, sizeof *table->tensor, compare_offset);
    for (i = 0; i < table->n; i++) {
        const mls_tensor_info *t = &table->tensor[i];

        if (t->offset < at)
            return mls_fail(s->in.err, MLS_E_INPUT,
                            "%s: tensor \"%.200s\" begins at data offset %llu and "
                            "overlaps tensor \"%.200s\", which ends at %llu",
                            s->in.path, t->name, (unsigned long long)t->offset,
                            table->tensor[i - 1].name, (unsigned long long)at);
        if (t->offset > at)
            return mls_fail(
                s->in.err, MLS_E_INPUT,
                "%s: tensor \"%.200s\" begins at data offset %llu, expected "
                "%llu: a gap",
                s->in.path, t->name, (unsigned long long)t->offset,
                (unsigned long long)at);
        at += t->n_bytes; /* at + n_bytes was the end in data_offsets: no overflow */
    }
    if (at == data_bytes)
        return MLS_OK;
    if (at > data_bytes && table->n > 0)
        return mls_fail(s->in.err, MLS_E_INPUT,
                        "%s: the data has %llu bytes, expected %llu (tensor \"%.200s\" "
                        "ends there): the file is truncated",
                        s->in.path, (unsigned long long)data_bytes,
                        (unsigned long long)at, table->tensor[table->n - 1].name);
    return mls_fail(s->in.err, MLS_E_INPUT,
                    "%s: the data has %llu bytes, expected %llu: bytes that belong to "
                    "no tensor follow",
                    s->in.path, (unsigned long long)data_bytes, (unsigned long long)at);
}

static mls_status check_names(const parser *s)
{
    mls_tensor_table *table = s->table;

    for (size_t i = 0; i < table->n; i++)
        table->by_name[i] = &table->tensor[i];
    qsort(table->by_name, table->n, sizeof *table->by_name, compare_name);
    for (size_t i = 1; i < table->n; i++)
        if (strcmp(table->by_name[i - 1]->name, table->by_name[i]->name) == 0)
            return mls_fail(
                s->in.err, MLS_E_INPUT,
                "%s: tensor \"%.200s\" is given twice, at data offsets %llu "
                "and %llu",
                s->in.path, table->by_name[i]->name,
                (unsigned long long)table->by_name[i - 1]->offset,
                (unsigned long long)table->by_name[i]->offset);
    return MLS_OK;
}

/*
 * How many tensors there can be at most: each has an opening brace, and each but the
 * one that is refused has its shortest length.
 */
static size_t count_at_most(const char *header, size_t len)
{
    const size_t fit = len / ENTRY_BYTES_MIN + 1;
    size_t braces = 0;

    for (size_t i = 0; i < len; i++)
        braces += header[i] == '{';
    return braces < fit ? braces : fit;
}

mls_status mls_tensor_table_parse(mls_tensor_table *table, char *header, size_t len,
                                  uint64_t data_bytes, const char *path, mls_err *err)
{
    parser s = {
        .in = {header, header, header + len, 8, path, err},
        .table = table,
    };
    const size_t room = count_at_most(header, len);
    mls_status st;

    memset(table, 0, sizeof *table);
    table->header = header;
    table->tensor = mls_calloc3(room, 1, 1, sizeof *table->tensor);
    table->by_name = mls_calloc3(room, 1, 1, sizeof *table->by_name);
    if (!table->tensor || !table->by_name)
        st = fail_memory(&s);
    else if (!(st = parse_header(&s)) && !(st = check_layout(&s, data_bytes)))
        st = check_names(&s);
    if (st)
        mls_tensor_table_free(table);
    return st;
}

void mls_tensor_table_free(mls_tensor_table *table)
{
    free(table->tensor);
    free(table->by_name);
    free(table->metadata);
    free(table->header);
    memset(table, 0, sizeof *table);
}

const mls_tensor_info *mls_tensor_table_find(const mls_tensor_table *table,
                                             const char *name)
{
    const mls_tensor_info key = {.name = name}, *at = &key;
    const mls_tensor_info **found =
        bsearch(&at, table->by_name, table->n, sizeof *table->by_name, compare_name);

    return found ? *found : NULL;
}
