#include "tests/support/expect.h"

#include "common/system/files.h"
#include "reports/page/downloads.h"
#include "reports/page/page.h"
#include "reports/page/plot.h"
#include "reports/page/slim.h"

static char *read_whole(const char *path)
{
    char *text;
    size_t len;

    assert_ok(mls_file_read(path, 1u << 24, &text, &len, &err));
    return text;
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;

    for (const char *p = strstr(text, part); p; p = strstr(p + strlen(part), part))
        n++;
    return n;
}

/*
 * Every tag that is opened is closed, in order; attributes are in quotes; only tags
 * that the page uses are there. Text of strangers would break one of these.
 */
static void assert_well_formed(const char *html)
{
    static const char *const voids[] = {"meta", "img", "link", "!DOCTYPE"};
    char open[64][16];
    size_t depth = 0;

    for (const char *p = strchr(html, '<'); p; p = strchr(p, '<')) {
        if (strncmp(p, "<script>", 8) == 0) /* ours: looked at by the browser's tests */
            p = strstr(p, "</script>") + 9;
        if (!(p = strchr(p, '<')))
            break;
        const bool closing = p[1] == '/';
        const char *name = p + 1 + closing;
        const size_t n = strcspn(name, " >");
        const char *q = name + n;
        bool quoted = false, is_void = false;

        assert_in_range(n, 1, 15);
        for (; *q && (quoted || *q != '>'); q++) {
            quoted ^= *q == '"';
            assert_true(*q != '<');
        }
        assert_true(*q == '>');
        p = q;
        for (size_t i = 0; i < sizeof voids / sizeof voids[0]; i++)
            is_void |= n == strlen(voids[i]) && memcmp(name, voids[i], n) == 0;
        if (is_void)
            continue;
        if (closing) {
            assert_true(depth > 0);
            depth--;
            assert_int_equal(strlen(open[depth]), n);
            assert_memory_equal(open[depth], name, n);
        } else {
            assert_true(depth < 64);
            memcpy(open[depth], name, n);
            open[depth++][n] = '\0';
        }
    }
    assert_int_equal(depth, 0);
}

static void text_of_strangers_is_shown_and_never_obeyed(void **state)
{
    static const char hostile[] = "</title><script>alert('1')</script>\"><img src=x "
                                  "onerror=\"alert(2)\"> & %s %n";
    const char *path = test_scratch("hostile.html");
    mls_page *p = mls_page_new(hostile);
    mls_table *t = mls_table_new(hostile);

    (void)state;
    mls_page_section(p, "one", hostile);
    mls_page_heading(p, hostile);
    mls_page_text(p, "%s", hostile);
    mls_page_tile(p, hostile, hostile);
    mls_page_tile(p, "2", "tiles");
    mls_page_code(p, hostile);
    mls_table_column(t, "a", hostile, hostile, 0);
    mls_table_row(t);
    mls_table_text(t, hostile);
    mls_table_note(t, hostile);
    mls_page_table(p, t);
    mls_page_details(p, hostile, t);
    mls_page_section(p, "two", "Second");
    mls_page_tile(p, "at the end", "an open row of tiles");
    assert_ok(mls_page_write(p, path, &err));
    char *html = read_whole(path);

    assert_well_formed(html);
    assert_int_equal(count(html, "<script"), 1);
    assert_int_equal(count(html, "<img"), 0);
    assert_int_equal(count(html, "alert(2)"), count(html, "&lt;script&gt;"));
    assert_int_equal(count(html, "<section"), 3);
    assert_int_equal(count(html, "<li><a href=\"#"), 3);
    free(html);
    mls_table_free(t);
    mls_page_free(p);
}

static void a_page_loads_nothing_from_outside(void **state)
{
    const char *folder = test_scratch("page");
    char path[512];
    mls_page *p = mls_page_new("t");
    mls_table *t = mls_table_new(NULL);

    (void)state;
    mls_table_column(t, "x", "x", "", 0);
    for (long long i = 0; i < 3; i++) {
        mls_table_row(t);
        mls_table_count(t, i);
    }
    assert_ok(mls_folder_prepare(folder, &err));
    const mls_plot plot = {
        .name = "line", .data = t, .script = "plot \"../data/line.csv\" using \"x\"\n"};

    assert_ok(mls_plot_write(folder, &plot, &err));
    mls_page_section(p, "s", "S");
    assert_ok(mls_page_figure(p, folder, "line", "a \"caption\" <b>", &err));
    assert_refused(mls_page_figure(p, folder, "none", "c", &err), MLS_E_IO,
                   "plots/none.gp: gnuplot: ");
    snprintf(path, sizeof path, "%s/index.html", folder);
    assert_ok(mls_page_write(p, path, &err));
    char *html = read_whole(path);

    assert_well_formed(html);
    assert_int_equal(count(html, "src=\"data:image/svg+xml;base64,"), 1);
    assert_int_equal(count(html, "src=\""), 1);
    assert_int_equal(count(html, "http"), 0);
    assert_int_equal(count(html, "url("), 0);
    assert_int_equal(count(html, "download=\"line.csv\" href=\"data:text/csv;base64,"),
                     1);
    assert_int_equal(count(html, "href=\"plots"), 0);
    free(html);
    mls_table_free(t);
    mls_page_free(p);
}

static void sections_stand_in_the_order_in_which_they_were_begun(void **state)
{
    const char *path = test_scratch("order.html");
    mls_page *p = mls_page_new("t");

    (void)state;
    mls_page_section(p, "first", "First");
    mls_page_section(p, "never", "Nothing in it");
    mls_page_section(p, "last", "Last");
    mls_page_text(p, "zwei");
    mls_page_tile(p, "3", "drei");
    mls_page_section(p, "first", "another title");
    mls_page_text(p, "eins");
    assert_ok(mls_page_write(p, path, &err));
    char *html = read_whole(path);

    assert_well_formed(html);
    assert_true(strstr(html, "<h2>First</h2>\n<p>eins</p>") < strstr(html, "zwei"));
    assert_int_equal(count(html, "First"), 2);
    assert_null(strstr(html, "never"));
    assert_null(strstr(html, "another title"));
    free(html);
    mls_page_free(p);
}

static void a_term_is_explained_where_it_first_stands(void **state)
{
    const char *path = test_scratch("terms.html");
    mls_page *p = mls_page_new("t");

    (void)state;
    mls_page_section(p, "s", "S");
    mls_page_text(p, "At rank=64 the rank is a rank; low-rank, ranked <KL>.");
    mls_page_text(p, "KL again");
    mls_page_section(p, "other", "O");
    mls_page_text(p, "KL");
    mls_page_text(p, "95 %% of it, 95 %% intervals");
    mls_page_code(p, "export x --for y -o z - <\n--end");
    assert_ok(mls_page_write(p, path, &err));
    char *html = read_whole(path);

    assert_well_formed(html);
    assert_non_null(strstr(
        html,
        "At rank=64 the <a class=\"term\" href=\"#term-rank\">rank</a> is a rank; "
        "low-rank, ranked &lt;<a class=\"term\" href=\"#term-kl\">KL</a>&gt;."));
    assert_non_null(strstr(html, "<p>KL again</p>"));
    assert_non_null(strstr(html,
                           "href=\"#term-rank-p\">95 %</a> of it, <a class=\"term\" "
                           "href=\"#term-interval\">95 % intervals</a>"));
    assert_non_null(strstr(html, "<pre>export x <span>--for</span> y <span>-o</span> z "
                                 "- &lt;\n<span>--end</span></pre>"));
    assert_int_equal(count(html, "href=\"#term-kl\""), 2);
    assert_int_equal(count(html, "<dt id=\"term-kl\">"), 1);
    free(html);
    mls_page_free(p);
}

static void a_figure_not_drawn_has_its_numbers_and_its_words(void **state)
{
    const char *folder = test_scratch("undrawn");
    char path[512];
    mls_page *p = mls_page_new("t");
    mls_table *t = mls_table_new(NULL);

    (void)state;
    mls_table_column(t, "x", "x", "", 0);
    assert_ok(mls_folder_prepare(folder, &err));
    const mls_plot plot = {.name = "line", .data = t, .script = "plot x\n"};

    assert_ok(mls_plot_write(folder, &plot, &err));
    mls_page_section(p, "s", "S");
    mls_page_without_pictures(p);
    mls_page_choice(p, "layer", "3");
    mls_page_alt(p, "It %s.", "falls");
    assert_ok(mls_page_figure(p, folder, "line", "A line.", &err));
    snprintf(path, sizeof path, "%s/index.html", folder);
    assert_ok(mls_page_write(p, path, &err));
    char *html = read_whole(path);

    assert_well_formed(html);
    assert_int_equal(count(html, "<img"), 0);
    assert_non_null(strstr(html, "<figure data-choice=\"layer\" data-value=\"3\">"
                                 "<figcaption>A line. It falls."));
    assert_int_equal(count(html, "download=\"line.csv\""), 1);
    free(html);
    mls_table_free(t);
    mls_page_free(p);
}

static void an_empty_page_is_whole(void **state)
{
    const char *path = test_scratch("empty.html");
    mls_page *p = mls_page_new("");

    (void)state;
    assert_ok(mls_page_write(p, path, &err));
    char *html = read_whole(path);

    assert_well_formed(html);
    free(html);
    mls_page_free(p);
    mls_page_free(NULL);
}

static void a_page_that_cannot_be_written_is_said(void **state)
{
    mls_page *p = mls_page_new("t");

    (void)state;
    assert_refused(mls_page_write(p, test_scratch("no/such/folder.html"), &err),
                   MLS_E_IO, "no/such/folder.html");
    mls_page_free(p);
}

static void drawings_lose_only_what_changes_nothing(void **state)
{
    static const char svg[] =
        "<g fill=\"none\" stroke-linecap=\"butt\" stroke-linejoin=\"miter\">\n</g>\n"
        "<g id=\"a\" stroke-linecap=\"butt\" stroke-linejoin=\"miter\">\n"
        "\t<polygon fill = 'red' points = '1,9 2,9 2,7.5 1,7.5 '/>\n"
        "\t<polygon fill = 'red' points = '1,7.51 2,7.51 2,6 1,6 '/>\n"
        "\t<polygon fill = 'blue' points = '1,6 2,6 2,5 1,5 '/>\n"
        "\t<polygon fill = 'blue' points = '1,3 2,3 2,2 1,2 '/>\n"
        "<text>a < b</text>\n</g>\n";
    mls_buf out = {0};

    (void)state;
    mls_svg_slim(&out, svg);
    assert_false(out.failed);
    mls_buf_add(&out, "", 1);
    assert_string_equal(
        out.data,
        "\n<g id=\"a\">\n"
        "<polygon fill='red' points='1.00,9.00 2.00,9.00 2.00,6.00 1.00,6.00'/>\n"
        "<polygon fill='blue' points='1.00,6.00 2.00,6.00 2.00,5.00 1.00,5.00'/>\n"
        "<polygon fill='blue' points='1.00,3.00 2.00,3.00 2.00,2.00 1.00,2.00'/>\n"
        "<text>a < b</text>\n</g>\n");
    mls_buf_free(&out);
}

static char *filled(size_t n)
{
    char *text = calloc(n + 1, 1);

    assert_non_null(text);
    memset(text, 'x', n);
    return text;
}

/* Three figures' numbers, room for two: the long one stays in the folder. */
static void the_shortest_numbers_go_in(void **state)
{
    mls_downloads d = {0};
    mls_buf out = {0};
    bool in[3];

    (void)state;
    assert_true(mls_downloads_add(&d, 0, 1, strdup("a.csv"), filled(30), 30));
    assert_true(mls_downloads_add(&d, 0, 2, strdup("long.csv"), filled(300), 300));
    assert_true(mls_downloads_add(&d, 1, 0, strdup("b.csv"), filled(3), 3));
    assert_true(mls_downloads_choose(in, &d, 60));
    assert_true(in[0] && !in[1] && in[2]);
    mls_downloads_weave(&out, &d, in, 0, "pqr", 3);
    assert_non_null(strstr(out.data, "p<a class=\"get\" download=\"a.csv\" href=\""
                                     "data:text/csv;base64,eHh4"));
    assert_non_null(
        strstr(out.data, "\">CSV</a>qNumbers: data/long.csv in the report's folder.r"));
    mls_downloads_drop(&d, 0); /* its section is written anew */
    out.len = 0;
    mls_downloads_weave(&out, &d, in + 2, 1, "s", 1);
    assert_string_equal(out.data, "<a class=\"get\" download=\"b.csv\" href=\""
                                  "data:text/csv;base64,eHh4\">CSV</a>s");
    mls_buf_free(&out);
    mls_downloads_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drawings_lose_only_what_changes_nothing),
        cmocka_unit_test(text_of_strangers_is_shown_and_never_obeyed),
        cmocka_unit_test(a_page_loads_nothing_from_outside),
        cmocka_unit_test(a_figure_not_drawn_has_its_numbers_and_its_words),
        cmocka_unit_test(sections_stand_in_the_order_in_which_they_were_begun),
        cmocka_unit_test(a_term_is_explained_where_it_first_stands),
        cmocka_unit_test(an_empty_page_is_whole),
        cmocka_unit_test(a_page_that_cannot_be_written_is_said),
        cmocka_unit_test(the_shortest_numbers_go_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
