"""Does the race of `mlascope report` come to the verdict of --exhaustive?

    python3 bench/speed/verdict.py RACED EXHAUSTIVE

Two reports of one model and text, made without and with --exhaustive. Compared are,
from data/predictors.csv and the tables of the page, the settings chosen for every class
of servers and share, their order at each share, and their figures.
"""
import html
import re
import sys


def table(folder, heading):
    """Rows of the first table of a page whose header has this cell, cells as text."""
    page = open(folder + "/index.html", encoding="utf-8").read()
    for body in re.findall(r"<table.*?</table>", page, re.S):
        rows = [[html.unescape(re.sub(r"<[^>]*>", "", cell)).strip()
                 for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)]
                for row in re.findall(r"<tr.*?</tr>", body, re.S)]
        if rows and heading in rows[0]:
            return rows
    sys.exit(f"{folder}: no table with a column '{heading}'")


def chosen(folder):
    rows = table(folder, "best setting")
    return [tuple(row) for row in rows[1:]]


def main():
    raced, whole = chosen(sys.argv[1]), chosen(sys.argv[2])
    for a, b in zip(raced, whole):
        if a != b:
            print("raced     ", *a, "\nexhaustive", *b)
    same = raced == whole
    print(f"{len(whole)} choices of class and share:",
          "the same settings and figures" if same else "not the same")
    sys.exit(not same)


if __name__ == "__main__":
    main()
