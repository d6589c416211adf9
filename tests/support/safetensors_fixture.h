/* safetensors files made from the text of their header. */
#ifndef MLS_SAFETENSORS_FIXTURE_H
#define MLS_SAFETENSORS_FIXTURE_H

#include "tests/support/expect.h"

/* Without mls_file_write()'s fsync: thousands of files are made here. */
static inline void put_file(const char *path, const void *data, size_t n)
{
    FILE *out = fopen(path, "wb");

    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
}

/* A file of a header (len bytes) and n data bytes 0, 1, 2, ...; its path. */
static inline const char *file_of(const char *header, size_t len, size_t n)
{
    const char *path = test_scratch("model.safetensors");
    unsigned char *all = malloc(8 + len + n);

    for (size_t i = 0; i < 8; i++)
        all[i] = (unsigned char)((uint64_t)len >> 8 * i);
    memcpy(all + 8, header, len);
    for (size_t i = 0; i < n; i++)
        all[8 + len + i] = (unsigned char)i;
    put_file(path, all, 8 + len + n);
    free(all);
    return path;
}

/* The value of one tensor in a header: T("F32", "[2,2]", 0, 16). */
#define T(dtype, shape, from, to)                                                      \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"

#endif
