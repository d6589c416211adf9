#!/bin/sh
# The page of the demo and of a model of 32 layers x 32 heads in a real browser (page.py).
# Optional: chromium of Debian, and playwright and axe-playwright-python of PyPI.
# Usage: browser.sh MLASCOPE SOURCE_ROOT
set -u
mlascope=$1 root=$2
python=${PYTHON:-python3}
chromium=$(command -v chromium) || { echo "SKIPPED: no chromium (apt install chromium)"; exit 77; }
"$python" -c 'import playwright, axe_playwright_python, numpy' 2>/dev/null || {
    echo "SKIPPED: $python has no playwright, axe-playwright-python or numpy; PYTHON names another"
    exit 77
}
folder=$(mktemp -d) || exit 99
trap 'rm -rf "$folder"' EXIT
failed=0
look() {
    "$python" "$root/tests/browser/page.py" "$chromium" "$folder/$1/index.html" "${PICTURES:-$folder}/$1" ||
        failed=1
}
"$mlascope" report "$root/datasets/demo" -N 8 -T 64 --eval-sequences 8 -o "$folder/demo" >/dev/null || exit 1
look demo
"$python" "$root/tests/browser/synthetic.py" "$folder/model" "$root/datasets/demo" || exit 1
# Any text is foreign to random weights: --force, or the report ends with status 3.
"$mlascope" report "$folder/model" -N 4 -T 64 --eval-sequences 2 --force -f "$root/datasets/demo/calibration.txt" \
    -e "$root/datasets/demo/evaluation.txt" -o "$folder/32x32" >/dev/null || exit 1
look 32x32
exit $failed
