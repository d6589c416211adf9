cd "$ROOT/tests/data/configs" || exit 1
fails()
{
    mlascope size "$@"
    echo "exit $?"
}
fails
fails nowhere.json
fails Llama-3-8B.json -s 'mha2mla chunks=65'
fails Llama-3-8B.json -s 'mha2mla rank=16,999'
fails Llama-3-8B.json -s 'mha2mla rnk=16'
fails Llama-3-8B.json -s 'mha2ml rank=16'
fails Llama-3-8B.json -s 'mha2mla rank=1-9*1'
fails Llama-3-8B.json -s 'transmla energy=0.9'
fails Llama-3-8B.json --tokens 0
fails Llama-3-8B.json --tokens 1-200 --batch 1-1000
fails Llama-3-8B.json --gpu h1000
fails Llama-3-8B.json --gpu h100 --memory 80
fails DeepSeek-V3.json --gpu h100
fails Gemma-2-9B.json --sitting baseline
fails Gemma-2-9B.json --tp 3 --plots "$OLDPWD/plots"
fails Gemma-2-9B.json -s 'baseline quant=int4/99999999'
ls "$OLDPWD"
