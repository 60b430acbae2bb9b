#!/bin/sh
# Runs every fuzzer of a build for SECONDS, two at a time, from small real files where POME_TEST_DATA has them.
set -eu
build=$1
seconds=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/seeds"
if [ -n "${POME_TEST_DATA:-}" ]; then
    find "$POME_TEST_DATA" -type f -size -40k -exec sh -c 'cp "$1" "$2/$(echo "$1" | cksum | cut -d" " -f1)"' _ {} "$work/seeds" \;
fi
run() {
    name=$(basename "$1")
    mkdir -p "$work/$name"
    if "$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -artifact_prefix="$work/$name/" "$work/$name" "$work/seeds" >"$work/$name.log" 2>&1; then
        echo "fuzz $name: $(grep -c . "$work/$name.log") log lines, $(grep -oE 'Done [0-9]+ runs' "$work/$name.log" || echo done), no fault"
    else
        echo "fuzz $name: FAULT"
        tail -40 "$work/$name.log"
        touch "$work/failed"
    fi
}
set -- "$build"/*_fuzz
while [ $# -gt 0 ]; do
    run "$1" &
    shift
    if [ $# -gt 0 ]; then
        run "$1" &
        shift
    fi
    wait
done
[ ! -e "$work/failed" ]
