#!/usr/bin/env python3
"""Checkpoints of random weights in the shapes of real models, to measure memory and speed.

usage: shapes.py SHAPE FOLDER [--layers N] [--gguf {bf16,f32}]

SHAPE is 135m, 1b, 7b, 8b or 70b. FOLDER gets config.json, model.safetensors in bfloat16 and
the demo model's tokenizer, whose ids every vocabulary here holds; --layers writes the
first N layers only. With --gguf a file model.gguf for llama.cpp instead, without a
vocabulary (needs the package gguf). Weights repeat a block of 16M random numbers, every
matrix from a place of its own on, so that no two matrices are alike.
"""
import argparse
import json
import pathlib
import shutil

import numpy as np

SHAPES = {  # layers, width, heads, KV heads, head dims, MLP, vocabulary, tied head
    "135m": (30, 576, 9, 3, 64, 1536, 49152, True),
    "1b": (16, 2048, 32, 8, 64, 8192, 128256, True),
    "7b": (32, 4096, 32, 32, 128, 11008, 32000, False),
    "8b": (32, 4096, 32, 8, 128, 14336, 128256, False),
    "70b": (80, 8192, 64, 8, 128, 28672, 128256, False),
}


def tensors(shape, layers):
    """(name, rows, cols) of every matrix; cols 0: a norm of ones."""
    _, E, H, G, D, F, V, tied = SHAPES[shape]
    yield "model.embed_tokens.weight", V, E
    for l in range(layers):
        at = f"model.layers.{l}."
        yield at + "input_layernorm.weight", E, 0
        yield at + "self_attn.q_proj.weight", H * D, E
        yield at + "self_attn.k_proj.weight", G * D, E
        yield at + "self_attn.v_proj.weight", G * D, E
        yield at + "self_attn.o_proj.weight", E, H * D
        yield at + "post_attention_layernorm.weight", E, 0
        yield at + "mlp.gate_proj.weight", F, E
        yield at + "mlp.up_proj.weight", F, E
        yield at + "mlp.down_proj.weight", E, F
    yield "model.norm.weight", E, 0
    if not tied:
        yield "lm_head.weight", V, E


def random_block():
    x = np.random.default_rng(1).standard_normal(1 << 24, dtype=np.float32) * 0.02
    return (x.view(np.uint32) >> 16).astype(np.uint16)


def repeat(block, n, tensor):
    """n numbers in parts: the block over and over, turned by a place of the tensor's."""
    turned = np.roll(block, tensor * 1000003)
    for first in range(0, n, len(block)):
        yield turned[: min(len(block), n - first)]


def write_safetensors(folder, shape, layers):
    block, ones = random_block(), np.full(1 << 24, 0x3F80, np.uint16)
    header, at = {}, 0
    for name, rows, cols in tensors(shape, layers):
        size = 2 * rows * (cols or 1)
        header[name] = {"dtype": "BF16", "shape": [rows, cols] if cols else [rows],
                        "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for i, (_, rows, cols) in enumerate(tensors(shape, layers)):
            for part in repeat(block if cols else ones, rows * (cols or 1), i):
                file.write(part.data)


def write_config(folder, shape, layers):
    _, E, H, G, D, F, V, tied = SHAPES[shape]
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": E,
              "intermediate_size": F, "num_attention_heads": H, "num_key_value_heads": G,
              "head_dim": D, "num_hidden_layers": layers, "vocab_size": V,
              "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 8192,
              "hidden_act": "silu", "tie_word_embeddings": tied, "torch_dtype": "bfloat16",
              "bos_token_id": None, "eos_token_id": None}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    demo = pathlib.Path(__file__).resolve().parents[2] / "datasets/demo"
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(demo / name, folder)


GGUF_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
              "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
              "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
              "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
              "post_attention_layernorm": "ffn_norm", "model.embed_tokens": "token_embd",
              "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name):
    name = name.replace("model.layers.", "blk.")
    for ours, theirs in GGUF_NAMES.items():
        name = name.replace(ours, theirs)
    return name


def write_gguf(folder, shape, layers, kind):
    import gguf

    _, E, H, G, D, F, V, _ = SHAPES[shape]
    w = gguf.GGUFWriter(folder / "model.gguf", "llama")
    w.add_block_count(layers)
    w.add_context_length(8192)
    w.add_embedding_length(E)
    w.add_feed_forward_length(F)
    w.add_head_count(H)
    w.add_head_count_kv(G)
    w.add_rope_dimension_count(D)
    w.add_key_length(D)
    w.add_value_length(D)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_vocab_size(V)
    w.add_tokenizer_model("no_vocab")
    block = random_block()
    for i, (name, rows, cols) in enumerate(tensors(shape, layers)):
        if not cols:
            w.add_tensor(gguf_name(name), np.ones(rows, np.float32))
            continue
        x = np.concatenate(list(repeat(block, rows * cols, i))).reshape(rows, cols)
        if kind == "f32":
            w.add_tensor(gguf_name(name), (x.astype(np.uint32) << 16).view(np.float32))
        else:
            w.add_tensor(gguf_name(name), x.view(np.uint8).reshape(rows, 2 * cols),
                         raw_dtype=gguf.GGMLQuantizationType.BF16)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("shape", choices=SHAPES)
    p.add_argument("folder", type=pathlib.Path)
    p.add_argument("--layers", type=int)
    p.add_argument("--gguf", choices=("bf16", "f32"))
    a = p.parse_args()
    layers = a.layers or SHAPES[a.shape][0]
    a.folder.mkdir(parents=True, exist_ok=True)
    if a.gguf:
        write_gguf(a.folder, a.shape, layers, a.gguf)
    else:
        write_safetensors(a.folder, a.shape, layers)
        write_config(a.folder, a.shape, layers)


main()
