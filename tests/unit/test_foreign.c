/* Signs that a text is foreign to the model. */
#include "bench/evaluate/foreign.h"

#include "datasets/tokenizer/tokenizer.h"
#include "tests/support/expect.h"

static void guessing_and_bytes_are_signs(void **state)
{
    mls_foreign f = {.nll = log(900), .V = 2000, .byte_share = 0.2};
    char text[512];

    (void)state;
    assert_false(mls_foreign_text(text, sizeof text, &f));
    assert_string_equal(text, "");
    f.nll = log(1100);
    assert_true(mls_foreign_text(text, sizeof text, &f));
    assert_non_null(strstr(text, "its perplexity is 1100"));
    f.nll = NAN;
    assert_false(mls_foreign_text(text, sizeof text, &f));
    f.byte_share = 0.5;
    assert_true(mls_foreign_text(text, sizeof text, &f));
    assert_non_null(strstr(text, "50 % of its tokens are single bytes"));
}

static void a_loss_that_falls_under_compression_is_a_sign(void **state)
{
    const mls_setting setting[3] = {
        {.method = "kq"}, {.method = "palu"}, {.method = "x"}};
    mls_compared row[3] = {
        {.measured = true, .kl = {0.2, 0.01}, .dnll = {-0.1, 0.06}},   /* within 2 */
        {.measured = true, .kl = {0.2, 0.01}, .dnll = {-0.2, 0.06}},   /* beyond */
        {.measured = true, .kl = {0.01, 0.01}, .dnll = {-0.3, 0.01}}}; /* no change */
    const mls_comparison c = {.n = 3, .row = row};
    mls_foreign f = {.nll = 1, .V = 100, .byte_share = NAN};
    char text[512];

    (void)state;
    mls_foreign_compare(&f, &c, setting);
    assert_true(mls_foreign_text(text, sizeof text, &f));
    assert_non_null(strstr(text, "palu loses 0.200 nat less than the original"));
    f = (mls_foreign){.nll = 1, .V = 100, .byte_share = NAN};
    row[1].dnll.mean = 0.2;
    mls_foreign_compare(&f, &c, setting);
    assert_false(mls_foreign_text(text, sizeof text, &f));
}

static void single_bytes_are_counted(void **state)
{
    static const char english[] = "And God said", chinese[] = "天地";
    mls_tokenizer *tok;
    int32_t *ids;
    size_t n;

    (void)state;
    assert_ok(mls_tokenizer_open(&tok, test_source("datasets/demo"), &err));
    assert_ok(
        mls_tokenizer_encode(tok, english, sizeof english - 1, false, &ids, &n, &err));
    assert_close(mls_tokenizer_byte_share(tok, ids, n), 0, 0);
    free(ids);
    assert_ok(
        mls_tokenizer_encode(tok, chinese, sizeof chinese - 1, false, &ids, &n, &err));
    assert_true(mls_tokenizer_byte_share(tok, ids, n) > 0.9);
    assert_close(mls_tokenizer_byte_share(tok, ids, 0), 0, 0);
    free(ids);
    mls_tokenizer_close(tok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guessing_and_bytes_are_signs),
        cmocka_unit_test(a_loss_that_falls_under_compression_is_a_sign),
        cmocka_unit_test(single_bytes_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
