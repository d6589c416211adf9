#!/usr/bin/env python3
"""Low-rank methods of one small random layer from their own definitions, in NumPy.

Writes what tests/unit/test_convert_reference.c reads, from the source root:
/usr/bin/python3 tests/reference/lowrank.py > tests/reference/lowrank.txt
Weights, text and attention are convert.py's. Nothing here knows that the methods share an
algebra: SVD-LLM, Palu and CARE whiten W by a Cholesky factor of X^T X, truncate and undo
it (arXiv 2403.07378, 2407.21118), ASVD scales columns (2312.05821), Eigen Attention takes
an SVD of stacked outputs (2408.05646), MatryoshkaKV a PCA of rotated keys (2410.14731),
KQ-SVD the SVD of whole score matrices K Q^T (2512.05916). The calibration text is one
sequence, so that its keys have positions.
"""
import numpy as np

import convert
from convert import BK, BQ, BV, CAL, D, FREQ, G, H, N, REP, WK, WO, WQ, WV, X

wk, wv, bk, bv = (t.numpy() for t in (WK, WV, BK, BV))
cal, x = CAL.numpy(), X.numpy()


def head(a, g):
    return a[:, g * D:(g + 1) * D]


def turned(k):
    return convert.turn(convert.torch.tensor(k), FREQ).numpy()


def show(setting, keys, values):
    """keys[g], values[g]: (T, D), keys rotated already."""
    q = X @ WQ.T + BQ
    queries = [convert.turn(q[:, h * D:(h + 1) * D], FREQ) for h in range(H)]
    as_heads = [[convert.torch.tensor(a[h // REP]) for h in range(H)]
                for a in (keys, values)]
    convert.show(setting, convert.attend(queries, *as_heads, D ** -0.5))


def show_outputs(setting, k, v):
    """k, v: (T, G D), keys not rotated."""
    show(setting, [turned(head(k, g)) for g in range(G)], [head(v, g) for g in range(G)])


def truncate(w, r):
    u, s, vh = np.linalg.svd(w, full_matrices=False)
    return (u[:, :r] * s[:r]) @ vh[:r]


def scaled(w, s, r):
    """Truncate w S and undo S."""
    return np.linalg.solve(s.T, truncate(w @ s, r).T).T


def weights(setting, change, rank_k, rank_v, rows=G * D):
    """change(W, r) on groups of rows, the rank spread evenly."""
    n = G * D // rows
    both = []
    for w, r in ((wk, rank_k), (wv, rank_v)):
        parts = [change(w[i * rows:(i + 1) * rows], r // n) for i in range(n)]
        both.append(np.concatenate(parts))
    show_outputs(setting, x @ both[0].T + bk, x @ both[1].T + bv)


def eigen(setting, rank_k, rank_v, energy=None):
    k, v = cal @ wk.T + bk, cal @ wv.T + bv
    stacked = np.concatenate([head(k, g) for g in range(G)])
    _, s, vk = np.linalg.svd(stacked, full_matrices=False)
    svds = [np.linalg.svd(head(v, g), full_matrices=False) for g in range(G)]
    if energy:
        count = lambda s: int((np.cumsum(s) / s.sum() < energy).sum())
        rank_k, rank_v = count(s), max(count(t[1]) for t in svds)
    k, v = x @ wk.T + bk, x @ wv.T + bv
    keys, values = [], []
    for g in range(G):
        keys.append(turned(head(k, g) @ vk[:rank_k].T @ vk[:rank_k]))
        basis = svds[g][2][:rank_v]
        values.append(head(v, g) @ basis.T @ basis)
    show(setting, keys, values)


def matryoshka(setting, rank_k, rank_v):
    keys, values = [], []
    for g in range(G):
        for out, w, b, rank, turn in ((keys, wk, bk, rank_k, turned),
                                      (values, wv, bv, rank_v, lambda a: a)):
            seen, new = (turn(head(a @ w.T + b, g)) for a in (cal, x))
            mean = seen.mean(0)
            _, vectors = np.linalg.eigh(np.cov(seen.T))
            u = vectors[:, ::-1][:, :rank]
            out.append(mean + (new - mean) @ u @ u.T)
    show(setting, keys, values)


def kqsvd(setting, rank_k, rank_v):
    """K Q^T of all pairs of calibration keys and the group's queries; V W_O^T alike."""
    q_all = (CAL @ WQ.T + BQ).numpy()
    keys, values = [], []
    for g in range(G):
        group = range(g * REP, (g + 1) * REP)
        queries = np.concatenate([turned(head(q_all, h)) for h in group])
        out = np.concatenate([WO.numpy()[:, h * D:(h + 1) * D] for h in group])
        for to, w, b, rank, turn, other in ((keys, wk, bk, rank_k, turned, queries),
                                            (values, wv, bv, rank_v, lambda a: a, out)):
            seen, new = (turn(head(a @ w.T + b, g)) for a in (cal, x))
            best = truncate(seen @ other.T, rank)
            # The best scores are those of keys seen M: M from least squares.
            m = np.linalg.pinv(seen) @ best @ np.linalg.pinv(other.T)
            to.append(new @ m)
    show(setting, keys, values)


gram = cal.T @ cal / N
chol = np.linalg.cholesky(gram)
weights("lorc rank=9", truncate, 9, 9)
weights("lillama skip=0 rank=10", truncate, 10, 10)
asvd = np.diag(np.abs(cal).mean(0) ** 0.5 + 1e-6)
weights("asvd rank_k=9 rank_v=11", lambda w, r: scaled(w, asvd, r), 9, 11)
whiten = lambda w, r: scaled(w, chol, r)
weights("svdllm rank_k=9 rank_v=11", whiten, 9, 11)
weights("lillama init=features skip=0 rank=7", whiten, 7, 7)
weights("palu group=J rank=10", whiten, 10, 10)
weights("palu group=M rank_k=10 rank_v=6", whiten, 10, 6, rows=D)
shrunk = np.linalg.cholesky(gram + 0.05 * gram.diagonal().mean() * np.eye(len(gram)))
weights("care rank=9 shrink=5", lambda w, r: scaled(w, shrunk, r), 9, 9)
eigen("eigen rank_k=5 rank_v=3", 5, 3)
eigen("eigen energy=0.7", None, None, 0.7)
matryoshka("matryoshka rank_k=5 rank_v=4", 5, 4)
kqsvd("kqsvd rank_k=5 rank_v=4", 5, 4)
