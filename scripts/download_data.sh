#!/bin/sh
# Fetches public checkpoints, tokenizers and text to train and test with. Resumes what was cut, checks SHA-256.
set -eu
usage() {
    cat <<'TEXT'
usage: scripts/download_data.sh [--list] [--output DIR] NAME ...
Names: stories260K stories15M stories42M stories110M tokenizer tinystories tinystories-valid
Example: scripts/download_data.sh --output data stories15M tokenizer
POME_DATA_URL replaces https://huggingface.co, for mirrors.
TEXT
}
base=${POME_DATA_URL:-https://huggingface.co}
output=data
# name, path on the server, file, sha256 ("-": none is published)
rows() {
    cat <<'TEXT'
stories260K karpathy/tinyllamas/resolve/main/stories260K/stories260K.bin stories260K.bin -
stories260K karpathy/tinyllamas/resolve/main/stories260K/tok512.bin tok512.bin -
stories15M karpathy/tinyllamas/resolve/main/stories15M.bin stories15M.bin cd590644d963867a2b6e5a1107f51fad663c41d79c149fbecbbb1f95fa81f49a
stories42M karpathy/tinyllamas/resolve/main/stories42M.bin stories42M.bin 9f65a1000e17d0bc167dd6332e0ce5119a0222a3d920cead5bce413bfab2ee7b
stories110M karpathy/tinyllamas/resolve/main/stories110M.bin stories110M.bin 515267168726a1ed1317a64a408492e6af3b67c1f71c5bd98c01d9d721803a24
tokenizer karpathy/llama2c/resolve/main/tokenizer.bin tokenizer.bin -
tinystories roneneldan/TinyStories/resolve/main/TinyStoriesV2-GPT4-train.txt TinyStoriesV2-GPT4-train.txt -
tinystories-valid roneneldan/TinyStories/resolve/main/TinyStoriesV2-GPT4-valid.txt TinyStoriesV2-GPT4-valid.txt -
TEXT
}
sha256() { if command -v sha256sum >/dev/null 2>&1; then sha256sum "$1" | cut -d' ' -f1; else shasum -a 256 "$1" | cut -d' ' -f1; fi; }
fetch() { # path file sha
    target=$output/$2
    if [ -f "$target" ]; then
        echo "$2: there already"
        return 0
    fi
    echo "$2: fetching"
    if ! curl --fail --location --silent --show-error --continue-at - --output "$target.part" "$base/$1"; then
        echo "download_data: $base/$1 could not be fetched; without a network, copy $2 to $output yourself. Call again to go on." >&2
        return 1
    fi
    if [ "$3" != - ] && [ "$(sha256 "$target.part")" != "$3" ]; then
        rm -f "$target.part"
        echo "download_data: $2 has another SHA-256 than published; it was removed, call again" >&2
        return 1
    fi
    mv "$target.part" "$target"
}
names=""
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage; exit 0 ;;
    --list) rows | cut -d' ' -f1 | sort -u; exit 0 ;;
    --output) [ $# -gt 1 ] || { usage >&2; exit 2; }; output=$2; shift ;;
    -*) usage >&2; exit 2 ;;
    *) rows | grep -q "^$1 " || { echo "download_data: no '$1'; see --list" >&2; exit 2; }; names="$names $1" ;;
    esac
    shift
done
[ -n "$names" ] || { usage >&2; exit 2; }
command -v curl >/dev/null 2>&1 || { echo "download_data: curl is missing; \`make setup\` installs it" >&2; exit 1; }
mkdir -p "$output"
for name in $names; do
    rows | grep "^$name " | while read -r _ path file sha; do fetch "$path" "$file" "$sha" || exit 1; done
done
