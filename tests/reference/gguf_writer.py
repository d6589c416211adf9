#!/usr/bin/python3
"""A GGUF file from a Hugging Face folder, with NumPy and nothing of mlascope.

Usage: gguf_writer.py FOLDER OUT.gguf [--type f32|f16|bf16|q8_0] [--version 2|3]
                      [--split N] [--no-tokenizer]

Written from ggml's docs/gguf.md and llama.cpp's convert_hf_to_gguf.py; llama.cpp loads
what this writes (gguf_llama.py). Parts of a split are named OUT-00001-of-0000N.gguf.
"""
import argparse
import json
import os
import struct

import numpy as np

from tensor_files import read_safetensors

U32, I32, F32, BOOL, STRING, ARRAY, U16 = 4, 5, 6, 7, 8, 9, 2
ALIGNMENT = 32


# ---- safetensors in ----

def read_folder(folder):
    """config.json and all tensors."""
    config = json.load(open(os.path.join(folder, "config.json")))
    tensors = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors"):
            tensors.update(read_safetensors(os.path.join(folder, name))[0])
    return config, tensors


# ---- GGUF out ----

def string(text):
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def value(kind, x):
    if kind == STRING:
        return string(x)
    return struct.pack({U16: "<H", U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], x)


def keyed(key, kind, x):
    """One key: x is a value, or a list for (ARRAY, element kind)."""
    out = string(key)
    if isinstance(kind, tuple):
        return (out + struct.pack("<IIQ", ARRAY, kind[1], len(x))
                + b"".join(value(kind[1], i) for i in x))
    return out + struct.pack("<I", kind) + value(kind, x)


def q8_0(x):
    """Blocks of 32: a half scale and 32 int8 (ggml-quants.c, quantize_row_q8_0_ref)."""
    blocks = x.reshape(-1, 32)
    d = np.abs(blocks).max(axis=1) / np.float32(127)
    inverse = np.where(d > 0, 1 / np.where(d > 0, d, 1), 0).astype(np.float32)
    scaled = blocks * inverse[:, None]
    q = np.copysign(np.floor(np.abs(scaled) + 0.5), scaled).astype(np.int8)
    out = np.empty((len(blocks), 34), np.uint8)
    out[:, :2] = d.astype("<f2").view(np.uint8).reshape(-1, 2)
    out[:, 2:] = q.view(np.uint8)
    return out.tobytes()


def bf16(x):
    u = x.astype("<f4").view("<u4")
    return ((u + 0x7FFF + ((u >> 16) & 1)) >> 16).astype("<u2").tobytes()


TYPES = {"f32": (0, lambda x: x.astype("<f4").tobytes()),
         "f16": (1, lambda x: x.astype("<f2").tobytes()),
         "bf16": (30, bf16), "q8_0": (8, q8_0)}
FILE_TYPES = {"f32": 0, "f16": 1, "bf16": 32, "q8_0": 7}


def write(path, keys, tensors, version=3):
    """tensors: (name, array, type); matrices have their rows first, as in NumPy."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    head += b"".join(keyed(*k) for k in keys)
    offset, parts = 0, []
    for name, x, kind in tensors:
        number, pack = TYPES[kind]
        data = pack(np.ascontiguousarray(x))
        head += string(name) + struct.pack("<I", x.ndim)
        head += b"".join(struct.pack("<Q", n) for n in reversed(x.shape))
        head += struct.pack("<IQ", number, offset)
        data += bytes(-len(data) % ALIGNMENT)
        parts.append(data)
        offset += len(data)
    with open(path, "wb") as f:
        f.write(head + bytes(-len(head) % ALIGNMENT))
        for data in parts:
            f.write(data)


# ---- the conversion ----

NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q",
         "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
         "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down"}
WHOLE = {"model.embed_tokens.weight": "token_embd.weight",
         "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}


def gguf_name(name):
    if name in WHOLE:
        return WHOLE[name]
    _, _, layer, rest = name.split(".", 3)
    stem, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{NAMES[stem]}.{kind}"


def permute(x, heads):
    """LlamaModel.permute: the dims c and c + D/2 of a head become 2c and 2c + 1."""
    return (x.reshape(heads, 2, x.shape[0] // heads // 2, *x.shape[1:])
            .swapaxes(1, 2).reshape(x.shape))


def rope_factors(config, dim):
    """What llama3 scaling divides each frequency by (Llama31Model.generate_extra...)."""
    s = config.get("rope_scaling") or {}
    if s.get("rope_type") != "llama3":
        return None
    inv = 1.0 / config["rope_theta"] ** (np.arange(0, dim, 2) / dim)
    long = s["original_max_position_embeddings"] / s["low_freq_factor"]
    short = s["original_max_position_embeddings"] / s["high_freq_factor"]
    out = []
    for f in inv:
        wave = 2 * np.pi / f
        if wave < short:
            out.append(1.0)
        elif wave > long:
            out.append(s["factor"])
        else:
            smooth = ((s["original_max_position_embeddings"] / wave - s["low_freq_factor"])
                      / (s["high_freq_factor"] - s["low_freq_factor"]))
            out.append(1 / ((1 - smooth) / s["factor"] + smooth))
    return np.array(out, np.float32)


def convert(config, tensors, kind):
    """Keys and tensors of the model, without the tokenizer."""
    arch = {"mistral": "llama"}.get(config["model_type"], config["model_type"])
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    dim = config.get("head_dim") or config["hidden_size"] // heads
    keys = [("general.architecture", STRING, arch),
            ("general.file_type", U32, FILE_TYPES[kind]),
            (f"{arch}.block_count", U32, config["num_hidden_layers"]),
            (f"{arch}.context_length", U32, config["max_position_embeddings"]),
            (f"{arch}.embedding_length", U32, config["hidden_size"]),
            (f"{arch}.feed_forward_length", U32, config["intermediate_size"]),
            (f"{arch}.attention.head_count", U32, heads),
            (f"{arch}.attention.head_count_kv", U32, kv_heads),
            (f"{arch}.attention.key_length", U32, dim),
            (f"{arch}.attention.value_length", U32, dim),
            (f"{arch}.attention.layer_norm_rms_epsilon", F32, config["rms_norm_eps"]),
            (f"{arch}.rope.dimension_count", U32, dim),
            (f"{arch}.rope.freq_base", F32, config["rope_theta"]),
            (f"{arch}.vocab_size", U32, config["vocab_size"])]
    scaling = config.get("rope_scaling") or {}
    if (scaling.get("rope_type") or scaling.get("type")) == "linear":
        keys += [(f"{arch}.rope.scaling.type", STRING, "linear"),
                 (f"{arch}.rope.scaling.factor", F32, scaling["factor"])]
    out = []
    factors = rope_factors(config, dim)
    if factors is not None:
        out.append(("rope_freqs.weight", factors, "f32"))
    for name, x in tensors.items():
        if arch in ("llama", "smollm3"):
            if ".q_proj." in name:
                x = permute(x, heads)
            elif ".k_proj." in name:
                x = permute(x, kv_heads)
        out.append((gguf_name(name), x, kind if x.ndim == 2 else "f32"))
    return keys, out


# ---- tokenizer.json to tokenizer.ggml.* ----

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def tokenizer_keys(folder, size, pre):
    """The keys that _set_vocab_gpt2() or _set_vocab_llama_hf() would write."""
    t = json.load(open(os.path.join(folder, "tokenizer.json")))
    path = os.path.join(folder, "tokenizer_config.json")
    settings = json.load(open(path)) if os.path.exists(path) else {}
    vocab = dict(t["model"]["vocab"])
    added = {a["id"]: a for a in t["added_tokens"]}
    spm = bool(t["model"].get("byte_fallback"))
    by_id = {i: s for s, i in vocab.items()}
    by_id.update({i: a["content"] for i, a in added.items()})
    tokens, kinds, scores = [], [], []
    for i in range(size):
        s = by_id.get(i)
        if s is None:
            tokens.append(f"[PAD{i}]")
            kinds.append(UNUSED)
        else:
            tokens.append(s)
            byte = spm and len(s) == 6 and s.startswith("<0x") and s.endswith(">")
            if i in added:
                kinds.append(UNKNOWN if spm and s == t["model"].get("unk_token")
                             else CONTROL if added[i]["special"] else USER)
            else:
                kinds.append(BYTE if byte else NORMAL)
    keys = [("tokenizer.ggml.model", STRING, "llama" if spm else "gpt2"),
            ("tokenizer.ggml.tokens", (ARRAY, STRING), tokens),
            ("tokenizer.ggml.token_type", (ARRAY, I32), kinds)]
    merges = [m if isinstance(m, str) else " ".join(m) for m in t["model"]["merges"]]
    if spm:
        # SentencePiece: the score of a piece is minus its rank among the merges.
        first = {}
        for m in merges:
            first.setdefault(m.replace(" ", "", 1), len(first))
        for s, k in zip(tokens, kinds):
            scores.append(-float(first[s]) if s in first
                          else 0.0 if k != NORMAL else -float(len(first)))
        keys.append(("tokenizer.ggml.scores", (ARRAY, F32), scores))
    else:
        keys += [("tokenizer.ggml.pre", STRING, pre),
                 ("tokenizer.ggml.merges", (ARRAY, STRING), merges)]
    ids = {s: i for i, s in enumerate(tokens)}
    for key, name in (("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown")):
        s = settings.get(key)
        s = s["content"] if isinstance(s, dict) else s
        if s in ids:
            keys.append((f"tokenizer.ggml.{name}_token_id", U32, ids[s]))
    for key in ("add_bos_token", "add_eos_token"):
        if isinstance(settings.get(key), bool):
            keys.append((f"tokenizer.ggml.{key}", BOOL, settings[key]))
    return keys


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder")
    p.add_argument("out")
    p.add_argument("--type", default="f32", choices=TYPES)
    p.add_argument("--version", type=int, default=3)
    p.add_argument("--split", type=int, default=1)
    p.add_argument("--pre", default="llama-bpe")
    p.add_argument("--no-tokenizer", action="store_true")
    a = p.parse_args()
    config, tensors = read_folder(a.folder)
    keys, out = convert(config, tensors, a.type)
    if not a.no_tokenizer:
        keys += tokenizer_keys(a.folder, config["vocab_size"], a.pre)
    if a.split == 1:
        write(a.out, keys, out, a.version)
        return
    for i in range(a.split):
        part = out[i * len(out) // a.split:(i + 1) * len(out) // a.split]
        numbers = [("split.no", U16, i), ("split.count", U16, a.split),
                   ("split.tensors.count", I32, len(out))]
        write(f"{a.out}-{i + 1:05d}-of-{a.split:05d}.gguf",
              (keys if i == 0 else []) + numbers, part, a.version)


if __name__ == "__main__":
    main()
