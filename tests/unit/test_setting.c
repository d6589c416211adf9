#include "tests/support/expect.h"

#include "bench/frame/common_keys.h"
#include "bench/setting/keys.h"
#include "bench/setting/setting.h"

static void a_setting_is_a_method_and_its_keys_in_order(void **state)
{
    (void)state;
    mls_setting s;
    char text[256];

    assert_ok(mls_setting_parse(
        &s, "  mha2mla rope=2-norm  chunks=4\trank=32 svd=joint bits=4\n", &err));
    assert_string_equal(s.method, "mha2mla");
    assert_int_equal(s.n, 5);
    assert_string_equal(mls_setting_get(&s, "rope"), "2-norm");
    assert_null(mls_setting_get(&s, "layers"));
    assert_string_equal(mls_setting_text(&s, text, sizeof text),
                        "mha2mla rope=2-norm chunks=4 rank=32 svd=joint bits=4");
    mls_setting again;
    assert_ok(mls_setting_parse(&again, text, &err));
    assert_memory_equal(&again, &s, sizeof s);
}

static void text_is_cut_at_the_size_of_its_buffer(void **state)
{
    (void)state;
    mls_setting s;
    char text[14];

    assert_ok(mls_setting_parse(&s, "mha2mla chunks=4 rank=32", &err));
    assert_string_equal(mls_setting_text(&s, text, sizeof text), "mha2mla chunk");
}

static void grammar_mistakes_are_refused_with_the_word(void **state)
{
    (void)state;
    mls_setting s;
    char longer[400];

    assert_refused(mls_setting_parse(&s, "  ", &err), MLS_E_ARG, "name of a method");
    assert_refused(mls_setting_parse(&s, "rank=4", &err), MLS_E_ARG, "rank=4");
    assert_refused(mls_setting_parse(&s, "m rank", &err), MLS_E_ARG, "\"rank\"");
    assert_refused(mls_setting_parse(&s, "m rank=", &err), MLS_E_ARG, "no value");
    assert_refused(mls_setting_parse(&s, "m =3", &err), MLS_E_ARG, "cannot be a key");
    assert_refused(mls_setting_parse(&s, "m a=1 a=2", &err), MLS_E_ARG, "twice");
    memset(longer, 'x', sizeof longer - 1);
    memcpy(longer, "m k=", 4);
    longer[sizeof longer - 1] = '\0';
    assert_refused(mls_setting_parse(&s, longer, &err), MLS_E_ARG, "longer than 255");
    mls_setting *all;
    size_t n;
    assert_refused(mls_setting_expand("m a=1 a=2", &all, &n, &err), MLS_E_ARG, "twice");
    assert_refused(mls_setting_expand("m rank", &all, &n, &err), MLS_E_ARG, "\"rank\"");
    assert_refused(mls_setting_expand("", &all, &n, &err), MLS_E_ARG, "name");
    assert_refused(mls_setting_expand(longer, &all, &n, &err), MLS_E_ARG, "longer");
}

static void lists_and_ranges_expand_with_the_first_key_slowest(void **state)
{
    (void)state;
    static const char *const want[] = {
        "m rope=2-norm rank=16 bits=2", "m rope=2-norm rank=16 bits=4",
        "m rope=2-norm rank=32 bits=2", "m rope=2-norm rank=32 bits=4",
        "m rope=high rank=16 bits=2",   "m rope=high rank=16 bits=4",
        "m rope=high rank=32 bits=2",   "m rope=high rank=32 bits=4",
    };
    mls_setting *s;
    size_t n;
    char text[256];

    assert_ok(mls_setting_expand("m rope=2-norm,high rank=16-32+16 bits=2-4*2", &s, &n,
                                 &err));
    assert_int_equal(n, 8);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(mls_setting_text(&s[i], text, sizeof text), want[i]);
    free(s);
}

static void words_that_only_look_like_ranges_stay_whole(void **state)
{
    (void)state;
    mls_setting *s;
    size_t n;

    assert_ok(
        mls_setting_expand("m rope=2-norm quant=int4/64+128 x=1-2x", &s, &n, &err));
    assert_int_equal(n, 1);
    assert_string_equal(mls_setting_get(s, "quant"), "int4/64+128");
    assert_string_equal(mls_setting_get(s, "x"), "1-2x");
    free(s);
}

static void size_lists_follow_the_grammar_of_llama_bench(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t want[8], n;
    } cases[] = {
        {"8", {8}, 1},
        {"8,16", {8, 16}, 2},
        {"3-6", {3, 4, 5, 6}, 4},
        {"16-128+32", {16, 48, 80, 112}, 4},
        {"16-256*2", {16, 32, 64, 128, 256}, 5},
        {"16-255*4", {16, 64}, 2},
        {"1,4-5,16-32*2", {1, 4, 5, 16, 32}, 5},
        {"18446744073709551615-18446744073709551615", {SIZE_MAX}, 1},
    };

    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        size_t *list, n;

        assert_ok(
            mls_size_list("--tokens", cases[c].text, 1, SIZE_MAX, &list, &n, &err));
        assert_int_equal(n, cases[c].n);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(list[i], cases[c].want[i]);
        free(list);
    }
}

static void size_lists_refuse_what_is_not_a_list_of_numbers(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "8,",
                                      ",8",
                                      "x",
                                      "8-",
                                      "5-3",
                                      "1-9+0",
                                      "1-9*1",
                                      "0-9*2",
                                      "-3",
                                      "1-200",
                                      "0",
                                      "1.5",
                                      "1-9+x",
                                      "8 ",
                                      "99999999999999999999999",
                                      "1-99999999999999999999"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t *list, n;

        assert_refused(mls_size_list("--tokens", bad[i], 1, 100, &list, &n, &err),
                       MLS_E_ARG, "--tokens");
        assert_null(list);
    }
    size_t *list, n;
    assert_refused(mls_size_list("--t", "1-10001", 1, SIZE_MAX, &list, &n, &err),
                   MLS_E_ARG, "more than 10000");
}

static void too_many_settings_are_refused_before_memory_is_taken(void **state)
{
    (void)state;
    mls_setting *s;
    size_t n;

    assert_refused(mls_setting_expand("m a=1-999 b=1-999", &s, &n, &err), MLS_E_ARG,
                   "more than 10000");
    assert_null(s);
}

static void layers_are_one_value_and_semicolons_separate_alternatives(void **state)
{
    (void)state;
    mls_setting *s;
    size_t n;
    static mls_config c = {.L = 8};
    mls_common_keys k;

    assert_ok(mls_setting_expand("m layers=0,2,5-7;1-7+3 rank=8,16", &s, &n, &err));
    assert_int_equal(n, 4);
    assert_string_equal(mls_setting_get(&s[0], "layers"), "0,2,5-7");
    assert_string_equal(mls_setting_get(&s[2], "layers"), "1-7+3");
    assert_ok(mls_common_keys_read(&k, &c, &s[0], &err));
    assert_memory_equal(k.converted, ((bool[]){1, 0, 1, 0, 0, 1, 1, 1}), 8);
    assert_ok(mls_common_keys_read(&k, &c, &s[2], &err));
    assert_memory_equal(k.converted, ((bool[]){0, 1, 0, 0, 1, 0, 0, 1}), 8);
    c.L = 7;
    assert_refused(mls_common_keys_read(&k, &c, &s[0], &err), MLS_E_INPUT,
                   "layer 7, the model has layers 0 to 6");
    c.L = 8;
    free(s);

    mls_setting all;
    assert_ok(mls_setting_parse(&all, "m", &err));
    assert_ok(mls_common_keys_read(&k, &c, &all, &err));
    assert_memory_equal(k.converted, ((bool[]){1, 1, 1, 1, 1, 1, 1, 1}), 8);
    assert_ok(mls_setting_parse(&all, "m layers=x", &err));
    assert_refused(mls_common_keys_read(&k, &c, &all, &err), MLS_E_ARG, "m: layers");
}

static void values_are_read_with_their_range(void **state)
{
    (void)state;
    static const char *const svd[] = {"joint", "split", NULL};
    mls_setting s;
    size_t n;
    double x;

    assert_ok(mls_setting_parse(&s, "m rank=32 balance=0.5 svd=split", &err));
    assert_ok(mls_setting_size(&s, "rank", 7, 1, 32, &n, &err));
    assert_int_equal(n, 32);
    assert_ok(mls_setting_size(&s, "chunks", 7, 1, 3, &n, &err));
    assert_int_equal(n, 7);
    assert_refused(mls_setting_size(&s, "rank", 7, 1, 31, &n, &err), MLS_E_ARG,
                   "rank is a whole number from 1 to 31, found \"32\"");
    assert_refused(mls_setting_size(&s, "svd", 7, 1, 31, &n, &err), MLS_E_ARG, "split");
    assert_ok(mls_setting_real(&s, "balance", 1, 0, 2, &x, &err));
    assert_true(x == 0.5);
    assert_ok(mls_setting_real(&s, "none", 1, 0, 2, &x, &err));
    assert_true(x == 1);
    assert_refused(mls_setting_real(&s, "balance", 1, 1, 2, &x, &err), MLS_E_ARG,
                   "0.5");
    assert_ok(mls_setting_word(&s, "svd", svd, &n, &err));
    assert_int_equal(n, 1);
    assert_ok(mls_setting_word(&s, "none", svd, &n, &err));
    assert_int_equal(n, 0);
    assert_ok(mls_setting_parse(&s, "m svd=jont", &err));
    assert_refused(mls_setting_word(&s, "svd", svd, &n, &err), MLS_E_ARG,
                   "one of joint, split, found \"jont\"; did you mean joint?");
}

static void unknown_keys_are_refused_with_the_nearest_known_one(void **state)
{
    (void)state;
    static const mls_key own[] = {{.name = "rope"}, {.name = "chunks"}, MLS_KEYS_END};
    static const mls_key common[] = {{.name = "rank"}, MLS_KEYS_END};
    mls_setting s;

    assert_ok(mls_setting_parse(&s, "m rank=1 chunks=2", &err));
    assert_ok(mls_keys_check(&s, own, common, &err));
    assert_ok(mls_setting_parse(&s, "m rnak=1", &err));
    assert_refused(mls_keys_check(&s, own, common, &err), MLS_E_ARG,
                   "m has no key rnak; did you mean rank?");
    assert_ok(mls_setting_parse(&s, "m frequencies=1", &err));
    assert_refused(mls_keys_check(&s, own, common, &err), MLS_E_ARG,
                   "it takes rope, chunks, rank");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_setting_is_a_method_and_its_keys_in_order),
        cmocka_unit_test(text_is_cut_at_the_size_of_its_buffer),
        cmocka_unit_test(grammar_mistakes_are_refused_with_the_word),
        cmocka_unit_test(lists_and_ranges_expand_with_the_first_key_slowest),
        cmocka_unit_test(words_that_only_look_like_ranges_stay_whole),
        cmocka_unit_test(size_lists_follow_the_grammar_of_llama_bench),
        cmocka_unit_test(size_lists_refuse_what_is_not_a_list_of_numbers),
        cmocka_unit_test(too_many_settings_are_refused_before_memory_is_taken),
        cmocka_unit_test(layers_are_one_value_and_semicolons_separate_alternatives),
        cmocka_unit_test(values_are_read_with_their_range),
        cmocka_unit_test(unknown_keys_are_refused_with_the_nearest_known_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
