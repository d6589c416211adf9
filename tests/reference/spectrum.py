#!/usr/bin/env python3
"""Spectra of the demo model with numpy.linalg.svd, for tests/unit/test_spectra.c.

Run from the source root: python3 tests/reference/spectrum.py > tests/reference/spectrum.txt
"""
import json
import struct

import numpy as np

FOLDER = "datasets/demo"


def tensors(path):
    """name -> float64 array of a safetensors file of BF16 tensors."""
    with open(path, "rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
        data = f.read()
    out = {}
    for name, t in header.items():
        if name == "__metadata__":
            continue
        assert t["dtype"] == "BF16", name
        begin, end = t["data_offsets"]
        bits = np.frombuffer(data[begin:end], "<u2").astype("<u4") << 16
        out[name] = bits.view("<f4").astype(np.float64).reshape(t["shape"])
    return out


def entropy_rank(weights):
    p = weights / weights.sum()
    p = p[p > 0]
    return np.exp(-(p * np.log(p)).sum())


def line(layer, what, head, matrix):
    s = np.linalg.svd(matrix, compute_uv=False)
    share = np.cumsum(s**2) / (s**2).sum()
    ranks = [int(np.argmax(share >= x)) + 1 for x in (0.90, 0.95, 0.99)]
    numbers = [s[0], s[1], s[2], s[-1], entropy_rank(s), entropy_rank(s**2)]
    numbers.append((s**2).sum() / s[0] ** 2)
    print(layer, what, head, len(s), *(f"{x:.12g}" for x in numbers), *ranks)


def main():
    config = json.load(open(FOLDER + "/config.json"))
    W = tensors(FOLDER + "/model.safetensors")
    D, L = config["head_dim"], config["num_hidden_layers"]
    print("# layer what head n sigma0 sigma1 sigma2 smallest effective_rank"
          " effective_rank_energy stable_rank rank90 rank95 rank99; head -1: whole layer")
    for layer in range(L):
        at = f"model.layers.{layer}.self_attn."
        q, k, v = (W[at + n + "_proj.weight"] for n in "qkv")
        line(layer, "q", -1, q)
        line(layer, "k", -1, k)
        line(layer, "v", -1, v)
        line(layer, "kv", -1, np.concatenate([k, v]))
        for h in (0, q.shape[0] // D - 1):
            line(layer, "q", h, q[h * D : (h + 1) * D])
        for g in range(k.shape[0] // D):
            rows = slice(g * D, (g + 1) * D)
            line(layer, "k", g, k[rows])
            line(layer, "v", g, v[rows])
            line(layer, "kv", g, np.concatenate([k[rows], v[rows]]))


if __name__ == "__main__":
    main()
