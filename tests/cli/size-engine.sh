# What engines allocate on each GPU: a latent grows past GQA on 8 of them, and fits or not.
config=$ROOT/tests/data/configs/Llama-3-8B.json
mlascope size "$config" --engine vllm --tp 8 -T 32768 -b 8 --gpu h100 \
    -s baseline -s 'transmla rope_dim=64 rank=512 freqfold=4' -s 'mha2mla chunks=16 rank=32'
mlascope size "$config" --engine vllm --tp 8 --dcp 8 -T 32768 --format csv \
    -s 'transmla rope_dim=64 rank=512 freqfold=4' | grep -v '^#' | cut -d, -f1-5
mlascope size "$config" --engine vllm --cache-dtype fp8 -T 32768 --memory 24 \
    -s 'transmla rope_dim=64 rank=512,256 freqfold=4'
mlascope size "$config" --engine vlm
echo "status $?"
mlascope size "$config" --engine vllm --tp 4 --dcp 3
echo "status $?"
