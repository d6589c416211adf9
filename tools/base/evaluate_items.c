/*
 * Planted pairs and multiple choice are sequences of their own, of which only the ends
 * are scored; the same evaluation measures them, and a table of their own shows them.
 */
#include "tools/base/evaluate_items.h"

#include <stdlib.h>

#include "bench/evaluate/items.h"
#include "bench/setting/setting.h"
#include "common/base/checked.h"
#include "datasets/text/questions.h"
#include "reports/tables/item_tables.h"

/* All variants over sequences of which only the ends are scored. */
static mls_status measure(mls_evaluation *e, const mls_tool_subject *s,
                          const mls_items *items, const mls_variant *variants, size_t n,
                          const mls_evaluate_options *how, mls_err *err)
{
    mls_evaluate_options options = *how;
    mls_status st;

    options.from = items->from;
    st = mls_evaluate(e, &s->in, &items->corpus, variants, n, &options,
                      mls_tool_progress(), err);
    return st ? st : mls_evaluation_possible(e, err);
}

/* Why a setting has no figures. */
static void add_reasons(mls_table *t, const mls_evaluation *e)
{
    for (size_t i = 0; t && i < e->n; i++)
        if (e->variant[i].refused)
            mls_table_note(t, e->variant[i].refused);
}

static mls_status choices(mls_table **t, const mls_tool_subject *s, mls_tokenizer *tok,
                          const mls_tool_items *what, const mls_variant *variants,
                          size_t n, const char *const *name,
                          const mls_evaluate_options *how, mls_err *err)
{
    mls_questions q = {0};
    mls_choices c = {0};
    mls_evaluation e = {0};
    mls_status st = mls_questions_read(&q, what->choices, err);

    if (!st)
        st = mls_choices_make(&c, &q, tok, what->no_bos, s->in.config->max_position,
                              err);
    if (st && c.n == 0 && q.n > 0)
        mls_fail_in(err, st, "%s", what->choices);
    if (!st)
        st = measure(&e, s, &c.items, variants, n, how, err);
    if (!st && !(*t = mls_choices_table(&c, &e, name)))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a table");
    add_reasons(*t, &e);
    mls_questions_free(&q);
    mls_choices_free(&c);
    mls_evaluation_free(&e);
    return st;
}

static mls_status retrieval(mls_table **t, const mls_tool_subject *s,
                            mls_tokenizer *tok, const mls_tool_items *what,
                            const mls_variant *variants, size_t n,
                            const char *const *name, const mls_evaluate_options *how,
                            mls_err *err)
{
    const size_t positions = s->in.config->max_position;
    size_t *distance = NULL, n_distances = 0;
    mls_retrieval r = {0};
    mls_evaluation e = {0};
    mls_status st = mls_size_list("--retrieval", what->distances, 0, 1 << 20, &distance,
                                  &n_distances, err);

    if (!st)
        st = mls_retrieval_make(
            &r, tok, what->texts->item, what->texts->n, what->no_bos, distance,
            n_distances, what->pairs ? what->pairs : MLS_TOOL_PAIRS, what->seed, err);
    if (!st && positions && r.longest > positions)
        mls_progress_note(mls_tool_progress(),
                          "sequences of %zu tokens are longer than the %zu positions "
                          "of the model: what lies beyond is not what it was trained "
                          "for",
                          r.longest, positions);
    if (!st)
        st = measure(&e, s, &r.items, variants, n, how, err);
    if (!st && !(*t = mls_retrieval_table(&r, &e, name)))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a table");
    add_reasons(*t, &e);
    mls_retrieval_free(&r);
    mls_evaluation_free(&e);
    free(distance);
    return st;
}

mls_status mls_tool_evaluate_items(mls_table **t, const mls_tool_subject *s,
                                   const mls_tool_items *what,
                                   const mls_variant *variants, size_t n,
                                   const mls_evaluate_options *how, mls_err *err)
{
    const char *folder = mls_checkpoint_folder(mls_model_checkpoint(s->model));
    const char **name = mls_calloc3(n, 1, 1, sizeof(char *));
    mls_tokenizer *tok = NULL;
    mls_status st = name ? mls_tokenizer_open(&tok, folder, err)
                         : mls_fail(err, MLS_E_NOMEM, "no memory for a table");

    *t = NULL;
    for (size_t i = 0; name && i < n; i++)
        name[i] = variants[i].scheme->name;
    if (!st)
        st = (what->choices ? choices : retrieval)(t, s, tok, what, variants, n, name,
                                                   how, err);
    if (*t)
        mls_table_meta(*t, "command", mls_tool_command_line());
    mls_tokenizer_close(tok);
    free(name);
    return st;
}
