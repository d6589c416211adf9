/*
 * A question with a choice twice or empty, or an answer beyond them, is refused with
 * its line: scored, it would look like an accuracy.
 */
#include "datasets/text/questions.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "datasets/base/json_members.h"
#include "datasets/text/documents.h"

static void question_free(mls_question *q)
{
    for (size_t i = 0; q->choice && i < q->n; i++)
        free(q->choice[i]);
    free(q->choice);
    free(q->context);
}

void mls_questions_free(mls_questions *q)
{
    for (size_t i = 0; i < q->n; i++)
        question_free(&q->question[i]);
    free(q->question);
    *q = (mls_questions){0};
}

/* A copy of a text without a 0 in it. */
static mls_status copy_text(char **out, const json_t *text, const char *what,
                            mls_err *err)
{
    if (!json_is_string(text))
        return mls_fail(err, MLS_E_INPUT, "%s: expected a text, found %s", what,
                        mls_json_kind(text));
    if (strlen(json_string_value(text)) != json_string_length(text))
        return mls_fail(err, MLS_E_INPUT, "%s: the text holds a 0 character", what);
    *out = strdup(json_string_value(text));
    return *out ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a question");
}

static mls_status read_choices(mls_question *q, const json_t *list, mls_err *err)
{
    const size_t n = json_array_size(list);
    mls_status st = MLS_OK;

    if (!json_is_array(list))
        return mls_fail(err, MLS_E_INPUT, "\"choices\": expected a list, found %s",
                        mls_json_kind(list));
    if (n < 2 || n > MLS_CHOICES_MAX)
        return mls_fail(err, MLS_E_INPUT, "\"choices\": expected 2 to %d, found %zu",
                        MLS_CHOICES_MAX, n);
    q->choice = mls_calloc3(n, 1, 1, sizeof *q->choice);
    if (!q->choice)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a question");
    for (q->n = 0; !st && q->n < n; q->n++) {
        const size_t i = q->n;

        st = copy_text(&q->choice[i], json_array_get(list, i), "\"choices\"", err);
        if (!st && !*q->choice[i])
            st = mls_fail(err, MLS_E_INPUT, "\"choices\": number %zu is empty", i);
        for (size_t j = 0; !st && j < i; j++)
            if (strcmp(q->choice[i], q->choice[j]) == 0)
                st = mls_fail(err, MLS_E_INPUT,
                              "\"choices\": number %zu is number %zu once more", i, j);
    }
    return st;
}

static mls_status read_question(void *arg, const json_t *row, mls_err *err)
{
    mls_questions *all = arg;
    const json_t *answer = json_object_get(row, "answer");
    mls_question q = {0};
    mls_question *more;
    mls_status st;

    if (!json_is_object(row))
        return mls_fail(err, MLS_E_INPUT,
                        "expected an object with \"context\", \"choices\" and "
                        "\"answer\", found %s",
                        mls_json_kind(row));
    st = copy_text(&q.context, json_object_get(row, "context"), "\"context\"", err);
    if (!st)
        st = read_choices(&q, json_object_get(row, "choices"), err);
    if (!st && !json_is_integer(answer))
        st = mls_fail(err, MLS_E_INPUT, "\"answer\": expected a number, found %s",
                      mls_json_kind(answer));
    if (!st && (json_integer_value(answer) < 0 ||
                (unsigned long long)json_integer_value(answer) >= q.n))
        st = mls_fail(err, MLS_E_INPUT,
                      "\"answer\": %lld is none of the %zu choices, which count from 0",
                      (long long)json_integer_value(answer), q.n);
    if (!st) {
        q.answer = (size_t)json_integer_value(answer);
        more = realloc(all->question, (all->n + 1) * sizeof *more);
        if (more) {
            all->question = more;
            all->question[all->n++] = q;
            return MLS_OK;
        }
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a question");
    }
    question_free(&q);
    return st;
}

mls_status mls_questions_read(mls_questions *out, const char *path, mls_err *err)
{
    mls_status st;

    *out = (mls_questions){0};
    st = mls_json_lines_read(path, read_question, out, out->sha256, err);
    if (st)
        mls_questions_free(out);
    return st;
}
