#!/usr/bin/env python3
"""The best setting of each class and size. From a CSV of compare or evaluate, with pandas.

Usage: tables.py settings.csv
"""
import sys

import pandas as pd

table = pd.read_csv(sys.argv[1], comment="#")
table = table[table["setting"] != "original"]
table["kept"] = table["kept_percent"].round(1)
best = table.loc[table.groupby(["served_by", "kept"])["kl"].idxmin()]
print(best[["served_by", "kept", "setting", "kl", "kl_half"]].to_string(index=False))
