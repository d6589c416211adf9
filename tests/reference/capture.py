#!/usr/bin/env python3
"""Independent statistics of the demo model, in NumPy float64.

  /usr/bin/python3 tests/reference/capture.py > tests/reference/capture.txt
      writes a few numbers of every statistic for 4 sequences of 64 tokens, which
      tests/unit/test_capture.c compares with a capture of the same ids
  /usr/bin/python3 tests/reference/capture.py --check RUN.h5 MODEL
      reads a capture file with h5py, follows its named axes, and compares every moment,
      norm, window and NLL with those of the model, for the first 4 sequences' worth

The forward pass is written from the definition (Llama: RMSNorm, GQA, half-split RoPE,
SwiGLU), all in float64.
"""
import json
import struct
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def load(folder):
    """config, and tensors of a one-file safetensors checkpoint in BF16 or F32."""
    config = json.loads((folder / "config.json").read_text())
    raw = (folder / "model.safetensors").read_bytes()
    (n,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + n])
    tensors = {}
    for name, t in header.items():
        if name == "__metadata__":
            continue
        first, last = t["data_offsets"]
        data = raw[8 + n + first : 8 + n + last]
        if t["dtype"] == "BF16":
            x = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
        else:
            x = np.frombuffer(data, "<f4")
        tensors[name] = x.astype(np.float64).reshape(t["shape"])
    return config, tensors


def rms(x, gain, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * gain


def rotate(x, theta):
    """x (T, heads, D), half-split."""
    T, _, D = x.shape
    angle = np.arange(T)[:, None] * theta ** (-2 * np.arange(D // 2) / D)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    a, b = x[..., : D // 2], x[..., D // 2 :]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def forward(config, w, ids):
    """Per layer the x, q, k, v, q_rot, k_rot of one sequence; and its mean NLL."""
    eps = config["rms_norm_eps"]
    H, G = config["num_attention_heads"], config["num_key_value_heads"]
    D = config.get("head_dim") or config["hidden_size"] // H
    theta = config["rope_theta"]
    T = len(ids)
    mask = np.triu(np.full((T, T), -np.inf), 1)
    h = w["model.embed_tokens.weight"][ids]
    seen = []
    for l in range(config["num_hidden_layers"]):
        p = f"model.layers.{l}."
        x = rms(h, w[p + "input_layernorm.weight"], eps)
        q = (x @ w[p + "self_attn.q_proj.weight"].T).reshape(T, H, D)
        k = (x @ w[p + "self_attn.k_proj.weight"].T).reshape(T, G, D)
        v = (x @ w[p + "self_attn.v_proj.weight"].T).reshape(T, G, D)
        q_rot, k_rot = rotate(q, theta), rotate(k, theta)
        seen.append(dict(x=x, q=q, k=k, v=v, q_rot=q_rot, k_rot=k_rot))
        out = np.empty((T, H, D))
        for i in range(H):
            g = i // (H // G)
            a = softmax(q_rot[:, i] @ k_rot[:, g].T / np.sqrt(D) + mask)
            out[:, i] = a @ v[:, g]
        h = h + out.reshape(T, H * D) @ w[p + "self_attn.o_proj.weight"].T
        y = rms(h, w[p + "post_attention_layernorm.weight"], eps)
        gate = y @ w[p + "mlp.gate_proj.weight"].T
        up = y @ w[p + "mlp.up_proj.weight"].T
        h = h + (gate / (1 + np.exp(-gate)) * up) @ w[p + "mlp.down_proj.weight"].T
    head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
    logits = rms(h, w["model.norm.weight"], eps) @ head.T
    top = logits.max(-1)
    lse = top + np.log(np.exp(logits - top[:, None]).sum(-1))
    nll = lse[:-1] - logits[np.arange(T - 1), ids[1:]]
    return seen, nll.mean()


def norms(x):
    """(heads, C): mean 2-norm of the pairs (c, c + D/2)."""
    C = x.shape[-1] // 2
    return np.hypot(x[..., :C], x[..., C:]).mean(0)


def statistics(sequences):
    """Per layer the moments over all tokens, and per sequence the norms."""
    layers = []
    for l in range(len(sequences[0])):
        each = [s[l] for s in sequences]
        cat = {name: np.concatenate([s[name] for s in each]) for name in each[0]}
        T = len(cat["x"])
        r = {
            "x/second": cat["x"].T @ cat["x"] / T,
            "x/mean": cat["x"].mean(0),
            "x/abs": np.abs(cat["x"]).mean(0),
            "kv/cross": np.einsum("tgi,tgj->gij", cat["k"], cat["v"]) / T,
        }
        for name in ("q", "k", "v", "q_rot", "k_rot"):
            r[name + "/second"] = np.einsum("thi,thj->hij", cat[name], cat[name]) / T
            r[name + "/mean"] = cat[name].mean(0)
        r["norms/q"] = np.stack([norms(s["q"]) for s in each])
        r["norms/k"] = np.stack([norms(s["k"]) for s in each])
        layers.append(r)
    return layers


def chance_ids(sequence, T, vocabulary):
    """The ids that tests/unit/test_capture.c makes too."""
    t = sequence * T + np.arange(T)
    return (t * t * 7 + t * 13 + 5) % vocabulary


def write_expected():
    config, w = load(ROOT / "datasets/demo")
    runs = [
        forward(config, w, chance_ids(n, 64, config["vocab_size"])) for n in range(4)
    ]
    print("# nll SEQUENCE VALUE")
    print("# trace PATH LAYER HEAD VALUE")
    print("# PATH LAYER INDEX INDEX INDEX VALUE, unused indices 0")
    for n, (_, nll) in enumerate(runs):
        print(f"nll {n} {nll:.12g}")
    rng = np.random.default_rng(1)
    for l, r in enumerate(statistics([seen for seen, _ in runs])):
        for name, a in r.items():
            path = name if name.startswith("norms") else "moments/" + name
            for _ in range(3):
                at = tuple(int(rng.integers(n)) for n in a.shape)
                print(path, l, *at, *[0] * (3 - len(at)), f"{a[at]:.12g}")
            if name.endswith("second"):
                blocks = a if a.ndim == 3 else a[None]
                for head, block in enumerate(blocks):
                    print(f"trace {path} {l} {head} {np.trace(block):.12g}")


def stored(f, where, l):
    """Layer l of a dataset; triangles as the whole symmetric matrices."""
    d = f[where]
    a = d[l].astype(float)
    if not d.dims[d.ndim - 1].label.endswith("_pair"):
        return a
    n = int((2 * a.shape[-1] + 0.25) ** 0.5)
    i, j = np.triu_indices(n)
    whole = np.empty((*a.shape[:-1], n, n))
    whole[..., i, j] = whole[..., j, i] = a
    return whole


def check(path, folder):
    import h5py

    config, w = load(folder)
    with h5py.File(path, "r") as f:
        for name, d in f["moments/q"].items():
            print("moments/q/" + name, [dim.label for dim in d.dims], d.attrs["units"])
        print("norms/k", [dim.label for dim in f["norms/k"].dims],
              [list(dim.keys()) for dim in f["norms/k"].dims])
        print("inv_freq", f["norms/k"].dims[3]["inv_freq"][:3],
              f["axes/inv_freq"].attrs["units"])
        assert json.loads(f["model/config_json"][()]) == config
        T = f["sequences/n_tokens"][()]
        starts = np.concatenate([[0], np.cumsum(T)]).astype(int)
        ids = f["sequences/ids"][()]
        runs = [
            forward(config, w, ids[a:b]) for a, b in zip(starts[:-1], starts[1:])
        ]
        worst = {}

        def compare(what, got, want):
            error = np.abs(got - want).max() / np.abs(want).max()
            worst[what] = max(worst.get(what, 0), error)

        compare("nll", f["sequences/nll"][()], np.array([nll for _, nll in runs]))
        for l, r in enumerate(statistics([seen for seen, _ in runs])):
            for name, a in r.items():
                where = name if name.startswith("norms") else "moments/" + name
                compare(where, stored(f, where, l), a)
            for i, n in enumerate(f["axes/window"][()]):
                for part in "xqkv":
                    got = f["windows/" + part][l, i].astype(float)
                    compare("windows/" + part, got, runs[n][0][l][part][: len(got)])
        for what, error in worst.items():
            print(f"{what:24} largest error / largest value {error:.2e}")
        # Windows are halves: 2^-11 of a value.
        for what, error in worst.items():
            assert error < (5e-4 if what.startswith("windows") else 1e-4), what
        print("all agree")


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "--check":
        check(sys.argv[2], Path(sys.argv[3]))
    elif len(sys.argv) == 1:
        write_expected()
    else:
        sys.exit(__doc__)
