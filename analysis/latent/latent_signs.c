/*
 * A singular vector has no sign: u_i and -u_i give the same product, but a quantizer
 * with an offset, or one that turns vectors by a Hadamard matrix first, sees another
 * latent. So before a latent is quantized its numbers get the sign of what reads them:
 * of all entries that heads multiply number i by, the one of largest magnitude becomes
 * positive,
 *
 *   c_i -> s c_i, up[:, i] -> s up[:, i],  s = sign of up[argmax |up[:, i]|, i]
 *
 * and every program that takes the same U, whatever its signs, measures the same. What
 * is cached as the model has it (no up-projection) keeps its signs: they are no choice.
 */
#include <math.h>

#include "analysis/latent/latent.h"

/* The maps by which head g reads latent j, or NULL. */
static mls_affine *reader(mls_latent_form *f, size_t g, size_t j, bool keys)
{
    mls_read_head *h = &f->head[g];

    return (keys ? h->key_latent : h->value_latent) == (int)j
               ? (keys ? &h->key : &h->value)
               : NULL;
}

/* Does some head take latent j without a map? */
static bool read_as_it_is(mls_latent_form *f, size_t j)
{
    for (size_t i = 0; i < 2 * f->G; i++) {
        const mls_affine *up = reader(f, i / 2, j, i % 2);

        if (up && up->cols == 0)
            return true;
    }
    return false;
}

/* Of all that reads number i of latent j the entry of largest magnitude. */
static float largest_entry(mls_latent_form *f, size_t j, size_t i)
{
    float most = 0;

    for (size_t k = 0; k < 2 * f->G; k++) {
        const mls_affine *up = reader(f, k / 2, j, k % 2);

        for (size_t row = 0; up && row < up->rows; row++) {
            const float x = up->w[row * up->cols + i];

            if (fabsf(x) > fabsf(most))
                most = x;
        }
    }
    return most;
}

void mls_latent_sign(mls_latent_form *f, size_t j)
{
    mls_affine *down = &f->latent[j].down;

    if (down->cols == 0 || read_as_it_is(f, j))
        return;
    for (size_t i = 0; i < f->latent[j].r; i++) {
        if (largest_entry(f, j, i) >= 0)
            continue;
        for (size_t e = 0; e < down->cols; e++)
            down->w[i * down->cols + e] *= -1;
        if (down->b)
            down->b[i] *= -1;
        for (size_t k = 0; k < 2 * f->G; k++) {
            mls_affine *up = reader(f, k / 2, j, k % 2);

            for (size_t row = 0; up && row < up->rows; row++)
                up->w[row * up->cols + i] *= -1;
        }
    }
}
