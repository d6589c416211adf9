/* Configs that are not computed, and configs that are not configs. */
#include "tests/support/config_fixture.h"

#include "common/numbers/rng.h"
#include "common/system/files.h"

/* Each of these changes the computation: read for its size, never computed. */
static void what_changes_the_computation_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *patch, *part;
    } cases[] = {
        {"{\"hidden_act\": \"tanh\"}", "hidden_act is \"tanh\""},
        {"{\"hidden_act\": false}", "hidden_act is false"},
        {"{\"attention_multiplier\": 0.0078125}", "attention_multiplier is 0.0078125"},
        {"{\"logit_scale\": 0.0625}", "logit_scale is 0.0625"},
        {"{\"logits_scaling\": 8.0}", "logits_scaling is 8"},
        {"{\"residual_multiplier\": 0.22}", "residual_multiplier is 0.22"},
        {"{\"embedding_multiplier\": 12.0}", "embedding_multiplier is 12"},
        {"{\"attn_logit_softcapping\": 50.0}", "attn_logit_softcapping is 50"},
        {"{\"final_logit_softcapping\": 30.0}", "final_logit_softcapping is 30"},
        {"{\"clip_qkv\": 8.0}", "clip_qkv is 8"},
        {"{\"query_pre_attn_scalar\": 256}", "query_pre_attn_scalar is 256"},
        {"{\"quantization_config\": {\"bits\": 4}}", "quant_method is \"missing\""},
        {"{\"num_experts\": 8}", "num_experts is 8"},
        {"{\"num_local_experts\": 8}", "num_local_experts is 8"},
        {"{\"n_routed_experts\": 64}", "n_routed_experts is 64"},
        {"{\"is_causal\": false}", "is_causal is false"},
        {"{\"auto_map\": {\"AutoModel\": \"m.M\"}}", "auto_map is"},
        {"{\"qk_layernorm\": true}", "qk_layernorm is true"},
        {"{\"rope_interleaved\": true}", "rope_interleaved is true"},
        {"{\"some_new_key\": 3}", "the key some_new_key is not known"},
        {"{\"sliding_window\": 16}", "sliding_window is 16, which the class"},
        {"{\"model_type\": \"mistral\", \"attention_bias\": true}", "attention_bias"},
        {"{\"model_type\": \"qwen3\", \"mlp_bias\": true}", "mlp_bias"},
        {"{\"model_type\": \"newmodel\"}", "\"newmodel\" is not a known family"},
        {"{\"rope_scaling\": {\"rope_type\": \"longrope\", \"short_factor\": [1.0], "
         "\"long_factor\": [2.0]}}",
         "short_factor has 1 numbers"},
        {"{\"rope_scaling\": {\"rope_type\": \"default\", \"factor\": 2}}",
         "factor 2 with RoPE type \"default\""},
        {"{\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2, "
         "\"attention_factor\": 2}}",
         "rope_scaling.attention_factor is not known"},
        {"{\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"}, "
         "\"sliding_attention\": {\"rope_type\": \"default\", \"rope_theta\": 1000}}}",
         "rope_parameters.sliding_attention.rope_theta"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const mls_config c = read_with(cases[i].patch);
        mls_err e = {0};

        if (mls_config_runnable(&c, &e) != MLS_E_INPUT ||
            !strstr(e.text, cases[i].part))
            fail_msg("%s: \"%s\", expected \"%s\"", cases[i].patch, e.text,
                     cases[i].part);
    }
}

/* Each of these makes the file wrong or unclear: refused, with file and key. */
static void a_wrong_config_is_refused_by_key(void **state)
{
    (void)state;
    static const struct {
        const char *patch, *part;
    } cases[] = {
        {"{\"model_type\": \"(none)\"}", "model_type is missing"},
        {"{\"model_type\": 3}", "model_type is 3, expected text"},
        {"{\"model_type\": \"a name that is much too long to be that of any model, "
         "really much too long\"}",
         "model_type is \"a name"},
        {"{\"architectures\": \"LlamaForCausalLM\"}", "architectures is"},
        {"{\"architectures\": [1]}", "architectures[0] is 1"},
        {"{\"num_hidden_layers\": \"(none)\"}", "num_hidden_layers is missing"},
        {"{\"num_hidden_layers\": 0}", "num_hidden_layers is 0, expected a whole"},
        {"{\"num_hidden_layers\": 513}", "num_hidden_layers is 513"},
        {"{\"num_hidden_layers\": -1}", "num_hidden_layers is -1"},
        {"{\"num_hidden_layers\": 4.0}", "num_hidden_layers is 4.0"},
        {"{\"num_hidden_layers\": \"4\"}", "num_hidden_layers is \"4\""},
        {"{\"hidden_size\": \"(none)\"}", "hidden_size is missing"},
        {"{\"hidden_size\": 9223372036854775807}", "hidden_size is 92233720"},
        {"{\"hidden_size\": 65}", "hidden_size 65 is not a multiple"},
        {"{\"vocab_size\": null}", "vocab_size is missing"},
        {"{\"vocab_size\": 16777217}", "vocab_size is 16777217"},
        {"{\"model_type\": \"jetmoe\", \"num_key_value_heads\": null}",
         "layers has attention or a state"},
        {"{\"num_attention_heads\": [null, 8, 8, 8], \"head_dim\": null}",
         "not a multiple of num_attention_heads 0, and head_dim is not given"},
        {"{\"model_type\": \"deepseek_v3\", \"num_attention_heads\": [0, 0, 0, 0], "
         "\"kv_lora_rank\": 8, \"qk_rope_head_dim\": 8, \"qk_nope_head_dim\": 8}",
         "layers has attention or a state"},
        {"{\"model_type\": \"new\", \"layer_types\": [\"linear_attention\", "
         "\"full_attention\", \"full_attention\", \"full_attention\"]}",
         "the size of the state that recurrent layers of model_type \"new\" keep is "
         "not"},
        {"{\"num_attention_heads\": []}", "num_attention_heads has 0 items"},
        {"{\"num_attention_heads\": 1025, \"head_dim\": 8}",
         "num_attention_heads is 1025"},
        {"{\"num_key_value_heads\": 3}", "num_attention_heads 8 is not a multiple of "
                                         "num_key_value_heads 3"},
        {"{\"num_key_value_heads\": 16}", "num_key_value_heads 16"},
        {"{\"model_type\": \"new\", \"num_key_value_heads\": \"(none)\"}",
         "num_key_value_heads is missing"},
        {"{\"head_dim\": 7}", "7 of 7 dims of a head turn"},
        {"{\"head_dim\": 2048}", "head_dim is 2048"},
        {"{\"head_dim\": true}", "head_dim is true"},
        {"{\"max_position_embeddings\": 0}", "max_position_embeddings is 0"},
        {"{\"rms_norm_eps\": 0}", "rms_norm_eps is 0"},
        {"{\"rms_norm_eps\": 1}", "rms_norm_eps is 1"},
        {"{\"rms_norm_eps\": \"1e-5\"}", "rms_norm_eps is \"1e-5\""},
        {"{\"tie_word_embeddings\": 1}", "tie_word_embeddings is 1, expected true"},
        {"{\"attention_bias\": \"yes\"}", "attention_bias is \"yes\""},
        {"{\"mlp_bias\": {}}", "mlp_bias is {}"},
        {"{\"bos_token_id\": -2}", "bos_token_id is -2"},
        {"{\"eos_token_id\": [1.5]}", "eos_token_id is 1.5"},
        {"{\"torch_dtype\": 16}", "torch_dtype is 16"},
        {"{\"rope_theta\": 0}", "rope_theta is 0, expected a number"},
        {"{\"rope_theta\": -10000}", "rope_theta is -10000"},
        {"{\"rope_theta\": \"1e4\"}", "rope_theta is \"1e4\""},
        {"{\"rope_scaling\": 2}", "rope_scaling is 2"},
        {"{\"rope_parameters\": []}", "rope_parameters is []"},
        {"{\"rope_scaling\": {\"factor\": 2}}", "neither rope_type nor type"},
        {"{\"rope_scaling\": {\"type\": \"ntk\", \"factor\": 2}}",
         "rope_scaling.type is \"ntk\": unknown RoPE type"},
        {"{\"rope_scaling\": {\"rope_type\": 7}}", "rope_scaling.rope_type is 7"},
        {"{\"rope_parameters\": {\"rope_type\": \"spiral\"}}",
         "rope_parameters.rope_type is \"spiral\""},
        {"{\"rope_scaling\": {\"type\": \"linear\", \"rope_type\": \"llama3\"}}",
         "rope_scaling.rope_type is \"llama3\", but rope_scaling.type is \"linear\""},
        {"{\"rope_scaling\": {\"type\": \"linear\"}}", "needs factor"},
        {"{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0.5}}",
         "rope_scaling.factor is 0.5"},
        {"{\"rope_scaling\": {\"type\": \"linear\", \"factor\": \"4\"}}",
         "rope_scaling.factor is \"4\""},
        {"{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
         "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 8192}}",
         "needs low_freq_factor"},
        {"{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
         "\"low_freq_factor\": 1, \"original_max_position_embeddings\": 8192}}",
         "needs high_freq_factor"},
        {"{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
         "\"low_freq_factor\": 1, \"high_freq_factor\": 4}}",
         "needs original_max_position_embeddings"},
        {"{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
         "\"low_freq_factor\": 4, \"high_freq_factor\": 4, "
         "\"original_max_position_embeddings\": 8192}}",
         "high_freq_factor is 4, expected more than low_freq_factor 4"},
        {"{\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 10000}}",
         "rope_theta and rope_parameters.rope_theta contradict"},
        {"{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, "
         "\"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 4}}",
         "rope_scaling.factor and rope_parameters.factor contradict"},
        {"{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, "
         "\"rope_parameters\": {\"rope_type\": \"default\"}}",
         "rope_scaling.rope_type and rope_parameters.rope_type contradict"},
        {"{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2, \"rope_theta\": 1}}",
         "rope_theta is 500000, but rope_scaling.rope_theta is 1"},
        {"{\"rope_parameters\": {\"sliding_attention\": {\"rope_type\": \"default\"}}}",
         "no full_attention"},
        {"{\"partial_rotary_factor\": 2}", "partial_rotary_factor is 2"},
        {"{\"model_type\": \"mistral\", \"sliding_window\": 0}", "sliding_window is 0"},
        {"{\"model_type\": \"mistral\", \"sliding_window\": -1}",
         "sliding_window is -1"},
        {"{\"model_type\": \"qwen2\", \"use_sliding_window\": 1}",
         "use_sliding_window is 1"},
        {"{\"model_type\": \"qwen2\", \"use_sliding_window\": true, "
         "\"max_window_layers\": -1}",
         "max_window_layers is -1"},
        {"{\"model_type\": \"qwen3\", \"layer_types\": [\"full_attention\"]}",
         "layer_types has 1 items, expected num_hidden_layers 4"},
        {"{\"model_type\": \"qwen3\", \"layer_types\": [\"full_attention\", "
         "\"full_attention\", \"full_attention\", \"linear_attention\"]}",
         "the size of the state"},
        {"{\"model_type\": \"qwen3\", \"layer_types\": [\"sliding_attention\", "
         "\"full_attention\", \"full_attention\", \"full_attention\"]}",
         "layer_types[0] is sliding_attention, but sliding_window is off"},
        {"{\"layer_types\": [\"full_attention\", \"full_attention\", "
         "\"full_attention\", \"sliding_attention\"]}",
         "layer_types[3] is sliding_attention, but sliding_window is missing"},
        {"{\"model_type\": \"mixtral\", \"sliding_window\": 8, \"layer_types\": "
         "[\"sliding_attention\", \"sliding_attention\", \"full_attention\", "
         "\"sliding_attention\"]}",
         "layer_types[2] is full_attention, but the class of model_type \"mixtral\" "
         "reads no layer_types: its sliding_window 8 holds in every layer"},
        {"{\"model_type\": \"phi3\", \"sliding_window\": null, \"layer_types\": "
         "[\"sliding_attention\", \"sliding_attention\", \"full_attention\", "
         "\"sliding_attention\"]}",
         "layer_types[0] is sliding_attention, but sliding_window is null"},
        {"{\"model_type\": \"lfm2\", \"sliding_window\": 8, \"layer_types\": "
         "[\"conv\", \"sliding_attention\", \"full_attention\", \"conv\"]}",
         "layer_types[1] is sliding_attention, but the class of model_type \"lfm2\" "
         "reads no sliding_window"},
        {"{\"attention_chunk_size\": 8, \"layer_types\": [\"chunked_attention\", "
         "\"full_attention\", \"full_attention\", \"full_attention\"]}",
         "attention_chunk_size is not read by its class"},
        {"{\"model_type\": \"smollm3\", \"no_rope_layers\": [1]}",
         "no_rope_layers has 1 items"},
        {"{\"model_type\": \"smollm3\", \"no_rope_layers\": [1, 1, 1, 2]}",
         "no_rope_layers[] is 2"},
        {"{\"attention_chunk_size\": 8192}", "attention_chunk_size is 8192"},
        {"{\"mamba_d_state\": 128}", "the key mamba_d_state is not"},
        {"{\"model_type\": \"deepseek_v2\", \"kv_lora_rank\": 0}", "kv_lora_rank is 0"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = config_with(cases[i].patch);
        mls_config c;
        mls_err e = {0};

        const mls_status st =
            mls_config_parse(&c, text, strlen(text), "a/config.json", &e);
        /* What changes no byte of the cache stops the forward pass alone. */
        const char *said = st ? e.text : c.unsupported;

        if ((st && st != MLS_E_INPUT) || !strstr(said, cases[i].part) ||
            (st && strstr(e.text, "a/config.json: ") != e.text))
            fail_msg("%s: \"%s\", expected \"%s\"", cases[i].patch, said,
                     cases[i].part);
        free(text);
    }
}

static void what_is_not_json_is_refused_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "is an empty file"},
        {"{", "line 1"},
        {"[]", "not an object"},
        {"{\"a\": 1,\n \"a\": 2}", "line 2, column 4: duplicate object key"},
        {"{\"a\": 01}", "line 1"},
        {"{\"a\": 1} x", "end of file expected"},
        {"{\"a\": \"\xff\"}", "unable to decode byte 0xff"},
        {"{\"a\": nan}", "line 1"},
        {"{\"a\": Infinit}", "line 1"},
        {"{\"a\": 1Infinity}", "line 1"},
        {"{\"a\": \"\\\"\", \"b\": [NaN, -Infinity, \"NaN\"]}",
         "model_type is missing"},
        {"{\"a\": 18446744073709551616}", "too big integer"},
        {"{\"a\": 1e999}", "real number overflow"},
        {"{'a': 1}", "line 1"},
        {"{\"a\": \"b\nc\"}", "line 1"},
    };
    const char *path = test_scratch("broken.json");
    mls_config c;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_ok(mls_file_write(path, cases[i].text, strlen(cases[i].text), &err));
        assert_refused(mls_config_read(&c, path, &err), MLS_E_INPUT, cases[i].part);
    }
    assert_refused(mls_config_read(&c, test_scratch("nowhere.json"), &err), MLS_E_INPUT,
                   "No such file");
    assert_refused(mls_config_read(&c, test_source("tests"), &err), MLS_E_INPUT,
                   "config.json: No such file");
}

/* No mutation of a config crashes; each is read or refused with a sentence. */
static void random_mutations_never_crash(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "\"",      "{",      "}",     "[",        "]",     ",",        ":",
        "0",       "-1",     "true",  "null",     "1e999", "99999999", "\"type\"",
        "\\u0000", "linear", "qwen3", "\xff\xfe", "0.5"};
    char start[2048];
    size_t accepted = 0;
    mls_rng rng;

    snprintf(start, sizeof start, "%.*s, %s}", (int)strlen(base_config) - 1,
             base_config,
             "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
             "\"low_freq_factor\": 1, \"high_freq_factor\": 4, "
             "\"original_max_position_embeddings\": 64}, \"layer_types\": null, "
             "\"sliding_window\": null, \"head_dim\": 8, \"bos_token_id\": [1, 2]");
    mls_rng_seed(&rng, 20240608, 0);
    for (int round = 0; round < 20000; round++) {
        char text[2200];
        size_t len = strlen(start);
        const size_t edits = 1 + mls_rng_below(&rng, 3);
        mls_config c;
        mls_err e = {0};

        memcpy(text, start, len + 1);
        for (size_t k = 0; k < edits; k++) {
            const char *piece =
                pieces[mls_rng_below(&rng, sizeof pieces / sizeof pieces[0])];
            const size_t m = strlen(piece), at = mls_rng_below(&rng, len - m);

            if (mls_rng_below(&rng, 3) == 0) {
                memmove(text + at + m, text + at, len + 1 - at);
                len += m;
            }
            memcpy(text + at, piece, m);
        }
        if (mls_config_parse(&c, text, len, "mutant", &e)) {
            assert_true(strstr(e.text, "mutant: ") == e.text);
            continue;
        }
        accepted++;
        assert_true(c.L >= 1 && c.L <= MLS_LAYERS_MAX && c.D >= 1 &&
                    c.D <= MLS_DIM_MAX && c.G >= 1 &&
                    (c.unsupported[0] || c.H % c.G == 0) && c.H <= MLS_HEADS_MAX &&
                    c.V <= MLS_VOCAB_MAX && c.E >= 1 && c.E <= MLS_WIDTH_MAX &&
                    c.rope.theta > 0);
    }
    assert_in_range(accepted, 500, 19000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_changes_the_computation_is_named),
        cmocka_unit_test(a_wrong_config_is_refused_by_key),
        cmocka_unit_test(what_is_not_json_is_refused_with_its_line),
        cmocka_unit_test(random_mutations_never_crash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
