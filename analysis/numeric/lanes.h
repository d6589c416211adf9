/*
 * Partial sums side by side, so that a loop can be wide and still has one fixed order.
 */
#ifndef MLS_LANES_H
#define MLS_LANES_H

#include <math.h>
#include <stddef.h>

#include "analysis/numeric/vector.h"

enum { MLS_LANES = 16 };

static inline double mls_add_lanes(const double lane[MLS_LANES])
{
    double sum = 0.0;

    for (size_t i = 0; i < MLS_LANES; i++)
        sum += lane[i];
    return sum;
}

/**
 * Defines the function that gives the largest of a row of that type. NaN is passed
 * over: the exponentials that follow find it.
 */
#define MLS_DEFINE_LARGEST(name, type)                                                 \
    MLS_WIDE static type name(const type *x, size_t n)                                 \
    {                                                                                  \
        type lane[MLS_LANES], m = -(type)INFINITY;                                     \
        size_t i = 0;                                                                  \
                                                                                       \
        for (size_t j = 0; j < MLS_LANES; j++)                                         \
            lane[j] = -(type)INFINITY;                                                 \
        for (; i + MLS_LANES <= n; i += MLS_LANES)                                     \
            for (size_t j = 0; j < MLS_LANES; j++)                                     \
                lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];                     \
        for (; i < n; i++)                                                             \
            m = x[i] > m ? x[i] : m;                                                   \
        for (size_t j = 0; j < MLS_LANES; j++)                                         \
            m = lane[j] > m ? lane[j] : m;                                             \
        return m;                                                                      \
    }

#endif
