#!/bin/sh
# Measures a training step of the Stories110M shape and the products and other ops inside it; figures go to BUILD/bench/*.json.
set -eu
build=${1:-build}
mkdir -p "$build/bench"
"$build/bench_matmul" --json "$build/bench/matmul.json"
"$build/bench_ops" --json "$build/bench/ops.json"
"$build/pome" bench train_step --model stories110M --sequence 256 --steps 5 --json "$build/bench/train_step.json"
