#!/usr/bin/python3
"""Numbers of ggml's IQ1, IQ2, IQ3, TQ1 and TQ2 blocks by the PyPI package gguf.

Usage: ggml_codebooks.py > ggml_codebooks.txt

The committed file is from gguf 0.19.0. Lines as in ggml_superblocks.txt. Any bytes are
a block, so random ones reach every scale and sign; only the halves are made ordinary.
"""
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

# Byte offset of the half d; None: spread over the upper nibbles of four words.
HALF = {"IQ2_XXS": 0, "IQ2_XS": 0, "IQ2_S": 0, "IQ3_XXS": 0, "IQ3_S": 0, "IQ1_S": 0,
        "IQ1_M": None, "TQ1_0": 52, "TQ2_0": 64}
BLOCKS = 4


def main():
    rng = np.random.default_rng(7)
    for name, at in HALF.items():
        kind = GGMLQuantizationType[name]
        _, size = GGML_QUANT_SIZES[kind]
        for _ in range(BLOCKS):
            block = rng.integers(0, 256, size, np.uint8)
            d = np.array([rng.normal()], "<f2").view(np.uint8)
            if at is not None:
                block[at:at + 2] = d
            else:
                for k in range(4):
                    nibble = int(d[k // 2]) >> 4 * (k % 2) & 15
                    block[49 + 2 * k] = int(block[49 + 2 * k]) & 15 | nibble << 4
            x = dequantize(block.reshape(1, -1), kind).astype(">f4")
            print("block", name, block.tobytes().hex(), x.tobytes().hex())


if __name__ == "__main__":
    main()
