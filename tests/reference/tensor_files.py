"""Safetensors files, with NumPy alone."""
import json
import struct

import numpy as np


def read_safetensors(path):
    """Tensors of one file as float32 arrays, and its metadata."""
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(n))
        data = f.read()
    tensors = {}
    for name, t in header.items():
        if name == "__metadata__":
            continue
        raw = data[t["data_offsets"][0]:t["data_offsets"][1]]
        if t["dtype"] == "BF16":
            x = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        else:
            x = np.frombuffer(raw, {"F32": "<f4", "F16": "<f2", "F64": "<f8"}[t["dtype"]])
        tensors[name] = x.astype(np.float32).reshape(t["shape"])
    return tensors, header.get("__metadata__", {})
