#!/usr/bin/env python3
"""Tiny models of families and spellings that no list names, and transformers' word.

    sweep.py MAKE.py FOLDER [NAME...] [--vary N] [--seed S] [--demo FOLDER]

Writes FOLDER/NAME/ (config.json, model.safetensors, tokenizer.json) and FOLDER/truth.csv
with the protocol of MAKE.py, the script that makes the tiny models truth.py reads; then
`truth.py MLASCOPE FOLDER --text evaluation.txt` judges. Two kinds of models:

  NEW     decoder families of transformers that are not in MAKE.py's table;
  --vary  N random variations of every family of both tables: keys left out (the class's
          default counts), null, switched, other numbers; other heads, windows, layer
          types, RoPE in the old and the new dialect; as many keys as the class writes,
          or only those that differ from it; with --rope another RoPE alone.

A variation that transformers itself does not load or run is no case. A text model that
has no head of its own is sized only. One seed, one set of models. Needs torch and
transformers 5.24; without them, or without MAKE.py, it says so and ends with 77.
"""

import argparse
import copy
import csv
import importlib.util
import json
import os
import random
import shutil
import sys
import zlib

W = 100
F, S, LIN = "full_attention", "sliding_attention", "linear_attention"
OMIT = "omit"
MLA = dict(kv_lora_rank=24, q_lora_rank=48, qk_rope_head_dim=8, qk_nope_head_dim=16,
           v_head_dim=16, num_key_value_heads=4, head_dim=8)
GDN = dict(linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=16,
           linear_value_head_dim=16, linear_conv_kernel_dim=4)
KDA = dict(linear_head_dim=16, linear_num_heads=4, linear_conv_kernel_dim=4)
MAMBA2 = dict(mamba_n_heads=8, mamba_d_head=16, mamba_n_groups=1, mamba_d_state=16,
              mamba_d_conv=4, mamba_expand=2, mamba_chunk_size=64)
GROUPS = dict(n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1)
TURNS = dict(rope_parameters=dict(rope_type="default", rope_theta=10000.0,
             mrope_section=[2, 3, 3]))
INDEX = dict(index_topk=96, index_head_dim=16, index_n_heads=2)

NEW = {
    "bailing_hybrid": dict(KDA, **(MLA | dict(q_lora_rank=None, num_experts=4,
        num_experts_per_token=2, num_expert_group=1, topk_group=1, layer_group_size=4,
        head_dim=16))),
    "bamba": dict(MAMBA2, attn_layer_indices=[1, 3]),
    "beam": dict(sliding_window=W, num_experts=4, num_experts_per_tok=2, n_group=1,
        topk_group=1, num_hidden_layers=7),
    "codegen": dict(rotary_dim=8, num_attention_heads=8),
    "cohere2_moe": dict(sliding_window=W, num_experts=4, num_experts_per_tok=2),
    "cohere_compass_text": dict(sliding_window=W, rope_parameters={F: dict(
        rope_type="default", rope_theta=10000.0), S: dict(rope_type="default",
        rope_theta=5000.0)}),
    "ctrl": dict(dff=128),
    "cwm": dict(sliding_window=W),
    "dbrx": dict(d_model=64, n_heads=4, n_layers=4, max_seq_len=512, attn_config=dict(
        kv_n_heads=2, clip_qkv=8.0, rope_theta=10000.0), ffn_config=dict(
        ffn_hidden_size=32, moe_num_experts=4, moe_top_k=2, hidden_size=64)),
    "dots1": dict(GROUPS, n_shared_experts=1, first_k_dense_replace=1),
    "emu3_text_model": dict(),
    "ernie4_5_vl_moe_text": dict(moe_num_experts=4, moe_k=2, moe_num_shared_experts=1,
        moe_intermediate_size=[32, 16], rope_parameters=dict(rope_type="default",
        rope_theta=10000.0, mrope_section=[3, 3, 2])),
    "exaone_moe": dict(sliding_window=W, num_experts=4, num_experts_per_tok=2),
    "falcon_mamba": dict(state_size=8, time_step_rank=8),
    "flex_olmo": dict(num_experts=4, num_experts_per_tok=2),
    "gemma3n_text:cut": dict(sliding_window=W, num_hidden_layers=12, altup_active_idx=1,
        altup_correct_scale=False, num_kv_shared_layers=4, laurel_rank=6, head_dim=16,
        hidden_size_per_layer_input=8, vocab_size_per_layer_input=2048,
        intermediate_size=[64 + 16 * i for i in range(12)]),
    "gemma4_text:experts": dict(sliding_window=W, num_hidden_layers=6, head_dim=16,
        enable_moe_block=True, num_experts=4, top_k_experts=2, moe_intermediate_size=32,
        hidden_size_per_layer_input=0, global_head_dim=32, vocab_size_per_layer_input=64),
    "gemma4_text:wide": dict(sliding_window=W, num_hidden_layers=6, head_dim=16,
        use_double_wide_mlp=True, num_kv_shared_layers=2, global_head_dim=32,
        layer_types=[S, S, F, S, S, F],
        hidden_size_per_layer_input=8, vocab_size_per_layer_input=2048,
        final_logit_softcapping=30.0),
    "gemma4_unified_text": dict(sliding_window=W, num_hidden_layers=6),
    "glm4_moe_lite": dict(MLA, **GROUPS),
    "glm4v_moe_text": dict(GROUPS, **TURNS),
    "glm5_next_text": dict(KDA, **(MLA | GROUPS | INDEX | dict(qk_rope_head_dim=0,
        index_kpool=16, hc_mult=2))),
    "glm_moe_dsa": dict(MLA, **(GROUPS | INDEX)),
    "glm_ocr_text": dict(TURNS),
    "gpt-sw3": dict(),
    "gpt_neox_japanese": dict(),
    "granite_docling_text": dict(),
    "granite_swa": dict(sliding_window=W, attention_multiplier=0.2),
    "granitemoe_swa": dict(sliding_window=W, num_local_experts=4,
        attention_multiplier=0.2),
    "helium": dict(),
    "hunyuan_v1_moe": dict(num_experts=4, moe_topk=2),
    "hunyuan_vl_text": dict(rope_parameters=dict(rope_type="default",
        rope_theta=10000.0, xdrope_section=[2, 2, 2, 2])),
    "hy_v4": dict(MLA, **(GROUPS | INDEX | dict(hc_mult=2))),
    "hy_v4_vl_text": dict(MLA, **(GROUPS | INDEX | dict(hc_mult=2, rope_parameters=dict(
        rope_type="default", rope_theta=10000.0, mrope_section=[2, 1, 1])))),
    "inkling2_text": dict(sliding_window=OMIT, swa_num_attention_heads=4,
        swa_num_key_value_heads=4, swa_head_dim=16, sliding_window_size=W,
        n_routed_experts=4, num_experts_per_tok=2, d_rel=8, rel_extent=64,
        n_layers_per_attn_res_block=2, unpadded_vocab_size=2048),
    "inkling2_loop_text": dict(sliding_window=OMIT, swa_num_attention_heads=4,
        swa_num_key_value_heads=4, swa_head_dim=16, sliding_window_size=W,
        n_routed_experts=4, num_experts_per_tok=2, d_rel=8, rel_extent=64,
        loop_layer_index_start=2, loop_layer_index_end=4, loop_num_passes=2,
        num_hidden_layers=6, n_layers_per_attn_res_block=2, unpadded_vocab_size=2048,
        loop_gate_rank=8),
    "kolibri1": dict(sliding_window=W, num_local_experts=4, num_experts_per_tok=2,
        shared_expert_intermediate_size=32, num_hidden_layers=6),
    "lfm2_moe": dict(num_experts=4, num_experts_per_tok=2, num_dense_layers=1,
        layer_types=["conv", "conv", F, "conv"]),
    "lfm3": dict(sliding_window=W, num_hidden_layers=6),
    "mellum": dict(sliding_window=W, num_local_experts=4, num_experts_per_tok=2),
    "ministral": dict(sliding_window=W),
    "mistral_large4_text": dict(MLA, **(GROUPS | INDEX)),
    "mllama_text_model": dict(cross_attention_layers=[]),
    "molmo2_text": dict(),
    "muse_glimmer_text": dict(sliding_window=W, num_hidden_layers=5),
    "muse_spark_text": dict(sliding_window=W, num_local_experts=4, moe_hidden_size=32,
        num_experts_per_tok=2),
    "olmo_hybrid": dict(GDN),
    "paddleocr_vl_text": dict(TURNS),
    "phi4_multimodal": dict(vision_config=dict(hidden_size=32, intermediate_size=64,
        num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14,
        crop_size=28), audio_config=dict(hidden_size=32, intermediate_size=64,
        num_blocks=1, num_attention_heads=2, ext_pw_out_channel=32,
        nemo_conv_channels=32, depthwise_separable_out_channel=32)),
    "phimoe": dict(num_local_experts=4),
    "qwen2_vl_text": dict(TURNS),
    "qwen2_5_vl_text": dict(TURNS),
    "qwen2_5_omni_text": dict(TURNS),
    "qwen3_vl_text": dict(),
    "qwen3_vl_moe_text": dict(num_local_experts=4, num_experts_per_tok=2),
    "qwen3_omni_moe_text": dict(num_experts=4, num_experts_per_tok=2),
    "qwen3_5_text": dict(GDN),
    "qwen3_5_moe_text": dict(GDN, num_experts=4, num_experts_per_tok=2,
        shared_expert_intermediate_size=32),
    "sarvam_mla": dict(MLA, **(GROUPS | dict(q_lora_rank=None))),
    "step3p5": dict(n_routed_experts=4, num_experts_per_tok=2, share_expert_dim=32,
        num_sliding_attention_heads=4, sliding_window=W),
    "vaultgemma": dict(sliding_window=W),
    "xglm": dict(d_model=64, num_layers=4, attention_heads=4, ffn_dim=128),
    "youtu": dict(MLA),
    "zamba": dict(mamba_d_state=8, mamba_dt_rank=8, attention_hidden_size=128,
        attention_head_dim=32, use_mamba_kernels=False, num_hidden_layers=8,
        attn_layer_period=3, attn_layer_offset=1),
    "zamba2": dict(mamba_d_state=8, n_mamba_heads=8, chunk_size=64, num_hidden_layers=8,
        use_mamba_kernels=False, layers_block_type=["mamba", "mamba", "hybrid",
        "mamba", "mamba", "hybrid", "mamba", "mamba"]),
}
# Numbers that a variation leaves alone: they make a model large, or are of the text.
FIXED = ("vocab", "token_id", "hidden_size", "n_embd", "d_model", "max_position",
         "max_seq", "n_positions", "_rank", "dim_head", "intermediate", "ffn", "rope",
         "dtype", "model_type", "architectures", "transformers", "dim_ff", "dff")
NEEDED = ("num_hidden_layers", "num_attention_heads", "n_layer", "n_head", "n_layers",
          "n_heads", "num_layers", "num_heads", "attention_heads", "hidden_act")
QUIET = ("dropout", "pdrop", "initializer", "init_", "_init", "use_cache", "return_",
         "output_", "id2label", "label", "aux_loss", "chunk_size_feed", "jitter",
         "gradient", "summary", "kernels", "z_loss", "time_step_", "mtp_", "is_dec",
         "loss_coef", "pretraining_tp", "problem", "_name_or", "mambapy", "is_enc",
         "tie_encoder", "upcast", "scan", "is_causal")


def load(path):
    spec = importlib.util.spec_from_file_location("make", path)
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    return make


def old_rope(rng, raw):
    """rope_parameters as files before 2025 wrote them."""
    p = raw.get("rope_parameters")
    if not isinstance(p, dict) or "rope_theta" not in p:
        return
    p = dict(p)
    raw.pop("rope_parameters")
    raw["rope_theta"] = p.pop("rope_theta")
    if "partial_rotary_factor" in p:
        raw["partial_rotary_factor"] = p.pop("partial_rotary_factor")
    kind = p.pop("rope_type", "default")
    if kind != "default" or p:
        raw["rope_scaling"] = {rng.choice(["type", "rope_type"]): kind, **p}


def new_rope(rng, raw):
    theta = rng.choice([500.0, 10000.0, 1e6])
    kind = rng.choice(["default", "linear", "dynamic", "yarn", "yarn", "llama3",
                       "longrope"])
    p = dict(rope_type=kind, rope_theta=theta)
    if kind != "default":
        p["factor"] = rng.choice([2.0, 4.0])
    if kind in ("yarn", "llama3"):
        p["original_max_position_embeddings"] = 64
    if kind == "llama3":
        p.update(low_freq_factor=1.0, high_freq_factor=4.0)
    if kind == "yarn":
        p.update(rng.choice([{}, dict(attention_factor=1.5), dict(beta_fast=16.0,
            beta_slow=2.0), dict(mscale=1.0, mscale_all_dim=1.0), dict(mscale=0.8,
            mscale_all_dim=0.5), dict(truncate=False), dict(mscale=1.5)]))
    if kind == "longrope":
        n = (raw.get("head_dim") or raw.get("qk_rope_head_dim") or 16) // 2
        n = (raw.get("qk_rope_head_dim") or 2 * n) // 2
        p.update(original_max_position_embeddings=rng.choice([128, 512]),
                 short_factor=[1.0 + i / 8 for i in range(n)],
                 long_factor=[2.0 + i for i in range(n)])
    if kind == "dynamic":
        raw["max_position_embeddings"] = 128
    if rng.random() < 0.3 and kind != "longrope":
        p["partial_rotary_factor"] = 0.5
    raw["rope_parameters"] = p


def other_number(rng, key, v):
    if isinstance(v, float):
        return v * rng.choice([0.5, 1.5]) if v else rng.choice([0.0, 0.5])
    if "window" in key:
        return rng.choice([7, 33, 64, 65, 192, 300])
    if "layers" in key and "num" in key:
        return rng.choice([1, 2, 3, 5, 7])
    if "dim" not in key and "head" in key:
        return rng.choice([1, 2, 4, 8])
    if key.startswith("topk_group") or key.startswith("n_group"):
        return rng.choice([1, 2])
    if "dim" in key:
        return rng.choice([8, 16, 32])
    return max(0, v + rng.choice([-1, 1, 2]))


def vary(rng, raw):
    """One step away from a config; returns what it was."""
    keys = [k for k in raw if k not in ("model_type",) and
            not any(q in k for q in QUIET)]
    free = [k for k in keys if not any(f in k for f in FIXED)]
    step = rng.random()
    if step < 0.15 and "rope_parameters" in raw:
        new_rope(rng, raw)
        return "rope " + raw["rope_parameters"]["rope_type"]
    if step < 0.25 and "rope_parameters" in raw:
        old_rope(rng, raw)
        return "old rope"
    if step < 0.5:
        k = rng.choice([k for k in free if k not in NEEDED] +
                       [k for k in keys if "rope" in k])
        raw.pop(k)
        return f"no {k}"
    if step < 0.6:
        k = rng.choice([k for k in free if k not in NEEDED])
        raw[k] = None
        return f"{k} null"
    if step < 0.75:
        flags = [k for k in keys if isinstance(raw[k], bool)]
        if flags:
            k = rng.choice(flags)
            raw[k] = not raw[k]
            return f"{k} {raw[k]}"
    if isinstance(raw.get("layer_types"), list) and step < 0.83:
        kinds = sorted(set(raw["layer_types"]))
        if set(kinds) <= {F, S} and raw.get("sliding_window"):
            kinds = [F, S]
        n = len(raw["layer_types"])
        raw["layer_types"] = [rng.choice(kinds) for _ in range(n)]
        return "layer_types"
    numbers = [k for k in free if isinstance(raw[k], (int, float)) and
               not isinstance(raw[k], bool)]
    k = rng.choice(numbers)
    raw[k] = other_number(rng, k, raw[k])
    if "num_hidden_layers" == k or k in ("n_layer", "num_layers"):
        raw.pop("layer_types", None)
        raw.pop("mlp_layer_types", None)
    return f"{k} {raw[k]}"


def plain(x):
    """What json writes and reads."""
    return json.loads(json.dumps(x))


def variation(rng, config, rope):
    """A config.json like `config`'s with one to three things changed."""
    raw = plain(config.to_dict() if rng.random() < 0.5 else config.to_diff_dict())
    for k in ("transformers_version", "architectures", "_name_or_path", "dtype",
              "id2label", "label2id", "per_layer_config"):
        raw.pop(k, None)
    raw["model_type"] = config.model_type
    small = plain(config.to_dict())
    for k in small:  # what a class's default would make large
        if any(f in k for f in ("vocab", "hidden_size", "n_embd", "d_model", "inter",
                                "num_hidden_layers", "n_layer", "num_layers", "ffn",
                                "experts", "lru", "_token_id", "per_layer_input")):
            if k not in raw and small[k] is not None and "experts_per" not in k:
                raw[k] = small[k]
    if rope and "rope_parameters" in raw:
        new_rope(rng, raw)
        note = "rope " + raw["rope_parameters"]["rope_type"]
        if rng.random() < 0.4:
            old_rope(rng, raw)
            note += ", old"
        return raw, note
    note = ", ".join(vary(rng, raw) for _ in range(rng.choice([1, 1, 2, 3])))
    return raw, note


def text_class(config):
    """The text model without a head, from the file that holds its class."""
    module = importlib.import_module(
        type(config).__module__.replace("configuration_", "modeling_"))
    found = [c for n, c in vars(module).items() if n.endswith("Model") and
             getattr(c, "config_class", None) is type(config)
             and not n.endswith("PreTrainedModel")]
    if not found:
        raise RuntimeError(f"no class of {type(config).__name__}")
    return found[0]


def parameters(torch, cls, config):
    with torch.device("meta"):
        model = cls._from_config(copy.deepcopy(config), attn_implementation="eager")
    return sum(p.numel() for p in model.parameters())


def causal_class(make, config):
    try:
        return make.class_of(config)
    except AttributeError:
        return None


def truth_of(make, torch, folder, raw, ids, demo):
    """(rows of the cache, perplexity); the files lie in folder."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    config = make.CONFIG_MAPPING[raw["model_type"]].from_dict(copy.deepcopy(raw))
    cls = causal_class(make, config)
    if cls is None:
        bare = text_class(config)
        if parameters(torch, bare, config) > 6e6:
            raise RuntimeError("too large")
        torch.manual_seed(7)
        model = bare._from_config(config, attn_implementation="eager").eval()
        make.randomize(model)
        make.write_config(folder, raw, type(model).__name__)
    else:
        if parameters(torch, cls, config) > 6e6:
            raise RuntimeError("too large")
        turns = getattr(config, "rope_parameters", None) or {}
        dim = raw.get("head_dim") or 16
        if int(dim * turns.get("partial_rotary_factor", 1)) % 2:
            raise RuntimeError("an odd number of dims turns")
        model, config = make.written_model(folder, config, {"raw": raw}, {})
        shutil.copy(os.path.join(demo, "tokenizer.json"), folder)
    rows = []
    for T in make.CONTEXTS:
        stored, window = make.count(make.run_cache(model, ids, T))
        rows.append((T, 2 * stored, 2 * window))
    p = make.perplexity(model, ids) if cls else None
    if p is not None and not 1 < p < 1e9:
        raise RuntimeError(f"perplexity {p}")
    return rows, p


def bases(make):
    """(name, config) of every tiny model of both tables."""
    for name, changes in NEW.items():
        kind = name.split(":")[0] # a family may be there in several forms
        yield name, lambda n=kind, c=changes: make.build_config(n, copy.deepcopy(c))
    for name, entry in make.FAMILIES.items():
        if "text_config" not in entry[1].get("raw", {}):
            yield name, lambda e=entry: make.build_config(e[0], copy.deepcopy(e[1]))


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("make")
    p.add_argument("folder")
    p.add_argument("names", nargs="*")
    p.add_argument("--vary", type=int, default=0)
    p.add_argument("--rope", action="store_true", help="only RoPE differs")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--demo", default="datasets/demo")
    a = p.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
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
    path = os.path.join(a.folder, "truth.csv")
    fresh = not os.path.exists(path)
    out = open(path, "a", newline="")
    rows = csv.writer(out, lineterminator="\n")
    if fresh:
        rows.writerow(["family", "context", "cache_bytes_16bit", "perplexity", "note"])
    faults = {}
    for name, build in bases(make):
        if a.names and name not in a.names:
            continue
        try:
            config = build()
        except Exception as e:
            print(f"{name}: FAULT {type(e).__name__}: {str(e)[:200]}", flush=True)
            continue
        cases = []
        if name in NEW and a.seed == 1:
            raw = plain(config.to_dict())
            raw.pop("architectures", None)
            cases.append((name, dict(raw, model_type=config.model_type), "as it is"))
        rng = random.Random(zlib.crc32(name.encode()) + a.seed)
        cases += [(f"{name}~{a.seed}.{i}", *variation(rng, config, a.rope))
                  for i in range(a.vary)]
        for case, raw, note in cases:
            folder = os.path.join(a.folder, case)
            try:
                cache, ppl = truth_of(make, torch, folder, raw, ids, a.demo)
            except Exception as e:
                shutil.rmtree(folder, ignore_errors=True)
                print(f"{case}: {note}: no case: {type(e).__name__}: "
                      f"{str(e).splitlines()[0][:150] if str(e) else ''}", flush=True)
                continue
            with open(os.path.join(folder, "truth.json"), "w") as f:
                json.dump(dict(cache=[dict(context=T, cache_bytes=stored,
                                           cache_bytes_window=window)
                                      for T, stored, window in cache],
                               perplexity=ppl), f)
            for T, stored, window in cache:
                more = (f"with the window's last token: {window}; "
                        if window != stored else "")
                rows.writerow([case, T, stored, make.shown(ppl), more + note])
            out.flush()
            print(case, note, cache[-1], make.shown(ppl), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
