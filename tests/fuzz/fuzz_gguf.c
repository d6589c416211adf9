/*
 * libFuzzer: a GGUF file in memory. Its header, from a prefix first as a reader does,
 * and what is made of it: config.json and tokenizer.json, as far as they need no data.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "datasets/checkpoint/config.h"
#include "datasets/checkpoint/gguf_config.h"
#include "datasets/tokenizer/gguf_tokenizer.h"
#include "datasets/tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A call succeeds, or says why in one sentence. */
static void check(mls_status st, const mls_err *err)
{
    if (st ? st != MLS_E_INPUT || !err->text[0] || strchr(err->text, '\n')
           : err->status != MLS_OK)
        abort();
}

static void try_prefix(const uint8_t *data, size_t len, size_t size)
{
    unsigned char *copy = malloc(len ? len : 1);
    mls_gguf_header h;
    mls_err err = {0};
    bool more;

    if (!copy)
        return;
    if (len)
        memcpy(copy, data, len);
    check(mls_gguf_header_parse(&h, copy, len, size, &more, "fuzz", &err), &err);
    if (more && (len == size || h.tensor || h.value))
        abort();
    for (size_t i = 0; i < h.n_tensors; i++) {
        const mls_tensor_info *t = &h.tensor[i];

        if (mls_gguf_header_tensor(&h, t->name) != t ||
            (t->n_bytes > 0 &&
             (t->offset > size || t->n_bytes > size - (size_t)t->offset)))
            abort();
    }
    mls_gguf_header_free(&h);
    free(copy);
}

static void try_file(const char *path)
{
    mls_gguf_parts p = {0};
    mls_tokenizer *tok;
    mls_config config;
    mls_err err = {0};
    char *json = NULL;
    size_t len;
    mls_status st = mls_gguf_parts_open(&p, path, &err);

    check(st, &err);
    if (!st) {
        st = mls_gguf_config(&p, &json, &len, &err);
        check(st, &err);
        if (!st)
            check(mls_config_parse(&config, json, len, "fuzz", &err), &err);
        free(json);
        err = (mls_err){0};
        st = mls_gguf_tokenizer(p.part[0], &json, &len, &err);
        check(st, &err);
        if (!st) {
            st = mls_tokenizer_parse(&tok, json, len, "fuzz", &err);
            check(st, &err);
            if (!st)
                mls_tokenizer_close(tok);
        }
        free(json);
    }
    mls_gguf_parts_close(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd;

    try_prefix(data, size / 2, size);
    try_prefix(data, size, size);
    fd = memfd_create("fuzz", 0);
    if (fd < 0)
        return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (write(fd, data, size) == (ssize_t)size)
        try_file(path);
    close(fd);
    return 0;
}
