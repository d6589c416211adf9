#!/usr/bin/python3
"""What llama.cpp computes from the GGUF files of gguf_writer.py.

Usage: gguf_llama.py FOLDER-OF-LIBRARIES > gguf_llama.txt

The committed file is from libllama of the npm package @node-llama-cpp/linux-x64 3.22.1
(llama.cpp v0.5.0), on the CPU with an f32 cache and no flash attention. The models are
those of forward.py that llama.cpp has, and datasets/demo. Lines:

  model NAME SEED SHA256   of the GGUF file, f32, as gguf_writer.py makes it
  key NAME KIND VALUE      its metadata, in order
  tensor NAME HF-NAME HEADS ROWS COLS SCALE OFFSET
                           COLS 0: a vector; HEADS > 0: rows are interleaved per head;
                           numbers are those of forward.py's weights(), by HF-NAME
  factors VALUE ...        of rope_freqs.weight, which comes first
  ids T id ...
  nll VALUE                mean over positions 0 .. T-2
  logits POSITION value ...

datasets/demo has only its nll. The largest difference from forward.py's own logits goes
to standard error.
"""
import ctypes
import glob
import hashlib
import json
import os
import sys
import tempfile

import numpy as np

import forward
import gguf_writer

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL_PARAMS, CONTEXT_PARAMS = 128, 256  # bytes, at least those of llama.h
# Our uint32 and enum fields of llama_context_params, by offset.
N_CTX, N_BATCH, N_UBATCH, N_THREADS, N_THREADS_BATCH, FLASH, TYPE_K, TYPE_V = (
    0, 4, 8, 28, 32, 52, 104, 108)


class ModelParams(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint8 * MODEL_PARAMS)]


class ContextParams(ctypes.Structure):
    _fields_ = [("words", ctypes.c_uint32 * (CONTEXT_PARAMS // 4))]


class Batch(ctypes.Structure):
    _fields_ = [("n_tokens", ctypes.c_int32), ("token", ctypes.POINTER(ctypes.c_int32)),
                ("embd", ctypes.c_void_p), ("pos", ctypes.POINTER(ctypes.c_int32)),
                ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
                ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
                ("logits", ctypes.POINTER(ctypes.c_int8))]


class Llama:
    def __init__(self, folder):
        def load(pattern):
            return ctypes.CDLL(glob.glob(os.path.join(folder, pattern))[0],
                               mode=ctypes.RTLD_GLOBAL)
        load("libggml-base.so")
        ggml = load("libggml.*so")
        self.lib = lib = load("libllama.*so")
        ggml.ggml_backend_load_all_from_path(folder.encode())
        self.quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p,
                                      ctypes.c_void_p)(lambda *_: None)
        lib.llama_log_set(self.quiet, None)
        lib.llama_model_default_params.restype = ModelParams
        lib.llama_context_default_params.restype = ContextParams
        lib.llama_model_load_from_file.restype = ctypes.c_void_p
        lib.llama_model_load_from_file.argtypes = [ctypes.c_char_p, ModelParams]
        lib.llama_init_from_model.restype = ctypes.c_void_p
        lib.llama_init_from_model.argtypes = [ctypes.c_void_p, ContextParams]
        lib.llama_batch_init.restype = Batch
        lib.llama_decode.argtypes = [ctypes.c_void_p, Batch]
        lib.llama_get_logits.restype = ctypes.POINTER(ctypes.c_float)
        lib.llama_get_logits.argtypes = [ctypes.c_void_p]
        lib.llama_free.argtypes = [ctypes.c_void_p]
        lib.llama_model_free.argtypes = [ctypes.c_void_p]

    def open(self, path):
        model = self.lib.llama_model_load_from_file(path.encode(),
                                                    self.lib.llama_model_default_params())
        assert model, path
        return model

    def logits(self, path, ids, V):
        """(T, V) of one sequence."""
        model = self.open(path)
        p, T = self.lib.llama_context_default_params(), len(ids)
        for field in (N_CTX, N_BATCH, N_UBATCH):
            p.words[field // 4] = max(T, 64)
        for field in (N_THREADS, N_THREADS_BATCH):
            p.words[field // 4] = 1
        p.words[FLASH // 4] = p.words[TYPE_K // 4] = p.words[TYPE_V // 4] = 0
        context = self.lib.llama_init_from_model(model, p)
        assert context
        b = self.lib.llama_batch_init(T, 0, 1)
        b.n_tokens = T
        for t, i in enumerate(ids):
            b.token[t], b.pos[t], b.n_seq_id[t], b.seq_id[t][0], b.logits[t] = i, t, 1, 0, 1
        assert self.lib.llama_decode(context, b) == 0
        x = np.ctypeslib.as_array(self.lib.llama_get_logits(context), (T, V)).copy()
        self.lib.llama_free(context)
        self.lib.llama_model_free(model)
        return x.astype(np.float64)


def mean_nll(x, ids):
    top = x.max(axis=1, keepdims=True)
    lse = (top + np.log(np.exp(x - top).sum(axis=1, keepdims=True)))[:, 0]
    nll = [lse[t] - x[t, ids[t + 1]] for t in range(len(ids) - 1)]
    return float(np.mean(nll)) if nll else 0.0


def describe(name, seed, path, keys, out, c):
    """All that makes the same file again."""
    print("model", name, seed, hashlib.sha256(open(path, "rb").read()).hexdigest())
    kinds = {gguf_writer.U32: "u32", gguf_writer.F32: "f32", gguf_writer.STRING: "string"}
    for key, kind, x in keys:
        print("key", key, kinds[kind], "%.9g" % x if kind == gguf_writer.F32 else x)
    tensors = {gguf_writer.gguf_name(t[0]): t for t in forward.tensors_of(c)}
    for tensor, x, _ in out:
        if tensor == "rope_freqs.weight":
            print("factors", " ".join("%.9g" % v for v in x))
            continue
        hf, rows, cols, scale, offset = tensors[tensor]
        heads = 0
        if c["model_type"] in ("llama", "smollm3") and (".q_proj." in hf or ".k_proj." in hf):
            heads = c["num_attention_heads" if ".q_proj." in hf else "num_key_value_heads"]
        print("tensor", tensor, hf, heads, rows, cols, "%.17g %.17g" % (scale, offset))


def report(ids, x):
    print("ids", len(ids), *ids)
    print("nll %.9g" % mean_nll(x, ids))
    for t in (len(ids) // 2, len(ids) - 1):
        print("logits", t, " ".join("%.8g" % v for v in x[t]))


def main():
    llama = Llama(sys.argv[1])
    work = tempfile.mkdtemp()
    path = os.path.join(work, "model.gguf")
    for seed, (name, c, lengths) in enumerate(forward.CASES, 1):
        # llama.cpp has no window in these, and the same NoPE layers for all SmolLM3.
        if c.get("sliding_window"):
            continue
        if "no_rope_layers" in c:
            c = dict(c, no_rope_layers=[1, 1, 1, 0])
        if "rope_parameters" in c:
            c = dict(c, rope_theta=c["rope_parameters"]["rope_theta"],
                     rope_scaling=c["rope_parameters"])
        w = {t[0]: forward.weights(seed, *t) for t in forward.tensors_of(c)}
        keys, out = gguf_writer.convert(
            c, {n: x.astype(np.float32) for n, x in w.items()}, "f32")
        keys.append(("tokenizer.ggml.model", gguf_writer.STRING, "none"))
        gguf_writer.write(path, keys, out)
        T = max(lengths)
        ids = [int(i) for i in
               (forward.uniform(seed, f"ids {lengths.index(T)}", T) + 1) / 2 * c["vocab_size"]]
        x = llama.logits(path, ids, c["vocab_size"])
        ours = forward.forward(c, w, ids)
        print(name, "largest difference %.2g of %.2g" % (
            np.abs(x - ours).max(), np.abs(ours).max()), file=sys.stderr)
        describe(name, seed, path, keys, out, c)
        report(ids, x)
    demo = os.path.join(HERE, "../../datasets/demo")
    config, tensors = gguf_writer.read_folder(demo)
    keys, out = gguf_writer.convert(config, tensors, "f32")
    keys += gguf_writer.tokenizer_keys(demo, config["vocab_size"], "gpt-2")
    gguf_writer.write(path, keys, out)
    golden = json.load(open(os.path.join(demo, "golden.json")))
    ids = golden["ids"][:golden["positions"]]
    x = llama.logits(path, ids, config["vocab_size"])
    print("demo nll %.9g, golden.json %.9g" % (mean_nll(x, ids), golden["mean_nll"]),
          file=sys.stderr)
    print("demo %.9g" % mean_nll(x, ids))


if __name__ == "__main__":
    main()
