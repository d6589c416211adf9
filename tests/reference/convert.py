#!/usr/bin/env python3
"""Independent conversions of one small random layer, in PyTorch float64.

Writes what tests/unit/test_convert_reference.c reads, from the source root:
/usr/bin/python3 tests/reference/convert.py > tests/reference/convert.txt
Weights are not stored: both programs make them from the tensor's name by the same integer
hash. Each method is written from its formulas (arXiv 2502.14837, 2503.01586, 2503.11132,
2502.07864 and the projects' files), head by head, keys and values read back in full.

Lines: "case SETTING", then "row value ..." for every token; "ranks SETTING r ..." are
X-EcoMLA's dynamic ranks of the demo model.
"""
import json

import numpy as np
import torch

from spectrum import tensors  # the safetensors reader

torch.set_default_dtype(torch.float64)
E, H, G, D, T, N, THETA = 24, 4, 2, 8, 8, 64, 100.0
C, REP = D // 2, H // G
MASK = (1 << 64) - 1


def fnv1a(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


def uniform(name, *shape):
    """Numbers in [-1, 1), exact in float: splitmix64 of a counter from the name's hash."""
    n = int(np.prod(shape))
    with np.errstate(over="ignore"):
        z = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64(fnv1a(name))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    x = (z >> np.uint64(40)).astype(np.float64) / (1 << 23) - 1.0
    return torch.tensor(x.reshape(shape))


WQ, WK, WV = uniform("wq", H * D, E), uniform("wk", G * D, E), uniform("wv", G * D, E)
WO = uniform("wo", E, H * D)
BQ, BK, BV, BO = (uniform("b" + n, s) for n, s in
                  (("q", H * D), ("k", G * D), ("v", G * D), ("o", E)))
X = uniform("x", T, E)
CAL = uniform("calibration", N, E) * (1 + torch.arange(E) % 5) + 0.25
FREQ = THETA ** (-2 * torch.arange(C) / D)


def turn(x, freq):
    """Rows are positions; (first half, second half) are the pairs."""
    if x.shape[1] == 0:
        return x
    a = torch.arange(x.shape[0])[:, None] * freq
    u, v = x.chunk(2, dim=1)
    return torch.cat([u * a.cos() - v * a.sin(), u * a.sin() + v * a.cos()], dim=1)


def turn_interleaved(x, freq):
    """The same with pairs (0, 1), (2, 3), ... as DeepSeek turns them."""
    a = torch.arange(x.shape[0])[:, None] * freq
    u, v = x[:, 0::2], x[:, 1::2]
    return torch.stack([u * a.cos() - v * a.sin(), u * a.sin() + v * a.cos()],
                       dim=2).flatten(1)


def attend(queries, keys, values, scale):
    """Lists of one (T, n) matrix per query head; the output projection included."""
    mask = torch.full((T, T), float("-inf")).triu(1)
    heads = [((q @ k.T) * scale + mask).softmax(1) @ v
             for q, k, v in zip(queries, keys, values)]
    return torch.cat(heads, dim=1) @ WO.T + BO


def show(setting, out):
    print("case", setting)
    for row in out:
        print("row", *(f"{x:.9g}" for x in row.tolist()))


def svd(w, r):
    """(left, sigma, right) of rank r."""
    u, s, vh = torch.linalg.svd(w, full_matrices=False)
    return u[:, :r], s[:r], vh[:r]


def order(score, r):
    return sorted(sorted(range(C), key=lambda c: -float(score[c]))[:r])


def two_norm():
    """MHA2MLA: mean norm of a pair of q times that of k, summed over the group."""
    q, k = CAL @ WQ.T + BQ, CAL @ WK.T + BK
    a_q = (q.view(N, H, 2, C) ** 2).sum(2).sqrt().mean(0)
    a_k = (k.view(N, G, 2, C) ** 2).sum(2).sqrt().mean(0)
    return a_q, a_k


def dims(chunks):
    return list(chunks) + [c + C for c in chunks]


def partial_rope(kept, key_of, value_of):
    """kept[g]: chunks; key_of(g): (T, nope) keys without RoPE; value_of(g): (T, D)."""
    q, k = X @ WQ.T + BQ, X @ WK.T + BK
    queries, keys, values = [], [], []
    for h in range(H):
        g = h // REP
        rope, nope = dims(kept[g]), dims([c for c in range(C) if c not in kept[g]])
        freq = FREQ[list(kept[g])]
        qh, kh = q[:, h * D:(h + 1) * D], k[:, g * D:(g + 1) * D]
        queries.append(torch.cat([turn(qh[:, rope], freq), qh[:, nope]], 1))
        keys.append(torch.cat([turn(kh[:, rope], freq), key_of(g)], 1))
        values.append(value_of(g))
    return attend(queries, keys, values, D ** -0.5)


def nope_rows(kept, g):
    return [g * D + i for i in dims([c for c in range(C) if c not in kept[g]])]


def mha2mla(setting, kept, joint, low_rank):
    rows = [nope_rows(kept, g) for g in range(G)]
    every = sum(rows, [])
    n, R = len(every), low_rank * G
    if joint:  # all keys above all values
        u, s, vh = svd(torch.cat([WK[every], WV]), R)
        up, down = u * s, vh
        k, v = X @ down.T @ up[:n].T, X @ down.T @ up[n:].T
    else:
        (uk, sk, dk), (uv, sv, dv) = svd(WK[every], R), svd(WV, R)
        k, v = X @ dk.T @ (uk * sk).T, X @ dv.T @ (uv * sv).T
    k, v = k + BK[every], v + BV
    first = [sum(len(r) for r in rows[:g]) for g in range(G)]
    show(setting, partial_rope(kept, lambda g: k[:, first[g]:first[g] + len(rows[g])],
                               lambda g: v[:, g * D:(g + 1) * D]))


def elitekv(setting, kept, R=None, RK=None, RV=None):
    """Columns of W_kv [E, ...] interleaved head by head, kv_a = U, kv_b = S V."""
    parts = [torch.cat([WK[nope_rows(kept, g)], WV[g * D:(g + 1) * D]]) for g in range(G)]
    bias = [torch.cat([BK[nope_rows(kept, g)], BV[g * D:(g + 1) * D]]) for g in range(G)]
    if R:
        a, s, b = svd(torch.cat(parts).T, R)
        out = X @ a @ (s[:, None] * b)
        sizes = [len(p) for p in parts]
        read = [o + c for o, c in zip(out.split(sizes, 1), bias)]
    else:
        k = torch.cat([p[:-D] for p in parts]).T
        ak, sk, bk = svd(k, RK)
        av, sv, bv = svd(WV.T, RV)
        ks = (X @ ak @ (sk[:, None] * bk)).split([len(p) - D for p in parts], 1)
        vs = (X @ av @ (sv[:, None] * bv)).split(D, 1)
        read = [torch.cat([x, y], 1) + c for x, y, c in zip(ks, vs, bias)]
    show(setting, partial_rope(kept, lambda g: read[g][:, :-D], lambda g: read[g][:, -D:]))


def x_ecomla(setting, d_n, d_r, r_kv, r_q=None):
    """K and V repeated to H heads; sigma on the down side; last rows rotated."""
    def repeat(w):
        return w.view(G, D, -1).repeat_interleave(REP, 0).reshape(H * D, -1)
    u, s, vh = svd(torch.cat([repeat(WK), repeat(WV)]), r_kv)
    latent = X @ (s[:, None] * vh).T
    k = (latent @ u[:H * D].T).view(T, H, D)[:, :, :d_n] + repeat(BK).view(H, D)[:, :d_n]
    v = (latent @ u[H * D:].T + repeat(BV)[:, 0]).view(T, H, D)
    wr, br = WK.view(G, D, E).mean(0)[D - d_r:], BK.view(G, D).mean(0)[D - d_r:]
    freq = THETA ** (-2 * torch.arange(d_r // 2) / d_r)
    shared = turn_interleaved(X @ wr.T + br, freq)
    q = X @ WQ.T
    if r_q:
        u, s, vh = svd(WQ, r_q)
        q = X @ (s[:, None] * vh).T @ u.T
    q = (q + BQ).view(T, H, D)
    show(setting, attend(
        [torch.cat([q[:, h, :d_n], turn_interleaved(q[:, h, D - d_r:], freq)], 1)
         for h in range(H)],
        [torch.cat([k[:, h], shared], 1) for h in range(H)],
        [v[:, h] for h in range(H)], (d_n + d_r) ** -0.5))


def paired(setting, kept, r_kv):
    """Ours: whole chunks with their own frequencies, and only what is read in the SVD."""
    keep = [kept] * G
    every = sum((nope_rows(keep, g) for g in range(G)), [])
    u, s, vh = svd(torch.cat([WK[every], WV]), r_kv)
    out = X @ vh.T @ (u * s).T + torch.cat([BK[every], BV])
    n = len(every) // G
    wr, br = WK.view(G, D, E).mean(0)[dims(kept)], BK.view(G, D).mean(0)[dims(kept)]
    shared = turn(X @ wr.T + br, FREQ[kept])
    q = (X @ WQ.T + BQ).view(T, H, D)
    nope = dims([c for c in range(C) if c not in kept])
    show(setting, attend(
        [torch.cat([turn(q[:, h][:, dims(kept)], FREQ[kept]), q[:, h][:, nope]], 1)
         for h in range(H)],
        [torch.cat([shared, out[:, h // REP * n:(h // REP + 1) * n]], 1) for h in range(H)],
        [out[:, G * n + h // REP * D:G * n + (h // REP + 1) * D] for h in range(H)],
        D ** -0.5))


def transmla(setting, fold, collapse, rank, alpha="code", balance=1.0, r_q=None):
    per = fold // collapse
    # U: one row per component. Rope rows [half][fold][a], then all others.
    rope, rest, freq = [], [], []
    k_cal, v_cal = CAL @ WK.T + BK, CAL @ WV.T + BV
    slots = [(e, g, a) for e in range(collapse) for g in range(G) for a in range(per)]
    bases = []
    for m in range(C // fold):
        dim = [[g * D + p * C + m * fold + a * collapse + e for e, g, a in slots]
               for p in (0, 1)]
        second = sum(k_cal[:, d].T @ k_cal[:, d] for d in dim)
        bases.append((dim, torch.linalg.eigh(second)[1].flip(1)))
        freq += [FREQ[m * fold + a * collapse] for a in range(per)]
    for p in (0, 1):
        for dim, vectors in bases:
            for z in range(G * fold):
                row = torch.zeros(G * D)
                row[dim[p]] = vectors[:, z]
                (rope if z < per else rest).append(row)
    U_rope, U_rest = torch.stack(rope), torch.stack(rest)
    freq = torch.stack(freq)
    d_r = len(rope)
    k_rest = k_cal @ U_rest.T
    k_size = (k_rest ** 2).mean(0).sqrt()
    v_size = (v_cal ** 2).mean(0).sqrt()
    if alpha == "code":
        a = k_size.mean() / v_size[d_r:].mean() * balance
    elif alpha == "paper":
        a = (k_size ** 2).sum() / (v_size ** 2).sum() * balance
    else:
        a = torch.tensor(balance)
    z = torch.cat([k_rest / a, v_cal], 1)
    R = torch.linalg.eigh(z.T @ z)[1].flip(1)[:, :rank]
    zx = torch.cat([(X @ WK.T + BK) @ U_rest.T / a, X @ WV.T + BV], 1)
    back = zx @ R @ R.T
    k_back, v_back = back[:, :len(rest)] * a @ U_rest, back[:, len(rest):]
    shared = turn((X @ WK.T + BK) @ U_rope.T, freq)
    q = X @ WQ.T + BQ
    if r_q:
        q_cal = CAL @ WQ.T + BQ
        B = torch.linalg.eigh(q_cal.T @ q_cal)[1].flip(1)[:, :r_q]
        q = q @ B @ B.T
    queries, keys, values = [], [], []
    for h in range(H):
        g = h // REP
        head = slice(g * D, (g + 1) * D)
        qh = q[:, h * D:(h + 1) * D]
        queries.append(torch.cat([qh, turn(qh @ U_rope[:, head].T, freq)], 1))
        keys.append(torch.cat([k_back[:, head], shared], 1))
        values.append(v_back[:, head])
    show(setting, attend(queries, keys, values, D ** -0.5))


def dynamic_ranks():
    config = json.load(open("datasets/demo/config.json"))
    w = tensors("datasets/demo/model.safetensors")
    for share in (0.5, 0.85, 0.95):
        both = {"code": [], "paper": []}
        for layer in range(config["num_hidden_layers"]):
            at = f"model.layers.{layer}.self_attn."
            m = np.concatenate([w[at + n + "_proj.weight"] for n in "kv"])
            s = np.linalg.svd(m, compute_uv=False)
            p = np.cumsum(s ** 2) / (s ** 2).sum()
            rank = max(1, int((p <= share).sum()))
            both["code"].append(-(-rank // 8) * 8)
            both["paper"].append(int(np.argmax(p >= share)) + 1)
        for rule, ranks in both.items():
            print(f"ranks x-ecomla energy={share} rule={rule} ends=dynamic :", *ranks)
            ranks = [64] + ranks[1:-1] + [64]
            print(f"ranks x-ecomla energy={share} rule={rule} rank=64 :", *ranks)


def main():
    show("baseline", partial_rope([list(range(C))] * G, lambda g: X[:, :0],
                                  lambda g: (X @ WV.T + BV)[:, g * D:(g + 1) * D]))
    a_q, a_k = two_norm()
    product = (a_q.view(G, REP, C) * a_k[:, None]).sum(1)
    total = (a_q.view(G, REP, C) + a_k[:, None]).sum(1)
    high, low = [[0, 1]] * G, [[3]] * G
    mha2mla("mha2mla rope=high chunks=2 rank=5", high, True, 5)
    mha2mla("mha2mla rope=high chunks=2 rank=3 svd=split", high, False, 3)
    mha2mla("mha2mla rope=2-norm chunks=1 rank=4", [order(s, 1) for s in product], True, 4)
    mha2mla("mha2mla rope=2-norm-sum chunks=2 rank=6", [order(s, 2) for s in total], True, 6)
    mha2mla("mha2mla rope=uniform chunks=2 rank=4 svd=split", [[0, 2]] * G, False, 4)
    elitekv("elitekv rope=low chunks=1 rank=9", low, R=9)
    elitekv("elitekv rope=2-norm chunks=2 rank=11", [order(s, 2) for s in product], R=11)
    elitekv("elitekv rope=uniform-elite chunks=2 svd=split rank_k=5 rank_v=7", [[0, 3]] * G,
            RK=5, RV=7)
    x_ecomla("x-ecomla rope_dim=4 rank=12", 4, 4, 12)
    x_ecomla("x-ecomla rope_dim=2 rank=20 qrank=11", 6, 2, 20, 11)
    x_ecomla("x-ecomla rope_dim=8 nope_dim=6 rank=15", 6, 8, 15)
    paired("x-ecomla init=paired rope=xecomla rope_dim=2 rank=12", [3], 12)
    paired("x-ecomla init=paired rope_dim=4 rank=17", [0, 1], 17)
    transmla("transmla freqfold=1 rope_dim=8 rank=12", 1, 1, 12)
    transmla("transmla freqfold=2 rope_dim=8 rank=14", 2, 1, 14)
    transmla("transmla freqfold=4 rope_dim=4 rank=13 qrank=17", 4, 2, 13, r_q=17)
    transmla("transmla freqfold=4 rope_dim=2 rank=20 alpha=paper", 4, 4, 20, "paper")
    transmla("transmla freqfold=2 rope_dim=4 rank=9 alpha=none balance=1.5", 2, 2, 9, "none", 1.5)
    dynamic_ranks()


if __name__ == "__main__":
    main()
