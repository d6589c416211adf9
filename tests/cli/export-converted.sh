# Converted models, evaluated as read back and as the setting they were made from.
demo=$ROOT/datasets/demo
setting='x-ecomla init=paired rank=96 rope_dim=32'
mlascope export "$demo" -s "$setting" --for deepseek -o deepseek &&
    mlascope export "$demo" -s "$setting" --for latent -o latent && ls deepseek latent &&
    sed -n '/rms_norm_eps/,$p' deepseek/config.json && cat deepseek/README.md
mlascope evaluate "$demo" -f "$demo/evaluation.txt" -T 64 -N 4 -s "$setting" \
    --against deepseek --against latent --format csv 2>/dev/null |
    cut -d, -f1,3,4,10 | sed 's/\(0\.[0-9]\{3\}\)[0-9]*/\1/'
mlascope size "$demo" -s 'converted path=deepseek' --format csv | cut -d, -f1,3-7
