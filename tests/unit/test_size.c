/* Bytes of a cache, by hand. */
#include "tests/support/expect.h"

#include <math.h>

#include "analysis/latent/gpu.h"
#include "analysis/latent/size.h"
#include "datasets/checkpoint/checkpoint.h"

static const mls_size_request plain = {
    .tokens = 1024, .batch = 1, .block = 1, .tensor_parallel = 1, .dtype_bits = 16};

static mls_config read_config(const char *name)
{
    mls_config c;
    char path[128];

    snprintf(path, sizeof path, "tests/data/configs/%s.json", name);
    assert_ok(mls_config_read(&c, test_source(path), &err));
    return c;
}

static void baseline_bytes_per_token_of_eight_models(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        double elements, bytes; /* numbers and bytes at 16 bits, all layers */
    } cases[] = {
        {"Llama-2-7B", 32 * 8192, 524288},  /* methods.md: 64.0 GiB at 128 Ki */
        {"Llama-3-8B", 32 * 2048, 131072},  /* 2 x 8 x 128 */
        {"Llama-3.2-1B", 16 * 1024, 32768}, /* 2 x 8 x 64 */
        {"Qwen3-4B", 36 * 2048, 147456},    /* head_dim 128, not 2560 / 32 = 80 */
        {"Gemma-2-9B", 42 * 4096, 344064},  /* head_dim 256, not 3584 / 16 = 224 */
        {"DeepSeek-V2", 60 * 576, 69120},   /* 512 + 64, no factor 2, no heads */
        {"DeepSeek-V2-Lite", 27 * 576, 31104}, {"DeepSeek-V3", 61 * 576, 70272},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const mls_config c = read_config(cases[i].model);
        static mls_cache_layout layout;
        mls_size_result r;

        mls_size_baseline(&layout, &c);
        mls_size(&r, &layout, &plain);
        assert_true(r.elements_per_token == cases[i].elements);
        assert_true(r.payload_bytes_per_token == cases[i].bytes);
        assert_true(r.bytes_per_token == cases[i].bytes);
        assert_true(r.sequence_bytes == 1024 * cases[i].bytes);
        assert_true(r.batch_bytes == r.sequence_bytes);
        assert_true(r.gpu_bytes == r.sequence_bytes);
        assert_true(r.metadata == 0 && r.window == 0 && r.constant_bytes == 0);
        assert_close(r.key + r.value + r.latent + r.rope_key, cases[i].bytes, 1e-6);
        assert_close(r.key_codes + r.value_codes + r.latent_codes + r.rope_key_codes,
                     cases[i].bytes, 1e-6);
    }
}

static void the_64_gb_of_the_papers_are_gibibytes(void **state)
{
    (void)state;
    const mls_config c = read_config("Llama-2-7B");
    static mls_cache_layout layout;
    mls_size_request q = plain;
    mls_size_result r;

    q.tokens = 131072;
    mls_size_baseline(&layout, &c);
    mls_size(&r, &layout, &q);
    assert_true(r.sequence_bytes == 64.0 * 1073741824.0);
}

static void sliding_layers_hold_their_window_and_no_more(void **state)
{
    (void)state;
    const mls_config c = read_config("Gemma-2-9B");
    static mls_cache_layout layout;
    mls_size_request q = plain;
    mls_size_result r;

    mls_size_baseline(&layout, &c);
    q.tokens = 4096; /* as long as the window */
    mls_size(&r, &layout, &q);
    assert_true(r.sequence_bytes == 42.0 * 8192 * 4096);
    q.tokens = 8192; /* 21 layers hold 4096 tokens, 21 hold all */
    mls_size(&r, &layout, &q);
    assert_true(r.sequence_bytes == 21.0 * 8192 * (4096 + 8192));
    assert_true(r.bytes_per_token == 258048);
    assert_true(r.payload_bytes_per_token == 344064); /* as a paper would count */
}

static void one_layer(mls_cache_layout *layout, mls_part_kind kind, size_t n,
                      size_t count, bool shared, const char *quant)
{
    mls_quant q = {0};

    if (quant)
        assert_ok(mls_quant_parse(&q, quant, &err));
    layout->L = 1;
    layout->layer[0] = (mls_cache_layer){.token_budget = 1};
    assert_ok(mls_cache_add(&layout->layer[0], kind, n, count, shared, &q, &err));
}

static void equal_vectors_are_one_part_and_empty_ones_none(void **state)
{
    (void)state;
    mls_cache_layer layer = {.token_budget = 1};
    const mls_quant none = {0};
    mls_quant int4;

    assert_ok(mls_quant_parse(&int4, "int4", &err));
    assert_ok(mls_cache_add(&layer, MLS_PART_KEY, 64, 3, false, &none, &err));
    assert_ok(mls_cache_add(&layer, MLS_PART_KEY, 64, 2, false, &none, &err));
    assert_ok(mls_cache_add(&layer, MLS_PART_KEY, 0, 2, false, &none, &err));
    assert_ok(mls_cache_add(&layer, MLS_PART_KEY, 64, 0, false, &none, &err));
    assert_int_equal(layer.n_parts, 1);
    assert_int_equal(layer.part[0].count, 5);
    assert_ok(mls_cache_add(&layer, MLS_PART_KEY, 64, 1, false, &int4, &err));
    assert_ok(mls_cache_add(&layer, MLS_PART_KEY, 64, 1, true, &none, &err));
    assert_int_equal(layer.n_parts, 3);
    assert_int_equal(mls_cache_elements(&layer), 7 * 64);
    for (size_t n = 1; n <= MLS_PARTS_MAX - 3; n++)
        assert_ok(mls_cache_add(&layer, MLS_PART_VALUE, n, 1, false, &none, &err));
    assert_refused(mls_cache_add(&layer, MLS_PART_VALUE, 999, 1, false, &none, &err),
                   MLS_E_INPUT, "kinds of vectors");
    layer.shares_other = true;
    assert_int_equal(mls_cache_elements(&layer), 0);
}

static void scales_and_the_window_are_counted_beside_the_payload(void **state)
{
    (void)state;
    static mls_cache_layout layout;
    mls_size_request q = plain;
    mls_size_result r;

    /* 2 vectors of 128: int4 in groups of 64 with half scale and minimum, 128 tokens in
       16 bits. Of 4096 tokens 3968 take 2 x 128 x 4 bits = 128 bytes and 2 x 2 x 4 = 16
       bytes of metadata, and 128 take 512 bytes. */
    one_layer(&layout, MLS_PART_VALUE, 128, 2, false, "int4/64+128");
    q.tokens = 4096;
    mls_size(&r, &layout, &q);
    assert_true(r.payload_bytes_per_token == 128);
    assert_close(r.payload, 3968 * 128.0 / 4096, 1e-12);
    assert_close(r.metadata, 3968 * 16.0 / 4096, 1e-12);
    assert_close(r.window, 128 * 512.0 / 4096, 1e-12);
    assert_close(r.value, r.bytes_per_token, 1e-12);
    assert_close(r.value_codes, r.payload, 1e-12);
    assert_true(r.sequence_bytes == 3968 * 144 + 128 * 512);
}

static void kivi_keys_and_values_average_what_its_paper_is_quoted_with(void **state)
{
    (void)state;
    static mls_cache_layout layout;
    mls_size_request q = plain;
    mls_size_result r;

    /* methods.md 3.1: 2-bit, G = 32, R = 128, T = 32 Ki: V 3.051, K 3.000 bits */
    q.tokens = 32768;
    one_layer(&layout, MLS_PART_VALUE, 128, 1, false, "kivi2");
    mls_size(&r, &layout, &q);
    assert_close(r.bytes_per_token * 8 / 128, 3.051, 5e-4);
    one_layer(&layout, MLS_PART_KEY, 128, 1, false, "kivi2");
    mls_size(&r, &layout, &q);
    assert_close(r.bytes_per_token * 8 / 128, 3.0, 1e-12);
    q.tokens = 4096;
    one_layer(&layout, MLS_PART_VALUE, 128, 1, false, "kivi2");
    mls_size(&r, &layout, &q);
    assert_close(r.bytes_per_token * 8 / 128, 3.41, 5e-3);
}

static void pages_round_every_sequence_up(void **state)
{
    (void)state;
    static mls_cache_layout layout;
    mls_size_request q = plain;
    mls_size_result r;

    one_layer(&layout, MLS_PART_VALUE, 64, 1, false, NULL); /* 128 bytes a token */
    q.block = 16;
    q.batch = 3;
    for (size_t T = 1; T <= 33; T++) {
        q.tokens = T;
        mls_size(&r, &layout, &q);
        assert_true(r.sequence_bytes == 128.0 * (T <= 16 ? 16 : T <= 32 ? 32 : 48));
        assert_true(r.batch_bytes == 3 * r.sequence_bytes);
        assert_true(r.bytes_per_token == 128);
    }
}

static void per_head_parts_are_divided_and_shared_ones_copied(void **state)
{
    (void)state;
    static mls_cache_layout layout;
    mls_size_request q = plain;
    mls_size_result r;

    q.tensor_parallel = 8;
    /* 8 heads on 8 GPUs: one each */
    one_layer(&layout, MLS_PART_KEY, 64, 8, false, NULL);
    mls_size(&r, &layout, &q);
    assert_true(r.gpu_bytes == 1024 * 128.0);
    assert_true(r.batch_bytes == r.sequence_bytes);
    /* 12 heads: two on some, so two everywhere */
    one_layer(&layout, MLS_PART_KEY, 64, 12, false, NULL);
    mls_size(&r, &layout, &q);
    assert_true(r.gpu_bytes == 2 * 1024 * 128.0);
    assert_true(r.batch_bytes == 16 * 1024 * 128.0);
    /* 2 heads: replicated */
    one_layer(&layout, MLS_PART_KEY, 64, 2, false, NULL);
    mls_size(&r, &layout, &q);
    assert_true(r.batch_bytes == 8 * 1024 * 128.0);
    /* a latent that all heads read */
    one_layer(&layout, MLS_PART_LATENT, 512, 1, true, NULL);
    mls_size(&r, &layout, &q);
    assert_true(r.gpu_bytes == 1024 * 1024.0);
    assert_true(r.batch_bytes == 8 * r.sequence_bytes);
}

static void gpus_take_whole_heads_as_serving_programs_do(void **state)
{
    mls_config c = {.L = 1, .H = 6, .G = 2, .D = 64};

    (void)state;
    for (size_t n = 1; n <= 12; n++) {
        const bool possible = n == 1 || n == 2 || n == 6; /* 6: each KV head 3 times */

        if (possible)
            assert_ok(mls_size_parallel(&c, n, &err));
        else
            assert_refused(mls_size_parallel(&c, n, &err), MLS_E_INPUT,
                           "6 query heads and 2 KV heads evenly; possible are 1, 2, 6");
    }
    c.mla_kv_lora_rank = 512; /* nothing of the cache is per head */
    assert_ok(mls_size_parallel(&c, 3, &err));
    assert_refused(mls_size_parallel(&c, 4, &err), MLS_E_INPUT, "1, 2, 3, 6");
}

static void token_budgets_and_shared_layers_hold_less(void **state)
{
    (void)state;
    static mls_cache_layout layout;
    mls_size_request q = plain;
    mls_size_result r;

    one_layer(&layout, MLS_PART_KEY, 64, 1, false, NULL);
    layout.layer[0].token_budget = 0.3;
    q.tokens = 1001;
    mls_size(&r, &layout, &q);
    assert_true(r.sequence_bytes == 301 * 128); /* 300.3 tokens are 301 */
    assert_close(r.payload_bytes_per_token, 0.3 * 128, 1e-12);
    layout.layer[0].shares_other = true;
    mls_size(&r, &layout, &q);
    assert_true(r.sequence_bytes == 0 && r.bytes_per_token == 0 &&
                r.elements_per_token == 0 && r.gpu_bytes == 0);
}

static void unquantized_numbers_have_the_width_that_is_asked(void **state)
{
    (void)state;
    static mls_cache_layout layout;
    mls_size_request q = plain;
    mls_size_result r;

    q.dtype_bits = 32;
    one_layer(&layout, MLS_PART_KEY, 64, 1, false, NULL);
    mls_size(&r, &layout, &q);
    assert_true(r.bytes_per_token == 256 && r.payload_bytes_per_token == 256);
    /* the window is not quantized, codes and scales are as they are */
    one_layer(&layout, MLS_PART_KEY, 64, 1, false, "int4/64+128");
    mls_size(&r, &layout, &q);
    assert_true(r.sequence_bytes == 896 * (32 + 4) + 128 * 256);
    assert_true(r.payload_bytes_per_token == 32);
}

/* Bytes on one GPU, for the brute-force search. */
static double bytes_at(const mls_cache_layout *layout, mls_size_request q,
                       size_t tokens, size_t batch)
{
    mls_size_result r;

    q.tokens = tokens;
    q.batch = batch;
    mls_size(&r, layout, &q);
    return r.gpu_bytes;
}

static void largest_context_is_what_brute_force_finds(void **state)
{
    (void)state;
    static const struct {
        const char *quant;
        size_t window, block, batch, gpus;
    } cases[] = {
        {NULL, 0, 1, 1, 1},
        {NULL, 0, 16, 3, 1},
        {NULL, 300, 16, 2, 2},
        {"int4/64+128", 0, 16, 1, 1},
        {"int4/64+128", 700, 1, 2, 1},
        {"kivi2", 0, 1, 1, 1},
        {"kivi4", 0, 16, 2, 1},
        {"kivi2+64", 0, 5, 1, 4},
        {"int4/32@4", 0, 16, 1, 1},
    };
    static mls_cache_layout layout;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mls_size_request q = plain;

        q.block = cases[i].block;
        q.batch = cases[i].batch;
        q.tensor_parallel = cases[i].gpus;
        one_layer(&layout, MLS_PART_KEY, 64, 2, false, cases[i].quant);
        layout.L = 2; /* the second layer has a window */
        layout.layer[1] = layout.layer[0];
        layout.layer[1].window = cases[i].window;
        for (double memory = 100; memory < 1.5e6; memory = memory * 1.37 + 1) {
            const double weights = memory / 3;
            size_t want = 0;

            while (want < 6000 &&
                   bytes_at(&layout, q, want + 1, q.batch) + weights <= memory)
                want++;
            if (want == 6000)
                break;
            assert_int_equal(mls_size_max_tokens(&layout, &q, weights, memory), want);
        }
    }
}

static void largest_batch_is_what_brute_force_finds(void **state)
{
    (void)state;
    static mls_cache_layout layout;
    mls_size_request q = plain;

    q.block = 16;
    q.tokens = 77;
    one_layer(&layout, MLS_PART_KEY, 64, 3, false, "int4/64+32");
    for (double memory = 100; memory < 1e6; memory = memory * 1.37 + 1) {
        size_t want = 0;

        while (bytes_at(&layout, q, q.tokens, want + 1) + 50 <= memory)
            want++;
        assert_int_equal(mls_size_max_batch(&layout, &q, 50, memory), want);
    }
}

static void what_fits_has_its_limits(void **state)
{
    (void)state;
    static mls_cache_layout layout;

    one_layer(&layout, MLS_PART_KEY, 64, 1, false, NULL);
    /* to the byte: 1000 tokens of 128 bytes and 17 bytes of weights */
    assert_int_equal(mls_size_max_tokens(&layout, &plain, 17, 128017), 1000);
    assert_int_equal(mls_size_max_tokens(&layout, &plain, 17, 128016), 999);
    assert_int_equal(mls_size_max_tokens(&layout, &plain, 17, 16), 0);
    assert_int_equal(mls_size_max_batch(&layout, &plain, 17, 16), 0);
    layout.layer[0].window = 10;
    assert_int_equal(mls_size_max_tokens(&layout, &plain, 0, 1280), MLS_SIZE_UNLIMITED);
    assert_int_equal(mls_size_max_tokens(&layout, &plain, 0, 1279), 9);
    layout.layer[0].shares_other = true;
    assert_int_equal(mls_size_max_batch(&layout, &plain, 0, 0), MLS_SIZE_UNLIMITED);
}

static void parameters_follow_from_the_config_of_a_dense_model(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        double parameters;
    } cases[] = {
        {"Llama-2-7B", 6738415616.0},   /* model card: 6.74B */
        {"Llama-3-8B", 8030261248.0},   /* 8.03B */
        {"Llama-3.2-1B", 1235814400.0}, /* 1.24B, tied */
        {"Qwen3-4B", 4022468096.0},     /* 4.02B, tied, QK-norm */
        {"Gemma-2-9B", 9241705984.0},   /* 9.24B, tied, four norms a layer */
    };
    mls_config c;
    double n, read;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        c = read_config(cases[i].model);
        assert_true(mls_size_parameters(&c, &n, &read));
        assert_true(n == cases[i].parameters);
        assert_true(n - read == (c.tied_embeddings ? 0 : (double)(c.V * c.E)));
    }
    c = read_config("DeepSeek-V3");
    assert_false(mls_size_parameters(&c, &n, &read));
}

static void parameters_of_the_demo_model_are_those_of_its_tensors(void **state)
{
    (void)state;
    mls_checkpoint *checkpoint;
    double n, read;

    assert_ok(mls_checkpoint_open(&checkpoint, test_source("datasets/demo"), &err));
    assert_true(mls_size_parameters(mls_checkpoint_config(checkpoint), &n, &read));
    assert_true(n == (double)mls_checkpoint_parameters(checkpoint));
    mls_checkpoint_close(checkpoint);
}

static void gpus_are_found_by_name(void **state)
{
    (void)state;
    const mls_gpu *gpu;

    assert_ok(mls_gpu_find(&gpu, "h100", &err));
    assert_true(gpu->memory == 80 * 1073741824.0 && gpu->bandwidth == 3.35e12);
    assert_refused(mls_gpu_find(&gpu, "h1000", &err), MLS_E_ARG, "did you mean h100?");
    assert_refused(mls_gpu_find(&gpu, "quantum", &err), MLS_E_ARG, "known are a10, ");
    for (size_t i = 0; mls_gpus[i].name; i++) {
        assert_ok(mls_gpu_find(&gpu, mls_gpus[i].name, &err));
        assert_ptr_equal(gpu, &mls_gpus[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(baseline_bytes_per_token_of_eight_models),
        cmocka_unit_test(the_64_gb_of_the_papers_are_gibibytes),
        cmocka_unit_test(sliding_layers_hold_their_window_and_no_more),
        cmocka_unit_test(equal_vectors_are_one_part_and_empty_ones_none),
        cmocka_unit_test(scales_and_the_window_are_counted_beside_the_payload),
        cmocka_unit_test(kivi_keys_and_values_average_what_its_paper_is_quoted_with),
        cmocka_unit_test(pages_round_every_sequence_up),
        cmocka_unit_test(per_head_parts_are_divided_and_shared_ones_copied),
        cmocka_unit_test(gpus_take_whole_heads_as_serving_programs_do),
        cmocka_unit_test(token_budgets_and_shared_layers_hold_less),
        cmocka_unit_test(unquantized_numbers_have_the_width_that_is_asked),
        cmocka_unit_test(largest_context_is_what_brute_force_finds),
        cmocka_unit_test(largest_batch_is_what_brute_force_finds),
        cmocka_unit_test(what_fits_has_its_limits),
        cmocka_unit_test(parameters_follow_from_the_config_of_a_dense_model),
        cmocka_unit_test(parameters_of_the_demo_model_are_those_of_its_tensors),
        cmocka_unit_test(gpus_are_found_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
