"""A model of 32 layers x 32 heads with tiny dims and random weights: synthetic.py OUT DEMO

What a page of a large model weighs and looks like, without its hours.
"""
import json
import pathlib
import shutil
import struct
import sys

import numpy as np

out, demo = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
out.mkdir(parents=True)
config = json.loads((demo / "config.json").read_text())
L, H, G, D, E, F = 32, 32, 32, 8, 64, 64
config.update(num_hidden_layers=L, num_attention_heads=H, num_key_value_heads=G, head_dim=D,
              hidden_size=E, intermediate_size=F, tie_word_embeddings=True)
V = config["vocab_size"]
shapes = {"model.embed_tokens.weight": (V, E), "model.norm.weight": (E,)}
for layer in range(L):
    at = f"model.layers.{layer}."
    shapes |= {at + "self_attn.q_proj.weight": (H * D, E), at + "self_attn.k_proj.weight": (G * D, E),
               at + "self_attn.v_proj.weight": (G * D, E), at + "self_attn.o_proj.weight": (E, H * D),
               at + "mlp.gate_proj.weight": (F, E), at + "mlp.up_proj.weight": (F, E),
               at + "mlp.down_proj.weight": (E, F), at + "input_layernorm.weight": (E,),
               at + "post_attention_layernorm.weight": (E,)}
random = np.random.default_rng(7)
header, data, at = {}, [], 0
for name, shape in shapes.items():
    x = np.ones(shape) if len(shape) == 1 else random.normal(0, shape[1] ** -0.5, shape)
    raw = x.astype("<f4").tobytes()
    header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + len(raw)]}
    at += len(raw)
    data.append(raw)
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
(out / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))
(out / "config.json").write_text(json.dumps(config, indent=2))
for path in demo.glob("tokenizer*"):
    shutil.copy(path, out)
