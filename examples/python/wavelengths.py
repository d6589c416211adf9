#!/usr/bin/env python3
"""Which wavelengths carry the keys of each layer? From a capture, with h5py.

Usage: wavelengths.py run.h5
"""
import sys

import h5py
import numpy as np

with h5py.File(sys.argv[1]) as f:
    norms = f["norms/k"]  # (layer, sequence, kv_head, chunk)
    print("dims:", ", ".join(d.label for d in norms.dims))
    wavelength = norms.dims[3]["wavelength"][:]  # tokens for one turn
    share = norms[:].mean(axis=(1, 2))
    share /= share.sum(axis=1, keepdims=True)
    for layer, row in enumerate(share):
        order = np.argsort(wavelength)
        median = wavelength[order][np.searchsorted(np.cumsum(row[order]), 0.5)]
        print(f"layer {layer}: half of the key norm turns slower than {median:.0f} tokens")

    # A symmetric moment is kept as its upper triangle, row after row.
    second = f["moments/k/second"]  # (layer, kv_head, dim_pair)
    dim = f["axes/dim"].shape[0]
    i, j = np.triu_indices(dim)
    kk = np.empty((dim, dim))
    kk[i, j] = kk[j, i] = second[0, 0]
    energy = np.linalg.eigvalsh(kk)[::-1]
    rank = 1 + np.searchsorted(np.cumsum(energy) / energy.sum(), 0.95)
    print(f"layer 0, KV head 0: {rank} of {dim} directions hold 95 % of the keys' energy")
