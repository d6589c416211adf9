/* The published KV-cache ratios (datasets/published/published_kv.csv), typed. */
#ifndef MLS_PUBLISHED_H
#define MLS_PUBLISHED_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"
#include "datasets/checkpoint/config.h"

/** What kind of figure a paper printed; rows have one, or none. */
typedef enum mls_printed {
    MLS_PRINTED_NONE,
    MLS_PRINTED_KEPT,        /* percent of the baseline that is kept: "31.25" */
    MLS_PRINTED_REDUCTION,   /* percent that is saved: "68.75" */
    MLS_PRINTED_COMPRESSION, /* baseline over kept: "10.6" */
} mls_printed;

/** One row. Texts are borrowed from the table; numbers that the row has not are 0. */
typedef struct mls_published_row {
    size_t line;        /* in the file, the header is 1 */
    bool is_kv;         /* a KV-ratio row; else a quality row */
    const char *model;  /* "Llama-2-7B" */
    const char *method; /* "MHA2MLA S_2-norm + SVD_joint (Int4 HQQ)" */
    size_t L, H, G, D;
    size_t mla_layers;   /* converted layers; note says what the others keep */
    size_t rope_elems;   /* per token and converted layer, over all heads */
    size_t latent_elems; /* likewise */
    bool has_rope;       /* the cell is filled (0 is a number) */
    bool has_latent;
    const char *rope_layout; /* "per kv head", "shared by all heads", "full MHA K" */
    const char *rank_detail; /* "d_kv=32/kv head; d_r=8/kv head" */
    double quant_bits;       /* 16, 4, 2; 0 not given */
    mls_printed printed;
    const char *printed_text; /* as printed: "56.3"; "" when nothing is printed */
    size_t printed_decimals;  /* of printed_text: 1 */
    double printed_value;     /* NaN when nothing is printed */
    double base_elems;        /* per token and layer of the baseline, 0 not given */
    double cached_elems;      /* per token and converted layer */
    double computed_kept_pct; /* NaN not given */
    int agrees;               /* 1: recomputed and equal, -1: differs, 0: not checked */
    const char *quality_metric;
    double quality_original, quality_ft_baseline, quality_rope_only, quality_value;
    const char *train_tokens; /* "2.25B", "0" */
    const char *source;       /* "arXiv 2502.14837v1 Table 1" */
    const char *note;
} mls_published_row;

typedef struct mls_published mls_published;

/**
 * @param path      published_kv.csv
 * @param[out] out  release with mls_published_free(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (missing, a column missing, a cell that is no number:
 *         line and column; more than one printed figure in a row) or MLS_E_NOMEM
 */
mls_status mls_published_read(mls_published **out, const char *path, mls_err *err);
void mls_published_free(mls_published *p); /* NULL is accepted */

/** Rows, in the order of the file; row i, 0 <= i < count, is borrowed. */
size_t mls_published_count(const mls_published *p);
const mls_published_row *mls_published_at(const mls_published *p, size_t i);

/**
 * Does kept (percent, exact) print as the row's figure? A paper may round or cut the
 * last digit, and both are accepted, at the printed number of decimals.
 */
bool mls_published_matches(const mls_published_row *row, double kept_pct);

/**
 * Quality that was printed for a model of this shape (L, H, G, D), a method whose name
 * begins with `method` (any case) and a kept share within 0.005 %: "SmolLM-135M:
 * commonsense avg of 6 43.06, was 44.5, after 2.25B (arXiv 2502.14837v1 Table 1); ...",
 * as many as there is room for; "" when there is none.
 *
 * @param kept_pct    percent of codes alone, as papers count
 * @param rope_elems  rotated numbers per token and converted layer, which two settings
 *                    of one size may divide differently; 0: any
 */
void mls_published_quality(char *out, size_t size, const mls_published *p,
                           const mls_config *config, const char *method,
                           double kept_pct, size_t rope_elems);

#endif
