#!/usr/bin/env python3
"""Gradients of latent forms by PyTorch's autograd, in float64.

Writes what tests/unit/test_heal_gradient.c reads, from the source root:
python3 tests/reference/heal.py > tests/reference/heal.txt
Needs torch. The forms are those of tests/support/heal_fixture.h, their numbers by the
same formulas; the loss is sum(out * d_out).

Lines: "case NAME LOSS"; "array i SUM WEIGHTED" for each trained array in the order of
mls_parameters: sum of its gradient, and sum weighted by cos(0.3 j) over its numbers j;
"input SUM WEIGHTED" of the gradient by x.
"""
import torch

torch.set_default_dtype(torch.float64)
T, E, H, G, D = 11, 12, 4, 2, 6
SCALE, EPS, SINKS = 0.6, 1e-3, 4


def wave(n, step):
    i = torch.arange(n, dtype=torch.float64)
    return torch.sin(step * (i + 1) + 0.013 * i * i)


class Arrays:
    """Trained arrays in the order of mls_parameters, numbers rounded as C's floats are."""

    def __init__(self):
        self.list = []

    def new(self, *shape, norm=False, trained=True):
        n = torch.Size(shape).numel()
        w = torch.sin(1.7 * torch.arange(1, n + 1) * (len(self.list) + 2.0))
        x = (1 + 0.3 * w if norm else 0.4 * w).float().double().reshape(shape)
        x.requires_grad_(trained)
        self.list.append(x)
        return x


def rms(x, gain):
    return x / (x.pow(2).mean(-1, keepdim=True) + EPS).sqrt() * gain


def turn(x, freq):
    a = torch.arange(x.shape[0])[:, None] * freq
    a = torch.cos(a).float().double(), torch.sin(a).float().double()
    u, v = x.chunk(2, dim=-1)
    return torch.cat([u * a[0] - v * a[1], v * a[0] + u * a[1]], -1)


def freqs(n, base):
    return base / torch.arange(1, n + 1, dtype=torch.float64)


def case(name, keys, biases=False, norms=False, qk_norm=False, q_rank=0, window=0, budget=0.0,
         shares=False):
    a, own = Arrays(), not shares
    rope, rotated, plain = keys in ("shared", "per-head"), keys == "rotated", keys == "plain"
    full = freqs(D // 2, 0.9)
    x = wave(T * E, 0.7).reshape(T, E).requires_grad_()

    def linear(n, m, norm=False):
        w = a.new(n, m, trained=own)
        b = a.new(n, trained=own) if biases else 0
        g = a.new(n, norm=True, trained=own) if norm else None
        return w, b, g

    ranks = [5] if rope else ([4, D] if rotated else [D, D] if plain else [3, 3]) + [4, 4]
    down = []
    for i, r in enumerate(ranks):
        if rotated and i < G:
            down.append((a.new(r, D), 0, None) if i == 0 else None)
        else:
            down.append(linear(r, E, norms))
    n_rope = 0 if not rope else 4 if keys == "shared" else 2
    rope_w = [linear(n_rope, E) for _ in range(0 if not rope else 1 if keys == "shared" else G)]
    up_k, up_v = [], []
    for g in range(G):
        has_up = rope or keys == "after-read" or (rotated and g == 0)
        up_k.append(linear(3 if rope else D, ranks[0 if rope else g]) if has_up else None)
        up_v.append(linear(D, 5) if rope else None)
    wk = a.new(G * D, E) if rotated else None
    bk = a.new(G * D) if rotated and biases else torch.zeros(G * D)
    k_norm = a.new(D, norm=True) if qk_norm else None
    q_in = E
    if q_rank:
        q_down = a.new(q_rank, E), a.new(q_rank) if biases else 0, \
            a.new(q_rank, norm=True) if norms else None
        q_in = q_rank
    dk = 3 + n_rope if rope else D
    dv = D if rope else 4
    wq = a.new(H * dk, q_in)
    bq = a.new(H * dk) if biases else 0
    q_norm = a.new(D, norm=True) if qk_norm else None
    wo = a.new(E, H * dv)
    bo = a.new(E) if biases else 0

    cache = []
    for i, r in enumerate(ranks):
        if rotated and i < G:
            k = x @ wk[i * D:(i + 1) * D].T + bk[i * D:(i + 1) * D]
            k = turn(rms(k, k_norm) if qk_norm else k, full)
            cache.append(k @ down[i][0].T if down[i] else k)
        else:
            w, b, g = down[i]
            c = x @ w.T + b
            cache.append(rms(c, g) if g is not None else c)
    y = x
    if q_rank:
        y = x @ q_down[0].T + q_down[1]
        y = rms(y, q_down[2]) if q_down[2] is not None else y
    q_all = (y @ wq.T + bq).split(dk, dim=-1)
    given_k, given_v = wave(1024, 0.9), wave(1024, 1.3)
    t = torch.arange(T)
    seen = t[:, None] >= t[None, :]
    if window:
        seen &= t[:, None] - t[None, :] < window
    if budget:
        n = torch.clamp(torch.ceil(budget * (t + 1.0)), min=SINKS + 1)
        newest = t[None, :] >= t[:, None] + 1 - (n[:, None] - SINKS)
        seen &= (t[None, :] < SINKS) | newest
    heads = []
    for h in range(H):
        g = h // (H // G)
        q = q_all[h]
        if rope:
            f = freqs(n_rope // 2, 0.7 if keys == "shared" else 0.7 + 0.2 * g)
            w, b, _ = rope_w[0 if keys == "shared" else g]
            c = cache[0]
            k = torch.cat([c @ up_k[g][0].T + up_k[g][1], turn(x @ w.T + b, f)], -1)
            v = c @ up_v[g][0].T + up_v[g][1]
            q = torch.cat([q[:, :3], turn(q[:, 3:], f)], -1)
        else:
            k, v = cache[g], cache[G + g]
            if up_k[g] is not None:
                k = k @ up_k[g][0].T + up_k[g][1]
            if keys == "after-read":
                k = turn(rms(k, k_norm) if qk_norm else k, full)
            if not plain:
                q = turn(rms(q, q_norm) if qk_norm else q, full)
        if shares:
            k = given_k[g * T * dk:(g + 1) * T * dk].reshape(T, dk)
            v = given_v[g * T * dv:(g + 1) * T * dv].reshape(T, dv)
        s = (SCALE * q @ k.T).masked_fill(~seen, -torch.inf)
        heads.append(torch.softmax(s, -1) @ v)
    out = torch.cat(heads, -1) @ wo.T + bo
    loss = (out * wave(T * E, 1.1).reshape(T, E)).sum()
    loss.backward()
    print("case", name, f"{loss.item():.10g}")

    def sums(grad):
        grad = grad.flatten()
        weight = torch.cos(0.3 * torch.arange(len(grad)))
        return f"{grad.sum().item():.10g} {(grad * weight).sum().item():.10g}"

    for i, p in enumerate([p for p in a.list if p.requires_grad]):
        print("array", i, sums(torch.zeros_like(p) if p.grad is None else p.grad))
    print("input", sums(x.grad))


case("shared", "shared")
case("shared-all", "shared", biases=True, norms=True, q_rank=5)
case("per-head", "per-head", biases=True)
case("after-read", "after-read", biases=True)
case("after-read-qk-norm", "after-read", qk_norm=True, norms=True)
case("rotated", "rotated", biases=True)
case("rotated-qk-norm", "rotated", qk_norm=True, q_rank=7)
case("plain-window", "plain", biases=True, window=4)
case("budget", "shared", budget=0.6)
case("sharing", "per-head", biases=True, shares=True)
