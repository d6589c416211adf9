#include "tests/support/expect.h"

#include <stdbool.h>

#include <unistd.h>
#include <zip.h>

#include "common/system/files.h"
#include "datasets/files/pickle.h"
#include "datasets/files/rankfile.h"
#include "datasets/files/torch_tensor.h"

/* The files of tests/reference/rankfiles.py: 3 layers, 2 heads, 8 chunks. */
static void assert_holds_the_order(const char *name, mls_rankfile_kind kind)
{
    mls_rankfile f;
    char path[64];

    snprintf(path, sizeof path, "tests/rankfiles/%s", name);
    assert_ok(mls_rankfile_read(&f, test_source(path), &err));
    assert_int_equal(f.kind, kind);
    assert_int_equal(f.L, 3);
    assert_int_equal(f.heads, 2);
    assert_int_equal(f.C, 8);
    for (size_t l = 0; l < 3; l++)
        for (size_t h = 0; h < 2; h++)
            for (size_t c = 0; c < 8; c++)
                assert_int_equal(f.order[(l * 2 + h) * 8 + c], (5 * c + 3 * l + h) % 8);
    if (kind == MLS_RANKFILE_SCORES)
        assert_close(f.score[(2 * 2 + 1) * 8 + f.order[(2 * 2 + 1) * 8]], 4.0, 0.0);
    else
        assert_null(f.score);
    mls_rankfile_free(&f);
}

static void files_of_pytorch_give_the_order_they_were_made_from(void **state)
{
    (void)state;
    assert_holds_the_order("ranks_u8.pth", MLS_RANKFILE_RANKS);
    assert_holds_the_order("ranks_i64.pth", MLS_RANKFILE_RANKS);
    assert_holds_the_order("ranks_strided.pth", MLS_RANKFILE_RANKS);
    assert_holds_the_order("scores.pth", MLS_RANKFILE_SCORES);
    assert_holds_the_order("both.pth", MLS_RANKFILE_SCORES);
    assert_holds_the_order("orders.pkl", MLS_RANKFILE_ORDERS);
    assert_holds_the_order("lists.pkl", MLS_RANKFILE_ORDERS);
}

/* Mean share of the first r chunks of every row that `keeps` says of. */
static double overlap(const mls_rankfile *f, size_t r,
                      bool (*keeps)(size_t, size_t, size_t))
{
    size_t n = 0;

    for (size_t i = 0; i < f->L * f->heads; i++)
        for (size_t k = 0; k < r; k++)
            n += keeps(f->order[i * f->C + k], r, f->C);
    return (double)n / (double)(f->L * f->heads * r);
}

static bool keeps_high(size_t c, size_t r, size_t C)
{
    (void)C;
    return c < r;
}

static bool keeps_low(size_t c, size_t r, size_t C)
{
    return c >= C - r;
}

static bool keeps_uniform(size_t c, size_t r, size_t C)
{
    return c % (C / r) == 0;
}

/* Shapes, chunks of layer 0 head 0 and of the last head: MHA2MLA at 7a56785, utils/. */
static const struct {
    const char *name;
    size_t L, heads, C;
    uint16_t first[8], last[8]; /* top d/16, ascending */
} shipped[] = {
    {"smollm1_135M", 30, 3, 32, {17, 19, 22, 23}, {18, 24, 29, 30}},
    {"smollm1_360M", 32, 5, 32, {23, 24, 27, 30}, {17, 23, 29, 30}},
    {"llama2_7B",
     32,
     32,
     64,
     {5, 14, 41, 43, 45, 47, 48, 49},
     {15, 19, 20, 24, 30, 39, 42, 52}},
    {"qwen1.5_0.5B", 24, 16, 32, {25, 26, 29, 30}, {19, 26, 29, 30}},
};

static bool holds(const uint16_t *order, size_t r, size_t c)
{
    for (size_t k = 0; k < r; k++)
        if (order[k] == c)
            return true;
    return false;
}

static void published_ranks_overlap_the_fixed_sets_as_measured(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shipped / sizeof shipped[0]; i++) {
        char name[64];
        mls_rankfile f;

        snprintf(name, sizeof name, "data/ranks/%s-2_norm_rank.pth", shipped[i].name);
        if (!test_shared(name)) {
            print_message("SKIPPED: ../shared/%s is not here\n", name);
            skip();
        }
        assert_ok(mls_rankfile_read(&f, test_shared(name), &err));
        assert_int_equal(f.kind, MLS_RANKFILE_RANKS);
        assert_int_equal(f.L, shipped[i].L);
        assert_int_equal(f.heads, shipped[i].heads);
        assert_int_equal(f.C, shipped[i].C);

        const size_t r = f.C / 8; /* d/16 */

        for (size_t k = 0; k < r; k++) {
            assert_true(holds(f.order, r, shipped[i].first[k]));
            assert_true(
                holds(f.order + (f.L * f.heads - 1) * f.C, r, shipped[i].last[k]));
        }
        const double high = overlap(&f, r, keeps_high), low = overlap(&f, r, keeps_low);
        const double uniform = overlap(&f, r, keeps_uniform);

        print_message("%-14s high %5.2f %%  low %5.2f %%  uniform %5.2f %%\n",
                      shipped[i].name, 100 * high, 100 * low, 100 * uniform);
        /* 0.4-2.5, 24-39 and 8-12 %, as printed */
        assert_true(high >= 0.004 && high <= 0.0255);
        assert_true(low >= 0.24 && low < 0.395);
        assert_true(uniform >= 0.08 && uniform < 0.125);
        mls_rankfile_free(&f);
    }
}

static mls_status read_bytes(const char *name, const char *data, size_t len, mls_err *e)
{
    const char *path = test_scratch(name);
    FILE *file = fopen(path, "wb");
    mls_rankfile f;

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    const mls_status st = mls_rankfile_read(&f, path, e);

    mls_rankfile_free(&f);
    unlink(path);
    return st;
}

/* A pickle is refused with this sentence. */
static void assert_pickle_refused(const char *data, size_t len, const char *part)
{
    assert_refused(read_bytes("refused.pkl", data, len, &err), MLS_E_INPUT, part);
}

#define REFUSED(bytes, part) assert_pickle_refused(bytes, sizeof bytes - 1, part)

static void what_could_run_something_is_refused_by_name(void **state)
{
    (void)state;
    REFUSED("\x80\x02"
            "cos\nsystem\nX\x02\0\0\0id\x85R.",
            "global os.system");
    REFUSED("\x80\x04\x8c\x05posix\x8c\x06system\x93.", "global posix.system");
    REFUSED("\x80\x02(ios\nsystem\n.", "opcode INST");
    REFUSED("\x80\x02(o.", "opcode OBJ");
    REFUSED("\x80\x02N}b.", "opcode BUILD");
    REFUSED("\x80\x02)\x81.", "opcode NEWOBJ");
    REFUSED("\x80\x02\x82\x01.", "opcode EXT1");
    REFUSED("\x80\x02\xff.", "0xff is not an opcode");
}

static void broken_pickles_are_refused(void **state)
{
    (void)state;
    REFUSED("", "the file ends");
    REFUSED("\x80", "the file ends");
    REFUSED("\x80\x01N.", "protocol");
    REFUSED("\x80\x02.", "STOP");
    REFUSED("\x80\x02NN.", "STOP");
    REFUSED("\x80\x02(N.", "STOP");
    REFUSED("\x80\x02R.", "stack is empty");
    REFUSED("\x80\x02N(R.", "stack is empty");
    REFUSED("\x80\x02t.", "no mark");
    REFUSED("\x80\x02N\x86.", "too few");
    REFUSED("\x80\x02N(Ne.", "not a list");
    REFUSED("\x80\x02}(Nu.", "without a value");
    REFUSED("\x80\x02X\xff\xff\xff\x7f.", "longer than the rest");
    REFUSED("\x80\x02h\x05.", "never given");
    REFUSED("\x80\x02Nr\xff\xff\xff\xff.", "beyond the length");
    REFUSED("\x80\x02NNR.", "a call of");
    REFUSED("\x80\x02N.", "neither a tensor nor a dict");
    REFUSED("\x80\x02}X\x04\0\0\0rank}s.", "0 layers");
    REFUSED("\x80\x02}X\x04\0\0\0rank}K\x01Nss.", "not the layers");
    REFUSED("\x80\x02}X\x04\0\0\0rank}K\x00Nss.", "not a tensor");
    REFUSED("\x80\x02"
            "ctorch\ntensor\n](K\x01](K\x02"
            "ee\x85R.",
            "rows of equal length");
    REFUSED("\x80\x02"
            "ctorch\ntensor\n](K\x01K\x02"
            "e\x85R.",
            "1 dimensions");
    /* A list that holds itself: as deep as one likes. */
    REFUSED("\x80\x02"
            "ctorch\ntensor\n]q\x00h\x00"
            "a\x85R.",
            "rows of equal length");
}

static void a_list_that_repeats_itself_takes_no_memory(void **state)
{
    /* x = [1] * 200, y = [x] * 200: 40,000 numbers from 800 bytes. */
    char data[4096] = "\x80\x02"
                      "ctorch\ntensor\n](";
    size_t n = 18;

    (void)state;
    memcpy(data + n, "]q\x00(", 4);
    n += 4;
    for (size_t i = 0; i < 200; i++, n += 2)
        memcpy(data + n, "K\x01", 2);
    data[n++] = 'e';
    for (size_t i = 1; i < 200; i++, n += 2)
        memcpy(data + n, "h\x00", 2);
    memcpy(data + n, "e\x85R.", 4);
    assert_pickle_refused(data, n + 4, "too large");
}

/* Values cost more memory than the byte that asks for each. */
static void many_empty_values_are_refused(void **state)
{
    enum { N = 1 << 22 };
    char *data = malloc(N + 4);

    (void)state;
    assert_non_null(data);
    memcpy(data, "\x80\x02(", 3);
    memset(data + 3, ')', N);
    data[N + 3] = '.';
    assert_pickle_refused(data, N + 4, "more values than a file of numbers needs");
    memset(data + 3, '\x85', N); /* a tuple of a tuple of a tuple ... */
    data[2] = ')';
    assert_pickle_refused(data, N + 4, "more values than a file of numbers needs");
    free(data);
}

/* A zip of torch.save's members, stored or deflated. */
static void write_zip(const char *path, const char *pickle, size_t n, const char *data,
                      size_t n_data, bool deflated, const char *byteorder)
{
    zip_t *z = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    const struct {
        const char *name, *data;
        size_t n;
    } members[] = {{"archive/data.pkl", pickle, n},
                   {"archive/byteorder", byteorder, strlen(byteorder)},
                   {"archive/data/0", data, n_data}};

    assert_non_null(z);
    for (size_t i = 0; i < 3; i++) {
        zip_source_t *s = zip_source_buffer(z, members[i].data, members[i].n, 0);
        const zip_int64_t at = zip_file_add(z, members[i].name, s, 0);

        assert_true(at >= 0);
        zip_set_file_compression(z, (zip_uint64_t)at,
                                 deflated ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0);
    }
    assert_int_equal(zip_close(z), 0);
}

/* uint8 [1, 1, 4]: the smallest rank file. */
static size_t tiny_pickle(char *out, int numel, int offset, int last, int stride)
{
    return (size_t)sprintf(
        out,
        "%c%cctorch._utils\n_rebuild_tensor_v2\n((X%c%c%c%cstorage"
        "ctorch\nByteStorage\nX%c%c%c%c0X%c%c%c%ccpuK%ctQ"
        "K%cK\1K\1K%c%cK\4K\4K%c%c%cccollections\nOrderedDict\n)RtR.",
        0x80, 2, 7, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, numel, offset, last, 0x87, stride,
        0x87, 0x89);
}

static void archives_are_checked_before_they_are_believed(void **state)
{
    const char *path = test_scratch("tiny.pth");
    const char ranks[] = {1, 0, 1, 0}, halves[] = {1, 0, 0, 1}, twice[] = {1, 1, 1, 1};
    char pickle[512];
    size_t n = tiny_pickle(pickle, 4, 0, 4, 1);
    mls_rankfile f;

    (void)state;
    write_zip(path, pickle, n, ranks, 4, false, "little");
    assert_ok(mls_rankfile_read(&f, path, &err));
    assert_int_equal(f.order[0], 1);
    assert_int_equal(f.order[1], 0);
    mls_rankfile_free(&f);

    write_zip(path, pickle, n, halves, 4, false, "little");
    assert_refused(mls_rankfile_read(&f, path, &err), MLS_E_INPUT, "two halves");
    write_zip(path, pickle, n, twice, 4, false, "little");
    assert_refused(mls_rankfile_read(&f, path, &err), MLS_E_INPUT, "no permutation");
    write_zip(path, pickle, n, ranks, 4, false, "big");
    assert_refused(mls_rankfile_read(&f, path, &err), MLS_E_INPUT, "byteorder");
    write_zip(path, pickle, n, ranks, 3, false, "little");
    assert_refused(mls_rankfile_read(&f, path, &err), MLS_E_INPUT,
                   "3 bytes found, expected 4 numbers");
    n = tiny_pickle(pickle, 4, 1, 4, 1);
    write_zip(path, pickle, n, ranks, 4, false, "little");
    assert_refused(mls_rankfile_read(&f, path, &err), MLS_E_INPUT, "reach beyond");
    n = tiny_pickle(pickle, 4, 0, 4, 2);
    write_zip(path, pickle, n, ranks, 4, false, "little");
    assert_refused(mls_rankfile_read(&f, path, &err), MLS_E_INPUT, "reach beyond");
    n = tiny_pickle(pickle, 4, 0, 3, 1);
    write_zip(path, pickle, n, ranks, 4, false, "little");
    assert_refused(mls_rankfile_read(&f, path, &err), MLS_E_INPUT, "3 dims");
    n = tiny_pickle(pickle, 4, 0, 120, 0); /* a broadcast: one number, 120 times */
    write_zip(path, pickle, n, ranks, 4, false, "little");
    assert_refused(mls_rankfile_read(&f, path, &err), MLS_E_INPUT,
                   "shows the 4 numbers of its storage as 120");
    unlink(path);
}

/*
 * Every file with single bytes changed or its end cut off: refused or read, no crash.
 */
static void mutated_files_do_no_harm(void **state)
{
    static const char *const names[] = {"ranks_u8.pth", "scores.pth", "orders.pkl",
                                        "lists.pkl"};
    uint32_t x = 1;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[64], *data;
        size_t len;

        snprintf(path, sizeof path, "tests/rankfiles/%s", names[i]);
        assert_ok(mls_file_read(test_source(path), 1 << 20, &data, &len, &err));
        for (size_t round = 0; round < 600; round++) {
            char *copy = malloc(len);
            size_t n = len;

            assert_non_null(copy);
            memcpy(copy, data, len);
            for (size_t k = 0; k < 1 + round % 3; k++) {
                x = x * 1664525u + 1013904223u;
                copy[(x >> 8) % len] = (char)(x >> 24);
            }
            if (round % 5 == 0)
                n = (x >> 4) % len;
            read_bytes("mutant", copy, n, NULL);
            free(copy);
        }
        free(data);
    }
}

/* 2 layers, 3 heads, 4 chunks; a different permutation in every row. */
static mls_rankfile small_ranks(mls_rankfile_kind kind)
{
    mls_rankfile f = {.kind = kind, .L = 2, .heads = 3, .C = 4};

    f.order = calloc(2 * 3 * 4, sizeof *f.order);
    assert_non_null(f.order);
    for (size_t i = 0; i < 2 * 3; i++)
        for (size_t k = 0; k < 4; k++)
            f.order[i * 4 + k] = (uint16_t)((i % 2 ? 3 * k + i : k + i) % 4);
    return f;
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    const mls_rankfile_kind kinds[] = {MLS_RANKFILE_RANKS, MLS_RANKFILE_SCORES,
                                       MLS_RANKFILE_ORDERS};

    for (size_t i = 0; i < 3; i++) {
        mls_rankfile f = small_ranks(kinds[i]), back;
        const char *path = test_scratch(i == 2 ? "ranks.pkl" : "ranks.pth");

        assert_ok(mls_rankfile_write(&f, "a note", path, &err));
        assert_ok(mls_rankfile_read(&back, path, &err));
        assert_int_equal(back.kind, kinds[i]);
        assert_int_equal(back.L, 2);
        assert_int_equal(back.heads, 3);
        assert_int_equal(back.C, 4);
        assert_memory_equal(back.order, f.order, 24 * sizeof *f.order);
        mls_rankfile_free(&f);
        mls_rankfile_free(&back);
    }
}

/* One layer, one head, chunks 1 0: every byte as pickle.dumps() may write it. */
static void the_bytes_of_a_pickle_are_those_of_its_opcodes(void **state)
{
    (void)state;
    static const char want[] = "\x80\x02}(X\x04\0\0\0noteX\x01\0\0\0nX\x04\0\0\0rank}("
                               "K\0ctorch\ntensor\n(](](K\x01K\0eetRuu.";
    uint16_t order[] = {1, 0};
    const mls_rankfile f = {
        .kind = MLS_RANKFILE_ORDERS, .L = 1, .heads = 1, .C = 2, .order = order};
    const char *path = test_scratch("one.pkl");
    char *data;
    size_t len;

    assert_ok(mls_rankfile_write(&f, "n", path, &err));
    assert_ok(mls_file_read(path, 1000, &data, &len, &err));
    assert_int_equal(len, sizeof want - 1);
    assert_memory_equal(data, want, len);
    free(data);
}

static void
members_of_a_torch_archive_are_stored_with_their_names_and_numbers(void **state)
{
    (void)state;
    static const char *const names[] = {"archive/data.pkl", "archive/byteorder",
                                        "archive/data/0", "archive/version"};
    /* Layer 0, head 0 keeps chunks 0 1 2 3; head 1 keeps 1 0 3 2 in that order. */
    static const unsigned char first[] = {0, 1, 2, 3, 0, 1, 2, 3, 1, 0, 3, 2};
    mls_rankfile f = small_ranks(MLS_RANKFILE_RANKS);
    const char *path = test_scratch("members.pth");
    unsigned char bytes[2 * 3 * 8];
    zip_stat_t about;
    zip_file_t *member;
    zip_t *zip;

    assert_ok(mls_rankfile_write(&f, NULL, path, &err));
    zip = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, NULL);
    assert_non_null(zip);
    assert_int_equal(zip_get_num_entries(zip, 0), 4);
    for (zip_uint64_t i = 0; i < 4; i++) {
        assert_int_equal(zip_stat_index(zip, i, 0, &about), 0);
        assert_string_equal(about.name, names[i]);
        assert_int_equal(about.comp_method, ZIP_CM_STORE);
    }
    member = zip_fopen(zip, "archive/data/0", 0);
    assert_non_null(member);
    assert_int_equal(zip_fread(member, bytes, sizeof bytes), sizeof bytes);
    assert_memory_equal(bytes, first, sizeof first);
    zip_fclose(member);
    zip_discard(zip);
    mls_rankfile_free(&f);
}

static void ranks_that_do_not_fit_a_byte_are_refused(void **state)
{
    (void)state;
    const mls_rankfile f = {.kind = MLS_RANKFILE_RANKS, .L = 1, .heads = 1, .C = 257};

    assert_refused(mls_rankfile_write(&f, NULL, test_scratch("big.pth"), &err),
                   MLS_E_INPUT, "257 chunks");
    assert_false(mls_file_exists(test_scratch("big.pth")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_pytorch_give_the_order_they_were_made_from),
        cmocka_unit_test(published_ranks_overlap_the_fixed_sets_as_measured),
        cmocka_unit_test(what_could_run_something_is_refused_by_name),
        cmocka_unit_test(broken_pickles_are_refused),
        cmocka_unit_test(a_list_that_repeats_itself_takes_no_memory),
        cmocka_unit_test(many_empty_values_are_refused),
        cmocka_unit_test(archives_are_checked_before_they_are_believed),
        cmocka_unit_test(mutated_files_do_no_harm),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(the_bytes_of_a_pickle_are_those_of_its_opcodes),
        cmocka_unit_test(
            members_of_a_torch_archive_are_stored_with_their_names_and_numbers),
        cmocka_unit_test(ranks_that_do_not_fit_a_byte_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
