#!/usr/bin/env python3
"""What a figure before training says about the loss after it; see README.md beside this.

run MLASCOPE MODEL WORK [--settings FILE] [--device cuda] [--jobs N] ...: a CSV row a setting.
table CSV [--held FILE]: rank correlations of every figure with the KL after training.
"""
import argparse
import csv
import json
import math
import multiprocessing
import os
import re
import subprocess
import sys
import time

BUDGETS = (30, 100, 300)
FIGURES = ["kl_before", "error_before", "error_healed", "kl_healed"]
FIELDS = ["setting", "numbers", *FIGURES, "kl_after_1", "kl_after_2", "kl_after_3",
          "kl_from_healed", "loss_step_0", "seconds_heal", "seconds_train"]


def read_safetensors(path):
    import torch
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../tests/reference"))
    from tensor_files import read_safetensors as read
    tensors, meta = read(path)
    return {name: torch.tensor(x.copy()) for name, x in tensors.items()}, meta


def read_gguf(path):
    """Everything but attention of a GGUF of the llama architecture, by its names elsewhere."""
    import gguf
    import torch
    reader = gguf.GGUFReader(path)
    value = {k: f.contents() for k, f in reader.fields.items()}
    names = {"token_embd": "model.embed_tokens", "output_norm": "model.norm",
             "output": "lm_head", "attn_norm": "input_layernorm",
             "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
             "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    out = {}
    for t in reader.tensors:
        block, name = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.weight", t.name).groups()
        if name in names:
            at = names[name] if block is None else f"model.layers.{block}.{names[name]}"
            x = gguf.dequantize(t.data, t.tensor_type)
            out[at + ".weight"] = torch.tensor(x.copy().astype("f4"))
    return out, value["llama.block_count"], value["llama.attention.layer_norm_rms_epsilon"]


def read_model(path):
    if path.endswith(".gguf"):
        return read_gguf(path)
    config = json.load(open(f"{path}/config.json"))
    weights, _ = read_safetensors(f"{path}/model.safetensors")
    weights = {k: v for k, v in weights.items() if ".self_attn." not in k}
    return weights, config["num_hidden_layers"], config["rms_norm_eps"]


def turn(x, freq):
    import torch
    angle = torch.arange(x.shape[-2], device=x.device)[:, None] * freq
    u, v = x.chunk(2, dim=-1)
    c, s = angle.cos(), angle.sin()
    return torch.cat([u * c - v * s, v * c + u * s], -1)


def rms(x, gain, eps):
    import torch
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * gain


class Form:
    """A layer's latent form (docs/format/export.md); every array but frequencies trains."""

    def __init__(self, path, device):
        tensors, meta = read_safetensors(path)
        self.f = json.loads(meta["form"])
        quants = [a["quant"] for a in self.f["latents"] + self.f["rope_keys"]]
        if any(q not in ("none", "16") for q in quants) or self.f["sliding_window"] or \
                self.f["token_budget"] < 1:
            raise RuntimeError(f"{path}: quantized, windowed, budgeted forms are not trained")
        tensors = {k: v.to(device) for k, v in tensors.items()}
        self.fixed = {k: v for k, v in tensors.items() if k.endswith("inv_freq")}
        self.p = {k: v.requires_grad_() for k, v in tensors.items()
                  if not k.endswith("inv_freq")}

    def map(self, x, name, weight="weight", bias="bias"):
        import torch.nn.functional as F
        w = self.p.get(f"{name}.{weight}")
        return x if w is None else F.linear(x, w, self.p.get(f"{name}.{bias}"))

    def norm(self, x, name):
        p = self.p
        return rms(x, p[name], self.f["norm_eps"]) if name in p else x

    def cache(self, x):
        import torch
        import torch.nn.functional as F
        f, p, D = self.f, self.p, self.f["D"]
        latents, ropes, keys, values = [], [], [], []
        for i, v in enumerate(f["latents"]):
            if v["source"] == "x":
                c = self.norm(self.map(x, f"latent.{i}", "down", "down_bias"),
                              f"latent.{i}.norm")
            else:
                at = slice(v["head"] * D, (v["head"] + 1) * D)
                b = p.get("key.bias")
                k = self.norm(F.linear(x, p["key.weight"][at], None if b is None else b[at]),
                              "norm.key")
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
                    k = turn(self.norm(k, "norm.key"), self.fixed["inv_freq"])
                parts.append(k)
            if h["rope_key"] >= 0:
                parts.append(ropes[h["rope_key"]])
            keys.append(torch.cat(parts, -1))
            values.append(self.map(latents[h["value_latent"]], f"head.{g}", "up_value",
                                   "value_bias"))
        return keys, values

    def __call__(self, x, kept):
        import torch
        f = self.f
        share = f["share_layer"]
        keys, values = kept[share] if share >= 0 else self.cache(x)
        kept[f["layer"]] = keys, values
        y = x
        if f["q_rank"]:
            y = self.norm(self.map(x, "query", "down", "down_bias"), "query.down_norm")
        queries, out, first = self.map(y, "query"), [], 0
        B, T, _ = x.shape
        hide = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)
        many = f["H"] // f["G"]  # query heads that read one KV head, together
        for head, k, v in zip(f["heads"], keys, values):
            n = k.shape[-1]
            q = queries[..., first:first + many * n].view(B, T, many, n).transpose(1, 2)
            first += many * n
            a, b = q[..., :head["n_key"]], q[..., head["n_key"]:]
            if head["rotation"] != "never":
                a = turn(self.norm(a, "norm.query"), self.fixed["inv_freq"])
            if head["rope_key"] >= 0:
                b = turn(b, self.fixed[f"rope_key.{head['rope_key']}.inv_freq"])
            s = torch.cat([a, b], -1) @ k[:, None].transpose(-1, -2) * f["scale"]
            o = torch.softmax(s.masked_fill(hide, -torch.inf), -1) @ v[:, None]
            out.append(o.transpose(1, 2).reshape(B, T, -1))
        return self.map(torch.cat(out, -1), "output")


class Bench:
    """The original, texts and batches: the same for every setting and every process."""

    def __init__(self, args):
        import torch
        torch.set_num_threads(args.threads)
        torch.backends.cuda.matmul.allow_tf32 = True
        self.args = args
        weights, self.layers, self.eps = read_model(args.model)
        self.weights = {k: v.to(args.device) for k, v in weights.items()}
        self.original = self.load(os.path.join(args.work, "baseline"))
        read = lambda name: torch.load(os.path.join(args.work, name)).to(args.device)
        self.train, self.test = read("train.pt"), read("test.pt")
        need = args.steps[-1] * args.batch
        order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(1))
        self.order = order.repeat(1 + need // len(order))
        self.targets = [self.wanted(x) for x in self.test.split(args.batch)]

    def load(self, folder):
        return [Form(f"{folder}/layer-{l:05}.safetensors", self.args.device)
                for l in range(self.layers)]

    def logits(self, ids, forms, w):
        import torch
        with torch.autocast(self.args.device, torch.bfloat16, enabled=self.args.bf16):
            return self.forward(ids, forms, w).float()

    def forward(self, ids, forms, w):
        import torch.nn.functional as F
        h, kept = w["model.embed_tokens.weight"][ids], {}
        for l in range(self.layers):
            at = f"model.layers.{l}."
            norm = lambda name: rms(h, w[at + name + ".weight"], self.eps)
            h = h + forms[l](norm("input_layernorm"), kept)
            x = norm("post_attention_layernorm")
            mlp = lambda x, name: x @ w[f"{at}mlp.{name}_proj.weight"].T
            h = h + mlp(F.silu(mlp(x, "gate")) * mlp(x, "up"), "down")
        head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
        return rms(h, w["model.norm.weight"], self.eps) @ head.T

    def wanted(self, ids):
        import torch
        with torch.no_grad():
            return torch.log_softmax(self.logits(ids, self.original, self.weights), -1)

    def kl(self, ids, target, forms, w):
        import torch
        got = torch.log_softmax(self.logits(ids, forms, w), -1)
        return (target.exp() * (target - got)).sum(-1)[:, :-1].mean()

    def measure(self, forms, w):
        import torch
        parts = self.test.split(self.args.batch)
        with torch.no_grad():
            total = sum(len(x) * self.kl(x, t, forms, w).item()
                        for x, t in zip(parts, self.targets))
        return total / len(self.test)

    def after_training(self, folder, steps):
        """(KL on held-out windows after so many steps, all weights trained; loss at step 0)."""
        import torch
        args, forms = self.args, self.load(folder)
        w = {k: v.clone().requires_grad_() for k, v in self.weights.items()}
        p = list(w.values()) + [x for form in forms for x in form.p.values()]
        adam = torch.optim.AdamW(p, lr=args.rate, weight_decay=0, betas=(0.9, 0.95))
        first = None
        for step in range(steps):
            for group in adam.param_groups:
                group["lr"] = args.rate * min(1, (step + 1) / 10) * 0.5 * (
                    1 + math.cos(math.pi * step / steps))
            ids = self.train[self.order[step * args.batch:(step + 1) * args.batch]]
            loss = self.kl(ids, self.wanted(ids), forms, w)
            first = loss.item() if first is None else first
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(p, 1.0)
            adam.step()
        return self.measure(forms, w), first


def mlascope(args, *words):
    done = subprocess.run([args.mlascope, *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or "failed without a word").splitlines()[-1])
    return done.stdout


def folder_of(args, kind, setting):
    return os.path.join(args.work, kind, setting.replace(" ", "_"))


def heal(job):
    """The converted and the healed form of a setting, by mlascope: folders, reused if there."""
    args, setting = job
    start, healed = folder_of(args, "start", setting), folder_of(args, "healed", setting)
    try:
        if not os.path.exists(start):
            mlascope(args, "export", args.model, "-s", setting, "--capture", args.capture,
                     "--for", "latent", "-t", "1", "-o", start)
        began = os.times()
        if not os.path.exists(healed):
            mlascope(args, "heal", args.model, "-s", setting, "--capture", args.capture, "-f",
                     args.calibration, *args.heal.split(), "-t", "1", "-o", healed)
        return setting, round(os.times().children_user - began.children_user, 1)
    except RuntimeError as problem:
        print(f"{setting}: {problem}", file=sys.stderr, flush=True)
        return setting, None


def train(job):
    """One CSV row: what is known before training, and the KL after each budget of it."""
    import torch
    args, setting, seconds = job
    if not hasattr(train, "bench"):
        train.bench = Bench(args)
    bench = train.bench
    start, healed = folder_of(args, "start", setting), folder_of(args, "healed", setting)
    began = time.time()
    with open(f"{healed}/healing.csv") as f:
        losses = [line.split(",") for line in f if line[0].isdigit()]
    row = {"setting": setting, "seconds_heal": seconds}
    try:
        forms = bench.load(start)
    except RuntimeError as problem:
        print(f"{setting}: {problem}", file=sys.stderr, flush=True)
        return None
    row["numbers"] = sum(a["r"] for f in forms for a in f.f["latents"]) + sum(
        a["n"] for f in forms for a in f.f["rope_keys"])
    row["error_before"] = sum(float(x[1]) for x in losses) / len(losses)
    row["error_healed"] = sum(float(x[3]) for x in losses) / len(losses)
    row["kl_before"] = bench.measure(forms, bench.weights)
    row["kl_healed"] = bench.measure(bench.load(healed), bench.weights)
    for i, steps in enumerate(args.steps):
        row[f"kl_after_{i + 1}"], row["loss_step_0"] = bench.after_training(start, steps)
    row["kl_from_healed"] = bench.after_training(healed, args.steps[-1])[0]
    row["seconds_train"] = round(time.time() - began, 1)
    if args.device == "cuda":
        torch.cuda.empty_cache()
    return row


def run(args):
    import torch
    os.makedirs(args.work, exist_ok=True)
    path = os.path.join(args.work, "forecast.csv")
    if not os.path.exists(path):
        with open(path, "w") as f:
            csv.DictWriter(f, FIELDS).writeheader()
    with open(path) as f:
        done = {row["setting"] for row in csv.DictReader(f)}
    settings = [s for s in open(args.settings).read().splitlines() if s and s not in done]
    args.capture = os.path.join(args.work, "run.h5")
    if not os.path.exists(args.capture):
        mlascope(args, "capture", args.model, "-f", args.calibration, "-o", args.capture)
    plain = os.path.join(args.work, "baseline")
    if not os.path.exists(plain):
        mlascope(args, "export", args.model, "-s", "baseline", "--for", "latent", "-o", plain)

    def windows(text, name, most):
        ids = [int(x) for x in mlascope(args, "tokenize", args.model, "-f", text).split()]
        n = min(len(ids) // args.length, most)
        torch.save(torch.tensor(ids[:n * args.length]).reshape(n, args.length),
                   os.path.join(args.work, name))

    windows(args.training or args.calibration, "train.pt", 1 << 30)
    windows(args.evaluation, "test.pt", args.windows)
    context = multiprocessing.get_context("spawn")

    def write(row):
        if row:
            with open(path, "a") as f:
                csv.DictWriter(f, FIELDS).writerow(row)
            print(row, flush=True)

    with context.Pool(args.heal_jobs) as healers, context.Pool(args.jobs) as trainers:
        jobs = []
        for setting, seconds in healers.imap_unordered(heal, [(args, s) for s in settings]):
            if seconds is not None:
                jobs.append(trainers.apply_async(train, ((args, setting, seconds),),
                                                 callback=write))
        for job in jobs:
            job.get()


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


def line(rows, x, y):
    """Slope, intercept of log y over log x by least squares."""
    logs = [(math.log(r[x]), math.log(r[y])) for r in rows]
    mx, my = (sum(c) / len(logs) for c in zip(*logs))
    slope = sum((a - mx) * (b - my) for a, b in logs) / sum((a - mx) ** 2 for a, _ in logs)
    return slope, my - slope * mx


def table(args):
    with open(args.csv) as f:
        rows = [{k: v if k == "setting" else float(v) for k, v in r.items() if v}
                for r in csv.DictReader(f)]
    for r in rows:
        r["excess"] = max(r["kl_before"] - r["kl_healed"], 1e-9)
    sizes = sorted({r["numbers"] for r in rows})
    groups = [("all", rows)] + [
        (f"{int(size)} numbers a token", [r for r in rows if r["numbers"] == size])
        for size in sizes if sum(r["numbers"] == size for r in rows) >= 5]
    targets = ["kl_after_1", "kl_after_2", "kl_after_3", "kl_from_healed"]
    print("| settings | figure | " + " | ".join(f"{t}: ρ, τ" for t in targets) + " |")
    print("|---|---|" + "---|" * len(targets))
    for name, group in groups:
        for figure in FIGURES + ["excess"]:
            x = [r[figure] for r in group]
            cells = []
            for t in targets:
                y = [r[t] for r in group]
                cells.append(f"{spearman(x, y):.3f}, {kendall(x, y):.3f}")
            print(f"| {name} ({len(group)}) | {figure} | " + " | ".join(cells) + " |")
    held = set()
    if args.held:
        with open(args.held) as f:
            held = set(f.read().splitlines())
        for t in targets:
            unseen = [r for r in rows if r["setting"] in held]
            print(f"\n{len(unseen)} settings of {args.held}, {t}: " + ", ".join(
                f"{f} {spearman([r[f] for r in unseen], [r[t] for r in unseen]):.3f}"
                for f in FIGURES))
    lossy = [r for r in rows if r["kl_healed"] > 1e-4]  # an identity says nothing of a loss
    for figure in ("kl_before", "kl_healed"):
        for t in targets[2:]:
            seen = [r for r in lossy if r["setting"] not in held]
            errors = []
            for r in (r for r in lossy if not held or r["setting"] in held):
                slope, start = line([q for q in seen if q is not r], figure, t)
                errors.append(abs(start + slope * math.log(r[figure]) - math.log(r[t])))
            errors.sort()
            slope, start = line(seen, figure, t)
            print(f"\n{t} = {math.exp(start):.3f} {figure}^{slope:.3f} from {len(seen)} settings; "
                  f"error on {len(errors)} that the line has not seen: median a factor of "
                  f"{math.exp(errors[len(errors) // 2]):.3f}, largest {math.exp(errors[-1]):.3f}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    here = os.path.dirname(os.path.abspath(__file__))
    r = commands.add_parser("run")
    for word in ("mlascope", "model", "work"):
        r.add_argument(word)
    r.add_argument("--settings", default=os.path.join(here, "settings.txt"))
    r.add_argument("--calibration", default="datasets/demo/calibration.txt")
    r.add_argument("--training", help="text to train on [that of --calibration]")
    r.add_argument("--evaluation", default="datasets/demo/evaluation.txt")
    r.add_argument("--length", type=int, default=256)
    r.add_argument("--windows", type=int, default=24, help="of the evaluation text")
    r.add_argument("--steps", type=lambda s: tuple(int(x) for x in s.split(",")),
                   default=BUDGETS)
    r.add_argument("--batch", type=int, default=8)
    r.add_argument("--rate", type=float, default=5e-4)
    r.add_argument("--heal", default="--steps 40 --batch 8 --inputs original")
    r.add_argument("--device", default="cpu")
    r.add_argument("--bf16", action="store_true", help="products in bfloat16")
    r.add_argument("--jobs", type=int, default=1, help="settings trained at a time")
    r.add_argument("--heal-jobs", type=int, default=1, help="settings healed at a time")
    r.add_argument("--threads", type=int, default=1, help="of a training")
    r.set_defaults(run=run)
    t = commands.add_parser("table")
    t.add_argument("csv")
    t.add_argument("--held", help="settings that the forecast's line must not see")
    t.set_defaults(run=table)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    arguments.run(arguments)
