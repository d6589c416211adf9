/* The readers of files when memory runs out: each allocation fails once, in turn. */
#include "tests/support/expect.h"

#include <jansson.h>

#include "common/system/files.h"
#include "datasets/base/json.h"
#include "datasets/checkpoint/checkpoint.h"
#include "datasets/checkpoint/published.h"
#include "datasets/text/documents.h"

/* The linker sends the project's calls here (--wrap); jansson's come by its hooks. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);

static bool armed;
static size_t seen, target;

static bool fails(void)
{
    return armed && seen++ == target;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

typedef mls_status (*reader)(const char *path, mls_err *err);

/* Let the first, second, ... allocation fail until none is left to fail. */
static void starve_once(reader read, const char *path)
{
    size_t refused = 0;

    for (target = 0;; target++) {
        mls_err e = {0};
        mls_status st;

        seen = 0;
        armed = true;
        st = read(path, &e);
        armed = false;
        if (seen <= target) { /* nothing failed: the work needs `target` allocations */
            assert_int_equal(st, MLS_OK);
            break;
        }
        if (st && (st != MLS_E_NOMEM || !strstr(e.text, "no memory")))
            fail_msg("%s: allocation %zu: status %d \"%s\"", path, target, (int)st,
                     e.text);
        refused += st != MLS_OK;
    }
    assert_in_range(refused, 1, target);
}

static void starve(reader read, const char *path)
{
    json_malloc_t json_malloc;
    json_free_t json_free;

    starve_once(read, path);
    json_get_alloc_funcs(&json_malloc, &json_free);
    json_set_alloc_funcs(__wrap_malloc, free);
    starve_once(read, path);
    json_set_alloc_funcs(json_malloc, json_free);
}

static mls_status read_config(const char *path, mls_err *err)
{
    mls_config c;

    return mls_config_read(&c, path, err);
}

static mls_status read_checkpoint(const char *path, mls_err *err)
{
    mls_checkpoint *c;
    const mls_status st = mls_checkpoint_open(&c, path, err);

    mls_checkpoint_close(c);
    return st;
}

static mls_status read_published(const char *path, mls_err *err)
{
    mls_published *p;
    const mls_status st = mls_published_read(&p, path, err);

    mls_published_free(p);
    return st;
}

static mls_status write_tensors(const char *path, mls_err *err)
{
    const mls_tensor_plan plan[] = {{"a", "F32", 1, {2}}, {"b", "F16", 1, {1}}};
    const char *const metadata[][2] = {{"format", "pt"}};
    const float x[3] = {1, 2, 3};
    mls_safetensors_writer *w;
    mls_status st = mls_safetensors_create(&w, path, plan, 2, metadata, 1, err);

    if (st)
        return st;
    st = mls_safetensors_write_f32(w, x, 3, err);
    if (st) {
        mls_safetensors_abandon(w);
        return st;
    }
    return mls_safetensors_finish(w, err);
}

static mls_status count_documents(void *arg, const char *text, size_t len, mls_err *err)
{
    (void)text, (void)len, (void)err;
    ++*(size_t *)arg;
    return MLS_OK;
}

static mls_status read_documents(const char *path, mls_err *err)
{
    size_t n = 0;
    const mls_status st = mls_documents_read(&path, 1, count_documents, &n, NULL, err);

    assert_true(st || n == 2);
    return st;
}

static void lines_of_json_say_when_memory_is_short(void **state)
{
    static const char lines[] =
        "{\"text\": \"one\"}\n"
        "{\"id\": \"a longer name of a line\", \"text\": \"b\"}\n";
    const char *path = test_scratch("starved.jsonl");

    (void)state;
    assert_ok(mls_file_write(path, lines, sizeof lines - 1, &err));
    starve(read_documents, path);
}

static const char long_text[] =
    "a text that jansson's buffer has to grow for, more than once";

/* Without memory jansson leaves letters out, and says nothing. */
static mls_status read_json(const char *path, mls_err *err)
{
    json_t *root;
    mls_status st = mls_json_read(&root, path, 1 << 10, NULL, err);

    if (!st && strcmp(json_string_value(json_object_get(root, "text")), long_text) != 0)
        st = mls_fail(err, MLS_E_INPUT, "letters are missing");
    json_decref(root);
    return st;
}

static void no_letter_of_a_text_is_lost(void **state)
{
    const char *path = test_scratch("starved.json");
    char json[256];

    (void)state;
    snprintf(json, sizeof json, "{\"text\": \"%s\", \"n\": NaN}", long_text);
    assert_ok(mls_file_write(path, json, strlen(json), &err));
    starve(read_json, path);
}

static void a_config_says_when_memory_is_short(void **state)
{
    (void)state;
    starve(read_config, test_source("datasets/demo"));
}

static void a_checkpoint_says_when_memory_is_short(void **state)
{
    (void)state;
    starve(read_checkpoint, test_source("datasets/demo"));
}

static void a_table_says_when_memory_is_short(void **state)
{
    (void)state;
    starve(read_published, test_source("datasets/published/published_kv.csv"));
}

static void a_writer_says_when_memory_is_short(void **state)
{
    (void)state;
    starve(write_tensors, test_scratch("starved.safetensors"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_config_says_when_memory_is_short),
        cmocka_unit_test(no_letter_of_a_text_is_lost),
        cmocka_unit_test(lines_of_json_say_when_memory_is_short),
        cmocka_unit_test(a_checkpoint_says_when_memory_is_short),
        cmocka_unit_test(a_table_says_when_memory_is_short),
        cmocka_unit_test(a_writer_says_when_memory_is_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
