#!/usr/bin/env python3
"""Quantized folders of one tiny model, each beside the same weights dequantized.

    quantized.py MLASCOPE MODEL OUT EVALUATION.txt [FORMAT...]

MODEL is a folder that transformers wrote (Llama's layout, one file). For each format
OUT/FORMAT is written in it and OUT/FORMAT-plain holds what the library that defines the
format makes of it: compressed-tensors, bitsandbytes and mlx themselves; AutoGPTQ's,
AutoAWQ's and DeepSeek's formulas are written down here. `mlascope evaluate` must give
both folders the same perplexity, digit for digit. Formats whose library is missing are
named and skipped; exit status 1 when a pair differs.
"""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import torch
from safetensors.torch import load_file, save_file

MATRIX = ("q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight",
          "gate_proj.weight", "up_proj.weight", "down_proj.weight")


def fp8_block(name, w, gen):
    b = 32
    rows, cols = -(-w.shape[0] // b), -(-w.shape[1] // b)
    s = torch.zeros(rows, cols)
    q = torch.zeros_like(w).to(torch.float8_e4m3fn)
    d = torch.zeros_like(w)
    for i in range(rows):
        for j in range(cols):
            at = slice(i * b, (i + 1) * b), slice(j * b, (j + 1) * b)
            s[i, j] = w[at].abs().max() / 448
            q[at] = (w[at] / s[i, j]).to(torch.float8_e4m3fn)
            d[at] = q[at].float() * s[i, j]
    return {name: q, name + "_scale_inv": s}, d


def fp8_channel(name, w, gen):
    s = (w.abs().amax(1, keepdim=True) / 448).bfloat16()
    q = (w / s.float()).to(torch.float8_e4m3fn)
    return {name: q, name + "_scale": s}, (q.to(s.dtype) * s).float()


def fp8_tensor(name, w, gen):
    s = (w.abs().max() / 57344).reshape(1)
    q = (w / s).to(torch.float8_e5m2)
    return {name: q, name + "_scale": s, name.replace(".weight", ".input_scale"):
            torch.ones(1)}, q.float() * s


def words_of(codes, bits):
    """(n, pack, m) codes to (n, m) words, low bits first."""
    pack = 32 // bits
    x = np.zeros((codes.shape[0], codes.shape[2]), np.uint32)
    for i in range(pack):
        x |= codes[:, i, :].astype(np.uint32) << (bits * i)
    return torch.from_numpy(x.view(np.int32))


def gptq(bits, act_order, v2=False):
    def make(name, w, gen):
        rows, cols, group = *w.shape, 32
        rng = np.random.default_rng(gen)
        pack, top = 32 // bits, 2**bits - 1
        groups = cols // group
        g = np.arange(cols) // group
        if act_order:
            g = rng.permutation(g)
        q = rng.integers(0, top + 1, (cols, rows))
        z = rng.integers(0, top + 1, (groups, rows))
        s = torch.from_numpy(rng.uniform(0.5, 1.5, (groups, rows)) /
                             (top * cols**0.5)).half()
        zero = z if v2 else (z + 1) & top
        d = s[g] * torch.from_numpy(q - zero[g])  # half, as AutoGPTQ computes it
        base = name.removesuffix(".weight")
        return {base + ".qweight": words_of(q.reshape(cols // pack, pack, rows), bits),
                base + ".qzeros": words_of(z.reshape(groups, rows // pack, pack)
                    .transpose(1, 2, 0), bits).T.contiguous(),
                base + ".scales": s,
                base + ".g_idx": torch.from_numpy(g.astype(np.int32))}, d.T.float()
    return make


def awq(name, w, gen):
    rows, cols, group = *w.shape, 32
    rng = np.random.default_rng(gen)
    groups, order = cols // group, [0, 2, 4, 6, 1, 3, 5, 7]
    q = rng.integers(0, 16, (cols, rows))
    z = rng.integers(0, 16, (groups, rows))
    s = torch.from_numpy(rng.uniform(0.5, 1.5, (groups, rows)) / (15 * cols**0.5)).half()
    pack = lambda x: words_of(
        x.reshape(x.shape[0], rows // 8, 8)[:, :, order].transpose(0, 2, 1), 4)
    g = np.arange(cols) // group
    base = name.removesuffix(".weight")
    return {base + ".qweight": pack(q), base + ".qzeros": pack(z),
            base + ".scales": s}, (s[g] * torch.from_numpy(q - z[g])).T.float()


def compressed(bits, symmetric, group, fmt="pack-quantized"):
    def make(name, w, gen):
        from compressed_tensors.compressors.pack_quantized.base import pack_to_int32
        from compressed_tensors.quantization import QuantizationArgs
        from compressed_tensors.quantization.lifecycle.forward import (
            dequantize, quantize)
        rows, cols = w.shape
        groups = cols // group if group else 1
        args = QuantizationArgs(num_bits=bits, symmetric=symmetric, type="int",
            strategy="group" if group else "channel", group_size=group or None)
        x = w.reshape(rows, groups, -1)
        top = 2 ** (bits - 1)
        if symmetric:
            s, z = x.abs().amax(2) / (top - 0.5), None
        else:
            s = (x.amax(2) - x.amin(2)) / (2 * top - 1)
            z = (-top - x.amin(2) / s).round().clamp(-top, top - 1).to(torch.int8)
        s = s.bfloat16()
        q = quantize(w.bfloat16(), s, z, args, dtype=torch.int8)
        d = dequantize(q, s, z, args)
        base = name.removesuffix(".weight")
        out = {base + ".weight_scale": s}
        if fmt == "int-quantized":
            out[name] = q
            if z is not None:
                out[base + ".weight_zero_point"] = z
        else:
            out[base + ".weight_packed"] = pack_to_int32(q, bits)
            out[base + ".weight_shape"] = torch.tensor(w.shape)
            if z is not None:
                out[base + ".weight_zero_point"] = pack_to_int32(z, bits, packed_dim=0)
        return {k: v.contiguous() for k, v in out.items()}, d.float()
    return make


def nf4(kind, nested):
    def make(name, w, gen):
        import bitsandbytes.functional as F
        q, state = F.quantize_4bit(w.bfloat16(), blocksize=64, quant_type=kind,
                                   compress_statistics=nested)
        d = F.dequantize_4bit(q, state)
        packed = state.as_dict(packed=True)
        return {name: q, **{f"{name}.{k}": v for k, v in packed.items()}}, d.float()
    return make


def bnb_int8(name, w, gen):
    import bitsandbytes.functional as F
    q, s, _ = F.int8_vectorwise_quant(w.half())
    d = F.int8_vectorwise_dequant(q, s).half()
    base = name.removesuffix(".weight")
    return {name: q, base + ".SCB": s,
            base + ".weight_format": torch.tensor(0, dtype=torch.uint8)}, d.float()


def mlx(bits, dtype):
    def make(name, w, gen):
        import mlx.core as mx
        x = mx.array(w.numpy()).astype(getattr(mx, dtype))
        q, s, b = mx.quantize(x, group_size=32, bits=bits)
        d = mx.dequantize(q, s, b, group_size=32, bits=bits)
        torch_of = lambda a: torch.from_numpy(np.array(a.astype(mx.float32))).to(
            getattr(torch, dtype))
        base = name.removesuffix(".weight")
        return {name: torch.from_numpy(np.array(q)), base + ".scales": torch_of(s),
                base + ".biases": torch_of(b)}, torch.from_numpy(
                    np.array(d.astype(mx.float32)))
    return make


CT = dict(quant_method="compressed-tensors")
FORMATS = {
    "fp8-block": (fp8_block, dict(quant_method="fp8", weight_block_size=[32, 32])),
    "fp8-channel": (fp8_channel, dict(CT, format="float-quantized")),
    "fp8-tensor": (fp8_tensor, dict(quant_method="fp8")),
    "gptq4": (gptq(4, False), dict(quant_method="gptq", bits=4, group_size=32)),
    "gptq4-act": (gptq(4, True), dict(quant_method="gptq", bits=4, group_size=32,
        desc_act=True, checkpoint_format="gptq")),
    "gptq8-v2": (gptq(8, True, True), dict(quant_method="gptq", bits=8, group_size=32,
        checkpoint_format="gptq_v2")),
    "awq": (awq, dict(quant_method="awq", bits=4, group_size=32, version="gemm",
        zero_point=True)),
    "ct-int4": (compressed(4, True, 32), dict(CT, format="pack-quantized")),
    "ct-int4-zero": (compressed(4, False, 32), dict(CT, format="pack-quantized")),
    "ct-int8-packed": (compressed(8, True, 0), dict(CT, format="pack-quantized")),
    "ct-int8": (compressed(8, False, 0, "int-quantized"),
                dict(CT, format="int-quantized")),
    "nf4": (nf4("nf4", False), dict(quant_method="bitsandbytes", load_in_4bit=True)),
    "nf4-nested": (nf4("nf4", True), dict(quant_method="bitsandbytes",
        load_in_4bit=True)),
    "fp4": (nf4("fp4", True), dict(quant_method="bitsandbytes", load_in_4bit=True)),
    "bnb-int8": (bnb_int8, dict(quant_method="bitsandbytes", load_in_8bit=True)),
    "mlx4": (mlx(4, "bfloat16"), dict(group_size=32, bits=4)),
    "mlx8": (mlx(8, "float16"), dict(group_size=32, bits=8)),
    "mlx3": (mlx(3, "float32"), dict(group_size=32, bits=3)),
}


def write(folder, model, tensors, config):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    shutil.copy(os.path.join(model, "tokenizer.json"), folder)
    save_file(tensors, os.path.join(folder, "model.safetensors"))
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f)


def perplexity(mlascope, folder, text):
    ran = subprocess.run([mlascope, "evaluate", folder, "-s", "baseline", "-N", "1",
                          "-T", "128", "-f", text, "--format", "csv"],
                         capture_output=True, text=True)
    rows = csv.DictReader(l for l in ran.stdout.splitlines() if not l.startswith("#"))
    return next((r["perplexity"] for r in rows), ran.stderr.strip())


def main():
    mlascope, model, out, text = sys.argv[1:5]
    weights = load_file(os.path.join(model, "model.safetensors"))
    config = json.load(open(os.path.join(model, "config.json")))
    wrong = 0
    for name in sys.argv[5:] or FORMATS:
        make, quantization = FORMATS[name]
        stored, plain = {}, {}
        try:
            for i, (key, w) in enumerate(weights.items()):
                stored[key] = plain[key] = w.float()
                if key.endswith(MATRIX):
                    del stored[key]
                    parts, plain[key] = make(key, w.float(), i)
                    stored.update(parts)
        except ImportError as e:
            print(f"{name}: SKIPPED: {e}")
            continue
        plain = {k: v.contiguous() for k, v in plain.items()}
        write(f"{out}/{name}", model, stored, config | {
            "quantization" if name.startswith("mlx") else "quantization_config":
            quantization})
        write(f"{out}/{name}-plain", model, plain, config)
        got = perplexity(mlascope, f"{out}/{name}", text)
        want = perplexity(mlascope, f"{out}/{name}-plain", text)
        wrong += got != want
        print(f"{name}: {'same' if got == want else 'WRONG'}: {got} {want}", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
