/*
 * Files as llama.cpp's converter lays them out (tests/families/gguf_layout.txt), made
 * of the numbers of a folder: they have the folder's logits, bit for bit where the
 * converter only moves numbers.
 */
#include "tests/support/expect.h"
#include "tests/support/gguf_fixture.h"
#include "tests/support/logits.h"
#include "tests/support/named_weights.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum { TENSORS_MAX = 400, LEVELS_MAX = 8, TOKENS = 20 };

typedef struct layout {
    char name[NAMED_SIZE], folder[1024];
    uint64_t seed;
    size_t n_tensors, n_numbers;
    named_tensor tensor[TENSORS_MAX];
    float *number; /* of all tensors, in order; made when the first one is put */
    gguf_file file;
    bool decays;
} layout;

static float stored_number(const layout *y, const named_tensor *t, uint64_t i)
{
    const double x = t->offset + t->scale * named_uniform(y->seed, t->name, i);

    return mls_bf16_to_float(mls_float_to_bf16((float)x));
}

static void make_numbers(layout *y)
{
    size_t k = 0;

    if (y->number)
        return;
    y->number = malloc(y->n_numbers * sizeof *y->number);
    assert_non_null(y->number);
    for (size_t i = 0; i < y->n_tensors; i++) {
        const named_tensor *t = &y->tensor[i];

        for (size_t j = 0; j < t->rows * (t->cols ? t->cols : 1); j++)
            y->number[k++] = stored_number(y, t, j);
    }
}

static void add_key(layout *y, char *line)
{
    const char *key = named_word(&line), *kind = named_word(&line);
    const bool list = kind[strlen(kind) - 1] == 's';
    const mls_gguf_type type = kind[0] == 'f'   ? MLS_GGUF_F32
                               : kind[0] == 'b' ? MLS_GGUF_BOOL
                               : kind[0] == 'i' ? MLS_GGUF_I32
                                                : MLS_GGUF_U32;
    size_t n = 1;

    if (strcmp(kind, "text") == 0) {
        gguf_text(&y->file, key, line);
        return;
    }
    for (const char *c = line; *c; c++)
        n += *c == ' ';
    if (list)
        gguf_array(&y->file, key, type, n);
    else
        gguf_key(&y->file, key, type);
    for (size_t i = 0; i < n; i++) {
        const double x = strtod(named_word(&line), NULL);
        const float f = (float)x;
        const unsigned char flag = x != 0;

        if (type == MLS_GGUF_BOOL)
            mls_buf_add(&y->file.keys, (const char *)&flag, 1);
        else if (type == MLS_GGUF_F32)
            mls_buf_add(&y->file.keys, (const char *)&f, sizeof f);
        else
            put_u32(&y->file.keys, (uint64_t)(int64_t)x);
    }
}

/* Numbers at "FIRST:STEPxCOUNT:..." behind out[0 .. n-1]; how many there are then. */
static size_t add_part(const layout *y, const char *part, float *out, size_t n,
                       size_t room)
{
    long step[LEVELS_MAX], count[LEVELS_MAX], at[LEVELS_MAX] = {0};
    char *end;
    const long first = strtol(part, &end, 10);
    size_t levels = 0, level = 0;

    for (; *end == ':'; levels++) {
        assert_true(levels < LEVELS_MAX);
        step[levels] = strtol(end + 1, &end, 10);
        assert_true(*end == 'x');
        count[levels] = strtol(end + 1, &end, 10);
    }
    while (level < levels || levels == 0) {
        long place = first;

        for (size_t i = 0; i < levels; i++)
            place += at[i] * step[i];
        assert_true(place >= 0 && (size_t)place < y->n_numbers && n < room);
        out[n++] = y->number[place];
        for (level = 0; level < levels && ++at[level] == count[level]; level++)
            at[level] = 0;
        if (levels == 0)
            break;
    }
    return n;
}

static void put_tensor(layout *y, char *line)
{
    const char *name = named_word(&line);
    char *dims = (char *)(uintptr_t)named_word(&line);
    const char *how = named_word(&line);
    uint64_t ne[4];
    size_t n_dims = 0, total = 1, n = 0;
    float *x;

    make_numbers(y);
    for (char *at = dims; *at; at += *at == ',') {
        assert_true(n_dims < 4);
        ne[n_dims] = strtoull(at, &at, 10);
        total *= ne[n_dims++];
    }
    x = malloc(total * sizeof *x);
    assert_non_null(x);
    while (*line) {
        const char *word = named_word(&line);

        if (strcmp(how, "numbers") == 0)
            x[n++] = strtof(word, NULL);
        else
            n = add_part(y, word, x, n, total);
    }
    assert_int_equal(n, total);
    for (size_t i = 0; i < total && strcmp(how, "decay") == 0; i++)
        x[i] = -expf(x[i]);
    for (size_t i = 0; i < total && strcmp(how, "plus1") == 0; i++)
        x[i] += 1.0F;
    y->decays |= strcmp(how, "decay") == 0;
    gguf_tensor(&y->file, name, 0, n_dims, ne, x, total * sizeof *x);
    free(x);
}

static void begin_case(void *arg, char *line)
{
    layout *y = arg;

    snprintf(y->name, sizeof y->name, "%s", named_word(&line));
    y->seed = named_whole(&line);
    snprintf(y->folder, sizeof y->folder, "%s", test_scratch(y->name));
    assert_ok(mls_folder_prepare(y->folder, &err));
}

static void read_line(void *arg, char *line)
{
    layout *y = arg;
    const char *kind = named_word(&line);
    char path[1100];

    if (strcmp(kind, "config") == 0) {
        snprintf(path, sizeof path, "%s/config.json", y->folder);
        assert_ok(mls_file_write(path, line, strlen(line), &err));
    } else if (strcmp(kind, "tensor") == 0) {
        named_tensor *t = &y->tensor[y->n_tensors++];

        assert_true(y->n_tensors <= TENSORS_MAX);
        named_parse(t, line);
        y->n_numbers += t->rows * (t->cols ? t->cols : 1);
    } else if (strcmp(kind, "key") == 0) {
        add_key(y, line);
    } else {
        assert_string_equal(kind, "put");
        put_tensor(y, line);
    }
}

static void end_case(void *arg)
{
    layout *y = arg;
    const char *path = test_scratch("layout.gguf");
    int32_t ids[TOKENS];
    size_t start[] = {0, TOKENS};
    const mls_corpus corpus = {.ids = ids, .n_ids = TOKENS, .start = start, .N = 1};
    mls_model *folder, *file;
    mls_err err = {0};
    float *a, *b;

    named_write(y->folder, y->tensor, y->n_tensors, y->seed);
    gguf_save(&y->file, path);
    if (mls_model_open(&folder, y->folder, &err) || mls_model_open(&file, path, &err))
        fail_msg("%s: %s", y->name, err.text);
    const size_t V = mls_model_config(folder)->V;

    assert_int_equal(mls_checkpoint_warnings(mls_model_checkpoint(file)), 0);
    for (size_t t = 0; t < TOKENS; t++)
        ids[t] = (int32_t)((t * 29 + 3) % V);
    a = logits_of(folder, &corpus, 1, 1);
    b = logits_of(file, &corpus, 1, 1);
    for (size_t i = 0; i < TOKENS * V; i++)
        if (y->decays ? !(fabsf(a[i] - b[i]) <= 1e-5F * (1 + fabsf(a[i])))
                      : memcmp(&a[i], &b[i], sizeof a[i]) != 0)
            fail_msg("%s: token %zu, logit %zu is %.9g, of the folder %.9g", y->name,
                     i / V, i % V, (double)b[i], (double)a[i]);
    free(a);
    free(b);
    mls_model_close(folder);
    mls_model_close(file);
    unlink(path);
    free(y->number);
    gguf_free(&y->file);
    memset(y, 0, sizeof *y);
}

static void files_of_the_converter_have_the_logits_of_their_folders(void **state)
{
    (void)state;
    static layout y;

    assert_int_equal(named_each_case(test_source("tests/families/gguf_layout.txt"), &y,
                                     begin_case, read_line, end_case),
                     14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_the_converter_have_the_logits_of_their_folders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
