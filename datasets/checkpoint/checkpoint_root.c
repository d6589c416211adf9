/*
 * A file of several models (text beside vision or audio), or of a class that wraps
 * another, has the text model's tensors under a root of its own:
 * "language_model.model.", "model.language_model.", "thinker.model.", "transformer.",
 * or none. No list of such roots is kept: the root is the text in front of the layers
 * with which most tensors that the config asks for are there in the right shape. Other
 * towers have layers of the same names, but not of all the same shapes. The output
 * head is looked for from that root outwards.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "datasets/checkpoint/checkpoint_inner.h"
#include "datasets/checkpoint/tensors.h"

enum { ROOTS_MAX = 64, ROOT_BYTES = 96 };

/* Bytes of "model." in "model.layers.%zu.": what stands before the layers' list. */
static size_t family_root(const mls_config *config)
{
    const char *prefix = config->net.prefix ? config->net.prefix : "model.layers.%zu.";
    const char *number = strstr(prefix, "%zu");
    size_t n = number ? (size_t)(number - prefix) : 0;

    if (n > 0)
        n--; /* the dot */
    while (n > 0 && prefix[n - 1] != '.')
        n--;
    return n;
}

/* The tensor root + name, where it has the shape of the need. */
static const mls_checkpoint_entry *find_under(const mls_checkpoint *c, const char *root,
                                              size_t n_root, const char *name,
                                              const mls_tensor_need *need)
{
    char text[2 * ROOT_BYTES + 96];
    const mls_checkpoint_entry *e;

    snprintf(text, sizeof text, "%.*s%s", (int)n_root, root, name);
    e = mls_checkpoint_entry_of(c, text);
    return e && mls_checkpoint_has_shape(e->info, need->rows, need->cols) ? e : NULL;
}

/* Tensors of the first and the last layer, and one of each other, that are there. */
static size_t score(const mls_checkpoint *c, const char *root, size_t family)
{
    size_t found = 0;

    for (size_t l = 0; l < c->config.L; l++) {
        const bool all = l == 0 || l + 1 == c->config.L;
        const size_t n = all ? mls_tensor_layer_needs(&c->config, l) : 1;

        for (size_t i = 0; i < n; i++) {
            const mls_tensor_need need = mls_tensor_layer_need_at(&c->config, l, i);

            found +=
                find_under(c, root, strlen(root), need.name + family, &need) != NULL;
        }
    }
    return found;
}

typedef struct roots {
    char text[ROOTS_MAX][ROOT_BYTES];
    size_t n;
} roots;

static void add_root(roots *r, const char *text, size_t n)
{
    if (n >= ROOT_BYTES || r->n == ROOTS_MAX)
        return;
    for (size_t i = 0; i < r->n; i++)
        if (strlen(r->text[i]) == n && memcmp(r->text[i], text, n) == 0)
            return;
    memcpy(r->text[r->n], text, n);
    r->text[r->n++][n] = '\0';
}

/* Whatever stands before a tensor of the first layer. */
static void list_roots(const mls_checkpoint *c, size_t family, roots *r)
{
    const size_t needs = mls_tensor_layer_needs(&c->config, 0);

    for (size_t i = 0; i < needs; i++) {
        const mls_tensor_need need = mls_tensor_layer_need_at(&c->config, 0, i);
        const char *tail = need.name + family;
        const size_t n = strlen(tail);

        for (size_t k = 0; k < c->n_tensors; k++) {
            const char *name = c->tensors[k].info->name;
            const size_t len = strlen(name);

            if (len >= n && strcmp(name + len - n, tail) == 0 &&
                (len == n || name[len - n - 1] == '.'))
                add_root(r, name, len - n);
        }
    }
}

/* The entry under another name. */
static void rename_entry(mls_checkpoint *c, mls_checkpoint_entry *e, const char *name)
{
    mls_checkpoint_renamed *r = &c->renamed[e - c->tensors];

    if (strlen(name) >= sizeof r->name)
        return; /* longer than any that is asked for */
    if (e->info != &r->info)
        r->info = *e->info;
    snprintf(r->name, sizeof r->name, "%s", name);
    r->info.name = r->name;
    e->info = &r->info;
}

/*
 * Embedding, last norm and head: under the root, or under one that holds it ("" holds
 * all).
 */
static const mls_checkpoint_entry *find_whole(const mls_checkpoint *c, const char *root,
                                              const char *name,
                                              const mls_tensor_need *need)
{
    size_t n = strlen(root);
    const mls_checkpoint_entry *e;

    while (!(e = find_under(c, root, n, name, need)) && n > 0) {
        n--;
        while (n > 0 && root[n - 1] != '.')
            n--;
    }
    return e;
}

static mls_status move_root(mls_checkpoint *c, const char *root, size_t family,
                            mls_err *err)
{
    const char *prefix =
        c->config.net.prefix ? c->config.net.prefix : "model.layers.%zu.";
    const char *number = strstr(prefix, "%zu");
    const size_t n = strlen(root), layers = number ? (size_t)(number - prefix) : family;
    const mls_checkpoint_entry *whole[MLS_TENSOR_ROLES] = {NULL};
    mls_config untied = c->config;
    char text[ROOT_BYTES + 256];

    c->renamed = mls_calloc3(c->n_tensors, 1, 1, sizeof *c->renamed);
    if (!c->renamed)
        return mls_checkpoint_no_memory(c, err);
    untied.tied_embeddings = false;
    for (int role = MLS_TENSOR_EMBED; role < MLS_TENSOR_ROLES; role++) {
        const mls_tensor_need need = mls_tensor_of(&untied, (mls_tensor_role)role);
        const bool inside = strncmp(need.name, prefix, family) == 0;

        if (mls_tensor_is_there(&untied, (mls_tensor_role)role))
            whole[role] = find_whole(c, root, need.name + (inside ? family : 0), &need);
    }
    for (size_t i = 0; i < c->n_tensors; i++) {
        const char *name = c->tensors[i].info->name;
        const char *rest = strncmp(name, root, n) == 0 ? name + n : NULL;

        if (!rest || strncmp(rest, prefix + family, layers - family) != 0 ||
            strlen(rest) >= sizeof text - ROOT_BYTES)
            continue;
        snprintf(text, sizeof text, "%.*s%s", (int)family, prefix, rest);
        rename_entry(c, &c->tensors[i], text);
    }
    for (int role = MLS_TENSOR_EMBED; role < MLS_TENSOR_ROLES; role++)
        if (whole[role])
            rename_entry(c, &c->tensors[whole[role] - c->tensors],
                         mls_tensor_of(&untied, (mls_tensor_role)role).name);
    return mls_checkpoint_sort(c, err);
}

/*
 * A model inside another's config.json without a head of its own: the class ties it,
 * whatever the text model's own default is.
 */
static void tie_missing_head(mls_checkpoint *c)
{
    mls_config untied = c->config;
    mls_tensor_need head;

    untied.tied_embeddings = false;
    head = mls_tensor_head(&untied);
    if (!c->config.nested || c->config.tied_embeddings ||
        mls_checkpoint_find(c, head.name, NULL))
        return;
    c->config.tied_embeddings = true;
    mls_checkpoint_warn(c,
                        "%s: no \"%s\" is there: the output head is the embedding's "
                        "matrix",
                        c->folder, head.name);
}

mls_status mls_checkpoint_find_root(mls_checkpoint *c, mls_err *err)
{
    const char *prefix =
        c->config.net.prefix ? c->config.net.prefix : "model.layers.%zu.";
    const size_t family = family_root(&c->config);
    size_t best = ROOTS_MAX, twin = ROOTS_MAX, most;
    char usual[ROOT_BYTES];
    roots *r = calloc(1, sizeof *r);
    mls_status st = MLS_OK;

    if (!r)
        return mls_checkpoint_no_memory(c, err);
    snprintf(usual, sizeof usual, "%.*s", (int)family, prefix);
    most = score(c, usual, family);
    list_roots(c, family, r);
    for (size_t i = 0; i < r->n; i++) {
        const size_t found =
            strcmp(r->text[i], usual) == 0 ? 0 : score(c, r->text[i], family);

        if (found > most) {
            most = found;
            best = i;
            twin = ROOTS_MAX;
        } else if (found == most && best < ROOTS_MAX) {
            twin = i;
        }
    }
    if (twin < ROOTS_MAX)
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: two models have the text model's shape: the tensors under "
                      "\"%s\" and those under \"%s\"",
                      c->folder, r->text[best], r->text[twin]);
    else if (best < ROOTS_MAX) {
        mls_checkpoint_warn(c,
                            "%s: the text model's tensors begin with \"%s\" in the "
                            "file, not with \"%s\"",
                            c->folder, r->text[best], usual);
        st = move_root(c, r->text[best], family, err);
    }
    free(r);
    if (!st)
        tie_missing_head(c);
    return st;
}
