/* GGUF files put together piece by piece, sound and broken. */
#include "tests/support/gguf_fixture.h"

void put_u32(mls_buf *b, uint64_t x)
{
    const uint32_t v = (uint32_t)x;

    mls_buf_add(b, (const char *)&v, sizeof v);
}

void put_u64(mls_buf *b, uint64_t x)
{
    mls_buf_add(b, (const char *)&x, sizeof x);
}

void put_string(mls_buf *b, const char *text)
{
    put_u64(b, strlen(text));
    mls_buf_puts(b, text);
}

void gguf_key(gguf_file *g, const char *key, mls_gguf_type type)
{
    put_string(&g->keys, key);
    put_u32(&g->keys, type);
    g->n_keys++;
}

void gguf_u32(gguf_file *g, const char *key, uint32_t x)
{
    gguf_key(g, key, MLS_GGUF_U32);
    put_u32(&g->keys, x);
}

void gguf_f32(gguf_file *g, const char *key, float x)
{
    gguf_key(g, key, MLS_GGUF_F32);
    mls_buf_add(&g->keys, (const char *)&x, sizeof x);
}

void gguf_bool(gguf_file *g, const char *key, bool x)
{
    gguf_key(g, key, MLS_GGUF_BOOL);
    mls_buf_add(&g->keys, x ? "\1" : "\0", 1);
}

void gguf_text(gguf_file *g, const char *key, const char *x)
{
    gguf_key(g, key, MLS_GGUF_STRING);
    put_string(&g->keys, x);
}

void gguf_array(gguf_file *g, const char *key, mls_gguf_type type, uint64_t n)
{
    gguf_key(g, key, MLS_GGUF_ARRAY);
    put_u32(&g->keys, type);
    put_u64(&g->keys, n);
}

static void pad_to(mls_buf *b, uint64_t alignment)
{
    while (b->len % alignment)
        mls_buf_add(b, "", 1);
}

static uint64_t gguf_alignment(const gguf_file *g)
{
    return g->alignment ? g->alignment : 32;
}

void gguf_tensor(gguf_file *g, const char *name, uint32_t type, size_t dims,
                 const uint64_t *ne, const void *data, size_t n)
{
    put_string(&g->infos, name);
    put_u32(&g->infos, dims);
    for (size_t i = 0; i < dims; i++)
        put_u64(&g->infos, ne[i]);
    put_u32(&g->infos, type);
    put_u64(&g->infos, g->data.len);
    if (n)
        mls_buf_add(&g->data, data, n);
    pad_to(&g->data, gguf_alignment(g));
    g->n_tensors++;
}

mls_buf gguf_bytes(const gguf_file *g)
{
    mls_buf b = {0};

    mls_buf_puts(&b, "GGUF");
    put_u32(&b, g->version ? g->version : 3);
    put_u64(&b, g->n_tensors);
    put_u64(&b, g->n_keys);
    if (g->keys.len)
        mls_buf_add(&b, g->keys.data, g->keys.len);
    if (g->infos.len)
        mls_buf_add(&b, g->infos.data, g->infos.len);
    pad_to(&b, gguf_alignment(g));
    if (g->data.len)
        mls_buf_add(&b, g->data.data, g->data.len);
    assert_false(b.failed || g->keys.failed || g->infos.failed || g->data.failed);
    return b;
}

void gguf_save(const gguf_file *g, const char *path)
{
    mls_buf b = gguf_bytes(g);

    put_file(path, b.data, b.len);
    mls_buf_free(&b);
}

void gguf_free(gguf_file *g)
{
    mls_buf_free(&g->keys);
    mls_buf_free(&g->infos);
    mls_buf_free(&g->data);
    memset(g, 0, sizeof *g);
}
