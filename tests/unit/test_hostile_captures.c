/*
 * Captures with values that no capture has, with changed bytes, and what is no file at
 * all, with the hash in front mended. Their structure: hostile_structures.
 */
#include "tests/support/hostile.h"

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
} at_open[] =
    {
        {id_outside, "token 0 of sequence 0 is 50, the vocabulary has 0 to 49"},
        {likelihood_nan, "the likelihood of sequence 0 is nan"},
},
  contents[] = {
      {negative_square, "value 0 of layer 1 in /moments/k/second is -1"},
      {infinite_moment, "value 0 of layer 1 in /moments/x/second is inf"},
      {nan_norm, "value 0 of layer 1 in /norms/k is nan"},
      {nan_window, "value 0 of layer 1 in /windows/v is nan"},
};

static void impossible_ids_and_likelihoods_are_refused_at_once(void **state)
{
    const char *path = test_scratch("ids.h5");
    mls_capture *c;

    (void)state;
    for (size_t i = 0; i < sizeof at_open / sizeof at_open[0]; i++) {
        make_harm(path, at_open[i].harm);
        assert_refused(mls_capture_open(&c, path, &err), MLS_E_INPUT, at_open[i].says);
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
    enum { TRIES = 160 };
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
        cmocka_unit_test(impossible_ids_and_likelihoods_are_refused_at_once),
        cmocka_unit_test(impossible_values_are_refused_by_name),
        cmocka_unit_test(changed_bytes_never_reach_us),
        cmocka_unit_test(what_is_not_a_file_is_refused_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
