#!/usr/bin/env python3
"""Configs with the bytes that transformers' own cache holds, one JSON object a line.

    fixtures.py FOLDER [CASES] > ../data/families.jsonl

FOLDER/NAME/ has config.json and truth.json of a tiny model (what transformers caches
after a prefill, at 16 bits a number, the window's last token included); CASES has
folders with config.json and want: real models whose bytes a token at T = 32768 somebody
published. Facts alone: keys and numbers, no weights.
"""

import json
import os
import sys

DROP = ("architectures", "transformers_version", "id2label", "label2id", "auto_map",
        "quantization_config", "_name_or_path", "vision_config")


def plain(config):
    return {k: plain(v) if isinstance(v, dict) else v
            for k, v in config.items() if k not in DROP}


def tiny(root):
    for name in sorted(os.listdir(root)):
        truth = os.path.join(root, name, "truth.json")
        if not os.path.exists(truth):
            continue
        rows = [[row["context"], row.get("cache_bytes_window", row["cache_bytes"])]
                for row in json.load(open(truth))["cache"]]
        config = json.load(open(os.path.join(root, name, "config.json")))
        yield dict(family=name, bytes=rows, config=plain(config))


def published(root):
    for name in sorted(os.listdir(root)):
        want, config = (os.path.join(root, name, f) for f in ("want", "config.json"))
        if not os.path.exists(want) or not os.path.exists(config):
            continue
        per_token = float(open(want).readline())
        yield dict(family="published " + name, per_token=per_token,
                   config=plain(json.load(open(config))))


def main():
    rows = list(tiny(sys.argv[1]))
    if len(sys.argv) > 2:
        rows += published(sys.argv[2])
    for row in rows:
        text = json.dumps(row, separators=(",", ":"))
        print(text.replace(":Infinity", ":null").replace(",Infinity", ",null"))


if __name__ == "__main__":
    main()
