#include "tests/support/expect.h"

#include "reports/report/predictors.h"

/*
 * Two sizes of four settings; key error ranks as KL does, value error as its opposite.
 */
static void make(mls_prediction p[8])
{
    for (size_t i = 0; i < 8; i++)
        p[i] = (mls_prediction){
            .method = i % 2 ? "a" : "b",
            .setting = "s",
            .size = i < 4 ? 0.5 : 0.25,
            .kl = 1.0 + (double)i,
            .predicted = {.key = 0.1 * (double)(i + 1),
                          .value = 1.0 / (double)(i + 1),
                          .logit = i < 4 ? 4.0 - (double)i : 20.0 - (double)i,
                          .logit_relative = 1,
                          .output = i == 7 ? (double)NAN : 2.0,
                          .attention = (double)NAN}};
}

static void predictors_are_ranked_over_all_and_at_equal_size(void **state)
{
    mls_predictor rank[MLS_PREDICTORS];
    mls_prediction p[8];
    char text[512];

    (void)state;
    make(p);
    assert_ok(mls_predictors_rank(rank, p, 8, &err));
    assert_string_equal(rank[0].name, "key error");
    assert_int_equal(rank[0].n, 8);
    assert_close(rank[0].rank, 1, 1e-15);
    assert_close(rank[0].rank_equal_size, 1, 1e-15);
    assert_close(rank[1].rank, -1, 1e-15);
    /*
     * Ranks of logit errors are 4 3 2 1 8 7 6 5: sum of squared differences 40, so
     * 1 - 6 * 40 / (8 * 63) over all; inside each size the order is turned around.
     */
    assert_close(rank[2].rank, 1.0 - 240.0 / 504.0, 1e-15);
    assert_close(rank[2].rank_equal_size, -1, 1e-15);
    assert_int_equal(rank[3].n, 7); /* one setting has no output error */
    assert_true(isnan(rank[3].rank) && isnan(rank[3].rank_equal_size)); /* all equal */
    mls_predictors_say(rank, text, sizeof text);
    assert_string_equal(text,
                        "On this model the key error deserves most trust: it orders 8 "
                        "settings as measured KL does with a rank correlation of 1.00 "
                        "among settings of equal size; the value error deserves least "
                        "(-1.00).");
}

static void poor_predictors_are_not_recommended(void **state)
{
    mls_predictor rank[MLS_PREDICTORS];
    mls_prediction p[8];
    char text[512];

    (void)state;
    make(p);
    for (size_t i = 0; i < 8; i++)
        p[i].kl = -p[i].kl; /* now value and logit rank well, key does not */
    assert_ok(mls_predictors_rank(rank, p, 8, &err));
    assert_close(rank[1].rank, 1, 1e-15);
    for (size_t i = 0; i < 8; i++)
        p[i].predicted.value = p[i].predicted.logit = (double)NAN;
    assert_ok(mls_predictors_rank(rank, p, 8, &err));
    mls_predictors_say(rank, text, sizeof text);
    assert_non_null(strstr(text, "No predicted error deserves trust on this model: the "
                                 "best, key error, orders 8 settings with a "
                                 "rank correlation of only -1.00"));
    for (size_t i = 0; i < 8; i++)
        p[i].predicted.key = (double)NAN;
    assert_ok(mls_predictors_rank(rank, p, 8, &err));
    mls_predictors_say(rank, text, sizeof text);
    assert_string_equal(text,
                        "No predicted error can be compared with measured KL here.");
    assert_ok(mls_predictors_rank(rank, p, 0, &err));
}

static void a_loss_that_is_not_in_the_form_is_not_ranked(void **state)
{
    mls_predictor rank[MLS_PREDICTORS];
    mls_prediction p[8];

    (void)state;
    make(p);
    p[7].predicted = (mls_predicted){1e-16, 1e-17, 1e-9, 1e-9, 1e-16, NAN};
    assert_ok(mls_predictors_rank(rank, p, 8, &err));
    assert_int_equal(rank[0].n, 7);
    assert_close(rank[0].rank, 1, 1e-15);
    p[6].predicted.value = 0; /* one error of nothing among others is a prediction */
    assert_ok(mls_predictors_rank(rank, p, 8, &err));
    assert_int_equal(rank[1].n, 7);
}

static void settings_of_many_sizes_are_ranked_together(void **state)
{
    mls_predictor rank[MLS_PREDICTORS];
    mls_prediction p[8];
    char text[512];

    (void)state;
    make(p);
    for (size_t i = 0; i < 8; i++)
        p[i].size = (double)i; /* no four of one size */
    assert_ok(mls_predictors_rank(rank, p, 8, &err));
    assert_true(isnan(rank[0].rank_equal_size));
    mls_predictors_say(rank, text, sizeof text);
    assert_non_null(strstr(text,
                           "key error deserves most trust: it orders 8 settings as "
                           "measured KL does with a rank correlation of 1.00;"));
}

static void a_picture_is_drawn_where_two_points_are(void **state)
{
    const char *folder = test_scratch("predictors");
    mls_predictor rank[MLS_PREDICTORS];
    mls_prediction p[8];
    char name[MLS_PREDICTOR_NAME];
    bool drawn = false;

    (void)state;
    make(p);
    p[0].predicted.value = 0; /* no place on a logarithmic axis */
    assert_ok(mls_predictors_rank(rank, p, 8, &err));
    assert_int_equal(mls_predictors_best(rank), 0);
    assert_ok(mls_predictor_plot(folder, p, 8, 1, name, &drawn, &err));
    assert_true(drawn);
    assert_string_equal(name, "predictor-value");
    assert_ok(mls_predictor_plot(folder, p, 1, 0, name, &drawn, &err));
    assert_false(drawn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(predictors_are_ranked_over_all_and_at_equal_size),
        cmocka_unit_test(poor_predictors_are_not_recommended),
        cmocka_unit_test(a_loss_that_is_not_in_the_form_is_not_ranked),
        cmocka_unit_test(settings_of_many_sizes_are_ranked_together),
        cmocka_unit_test(a_picture_is_drawn_where_two_points_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
