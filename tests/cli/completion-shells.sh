# Completion knows every command and option that --help names; the shells can read it.
for shell in bash zsh fish; do
    mlascope completion $shell >$shell
    command -v $shell >/dev/null && { $shell -n $shell || echo "$shell cannot read it"; }
done
for command in $(mlascope --help | awk '/^  [a-z]/ { print $1 }'); do
    sed -n "/^    $command)/,/;;\$/p" bash >of.bash
    sed -n "/^    $command)/,/;;\$/p" zsh >of.zsh
    grep "from $command'" fish >of.fish
    for option in $(mlascope $command --help |
        sed -nE 's/^ +(-[A-Za-z], +)?--([a-z0-9-]+).*/\2/p'); do
        grep -q -e "--$option\"" of.bash || echo "bash: $command --$option"
        grep -q -e "--$option\[" of.zsh || echo "zsh: $command --$option"
        grep -q -e "-l $option " of.fish || echo "fish: $command --$option"
    done
done
cat >ask.bash <<'B'
. ./bash
compopt() { echo "(files)"; }
ask() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _mlascope
    echo "$*: ${COMPREPLY[*]}"
}
ask mlascope comp
ask mlascope help pl
ask mlascope size x --gpu rtx
ask mlascope size x --form
ask mlascope size x -s kq
ask mlascope plan x --serve m
ask mlascope check da
B
bash ask.bash
mlascope completion fihs
mlascope completion
