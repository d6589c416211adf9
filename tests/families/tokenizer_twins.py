#!/usr/bin/env python3
"""Random tokenizer.json files: mlascope's ids beside those of the library tokenizers.

    tokenizer_twins.py LIBMLASCOPE.so [N] [SEED] [TOKENIZER.json TEXT...]

Each of N files is put together from every kind of normalizer, pre-tokenizer, model,
post-processor and added token, with settings drawn at random, and reads nasty texts
that are drawn at random, too. Files that either side refuses are counted; ids that
differ are shown with the file, and the exit status is 1. Without the library: skipped
aloud. TOKENIZER.json and TEXTs are compared instead, where they are given.
"""

import collections
import ctypes
import json
import os
import random
import sys

os.environ.update(RUST_BACKTRACE="0", TOKENIZERS_PARALLELISM="false")
try:
    import tokenizers
except ImportError as e:
    print(f"tokenizer_twins: SKIPPED: {e}")
    sys.exit(0)


class Err(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("text", ctypes.c_char * 4096)]


class Ours:
    """A tokenizer of libmlascope; ValueError says why it was refused."""

    lib = None

    def __init__(self, data):
        self.err = Err()
        self.tok = ctypes.c_void_p()
        if self.lib.mls_tokenizer_parse(ctypes.byref(self.tok), data,
                                        ctypes.c_size_t(len(data)), b"tokenizer",
                                        ctypes.byref(self.err)):
            raise ValueError(self.err.text.decode("utf-8", "replace"))

    def encode(self, text, special):
        data = text.encode("utf-8", "surrogatepass")
        ids, n = ctypes.POINTER(ctypes.c_int32)(), ctypes.c_size_t()
        if self.lib.mls_tokenizer_encode(self.tok, data, ctypes.c_size_t(len(data)),
                                         special, ctypes.byref(ids), ctypes.byref(n),
                                         ctypes.byref(self.err)):
            raise ValueError(self.err.text.decode("utf-8", "replace"))
        out = ids[:n.value]
        self.libc.free(ids)
        return out

    def close(self):
        self.lib.mls_tokenizer_close(self.tok)


# ---- texts ----

PIECES = (
    list("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789") + list(" ▁_-.,'!?\n\t\r/½²³①")
    + ["  ", "   ", " \n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u200b", "\u200d", "\u2028",
       "\u0085", "\ufeff", "\u00ad", "\x00", "\x01", "\x1f", "\x7f", "é", "e\u0301", "\u0301",
       "ß", "İ", "ı", "ſ", "Σ", "ς", "ﬁ", "Ⅳ", "日", "本", "語", "が", "か\u3099", "ｶﾞ", "한",
       "\u1112\u1161\u11ab", "ا", "َ", "ه", "क", "्", "ष", "ि", "ไ", "ท", "ย", "๑", "٣", "𝟘", "𝒳",
       "😀", "👩\u200d👩\u200d👧", "🇩🇪", "\U000e0067", "\ufffd", "\uffff", "\U0010ffff", "'s", "'S", "'ll",
       "'LL", "’s", "«", "»", "¿", "—", "…", "$", "€", "+", "<", ">", "=", "~", "^", "`", "|", "\\",
       "<s>", "</s>", "<unk>", "<pad>", "the", "The", " the", "ing", "aa", "aaaa", "123", "1234567",
       "[X]", "[Y]", "<x>", "Añb", "<0x41>", "http://a.b/c?d=e", "ᾼ", "ǅ", "Ω", "Å", "\u0345",
       "ﷺ", "㍿", "…", "\u0f73", "\U0001d15e", "\u1e9e", "ŉ", "ǰ", "Ꭰ", "ꭰ", "\u2126"])


def a_text(r):
    return "".join(r.choice(PIECES) for _ in range(r.choice((1, 2, 3, 5, 9, 17, 40))))


# ---- files ----

LETTERS = list("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789")
MARKS = list(" ▁_-.,'!?\n\té日本<>s/½x[]")
PAIRS = [("t", "h"), ("th", "e"), ("▁", "the"), ("▁", "a"), ("i", "n"), ("▁", "▁"), ("a", "a"),
         ("aa", "aa"), ("in", "g"), (" ", "the"), (" ", "a"), ("1", "2"), ("12", "3"), ("'", "s"),
         ("▁▁", "▁▁"), ("h", "e"), ("b", "c"), ("a", "b"), ("ab", "c"), ("▁a", "b"), ("l", "l"),
         ("e", "ll"), ("o", "▁"), ("日", "本"), ("Ġ", "the"), ("Ġ", "a"), ("Ġ", "Ġ"), ("Ã", "©"),
         ("T", "he"), ("Ġ", "T"), ("Ċ", "Ċ")]
SPECIALS = ["<unk>", "<s>", "</s>", "<pad>"]
REGEXES = [
    r"\s+", r"\p{L}+", r"[^\s]+", r"\d", r"\p{N}{1,3}", r"a|b", r"a*", r"x?", r"(?=a)", r"\b", r"\W",
    r"[\r\n]+", r"\s+(?!\S)|\s+", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+", r"'(?i:[sdmt]|ll|ve|re)| ?\p{L}+",
    r"[一-龥぀-ゟ゠-ヿ]+", r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"
    r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"\p{Han}+", r"[\p{Han}&&[^a]]+", r"\p{Alphabetic}+", r"[[:alpha:]]+", r"[[:punct:]]", r"\X", r"\R", r"\h+",
    r"(a)(b)\2", r"(?<n>a)b", r"[^a-z]", r"[\w]+", r"\w+", r"\S+", r"(?s:.)", r".+", r"^a", r"b$", r"\A.", r"\n+",
    r"\p{Script=Greek}", r"\p{Greek}+", r"\p{Lu}", r"\p{^L}+", r"\P{L}+", r"[\p{L}--a]", r" {2,}", r"(?:ab)+?", r"a++",
    r"a{2}+", r"a{,2}", r"\x41", r"\u00e9", r"\x{e9}", r"[\x00-\x7f]+", r"\D+", r"\H", r"\cA", r"\101", r"(?m:.)", r"(?i)the",
    r"(?-i:A)", r"a(?i)b|c", r"(?x: a b )", r"[a-\d]", r"\p{Emoji}", r"\p{Cn}", r"\p{Zs}+", r"\p{Sc}", r"\p{Nd}+", r"(?~ab)", r"\K",
    r"\G", r"[\]a]", r"[]a]", r"[^]a]", r"[a\-z]", r"\/", r"\_", r"\é", r"\<", r"(?#c)a", r"ſ", r"(?i:s)", r"(?i:ß)", r"(?i:k)", r"(?i:[a-k])",
    r"[ƀ-ɏ]", r"(?i:É)", r"\O", r"\N", r"\p{Alnum}", r"\p{Punct}", r"\p{Space}+", r"\p{Word}+", r"\p{Any}", r"\p{In_Arabic}+", r"\p{Arabic}",
]


def bpe(r, byte_level):
    if byte_level:
        alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
        base = sorted(alphabet) + ["▁", "日", "本"]
    else:
        base = LETTERS + MARKS
        if r.random() < 0.5:
            base = base + [f"<0x{b:02X}>" for b in range(256)]
        if r.random() < 0.2:
            base = [c for c in base if r.random() < 0.9]
    merges, vocab = [], {}
    for t in SPECIALS * (r.random() < 0.9) + base:
        vocab.setdefault(t, len(vocab))
    prefix = r.choice((None, None, None, "", "##")) if not byte_level else None
    suffix = r.choice((None, None, None, "", "</w>")) if not byte_level else None
    if prefix:
        for c in list(LETTERS):
            vocab.setdefault(prefix + c, len(vocab))
    if suffix:
        for c in list(LETTERS):
            vocab.setdefault(c + suffix, len(vocab))
    pairs = PAIRS[:]
    if r.random() < 0.5:
        r.shuffle(pairs)
    for a, b in pairs:
        if prefix and r.random() < 0.5:
            b = prefix + b
        joined = a + (b[len(prefix):] if prefix and b.startswith(prefix) else b)
        if a in vocab and b in vocab:
            merges.append([a, b])
            vocab.setdefault(joined, len(vocab))
    if r.random() < 0.3:  # words that no merge makes
        for w in ("the", "abc", " the", "Ġthe", "▁the", "a b", "日本"):
            vocab.setdefault(w, len(vocab))
    m = {"type": "BPE", "vocab": vocab, "merges": merges, "dropout": r.choice((None, None, 0.0)),
         "unk_token": r.choice((None, "<unk>", "<unk>", "<none>")),
         "continuing_subword_prefix": prefix, "end_of_word_suffix": suffix,
         "fuse_unk": r.random() < 0.5, "byte_fallback": r.random() < 0.5,
         "ignore_merges": r.random() < 0.3}
    if r.random() < 0.3:
        m["merges"] = [f"{a} {b}" for a, b in merges if " " not in a + b]
    for key in ("type", "dropout", "fuse_unk", "byte_fallback", "ignore_merges",
                "continuing_subword_prefix", "end_of_word_suffix", "unk_token"):
        if r.random() < 0.05:
            del m[key]
    return m


def unigram(r):
    words = SPECIALS + LETTERS + MARKS + ["▁the", "the", "▁a", "aa", "aaaa", "ing", "▁▁", "123", "12", "日本", "ab", "abc", "bc",
                                          "▁th", "e▁", "é", "s▁", "<s", "x>", "hello", "ll"]
    if r.random() < 0.3:
        words = [w for w in words if r.random() < 0.9]
    if r.random() < 0.4:
        words += [f"<0x{b:02X}>" for b in range(256)]
    seen = dict.fromkeys(words)
    vocab = [[w, 0.0 if w in SPECIALS else -round(r.uniform(0.5, 12), r.choice((0, 1, 5)))] for w in seen]
    m = {"type": "Unigram", "vocab": vocab, "unk_id": r.choice((0, 0, None)), "byte_fallback": r.random() < 0.4}
    if r.random() < 0.1:
        del m["byte_fallback"]
    return m


def other_model(r):
    vocab = {w: i for i, w in enumerate(dict.fromkeys(["[UNK]"] + LETTERS + ["##" + c for c in LETTERS] + ["the", "##ing"]))}
    if r.random() < 0.5:
        return {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocab}
    return {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}


def a_pattern(r):
    if r.random() < 0.35:
        return {"String": r.choice((" ", "  ", "▁", "a", "", "aa", ".", "\n", "日", "<s>", "'", " a"))}
    return {"Regex": r.choice(REGEXES)}


def some(r, o, keys):
    """Old files leave keys out."""
    for k in keys:
        if r.random() < 0.02:
            o.pop(k, None)
    return o


def charsmaps():
    """Those that SentencePiece puts into its models; none without it."""
    try:
        import base64
        import io

        import sentencepiece as spm
        from sentencepiece import sentencepiece_model_pb2 as proto
    except ImportError:
        return []
    out = []
    for rule in ("nmt_nfkc", "nfkc_cf"):
        b = io.BytesIO()
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(["a b c d"] * 9), model_writer=b, vocab_size=9,
            normalization_rule_name=rule, minloglevel=2)
        m = proto.ModelProto.FromString(b.getvalue())
        out.append(base64.b64encode(m.normalizer_spec.precompiled_charsmap).decode())
    return out


CHARSMAPS = charsmaps()


def a_normalizer(r, depth=0):
    k = r.randrange(16)
    if k >= 14 and CHARSMAPS:
        return {"type": "Precompiled", "precompiled_charsmap": r.choice(CHARSMAPS)}
    if k == 0 and depth < 3:
        return {"type": "Sequence", "normalizers": [a_normalizer(r, depth + 1) for _ in range(r.randrange(4))]}
    if k <= 4:
        return {"type": r.choice(("NFC", "NFD", "NFKC", "NFKD"))}
    if k == 5:
        return {"type": "Lowercase"}
    if k == 6:
        return some(r, {"type": "Strip", "strip_left": r.random() < 0.5, "strip_right": r.random() < 0.5},
                    ("strip_left",))
    if k == 7:
        return {"type": "Prepend", "prepend": r.choice(("▁", "", " ", "ab"))}
    if k <= 10:
        return {"type": "Replace", "pattern": a_pattern(r), "content": r.choice(("▁", "", " ", "a", "xy", "\\1"))}
    if k == 11:
        return {"type": r.choice(("Nmt", "StripAccents", "ByteLevel"))}
    if k == 12:
        return {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                "strip_accents": None, "lowercase": r.random() < 0.5}
    return {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}


def a_pre_tokenizer(r, depth=0):
    k = r.randrange(15)
    if k <= 1 and depth < 3:
        return {"type": "Sequence",
                "pretokenizers": [a_pre_tokenizer(r, depth + 1) for _ in range(r.randrange(4))]}
    behavior = r.choice(("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"))
    if k <= 5:
        return some(r, {"type": "Split", "pattern": a_pattern(r), "behavior": behavior,
                        "invert": r.random() < 0.3}, ("invert", "behavior"))
    if k <= 7:
        return some(r, {"type": "ByteLevel", "add_prefix_space": r.random() < 0.5,
                        "trim_offsets": r.random() < 0.5, "use_regex": r.random() < 0.5},
                    ("add_prefix_space", "trim_offsets", "use_regex"))
    if k <= 9:
        return some(r, {"type": "Metaspace", "replacement": r.choice(("▁", "▁", "_", "日")),
                        "prepend_scheme": r.choice(("always", "first", "never")),
                        "split": r.random() < 0.6,
                        **({"add_prefix_space": r.random() < 0.5} if r.random() < 0.3 else {})},
                    ("prepend_scheme", "split"))
    if k == 10:
        return some(r, {"type": "Digits", "individual_digits": r.random() < 0.5}, ("individual_digits",))
    if k == 11:
        return some(r, {"type": "Punctuation", "behavior": behavior}, ("behavior",))
    if k == 12:
        return {"type": r.choice(("Whitespace", "WhitespaceSplit"))}
    if k == 13:
        return r.choice(({"type": "UnicodeScripts"}, {"type": "BertPreTokenizer"},
                         {"type": "CharDelimiterSplit", "delimiter": r.choice((" ", "a", "日"))},
                         {"type": "FixedLength", "length": r.randrange(1, 6)}))
    return {"type": "Whitespace"}


def a_post_processor(r, vocab, depth=0):
    k = r.randrange(6)
    names = [t for t in SPECIALS if t in vocab]
    if k == 0 and depth < 2:
        return {"type": "Sequence",
                "processors": [a_post_processor(r, vocab, depth + 1) for _ in range(r.randrange(3))]}
    if k <= 2 and names:
        def special():
            return {"SpecialToken": {"id": r.choice(names), "type_id": 0}}
        text = {"Sequence": {"id": "A", "type_id": 0}}
        return {"type": "TemplateProcessing",
                "single": [special() for _ in range(r.randrange(3))] + [text]
                + [special() for _ in range(r.randrange(3))],
                "pair": [text, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {t: {"id": t, "ids": [vocab[t]], "tokens": [t]} for t in names}}
    if k == 3 and names:
        t = r.choice(names)
        return {"type": "BertProcessing", "sep": [t, vocab[t]], "cls": [names[0], vocab[names[0]]]}
    if k == 4 and names:
        t = r.choice(names)
        return {"type": "RobertaProcessing", "sep": [t, vocab[t]], "cls": [names[0], vocab[names[0]]],
                "trim_offsets": True, "add_prefix_space": r.random() < 0.5}
    return {"type": "ByteLevel", "add_prefix_space": r.random() < 0.5, "trim_offsets": r.random() < 0.5,
            "use_regex": r.random() < 0.5}


def added_tokens(r, vocab):
    out, n = [], len(vocab)
    words = [t for t in SPECIALS if t in vocab] + ["[X]", "[Y]", "<x>", " the", "a b", "the", "▁", "日本", "Añb", "'s",
                                                   "  ", "aa", "AA", "e\u0301", "\n\n", "123", "İ", "x"]
    for w in words:
        if r.random() > (0.8 if w in SPECIALS else 0.2):
            continue
        if w in vocab:
            i = vocab[w]
        else:
            i = n
            n += 1
        out.append(some(r, {"id": i, "content": w, "single_word": r.random() < 0.2, "lstrip": r.random() < 0.2,
                            "rstrip": r.random() < 0.2, "normalized": r.random() < 0.4,
                            "special": w in SPECIALS or r.random() < 0.3}, ()))
    return sorted(out, key=lambda t: t["id"]) if r.random() < 0.9 else out


def a_file(r):
    k = r.random()
    byte_level = r.random() < 0.4
    model = bpe(r, byte_level) if k < 0.6 else unigram(r) if k < 0.97 else other_model(r)
    vocab = model["vocab"]
    if isinstance(vocab, list):
        vocab = {w: i for i, (w, _) in enumerate(vocab)}
    normalizer = a_normalizer(r) if r.random() < 0.6 else None
    pre = a_pre_tokenizer(r) if r.random() < 0.85 else None
    if byte_level and k < 0.6 and r.random() < 0.8:
        level = {"type": "ByteLevel", "add_prefix_space": r.random() < 0.3, "trim_offsets": True,
                 "use_regex": r.random() < 0.5}
        pre = {"type": "Sequence", "pretokenizers": ([pre] if pre else []) + [level]}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens(r, vocab),
            "normalizer": normalizer, "pre_tokenizer": pre,
            "post_processor": a_post_processor(r, vocab) if r.random() < 0.5 else None,
            "decoder": r.choice((None, {"type": "ByteFallback"})), "model": model}


def theirs_of(data):
    try:
        return tokenizers.Tokenizer.from_str(data)
    except BaseException as e:  # a panic, too
        raise ValueError(str(e))


def their_ids(tok, text, special):
    """None where the library fails or panics."""
    try:
        return tok.encode(text, add_special_tokens=special).ids
    except BaseException:
        return None


def compare_one(name):
    """Counts, reasons and what differs of one file."""
    r = random.Random(name)
    f = a_file(r)
    data = json.dumps(f, ensure_ascii=False)
    texts = [a_text(r) for _ in range(12)]
    counts, reasons, bad = collections.Counter(), collections.Counter(), None
    shown = {k: v for k, v in f.items() if k not in ("version", "truncation", "padding", "decoder")}
    shown["model"] = {k: v for k, v in f["model"].items() if k not in ("vocab", "merges")}
    theirs = why = None
    try:
        theirs = theirs_of(data)
    except ValueError as e:
        why = str(e)
    try:
        ours = Ours(data.encode())
    except ValueError as e:
        counts["files refused by both" if theirs is None else "files refused by us alone"] += 1
        if theirs is not None:
            reasons[str(e)[:110]] += 1
        return counts, reasons, None
    if theirs is None:
        counts["files refused by them alone"] += 1
        reasons["THEIRS: " + why[:110]] += 1
        return counts, reasons, None
    counts["files compared"] += 1
    for text in texts:
        special = r.random() < 0.5
        want = their_ids(theirs, text, special)
        try:
            got = ours.encode(text, special)
        except ValueError as e:
            counts["texts refused by " + ("us alone" if want is not None else "both")] += 1
            if want is not None:
                reasons["TEXT: " + str(e)[:110]] += 1
            continue
        if want is None:
            counts["texts refused by them alone"] += 1
            continue
        counts["texts compared"] += 1
        if got != want and not bad:
            names = [[theirs.id_to_token(t) for t in ids] for ids in (got, want)]
            bad = (f"{json.dumps(shown, ensure_ascii=False)}\n  text {text!r} special {special}\n"
                   f"  ours   {names[0]}\n  theirs {names[1]}")
    return counts, reasons, bad


def in_a_child(names):
    """The library may abort: files are compared in a process that may end early."""
    while names:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            with os.fdopen(write, "w") as out:
                for name in names:
                    print(json.dumps(compare_one(name)), file=out, flush=True)
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as f:
            for line in f:
                yield json.loads(line)
                names = names[1:]
        os.waitpid(pid, 0)
        if names:
            yield {"files at which a side aborts": 1}, {f"ABORT {names[0]}": 1}, None
            names = names[1:]


def compare_random(n, seed):
    counts, reasons, differ = collections.Counter(), collections.Counter(), 0
    for c, why, bad in in_a_child([f"{seed}-{i}" for i in range(n)]):
        counts.update(c)
        reasons.update(why)
        if bad:
            differ += 1
            if differ <= 8:
                print("DIFFERS", bad)
    for what, k in sorted(counts.items()):
        print(f"{what}: {k}")
    for why, k in reasons.most_common(80 if "-v" in sys.argv else 0):
        print(f"  {k} x {why}")
    print(f"files that differ: {differ}")
    return differ


def compare_file(path, texts):
    data = open(path, encoding="utf-8").read()
    theirs, ours = theirs_of(data), Ours(data.encode())
    differ = n = 0
    lines = [s for p in texts for s in open(p, encoding="utf-8").read().split("\n\n") if s]
    r = random.Random(1)
    lines += [a_text(r) for _ in range(2000)]
    for s in lines:
        n += 1
        want, got = their_ids(theirs, s, True), ours.encode(s, True)
        if want != got:
            differ += 1
            if differ <= 3:
                print(f"DIFFERS {s!r}\n  ours   {got}\n  theirs {want}")
    print(f"{path}: {n} texts, {differ} differ")
    return differ


def main():
    args = [a for a in sys.argv[1:] if a != "-v"]
    lib = Ours.lib = ctypes.CDLL(args[0])
    lib.mls_tokenizer_encode.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_bool,
                                         ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    lib.mls_tokenizer_close.argtypes = [ctypes.c_void_p]
    Ours.libc = ctypes.CDLL(None)
    n = int(args[1]) if len(args) > 1 else 1000
    if len(args) > 3:
        sys.exit(bool(compare_file(args[3], args[4:])))
    sys.exit(bool(compare_random(n, args[2] if len(args) > 2 else "0")))


if __name__ == "__main__":
    main()
