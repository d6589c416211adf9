/*
 * A part's number stands in its metadata and in its name, and both must agree, or the
 * others cannot be found from it.
 */
#include "datasets/files/gguf_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"

enum { PARTS_MAX = 4096, SUFFIX = 20 }; /* "-00001-of-00003.gguf" */

/* path with another number in its suffix; NULL when memory is short. */
static char *name_of_part(const char *path, uint64_t i, uint64_t n)
{
    const size_t stem = strlen(path) - SUFFIX;
    char *name = malloc(stem + SUFFIX + 1);

    if (!name)
        return NULL;
    memcpy(name, path, stem);
    snprintf(name + stem, SUFFIX + 1, "-%05u-of-%05u.gguf", (unsigned)i + 1,
             (unsigned)n);
    return name;
}

/* What a file says about itself: 1 part, part 0, when it says nothing. */
static mls_status read_numbers(const mls_gguf *f, uint64_t *no, uint64_t *n,
                               mls_err *err)
{
    mls_status st;

    *no = 0;
    *n = 1;
    if ((st = mls_gguf_whole(f, "split.no", no, err)) ||
        (st = mls_gguf_whole(f, "split.count", n, err)))
        return st;
    if (*n == 0)
        *n = 1;
    if (*n > PARTS_MAX || *no >= *n)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: split.no is %llu of split.count %llu, expected a part of "
                        "at most %d",
                        mls_gguf_path(f), (unsigned long long)*no,
                        (unsigned long long)*n, PARTS_MAX);
    return MLS_OK;
}

/* The file's name must be that of part `no` of n, or the others cannot be found. */
static mls_status check_name(const char *path, uint64_t no, uint64_t n, mls_err *err)
{
    char *own = strlen(path) > SUFFIX ? name_of_part(path, no, n) : strdup("");
    char *first = strlen(path) > SUFFIX ? name_of_part(path, 0, n) : strdup("");
    mls_status st = MLS_OK;

    if (!own || !first)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
    else if (strcmp(own, path) != 0)
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: is part %llu of %llu, expected a name that ends in "
                      "-%05u-of-%05u.gguf",
                      path, (unsigned long long)no + 1, (unsigned long long)n,
                      (unsigned)no + 1, (unsigned)n);
    else if (no > 0)
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: is part %llu of %llu, expected the first, %s", path,
                      (unsigned long long)no + 1, (unsigned long long)n, first);
    free(first);
    free(own);
    return st;
}

static mls_status open_part(mls_gguf_parts *p, const char *path, uint64_t n,
                            mls_err *err)
{
    const uint64_t i = p->n;
    char *name = name_of_part(path, i, n);
    uint64_t no, count;
    mls_status st;

    if (!name)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
    st = mls_gguf_open(&p->part[i], name, err);
    p->n += !st;
    if (!st && !(st = read_numbers(p->part[i], &no, &count, err)) &&
        (no != i || count != n))
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: says that it is part %llu of %llu, expected part %llu of "
                      "%llu",
                      name, (unsigned long long)no + 1, (unsigned long long)count,
                      (unsigned long long)i + 1, (unsigned long long)n);
    free(name);
    return st;
}

static mls_status check_count(const mls_gguf_parts *p, mls_err *err)
{
    uint64_t found = 0, want;
    mls_status st;

    for (size_t i = 0; i < p->n; i++)
        found += mls_gguf_head(p->part[i])->n_tensors;
    want = found;
    st = mls_gguf_whole(p->part[0], "split.tensors.count", &want, err);
    if (!st && want != found)
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: its %zu parts have %llu tensors, but split.tensors.count is "
                      "%llu",
                      mls_gguf_path(p->part[0]), p->n, (unsigned long long)found,
                      (unsigned long long)want);
    return st;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;

    return strcmp(*x, *y);
}

/* A name in two parts would be one tensor for who asks and two for who counts. */
static mls_status check_names(const mls_gguf_parts *p, mls_err *err)
{
    const char **name, *twice = NULL;
    size_t total = 0, n = 0;

    for (size_t i = 0; i < p->n; i++)
        total += mls_gguf_head(p->part[i])->n_tensors;
    if (p->n < 2 || total == 0)
        return MLS_OK;
    name = mls_calloc3(total, 1, 1, sizeof *name);
    if (!name)
        return mls_fail(err, MLS_E_NOMEM, "no memory to open %s",
                        mls_gguf_path(p->part[0]));
    for (size_t i = 0; i < p->n; i++)
        for (size_t j = 0; j < mls_gguf_head(p->part[i])->n_tensors; j++)
            name[n++] = mls_gguf_head(p->part[i])->tensor[j].name;
    qsort(name, n, sizeof *name, compare_names);
    for (size_t i = 1; !twice && i < n; i++)
        if (strcmp(name[i - 1], name[i]) == 0)
            twice = name[i];
    free(name);
    return twice ? mls_fail(err, MLS_E_INPUT,
                            "%s: tensor \"%.200s\" is in two of its parts",
                            mls_gguf_path(p->part[0]), twice)
                 : MLS_OK;
}

mls_status mls_gguf_parts_open(mls_gguf_parts *out, const char *path, mls_err *err)
{
    mls_gguf *first;
    uint64_t no, n;
    mls_status st = mls_gguf_open(&first, path, err);

    if (st)
        return st;
    st = read_numbers(first, &no, &n, err);
    if (!st && n > 1)
        st = check_name(path, no, n, err);
    if (!st && !(out->part = mls_calloc3((size_t)n, 1, 1, sizeof *out->part)))
        st = mls_fail(err, MLS_E_NOMEM, "no memory to open %s", path);
    if (st) {
        mls_gguf_close(first);
        return st;
    }
    out->part[out->n++] = first;
    while (!st && out->n < n)
        st = open_part(out, path, n, err);
    if (!st)
        st = check_count(out, err);
    return st ? st : check_names(out, err);
}

void mls_gguf_parts_close(mls_gguf_parts *p)
{
    for (size_t i = 0; i < p->n; i++)
        mls_gguf_close(p->part[i]);
    free(p->part);
    *p = (mls_gguf_parts){0};
}

const mls_tensor_info *mls_gguf_parts_find(const mls_gguf_parts *p, const char *name,
                                           const mls_gguf **part)
{
    const mls_tensor_info *t = NULL;
    size_t i = 0;

    for (; !t && i < p->n; i++)
        t = mls_gguf_header_tensor(mls_gguf_head(p->part[i]), name);
    if (t && part)
        *part = p->part[i - 1];
    return t;
}
