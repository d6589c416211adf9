/* Who serves a form: by its structure, and by what the projects' own code can run. */
#include "tests/support/expect.h"

#include "analysis/serving/serving.h"
#include "bench/frame/scheme.h"
#include "datasets/checkpoint/checkpoint.h"

static mls_config read_config(const char *name)
{
    mls_config c;
    char path[128];

    snprintf(path, sizeof path, "tests/data/configs/%s.json", name);
    assert_ok(mls_config_read(&c, test_source(path), &err));
    return c;
}

static mls_serve serve_of(const mls_config *c, const char *text)
{
    static mls_cache_layout layout;
    mls_setting s;
    mls_serve serve;

    assert_ok(mls_setting_parse(&s, text, &err));
    assert_ok(mls_method_layout(&layout, c, &s, &err));
    assert_ok(mls_setting_serve(&serve, &s, c, &layout, &err));
    return serve;
}

static void classes_follow_from_structure(void **state)
{
    (void)state;
    static const struct {
        const char *setting;
        mls_serve gqa, mha; /* Llama-3-8B, Llama-2-7B */
    } cases[] = {
        {"baseline", MLS_SERVE_CACHE, MLS_SERVE_CACHE},
        {"baseline quant=int4/64", MLS_SERVE_CACHE, MLS_SERVE_CACHE},
        {"transmla rope_dim=64 rank=512 freqfold=4", MLS_SERVE_MLA, MLS_SERVE_MLA},
        {"kq rope=shared rope_dim=64 rank=512 centre=no", MLS_SERVE_MLA, MLS_SERVE_MLA},
        /* means come back as biases, which only transformers adds */
        {"kq rope=shared rope_dim=64 rank=512", MLS_SERVE_TRANSFORMERS,
         MLS_SERVE_TRANSFORMERS},
        /* engines read FP8 rows, no 4-bit ones */
        {"kq rope=shared rope_dim=64 rank=512 centre=no quant=fp8", MLS_SERVE_MLA,
         MLS_SERVE_MLA},
        {"kq rope=shared rope_dim=64 rank=512 quant=int4/64", MLS_SERVE_OWN_KERNEL,
         MLS_SERVE_OWN_KERNEL},
        /* config.json has one rank for all layers */
        {"kq rope=shared rope_dim=64 rank=512 layers=0-15", MLS_SERVE_OWN_KERNEL,
         MLS_SERVE_OWN_KERNEL},
        /* keys are rotated after they are read back; rope keys of each head */
        /* a latent and a rope key for each group of heads; one latent with two keys */
        {"kq rope=shared rope_dim=64 latents=2 rank=512", MLS_SERVE_SPLIT,
         MLS_SERVE_SPLIT},
        {"kq rope=shared rope_dim=64 rope_keys=2 rank=512", MLS_SERVE_OWN_KERNEL,
         MLS_SERVE_OWN_KERNEL},
        /* frequencies that config.json cannot say */
        {"kq rope=shared freqfold=8 keep=2 rank=512 centre=no", MLS_SERVE_OWN_KERNEL,
         MLS_SERVE_OWN_KERNEL},
        {"kq rope=shared freqfold=8 keep=1 rank=512 centre=no", MLS_SERVE_MLA,
         MLS_SERVE_MLA},
        {"kq rank=512", MLS_SERVE_OWN_KERNEL, MLS_SERVE_OWN_KERNEL},
        {"kq rope=2-norm chunks=8 rank=512", MLS_SERVE_OWN_KERNEL,
         MLS_SERVE_OWN_KERNEL},
        {"palu group=G rank=64", MLS_SERVE_OWN_KERNEL, MLS_SERVE_OWN_KERNEL},
        {"mha2mla chunks=16 rank=32", MLS_SERVE_MHA2MLA, MLS_SERVE_MHA2MLA},
        {"mha2mla chunks=16 rank=32 scope=global", MLS_SERVE_OWN_KERNEL,
         MLS_SERVE_OWN_KERNEL},
        {"mha2mla chunks=16 rank=32 layers=0-3", MLS_SERVE_OWN_KERNEL,
         MLS_SERVE_OWN_KERNEL},
        /* EliteKV's code needs as many KV heads as query heads */
        {"elitekv chunks=8 rank=512", MLS_SERVE_OWN_KERNEL, MLS_SERVE_ELITEKV},
        {"elitekv chunks=8 svd=split rank_k=64 rank_v=64", MLS_SERVE_OWN_KERNEL,
         MLS_SERVE_OWN_KERNEL},
        /* X-EcoMLA's code has no paired start; its shape is MLA's all the same */
        {"x-ecomla rank=128 rope_dim=32", MLS_SERVE_X_ECOMLA, MLS_SERVE_X_ECOMLA},
        {"x-ecomla rank=128 rope_dim=32 init=paired", MLS_SERVE_MLA, MLS_SERVE_MLA},
        {"x-ecomla rank=100 rope_dim=32", MLS_SERVE_MLA, MLS_SERVE_MLA},
    };
    const mls_config gqa = read_config("Llama-3-8B"), mha = read_config("Llama-2-7B");

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (serve_of(&gqa, cases[i].setting) != cases[i].gqa ||
            serve_of(&mha, cases[i].setting) != cases[i].mha)
            fail_msg("%s: %s and %s", cases[i].setting,
                     mls_serve_name(serve_of(&gqa, cases[i].setting)),
                     mls_serve_name(serve_of(&mha, cases[i].setting)));
    }
}

static void native_mla_is_served_as_it_is(void **state)
{
    (void)state;
    const mls_config v3 = read_config("DeepSeek-V3");

    assert_int_equal(serve_of(&v3, "baseline"), MLS_SERVE_MLA);
}

static void biases_and_scaled_rope_leave_transformers_alone(void **state)
{
    (void)state;
    const char *const text = "transmla rope_dim=64 rank=512 freqfold=4";
    mls_config c = read_config("Llama-3-8B");

    assert_int_equal(mls_serve_usual(&c), MLS_SERVE_MLA);
    c.rope.type = MLS_ROPE_LLAMA3;
    assert_int_equal(serve_of(&c, text), MLS_SERVE_TRANSFORMERS);
    assert_int_equal(mls_serve_usual(&c), MLS_SERVE_TRANSFORMERS);
    c.rope.type = MLS_ROPE_DEFAULT;
    c.qkv_bias = true;
    assert_int_equal(serve_of(&c, text), MLS_SERVE_TRANSFORMERS);
    assert_int_equal(mls_serve_usual(&c), MLS_SERVE_TRANSFORMERS);
}

static void an_untied_head_counts_where_the_export_unties_it(void **state)
{
    (void)state;
    mls_config c = read_config("Llama-3-8B");

    assert_close(mls_serve_head(MLS_SERVE_MLA, &c), 0, 0);
    c.tied_embeddings = true;
    assert_close(mls_serve_head(MLS_SERVE_MLA, &c), 128256.0 * 4096, 0);
    assert_close(mls_serve_head(MLS_SERVE_TRANSFORMERS, &c), 128256.0 * 4096, 0);
    assert_close(mls_serve_head(MLS_SERVE_MHA2MLA, &c), 0, 0);
    assert_close(mls_serve_head(MLS_SERVE_CACHE, &c), 0, 0);
}

static void sliding_windows_are_no_mla(void **state)
{
    (void)state;
    const mls_config gemma = read_config("Gemma-2-9B"); /* every other layer */

    assert_int_equal(serve_of(&gemma, "transmla rope_dim=64 rank=512 freqfold=4"),
                     MLS_SERVE_OWN_KERNEL);
}

static void up_projections_per_kv_group_make_a_gqla(void **state)
{
    (void)state;
    const mls_config gqa = read_config("Llama-3-8B"), mha = read_config("Llama-2-7B");

    assert_true(mls_serve_is_gqla(MLS_SERVE_MLA, &gqa));
    assert_false(mls_serve_is_gqla(MLS_SERVE_MLA, &mha));
    assert_false(mls_serve_is_gqla(MLS_SERVE_OWN_KERNEL, &gqa));
}

static void words_are_read_back(void **state)
{
    (void)state;
    mls_serve s;

    for (int i = 0; i < MLS_SERVE_CLASSES; i++) {
        assert_ok(mls_serve_parse(&s, mls_serve_name((mls_serve)i), &err));
        assert_int_equal(s, i);
    }
    assert_ok(mls_serve_parse(&s, "own-kernel", &err));
    assert_int_equal(s, MLS_SERVE_OWN_KERNEL);
    assert_refused(mls_serve_parse(&s, "mha2ml", &err), MLS_E_ARG, "mha2mla");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_follow_from_structure),
        cmocka_unit_test(native_mla_is_served_as_it_is),
        cmocka_unit_test(biases_and_scaled_rope_leave_transformers_alone),
        cmocka_unit_test(an_untied_head_counts_where_the_export_unties_it),
        cmocka_unit_test(sliding_windows_are_no_mla),
        cmocka_unit_test(up_projections_per_kv_group_make_a_gqla),
        cmocka_unit_test(words_are_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
