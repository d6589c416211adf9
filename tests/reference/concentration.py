"""Concentration, distance curves and reach of heads from their definitions, with NumPy.

    python3 concentration.py > concentration.txt

Complex numbers and whole attention matrices; nothing here knows the sums of the C code.
Queries and keys are those of tests/support/window_fixture.h.
"""
import math

import numpy as np

T, H, G, D, THETA, WINDOWS = 24, 4, 2, 16, 30.0, 2
C = D // 2


def mix(x):
    x &= 0xFFFFFFFF
    x ^= x >> 16
    x = x * 0x7FEB352D & 0xFFFFFFFF
    x ^= x >> 15
    x = x * 0x846CA68B & 0xFFFFFFFF
    return x ^ x >> 16


def value(part, t, h, d):
    c = d % C
    noise = mix(mix(part * 7919 + t) + h * 4099 + d) % 2048
    size = mix(part * 31 + h * 1009 + c * 17 + 5) % 8 + 1
    mean = mix(part * 37 + h * 2003 + d * 13 + 3) % 17
    return (noise - 1024) / 1024 * size / 4 + (mean - 8) / 8


def points(part, heads):
    """(WINDOWS, T, heads, C) complex: chunk c is dims c and c + C."""
    x = np.array([[[[value(part, t + w * T, h, d) for d in range(D)] for h in range(heads)]
                   for t in range(T)] for w in range(WINDOWS)])
    return x[..., :C] + 1j * x[..., C:]


q, k = points(0, H), points(1, G)
frequency = THETA ** (-2 * np.arange(C) / D)
turn = np.exp(1j * np.arange(T)[:, None] * frequency)
distances = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12]


def show(what, h, numbers):
    print(what, h, *("%.15g" % x for x in np.atleast_1d(numbers)))


for h in range(H):
    g = h * G // H
    qh, kh = q[:, :, h], k[:, :, g]
    show("concentration", h, abs(qh.mean((0, 1))) / abs(qh).mean((0, 1)))
    curve = [(qh.mean((0, 1)) * kh.mean((0, 1)).conj() * np.exp(1j * frequency * d)).real.sum()
             / math.sqrt(D) for d in distances]
    show("curve", h, curve)
    s = np.einsum("wic,wjc->wij", qh * turn, (kh * turn).conj()).real / math.sqrt(D)
    true = [np.mean([s[w, j + d, j] for w in range(WINDOWS) for j in range(T - d)])
            for d in distances]
    show("logits", h, true)
    show("correlation", h, np.corrcoef(curve, true)[0, 1])
    s[:, np.triu(np.ones((T, T), bool), 1)] = -np.inf
    p = np.exp(s - s.max(-1, keepdims=True))
    p = (p / p.sum(-1, keepdims=True))[:, T // 2:]
    back = np.arange(T // 2, T)[:, None] - np.arange(T)
    other = np.arange(T) > 0
    show("reach", h, [p[..., 0].mean(), (p * ((back < 8) & (back >= 0) & other)).sum(-1).mean(),
                      (p * ((back >= T // 4) & other)).sum(-1).mean()])
