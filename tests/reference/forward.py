#!/usr/bin/env python3
"""Independent forward pass of small random models, in NumPy float64.

Writes what tests/unit/test_forward_reference.c reads: /usr/bin/python3 tests/reference/forward.py
> tests/reference/forward.txt. Weights are not stored: both programs make them from the
tensor's name by the same integer hash, rounded to bfloat16. The formulas are those of
the modeling files of Hugging Face transformers (llama, mistral, qwen2, qwen3, smollm3),
written token by token and head by head: slow and plain.

Lines of the file, one case after the other:
  case NAME SEED
  config JSON                        as it stands in config.json
  tensor NAME ROWS COLS SCALE OFFSET COLS 0: a vector; see weights()
  ids T id ...                       one line per sequence
  nll VALUE                          mean over positions 0 .. T-2 of that sequence
  argmax id ...                      at every position
  logits POSITION value ...          first, middle and last position
"""
import json
import math
import sys

import numpy as np

MASK = (1 << 64) - 1


def fnv1a(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


def uniform(seed, name, n):
    """n numbers in [-1, 1): splitmix64 of a counter that starts at the name's hash."""
    with np.errstate(over="ignore"):
        z = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64(fnv1a(name) ^ seed)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / (1 << 23) - 1.0


def bf16(x):
    bits = np.asarray(x, dtype=np.float32).view(np.uint32)
    bits = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (bits & np.uint32(0xFFFF0000)).view(np.float32).astype(np.float64)


def weights(seed, name, rows, cols, scale, offset):
    w = bf16(offset + scale * uniform(seed, name, rows * max(cols, 1)))
    return w.reshape(rows, cols) if cols else w


def tensors_of(c):
    """(name, rows, cols, scale, offset) of every tensor, in file order."""
    E, F, V = c["hidden_size"], c["intermediate_size"], c["vocab_size"]
    H, G, D = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
    qkv_bias = c["model_type"] == "qwen2" or c.get("attention_bias", False)
    o_bias = c["model_type"] != "qwen2" and c.get("attention_bias", False)
    out = [("model.embed_tokens.weight", V, E, 1.0, 0.0)]

    def matrix(name, rows, cols, gain):
        out.append((name + ".weight", rows, cols, gain / 2 ** round(math.log2(cols) / 2), 0.0))

    def bias(name, n):
        out.append((name + ".bias", n, 0, 0.5, 0.0))

    def gain(name, n):
        out.append((name + ".weight", n, 0, 0.5, 1.0))

    for l in range(c["num_hidden_layers"]):
        p = f"model.layers.{l}."
        gain(p + "input_layernorm", E)
        for which, n in (("q", H * D), ("k", G * D), ("v", G * D)):
            matrix(p + f"self_attn.{which}_proj", n, E, 2.0)
            if qkv_bias:
                bias(p + f"self_attn.{which}_proj", n)
        matrix(p + "self_attn.o_proj", E, H * D, 2.0)
        if o_bias:
            bias(p + "self_attn.o_proj", E)
        if c["model_type"] == "qwen3":
            gain(p + "self_attn.q_norm", D)
            gain(p + "self_attn.k_norm", D)
        gain(p + "post_attention_layernorm", E)
        for which, rows, cols in (("gate", F, E), ("up", F, E), ("down", E, F)):
            matrix(p + f"mlp.{which}_proj", rows, cols, 2.0)
            if c.get("mlp_bias", False):
                bias(p + f"mlp.{which}_proj", rows)
    gain("model.norm", E)
    if not c["tie_word_embeddings"]:
        matrix("lm_head", V, E, 4.0)
    return out


def inv_freq(c):
    rope = dict(c.get("rope_parameters") or c.get("rope_scaling") or {})
    theta = rope.get("rope_theta", c.get("rope_theta"))
    kind = rope.get("rope_type", rope.get("type", "default"))
    D = c["head_dim"]
    f = 1.0 / theta ** (np.arange(0, D, 2, dtype=np.float64) / D)
    if kind == "default":
        return f
    if kind == "linear":
        return f / rope["factor"]
    assert kind == "llama3"
    low_wavelen = rope["original_max_position_embeddings"] / rope["low_freq_factor"]
    high_wavelen = rope["original_max_position_embeddings"] / rope["high_freq_factor"]
    for c_, freq in enumerate(f.copy()):
        wavelen = 2 * math.pi / freq
        if wavelen < high_wavelen:
            continue
        if wavelen > low_wavelen:
            f[c_] = freq / rope["factor"]
        else:
            smooth = (rope["original_max_position_embeddings"] / wavelen - rope["low_freq_factor"]) / (
                rope["high_freq_factor"] - rope["low_freq_factor"])
            f[c_] = (1 - smooth) * freq / rope["factor"] + smooth * freq
    return f


def rms(x, gain, eps):
    return x / math.sqrt(float(np.mean(x * x)) + eps) * gain


def rotate(x, position, freq):
    """rotate_half convention: dims (c, c + D/2) turn by position * freq[c]."""
    half = len(x) // 2
    z = (x[:half] + 1j * x[half:]) * np.exp(1j * position * freq)
    return np.concatenate([z.real, z.imag])


def slides(c, l):
    if not c.get("sliding_window"):
        return False
    if c["model_type"] == "mistral":
        return True
    return c["layer_types"][l] == "sliding_attention" if "layer_types" in c else False


def forward(c, w, ids):
    H, G, D = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
    eps, freq, T = c["rms_norm_eps"], inv_freq(c), len(ids)
    h = [w["model.embed_tokens.weight"][i].copy() for i in ids]

    def linear(name, x):
        return w[name + ".weight"] @ x + w.get(name + ".bias", 0.0)

    for l in range(c["num_hidden_layers"]):
        p = f"model.layers.{l}."
        turns = not c.get("no_rope_layers") or c["no_rope_layers"][l]
        keys, values = [], []
        for t in range(T):
            x = rms(h[t], w[p + "input_layernorm.weight"], eps)
            q = linear(p + "self_attn.q_proj", x).reshape(H, D)
            k = linear(p + "self_attn.k_proj", x).reshape(G, D)
            v = linear(p + "self_attn.v_proj", x).reshape(G, D)
            if p + "self_attn.q_norm.weight" in w:
                q = np.stack([rms(a, w[p + "self_attn.q_norm.weight"], eps) for a in q])
                k = np.stack([rms(a, w[p + "self_attn.k_norm.weight"], eps) for a in k])
            if turns:
                q = np.stack([rotate(a, t, freq) for a in q])
                k = np.stack([rotate(a, t, freq) for a in k])
            keys.append(k)
            values.append(v)
            first = max(0, t + 1 - c["sliding_window"]) if slides(c, l) else 0
            read = []
            for head in range(H):
                g = head // (H // G)
                score = np.array([q[head] @ keys[j][g] for j in range(first, t + 1)]) / math.sqrt(D)
                a = np.exp(score - score.max())
                a /= a.sum()
                read.append(sum(a[j - first] * values[j][g] for j in range(first, t + 1)))
            h[t] = h[t] + linear(p + "self_attn.o_proj", np.concatenate(read))
        for t in range(T):
            x = rms(h[t], w[p + "post_attention_layernorm.weight"], eps)
            gate = linear(p + "mlp.gate_proj", x)
            h[t] = h[t] + linear(p + "mlp.down_proj", gate / (1 + np.exp(-gate)) * linear(p + "mlp.up_proj", x))
    head = w["model.embed_tokens.weight" if c["tie_word_embeddings"] else "lm_head.weight"]
    return np.stack([head @ rms(x, w["model.norm.weight"], eps) for x in h])


def config(model_type, L, E, H, G, D, F, V, tied, **more):
    arch = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3",
            "smollm3": "SmolLM3"}[model_type] + "ForCausalLM"
    c = {"architectures": [arch], "model_type": model_type, "num_hidden_layers": L,
         "hidden_size": E, "num_attention_heads": H, "num_key_value_heads": G, "head_dim": D,
         "intermediate_size": F, "vocab_size": V, "tie_word_embeddings": tied,
         "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "hidden_act": "silu",
         "rope_theta": 10000.0}
    c.update(more)
    if "rope_parameters" in c:
        del c["rope_theta"]
    return c


CASES = [
    ("mha", config("llama", 3, 32, 4, 4, 8, 72, 97, True), [1, 2, 65]),
    ("gqa-explicit-head-dim-untied", config("llama", 2, 24, 6, 2, 10, 50, 61, False), [70, 7]),
    ("mqa-all-biases", config("llama", 2, 32, 4, 1, 8, 40, 53, True, attention_bias=True, mlp_bias=True), [40]),
    ("qwen2-bias", config("qwen2", 2, 32, 4, 2, 8, 48, 59, True, rope_theta=1000000.0), [50]),
    ("qwen3-qk-norm", config("qwen3", 2, 32, 4, 2, 16, 48, 59, False, rms_norm_eps=1e-6), [50]),
    ("llama3-rope", config("llama", 2, 32, 2, 1, 16, 40, 61, True, rope_theta=500000.0,
                           rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                         "high_freq_factor": 4.0, "original_max_position_embeddings": 256}), [120]),
    ("llama3-rope-parameters", config("llama", 1, 32, 2, 2, 16, 40, 61, True,
                                      rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0, "factor": 32.0,
                                                       "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                                       "original_max_position_embeddings": 64}), [90]),
    ("linear-rope", config("llama", 2, 32, 4, 2, 8, 40, 61, True,
                           rope_scaling={"type": "linear", "factor": 4.0}), [60]),
    ("mistral-window", config("mistral", 2, 24, 3, 1, 8, 40, 61, False, sliding_window=37), [300, 30]),
    ("qwen3-mixed-windows", config("qwen3", 3, 24, 2, 1, 12, 40, 61, True, use_sliding_window=True, sliding_window=9,
                                   max_window_layers=1,
                                   layer_types=["full_attention", "sliding_attention", "sliding_attention"]), [80]),
    ("smollm3-nope", config("smollm3", 4, 24, 4, 2, 6, 40, 61, True, no_rope_layers=[1, 0, 1, 0],
                            layer_types=["full_attention"] * 4), [50]),
]


def numbers(values):
    return " ".join("%.12g" % v for v in values)


def main():
    for seed, (name, c, lengths) in enumerate(CASES, 1):
        print("case", name, seed)
        print("config", json.dumps(c))
        w = {}
        for tensor in tensors_of(c):
            print("tensor %s %d %d %.17g %.17g" % tensor)
            w[tensor[0]] = weights(seed, *tensor)
        for n, T in enumerate(lengths):
            ids = [int(i) for i in (uniform(seed, f"ids {n}", T) + 1) / 2 * c["vocab_size"]]
            logits = forward(c, w, ids)
            top = logits.max(axis=1, keepdims=True)
            lse = (top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True)))[:, 0]
            nll = [lse[t] - logits[t, ids[t + 1]] for t in range(T - 1)]
            print("ids", T, *ids)
            print("nll %.15g" % (sum(nll) / len(nll) if nll else 0.0))
            print("argmax", *(int(i) for i in logits.argmax(axis=1)))
            for t in sorted({0, T // 2, T - 1}):
                print("logits", t, numbers(logits[t]))
            # A tie nearer than the C program's rounding would make argmax a matter of luck.
            best = np.sort(logits, axis=1)
            assert (best[:, -1] - best[:, -2]).min() > 1e-4, name


if __name__ == "__main__":
    sys.exit(main())
