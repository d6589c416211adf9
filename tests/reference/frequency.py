"""Scores of RoPE chunks from their definitions, with PyTorch: writes frequency.txt.

    python3 frequency.py > frequency.txt

Score matrices are made whole, once per set of rotated chunks; nothing here knows the
residual form, the Gram matrix or prefix sums. Queries, keys and values are those of
tests/support/window_fixture.h.
"""
import math

import torch

T, H, G, D, THETA, WINDOWS = 24, 4, 2, 16, 30.0, 2
C = D // 2
torch.set_num_threads(1)


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


def tensor(part, heads, window):
    return torch.tensor([[[value(part, t + window * T, h, d) for d in range(D)]
                          for h in range(heads)] for t in range(T)], dtype=torch.float64)


frequency = torch.tensor([THETA ** (-2 * c / D) for c in range(C)], dtype=torch.float64)
angle = torch.arange(T, dtype=torch.float64)[:, None] * frequency
cos, sin = torch.cos(angle)[:, None], torch.sin(angle)[:, None]
causal = torch.ones(T, T, dtype=torch.bool).tril()


def rotate(x, chunks):
    """x (T, heads, D), half-split; only these chunks turn."""
    a, b = x[..., :C], x[..., C:]
    on = torch.zeros(C, dtype=torch.bool)
    on[list(chunks)] = True
    return torch.cat([torch.where(on, a * cos - b * sin, a),
                      torch.where(on, b * cos + a * sin, b)], -1)


def scores(q, k, h, chunks):
    return (rotate(q, chunks)[:, h] @ rotate(k, chunks)[:, h * G // H].T) / math.sqrt(D)


def probabilities(s):
    return torch.softmax(s.masked_fill(~causal, -math.inf), -1)


def kl(p, p_changed):
    ratio = torch.where(causal, torch.log(p / p_changed), torch.zeros_like(p))
    return (p * ratio).sum(-1).mean().item()


windows = [(tensor(0, H, w), tensor(1, G, w)) for w in range(WINDOWS)]
full = range(C)
pairs = T * (T + 1) / 2


def mean_over(loss, heads):
    """Mean of loss(q, k, h) over windows and query heads."""
    return sum(loss(q, k, h) for q, k in windows for h in heads) / (len(windows) * len(heads))


def l1(kept):
    return lambda q, k, h: ((scores(q, k, h, kept) - scores(q, k, h, full)).abs()
                            * causal).sum().item() / pairs


def l2(kept):
    return lambda q, k, h: ((scores(q, k, h, kept) - scores(q, k, h, full)) ** 2
                            * causal).sum().item() / pairs


def kl_of(kept):
    return lambda q, k, h: kl(probabilities(scores(q, k, h, full)),
                              probabilities(scores(q, k, h, kept)))


def greedy(loss, heads):
    kept, losses = [], [mean_over(loss([]), heads)]
    while len(kept) < C:
        tried = {c: mean_over(loss(kept + [c]), heads) for c in full if c not in kept}
        best = min(tried, key=tried.get)
        kept.append(best)
        losses.append(tried[best])
    return kept, losses


def show(rule, what, g, numbers):
    print(rule, what, g, *(f"{x:.15g}" for x in numbers))


def part(q, k, h, c):
    """What chunk c adds to the score matrix, rotated."""
    on = [c, c + C]
    return (rotate(q, full)[:, h][:, on] @ rotate(k, full)[:, h * G // H][:, on].T) / math.sqrt(D)


for g in range(G):
    heads = [h for h in range(H) if h * G // H == g]
    norm = lambda x, h: torch.stack([torch.linalg.vector_norm(
        torch.stack([x[:, h, :C], x[:, h, C:]]), dim=0).mean(0)])[0]
    q_norm = {h: sum(norm(q, h) for q, k in windows) / WINDOWS for h in heads}
    k_norm = sum(norm(k, g) for q, k in windows) / WINDOWS
    show("2-norm", "score", g, sum(q_norm[h] * k_norm for h in heads).tolist())
    show("2-norm-sum", "score", g, sum(q_norm[h] + k_norm for h in heads).tolist())
    show("contribution", "score", g,
         [mean_over(lambda q, k, h: (part(q, k, h, c) * causal).sum().item() / pairs, heads)
          for c in full])
    show("ablation", "score", g,
         [mean_over(lambda q, k, h: (part(q, k, h, c).abs() * causal).sum().item() / pairs,
                    heads) for c in full])
    show("kl", "score", g,
         [mean_over(kl_of([x for x in full if x != c]), heads) for c in full])
    for rule, loss in (("ropelite-l1", l1), ("ropelite-l2", l2), ("kl-greedy", kl_of)):
        order, losses = greedy(loss, heads)
        show(rule, "order", g, order)
        show(rule, "loss", g, losses)
