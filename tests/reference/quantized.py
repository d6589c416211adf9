#!/usr/bin/env python3
"""Writes quantized.txt: a matrix of 8 x 64 in each quantized format, as stored, and
the SHA-256 of what its library makes of it. See tests/families/quantized.py.

    quantized.py > quantized.txt
"""

import hashlib
import json
import os
import sys

# Instead of this folder, whose safetensors.py is not the package.
sys.path[0] = os.path.join(os.path.dirname(__file__), "..", "families")
import torch
from quantized import FORMATS

NAME = "model.layers.0.mlp.up_proj.weight"
DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16",
          torch.int8: "I8", torch.uint8: "U8", torch.int32: "I32", torch.uint32: "U32",
          torch.int64: "I64", torch.float8_e4m3fn: "F8_E4M3",
          torch.float8_e5m2: "F8_E5M2"}


def raw(t):
    return t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def show(name, quantization, parts, plain):
    print("case", name)
    key = "quantization" if name.startswith("mlx") else "quantization_config"
    print("config", json.dumps({key: quantization}))
    for part, t in parts.items():
        print("part", part, DTYPES[t.dtype], ",".join(map(str, t.shape)) or "-",
              raw(t).hex())
    flat = plain.float().contiguous().reshape(-1)
    print("want", hashlib.sha256(raw(flat)).hexdigest(), *(x.hex() for x in
          map(float, flat[:3])))


def mxfp4():
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors
    g = torch.Generator().manual_seed(1)
    blocks = torch.randint(0, 256, (2, 4, 2, 16), generator=g, dtype=torch.uint8)
    scales = torch.randint(120, 132, (2, 4, 2), generator=g, dtype=torch.uint8)
    base = "model.layers.0.mlp.experts.down_proj"
    return {base + "_blocks": blocks, base + "_scales": scales}, \
        convert_moe_packed_tensors(blocks, scales)


def square():
    """Four blocks of 4 x 32: as many scales as rows, and none of a row."""
    g = torch.Generator().manual_seed(2)
    q = torch.randn(4, 128, generator=g).to(torch.float8_e4m3fn)
    s = torch.rand(1, 4, generator=g)
    return {NAME: q, NAME + "_scale_inv": s}, q.float() * s.repeat_interleave(32, 1)


def main():
    for i, (name, (make, quantization)) in enumerate(FORMATS.items()):
        w = torch.randn(8, 64, generator=torch.Generator().manual_seed(i)) / 8
        show(name, quantization, *make(NAME, w, i))
    show("fp8-square", dict(quant_method="fp8", weight_block_size=[4, 32]), *square())
    parts, plain = mxfp4()
    show("mxfp4", dict(quant_method="mxfp4"), parts, plain)


if __name__ == "__main__":
    main()
