#!/usr/bin/env python3
"""TransMLA's two passes over a text on the whole demo model, in PyTorch float64.

Writes what tests/unit/test_transmla.c reads, from the source root:
/usr/bin/python3 tests/reference/transmla.py > tests/reference/transmla.txt
Written from the project's partial_rope.py and lora_qkv.py (arXiv 2502.07864) on the
tokens of tests/support/demo.h: pass 1 runs the model and finds the rotations of all layers, pass 2
runs the model whose rotations are reduced and finds the joint PCA of every layer.

Lines: "case SETTING"; "layer l TRACE FIRST OTHER MEAN", of the moment E[x x^T] of the
attention's input in the pass that the PCA uses: trace, [0, 0], [3, 200], and the mean of
x[5]; "nll value ..." of each sequence under the converted model.
"""
import json

import torch

from spectrum import tensors  # the safetensors reader

torch.set_default_dtype(torch.float64)
CONFIG = json.load(open("datasets/demo/config.json"))
W = {k: torch.tensor(v) for k, v in tensors("datasets/demo/model.safetensors").items()}
L, H, G = (CONFIG["num_" + k] for k in ("hidden_layers", "attention_heads", "key_value_heads"))
D, EPS, V = CONFIG["head_dim"], CONFIG["rms_norm_eps"], CONFIG["vocab_size"]
C, REP, N, T = D // 2, H // G, 4, 24
FREQ = CONFIG["rope_theta"] ** (-2 * torch.arange(C) / D)
IDS = torch.tensor([[(t * t * 7 + t * 13 + 5) % 2048 for t in range(n * T, (n + 1) * T)]
                    for n in range(N)])


def norm(h, gain):
    return h / (h.pow(2).mean(-1, keepdim=True) + EPS).sqrt() * gain


def turn(x, freq):
    a = torch.arange(x.shape[-2])[:, None] * freq
    u, v = x.chunk(2, dim=-1)
    return torch.cat([u * a.cos() - v * a.sin(), u * a.sin() + v * a.cos()], -1)


def weight(l, name):
    return W[f"model.layers.{l}.{name}.weight"]


def heads(x, l, name):
    """(N, heads, T, D)"""
    return (x @ weight(l, f"self_attn.{name}_proj").T).unflatten(-1, (-1, D)).transpose(1, 2)


def softmax_values(q, k, v):
    scores = q @ k.transpose(-1, -2) / D ** 0.5
    mask = torch.full((T, T), float("-inf")).triu(1)
    return (scores + mask).softmax(-1) @ v


def plain(x, l):
    q, k, v = (heads(x, l, n) for n in "qkv")
    k, v = k.repeat_interleave(REP, 1), v.repeat_interleave(REP, 1)
    return softmax_values(turn(q, FREQ), turn(k, FREQ), v)


def run(attention):
    """Inputs of attention (N T, E) of all layers, and the NLL of every sequence."""
    h, inputs = W["model.embed_tokens.weight"][IDS], []
    for l in range(L):
        x = norm(h, weight(l, "input_layernorm"))
        inputs.append(x.flatten(0, 1))
        out = attention(x, l).transpose(1, 2).flatten(-2)
        h = h + out @ weight(l, "self_attn.o_proj").T
        x = norm(h, weight(l, "post_attention_layernorm"))
        gate = torch.nn.functional.silu(x @ weight(l, "mlp.gate_proj").T)
        h = h + (gate * (x @ weight(l, "mlp.up_proj").T)) @ weight(l, "mlp.down_proj").T
    logits = norm(h, W["model.norm.weight"]) @ W["model.embed_tokens.weight"].T
    p = logits[:, :-1].log_softmax(-1).gather(-1, IDS[:, 1:, None])
    return inputs, -p.mean((1, 2))


def rotation(x, l, fold, collapse):
    """Rows of the rope key and of the rest, and the frequencies of the first."""
    k, per = x @ weight(l, "self_attn.k_proj").T, fold // collapse
    slots = [(e, g, a) for e in range(collapse) for g in range(G) for a in range(per)]
    halves, rest, freq = ([], []), [], []
    for m in range(C // fold):
        dims = [[g * D + p * C + m * fold + a * collapse + e for e, g, a in slots]
                for p in (0, 1)]
        vectors = torch.linalg.eigh(sum(k[:, d].T @ k[:, d] for d in dims))[1].flip(1)
        for p in (0, 1):
            rows = torch.zeros(G * fold, G * D)
            rows[:, dims[p]] = vectors.T
            halves[p].extend(rows[:per])
            rest.extend(rows[per:])
        freq += [FREQ[m * fold + a * collapse] for a in range(per)]
    return torch.stack(halves[0] + halves[1]), torch.stack(rest), torch.stack(freq)


def case(setting, fold, collapse, rank, two):
    inputs, _ = run(plain)
    bases = [rotation(inputs[l], l, fold, collapse) for l in range(L)]

    def read(x, l, reduce):
        rope, rest, freq = bases[l]
        q = heads(x, l, "q")
        k, v = (x @ weight(l, f"self_attn.{n}_proj").T for n in "kv")
        back, v = reduce(k @ rest.T, v)
        k, out = back @ rest, []
        shared = turn(k_rope := (x @ weight(l, "self_attn.k_proj").T) @ rope.T, freq)
        assert k_rope.shape[-1] == len(rope)
        for h in range(H):
            g = slice(h // REP * D, (h // REP + 1) * D)
            query = torch.cat([q[:, h], turn(q[:, h] @ rope[:, g].T, freq)], -1)
            out.append(softmax_values(query, torch.cat([k[..., g], shared], -1), v[..., g]))
        return torch.stack(out, 1)

    if two:
        inputs, _ = run(lambda x, l: read(x, l, lambda k, v: (k, v)))
    latents = []
    for l in range(L):
        rope, rest, _ = bases[l]
        k = inputs[l] @ weight(l, "self_attn.k_proj").T @ rest.T
        v = inputs[l] @ weight(l, "self_attn.v_proj").T
        size = [y.pow(2).mean(0).sqrt() for y in (k, v[:, len(rope):])]
        a = size[0].mean() / size[1].mean()
        z = torch.cat([k / a, v], 1)
        latents.append((a, torch.linalg.eigh(z.T @ z)[1].flip(1)[:, :rank]))

    def cut(l):
        a, basis = latents[l]

        def reduce(k, v):
            back = torch.cat([k / a, v], -1) @ basis @ basis.T
            return back[..., :k.shape[-1]] * a, back[..., k.shape[-1]:]
        return reduce

    print("case", setting)
    for l, x in enumerate(inputs):
        second = x.T @ x / len(x)
        print("layer", l, *(f"{y:.10g}" for y in (second.trace(), second[0, 0],
                                                  second[3, 200], x[:, 5].mean())))
    print("nll", *(f"{y:.9g}" for y in run(lambda x, l: read(x, l, cut(l)))[1]))


for fold, rope_dim, rank in ((4, 32, 32), (8, 16, 48), (2, 32, 64)):
    for two in (False, True):
        case(f"transmla freqfold={fold} rope_dim={rope_dim} rank={rank} pass={1 + two}",
             fold, D // rope_dim, rank, two)
