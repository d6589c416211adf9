# The norm of the latents: one that does nothing, for code that always has one.
demo=$ROOT/datasets/demo
setting='x-ecomla init=paired rank=96 rope_dim=32'
export_to()
{
    mlascope export "$demo" -s "$setting" --for deepseek -o "$@"
    echo "exit $?"
}
export_to linear
export_to none --norm none
grep -A1 -E 'auto_map|architectures|layernorm|norm_eps|dtype|residual' */config.json
sed -n '/next/,$p' linear/README.md
mlascope evaluate "$demo" -f "$demo/evaluation.txt" -T 64 -N 4 -s "$setting" \
    --against linear --format csv 2>/dev/null |
    cut -d, -f1,3,4,10 | sed 's/\(0\.[0-9]\{3\}\)[0-9]*/\1/'
export_to other --norm linear --dtype f16
export_to other --norm fitted
export_to other --norm best
mlascope export "$demo" -s "$setting" --for latent --norm linear -o other
echo "exit $?"
ls
