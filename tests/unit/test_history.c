/* A history of reports: rows of an answer, added once. */
#include "tests/support/expect.h"

#include <stdio.h>

#include "common/system/files.h"
#include "reports/report/history.h"
#include "reports/report/report_folder.h"

static const char answer[] = "\"served_by\",\"setting\",\"kept_percent\",\"kl\","
                             "\"kl_half\",\"perplexity\"\n"
                             "\"mla\",\"kq rank=64\",\"25\",\"0.2\",\"0.01\",\"8\"\n"
                             "\"cache\",\"baseline\",\"100\",\"0\",\"0\",\"7\"\n";

/* What a finished report leaves that a history reads. */
static void make_report(const char *folder, const char *model)
{
    const mls_report_fact fact[] = {{"program", "mlascope"}, {"model", model}};
    char path[400];

    assert_ok(mls_report_claim(folder, fact, 2, true, &err));
    snprintf(path, sizeof path, "%s/data", folder);
    assert_ok(mls_folder_prepare(path, &err));
    snprintf(path, sizeof path, "%s/data/answer.csv", folder);
    assert_ok(mls_file_write(path, answer, sizeof answer - 1, &err));
}

static size_t lines_in(const char *path)
{
    char *text;
    size_t len, n = 0;

    assert_ok(mls_file_read(path, 1 << 20, &text, &len, &err));
    for (size_t i = 0; i < len; i++)
        n += text[i] == '\n';
    free(text);
    return n;
}

static void an_answer_is_added_once(void **state)
{
    char folder[256], path[256];
    size_t rows;

    (void)state;
    snprintf(folder, sizeof folder, "%s", test_scratch("history-report"));
    snprintf(path, sizeof path, "%s", test_scratch("history.csv"));
    make_report(folder, "one");
    assert_ok(mls_history_add(path, folder, &rows, &err));
    assert_int_equal(rows, 2);
    assert_int_equal(lines_in(path), 3);
    assert_ok(mls_history_add(path, folder, &rows, &err));
    assert_int_equal(rows, 0);
    assert_int_equal(lines_in(path), 3);
    make_report(folder, "another");
    assert_ok(mls_history_add(path, folder, &rows, &err));
    assert_int_equal(rows, 2);
    assert_int_equal(lines_in(path), 5);
}

static void a_file_that_is_no_history_stays(void **state)
{
    static const char text[] = "date,note\n1,2\n";
    char folder[256], path[256], *after;
    size_t rows, len;

    (void)state;
    snprintf(folder, sizeof folder, "%s", test_scratch("history-other"));
    snprintf(path, sizeof path, "%s", test_scratch("other.csv"));
    make_report(folder, "one");
    assert_ok(mls_file_write(path, text, sizeof text - 1, &err));
    assert_refused(mls_history_check(path, &err), MLS_E_INPUT, "is no history");
    assert_refused(mls_history_add(path, folder, &rows, &err), MLS_E_INPUT,
                   "is no history");
    assert_ok(mls_file_read(path, 1 << 20, &after, &len, &err));
    assert_int_equal(len, sizeof text - 1);
    assert_memory_equal(after, text, len);
    free(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_added_once),
        cmocka_unit_test(a_file_that_is_no_history_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
