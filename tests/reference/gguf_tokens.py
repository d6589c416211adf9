#!/usr/bin/python3
"""The same ids from mlascope and from llama.cpp, for whole texts.

Usage: gguf_tokens.py FOLDER-OF-LIBRARIES MLASCOPE TOKENIZER-FOLDER:PRE:SIZE... -- TEXT...

Makes a GGUF file of each folder's tokenizer.json (gguf_writer.py), has both programs
encode each text with BOS as the file says and prints how many ids are the same; exit
status 1 when any differ. PRE is empty for SentencePiece, SIZE the vocabulary's.
"""
import ctypes
import os
import subprocess
import sys
import tempfile

import gguf_llama
import gguf_writer as g

VOCAB_ONLY = 72  # byte of llama_model_params, llama.cpp v0.5.0
SHAPE = [("general.architecture", g.STRING, "llama"), ("llama.block_count", g.U32, 1),
         ("llama.context_length", g.U32, 64), ("llama.embedding_length", g.U32, 8),
         ("llama.feed_forward_length", g.U32, 8), ("llama.attention.head_count", g.U32, 1),
         ("llama.attention.layer_norm_rms_epsilon", g.F32, 1e-5)]


def encode(lib, path, text):
    """llama.cpp's ids; <s> and the like in the text are tokens, as they are to us."""
    params = lib.llama_model_default_params()
    params.bytes[VOCAB_ONLY] = 1
    model = lib.llama_model_load_from_file(path.encode(), params)
    data = text.encode()
    ids = (ctypes.c_int32 * (len(data) + 16))()
    n = lib.llama_tokenize(lib.llama_model_get_vocab(model), data, len(data), ids,
                           len(ids), True, True)
    lib.llama_model_free(model)
    return list(ids[:n])


def main():
    split = sys.argv.index("--")
    llama = gguf_llama.Llama(sys.argv[1])  # keeps the callback that it gave away
    lib = llama.lib
    lib.llama_model_get_vocab.restype = ctypes.c_void_p
    lib.llama_model_get_vocab.argtypes = [ctypes.c_void_p]
    lib.llama_tokenize.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.POINTER(ctypes.c_int32),
        ctypes.c_int32, ctypes.c_bool, ctypes.c_bool]
    path = os.path.join(tempfile.mkdtemp(), "vocabulary.gguf")
    failed = 0
    for source in sys.argv[3:split]:
        folder, pre, size = source.rsplit(":", 2)
        keys = SHAPE + [("llama.vocab_size", g.U32, int(size))]
        g.write(path, keys + g.tokenizer_keys(folder, int(size), pre), [])
        for text in sys.argv[split + 1:]:
            theirs = encode(lib, path, open(text, newline="").read())
            ours = subprocess.run([sys.argv[2], "tokenize", path, text], check=True,
                                  capture_output=True, text=True).stdout.split()
            same = theirs == [int(i) for i in ours]
            failed += not same
            print(folder, pre, text, len(theirs), "ids", "same" if same else "DIFFER")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
