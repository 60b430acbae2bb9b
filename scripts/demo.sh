#!/bin/sh
# Trains a small Llama on the emulated M4 engine from text that a grammar writes, and shows what it has learned.
set -eu
build=${1:-build}
work=$build/demo
rm -rf "$work"
mkdir -p "$work"
"$build/pome" data stories --output "$work/stories.txt" --bytes 600000
"$build/pome" data prepare "$work/stories.txt" --output "$work/data" --vocabulary 512
"$build/pome" train configs/demo.toml --run "$work/run" --set data.directory="$work/data"
