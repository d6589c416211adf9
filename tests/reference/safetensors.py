#!/usr/bin/python3
"""Verdicts of the safetensors rules on mutated headers, for tests/unit/test_safetensors.c.

The rules are those of the format's README and of its Rust parser (validate-before-use: JSON,
dtype, shape, offsets contiguous from 0, file length), written over Python's json module.
Each output line: verdict, hex of the header; the data have 26 bytes. Verdicts:
  no        the official parser refuses it
  yes       it is accepted
  stricter  the official parser accepts it, but not we: a name given twice, a key of a
            tensor that the format does not have, a NUL in a name, more than 8 dims
Usage: safetensors.py > safetensors.txt
"""
import json
import random
import sys

BITS = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8,
        "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16,
        "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64,
        "F64": 64, "I64": 64, "U64": 64}
DATA = 26


class Refused(Exception):
    pass


class Number(int):
    pass


def whole(text):
    if text.startswith("-"):
        raise Refused
    return Number(text)


def refuse(text):
    raise Refused


def size(x):
    """A usize: a JSON integer of 0 .. 2^64 - 1."""
    if not isinstance(x, Number) or x >= 2 ** 64:
        raise Refused
    return x


def text_ok(s):
    s.encode("utf-8")  # a lone surrogate fails


def judge(header):
    stricter = False
    try:
        top = json.loads(header.decode("utf-8"), object_pairs_hook=lambda i: [("{",)] + list(i),
                         parse_int=whole, parse_float=lambda t: float(t), parse_constant=refuse)
    except (UnicodeDecodeError, ValueError, Refused, RecursionError):
        return "no"

    def members(x):
        if not isinstance(x, list) or not x or x[0] != ("{",):
            raise Refused
        return x[1:]

    try:
        names, tensors = [], []
        metadata_seen = False
        for name, value in members(top):
            text_ok(name)
            if name == "__metadata__":
                if metadata_seen:
                    raise Refused  # serde: duplicate field
                metadata_seen = True
                if value is None:
                    continue
                keys = []
                for k, v in members(value):
                    text_ok(k)
                    if not isinstance(v, str):
                        raise Refused
                    text_ok(v)
                    stricter |= "\0" in k or "\0" in v
                    keys.append(k)
                stricter |= len(set(keys)) != len(keys)
                continue
            stricter |= name in names or "\0" in name
            fields = {}
            for k, v in members(value):
                text_ok(k)
                if k in ("dtype", "shape", "data_offsets"):
                    if k in fields:
                        raise Refused  # serde: duplicate field
                else:
                    stricter = True
                fields[k] = v
            dtype, shape, offsets = (fields.get(k) for k in ("dtype", "shape", "data_offsets"))
            if not isinstance(dtype, str) or dtype not in BITS:
                raise Refused
            if not isinstance(shape, list) or shape[:1] == [("{",)]:
                raise Refused
            if not isinstance(offsets, list) or len(offsets) != 2 or offsets[0] == ("{",):
                raise Refused
            shape = [size(d) for d in shape]
            stricter |= len(shape) > 8
            names.append(name)
            tensors.append((size(offsets[0]), size(offsets[1]), dtype, shape))
        if stricter:
            return "stricter"
        at = 0
        for begin, end, dtype, shape in sorted(tensors, key=lambda t: t[:2]):
            if begin != at or end < begin:
                raise Refused
            n = 1
            for d in shape:
                n *= d
                if n >= 2 ** 64:
                    raise Refused
            n *= BITS[dtype]
            if n >= 2 ** 64 or n % 8 or n // 8 != end - begin:
                raise Refused
            at = end
        if at != DATA:
            raise Refused
    except (Refused, UnicodeEncodeError, ValueError, TypeError):
        return "no"
    return "yes"


SEEDS = [
    b'{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},'
    b'"b":{"dtype":"BF16","shape":[5],"data_offsets":[16,26]}}',
    b' {"c":{"shape":[],"dtype":"U8","data_offsets":[25,26]},"e":{"dtype":"F64","shape":[0],'
    b'"data_offsets":[0,0]},"\\u00e9":{"dtype":"I8","shape":[5,5],"data_offsets":[0,25]}}  ',
]
PIECES = [b'"', b"{", b"}", b"[", b"]", b",", b":", b"0", b"1", b"-1", b"1.0", b"2e0", b"null",
          b"true", b'"a"', b"\\u0041", b"\\ud83d\\ude00", b"\\ud800", b"\\u0000", b"\xc3\xa9",
          b"\xff", b"\t", b"\n", b"\x01", b"F6_E2M3", b"F64", b"18446744073709551616", b"NaN",
          b',"x":1', b'"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},', b" "]


def main():
    rng = random.Random(7)
    seen, lines = set(), []
    count = {"no": 0, "yes": 0, "stricter": 0}
    while len(lines) < 500:
        h = bytearray(rng.choice(SEEDS))
        for _ in range(rng.randint(0, 3)):
            at = rng.randrange(len(h))
            kind = rng.randrange(4)
            piece = rng.choice(PIECES)
            if kind == 0:
                h[at:at] = piece
            elif kind == 1:
                h[at:at + len(piece)] = piece
            elif kind == 2:
                del h[at]
            else:
                h[at] ^= 1 << rng.randrange(7)
        h = bytes(h)
        if h in seen:
            continue
        seen.add(h)
        verdict = judge(h)
        if verdict == "no" and count["no"] >= 300:
            continue
        count[verdict] += 1
        lines.append(verdict + " " + h.hex())
    print("\n".join(lines))
    print(count, file=sys.stderr)


main()
