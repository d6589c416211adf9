/* What configs say, for every family. */
#include "tests/support/config_fixture.h"

#include "common/system/files.h"

static void the_demo_is_a_runnable_mistral(void **state)
{
    (void)state;
    mls_config c;

    assert_ok(mls_config_read(&c, test_source("datasets/demo"), &err));
    assert_string_equal(c.model_type, "mistral");
    assert_string_equal(c.architecture, "MistralForCausalLM");
    assert_string_equal(c.dtype, "bfloat16");
    assert_int_equal(c.L, 6);
    assert_int_equal(c.E, 256);
    assert_int_equal(c.H, 6);
    assert_int_equal(c.G, 2);
    assert_int_equal(c.D, 64);
    assert_int_equal(c.F, 768);
    assert_int_equal(c.V, 2048);
    assert_int_equal(c.max_position, 256);
    assert_close(c.rms_eps, 1e-5, 0);
    assert_int_equal(c.rope.type, MLS_ROPE_DEFAULT);
    assert_close(c.rope.theta, 10000, 0);
    assert_true(c.tied_embeddings);
    assert_false(c.qkv_bias || c.o_bias || c.mlp_bias || c.qk_norm);
    assert_int_equal(c.bos_id, 0);
    assert_ok(mls_config_runnable(&c, &err));
    /* sha256sum datasets/demo/config.json */
    assert_string_equal(
        c.sha256, "bd1dd166ad2b4dd49c7477110e0876b8f190df18279ecf56479b9904282150e6");
}

/* Nemotron-H's configs have "time_step_limit": [0.0, Infinity]. */
static void numbers_that_only_python_writes_are_no_numbers(void **state)
{
    static const char limits[] = "{\"model_type\": \"llama\", \"hidden_size\": 8, "
                                 "\"num_attention_heads\": 2, \"vocab_size\": 4, "
                                 "\"num_hidden_layers\": 1, \"intermediate_size\": 8, "
                                 "\"a\": \"\\\"NaN\", \"time_step_limit\": [0.0, "
                                 "Infinity, -Infinity, NaN], ";
    char text[512];
    mls_config c;

    (void)state;
    snprintf(text, sizeof text, "%s\"rope_theta\": 10000}", limits);
    assert_ok(mls_config_parse(&c, text, strlen(text), "config.json", &err));
    assert_int_equal(c.E, 8);
    snprintf(text, sizeof text, "%s\"rope_theta\": Infinity}", limits);
    assert_ok(mls_config_parse(&c, text, strlen(text), "config.json", &err));
    assert_non_null(strstr(c.unsupported, "rope_theta is \"Infinity\""));
    snprintf(text, sizeof text, "%s\"rope_theta\": Infinitely}", limits);
    assert_refused(mls_config_parse(&c, text, strlen(text), "config.json", &err),
                   MLS_E_INPUT, "line 1, column");
}

static void missing_keys_take_the_defaults_of_the_family(void **state)
{
    (void)state;
    mls_config c = read_with("{\"num_key_value_heads\": \"(none)\", \"rope_theta\": "
                             "\"(none)\", \"rms_norm_eps\": \"(none)\", "
                             "\"tie_word_embeddings\": \"(none)\"}");

    assert_int_equal(c.G, 8);
    assert_int_equal(c.D, 8);
    assert_close(c.rope.theta, 10000, 0);
    assert_close(c.rms_eps, 1e-6, 0);
    assert_false(c.tied_embeddings);
    assert_int_equal(c.bos_id, -1);

    c = read_with("{\"model_type\": \"mistral\", \"num_key_value_heads\": \"(none)\"}");
    assert_int_equal(c.G, 8);
    assert_int_equal(c.layer[0].window, 4096);

    c = read_with("{\"model_type\": \"qwen3\"}");
    assert_int_equal(c.D, 128);
    assert_true(c.qk_norm && !c.qkv_bias);
    assert_ok(mls_config_runnable(&c, &err));

    c = read_with("{\"model_type\": \"qwen2\"}");
    assert_true(c.qkv_bias && !c.o_bias && !c.qk_norm);
    assert_ok(mls_config_runnable(&c, &err));
}

static void attention_bias_means_all_four_projections(void **state)
{
    (void)state;
    const mls_config c = read_with("{\"attention_bias\": true, \"mlp_bias\": true}");

    assert_true(c.qkv_bias && c.o_bias && c.mlp_bias);
    assert_ok(mls_config_runnable(&c, &err));
}

static void head_dim_may_differ_from_hidden_over_heads(void **state)
{
    (void)state;
    assert_int_equal(read_with("{\"head_dim\": 32}").D, 32);
    assert_int_equal(read_with("{\"head_dim\": null}").D, 8);
}

static void both_rope_dialects_say_the_same(void **state)
{
    (void)state;
    static const char *const linear[] = {
        "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}}",
        "{\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 4.0}}",
        "{\"rope_scaling\": {\"rope_type\": \"linear\", \"type\": \"linear\", "
        "\"factor\": 4}}",
        "{\"rope_theta\": \"(none)\", \"rope_parameters\": {\"rope_type\": \"linear\", "
        "\"factor\": 4, \"rope_theta\": 500000.0}}",
        "{\"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 4}}",
        "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}, "
        "\"rope_parameters\": "
        "{\"rope_type\": \"linear\", \"factor\": 4, \"rope_theta\": 500000}}",
        "{\"rope_theta\": null, \"rope_parameters\": {\"full_attention\": "
        "{\"rope_type\": \"linear\", \"factor\": 4, \"rope_theta\": 500000}, "
        "\"sliding_attention\": {\"rope_type\": \"linear\", \"factor\": 4, "
        "\"rope_theta\": 500000}}}",
    };
    static const char *const llama3[] = {
        "{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 32, "
        "\"low_freq_factor\": 1, \"high_freq_factor\": 4, "
        "\"original_max_position_embeddings\": 8192}}",
        "{\"rope_scaling\": null, \"rope_theta\": \"(none)\", \"rope_parameters\": "
        "{\"rope_type\": \"llama3\", \"rope_theta\": 500000, \"factor\": 32.0, "
        "\"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
        "\"original_max_position_embeddings\": 8192}}",
    };

    for (size_t i = 0; i < sizeof linear / sizeof linear[0]; i++) {
        const mls_config c = read_with(linear[i]);

        assert_int_equal(c.rope.type, MLS_ROPE_LINEAR);
        assert_close(c.rope.factor, 4, 0);
        assert_close(c.rope.theta, 500000, 0);
        assert_ok(mls_config_runnable(&c, &err));
    }
    for (size_t i = 0; i < sizeof llama3 / sizeof llama3[0]; i++) {
        const mls_config c = read_with(llama3[i]);

        assert_int_equal(c.rope.type, MLS_ROPE_LLAMA3);
        assert_close(c.rope.factor, 32, 0);
        assert_close(c.rope.theta, 500000, 0);
        assert_close(c.rope.low_freq_factor, 1, 0);
        assert_close(c.rope.high_freq_factor, 4, 0);
        assert_close(c.rope.original_max_position, 8192, 0);
        assert_ok(mls_config_runnable(&c, &err));
    }
}

static void sliding_windows_fall_on_the_layers_of_the_family(void **state)
{
    (void)state;
    static const struct {
        const char *patch, *layers; /* one letter per layer: s sliding, f full */
        bool runnable;
    } cases[] = {
        {"{\"model_type\": \"mistral\", \"sliding_window\": 16}", "ssss", true},
        {"{\"model_type\": \"mistral\", \"sliding_window\": null}", "ffff", true},
        {"{\"model_type\": \"qwen2\", \"sliding_window\": 16}", "ffff", true},
        {"{\"model_type\": \"qwen2\", \"sliding_window\": 16, "
         "\"use_sliding_window\": true, \"max_window_layers\": 1}",
         "fsss", true},
        {"{\"model_type\": \"qwen3\", \"sliding_window\": 16, "
         "\"use_sliding_window\": true, \"layer_types\": [\"sliding_attention\", "
         "\"full_attention\", \"sliding_attention\", \"full_attention\"]}",
         "sfsf", true},
        {"{\"model_type\": \"gemma2\", \"sliding_window\": 16}", "sfsf", true},
        {"{\"model_type\": \"gemma3_text\", \"sliding_window\": 16, "
         "\"sliding_window_pattern\": 3}",
         "ssfs", true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const mls_config c = read_with(cases[i].patch);

        for (size_t l = 0; l < 4; l++)
            if ((c.layer[l].window == 16) != (cases[i].layers[l] == 's'))
                fail_msg("%s: layer %zu", cases[i].patch, l);
        assert_int_equal(!c.unsupported[0], cases[i].runnable);
    }
}

static void smollm3_says_which_layers_rotate(void **state)
{
    (void)state;
    mls_config c = read_with("{\"model_type\": \"smollm3\"}");

    assert_true(c.layer[3].no_rope && !c.layer[2].no_rope);
    c = read_with("{\"model_type\": \"smollm3\", \"no_rope_layers\": [1, 0, 1, 0]}");
    assert_true(c.layer[1].no_rope && c.layer[3].no_rope);
    assert_false(c.layer[0].no_rope || c.layer[2].no_rope);
    assert_false(c.layer[1].window);
    assert_ok(mls_config_runnable(&c, &err));
    c = read_with("{\"model_type\": \"smollm3\", \"no_rope_layers\": [1, 0, 1, 1], "
                  "\"use_sliding_window\": true, \"sliding_window\": 64}");
    assert_true(c.layer[1].window == 64);
    assert_false(c.layer[0].window || c.layer[2].window || c.layer[3].window);
    /* A family that is not known to read the key. */
    c = read_with("{\"no_rope_layers\": [1, 0, 1, 1]}");
    assert_refused(mls_config_runnable(&c, &err), MLS_E_INPUT, "no_rope_layers");
}

static void deepseek_is_sized_from_its_latent(void **state)
{
    (void)state;
    const mls_config c = read_with(
        "{\"model_type\": \"deepseek_v3\", \"num_attention_heads\": 128, "
        "\"num_key_value_heads\": 128, \"kv_lora_rank\": 512, \"q_lora_rank\": 1536, "
        "\"qk_rope_head_dim\": 64, \"qk_nope_head_dim\": 128, \"v_head_dim\": 128, "
        "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 40, \"mscale\": 1.0, "
        "\"beta_fast\": 32, \"original_max_position_embeddings\": 4096}}");

    assert_int_equal(c.mla_kv_lora_rank, 512);
    assert_int_equal(c.mla_rope_dim, 64);
    assert_int_equal(c.mla_nope_dim, 128);
    assert_int_equal(c.mla_value_dim, 128);
    assert_int_equal(c.mla_q_lora_rank, 1536);
    assert_int_equal(c.D, 192);
    assert_ok(mls_config_runnable(&c, &err));
    assert_int_equal(c.net.experts.n, 256);
    assert_true(!c.net.sparse[2] && c.net.sparse[3]);
}

static void a_text_config_is_sized_with_its_own_defaults(void **state)
{
    (void)state;
    /* The keys of google/gemma-3-4b-it's file that matter. */
    static const char text[] =
        "{\"architectures\": [\"Gemma3ForConditionalGeneration\"], \"model_type\": "
        "\"gemma3\", \"torch_dtype\": \"bfloat16\", \"text_config\": {\"hidden_size\": "
        "2560, \"intermediate_size\": 10240, \"model_type\": \"gemma3_text\", "
        "\"num_hidden_layers\": 34, \"rope_scaling\": {\"factor\": 8.0, "
        "\"rope_type\": \"linear\"}, \"sliding_window\": 1024}}";
    const char *path = test_scratch("config.json");
    mls_config c;

    assert_ok(mls_file_write(path, text, strlen(text), &err));
    assert_ok(mls_config_read(&c, path, &err));
    assert_int_equal(c.H, 8);
    assert_int_equal(c.G, 4);
    assert_int_equal(c.D, 256);
    assert_int_equal(c.V, 262208);
    assert_true(c.layer[4].window == 1024 && !c.layer[5].window);
    assert_int_equal(c.layer[33].window, 1024);
    assert_string_equal(c.dtype, "bfloat16");
    assert_ok(mls_config_runnable(&c, &err));
    assert_int_equal(c.rope.type, MLS_ROPE_LINEAR);
    assert_close(c.rope.theta, 1e6, 0);
    assert_int_equal(c.rope_local.type, MLS_ROPE_DEFAULT);
    assert_close(c.rope_local.theta, 1e4, 0);
    assert_true(c.layer[4].local_rope && !c.layer[5].local_rope);
}

/*
 * The keys of well-known models' files, as far as they are not only names and versions.
 */
static void configs_as_they_are_published_are_computed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t L, H, G, D;
    } cases[] = {
        /* SmolLM-135M */
        {"{\"architectures\":[\"LlamaForCausalLM\"],\"attention_bias\":false,"
         "\"attention_dropout\":0.0,\"bos_token_id\":0,\"eos_token_id\":0,"
         "\"hidden_act\":\"silu\",\"hidden_size\":576,\"initializer_range\":0.02,"
         "\"intermediate_size\":1536,\"max_position_embeddings\":2048,"
         "\"model_type\":\"llama\",\"num_attention_heads\":9,"
         "\"num_hidden_layers\":30,\"num_key_value_heads\":3,\"pretraining_tp\":1,"
         "\"rms_norm_eps\":1e-05,\"rope_scaling\":null,\"rope_theta\":10000.0,"
         "\"tie_word_embeddings\":true,\"torch_dtype\":\"bfloat16\","
         "\"transformers_version\":\"4.42.3\",\"use_cache\":true,"
         "\"vocab_size\":49152}",
         30, 9, 3, 64},
        /* Llama-3.2-1B-Instruct */
        {"{\"architectures\":[\"LlamaForCausalLM\"],\"attention_bias\":false,"
         "\"bos_token_id\":128000,\"eos_token_id\":[128001,128008,128009],"
         "\"head_dim\":64,\"hidden_act\":\"silu\",\"hidden_size\":2048,"
         "\"intermediate_size\":8192,\"max_position_embeddings\":131072,"
         "\"mlp_bias\":false,\"model_type\":\"llama\",\"num_attention_heads\":32,"
         "\"num_hidden_layers\":16,\"num_key_value_heads\":8,\"pretraining_tp\":1,"
         "\"rms_norm_eps\":1e-05,\"rope_scaling\":{\"factor\":32.0,"
         "\"high_freq_factor\":4.0,\"low_freq_factor\":1.0,"
         "\"original_max_position_embeddings\":8192,\"rope_type\":\"llama3\"},"
         "\"rope_theta\":500000.0,\"tie_word_embeddings\":true,"
         "\"torch_dtype\":\"bfloat16\",\"use_cache\":true,\"vocab_size\":128256}",
         16, 32, 8, 64},
        /* Llama-2-7b: MHA, no num_key_value_heads in the first files */
        {"{\"_name_or_path\":\"x\",\"architectures\":[\"LlamaForCausalLM\"],"
         "\"bos_token_id\":1,\"eos_token_id\":2,\"hidden_act\":\"silu\","
         "\"hidden_size\":4096,\"intermediate_size\":11008,"
         "\"max_sequence_length\":2048,\"model_type\":\"llama\","
         "\"num_attention_heads\":32,\"num_hidden_layers\":32,\"pad_token_id\":0,"
         "\"rms_norm_eps\":1e-06,\"torch_dtype\":\"float16\","
         "\"vocab_size\":32000}",
         32, 32, 32, 128},
        /* Mistral-7B-v0.1 */
        {"{\"architectures\":[\"MistralForCausalLM\"],\"bos_token_id\":1,"
         "\"eos_token_id\":2,\"hidden_act\":\"silu\",\"hidden_size\":4096,"
         "\"intermediate_size\":14336,\"max_position_embeddings\":32768,"
         "\"model_type\":\"mistral\",\"num_attention_heads\":32,"
         "\"num_hidden_layers\":32,\"num_key_value_heads\":8,"
         "\"rms_norm_eps\":1e-05,\"rope_theta\":10000.0,\"sliding_window\":4096,"
         "\"tie_word_embeddings\":false,\"torch_dtype\":\"bfloat16\","
         "\"use_cache\":true,\"vocab_size\":32000}",
         32, 32, 8, 128},
        /* Qwen2.5-7B */
        {"{\"architectures\":[\"Qwen2ForCausalLM\"],\"attention_dropout\":0.0,"
         "\"bos_token_id\":151643,\"eos_token_id\":151643,\"hidden_act\":\"silu\","
         "\"hidden_size\":3584,\"intermediate_size\":18944,"
         "\"max_position_embeddings\":131072,\"max_window_layers\":28,"
         "\"model_type\":\"qwen2\",\"num_attention_heads\":28,"
         "\"num_hidden_layers\":28,\"num_key_value_heads\":4,"
         "\"rms_norm_eps\":1e-06,\"rope_theta\":1000000.0,"
         "\"sliding_window\":131072,\"tie_word_embeddings\":false,"
         "\"use_mrope\":false,\"use_sliding_window\":false,\"vocab_size\":152064}",
         28, 28, 4, 128},
        /* Qwen3-4B: head_dim is not hidden / heads */
        {"{\"architectures\":[\"Qwen3ForCausalLM\"],\"attention_bias\":false,"
         "\"head_dim\":128,\"hidden_act\":\"silu\",\"hidden_size\":2560,"
         "\"intermediate_size\":9728,\"max_position_embeddings\":40960,"
         "\"max_window_layers\":36,\"model_type\":\"qwen3\","
         "\"num_attention_heads\":32,\"num_hidden_layers\":36,"
         "\"num_key_value_heads\":8,\"rms_norm_eps\":1e-06,\"rope_scaling\":null,"
         "\"rope_theta\":1000000,\"sliding_window\":null,"
         "\"tie_word_embeddings\":true,\"use_sliding_window\":false,"
         "\"vocab_size\":151936}",
         36, 32, 8, 128},
        /* the fifth version of the library writes dtype and rope_parameters */
        {"{\"architectures\":[\"Qwen3ForCausalLM\"],\"dtype\":\"bfloat16\","
         "\"head_dim\":128,\"hidden_act\":\"silu\",\"hidden_size\":1024,"
         "\"intermediate_size\":3072,\"layer_types\":[\"full_attention\","
         "\"full_attention\"],\"model_type\":\"qwen3\",\"num_attention_heads\":16,"
         "\"num_hidden_layers\":2,\"num_key_value_heads\":8,"
         "\"rope_parameters\":{\"rope_theta\":1000000,\"rope_type\":\"default\"},"
         "\"sliding_window\":null,\"tie_word_embeddings\":true,"
         "\"transformers_version\":\"5.0.0\",\"vocab_size\":151936}",
         2, 16, 8, 128},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *text = cases[i].text;
        mls_config c;

        assert_ok(mls_config_parse(&c, text, strlen(text), "config.json", &err));
        assert_ok(mls_config_runnable(&c, &err));
        assert_int_equal(c.L, cases[i].L);
        assert_int_equal(c.H, cases[i].H);
        assert_int_equal(c.G, cases[i].G);
        assert_int_equal(c.D, cases[i].D);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_demo_is_a_runnable_mistral),
        cmocka_unit_test(numbers_that_only_python_writes_are_no_numbers),
        cmocka_unit_test(missing_keys_take_the_defaults_of_the_family),
        cmocka_unit_test(attention_bias_means_all_four_projections),
        cmocka_unit_test(head_dim_may_differ_from_hidden_over_heads),
        cmocka_unit_test(both_rope_dialects_say_the_same),
        cmocka_unit_test(sliding_windows_fall_on_the_layers_of_the_family),
        cmocka_unit_test(smollm3_says_which_layers_rotate),
        cmocka_unit_test(deepseek_is_sized_from_its_latent),
        cmocka_unit_test(a_text_config_is_sized_with_its_own_defaults),
        cmocka_unit_test(configs_as_they_are_published_are_computed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
