/*
 * A report asks for one form several times: two rounds of a race, search and check of a
 * plan, a dozen quantizers on one latent. Making it again costs from a hundredth of a
 * second to many; a copy costs its bytes. Where not all fit, those stay that took the
 * most seconds for a byte. What is kept changes no figure: a form made again has the
 * same numbers.
 */
#include "bench/frame/form_cache.h"
#include "common/base/checked.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char *text;
    mls_latent_form form;
    size_t bytes;
    double seconds;
} entry;

struct mls_form_cache {
    pthread_mutex_t lock;
    uint64_t limit, bytes;
    entry *entry;
    size_t n, room;
};

mls_status mls_form_cache_new(mls_form_cache **out, uint64_t bytes, mls_err *err)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return mls_fail(err, MLS_E_NOMEM, "no memory to keep forms");
    pthread_mutex_init(&(*out)->lock, NULL);
    (*out)->limit = bytes;
    return MLS_OK;
}

static void drop(mls_form_cache *c, size_t i)
{
    c->bytes -= c->entry[i].bytes;
    mls_latent_free(&c->entry[i].form);
    free(c->entry[i].text);
    c->entry[i] = c->entry[--c->n];
}

void mls_form_cache_free(mls_form_cache *c)
{
    if (!c)
        return;
    while (c->n)
        drop(c, c->n - 1);
    pthread_mutex_destroy(&c->lock);
    mls_free_all(c->entry, c);
}

static size_t find(const mls_form_cache *c, const char *text, size_t layer)
{
    size_t i = 0;

    while (i < c->n &&
           (c->entry[i].form.layer != layer || strcmp(c->entry[i].text, text) != 0))
        i++;
    return i;
}

mls_status mls_form_cache_get(mls_form_cache *c, const char *text, size_t layer,
                              mls_latent_form *f, bool *found, mls_err *err)
{
    mls_status st = MLS_OK;

    pthread_mutex_lock(&c->lock);
    const size_t i = find(c, text, layer);

    *found = i < c->n;
    if (*found)
        st = mls_latent_copy(f, &c->entry[i].form, err);
    pthread_mutex_unlock(&c->lock);
    return st;
}

static double worth(const entry *e)
{
    return e->seconds / (double)(e->bytes + 1);
}

/* Entries that are worth less than e leave until there is room, if that makes room. */
static bool make_room(mls_form_cache *c, const entry *e)
{
    uint64_t less = 0;

    for (size_t i = 0; i < c->n; i++)
        less += worth(&c->entry[i]) < worth(e) ? c->entry[i].bytes : 0;
    if (c->bytes - less + e->bytes > c->limit)
        return false;
    while (c->bytes + e->bytes > c->limit) {
        size_t least = 0;

        for (size_t i = 1; i < c->n; i++)
            if (worth(&c->entry[i]) < worth(&c->entry[least]))
                least = i;
        drop(c, least);
    }
    return true;
}

static void put(mls_form_cache *c, const char *text, const mls_latent_form *f,
                double seconds)
{
    entry e = {.bytes = mls_latent_bytes(f), .seconds = seconds};

    if (find(c, text, f->layer) < c->n || !make_room(c, &e))
        return;
    if (c->n == c->room) {
        const size_t room = 2 * c->room + 64;
        entry *more = realloc(c->entry, room * sizeof *more);

        if (!more)
            return;
        c->entry = more;
        c->room = room;
    }
    e.text = strdup(text);
    if (!e.text || mls_latent_copy(&e.form, f, NULL)) {
        free(e.text);
        return;
    }
    c->entry[c->n++] = e;
    c->bytes += e.bytes;
}

void mls_form_cache_put(mls_form_cache *c, const char *text, const mls_latent_form *f,
                        double seconds)
{
    pthread_mutex_lock(&c->lock);
    put(c, text, f, seconds);
    pthread_mutex_unlock(&c->lock);
}
