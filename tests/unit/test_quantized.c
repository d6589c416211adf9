/*
 * Quantized matrices of safetensors files: tests/reference/quantized.txt has parts as
 * their libraries store them, and the SHA-256 of the floats that they make of them.
 */
#include "tests/support/expect.h"

#include <string.h>
#include <sys/stat.h>

#include "common/system/files.h"
#include "common/system/hash.h"
#include "datasets/checkpoint/checkpoint.h"

enum { PARTS = 8, LINE = 1 << 16, NUMBERS = 1024 };

typedef struct parts {
    mls_tensor_plan plan[PARTS];
    char name[PARTS][128], dtype[PARTS][16];
    unsigned char *bytes[PARTS];
    size_t size[PARTS], n;
} parts;

static unsigned nibble(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
}

/* "NAME DTYPE 8,64 HEX" */
static void add_part(parts *p, const char *line)
{
    char shape[64], hex[LINE];
    const size_t i = p->n++;
    mls_tensor_plan *plan = &p->plan[i];

    assert_true(i < PARTS);
    hex[0] = '\0';
    assert_true(sscanf(line, "part %127s %15s %63s %65535s", p->name[i], p->dtype[i],
                       shape, hex) == 4);
    plan->name = p->name[i];
    plan->dtype = p->dtype[i];
    for (char *at = shape; *at >= '0' && *at <= '9';) {
        plan->shape[plan->n_dims++] = strtoull(at, &at, 10);
        at += *at == ',';
    }
    p->size[i] = strlen(hex) / 2;
    p->bytes[i] = malloc(p->size[i] + 1);
    assert_non_null(p->bytes[i]);
    for (size_t k = 0; k < p->size[i]; k++)
        p->bytes[i][k] =
            (unsigned char)(nibble(hex[2 * k]) << 4 | nibble(hex[2 * k + 1]));
}

/* A Llama that lacks everything else; config is "{...}". */
static const char *folder_of(const parts *p, const char *config)
{
    static size_t n;
    char name[32], file[64], text[2048];
    mls_safetensors_writer *w;

    snprintf(name, sizeof name, "quantized-%zu", n++);
    assert_int_equal(mkdir(test_scratch(name), 0700), 0);
    snprintf(text, sizeof text,
             "{\"model_type\": \"llama\", \"hidden_size\": 64, \"vocab_size\": 3, "
             "\"intermediate_size\": 8, \"num_hidden_layers\": 1, "
             "\"num_attention_heads\": 2, \"num_key_value_heads\": 2, %s",
             config + 1);
    snprintf(file, sizeof file, "%s/config.json", name);
    assert_ok(mls_file_write(test_scratch(file), text, strlen(text), &err));
    snprintf(file, sizeof file, "%s/model.safetensors", name);
    assert_ok(
        mls_safetensors_create(&w, test_scratch(file), p->plan, p->n, NULL, 0, &err));
    for (size_t i = 0; i < p->n; i++)
        assert_ok(mls_safetensors_write_raw(w, p->bytes[i], p->size[i], &err));
    assert_ok(mls_safetensors_finish(w, &err));
    return test_scratch(name);
}

static void forget(parts *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->bytes[i]);
    memset(p, 0, sizeof *p);
}

/* The whole, and pieces that begin and end inside of rows. */
static void compare(const parts *p, const char *config, const char *line)
{
    float all[NUMBERS], piece[37];
    char want[65], hex[65], first[32];
    mls_sha256 *sum;
    mls_checkpoint *c;

    assert_true(sscanf(line, "want %64s %31s", want, first) == 2);
    assert_ok(mls_checkpoint_open(&c, folder_of(p, config), &err));
    assert_string_equal(mls_checkpoint_config(c)->unsupported, "");
    assert_int_equal(mls_checkpoint_tensors(c), 1);
    const mls_tensor_info *t = mls_checkpoint_tensor(c, 0, NULL);
    const size_t n = (size_t)t->n_elements;

    assert_true(n <= NUMBERS && mls_checkpoint_readable(c, 0));
    assert_false(mls_checkpoint_copyable(c, 0));
    assert_ok(mls_checkpoint_read_at(c, 0, 0, n, all, &err));
    assert_true(all[0] == strtof(first, NULL));
    assert_ok(mls_sha256_new(&sum, &err));
    mls_sha256_add(sum, all, n * sizeof *all);
    mls_sha256_hex(sum, hex);
    mls_sha256_free(sum);
    assert_string_equal(hex, want);
    for (size_t at = 0; at < n; at += 37) {
        const size_t m = n - at < 37 ? n - at : 37;

        assert_ok(mls_checkpoint_read_at(c, 0, at, m, piece, &err));
        assert_memory_equal(piece, all + at, m * sizeof *piece);
    }
    assert_refused(mls_checkpoint_read_at(c, 0, n - 1, 2, piece, &err), MLS_E_ARG,
                   "2 elements from");
    mls_checkpoint_close(c);
}

/* Without its last part, and with one of another shape, nothing is guessed. */
static void damage(parts *p, const char *config)
{
    const uint64_t rows = p->plan[p->n - 1].shape[0];
    mls_checkpoint *c;

    for (int way = 0; way < 2; way++) {
        const size_t last = p->n - 1;

        if (way == 0)
            p->n--;
        else if (p->plan[last].n_dims && rows > 1) {
            p->size[last] = p->size[last] / rows * (rows - 1);
            p->plan[last].shape[0]--;
        }
        const mls_status st = mls_checkpoint_open(&c, folder_of(p, config), NULL);

        if (!st) { /* what is left has another meaning, and no other shape */
            assert_true(mls_checkpoint_tensors(c) <= p->n);
            mls_checkpoint_close(c);
        } else
            assert_int_equal(st, MLS_E_INPUT);
        p->n = last + 1;
    }
}

static void each_format_is_what_its_library_makes_of_it(void **state)
{
    FILE *in = fopen(test_source("tests/reference/quantized.txt"), "r");
    char *line = malloc(LINE), config[512] = "";
    parts p = {.n = 0};
    size_t cases = 0;

    (void)state;
    assert_non_null(in);
    assert_non_null(line);
    while (fgets(line, LINE, in)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "config ", 7) == 0) {
            snprintf(config, sizeof config, "%.500s", line + 7);
        } else if (strncmp(line, "part ", 5) == 0) {
            add_part(&p, line);
        } else if (strncmp(line, "want ", 5) == 0) {
            compare(&p, config, line);
            damage(&p, config);
            forget(&p);
            cases++;
        }
    }
    assert_int_equal(cases, 20);
    free(line);
    fclose(in);
}

/* Parts that a careless reader would do without. */
static void nothing_is_read_without_its_scales_or_order(void **state)
{
    static const struct {
        const char *config, *sentence;
        const char *part[4]; /* "NAME DTYPE SHAPE", of zeros */
    } cases[] = {
        {"{\"quantization_config\": {\"quant_method\": \"fp8\"}}",
         "it has no weight_scale or weight_scale_inv",
         {"a.weight F8_E4M3 2,4", NULL}},
        {"{\"torch_dtype\": \"float32\"}",
         "it has no weight_scale or weight_scale_inv",
         {"a.weight F8_E4M3 2,4", "a.qscale_weight F32 1", NULL}},
        {"{\"quantization_config\": {\"quant_method\": \"fp8\", "
         "\"weight_block_size\": [64, 64]}}",
         "the shape of its scales does not fit its own",
         {"a.weight F8_E4M3 4,32", "a.weight_scale_inv F32 2,4", NULL}},
        {"{\"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 4, "
         "\"group_size\": 8, \"desc_act\": true}}",
         "desc_act is true, and it has no g_idx",
         {"a.qweight I32 2,8", "a.scales F32 2,8", "a.qzeros I32 2,1", NULL}},
        {"{\"quantization_config\": {\"quant_method\": \"bitsandbytes\"}}",
         "its codes are stored as another type than U8",
         {"a.weight BF16 8,1", "a.weight.absmax F32 1", NULL}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mls_checkpoint *c;
        parts p = {0};

        for (size_t k = 0; cases[i].part[k]; k++) {
            char text[256];
            uint64_t n = 1;

            snprintf(text, sizeof text, "part %s 00", cases[i].part[k]);
            add_part(&p, text);
            for (size_t d = 0; d < p.plan[k].n_dims; d++)
                n *= p.plan[k].shape[d];
            p.size[k] = n * (p.dtype[k][0] == 'B' ? 2 : p.dtype[k][1] == '8' ? 1 : 4);
            free(p.bytes[k]);
            p.bytes[k] = calloc(p.size[k], 1);
            assert_non_null(p.bytes[k]);
        }
        assert_refused(mls_checkpoint_open(&c, folder_of(&p, cases[i].config), &err),
                       MLS_E_INPUT, cases[i].sentence);
        forget(&p);
    }
}

static void formats_that_are_not_read_are_named(void **state)
{
    static const char *const cases[][2] = {
        {"{\"quant_method\": \"hqq\"}", "quant_method is \"hqq\""},
        {"{\"quant_method\": \"aqlm\"}", "quant_method is \"aqlm\""},
        {"{\"quant_method\": \"torchao\"}", "quant_method is \"torchao\""},
        {"{\"quant_method\": \"exl2\", \"bits\": 4}", "quant_method is \"exl2\""},
        {"{\"quant_method\": \"gptq\", \"bits\": 3}", "bits is \"3\""},
        {"{\"quant_method\": \"gptq\", \"bits\": 4, \"checkpoint_format\": \"marlin\"}",
         "checkpoint_format is \"marlin\""},
        {"{\"quant_method\": \"awq\", \"bits\": 4, \"version\": \"gemv\"}",
         "version is \"gemv\""},
        {"{\"quant_method\": \"compressed-tensors\", \"format\": "
         "\"nvfp4-pack-quantized\"}",
         "format is \"nvfp4-pack-quantized\""},
        {"{\"quant_method\": \"compressed-tensors\", \"format\": \"mixed-precision\", "
         "\"config_groups\": {\"a\": {\"format\": \"nvfp4-pack-quantized\"}}}",
         "config_groups.format is \"nvfp4-pack-quantized\""},
        {"{\"quant_method\": \"compressed-tensors\", \"config_groups\": {\"a\": "
         "{\"weights\": {\"type\": \"float\", \"num_bits\": 4}}}}",
         "config_groups.weights is \"a float of other than 8 bits\""},
        {"{\"quant_method\": \"compressed-tensors\", \"config_groups\": {\"a\": "
         "{\"weights\": {\"block_structure\": [128, 128]}}, \"b\": {\"weights\": "
         "{\"block_structure\": [64, 128]}}}}",
         "config_groups.weights is \"blocks of several sizes\""},
        {"{\"bits\": 4, \"group_size\": 32, \"mode\": \"mxfp4\"}", "mode is \"mxfp4\""},
        {"{\"quant_method\": \"gptq\", \"bits\": 4, \"is_marlin_format\": true}",
         "is_marlin_format is \"set\""},
        {"{\"quant_method\": \"compressed-tensors\", \"transform_config\": "
         "{\"config_groups\": {}}}",
         "transform_config is \"set\""},
        {"{\"quant_method\": \"compressed-tensors\", \"sparsity_config\": "
         "{\"format\": \"sparse-24-bitmask\"}}",
         "sparsity_config is \"sparse-24-bitmask\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        mls_config c;

        snprintf(text, sizeof text,
                 "{\"model_type\": \"llama\", \"hidden_size\": 64, "
                 "\"vocab_size\": 3, \"intermediate_size\": 8, "
                 "\"num_hidden_layers\": 1, \"num_attention_heads\": 2, "
                 "\"quantization_config\": %s}",
                 cases[i][0]);
        assert_ok(mls_config_parse(&c, text, strlen(text), "config.json", &err));
        assert_non_null(strstr(c.unsupported, cases[i][1]));
        assert_non_null(strstr(c.unsupported, "download"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_format_is_what_its_library_makes_of_it),
        cmocka_unit_test(nothing_is_read_without_its_scales_or_order),
        cmocka_unit_test(formats_that_are_not_read_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
