/*
 * A window of queries, keys and values made from integers, the same bit for bit here
 * and in tests/reference/frequency.py; and scores straight from the definition.
 */
#include "tests/support/window_fixture.h"

uint32_t fixture_hash(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    x ^= x >> 16;
    return x;
}

/*
 * Value d of head h at token t: noise in [-1, 1) times a size of the chunk, plus a mean
 * of the dim; multiples of 2^-12 below 4, exact in float. part: 0 q, 1 k, 2 v.
 */
static float fixture_value(uint32_t part, uint32_t t, uint32_t h, uint32_t d,
                           uint32_t D)
{
    const uint32_t c = d % (D / 2);
    const uint32_t noise = fixture_hash(fixture_hash(part * 7919 + t) + h * 4099 + d);
    const uint32_t size = fixture_hash(part * 31 + h * 1009 + c * 17 + 5) % 8 + 1;
    const uint32_t mean = fixture_hash(part * 37 + h * 2003 + d * 13 + 3) % 17;

    return ((float)(noise % 2048) - 1024.0f) / 1024.0f * (float)size / 4.0f +
           ((float)mean - 8.0f) / 8.0f;
}

void fixture_free(fixture *f)
{
    free(f->q);
    free(f->k);
    free(f->v);
    free(f->inv_freq);
    free(f->turns);
}

fixture fixture_new(size_t T, size_t H, size_t G, size_t D, double theta, size_t salt)
{
    fixture f;

    f.q = malloc(T * H * D * sizeof *f.q);
    f.k = malloc(T * G * D * sizeof *f.k);
    f.v = malloc(T * G * D * sizeof *f.v);
    f.inv_freq = malloc(D / 2 * sizeof *f.inv_freq);
    f.turns = malloc(T * D * sizeof *f.turns);
    assert_true(f.q && f.k && f.v && f.inv_freq && f.turns);
    for (size_t t = 0; t < T; t++)
        for (size_t d = 0; d < D; d++) {
            const uint32_t token = (uint32_t)(t + salt * T);

            for (size_t h = 0; h < H; h++)
                f.q[(t * H + h) * D + d] =
                    fixture_value(0, token, (uint32_t)h, (uint32_t)d, (uint32_t)D);
            for (size_t g = 0; g < G; g++) {
                f.k[(t * G + g) * D + d] =
                    fixture_value(1, token, (uint32_t)g, (uint32_t)d, (uint32_t)D);
                f.v[(t * G + g) * D + d] =
                    fixture_value(2, token, (uint32_t)g, (uint32_t)d, (uint32_t)D);
            }
        }
    for (size_t c = 0; c < D / 2; c++)
        f.inv_freq[c] = pow(theta, -2.0 * (double)c / (double)D);
    mls_chunk_turns(f.turns, f.inv_freq, D / 2, T);
    f.w = (mls_chunk_window){.T = T,
                             .H = H,
                             .G = G,
                             .D = D,
                             .q = f.q,
                             .k = f.k,
                             .v = f.v,
                             .inv_freq = f.inv_freq};
    return f;
}

double naive_score(const mls_chunk_window *w, size_t h, size_t i, size_t j,
                   const bool *rotated)
{
    const size_t D = w->D, C = D / 2, g = h / (w->H / w->G);
    const float *q = w->q + (i * w->H + h) * D, *k = w->k + (j * w->G + g) * D;
    double s = 0.0;

    for (size_t c = 0; c < C; c++) {
        double q0 = (double)q[c], q1 = (double)q[c + C];
        double k0 = (double)k[c], k1 = (double)k[c + C];

        if (rotated[c]) {
            const double x = (double)i * w->inv_freq[c], y = (double)j * w->inv_freq[c];
            const double q_turned = q0 * cos(x) - q1 * sin(x);
            const double k_turned = k0 * cos(y) - k1 * sin(y);

            q1 = q1 * cos(x) + q0 * sin(x);
            k1 = k1 * cos(y) + k0 * sin(y);
            q0 = q_turned;
            k0 = k_turned;
        }
        s += q0 * k0 + q1 * k1;
    }
    return s / sqrt((double)D);
}
