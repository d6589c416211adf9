/*
 * The two ways of cutting a word into tokens behind one face: merges (BPE) or the most
 * probable cut (unigram); `type` in tokenizer.json says which.
 */
#include "datasets/tokenizer/token_model.h"

#include <stdlib.h>
#include <string.h>

#include "datasets/tokenizer/bpe.h"
#include "datasets/tokenizer/unigram.h"
#include "datasets/tokenizer/vocabulary.h"

struct mls_token_model {
    mls_bpe *bpe; /* one of the two */
    mls_unigram *unigram;
    const mls_vocabulary *vocabulary; /* its */
};

void mls_token_model_free(mls_token_model *m)
{
    if (!m)
        return;
    mls_bpe_free(m->bpe);
    mls_unigram_free(m->unigram);
    free(m);
}

mls_status mls_token_model_new(mls_token_model **out, const json_t *model, mls_err *err)
{
    mls_token_model *m = calloc(1, sizeof *m);
    mls_text type = {"BPE", 3};
    mls_status st = MLS_OK;

    *out = NULL;
    if (!m)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a vocabulary");
    if (!json_is_object(model))
        st = mls_fail(err, MLS_E_INPUT, "model: expected an object, found %s",
                      mls_json_kind(model));
    else if (json_object_get(model, "type"))
        st = mls_json_text(model, "model", "type", &type, err);
    else if (!json_object_get(model, "merges"))
        st = mls_fail(err, MLS_E_INPUT,
                      "model: neither \"type\" nor \"merges\" is there");
    if (!st && strcmp(type.data, "BPE") == 0) {
        st = mls_bpe_new(&m->bpe, model, err);
        m->vocabulary = st ? NULL : mls_bpe_vocabulary(m->bpe);
    } else if (!st && strcmp(type.data, "Unigram") == 0) {
        st = mls_unigram_new(&m->unigram, model, err);
        m->vocabulary = st ? NULL : mls_unigram_vocabulary(m->unigram);
    } else if (!st)
        st = mls_fail(err, MLS_E_INPUT,
                      "model: type \"%.64s\" is not done, only BPE and Unigram",
                      type.data);
    if (st)
        mls_token_model_free(m);
    else
        *out = m;
    return st;
}

size_t mls_token_model_vocabulary(const mls_token_model *m)
{
    return mls_vocabulary_size(m->vocabulary);
}

int32_t mls_token_model_id(const mls_token_model *m, const char *token, size_t len)
{
    return mls_vocabulary_id(m->vocabulary, token, len);
}

const char *mls_token_model_token(const mls_token_model *m, int32_t id)
{
    return mls_vocabulary_token(m->vocabulary, id);
}

mls_status mls_token_model_encode(mls_token_model *m, const char *word, size_t len,
                                  mls_ids *ids, mls_err *err)
{
    return m->bpe ? mls_bpe_encode(m->bpe, word, len, ids, err)
                  : mls_unigram_encode(m->unigram, word, len, ids, err);
}
