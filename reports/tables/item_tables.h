/* Planted pairs and multiple choice as tables: settings paired item by item. */
#ifndef MLS_ITEM_TABLES_H
#define MLS_ITEM_TABLES_H

#include "bench/evaluate/evaluate.h"
#include "bench/evaluate/items.h"
#include "reports/page/table.h"

/**
 * A row per setting and distance. @param name  (e->n)
 * @return NULL when memory is short
 */
mls_table *mls_retrieval_table(const mls_retrieval *r, const mls_evaluation *e,
                               const char *const *name);
/** A row per setting. */
mls_table *mls_choices_table(const mls_choices *c, const mls_evaluation *e,
                             const char *const *name);

#endif
