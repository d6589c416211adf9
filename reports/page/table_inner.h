/* What a table is made of, for what fills it and what prints it. */
#ifndef MLS_TABLE_INNER_H
#define MLS_TABLE_INNER_H

#include "reports/page/table.h"

typedef enum { CELL_EMPTY, CELL_TEXT, CELL_REAL, CELL_COUNT } mls_cell_type;

typedef struct {
    mls_cell_type type;
    char *text;
    double real;
    long long count;
} mls_cell;

typedef struct {
    char *key, *heading, *unit;
    int decimals;
    bool detail;
} mls_table_part;

typedef struct {
    char *key, *value;
} mls_table_fact;

struct mls_table {
    char *title;
    mls_table_part *columns;
    size_t n_columns, cap_columns;
    size_t n_data;   /* of them, the last: for programs alone */
    mls_cell *cells; /* row after row */
    size_t n_cells, cap_cells;
    char **notes;
    size_t n_notes, cap_notes;
    mls_table_fact *metas;
    size_t n_metas, cap_metas;
    bool failed; /* memory ran out */
};

#endif
