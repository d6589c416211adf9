/*
 * An evaluation that several processes share. Its cells are settings by windows: a
 * window's scores depend on nothing but itself and the setting, so cells made anywhere
 * are those of one run. Parts split the windows; where there are more parts than
 * windows, those of one window split its settings. A unit of a part is one setting on a
 * run of windows, or the original there: its scores, and what is known of the form.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/evaluate/evaluate_inner.h"
#include "common/base/buf.h"
#include "common/base/checked.h"
#include "common/system/hash.h"
#include "datasets/files/parts.h"

enum { GROUP = 8, NAME = 96 }; /* settings that are kept together; length of a name */

/* All that the scores of a window could depend on beside the setting. */
static mls_status hash_text(uint64_t *hash, const mls_method_input *in,
                            const mls_corpus *c, const mls_evaluate_options *o,
                            mls_err *err)
{
    mls_buf b = {0};

    mls_buf_printf(&b, "%zu %zu %d %d %d %s\n", c->N, c->lead, (int)o->scored,
                   o->absorbed, o->predict, mls_model_arithmetic(in->model));
    mls_buf_add(&b, (const char *)c->start, (c->N + 1) * sizeof *c->start);
    mls_buf_add(&b, (const char *)(c->ids + c->start[0]),
                (c->start[c->N] - c->start[0]) * sizeof *c->ids);
    *hash = b.failed ? 0 : mls_xxh3(b.data, b.len);
    const bool failed = b.failed;

    mls_buf_free(&b);
    return failed ? mls_fail(err, MLS_E_NOMEM, "no memory for the name of a text")
                  : MLS_OK;
}

/* How the units of a variant begin; NULL: of the original. */
static mls_status name_front(char front[NAME], uint64_t text, const mls_variant *v,
                             mls_err *err)
{
    mls_buf b = {0};
    char setting[2048];

    if (!v) {
        snprintf(front, NAME, "evaluate %016llx original ", (unsigned long long)text);
        return MLS_OK;
    }
    mls_buf_printf(&b, "%s\n%d\n", v->scheme->name, v->only_layer);
    for (size_t l = 0; l < v->scheme->L; l++)
        mls_buf_printf(&b, "%zu ", v->scheme->which[l]);
    for (size_t i = 0; i < v->scheme->n_settings; i++)
        mls_buf_printf(
            &b, "%s\n",
            mls_setting_text(&v->scheme->setting[i], setting, sizeof setting));
    snprintf(front, NAME, "evaluate %016llx %016llx ", (unsigned long long)text,
             b.failed ? 0ull : (unsigned long long)mls_xxh3(b.data, b.len));
    const bool failed = b.failed;

    mls_buf_free(&b);
    return failed ? mls_fail(err, MLS_E_NOMEM, "no memory for the name of a setting")
                  : MLS_OK;
}

/* And with the windows first .. first + n - 1. */
static void whole_name(char name[2 * NAME], const char *front, size_t first, size_t n)
{
    snprintf(name, 2 * NAME, "%s%08zu %08zu", front, first, n);
}

/* --- What a unit holds --- */

/* Scores of row i on windows from .. from + n - 1 of s. */
static void pass_scores(mls_unit *u, mls_scores *s, size_t i, size_t from, size_t n)
{
    const size_t at = i * s->N + from;
    const size_t bins = n * MLS_POSITION_BINS * sizeof(double);

    mls_unit_pass(u, s->nll + at, n * sizeof(double));
    mls_unit_pass(u, s->bin_nll + at * MLS_POSITION_BINS, bins);
    if (i == 0) {
        mls_unit_pass(u, s->bin_n + from * MLS_POSITION_BINS, bins);
        return;
    }
    mls_unit_pass(u, s->kl + at, n * sizeof(double));
    mls_unit_pass(u, s->top1 + at, n * sizeof(double));
    mls_unit_pass(u, s->bin_kl + at * MLS_POSITION_BINS, bins);
    mls_unit_pass(u, s->kl_at + i * s->row[s->N] + s->row[from],
                  (s->row[from + n] - s->row[from]) * sizeof(float));
}

/* One layer of a layout; quantizers by their names. */
static mls_status pass_layer(mls_unit *u, mls_cache_layer *layer, mls_err *err)
{
    mls_cache_layer plain = *layer;
    mls_status st = MLS_OK;

    for (size_t i = 0; !u->reading && i < plain.n_parts; i++)
        plain.part[i].quant = (mls_quant){0};
    mls_unit_pass(u, &plain, sizeof plain);
    if (u->reading && plain.n_parts > MLS_PARTS_MAX)
        return mls_fail(err, MLS_E_INPUT, "%s: %s: %zu parts of a cache, at most %d",
                        u->path, u->name, plain.n_parts, (int)MLS_PARTS_MAX);
    for (size_t i = 0; !st && i < plain.n_parts; i++) {
        char name[MLS_QUANT_NAME] = "";

        if (!u->reading)
            mls_quant_name(&layer->part[i].quant, name, sizeof name);
        mls_unit_pass(u, name, sizeof name);
        name[sizeof name - 1] = 0;
        if (u->reading)
            st = mls_quant_parse(&plain.part[i].quant, name[0] ? name : "none", err);
        if (!st && plain.part[i].kind > MLS_PART_KEY_SCALE)
            st = mls_fail(err, MLS_E_INPUT, "%s: %s: no such part of a cache", u->path,
                          u->name);
    }
    if (!st && u->reading)
        *layer = plain;
    return st;
}

/* Everything of a variant that does not depend on windows. */
static mls_status pass_form(mls_unit *u, mls_quality *q, size_t L, mls_err *err)
{
    uint64_t n[] = {q->elements,
                    q->parameters,
                    q->serve,
                    q->trained,
                    q->layout != NULL,
                    q->predicted != NULL,
                    q->refused ? strlen(q->refused) + 1 : 0};
    mls_status st = MLS_OK;

    mls_unit_pass(u, n, sizeof n);
    mls_unit_pass(u, &q->seconds, sizeof q->seconds);
    if (u->reading) {
        q->elements = n[0];
        q->parameters = n[1];
        q->serve = n[2] < MLS_SERVE_CLASSES ? (mls_serve)n[2] : MLS_SERVE_OWN_KERNEL;
        q->trained = n[3] != 0;
        if (n[6] > u->data.len)
            return mls_fail(err, MLS_E_INPUT, "%s: %s: a sentence of %llu bytes",
                            u->path, u->name, (unsigned long long)n[6]);
        q->layout = n[4] ? calloc(1, sizeof *q->layout) : NULL;
        q->predicted = n[5] ? mls_calloc3(L, 1, 1, sizeof *q->predicted) : NULL;
        q->refused = n[6] ? mls_calloc3(n[6], 1, 1, 1) : NULL;
        if ((n[4] && !q->layout) || (n[5] && !q->predicted) || (n[6] && !q->refused))
            return mls_fail(err, MLS_E_NOMEM, "no memory for what parts hold");
    }
    if (n[4])
        q->layout->L = L;
    for (size_t l = 0; !st && n[4] && l < L; l++)
        st = pass_layer(u, &q->layout->layer[l], err);
    if (n[5])
        mls_unit_pass(u, q->predicted, L * sizeof *q->predicted);
    if (n[6]) {
        mls_unit_pass(u, q->refused, n[6]);
        q->refused[n[6] - 1] = 0;
    }
    return st;
}

mls_status mls_scores_keep(const mls_pass *p, const mls_scores *s, mls_err *err)
{
    mls_scores all = *s; /* borrowed */
    const bool run = !mls_pass_is_over(p);
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i <= p->n; i++) {
        char front[NAME], name[2 * NAME];
        mls_unit u = {0};
        size_t first, n = 0;

        if (i == 0 && !run)
            continue;
        st = name_front(front, p->span->text, i ? &p->variant[i - 1] : NULL, err);
        whole_name(name, front, p->span->first, s->N);
        if (!st)
            st = mls_parts_find(p->in->parts, name, &first, &n, err);
        if (!st && n == 0 && i > 0)
            st = pass_form(&u, &p->quality[i - 1], p->config->L, err);
        if (!st && n == 0 && (i == 0 || !p->quality[i - 1].refused))
            pass_scores(&u, &all, i, 0, s->N);
        if (!st && n == 0)
            st = mls_parts_put(p->in->parts, name, &u, err);
        mls_unit_free(&u);
    }
    return st;
}

/* --- This process' share --- */

/* Windows first .. end - 1 and variants from .. to - 1 of a part. */
typedef struct {
    size_t first, end, from, to;
} share;

static share share_of(const mls_parts *p, size_t N, size_t n)
{
    const size_t i = mls_parts_index(p), count = mls_parts_count(p);

    if (count <= N)
        return (share){i * N / count, (i + 1) * N / count, 0, n};
    /* Parts a .. b - 1 have window w. */
    const size_t w = i * N / count, a = (w * count + N - 1) / N,
                 b = ((w + 1) * count + N - 1) / N;

    return (share){w, w + 1, (i - a) * n / (b - a), (i + 1 - a) * n / (b - a)};
}

/* Has the part been on this variant? */
static mls_status is_kept(bool *kept, const mls_method_input *in, uint64_t text,
                          const mls_variant *v, const share *mine, mls_err *err)
{
    char front[NAME], name[2 * NAME];
    size_t first, n = 0;
    mls_status st = name_front(front, text, v, err);

    whole_name(name, front, mine->first, mine->end - mine->first);
    if (!st)
        st = mls_parts_find(in->parts, name, &first, &n, err);
    *kept = n > 0;
    return st;
}

static mls_status make_share(const mls_method_input *in, const mls_corpus *corpus,
                             const mls_variant *variants, size_t n,
                             const mls_evaluate_options *options, uint64_t text,
                             const mls_progress *progress, mls_err *err)
{
    const share mine = share_of(in->parts, corpus->N, n);
    const mls_span span = {text, mine.first};
    mls_variant *todo = mls_calloc3(n, 1, 1, sizeof *todo);
    mls_corpus windows = {0};
    size_t n_todo = 0;
    mls_status st =
        todo ? mls_corpus_part(&windows, corpus, mine.first, mine.end - mine.first, err)
             : mls_fail(err, MLS_E_NOMEM, "no memory for %zu settings", n);

    for (size_t i = mine.from; !st && i < mine.to; i++) {
        bool kept;

        st = is_kept(&kept, in, text, &variants[i], &mine, err);
        if (!kept)
            todo[n_todo++] = variants[i];
    }
    for (size_t i = 0; !st && i < n_todo;) {
        mls_evaluation e = {0};
        size_t end = n_todo - i < GROUP ? n_todo : i + GROUP;

        while (end < n_todo && todo[end].scheme == todo[end - 1].scheme)
            end++; /* its form is made once */
        st = mls_evaluate_here(&e, in, &windows, todo + i, end - i, options, &span,
                               progress, err);
        mls_evaluation_free(&e);
        i = end;
    }
    mls_corpus_free(&windows);
    free(todo);
    return st;
}

/* --- What all parts hold --- */

/*
 * The units of a row of scores, which must cover every window once; *n becomes 0 where
 * there is none.
 */
static mls_status join_row(const mls_method_input *in, uint64_t text,
                           const mls_variant *v, mls_scores *s, size_t i,
                           mls_quality *q, size_t *n, mls_err *err)
{
    char front[NAME];
    size_t first = 0, next = 0;
    mls_status st = name_front(front, text, v, err);

    if (!st)
        st = mls_parts_find(in->parts, front, &first, n, err);
    for (size_t k = 0; !st && k < *n; k++) {
        const char *name = mls_parts_name(in->parts, first + k);
        size_t at = 0, windows = 0;
        mls_quality again = {0};
        mls_unit u = {0};

        if (k > 0 && strcmp(name, mls_parts_name(in->parts, first + k - 1)) == 0)
            continue; /* the original beside settings of another part */
        if (sscanf(name + strlen(front), "%zu %zu", &at, &windows) != 2 || at != next ||
            windows == 0 || windows > s->N - at)
            return mls_fail(err, MLS_E_INPUT,
                            "the parts have no scores of %s on window %zu",
                            v ? v->scheme->name : "the original", next);
        st = mls_parts_get(in->parts, name, &u, err);
        if (!st && v)
            st = pass_form(&u, k == 0 ? q : &again, in->config->L, err);
        if (!st && v && k > 0)
            q->seconds += again.seconds;
        if (!st && again.refused && !q->refused) {
            q->refused = again.refused;
            again.refused = NULL;
        }
        if (!st && u.at < u.data.len)
            pass_scores(&u, s, i, at, windows);
        if (!st)
            st = mls_unit_end(&u, err);
        next = at + windows;
        mls_quality_free(&again);
        mls_unit_free(&u);
    }
    return !st && *n && next != s->N
               ? mls_fail(err, MLS_E_INPUT,
                          "the parts have no scores of %s on window %zu",
                          v ? v->scheme->name : "the original", next)
               : st;
}

/* Variants that no part has, which follow from what others gave: made here. */
static mls_status make_rest(mls_evaluation *out, const mls_method_input *in,
                            const mls_corpus *corpus, const mls_variant *variants,
                            const bool *found, const mls_evaluate_options *options,
                            const mls_progress *progress, mls_err *err)
{
    mls_variant *todo = mls_calloc3(out->n, 1, 1, sizeof *todo);
    mls_evaluation e = {0};
    size_t n = 0;
    mls_status st =
        todo ? MLS_OK
             : mls_fail(err, MLS_E_NOMEM, "no memory for %zu settings", out->n);

    for (size_t i = 0; !st && i < out->n; i++)
        if (!found[i])
            todo[n++] = variants[i];
    if (!st && (n > 0 || out->n == 0))
        st = mls_evaluate_here(&e, in, corpus, todo, n, options, NULL, progress, err);
    if (!st && !out->original.seq_nll && e.original.seq_nll) {
        out->original = e.original;
        e.original = (mls_quality){0};
    }
    for (size_t i = 0, k = 0; !st && i < out->n && n > 0; i++)
        if (!found[i]) {
            out->variant[i] = e.variant[k];
            e.variant[k++] = (mls_quality){0};
        }
    mls_evaluation_free(&e);
    free(todo);
    return st;
}

static mls_status join(mls_evaluation *out, const mls_method_input *in,
                       const mls_corpus *corpus, const mls_variant *variants,
                       const mls_evaluate_options *options, uint64_t text,
                       const mls_progress *progress, mls_err *err)
{
    const size_t n = out->n;
    bool *found = mls_calloc3(n, 1, 1, sizeof *found);
    mls_scores s = {0};
    size_t units = 0;
    mls_status st = found ? mls_scores_new(&s, corpus, options, 1, err)
                          : mls_fail(err, MLS_E_NOMEM, "no memory for %zu settings", n);

    if (!st)
        st = join_row(in, text, NULL, &s, 0, NULL, &units, err);
    const bool original = units > 0;

    for (size_t i = 0; !st && i < n; i++) {
        mls_quality *q = &out->variant[i];

        st = join_row(in, text, &variants[i], &s, 1, q, &units, err);
        found[i] = units > 0;
        if (!st && found[i] && original)
            st = mls_quality_of(&out->original, q, &s, err);
        if (!st && found[i] && (q->refused || !original))
            mls_quality_unmeasured(q);
    }
    if (!st)
        st = make_rest(out, in, corpus, variants, found, options, progress, err);
    mls_scores_free(&s);
    free(found);
    return st;
}

mls_status mls_evaluate_parts(mls_evaluation *out, const mls_method_input *in,
                              const mls_corpus *corpus, const mls_variant *variants,
                              size_t n, const mls_evaluate_options *options,
                              const mls_progress *progress, mls_err *err)
{
    uint64_t text;
    mls_status st = hash_text(&text, in, corpus, options, err);

    *out =
        (mls_evaluation){.n = n, .variant = mls_calloc3(n, 1, 1, sizeof *out->variant)};
    if (!st && !out->variant)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to evaluate %zu settings", n);
    if (!st && mls_parts_making(in->parts)) {
        st = make_share(in, corpus, variants, n, options, text, progress, err);
        for (size_t i = 0; i < n; i++)
            mls_quality_unmeasured(&out->variant[i]);
    } else if (!st) {
        st = join(out, in, corpus, variants, options, text, progress, err);
    }
    if (!st && !out->original.seq_nll)
        mls_quality_unmeasured(&out->original);
    if (st)
        mls_evaluation_free(out);
    return st;
}
