/*
 * Slots of a fold are ordered so that component z, by falling energy, comes to stand at
 * the chunk whose frequency it turns with from then on; the kept ones first, `collapse`
 * chunks apart (place_of). Both halves of the dims go through the same eigenvectors,
 * which is why their moments are added before these are sought. Of other data the
 * energy is the trace of U^T H U with the basis as it is (mls_rorope_captured_of).
 */
#include "analysis/spectrum/rorope.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"

/* Dim of (head, half, chunk) in all keys of a layer: g D + p C + c. */
typedef struct {
    size_t head, chunk; /* chunk within the fold, 0..F-1 */
} place;

static place place_of(const mls_rorope *r, size_t slot)
{
    const size_t per = r->fold / r->collapse;
    const size_t a = slot % per, g = slot / per % r->G, e = slot / per / r->G;

    return (place){.head = g, .chunk = a * r->collapse + e};
}

static mls_status check(const mls_rorope *r, mls_err *err)
{
    if (r->fold == 0 || r->C % r->fold != 0)
        return mls_fail(err, MLS_E_INPUT,
                        "freqfold %zu does not divide the %zu chunks of a head of %zu",
                        r->fold, r->C, r->D);
    if (r->collapse == 0 || r->fold % r->collapse != 0)
        return mls_fail(err, MLS_E_INPUT, "collapse %zu does not divide freqfold %zu",
                        r->collapse, r->fold);
    if (r->keep > r->G * r->fold)
        return mls_fail(err, MLS_E_INPUT,
                        "%zu components per fold asked for, a fold of %zu chunks and "
                        "%zu heads has %zu",
                        r->keep, r->fold, r->G, r->G * r->fold);
    return MLS_OK;
}

/* h (n, n) = E[x_0 x_0^T] + E[x_1 x_1^T] of fold m, in slots. */
static void gather_moment(const mls_rorope *r, size_t m, const double *k_second,
                          double *h)
{
    const size_t n = r->G * r->fold, GD = r->G * r->D;

    for (size_t i = 0; i < n; i++) {
        const place a = place_of(r, i);
        const size_t row = a.head * r->D + m * r->fold + a.chunk;

        for (size_t j = 0; j < n; j++) {
            const place b = place_of(r, j);
            const size_t column = b.head * r->D + m * r->fold + b.chunk;

            h[i * n + j] = k_second[row * GD + column] +
                           k_second[(row + r->C) * GD + column + r->C];
        }
    }
}

mls_status mls_rorope_new(mls_rorope *out, const double *k_second, size_t G, size_t D,
                          size_t fold, size_t collapse, size_t keep, mls_err *err)
{
    mls_rorope r = {.G = G, .D = D, .C = D / 2, .fold = fold, .collapse = collapse};
    double *h = NULL;
    mls_status st;

    *out = (mls_rorope){0};
    r.keep = keep || !collapse ? keep : fold / collapse;
    st = check(&r, err);
    if (st)
        return st;

    const size_t n = G * fold, folds = r.C / fold;

    r.basis = mls_calloc3(folds, n, n, sizeof *r.basis);
    r.energy = mls_calloc3(folds, n, 1, sizeof *r.energy);
    h = mls_calloc3(n, n, 1, sizeof *h);
    if (!r.basis || !r.energy || !h) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu rotations of %zu", folds, n);
        goto done;
    }
    for (size_t m = 0; m < folds && !st; m++) {
        gather_moment(&r, m, k_second, h);
        st = mls_eigen(h, n, r.energy + m * n, r.basis + m * n * n, err);
    }

done:
    free(h);
    if (st)
        mls_rorope_free(&r);
    *out = r;
    return st;
}

void mls_rorope_free(mls_rorope *r)
{
    mls_free_all(r->basis, r->energy);
    *r = (mls_rorope){0};
}

size_t mls_rorope_chunks(const mls_rorope *r)
{
    return r->C / r->fold * r->keep;
}

double mls_rorope_captured(const mls_rorope *r)
{
    const size_t n = r->G * r->fold;
    double kept = 0.0, all = 0.0;

    for (size_t m = 0; m < r->C / r->fold; m++)
        for (size_t z = 0; z < n; z++) {
            all += r->energy[m * n + z];
            if (z < r->keep)
                kept += r->energy[m * n + z];
        }
    return all > 0.0 ? kept / all : 1.0;
}

mls_status mls_rorope_captured_of(const mls_rorope *r, const double *k_second,
                                  double *share, mls_err *err)
{
    const size_t n = r->G * r->fold;
    double *h = mls_calloc3(n, n, 1, sizeof *h), kept = 0.0, all = 0.0;

    if (!h)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a rotation of %zu", n);
    for (size_t m = 0; m < r->C / r->fold; m++) {
        gather_moment(r, m, k_second, h);
        for (size_t i = 0; i < n; i++)
            all += h[i * n + i];
        for (size_t z = 0; z < r->keep; z++) {
            const double *u = r->basis + (m * n + z) * n;

            for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < n; j++)
                    kept += u[i] * h[i * n + j] * u[j];
        }
    }
    free(h);
    *share = all > 0.0 ? kept / all : 1.0;
    return MLS_OK;
}

void mls_rorope_frequencies(const mls_rorope *r, const double *inv_freq,
                            double *rope_freq)
{
    for (size_t m = 0; m < r->C / r->fold; m++)
        for (size_t z = 0; z < r->keep; z++)
            rope_freq[m * r->keep + z] = inv_freq[m * r->fold + place_of(r, z).chunk];
}

/* Row of the rotated keys that holds component z of fold m, half p. */
static size_t row_of(const mls_rorope *r, size_t p, size_t m, size_t z)
{
    const size_t rope = mls_rorope_chunks(r), rest = r->G * r->fold - r->keep;

    if (z < r->keep)
        return p * rope + m * r->keep + z;
    return 2 * rope + p * (r->C / r->fold) * rest + m * rest + z - r->keep;
}

static void add_row(double *y, double factor, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += factor * x[i];
}

void mls_rorope_keys(const mls_rorope *r, const double *w, size_t n, double *y)
{
    const size_t slots = r->G * r->fold;

    for (size_t p = 0; p < 2; p++)
        for (size_t m = 0; m < r->C / r->fold; m++)
            for (size_t z = 0; z < slots; z++) {
                const double *b = r->basis + (m * slots + z) * slots;
                double *y_row = y + row_of(r, p, m, z) * n;

                memset(y_row, 0, n * sizeof *y_row);
                for (size_t s = 0; s < slots; s++) {
                    const place at = place_of(r, s);
                    const size_t dim =
                        at.head * r->D + p * r->C + m * r->fold + at.chunk;

                    add_row(y_row, b[s], w + dim * n, n);
                }
            }
}

void mls_rorope_queries(const mls_rorope *r, size_t g, const double *w, size_t n,
                        double *y)
{
    const size_t slots = r->G * r->fold;

    memset(y, 0, 2 * mls_rorope_chunks(r) * n * sizeof *y);
    for (size_t p = 0; p < 2; p++)
        for (size_t m = 0; m < r->C / r->fold; m++)
            for (size_t z = 0; z < r->keep; z++) {
                const double *b = r->basis + (m * slots + z) * slots;
                double *y_row = y + row_of(r, p, m, z) * n;

                for (size_t s = 0; s < slots; s++) {
                    const place at = place_of(r, s);

                    if (at.head == g)
                        add_row(y_row, b[s],
                                w + (p * r->C + m * r->fold + at.chunk) * n, n);
                }
            }
}

void mls_rorope_read_back(const mls_rorope *r, size_t g, double *up)
{
    const size_t slots = r->G * r->fold, rope = 2 * mls_rorope_chunks(r);
    const size_t rest = r->G * r->D - rope;

    memset(up, 0, r->D * rest * sizeof *up);
    for (size_t p = 0; p < 2; p++)
        for (size_t m = 0; m < r->C / r->fold; m++)
            for (size_t z = r->keep; z < slots; z++) {
                const double *b = r->basis + (m * slots + z) * slots;
                const size_t column = row_of(r, p, m, z) - rope;

                for (size_t s = 0; s < slots; s++) {
                    const place at = place_of(r, s);

                    if (at.head == g)
                        up[(p * r->C + m * r->fold + at.chunk) * rest + column] = b[s];
                }
            }
}
