#!/usr/bin/env python3
"""Exports, run in the code that they are for. Optional: needs torch, transformers and, for
GGUF files, llama-cpp-python; says loudly what is skipped. Takes minutes.

    python3 tests/exports/run.py build/tools/mlascope datasets/demo

For every export: logits of the target against those that `mlascope evaluate --against` is
made of (perplexity and KL, 1e-4), 64 greedy tokens with the target's cache against the same
without one. The last column is what a token's latent and rope key are, not what the target
caches. A table goes to standard output; the exit status is 1 where one of them differs.
"""
import csv
import io
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile

try:
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer
except ImportError as e:
    print(f"SKIPPED: {e}; nothing was run", file=sys.stderr)
    sys.exit(77)

torch.set_num_threads(1)
T, N, NEW = 256, 8, 64
failed = []


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(" ".join(command) + "\n" + done.stderr)
    return done.stdout


def ours(tool, model, folder, text, n=N):
    """Perplexity, KL and bytes per token of a folder as we read it."""
    out = run(tool, "evaluate", model, "-f", text, "-T", str(T), "-N", str(n), "-s",
              "baseline", "--against", folder, "--format", "csv", "-t", "1")
    row = list(csv.DictReader(io.StringIO("\n".join(
        l for l in out.splitlines() if not l.startswith("#")))))[-1]
    return float(row["perplexity"]), float(row["kl"])


def windows(tokenizer, text):
    ids = tokenizer(open(text).read()[: 40 * T * N], add_special_tokens=False).input_ids
    return torch.tensor(ids[: T * N]).view(N, T)


def log_probs(model, ids):
    with torch.no_grad():
        return torch.log_softmax(model(ids, use_cache=False).logits.double(), -1)


def measure(model, original, ids):
    a, b = log_probs(original, ids)[:, :-1], log_probs(model, ids)[:, :-1]
    kl = (a.exp() * (a - b)).sum(-1).mean()
    nll = -b.gather(-1, ids[:, 1:, None]).mean()
    return math.exp(nll), float(kl)


def greedy_agrees(model, ids):
    """64 greedy tokens with the class's own cache and, one by one, without."""
    prompt = ids[:1, :32]
    with_cache = model.generate(prompt, attention_mask=torch.ones_like(prompt),
                                max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False,
                                pad_token_id=0)
    plain = prompt
    for _ in range(NEW):
        with torch.no_grad():
            nxt = model(plain, use_cache=False).logits[:, -1].argmax(-1, keepdim=True)
        plain = torch.cat([plain, nxt], -1)
    return int((with_cache[0, 32:] == plain[0, 32:]).sum())


def report(name, target, theirs, we, greedy, note=""):
    good = abs(theirs[0] / we[0] - 1) < 1e-4 and abs(theirs[1] - we[1]) < 1e-4
    good = good and greedy in (NEW, None)
    if not good:
        failed.append(name)
    print(f"| {name} | {target} | {theirs[0]:.4f} | {we[0]:.4f} | {theirs[1]:.6f} | "
          f"{we[1]:.6f} | {'-' if greedy is None else greedy} | "
          f"{note}{'' if good else ' DIFFERS'} |", flush=True)


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def deepseek(tool, demo, work, text):
    original = AutoModelForCausalLM.from_pretrained(demo, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(demo)
    ids = windows(tokenizer, text)
    capture = f"{work}/run.h5"
    run(tool, "capture", demo, "-f", f"{demo}/calibration.txt", "-T", "256", "-N", "64",
        "-o", capture)
    for setting in ("transmla rope_dim=32 rank=64 freqfold=4",
                    "kq rope=shared rope_dim=32 rank=32",
                    "x-ecomla init=paired rank=96 rope_dim=32"):
        for dtype, norm in (("f32", "linear"), ("bf16", "linear"), ("f32", "fitted")):
            folder = f"{work}/{setting.split()[0]}-{dtype}-{norm}"
            run(tool, "export", demo, "-s", setting, "--capture", capture, "--for",
                "deepseek", "--norm", norm, "--dtype", dtype, "-o", folder)
            model = load(folder)
            assert type(model).__name__ == "DeepseekV3ForCausalLM"
            c = model.config
            numbers = c.kv_lora_rank + c.qk_rope_head_dim
            report(setting, f"transformers, {dtype}, {norm}",
                   measure(model, original, ids), ours(tool, demo, folder, text),
                   greedy_agrees(model, ids) if dtype == "f32" else None,
                   f"{numbers} numbers a token and layer")
    folder = f"{work}/none"
    run(tool, "export", demo, "-s", "x-ecomla init=paired rank=96 rope_dim=32", "--for",
        "deepseek", "--norm", "none", "-o", folder)
    try:
        AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False)
        failed.append("none loads")
    except (ValueError, OSError) as e:
        print(f"--norm none does not load: {str(e).splitlines()[0][:90]}", file=sys.stderr)


def qwen2(tool, demo, work, text):
    """Biases of queries, keys and values: a small Qwen2 of random weights."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(5)
    source = f"{work}/qwen2"
    made = Qwen2ForCausalLM(Qwen2Config(
        vocab_size=2048, hidden_size=96, intermediate_size=128, num_hidden_layers=3,
        num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=T,
        initializer_range=0.12, tie_word_embeddings=True))
    for name, x in made.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(x, std=0.3)
    made.save_pretrained(source)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(f"{demo}/{name}", source)
    ids = windows(AutoTokenizer.from_pretrained(demo), text)
    run(tool, "capture", source, "-f", f"{demo}/calibration.txt", "-T", "256", "-N", "8",
        "-o", f"{source}.h5", "-t", "1")
    original = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    for setting in ("transmla rope_dim=8 rank=24 freqfold=2",
                    "kq rope=shared rope_dim=8 rank=24"):
        for dtype in ("f32", "bf16"):
            folder = f"{source}-{setting.split()[0]}-{dtype}"
            run(tool, "export", source, "-s", setting, "--capture", f"{source}.h5",
                "--for", "deepseek", "--dtype", dtype, "-o", folder)
            model = load(folder)
            report(f"Qwen2 (random), {setting}", f"transformers, {dtype}, linear",
                   measure(model, original, ids), ours(tool, source, folder, text),
                   greedy_agrees(model, ids) if dtype == "f32" else None,
                   f"q_lora_rank {model.config.q_lora_rank} carries the query bias")


def gguf(tool, demo, work, text):
    """One window of 256 tokens after the other in llama.cpp, its cache in float32."""
    try:
        import numpy as np
        from llama_cpp import Llama, __version__
    except ImportError as e:
        print(f"SKIPPED: {e}; no GGUF file was run", file=sys.stderr)
        return
    ids = windows(AutoTokenizer.from_pretrained(demo), text)[:2]
    for setting in ("transmla rope_dim=32 rank=64 freqfold=4",
                    "x-ecomla init=paired rank=96 rope_dim=32"):
        word = setting.split()[0]
        run(tool, "export", demo, "-s", setting, "--capture", f"{work}/run.h5", "--for",
            "gguf", "--dtype", "f32", "-o", f"{work}/{word}-gguf")
        m = Llama(f"{work}/{word}-gguf/model.gguf", n_ctx=T, logits_all=True,
                  type_k=0, type_v=0, n_threads=1, verbose=False)
        some = open(text, "rb").read()[:400]
        assert m.tokenize(some, add_bos=False) == AutoTokenizer.from_pretrained(demo)(
            some.decode(), add_special_tokens=False).input_ids
        nll = []
        for window in ids.tolist():
            m.reset()
            m.eval(window)
            logits = torch.tensor(np.array(m.scores[:T], dtype=np.float64))
            lp = torch.log_softmax(logits[:-1], -1)
            nll.append(-lp.gather(-1, torch.tensor(window[1:])[:, None]).mean())
        theirs = math.exp(sum(nll) / len(nll))
        we = ours(tool, demo, f"{work}/{word}-f32-linear", text, len(ids))[0]
        report(setting, f"llama-cpp-python {__version__}, f32", (theirs, 0), (we, 0),
               None, "2 windows")


def main():
    tool, demo = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as work:
        print(f"torch {torch.__version__}, transformers {transformers.__version__}\n")
        print("| setting | target | perplexity | ours | KL | ours | greedy of 64 | |")
        print("|---|---|---|---|---|---|---|---|")
        deepseek(tool, demo, work, f"{demo}/evaluation.txt")
        qwen2(tool, demo, work, f"{demo}/evaluation.txt")
        gguf(tool, demo, work, f"{demo}/evaluation.txt")
    if failed:
        print("FAILED:", *failed, sep="\n", file=sys.stderr)
    sys.exit(bool(failed))


main()
