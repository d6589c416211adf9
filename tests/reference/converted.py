#!/usr/bin/env python3
"""Independent forward pass of converted checkpoints, in NumPy float64.

Writes what tests/unit/test_converted.c reads: /usr/bin/python3 tests/reference/converted.py
> tests/reference/converted.txt. Both programs make the weights from the tensors' names, as
tests/reference/forward.py does; here the attention of each checkpoint is written from what
the projects' modeling code does with the tensors of those names:

  MHA2MLA   JT-Ushio/MHA2MLA src/mha2mla/patching_llama.py, patch_func.py (LowRankKVLinear,
            partial_rope_mask): query rows are [all heads' rope][all heads' nope]; masks by
            rule or rank file; is_gqa2mha2mla gives every query head a key of its own
  DeepSeek  transformers' DeepseekV3Attention and TransMLA's lora_qkv.py: RMSNorm of the
            latents where there is one, rope rows interleaved or half-split, scores divided
            by sqrt(nope + rope) or sqrt(query_pre_attn_scalar)

  EliteKV   CiaranZhou/EliteKV convert/convert.py, modeling_llama_EliteKV.py: masks per query
            head from a rank file, or linspace; kv_b_proj rows are each head's keys, then
            values
  X-EcoMLA  AMD-AGI/AMD-Hybrid-Models X-EcoMLA/mla/hybrid_mla_layer.py: DeepSeek's attention
            behind "mla.", ranks per layer, YaRN from any rope_scaling, layers left as they
            were

Lines of the file, one case after the other:
  case NAME SEED CONVERTED_SEED      of the two checkpoints; different: trained further
  original JSON / config JSON        config.json of each
  from NAME ROWS COLS SCALE OFFSET   tensors of the original
  tensor NAME ROWS COLS SCALE OFFSET tensors of the converted checkpoint
  layers JSON                        mla_layer_config.json
  ranks L HEADS C id ...             the rank file, most important chunk first
  ids T id ...
  nll ORIGINAL CONVERTED             mean over positions 0 .. T-2
  kl VALUE                           mean KL(original || converted), nat
"""
import json
import math
import sys

import numpy as np

import forward as ref

L, E, H, G, D, F, V = 2, 32, 4, 2, 8, 48, 61
C = D // 2


def body_tensors(original):
    """All of the original but its attention projections."""
    return [t for t in original
            if not any(p in t[0] for p in ("q_proj", "k_proj", "v_proj", "o_proj"))]


def matrix(name, rows, cols, gain=2.0):
    return (name, rows, cols, gain / 2 ** round(math.log2(cols) / 2), 0.0)


def bias(name, n):
    return (name, n, 0, 0.5, 0.0)


def gain(name, n):
    return (name, n, 0, 0.5, 1.0)


# --- MHA2MLA ---

def mha2mla_tensors(m, biased):
    K = H if m["is_gqa2mha2mla"] else G
    rope = m["rope_dim_for_mla"]
    R = m["low_rank"] * G
    out = []
    for l in range(L):
        p = f"model.layers.{l}.self_attn."
        out.append(matrix(p + "q_proj.weight", H * D, E))
        out.append(matrix(p + "k_r_proj.weight", K * rope, E))
        svd = m["svd_init_method"]
        low_k, low_v = svd in ("joint", "split", "only_key"), svd in ("joint", "split", "only_value")
        if svd == "joint":
            out.append(matrix(p + "kv_proj.down_kv.weight", R, E))
        if svd in ("split", "only_key"):
            out.append(matrix(p + "kv_proj.down_k.weight", R, E))
        if svd in ("split", "only_value"):
            out.append(matrix(p + "kv_proj.down_v.weight", R, E))
        out.append(matrix(p + "kv_proj.up_k.weight", K * (D - rope), R if low_k else E))
        out.append(matrix(p + "kv_proj.up_v.weight", G * D, R if low_v else E))
        if biased:
            out.append(bias(p + "q_proj.bias", H * D))
            out.append(bias(p + "k_r_proj.bias", K * rope))
            out.append(bias(p + "kv_proj.up_k.bias", K * (D - rope)))
            out.append(bias(p + "kv_proj.up_v.bias", G * D))
        out.append(matrix(p + "o_proj.weight", E, H * D))
    return out


def mask_of(m, ranks, l, head):
    """Boolean mask over the D dims of one key head."""
    rope, kind = m["rope_dim_for_mla"], m["partial_rope_version"]
    mask = np.zeros(D, bool)
    if kind == "high":
        mask[:rope // 2] = mask[C:C + rope // 2] = True
    elif kind == "low":
        mask[D - rope // 2:] = mask[C - rope // 2:C] = True
    elif kind == "uniform":
        mask[m["uniform_start_point"]::D // rope] = True
    else:
        rank = np.empty(C, int)
        rank[ranks[l][head]] = np.arange(C)
        mask = np.concatenate([rank, rank]) < rope // 2
    return mask


def mha2mla_attention(c, w, p, l, x, ranks):
    m = c["mha2mla"]
    K = H if m["is_gqa2mha2mla"] else G
    rope, T = m["rope_dim_for_mla"], len(x)
    freq = ref.inv_freq(c)

    def linear(name, y):
        return y @ w[p + name + ".weight"].T + w.get(p + name + ".bias", 0.0)

    q = linear("q_proj", x)
    q_r = q[:, :H * rope].reshape(T, H, rope)
    q_c = q[:, H * rope:].reshape(T, H, D - rope)
    k_r = linear("k_r_proj", x).reshape(T, K, rope)
    if p + "kv_proj.down_kv.weight" in w:
        k_in = v_in = linear("kv_proj.down_kv", x)
    else:
        k_in = linear("kv_proj.down_k", x) if p + "kv_proj.down_k.weight" in w else x
        v_in = linear("kv_proj.down_v", x) if p + "kv_proj.down_v.weight" in w else x
    k_c = linear("kv_proj.up_k", k_in).reshape(T, K, D - rope)
    v = linear("kv_proj.up_v", v_in).reshape(T, G, D)
    heads = []
    for h in range(H):
        k = h if K == H else h // (H // G)
        kept = np.flatnonzero(mask_of(m, ranks, l, k))
        turn = freq[kept[:rope // 2]]  # ascending dims: first halves, then second halves
        qh = np.stack([np.concatenate([ref.rotate(q_r[t, h], t, turn), q_c[t, h]]) for t in range(T)])
        kh = np.stack([np.concatenate([ref.rotate(k_r[t, k], t, turn), k_c[t, k]]) for t in range(T)])
        heads.append((qh, kh, v[:, h // (H // G)]))
    return attend(heads, 1 / math.sqrt(D)) @ w[p + "o_proj.weight"].T


# --- DeepSeek-V3, TransMLA ---

def deepseek_tensors(c, norms):
    nope, rope, value = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"]
    r, r_q, biased = c["kv_lora_rank"], c["q_lora_rank"], c["attention_bias"]
    out = []
    for l in range(L):
        p = f"model.layers.{l}.self_attn."
        if r_q:
            out.append(matrix(p + "q_a_proj.weight", r_q, E))
            if norms:
                out.append(gain(p + "q_a_layernorm.weight", r_q))
            out.append(matrix(p + "q_b_proj.weight", H * (nope + rope), r_q))
        else:
            out.append(matrix(p + "q_proj.weight", H * (nope + rope), E))
        out.append(matrix(p + "kv_a_proj_with_mqa.weight", r + rope, E))
        if norms:
            out.append(gain(p + "kv_a_layernorm.weight", r))
        out.append(matrix(p + "kv_b_proj.weight", H * (nope + value), r))
        out.append(matrix(p + "o_proj.weight", E, H * value))
        if biased:
            out.append(bias(p + ("q_a_proj.bias" if r_q else "q_proj.bias"), r_q or H * (nope + rope)))
            out.append(bias(p + "kv_a_proj_with_mqa.bias", r + rope))
            out.append(bias(p + "o_proj.bias", E))
    return out


def deepseek_attention(c, w, p, l, x, ranks):
    nope, rope, value = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"]
    r, T, eps = c["kv_lora_rank"], len(x), c["rms_norm_eps"]
    freq = ref.inv_freq({**c, "head_dim": rope})

    def linear(name, y):
        return y @ w[p + name + ".weight"].T + w.get(p + name + ".bias", 0.0)

    def normed(name, y):
        if p + name + ".weight" not in w:
            return y
        return np.stack([ref.rms(row, w[p + name + ".weight"], eps) for row in y])

    def turn(row, t):
        if not c.get("rope_interleave", True):
            return ref.rotate(row, t, freq)
        z = (row[0::2] + 1j * row[1::2]) * np.exp(1j * t * freq)
        return np.stack([z.real, z.imag], -1).ravel()

    if c["q_lora_rank"]:
        q = linear("q_b_proj", normed("q_a_layernorm", linear("q_a_proj", x)))
    else:
        q = linear("q_proj", x)
    q = q.reshape(T, H, nope + rope)
    down = linear("kv_a_proj_with_mqa", x)
    kv = linear("kv_b_proj", normed("kv_a_layernorm", down[:, :r])).reshape(T, H, nope + value)
    k_r = np.stack([turn(down[t, r:], t) for t in range(T)])
    heads = []
    for h in range(H):
        qh = np.stack([np.concatenate([q[t, h, :nope], turn(q[t, h, nope:], t)]) for t in range(T)])
        heads.append((qh, np.concatenate([kv[:, h, :nope], k_r], 1), kv[:, h, nope:]))
    scale = 1 / math.sqrt(c.get("query_pre_attn_scalar") or nope + rope)
    return attend(heads, scale) @ w[p + "o_proj.weight"].T + w.get(p + "o_proj.bias", 0.0)


# --- EliteKV ---

def elitekv_tensors(c, biased):
    r, R = c["half_of_rope_dim"], c["kv_dim"]
    rows = {"q_nope_proj": H * (D - 2 * r), "q_rope_proj": H * 2 * r, "k_rope_proj": H * 2 * r,
            "kv_a_proj": R, "kv_b_proj": H * (2 * D - 2 * r), "o_proj": E}
    cols = {"kv_b_proj": R, "o_proj": H * D}
    out = []
    for l in range(L):
        p = f"model.layers.{l}.self_attn."
        for name, n in rows.items():
            if n:
                out.append(matrix(p + name + ".weight", n, cols.get(name, E)))
                if biased:
                    out.append(bias(p + name + ".bias", n))
    return out


def elitekv_attention(c, w, p, l, x, ranks):
    r, T = c["half_of_rope_dim"], len(x)
    freq = ref.inv_freq(c)

    def linear(name, y):
        return y @ w[p + name + ".weight"].T + w.get(p + name + ".bias", 0.0)

    def part(name):
        return linear(name, x).reshape(T, H, -1) if p + name + ".weight" in w else np.zeros((T, H, 0))

    q_c, q_r, k_r = part("q_nope_proj"), part("q_rope_proj"), part("k_rope_proj")
    kv = linear("kv_b_proj", linear("kv_a_proj", x)).reshape(T, H, -1)
    heads = []
    for h in range(H):
        if "Uniform" in c["auto_map"]["AutoModel"]:
            kept = np.linspace(0, C - 1, r).astype(int)
        else:
            kept = np.sort(ranks[l][h][:r])
        qh = np.stack([np.concatenate([ref.rotate(q_r[t, h], t, freq[kept]), q_c[t, h]]) for t in range(T)])
        kh = np.stack([np.concatenate([ref.rotate(k_r[t, h], t, freq[kept]), kv[t, h, :D - 2 * r]])
                       for t in range(T)])
        heads.append((qh, kh, kv[:, h, D - 2 * r:]))
    return attend(heads, 1 / math.sqrt(D)) @ w[p + "o_proj.weight"].T + w.get(p + "o_proj.bias", 0.0)


# --- X-EcoMLA ---

def x_ecomla_tensors(m, norms, kept):
    nope, rope, value = m["qk_nope_head_dim"], m["qk_rope_head_dim"], m["v_head_dim"]
    out = []
    for l in range(L):
        p = f"model.layers.{l}."
        if l in kept:
            out += [matrix(p + "self_attn.q_proj.weight", H * D, E),
                    matrix(p + "self_attn.k_proj.weight", G * D, E),
                    matrix(p + "self_attn.v_proj.weight", G * D, E),
                    matrix(p + "self_attn.o_proj.weight", E, H * D)]
            continue
        r_q, r = m["layer_rank_list"][str(l)]["q_rank"], m["layer_rank_list"][str(l)]["kv_rank"]
        out += [matrix(p + "mla.q_a_proj.weight", r_q, E),
                matrix(p + "mla.q_b_proj.weight", H * (nope + rope), r_q),
                matrix(p + "mla.kv_a_proj_with_mqa.weight", r + rope, E),
                matrix(p + "mla.kv_b_proj.weight", H * (nope + value), r),
                matrix(p + "mla.out_proj.weight", E, H * value)]
        if norms:
            out += [gain(p + "mla.q_a_layernorm.weight", r_q), gain(p + "mla.kv_a_layernorm.weight", r)]
    return out


def yarn(m):
    """Frequencies, factor of cosines and sines, factor of scores."""
    dim, base, s = m["qk_rope_head_dim"], m["rope_theta"], m.get("rope_scaling")
    freq = 1 / base ** (np.arange(0, dim, 2) / dim)
    if not s:
        return freq, 1.0, 1.0

    def where(turns):
        return (dim * math.log(s.get("original_max_position_embeddings", 4096) / (turns * 2 * math.pi))
                / (2 * math.log(base)))

    def mscale(by):
        return 1.0 if s["factor"] <= 1 else 0.1 * by * math.log(s["factor"]) + 1

    low = max(math.floor(where(s.get("beta_fast", 32))), 0)
    high = min(math.ceil(where(s.get("beta_slow", 1))), dim - 1)
    high = high + 0.001 if low == high else high
    ramp = np.clip((np.arange(dim // 2) - low) / (high - low), 0, 1)
    all_dim = s.get("mscale_all_dim", 0)
    return (freq / s["factor"] * ramp + freq * (1 - ramp), mscale(s.get("mscale", 1)) / mscale(all_dim),
            mscale(all_dim) ** 2 if all_dim else 1.0)


def x_ecomla_attention(c, w, p, l, x, ranks):
    m, T = c["layers"], len(x)
    if p + "q_proj.weight" in w:
        q = (x @ w[p + "q_proj.weight"].T).reshape(T, H, D)
        k = (x @ w[p + "k_proj.weight"].T).reshape(T, G, D)
        v = (x @ w[p + "v_proj.weight"].T).reshape(T, G, D)
        freq = ref.inv_freq(c)

        def turned(y):
            return np.stack([ref.rotate(y[t], t, freq) for t in range(T)])

        heads = [(turned(q[:, h]), turned(k[:, h // (H // G)]), v[:, h // (H // G)]) for h in range(H)]
        return attend(heads, 1 / math.sqrt(D)) @ w[p + "o_proj.weight"].T
    p = p.replace("self_attn.", "mla.")
    nope, rope, value = m["qk_nope_head_dim"], m["qk_rope_head_dim"], m["v_head_dim"]
    freq, by, scores = yarn(m)

    def linear(name, y):
        return y @ w[p + name + ".weight"].T

    def normed(name, y):
        if p + name + ".weight" not in w:
            return y
        return np.stack([ref.rms(row, w[p + name + ".weight"], 1e-6) for row in y])

    def turn(row, t):
        z = (row[0::2] + 1j * row[1::2]) * np.exp(1j * t * freq) * by
        return np.concatenate([z.real, z.imag])

    q = linear("q_b_proj", normed("q_a_layernorm", linear("q_a_proj", x))).reshape(T, H, nope + rope)
    down = linear("kv_a_proj_with_mqa", x)
    kv = linear("kv_b_proj", normed("kv_a_layernorm", down[:, :-rope])).reshape(T, H, nope + value)
    k_r = np.stack([turn(down[t, -rope:], t) for t in range(T)])
    heads = []
    for h in range(H):
        qh = np.stack([np.concatenate([q[t, h, :nope], turn(q[t, h, nope:], t)]) for t in range(T)])
        heads.append((qh, np.concatenate([kv[:, h, :nope], k_r], 1), kv[:, h, nope:]))
    return attend(heads, scores / math.sqrt(nope + rope)) @ w[p + "out_proj.weight"].T


# --- All ---

def attend(heads, scale):
    out = []
    for q, k, v in heads:
        s = np.where(np.tri(len(q), dtype=bool), q @ k.T * scale, -np.inf)
        a = np.exp(s - s.max(1, keepdims=True))
        out.append(a / a.sum(1, keepdims=True) @ v)
    return np.concatenate(out, 1)


def forward(c, w, ids, attention, ranks):
    eps = c["rms_norm_eps"]
    h = w["model.embed_tokens.weight"][ids].copy()

    def normed(name):
        return np.stack([ref.rms(row, w[name + ".weight"], eps) for row in h])

    for l in range(L):
        p = f"model.layers.{l}."
        h += attention(c, w, p + "self_attn.", l, normed(p + "input_layernorm"), ranks)
        x = normed(p + "post_attention_layernorm")
        gate = x @ w[p + "mlp.gate_proj.weight"].T
        up = x @ w[p + "mlp.up_proj.weight"].T
        h += gate / (1 + np.exp(-gate)) * up @ w[p + "mlp.down_proj.weight"].T
    head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
    return normed("model.norm") @ head.T


def log_softmax(x):
    top = x.max(1, keepdims=True)
    return x - top - np.log(np.exp(x - top).sum(1, keepdims=True))


def mha2mla(rule, svd, rope=4, start=0, rank=3, per_query=False):
    m = {"partial_rope_version": rule, "rope_dim_for_mla": rope, "uniform_start_point": start,
         "qk_tensor_path": "utils/model-2_norm_rank.pth" if rule == "2-norm" else None,
         "svd_init_method": svd, "low_rank": rank, "is_baseline": False,
         "is_gqa2mha2mla": per_query, "is_mla_from_scratch": False, "is_freeze_non_attn": False}
    return {"mha2mla": m}


def deepseek(rank, nope, rope, value, q_rank=None, biased=False, **more):
    return {"model_type": "deepseek_v3", "architectures": ["LlamaMLAForCausalLM"],
            "auto_map": {"AutoConfig": "configuration_llamamla.LlamaMLAConfig"},
            "num_key_value_heads": H, "head_dim": rope, "qk_rope_head_dim": rope,
            "qk_nope_head_dim": nope, "v_head_dim": value, "kv_lora_rank": rank,
            "q_lora_rank": q_rank, "attention_bias": biased, **more}


def elitekv(chunks, rank, mode="EliteKV"):
    return {"half_of_rope_dim": chunks, "kv_dim": rank, "num_key_value_heads": H,
            "auto_map": {"AutoModel": f"modeling_llama_{mode}.LlamaModel"}}


def x_ecomla(ranks, rope, nope, value, **more):
    """ranks: (q, kv) of every converted layer; the key "layers" is a file of its own."""
    return {"layers": {"qk_rope_head_dim": rope, "qk_nope_head_dim": nope, "v_head_dim": value,
                       "rope_theta": 10000.0,
                       "layer_rank_list": {str(l): {"q_rank": q, "kv_rank": kv}
                                           for l, (q, kv) in ranks.items()}, **more}}


# name, family, keys of the converted config, norms of the latents, trained further
CASES = [
    ("mha2mla-high-joint", "llama", mha2mla("high", "joint"), False, False),
    ("mha2mla-low-split-bias", "qwen2", mha2mla("low", "split", rope=2), False, False),
    ("mha2mla-uniform-only-key", "llama", mha2mla("uniform", "only_key", start=1), False, False),
    ("mha2mla-only-value", "llama", mha2mla("high", "only_value", rope=6), False, False),
    ("mha2mla-none", "llama", mha2mla("low", "none"), False, False),
    ("mha2mla-2-norm-bias", "qwen2", mha2mla("2-norm", "joint", rope=4), False, False),
    ("mha2mla-2-norm-query-heads", "llama", mha2mla("2-norm", "joint", per_query=True), False, False),
    ("mha2mla-all-rope-trained", "llama", mha2mla("high", "joint", rope=8), False, True),
    ("transmla", "llama", deepseek(10, 8, 4, 8, rope_interleave=True), False, False),
    ("transmla-norms-trained", "qwen2", deepseek(12, 8, 4, 8, q_rank=14, biased=True), True, True),
    ("transmla-half-split", "llama", deepseek(9, 6, 2, 10, rope_interleave=False,
                                              query_pre_attn_scalar=8), True, False),
    ("elitekv", "llama", elitekv(1, 9), False, True),
    ("elitekv-bias", "qwen2", elitekv(3, 11), False, False),
    ("elitekv-uniform", "llama", elitekv(2, 8, "Uniform"), False, False),
    ("elitekv-all-rope", "llama", elitekv(4, 12), False, False),
    ("x-ecomla", "llama", x_ecomla({0: (16, 8), 1: (12, 16)}, 4, 4, 8), False, True),
    ("x-ecomla-norms-kept", "llama", x_ecomla({1: (16, 8)}, 8, 6, 10), True, False),
    ("x-ecomla-yarn", "llama",
     x_ecomla({0: (8, 8), 1: (8, 24)}, 8, 4, 8,
              rope_scaling={"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 64,
                            "beta_fast": 4.0}), False, False),
    ("x-ecomla-yarn-all", "llama",
     x_ecomla({0: (8, 8), 1: (8, 8)}, 6, 4, 8,
              rope_scaling={"factor": 4.0, "original_max_position_embeddings": 32, "mscale": 0.7,
                            "mscale_all_dim": 0.9}), False, False),
]


def main():
    for number, (name, family, keys, norms, trained) in enumerate(CASES, 1):
        seed, other = number, number + 100 * trained
        original = ref.config(family, L, E, H, G, D, F, V, number % 2 == 0)
        c = {**original, **keys}
        tensors = ref.tensors_of(original)
        if "mha2mla" in c:
            mine = mha2mla_tensors(c["mha2mla"], family == "qwen2")
            attention = mha2mla_attention
            K = H if c["mha2mla"]["is_gqa2mha2mla"] else G
        elif "half_of_rope_dim" in c:
            mine = elitekv_tensors(c, family == "qwen2")
            attention = elitekv_attention
            K = H
        elif "layers" in c:
            kept = [l for l in range(L) if str(l) not in c["layers"]["layer_rank_list"]]
            mine = x_ecomla_tensors(c["layers"], norms, kept)
            attention = x_ecomla_attention
            K = G
        else:
            mine = deepseek_tensors(c, norms)
            attention = deepseek_attention
            K = G
        rng = np.random.default_rng(seed)
        ranks = [[rng.permutation(C) for _ in range(K)] for _ in range(L)]
        mine = body_tensors(tensors) + mine
        w = {t[0]: ref.weights(seed, *t) for t in tensors}
        w2 = {t[0]: ref.weights(other, *t) for t in mine}
        print("case", name, seed, other)
        print("original", json.dumps(original))
        print("config", json.dumps({k: v for k, v in c.items() if k != "layers"}))
        if "layers" in c:
            print("layers", json.dumps(c["layers"]))
        for t in tensors:
            print("from %s %d %d %.17g %.17g" % t)
        for t in mine:
            print("tensor %s %d %d %.17g %.17g" % t)
        print("ranks", L, K, C, *(int(i) for layer in ranks for row in layer for i in row))
        T = 24
        ids = [int(i) for i in (ref.uniform(seed, "ids", T) + 1) / 2 * V]
        a = log_softmax(ref.forward(original, w, ids))[:-1]
        b = log_softmax(forward(c, w2, ids, attention, ranks))[:-1]
        rows = np.arange(T - 1)
        print("ids", T, *ids)
        print("nll %.12g %.12g" % (-a[rows, ids[1:]].mean(), -b[rows, ids[1:]].mean()))
        print("kl %.12g" % (np.exp(a) * (a - b)).sum(1).mean())


if __name__ == "__main__":
    sys.exit(main())
