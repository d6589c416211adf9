/*
 * Checkpoints whose weights follow from the tensors' names, so that an independent
 * program (tests/reference/forward.py, converted.py) makes the same ones: splitmix64 of
 * a counter from FNV-1a of the name, scaled, rounded to bfloat16.
 */
#include "tests/support/named_weights.h"

static uint64_t named_hash(const char *text)
{
    uint64_t h = 0xCBF29CE484222325;

    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001B3;
    return h;
}

double named_uniform(uint64_t seed, const char *name, uint64_t i)
{
    uint64_t z = (i + 1) * 0x9E3779B97F4A7C15 + (named_hash(name) ^ seed);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    z ^= z >> 31;
    return (double)(z >> 40) / (1 << 23) - 1;
}

double *named_doubles(size_t n, const char *name)
{
    double *x = malloc(n * sizeof *x);

    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = named_uniform(0, name, i);
    return x;
}

float *named_floats(size_t n, const char *name, double plus)
{
    float *x = malloc(n * sizeof *x);

    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(named_uniform(0, name, i) + plus);
    return x;
}

static size_t named_elements(const named_tensor *t)
{
    return t->rows * (t->cols ? t->cols : 1);
}

void named_write(const char *folder, const named_tensor *t, size_t n, uint64_t seed)
{
    mls_buf file = {0}, header = {0};
    char path[1200];
    size_t offset = 0;

    for (size_t i = 0; i < n; i++) {
        const size_t end = offset + 2 * named_elements(&t[i]);

        mls_buf_printf(&header, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%zu",
                       i ? "," : "{", t[i].name, t[i].rows);
        if (t[i].cols)
            mls_buf_printf(&header, ",%zu", t[i].cols);
        mls_buf_printf(&header, "],\"data_offsets\":[%zu,%zu]}", offset, end);
        offset = end;
    }
    mls_buf_puts(&header, "}");
    const uint64_t header_len = header.len; /* little-endian, as all our machines are */
    mls_buf_add(&file, (const char *)&header_len, sizeof header_len);
    mls_buf_add(&file, header.data, header.len);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < named_elements(&t[i]); k++) {
            const double x =
                t[i].offset + t[i].scale * named_uniform(seed, t[i].name, k);
            const uint16_t bits = mls_float_to_bf16((float)x);

            mls_buf_add(&file, (const char *)&bits, sizeof bits);
        }
    assert_false(file.failed || header.failed);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    assert_ok(mls_file_write(path, file.data, file.len, &err));
    mls_buf_free(&header);
    mls_buf_free(&file);
}

const char *named_word(char **line)
{
    char *w = *line, *end = w + strcspn(w, " ");

    assert_true(end > w);
    *line = *end ? end + 1 : end;
    *end = '\0';
    return w;
}

size_t named_whole(char **line)
{
    return (size_t)strtoull(named_word(line), NULL, 10);
}

size_t named_each_case(const char *path, void *arg,
                       void (*begin)(void *arg, char *line),
                       void (*read_line)(void *arg, char *line), void (*end)(void *arg))
{
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t size = 0, n = 0;

    assert_non_null(f);
    for (;;) {
        const ssize_t len = getline(&line, &size, f);

        if (len > 0 && line[len - 1] == '\n')
            line[len - 1] = '\0';
        if (len > 0 && strncmp(line, "case ", 5) != 0) {
            if (n > 0)
                read_line(arg, line);
            continue; /* comments stand before the first case */
        }
        if (n > 0)
            end(arg);
        if (len <= 0)
            break;
        begin(arg, line + 5);
        n++;
    }
    free(line);
    fclose(f);
    return n;
}

void named_parse(named_tensor *t, char *line)
{
    snprintf(t->name, NAMED_SIZE, "%s", named_word(&line));
    t->rows = named_whole(&line);
    t->cols = named_whole(&line);
    t->scale = strtod(named_word(&line), NULL);
    t->offset = strtod(named_word(&line), NULL);
}

typedef struct {
    const char *folder, *name;
    bool wanted;
    named_tensor tensor[128];
    size_t n;
} one_case;

static void begin_case(void *arg, char *line)
{
    one_case *c = arg;

    c->wanted = strcmp(named_word(&line), c->name) == 0;
}

static void read_line(void *arg, char *line)
{
    one_case *c = arg;
    const char *kind = c->wanted ? named_word(&line) : "";
    char path[1200];

    if (strcmp(kind, "config") == 0) {
        snprintf(path, sizeof path, "%s/config.json", c->folder);
        assert_ok(mls_file_write(path, line, strlen(line), &err));
    } else if (strcmp(kind, "tensor") == 0) {
        assert_true(c->n < sizeof c->tensor / sizeof c->tensor[0]);
        named_parse(&c->tensor[c->n++], line);
    }
}

static void end_case(void *arg)
{
    (void)arg;
}

void named_model(const char *folder, const char *name)
{
    one_case c = {.folder = folder, .name = name};

    assert_ok(mls_folder_prepare(folder, &err));
    named_each_case(test_source("tests/families/logits.txt"), &c, begin_case, read_line,
                    end_case);
    assert_true(c.n > 0);
    named_write(folder, c.tensor, c.n, 11);
}
