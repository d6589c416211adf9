#include "tests/support/random_model.h"

#include "common/system/files.h"
#include "datasets/files/safetensors.h"
#include "tests/support/expect.h"

enum { E = MLS_RANDOM_E, F = 40, LAYERS = MLS_RANDOM_L };

/* Tensors are planned and filled in one order; rank 1 when cols is 0. */
typedef struct {
    char name[64][64];
    mls_tensor_plan plan[64];
    size_t n;
} tensors;

static void add(tensors *t, const char *name, size_t rows, size_t cols)
{
    mls_tensor_plan *p = &t->plan[t->n];

    snprintf(t->name[t->n], sizeof t->name[0], "%s", name);
    *p = (mls_tensor_plan){.name = t->name[t->n++], .dtype = "F32", .n_dims = 1};
    p->shape[0] = rows;
    if (cols) {
        p->n_dims = 2;
        p->shape[1] = cols;
    }
}

static void add_layer(tensors *t, const mls_random_shape *s, size_t l)
{
    const size_t q = s->H * s->D, kv = s->G * s->D;
    const struct {
        const char *name;
        size_t rows, cols;
        bool there;
    } all[] = {
        {"input_layernorm.weight", E, 0, true},
        {"self_attn.q_proj.weight", q, E, true},
        {"self_attn.k_proj.weight", kv, E, true},
        {"self_attn.v_proj.weight", kv, E, true},
        {"self_attn.o_proj.weight", E, q, true},
        {"self_attn.q_proj.bias", q, 0, s->biases},
        {"self_attn.k_proj.bias", kv, 0, s->biases},
        {"self_attn.v_proj.bias", kv, 0, s->biases},
        {"self_attn.q_norm.weight", s->D, 0, s->qk_norm},
        {"self_attn.k_norm.weight", s->D, 0, s->qk_norm},
        {"post_attention_layernorm.weight", E, 0, true},
        {"mlp.gate_proj.weight", F, E, true},
        {"mlp.up_proj.weight", F, E, true},
        {"mlp.down_proj.weight", E, F, true},
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char name[64];

        snprintf(name, sizeof name, "model.layers.%zu.%s", l, all[i].name);
        if (all[i].there)
            add(t, name, all[i].rows, all[i].cols);
    }
}

void random_model(const char *folder, const mls_random_shape *s, mls_rng *rng)
{
    mls_safetensors_writer *w;
    tensors t = {.n = 0};
    char path[1100], config[1024];
    const int n = snprintf(
        config, sizeof config,
        "{\"model_type\":\"%s\",\"vocab_size\":%d,\"hidden_size\":%d,"
        "\"intermediate_size\":%d,\"num_hidden_layers\":%d,\"num_attention_heads\":%zu,"
        "\"num_key_value_heads\":%zu,\"head_dim\":%zu,\"max_position_embeddings\":128,"
        "\"rms_norm_eps\":1e-5,\"rope_theta\":100.0,\"hidden_act\":\"silu\","
        "\"tie_word_embeddings\":false}",
        s->type, MLS_RANDOM_V, E, F, LAYERS, s->H, s->G, s->D);

    assert_ok(mls_folder_prepare(folder, &err));
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_ok(mls_file_write(path, config, (size_t)n, &err));
    add(&t, "model.embed_tokens.weight", MLS_RANDOM_V, E);
    for (size_t l = 0; l < LAYERS; l++)
        add_layer(&t, s, l);
    add(&t, "model.norm.weight", E, 0);
    add(&t, "lm_head.weight", MLS_RANDOM_V, E);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    assert_ok(mls_safetensors_create(&w, path, t.plan, t.n, NULL, 0, &err));
    for (size_t i = 0; i < t.n; i++) {
        const bool matrix = t.plan[i].n_dims == 2;
        const size_t size = t.plan[i].shape[0] * (matrix ? t.plan[i].shape[1] : 1);
        float *x = malloc(size * sizeof *x);

        for (size_t j = 0; j < size; j++)
            x[j] = (float)((matrix ? 0.2 : 0.3) * mls_rng_normal(rng));
        if (strstr(t.plan[i].name, "norm"))
            for (size_t j = 0; j < size; j++)
                x[j] += 1;
        assert_ok(mls_safetensors_write_f32(w, x, size, &err));
        free(x);
    }
    assert_ok(mls_safetensors_finish(w, &err));
}
