#!/usr/bin/env python3
"""Multiple choice and planted pairs on the demo model, with transformers and PyTorch.

    python3 -P items.py ../../datasets/demo ../data/questions.jsonl > items.txt

Choices: the sum of log-likelihoods of each choice, acc and acc_norm as lm-evaluation-harness
defines them. Pairs: words, places and losses made once more from the description in
bench/evaluate/items.h; the random numbers are xoshiro256** seeded by splitmix64.
"""
import json
import re
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, questions = sys.argv[1:3]
tok = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
M = (1 << 64) - 1


def ids(text):
    return tok(text, add_special_tokens=False)["input_ids"]


def losses(context, scored):
    """Of each scored token, and whether it is the most likely one."""
    with torch.no_grad():
        logits = model(torch.tensor([context + scored])).logits[0].double()
    logits = logits[len(context) - 1:-1]
    target = torch.tensor(scored)
    return (-torch.log_softmax(logits, -1).gather(1, target[:, None])[:, 0],
            logits.argmax(-1) == target)


def stream(seed, number):
    def split(state):
        state = state + 0x9E3779B97F4A7C15 & M
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & M
        z = (z ^ z >> 27) * 0x94D049BB133111EB & M
        return state, z ^ z >> 31
    state, s = seed ^ split(number)[1], []
    for _ in range(4):
        state, z = split(state)
        s.append(z)
    rot = lambda x, k: (x << k | x >> 64 - k) & M
    while True:
        yield rot(s[1] * 5 & M, 7) * 9 & M
        t = s[1] << 17 & M
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rot(s[3], 45)


def below(numbers, n):
    return next(x for x in numbers if x < M - M % n) % n


right = right_norm = n = 0
for line in filter(str.strip, open(questions, encoding="utf-8")):
    q = json.loads(line)
    sums = []
    for choice in q["choices"]:
        context = q["context"].rstrip()
        gap = q["context"][len(context):] or " "
        before, whole = ids(context), ids(context + gap + choice)
        sums.append(-float(losses(whole[:len(before)], whole[len(before):])[0].sum()))
    each = [s / len(c) for s, c in zip(sums, q["choices"])]
    right += sums.index(max(sums)) == q["answer"]
    right_norm += each.index(max(each)) == q["answer"]
    n += 1
    print("choices", *("%.9g" % s for s in sums))
print("right", right, right_norm, n)

text = open(folder + "/evaluation.txt", encoding="utf-8").read()
words = []
for m in re.finditer(r"(?:(?<= )|(?<![\s\S]))[a-z\u0080-\U0010ffff]+", text):
    w = m.group()
    if 4 <= len(w.encode()) <= 12 and w not in words:
        words.append(w)
    if len(words) == 4096:
        break
distances, pairs = [8, 40], 4
T = max(distances) + 16
all_ids = ids(text[:20000])
for i in range(pairs):
    piece = all_ids[i * T:(i + 1) * T]
    numbers, pick = stream(1, i), []
    while len(pick) < 4:
        k = below(numbers, len(words))
        if k not in pick:
            pick.append(k)
    a, b, c, d = (words[k] for k in pick)
    key = ids("\n%s %s:" % (a, b))
    question = ids("\n%s %s: %s %s" % (a, b, c, d))
    pair = ids("\n%s %s: %s %s\n" % (a, b, c, d))
    for distance in distances + [None]:
        at = len(piece) - (distance or 0)
        before = piece[:at] + (pair if distance is not None else []) + piece[at:]
        loss, hit = losses(before + question[:len(key)], question[len(key):])
        print("pair", i, "none" if distance is None else distance,
              len(before) + len(question), "%.9g" % loss.mean(), "%.9g" % hit.double().mean())
