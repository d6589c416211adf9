/* The two tables of a plan, for `mlascope plan` and for the report. */
#ifndef MLS_PLAN_TABLES_H
#define MLS_PLAN_TABLES_H

#include <stdbool.h>

#include "bench/plan/plan.h"
#include "reports/page/table.h"

/**
 * One row per layer: its setting, cached bytes per token and predicted KL (nat).
 *
 * @param ranks  a column with the value of the setting's `rank`, empty where it has
 *               none, for plots
 * @return the caller frees it with mls_table_free()
 */
mls_table *mls_plan_layers_table(const mls_plan *p, bool ranks);

/**
 * One row per whole-model setting that was measured on the windows kept for it, the
 * plan first: bytes per token, share of the model's own cache, KL predicted and
 * measured (nat), perplexity, and how much lower the plan's KL is. Its only note names
 * the best setting that fits the budget and is measured below the plan, where there is
 * one.
 *
 * @param full  also the share of equal top-1 tokens and the paired difference to the
 *              plan's KL
 * @return the caller frees it with mls_table_free()
 */
mls_table *mls_plan_quality_table(const mls_plan *p, bool full);

#endif
