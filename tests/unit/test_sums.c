#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/system/files.h"
#include "common/system/sums.h"
#include "tests/support/expect.h"

static const char *in_folder(const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", test_scratch("summed"), name);
    return path;
}

static void write_text(const char *name, const char *text)
{
    assert_ok(mls_file_write(in_folder(name), text, strlen(text), &err));
}

static mls_status verify(mls_err *err)
{
    size_t n_files;
    uint64_t n_bytes;

    return mls_sums_verify(test_scratch("summed"), &n_files, &n_bytes, err);
}

static int setup(void **state)
{
    (void)state;
    mkdir(test_scratch("summed"), 0777);
    write_text("b", "second\n");
    write_text("a.safetensors", "first");
    write_text("empty", "");
    return 0;
}

static void the_list_is_what_sha256sum_writes(void **state)
{
    (void)state;
    const char *hash_of_first =
        "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e  "
        "a.safetensors\n";
    char *text;
    size_t len, n_files = 0;
    uint64_t n_bytes = 0;

    assert_ok(mls_sums_write(test_scratch("summed"), &err));
    assert_ok(mls_file_read(in_folder(MLS_SUMS_NAME), 4096, &text, &len, &err));
    assert_memory_equal(text, hash_of_first, strlen(hash_of_first));
    free(text);
    assert_ok(mls_sums_verify(test_scratch("summed"), &n_files, &n_bytes, &err));
    assert_int_equal(n_files, 3);
    assert_int_equal(n_bytes, 12);
}

/* Every bit of every byte, of the list too; and lengths. */
static void every_changed_byte_is_noticed(void **state)
{
    (void)state;
    const char *const names[] = {"a.safetensors", "b", MLS_SUMS_NAME};

    assert_ok(mls_sums_write(test_scratch("summed"), &err));
    for (size_t i = 0; i < 3; i++) {
        char *text;
        size_t len;

        assert_ok(mls_file_read(in_folder(names[i]), 4096, &text, &len, &err));
        for (size_t at = 0; at < len; at++)
            for (int bit = 0; bit < 8; bit++) {
                FILE *f = fopen(in_folder(names[i]), "wb");

                text[at] ^= (char)(1 << bit);
                assert_int_equal(fwrite(text, 1, len, f), len);
                fclose(f);
                text[at] ^= (char)(1 << bit);
                assert_int_equal(verify(NULL), MLS_E_INPUT);
            }
        for (size_t cut = 0; cut < len; cut++) {
            FILE *f = fopen(in_folder(names[i]), "wb");

            assert_int_equal(fwrite(text, 1, cut, f), cut);
            fclose(f);
            assert_int_equal(verify(NULL), MLS_E_INPUT);
        }
        assert_ok(mls_file_write(in_folder(names[i]), text, len, &err));
        assert_ok(verify(&err));
        free(text);
    }
}

static void a_difference_has_its_name(void **state)
{
    (void)state;
    assert_ok(mls_sums_write(test_scratch("summed"), &err));
    write_text("b", "Second\n");
    assert_refused(verify(&err), MLS_E_INPUT, "b: was changed since it was written");
    unlink(in_folder("b"));
    assert_refused(verify(&err), MLS_E_INPUT, "b: is missing");
    write_text("b", "second\n");
    write_text("c", "more");
    assert_refused(verify(&err), MLS_E_INPUT, "c: is not named in SHA256SUMS");
    unlink(in_folder("c"));
    write_text(MLS_SUMS_NAME, "nothing of this kind\n");
    assert_refused(verify(&err), MLS_E_INPUT,
                   "the line at byte 0 is not a hash and a name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_is_what_sha256sum_writes),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(a_difference_has_its_name),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
