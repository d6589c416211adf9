#!/usr/bin/python3
"""Cache quantizers in NumPy, written from the formats' definitions, not from our C.

Writes quant.txt, which tests/unit/test_quant_reference.c reads:

    values NAME key|value T n : every dequantized number as the hex of a float32
    bytes NAME : the blocks of block_data() as hex

The inputs are not in the file: both sides make them from the same integers.
"""
import math
import os
import struct

import numpy as np

F = np.float32
MASK = (1 << 64) - 1


# ---- the random numbers of common/numbers/rng.c, from the published algorithms

class Rng:
    """xoshiro256** 1.0 (Blackman and Vigna), seeded by splitmix64."""

    def __init__(self, seed, stream):
        mix = stream
        mix, z = self.splitmix(mix)
        state = seed ^ z
        self.s = []
        for _ in range(4):
            state, z = self.splitmix(state)
            self.s.append(z)

    @staticmethod
    def splitmix(state):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
        return state, z ^ z >> 31

    @staticmethod
    def rotl(x, k):
        return ((x << k) | (x >> (64 - k))) & MASK

    def u64(self):
        s = self.s
        result = (self.rotl((s[1] * 5) & MASK, 7) * 9) & MASK
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = self.rotl(s[3], 45)
        return result

    def uniform(self):
        return (self.u64() >> 11) * 2.0 ** -53

    def normal(self):
        while True:
            u = 2 * self.uniform() - 1
            v = 2 * self.uniform() - 1
            r = u * u + v * v
            if 0 < r < 1:
                return u * math.sqrt(-2 * math.log(r) / r)


def make_data(T, n):
    """Bell-shaped numbers with a strong channel and a shifted one; exact in any language."""
    rng = Rng(17, T * 1000 + n)
    x = np.empty((T, n), F)
    for t in range(T):
        for i in range(n):
            u = rng.uniform() + rng.uniform() + rng.uniform() + rng.uniform() - 2.0
            if i % 7 == 3:
                u = 4.0 * u
            if i % 5 == 1:
                u = u + 0.75
            x[t, i] = F(u)
    return x


def block_data():
    """6 blocks of 32: bell-shaped, zeros, a constant, a negative peak, tiny, large."""
    x = make_data(6, 32)
    x[1] = 0
    x[2] = 0.7
    x[3, 9] = -11.5
    x[4] *= F(2.0 ** -30)
    x[5] *= F(4096)
    return x


# ---- integers

def half(x):
    return np.asarray(x, F).astype(np.float16).astype(F)


def scale_half(x):
    return half(np.minimum(np.asarray(x, F), F(65504)))


def affine(g, bits, kind):
    """One group g (1-d), float32 throughout."""
    top = F(2 ** bits - 1)
    lo, hi = g.min(), g.max()
    if kind == "half":
        s, z = scale_half((hi - lo) / top), half(lo)
        if s == 0:
            return np.full_like(g, z)
        return z + np.rint(np.clip((g - z) / s, F(0), top)) * s
    if kind == "none":
        m = F(2 ** (bits - 1) - 1)
        s = scale_half(np.abs(g).max() / m)
        return np.rint(np.clip(g / s, -m, m)) * s if s else np.zeros_like(g)
    lo, hi = min(lo, F(0)), max(hi, F(0))
    s = scale_half((hi - lo) / top)
    if s == 0:
        return np.zeros_like(g)
    z = np.rint(np.clip(-lo / s, F(0), top))
    return (np.clip(np.rint(g / s) + z, F(0), top) - z) * s


def by_groups(x, group, f):
    """f over groups of contiguous numbers of each row."""
    T, n = x.shape
    y = x.copy()
    for t in range(T):
        for b in range(0, n, group or n):
            e = min(b + (group or n), n)
            y[t, b:e] = f(x[t, b:e])
    return y


def rows(x, bits, group, kind="half"):
    return by_groups(x, group, lambda g: affine(g, bits, kind))


def columns(x, bits, group, kind="half"):
    return np.ascontiguousarray(rows(np.ascontiguousarray(x.T), bits, group, kind).T)


# ---- Hugging Face

def hqq(x, bits, group, axis):
    flat = x.astype(np.float64).ravel()
    assert flat.size % group == 0
    w = flat.reshape(-1, group).T if axis == 1 else flat.reshape(group, -1)
    top = 2 ** bits - 1
    lo, hi = w.min(0), w.max(0)
    with np.errstate(divide="ignore"):
        s = np.where(hi - lo > 1e-4, np.minimum(top / (hi - lo), 2e4), 1.0)
    z = -lo * s
    best, beta = math.inf, 10.0
    for _ in range(20):
        q = np.clip(np.rint(w * s + z), 0, top)
        e = w - (q - z) / s
        a = np.abs(e)
        with np.errstate(divide="ignore"):
            shrunk = np.sign(e) * np.maximum(a - a ** (0.7 - 1) / beta, 0)
        z = np.mean(q - (w - shrunk) * s, axis=0)
        beta *= 1.01
        if not a.mean() < best:
            break
        best = a.mean()
    q = np.clip(np.rint(w * s + z), 0, top).astype(F)
    y = (q - half(z)) * half(1 / s)
    return (y.T if axis == 1 else y).reshape(x.shape).astype(F)


# ---- ggml blocks: encoders make (scale.., codes), a packer makes bytes

def first_peak(g):
    return g[np.argmax(np.abs(g))] if np.any(g) else F(0)


def inv(d):
    return F(1) / d if d != 0 else F(0)


def le_half(x):
    return np.float16(x).tobytes()


def nibbles(q):
    return bytes(int(q[j]) | int(q[j + 16]) << 4 for j in range(16))


def un_nibbles(b):
    return np.array([v & 15 for v in b] + [v >> 4 for v in b])


def around_zero(g, levels):
    d = first_peak(g) / F(-levels // 2)
    q = np.floor(g * inv(d) + F(levels / 2 + 0.5)).astype(int)
    return d, np.minimum(q, levels - 1)


def above_min(g, levels):
    lo = g.min()
    d = (g.max() - lo) / F(levels - 1)
    q = np.floor((g - lo) * inv(d) + F(0.5)).astype(int)
    return d, lo, np.minimum(q, levels - 1)


def fives(q):
    word = sum((int(v) >> 4) << j for j, v in enumerate(q))
    return struct.pack("<I", word) + nibbles([int(v) & 15 for v in q])


def un_fives(b):
    word, = struct.unpack("<I", b[:4])
    return un_nibbles(b[4:]) + 16 * np.array([word >> j & 1 for j in range(32)])


def f16_at(b, at):
    return F(np.frombuffer(b, "<f2", 1, at)[0])


IQ4 = np.array([-127, -104, -83, -65, -49, -35, -22, -10,
                1, 13, 25, 38, 53, 69, 89, 113], F)


def enc_q8_0(g):
    d = np.abs(g).max() / F(127)
    v = (g * inv(d)).astype(np.float64)
    q = np.trunc(v + np.copysign(0.5, v)).astype(np.int8)  # half away from zero
    return le_half(d) + q.tobytes()


def dec_q8_0(b):
    return np.frombuffer(b, np.int8, 32, 2).astype(F) * f16_at(b, 0)


def enc_q4_0(g):
    d, q = around_zero(g, 16)
    return le_half(d) + nibbles(q)


def dec_q4_0(b):
    return (un_nibbles(b[2:]) - 8).astype(F) * f16_at(b, 0)


def enc_q5_0(g):
    d, q = around_zero(g, 32)
    return le_half(d) + fives(q)


def dec_q5_0(b):
    return (un_fives(b[2:]) - 16).astype(F) * f16_at(b, 0)


def enc_q4_1(g):
    d, lo, q = above_min(g, 16)
    return le_half(d) + le_half(lo) + nibbles(q)


def dec_q4_1(b):
    return un_nibbles(b[4:]).astype(F) * f16_at(b, 0) + f16_at(b, 2)


def enc_q5_1(g):
    d, lo, q = above_min(g, 32)
    return le_half(d) + le_half(lo) + fives(q)


def dec_q5_1(b):
    return un_fives(b[4:]).astype(F) * f16_at(b, 0) + f16_at(b, 2)


def enc_iq4_nl(g):
    if np.abs(g).max() < 1e-15:
        return le_half(F(0)) + nibbles([8] * 32)
    y = g * inv(first_peak(g) / F(-127))
    # Nearest entry; np.argmin takes the first, so turn the table: ties go up.
    distance = np.abs(y[:, None] - IQ4[None, ::-1])
    q = 15 - np.argmin(distance, axis=1)
    xq = qq = F(0)
    for j in range(32):
        v, w = IQ4[q[j]], g[j] * g[j]
        xq = xq + w * v * g[j]
        qq = qq + w * v * v
    return le_half(xq / qq) + nibbles(q)


def dec_iq4_nl(b):
    return IQ4[un_nibbles(b[2:])] * f16_at(b, 0)


# ---- small floats, by search through every value of the format

def float_values(exponent_bits, fraction_bits, bias, codes):
    out = []
    for c in range(codes):
        e, f = c >> fraction_bits, c & ((1 << fraction_bits) - 1)
        m = f / 2 ** fraction_bits
        out.append((1 + m) * 2.0 ** (e - bias) if e else m * 2.0 ** (1 - bias))
    return np.array(out)


E2M1 = float_values(2, 1, 1, 8)
E4M3 = float_values(4, 3, 7, 127)   # 0x7f is NaN
E5M2 = float_values(5, 2, 15, 124)  # 0x7c is infinity


def code_of(x, values):
    """Nearest value, ties to the even code, saturating; sign apart."""
    x = np.asarray(x, np.float64)
    distance = np.abs(np.abs(x)[..., None] - values)
    best = distance.argmin(-1)
    other = np.minimum(best + 1, len(values) - 1)
    tie = np.take_along_axis(distance, other[..., None], -1)[..., 0] == distance.min(-1)
    return np.where(tie & (best % 2 == 1), other, best)


def through(x, values):
    return np.copysign(values[code_of(x, values)], x).astype(F)


def enc_mxfp4(g):
    a = float(np.abs(g).max())
    e = max(math.floor(math.log2(a)) - 2 + 127, 0) if a else 0
    y = g.astype(np.float64) * 2.0 ** (127 - e)
    q = code_of(y, E2M1) + 8 * np.signbit(y)
    return bytes([e]) + nibbles(q)


def dec_e2m1(q):
    return np.where(q & 8, -1.0, 1.0) * E2M1[q & 7]


def dec_mxfp4(b):
    return (dec_e2m1(un_nibbles(b[1:])) * 2.0 ** (b[0] - 127)).astype(F)


def nvfp4_scale(x):
    s = np.abs(x).max() / F(6 * 448)
    return s if s > 0 else F(1)


def enc_nvfp4(g, s):
    e = int(code_of(np.abs(g).max() / F(6) / s, E4M3))
    step = F(E4M3[e]) * s
    y = g / step if step > 0 else np.zeros_like(g)
    q = code_of(y, E2M1) + 8 * np.signbit(y)
    return bytes([e]) + bytes(int(q[2 * j]) | int(q[2 * j + 1]) << 4 for j in range(8))


def dec_nvfp4(b, s):
    q = np.array([v for byte in b[1:] for v in (byte & 15, byte >> 4)])
    return dec_e2m1(q).astype(F) * (F(E4M3[b[0]]) * s)


BLOCKS = {"q8_0": (enc_q8_0, dec_q8_0), "q5_1": (enc_q5_1, dec_q5_1),
          "q5_0": (enc_q5_0, dec_q5_0), "q4_1": (enc_q4_1, dec_q4_1),
          "q4_0": (enc_q4_0, dec_q4_0), "iq4_nl": (enc_iq4_nl, dec_iq4_nl),
          "mxfp4": (enc_mxfp4, dec_mxfp4)}


# ---- tables

def inverse_normal(p):
    lo, hi = -10.0, 10.0
    for _ in range(200):
        mid = (lo + hi) / 2
        if 0.5 * math.erfc(-mid / math.sqrt(2)) < p:
            lo = mid
        else:
            hi = mid
    return (lo + hi) / 2


def normal_float(bits):
    k = 2 ** bits
    delta = (1 / k + 1 / (k - 1)) / 4
    above = [inverse_normal(p) for p in np.linspace(1 - delta, 0.5, k // 2 + 1)[:-1]]
    below = [-inverse_normal(p) for p in np.linspace(1 - delta, 0.5, k // 2)[:-1]]
    v = np.array(sorted(above + below + [0.0]))
    return v / v.max()


def table_code(y, table):
    """Nearest entry, the lower of two as near."""
    return np.argmin(np.abs(np.asarray(y, np.float64)[:, None] - table[None, :]), axis=1)


def normal_group(g, bits, offset):
    table = normal_float(bits)
    if offset:
        s, z = scale_half(F(0.5) * (g.max() - g.min())), half(F(0.5) * (g.max() + g.min()))
    else:
        s, z = scale_half(np.abs(g).max()), F(0)
    y = (g - z) / s if s > 0 else np.zeros_like(g)
    return table[table_code(y, table)].astype(F) * s + z


def lloyd_max(bits):
    """Points of N(0, 1), positive half, by Lloyd's steps until nothing moves."""
    k = 2 ** bits // 2
    pdf = lambda t: math.exp(-t * t / 2) / math.sqrt(2 * math.pi)
    cdf = lambda t: 0.5 * math.erfc(-t / math.sqrt(2))
    c = [(i + 0.5) * 3 / k for i in range(k)]
    for _ in range(5000):
        border = [0.0] + [(a + b) / 2 for a, b in zip(c, c[1:])] + [40.0]
        c = [(pdf(a) - pdf(b)) / (cdf(b) - cdf(a)) for a, b in zip(border, border[1:])]
    return np.array(c)


# ---- rotations: the matrix written out

def orthogonal(n, seed, stream):
    rng = Rng(seed, stream)
    q = np.eye(n)
    for k in range(n - 1):
        u = np.array([rng.normal() for _ in range(n - k)])
        u[0] += math.copysign(np.linalg.norm(u), u[0])
        u /= np.linalg.norm(u)
        h = np.eye(n)
        h[k:, k:] -= 2 * np.outer(u, u)
        q = q @ h
    q[:, -1] *= -1.0 if rng.uniform() < 0.5 else 1.0
    assert np.allclose(q @ q.T, np.eye(n))
    return q


def hadamard(n):
    h = np.ones((1, 1))
    while len(h) < n:
        h = np.block([[h, h], [h, -h]])
    return h / math.sqrt(n)


def turbo(x, bits, wide, seed=0, stream=0):
    n = x.shape[1]
    q = orthogonal(n, seed, stream)
    table = lloyd_max(bits)
    table = np.concatenate([-table[::-1], table])
    y = np.zeros_like(x)
    for t, row in enumerate(x.astype(np.float64)):
        norm = np.linalg.norm(row)
        if norm == 0:
            continue
        z = q @ row / norm * math.sqrt(n)
        z = table[table_code(z, table)] / math.sqrt(n)
        y[t] = (F(norm) if wide else half(norm)).astype(np.float64) * (q.T @ z)
    return y


def turbo_split(x, bits, share, seed=0):
    """Two instances: the channels of largest norm with a bit more."""
    y = np.zeros_like(x)
    norm = (x.astype(np.float64) ** 2).sum(axis=0)
    wide = np.zeros(x.shape[1], bool)
    wide[np.argsort(-norm, kind="stable")[:x.shape[1] // share]] = True
    y[:, ~wide] = turbo(x[:, ~wide], bits, False, seed, 0)
    y[:, wide] = turbo(x[:, wide], bits + 1, False, seed, 1)
    return y


def turbo_product(x, bits, seed=0):
    """Algorithm 2 of arXiv 2504.19874, for keys; S of independent normal numbers."""
    n = x.shape[1]
    rng = Rng(seed, 1)
    S = np.array([rng.normal() for _ in range(n * n)]).reshape(n, n)
    y = turbo(x, bits - 1, False, seed) if bits > 1 else np.zeros_like(x)
    r = x.astype(np.float64) - y.astype(np.float64)
    norm = half(np.linalg.norm(r, axis=1)).astype(np.float64)
    sign = np.where(r @ S.T > 0, 1.0, -1.0)
    return y + math.sqrt(math.pi / 2) / n * norm[:, None] * (sign @ S)


def qjl_keys(x, sketch, outlier_sketch, seed=0):
    n = x.shape[1]
    S = np.vstack([orthogonal(n, seed, b) for b in range(sketch)]) * math.sqrt(n)
    S_out = S[: outlier_sketch * n]
    y = np.zeros_like(x)
    for b in range(0, len(x), 32):
        g = x[b:b + 32].astype(np.float64)
        out = np.zeros(n, bool)
        out[np.argsort(-np.linalg.norm(g, axis=0), kind="stable")[:8]] = True
        for t, k in enumerate(g):
            norm = float(half(np.linalg.norm(k)))
            norm_out = float(half(np.linalg.norm(k[out])))
            norm_in = math.sqrt(max(norm ** 2 - norm_out ** 2, 0))
            k_in, k_out = np.where(out, 0, k), np.where(out, k, 0)
            sign = lambda v: np.where(v > 0, 1.0, -1.0)
            c = math.sqrt(math.pi / 2)
            est_in = c / len(S) * norm_in * S.T @ sign(S @ k_in)
            est_out = c / len(S_out) * norm_out * S_out.T @ sign(S_out @ k_out)
            y[b + t] = np.where(out, est_out, est_in)
            # The published score of any query is <query, what we return>.
            query = np.cos(np.arange(n))
            q_in, q_out = np.where(out, 0, query), np.where(out, query, 0)
            score = (c / len(S) * norm_in * (S @ q_in) @ sign(S @ k_in)
                     + c / len(S_out) * norm_out * (S_out @ q_out) @ sign(S_out @ k_out))
            assert abs(score - query @ np.where(out, est_out, est_in)) < 1e-9
    return y


# ---- KVQuant

def kvquant(x, bits, is_key, apart):
    v = np.ascontiguousarray(x.T if is_key else x)
    inside = np.ones(v.shape, bool)
    s = np.empty(len(v), F)
    z = np.empty(len(v), F)
    for j, g in enumerate(v):
        o = int(math.floor(0.01 * g.size + 0.5)) if apart else 0
        a = np.sort(g)
        lo, hi = o // 2, o // 2
        if o % 2:
            if a[g.size // 2] - a[lo] > a[-1 - hi] - a[g.size // 2]:
                lo += 1
            else:
                hi += 1
        inside[j] = (g >= a[lo]) & (g <= a[-1 - hi])
        s[j] = scale_half(F(0.5) * (a[-1 - hi] - a[lo]))
        z[j] = half(F(0.5) * (a[-1 - hi] + a[lo]))
    safe = np.where(s > 0, s, F(1))[:, None]
    y = np.where(s[:, None] > 0, (v - z[:, None]) / safe, F(0)).astype(F)
    points = np.sort(y[inside])
    k = 2 ** bits
    c = points[[(2 * i + 1) * points.size // (2 * k) for i in range(k)]]
    for _ in range(50):
        cell = np.searchsorted((F(0.5) * (c[:-1] + c[1:])).astype(F), points, side="left")
        new = np.array([F(points[cell == i].astype(np.float64).mean())
                        if np.any(cell == i) else c[i] for i in range(k)], F)
        if np.array_equal(new, c):
            break
        c = new
    c = half(c)
    q = table_code(y.ravel(), c.astype(np.float64)).reshape(y.shape)
    r = np.where(inside, c[q] * s[:, None] + z[:, None], half(v)).astype(F)
    return np.ascontiguousarray(r.T if is_key else r)


# ---- the cases

def rest(T, R):
    return T - T % R


def newest(T, R):
    return max(T - R, 0)


def cases():
    for bits in range(2, 9):
        yield f"int{bits}", "value", 6, 40, lambda x, b=bits: rows(x, b, 0)
    yield "int4/16", "key", 6, 40, lambda x: rows(x, 4, 16)
    yield "int3s/32", "value", 6, 40, lambda x: rows(x, 3, 32, "none")
    yield "int8s", "value", 6, 40, lambda x: rows(x, 8, 0, "none")
    yield "int4z", "value", 6, 40, lambda x: rows(x, 4, 0, "integer")
    yield "int2z/16", "value", 6, 40, lambda x: rows(x, 2, 16, "integer")
    yield "int4c", "key", 11, 24, lambda x: columns(x, 4, 0)
    yield "int3c/4", "key", 11, 24, lambda x: columns(x, 3, 4)
    yield "int4cs/4", "key", 11, 24, lambda x: columns(x, 4, 4, "none")

    def part(x, first, last, f):
        y = x.copy()
        if last > first:
            y[first:last] = f(np.ascontiguousarray(x[first:last]))
        return y

    yield "int4/16+3@2", "key", 11, 24, lambda x: part(x, 2, 8, lambda p: rows(p, 4, 16))
    yield "kivi2/4+8", "key", 21, 16, lambda x: part(
        x, 0, rest(21, 8), lambda p: columns(p, 2, 4))
    yield "kivi2/4+8", "value", 21, 16, lambda x: part(
        x, 0, newest(21, 8), lambda p: rows(p, 2, 4))

    def had(p):
        h = hadamard(16)
        blocks = p.astype(np.float64).reshape(-1, 16)
        turned = (blocks @ h).astype(F).reshape(p.shape)
        return (rows(turned, 4, 0).astype(np.float64).reshape(-1, 16) @ h).astype(
            F).reshape(p.shape)

    yield "h:int4", "key", 6, 48, had

    def rounds(x, R, f):
        y = x.copy()
        for cached in range(R, len(x) + 1, R):
            y[:cached] = f(np.ascontiguousarray(y[:cached]))
        return y

    flat = lambda p, b: rows(p.reshape(1, -1), b, 64).reshape(p.shape)
    yield "quanto4", "key", 8, 32, lambda x: flat(x, 4)
    yield "quanto2+4", "key", 10, 32, lambda x: rounds(x, 4, lambda p: flat(p, 2))
    yield "quanto4c/4", "key", 10, 16, lambda x: columns(x, 4, 4)
    for bits in (2, 3, 4):
        yield f"hqq{bits}", "value", 8, 64, lambda x, b=bits: hqq(x, b, 64, 1)
    yield "hqq4x", "key", 8, 64, lambda x: hqq(x, 4, 64, 0)
    yield "hqq2+2", "value", 7, 64, lambda x: rounds(x, 2, lambda p: hqq(p, 2, 64, 1))
    for name, (enc, dec) in BLOCKS.items():
        yield name, "key", 3, 64, lambda x, e=enc, d=dec: by_groups(
            x, 32, lambda g: d(e(g)))
    yield "fp8", "key", 6, 40, lambda x: through(x, E4M3)
    yield "fp8e5m2", "key", 6, 40, lambda x: through(x, E5M2)

    def scaled(g):
        s = np.abs(g).max() / F(448)
        return through(g / s, E4M3) * s

    yield "fp8t", "key", 6, 40, scaled
    yield "fp8/16", "key", 6, 40, lambda x: by_groups(x, 16, scaled)
    yield "nvfp4", "key", 6, 48, lambda x: by_groups(
        x, 16, lambda g, s=nvfp4_scale(x): dec_nvfp4(enc_nvfp4(g, s), s))
    for bits in (2, 3, 4):
        yield f"nf{bits}", "key", 4, 96, lambda x, b=bits: by_groups(
            x, 64, lambda g: normal_group(g, b, False))
        yield f"nf{bits}z", "key", 4, 48, lambda x, b=bits: by_groups(
            x, 0, lambda g: normal_group(g, b, True))
    for bits in range(1, 5):
        yield f"turbo{bits}", "key", 4, 40, lambda x, b=bits: turbo(x, b, False)
    yield "turbo3f#9", "key", 4, 40, lambda x: turbo(x, 3, True, 9)
    yield "turbo2.25", "key", 6, 40, lambda x: turbo_split(x, 2, 4)
    yield "turbo2.5#5", "value", 6, 40, lambda x: turbo_split(x, 2, 2, 5)
    yield "turbo3.5", "key", 4, 41, lambda x: turbo_split(x, 3, 2)
    yield "turbo1p", "key", 3, 40, lambda x: turbo_product(x, 1)
    yield "turbo3p#2", "key", 4, 40, lambda x: turbo_product(x, 3, 2)
    yield "turbo3p", "value", 4, 40, lambda x: turbo(x, 3, False)
    yield "qjl+4", "key", 10, 32, lambda x: part(
        x, 0, rest(10, 4), lambda p: qjl_keys(p, 2, 2))
    yield "qjl-first+4#3", "key", 10, 32, lambda x: part(
        x, 0, rest(10, 4), lambda p: qjl_keys(p, 4, 1, 3))
    yield "qjl+4", "value", 7, 48, lambda x: part(
        x, 0, newest(7, 4), lambda p: rows(p, 2, 32))
    yield "kvquant3", "key", 60, 8, lambda x: part(
        x, 1, 60, lambda p: kvquant(p, 3, True, True))
    yield "kvquant3", "value", 5, 130, lambda x: part(
        x, 1, 5, lambda p: kvquant(p, 3, False, True))
    yield "kvquant4d", "value", 6, 40, lambda x: part(
        x, 1, 6, lambda p: kvquant(p, 4, False, False))


def main():
    lines = []
    for name, (enc, _) in BLOCKS.items():
        lines.append("bytes %s : %s" % (
            name, b"".join(enc(g) for g in block_data()).hex()))
    x = block_data()
    s = nvfp4_scale(x)
    lines.append("bytes nvfp4 : %s" % b"".join(
        enc_nvfp4(g, s) for g in x.reshape(-1, 16)).hex())
    for name, side, T, n, f in cases():
        y = np.ascontiguousarray(f(make_data(T, n)), F)
        assert y.shape == (T, n), name
        lines.append("values %s %s %d %d : %s" % (
            name, side, T, n, y.astype(">f4").tobytes().hex()))
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "quant.txt")
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
