"""Does the race of `mlascope report` come to the verdict of --exhaustive?

    python3 bench/speed/verdict.py RACED EXHAUSTIVE

Two reports of one model and text, made without and with --exhaustive. Compared are the
settings chosen for every class of servers and size, their order in each class
(data/served.csv), the order at each size of those that the raced report tells apart by
more than the wider of their half widths, and the answer (data/answer.csv). Figures of other sizes than the
answer's rest on half of the windows in a race: the largest distance between both is
said in half widths of the raced one. Sizes that --exhaustive alone measures are left
out.
"""
import csv
import itertools
import sys


def rows(folder, name):
    with open(f"{folder}/data/{name}.csv", encoding="utf-8") as f:
        return list(csv.DictReader(f))


def what(row):
    return row["served_by"], row["kept_percent"], row["setting"]


def apart(a, b):
    """How far apart two rows are, and the wider half of their intervals."""
    return float(a["kl"]) - float(b["kl"]), max(float(a["kl_half"]), float(b["kl_half"]))


def main():
    same, far, n, equal, pairs, told = True, 0.0, 0, 0, 0, 0
    for name in ("served", "answer"):
        raced, whole = rows(sys.argv[1], name), rows(sys.argv[2], name)
        sizes = {(row["served_by"], row["kept_percent"]) for row in raced}
        whole = [row for row in whole if (row["served_by"], row["kept_percent"]) in sizes]
        same &= len(raced) == len(whole)
        for a, b in zip(raced, whole):
            n += 1
            equal += a["kl"] == b["kl"]
            if what(a) != what(b):
                same = False
                print("raced     ", *what(a), a["kl"], "\nexhaustive", *what(b), b["kl"])
            elif float(a["kl_half"]) > 0:
                gap = abs(float(a["kl"]) - float(b["kl"]))
                far = max(far, gap / float(a["kl_half"]))
        for a, b in itertools.combinations(zip(raced, whole), 2):
            gap, half = apart(a[0], b[0])
            if a[0]["kept_percent"] != b[0]["kept_percent"]:
                continue
            pairs += 1
            told += abs(gap) > half
            if abs(gap) > half and gap * apart(a[1], b[1])[0] <= 0:
                same = False
                print("another order:", *what(a[0]), "and", *what(b[0]))
    print(f"{n} choices of class and size:",
          "the same settings" if same else "not the same settings or order",
          f"in the same places, {equal} with the same figure, others at most {far:.2f} "
          f"half widths apart; {told} of {pairs} pairs of a size are told apart, all in one "
          "order" if same else "")
    sys.exit(not same)


if __name__ == "__main__":
    main()
