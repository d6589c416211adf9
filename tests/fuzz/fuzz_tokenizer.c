/*
 * A tokenizer.json and a text from one input, for libFuzzer and for the mutations of
 * test_tokenizer_mutations.c: the JSON ends at the first byte 0xFF, which UTF-8
 * never has; what follows is the text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever the bytes, a call succeeds or says why in one sentence. */
static void check(mls_status st, const mls_err *err)
{
    if (st ? (st != err->status || !*err->text || strchr(err->text, '\n'))
           : err->status != MLS_OK)
        abort();
    if (st && st != MLS_E_INPUT)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, 0xFF, size);
    const size_t len = end ? (size_t)(end - data) : size;
    const char *text = end ? (const char *)end + 1 : "";
    const size_t text_len = end ? size - len - 1 : 0;
    mls_err err = {0};
    mls_tokenizer *tok;
    mls_status st = mls_tokenizer_parse(&tok, (const char *)data, len, "input", &err);

    check(st, &err);
    if (st)
        return 0;
    for (int special = 0; special < 2; special++) {
        int32_t *ids;
        size_t n;

        st = mls_tokenizer_encode(tok, text, text_len, special, &ids, &n, &err);
        check(st, &err);
        if (st)
            break;
        for (size_t i = 0; i < n; i++)
            if (!mls_tokenizer_token(tok, ids[i]) ||
                (size_t)ids[i] >= mls_tokenizer_vocabulary(tok))
                abort();
        free(ids);
    }
    mls_tokenizer_close(tok);
    return 0;
}
