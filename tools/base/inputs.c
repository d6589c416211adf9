/*
 * What would make figures mean something else is said or refused where inputs are
 * opened: a capture of another model, a text that was calibrated on, windows that begin
 * otherwise than those of the capture.
 */
#include "tools/base/inputs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/evaluate/foreign.h"
#include "bench/evaluate/isolated.h"
#include "bench/plan/plan.h"
#include "datasets/checkpoint/checkpoint.h"
#include "datasets/files/gguf.h"
#include "datasets/tokenizer/tokenizer.h"
#include "tools/base/command.h"

mls_status mls_tool_config(mls_config *config, const char *model, mls_err *err)
{
    mls_checkpoint *c;
    mls_status st;

    if (!mls_gguf_is(model))
        return mls_config_read(config, model, err);
    st = mls_checkpoint_open(&c, model, err);
    if (!st)
        *config = *mls_checkpoint_config(c);
    mls_checkpoint_close(c);
    return st;
}

mls_status mls_tool_model(mls_model **out, const char *folder, mls_err *err)
{
    const mls_status st = mls_model_open(out, folder, err);
    const char *remark =
        st ? NULL : mls_checkpoint_head_remark(mls_model_checkpoint(*out));

    if (remark)
        mls_progress_note(mls_tool_progress(), "%s", remark);
    if (!st && mls_model_config(*out)->doubt[0])
        mls_progress_note(mls_tool_progress(),
                          "warning: bytes of the cache are at most what is shown: %s",
                          mls_model_config(*out)->doubt);
    return st;
}

mls_status mls_tool_plan(mls_scheme *out, const char *path, const mls_model *model,
                         const char *capture, mls_err *err)
{
    mls_plan plan;
    char sha256[65];
    mls_status st = mls_plan_read(&plan, path, err);

    *out = (mls_scheme){0};
    if (!st)
        st = mls_checkpoint_sha256(mls_model_checkpoint(model), sha256,
                                   mls_tool_progress(), err);
    if (!st)
        st = mls_plan_check(&plan, path, mls_model_config(model), sha256, err);
    if (!st)
        st = mls_plan_check_capture(&plan, path, capture, err);
    if (!st)
        st = mls_plan_scheme(out, &plan, path, err);
    mls_plan_free(&plan);
    return st;
}

void mls_tool_compute(mls_model *model, mls_compute compute, double ram)
{
    mls_err err = {0};

    mls_model_set_ram(model, (uint64_t)(ram * 1024 * 1024 * 1024));
    if (mls_model_set_compute(model, compute, &err))
        mls_progress_note(mls_tool_progress(), "--compute %s: %s; f32 is used",
                          mls_compute_name(compute), err.text);
}

void mls_tool_record_model(mls_table *t, const mls_model *model)
{
    if (mls_model_compute(model) != MLS_COMPUTE_F32)
        mls_table_meta(t, "products of weights", mls_model_arithmetic(model));
    if (mls_model_config(model)->doubt[0])
        mls_table_meta(t, "bytes are at most", mls_model_config(model)->doubt);
}

size_t mls_tool_length(const mls_model *model, const mls_tokenizer *tok, bool no_bos)
{
    const mls_config *c = mls_model_config(model);
    const double weights =
        2.0 * (double)mls_checkpoint_parameters(mls_model_checkpoint(model));
    size_t first, T = 256;

    mls_tokenizer_first(tok, &first);
    if (no_bos)
        first = 0;
    /* A token's scores and outputs: 4 H D for each of T / 2 keys and every layer. */
    while (T < 1024 && 2 * T + first <= c->max_position &&
           2.0 * (double)(2 * T * c->L * c->H) * (double)c->D <= weights / 4)
        T *= 2;
    return T;
}

void mls_tool_length_note(const mls_model *model, size_t length)
{
    if (length != 256)
        mls_progress_note(mls_tool_progress(),
                          "windows of %zu tokens, because the model was trained at %zu "
                          "and attention adds little at this length; -T 256 makes the "
                          "usual ones",
                          length, mls_model_config(model)->max_position);
}

unsigned mls_tool_bos(bool no_bos)
{
    return no_bos ? MLS_CORPUS_NO_BOS : MLS_CORPUS_BOS;
}

void mls_tool_before(char *out, size_t size, const mls_tokenizer *tok, bool no_bos)
{
    size_t n, end = 0;
    const int32_t *first = mls_tokenizer_first(tok, &n);

    *out = '\0';
    if (n > 0 && no_bos)
        snprintf(out, size, "nothing");
    for (size_t i = 0; i < n && !no_bos && end + 1 < size; i++)
        end += (size_t)snprintf(out + end, size - end, "%s",
                                mls_tokenizer_token(tok, first[i]));
}

void mls_tool_record_before(mls_table *t, const char *before)
{
    if (!*before)
        return;
    mls_table_meta(t, "windows begin with", before);
    if (strcmp(before, "nothing") == 0)
        mls_table_note(t, "windows do not begin with the BOS that the tokenizer adds");
    else
        mls_table_say(
            t,
            "%s stands before the tokens of a window; it is not scored, nor is the "
            "token behind it",
            before);
}

/* Calibration and measurement should begin their windows alike. */
static void remark_on_bos(const mls_capture *capture, const mls_corpus *corpus)
{
    const char *with[] = {"without", "with"};

    if (mls_capture_lead(capture) != corpus->lead)
        mls_progress_note(mls_tool_progress(),
                          "the capture's sequences begin %s the tokenizer's BOS, the "
                          "windows measured %s it: what heads hear differs",
                          with[mls_capture_lead(capture) > 0], with[corpus->lead > 0]);
}

/* A capture must be of this model. */
static mls_status same_model(const mls_capture *capture, const char *path,
                             const mls_model *model, const char *sha256, mls_err *err)
{
    if (strcmp(sha256, mls_capture_model_sha256(capture)) == 0)
        return MLS_OK;
    return mls_fail(err, MLS_E_INPUT,
                    "%s is a capture of another model: SHA-256 %.12s, but %s has %.12s",
                    path, mls_capture_model_sha256(capture),
                    mls_checkpoint_folder(mls_model_checkpoint(model)), sha256);
}

mls_status mls_tool_capture(mls_capture **out, const char *path, const mls_model *model,
                            mls_err *err)
{
    char sha256[65];
    mls_status st = mls_capture_open(out, path, err);

    if (st)
        return st;
    st = mls_checkpoint_sha256(mls_model_checkpoint(model), sha256, mls_tool_progress(),
                               err);
    if (!st)
        st = same_model(*out, path, model, sha256, err);
    if (st) {
        mls_capture_close(*out);
        *out = NULL;
    }
    return st;
}

mls_status mls_tool_captured_text(mls_corpus *out, const mls_capture *capture,
                                  size_t windows, mls_err *err)
{
    mls_corpus all = {0};
    const size_t N = mls_capture_sequences(capture);
    const size_t *start = mls_capture_start(capture);

    all.N = N;
    all.lead = mls_capture_lead(capture);
    all.n_ids = all.tokens_available = start[N];
    memcpy(all.sha256, mls_capture_text_sha256(capture), sizeof all.sha256);
    /* mls_corpus_part() only reads it. */
    memcpy(&all.start, &start, sizeof start);
    const int32_t *ids = mls_capture_ids(capture);
    memcpy(&all.ids, &ids, sizeof ids);
    return mls_corpus_part(out, &all, 0, windows < N ? windows : N, err);
}

void mls_tool_foreign(const mls_config *config, double nll, double byte_share)
{
    const mls_foreign f = {.nll = nll, .V = config->V, .byte_share = byte_share};
    char text[512];

    if (mls_foreign_text(text, sizeof text, &f))
        mls_progress_note(mls_tool_progress(), "warning: %s", text);
}

mls_status mls_tool_read(mls_tool_subject *s, const mls_tool_windows *w, bool hash,
                         mls_err *err)
{
    const mls_checkpoint *checkpoint = mls_model_checkpoint(s->model);
    mls_tokenizer *tokenizer = NULL;
    mls_status st =
        mls_tokenizer_open(&tokenizer, mls_checkpoint_folder(checkpoint), err);

    s->length = w->length;
    if (!st && !s->length && !w->unread) {
        s->length =
            w->sequences ? 256 : mls_tool_length(s->model, tokenizer, w->no_bos);
        mls_tool_length_note(s->model, s->length);
    }
    if (!st && !w->unread)
        st = mls_corpus_read(&s->corpus, tokenizer, w->texts->item, w->texts->n,
                             s->length, w->sequences, mls_tool_bos(w->no_bos), err);
    if (!st && !w->unread)
        mls_tool_foreign(
            mls_model_config(s->model), (double)NAN,
            mls_tokenizer_byte_share(tokenizer, s->corpus.ids, s->corpus.n_ids));
    if (!st)
        mls_tool_before(s->before, sizeof s->before, tokenizer, w->no_bos);
    mls_tokenizer_close(tokenizer);
    if (!st)
        st = mls_pool_new(&s->pool, w->threads, err);
    if (!st && w->capture)
        st = mls_capture_open(&s->capture, w->capture, err);
    if (!st && (hash || s->capture))
        st = mls_checkpoint_sha256(checkpoint, s->model_sha256, mls_tool_progress(),
                                   err);
    if (!st && s->capture)
        st = same_model(s->capture, w->capture, s->model, s->model_sha256, err);
    if (st)
        return st;
    if (s->capture && !w->unread)
        remark_on_bos(s->capture, &s->corpus);
    if (s->capture &&
        strcmp(mls_capture_text_sha256(s->capture), s->corpus.sha256) == 0)
        mls_progress_note(mls_tool_progress(),
                          "the text measured on is also the calibration text: figures "
                          "of methods that use data look better than they are");
    s->in = (mls_method_input){.config = mls_model_config(s->model),
                               .model = s->model,
                               .capture = s->capture,
                               .pool = s->pool,
                               .isolated_kl = mls_isolated_kl_of_model};
    return MLS_OK;
}

mls_status mls_tool_possible(mls_tool_known *k, const mls_config *config,
                             const mls_setting *s, size_t row, mls_err *err)
{
    mls_err why = {0};
    const mls_status st = mls_method_possible(config, s, &why);

    k->possible += st == MLS_OK;
    if (st && row)
        mls_fail_in(&why, st, "row %zu", row);
    if (st && st != MLS_E_INPUT)
        return mls_fail(err, st, "%s", why.text);
    if (st && !k->first.status)
        k->first = why;
    if (st)
        mls_buf_add(&k->reasons, why.text, strlen(why.text) + 1);
    return k->reasons.failed ? mls_fail(err, MLS_E_NOMEM, "no memory for a sentence")
                             : MLS_OK;
}

mls_status mls_tool_say_known(mls_tool_known *k, bool others, mls_err *err)
{
    mls_status st = MLS_OK;

    if (k->first.status && !k->possible && !others)
        st = mls_fail(err, k->first.status, "%s", k->first.text);
    for (size_t at = 0; !st && at < k->reasons.len;
         at += strlen(k->reasons.data + at) + 1)
        mls_progress_note(mls_tool_progress(), "not possible: %s",
                          k->reasons.data + at);
    mls_buf_free(&k->reasons);
    return st;
}

void mls_tool_close(mls_tool_subject *s)
{
    mls_pool_free(s->pool);
    mls_capture_close(s->capture);
    mls_corpus_free(&s->corpus);
    mls_model_close(s->model);
    *s = (mls_tool_subject){0};
}
