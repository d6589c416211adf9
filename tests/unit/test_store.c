#include "tests/support/expect.h"

#include <sys/stat.h>
#include <unistd.h>

#include "analysis/capture/store.h"
#include "common/numbers/rng.h"
#include "common/system/files.h"

enum { N = 3, M = 4 };

static const double values[N][M] = {{1, 2, 3, 4}, {5, 6, 7, 8}, {-1, 0.5, 1e300, 0}};
static const int32_t scale_values[N] = {0, 1, 2};
static const mls_store_spec spec = {.path = "/group/values",
                                    .type = MLS_STORE_F64,
                                    .rank = 2,
                                    .shape = {N, M},
                                    .axes = {"row", "column"},
                                    .units = "1",
                                    .long_name = "some values",
                                    .compress = true};

static mls_status write_sample(const char *path, mls_err *err)
{
    mls_store *s = NULL;
    mls_status st = mls_store_create(&s, path, NULL, "sample", err);

    if (!st)
        st = mls_store_scale(s, "row", MLS_STORE_I32, N, scale_values, "1", "row", err);
    if (!st)
        st = mls_store_add(s, &spec, err);
    for (size_t i = 0; i < N && !st; i++)
        st = mls_store_append(s, spec.path, values[i], 1, err);
    if (!st)
        st = mls_store_add_text(s, "/group/text", "na\xc3\xafve", 6, "a text", err);
    if (!st)
        st = mls_store_set_text(s, "/", "title", "sample", err);
    if (!st)
        st = mls_store_set_count(s, "/group", "count", 12345678901234U, err);
    if (st) {
        mls_store_abandon(s);
        return st;
    }
    return mls_store_finish(s, err);
}

static void what_is_written_is_read_back(void **state)
{
    const char *path = test_scratch("sample.h5");
    mls_store *s;
    double all[N * M], row[M];
    const size_t second[] = {1}, outside[] = {N};
    char *text, title[32];
    size_t len, n_sets;
    uint64_t n_bytes, count;

    (void)state;
    assert_ok(write_sample(path, &err));
    assert_ok(mls_store_open(&s, path, "sample", &err));
    assert_ok(mls_store_check(s, &spec, &err));
    assert_ok(mls_store_read(s, spec.path, MLS_STORE_F64, NULL, 0, all, N * M, &err));
    assert_memory_equal(all, values, sizeof values);
    assert_ok(mls_store_read(s, spec.path, MLS_STORE_F64, second, 1, row, M, &err));
    assert_memory_equal(row, values[1], sizeof row);
    assert_refused(
        mls_store_read(s, spec.path, MLS_STORE_F64, outside, 1, row, M, &err),
        MLS_E_ARG, "no index 3");
    assert_refused(
        mls_store_read(s, spec.path, MLS_STORE_F32, NULL, 0, all, N * M, &err),
        MLS_E_INPUT, "32-bit float");
    assert_ok(mls_store_read_text(s, "/group/text", &text, &len, &err));
    assert_int_equal(len, 6);
    assert_string_equal(text, "na\xc3\xafve");
    free(text);
    assert_ok(mls_store_get_text(s, "/", "title", title, sizeof title, &err));
    assert_string_equal(title, "sample");
    assert_refused(mls_store_get_text(s, "/", "title", title, 3, &err), MLS_E_INPUT,
                   "below 3 bytes");
    assert_ok(mls_store_get_count(s, "/group", "count", &count, &err));
    assert_true(count == 12345678901234U);
    assert_refused(mls_store_get_count(s, "/group", "size", &count, &err), MLS_E_INPUT,
                   "attribute size of /group is missing");
    assert_ok(mls_store_verify(s, &n_sets, &n_bytes, &err));
    assert_int_equal(n_sets, 3);
    assert_int_equal(n_bytes, sizeof values + sizeof scale_values + 6);
    mls_store_close(s);
    unlink(path);
}

static void a_dataset_of_another_shape_or_type_is_refused_by_name(void **state)
{
    const char *path = test_scratch("shape.h5");
    mls_store *s;
    mls_store_spec other = spec;

    (void)state;
    assert_ok(write_sample(path, &err));
    assert_ok(mls_store_open(&s, path, "sample", &err));
    other.shape[1] = 5;
    assert_refused(mls_store_check(s, &other, &err), MLS_E_INPUT,
                   "dataset /group/values has shape (3, 4), expected (3, 5)");
    other = spec;
    other.type = MLS_STORE_U64;
    assert_refused(mls_store_check(s, &other, &err), MLS_E_INPUT,
                   "another type than little-endian unsigned 64-bit integer");
    other.path = "/group/absent";
    assert_refused(mls_store_check(s, &other, &err), MLS_E_INPUT,
                   "dataset /group/absent is missing");
    mls_store_close(s);
    unlink(path);
}

static void the_same_contents_give_the_same_bytes(void **state)
{
    const char *a = test_scratch("a.h5"), *b = test_scratch("b.h5");
    char *x, *y;
    size_t nx, ny;

    (void)state;
    assert_ok(write_sample(a, &err));
    sleep(1); /* a time stamp in the file would differ now */
    assert_ok(write_sample(b, &err));
    assert_ok(mls_file_read(a, 1 << 20, &x, &nx, &err));
    assert_ok(mls_file_read(b, 1 << 20, &y, &ny, &err));
    assert_int_equal(nx, ny);
    assert_memory_equal(x, y, nx);
    free(x);
    free(y);
    unlink(a);
    unlink(b);
}

static void every_flipped_byte_and_every_cut_is_detected(void **state)
{
    const char *path = test_scratch("whole.h5"), *bad = test_scratch("bad.h5");
    mls_store *s;
    mls_rng rng;
    char *data;
    size_t len;

    (void)state;
    assert_ok(write_sample(path, &err));
    assert_ok(mls_file_read(path, 1 << 20, &data, &len, &err));
    mls_rng_seed(&rng, 1, 0);
    for (int i = 0; i < 400; i++) {
        /* the first half inside the front, where every byte has its own meaning */
        const size_t at = mls_rng_below(&rng, i < 200 ? MLS_STORE_BLOCK : len);
        const char old = data[at];
        mls_err err = {0};

        data[at] = (char)(old ^ (1 << mls_rng_below(&rng, 8)));
        assert_int_equal(mls_file_write(bad, data, len, NULL), MLS_OK);
        assert_int_equal(mls_store_open(&s, bad, "sample", &err), MLS_E_INPUT);
        assert_null(s);
        assert_non_null(strstr(err.text, "bad.h5"));
        data[at] = old;
    }
    for (size_t cut = 0; cut < len; cut += 97) {
        assert_int_equal(mls_file_write(bad, data, cut, NULL), MLS_OK);
        assert_int_equal(mls_store_open(&s, bad, "sample", NULL), MLS_E_INPUT);
    }
    free(data);
    unlink(path);
    unlink(bad);
}

static void files_of_others_are_refused_with_a_sentence(void **state)
{
    const char *path = test_scratch("other.h5");
    char hdf5[600] = "\211HDF\r\n\032\n";
    mls_store *s;

    (void)state;
    assert_refused(mls_store_open(&s, "/nonexistent.h5", "sample", &err), MLS_E_INPUT,
                   "No such file");
    assert_refused(mls_store_open(&s, "/tmp", "sample", &err), MLS_E_INPUT,
                   "is a folder");
    assert_ok(mls_file_write(path, hdf5, sizeof hdf5, &err));
    assert_refused(mls_store_open(&s, path, "sample", &err), MLS_E_INPUT,
                   "is HDF5, but not a file written by mlascope");
    assert_ok(mls_file_write(path, "hello", 5, &err));
    assert_refused(mls_store_open(&s, path, "sample", &err), MLS_E_INPUT,
                   "is not a capture or another HDF5 file of mlascope");
    assert_ok(write_sample(path, &err));
    assert_refused(mls_store_open(&s, path, "capture", &err), MLS_E_INPUT,
                   "begins with \"mlascope sample\", expected \"mlascope capture\"");
    unlink(path);
}

static void a_dataset_that_is_not_full_is_never_finished(void **state)
{
    const char *path = test_scratch("short.h5");
    mls_store *s;

    (void)state;
    assert_ok(mls_store_create(&s, path, NULL, "sample", &err));
    assert_ok(mls_store_add(s, &spec, &err));
    assert_ok(mls_store_append(s, spec.path, values, 2, &err));
    assert_refused(mls_store_append(s, spec.path, values, 2, &err), MLS_E_ARG,
                   "takes no 2 slices more");
    assert_refused(mls_store_finish(s, &err), MLS_E_ARG, "has 2 slices of 3");
    assert_false(mls_file_exists(path));
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
    mls_store *s;

    (void)state;
    assert_refused(mls_store_create(&s, "/nonexistent/x.h5", NULL, "sample", &err),
                   MLS_E_IO, "No such file or directory");
    assert_null(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_dataset_of_another_shape_or_type_is_refused_by_name),
        cmocka_unit_test(the_same_contents_give_the_same_bytes),
        cmocka_unit_test(every_flipped_byte_and_every_cut_is_detected),
        cmocka_unit_test(files_of_others_are_refused_with_a_sentence),
        cmocka_unit_test(a_dataset_that_is_not_full_is_never_finished),
        cmocka_unit_test(a_folder_that_is_not_there_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
