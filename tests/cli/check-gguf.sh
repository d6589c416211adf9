# GGUF files written byte by byte: metadata alone is sized, broken files are refused.
byte() { printf "\\$(printf %03o "$1")"; }
u32() { for shift in 0 8 16 24; do byte $(($1 >> shift & 255)); done; }
u64() { u32 "$1" && u32 0; }
text() { u64 ${#1} && printf %s "$1"; }
key_u32() { text "$1" && u32 4 && u32 "$2"; }
key_f32() { text "$1" && u32 6 && u32 "$2"; } # bits
key_text() { text "$1" && u32 8 && text "$2"; }

# Llama 3 8B, without its tensors
{
    printf GGUF && u32 3 && u64 0 && u64 11
    key_text general.architecture llama
    key_u32 llama.block_count 32
    key_u32 llama.context_length 8192
    key_u32 llama.embedding_length 4096
    key_u32 llama.feed_forward_length 14336
    key_u32 llama.attention.head_count 32
    key_u32 llama.attention.head_count_kv 8
    key_u32 llama.vocab_size 128256
    key_f32 llama.rope.freq_base $((0x48f42400))                   # 500000
    key_f32 llama.attention.layer_norm_rms_epsilon $((0x3727c5ac)) # 1e-05
    key_text general.name example
} >shape.bin
mlascope check shape.bin
echo "check: $?"
mlascope size shape.bin --tokens 8192 --setting baseline
mlascope size shape.bin --tokens 8192 --setting baseline --gpu h100 | grep weights
mlascope tokenize shape.bin /dev/null
echo "tokenize: $?"
mlascope capture shape.bin --text /dev/null -o run.h5
echo "capture: $?"
LC_ALL=C sed 's/example/Mistral/' shape.bin >named.bin
mlascope check named.bin | grep window
LC_ALL=C sed 's/llama/gemma/g' shape.bin >gemma.bin # as long a name
mlascope spectrum gemma.bin
echo "gemma: $?"

printf GGUF >cut.gguf
mlascope check cut.gguf
echo "cut: $?"
{ printf GGUF && u32 3 && u64 0 && u64 1 && text general.architecture && u32 9; } >type.gguf
mlascope size type.gguf
echo "type: $?"
{
    printf GGUF && u32 3 && u64 1 && u64 1
    key_text general.architecture mamba
    text blk.0.ssm_in.weight && u32 1 && u64 8 && u32 0 && u64 32
} >offset.gguf
mlascope spectrum offset.gguf
echo "offset: $?"
