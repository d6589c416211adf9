#!/usr/bin/env python3
"""Writes tokenizer_unigram.jsonl: Unigram tokenizers, texts and the ids of the library.

    unigram.py > tokenizer_unigram.jsonl      (PyPI tokenizers 0.23.3, sentencepiece 0.2.3)

The lines are those of tokenizer_cases.jsonl: line 1 the models by name and the texts,
then a tokenizer without its model a line, with the ids of each text. The charsmap is one
that sentencepiece compiled of six rules.
"""

import base64
import io
import json
import os
import tempfile

import sentencepiece as spm
import tokenizers
from sentencepiece import sentencepiece_model_pb2 as proto

TEXTS = ["", "the", " the  the", "abcabc", "aaaaaaa", "a b", "  ", "xyz", "日本語", "日本 日", "e\u0301 é",
         "ﬁx", "e\u0301\u0301", "\r\n", "\n", "naïve <s>the</s>", "ﬀ ﬁ", "thethe the", "½a", "<unk> a<unk>"]
SPECIALS = ["<unk>", "<s>", "</s>"]
PIECES = [["▁", -2.5], ["t", -5.0], ["h", -5.5], ["e", -4.0], ["a", -4.25], ["b", -6.0], ["c", -6.5], ["x", -8.0],
          ["the", -6.0], ["▁the", -4.5], ["ab", -7.5], ["abc", -8.0], ["bc", -7.0], ["aa", -8.5], ["aaa", -9.0],
          ["i", -4.0], ["f", -5.0], ["日本", -9.0], ["日", -9.5], ["é", -7.0], [" ", -3.0], ["n", -5.0], ["ve", -9.0]]


def model(bytes_too, more=()):
    vocab = [[t, 0.0] for t in SPECIALS] + PIECES + list(more)
    if bytes_too:
        vocab += [[f"<0x{b:02X}>", -12.0] for b in range(256)]
    return {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": bytes_too}


def charsmap():
    """One code point in, others out, as hexadecimal numbers; a tab between."""
    rules = ["FB01\t66 69", "FB00\t66 66", "0065 0301\tE9", "D\t20", "A\t20", "BD\t"]
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", delete=False) as f:
        f.write("\n".join(rules) + "\n")
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(["a b c d"] * 9), model_writer=out, vocab_size=9,
                                   normalization_rule_tsv=f.name, minloglevel=2)
    os.unlink(f.name)
    return proto.ModelProto.FromString(out.getvalue()).normalizer_spec.precompiled_charsmap


def main():
    table = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap()).decode()}
    meta = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    models = {"plain": model(False), "bytes": model(True),
              "ties": model(False, [["ca", -10.75], ["abca", -12.25], ["bcabc", -15.0]])}
    added = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for i, t in enumerate(SPECIALS)]
    after = {"type": "TemplateProcessing", "pair": [],
             "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
             "special_tokens": {"</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}}
    runs = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    cases = []
    for name in models:
        cases += [(f"{name}, the text as it is", name, {}),
                  (f"{name}, T5", name, {"normalizer": table, "added_tokens": added, "post_processor": after,
                                         "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                                             {"type": "WhitespaceSplit"}, meta]}}),
                  (f"{name}, XLM-R", name, {"normalizer": {"type": "Sequence", "normalizers": [table, runs]},
                                            "added_tokens": added, "pre_tokenizer": meta}),
                  (f"{name}, Nmt and NFKC", name, {"normalizer": {"type": "Sequence", "normalizers": [
                      {"type": "Nmt"}, {"type": "NFKC"}, runs]}, "pre_tokenizer": meta})]
    print(json.dumps({"models": models, "texts": TEXTS}, ensure_ascii=False))
    for name, m, parts in cases:
        parts = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
                 "pre_tokenizer": None, "post_processor": None, "decoder": None, **parts}
        tok = tokenizers.Tokenizer.from_str(json.dumps({**parts, "model": models[m]}))
        ids = []
        for text in TEXTS:
            plain, special = (" ".join(map(str, tok.encode(text, add_special_tokens=s).ids)) for s in (False, True))
            ids.append(plain if plain == special else f"{plain}|{special}")
        print(json.dumps({"name": name, "model": m, "parts": parts, "ids": ids}, ensure_ascii=False))


if __name__ == "__main__":
    main()
