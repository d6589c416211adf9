/* GGUF headers: sound, broken in every way, mutated at random, and very long. */
#include "tests/support/gguf_fixture.h"

#include <time.h>
#include <unistd.h>

#include "common/numbers/rng.h"
#include "datasets/files/ggml_types.h"
#include "datasets/files/gguf_parts.h"

/* Two keys and two tensors: "a" of 2 x 3 F32 and "b" of 32 Q8_0. */
static void small(gguf_file *g)
{
    const float a[6] = {1, 2, 3, 4, 5, 6};
    uint8_t b[34] = {0x00, 0x3c, 1, 2, 3};

    gguf_text(g, "general.architecture", "llama");
    gguf_array(g, "list", MLS_GGUF_STRING, 2);
    put_string(&g->keys, "one");
    put_string(&g->keys, "");
    gguf_tensor(g, "a", 0, 2, (uint64_t[]){3, 2}, a, sizeof a);
    gguf_tensor(g, "b", 8, 1, (uint64_t[]){32}, b, sizeof b);
}

static mls_status open_bytes(const mls_buf *b, mls_err *err)
{
    const char *path = test_scratch("model.gguf");
    mls_gguf *f;
    mls_status st;

    put_file(path, b->data, b->len);
    st = mls_gguf_open(&f, path, err);
    mls_gguf_close(f);
    return st;
}

static void a_file_is_read_as_it_was_written(void **state)
{
    (void)state;
    const char *path = test_scratch("small.gguf");

    for (uint32_t version = 2; version <= 3; version++) {
        gguf_file g = {.version = version};
        mls_gguf_walk walk = {0};
        const mls_gguf_value *v;
        mls_gguf *f;
        size_t len;
        float x[32];
        char *text = NULL;

        small(&g);
        gguf_save(&g, path);
        gguf_free(&g);
        assert_true(mls_gguf_is(path));
        assert_ok(mls_gguf_open(&f, path, &err));
        const mls_gguf_header *h = mls_gguf_head(f);

        assert_int_equal(h->version, version);
        assert_int_equal(h->n_values, 2);
        assert_int_equal(h->n_tensors, 2);
        assert_ok(mls_gguf_text(f, "general.architecture", &text, &err));
        assert_string_equal(text, "llama");
        free(text);
        assert_ok(mls_gguf_array(f, "list", MLS_GGUF_STRING, &v, &err));
        assert_int_equal(v->n, 2);
        assert_memory_equal(mls_gguf_next_string(v, &walk, &len), "one", 3);
        assert_int_equal(len, 3);
        mls_gguf_next_string(v, &walk, &len);
        assert_int_equal(len, 0);
        assert_null(mls_gguf_header_value(h, "lis"));

        const mls_tensor_info *a = mls_gguf_header_tensor(h, "a");
        const mls_tensor_info *b = mls_gguf_header_tensor(h, "b");

        assert_int_equal(a->n_dims, 2);
        assert_int_equal(a->shape[0], 2); /* rows first */
        assert_int_equal(a->shape[1], 3);
        assert_string_equal(a->dtype, "F32");
        assert_int_equal(a->offset % 32, 0);
        assert_string_equal(b->dtype, "Q8_0");
        assert_int_equal(b->n_bytes, 34);
        assert_int_equal(b->offset, a->offset + 32);
        assert_int_equal(h->end, b->offset + 34);
        assert_ok(mls_gguf_read_f32(f, a, 3, 3, x, &err));
        assert_close(x[0], 4, 0);
        assert_close(x[2], 6, 0);
        assert_ok(mls_gguf_read_f32(f, b, 0, 32, x, &err));
        assert_close(x[2], 3, 0);
        assert_ok(mls_gguf_read_f32(f, b, 1, 2, x, &err)); /* inside a block */
        assert_close(x[1], 3, 0);
        assert_refused(mls_gguf_read_f32(f, b, 31, 2, x, &err), MLS_E_INPUT,
                       "tensor \"b\": 2 elements from 31 were asked for, it has 32");
        assert_refused(mls_gguf_read_raw(f, a, 20, 5, x, &err), MLS_E_INPUT,
                       "tensor \"a\": 5 bytes from 20 were asked for, it has 24");
        mls_gguf_close(f);
    }
    assert_false(mls_gguf_is(test_source("datasets/demo/config.json")));
    assert_false(mls_gguf_is(test_source("datasets/demo")));
}

/* Whole files of at most two keys as raw bytes. */
#define KEY "\1\0\0\0\0\0\0\0k"
#define U32(c) c "\0\0\0"
#define U64(c) c "\0\0\0\0\0\0\0"
#define FF8 "\xff\xff\xff\xff\xff\xff\xff\xff"
#define BYTES(text) text, sizeof(text) - 1
#define HEAD(tensors, keys) "GGUF" U32("\3") U64(tensors) U64(keys)

/* One defect per file: all of it, and what the message must say. */
static const struct {
    const char *bytes;
    size_t len;
    const char *part;
} broken[] = {
    /* the start */
    {BYTES(""), "offset 0: the magic has 4 bytes, but the file ends at offset 0"},
    {BYTES("GGU"), "the magic has 4 bytes, but the file ends at offset 3"},
    {BYTES("GGML\3\0\0\0"), "offset 0: found 0x4c4d4747, expected the letters GGUF"},
    {BYTES("FUGG\3\0\0\0"), "expected the letters GGUF"},
    {BYTES("gguf\3\0\0\0"), "expected the letters GGUF"},
    {BYTES("GGUF"), "offset 4: the version has 4 bytes"},
    {BYTES("GGUF\3\0\0"), "offset 4: the version has 4 bytes"},
    {BYTES("GGUF" U32("\0")), "the version is 0, expected 2 or 3"},
    {BYTES("GGUF" U32("\1")), "the version is 1, expected 2 or 3: version 1 was"},
    {BYTES("GGUF" U32("\4")), "the version is 4, expected 2 or 3"},
    {BYTES("GGUF\0\0\0\3"), "expected 2 or 3: a big-endian file"},
    {BYTES("GGUF\xff\xff\xff\xff"), "the version is 4294967295"},
    {BYTES("GGUF" U32("\3")), "offset 8: the number of tensors has 8 bytes"},
    {BYTES("GGUF" U32("\3") "\0\0\0"), "offset 8: the number of tensors has 8 bytes"},
    {BYTES("GGUF" U32("\3") U64("\0")), "offset 16: the number of keys has 8 bytes"},
    {BYTES("GGUF" U32("\3") FF8 U64("\0")),
     "offset 8: 18446744073709551615 tensors, which a file of 24 bytes cannot list"},
    {BYTES("GGUF" U32("\3") U64("\0") FF8),
     "offset 16: 18446744073709551615 keys, which a file of 24 bytes cannot hold"},
    {BYTES(HEAD("\1", "\0")), "1 tensors, which a file of 24 bytes cannot list"},
    {BYTES(HEAD("\0", "\2")), "2 keys, which a file of 24 bytes cannot hold"},
    {BYTES(HEAD("\0", "\1")), "offset 24: the length of a key has 8 bytes"},
    /* keys */
    {BYTES(HEAD("\0", "\1") FF8 "kkkkkk"),
     "offset 32: a key has 18446744073709551615 bytes, but the file ends at"},
    {BYTES(HEAD("\0", "\1") U64("\7") "kkkkkk"),
     "offset 32: a key has 7 bytes, but the file ends at offset 38"},
    {BYTES(HEAD("\0", "\1") U64("\0") U32("\0") "\1"), "offset 24: a key is empty"},
    {BYTES(HEAD("\0", "\1") U64("\2") "k\0" U32("\0") "\1"), "a key has a NUL"},
    {BYTES(HEAD("\0", "\1") U64("\2") "k\xff" U32("\0") "\1"),
     "offset 33: a key is not UTF-8: byte 0xff"},
    {BYTES(HEAD("\0", "\1") U64("\2") "\xc0\xaf" U32("\0") "\1"), "not UTF-8"},
    {BYTES(HEAD("\0", "\1") U64("\3") "\xed\xa0\x80" U32("\0") "\1"), "not UTF-8"},
    {BYTES(HEAD("\0", "\1") KEY "\0\0"), "key \"k\": its type has 4 bytes"},
    {BYTES(HEAD("\0", "\1") KEY U32("\xd")), "key \"k\": its type is 13, expected 0"},
    {BYTES(HEAD("\0", "\1") KEY "\xff\xff\xff\xff"), "its type is 4294967295"},
    {BYTES(HEAD("\0", "\2") KEY U32("\0") "\1" KEY U32("\0") "\2"),
     "key \"k\" is given twice"},
    /* values */
    {BYTES(HEAD("\0", "\1") KEY U32("\4") "\1\0\0"),
     "key \"k\": 1 elements of u32, but the file ends at offset 40"},
    {BYTES(HEAD("\0", "\1") KEY U32("\xa") "\1\0\0\0\0\0\0"), "1 elements of u64"},
    {BYTES(HEAD("\0", "\1") KEY U32("\xc") "\1\0\0\0\0\0\0"), "1 elements of f64"},
    {BYTES(HEAD("\0", "\1") KEY U32("\6") "\1\0"), "1 elements of f32"},
    {BYTES(HEAD("\0", "\1") KEY U32("\2") "\1"), "1 elements of u16"},
    {BYTES(HEAD("\0", "\1") KEY U32("\7") "\2"), "a bool is 2, expected 0 or 1"},
    {BYTES(HEAD("\0", "\1") KEY U32("\7") "\xff"), "a bool is 255, expected 0 or 1"},
    {BYTES(HEAD("\0", "\1") KEY U32("\x8") "\1"), "1 elements of string"},
    {BYTES(HEAD("\0", "\1") KEY U32("\x8") U64("\2") "a"),
     "key \"k\": a string has 2 bytes, but the file ends at offset 46"},
    {BYTES(HEAD("\0", "\1") KEY U32("\x8") FF8 "a"),
     "a string has 18446744073709551615 bytes"},
    /* arrays */
    {BYTES(HEAD("\0", "\1") KEY U32("\x9")),
     "key \"k\": the type of its elements has 4 bytes"},
    {BYTES(HEAD("\0", "\1") KEY U32("\x9") U32("\xe") U64("\0")),
     "the type of its elements is 14"},
    {BYTES(HEAD("\0", "\1") KEY U32("\x9") U32("\0")),
     "the number of its elements has 8 bytes"},
    {BYTES(HEAD("\0", "\1") KEY U32("\x9") U32("\x9") U64("\0")),
     "key \"k\": an array of arrays, which is not read"},
    {BYTES(HEAD("\0", "\1") KEY U32("\x9") U32("\x9") U64("\1") U32("\0") U64("\0")),
     "an array of arrays"},
    {BYTES(HEAD("\0", "\1") KEY U32("\x9") U32("\0") FF8),
     "18446744073709551615 elements of u8"},
    {BYTES(HEAD("\0", "\1") KEY U32("\x9") U32("\4") "\1\0\0\0\0\0\0\x40"
                                                     "aaaa"),
     "4611686018427387905 elements of u32"}, /* times 4 is 4 */
    {BYTES(HEAD("\0", "\1") KEY U32("\x9") U32("\x8") "\0\0\0\0\0\0\0\x20" U64("\0")),
     "2305843009213693952 elements of string"}, /* times 8 is 0 */
    {BYTES(HEAD("\0", "\1") KEY U32("\x9") U32("\4") U64("\2") "aaaabbb"),
     "2 elements of u32"},
    {BYTES(HEAD("\0", "\1") KEY U32("\x9") U32("\x8") U64("\2") U64("\1") "a"),
     "2 elements of string"},
    {BYTES(HEAD("\0", "\1") KEY U32("\x9") U32("\x8") U64("\1") U64("\2") "a"),
     "a string has 2 bytes"},
    {BYTES(HEAD("\0", "\1") KEY U32("\x9") U32("\7") U64("\3") "\0\1\2"),
     "a bool is 2, expected 0 or 1"},
};

static void broken_files_are_refused_by_their_defect(void **state)
{
    (void)state;

    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        const mls_buf b = {.data = (char *)(uintptr_t)broken[i].bytes,
                           .len = broken[i].len};
        mls_err e = {0};
        const mls_status st = open_bytes(&b, &e);

        if (st != MLS_E_INPUT || !strstr(e.text, broken[i].part) ||
            !strstr(e.text, "model.gguf: "))
            fail_msg("case %zu: status %d, \"%s\", expected \"%s\"", i, (int)st, e.text,
                     broken[i].part);
    }
}

/* One tensor info after sound keys, or two, and `data` bytes behind the padding. */
typedef struct info {
    const char *name;
    uint32_t dims;
    uint64_t ne[5];
    uint32_t type;
    uint64_t offset;
} info;

static const struct {
    info info[2];
    uint64_t n, data;
    const char *part; /* NULL: sound */
} tensor_files[] = {
    /* names */
    {{{"", 1, {1}, 0, 0}}, 1, 4, "a tensor's name is empty"},
    {{{"\xff", 1, {1}, 0, 0}}, 1, 4, "a tensor's name is not UTF-8: byte 0xff"},
    {{{"0123456789012345678901234567890123456789012345678901234567890123",
       1,
       {1},
       0,
       0}},
     1,
     4,
     "its name has 64 bytes, expected at most 63"},
    {{{"a", 1, {8}, 0, 0}, {"a", 1, {8}, 0, 32}},
     2,
     64,
     "tensor \"a\" is given twice, with data at 0 and 32"},
    /* shapes */
    {{{"a", 5, {1, 1, 1, 1, 1}, 0, 0}}, 1, 4, "it has 5 dims, expected at most 4"},
    {{{"a", UINT32_MAX, {1}, 0, 0}}, 1, 4, "it has 4294967295 dims"},
    {{{"a", 1, {UINT64_MAX}, 0, 0}}, 1, 4, "dim 0 is -1, expected 0 or more"},
    {{{"a", 2, {1, (uint64_t)1 << 63}, 0, 0}}, 1, 4, "dim 1 is -9223372036854775808"},
    {{{"a", 2, {(uint64_t)1 << 32, (uint64_t)1 << 32}, 0, 0}},
     1,
     4,
     "its shape has 2^63 elements or more"}, /* 2^64 is 0 */
    {{{"a", 2, {(uint64_t)1 << 32, (uint64_t)1 << 31}, 0, 0}},
     1,
     4,
     "its shape has 2^63 elements or more"},
    {{{"a", 4, {65536, 65536, 65536, 65537}, 0, 0}}, 1, 4, "2^63 elements or more"},
    {{{"a", 1, {(uint64_t)1 << 62}, 0, 0}}, 1, 4, "its data has 2^63 bytes or more"},
    {{{"a", 1, {(uint64_t)1 << 61}, 0, 0}}, 1, 4, "its data has 2^63 bytes or more"},
    /* types */
    {{{"a", 1, {32}, 4, 0}}, 1, 99, "its type is 4, which is none of ggml's"},
    {{{"a", 1, {32}, 5, 0}}, 1, 99, "its type is 5, which is none"},
    {{{"a", 1, {32}, 31, 0}}, 1, 99, "its type is 31, which is none"},
    {{{"a", 1, {32}, 38, 0}}, 1, 99, "its type is 38, which is none"},
    {{{"a", 1, {32}, 43, 0}}, 1, 99, "its type is 43, which is none"},
    {{{"a", 1, {32}, UINT32_MAX, 0}}, 1, 99, "its type is 4294967295"},
    {{{"a", 1, {31}, 8, 0}},
     1,
     99,
     "its rows have 31 numbers, expected a multiple of 32 for Q8_0"},
    {{{"a", 2, {16, 2}, 2, 0}}, 1, 99, "its rows have 16 numbers"}, /* 32 in all */
    {{{"a", 1, {128}, 12, 0}}, 1, 999, "a multiple of 256 for Q4_K"},
    {{{"a", 0, {0}, 2, 0}}, 1, 99, "its rows have 1 numbers"},
    /* offsets */
    {{{"a", 1, {8}, 0, 4}}, 1, 99, "begins at 4, expected a multiple of the alignment"},
    {{{"a", 1, {8}, 0, 32}},
     1,
     99,
     "begins at 32, expected 0 behind the tensor before"},
    {{{"a", 1, {8}, 0, 0}, {"b", 1, {8}, 0, 0}},
     2,
     99,
     "tensor \"b\": its data begins at 0, expected 32 behind the tensor before: an "
     "overlap"},
    {{{"a", 1, {9}, 0, 0}, {"b", 1, {8}, 0, 32}}, 2, 99, "expected 64 behind the"},
    {{{"a", 1, {8}, 0, 0}, {"b", 1, {8}, 0, 64}}, 2, 99, "expected 32 behind the"},
    {{{"a", 1, {8}, 0, 32}, {"b", 1, {8}, 0, 0}}, 2, 99, "begins at 32, expected 0"},
    {{{"a", 1, {8}, 0, UINT64_MAX - 31}}, 1, 99, "18446744073709551584, expected 0"},
    {{{"a", 1, {((uint64_t)1 << 61) - 1}, 0, 0},
      {"b", 1, {((uint64_t)1 << 61) - 1}, 0, (uint64_t)1 << 63}},
     2,
     99,
     "tensor \"b\": its data ends at 2^64 or behind"},
    /* data */
    {{{"a", 1, {8}, 0, 0}}, 1, 31, "tensor \"a\" has 32 bytes of data from offset"},
    {{{"a", 1, {8}, 0, 0}}, 1, 0, "it is truncated"},
    {{{"a", 1, {(uint64_t)1 << 40}, 0, 0}}, 1, 99, "has 4398046511104 bytes of data"},
    {{{"a", 1, {8}, 0, 0}, {"b", 1, {8}, 0, 32}}, 2, 63, "tensor \"b\" has 32 bytes"},
    {{{"a", 1, {1}, 0, 0}}, 3, 99, "a tensor's name"}, /* fewer infos than counted */
    /* sound */
    {{{"a", 1, {8}, 0, 0}}, 1, 32, NULL},
    {{{"a", 0, {0}, 0, 0}}, 1, 4, NULL}, /* a scalar */
    {{{"a", 1, {0}, 0, 0}}, 1, 0, NULL}, /* no elements */
    {{{"a", 4, {32, 1, 2, 3}, 8, 0}}, 1, 6 * 34, NULL},
    {{{"a", 1, {9}, 0, 0}, {"b", 1, {8}, 0, 64}}, 2, 96, NULL},
    {{{"a", 1, {9}, 0, 0}, {"b", 1, {8}, 0, 64}}, 2, 128, NULL}, /* bytes that follow */
};

static mls_buf file_of_infos(const info *t, uint64_t n, uint64_t data)
{
    const size_t listed = n < 2 ? 1 : n == 2 ? 2 : 1;
    gguf_file g = {.n_tensors = n};
    mls_buf b;

    gguf_text(&g, "general.architecture", "llama");
    for (size_t i = 0; i < listed; i++) {
        put_string(&g.infos, t[i].name);
        put_u32(&g.infos, t[i].dims);
        for (size_t k = 0; k < t[i].dims && k < 5; k++)
            put_u64(&g.infos, t[i].ne[k]);
        put_u32(&g.infos, t[i].type);
        put_u64(&g.infos, t[i].offset);
    }
    for (uint64_t i = 0; i < data; i++)
        mls_buf_add(&g.data, "", 1);
    b = gguf_bytes(&g);
    gguf_free(&g);
    return b;
}

static void broken_tensors_are_refused_by_name(void **state)
{
    (void)state;

    for (size_t i = 0; i < sizeof tensor_files / sizeof tensor_files[0]; i++) {
        const char *part = tensor_files[i].part;
        mls_buf b = file_of_infos(tensor_files[i].info, tensor_files[i].n,
                                  tensor_files[i].data);
        mls_err e = {0};
        const mls_status st = open_bytes(&b, &e);

        if (part ? st != MLS_E_INPUT || !strstr(e.text, part) : st != MLS_OK)
            fail_msg("case %zu: status %d, \"%s\", expected \"%s\"", i, (int)st, e.text,
                     part ? part : "success");
        mls_buf_free(&b);
    }
}

/* general.alignment: what is aligned by it, and what it may be. */
static void alignment_is_a_power_of_two_of_the_right_type(void **state)
{
    (void)state;
    static const struct {
        uint32_t alignment;
        bool sound;
    } cases[] = {{8, true},   {16, true},  {64, true},        {4096, true},
                 {0, false},  {1, false},  {4, false},        {24, false},
                 {33, false}, {12, false}, {1U << 31, false}, {UINT32_MAX, false}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gguf_file g = {.alignment = cases[i].sound ? cases[i].alignment : 32};
        mls_err e = {0};
        mls_buf b;

        gguf_u32(&g, "general.alignment", cases[i].alignment);
        small(&g);
        b = gguf_bytes(&g);
        if ((open_bytes(&b, &e) == MLS_OK) != cases[i].sound ||
            (!cases[i].sound && !strstr(e.text, "expected a power of two from 8")))
            fail_msg("alignment %u: \"%s\"", (unsigned)cases[i].alignment, e.text);
        mls_buf_free(&b);
        gguf_free(&g);
    }
    for (mls_gguf_type type = MLS_GGUF_U8; type <= MLS_GGUF_I32; type++) {
        gguf_file g = {0};
        mls_buf b;

        if (type == MLS_GGUF_U32)
            continue;
        gguf_key(&g, "general.alignment", type);
        put_u32(&g.keys, 32);
        small(&g);
        b = gguf_bytes(&g);
        mls_err e = {0};

        assert_int_equal(open_bytes(&b, &e), MLS_E_INPUT);
        mls_buf_free(&b);
        gguf_free(&g);
    }
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    gguf_file g = {0};
    mls_buf whole;

    small(&g);
    whole = gguf_bytes(&g);
    gguf_free(&g);
    whole.len -= 30; /* padding after the last tensor's 34 bytes may be cut off */
    for (size_t len = 0; len <= whole.len; len++) {
        const mls_buf b = {.data = whole.data, .len = len};
        mls_err e = {0};
        const mls_status st = open_bytes(&b, &e);

        if (st != (len < whole.len ? MLS_E_INPUT : MLS_OK) || (st && !e.text[0]))
            fail_msg("%zu bytes: status %d \"%s\"", len, (int)st, e.text);
    }
    mls_buf_free(&whole);
}

/* A prefix asks for more, or is refused for what it shows; never anything else. */
static void a_header_is_parsed_from_any_prefix(void **state)
{
    (void)state;
    gguf_file g = {0};
    mls_buf whole;

    small(&g);
    whole = gguf_bytes(&g);
    gguf_free(&g);
    for (size_t len = 0; len <= whole.len; len++) {
        unsigned char *data = malloc(len ? len : 1);
        mls_gguf_header h;
        bool more;

        memcpy(data, whole.data, len);
        assert_ok(mls_gguf_header_parse(&h, data, len, whole.len, &more, "x", &err));
        if (!more)
            assert_int_equal(h.n_tensors, 2);
        else
            assert_null(h.tensor);
        mls_gguf_header_free(&h);
        free(data);
    }
    mls_buf_free(&whole);
}

static void mutated_files_are_read_or_refused(void **state)
{
    (void)state;
    mls_rng rng;
    gguf_file g = {0};
    mls_buf whole;
    size_t refused = 0;

    mls_rng_seed(&rng, 5, 0);
    small(&g);
    whole = gguf_bytes(&g);
    gguf_free(&g);
    for (size_t round = 0; round < 20000; round++) {
        unsigned char *data = malloc(whole.len);
        const size_t changes = 1 + mls_rng_u64(&rng) % 3;
        mls_gguf_header h;
        mls_err e = {0};
        bool more;

        memcpy(data, whole.data, whole.len);
        for (size_t i = 0; i < changes; i++)
            data[mls_rng_u64(&rng) % whole.len] =
                (unsigned char)(mls_rng_u64(&rng) % 2 ? mls_rng_u64(&rng)
                                                      : mls_rng_u64(&rng) % 16);
        const mls_status st =
            mls_gguf_header_parse(&h, data, whole.len, whole.len, &more, "x", &e);

        assert_false(more);
        refused += st != MLS_OK;
        assert_true(st ? st == MLS_E_INPUT && e.text[0] : h.end <= whole.len);
        for (size_t i = 0; i < h.n_tensors; i++)
            assert_true(h.tensor[i].offset + h.tensor[i].n_bytes <= whole.len ||
                        h.tensor[i].n_bytes == 0);
        mls_gguf_header_free(&h);
        free(data);
    }
    assert_true(refused > 5000 && refused < 20000);
    mls_buf_free(&whole);
}

/* Sorting finds duplicates; comparing each with each would take hours. */
static void two_hundred_thousand_keys_and_tensors_take_seconds(void **state)
{
    (void)state;
    enum { N = 200000 };
    const char *path = test_scratch("long.gguf");
    const clock_t begin = clock();
    gguf_file g = {0};
    mls_gguf *f;
    char name[32];

    for (size_t i = 0; i < N; i++) {
        snprintf(name, sizeof name, "some.key.%zu", i);
        gguf_u32(&g, name, (uint32_t)i);
        snprintf(name, sizeof name, "blk.%zu.attn_q.weight", i);
        gguf_tensor(&g, name, 0, 1, (uint64_t[]){0}, NULL, 0);
    }
    gguf_save(&g, path);
    gguf_free(&g);
    assert_ok(mls_gguf_open(&f, path, &err));
    assert_int_equal(mls_gguf_head(f)->n_values, N);
    assert_non_null(mls_gguf_header_tensor(mls_gguf_head(f), "blk.777.attn_q.weight"));
    uint64_t x = 0;

    assert_ok(mls_gguf_whole(f, "some.key.199999", &x, &err));
    assert_int_equal(x, 199999);
    mls_gguf_close(f);
    unlink(path);
    assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 20);
}

static void values_of_another_type_are_refused_by_key(void **state)
{
    (void)state;
    const char *path = test_scratch("values.gguf");
    const mls_gguf_value *v;
    gguf_file g = {0};
    mls_gguf *f;
    uint64_t n = 7;
    double x = 7;
    bool yes = false;
    char *text = NULL;

    gguf_f32(&g, "eps", 1e-5F);
    gguf_f32(&g, "nan", NAN);
    gguf_key(&g, "minus", MLS_GGUF_I32);
    put_u32(&g.keys, (uint64_t)-3);
    gguf_key(&g, "long", MLS_GGUF_U64);
    put_u64(&g.keys, UINT64_MAX);
    gguf_bool(&g, "yes", true);
    gguf_text(&g, "latin1", "caf\xe9");
    gguf_array(&g, "list", MLS_GGUF_U32, 2);
    put_u32(&g.keys, 5);
    put_u32(&g.keys, 6);
    gguf_save(&g, path);
    gguf_free(&g);
    assert_ok(mls_gguf_open(&f, path, &err));
    assert_ok(mls_gguf_real(f, "eps", &x, &err));
    assert_close(x, 1e-5, 0); /* the decimal that was meant, not the float's value */
    assert_ok(mls_gguf_whole(f, "long", &n, &err));
    assert_true(n == UINT64_MAX);
    assert_ok(mls_gguf_bool(f, "yes", &yes, &err));
    assert_true(yes);
    assert_ok(mls_gguf_whole_at(f, "list", 1, &n, &err));
    assert_int_equal(n, 6);
    assert_ok(mls_gguf_whole(f, "none", &n, &err));
    assert_int_equal(n, 6); /* left alone */
    assert_refused(mls_gguf_real(f, "nan", &x, &err), MLS_E_INPUT,
                   "key \"nan\" is nan, expected a finite number");
    assert_refused(mls_gguf_whole(f, "minus", &n, &err), MLS_E_INPUT,
                   "key \"minus\" is negative");
    assert_refused(mls_gguf_whole(f, "eps", &n, &err), MLS_E_INPUT,
                   "key \"eps\" is of type f32, expected a whole number");
    assert_refused(mls_gguf_whole(f, "list", &n, &err), MLS_E_INPUT,
                   "key \"list\" is of type array of u32, expected a whole number");
    assert_refused(mls_gguf_whole_at(f, "list", 2, &n, &err), MLS_E_INPUT,
                   "key \"list\" has 2 items, expected 3 or more");
    assert_refused(mls_gguf_whole_at(f, "eps", 0, &n, &err), MLS_E_INPUT,
                   "expected an array of whole numbers");
    assert_refused(mls_gguf_bool(f, "eps", &yes, &err), MLS_E_INPUT, "expected bool");
    assert_refused(mls_gguf_real(f, "yes", &x, &err), MLS_E_INPUT, "expected f32");
    assert_refused(mls_gguf_text(f, "yes", &text, &err), MLS_E_INPUT,
                   "expected string");
    assert_refused(mls_gguf_text(f, "latin1", &text, &err), MLS_E_INPUT,
                   "key \"latin1\" is not UTF-8");
    assert_refused(mls_gguf_array(f, "list", MLS_GGUF_STRING, &v, &err), MLS_E_INPUT,
                   "expected array of string");
    mls_gguf_close(f);
}

/* ---- parts ---- */

/* Part `no` of `count`, as its metadata says, under a name of part `named`. */
static void put_tensor(const char *stem, uint32_t named, uint32_t no, uint32_t count,
                       uint32_t total, const char *tensor)
{
    char path[1200];
    gguf_file g = {0};
    const float x = 1;

    snprintf(path, sizeof path, "%s-%05u-of-00003.gguf", stem, (unsigned)named);
    gguf_u32(&g, "split.no", no);
    gguf_u32(&g, "split.count", count);
    gguf_u32(&g, "split.tensors.count", total);
    gguf_tensor(&g, tensor, 0, 1, (uint64_t[]){1}, &x, sizeof x);
    gguf_save(&g, path);
    gguf_free(&g);
}

static void put_part(const char *stem, uint32_t named, uint32_t no, uint32_t count,
                     uint32_t total)
{
    char tensor[16];

    snprintf(tensor, sizeof tensor, "t%u", (unsigned)no);
    put_tensor(stem, named, no, count, total, tensor);
}

static void parts_are_opened_together(void **state)
{
    (void)state;
    char stem[1100], first[1200], second[1200];
    const mls_gguf *part;
    mls_gguf_parts p = {0};

    snprintf(stem, sizeof stem, "%s", test_scratch("parts"));
    snprintf(first, sizeof first, "%s-00001-of-00003.gguf", stem);
    snprintf(second, sizeof second, "%s-00002-of-00003.gguf", stem);
    put_part(stem, 1, 0, 3, 3);
    put_part(stem, 2, 1, 3, 3);
    assert_refused(mls_gguf_parts_open(&p, first, &err), MLS_E_INPUT,
                   "parts-00003-of-00003.gguf: No such file");
    mls_gguf_parts_close(&p);
    put_part(stem, 3, 2, 3, 3);
    assert_ok(mls_gguf_parts_open(&p, first, &err));
    assert_int_equal(p.n, 3);
    assert_non_null(mls_gguf_parts_find(&p, "t2", &part));
    assert_ptr_equal(part, p.part[2]);
    assert_null(mls_gguf_parts_find(&p, "t3", NULL));
    mls_gguf_parts_close(&p);
    assert_refused(mls_gguf_parts_open(&p, second, &err), MLS_E_INPUT,
                   "is part 2 of 3, expected the first,");
    put_part(stem, 2, 2, 3, 3);
    assert_refused(mls_gguf_parts_open(&p, first, &err), MLS_E_INPUT,
                   "says that it is part 3 of 3, expected part 2 of 3");
    mls_gguf_parts_close(&p);
    put_part(stem, 2, 1, 4, 3);
    assert_refused(mls_gguf_parts_open(&p, first, &err), MLS_E_INPUT,
                   "says that it is part 2 of 4, expected part 2 of 3");
    mls_gguf_parts_close(&p);
    put_part(stem, 2, 1, 3, 3);
    put_part(stem, 1, 0, 3, 4);
    assert_refused(mls_gguf_parts_open(&p, first, &err), MLS_E_INPUT,
                   "its 3 parts have 3 tensors, but split.tensors.count is 4");
    mls_gguf_parts_close(&p);
    put_tensor(stem, 3, 2, 3, 3, "t1");
    put_part(stem, 1, 0, 3, 3);
    assert_refused(mls_gguf_parts_open(&p, first, &err), MLS_E_INPUT,
                   "tensor \"t1\" is in two of its parts");
    mls_gguf_parts_close(&p);
    put_part(stem, 1, 0, 2, 3);
    assert_refused(mls_gguf_parts_open(&p, first, &err), MLS_E_INPUT,
                   "is part 1 of 2, expected a name that ends in -00001-of-00002.gguf");
    put_part(stem, 1, 3, 3, 3);
    assert_refused(mls_gguf_parts_open(&p, first, &err), MLS_E_INPUT,
                   "split.no is 3 of split.count 3");
    put_part(stem, 1, 0, 1000000, 3);
    assert_refused(mls_gguf_parts_open(&p, first, &err), MLS_E_INPUT,
                   "expected a part of at most 4096");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_as_it_was_written),
        cmocka_unit_test(broken_files_are_refused_by_their_defect),
        cmocka_unit_test(broken_tensors_are_refused_by_name),
        cmocka_unit_test(alignment_is_a_power_of_two_of_the_right_type),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(a_header_is_parsed_from_any_prefix),
        cmocka_unit_test(mutated_files_are_read_or_refused),
        cmocka_unit_test(two_hundred_thousand_keys_and_tensors_take_seconds),
        cmocka_unit_test(values_of_another_type_are_refused_by_key),
        cmocka_unit_test(parts_are_opened_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
