/* Values read and written, and a file that changes meanwhile. */
#include "tests/support/safetensors_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/numbers/half.h"
#include "common/system/files.h"
#include "datasets/files/safetensors.h"

static void values_come_out_of_all_float_dtypes(void **state)
{
    (void)state;
    static const char header[] = "{\"d\":" T("F64", "[1]", 0, 8)            /**/
        ",\"f\":" T("F32", "[2]", 8, 16) ",\"b\":" T("BF16", "[2]", 16, 20) /**/
        ",\"h\":" T("F16", "[2]", 20, 24) ",\"i\":" T("I32", "[1]", 24, 28) "}";
    const char *path = file_of(header, sizeof header - 1, 28);
    const double d = 0.1;
    const float f32[] = {-1.5f, 3e38f};
    const uint16_t bf16[] = {0x3fc0, 0xc000}, f16[] = {0x3c01, 0x0001};
    mls_safetensors *f;
    float x[2];
    FILE *file = fopen(path, "r+b");

    assert_non_null(file);
    fseek(file, 8 + (long)sizeof header - 1, SEEK_SET);
    fwrite(&d, 8, 1, file);
    fwrite(f32, 4, 2, file);
    fwrite(bf16, 2, 2, file);
    fwrite(f16, 2, 2, file);
    fclose(file);

    assert_ok(mls_safetensors_open(&f, path, &err));
    assert_ok(mls_safetensors_read_f32(f, mls_safetensors_find(f, "d"), 0, 1, x, &err));
    assert_close(x[0], 0.1f, 0);
    assert_ok(mls_safetensors_read_f32(f, mls_safetensors_find(f, "f"), 0, 2, x, &err));
    assert_close(x[0], -1.5, 0);
    assert_close(x[1], 3e38f, 0);
    assert_ok(mls_safetensors_read_f32(f, mls_safetensors_find(f, "b"), 0, 2, x, &err));
    assert_close(x[0], 1.5, 0);
    assert_close(x[1], -2, 0);
    assert_ok(mls_safetensors_read_f32(f, mls_safetensors_find(f, "h"), 0, 2, x, &err));
    assert_close(x[0], 1 + 0x1p-10, 0);
    assert_close(x[1], 0x1p-24, 0);
    assert_ok(mls_safetensors_read_f32(f, mls_safetensors_find(f, "h"), 1, 1, x, &err));
    assert_close(x[0], 0x1p-24, 0);
    assert_refused(
        mls_safetensors_read_f32(f, mls_safetensors_find(f, "h"), 1, 2, x, &err),
        MLS_E_INPUT, "2 elements from 1 were asked for, it has 2");
    assert_refused(
        mls_safetensors_read_f32(f, mls_safetensors_find(f, "i"), 0, 1, x, &err),
        MLS_E_INPUT, "has dtype I32, expected F32");
    assert_refused(
        mls_safetensors_read_raw(f, mls_safetensors_find(f, "i"), 3, 2, x, &err),
        MLS_E_INPUT, "2 bytes from 3 were asked for, it has 4");
    mls_safetensors_close(f);
}

static void a_file_that_changes_under_the_reader_is_noticed(void **state)
{
    (void)state;
    static const char header[] = "{\"a\":" T("F32", "[2]", 0, 8) "}";
    const char *path = file_of(header, sizeof header - 1, 8);
    const struct timespec long_ago[2] = {{1, 0}, {1, 0}};
    mls_safetensors *f;
    float x[2];

    assert_ok(mls_safetensors_open(&f, path, &err));
    assert_int_equal(truncate(path, 8 + (long)sizeof header - 1 + 4), 0);
    assert_refused(mls_safetensors_read_f32(f, mls_safetensors_at(f, 0), 0, 2, x, &err),
                   MLS_E_INPUT, "when it was opened");
    mls_safetensors_close(f);

    assert_ok(mls_safetensors_open(&f, file_of(header, sizeof header - 1, 8), &err));
    assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
    assert_refused(mls_safetensors_read_f32(f, mls_safetensors_at(f, 0), 0, 2, x, &err),
                   MLS_E_INPUT, "was changed after it was opened");
    mls_safetensors_close(f);
}

/* What the writer gives, the reader takes, bit for bit. */
static void what_is_written_is_read_back(void **state)
{
    (void)state;
    const mls_tensor_plan plan[] = {
        {"w.\"f32\"", "F32", 2, {3, 5}}, {"empty", "F32", 2, {0, 5}},
        {"bf16\n", "BF16", 1, {7}},      {"f16", "F16", 0, {0}},
        {"ids", "I64", 1, {2}},
    };
    const char *const metadata[][2] = {{"format", "pt"}, {"\xc3\xa9", "\"\\"}};
    const int64_t ids[] = {-1, INT64_MAX};
    const char *path = test_scratch("written.safetensors");
    mls_safetensors_writer *w;
    mls_safetensors *f;
    float x[23], y[15];
    int64_t back[2];
    uint64_t prefix;
    char *all;
    size_t len;

    for (size_t i = 0; i < 23; i++)
        x[i] = (float)i / 7 - 1;
    assert_ok(mls_safetensors_create(&w, path, plan, 5, metadata, 2, &err));
    assert_false(mls_file_exists(path));
    assert_ok(mls_safetensors_write_f32(w, x, 4, &err)); /* in uneven pieces */
    assert_ok(mls_safetensors_write_f32(w, x + 4, 19, &err));
    assert_ok(mls_safetensors_write_raw(w, ids, sizeof ids, &err));
    assert_false(mls_file_exists(path));
    assert_ok(mls_safetensors_finish(w, &err));

    assert_ok(mls_file_read(path, 1 << 20, &all, &len, &err));
    memcpy(&prefix, all, 8);
    assert_int_equal(prefix % 8, 0);
    free(all);

    assert_ok(mls_safetensors_open(&f, path, &err));
    assert_int_equal(mls_safetensors_count(f), 5);
    assert_string_equal(mls_safetensors_at(f, 0)->name, "w.\"f32\"");
    assert_int_equal(mls_safetensors_at(f, 0)->shape[1], 5);
    assert_ok(mls_safetensors_read_f32(f, mls_safetensors_at(f, 0), 0, 15, y, &err));
    assert_memory_equal(x, y, sizeof y);
    assert_ok(
        mls_safetensors_read_f32(f, mls_safetensors_find(f, "bf16\n"), 0, 7, y, &err));
    for (size_t i = 0; i < 7; i++)
        assert_close(y[i], mls_bf16_to_float(mls_float_to_bf16(x[15 + i])), 0);
    assert_ok(
        mls_safetensors_read_f32(f, mls_safetensors_find(f, "f16"), 0, 1, y, &err));
    assert_close(y[0], mls_round_f16(x[22]), 0);
    assert_ok(
        mls_safetensors_read_raw(f, mls_safetensors_find(f, "ids"), 0, 16, back, &err));
    assert_memory_equal(ids, back, sizeof ids);
    mls_safetensors_close(f);
}

static void a_writer_refuses_wrong_plans_and_wrong_amounts(void **state)
{
    (void)state;
    const mls_tensor_plan twice[] = {{"a", "F32", 1, {1}}, {"a", "F32", 1, {1}}},
                          odd[] = {{"a", "F31", 1, {1}}},
                          nine[] = {{"a", "F32", 9, {1}}},
                          huge[] = {{"a", "F32", 2, {UINT64_MAX, 2}}},
                          bad[] = {{"\xff", "F32", 1, {1}}},
                          ids[] = {{"a", "I64", 1, {1}}};
    const char *path = test_scratch("refused.safetensors");
    const float x[3] = {1, 2, 3};
    mls_safetensors_writer *w;

    assert_refused(mls_safetensors_create(&w, path, twice, 2, NULL, 0, &err), MLS_E_ARG,
                   "\"a\" is given twice");
    assert_refused(mls_safetensors_create(&w, path, odd, 1, NULL, 0, &err), MLS_E_ARG,
                   "has dtype F31");
    assert_refused(mls_safetensors_create(&w, path, nine, 1, NULL, 0, &err), MLS_E_ARG,
                   "is too large");
    assert_refused(mls_safetensors_create(&w, path, huge, 1, NULL, 0, &err), MLS_E_ARG,
                   "is too large");
    assert_refused(mls_safetensors_create(&w, path, bad, 1, NULL, 0, &err), MLS_E_ARG,
                   "is not UTF-8");
    assert_refused(mls_safetensors_create(&w, test_scratch("no/such/folder"), odd, 0,
                                          NULL, 0, &err),
                   MLS_E_IO, "No such file");

    assert_ok(mls_safetensors_create(&w, path, twice, 1, NULL, 0, &err));
    assert_refused(mls_safetensors_write_f32(w, x, 2, &err), MLS_E_ARG, "more data");
    mls_safetensors_abandon(w);
    assert_ok(mls_safetensors_create(&w, path, twice, 1, NULL, 0, &err));
    assert_ok(mls_safetensors_write_raw(w, x, 3, &err));
    assert_refused(mls_safetensors_write_f32(w, x, 1, &err), MLS_E_ARG,
                   "half an element");
    assert_refused(mls_safetensors_finish(w, &err), MLS_E_ARG,
                   "\"a\" has 3 bytes, expected 4");
    assert_ok(mls_safetensors_create(&w, path, ids, 1, NULL, 0, &err));
    assert_refused(mls_safetensors_write_f32(w, x, 1, &err), MLS_E_ARG,
                   "has dtype I64, floats were given");
    mls_safetensors_abandon(w);
    mls_safetensors_abandon(NULL);
    assert_false(mls_file_exists(path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_out_of_all_float_dtypes),
        cmocka_unit_test(a_file_that_changes_under_the_reader_is_noticed),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_writer_refuses_wrong_plans_and_wrong_amounts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
