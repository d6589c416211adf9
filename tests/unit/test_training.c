/* Budgets, the forecast and the losses that healing keeps, read back. */
#include "tests/support/expect.h"

#include "bench/heal/losses.h"
#include "common/system/files.h"
#include "reports/report/training.h"

static const char *folder_with(const char *name, const char *file, const char *text)
{
    static char folder[256];
    char path[300];

    snprintf(folder, sizeof folder, "%s", test_scratch(name));
    assert_ok(mls_folder_prepare(folder, &err));
    if (file) {
        snprintf(path, sizeof path, "%s/%s", folder, file);
        assert_ok(mls_file_write(path, text, strlen(text), &err));
    }
    return folder;
}

static void a_forecast_is_a_line_in_logarithms(void **state)
{
    mls_forecast f;
    bool found;

    (void)state;
    assert_ok(
        mls_forecast_read(&f, &found, folder_with("no-forecast", NULL, ""), &err));
    assert_false(found);
    assert_ok(mls_forecast_read(
        &f, &found,
        folder_with("forecast", "forecast.csv",
                    "model,settings,tokens,intercept,slope,factor,low,high\n"
                    "demo,40,1e6,-0.5,0.9,1.2,0.05,2\n"),
        &err));
    assert_true(found);
    assert_close(mls_forecast_kl(&f, 0.2), exp(-0.5) * pow(0.2, 0.9), 1e-12);
    assert_true(isnan(mls_forecast_kl(&f, 0.04)) && isnan(mls_forecast_kl(&f, 2.1)));
    assert_refused(mls_forecast_read(&f, &found,
                                     folder_with("bad-forecast", "forecast.csv",
                                                 "model,settings\ndemo,40\n"),
                                     &err),
                   MLS_E_INPUT, "row 1 has no number in column tokens");
}

static void budgets_cost_gpu_hours(void **state)
{
    mls_buf csv = {0};
    mls_table *t;

    (void)state;
    assert_ok(
        mls_budgets_table(&t,
                          folder_with("budgets", "budgets.csv",
                                      "tokens_low,tokens_high,for,evidence,source\n"
                                      "1e9,3e9,strong,much,a paper\n"),
                          7e9, &err));
    assert_ok(mls_table_print(t, MLS_FORMAT_CSV, &csv, &err));
    /* 8 * 7e9 * 1e9 / 400e12 / 3600 = 38.89 */
    assert_non_null(strstr(csv.data, "\"38.888888888888"));
    assert_non_null(strstr(csv.data, "\"116.66666666666"));
    mls_buf_free(&csv);
    mls_table_free(t);
}

static void losses_are_read_back(void **state)
{
    mls_heal_layer_result wrote = {.converted = true, .seconds = 2}, read[3];
    const char *folder;
    mls_buf text = {0};
    mls_healed *h = &wrote.losses;

    (void)state;
    *h = (mls_healed){.train_before = 0.5,
                      .train_after = 0.25,
                      .held_before = 0.75,
                      .held_after = 0.375,
                      .closed = 0.625,
                      .steps = 4,
                      .best = 2,
                      .n_points = 2,
                      .point = {{0, 0.625}, {2, 0.375}}};
    mls_buf_puts(&text, "# what this is\n");
    mls_losses_header(&text);
    mls_losses_add(&text, 1, &wrote);
    mls_losses_add(&text, 7, &wrote); /* no layer of this model */
    folder = folder_with("losses", "healing.csv", text.data);
    assert_ok(mls_losses_read(read, 3, folder, &err));
    assert_false(read[0].converted || read[2].converted);
    assert_true(read[1].converted && !read[1].losses.kept);
    assert_close(read[1].losses.held_after, 0.375, 0);
    assert_close(read[1].losses.closed, 0.625, 0);
    assert_int_equal(read[1].losses.best, 2);
    assert_int_equal(read[1].losses.n_points, 2);
    assert_int_equal(read[1].losses.point[1].step, 2);
    assert_close(read[1].losses.point[1].held, 0.375, 0);
    mls_buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_forecast_is_a_line_in_logarithms),
        cmocka_unit_test(budgets_cost_gpu_hours),
        cmocka_unit_test(losses_are_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
