#!/bin/sh
# Measures a training step of the Stories110M shape and the products and other ops inside it; figures go to BUILD/bench/*.json.
set -eu
build=${1:-build}
mkdir -p "$build/bench"
"$build/bench_matmul" --json "$build/bench/matmul.json"
"$build/bench_ops" --json "$build/bench/ops.json"
"$build/pome" bench train_step --model stories110M --sequence 256 --steps 5 --json "$build/bench/train_step.json"
# Left out where the compiler has no OpenMP for the contender in C.
if [ -x "$build/bench_generate" ]; then
    "$build/bench_generate" --json "$build/bench/generate.json"
else
    echo "bench_generate was not built: it needs a C compiler with OpenMP" >&2
fi
