/* Headers: sound, broken in every way, mutated at random, and very long. */
#include "tests/support/safetensors_fixture.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/numbers/rng.h"
#include "common/system/files.h"
#include "datasets/files/safetensors.h"
#include "datasets/files/safetensors_header.h"

static mls_status open_text(const char *header, size_t n, mls_err *err)
{
    mls_safetensors *f;
    const mls_status st =
        mls_safetensors_open(&f, file_of(header, strlen(header), n), err);

    mls_safetensors_close(f);
    return st;
}

static void sound_headers_are_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t n;
    } cases[] = {
        {"{}", 0},
        {"  {\n}\t\r ", 0},
        {"{\"__metadata__\":{}}", 0},
        {"{\"__metadata__\":null}", 0},
        {"{\"__metadata__\": null , \"a\":" T("U8", "[1]", 0, 1) "}", 1},
        {"{\"__metadata__\":{\"a\":\"b\",\"c\":\"\"}}", 0},
        {"{\"a\":" T("F32", "[2]", 0, 8) "}", 8},
        {"{\"a\":" T("F32", "[]", 0, 4) "}", 4},                /* a scalar */
        {"{\"a\":" T("F32", "[0]", 0, 0) "}", 0},               /* no elements */
        {"{\"a\":" T("F32", "[3,0,9]", 0, 0) "}", 0},           /* likewise */
        {"{\"a\":" T("F32", "[1,1,1,1,1,1,1,1]", 0, 4) "}", 4}, /* eight dims */
        {"{\"b\":" T("U8", "[2]", 1, 3) ",\"a\":" T("U8", "[1]", 0, 1) "}", 3},
        {"{\"a\":" T("U8", "[1]", 0, 1) ",\"b\":" T("U8", "[0]", 1, 1) "}", 1},
        {"{\"a\":" T("F4", "[2]", 0, 1) "}", 1},
        {"{\"a\":" T("F6_E2M3", "[4]", 0, 3) "}", 3},
        {"{\"a\":" T("C64", "[1]", 0, 8) "}", 8},
        {"{\"a\":" T("F8_E8M0", "[1]", 0, 1) "}", 1},
        {"{\"a\":{\"data_offsets\":[0,1],\"shape\":[1],\"dtype\":\"U8\"}}", 1},
        {"{\"\":" T("U8", "[1]", 0, 1) "}", 1}, /* the empty name */
        {"{\"\\u00e9\\ud83d\\ude00\\n\":" T("U8", "[1]", 0, 1) "}", 1},
        {"{ \"a\" : { \"dtype\" : \"U8\" , \"shape\" : [ 1 ] , \"data_offsets\" : "
         "[ 0 , 1 ] } }",
         1},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mls_err e = {0};

        if (open_text(cases[i].header, cases[i].n, &e))
            fail_msg("%s: %s", cases[i].header, e.text);
    }
}

/* One defect per file; the message names file and defect. */
static void broken_headers_are_refused_by_their_defect(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t n;
        const char *part;
    } cases[] = {
        /* not JSON */
        {"", 0, "offset 8: the text ends, expected '{'"},
        {"   ", 0, "offset 11: the text ends, expected '{'"},
        {"[]", 0, "offset 8: found '[', expected '{'"},
        {"{", 0, "the text ends, expected a string"},
        {"{}x", 0, "offset 10: found 'x', expected nothing after"},
        {"{}{}", 0, "offset 10: found '{', expected nothing after"},
        {"{\"a\"}", 0, "found '}', expected ':'"},
        {"{\"a\":}", 0, "found '}', expected '{'"},
        {"{a:1}", 0, "found 'a', expected a string"},
        {"{'a':1}", 0, "found ''', expected a string"},
        {"{\"a\":" T("U8", "[1]", 0, 1) ",}", 1, "found '}', expected a string"},
        {"{\"a\":" T("U8", "[1]", 0, 1) " \"b\"", 1, "found '\"', expected '}'"},
        {"{\"a", 0, "the text ends, expected '\"'"},
        {"{\"a\\", 0, "expected an escape of JSON"},
        {"{\"\\x41\":1}", 0, "found 'x', expected an escape of JSON"},
        {"{\"\\u12g4\":1}", 0, "found 'g', expected four hex digits"},
        {"{\"\\ud800\":1}", 0, "\\ud800 is half of a surrogate pair"},
        {"{\"\\udc00\":1}", 0, "\\udc00 is half of a surrogate pair"},
        {"{\"\\ud800\\u0041\":1}", 0, "\\ud800\\u0041 is no surrogate pair"},
        {"{\"\\u0000\":1}", 0, "\\u0000 in a string"},
        {"{\"a\nb\":1}", 0, "found byte 0x0a, expected a character of a string"},
        {"{\"\xff\":1}", 0, "byte 0xff is not UTF-8"},
        {"{\"\xc0\xaf\":1}", 0, "byte 0xc0 is not UTF-8"},     /* overlong */
        {"{\"\xed\xa0\x80\":1}", 0, "byte 0xed is not UTF-8"}, /* a surrogate */
        {"{\"\xf4\x90\x80\x80\":1}", 0, "byte 0xf4 is not UTF-8"},
        {"{\"\xe2\x82\":1}", 0, "byte 0xe2 is not UTF-8"},
        {"{//\n}", 0, "found '/', expected a string"},
        {"\xef\xbb\xbf{}", 0, "found byte 0xef, expected '{'"},
        /* metadata */
        {"{\"__metadata__\":nul}", 0, "found 'n', expected '{'"},
        {"{\"__metadata__\":nullx}", 0, "found 'x', expected '}'"},
        {"{\"__metadata__\":null,\"__metadata__\":{}}", 0, "is given twice"},
        {"{\"__metadata__\":1}", 0, "found '1', expected '{'"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "found '1', expected a string"},
        {"{\"__metadata__\":{\"a\":{}}}", 0, "found '{', expected a string"},
        {"{\"__metadata__\":{\"a\":\"b\",\"a\":\"b\"}}", 0, "\"a\" is given twice"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ is given twice"},
        /* the keys of a tensor */
        {"{\"a\":{}}", 0, "tensor \"a\": dtype is missing"},
        {"{\"a\":null}", 0, "found 'n', expected '{'"},
        {"{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4, "dtype is missing"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "shape is missing"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 4, "data_offsets is missing"},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[]}}", 4,
         "tensor \"a\": dtype is given twice"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"x\":1}}", 4,
         "tensor \"a\": unknown key \"x\""},
        /* dtypes */
        {"{\"a\":" T("F128", "[1]", 0, 16) "}", 16, "unknown dtype \"F128\""},
        {"{\"a\":" T("f32", "[1]", 0, 4) "}", 4, "unknown dtype \"f32\""},
        {"{\"a\":" T("", "[1]", 0, 4) "}", 4, "unknown dtype \"\""},
        {"{\"a\":{\"dtype\":32,\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
         "found '3', expected a string"},
        /* shapes */
        {"{\"a\":" T("F32", "1", 0, 4) "}", 4, "found '1', expected '['"},
        {"{\"a\":" T("F32", "[-1]", 0, 4) "}", 4, "found '-', expected a whole number"},
        {"{\"a\":" T("F32", "[1.0]", 0, 4) "}", 4, "found '.', expected a whole"},
        {"{\"a\":" T("F32", "[1e0]", 0, 4) "}", 4, "found 'e', expected a whole"},
        {"{\"a\":" T("F32", "[01]", 0, 4) "}", 4, "a number begins with 0"},
        {"{\"a\":" T("F32", "[\"1\"]", 0, 4) "}", 4, "found '\"', expected a whole"},
        {"{\"a\":" T("F32", "[1,]", 0, 4) "}", 4, "found ']', expected a whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1}}", 4, "found '}', expected ']'"},
        {"{\"a\":" T("F32", "[18446744073709551616]", 0, 4) "}", 4,
         "a number is larger than 2^64 - 1"},
        {"{\"a\":" T("F32", "[4294967296,4294967296]", 0, 4) "}", 4,
         "2^64 elements or more"},
        {"{\"a\":" T("F32", "[4611686018427387904]", 0, 4) "}", 4, "2^64 bits or more"},
        {"{\"a\":" T("F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4,
         "shape has more than 8 numbers"},
        {"{\"a\":" T("F4", "[3]", 0, 1) "}", 1, "3 elements of F4 are no whole bytes"},
        {"{\"a\":" T("F6_E3M2", "[1]", 0, 1) "}", 1, "no whole bytes"},
        /* ranges */
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1,
         "data_offsets has 1 numbers, expected 2"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[]}}", 1,
         "data_offsets has 0 numbers, expected 2"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1,
         "data_offsets has more than 2 numbers"},
        {"{\"a\":" T("U8", "[1]", 1, 0) "}", 1, "end at 0, before their begin 1"},
        {"{\"a\":" T("F32", "[2]", 0, 4) "}", 4, "have 4 bytes, expected 8 for"},
        {"{\"a\":" T("F32", "[1]", 0, 8) "}", 8, "have 8 bytes, expected 4 for"},
        {"{\"a\":" T("BF16", "[2,3]", 0, 24) "}", 24, "have 24 bytes, expected 12"},
        {"{\"a\":" T("U8", "[18446744073709551615]", 0, 1) "}", 1, "2^64 bits"},
        {"{\"a\":" T("U8", "[1]", -1, 0) "}", 1, "found '-', expected a whole number"},
        /* layout */
        {"{\"a\":" T("U8", "[1]", 1, 2) "}", 2, "expected 0: a gap"},
        {"{\"a\":" T("U8", "[2]", 0, 2) ",\"b\":" T("U8", "[2]", 3, 5) "}", 5,
         "tensor \"b\" begins at data offset 3, expected 2: a gap"},
        {"{\"a\":" T("U8", "[2]", 0, 2) ",\"b\":" T("U8", "[2]", 1, 3) "}", 3,
         "tensor \"b\" begins at data offset 1 and overlaps tensor \"a\", which ends "
         "at "
         "2"},
        {"{\"a\":" T("U8", "[2]", 0, 2) ",\"b\":" T("U8", "[2]", 0, 2) "}", 2,
         "begins at data offset 0 and overlaps"},
        {"{\"a\":" T("U8", "[2]", 0, 2) "}", 1,
         "has 1 bytes, expected 2 (tensor \"a\" ends there): the file is truncated"},
        {"{\"a\":" T("U8", "[2]", 0, 2) "}", 3,
         "has 3 bytes, expected 2: bytes that belong to no tensor follow"},
        {"{}", 1, "has 1 bytes, expected 0: bytes that belong to no tensor"},
        {"{\"a\":" T("U8", "[9223372036854775808]", 0, 9223372036854775808) "}", 0,
         "2^64 bits or more"},
        {"{\"a\":" T("U8", "[1152921504606846976]", 0, 1152921504606846976) "}", 0,
         "expected 1152921504606846976"},
        /* names */
        {"{\"a\":" T("U8", "[1]", 0, 1) ",\"a\":" T("U8", "[1]", 1, 2) "}", 2,
         "tensor \"a\" is given twice, at data offsets 0 and 1"},
        {"{\"a\":" T("U8", "[1]", 0, 1) ",\"\\u0061\":" T("U8", "[1]", 1, 2) "}", 2,
         "tensor \"a\" is given twice"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mls_err e = {0};

        if (open_text(cases[i].header, cases[i].n, &e) != MLS_E_INPUT ||
            !strstr(e.text, cases[i].part) || !strstr(e.text, "model.safetensors: "))
            fail_msg("%s: \"%s\", expected \"%s\"", cases[i].header, e.text,
                     cases[i].part);
    }
}

static void lengths_that_do_not_fit_the_file_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *part;
    } cases[] = {
        {"", 0, "has 0 bytes, expected at least 8"},
        {"\2\0\0\0\0\0\0", 7, "has 7 bytes, expected at least 8"},
        {"\2\0\0\0\0\0\0\0", 8, "the header ends at offset 10, but the file at 8"},
        {"\2\0\0\0\0\0\0\0{", 9, "the header ends at offset 10, but the file at 9"},
        {"\377\377\377\377\377\377\377\377{}", 10, "is 18446744073709551615, expected"},
        {"\1\341\365\5\0\0\0\0{}", 10, "is 100000001, expected at most 100000000"},
        {"\0\0\0\0\0\0\0\0", 8, "offset 8: the text ends, expected '{'"},
        {"PK\3\4\0\0\0\0", 8, "the header ends at offset"}, /* a zip */
        {"version https://git-lfs.github.com/spec/v1\n", 43, "is a git-lfs pointer"},
    };
    const char *path = test_scratch("lengths.safetensors");
    mls_safetensors *f;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_file(path, cases[i].bytes, cases[i].n);
        assert_refused(mls_safetensors_open(&f, path, &err), MLS_E_INPUT,
                       cases[i].part);
    }
    assert_refused(mls_safetensors_open(&f, test_scratch("none"), &err), MLS_E_INPUT,
                   "No such file");
    assert_refused(mls_safetensors_open(&f, test_source("tests"), &err), MLS_E_INPUT,
                   "is not a regular file");
    assert_int_equal(mkfifo(test_scratch("pipe"), 0600), 0);
    assert_refused(mls_safetensors_open(&f, test_scratch("pipe"), &err), MLS_E_INPUT,
                   "is not a regular file");
}

/* Every truncation of a sound file is refused, at whatever byte it stops. */
static void every_truncation_is_refused(void **state)
{
    (void)state;
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"a\":" T("F32", "[2,2]", 0, 16) ","
                                          "\"b\":" T("BF16", "[4]", 16, 24) "}  ";
    const char *path = file_of(header, sizeof header - 1, 24);
    const char *cut = test_scratch("cut.safetensors");
    mls_safetensors *f;
    char *all;
    size_t len;

    assert_ok(mls_safetensors_open(&f, path, &err));
    mls_safetensors_close(f);
    assert_ok(mls_file_read(path, 1 << 20, &all, &len, &err));
    for (size_t n = 0; n < len; n++) {
        put_file(cut, all, n);
        assert_refused(mls_safetensors_open(&f, cut, &err), MLS_E_INPUT, "cut");
    }
    free(all);
}

/*
 * No mutation crashes, hangs or reads outside (the header lies in memory of just its
 * length), and what is accepted keeps the rules.
 */
static void random_mutations_never_crash(void **state)
{
    (void)state;
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"model.a\":" T("F32", "[2,2]", 0,
                         16) ","
                             "\"b\\u00e9\":" T("BF16", "[4]", 16,
                                               24) ","
                                                   "\"c\":" T("F16", "[]", 24, 26) "}";
    static const char *const pieces[] = {
        "\"",   "{",    "}",     "[",   "]",  ",", ":",   "0",     "-1",   "\\u",
        "\xff", "null", "\"a\"", "1e9", "\\", " ", "F64", "dtype", "shape"};
    size_t accepted = 0;
    mls_rng rng;

    mls_rng_seed(&rng, 20240607, 0);
    for (int round = 0; round < 100000; round++) {
        char text[512];
        size_t len = sizeof header - 1;
        const size_t edits = 1 + mls_rng_below(&rng, 3);
        mls_tensor_table table;
        mls_err e = {0};
        char *exact;

        memcpy(text, header, len);
        for (size_t k = 0; k < edits; k++) {
            const char *piece =
                pieces[mls_rng_below(&rng, sizeof pieces / sizeof pieces[0])];
            const size_t m = strlen(piece), at = mls_rng_below(&rng, len);

            switch (mls_rng_below(&rng, 4)) {
            case 0: /* one bit */
                text[at] = (char)(text[at] ^ 1 << mls_rng_below(&rng, 7));
                break;
            case 1: /* insert */
                memmove(text + at + m, text + at, len - at);
                memcpy(text + at, piece, m);
                len += m;
                break;
            case 2: /* delete */
                memmove(text + at, text + at + 1, len - at - 1);
                len--;
                break;
            default: /* overwrite */
                memcpy(text + at, piece, m < len - at ? m : len - at);
            }
        }
        exact = malloc(len);
        memcpy(exact, text, len);
        if (mls_tensor_table_parse(&table, exact, len, 26, "mutant", &e)) {
            assert_true(strstr(e.text, "mutant: ") == e.text && !table.tensor);
            continue;
        }
        accepted++;
        for (size_t i = 0; i < table.n; i++) {
            const mls_tensor_info *t = &table.tensor[i];

            assert_ptr_equal(mls_tensor_table_find(&table, t->name), t);
            assert_true(t->offset <= 26 && t->n_bytes <= 26 - t->offset);
            assert_int_equal(t->n_bytes, t->n_elements * mls_dtype_bits(t->dtype) / 8);
        }
        mls_tensor_table_free(&table);
    }
    assert_in_range(accepted, 1000, 50000); /* names and metadata may change */
}

/*
 * tests/reference/safetensors.py judged these by Python's json and the format's rules.
 */
static void the_verdicts_are_those_of_the_formats_rules(void **state)
{
    (void)state;
    const char *path = test_source("tests/reference/safetensors.txt");
    char *all, *line, *next;
    size_t len, n = 0, accepted = 0;

    assert_ok(mls_file_read(path, 1 << 24, &all, &len, &err));
    for (line = all; *line; line = next + 1, n++) {
        const bool want = strncmp(line, "yes ", 4) == 0;
        char *hex = strchr(line, ' ') + 1, *header;
        mls_tensor_table table;
        mls_err e = {0};
        size_t bytes;

        next = strchr(line, '\n');
        assert_non_null(next);
        *next = '\0';
        bytes = strlen(hex) / 2;
        header = malloc(bytes);
        for (size_t i = 0; i < bytes; i++) {
            unsigned byte;

            assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
            header[i] = (char)byte;
        }
        if (!mls_tensor_table_parse(&table, header, bytes, 26, "mutant", &e) != want)
            fail_msg("%s: %s", line, want ? e.text : "accepted");
        accepted += want;
        mls_tensor_table_free(&table);
    }
    free(all);
    assert_int_equal(n, 500);
    assert_in_range(accepted, 100, 400);
}

/* Work grows with the header, not with the square of its tensors. */
static void a_header_of_a_million_tensors_opens_in_two_seconds(void **state)
{
    (void)state;
    enum { N = 1000000 };
    const char *path = test_scratch("million.safetensors");
    char *all = malloc((size_t)N * 90 + 64), *p = all + 8;
    struct timespec a, b;
    mls_safetensors *f;
    double seconds;

    *p++ = '{';
    for (size_t i = 0; i < N; i++) /* names in an order that is not theirs */
        p += sprintf(p,
                     "%s\"t%zu\":"
                     "{\"dtype\":\"U8\",\"shape\":[0],"
                     "\"data_offsets\":[0,0]}",
                     i ? "," : "", i * 7919 % N);
    *p++ = '}';
    for (size_t i = 0; i < 8; i++)
        all[i] = (char)((uint64_t)(p - all - 8) >> 8 * i);
    put_file(path, all, (size_t)(p - all));
    free(all);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    assert_ok(mls_safetensors_open(&f, path, &err));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    seconds = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
    assert_int_equal(mls_safetensors_count(f), N);
    assert_non_null(mls_safetensors_find(f, "t999999"));
    assert_null(mls_safetensors_find(f, "t1000000"));
    mls_safetensors_close(f);
    unlink(path);
    print_message("%d tensors: %.2f s\n", (int)N, seconds);
#ifndef __SANITIZE_ADDRESS__
    assert_true(seconds < 2);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_headers_are_accepted),
        cmocka_unit_test(broken_headers_are_refused_by_their_defect),
        cmocka_unit_test(lengths_that_do_not_fit_the_file_are_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(random_mutations_never_crash),
        cmocka_unit_test(the_verdicts_are_those_of_the_formats_rules),
        cmocka_unit_test(a_header_of_a_million_tensors_opens_in_two_seconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
