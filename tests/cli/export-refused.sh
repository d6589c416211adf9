# What a target cannot express is refused, and nothing is left behind.
demo=$ROOT/datasets/demo
fails()
{
    mlascope export "$demo" -o out "$@"
    echo "exit $?"
    ls
}
fails
fails -s 'mha2mla rope=high' --for mha2ml
fails -s 'mha2mla rope=high' --for mha2mla --dtype f64
fails -s 'elitekv rope=high' --for elitekv
fails -s 'mha2mla rope=high layers=0-2' --for mha2mla
fails -s 'mha2mla rope=high scope=layer' --for mha2mla
fails -s 'mha2mla' --for mha2mla
fails -s 'mha2mla rope=high' --for transmla
fails -s 'transmla keep=5 freqfold=4' --for transmla
fails -s 'x-ecomla init=paired rank=64' --for x-ecomla
fails -s 'x-ecomla rank=60' --for x-ecomla
fails -s 'elitekv rope=high svd=split' --for elitekv
fails -s 'mha2mla rope=high' --for deepseek
fails -s 'x-ecomla init=paired layers=0-2' --for deepseek
mkdir full && touch full/file
mlascope export "$demo" -o full -s 'mha2mla rope=high' --for mha2mla
echo "exit $?"
ls full
fails -s 'mha2mla rope=high rank=4,8' --for latent
