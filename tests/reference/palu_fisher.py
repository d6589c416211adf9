#!/usr/bin/env python3
"""The Fisher information of Palu's rank search, with its labels and with the right ones.

Writes what tests/unit/test_discrepancies.c reads, from the source root:
/usr/bin/python3 tests/reference/palu_fisher.py > tests/reference/palu_fisher.txt

Palu (arXiv 2407.21118; shadowpa0327/Palu rank_search.py at bb22666) takes sqrt(mean over
batches of gradient^2) of every weight and its mean over a matrix. Its labels are shifted by
hand and shifted again by the loss of transformers: logits of token t meet token t + 2.
Here the demo model runs in PyTorch in float64, on 9 sequences of 64 ids of golden.json.

Lines: "nll SHIFT VALUE", mean over the positions that have a token at t + SHIFT, and
"fisher SHIFT LAYER SIDE VALUE" for SHIFT 1 and 2 and the SIDE k or v.
"""
import json

import torch

import capture

N, T = 9, 64
config, arrays = capture.load(capture.ROOT / "datasets/demo")
golden = json.loads((capture.ROOT / "datasets/demo/golden.json").read_text())
ids = torch.tensor(golden["ids"][: N * T]).reshape(N, T)
w = {name: torch.tensor(x, requires_grad=name.endswith(("k_proj.weight", "v_proj.weight")))
     for name, x in arrays.items()}
H, G, D = (config[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim"))
EPS = config["rms_norm_eps"]


def norm(x, name):
    return x / (x.square().mean(-1, keepdim=True) + EPS).sqrt() * w[name]


def rotate(x):
    """x (heads, T, D), half-split."""
    angle = torch.arange(T, dtype=x.dtype)[:, None] * config["rope_theta"] ** (
        -2 * torch.arange(D // 2, dtype=x.dtype) / D)
    a, b = x[..., : D // 2], x[..., D // 2:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def logits(tokens):
    mask = torch.full((T, T), float("-inf"), dtype=torch.float64).triu(1)
    h = w["model.embed_tokens.weight"][tokens]
    for l in range(config["num_hidden_layers"]):
        p = f"model.layers.{l}."
        x = norm(h, p + "input_layernorm.weight")
        q, k, v = (
            (x @ w[p + f"self_attn.{s}_proj.weight"].T).reshape(T, -1, D).transpose(0, 1)
            for s in "qkv")
        k, v = (a.repeat_interleave(H // G, 0) for a in (rotate(k), v))
        a = torch.softmax(rotate(q) @ k.transpose(1, 2) / D ** 0.5 + mask, -1) @ v
        h = h + a.transpose(0, 1).reshape(T, H * D) @ w[p + "self_attn.o_proj.weight"].T
        x = norm(h, p + "post_attention_layernorm.weight")
        gate = x @ w[p + "mlp.gate_proj.weight"].T
        up = x @ w[p + "mlp.up_proj.weight"].T
        h = h + (torch.nn.functional.silu(gate) * up) @ w[p + "mlp.down_proj.weight"].T
    head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
    return norm(h, "model.norm.weight") @ head.T


watched = [(l, s, w[f"model.layers.{l}.self_attn.{s}_proj.weight"])
           for l in range(config["num_hidden_layers"]) for s in "kv"]
for shift in (1, 2):
    squares = [torch.zeros_like(x) for _, _, x in watched]
    total = 0.0
    for tokens in ids:
        loss = torch.nn.functional.cross_entropy(logits(tokens)[:-shift], tokens[shift:])
        grads = torch.autograd.grad(loss, [x for _, _, x in watched])
        for sum_, g in zip(squares, grads):
            sum_ += g.square() / N
        total += loss.item() / N
    print(f"nll {shift} {total:.9f}")
    for (l, s, _), sum_ in zip(watched, squares):
        print(f"fisher {shift} {l} {s} {sum_.sqrt().mean().item():.9g}")
