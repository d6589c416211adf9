/* What errors in keys and values cost, when only queries and W_O are asked. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/rope.h"
#include "analysis/numeric/linalg.h"
#include "bench/methods/kq.h"
#include "common/base/checked.h"

/*
 * E over causal distances of R(delta)^T q: the second moment of queries as an unrotated
 * key sees them, T tokens long windows. Blocks of chunk pairs turn by known angles.
 */
static void turn_queries(double *turned, const double *second, const double *inv_freq,
                         size_t D, size_t T)
{
    const size_t C = D / 2;
    const double total = (double)T * ((double)T + 1) / 2;

    memset(turned, 0, D * D * sizeof *turned);
    for (size_t a = 0; a < C; a++)
        for (size_t b = 0; b < C; b++) {
            const double m[4] = {second[a * D + b], second[a * D + b + C],
                                 second[(a + C) * D + b], second[(a + C) * D + b + C]};
            double minus = 0, plus = 0, minus_s = 0, plus_s = 0;

            for (size_t d = 0; d < T; d++) {
                const double w = (double)(T - d) / total;
                const double x = (double)d * (inv_freq[a] - inv_freq[b]);
                const double y = (double)d * (inv_freq[a] + inv_freq[b]);

                minus += w * cos(x);
                minus_s += w * sin(x);
                plus += w * cos(y);
                plus_s += w * sin(y);
            }
            /* R(x) m R(y)^T as sum and difference angles. */
            const double even = (m[0] + m[3]) / 2, odd = (m[0] - m[3]) / 2;
            const double cross = (m[1] + m[2]) / 2, skew = (m[1] - m[2]) / 2;
            const double e = even * minus + skew * minus_s;
            const double k = skew * minus - even * minus_s;
            const double o = odd * plus - cross * plus_s;
            const double x = cross * plus + odd * plus_s;

            turned[a * D + b] = e + o;
            turned[a * D + b + C] = x + k;
            turned[(a + C) * D + b] = x - k;
            turned[(a + C) * D + b + C] = e - o;
        }
}

/* weight=query: logits count by the queries' second moment, values by W_O. */
mls_status mls_kq_query_weights(mls_sensitivity *w, const mls_config *c,
                                const mls_layer *layer, const mls_layer_stats *stats,
                                size_t T, mls_err *err)
{
    const size_t G = c->G, D = c->D, per_group = c->H / c->G;
    double *inv_freq = mls_calloc3(D / 2, 1, 1, sizeof *inv_freq);
    mls_status st = MLS_OK;

    *w = (mls_sensitivity){.G = G,
                           .D = D,
                           .key = mls_calloc3(G, D, D, sizeof(double)),
                           .key_plain = mls_calloc3(G, D, D, sizeof(double)),
                           .value = mls_calloc3(G, D, D, sizeof(double))};
    if (!inv_freq || !w->key || !w->key_plain || !w->value) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the weights of layer %zu",
                      layer->index);
        mls_sensitivity_free(w);
        goto done;
    }
    mls_layer_frequencies(inv_freq, c, layer->index);
    double key_energy = 0, value_energy = 0;
    for (size_t h = 0; h < c->H; h++) {
        const size_t g = h / per_group;

        for (size_t i = 0; i < D * D; i++)
            w->key_plain[g * D * D + i] += stats->q_second[h * D * D + i];
        for (size_t e = 0; e < c->E; e++) {
            const float *row = layer->wo + e * c->H * D + h * D;

            for (size_t i = 0; i < D; i++)
                for (size_t j = 0; j < D; j++)
                    w->value[(g * D + i) * D + j] += (double)row[i] * (double)row[j];
        }
    }
    for (size_t g = 0; g < G; g++)
        turn_queries(w->key + g * D * D, w->key_plain + g * D * D, inv_freq, D, T);
    /* Relative errors: keys and values have no common unit here; of nothing, none. */
    for (size_t g = 0; g < G; g++) {
        key_energy +=
            mls_trace_product(w->key_plain + g * D * D, stats->k_second + g * D * D, D);
        value_energy +=
            mls_trace_product(w->value + g * D * D, stats->v_second + g * D * D, D);
    }
    for (size_t i = 0; i < G * D * D; i++) {
        w->key[i] /= key_energy > 0 ? key_energy : 1;
        w->key_plain[i] /= key_energy > 0 ? key_energy : 1;
        w->value[i] /= value_energy > 0 ? value_energy : 1;
    }

done:
    free(inv_freq);
    return st;
}
