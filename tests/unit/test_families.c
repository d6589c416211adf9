/*
 * Configs of every family that is known, with the bytes that transformers' own cache
 * holds (tests/families/fixtures.py), and of published models with published bytes.
 */
#include "tests/support/expect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/latent/latent.h"
#include "analysis/latent/size.h"
#include "common/system/files.h"
#include "datasets/base/json.h"

enum { BYTES_MAX = 1 << 24, PUBLISHED_TOKENS = 32768 };

/* Bytes of one sequence of T tokens, not rounded to pages. */
static double bytes_of(const mls_config *c, size_t T, mls_size_result *r)
{
    static mls_cache_layout layout;
    const mls_size_request request = {T, 1, 1, 1, 16};

    mls_size_baseline(&layout, c);
    mls_size(r, &layout, &request);
    return r->sequence_bytes;
}

static void check_tiny(const mls_config *c, const char *family, const json_t *rows)
{
    mls_size_result r;
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        const size_t T = (size_t)json_integer_value(json_array_get(row, 0));
        const double want = json_number_value(json_array_get(row, 1));
        const double found = bytes_of(c, T, &r);

        if (found != want)
            fail_msg("%s: %.0f bytes for %zu tokens, expected %.0f", family, found, T,
                     want);
        /* Apart, the fixed and the growing bytes are the same bytes. */
        assert_close(r.fixed_bytes + r.growing_bytes_per_token * (double)T, found,
                     1e-6);
    }
}

static void check_published(const mls_config *c, const char *family, double want)
{
    mls_size_result r;

    bytes_of(c, PUBLISHED_TOKENS, &r);
    /* What grows, or the mean where windows count. */
    if (r.growing_bytes_per_token != want && r.bytes_per_token != want)
        fail_msg("%s: %.0f bytes a token grow, %.0f in the mean, expected %.0f", family,
                 r.growing_bytes_per_token, r.bytes_per_token, want);
}

static void every_family_caches_what_transformers_caches(void **state)
{
    (void)state;
    char *data = NULL, *next = NULL;
    size_t len, n = 0, doubted = 0;

    assert_ok(mls_file_read(test_source("tests/data/families.jsonl"), BYTES_MAX, &data,
                            &len, &err));
    for (char *line = strtok_r(data, "\n", &next); line;
         line = strtok_r(NULL, "\n", &next)) {
        json_t *row;
        char *config;
        mls_config c;
        mls_err e = {0};

        assert_ok(mls_json_parse(&row, line, strlen(line), "families.jsonl", &err));
        const char *family = json_string_value(json_object_get(row, "family"));
        config = json_dumps(json_object_get(row, "config"), 0);
        if (mls_config_parse(&c, config, strlen(config), family, &e))
            fail_msg("%s", e.text);
        doubted += c.doubt[0] != '\0';
        if (json_object_get(row, "bytes"))
            check_tiny(&c, family, json_object_get(row, "bytes"));
        else
            check_published(&c, family,
                            json_number_value(json_object_get(row, "per_token")));
        free(config);
        json_decref(row);
        n++;
    }
    assert_true(n >= 200);
    assert_in_range(doubted, 0, 2); /* Falcon's copies of its KV heads */
    free(data);
}

/*
 * Configs as published models have them, with keys of their own programs: a row has
 * [layers, numbers of a token in a layer, window or nothing], counted by hand.
 */
static void published_models_cache_what_their_layers_say(void **state)
{
    (void)state;
    enum { T = 100000 };
    char *data = NULL, *next = NULL;
    size_t len, n = 0;

    assert_ok(mls_file_read(test_source("tests/data/published.jsonl"), BYTES_MAX, &data,
                            &len, &err));
    for (char *line = strtok_r(data, "\n", &next); line;
         line = strtok_r(NULL, "\n", &next)) {
        json_t *row, *layers;
        double all = 0, grows = 0;
        mls_size_result r;
        mls_config c;
        mls_err e = {0};
        size_t i;

        assert_ok(mls_json_parse(&row, line, strlen(line), "published.jsonl", &err));
        const char *model = json_string_value(json_object_get(row, "model"));
        char *config = json_dumps(json_object_get(row, "config"), 0);

        if (mls_config_parse(&c, config, strlen(config), model, &e) || c.doubt[0])
            fail_msg("%s: %s%s", model, e.text, c.doubt);
        json_array_foreach(json_object_get(row, "layers"), i, layers)
        {
            const double bytes = 2 * json_number_value(json_array_get(layers, 0)) *
                                 json_number_value(json_array_get(layers, 1));
            const double window = json_number_value(json_array_get(layers, 2));

            all += bytes * (window > 0 ? window : T);
            grows += window > 0 ? 0 : bytes;
        }
        const double found = bytes_of(&c, T, &r);

        if (r.growing_bytes_per_token != grows ||
            (!json_object_get(row, "state") && found != all))
            fail_msg("%s: %.0f bytes, %.0f a token grow; expected %.0f and %.0f", model,
                     found, r.growing_bytes_per_token, all, grows);
        free(config);
        json_decref(row);
        n++;
    }
    assert_int_equal(n, 75);
    free(data);
}

/* L items of what is given, which is released. */
static json_t *for_each_layer(json_t *item, size_t L)
{
    json_t *list = json_array();

    for (size_t l = 0; l < L; l++)
        json_array_append(list, item);
    json_decref(item);
    return list;
}

/* One key of a config: refused with a sentence, or a cache of some bytes. */
static void check_mutant(json_t *config, const char *family, const char *key,
                         json_t *value)
{
    json_t *mutant = json_copy(config);
    mls_size_result r;
    mls_config c;
    mls_err e = {0};

    json_object_set_new(mutant, key, value);
    char *text = json_dumps(mutant, JSON_ENCODE_ANY);

    if (mls_config_parse(&c, text, strlen(text), family, &e)) {
        assert_true(e.text[0] != '\0');
    } else if (!(bytes_of(&c, 64, &r) > 0)) {
        fail_msg("%s keeps nothing: %s", family, text);
    }
    free(text);
    json_decref(mutant);
}

/* Of every key of every family, at its top: what people and programs write there. */
static void no_value_of_a_key_crashes_or_means_nothing(void **state)
{
    (void)state;
    char *data = NULL, *next = NULL;
    size_t len;

    assert_ok(mls_file_read(test_source("tests/data/families.jsonl"), BYTES_MAX, &data,
                            &len, &err));
    for (char *line = strtok_r(data, "\n", &next); line;
         line = strtok_r(NULL, "\n", &next)) {
        json_t *row, *value;
        const char *key;

        assert_ok(mls_json_parse(&row, line, strlen(line), "families.jsonl", &err));
        const char *family = json_string_value(json_object_get(row, "family"));
        json_t *config = json_object_get(row, "config");
        const json_int_t given =
            json_integer_value(json_object_get(config, "num_hidden_layers"));
        const size_t L = given > 0 && given < 100 ? (size_t)given : 1;

        json_object_foreach(config, key, value)
        {
            if (json_is_string(value) || json_is_boolean(value) || json_is_real(value))
                continue;
            check_mutant(config, family, key, json_null());
            check_mutant(config, family, key, json_integer(0));
            check_mutant(config, family, key, json_integer(-1));
            check_mutant(config, family, key, json_integer(1));
            check_mutant(config, family, key, json_array());
            check_mutant(config, family, key, json_object());
            check_mutant(config, family, key, for_each_layer(json_null(), L));
            check_mutant(config, family, key, for_each_layer(json_integer(0), L));
            check_mutant(config, family, key, for_each_layer(json_integer(1), L));
        }
        json_decref(row);
    }
    free(data);
}

/* What the first layer that a latent form cannot say has; NULL where there is none. */
static const char *other_of(const mls_config *c)
{
    for (size_t l = 0; l < c->L; l++) {
        const mls_layer_kind kind = c->layer[l].kind;
        const char *other = kind == MLS_LAYER_ATTENTION || kind == MLS_LAYER_MLA
                                ? mls_latent_other(c, l)
                                : NULL;

        if (other)
            return other;
    }
    return NULL;
}

static void remember(json_t *found, const char *type, const char *other)
{
    const char *so_far = json_string_value(json_object_get(found, type));
    char text[256];

    if (!so_far || strcmp(so_far, other ? other : "all") == 0)
        snprintf(text, sizeof text, "%s", other ? other : "all");
    else if (strncmp(so_far, "all", 3) != 0)
        snprintf(text, sizeof text, "all, but not with %.200s", other ? so_far : other);
    else
        snprintf(text, sizeof text, "all, but not with %.200s",
                 other ? other : so_far + strlen("all, but not with "));
    json_object_set_new(found, type, json_string(text));
}

/*
 * One line a computed model_type: "all" where every attention layer of every config has
 * a latent form, so that all methods make one; else what a layer has instead.
 */
static char *forms_of(const char *path)
{
    char *data = NULL, *next = NULL, *out = NULL;
    size_t len, size = 0;
    FILE *f = open_memstream(&out, &size);
    json_t *found = json_object();
    const char *type;
    json_t *why;

    assert_non_null(f);
    assert_ok(mls_file_read(path, BYTES_MAX, &data, &len, &err));
    for (char *line = strtok_r(data, "\n", &next); line;
         line = strtok_r(NULL, "\n", &next)) {
        static mls_config c;
        json_t *row;
        char *config;

        assert_ok(mls_json_parse(&row, line, strlen(line), "families.jsonl", &err));
        config = json_dumps(json_object_get(row, "config"), 0);
        assert_ok(mls_config_parse(&c, config, strlen(config), "config", &err));
        const char *other = c.unsupported[0] ? NULL : other_of(&c);
        if (!c.unsupported[0])
            remember(found, c.model_type, other);
        free(config);
        json_decref(row);
    }
    json_object_foreach(found, type, why)
    {
        fprintf(f, "%s: %s\n", type, json_string_value(why));
    }
    fclose(f);
    json_decref(found);
    free(data);
    return out;
}

/* UPDATE=1 writes the file, from which docs/FAMILIES.md takes its column. */
static void methods_hold_for_the_families_that_the_table_says(void **state)
{
    (void)state;
    char path[1024], *want = NULL;
    char *found = forms_of(test_source("tests/data/families.jsonl"));
    size_t len;

    snprintf(path, sizeof path, "%s", test_source("tests/data/forms.txt"));
    if (getenv("UPDATE")) {
        FILE *f = fopen(path, "w");

        assert_non_null(f);
        assert_true(fputs(found, f) >= 0);
        fclose(f);
    }
    assert_ok(mls_file_read(path, BYTES_MAX, &want, &len, &err));
    assert_string_equal(found, want);
    free(want);
    free(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_caches_what_transformers_caches),
        cmocka_unit_test(published_models_cache_what_their_layers_say),
        cmocka_unit_test(no_value_of_a_key_crashes_or_means_nothing),
        cmocka_unit_test(methods_hold_for_the_families_that_the_table_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
