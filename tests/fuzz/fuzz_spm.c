/* A tokenizer.model of SentencePiece: what becomes JSON is read as a tokenizer, too. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/tokenizer/spm_model.h"
#include "datasets/tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mls_err err = {0};
    mls_tokenizer *tok;
    char *json;
    size_t len = 0;
    mls_status st = mls_spm_model((const char *)data, size, "input", &json, &len, &err);

    if (st) {
        if (st != MLS_E_INPUT || json || !*err.text || strchr(err.text, '\n'))
            abort();
        return 0;
    }
    st = mls_tokenizer_parse(&tok, json, len, "input", &err);
    if (st && (st != MLS_E_INPUT || !*err.text))
        abort();
    mls_tokenizer_close(tok);
    free(json);
    return 0;
}
