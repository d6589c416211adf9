/* safetensors files made from the text of their header. */
#include "tests/support/safetensors_fixture.h"

void put_file(const char *path, const void *data, size_t n)
{
    FILE *out = fopen(path, "wb");

    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
}

const char *file_of(const char *header, size_t len, size_t n)
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
