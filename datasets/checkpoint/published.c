/*
 * A printed figure matches ours when rounding or truncating ours to its decimals gives
 * it: papers do both. Half of a last place is protected from binary fractions by 1e-9.
 */
#include "datasets/checkpoint/published.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/checked.h"
#include "datasets/base/csv.h"

enum { N_KINDS = 3 };

struct mls_published {
    mls_csv csv;
    mls_published_row *rows;
};

static void read_printed(mls_csv_cursor *c, mls_published_row *row)
{
    static const char *const columns[N_KINDS] = {"pub_kept_pct", "pub_reduction_pct",
                                                 "pub_compression_x"};
    const char *point;

    row->printed_text = "";
    row->printed_value = NAN;
    for (size_t i = 0; i < N_KINDS; i++) {
        const char *cell = mls_csv_text(c, columns[i]);

        if (!*cell)
            continue;
        if (row->printed && !c->st)
            c->st = mls_fail(c->err, MLS_E_INPUT,
                             "%s: row %zu: more than one printed figure", c->path,
                             row->line);
        row->printed = (mls_printed)(i + 1);
        row->printed_text = cell;
        row->printed_value = mls_csv_real(c, columns[i], NAN);
        point = strchr(cell, '.');
        row->printed_decimals = point ? strlen(point + 1) : 0;
    }
}

static void read_row(mls_csv_cursor *c, mls_published_row *row)
{
    const char *agrees = mls_csv_text(c, "agrees");

    row->line = c->row + 2;
    row->is_kv = strcmp(mls_csv_text(c, "kind"), "kv") == 0;
    row->model = mls_csv_text(c, "model");
    row->method = mls_csv_text(c, "method");
    row->L = mls_csv_whole(c, "n_layers");
    row->H = mls_csv_whole(c, "n_heads");
    row->G = mls_csv_whole(c, "n_kv_heads");
    row->D = mls_csv_whole(c, "head_dim");
    row->mla_layers = mls_csv_whole(c, "mla_layers");
    row->rope_elems = mls_csv_whole(c, "rope_elems");
    row->latent_elems = mls_csv_whole(c, "latent_elems");
    row->has_rope = *mls_csv_text(c, "rope_elems") != '\0';
    row->has_latent = *mls_csv_text(c, "latent_elems") != '\0';
    row->rope_layout = mls_csv_text(c, "rope_layout");
    row->rank_detail = mls_csv_text(c, "rank_detail");
    row->quant_bits = mls_csv_real(c, "quant_bits", 0);
    read_printed(c, row);
    row->base_elems = mls_csv_real(c, "base_elems", 0);
    row->cached_elems = mls_csv_real(c, "cached_elems", 0);
    row->computed_kept_pct = mls_csv_real(c, "computed_kept_pct", NAN);
    row->agrees = strcmp(agrees, "yes") == 0 ? 1 : strcmp(agrees, "NO") == 0 ? -1 : 0;
    row->quality_metric = mls_csv_text(c, "quality_metric");
    row->quality_original = mls_csv_real(c, "quality_original", NAN);
    row->quality_ft_baseline = mls_csv_real(c, "quality_ft_baseline", NAN);
    row->quality_rope_only = mls_csv_real(c, "quality_rope_only", NAN);
    row->quality_value = mls_csv_real(c, "quality_value", NAN);
    row->train_tokens = mls_csv_text(c, "train_tokens");
    row->source = mls_csv_text(c, "source");
    row->note = mls_csv_text(c, "note");
}

mls_status mls_published_read(mls_published **out, const char *path, mls_err *err)
{
    mls_published *p = calloc(1, sizeof *p);
    mls_csv_cursor c = {.path = path, .err = err};

    *out = NULL;
    if (!p)
        return mls_fail(err, MLS_E_NOMEM, "no memory to read %s", path);
    c.st = mls_csv_read(&p->csv, path, err);
    c.csv = &p->csv;
    if (!c.st && !(p->rows = mls_calloc3(p->csv.n_rows, 1, 1, sizeof *p->rows)))
        c.st = mls_fail(err, MLS_E_NOMEM, "no memory to read %s", path);
    for (; !c.st && c.row < p->csv.n_rows; c.row++)
        read_row(&c, &p->rows[c.row]);
    if (c.st)
        mls_published_free(p);
    else
        *out = p;
    return c.st;
}

void mls_published_free(mls_published *p)
{
    if (!p)
        return;
    mls_csv_free(&p->csv);
    free(p->rows);
    free(p);
}

size_t mls_published_count(const mls_published *p)
{
    return p->csv.n_rows;
}

const mls_published_row *mls_published_at(const mls_published *p, size_t i)
{
    return &p->rows[i];
}

bool mls_published_matches(const mls_published_row *row, double kept_pct)
{
    const double scale = pow(10, (double)row->printed_decimals);
    const double printed = round(row->printed_value * scale);
    double x = kept_pct;

    if (row->printed == MLS_PRINTED_NONE)
        return false;
    if (row->printed == MLS_PRINTED_REDUCTION)
        x = 100 - kept_pct;
    else if (row->printed == MLS_PRINTED_COMPRESSION)
        x = 100 / kept_pct;
    /* 1e-9: a product like 28.125 * 10 must not lose its half to binary fractions. */
    return printed == floor(x * scale + 1e-9) ||
           printed == floor(x * scale + 0.5 + 1e-9);
}

void mls_published_quality(char *out, size_t size, const mls_published *p,
                           const mls_config *config, const char *method,
                           double kept_pct, size_t rope_elems)
{
    char one[320];
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < mls_published_count(p); i++) {
        const mls_published_row *r = &p->rows[i];

        if (r->L != config->L || r->H != config->H || r->G != config->G ||
            r->D != config->D || strncasecmp(r->method, method, strlen(method)) != 0 ||
            !(r->quality_value > 0) || !(r->quality_original > 0) ||
            !(fabs(r->computed_kept_pct - kept_pct) < 5e-3) ||
            (rope_elems && r->has_rope && r->rope_elems != rope_elems))
            continue;
        const int n =
            snprintf(one, sizeof one, "%s%.32s: %.48s %g, was %g, after %.24s (%.80s)",
                     used ? "; " : "", r->model, r->quality_metric, r->quality_value,
                     r->quality_original, r->train_tokens, r->source);

        if (n < 0 || used + (size_t)n >= size)
            return;
        memcpy(out + used, one, (size_t)n + 1);
        used += (size_t)n;
    }
}
