#!/bin/sh
# scripts/download_data.sh against a server on this machine: a whole file, a cut one, a wrong one, no server.
set -eu
script=$1/scripts/download_data.sh
work=$(mktemp -d)
trap 'kill $server 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir -p "$work/www/karpathy/tinyllamas/resolve/main/stories260K"
main=$work/www/karpathy/tinyllamas/resolve/main
printf 'model bytes' >"$main/stories260K/stories260K.bin"
printf 'tokens' >"$main/stories260K/tok512.bin"
printf 'not the checkpoint' >"$main/stories15M.bin"
: >"$work/log"  # the server may be slow to open it
python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$work/www" >"$work/log" 2>&1 &
server=$!
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    port=$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$work/log")
    [ -n "$port" ] && break
    sleep 0.2
done
fail() { echo "FAILED: $1"; exit 1; }
POME_DATA_URL=http://127.0.0.1:$port
export POME_DATA_URL
sh "$script" --output "$work/data" stories260K >/dev/null || fail "a whole file"
[ "$(cat "$work/data/stories260K.bin")" = "model bytes" ] || fail "its content"
rm "$work/data/tok512.bin"
sh "$script" --output "$work/data" stories260K >"$work/said"
grep -q "stories260K.bin: there already" "$work/said" || fail "what is there is not fetched again"
if sh "$script" --output "$work/data" stories15M 2>"$work/error"; then fail "a wrong checksum passes"; fi
grep -q "stories15M.bin has another SHA-256 than published" "$work/error" || fail "the wrong checksum is not named"
[ ! -e "$work/data/stories15M.bin" ] || fail "the wrong file stayed"
if sh "$script" nonsense 2>"$work/error"; then fail "an unknown name passes"; fi
grep -q "no 'nonsense'; see --list" "$work/error" || fail "the unknown name is not named"
kill $server
wait $server 2>/dev/null || true
rm "$work/data/tok512.bin"
if sh "$script" --output "$work/data" stories260K 2>"$work/error" >/dev/null; then fail "offline passes"; fi
grep -q "without a network, copy tok512.bin" "$work/error" || fail "offline has no advice"
echo "download_data: all cases passed"
