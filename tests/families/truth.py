#!/usr/bin/env python3
"""Sizes and perplexities of tiny models beside what transformers says of them.

    truth.py MLASCOPE [FOLDER [TRUTH.csv]] [--text evaluation.txt] [NAME...]

FOLDER [the environment's MLASCOPE_FAMILIES] is made by the script that made TRUTH.csv:
FOLDER/NAME/ holds a model's config.json, TRUTH.csv [FOLDER/truth.csv] the columns family,
context, cache_bytes_16bit, perplexity, note. Either of two figures is right for layers
with a window: transformers keeps the window's tokens but the last between two steps, and
the note says "with the window's last token: N" for the whole window. With --text the
perplexity of 4 windows of 256 tokens is compared, too, to 5 digits.

Prints each family that is wrong or refused, and the counts; exit status 1 when a figure
is wrong and mlascope did not say that it may be, 77 when the folder is not there.
"""

import argparse
import csv
import os
import re
import subprocess
import sys


def rows_of(path):
    families = {}
    with open(path, newline="") as f:
        for row in csv.DictReader(f):
            accepted = {int(row["cache_bytes_16bit"])}
            more = re.search(r"last token: (\d+)", row["note"])
            if more:
                accepted.add(int(more.group(1)))
            rows, _ = families.setdefault(row["family"], ([], row["perplexity"]))
            rows.append((int(row["context"]), accepted))
    return families


def run(*command):
    """(exit status, rows of its CSV, the last line of its message)"""
    ran = subprocess.run(command, capture_output=True, text=True)
    lines = [l for l in ran.stdout.splitlines() if not l.startswith("#")]
    said = ran.stderr.strip().splitlines()
    return ran.returncode, list(csv.DictReader(lines)), said[-1] if said else ""


def judge_size(mlascope, folder, rows):
    contexts = ",".join(str(T) for T, _ in rows)
    status, table, message = run(mlascope, "size", folder, "-s", "baseline", "-T",
                                 contexts, "--block", "1", "--format", "csv")
    found = {int(r["tokens"]): float(r["sequence_bytes"]) for r in table}
    same = found and all(found.get(T) in ok for T, ok in rows)
    if status == 0:
        return ("right" if same else "wrong"), f"{found}, expected {rows}"
    return ("at most" if found else "refused"), message


def judge_perplexity(mlascope, folder, text, expected):
    status, table, message = run(mlascope, "evaluate", folder, "-s", "baseline", "-N",
                                 "4", "-T", "256", "-f", text, "--format", "csv")
    if status != 0:
        return "refused", message
    found = [float(r["perplexity"]) for r in table]
    same = all(abs(x / expected - 1) < 2e-5 for x in found) and len(found) == 2
    return ("right" if same else "wrong"), f"{found}, expected {expected}"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("mlascope")
    p.add_argument("folder", nargs="?", default=os.environ.get("MLASCOPE_FAMILIES"))
    p.add_argument("rest", nargs="*")
    p.add_argument("--text")
    a = p.parse_intermixed_args()
    table = [x for x in a.rest if x.endswith(".csv")]
    names = [x for x in a.rest if not x.endswith(".csv")]
    path = table[0] if table else f"{a.folder}/truth.csv"
    if not a.folder or not os.path.exists(path):
        print("SKIPPED: no tiny models: MLASCOPE_FAMILIES names no folder with a "
              "truth.csv")
        return 77
    counts = {"size": {}, "perplexity": {}}
    for family, (rows, perplexity) in rows_of(path).items():
        if names and family not in names:
            continue
        folder = f"{a.folder}/{family}"
        judged = {"size": judge_size(a.mlascope, folder, rows)}
        if a.text and perplexity:
            judged["perplexity"] = judge_perplexity(a.mlascope, folder, a.text,
                                                    float(perplexity))
        for what, (verdict, why) in judged.items():
            counts[what][verdict] = counts[what].get(verdict, 0) + 1
            if verdict != "right":
                print(f"{family}: {what} {verdict}: {why[:300]}")
    for what, n in counts.items():
        if n:
            print(f"{what} of {sum(n.values())} families: " +
                  ", ".join(f"{n.get(v, 0)} {v}"
                            for v in ("right", "at most", "refused", "wrong")))
    return 1 if any(n.get("wrong") for n in counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
