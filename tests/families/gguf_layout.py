#!/usr/bin/env python3
"""Where llama.cpp's converter puts each number of a model.

    gguf_layout.py LLAMA_CPP > gguf_layout.txt

LLAMA_CPP/ is llama.cpp's source; configs and tensors are those of logits.txt. Every
number of a folder is its own place (2^-20 times 1, 2, ...), so that the converter's file
tells where each one went. Lines:

  case NAME SEED, config JSON, tensor NAME ROWS COLS SCALE OFFSET   as in logits.txt
  key NAME KIND VALUE ...             of the file: u32, f32, bool, i32s, f32s, bools, text
  put NAME NE,NE HOW PART ...         a tensor: numbers in order, ne as ggml has it

HOW is same, plus1 (x + 1) or decay (-exp x). A PART is FIRST:STEPxCOUNT:..., the places
that FIRST and counts of steps give, the first count running fastest; places count all
numbers of the case's tensors in their order, from 0.
"""

import json
import logging
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

SOURCE = sys.argv[1]
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [SOURCE, SOURCE + "/gguf-py"]

import conversion  # noqa: E402
import gguf  # noqa: E402
import torch  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

UNIT = 2.0 ** -20
CASES = {
    "deepseek_v3": {"scoring_func": "sigmoid"}, "deepseek_v3_yarn": {
        "scoring_func": "sigmoid"},
    "qwen3_next": {}, "qwen3_5": {}, "gemma3n": {}, "gemma4": {}, "gemma4_moe": {},
    "granitemoehybrid": {"rms_norm_eps": 1e-6}, "nemotron_h": {}, "falcon_h1": {},
    "gpt_oss": {}, "lfm2": {},
    "glm4": {}, "granite": {},
}
CLASSES = {
    "deepseek_v3": "DeepseekV3ForCausalLM", "qwen3_next": "Qwen3NextForCausalLM",
    "qwen3_5_text": "Qwen3_5ForCausalLM", "gemma3n_text": "Gemma3nForCausalLM",
    "gemma4_text": "Gemma4ForCausalLM", "nemotron_h": "NemotronHForCausalLM",
    "granitemoehybrid": "GraniteMoeHybridForCausalLM",
    "falcon_h1": "FalconH1ForCausalLM", "gpt_oss": "GptOssForCausalLM",
    "lfm2": "Lfm2ForCausalLM", "glm4": "Glm4ForCausalLM",
    "granite": "GraniteForCausalLM",
}
ONES = ("attention_in_multiplier", "attention_out_multiplier", "key_multiplier",
        "ssm_in_multiplier", "ssm_out_multiplier", "embedding_multiplier",
        "lm_head_multiplier")


def cases():
    name, config, tensors = None, None, []
    for line in open(f"{HERE}/logits.txt"):
        word, _, rest = line.strip().partition(" ")
        if word == "case":
            if name:
                yield name, config, tensors
            name, tensors = rest, []
        elif word == "config":
            config = json.loads(rest)
        elif word == "tensor":
            n, rows, cols, scale, offset = rest.split()
            tensors.append((n, int(rows), int(cols), scale, offset))
    yield name, config, tensors


def merged(items):
    """Neighbours of one shape whose firsts have one difference become one."""
    out, i = [], 0
    while i < len(items):
        first, shape = items[i]
        j = i + 1
        if j < len(items) and items[j][1] == shape:
            step = items[j][0] - first
            while j < len(items) and items[j][1] == shape and (
                    items[j][0] - items[j - 1][0] == step):
                j += 1
            out.append((first, shape + ((step, j - i),)))
        else:
            out.append(items[i])
        i = j
    return out


def parts(places):
    items = [(int(p), ()) for p in places]
    while True:
        new = merged(items)
        if len(new) == len(items):
            return new
        items = new


def with_four_streams(tensors):
    """Gemma 3n's as the converter wants it: 4 states for each token."""
    out = []
    for n, rows, cols, scale, offset in tensors:
        shape = {"prediction_coefs": (16, 4), "correction_coefs": (4, 4),
                 "modality_router": (4, cols)}
        part = n.split(".")[-2]
        out.append((n, *shape.get(part, (rows, cols)), scale, offset))
        if n.startswith("model.altup_") and n.endswith(".1.weight"):
            out.append((n.replace(".1.", ".2."), rows, cols, scale, offset))
    return out


def published(config):
    """In the words that the converter reads."""
    words = {"linear_attention": "mamba", "full_attention": "attention"}
    c = config | {"architectures": [CLASSES[config["model_type"]]]}
    if c["model_type"] == "granitemoehybrid":
        c["layer_types"] = [words.get(t, t) for t in c["layer_types"]]
    if c["model_type"] == "nemotron_h" and "layers_block_type" in c:
        pattern = c.pop("layers_block_type")
        c["hybrid_override_pattern"] = "".join(
            {"linear_attention": "M", "full_attention": "*", "moe": "E", "mamba": "M",
             "attention": "*"}.get(t, "-") for t in pattern)
    if c["model_type"] == "falcon_h1":
        c |= {k: 1.0 for k in ONES} | {"mlp_multipliers": [1.0] * 2,
                                       "ssm_multipliers": [1.0] * 5}
        c["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0}
        c["head_dim"] = c.get("head_dim", c["hidden_size"] // c["num_attention_heads"])
    return c


def convert(config, tensors, folder):
    at, out = 0, {}
    for name, rows, cols, _, _ in tensors:
        n = rows * max(cols, 1)
        x = ((np.arange(at, at + n) + 1) * UNIT).astype(np.float32)
        three = name.endswith(("conv1d.weight", "conv.conv.weight"))
        out[name] = x.reshape((rows, 1, cols) if three else (rows, cols) if cols else rows)
        at += n
    assert at < 2 ** 20, at
    for name in list(out):  # stacked experts have three dims
        E = config.get("num_local_experts") or config.get("num_experts")
        if name.endswith(("gate_up_proj", "experts.down_proj", "input_linear.weight",
                          "output_linear.weight")) and "shared_mlp" not in name and E:
            out[name] = out[name].reshape(E, -1, out[name].shape[-1])
    save_file(out, folder + "/model.safetensors")
    json.dump(config, open(folder + "/config.json", "w"))
    json.dump({"model": {"vocab": {}}, "added_tokens": []},
              open(folder + "/tokenizer.json", "w"))
    hparams = conversion.ModelBase.load_hparams(Path(folder), False)
    cls = conversion.get_model_class(CLASSES[config["model_type"]])
    cls.set_vocab = lambda self: None
    if hasattr(cls, "no_mtp"):
        cls.no_mtp = True
    # Gemma's cuts the embeddings to the tokenizer's vocabulary.
    n = config["vocab_size"]
    json.dump({"model": {"vocab": {str(i): i for i in range(n)}}, "added_tokens": []},
              open(folder + "/tokenizer.json", "w"))
    with torch.inference_mode():
        cls(Path(folder), gguf.LlamaFileType.ALL_F32, Path(folder + "/x.gguf")).write()
    return gguf.GGUFReader(folder + "/x.gguf")


def key_line(key, field):
    T = gguf.GGUFValueType
    kinds = {T.UINT32: "u32", T.INT32: "i32", T.FLOAT32: "f32", T.BOOL: "bool",
             T.STRING: "text"}
    x = field.contents()
    if field.types[0] == T.ARRAY:
        return f"key {key} {kinds[field.types[1]]}s " + " ".join(
            "%.9g" % v for v in x)
    if field.types[0] == T.STRING:
        return f"key {key} text {x}"
    return f"key {key} {kinds[field.types[0]]} %.9g" % x


def main():
    logging.disable(logging.CRITICAL)
    write = gguf.GGUFWriter.write_tensors_to_file
    gguf.GGUFWriter.write_tensors_to_file = lambda s, progress=False: write(
        s, progress=False)
    print("# by tests/families/gguf_layout.py with llama.cpp's conversion/ of llama-cpp-python "
          "0.3.36")
    for name, config, tensors in cases():
        name, seed = name.split()
        if name not in CASES:
            continue
        config = published(config | CASES[name])
        if name == "gemma3n":
            config["altup_num_inputs"] = 4
            tensors = with_four_streams(tensors)
        with tempfile.TemporaryDirectory() as folder:
            try:
                r = convert(config, tensors, folder)
            except (Exception, SystemExit) as e:
                print(f"gguf_layout: {name}: {e!r}"[:300], file=sys.stderr)
                continue
            print("case", name, seed)
            print("config", json.dumps(config))
            for t in tensors:
                print("tensor", *t)
            arch = r.fields["general.architecture"].contents()
            for key, field in r.fields.items():
                if key == "general.architecture" or key.startswith(arch + "."):
                    print(key_line(key, field))
            for t in r.tensors:
                x = np.array(t.data, dtype=np.float64).ravel()
                ne = ",".join(str(int(n)) for n in t.shape)
                if t.name == "rope_freqs.weight":
                    print("put", t.name, ne, "numbers", *("%.9g" % v for v in x))
                    continue
                how = "decay" if x[0] < 0 else "plus1" if x[0] > 1 else "same"
                y = np.log(-x) if how == "decay" else x - (how == "plus1")
                places = np.rint(y / UNIT).astype(np.int64) - 1
                assert np.abs(y / UNIT - places - 1).max() < 0.3, t.name
                print("put", t.name, ne, how, *(
                    f"{first}" + "".join(f":{s}x{n}" for s, n in shape)
                    for first, shape in parts(places)))


if __name__ == "__main__":
    main()
