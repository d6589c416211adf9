#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/system/files.h"
#include "datasets/files/parts.h"
#include "tests/support/expect.h"

static char path[3][512];
static const char *const all[] = {path[0], path[1], path[2]};
static const char *const command[] = {"measure", "model", "--rank", "8"};

static int setup(void **state)
{
    (void)state;
    mkdir(test_scratch("parted"), 0777);
    for (size_t i = 0; i < 3; i++)
        snprintf(path[i], sizeof path[i], "%s/part-%zu", test_scratch("parted"), i);
    return 0;
}

static mls_parts *begin(size_t i, size_t count, const char *model)
{
    mls_parts *p;

    assert_ok(mls_parts_begin(&p, path[i], i, count, command, 4, &err));
    assert_ok(mls_parts_about(p, "model", model, &err));
    return p;
}

/* Unit k holds k bytes of k. */
static void put(mls_parts *p, size_t k)
{
    mls_unit u = {0};
    char name[16], byte = (char)k;

    snprintf(name, sizeof name, "unit %02zu", k);
    for (size_t i = 0; i < k; i++)
        mls_unit_pass(&u, &byte, 1);
    assert_ok(mls_parts_put(p, name, &u, &err));
    mls_unit_free(&u);
}

static bool has(mls_parts *p, size_t k)
{
    char name[16];
    size_t first, n;

    snprintf(name, sizeof name, "unit %02zu", k);
    assert_ok(mls_parts_find(p, name, &first, &n, &err));
    return n == 1;
}

static void make(size_t i, size_t count, const char *model)
{
    mls_parts *p = begin(i, count, model);

    for (size_t k = 0; k < 10; k++)
        if (mls_parts_own(p, k, 10) && !has(p, k))
            put(p, k);
    assert_ok(mls_parts_finish(p, &err));
    mls_parts_close(p);
}

static void make_all(void)
{
    for (size_t i = 0; i < 3; i++) {
        unlink(path[i]);
        make(i, 3, "ours");
    }
}

static void parts_in_any_order_hold_every_unit(void **state)
{
    (void)state;
    const char *const reverse[] = {path[2], path[0], path[1]};
    mls_parts *p;

    make_all();
    assert_ok(mls_parts_open(&p, reverse, 3, &err));
    assert_true(mls_parts_joining(p));
    assert_string_equal(mls_parts_argument(p, 2), "--rank");
    assert_null(mls_parts_argument(p, 4));
    assert_ok(mls_parts_about(p, "model", "ours", &err));
    assert_refused(mls_parts_about(p, "model", "another", &err), MLS_E_INPUT,
                   "was made with another model");
    for (size_t k = 0; k < 10; k++) {
        char name[16], bytes[16];
        mls_unit u;

        snprintf(name, sizeof name, "unit %02zu", k);
        assert_ok(mls_parts_get(p, name, &u, &err));
        mls_unit_pass(&u, bytes, k);
        assert_ok(mls_unit_end(&u, &err));
        for (size_t i = 0; i < k; i++)
            assert_int_equal(bytes[i], k);
        mls_unit_pass(&u, bytes, 1);
        assert_refused(mls_unit_end(&u, &err), MLS_E_INPUT, "bytes, expected more");
        mls_unit_free(&u);
    }
    mls_unit u;

    assert_refused(mls_parts_get(p, "unit 10", &u, &err), MLS_E_INPUT,
                   "none has unit 10");
    mls_parts_close(p);
}

static void each_unit_has_one_owner(void **state)
{
    (void)state;
    for (size_t count = 1; count < 12; count++)
        for (size_t n = 1; n < 12; n++) {
            size_t owners[12] = {0};

            for (size_t i = 0; i < count; i++) {
                mls_parts *p;

                assert_ok(mls_parts_begin(&p, path[0], i, count, command, 4, &err));
                for (size_t k = 0; k < n; k++)
                    owners[k] += mls_parts_own(p, k, n);
                mls_parts_close(p);
            }
            for (size_t k = 0; k < n; k++)
                assert_int_equal(owners[k], 1);
        }
}

static void what_is_missing_or_foreign_has_its_name(void **state)
{
    (void)state;
    const char *const two[] = {path[0], path[2]};
    const char *const twice[] = {path[0], path[1], path[2], path[1]};
    mls_parts *p;

    make_all();
    assert_refused(mls_parts_open(&p, two, 2, &err), MLS_E_INPUT,
                   "part 1/3 is missing: make it with --shard 1/3");
    assert_null(p);
    assert_refused(mls_parts_open(&p, twice, 4, &err), MLS_E_INPUT, "is part 1/3, as");
    unlink(path[1]);
    make(1, 3, "another");
    assert_refused(mls_parts_open(&p, all, 3, &err), MLS_E_INPUT, "another model");
    unlink(path[1]);
    make(1, 4, "ours");
    assert_refused(mls_parts_open(&p, all, 3, &err), MLS_E_INPUT, "another count");
}

static void every_changed_or_missing_byte_is_noticed(void **state)
{
    (void)state;
    char *text;
    size_t len;

    make_all();
    assert_ok(mls_file_read(path[1], 1 << 20, &text, &len, &err));
    for (size_t i = 0; i < len; i++) {
        text[i] ^= 1;
        assert_ok(mls_file_write(path[1], text, len, &err));
        text[i] ^= 1;
        assert_int_equal(mls_parts_verify(path[1], NULL), MLS_E_INPUT);
    }
    for (size_t cut = 0; cut < len; cut++) {
        FILE *f = fopen(path[1], "wb");

        assert_int_equal(fwrite(text, 1, cut, f), cut);
        fclose(f);
        assert_int_equal(mls_parts_verify(path[1], NULL), MLS_E_INPUT);
    }
    assert_refused(mls_parts_verify(path[1], &err), MLS_E_INPUT,
                   "has no last line: it was cut, or is still being made");
    text[strlen("mlascope part ")] = '2';
    assert_ok(mls_file_write(path[1], text, len, &err));
    assert_refused(mls_parts_verify(path[1], &err), MLS_E_INPUT,
                   "is a part of version 2, this program reads version 1");
    free(text);
}

/* Stopped anywhere, a part goes on with what is whole and ends in the same bytes. */
static void a_torn_part_goes_on(void **state)
{
    (void)state;
    char *whole, *again, journal[600];
    size_t len, n;

    snprintf(journal, sizeof journal, "%s.part", path[0]);
    make_all();
    assert_ok(mls_file_read(path[0], 1 << 20, &whole, &len, &err));
    unlink(path[0]);
    for (size_t cut = 0; cut < len; cut += cut < 200 ? 40 : 1) {
        FILE *f = fopen(journal, "wb");

        assert_int_equal(fwrite(whole, 1, cut, f), cut);
        fclose(f);
        make(0, 3, "ours");
        assert_ok(mls_file_read(path[0], 1 << 20, &again, &n, &err));
        assert_int_equal(n, len);
        assert_memory_equal(again, whole, len);
        free(again);
        unlink(path[0]);
    }
    free(whole);
}

static void what_is_no_part_of_ours_stays(void **state)
{
    (void)state;
    char journal[600], *text;
    size_t len;
    mls_parts *p;

    snprintf(journal, sizeof journal, "%s.part", path[0]);
    for (size_t i = 0; i < 2; i++) {
        const char *theirs = i ? journal : path[0];

        unlink(path[0]);
        unlink(journal);
        assert_ok(mls_file_write(theirs, "a thesis", 8, &err));
        p = begin(0, 3, "ours");
        assert_refused(mls_parts_finish(p, &err), MLS_E_INPUT,
                       "is there and is no part of a run");
        mls_parts_close(p);
        assert_ok(mls_file_read(theirs, 100, &text, &len, &err));
        assert_string_equal(text, "a thesis");
        free(text);
    }
    unlink(journal);
    assert_ok(mls_file_write(path[1], "a thesis", 8, &err));
    assert_int_equal(symlink(path[1], journal), 0);
    p = begin(0, 3, "ours");
    assert_refused(mls_parts_finish(p, &err), MLS_E_INPUT, "symbolic link");
    mls_parts_close(p);
    assert_ok(mls_file_read(path[1], 100, &text, &len, &err));
    assert_string_equal(text, "a thesis");
    free(text);
    unlink(journal);
}

static void one_process_makes_a_part(void **state)
{
    (void)state;
    unlink(path[0]);
    make(0, 3, "ours");
    mls_parts *p = begin(0, 3, "ours"); /* again: it is there and nothing is to do */

    assert_true(has(p, 0));
    assert_ok(mls_parts_finish(p, &err));
    mls_parts_close(p);
    p = begin(0, 3, "another"); /* takes its place when it is done */
    assert_false(has(p, 0));
    assert_ok(mls_parts_verify(path[0], &err));
    assert_ok(mls_parts_finish(p, &err));
    mls_parts_close(p);
    p = begin(0, 3, "another");
    assert_false(has(p, 0));
    mls_parts_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_in_any_order_hold_every_unit),
        cmocka_unit_test(each_unit_has_one_owner),
        cmocka_unit_test(what_is_missing_or_foreign_has_its_name),
        cmocka_unit_test(every_changed_or_missing_byte_is_noticed),
        cmocka_unit_test(a_torn_part_goes_on),
        cmocka_unit_test(what_is_no_part_of_ours_stays),
        cmocka_unit_test(one_process_makes_a_part),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
