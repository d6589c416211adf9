/*
 * Captures made to do harm: each differs from a right one in one way that HDF5 allows
 * and a writer of ours never makes, with the hash in front mended.
 */
#include "tests/support/capture_sample.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analysis/capture/store_inner.h"
#include "common/system/files.h"

/* The first bytes as they should be for what follows. */
static void mend_front(const char *path)
{
    char front[MLS_STORE_BLOCK];
    uint64_t hash, n;
    const int fd = open(path, O_RDWR);

    assert_true(fd >= 0);
    assert_ok(mls_xxh3_fd(fd, path, MLS_STORE_BLOCK, &hash, &n, &err));
    mls_store_front(front, MLS_CAPTURE_KIND, hash, n);
    assert_int_equal(pwrite(fd, front, sizeof front, 0), sizeof front);
    close(fd);
}

static hid_t make(hid_t file, const char *path, int rank, const hsize_t *shape,
                  hid_t how)
{
    const hid_t space = H5Screate_simple(rank, shape, NULL);
    hid_t set;

    H5Ldelete(file, path, H5P_DEFAULT);
    set = H5Dcreate2(file, path, H5T_IEEE_F64LE, space, H5P_DEFAULT, how, H5P_DEFAULT);
    H5Sclose(space);
    return set;
}

static void array_attribute(hid_t file)
{
    const hsize_t n = 1000;
    const hid_t group = H5Gopen2(file, "/provenance", H5P_DEFAULT);
    const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &n, NULL);

    H5Tset_size(type, 60);
    H5Adelete(group, "model_sha256");
    H5Aclose(H5Acreate2(group, "model_sha256", type, space, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(space);
    H5Tclose(type);
    H5Gclose(group);
}

static const hsize_t norms_shape[] = {3, N, 4, 3};

static void external_storage(hid_t file)
{
    const hid_t how = H5Pcreate(H5P_DATASET_CREATE);

    H5Pset_external(how, "/etc/passwd", 0, 3 * N * 4 * 3 * 8);
    H5Dclose(make(file, "/norms/q", 4, norms_shape, how));
    H5Pclose(how);
}

static void external_link(hid_t file)
{
    H5Ldelete(file, "/norms/q", H5P_DEFAULT);
    H5Lcreate_external("/tmp/fifo", "/x", file, "/norms/q", H5P_DEFAULT, H5P_DEFAULT);
}

static void soft_link(hid_t file)
{
    H5Ldelete(file, "/norms/q", H5P_DEFAULT);
    H5Lcreate_soft("/norms/k", file, "/norms/q", H5P_DEFAULT, H5P_DEFAULT);
}

static void group_in_itself(hid_t file)
{
    H5Lcreate_hard(file, "/norms", file, "/norms/again", H5P_DEFAULT, H5P_DEFAULT);
}

static void values_without_storage(hid_t file)
{
    const hsize_t shape[] = {1 << 15, 1 << 15}, chunk[] = {1, 1 << 15};
    const hid_t how = H5Pcreate(H5P_DATASET_CREATE);

    H5Pset_chunk(how, 2, chunk);
    H5Dclose(make(file, "/norms/q", 2, shape, how));
    H5Pclose(how);
}

static void contiguous_without_storage(hid_t file)
{
    const hsize_t n = 1 << 30;

    H5Dclose(make(file, "/sequences/nll", 1, &n, H5P_DEFAULT));
}

static void large_chunks(hid_t file)
{
    const hsize_t shape[] = {2, 1 << 19}, chunk[] = {1, 1 << 19};
    const hid_t how = H5Pcreate(H5P_DATASET_CREATE);
    double *zero = calloc(2 << 19, sizeof *zero);
    hid_t set;

    assert_non_null(zero);
    H5Pset_chunk(how, 2, chunk);
    H5Pset_deflate(how, 9);
    set = make(file, "/norms/q", 2, shape, how);
    H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, zero);
    H5Dclose(set);
    H5Pclose(how);
    free(zero);
}

static void other_type(hid_t file)
{
    const hid_t type = H5Tcopy(H5T_C_S1);

    H5Tcommit2(file, "/norms/type", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Tclose(type);
}

static void one_more_dataset(hid_t file)
{
    const hsize_t n = 1;
    const hid_t set = make(file, "/norms/other", 1, &n, H5P_DEFAULT);
    const double one = 1;

    H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, &one);
    H5Dclose(set);
}

/* Put a value at the first place of layer 1, or of a vector. */
static void put(hid_t file, const char *path, hid_t type, const void *value)
{
    const hid_t set = H5Dopen2(file, path, H5P_DEFAULT);
    const hid_t space = H5Dget_space(set), one = H5Screate(H5S_SCALAR);
    hsize_t at[MLS_STORE_RANK] = {0}, count[MLS_STORE_RANK] = {1, 1, 1, 1, 1};

    if (H5Sget_simple_extent_ndims(space) > 1)
        at[0] = 1;
    H5Sselect_hyperslab(space, H5S_SELECT_SET, at, NULL, count, NULL);
    assert_true(H5Dwrite(set, type, one, space, H5P_DEFAULT, value) >= 0);
    H5Sclose(one);
    H5Sclose(space);
    H5Dclose(set);
}

static void id_outside(hid_t file)
{
    const int32_t id = 50;

    put(file, "/sequences/ids", H5T_NATIVE_INT32, &id);
}

static void likelihood_nan(hid_t file)
{
    const double x = (double)NAN;

    put(file, "/sequences/nll", H5T_NATIVE_DOUBLE, &x);
}

static void negative_square(hid_t file)
{
    const double x = -1;

    put(file, "/moments/k/second", H5T_NATIVE_DOUBLE, &x);
}

static void infinite_moment(hid_t file)
{
    const double x = (double)INFINITY;

    put(file, "/moments/x/second", H5T_NATIVE_DOUBLE, &x);
}

static void nan_norm(hid_t file)
{
    const double x = (double)NAN;

    put(file, "/norms/k", H5T_NATIVE_DOUBLE, &x);
}

static void nan_window(hid_t file)
{
    const double x = (double)NAN;

    put(file, "/windows/v", H5T_NATIVE_DOUBLE, &x);
}

static const struct {
    void (*harm)(hid_t file);
    const char *says;
} structures[] =
    {
        {array_attribute,
         "attribute model_sha256 of /provenance is not one number or one"},
        {external_storage, "/norms/q has its values in another file"},
        {external_link, "/norms/q is a link that leads elsewhere"},
        {soft_link, "/norms/q is a link that leads elsewhere"},
        {group_in_itself, "is more than a file of ours holds"},
        {values_without_storage, "/norms/q has values that are nowhere in the file"},
        {contiguous_without_storage, "/sequences/nll has values that are nowhere"},
        {large_chunks, "/norms/q has chunks larger than 1 MiB"},
        {other_type, "/norms/type is neither a group nor a dataset"},
        {one_more_dataset, "holds /norms/other, which no capture has"},
        {id_outside, "token 0 of sequence 0 is 50, the vocabulary has 0 to 49"},
        {likelihood_nan, "the likelihood of sequence 0 is nan"},
},
  contents[] = {
      {negative_square, "value 0 of layer 1 in /moments/k/second is -1"},
      {infinite_moment, "value 0 of layer 1 in /moments/x/second is inf"},
      {nan_norm, "value 0 of layer 1 in /norms/k is nan"},
      {nan_window, "value 0 of layer 1 in /windows/v is nan"},
};

static void make_harm(const char *path, void (*harm)(hid_t file))
{
    sample s;
    hid_t file;

    make_sample(&s, 2);
    write_sample(&s, path);
    file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    harm(file);
    H5Fclose(file);
    mend_front(path);
}

static void a_foreign_structure_is_refused_by_name(void **state)
{
    const char *path = test_scratch("harm.h5");
    mls_capture *c;

    (void)state;
    for (size_t i = 0; i < sizeof structures / sizeof structures[0]; i++) {
        make_harm(path, structures[i].harm);
        assert_refused(mls_capture_open(&c, path, &err), MLS_E_INPUT,
                       structures[i].says);
    }
    unlink(path);
}

/* Values of layer 1: layer 0 is read, layer 1 is not. */
static void impossible_values_are_refused_by_name(void **state)
{
    const char *path = test_scratch("values.h5");
    mls_capture *c;
    mls_layer_stats stats;
    float window[5 * 24];

    (void)state;
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
        make_harm(path, contents[i].harm);
        assert_ok(mls_capture_open(&c, path, &err));
        assert_ok(mls_capture_stats(c, 0, &stats, &err));
        mls_layer_stats_free(&stats);
        if (contents[i].harm == nan_window)
            assert_refused(mls_capture_window(c, 1, 0, MLS_WINDOW_V, window, &err),
                           MLS_E_INPUT, contents[i].says);
        else
            assert_refused(mls_capture_stats(c, 1, &stats, &err), MLS_E_INPUT,
                           contents[i].says);
        mls_capture_close(c);
    }
    unlink(path);
}

/* Open, verify and close; whatever happens to the reader, we are told. */
static mls_status read_all(const char *path, mls_err *err)
{
    mls_capture *c;
    size_t n;
    uint64_t bytes;
    mls_status st = mls_capture_open(&c, path, err);

    if (!st)
        st = mls_capture_verify(c, &n, &bytes, err);
    if (c)
        mls_capture_close(c);
    return st;
}

static void changed_bytes_never_reach_us(void **state)
{
    const char *path = test_scratch("bytes.h5");
    enum { TRIES = 400 };
    size_t refused = 0, len;
    char *right;
    sample s;
    mls_rng rng;

    (void)state;
    make_sample(&s, 2);
    write_sample(&s, path);
    assert_ok(mls_file_read(path, 1 << 24, &right, &len, &err));
    mls_rng_seed(&rng, 11, 0);
    for (int i = 0; i < TRIES; i++) {
        char *changed = malloc(len);
        mls_err said = {0};

        assert_non_null(changed);
        memcpy(changed, right, len);
        for (int k = 0; k < 4; k++)
            changed[MLS_STORE_BLOCK + mls_rng_below(&rng, len - MLS_STORE_BLOCK)] =
                (char)mls_rng_below(&rng, 256);
        assert_ok(mls_file_write(path, changed, len, &err));
        free(changed);
        mend_front(path);
        const mls_status st = read_all(path, &said);

        assert_true(st == MLS_OK || st == MLS_E_INPUT);
        assert_true(!st || (*said.text && !strchr(said.text, '\n')));
        refused += st != MLS_OK;
    }
    assert_in_range(refused, TRIES / 4, TRIES);
    free(right);
    unlink(path);
}

static void what_is_not_a_file_is_refused_at_once(void **state)
{
    const char *fifo = test_scratch("fifo.h5");
    mls_capture *c;

    (void)state;
    if (mkfifo(fifo, 0600))
        fail_msg("%s: %s", fifo, strerror(errno));
    assert_refused(mls_capture_open(&c, fifo, &err), MLS_E_INPUT,
                   "is a device or pipe, expected a file");
    assert_refused(mls_capture_open(&c, "/dev/zero", &err), MLS_E_INPUT,
                   "is a device or pipe, expected a file");
    unlink(fifo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_foreign_structure_is_refused_by_name),
        cmocka_unit_test(impossible_values_are_refused_by_name),
        cmocka_unit_test(changed_bytes_never_reach_us),
        cmocka_unit_test(what_is_not_a_file_is_refused_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
