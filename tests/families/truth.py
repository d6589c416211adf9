#!/usr/bin/env python3
"""Sizes of tiny models beside what transformers' own cache holds.

    truth.py MLASCOPE FOLDER [TRUTH.csv]

FOLDER/NAME/ holds a model's config.json, TRUTH.csv [FOLDER/truth.csv] the columns family,
context, cache_bytes_16bit, note. Either of two figures is right for layers with a
window: transformers keeps the window's tokens but the last between two steps, and the
note says "with the window's last token: N" for the whole window.

Prints each family that is wrong or refused, and the counts; exit status 1 when a size
is wrong and mlascope did not say that it may be.
"""

import csv
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
            families.setdefault(row["family"], []).append(
                (int(row["context"]), accepted))
    return families


def sizes(mlascope, folder, contexts):
    """(exit status, {context: bytes}, message)"""
    ran = subprocess.run(
        [mlascope, "size", folder, "-s", "baseline", "-T",
         ",".join(map(str, contexts)), "--block", "1", "--format", "csv"],
        capture_output=True, text=True)
    lines = [l for l in ran.stdout.splitlines() if not l.startswith("#")]
    found = {int(r["tokens"]): float(r["sequence_bytes"]) for r in csv.DictReader(lines)}
    return ran.returncode, found, ran.stderr.strip()


def main():
    mlascope, root = sys.argv[1:3]
    truth = rows_of(sys.argv[3] if len(sys.argv) > 3 else f"{root}/truth.csv")
    right = refused = doubted = wrong = 0
    for family, rows in truth.items():
        status, found, message = sizes(mlascope, f"{root}/{family}",
                                       [T for T, _ in rows])
        same = found and all(found.get(T) in ok for T, ok in rows)
        if status == 0 and same:
            right += 1
            continue
        what = "WRONG" if status == 0 else "doubted" if found else "refused"
        wrong += what == "WRONG"
        doubted += what == "doubted"
        refused += what == "refused"
        print(f"{family}: {what}: {found}, expected {rows}: {message[:200]}")
    print(f"{len(truth)} families: {right} right, {doubted} at most, {refused} refused, "
          f"{wrong} wrong without a word")
    return 1 if wrong or not truth else 0


if __name__ == "__main__":
    sys.exit(main())
