/* Captures made to do harm, of a small one of chance numbers. */
#include "tests/support/hostile.h"

void mend_front(const char *path)
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

void make_harm(const char *path, void (*harm)(hid_t file))
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
