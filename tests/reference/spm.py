#!/usr/bin/env python3
"""Writes spm.txt: a small BPE vocabulary of SentencePiece and the ids of texts.

    spm.py TEXT > spm.txt
    spm.py --unigram TEXT > spm_unigram.txt

The text "<s>" is left out: Hugging Face, and this program, take it for the token.

Trains on TEXT (datasets/demo/evaluation.txt) with the package sentencepiece, as Llama
2's and Mistral's models were: no normalization, bytes as a fallback. With --check MODEL
MLASCOPE TEXT: whether `mlascope tokenize` gives the ids of a tokenizer.model.
"""

import io
import json
import subprocess
import sys
import tempfile

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as proto

TEXTS = ["", "a", " a", "Once upon a time", "  two  spaces ", "line\nbreak\n\n",
         "na\u00efve caf\u00e9", "\u4f60\u597d \U0001f600", "a\tb",
         "They said: \"No!\" 12345",
         "e\u0301t\ufb01n", " \u2581 "]


def main():
    if sys.argv[1] == "--check":
        model, mlascope, text = sys.argv[2:5]
        want = spm.SentencePieceProcessor(model_file=model).encode(
            open(text, encoding="utf-8", newline="").read())
        got = [int(x) for x in subprocess.run(
            [mlascope, "tokenize", model, text, "--no-special"], check=True,
            capture_output=True, text=True).stdout.split()]
        print(f"{len(want)} ids,", "the same" if got == want else "DIFFERENT")
        sys.exit(got != want)
    out = io.BytesIO()
    if sys.argv[1] == "--unigram":
        with tempfile.NamedTemporaryFile("w", suffix=".tsv", delete=False) as f:
            f.write("FB01\t66 69\n0065 0301\tE9\nD\t20\nA\t20\n9\t20\n")
        spm.SentencePieceTrainer.train(
            input=sys.argv[2], model_writer=out, vocab_size=420, model_type="unigram",
            normalization_rule_tsv=f.name, character_coverage=0.999, minloglevel=2)
        print("charsmap", proto.ModelProto.FromString(
            out.getvalue()).normalizer_spec.precompiled_charsmap.hex())
        return show(out.getvalue())
    spm.SentencePieceTrainer.train(
        input=sys.argv[1], model_writer=out, vocab_size=420, model_type="bpe",
        normalization_rule_name="identity", remove_extra_whitespaces=False,
        byte_fallback=True, character_coverage=0.999, split_digits=True,
        allow_whitespace_only_pieces=True, minloglevel=2)
    if len(sys.argv) > 2:
        open(sys.argv[2], "wb").write(out.getvalue())
    show(out.getvalue())


def show(model):
    m = proto.ModelProto.FromString(model)
    for p in m.pieces:
        print("piece", p.type, float(p.score).hex(), p.piece)
    sp = spm.SentencePieceProcessor(model_proto=model)
    for text in TEXTS:
        print("text", json.dumps(text))
        print("ids", *sp.encode(text))


if __name__ == "__main__":
    main()
