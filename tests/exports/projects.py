#!/usr/bin/env python3
"""Our exports in the projects' own code. Optional, by hand: takes minutes.

    PYTHONPATH=TRANSFORMERS python3 tests/exports/projects.py build/tools/mlascope \\
        datasets/demo FOLDER

FOLDER holds checkouts of the projects, each where it is there: MHA2MLA (src/mha2mla),
TransMLA (transmla/transformers), EliteKV (convert), X-EcoMLA (mla). TRANSFORMERS has a
release that runs them, 4.51.0; what does not import is skipped, loudly. Each makes its own model of the demo and
of what we exported; perplexity and KL agree with `mlascope evaluate` to 1e-4, or the exit
status is 1.
"""
import csv
import glob
import importlib.util
import io
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import types

try:
    import torch
    import transformers
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from transformers import LlamaConfig, LlamaForCausalLM
except ImportError as e:
    print(f"SKIPPED: {e}; nothing was run", file=sys.stderr)
    sys.exit(77)

torch.set_num_threads(1)
TOOL, DEMO, PROJECTS = sys.argv[1:4]
TEXT = f"{DEMO}/evaluation.txt"
failed = []


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(" ".join(command) + "\n" + done.stderr)
    return done.stdout


def windows(n, t):
    ids = Tokenizer.from_file(f"{DEMO}/tokenizer.json").encode(
        open(TEXT).read()[: 60 * t * n], add_special_tokens=False).ids
    return torch.tensor(ids[: t * n]).view(n, t)


def log_probs(model, ids):
    with torch.no_grad():
        return torch.log_softmax(model(ids, use_cache=False).logits.double(), -1)


def report(project, setting, model, original, ids, *args, of=DEMO):
    a, b = log_probs(original, ids)[:, :-1], log_probs(model, ids)[:, :-1]
    kl = float((a.exp() * (a - b)).sum(-1).mean())
    ppl = math.exp(-b.gather(-1, ids[:, 1:, None]).mean())
    out = run(TOOL, "evaluate", of, "-f", TEXT, "-T", str(ids.shape[1]), "-N",
              str(ids.shape[0]), "--no-bos", "--format", "csv", "-t", "1", *args)
    row = list(csv.DictReader(io.StringIO("\n".join(
        l for l in out.splitlines() if not l.startswith("#")))))[-1]
    ok = abs(ppl / float(row["perplexity"]) - 1) < 1e-4 and abs(kl - float(row["kl"])) < 1e-4
    if not ok:
        failed.append(setting)
    print(f"| {project} | {setting} | {ppl:.5f} | {float(row['perplexity']):.5f} | "
          f"{kl:.6f} | {float(row['kl']):.6f} |{'' if ok else ' DIFFERS'}", flush=True)


def read(folder, model_class=LlamaForCausalLM, config_class=LlamaConfig):
    c = json.load(open(f"{folder}/config.json"))
    for key in ("model_type", "architectures", "auto_map"):
        c.pop(key, None)
    model = model_class(config_class(**c))
    weights = {}
    for name in glob.glob(f"{folder}/*.safetensors"):
        weights.update(load_file(name))
    left = model.load_state_dict(weights, strict=False)
    assert set(left.missing_keys) <= {"lm_head.weight"} and not left.unexpected_keys, left
    if left.missing_keys:
        model.tie_weights()
    return model.float().eval()


def export(setting, capture, target, folder, *args, of=DEMO):
    run(TOOL, "export", of, "-s", setting, "--capture", capture, "--for", target, *args,
        "-o", folder)


def flat(tree):
    """Keys of a YAML file's sections, the last of a name."""
    out = {}
    for key, value in tree.items():
        out.update(flat(value) if isinstance(value, dict) else {key: value})
    return out


def mha2mla(work, capture):
    sys.path.insert(0, f"{PROJECTS}/MHA2MLA/src/mha2mla")
    import patching_llama
    import patching_model_load
    import yaml
    from transformers.models.llama import modeling_llama

    ids, original = windows(4, 256), read(DEMO)
    own = modeling_llama.LlamaAttention.forward, modeling_llama.apply_rotary_pos_emb
    logits = log_probs(original, ids)
    for i, setting in enumerate(("mha2mla rope=2-norm chunks=8 rank=16",
                                 "mha2mla rope=high chunks=4 rank=32 svd=split")):
        folder = f"{work}/mha2mla-{i}"
        export(setting, capture, "mha2mla", folder)
        args = types.SimpleNamespace(uniform_start_point=0,
                                     **flat(yaml.safe_load(open(f"{folder}/mha2mla.yaml"))))
        args.qk_tensor_path = f"{folder}/2-norm_rank.pth"
        model = read(DEMO)
        with open(os.devnull, "w") as quiet:
            sys.stdout, out = quiet, sys.stdout
            model, q, k = patching_model_load.patch_model(model, model.config, args)
            sys.stdout = out
        patching_llama.mha2mla_llama(q, k)
        report("MHA2MLA", setting, model, lambda *a, **k: types.SimpleNamespace(
            logits=logits), ids, "-s", setting, "--capture", capture)
        modeling_llama.LlamaAttention.forward, modeling_llama.apply_rotary_pos_emb = own


def transmla(work, capture):
    base = f"{PROJECTS}/TransMLA/transmla/transformers"
    package = types.ModuleType("theirs")  # their folder's name is transformers
    package.__path__ = [f"{base}/llama", base]
    sys.modules["theirs"] = package
    for name, path in (("mla", f"{base}/mla.py"),
                       ("configuration_llamamla", f"{base}/llama/configuration_llamamla.py"),
                       ("modeling_llamamla", f"{base}/llama/modeling_llamamla.py")):
        spec = importlib.util.spec_from_file_location(f"theirs.{name}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[f"theirs.{name}"] = module
        spec.loader.exec_module(module)
    config = sys.modules["theirs.configuration_llamamla"].LlamaMLAConfig
    model = sys.modules["theirs.modeling_llamamla"].LlamaMLAForCausalLM
    for i, setting in enumerate(("transmla rope_dim=32 rank=64 freqfold=4",
                                 "kq rope=shared rope_dim=32 rank=32 centre=no")):
        folder = f"{work}/transmla-{i}"
        export(setting, capture, "deepseek", folder, "--norm", "none", "--dtype", "f32")
        report("TransMLA", setting, read(folder, model, config), read(DEMO),
               windows(4, 256), "-s", "baseline", "--against", folder)


def elitekv(work, capture):
    """Its code refuses grouped heads: a small MHA model of random weights."""
    sys.path.insert(0, f"{PROJECTS}/EliteKV/convert")
    import convert
    import modeling_llama_EliteKV as theirs

    source = f"{work}/mha"
    torch.manual_seed(3)
    made = LlamaForCausalLM(LlamaConfig(
        vocab_size=2048, hidden_size=128, intermediate_size=256, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=256,
        initializer_range=0.12)).eval()
    made.save_pretrained(source)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(f"{DEMO}/{name}", source)
    run(TOOL, "capture", source, "-f", f"{DEMO}/calibration.txt", "-T", "128", "-N", "8",
        "--no-bos", "-o", f"{source}.h5", "-t", "1")
    os.chdir(work)  # its converter reads RoPElite/rank/MODEL
    for setting, r, kv in (("elitekv rope=ropelite-l1 chunks=4 rank=64", 4, 64),
                           ("elitekv rope=2-norm chunks=2 rank=100", 2, 100)):
        export(setting, f"{source}.h5", "elitekv", f"{work}/elitekv-{r}", of=source)
        os.makedirs("RoPElite/rank/mha", exist_ok=True)
        shutil.copy(f"{work}/elitekv-{r}/RoPElite_{r}.pkl", "RoPElite/rank/mha/")
        convert.args = types.SimpleNamespace(model_path=source)
        parts = LlamaForCausalLM.from_pretrained(source).eval()
        convert.FUSE.rank_lh_concat(parts, 16, r, kv)
        config = LlamaConfig(**json.load(open(f"{source}/config.json")))
        config.half_of_rope_dim, config.kv_dim = r, kv
        config._attn_implementation = "eager"
        model = theirs.LlamaForCausalLM(config).eval()
        for mine, layer in zip(model.model.layers, parts.model.layers):
            mine.self_attn.importance_rank = layer.self_attn.importance_rank
        model.load_state_dict(parts.state_dict())
        report("EliteKV", setting, model, made, windows(4, 128), "-s", setting,
               "--capture", f"{source}.h5", of=source)


def x_ecomla(work, capture):
    """Its own start, re_init_q and re_init_kv, in its attention class without flash-attn."""
    # Python 3.11 refuses their dataclass' default.
    transformers.PretrainedConfig.__hash__ = object.__hash__
    sys.path.insert(0, f"{PROJECTS}/X-EcoMLA")
    from mla.hybrid_mla_config import DeepseekV3Config
    from mla.hybrid_mla_layer import DeepseekV3Attention

    class Causal(torch.nn.Module):
        def __init__(self, attention):
            super().__init__()
            self.attention = attention

        def forward(self, hidden_states, **_):
            n, t = hidden_states.shape[:2]
            mask = torch.full((t, t), float("-inf")).triu(1).expand(n, 1, t, t)
            return self.attention(hidden_states, attention_mask=mask,
                                  position_ids=torch.arange(t).expand(n, t))[:2]

    setting, model = "x-ecomla rank=96 rope_dim=32 qrank=256", read(DEMO)
    c = model.config
    for i, layer in enumerate(model.model.layers):
        own = layer.self_attn
        attention = DeepseekV3Attention(DeepseekV3Config(
            hidden_size=c.hidden_size, num_attention_heads=c.num_attention_heads,
            llama_num_key_value_heads=c.num_key_value_heads,
            mla_num_key_value_heads=c.num_attention_heads, q_lora_rank=256,
            kv_lora_rank=96, qk_rope_head_dim=32, qk_nope_head_dim=c.head_dim - 32,
            v_head_dim=c.head_dim, use_lora_layer_norm=False, layer_rank_list={},
            rope_theta=c.rope_theta, rope_scaling=None, max_position_embeddings=1024,
            attention_bias=False), layer_idx=i).float()
        attention.out_proj.load_state_dict(own.o_proj.state_dict())
        attention.re_init_q(own.q_proj.weight.data, c.head_dim, torch.float32, False)
        attention.re_init_kv(own.k_proj.weight.data, own.v_proj.weight.data, c.head_dim,
                             torch.float32, False)
        layer.self_attn = Causal(attention)
    report("X-EcoMLA", setting, model.eval(), read(DEMO), windows(4, 256), "-s", setting,
           "--capture", capture)


def main():
    global DEMO, TEXT, TOOL, PROJECTS
    TOOL, DEMO, PROJECTS = (os.path.abspath(x) for x in (TOOL, DEMO, PROJECTS))
    TEXT = f"{DEMO}/evaluation.txt"
    print(f"torch {torch.__version__}, transformers {transformers.__version__}\n")
    print("| project | setting | perplexity | ours | KL | ours |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        capture = f"{work}/run.h5"
        run(TOOL, "capture", DEMO, "-f", f"{DEMO}/calibration.txt", "-T", "256", "-N", "64",
            "--no-bos", "-o", capture, "-t", "1")
        for project in (mha2mla, transmla, x_ecomla, elitekv):
            try:
                project(work, capture)
            except (ImportError, ValueError) as e:
                print(f"SKIPPED: {project.__name__}: {e}", file=sys.stderr)
    sys.exit(bool(failed))


main()
