/* Bytes as engines allocate them, against figures that were printed elsewhere. */
#include "tests/support/expect.h"

#include <math.h>
#include <string.h>

#include "analysis/serving/engine.h"
#include "bench/frame/scheme.h"
#include "datasets/checkpoint/checkpoint.h"

static mls_engines engines;

static const mls_engine *engine(const char *name, const char *cache)
{
    const mls_engine *e;

    assert_ok(mls_engines_find(&e, &engines, name, cache, &err));
    return e;
}

/* A layer of one latent and one rope key. */
static mls_cache_layer row(size_t latent, size_t rope)
{
    return (mls_cache_layer){
        .n_parts = 2,
        .token_budget = 1,
        .part = {{.kind = MLS_PART_LATENT, .n = latent, .count = 1, .shared = true},
                 {.kind = MLS_PART_ROPE_KEY, .n = rope, .count = 1, .shared = true}}};
}

static const mls_engine_use one = {
    .tokens = 1, .batch = 1, .tensor_parallel = 1, .context_parallel = 1};

static void rows_have_the_bytes_that_engines_print(void **state)
{
    (void)state;
    static const struct {
        const char *engine, *cache;
        size_t latent, rope;
        unsigned index; /* numbers of a sparse indexer's key */
        double bytes;
    } cases[] = {
        /* FlashMLA's README; vLLM's MLA backends; LMCache PR 694 */
        {"vllm", "auto", 512, 64, 0, 1152},
        {"sglang", "auto", 512, 64, 0, 1152},
        {"trtllm", "auto", 512, 64, 0, 1152},
        {"llama.cpp", "auto", 512, 64, 0, 1152},
        /* trtllm-gen, CUTLASS and dense FlashMLA: one scale, rope quantized too */
        {"vllm", "fp8", 512, 64, 0, 576},
        {"trtllm", "fp8", 512, 64, 0, 576},
        /* vLLM's fp8_ds_mla: 512 + 4 * 4 + 64 * 2 */
        {"vllm", "fp8_ds_mla", 512, 64, 0, 656},
        /* with DeepSeek-V3.2's indexer, 128 + 4 (SGLang PR 11309) */
        {"sglang", "fp8_ds_mla", 512, 64, 128, 788},
        /* DeepSeek-V4: 448 FP8, 128 bytes of rope, 8 of scales and padding */
        {"vllm", "fp8_v4", 448, 64, 0, 584},
        /* Mistral Small 4 in BF16 (TensorRT-LLM PR 12266) */
        {"vllm", "auto", 256, 64, 0, 640},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const mls_cache_layer layer = row(cases[i].latent, cases[i].rope);
        const mls_layer_shape own = {.index = {.n = cases[i].index, .ratio = 1}};
        const double bytes = mls_engine_token(engine(cases[i].engine, cases[i].cache),
                                              &layer, &own, &one);

        if (bytes != cases[i].bytes)
            fail_msg("%s %s: %g, expected %g", cases[i].engine, cases[i].cache, bytes,
                     cases[i].bytes);
    }
}

static mls_config llama3(void)
{
    mls_config c;

    assert_ok(
        mls_config_read(&c, test_source("tests/data/configs/Llama-3-8B.json"), &err));
    return c;
}

static const mls_cache_layout *layout_of(const mls_config *c, const char *text)
{
    static mls_cache_layout layout;
    mls_setting s;

    assert_ok(mls_setting_parse(&s, text, &err));
    assert_ok(mls_method_layout(&layout, c, &s, &err));
    return &layout;
}

/* 8 KV heads on 8 GPUs: 256 numbers on each, where 512 + 64 are 576 on each. */
static void a_latent_on_eight_gpus_takes_225_percent_of_gqa(void **state)
{
    (void)state;
    const mls_config c = llama3();
    const mls_engine *e = engine("vllm", "auto");
    static const char setting[] = "transmla rope_dim=64 rank=512 freqfold=4";
    mls_engine_use use = {
        .tokens = 32768, .batch = 8, .tensor_parallel = 8, .context_parallel = 1};
    const double own = mls_engine_tokens(e, layout_of(&c, "baseline"), &c, &use);
    const double cache = mls_engine_cache(e, layout_of(&c, "baseline"), &c, &use);

    assert_close(own, 32 * 512, 0);
    assert_close(mls_engine_tokens(e, layout_of(&c, setting), &c, &use) / own, 2.25, 0);
    assert_close(mls_engine_cache(e, layout_of(&c, setting), &c, &use) / cache, 2.25,
                 1e-15);
    /* the tokens over 8 GPUs, or the sequences: 576 of 2048 and of 8 x 256 */
    use.context_parallel = 8;
    assert_close(mls_engine_tokens(e, layout_of(&c, setting), &c, &use) / own, 2.25 / 8,
                 1e-15);
    use.context_parallel = 1;
    use.dp_attention = true;
    assert_close(mls_engine_cache(e, layout_of(&c, setting), &c, &use) / cache,
                 2.25 / 8, 1e-15);
}

static void pages_are_whole_and_aligned(void **state)
{
    (void)state;
    mls_config c = {.L = 1};
    mls_cache_layout layout = {.L = 1, .layer = {row(448, 64)}};
    mls_engine_use use = {
        .tokens = 65, .batch = 2, .tensor_parallel = 1, .context_parallel = 1};

    /* 64 rows of 584 are 37,376 bytes: 64.9 times 576, so 65 of them */
    assert_close(mls_engine_cache(engine("vllm", "fp8_v4"), &layout, &c, &use),
                 2 * 2 * 65 * 576, 0);
    /* SGLang's pages are single tokens, llama.cpp's contexts multiples of 256 */
    layout.layer[0] = row(512, 64);
    assert_close(mls_engine_cache(engine("sglang", "auto"), &layout, &c, &use),
                 2 * 65 * 1152, 0);
    assert_close(mls_engine_cache(engine("llama.cpp", "auto"), &layout, &c, &use),
                 2 * 256 * 1152, 0);
}

static void windows_take_whole_contexts_where_the_engine_does_so(void **state)
{
    (void)state;
    mls_config c;
    mls_engine_use use = {
        .tokens = 8192, .batch = 1, .tensor_parallel = 1, .context_parallel = 1};

    assert_ok(
        mls_config_read(&c, test_source("tests/data/configs/Gemma-2-9B.json"), &err));
    const mls_cache_layout *own = layout_of(&c, "baseline");
    const double full = 42 * 8192.0 * 2 * 8 * 256 * 2;

    assert_close(mls_engine_cache(engine("vllm", "auto"), own, &c, &use), full, 0);
    /* every other layer has a window of 4,096 */
    assert_close(mls_engine_cache(engine("llama.cpp", "auto"), own, &c, &use),
                 0.75 * full, 0);
}

static void what_an_engine_has_no_code_for_has_no_bytes(void **state)
{
    (void)state;
    const mls_config c = llama3();

    assert_true(isnan(mls_engine_tokens(
        engine("vllm", "auto"), layout_of(&c, "mha2mla chunks=16 rank=32"), &c, &one)));
}

static void memory_is_reserved_as_the_engine_does(void **state)
{
    (void)state;

    assert_close(mls_engine_usable(engine("vllm", "auto"), 100, 40), 90, 1e-12);
    /* TensorRT-LLM: a share of what the weights leave */
    assert_close(mls_engine_usable(engine("trtllm", "auto"), 100, 40), 94, 1e-12);
    assert_close(mls_engine_usable(engine("llama.cpp", "auto"), 100, 40), 100, 1e-12);
}

static void engines_and_kernels_are_found_by_name(void **state)
{
    (void)state;
    const mls_engine *e;
    mls_kernels k;
    mls_cache_layer small = row(256, 64), large = row(512, 64);

    assert_refused(mls_engines_find(&e, &engines, "vlm", "auto", &err), MLS_E_ARG,
                   "vllm");
    assert_refused(mls_engines_find(&e, &engines, "trtllm", "fp9", &err), MLS_E_ARG,
                   "fp8");
    assert_ok(mls_kernels_read(&k, test_source("datasets/serving/kernels.csv"), &err));
    assert_ok(mls_kernels_find(&k, "flashmla", &err));
    assert_refused(mls_kernels_find(&k, "flashmlb", &err), MLS_E_ARG, "flashmla");
    assert_true(mls_kernels_take(&k, "flashmla", &large));
    assert_false(mls_kernels_take(&k, "flashmla", &small));
    assert_true(mls_kernels_take(&k, "trtllm", &small));
    assert_true(mls_kernels_take(&k, "flashinfer", &small));
    for (size_t i = 0; i < k.n; i++)
        assert_true(k.item[i].source[0] && strlen(k.item[i].checked) == 10);
    mls_kernels_free(&k);
}

static int read_engines(void **state)
{
    mls_err why = {0};

    (void)state;
    return mls_engines_read(&engines, test_source("datasets/serving/engines.csv"),
                            &why);
}

static int free_engines(void **state)
{
    (void)state;
    mls_engines_free(&engines);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_have_the_bytes_that_engines_print),
        cmocka_unit_test(a_latent_on_eight_gpus_takes_225_percent_of_gqa),
        cmocka_unit_test(pages_are_whole_and_aligned),
        cmocka_unit_test(windows_take_whole_contexts_where_the_engine_does_so),
        cmocka_unit_test(what_an_engine_has_no_code_for_has_no_bytes),
        cmocka_unit_test(memory_is_reserved_as_the_engine_does),
        cmocka_unit_test(engines_and_kernels_are_found_by_name),
    };

    return cmocka_run_group_tests(tests, read_engines, free_engines);
}
