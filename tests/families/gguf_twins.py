#!/usr/bin/env python3
"""GGUF files of tiny models, each beside the folder that it is made of.

    gguf_twins.py MLASCOPE FAMILIES OUT EVALUATION.txt [NAME...]

FAMILIES/NAME/ is a folder that transformers wrote. The file's tensor names are those of
the PyPI package gguf, the rest follows llama.cpp's converter: rows of q and k
interleaved for Llama's kin, gains of 1 + w for Gemma, experts stacked, GPT-NeoX's
q, k, v apart. `mlascope evaluate` must give both the same perplexity, digit for digit.
Without the package: skipped aloud; exit status 1 when a pair differs.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys

try:
    import gguf
    import numpy as np
    from safetensors.numpy import load_file
except ImportError as e:
    print(f"gguf_twins: SKIPPED: {e}")
    sys.exit(0)

# name of the folder: architecture, how q and k lie
NAMES = {
    "llama": "llama", "mixtral": "llama", "granite": "granite", "qwen2": "qwen2",
    "qwen3": "qwen3", "qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe",
    "gemma": "gemma", "gemma2": "gemma2", "gemma3_text": "gemma3", "phi3": "phi3",
    "phi": "phi2", "olmo2": "olmo2", "stablelm": "stablelm", "gpt_neox": "gptneox",
    "starcoder2": "starcoder2", "cohere": "command-r", "cohere2": "cohere2",
    "glm4": "glm4", "arcee": "arcee", "ernie4_5": "ernie4_5", "exaone4": "exaone4",
    "gpt_oss": "gpt-oss", "granitemoe": "granitemoe", "hunyuan_v1_dense": "hunyuan-dense",
    "lfm2": "lfm2", "olmoe": "olmoe", "seed_oss": "seed_oss", "phi3-longrope": "phi3",
}
INTERLEAVED = ("llama", "granite", "granitemoe", "arcee")


def permute(x, heads):
    return x.reshape(heads, 2, x.shape[0] // heads // 2, *x.shape[1:]).swapaxes(
        1, 2).reshape(x.shape)


def split_neox(x, heads):
    y = x.reshape(heads, 3, -1, *x.shape[1:])
    return np.concatenate([y[:, i].reshape(-1, *x.shape[1:]) for i in range(3)])


def converted(arch, name, x, c):
    H, G = c["num_attention_heads"], c.get("num_key_value_heads")
    if arch in INTERLEAVED and ("q_proj" in name or "k_proj" in name):
        return permute(x, H if "q_proj" in name else G)
    if arch.startswith("gemma") and name.endswith("norm.weight"):
        return x + np.float32(1)
    if arch == "gptneox" and "query_key_value" in name:
        return split_neox(x, H)
    return x


def stacked(weights):
    """Experts' matrices under the name of all of them."""
    out = {}
    for name, x in weights.items():
        if re.search(r"\.experts\.\d", name):
            head, tail = name.split(".experts.")
            number, rest = tail.split(".", 1)
            out.setdefault(f"{head}.experts.{rest}", {})[int(number)] = x
        else:
            out[name] = x
    return {n: np.stack([x[i] for i in sorted(x)]) if isinstance(x, dict) else x
            for n, x in out.items()}


def with_experts_split(weights, arch, c):
    """gpt-oss's and Granite's gate and up, which lie in one tensor, apart and upright."""
    out = {}
    for name, x in weights.items():
        if arch == "gpt-oss" and "gate_up_proj" in name:
            y = x if name.endswith("bias") else x.swapaxes(1, 2)
            end = "bias" if name.endswith("bias") else "weight"
            base = name.split("gate_up_proj")[0]
            out[f"{base}gate_proj.{end}"] = np.ascontiguousarray(y[:, 0::2])
            out[f"{base}up_proj.{end}"] = np.ascontiguousarray(y[:, 1::2])
        elif arch == "gpt-oss" and "experts.down_proj" in name:
            bias = name.endswith("bias")
            out[name.removesuffix("_bias") + (".bias" if bias else ".weight")] = (
                x if bias else np.ascontiguousarray(x.swapaxes(1, 2)))
        elif arch == "gpt-oss" and name.endswith("self_attn.sinks"):
            out[name + ".weight"] = x
        elif arch == "granitemoe" and "input_linear" in name:
            half = x.shape[1] // 2
            base = name.split("block_sparse_moe")[0] + "block_sparse_moe.experts."
            out[base + "w1.weight"], out[base + "w3.weight"] = x[:, :half], x[:, half:]
        elif name.endswith("conv.conv.weight"):
            out[name] = x[:, 0]
        else:
            out[name] = x
    return out


def put_keys(w, arch, c):
    H = c["num_attention_heads"]
    D = c.get("head_dim") or c["hidden_size"] // H
    rope = c.get("rope_parameters") or {}
    if "full_attention" in rope:
        rope = rope["full_attention"]
    w.add_block_count(c["num_hidden_layers"])
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(H)
    if arch == "lfm2":
        w.add_head_count_kv([c["num_key_value_heads"] * (t == "full_attention")
                             for t in c["layer_types"]])
        w.add_shortconv_l_cache(c["conv_L_cache"])
    else:
        w.add_head_count_kv(c.get("num_key_value_heads") or H)
    w.add_key_length(D)
    w.add_value_length(D)
    w.add_vocab_size(c["vocab_size"])
    w.add_rope_freq_base(rope.get("rope_theta", 10000.0))
    w.add_rope_dimension_count(int(D * rope.get("partial_rotary_factor", 1)))
    if arch == "lfm2":
        w.add_layer_norm_rms_eps(c["norm_eps"])
    elif "rms_norm_eps" in c:
        w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    else:
        w.add_layer_norm_eps(c.get("layer_norm_eps", c.get("norm_epsilon")))
    if arch == "gptneox":
        w.add_parallel_residual(c.get("use_parallel_residual", True))
    if c.get("sliding_window") and arch in (
            "gemma2", "gemma3", "cohere2", "phi3", "exaone4", "gpt-oss"):
        w.add_sliding_window(c["sliding_window"])
    if arch == "exaone4":
        w.add_sliding_window_pattern([t == "sliding_attention" for t in c["layer_types"]])
    if rope.get("rope_type") == "yarn":
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        w.add_rope_scaling_factor(rope["factor"])
        w.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if rope.get("rope_type") == "longrope":
        length, longest = c["original_max_position_embeddings"], c["max_position_embeddings"]
        w.add_rope_scaling_orig_ctx_len(length)
        w.add_rope_scaling_attn_factors(
            float(np.sqrt(1 + np.log(longest / length) / np.log(length))))
        for kind in ("long", "short"):
            w.add_tensor(f"rope_factors_{kind}.weight",
                         np.array(rope[f"{kind}_factor"], dtype=np.float32))
    if arch == "gemma2":
        w.add_attn_logit_softcapping(c["attn_logit_softcapping"])
        w.add_final_logit_softcapping(c["final_logit_softcapping"])
    if arch in ("command-r", "cohere2"):
        w.add_logit_scale(c["logit_scale"])
    if arch in ("granite", "granitemoe"):
        w.add_attention_scale(c["attention_multiplier"])
        w.add_embedding_scale(c["embedding_multiplier"])
        w.add_residual_scale(c["residual_multiplier"])
        w.add_logit_scale(c["logits_scaling"])
    experts = c.get("num_local_experts") or c.get("num_experts")
    if experts:
        w.add_expert_count(experts)
        w.add_expert_used_count(c["num_experts_per_tok"])
        if arch in ("qwen2moe", "qwen3moe"):
            w.add_expert_feed_forward_length(c["moe_intermediate_size"])
        if arch == "qwen2moe":
            w.add_expert_shared_feed_forward_length(
                c["shared_expert_intermediate_size"])


def put_tokenizer(w, folder):
    t = json.load(open(os.path.join(folder, "tokenizer.json")))
    vocab = t["model"]["vocab"]
    added = {a["id"] for a in t["added_tokens"]}
    tokens = sorted(vocab, key=vocab.get)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    w.add_token_types([3 if vocab[x] in added else 1 for x in tokens])
    w.add_token_merges([m if isinstance(m, str) else " ".join(m)
                        for m in t["model"]["merges"]])
    w.add_add_bos_token(False)


def convert(folder, path, arch):
    c = json.load(open(os.path.join(folder, "config.json")))
    w = gguf.GGUFWriter(path, arch)
    put_keys(w, arch, c)
    put_tokenizer(w, folder)
    names = gguf.get_tensor_name_map(
        next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == arch),
        c["num_hidden_layers"])
    weights = load_file(os.path.join(folder, "model.safetensors"))
    for name, x in with_experts_split(stacked(weights), arch, c).items():
        new = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if new is None:
            raise RuntimeError(f"no name for {name}")
        w.add_tensor(new, np.ascontiguousarray(
            converted(arch, name, x.astype(np.float32), c)))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def as_llama_cpp(folder, out):
    """The folder, or a copy whose config says what llama.cpp takes for granted."""
    c = json.load(open(os.path.join(folder, "config.json")))
    taken = {}
    if c["model_type"] == "qwen3_moe":
        taken["norm_topk_prob"] = True
    if c["model_type"] in ("gemma2", "gemma3_text"):
        taken["query_pre_attn_scalar"] = c["head_dim"]
    if not taken:
        return folder
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(folder, out)
    json.dump(c | taken, open(os.path.join(out, "config.json"), "w"))
    return out


def perplexity(mlascope, model, text):
    ran = subprocess.run([mlascope, "evaluate", model, "-s", "baseline", "-N", "1",
                          "-T", "200", "-f", text, "--format", "csv"],
                         capture_output=True, text=True)
    rows = csv.DictReader(l for l in ran.stdout.splitlines() if not l.startswith("#"))
    return next((r["perplexity"] for r in rows), ran.stderr.strip())


def main():
    mlascope, families, out, text = sys.argv[1:5]
    wrong = 0
    for name in sys.argv[5:] or NAMES:
        folder, path = f"{families}/{name}", f"{out}/{name}.gguf"
        folder = as_llama_cpp(folder, f"{out}/{name}")
        try:
            convert(folder, path, NAMES[name])
        except Exception as e:
            print(f"{name}: NOT WRITTEN: {e!r}")
            wrong += 1
            continue
        a, b = (perplexity(mlascope, m, text) for m in (folder, path))
        wrong += a != b
        print(f"{name}: {'same' if a == b else 'DIFFERS'}: {a} {b}", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
