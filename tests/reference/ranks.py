"""Ranks before and after RoPE, neighbouring layers, top tokens of a latent, with NumPy.

    python3 ranks.py > ranks.txt

Singular values of the token matrices themselves (no moments), complex rotations, QR for
the angles between subspaces. Queries, keys and values are those of tests/unit/test_ranks.c.
"""
import numpy as np

L, W, T, H, G, D, E, THETA = 3, 3, 24, 4, 2, 8, 16, 40.0
C = D // 2


def mix(x):
    x &= 0xFFFFFFFF
    x ^= x >> 16
    x = x * 0x7FEB352D & 0xFFFFFFFF
    x ^= x >> 15
    x = x * 0x846CA68B & 0xFFFFFFFF
    return x ^ x >> 16


def value(layer, part, t, j):
    size = mix(part * 31 + j * 17 + 5) % 8 + 1
    shared = mix(mix(part * 7919 + t) + j * 4099) % 63 - 31
    own = mix(mix(part * 104729 + layer * 1299709 + t) + j) % 63 - 31
    return (shared * size + own * (layer + 1)) / 64


def tokens(layer, part, n):
    """(W, T, n)"""
    return np.array([[[value(layer, part, w * T + t, j) for j in range(n)] for t in range(T)]
                     for w in range(W)])


def turn(x, heads):
    z = x.reshape(W, T, heads, D)
    z = z[..., :C] + 1j * z[..., C:]
    z = z * np.exp(1j * np.arange(T)[:, None, None] * THETA ** (-2 * np.arange(C) / D))
    return np.concatenate([z.real, z.imag], -1).reshape(W, T, heads * D)


def need(s, share):
    total = np.cumsum(s ** 2) / np.sum(s ** 2)
    return int(np.argmax(total >= share)) + 1


def entropy(p):
    p = p / p.sum()
    return np.exp(-np.sum(p * np.log(p)))


def basis(y):
    u, s, _ = np.linalg.svd(y, full_matrices=False)
    return u[:, :need(s, 0.95)]


def show(*cells):
    print(*(c if isinstance(c, (str, int)) else "%.12g" % c for c in cells))


parts = {"x": 0, "q": 1, "k": 2, "v": 3}
layers = []
for l in range(L):
    q, k, v = (tokens(l, parts[p], n * D) for p, n in (("q", H), ("k", G), ("v", G)))
    layers.append({"x": tokens(l, 0, E), "q": q, "k": k, "v": v, "k_rot": turn(k, G),
                   "q_rot": turn(q, H)})
flat = lambda y: y.reshape(W * T, -1)

for l, one in enumerate(layers):
    for name in ("k", "k_rot", "v"):
        s = np.linalg.svd(flat(one[name]), compute_uv=False)
        show("rank", l, name, np.sum(s ** 2) / (W * T), entropy(s), entropy(s ** 2),
             np.sum(s ** 2) / s[0] ** 2, need(s, 0.9), need(s, 0.95), need(s, 0.99))
for l in range(L - 1):
    a, b = layers[l], layers[l + 1]
    x, y = flat(a["x"]), flat(b["x"])
    cosine = np.mean(np.sum(x * y, 1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1))
    for name in ("k", "k_rot", "v"):
        p, r = flat(a[name]), flat(b[name])
        u, w = basis(p), basis(r)
        both = np.hstack([p / np.linalg.norm(p), r / np.linalg.norm(r)])
        c = np.clip(np.linalg.svd(np.linalg.qr(u)[0].T @ np.linalg.qr(w)[0],
                                  compute_uv=False), -1, 1)
        angle = np.degrees(np.arccos(c))
        show("pair", l, name, u.shape[1], w.shape[1],
             need(np.linalg.svd(both, compute_uv=False), 0.95), np.mean(c ** 2),
             np.median(angle), angle.max(), cosine)
for l, one in enumerate(layers):
    _, _, directions = np.linalg.svd(flat(one["k"]), full_matrices=False)
    for rank in (3, 8, 16):
        u = directions[:rank]
        low = one["k"] @ u.T @ u
        sums = np.zeros(4)
        for w in range(W):
            for h in range(H):
                cut, g = slice(h * D, h * D + D), h * G // H
                own = slice(g * D, g * D + D)
                pairs = [(one["q_rot"], one["k_rot"]), (one["q"], low),
                         (one["q_rot"], turn(low, G))]
                for i in range(T // 2, T):
                    s = [(k[w, :i + 1, own] @ q[w, i, cut]) for q, k in pairs]
                    n = -(-(i + 1) // 8)
                    top = [set(np.argsort(-x)[:n]) for x in s]
                    p = np.exp(s[0] / np.sqrt(D) - s[0].max() / np.sqrt(D))
                    for j in (1, 2):
                        sums[2 * j - 2] += len(top[0] & top[j]) / n
                        sums[2 * j - 1] += p[list(top[j])].sum() / p[list(top[0])].sum()
        show("top", l, rank, *(sums / (W * H * (T - T // 2))))
