#!/usr/bin/env python3
"""Tiny models that hold a text model among others, and transformers' perplexity of text.

    nested.py MAKE.py FOLDER [NAME...] [--demo FOLDER]

Writes FOLDER/NAME/ (config.json, model.safetensors, tokenizer.json) and FOLDER/truth.csv
by the protocol of MAKE.py; then `truth.py MLASCOPE FOLDER --text evaluation.txt` judges:
whether the text model's tensors are found under the prefixes that such files use. Needs
torch and transformers 5.24; without them, or without MAKE.py, it ends with 77.
"""

import argparse
import copy
import csv
import os
import shutil
import sys

from sweep import load

BASE = dict(vocab_size=2048, hidden_size=64, intermediate_size=128, num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=2, head_dim=16,
            max_position_embeddings=512, rms_norm_eps=1e-6)
PLAIN = {k: v for k, v in BASE.items() if k != "head_dim"}
SIGHT = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2,
             num_attention_heads=2, image_size=28, patch_size=14)
QWEN = dict(depth=2, hidden_size=32, num_heads=2, out_hidden_size=64,
            intermediate_size=64)
SOUND = dict(d_model=32, encoder_layers=2, encoder_attention_heads=2,
             encoder_ffn_dim=64)
THREE = dict(mrope_section=[2, 3, 3])
MODELS = {
    "llava": dict(text_config=dict(BASE, model_type="llama"), vision_config=dict(SIGHT,
        model_type="clip_vision_model", projection_dim=16)),
    "llava_next": dict(text_config=dict(BASE, model_type="mistral",
        sliding_window=None), vision_config=dict(SIGHT, model_type="clip_vision_model",
        projection_dim=16)),
    "gemma3": dict(text_config=dict(BASE, model_type="gemma3_text", sliding_window=100,
        num_hidden_layers=6), vision_config=dict(SIGHT,
        model_type="siglip_vision_model"), mm_tokens_per_image=4),
    "mistral3": dict(text_config=dict(BASE, model_type="mistral", sliding_window=None),
        vision_config=dict(SIGHT, model_type="pixtral", head_dim=16)),
    "internvl": dict(text_config=dict(BASE, model_type="qwen2"),
        vision_config=dict(SIGHT, model_type="internvl_vision", image_size=[28, 28],
        patch_size=[14, 14])),
    "qwen2_vl": dict(text_config=dict(PLAIN, model_type="qwen2_vl_text",
        rope_scaling=dict(THREE, type="mrope")), vision_config=dict(depth=2,
        embed_dim=32, num_heads=2, hidden_size=64)),
    "qwen2_5_vl": dict(text_config=dict(PLAIN, model_type="qwen2_5_vl_text",
        rope_scaling=dict(THREE, type="mrope")), vision_config=QWEN),
    "qwen3_vl": dict(text_config=dict(BASE, model_type="qwen3_vl_text",
        rope_scaling=dict(THREE, rope_type="default")), vision_config=dict(QWEN,
        deepstack_visual_indexes=[0])),
    "glm4v": dict(text_config=dict(BASE, model_type="glm4v_text",
        rope_scaling=dict(THREE, rope_type="default")), vision_config=QWEN),
    "idefics3": dict(text_config=dict(BASE, model_type="llama"), vision_config=SIGHT),
    "smolvlm": dict(text_config=dict(BASE, model_type="llama"), vision_config=SIGHT),
    "aya_vision": dict(text_config=dict(BASE, model_type="cohere2",
        sliding_window=100), vision_config=dict(SIGHT,
        model_type="siglip_vision_model")),
    "paligemma": dict(text_config=dict(BASE, model_type="gemma"),
        vision_config=dict(SIGHT, model_type="siglip_vision_model", projection_dim=64,
        vision_use_head=False)),
    "qwen2_audio": dict(text_config=dict(BASE, model_type="qwen2"),
        audio_config=dict(SOUND, model_type="qwen2_audio_encoder")),
    "voxtral": dict(text_config=dict(BASE, model_type="llama"),
        audio_config=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2)),
    "ovis2": dict(text_config=dict(BASE, model_type="qwen2"), vision_config=SIGHT),
    "got_ocr2": dict(text_config=dict(BASE, model_type="qwen2"), vision_config=dict(
        hidden_size=32, output_channels=16, num_hidden_layers=2, num_attention_heads=2,
        image_size=32, patch_size=16, mlp_dim=64, global_attn_indexes=[1])),
    "lfm2_vl": dict(text_config=dict(BASE, model_type="lfm2"), vision_config=SIGHT),
}


def class_of(make, config):
    kinds = ("AutoModelForImageTextToText", "AutoModelForCausalLM",
             "AutoModelForMultimodalLM", "AutoModelForSeq2SeqLM")
    for kind in kinds:
        mapping = getattr(make.transformers, kind)._model_mapping
        if type(config) in mapping:
            cls = mapping[type(config)]
            return cls[0] if isinstance(cls, tuple) else cls
    name = type(config).__name__.replace("Config", "ForConditionalGeneration")
    return getattr(make.transformers, name)


def truth_of(make, torch, folder, name, ids, demo):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    config = make.transformers.AutoConfig.for_model(name, **copy.deepcopy(MODELS[name]))
    cls = class_of(make, config)
    torch.manual_seed(7)
    model = cls._from_config(config, attn_implementation="eager").eval()
    make.randomize(model)
    model.save_pretrained(folder)
    shutil.copy(os.path.join(demo, "tokenizer.json"), folder)
    model = cls.from_pretrained(folder, attn_implementation="eager",
                                dtype=torch.float32).eval()
    rows = [(T, *make.count(make.run_cache(model, ids, T))) for T in make.CONTEXTS]
    return rows, make.perplexity(model, ids)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("make")
    p.add_argument("folder")
    p.add_argument("names", nargs="*")
    p.add_argument("--demo", default="datasets/demo")
    a = p.parse_args()
    try:
        import torch
        make = load(a.make)
    except (ImportError, FileNotFoundError) as e:
        print(f"SKIPPED: {e}")
        return 77
    torch.set_num_threads(1)
    make.transformers.logging.set_verbosity_error()
    make.transformers.logging.disable_progress_bar()
    text = open(os.path.join(a.demo, "evaluation.txt"), encoding="utf-8").read()
    tokenizer = make.Tokenizer.from_file(os.path.join(a.demo, "tokenizer.json"))
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    ids = ids[:make.WINDOWS * make.WINDOW]
    os.makedirs(a.folder, exist_ok=True)
    faults = 0
    with open(os.path.join(a.folder, "truth.csv"), "w", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(["family", "context", "cache_bytes_16bit", "perplexity", "note"])
        for name in a.names or MODELS:
            try:
                rows, ppl = truth_of(make, torch, os.path.join(a.folder, name), name,
                                     ids, a.demo)
            except Exception as e:
                faults += 1
                print(f"{name}: FAULT {type(e).__name__}: {str(e)[:200]}", flush=True)
                continue
            for T, stored, window in rows:
                table.writerow([name, T, 2 * stored, make.shown(ppl),
                                f"with the window's last token: {2 * window}"])
            print(name, rows[-1], make.shown(ppl), flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
