/*
 * A report goes on where it was stopped: rows of settings are found again by compare's
 * keys, the plan by a key of its request together with the plan file's own hash. A race
 * measures all settings on every 4th or 8th window and only those that can still win on
 * more: all windows at the share that the answer is about, every second one at others.
 * Both files go when the report is finished.
 */
#include "reports/report/measured.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analysis/capture/store.h"
#include "analysis/numeric/blas.h"
#include "bench/evaluate/isolated.h"
#include "common/base/checked.h"
#include "common/system/files.h"
#include "common/system/hash.h"
#include "common/system/progress_part.h"
#include "reports/report/work.h"

enum {
    GROUP = 16,
    KEY_FILE_MAX = 4096,
    FEW = 4,
    LESS = 8,
    HALF = 2,
    RACE_LEAST = 16,
    OUTPUT_WINDOWS = 2
};

static const char rows_name[] = "measured.part.jsonl", plan_name[] = "plan.json",
                  plan_key_name[] = "plan.json.part";

/*
 * What the statistics are: the first bytes of the capture file, which hold the hash of
 * all others and were checked when it was opened; and the kernels that compute with
 * them.
 */
static mls_status capture_id(char id[MLS_SHA256_HEX], const mls_capture *capture,
                             mls_err *err)
{
    const char *path = mls_capture_path(capture);
    char head[MLS_STORE_BLOCK];
    mls_sha256 *h = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    mls_status st = fd < 0 ? mls_fail(err, MLS_E_IO, "%s cannot be opened again", path)
                           : mls_pread_all(fd, head, sizeof head, 0, path, err);

    if (!st)
        st = mls_sha256_new(&h, err);
    if (!st) {
        mls_sha256_add(h, head, sizeof head);
        mls_sha256_add(h, mls_blas_core(), strlen(mls_blas_core()));
        mls_sha256_hex(h, id);
    }
    mls_sha256_free(h);
    if (fd >= 0)
        close(fd);
    return st;
}

mls_method_input mls_measured_input(const mls_report *r)
{
    return (mls_method_input){.config = mls_model_config(r->model),
                              .model = r->model,
                              .capture = r->capture,
                              .pool = r->pool,
                              .forms = r->forms,
                              .isolated_kl = mls_isolated_kl_of_model};
}

/* --- Settings --- */

/* Share of a race's time that goes into the first windows, about; and of the rest that
   goes into the windows of settings at other shares than the answer's. */
static const double HEATS = 0.5, HALVES = 0.7;

/* The first windows of a race are one in so many. */
static size_t first_step(const mls_corpus *text)
{
    return text->N < LESS * FEW ? FEW : LESS;
}

bool mls_measured_large(const mls_report *r)
{
    return !r->exhaustive && mls_work_is_large(mls_model_config(r->model),
                                               (double)mls_checkpoint_parameters(
                                                   mls_model_checkpoint(r->model)));
}

bool mls_measured_race(const mls_report *r, const mls_corpus *text)
{
    return !r->exhaustive && text->N >= RACE_LEAST && !mls_measured_large(r);
}

/* Every step-th window from the first on, but without every but-th (0: with all). */
static mls_status pick(mls_corpus *out, const mls_corpus *all, size_t step, size_t but,
                       mls_err *err)
{
    *out = *all;
    out->N = out->n_ids = 0;
    out->ids = mls_calloc3(all->start[all->N], 1, 1, sizeof *out->ids);
    out->start = mls_calloc3(all->N + 1, 1, 1, sizeof *out->start);
    if (!out->ids || !out->start) {
        mls_corpus_free(out);
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu windows", all->N);
    }
    for (size_t i = 0; i < all->N; i += step) {
        const size_t T = all->start[i + 1] - all->start[i];

        if (but && i % but == 0)
            continue;
        memcpy(out->ids + out->n_ids, all->ids + all->start[i], T * sizeof *out->ids);
        out->n_ids += T;
        out->start[++out->N] = out->n_ids;
    }
    return MLS_OK;
}

/* The original's loss on the windows of a row. */
static mls_status original_of(mls_mean *out, const mls_compared *row, mls_err *err)
{
    const double *nll = row->seq_rest, *difference = row->seq_rest + 2 * row->N;
    double *own = mls_calloc3(row->N, 1, 1, sizeof *own);

    if (!own)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    for (size_t i = 0; i < row->N; i++)
        own[i] = nll[i] - difference[i];
    *out = mls_mean_of(own, row->N);
    free(own);
    return MLS_OK;
}

/*
 * The chosen rows on the request's windows too, which with those that they have are
 * every one of a text, or every second; theirs are one of `every` among them.
 */
static mls_status finish(mls_comparison *out, const mls_compare_request *request,
                         const bool *chosen, size_t every, size_t begun_scored,
                         const mls_progress *progress, mls_err *err)
{
    size_t *which = mls_calloc3(out->n, 1, 1, sizeof *which);
    mls_setting *setting = mls_calloc3(out->n, 1, 1, sizeof *setting);
    mls_compare_request rest = *request;
    mls_comparison m = {0};
    size_t n = 0;
    mls_status st = MLS_OK;

    if (!which || !setting)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    for (size_t i = 0; !st && i < out->n; i++)
        if (chosen[i]) {
            setting[n] = request->setting[i];
            which[n++] = i;
        }
    rest.setting = setting;
    rest.n = n;
    rest.unpredicted = true; /* that depends on no window */
    if (!st && n)
        st = mls_compare(&m, &rest, progress, err);
    for (size_t k = 0; !st && k < n; k++)
        st = mls_compared_join(&out->row[which[k]], &m.row[k], every, err);
    if (!st && n) {
        out->n_scored = begun_scored + m.n_scored;
        st = original_of(&out->original, &out->row[which[0]], err);
    }
    mls_comparison_free(&m);
    mls_free_all(which, setting);
    return st;
}

/* Those that a race leaves: at the answer's share on all windows, else on half. */
static mls_status finish_all(mls_comparison *out, mls_compare_request *request,
                             const mls_racer *racer, const mls_corpus *text,
                             const mls_progress *progress, mls_err *err)
{
    const size_t n = out->n, begun = first_step(text), n_scored = out->n_scored;
    const size_t step = text->N < HALF * RACE_LEAST ? 1 : HALF;
    bool *chosen = mls_calloc3(n, 2, 1, sizeof *chosen);
    mls_progress_part first, second;
    mls_corpus half = {0}, whole = {0};
    mls_status st = chosen ? pick(&half, text, step, begun, err)
                           : mls_fail(err, MLS_E_NOMEM, "no memory for a report");

    if (!st)
        st = pick(&whole, text, 1, begun, err);
    if (!st)
        mls_race_finishers(chosen, out->row, racer, n, MLS_REPORT_KEEP,
                           mls_serve_usual(request->in.config));
    for (size_t i = 0; !st && i < n; i++)
        if (!isnan(racer[i].share) && racer[i].share != MLS_REPORT_KEEP) {
            chosen[n + i] = chosen[i];
            chosen[i] = false;
        }
    request->corpus = &half;
    if (!st)
        st = finish(out, request, chosen + n, begun / step, n_scored,
                    mls_progress_part_of(&first, progress, 0, HALVES), err);
    /* Last, because the original's figures are those of the last. */
    request->corpus = &whole;
    if (!st)
        st = finish(out, request, chosen, begun, n_scored,
                    mls_progress_part_of(&second, progress, HALVES, 1), err);
    mls_corpus_free(&half);
    mls_corpus_free(&whole);
    free(chosen);
    return st;
}

mls_status mls_measured_settings(mls_comparison *out, const mls_report *r,
                                 const mls_corpus *text, const mls_setting *setting,
                                 const mls_racer *racer, size_t n, mls_err *err)
{
    const bool race = racer && n && mls_measured_race(r, text);
    char *path = mls_path_join(r->folder, rows_name), id[MLS_SHA256_HEX];
    mls_status st = path ? capture_id(id, r->capture, err)
                         : mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    mls_corpus few = {0};
    mls_progress_part first, second;
    mls_setting own;
    size_t kept = 0;

    *out = (mls_comparison){0};
    /* Without a setting the original alone: its NLL comes with any row. */
    if (!st && n == 0)
        st = mls_setting_parse(&own, "baseline", err);
    mls_compare_request request = {.in = mls_measured_input(r),
                                   .corpus = text,
                                   .setting = n ? setting : &own,
                                   .n = n ? n : 1,
                                   .unpredicted = !racer,
                                   .how = {.output_windows = OUTPUT_WINDOWS},
                                   .tokens = MLS_MEASURED_TOKENS,
                                   .group = GROUP,
                                   .rows_path = path,
                                   .model_id = mls_capture_model_sha256(r->capture),
                                   .capture_id = id};

    if (!st && race)
        st = pick(&few, text, first_step(text), 0, err);
    if (!st && race)
        request.corpus = &few;
    if (!st)
        st = mls_compare(out, &request,
                         mls_progress_part_of(&first, r->progress, 0, race ? HEATS : 1),
                         err);
    request.corpus = text;
    if (!st && race)
        st = finish_all(out, &request, racer, text,
                        mls_progress_part_of(&second, r->progress, HEATS, 1), err);
    for (size_t i = 0; !st && i < out->n; i++)
        kept += out->row[i].kept_row;
    if (kept > 0)
        mls_progress_note(r->progress, "%zu of %zu settings were measured before", kept,
                          out->n);
    mls_corpus_free(&few);
    if (st)
        mls_comparison_free(out);
    free(path);
    return st;
}

/* --- The plan --- */

/* What a plan follows from; its file carries the command too. */
static mls_status plan_key(char key[MLS_SHA256_HEX], const mls_report *r,
                           const mls_plan_request *p, mls_err *err)
{
    const mls_corpus *texts[] = {p->search, p->verify};
    char id[MLS_SHA256_HEX], setting[512];
    mls_buf b = {0};
    mls_sha256 *h = NULL;
    mls_status st = capture_id(id, r->capture, err);

    if (!st)
        st = mls_sha256_new(&h, err);
    mls_buf_printf(&b, "mlascope %s\nmodel %s\ncapture %s\n%s\n", MLS_VERSION,
                   p->model_sha256, id, r->command);
    for (size_t i = 0; i < 2; i++) {
        const mls_corpus *t = texts[i];

        mls_buf_printf(&b, "text %s %zu %zu\n", t->sha256, t->N, t->lead);
        mls_buf_add(&b, (const char *)t->start, (t->N + 1) * sizeof *t->start);
        mls_buf_add(&b, (const char *)(t->ids + t->start[0]),
                    (t->start[t->N] - t->start[0]) * sizeof *t->ids);
    }
    for (size_t i = 0; i < p->n_methods; i++)
        mls_buf_printf(&b, "%s\n",
                       mls_setting_text(&p->method[i], setting, sizeof setting));
    for (size_t i = 0; i < p->n_bits; i++)
        mls_buf_printf(&b, "bits %zu\n", p->bits[i]);
    mls_buf_printf(&b, "serve %s\n", p->serve ? mls_serve_name(*p->serve) : "any");
    mls_buf_printf(&b, "%zu %zu %.17g\n", p->multiple, p->tokens, p->budget);
    if (!st && b.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    if (!st) {
        mls_sha256_add(h, b.data, b.len);
        mls_sha256_hex(h, key);
    }
    mls_sha256_free(h);
    mls_buf_free(&b);
    return st;
}

/* The key's file: the request, then the plan that came of it. */
static mls_status plan_state(mls_buf *state, const char *key, const char *plan_path,
                             mls_err *err)
{
    char hex[MLS_SHA256_HEX];
    const mls_status st = mls_sha256_file(plan_path, hex, err);

    if (!st)
        mls_buf_printf(state, "request %s\nplan %s\n", key, hex);
    return !st && state->failed ? mls_fail(err, MLS_E_NOMEM, "no memory for a report")
                                : st;
}

static bool is_made(const char *key, const char *key_path, const char *plan_path)
{
    mls_buf want = {0};
    char *found = NULL;
    size_t len;
    const bool made =
        mls_file_exists(key_path) && mls_file_exists(plan_path) &&
        !plan_state(&want, key, plan_path, NULL) &&
        !mls_file_read_regular(key_path, KEY_FILE_MAX, &found, &len, NULL) &&
        len == want.len && memcmp(found, want.data, len) == 0;

    mls_buf_free(&want);
    free(found);
    return made;
}

mls_status mls_measured_plan(mls_plan *out, const mls_report *r,
                             const mls_plan_request *request, mls_err *err)
{
    char *path = mls_path_join(r->folder, plan_name);
    char *key_path = mls_path_join(r->folder, plan_key_name), key[MLS_SHA256_HEX];
    mls_buf state = {0};
    mls_status st = path && key_path
                        ? plan_key(key, r, request, err)
                        : mls_fail(err, MLS_E_NOMEM, "no memory for a report");

    *out = (mls_plan){0};
    if (!st && is_made(key, key_path, path) && !mls_plan_read(out, path, NULL))
        goto done;
    if (!st)
        st = mls_plan_make(out, request, r->progress, err);
    if (!st)
        st = mls_plan_write(out, path, r->command, err);
    if (!st)
        st = plan_state(&state, key, path, err);
    if (!st)
        st = mls_file_write(key_path, state.data, state.len, err);
    if (st)
        mls_plan_free(out);

done:
    mls_buf_free(&state);
    mls_free_all(key_path, path);
    return st;
}

const char *mls_measured_ties(char *out, size_t size, const mls_comparison *m,
                              const mls_setting *setting, const mls_racer *racer,
                              size_t n, size_t row)
{
    enum { NAMED = 2 };
    char text[MLS_SCHEME_NAME];
    size_t found = 0, at = 0;

    out[0] = 0;
    for (size_t i = 0; i < n; i++) {
        if (i == row || m->row[i].serve != m->row[row].serve ||
            racer[i].share != racer[row].share ||
            !mls_compared_tied(&m->row[i], &m->row[row]))
            continue;
        if (found++ < NAMED && at < size)
            at += (size_t)snprintf(out + at, size - at, "%s%s",
                                   found == 1 ? "tied with " : ", ",
                                   mls_setting_text(&setting[i], text, sizeof text));
    }
    if (found > NAMED && at < size)
        snprintf(out + at, size - at, " and %zu more", found - NAMED);
    return out;
}

void mls_measured_forget(const mls_report *r)
{
    const char *const names[] = {rows_name, plan_key_name};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = mls_path_join(r->folder, names[i]);

        if (path)
            unlink(path);
        free(path);
    }
}
