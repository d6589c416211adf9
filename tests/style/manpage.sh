#!/bin/sh
# The man page is clean mdoc and names every command and every option. Usage: manpage.sh MLASCOPE ROOT
if ! command -v mandoc >/dev/null; then
    echo "SKIPPED: mandoc is not installed"
    exit 77
fi
page=$2/docs/mlascope.1
mandoc -Tlint -W warning "$page" || exit 1
failed=0
for command in $("$1" --help | awk '/^  [a-z]/ { print $1 }'); do
    if ! grep -q "^.It Cm $command " "$page"; then
        echo "the man page does not name the command $command"
        failed=1
    fi
    known=$(awk -v name="$command" \
        '/^\.S[sh] / { on = $2 == name || /^\.Ss all commands/ } on' "$page")
    for option in $("$1" "$command" --help |
        sed -nE 's/^ +(-[A-Za-z], +)?--([a-z0-9-]+).*/\2/p'); do
        if ! echo "$known" | grep -qE "Fl -$option( |\$)"; then
            echo "the man page does not name the option --$option of $command"
            failed=1
        fi
    done
done
exit $failed
