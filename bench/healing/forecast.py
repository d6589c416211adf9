#!/usr/bin/env python3
"""What a figure before training says about the loss after it; see README.md beside this.

run MLASCOPE MODEL WORK [--settings FILE] [--steps A,B,C] [--batch N] ...: one CSV row a setting.
table CSV: rank correlations of every figure with the KL after training, as Markdown.
"""
import argparse
import csv
import json
import math
import os
import struct
import subprocess
import sys
import time

BUDGETS = (10, 30, 90)
FIELDS = ["setting", "numbers", "kl_before", "error_before", "error_healed", "kl_healed",
          "kl_after_1", "kl_after_2", "kl_after_3", "seconds_heal", "seconds_train"]


def read_safetensors(path):
    import numpy as np
    import torch
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(n))
        data = f.read()
    out = {}
    for name, t in header.items():
        if name == "__metadata__":
            continue
        raw = data[t["data_offsets"][0]:t["data_offsets"][1]]
        if t["dtype"] == "BF16":
            x = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        else:
            x = np.frombuffer(raw, {"F32": "<f4", "F64": "<f8", "F16": "<f2"}[t["dtype"]])
        out[name] = torch.tensor(x.copy().astype("f4")).reshape(t["shape"])
    return out, header.get("__metadata__", {})


def run(args):
    import torch
    import torch.nn.functional as F

    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    config = json.load(open(f"{args.model}/config.json"))
    weights, _ = read_safetensors(f"{args.model}/model.safetensors")
    layers = config["num_hidden_layers"]
    eps = config["rms_norm_eps"]

    def turn(x, freq):
        angle = torch.arange(x.shape[-2])[:, None] * freq
        u, v = x.chunk(2, dim=-1)
        c, s = angle.cos(), angle.sin()
        return torch.cat([u * c - v * s, v * c + u * s], -1)

    def rms(x, gain, e=eps):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + e) * gain

    class Form:
        """A layer's latent form (docs/format/export.md); every array but frequencies trains."""

        def __init__(self, path):
            tensors, meta = read_safetensors(path)
            self.f = json.loads(meta["form"])
            quants = [a["quant"] for a in self.f["latents"] + self.f["rope_keys"]]
            if any(q not in ("none", "16") for q in quants) or self.f["sliding_window"] or \
                    self.f["token_budget"] < 1:
                sys.exit(f"{path}: quantized, windowed or budgeted forms are not trained")
            self.fixed = {k: v for k, v in tensors.items() if k.endswith("inv_freq")}
            self.p = {k: v.requires_grad_() for k, v in tensors.items()
                      if not k.endswith("inv_freq")}

        def map(self, x, name, weight="weight", bias="bias"):
            w = self.p.get(f"{name}.{weight}")
            return x if w is None else F.linear(x, w, self.p.get(f"{name}.{bias}"))

        def cache(self, x):
            f, p, D = self.f, self.p, self.f["D"]
            latents, ropes, keys, values = [], [], [], []
            for i, v in enumerate(f["latents"]):
                if v["source"] == "x":
                    c = self.map(x, f"latent.{i}", "down", "down_bias")
                    if f"latent.{i}.norm" in p:
                        c = rms(c, p[f"latent.{i}.norm"], f["norm_eps"])
                else:
                    g = v["head"]
                    b = p.get("key.bias")
                    k = F.linear(x, p["key.weight"][g * D:(g + 1) * D],
                                 None if b is None else b[g * D:(g + 1) * D])
                    k = rms(k, p["norm.key"], f["norm_eps"]) if "norm.key" in p else k
                    c = self.map(turn(k, self.fixed["inv_freq"]), f"latent.{i}", "down",
                                 "down_bias")
                latents.append(c)
            for b in range(len(f["rope_keys"])):
                ropes.append(turn(self.map(x, f"rope_key.{b}"),
                                  self.fixed[f"rope_key.{b}.inv_freq"]))
            for g, h in enumerate(f["heads"]):
                parts = []
                if h["key_latent"] >= 0:
                    k = self.map(latents[h["key_latent"]], f"head.{g}", "up_key", "key_bias")
                    if h["rotation"] == "after-read":
                        k = rms(k, p["norm.key"], f["norm_eps"]) if "norm.key" in p else k
                        k = turn(k, self.fixed["inv_freq"])
                    parts.append(k)
                if h["rope_key"] >= 0:
                    parts.append(ropes[h["rope_key"]])
                keys.append(torch.cat(parts, -1))
                values.append(self.map(latents[h["value_latent"]], f"head.{g}", "up_value",
                                       "value_bias"))
            return keys, values

        def __call__(self, x, kept):
            f, p = self.f, self.p
            share = f["share_layer"]
            keys, values = kept[share] if share >= 0 else self.cache(x)
            kept[f["layer"]] = keys, values
            y = x
            if f["q_rank"]:
                y = self.map(x, "query", "down", "down_bias")
                y = rms(y, p["query.down_norm"], f["norm_eps"]) if "query.down_norm" in p else y
            q_all, out, first = self.map(y, "query"), [], 0
            for h in range(f["H"]):
                g = h // (f["H"] // f["G"])
                head, k, v = f["heads"][g], keys[g], values[g]
                q = q_all[..., first:first + k.shape[-1]]
                first += k.shape[-1]
                n = head["n_key"]
                a, b = q[..., :n], q[..., n:]
                if head["rotation"] != "never":
                    a = rms(a, p["norm.query"], f["norm_eps"]) if "norm.query" in p else a
                    a = turn(a, self.fixed["inv_freq"])
                if head["rope_key"] >= 0:
                    b = turn(b, self.fixed[f"rope_key.{head['rope_key']}.inv_freq"])
                s = torch.cat([a, b], -1) @ k.transpose(-1, -2) * f["scale"]
                T = s.shape[-1]
                hide = torch.ones(T, T, dtype=torch.bool).triu(1)
                out.append(torch.softmax(s.masked_fill(hide, -torch.inf), -1) @ v)
            return self.map(torch.cat(out, -1), "output")

    def logits(ids, forms, w):
        h, kept = w["model.embed_tokens.weight"][ids], {}
        for l in range(layers):
            at = f"model.layers.{l}."
            h = h + forms[l](rms(h, w[at + "input_layernorm.weight"]), kept)
            x = rms(h, w[at + "post_attention_layernorm.weight"])
            gate = F.silu(x @ w[at + "mlp.gate_proj.weight"].T)
            h = h + (gate * (x @ w[at + "mlp.up_proj.weight"].T)) @ w[at + "mlp.down_proj.weight"].T
        head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
        return rms(h, w["model.norm.weight"]) @ head.T

    def mlascope(*words):
        done = subprocess.run([args.mlascope, *words], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        return done.stdout

    def windows(text):
        ids = [int(x) for x in mlascope("tokenize", args.model, "-f", text).split()]
        n = len(ids) // args.length
        return torch.tensor(ids[:n * args.length]).reshape(n, args.length)

    def load(folder):
        return [Form(f"{folder}/layer-{l:05}.safetensors") for l in range(layers)]

    os.makedirs(args.work, exist_ok=True)
    path = os.path.join(args.work, "forecast.csv")
    done = set()
    if os.path.exists(path):
        done = {row["setting"] for row in csv.DictReader(open(path))}
    else:
        csv.DictWriter(open(path, "w"), FIELDS).writeheader()
    capture = os.path.join(args.work, "run.h5")
    if not os.path.exists(capture):
        mlascope("capture", args.model, "-f", args.calibration, "-o", capture)
    train, test = windows(args.calibration), windows(args.evaluation)[:args.windows]
    plain = os.path.join(args.work, "baseline")
    if not os.path.exists(plain):
        mlascope("export", args.model, "-s", "baseline", "--for", "latent", "-o", plain)
    original = load(plain)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(1))
    order = torch.cat([order] * (1 + args.steps[-1] * args.batch // len(train)))

    def wanted(ids):
        with torch.no_grad():
            return torch.log_softmax(logits(ids, original, weights), -1)

    def kl_of(ids, target, forms, w):
        got = torch.log_softmax(logits(ids, forms, w), -1)
        return (target.exp() * (target - got)).sum(-1)[:, :-1].mean()

    target_test = wanted(test)
    targets = {}

    def measure(forms, w):
        with torch.no_grad():
            return kl_of(test, target_test, forms, w).item()

    def after_training(forms):
        w = {k: v.clone().requires_grad_() for k, v in weights.items()}
        p = list(w.values()) + [x for form in forms for x in form.p.values()]
        adam = torch.optim.AdamW(p, lr=args.rate, weight_decay=0, betas=(0.9, 0.95))
        out = []
        for step in range(args.steps[-1]):
            if step not in targets:
                ids = train[order[step * args.batch:(step + 1) * args.batch]]
                targets[step] = ids, wanted(ids)
            for group in adam.param_groups:
                group["lr"] = args.rate * min(1, (step + 1) / 5) * 0.5 * (
                    1 + math.cos(math.pi * step / args.steps[-1]))
            loss = kl_of(*targets[step], forms, w)
            adam.zero_grad()
            loss.backward()
            adam.step()
            if step + 1 in args.steps:
                out.append(measure(forms, w))
        return out

    for setting in open(args.settings).read().splitlines():
        if not setting or setting in done:
            continue
        name = setting.replace(" ", "_")
        start, healed = (os.path.join(args.work, kind, name) for kind in ("start", "healed"))
        row = {"setting": setting}
        try:
            if not os.path.exists(start):
                mlascope("export", args.model, "-s", setting, "--capture", capture, "--for",
                         "latent", "-o", start)
            t0 = time.process_time()
            began = os.times()
            if not os.path.exists(healed):
                losses = mlascope("heal", args.model, "-s", setting, "--capture", capture, "-f",
                                  args.calibration, "--inputs", args.inputs, "--steps",
                                  str(args.heal_steps), "-t", str(args.threads), "-o", healed)
            ended = os.times()
            losses = [line.split(",") for line in open(f"{healed}/healing.csv")
                      if line[0].isdigit()]
            forms = load(start)
            row["numbers"] = sum(a["r"] for f in forms for a in f.f["latents"]) + sum(
                a["n"] for f in forms for a in f.f["rope_keys"])
            row["error_before"] = sum(float(x[1]) for x in losses) / len(losses)
            row["error_healed"] = sum(float(x[3]) for x in losses) / len(losses)
            row["kl_before"] = measure(forms, weights)
            row["kl_healed"] = measure(load(healed), weights)
            t0 = time.process_time()
            for i, kl in enumerate(after_training(forms)):
                row[f"kl_after_{i + 1}"] = kl
            row["seconds_train"] = round(time.process_time() - t0, 1)
            row["seconds_heal"] = round(ended.children_user - began.children_user, 1)
        except RuntimeError as problem:
            print(f"{setting}: {problem}", file=sys.stderr)
            continue
        csv.DictWriter(open(path, "a"), FIELDS).writerow(row)
        print(row, flush=True)


def ranks(x):
    order = sorted(range(len(x)), key=lambda i: x[i])
    out = [0.0] * len(x)
    for position, i in enumerate(order):
        out[i] = position
    return out


def spearman(a, b):
    a, b = ranks(a), ranks(b)
    mean = (len(a) - 1) / 2
    top = sum((x - mean) * (y - mean) for x, y in zip(a, b))
    return top / sum((x - mean) ** 2 for x in a)


def kendall(a, b):
    n = len(a)
    pairs = [(a[i] - a[j]) * (b[i] - b[j]) for i in range(n) for j in range(i)]
    return sum((p > 0) - (p < 0) for p in pairs) / len(pairs)


def table(args):
    rows = [{k: v if k == "setting" else float(v) for k, v in r.items() if v}
            for r in csv.DictReader(open(args.csv))]
    sizes = sorted({r["numbers"] for r in rows})
    groups = [("all", rows)] + [
        (f"{int(size)} numbers per token", [r for r in rows if r["numbers"] == size])
        for size in sizes if sum(r["numbers"] == size for r in rows) >= 5]
    print("| settings | figure | " + " | ".join(
        f"after {n}: ρ, τ" for n in ("budget 1", "budget 2", "budget 3")) + " |")
    print("|---|---|---|---|---|")
    for name, group in groups:
        for figure in ("kl_before", "error_before", "error_healed", "kl_healed"):
            x = [r[figure] for r in group]
            cells = []
            for i in (1, 2, 3):
                y = [r[f"kl_after_{i}"] for r in group]
                cells.append(f"{spearman(x, y):.3f}, {kendall(x, y):.3f}")
            print(f"| {name} ({len(group)}) | {figure} | " + " | ".join(cells) + " |")
    errors = []
    logs = [(math.log(r["kl_healed"]), math.log(r["kl_after_3"])) for r in rows]
    for left in range(len(logs)):
        rest = logs[:left] + logs[left + 1:]
        mx, my = (sum(c) / len(rest) for c in zip(*rest))
        slope = sum((x - mx) * (y - my) for x, y in rest) / sum((x - mx) ** 2 for x, y in rest)
        errors.append(abs(my + slope * (logs[left][0] - mx) - logs[left][1]))
    errors.sort()
    print(f"\nlog KL after budget 3 by a line in log KL healed, each setting left out once: median "
          f"error a factor of {math.exp(errors[len(errors) // 2]):.3f}, largest "
          f"{math.exp(errors[-1]):.3f}")


parser = argparse.ArgumentParser(description=__doc__)
commands = parser.add_subparsers(required=True)
r = commands.add_parser("run")
for word in ("mlascope", "model", "work"):
    r.add_argument(word)
here = os.path.dirname(os.path.abspath(__file__))
r.add_argument("--settings", default=os.path.join(here, "settings.txt"))
r.add_argument("--calibration", default="datasets/demo/calibration.txt")
r.add_argument("--evaluation", default="datasets/demo/evaluation.txt")
r.add_argument("--length", type=int, default=256)
r.add_argument("--windows", type=int, default=12, help="of the evaluation text")
r.add_argument("--steps", type=lambda s: tuple(int(x) for x in s.split(",")), default=BUDGETS)
r.add_argument("--batch", type=int, default=4)
r.add_argument("--rate", type=float, default=5e-4)
r.add_argument("--heal-steps", type=int, default=40)
r.add_argument("--inputs", default="healed")
r.add_argument("--threads", type=int, default=1)
r.set_defaults(run=run)
t = commands.add_parser("table")
t.add_argument("csv")
t.set_defaults(run=table)
arguments = parser.parse_args()
arguments.run(arguments)
