#!/bin/sh
# The headers that mlascope.h needs, sorted: those that it includes, and what they include.
# Usage: headers.sh SOURCE_ROOT
set -eu
cd "$1"
all= todo=library/mlascope.h
while [ -n "$todo" ]; do
    included=$(sed -n 's/^#include "\(.*\)"/\1/p' $todo | sort -u)
    todo=
    for header in $included; do
        case " $all " in
        *" $header "*) ;;
        *) all="$all $header" todo="$todo $header" ;;
        esac
    done
done
printf '%s\n' $all | sort
