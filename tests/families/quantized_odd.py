#!/usr/bin/env python3
"""Quantized folders as they should not be, and MLX's of whole families.

    quantized_odd.py MLASCOPE FAMILIES OUT EVALUATION.txt [NAME...]

FAMILIES/NAME/ are folders that transformers wrote. Each case writes a folder in a way that
a careless reader takes for another: `mlascope evaluate` must give the perplexity of the
same weights in floats, to 6 digits, or refuse. Exit status 1 when one gives another one.
"""

import json
import os
import sys

import torch
from safetensors.torch import load_file

from quantized import MATRIX, awq, compressed, fp8_block, fp8_channel, fp8_tensor, gptq
from quantized import mlx, nf4, perplexity, write

CT = {"quant_method": "compressed-tensors"}


def of(make, renamed=None, dropped=None):
    """Every matrix by make; parts renamed or left out."""
    def case(weights, config):
        stored, plain = {}, {}
        for i, (key, w) in enumerate(weights.items()):
            stored[key] = plain[key] = w.float()
            if key.endswith(MATRIX):
                del stored[key]
                parts, plain[key] = make(key, w.float(), i)
                for name, x in parts.items():
                    if dropped and name.endswith(dropped):
                        continue
                    if renamed and name.endswith(renamed[0]):
                        name = name[:-len(renamed[0])] + renamed[1]
                    stored[name] = x
        return stored, plain
    return case


def plain_floats(weights, config):
    return dict(weights), weights


def storage_bf16(name, w, gen):
    parts, d = nf4("nf4", False)(name, w, gen)
    parts[name] = parts[name].reshape(-1).view(torch.bfloat16).reshape(-1, 1)
    return parts, d


def mlx_experts(shift=0.0, bits=4):
    """mlx-lm's names: stacks of experts, convolutions (C, taps, 1), norms shifted."""
    def case(weights, config):
        stored, plain, stacks = {}, {}, {}
        make = mlx(bits, "float32")
        for i, (key, w) in enumerate(weights.items()):
            w = w.float()
            plain[key] = stored[key] = w
            if ".experts." in key and key.split(".experts.")[1][0].isdigit():
                head, tail = key.split(".experts.")
                e, part = tail.split(".", 1)
                part = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}.get(
                    part.split(".")[0], part.split(".")[0])
                del stored[key]
                parts, plain[key] = make(key, w, i)
                for name, x in parts.items():
                    end = name.rsplit(".", 1)[1]
                    stacks.setdefault(f"{head}.switch_mlp.{part}.{end}", []).append(
                        (int(e), x))
            elif key.endswith(("conv1d.weight", "conv.conv.weight")):
                stored[key] = w.moveaxis(2, 1).contiguous()
            elif key.endswith("norm.weight") and "linear_attn" not in key:
                stored[key] = w + shift
        for name, x in stacks.items():
            stored[name] = torch.stack([y for _, y in sorted(x, key=lambda z: z[0])])
        return stored, plain
    return case


# name: folder, weights, quantization, where it stands in config.json
CASES = {
    "fp8 block, no config": ("llama", of(fp8_block), None),
    "fp8 block 32 said to be 64": ("llama", of(fp8_block), {
        "quant_method": "fp8", "weight_block_size": [64, 64]}),
    "fp8 tensor, scales by another name": ("llama", of(
        fp8_tensor, ("_scale", "_factor")), {"quant_method": "fp8"}),
    "fp8 tensor, qscale, no config": ("llama", of(
        fp8_tensor, (".weight_scale", ".qscale_weight")), None),
    "fp8 channel, no config": ("llama", of(fp8_channel), None),
    "fp8 channel, no scales": ("llama", of(fp8_channel, dropped="_scale"),
                               CT | {"format": "float-quantized"}),
    "floats that config calls gptq": ("llama", plain_floats, {
        "quant_method": "gptq", "bits": 4, "group_size": 32}),
    "floats that config calls fp8": ("llama", plain_floats, {"quant_method": "fp8"}),
    "gptq, no config": ("llama", of(gptq(4, True)), None),
    "gptq act order without g_idx": ("llama", of(gptq(4, True), dropped="g_idx"), {
        "quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": True}),
    "gptq 4 said to be 8": ("llama", of(gptq(4, False)), {
        "quant_method": "gptq", "bits": 8, "group_size": 32}),
    "gptq said to be awq": ("llama", of(gptq(4, False)), {
        "quant_method": "awq", "bits": 4, "group_size": 32}),
    "awq said to be gptq": ("llama", of(awq), {
        "quant_method": "gptq", "bits": 4, "group_size": 32}),
    "gptq marlin": ("llama", of(gptq(4, False)), {
        "quant_method": "gptq", "bits": 4, "group_size": 32, "is_marlin_format": True}),
    "gptq 32 said to be 64": ("llama", of(gptq(4, False)), {
        "quant_method": "gptq", "bits": 4, "group_size": 64}),
    "int4 with a transform": ("llama", of(compressed(4, True, 32)), CT | {
        "format": "pack-quantized", "transform_config": {"config_groups": {"R1": {}}}}),
    "int4, no config": ("llama", of(compressed(4, True, 32)), None),
    "int4 sparse": ("llama", of(compressed(4, True, 32)), CT | {
        "format": "pack-quantized", "sparsity_config": {"format": "sparse-24-bitmask"}}),
    "nf4, no config": ("llama", of(nf4("nf4", True)), None),
    "nf4 stored as bfloat16": ("llama", of(storage_bf16), {
        "quant_method": "bitsandbytes", "load_in_4bit": True}),
    "mlx, no config": ("llama", of(mlx(4, "float32")), None),
    "mlx 4 said to be 8": ("llama", of(mlx(4, "float32")), {"group_size": 32, "bits": 8}),
    "mlx 32 said to be 64": ("llama", of(mlx(4, "float32")), {
        "group_size": 64, "bits": 4}),
    "mlx experts, qwen3_moe": ("qwen3_moe", mlx_experts(), {"group_size": 32, "bits": 4}),
    "mlx experts, mixtral": ("mixtral", mlx_experts(), {"group_size": 32, "bits": 4}),
    "mlx experts, deepseek_v3": ("deepseek_v3", mlx_experts(), {
        "group_size": 32, "bits": 4}),
    "mlx experts, glm4_moe": ("glm4_moe", mlx_experts(), {"group_size": 32, "bits": 4}),
    "mlx, lfm2": ("lfm2", mlx_experts(), {"group_size": 32, "bits": 4}),
    "mlx, qwen3_next": ("qwen3_next", mlx_experts(1.0), {"group_size": 32, "bits": 4}),
    "mlx, falcon_h1": ("falcon_h1", mlx_experts(), {"group_size": 32, "bits": 4}),
    "mlx, nemotron_h": ("nemotron_h", mlx_experts(), {"group_size": 32, "bits": 4}),
}


def main():
    mlascope, families, out, text = sys.argv[1:5]
    wrong = 0
    for name in sys.argv[5:] or CASES:
        family, make, quantization = CASES[name]
        model = f"{families}/{family}"
        weights = load_file(model + "/model.safetensors")
        config = json.load(open(model + "/config.json"))
        stored, plain = make(weights, config)
        folder = f"{out}/{name.replace(' ', '-').replace(',', '')}"
        key = "quantization" if name.startswith("mlx") else "quantization_config"
        contiguous = {k: v.contiguous() for k, v in stored.items()}
        write(folder, model, contiguous,
              config | ({key: quantization} if quantization else {}))
        write(folder + "-plain", model, {k: v.contiguous() for k, v in plain.items()},
              config)
        got, want = (perplexity(mlascope, f, text) for f in (folder, folder + "-plain"))
        try:
            same = abs(float(got) / float(want) - 1) < 1e-6
            said = f"{'same' if same else 'WRONG'}: {got} {want}"
            wrong += not same
        except ValueError:
            said = "refused: " + got.replace(os.path.abspath(folder), "FOLDER")
        print(f"{name}: {said.replace(folder, 'FOLDER')}", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
