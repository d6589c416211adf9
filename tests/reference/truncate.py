#!/usr/bin/env python3
"""DeepSeek's latent attention with fewer numbers cached, from its definition, in NumPy.

Writes what tests/unit/test_truncate.c reads, from the source root:
/usr/bin/python3 tests/reference/truncate.py > tests/reference/truncate.txt
Keys and values of every head are made token by token (arXiv 2405.04434, section 2.1); the
matrix that makes them is replaced by the one of rank R that is nearest on the calibration
text: by an SVD of B L with a Cholesky factor L of what the latents sum to, undone after
it. mlascope takes square roots and eigenvectors instead.
"""
import numpy as np

E, H, NOPE, ROPE, VALUE, R, Q, T, N = 24, 4, 6, 4, 5, 12, 10, 8, 64
EPS, THETA = 1e-6, 100.0


def uniform(name, *shape):
    """splitmix64 of a counter from the FNV-1a hash of the name, in [-1, 1)."""
    h = 0xCBF29CE484222325
    for c in name.encode():
        h = (h ^ c) * 0x100000001B3 % 2**64
    out = []
    for _ in range(int(np.prod(shape))):
        h = (h + 0x9E3779B97F4A7C15) % 2**64
        z = h
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        z ^= z >> 31
        out.append((z >> 40) / (1 << 23) - 1.0)
    return np.array(out).reshape(shape)


def norm(x, gain):
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + EPS) * gain


def turn(x):
    """Pairs (2c, 2c + 1) of rows (T, ROPE) by their positions."""
    pairs = x[:, 0::2] + 1j * x[:, 1::2]
    angle = np.outer(np.arange(len(x)), THETA ** (-np.arange(0, ROPE, 2) / ROPE))
    pairs = pairs * np.exp(1j * angle)
    return np.concatenate([pairs.real, pairs.imag], axis=1)


q_a, q_gain = uniform("q_a", Q, E), 1.5 + uniform("q_gain", Q)
q_b = uniform("q_b", H * (NOPE + ROPE), Q)
kv_a, kv_gain = uniform("kv_a", R + ROPE, E), 1.5 + uniform("kv_gain", R)
kv_b, wo = uniform("kv_b", H * (NOPE + VALUE), R), uniform("wo", E, H * VALUE)
x = uniform("x", T, E)
cal = uniform("calibration", N, E) * (1 + np.arange(E) % 5) + 0.25


def made(rank):
    """What makes keys and values of KV_a x / rms."""
    b = kv_b * kv_gain
    if rank == R:
        return b
    down = cal @ kv_a[:R].T
    chol = np.linalg.cholesky(down.T @ down / N)
    u, s, v = np.linalg.svd(b @ chol, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ v[:rank] @ np.linalg.inv(chol)


def attention(rank):
    joint = x @ kv_a.T
    kv = (norm(joint[:, :R], 1.0) @ made(rank).T).reshape(T, H, NOPE + VALUE)
    q = (norm(x @ q_a.T, q_gain) @ q_b.T).reshape(T, H, NOPE + ROPE)
    rope, out = turn(joint[:, R:]), []
    for h in range(H):
        query = np.concatenate([q[:, h, :NOPE], turn(q[:, h, NOPE:])], axis=1)
        key = np.concatenate([kv[:, h, :NOPE], rope], axis=1)
        scores = query @ key.T / np.sqrt(NOPE + ROPE)
        scores[np.triu_indices(T, 1)] = -np.inf
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        out.append(p / p.sum(axis=1, keepdims=True) @ kv[:, h, NOPE:])
    return np.concatenate(out, axis=1) @ wo.T


for rank in (R, 9, 7, 3):
    print(f"case truncate rank={rank}")
    for row in attention(rank):
        print("row", *(f"{v:.9g}" for v in row))
