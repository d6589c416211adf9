#include "tests/support/expect.h"

#include "common/system/files.h"
#include "common/system/hash.h"
#include "reports/page/plot.h"

static mls_table *numbers(void)
{
    mls_table *t = mls_table_new(NULL);

    mls_table_column(t, "x", "x", "", 0);
    mls_table_column(t, "y", "y", "", 0);
    for (long long i = 1; i < 9; i++) {
        mls_table_row(t);
        mls_table_count(t, i);
        mls_table_real(t, i == 4 ? (double)NAN : 1 / (double)i);
    }
    return t;
}

static uint64_t hash_of(const char *folder, const char *name)
{
    char path[512];
    uint64_t hash, n;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(mls_xxh3_file(path, 0, &hash, &n, &err));
    assert_true(n > 0);
    return hash;
}

static void a_picture_has_its_numbers_and_script_and_the_same_bytes_again(void **state)
{
    static const char *const files[] = {"data/curve.csv", "plots/curve.gp",
                                        "plots/curve.svg", "plots/curve.png"};
    const char *folders[] = {test_scratch("first"), test_scratch("second")};
    mls_table *t = numbers();
    const mls_plot plot = {.name = "curve",
                           .data = t,
                           .script =
                               "plot \"../data/curve.csv\" using \"x\":\"y\" with "
                               "linespoints title \"é <b>\"\n"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_ok(mls_folder_prepare(folders[i], &err));
        assert_ok(mls_plot_write(folders[i], &plot, &err));
        assert_ok(mls_plot_draw(folders[i], "curve", &err));
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(hash_of(folders[0], files[i]), hash_of(folders[1], files[i]));
    mls_table_free(t);
}

static void a_script_that_fails_is_told_in_one_sentence(void **state)
{
    static const struct {
        const char *script, *part;
    } cases[] = {
        {"plot \"../data/bad.csv\" using \"x\":\"z\"\n", "bad.gp: gnuplot: "},
        {"nonsense\n", "invalid command"},
        {"set yrange [0:0]\nplot 1 / 0\n", "gnuplot: "},
    };
    const char *folder = test_scratch("bad");
    mls_table *t = numbers();

    (void)state;
    assert_ok(mls_folder_prepare(folder, &err));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const mls_plot plot = {.name = "bad", .data = t, .script = cases[i].script};
        mls_err said = {0};

        assert_ok(mls_plot_write(folder, &plot, &said));
        assert_int_equal(mls_plot_draw(folder, "bad", &said), MLS_E_IO);
        assert_non_null(strstr(said.text, cases[i].part));
        assert_null(strchr(said.text, '\n'));
    }
    mls_table_free(t);
}

static void without_gnuplot_the_sentence_says_what_to_install(void **state)
{
    const char *folder = test_scratch("missing");
    char *path = strdup(getenv("PATH"));
    mls_table *t = numbers();
    const mls_plot plot = {.name = "p", .data = t, .script = "plot 1\n"};

    (void)state;
    assert_ok(mls_folder_prepare(folder, &err));
    assert_ok(mls_plot_write(folder, &plot, &err));
    assert_ok(mls_plot_check(&err));
    setenv("PATH", folder, 1);
    assert_refused(mls_plot_draw(folder, "p", &err), MLS_E_IO,
                   "gnuplot cannot be started: No such file or directory; install "
                   "gnuplot-nox");
    assert_refused(mls_plot_check(&err), MLS_E_IO,
                   "gnuplot cannot be started: No such file or directory; install "
                   "gnuplot-nox");
    setenv("PATH", path, 1);
    free(path);
    mls_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_has_its_numbers_and_script_and_the_same_bytes_again),
        cmocka_unit_test(a_script_that_fails_is_told_in_one_sentence),
        cmocka_unit_test(without_gnuplot_the_sentence_says_what_to_install),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
