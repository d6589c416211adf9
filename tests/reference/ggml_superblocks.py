#!/usr/bin/python3
"""ggml's types, and its own numbers for super-blocks of random bytes.

Usage: ggml_superblocks.py libggml-base.so > ggml_superblocks.txt

The committed file is from llama.cpp's library in the npm package
@node-llama-cpp/linux-x64 3.22.1. Lines: "type ID NAME NUMBERS BYTES" (NAME - for types
that were removed) and "block NAME bytes-as-hex float32s-as-hex". Any bytes are a block,
so random ones reach every code and every scale; only the halves are made ordinary.
"""
import ctypes
import sys

import numpy as np

# Byte offsets of the halves (of the float for q8_K) in a block.
HALVES = {"q4_0": [0], "q4_1": [0, 2], "q5_0": [0], "q5_1": [0, 2], "q8_0": [0],
          "iq4_nl": [0], "q2_K": [80, 82], "q3_K": [108], "q4_K": [0, 2],
          "q5_K": [0, 2], "q6_K": [208], "q8_K": [], "iq4_xs": [0]}
BLOCKS, TYPES = 3, 43


def main():
    library = ctypes.CDLL(sys.argv[1])
    library.ggml_type_name.restype = ctypes.c_char_p
    library.ggml_type_size.restype = ctypes.c_size_t
    library.ggml_blck_size.restype = ctypes.c_int64
    rng = np.random.default_rng(7)
    sizes = {}
    for i in range(TYPES):
        size, numbers = library.ggml_type_size(i), library.ggml_blck_size(i)
        name = library.ggml_type_name(i).decode() if size else "-"
        sizes[name] = (numbers, size)
        print("type", i, name, numbers, size)
    for name, halves in HALVES.items():
        numbers, size = sizes[name]
        decode = getattr(library, f"dequantize_row_{name}")
        decode.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        for _ in range(BLOCKS):
            block = rng.integers(0, 256, size, np.uint8)
            for at in halves:
                block[at:at + 2] = np.array([rng.normal()], "<f2").view(np.uint8)
            if name == "q8_K":
                block[:4] = np.array([rng.normal()], "<f4").view(np.uint8)
            x = np.zeros(numbers, np.float32)
            decode(block.ctypes.data, x.ctypes.data, numbers)
            print("block", name, block.tobytes().hex(), x.astype(">f4").tobytes().hex())


if __name__ == "__main__":
    main()
