#!/usr/bin/env python3
"""Gradients through norms, MLP and logits by PyTorch's autograd, in float64.

Writes what tests/unit/test_distil_gradient.c reads, from the source root:
python3 tests/reference/distil.py > tests/reference/distil.txt
Needs torch. Cases and numbers are those of the test, by the same formulas.

A line: NAME, then the gradient's sum and its sum weighted by cos(0.3 i) by the block's
input, by its attention's output, by the input of its first norm, by the student's states,
and the divergence itself.
"""
import torch
import torch.nn.functional as fn

torch.set_default_dtype(torch.float64)
T, E, F, V, EPS = 5, 6, 9, 13, 1e-3


def wave(n, step):
    i = torch.arange(n, dtype=torch.float64)
    return torch.sin(step * (i + 1) + 0.013 * i * i)


def weight(i, *shape, norm=False):
    n = torch.Size(shape).numel()
    w = torch.sin(1.3 * torch.arange(1, n + 1) * (i + 2.0)).reshape(shape)
    return 1 + 0.3 * w if norm else 0.5 * w


ACTS = {"silu": fn.silu, "gelu": fn.gelu, "tanh": lambda z: fn.gelu(z, approximate="tanh"),
        "relu": fn.relu, "relu2": lambda z: fn.relu(z) ** 2}


def case(name, act, layer=False, place="before", parallel=False, one_norm=False, free=False,
         plain=False, biases=False):
    before, behind = place != "after" and not free, place != "before"
    layer_bias = layer and not free

    def norm(x, gain, bias=None):
        if gain is None and not free:
            return x
        if layer:
            return fn.layer_norm(x, (E,), gain, bias, EPS)
        return fn.rms_norm(x, (E,), gain, EPS)

    up, down = weight(0, F, E), weight(1, E, F)
    gate = None if plain else weight(2, F, E)
    up_bias = weight(3, F) if biases else None
    down_bias = weight(4, E) if biases else None
    n1 = weight(5, E, norm=True) if before else None
    n1_bias = weight(6, E) if layer_bias else None
    n2 = weight(7, E, norm=True) if before and not one_norm else None
    n2_bias = weight(8, E) if layer_bias and not one_norm else None
    n3 = weight(9, E, norm=True) if behind else None
    n4 = weight(10, E, norm=True) if behind else None
    h = wave(T * E, 0.7).reshape(T, E).requires_grad_()
    a = wave(T * E, 0.4).reshape(T, E).requires_grad_()
    d = wave(T * E, 1.1).reshape(T, E)

    def mlp(x):
        u = fn.linear(x, up, up_bias)
        return fn.linear(ACTS[act](u if plain else fn.linear(x, gate)) * (1 if plain else u),
                         down, down_bias)

    m = h + (norm(a, n3) if behind else a)
    if parallel:
        x = norm(h, n1, n1_bias) if one_norm else norm(h, n2, n2_bias)
    else:
        x = norm(m, n2, n2_bias)
    y = mlp(x)
    loss = ((m + (norm(y, n4) if behind else y)) * d).sum()
    grads = list(torch.autograd.grad(loss, (h, a)))
    grads += torch.autograd.grad((norm(h, n1, n1_bias) * d).sum(), h)
    w = (0.8 * torch.sin(0.9 * torch.arange(1, V * E + 1))).reshape(V, E)
    gain = None if free else weight(12, E, norm=True)
    bias = weight(13, V) if biases else None

    def logits(x):
        z = fn.linear(norm(x, gain), w, bias)
        return 1.5 * torch.tanh(0.7 * z / 1.5) if place == "around" else z

    p, q = torch.log_softmax(logits(a.detach()), -1), torch.log_softmax(logits(h), -1)
    kl = 0.25 * (p.exp() * (p - q)).sum()
    grads += torch.autograd.grad(kl, h)
    out = []
    for g in grads:
        g = g.flatten()
        out += [g.sum().item(), (g * torch.cos(0.3 * torch.arange(T * E))).sum().item()]
    print(name, *(f"{x:.10g}" for x in out), f"{kl.item():.10g}")


case("llama", "silu")
case("gemma", "tanh", place="around")
case("olmo2", "silu", place="after")
case("olmo", "silu", layer=True, free=True)
case("neox", "gelu", layer=True, parallel=True, plain=True, biases=True)
case("cohere", "silu", layer=True, parallel=True, one_norm=True)
case("relu", "relu", plain=True)
case("nemotron", "relu2", layer=True, plain=True, biases=True)
