"""Does the race of `mlascope report` come to the verdict of --exhaustive?

    python3 bench/speed/verdict.py RACED EXHAUSTIVE

Two reports of one model and text, made without and with --exhaustive. Compared are the
settings chosen for every class of servers and size and their order in each class
(data/served.csv), and the answer (data/answer.csv). Figures of other sizes than the
answer's rest on half of the windows in a race: the largest distance between both is
said in half widths of the raced one. Sizes that --exhaustive alone measures are left
out.
"""
import csv
import sys


def rows(folder, name):
    with open(f"{folder}/data/{name}.csv", encoding="utf-8") as f:
        return list(csv.DictReader(f))


def what(row):
    return row["served_by"], row["kept_percent"], row["setting"]


def main():
    same, far, n, equal = True, 0.0, 0, 0
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
        order = [sorted(range(len(table)), key=lambda i: float(table[i]["kl"]))
                 for table in (raced, whole)]
        if order[0] != order[1]:
            print(f"{name}: another order by KL")
    print(f"{n} choices of class and size:",
          "the same settings" if same else "not the same settings",
          f"in the same places, {equal} with the same figure, others at most {far:.2f} "
          "half widths apart")
    sys.exit(not same)


if __name__ == "__main__":
    main()
