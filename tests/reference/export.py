#!/usr/bin/env python3
"""Exports read back by PyTorch and by a DeepSeek-V3 attention written from its formula.

    M=build/tools/mlascope; D=datasets/demo; X=/tmp/exports
    $M capture $D -f $D/calibration.txt -T 128 -N 16 -o $X.h5
    $M export $D -s "transmla rank=64 rope_dim=32 freqfold=4" --capture $X.h5 \\
        --for deepseek --norm none --dtype f32 -o $X/transmla
    $M export $D -s "x-ecomla init=theirs rank=96 rope_dim=32" --for deepseek \\
        --norm none --dtype f32 -o $X/theirs
    $M export $D -s "x-ecomla init=paired rank=96 rope_dim=32" --for deepseek \\
        --norm none --dtype f32 -o $X/paired
    $M export $D -s "x-ecomla init=paired rope=low rank=96 rope_dim=16 qrank=128" \\
        --for deepseek --norm none --dtype f32 -o $X/low
    $M export $D -s "transmla rank=64 rope_dim=32 freqfold=4" --capture $X.h5 \\
        --for deepseek --dtype f32 -o $X/linear
    $M export $D -s "x-ecomla init=paired rope=low rank=96 rope_dim=16 qrank=128" \\
        --for deepseek --dtype f32 -o $X/linear-q
    $M export $D -s "mha2mla rope=low chunks=4 rank=16" --for mha2mla -o $X/mha2mla
    $M export $D -s "mha2mla rope=low chunks=4 rank=16" --first-release --for mha2mla \\
        -o $X/first
    /usr/bin/python3 tests/reference/export.py $X > tests/reference/export.txt

Lines of the file: "ids id ..."; then "case SETTING" and "logits POSITION id=value ..." of
the exported folder, which tests/unit/test_export.c compares with its own evaluation. Rank files
are compared here; a difference ends the program.
"""
import json
import math
import struct
import sys

import torch

torch.set_default_dtype(torch.float64)
TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
T, PROBES = 24, (0, 7, 23)


def safetensors(path):
    with open(path, "rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
        data = bytearray(f.read())
    out = {}
    for name, t in header.items():
        if name != "__metadata__":
            a, b = t["data_offsets"]
            x = torch.frombuffer(data[a:b], dtype=TYPES[t["dtype"]])
            out[name] = x.reshape(t["shape"]).double()
    return out


def load(folder):
    index = json.load(open(folder + "/model.safetensors.index.json"))
    shards = {}
    for name in sorted(set(index["weight_map"].values())):
        shards[name] = safetensors(f"{folder}/{name}")
    assert sum(len(s) for s in shards.values()) == len(index["weight_map"])
    return {t: shards[s][t] for t, s in index["weight_map"].items()}


def rms(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def turn(x, freq):
    """x (..., T, n), interleaved pairs (2i, 2i+1)."""
    angle = torch.arange(x.shape[-2])[:, None] * freq
    a, b = x[..., 0::2], x[..., 1::2]
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


def normed(x, w, name):
    """DeepseekV3RMSNorm as its attention makes it: eps 1e-6, in float32."""
    if name + ".weight" not in w:
        return x
    return rms(x.float(), w[name + ".weight"].float(), 1e-6).double()


def attention(x, w, c):
    """DeepSeek-V2, equations 9-19, on (T, E); latents normalized where a norm is there."""
    H, nope, rope = c["num_attention_heads"], c["qk_nope_head_dim"], c["qk_rope_head_dim"]
    V, r, T = c["v_head_dim"], c["kv_lora_rank"], x.shape[0]
    stock = "kv_a_layernorm.weight" in w
    assert stock == c.get("qk_latent_layernorm", True) and not c["attention_bias"]
    assert c["model_type"] == ("deepseek_v3" if stock else "llamamla")
    assert c["architectures"] == [
        "LlamaMLAForCausalLM" if not stock else "DeepseekV3ForCausalLMOfTransformers"
        if c["rope_scaling"] else "DeepseekV3ForCausalLM"]
    freq = c["rope_theta"] ** (-2 * torch.arange(rope // 2) / rope)
    if c["rope_scaling"]:
        assert c["rope_scaling"]["rope_type"] == "linear"
        freq = freq / c["rope_scaling"]["factor"]
    if c["q_lora_rank"]:
        q = normed(x @ w["q_a_proj.weight"].T, w, "q_a_layernorm") @ w["q_b_proj.weight"].T
    else:
        q = x @ w["q_proj.weight"].T
    q = q.view(T, H, nope + rope).transpose(0, 1)
    down = x @ w["kv_a_proj_with_mqa.weight"].T
    latent = normed(down[:, :r], w, "kv_a_layernorm")
    kv = (latent @ w["kv_b_proj.weight"].T).view(T, H, nope + V).transpose(0, 1)
    k_rope = turn(down[:, r:], freq).expand(H, T, rope)
    k = torch.cat([kv[..., :nope], k_rope], -1)
    q = torch.cat([q[..., :nope], turn(q[..., nope:], freq)], -1)
    scores = q @ k.transpose(1, 2) / math.sqrt(nope + rope)
    scores = scores + torch.full((T, T), -math.inf).triu(1)
    out = scores.softmax(-1) @ kv[..., nope:]
    return out.transpose(0, 1).reshape(T, H * V) @ w["o_proj.weight"].T


def forward(folder, ids):
    c, w = json.load(open(folder + "/config.json")), load(folder)
    eps = c["rms_norm_eps"]
    h = w["model.embed_tokens.weight"][ids]
    for layer in range(c["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        mine = {n[len(at):].replace("self_attn.", ""): x for n, x in w.items()
                if n.startswith(at)}
        h = h + attention(rms(h, mine["input_layernorm.weight"], eps), mine, c)
        x = rms(h, mine["post_attention_layernorm.weight"], eps)
        gate = torch.nn.functional.silu(x @ mine["mlp.gate_proj.weight"].T)
        h = h + (gate * (x @ mine["mlp.up_proj.weight"].T)) @ mine["mlp.down_proj.weight"].T
    h = rms(h, w["model.norm.weight"], eps)
    return h @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T


def check_ranks(folder):
    """rope=low: the slowest chunks come first, in both layouts of MHA2MLA."""
    with open(folder + "/mha2mla/2-norm_rank.pth", "rb") as f:
        ranks = torch.load(f, weights_only=True)
    with open(folder + "/first/qk_tensor.pth", "rb") as f:
        scores = torch.load(f, weights_only=True)
    assert ranks.dtype == torch.uint8 and ranks.shape == (6, 2, 64)
    assert scores.dtype == torch.float32 and scores.shape == (6, 2, 32)
    assert ranks.is_contiguous() and scores.is_contiguous()
    assert torch.equal(ranks[..., :32], ranks[..., 32:])
    assert torch.equal(ranks[..., :32].sort(-1).values.long(),
                       torch.arange(32).expand(6, 2, 32))
    kept = (ranks[..., :32] < 4).nonzero()[:, 2].view(6, 2, 4)
    assert torch.equal(kept, torch.tensor([28, 29, 30, 31]).expand(6, 2, 4))
    assert torch.equal(scores, 31.0 - ranks[..., :32].float())


def main():
    folder = sys.argv[1]
    check_ranks(folder)
    ids = torch.arange(T) * 83 % 2048
    print("# made by tests/reference/export.py")
    print("ids", *ids.tolist())
    for name in ("transmla", "theirs", "paired", "low", "linear", "linear-q"):
        config = json.load(open(f"{folder}/{name}/config.json"))
        logits = forward(f"{folder}/{name}", ids)
        print("case", config["mlascope_setting"])
        for t in PROBES:
            some = range(t, 2048, 211)
            print("logits", t, *(f"{i}={logits[t, i]:.7f}" for i in some))


main()
