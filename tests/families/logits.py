#!/usr/bin/env python3
"""Logits of one tiny model for each family, computed by transformers.

Writes what tests/unit/test_family_logits.c reads:
    python3 tests/families/logits.py > tests/families/logits.txt
Needs torch and transformers 5.24. With names only those cases are written, and with
--folder FOLDER the models stay there. The lines of the file, and how both programs make
the weights from a tensor's name, are those of tests/reference/forward.py; a tensor of
more than two dimensions stands there as a matrix of its last one.
"""

import argparse
import json
import os
import sys
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                                "reference"))
from forward import weights  # noqa: E402

SEED, T = 11, 40
BASE = dict(vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
            bos_token_id=0, eos_token_id=0, pad_token_id=0)
W = 12  # a window that 40 tokens fill
F, S, LIN = "full_attention", "sliding_attention", "linear_attention"
DELTA = dict(head_dim=16, linear_num_key_heads=2, linear_num_value_heads=4,
             linear_key_head_dim=8, linear_value_head_dim=8,
             linear_conv_kernel_dim=4, layer_types=[LIN, F])

NO_KV = dict(num_key_value_heads=None)
GPT2 = dict(NO_KV, n_embd=32, n_head=4, n_layer=2, n_positions=64, hidden_size=None,
            num_attention_heads=None, num_hidden_layers=None, intermediate_size=None,
            max_position_embeddings=None)

LATENT = dict(num_key_value_heads=4, kv_lora_rank=12, q_lora_rank=16,
              qk_rope_head_dim=4, qk_nope_head_dim=8, v_head_dim=8, n_routed_experts=4,
              n_group=1, topk_group=1, num_experts_per_tok=2, moe_intermediate_size=16,
              first_k_dense_replace=1)

# name: (model_type, what differs from BASE; None leaves a key out)
CASES = {
    "gemma3": ("gemma3_text", dict(num_hidden_layers=4, head_dim=8, sliding_window=W,
        layer_types=[S, F, S, F], query_pre_attn_scalar=8,
        rope_parameters={S: dict(rope_type="default", rope_theta=20.0),
                         F: dict(rope_type="linear", rope_theta=500.0, factor=4.0)})),
    "gemma3n": ("gemma3n_text", dict(num_hidden_layers=4, head_dim=8, sliding_window=W,
        layer_types=[S, F, S, F], num_kv_shared_layers=2, laurel_rank=4,
        intermediate_size=[48, 32, 48, 40], altup_active_idx=1, altup_num_inputs=3,
        activation_sparsity_pattern=[0.0, 0.9, 0.5, 0.0], hidden_size_per_layer_input=6,
        vocab_size_per_layer_input=61)),
    "gemma4": ("gemma4_text", dict(num_hidden_layers=4, head_dim=8, sliding_window=W,
        layer_types=[S, F, S, F], num_kv_shared_layers=2, use_double_wide_mlp=True,
        hidden_size_per_layer_input=6, vocab_size_per_layer_input=61,
        global_head_dim=16)),
    "gemma4_moe": ("gemma4_text", dict(num_hidden_layers=2, head_dim=8,
        sliding_window=W, layer_types=[S, F], hidden_size_per_layer_input=0,
        vocab_size_per_layer_input=61, global_head_dim=16, attention_k_eq_v=True,
        num_global_key_value_heads=1, enable_moe_block=True, num_experts=4,
        top_k_experts=2, moe_intermediate_size=16, final_logit_softcapping=20.0)),
    "mimo_v2": ("mimo_v2_flash", dict(head_dim=24, v_head_dim=16, sliding_window=W,
        layer_types=[F, S], mlp_layer_types=["dense", "sparse"], n_routed_experts=4,
        num_experts_per_tok=2, moe_intermediate_size=16, attention_bias=True)),
    "laguna": ("laguna", dict(head_dim=8, sliding_window=W, layer_types=[F, S],
        num_attention_heads_per_layer=[4, 6], num_experts=4, num_experts_per_tok=2,
        moe_intermediate_size=16, shared_expert_intermediate_size=16)),
    "kolibri1": ("kolibri1", dict(head_dim=8, sliding_window=W, layer_types=[S, F],
        intermediate_size=None, num_local_experts=4, num_experts_per_tok=2,
        moe_intermediate_size=16, shared_expert_intermediate_size=16)),
    "cohere2_moe": ("cohere2_moe", dict(num_hidden_layers=3, head_dim=8,
        sliding_window=W, layer_types=[F, S, F], num_experts=4, num_experts_per_tok=2,
        mlp_layer_types=["dense", "sparse", "sparse"], num_shared_experts=1,
        prefix_dense_intermediate_size=40, logit_scale=0.5,
        expert_selection_fn="sigmoid")),
    "lfm3": ("lfm3", dict(num_hidden_layers=3, head_dim=8, sliding_window=W,
        layer_types=["conv", S, F], conv_L_cache=4)),
    "xglm": ("xglm", dict(NO_KV, d_model=32, attention_heads=4, num_layers=2, ffn_dim=48,
        hidden_size=None, num_attention_heads=None, num_hidden_layers=None,
        intermediate_size=None)),
    "codegen": ("codegen", dict(GPT2, n_head=8, rotary_dim=2)),
    "deepseek_v32": ("deepseek_v32", dict(LATENT, n_routed_experts=8, n_group=2,
        topk_group=1, index_topk=40, index_head_dim=8, index_n_heads=2)),
    "glm_moe_dsa": ("glm_moe_dsa", dict(LATENT, index_topk=40, index_head_dim=8,
        index_n_heads=2, num_hidden_layers=3, index_topk_freq=2)),
    "olmo3": ("olmo3", dict(sliding_window=W, layer_types=[S, F])),
    "phi": ("phi", dict(partial_rotary_factor=0.5)),
    "phi3": ("phi3", dict(sliding_window=W)),
    "cohere2": ("cohere2", dict(sliding_window=W, layer_types=[S, F], logit_scale=0.5)),
    "starcoder2": ("starcoder2", dict(use_bias=True)),
    "stablelm": ("stablelm", dict(partial_rotary_factor=0.5)),
    "nemotron": ("nemotron", dict(partial_rotary_factor=0.5, head_dim=8)),
    "granite": ("granite", dict(attention_multiplier=0.2, embedding_multiplier=3.0,
        residual_multiplier=0.5, logits_scaling=2.0)),
    "exaone4": ("exaone4", dict(sliding_window=W, layer_types=[S, F])),
    "gemma2": ("gemma2", dict(head_dim=8, sliding_window=W,
        query_pre_attn_scalar=8)),
    "gpt2": ("gpt2", dict(GPT2)),
    "gptj": ("gptj", dict(GPT2, rotary_dim=4)),
    "gpt_neo": ("gpt_neo", dict(NO_KV, num_attention_heads=None,
        num_hidden_layers=None, num_heads=4, num_layers=2,
        attention_types=[[["global", "local"], 1]], window_size=W)),
    "bloom": ("bloom", dict(NO_KV, n_head=4, n_layer=2, num_attention_heads=None,
        num_hidden_layers=None, intermediate_size=None)),
    "falcon": ("falcon", dict(NO_KV, multi_query=True, intermediate_size=None)),
    "mpt": ("mpt", dict(NO_KV, d_model=32, n_heads=4, n_layers=2, hidden_size=None,
        num_attention_heads=None, num_hidden_layers=None, intermediate_size=None)),
    "opt": ("opt", dict(NO_KV, ffn_dim=48, word_embed_proj_dim=32,
        intermediate_size=None)),
    "mixtral": ("mixtral", dict(num_local_experts=4)),
    "qwen3_moe": ("qwen3_moe", dict(head_dim=8, num_experts=4, num_experts_per_tok=2,
        moe_intermediate_size=16, norm_topk_prob=True)),
    "gpt_oss": ("gpt_oss", dict(head_dim=8, sliding_window=W, num_local_experts=4,
        num_experts_per_tok=2, layer_types=[S, F])),
    "deepseek_v3": ("deepseek_v3", dict(LATENT)),
    "lfm2": ("lfm2", dict(layer_types=["conv", F], block_auto_adjust_ff_dim=False)),
    "qwen3_next": ("qwen3_next", dict(DELTA, num_experts=4, num_experts_per_tok=2,
        moe_intermediate_size=16, shared_expert_intermediate_size=16)),
    "qwen3_5": ("qwen3_5_text", dict(DELTA)),
    "granitemoehybrid": ("granitemoehybrid", dict(mamba_n_heads=4, mamba_d_head=16,
        mamba_n_groups=2, mamba_d_state=8, mamba_d_conv=4, mamba_expand=2,
        mamba_chunk_size=16, num_local_experts=0, shared_intermediate_size=48,
        residual_multiplier=0.5, attention_multiplier=0.2, layer_types=[LIN, F])),
    "nemotron_h": ("nemotron_h", dict(hybrid_override_pattern="M-*",
        num_hidden_layers=3, head_dim=8, ssm_state_size=8, mamba_num_heads=4,
        mamba_head_dim=16, n_groups=2, conv_kernel=4, chunk_size=16,
        use_mamba_kernels=False)),
    "gpt_neox": ("gpt_neox", dict(num_key_value_heads=None, rotary_pct=0.5)),
    "glm4": ("glm4", dict(head_dim=8, partial_rotary_factor=0.5)),
    "deepseek_v3_yarn": ("deepseek_v3", dict(LATENT, rope_scaling=dict(type="yarn",
        factor=40.0, mscale=1.0, mscale_all_dim=1.0, beta_fast=32, beta_slow=1,
        original_max_position_embeddings=16))),
    "axk1": ("axk1", dict(LATENT)),
    "llama4": ("llama4_text", dict(head_dim=8, intermediate_size_mlp=48,
        num_local_experts=4, interleave_moe_layer_step=2, no_rope_layers=[1, 0],
        attention_chunk_size=16, floor_scale=8)),
    "falcon_h1": ("falcon_h1", dict(head_dim=8, mamba_d_ssm=32, mamba_n_heads=4,
        mamba_d_head=8, mamba_n_groups=2, mamba_d_state=8, mamba_chunk_size=16,
        key_multiplier=0.5, attention_in_multiplier=1.5, attention_out_multiplier=0.7,
        ssm_multipliers=[0.9, 1.2, 0.8, 1.1, 0.6], ssm_in_multiplier=1.3,
        ssm_out_multiplier=0.6, mlp_multipliers=[0.8, 1.4], lm_head_multiplier=0.5,
        embedding_multiplier=2.0)),
    "nanochat": ("nanochat", dict()),
    "bitnet": ("bitnet", dict()),
    "phimoe": ("phimoe", dict(num_local_experts=4)),
}


def config_of(model_type, changes):
    raw = {"model_type": model_type, **BASE, **changes}
    return {k: v for k, v in raw.items() if v is not None}


def class_of(config):
    mapping = AutoModelForCausalLM._model_mapping
    if type(config) in mapping:
        return mapping[type(config)]
    name = type(config).__name__.replace("TextConfig", "").replace("Config", "")
    return getattr(transformers, name + "ForCausalLM")


def scale_of(name, shape):
    """Numbers at which every part of the network moves the logits."""
    if len(shape) == 1 or "norm" in name or shape[-1] == 1:
        return 0.5, 1.0 if "norm" in name and "bias" not in name else 0.0
    if "embed" in name or "wte" in name or "wpe" in name:
        return 0.5, 0.0
    return 2.0 / 2 ** round((shape[-1].bit_length() - 1) / 2), 0.0


def build(folder, raw):
    """The model of a config.json with made-up weights, and its tensors as saved."""
    config = CONFIG_MAPPING[raw["model_type"]].from_dict(json.loads(json.dumps(raw)))
    cls = class_of(config)
    torch.manual_seed(1)
    cls._from_config(config).save_pretrained(folder)
    path = os.path.join(folder, "model.safetensors")
    tensors, lines = {}, []
    with safe_open(path, "pt") as f:
        for name in f.keys():
            t = f.get_tensor(name)
            if not t.is_floating_point():
                continue
            shape = list(t.shape) or [1]
            cols = shape[-1] if len(shape) > 1 else 0
            rows = t.numel() // cols if cols else t.numel()
            scale, offset = scale_of(name, shape)
            w = weights(SEED, name, rows, cols, scale, offset)
            tensors[name] = torch.tensor(w, dtype=torch.float32).reshape(t.shape)
            lines.append(f"tensor {name} {rows} {cols} {scale:g} {offset:g}")
    save_file(tensors, path, metadata={"format": "pt"})
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(raw, f)
    model, info = cls.from_pretrained(folder, attn_implementation="eager",
                                      dtype=torch.float32, output_loading_info=True)
    if info["missing_keys"] or info["mismatched_keys"]:
        raise RuntimeError(f"{raw['model_type']}: {info}")
    return model.eval(), lines


def write(name, model_type, changes, folder):
    raw = config_of(model_type, changes)
    model, lines = build(folder, raw)
    print(f"case {name} {SEED}")
    print("config", json.dumps(raw))
    print("\n".join(lines))
    ids = [(7 * t * t + 3 * t + 1) % raw["vocab_size"] for t in range(T)]
    print("ids", T, *ids)
    with torch.no_grad():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0].double()
    nll = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]))
    print(f"nll {float(nll):.12g}")
    print("argmax", *logits.argmax(-1).tolist())
    for t in (T // 2, T - 1):
        print("logits", t, *(f"{x:.7g}" for x in logits[t].tolist()))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("names", nargs="*")
    p.add_argument("--folder")
    a = p.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    print(f"# by tests/families/logits.py with transformers {transformers.__version__}")
    for name in a.names or CASES:
        with tempfile.TemporaryDirectory() as scratch:
            folder = os.path.join(a.folder, name) if a.folder else scratch
            os.makedirs(folder, exist_ok=True)
            write(name, *CASES[name], folder)


if __name__ == "__main__":
    main()
