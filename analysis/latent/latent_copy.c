/* Another form with the same numbers, in memory of its own. */
#include <stdlib.h>
#include <string.h>

#include "analysis/latent/latent.h"
#include "common/base/checked.h"

static void *copy_of(const void *from, size_t n, size_t size)
{
    void *to = mls_calloc3(n, size, 1, 1);

    if (to && n)
        memcpy(to, from, n * size);
    return to;
}

/* Numbers of every array, which stand in the same order in both. */
static mls_status copy_numbers(mls_latent_form *to, mls_latent_form *from, mls_err *err)
{
    mls_latent_array *a = NULL, *b = NULL;
    size_t n_a, n_b;
    mls_status st = mls_latent_arrays(to, &a, &n_a, err);

    if (!st)
        st = mls_latent_arrays(from, &b, &n_b, err);
    for (size_t i = 0; !st && i < n_a; i++) {
        const size_t n = a[i].rows * (a[i].cols ? a[i].cols : 1);

        if (a[i].f64)
            memcpy(*a[i].f64, *b[i].f64, n * sizeof(double));
        else
            memcpy(*a[i].f32, *b[i].f32, n * sizeof(float));
    }
    for (size_t i = 0; !st && i < to->n_latents; i++)
        if (to->latent[i].n_tail)
            memcpy(to->latent[i].tail, from->latent[i].tail,
                   to->latent[i].n_tail * sizeof(double));
    mls_free_all(a, b);
    return st;
}

mls_status mls_latent_copy(mls_latent_form *to, const mls_latent_form *from,
                           mls_err *err)
{
    mls_latent_form read = *from; /* its arrays are looked at, not changed */
    mls_status st = MLS_OK;

    *to = *from;
    to->numbers = NULL;
    to->latent = copy_of(from->latent, from->n_latents, sizeof *to->latent);
    to->rope_key = copy_of(from->rope_key, from->n_rope_keys, sizeof *to->rope_key);
    to->head = copy_of(from->head, from->G, sizeof *to->head);
    if (!to->latent || !to->rope_key || !to->head)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the form of layer %zu",
                      from->layer);
    if (!st && from->numbers)
        st = mls_latent_allocate(to, err);
    if (!st && from->numbers)
        st = copy_numbers(to, &read, err);
    if (st)
        mls_latent_free(to);
    return st;
}

size_t mls_latent_bytes(const mls_latent_form *f)
{
    mls_latent_form read = *f;
    mls_latent_array *a = NULL;
    size_t n = 0, bytes = f->n_latents * sizeof *f->latent +
                          f->n_rope_keys * sizeof *f->rope_key + f->G * sizeof *f->head;

    for (size_t i = 0; i < f->n_latents; i++)
        bytes += f->latent[i].n_tail * sizeof(double);
    if (mls_latent_arrays(&read, &a, &n, NULL))
        return bytes;
    for (size_t i = 0; i < n; i++)
        bytes += a[i].rows * (a[i].cols ? a[i].cols : 1) *
                 (a[i].f64 ? sizeof(double) : sizeof(float));
    free(a);
    return bytes;
}
