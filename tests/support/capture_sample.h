/* A small capture file of chance numbers, without a model. */
#ifndef MLS_CAPTURE_SAMPLE_H
#define MLS_CAPTURE_SAMPLE_H

#include "tests/support/expect.h"

#include "analysis/capture/capture_inner.h"
#include "common/numbers/half.h"
#include "common/numbers/rng.h"

static const char sample_json[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", "
    "\"vocab_size\": 50, \"hidden_size\": 12, \"intermediate_size\": 20, "
    "\"num_hidden_layers\": 3, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, "
    "\"head_dim\": 6, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-5, "
    "\"rope_theta\": 10000.0, \"hidden_act\": \"silu\"}";

enum { N = 3 };

/* A head and records of chance numbers, the same for the same layer. */
typedef struct {
    mls_capture_head head;
    size_t start[N + 1];
    int32_t ids[12];
    uint64_t windows[2];
} sample;

/* Values that 16 bits hold. */
void fill(double *x, size_t n, mls_rng *rng);
mls_record record_of(const sample *s, size_t l);
void make_sample(sample *s, size_t n_windows);
void write_sample(const sample *s, const char *path);

#endif
