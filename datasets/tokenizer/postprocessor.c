/*
 * Only ids are kept, so that a template is two lists, before the text and after it.
 * Processors in a sequence go around each other; two that both add tokens are refused,
 * because the library wraps parts of parts.
 */
#include "datasets/tokenizer/postprocessor.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/shape.h"

enum { NESTING_MAX = 16, ADDED_MAX = 1024 };

void mls_postprocessor_free(mls_postprocessor *p)
{
    mls_ids_free(&p->before);
    mls_ids_free(&p->after);
}

/* Append an id from JSON. */
static mls_status add_id(mls_ids *ids, const json_t *value, const char *where,
                         mls_err *err)
{
    const json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;

    if (id < 0 || id >= MLS_VOCAB_MAX)
        return mls_fail(err, MLS_E_INPUT, "%s: expected a token id from 0 to %d", where,
                        MLS_VOCAB_MAX - 1);
    if (ids->n == ADDED_MAX)
        return mls_fail(err, MLS_E_INPUT, "%s: more than %d ids are added", where,
                        ADDED_MAX);
    return mls_ids_add(ids, (int32_t)id, err);
}

/* The ids of {"SpecialToken": {"id": name}}, by the list of special_tokens. */
static mls_status add_special(mls_ids *ids, const json_t *piece, const json_t *tokens,
                              const char *where, mls_err *err)
{
    const json_t *list;
    mls_text name;
    mls_status st = mls_json_text(piece, where, "id", &name, err);
    const json_t *token;

    if (st)
        return st;
    token = json_object_get(tokens, name.data);
    if (!json_is_object(token))
        return mls_fail(err, MLS_E_INPUT, "%s: \"%.64s\" is not in \"special_tokens\"",
                        where, name.data);
    st = mls_json_array(token, where, "ids", &list, err);
    for (size_t i = 0; !st && i < json_array_size(list); i++)
        st = add_id(ids, json_array_get(list, i), where, err);
    return st;
}

static mls_status read_template(mls_postprocessor *out, const json_t *part,
                                const char *where, mls_err *err)
{
    const json_t *tokens = json_object_get(part, "special_tokens");
    const json_t *pieces;
    bool text_seen = false;
    mls_status st = mls_json_array(part, where, "single", &pieces, err);

    for (size_t i = 0; !st && i < json_array_size(pieces); i++) {
        const json_t *piece = json_array_get(pieces, i);
        const json_t *special = json_object_get(piece, "SpecialToken");
        const json_t *text = json_object_get(piece, "Sequence");
        mls_text name = {"", 0};

        if (special) {
            st = add_special(text_seen ? &out->after : &out->before, special, tokens,
                             where, err);
            continue;
        }
        st = mls_json_text(text, where, "id", &name, err);
        if (!st && (strcmp(name.data, "A") != 0 || text_seen))
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: \"single\": expected the text A once, found \"%.16s\"",
                          where, name.data);
        text_seen = true;
    }
    if (!st && !text_seen)
        st = mls_fail(err, MLS_E_INPUT, "%s: \"single\" leaves the text out", where);
    return st;
}

/* ["</s>", 2]: the id of a token for BERT and RoBERTa. */
static mls_status add_named(mls_ids *ids, const json_t *part, const char *key,
                            const char *where, mls_err *err)
{
    return add_id(ids, json_array_get(json_object_get(part, key), 1), where, err);
}

static mls_status read_cls_sep(mls_postprocessor *out, const json_t *part,
                               const char *where, mls_err *err)
{
    const mls_status st = add_named(&out->before, part, "cls", where, err);

    return st ? st : add_named(&out->after, part, "sep", where, err);
}

static mls_status read_byte_level(mls_postprocessor *out, const json_t *part,
                                  const char *where, mls_err *err)
{
    (void)out;
    (void)part;
    (void)where;
    (void)err;
    return MLS_OK; /* trims offsets, which we do not keep */
}

static const struct {
    const char *type;
    mls_status (*read)(mls_postprocessor *, const json_t *, const char *, mls_err *);
    const char *settings[6];
} types[] = {
    {"TemplateProcessing", read_template, {"type", "single", "pair", "special_tokens"}},
    {"ByteLevel",
     read_byte_level,
     {"type", "add_prefix_space", "trim_offsets", "use_regex"}},
    {"BertProcessing", read_cls_sep, {"type", "sep", "cls"}},
    {"RobertaProcessing",
     read_cls_sep,
     {"type", "sep", "cls", "trim_offsets", "add_prefix_space"}},
};

/* Around what out holds: ids before go to the front. */
static mls_status wrap(mls_postprocessor *out, mls_postprocessor *around, mls_err *err)
{
    mls_status st = MLS_OK;

    /* The reference goes around every part that an earlier processor made. */
    if (out->before.n + out->after.n && around->before.n + around->after.n)
        st = mls_fail(err, MLS_E_INPUT,
                      "post_processor: Sequence: more than one part adds tokens, which "
                      "is not done");
    if (!st)
        st = mls_ids_join(&around->before, out->before.id, out->before.n, err);

    if (!st)
        st = mls_ids_join(&out->after, around->after.id, around->after.n, err);
    if (!st) {
        const mls_ids swap = out->before;

        out->before = around->before;
        around->before = swap;
    }
    return st;
}

static mls_status read_part(mls_postprocessor *out, const json_t *part, int nesting,
                            mls_err *err)
{
    const json_t *list;
    mls_text type;
    mls_status st = mls_json_text(part, "post_processor", "type", &type, err);

    if (st)
        return st;
    if (strcmp(type.data, "Sequence") == 0) {
        if (nesting == NESTING_MAX)
            return mls_fail(err, MLS_E_INPUT,
                            "post_processor: sequences nested too deep");
        st = mls_json_array(part, "post_processor: Sequence", "processors", &list, err);
        for (size_t i = 0; !st && i < json_array_size(list); i++)
            st = read_part(out, json_array_get(list, i), nesting + 1, err);
        return st;
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].type, type.data) == 0) {
            mls_postprocessor around = {0};
            char where[64];

            snprintf(where, sizeof where, "post_processor: %s", types[i].type);
            st = mls_json_only(part, where, types[i].settings, err);
            if (!st)
                st = types[i].read(&around, part, where, err);
            if (!st)
                st = wrap(out, &around, err);
            mls_postprocessor_free(&around);
            return st;
        }
    return mls_fail(err, MLS_E_INPUT, "post_processor: type \"%.64s\" is not done",
                    type.data);
}

mls_status mls_postprocessor_read(mls_postprocessor *out, const json_t *part,
                                  mls_err *err)
{
    mls_status st = MLS_OK;

    *out = (mls_postprocessor){0};
    if (part && !json_is_null(part))
        st = read_part(out, part, 0, err);
    if (st)
        mls_postprocessor_free(out);
    return st;
}
