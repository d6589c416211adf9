#!/usr/bin/env python3
"""Tiny models as llama.cpp's own converter writes them, each beside its folder.

    gguf_converter.py MLASCOPE LLAMA_CPP FAMILIES OUT EVALUATION.txt [--also] [NAME...]

LLAMA_CPP/ is llama.cpp's source (convert_hf_to_gguf.py with conversion/ and gguf-py/
beside it), FAMILIES/NAME/ a folder that transformers wrote. The vocabulary is written by
gguf_twins.py, all else by the converter, in F32. `mlascope evaluate` of the file must
give the folder's perplexity to 6 digits (a converter that multiplies weights rounds
them). With --also the perplexity by the Python package llama_cpp is shown, too. Exit
status 1 when a pair differs without a word.
"""

import contextlib
import io
import json
import logging
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

MLASCOPE, SOURCE, FAMILIES, OUT, TEXT = sys.argv[1:6]
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), SOURCE, SOURCE + "/gguf-py"]

try:
    import conversion
    import gguf
    import torch  # noqa: F401 (the converter's)
    from gguf_twins import as_llama_cpp, perplexity, put_tokenizer
except ImportError as e:
    print(f"gguf_converter: SKIPPED: {e}")
    sys.exit(77)

# Folders whose class the converter does not know by their name in config.json.
CLASSES = {}


def convert(folder, path):
    hparams = conversion.ModelBase.load_hparams(Path(folder), False)
    name = CLASSES.get(hparams["model_type"]) or conversion.get_model_architecture(
        hparams, conversion.ModelType.TEXT)
    cls = conversion.get_model_class(name)

    cls.set_vocab = lambda self: put_tokenizer(self.gguf_writer, folder)
    if hasattr(cls, "no_mtp"):
        cls.no_mtp = True
    with torch.inference_mode():
        cls(Path(folder), gguf.LlamaFileType.ALL_F32, Path(path)).write()


def quietly(write):
    """Without the bar of progress."""
    return lambda self, progress=False: write(self, progress=False)


def by_llama_cpp(path, folder):
    """Perplexity of the first 200 tokens, or why llama.cpp does not run the file."""
    import llama_cpp
    import numpy as np
    from tokenizers import Tokenizer
    ids = Tokenizer.from_file(f"{folder}/tokenizer.json").encode(
        open(TEXT, encoding="utf-8").read()).ids[:200]
    model = llama_cpp.Llama(path, n_ctx=256, n_batch=256, logits_all=True, n_threads=1,
                            verbose=False)
    model.eval(ids)
    x = np.array(model.scores[:len(ids) - 1], dtype=np.float64)
    top = x.max(axis=1)
    nll = np.log(np.exp(x - top[:, None]).sum(axis=1)) + top - x[
        np.arange(len(ids) - 1), ids[1:]]
    return f"{math.exp(nll.mean()):.6g}"


def apart(path, folder):
    """The same by a process of its own: some files end it."""
    ran = subprocess.run([sys.executable, __file__, *sys.argv[1:6], "--llama.cpp", path,
                          folder], capture_output=True, text=True)
    return ran.stdout.strip().splitlines()[-1] if ran.returncode == 0 else "does not run"


def in_published_words(folder, out):
    """The folder, or a copy with the words of published files that the converter reads."""
    c = json.load(open(folder + "/config.json"))
    words = {"linear_attention": "mamba", "full_attention": "attention"}
    new = {}
    if c["model_type"] == "deepseek_v3":
        new["scoring_func"] = "sigmoid"
    if c["model_type"] == "granitemoehybrid":
        new["layer_types"] = [words.get(t, t) for t in c["layer_types"]]
        new["position_embedding_type"] = "nope"
    if c["model_type"] == "minimax_m2":
        rope = c.get("rope_parameters") or {}
        new["rotary_dim"] = int(c["head_dim"] * rope.get("partial_rotary_factor", 1))
    if c["model_type"] == "falcon_h1":
        new["head_dim"] = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
    if c["model_type"] == "nemotron_h" and "layers_block_type" in c:
        new["hybrid_override_pattern"] = "".join(
            {"linear_attention": "M", "full_attention": "*", "moe": "E"}.get(t, "-")
            for t in c["layers_block_type"])
        del c["layers_block_type"]
        if "E" not in new["hybrid_override_pattern"]:
            del c["num_experts_per_tok"]
    if not new:
        return as_llama_cpp(folder, out)
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(folder, out)
    json.dump(c | new, open(out + "/config.json", "w"))
    return out


def main():
    if sys.argv[6:7] == ["--llama.cpp"]:
        print(by_llama_cpp(*sys.argv[7:9]))
        return
    logging.disable(logging.CRITICAL)
    gguf.GGUFWriter.write_tensors_to_file = quietly(
        gguf.GGUFWriter.write_tensors_to_file)
    counts = {}
    names = [n for n in sys.argv[6:] if n != "--also"]
    for name in names or sorted(os.listdir(FAMILIES)):
        folder, path = f"{FAMILIES}/{name}", f"{OUT}/{name}.gguf"
        if not os.path.exists(folder + "/model.safetensors"):
            continue
        folder = in_published_words(folder, f"{OUT}/{name}")
        a = perplexity(MLASCOPE, folder, TEXT)
        try:
            float(a)
        except ValueError:
            continue  # the folder is not computed
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                convert(folder, path)
        except (Exception, SystemExit) as e:
            print(f"{name}: not written: {type(e).__name__} {str(e)[:90]}", flush=True)
            continue
        b = perplexity(MLASCOPE, path, TEXT)
        try:
            same = abs(float(a) / float(b) - 1) < 2e-6
            word = "same" if a == b else "6 digits" if same else "DIFFERS"
        except ValueError:
            word = "refused"
        counts[word] = counts.get(word, 0) + 1
        arch = json.load(open(folder + "/config.json"))["model_type"]
        also = f"; llama.cpp {apart(path, folder)}" if "--also" in sys.argv else ""
        print(f"{name} ({arch}): {word}: {a} {b.replace(path, 'FILE')[:200]}{also}",
              flush=True)
    print(counts)
    sys.exit("DIFFERS" in counts)


if __name__ == "__main__":
    main()
