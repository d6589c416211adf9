/* `mlascope evaluate` on items: planted pairs, multiple choice. */
#ifndef MLS_EVALUATE_ITEMS_H
#define MLS_EVALUATE_ITEMS_H

#include "bench/evaluate/evaluate.h"
#include "reports/page/table.h"
#include "tools/base/inputs.h"
#include "tools/base/options.h"

enum { MLS_TOOL_PAIRS = 32 };

/** What to make items of: choices, or distances with texts. */
typedef struct mls_tool_items {
    const char *choices;   /* a .jsonl file, or NULL */
    const char *distances; /* "64,256" */
    const mls_texts *texts;
    size_t pairs; /* 0: MLS_TOOL_PAIRS */
    size_t seed;
    bool no_bos;
} mls_tool_items;

/** Measure and show. @param[out] t  NULL on error */
mls_status mls_tool_evaluate_items(mls_table **t, const mls_tool_subject *s,
                                   const mls_tool_items *what,
                                   const mls_variant *variants, size_t n,
                                   const mls_evaluate_options *how, mls_err *err);

#endif
