#include "tests/support/expect.h"

#include "common/system/spill.h"

enum { BYTES = 1 << 20 };

static void values_stay_when_pages_leave(void **state)
{
    (void)state;
    for (uint64_t most = 0; most <= BYTES; most += BYTES / 2) {
        mls_spill s;
        unsigned char *x;

        assert_ok(mls_spill_new(&s, BYTES, most, &err));
        assert_int_equal(s.on_disk, most == BYTES / 2);
        x = s.data;
        for (size_t i = 0; i < BYTES; i++) {
            assert_int_equal(x[i], 0);
            x[i] = (unsigned char)(i % 251);
        }
        mls_spill_leave(&s, x + 100, BYTES - 5000);
        mls_spill_leave(&s, x + 5, 10); /* no whole page */
        for (size_t i = 0; i < BYTES; i++)
            assert_int_equal(x[i], i % 251);
        mls_spill_free(&s);
        assert_null(s.data);
    }
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    mls_spill s;

    (void)state;
    setenv("TMPDIR", "/no/such/folder", 1);
    assert_refused(mls_spill_new(&s, BYTES, 1, &err), MLS_E_IO, "/no/such/folder");
    unsetenv("TMPDIR");
    assert_null(s.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_stay_when_pages_leave),
        cmocka_unit_test(a_folder_that_is_not_there_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
