/*
 * The first screen: what converting would cost at a quarter of the cache, what serves
 * it, whether it fits, what to type next. Settings are ordered by who serves them, not
 * by KL alone: the best form that nobody can serve is no answer.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/latent/size.h"
#include "bench/frame/fit.h"
#include "bench/frame/scheme.h"
#include "common/base/checked.h"
#include "common/base/words.h"
#include "reports/page/plot.h"
#include "reports/report/measured.h"
#include "reports/report/sections.h"

#define GIB 1073741824.0

enum { PER_METHOD = 2, SHOWN_OF_MLA = 2, SETTING_TEXT = 512 };

/* What most servers leave to weights and cache: vLLM's gpu_memory_utilization. */
static const double SHARE_OF_GPU = 0.9;

/* What was measured for this screen. */
typedef struct {
    mls_setting *setting; /* (n); the first is the model's own cache, the second the
                             4-bit one */
    mls_racer *racer;     /* (n) */
    size_t n;
    mls_comparison m;
    double weights;  /* bytes of the model at 16 bits a number */
    mls_serve usual; /* the class of conversions to MLA of this model */
    const mls_config *config;
} answer;

/* The model's own cache, a 4-bit one, and every method's settings at this share. */
static mls_status choose(answer *a, const mls_config *c, mls_err *err)
{
    size_t methods = 0;
    mls_status st;

    while (mls_methods[methods])
        methods++;
    a->setting = mls_calloc3(methods + 2, PER_METHOD, 1, sizeof *a->setting);
    a->racer = mls_calloc3(methods + 2, PER_METHOD, 1, sizeof *a->racer);
    if (!a->setting || !a->racer)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    st = mls_setting_parse(&a->setting[a->n++], "baseline", err);
    if (!st)
        st = mls_setting_parse(&a->setting[a->n++], MLS_REPORT_BITS, err);
    for (size_t m = 0; !st && m < methods; m++) {
        mls_fits fits;

        st = mls_method_fit(mls_methods[m], c, MLS_REPORT_KEEP, &fits, err);
        for (size_t i = 0; !st && i < fits.n && i < PER_METHOD; i++)
            a->setting[a->n++] = fits.setting[i];
        mls_fits_free(&fits);
    }
    for (size_t i = 0; i < a->n; i++)
        a->racer[i] = (mls_racer){.share = i < 2 ? (double)NAN : MLS_REPORT_KEEP,
                                  .method = a->setting[i].method};
    return st;
}

/* The best setting of a class, not of the method of `except`; n: there is none. */
static size_t best_of(const answer *a, mls_serve serve, size_t except)
{
    size_t best = a->n;

    for (size_t i = 1; i < a->n; i++)
        if (a->m.row[i].serve == serve &&
            (except >= a->n ||
             strcmp(a->setting[i].method, a->setting[except].method) != 0) &&
            (best == a->n || mls_compared_ahead(&a->m.row[i], &a->m.row[best])))
            best = i;
    return best;
}

static void add_command(mls_buf *b, const mls_report *r, const answer *a, size_t i)
{
    const mls_serve serve = a->m.row[i].serve;
    char text[SETTING_TEXT];
    mls_buf out = {0};

    mls_buf_puts(b, "mlascope export ");
    mls_buf_shell(b, r->model_name);
    mls_buf_puts(b, " -s ");
    mls_buf_shell(b, mls_setting_text(&a->setting[i], text, sizeof text));
    mls_buf_puts(b, " --capture ");
    mls_buf_printf(&out, "%s/run.h5", r->folder);
    mls_buf_shell(b, out.data ? out.data : "");
    mls_buf_printf(b, " --for %s -o ", mls_serve_target(serve));
    out.len = 0;
    mls_buf_printf(&out, "%s-%s-%s", r->folder, mls_serve_word(serve),
                   a->setting[i].method);
    mls_buf_shell(b, out.data ? out.data : "");
    mls_buf_puts(b, "\n");
    b->failed = b->failed || out.failed;
    mls_buf_free(&out);
}

/* Rows of the screen, in the order of who serves them. */
static size_t rows_of(size_t *which, const answer *a)
{
    size_t n = 0;

    for (int s = 0; s < MLS_SERVE_CLASSES; s++) {
        const size_t best = best_of(a, (mls_serve)s, a->n);

        if (best == a->n)
            continue;
        which[n++] = best;
        if ((mls_serve)s == a->usual) {
            const size_t second = best_of(a, a->usual, best);

            if (second < a->n)
                which[n++] = second;
        }
    }
    return n;
}

/* What is not told apart from row i, "": nothing. */
static const char *ties_of(char text[SETTING_TEXT], const answer *a, size_t i)
{
    return mls_measured_ties(text, SETTING_TEXT, &a->m, a->setting, a->racer, a->n, i);
}

static mls_table *make_table(const answer *a)
{
    size_t which[MLS_SERVE_CLASSES + SHOWN_OF_MLA];
    const size_t n = rows_of(which, a);
    mls_table *t = mls_table_new(NULL);
    char text[SETTING_TEXT];
    bool tied = false;

    for (size_t i = 0; i < n; i++)
        tied |= *ties_of(text, a, which[i]) != 0;
    MLS_COLUMNS(t, {"served_by", "served by", "", 0}, {"setting", "setting", "", 0},
                {"kept_percent", "kept", "%", 1}, {"kl", "KL", "nat", 3},
                {"kl_half", "±", "nat", 3}, {"perplexity", "perplexity", "", 2});
    if (tied)
        mls_table_column(t, "ties", "not told apart from", "", 0);
    for (size_t i = 0; i < n; i++) {
        const mls_compared *row = &a->m.row[which[i]];

        mls_table_line(t, "%s %s %g %g %g %g", mls_serve_means(row->serve),
                       mls_setting_text(&a->setting[which[i]], text, sizeof text),
                       100 * row->kept, row->kl.mean, row->kl.half, exp(row->nll.mean));
        if (tied)
            mls_table_text(t, *ties_of(text, a, which[i]) ? text : "-");
    }
    mls_table_note(t, "KL: how far next-token probabilities move from the original's; "
                      "0 is no loss, below 0.01 is hard to notice, above 0.5 much has "
                      "to be learned again");
    mls_table_note(t, "perplexity: between how many tokens the model hesitates, on "
                      "average");
    return t;
}

/* The same rows as data, the model's own cache first: what a history keeps. */
static mls_status write_rows(const mls_report *r, const answer *a, mls_err *err)
{
    size_t which[MLS_SERVE_CLASSES + SHOWN_OF_MLA + 1] = {0};
    const size_t n = 1 + rows_of(which + 1, a);
    mls_table *t = mls_table_new(NULL);
    char text[SETTING_TEXT];
    mls_status st;

    MLS_COLUMNS(t, {"served_by", "served by", "", 0}, {"setting", "setting", "", 0},
                {"kept_percent", "kept", "%", 1}, {"kl", "KL", "nat", 3},
                {"kl_half", "±", "nat", 3}, {"perplexity", "perplexity", "", 2});
    for (size_t i = 0; i < n; i++) {
        const mls_compared *row = &a->m.row[which[i]];

        mls_table_line(t, "%s %s %g %g %g %g", mls_serve_word(row->serve),
                       mls_setting_text(&a->setting[which[i]], text, sizeof text),
                       100 * row->kept, row->kl.mean, row->kl.half, exp(row->nll.mean));
    }
    st = mls_data_write(r->folder, "answer", t, err);
    mls_table_free(t);
    return st;
}

/* Projects whose own code cannot take this model, and our variants of their forms. */
static void say_impossible(mls_buf *b, const answer *a, const mls_config *c)
{
    const char *comma = "";

    for (size_t m = 0; mls_methods[m]; m++) {
        const mls_method *method = mls_methods[m];
        bool any = false;

        if (!method->theirs)
            continue;
        for (size_t i = 2; i < a->n; i++)
            any |= strcmp(a->setting[i].method, method->name) == 0 &&
                   a->m.row[i].serve == method->project;
        if (any)
            continue;
        mls_buf_printf(b, "%s%s", comma, method->title);
        if (method->project == MLS_SERVE_ELITEKV && c->G != c->H)
            mls_buf_printf(b,
                           " (its code needs as many KV heads as query heads; here %zu "
                           "of %zu)",
                           c->G, c->H);
        comma = ", ";
    }
}

/* In words: the servable one against what nobody serves and against fewer bits. */
static void say_verdict(mls_buf *b, const answer *a, const mls_config *c)
{
    const size_t mla = best_of(a, a->usual, a->n);
    const size_t own = best_of(a, MLS_SERVE_OWN_KERNEL, a->n);
    const mls_compared *bits = &a->m.row[1];
    char text[SETTING_TEXT], ties[2 * SETTING_TEXT];

    if (c->mla_kv_lora_rank) {
        mls_buf_puts(b, "The model has MLA already: what is left is its latent with "
                        "fewer numbers (truncate) or fewer bits. ");
    } else if (mla < a->n) {
        const mls_compared *row = &a->m.row[mla];

        mls_measured_ties(ties, sizeof ties, &a->m, a->setting, a->racer, a->n, mla);
        mls_buf_printf(
            b,
            "For MLA code%s the best start is %s%s%s: KL %.3f, perplexity %.2f "
            "instead of %.2f, before any training%s. ",
            a->usual == MLS_SERVE_TRANSFORMERS
                ? " (transformers alone: the model has biases or scaled RoPE)"
                : "",
            mls_setting_text(&a->setting[mla], text, sizeof text), *ties ? ", " : "",
            ties, row->kl.mean, exp(row->nll.mean), exp(a->m.original.mean),
            mls_serve_is_gqla(a->usual, c)
                ? "; servers can run it on the latents themselves (absorbed) or read "
                  "keys and values back per KV head (GQLA)"
                : "");
    } else {
        mls_buf_puts(b, "No method makes of this model what MLA code serves at this "
                        "size. ");
    }
    if (own < a->n && c->mla_kv_lora_rank)
        mls_buf_printf(b, "%s: KL %.3f. ",
                       mls_setting_text(&a->setting[own], text, sizeof text),
                       a->m.row[own].kl.mean);
    else if (own < a->n &&
             (mla == a->n || a->m.row[own].kl.mean < a->m.row[mla].kl.mean))
        mls_buf_printf(b, "%s %s (%.3f), but no released code runs it. ",
                       mls_setting_text(&a->setting[own], text, sizeof text),
                       mla < a->n && mls_compared_tied(&a->m.row[own], &a->m.row[mla])
                           ? "is a tie with it"
                           : "loses less",
                       a->m.row[own].kl.mean);
    if (bits->refused)
        mls_buf_printf(b, "A 4-bit cache is not possible: %s.", bits->refused);
    else
        mls_buf_printf(
            b, "Without a conversion, a 4-bit cache keeps %.0f %% at KL %.3f%s.",
            100 * bits->kept, bits->kl.mean,
            mla < a->n && bits->kl.mean < a->m.row[mla].kl.mean &&
                    !mls_compared_tied(bits, &a->m.row[mla])
                ? ": if bytes are all you need, take that"
                : "");
}

/* Bytes of `batch` sequences: what does not grow counts once for each. */
static double cache_of(const mls_compared *row, double context, double batch)
{
    return (row->growing * context + row->fixed) * batch;
}

/* Context that so many bytes hold for each of `batch` sequences. */
static double tokens_in(const mls_compared *row, double bytes, double batch)
{
    return (bytes / batch - row->fixed) / row->growing;
}

/* One line of what fits: weights, cache, yes or no. */
static void say_one_fit(mls_buf *b, const mls_report *r, const char *name,
                        double weights, const mls_compared *row)
{
    const double usable = SHARE_OF_GPU * r->memory, batch = (double)r->batch;
    const double cache = cache_of(row, (double)r->context, batch);
    const double left = usable - weights - cache;
    const double most = tokens_in(row, usable - weights, batch);

    mls_buf_printf(b, "%s: %s, weights %.2f + cache %.2f GiB", name,
                   left >= 0 ? "yes" : "no", weights / GIB, cache / GIB);
    if (left >= 0)
        mls_buf_printf(b, ", %.2f GiB left", left / GIB);
    else if (most >= 1)
        mls_buf_printf(b, ", %.0f tokens would fit", floor(most));
    mls_buf_puts(b, "\n");
}

/* The model's with this setting's attention, and its head where that gets untied. */
static double converted_weights(const answer *a, size_t i)
{
    return a->weights + 2 * (a->m.row[i].parameters - a->m.row[0].parameters +
                             mls_serve_head(a->m.row[i].serve, a->config));
}

static void say_fit(mls_buf *b, const mls_report *r, const answer *a)
{
    const mls_compared *own = &a->m.row[0];
    const size_t mla = best_of(a, r->serve, a->n);
    char sequences[48];

    snprintf(sequences, sizeof sequences, "%zu sequence%s", r->batch,
             mls_plural(r->batch));
    mls_buf_printf(b,
                   "Does it fit? %s of %zu tokens on %s, of which a server uses %.0f "
                   "%% (%.1f GiB):\n",
                   sequences, r->context, r->gpu, 100 * SHARE_OF_GPU,
                   SHARE_OF_GPU * r->memory / GIB);
    say_one_fit(b, r, "  as it is", a->weights, own);
    if (!a->m.row[1].refused)
        say_one_fit(b, r, "  with a 4-bit cache", a->weights, &a->m.row[1]);
    if (mla < a->n)
        say_one_fit(b, r, "  converted", converted_weights(a, mla), &a->m.row[mla]);
}

static void fit_cell(mls_table *t, double memory, double weights,
                     const mls_compared *row, double context, double batch)
{
    const double usable = SHARE_OF_GPU * memory;
    const double left = usable - weights - cache_of(row, context, batch);
    const double most = tokens_in(row, usable - weights, batch);
    char text[64];

    if (left >= 0)
        snprintf(text, sizeof text, "yes, %.1f GiB left", left / GIB);
    else if (most >= 1)
        snprintf(text, sizeof text, "no, %.0f tokens fit", floor(most));
    else
        snprintf(text, sizeof text, "no");
    mls_table_text(t, text);
}

/* Usual memories, contexts and batches, and what was asked for. */
static void show_fits(const mls_report *r, const answer *a, mls_page *page)
{
    static const double memories[] = {0, 24 * GIB, 80 * GIB, 141 * GIB};
    static const size_t contexts[] = {8192, 32768, 131072}, batches[] = {1, 16, 64};
    const size_t mla = best_of(a, r->serve, a->n);
    const mls_compared *own = &a->m.row[0], *bits = &a->m.row[1];
    mls_table *t = mls_table_new(NULL);
    char text[SETTING_TEXT];

    MLS_COLUMNS(t, {"gpu", "GPU memory", "GiB", 0}, {"context", "context", "tokens", 0},
                {"batch", "sequences", "", 0}, {"own", "as it is", "", 0});
    if (!bits->refused)
        mls_table_column(t, "bits", "4-bit cache", "", 0);
    if (mla < a->n)
        mls_table_column(t, "converted", "converted", "", 0);
    for (size_t g = 0; g < sizeof memories / sizeof memories[0]; g++)
        for (size_t i = 0; i < 9; i++) {
            const double memory = g ? memories[g] : r->memory;
            const size_t context = g ? contexts[i / 3] : r->context;
            const size_t batch = g ? batches[i % 3] : r->batch;

            if (g == 0 && i > 0)
                continue;
            mls_table_line(t, "%g %zu %zu", memory / GIB, context, batch);
            fit_cell(t, memory, a->weights, own, (double)context, (double)batch);
            if (!bits->refused)
                fit_cell(t, memory, a->weights, bits, (double)context, (double)batch);
            if (mla < a->n)
                fit_cell(t, memory, converted_weights(a, mla), &a->m.row[mla],
                         (double)context, (double)batch);
        }
    mls_table_say(
        t,
        "first row: what was asked for; a server uses %.0f %% of the memory; weights "
        "and cache in 16 bits, the converted model's own weights counted%s",
        100 * SHARE_OF_GPU, mla < a->n ? "" : "; no conversion of the class asked");
    mls_page_section(page, "fits", "Does it fit");
    if (mla < a->n)
        mls_page_lead(page,
                      "Pick your GPU, context and number of sequences: the table says "
                      "yes or no for the model as it is, with a 4-bit cache, and "
                      "converted to %s.",
                      mls_setting_text(&a->setting[mla], text, sizeof text));
    else
        mls_page_lead(page, "Pick your GPU, context and number of sequences: the table "
                            "says yes or no.");
    mls_page_table(page, t);
    mls_table_free(t);
}

/* One line for each row that is exported; a server's cache has its own option. */
static void say_commands(mls_buf *b, const mls_report *r, const answer *a)
{
    size_t which[MLS_SERVE_CLASSES + SHOWN_OF_MLA];
    const size_t n = rows_of(which, a);

    for (size_t i = 0; i < n; i++)
        if (which[i] > 1 && mls_serve_target(a->m.row[which[i]].serve))
            add_command(b, r, a, which[i]);
}

/* What of it grows and what does not, where a layer has such. */
static void say_growth(mls_buf *b, const answer *a, const mls_config *c)
{
    if (mls_size_has_fixed(c))
        mls_buf_printf(b,
                       " (at %d tokens: %.0f B of each token and %.0f B of a "
                       "sequence that do not grow)",
                       MLS_MEASURED_TOKENS, a->m.row[0].growing, a->m.row[0].fixed);
}

/* The same words on the page and in the terminal. */
static mls_status show(const mls_report *r, const answer *a, mls_page *page,
                       mls_buf *summary, mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    mls_table *t = make_table(a);
    mls_buf verdict = {0}, fit = {0}, impossible = {0}, commands = {0}, growth = {0};
    char left[SETTING_TEXT], shape[160];
    mls_status st;

    mls_report_shape(shape, sizeof shape, c);
    if (*mls_common_left_alone(left, sizeof left, c))
        mls_buf_printf(&verdict, "%s. ", left);
    say_verdict(&verdict, a, c);
    say_growth(&growth, a, c);
    say_fit(&fit, r, a);
    say_impossible(&impossible, a, c);
    say_commands(&commands, r, a);
    mls_page_section(page, "answer", "The answer");
    mls_page_text(page,
                  "%s: %.0f bytes of cache per token%s, perplexity %.2f on held-out "
                  "text. Keeping %.0f %% of the cache, before any training:",
                  shape, a->m.row[0].bytes, growth.data ? growth.data : "",
                  exp(a->m.original.mean), 100 * MLS_REPORT_KEEP);
    mls_page_table(page, t);
    mls_page_text(page, "%s", verdict.data ? verdict.data : "");
    if (impossible.len)
        mls_page_text(page, "Not possible here: %s.", impossible.data);
    mls_page_code(page, fit.data ? fit.data : "");
    if (commands.len) {
        mls_page_text(page, "Next, convert it: a command for each kind of code above.");
        mls_page_code(page, commands.data);
    }
    mls_buf_printf(
        summary,
        "%s: what converting to MLA would cost\n"
        "%s: %.0f bytes of cache per token%s, perplexity %.2f on held-out text.\n"
        "Keeping %.0f %% of the cache, before any training:\n",
        r->model_name, shape, a->m.row[0].bytes, growth.data ? growth.data : "",
        exp(a->m.original.mean), 100 * MLS_REPORT_KEEP);
    st = mls_table_print(t, MLS_FORMAT_TABLE, summary, err);
    mls_buf_printf(summary, "%s\n", verdict.data ? verdict.data : "");
    if (impossible.len)
        mls_buf_printf(summary, "Not possible here: %s.\n", impossible.data);
    mls_buf_printf(summary, "%s%s%s\n", fit.data ? fit.data : "",
                   commands.len ? "Next:\n" : "", commands.data ? commands.data : "");
    if (!st && (growth.failed || verdict.failed || fit.failed || impossible.failed ||
                commands.failed))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    mls_buf_free(&growth);
    mls_buf_free(&verdict);
    mls_buf_free(&fit);
    mls_buf_free(&impossible);
    mls_buf_free(&commands);
    mls_table_free(t);
    return st;
}

mls_status mls_section_answer(const mls_report *r, mls_page *page, mls_buf *summary,
                              mls_err *err)
{
    answer a = {.weights = 2 * (double)mls_checkpoint_parameters(
                                   mls_model_checkpoint(r->model)),
                .config = mls_model_config(r->model),
                .usual = mls_serve_usual(mls_model_config(r->model))};
    mls_status st;

    if (!r->evaluation)
        return MLS_OK;
    st = choose(&a, mls_model_config(r->model), err);
    if (!st)
        st =
            mls_measured_settings(&a.m, r, r->evaluation, a.setting, a.racer, a.n, err);
    if (!st)
        st = show(r, &a, page, summary, err);
    if (!st)
        st = write_rows(r, &a, err);
    if (!st)
        show_fits(r, &a, page);
    mls_comparison_free(&a.m);
    mls_free_all(a.setting, a.racer);
    return st;
}
