#include "tests/support/expect.h"

#include "common/system/files.h"
#include "datasets/base/csv.h"
#include "reports/page/table.h"
#include "reports/page/table_html.h"

/* Text that every format must carry through: quotes, separators, tags, UTF-8. */
static const char hostile[] = "a,\"b\" | <b>&'\\ é";

static mls_table *sample(void)
{
    mls_table *t = mls_table_new("Title");

    mls_table_meta(t, "model", "de\"mo");
    mls_table_column(t, "name", "näme", "", 0);
    mls_table_column(t, "kl", "KL", "nat", 2);
    mls_table_column(t, "n", "n", "", 0);
    mls_table_row(t);
    mls_table_text(t, hostile);
    mls_table_real(t, 1.0 / 3);
    mls_table_count(t, -7);
    mls_table_row(t);
    mls_table_text(t, "x");
    mls_table_real(t, (double)NAN);
    mls_table_empty(t);
    mls_table_note(t, "a note <i>");
    return t;
}

static void assert_prints(mls_table *t, mls_format format, const char *want)
{
    mls_buf out = {0};

    assert_ok(mls_table_print(t, format, &out, &err));
    assert_string_equal(out.data, want);
    mls_buf_free(&out);
    mls_table_free(t);
}

static void text_lines_up_by_characters_not_bytes(void **state)
{
    (void)state;
    assert_prints(sample(), MLS_FORMAT_TABLE,
                  "Title\n"
                  "# model: de\"mo\n"
                  "näme              KL (nat)   n\n"
                  "a,\"b\" | <b>&'\\ é      0.33  -7\n"
                  "x                        -   -\n"
                  "a note <i>\n");
}

static void cells_of_a_row_are_written_as_one(void **state)
{
    mls_table *t = mls_table_new(NULL);

    (void)state;
    MLS_COLUMNS(t, {"a", "a", "", 1}, {"b", "b", "", 1}, {"c", "c", "", 1},
                {"d", "d", "", 1}, {"e", "e", "", 1}, {"f", "f", "", 1});
    mls_table_line(t, "%s %g %zu", "x", 0.25, (size_t)7);
    mls_table_cells(t, "%d - %lld", -3, -5LL);
    mls_table_say(t, "%d of %s", 3, "it");
    assert_prints(t, MLS_FORMAT_TABLE,
                  "a    b  c   d  e   f\nx  0.2  7  -3  -  -5\n3 of it\n");
}

static void what_rounds_to_nothing_has_no_sign(void **state)
{
    mls_table *t = mls_table_new(NULL);

    (void)state;
    mls_table_column(t, "x", "x", "", 2);
    mls_table_row(t);
    mls_table_real(t, -0.001);
    mls_table_row(t);
    mls_table_real(t, -0.006);
    assert_prints(t, MLS_FORMAT_TABLE,
                  "    x\n"
                  " 0.00\n"
                  "-0.01\n");
}

static void nothing_that_a_terminal_obeys_is_printed(void **state)
{
    mls_table *t = mls_table_new("a\x1b[2Jb");

    (void)state;
    mls_table_meta(t, "command",
                   "check 'x\ny\xc2\x9b"
                   "1m'");
    mls_table_column(t, "x", "x", "", 2);
    mls_table_row(t);
    mls_table_text(t, "\xc2\x9b"
                      "31mred\r");
    assert_prints(t, MLS_FORMAT_TABLE,
                  "a [2Jb\n"
                  "# command: check 'x y 1m'\n"
                  "x\n"
                  " 31mred \n");
}

static void markdown_escapes_the_bar_that_ends_a_cell(void **state)
{
    (void)state;
    assert_prints(sample(), MLS_FORMAT_MD,
                  "### Title\n\n"
                  "- model: `de\"mo`\n\n"
                  "| näme              | KL (nat) |  n |\n"
                  "|:------------------|---------:|---:|\n"
                  "| a,\"b\" \\| <b>&'\\ é |     0.33 | -7 |\n"
                  "| x                 |        - |  - |\n"
                  "\na note <i>\n");
}

static void html_escapes_every_cell_and_note(void **state)
{
    (void)state;
    char want[2048];

    snprintf(want, sizeof want, "%s%s", mls_table_alone,
             "<table>\n<caption>Title</caption>\n"
             "<thead><tr><th scope=\"col\" class=\"text\">näme</th>"
             "<th scope=\"col\">KL (nat)</th><th scope=\"col\">n</th></tr>"
             "</thead>\n<tbody>\n"
             "<tr><td class=\"text\">a,&quot;b&quot; | &lt;b&gt;&amp;&#39;\\ é</td>"
             "<td>0.33</td><td>-7</td></tr>\n"
             "<tr><td class=\"text\">x</td><td>-</td><td>-</td></tr>\n"
             "</tbody>\n</table>\n<p class=\"note\">a note &lt;i&gt;</p>\n");
    assert_prints(sample(), MLS_FORMAT_HTML, want);
}

static void json_has_all_digits_and_null_for_nothing(void **state)
{
    (void)state;
    assert_prints(sample(), MLS_FORMAT_JSON,
                  "{\"title\": \"Title\",\n"
                  " \"model\": \"de\\\"mo\",\n"
                  " \"columns\": [\n"
                  "  {\"key\": \"name\", \"title\": \"näme\", \"unit\": \"\"},\n"
                  "  {\"key\": \"kl\", \"title\": \"KL\", \"unit\": \"nat\"},\n"
                  "  {\"key\": \"n\", \"title\": \"n\", \"unit\": \"\"}],\n"
                  " \"rows\": [\n"
                  "  {\"name\": \"a,\\\"b\\\" | <b>&'\\\\ é\", "
                  "\"kl\": 0.33333333333333331, \"n\": -7},\n"
                  "  {\"name\": \"x\", \"kl\": null, \"n\": null}],\n"
                  " \"notes\": [\"a note <i>\"]}\n");
}

static void json_lines_hold_one_row_each(void **state)
{
    (void)state;
    assert_prints(sample(), MLS_FORMAT_JSONL,
                  "{\"name\": \"a,\\\"b\\\" | <b>&'\\\\ é\", "
                  "\"kl\": 0.33333333333333331, \"n\": -7}\n"
                  "{\"name\": \"x\", \"kl\": null, \"n\": null}\n");
}

static void control_characters_stay_inside_their_line(void **state)
{
    mls_table *t = mls_table_new(NULL);

    (void)state;
    mls_table_column(t, "a", "a", "", 0);
    mls_table_row(t);
    mls_table_text(t, "two\nlines\t!");
    mls_buf out = {0};

    assert_ok(mls_table_print(t, MLS_FORMAT_TABLE, &out, &err));
    assert_string_equal(out.data, "a\ntwo lines !\n");
    mls_buf_free(&out);
    assert_prints(t, MLS_FORMAT_JSONL, "{\"a\": \"two\\u000alines\\u0009!\"}\n");
}

static void infinity_is_no_json_number(void **state)
{
    mls_table *t = mls_table_new(NULL);

    (void)state;
    mls_table_column(t, "a", "a", "", 0);
    mls_table_row(t);
    mls_table_real(t, (double)INFINITY);
    assert_prints(t, MLS_FORMAT_JSONL, "{\"a\": null}\n");
}

static void a_row_that_ends_early_is_filled_with_empty_cells(void **state)
{
    mls_table *t = mls_table_new(NULL);

    (void)state;
    mls_table_column(t, "a", "a", "", 0);
    mls_table_column(t, "b", "b", "", 0);
    mls_table_row(t);
    mls_table_count(t, 1);
    mls_table_row(t);
    mls_table_count(t, 2);
    mls_table_count(t, 3);
    assert_prints(t, MLS_FORMAT_CSV, "\"a\",\"b\"\r\n\"1\",\"\"\r\n\"2\",\"3\"\r\n");
}

/*
 * Our own reader gives back what was written, to the last bit and whatever the length.
 */
static void a_spreadsheet_finds_no_formula_and_our_reader_the_same_text(void **state)
{
    static const struct {
        const char *text, *field;
    } cases[] = {{"=1+2", "\"'=1+2\""}, {"+x", "\"'+x\""},
                 {"-x", "\"'-x\""},     {"@SUM(A1)", "\"'@SUM(A1)\""},
                 {"-", "\"-\""},        {"-1.5e-3", "\"-1.5e-3\""},
                 {"'", "\"''\""},       {"'=1", "\"''=1\""},
                 {"a=1", "\"a=1\""},    {"\t=1", "\"'\t=1\""},
                 {"", "\"\""}};
    enum { N = sizeof cases / sizeof cases[0] };
    const char *path = test_scratch("formulas.csv");
    mls_table *t = mls_table_new(NULL);
    mls_buf out = {0};
    mls_csv csv;

    (void)state;
    mls_table_column(t, "text", "text", "", 0);
    mls_table_column(t, "number", "number", "", 0);
    for (size_t i = 0; i < N; i++) {
        mls_table_row(t);
        mls_table_text(t, cases[i].text);
        mls_table_count(t, -1);
    }
    assert_ok(mls_table_print(t, MLS_FORMAT_CSV, &out, &err));
    for (size_t i = 0; i < N; i++)
        if (!strstr(out.data, cases[i].field))
            fail_msg("%s is not in %s", cases[i].field, out.data);
    assert_int_equal(strstr(out.data, "'-1") == NULL, 1);
    assert_ok(mls_file_write(path, out.data, out.len, &err));
    assert_ok(mls_csv_read(&csv, path, &err));
    for (size_t i = 0; i < N; i++)
        assert_string_equal(mls_csv_cell(&csv, i, 0), cases[i].text);
    mls_csv_free(&csv);
    mls_buf_free(&out);
    mls_table_free(t);
}

static void csv_is_read_back_bit_for_bit(void **state)
{
    static const double numbers[] = {1.0 / 3, 5e-324, 1.7976931348623157e308, -0.0,
                                     1e23};
    const char *path = test_scratch("table.csv");
    mls_table *t = mls_table_new("no title in CSV");
    char *lengthy = malloc(5000);
    mls_buf out = {0};
    mls_csv csv;

    (void)state;
    memset(lengthy, '"', 4999);
    lengthy[4999] = '\0';
    mls_table_meta(t, "model", "demo");
    mls_table_column(t, "text", "text", "", 0);
    mls_table_column(t, "number", "number", "", 2);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        mls_table_row(t);
        mls_table_text(t, i == 0 ? hostile : i == 1 ? lengthy : "two\nlines");
        mls_table_real(t, numbers[i]);
    }
    mls_table_row(t);
    mls_table_text(t, "");
    mls_table_real(t, (double)NAN);
    mls_table_note(t, "no note in CSV");
    assert_ok(mls_table_print(t, MLS_FORMAT_CSV, &out, &err));
    assert_ok(mls_file_write(path, out.data, out.len, &err));
    assert_ok(mls_csv_read(&csv, path, &err));
    assert_int_equal(csv.n_columns, 2);
    assert_int_equal(csv.n_rows, 6);
    assert_string_equal(csv.header[1], "number");
    assert_string_equal(mls_csv_cell(&csv, 0, 0), hostile);
    assert_string_equal(mls_csv_cell(&csv, 1, 0), lengthy);
    assert_string_equal(mls_csv_cell(&csv, 2, 0), "two\nlines");
    assert_string_equal(mls_csv_cell(&csv, 5, 0), "");
    assert_string_equal(mls_csv_cell(&csv, 5, 1), "");
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const double back = strtod(mls_csv_cell(&csv, i, 1), NULL);

        assert_memory_equal(&back, &numbers[i], sizeof back);
    }
    mls_csv_free(&csv);
    mls_buf_free(&out);
    mls_table_free(t);
    free(lengthy);
}

static void a_table_without_rows_has_its_head(void **state)
{
    (void)state;
    for (mls_format f = MLS_FORMAT_TABLE; f <= MLS_FORMAT_HTML; f++) {
        mls_table *t = mls_table_new(NULL);
        mls_buf out = {0};

        mls_table_column(t, "key", "heading", "", 0);
        assert_ok(mls_table_print(t, f, &out, &err));
        if (f == MLS_FORMAT_JSONL)
            assert_int_equal(out.len, 0);
        else
            assert_non_null(strstr(out.data, f == MLS_FORMAT_CSV || f == MLS_FORMAT_JSON
                                                 ? "key"
                                                 : "heading"));
        mls_buf_free(&out);
        mls_table_free(t);
    }
}

static void formats_have_names_and_others_are_refused(void **state)
{
    static const char *const names[] = {"table", "md", "csv", "json", "jsonl", "html"};
    mls_format f;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_ok(mls_format_parse(&f, names[i], &err));
        assert_int_equal(f, i);
    }
    assert_refused(mls_format_parse(&f, "tex", &err), MLS_E_ARG, "found \"tex\"");
}

static void details_are_left_out_on_the_screen_alone(void **state)
{
    (void)state;
    mls_table *t = mls_table_new(NULL);
    mls_buf out = {0};

    mls_table_column(t, "a", "A", "", 0);
    mls_table_column(t, "b", "B", "", 0);
    mls_table_detail(t);
    mls_table_column(t, "c", "C", "", 0);
    mls_table_row(t);
    mls_table_count(t, 1);
    mls_table_count(t, 2);
    mls_table_count(t, 3);
    assert_ok(mls_table_print(t, MLS_FORMAT_TABLE, &out, &err));
    mls_buf_add(&out, "", 1);
    assert_string_equal(out.data, "A  C\n1  3\nalso in csv and json: b\n");
    mls_buf_free(&out);
    assert_ok(mls_table_print(t, MLS_FORMAT_CSV, &out, &err));
    mls_buf_add(&out, "", 1);
    assert_non_null(strstr(out.data, "\"a\",\"b\",\"c\""));
    mls_buf_free(&out);
    assert_ok(mls_table_print(t, MLS_FORMAT_MD, &out, &err));
    mls_buf_add(&out, "", 1);
    assert_non_null(strstr(out.data, "| A | B | C |"));
    mls_buf_free(&out);
    mls_table_free(t);
}

static void columns_for_programs_are_in_files_alone(void **state)
{
    (void)state;
    mls_table *t = mls_table_new(NULL);
    mls_buf out = {0};

    mls_table_column(t, "a", "A", "", 0);
    mls_table_column(t, "b", "B", "", 0);
    mls_table_data(t);
    for (int i = 0; i < 2; i++) {
        mls_table_row(t);
        mls_table_count(t, i);
        mls_table_text(t, "1 2 3");
    }
    for (mls_format f = MLS_FORMAT_TABLE; f <= MLS_FORMAT_HTML; f++) {
        assert_ok(mls_table_print(t, f, &out, &err));
        assert_true(
            (strstr(out.data, "1 2 3") != NULL) ==
            (f != MLS_FORMAT_TABLE && f != MLS_FORMAT_MD && f != MLS_FORMAT_HTML));
        mls_buf_free(&out);
    }
    mls_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_for_programs_are_in_files_alone),
        cmocka_unit_test(details_are_left_out_on_the_screen_alone),
        cmocka_unit_test(text_lines_up_by_characters_not_bytes),
        cmocka_unit_test(cells_of_a_row_are_written_as_one),
        cmocka_unit_test(what_rounds_to_nothing_has_no_sign),
        cmocka_unit_test(nothing_that_a_terminal_obeys_is_printed),
        cmocka_unit_test(markdown_escapes_the_bar_that_ends_a_cell),
        cmocka_unit_test(html_escapes_every_cell_and_note),
        cmocka_unit_test(json_has_all_digits_and_null_for_nothing),
        cmocka_unit_test(json_lines_hold_one_row_each),
        cmocka_unit_test(control_characters_stay_inside_their_line),
        cmocka_unit_test(infinity_is_no_json_number),
        cmocka_unit_test(a_row_that_ends_early_is_filled_with_empty_cells),
        cmocka_unit_test(csv_is_read_back_bit_for_bit),
        cmocka_unit_test(a_spreadsheet_finds_no_formula_and_our_reader_the_same_text),
        cmocka_unit_test(a_table_without_rows_has_its_head),
        cmocka_unit_test(formats_have_names_and_others_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
