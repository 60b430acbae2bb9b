#!/bin/sh
# Every source as clang-format writes it (.clang-format).
set -eu
files=$(git ls-files '*.cc' '*.h')
bad=0
for file in $files; do
    if ! clang-format --dry-run --Werror "$file" >/dev/null 2>&1; then
        echo "not formatted: $file (run \`make format\`)"
        bad=1
    fi
done
[ $bad = 0 ] && echo "formatting: $(echo "$files" | wc -l) files are as they should be"
exit $bad
