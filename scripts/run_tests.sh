#!/bin/sh
# run_tests.sh BUILD [JOBS]: the unit tests of a build tree, each room's in one process: with sanitizers a process takes long to
# start, and ctest starts one for every test. The other tests by ctest. Long ones are left out.
set -eu
build=$1
jobs=${2:-2}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
export logs
status=0
# The largest first, so that they do not end alone.
ls -S "$build"/pome_*_tests | xargs -P "$jobs" -I{} sh -c '
    log=$logs/$(basename {})
    if {} --gtest_brief=1 "--gtest_filter=-Long*:*/Long*" >"$log" 2>&1; then
        echo "$(basename {}): $(tail -1 "$log")"
    else
        echo "$(basename {}): FAILED"; cat "$log"; exit 1
    fi' || status=1
ctest --test-dir "$build" --output-on-failure -j "$jobs" -LE "long|slow" -R "^(cli|scripts|bench|examples)/" || status=1
exit $status
