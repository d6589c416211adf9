/*
 * What is known of a measured setting, as a table of quantities: every table that shows
 * one, sorts by one or keeps one in a file takes it from here.
 */
#ifndef MLS_QUANTITIES_H
#define MLS_QUANTITIES_H

#include "bench/evaluate/compare.h"

typedef struct mls_quantity {
    const char *key;     /* of CSV and JSON: "kept_percent" */
    const char *heading; /* for people: "kept" */
    const char *unit;
    int decimals;
    double (*get)(const mls_compared *r);
    const char
        *row;  /* its name in a file of finished rows; NULL: follows from others */
    size_t at; /* with row: offset of the number that is kept, in mls_compared */
} mls_quantity;

/** key is NULL at the end; in the order of the file of finished rows. */
extern const mls_quantity mls_quantities[];

/** NULL when there is none with this key. */
const mls_quantity *mls_quantity_find(const char *key);

#endif
