#!/bin/sh
# Measures a training step of the Stories110M shape and what is inside it, and asks the time model of chips; figures go to
# BUILD/bench/*.json.
set -eu
build=${1:-build}
mkdir -p "$build/bench"
"$build/bench_matmul" --json "$build/bench/matmul.json"
"$build/bench_ops" --json "$build/bench/ops.json"
"$build/bench_host" --json "$build/bench/host.json"
"$build/pome" bench train_step --model stories110M --sequence 256 --steps 5 --json "$build/bench/train_step.json"
"$build/pome" bench scale --json "$build/bench/scale.json"
"$build/pome" bench startup --json "$build/bench/startup.json"
for model in stories260K stories15M stories110M; do
    python3 bench/train_step/run.py --pome "$build/pome" --model $model --json "$build/bench/train_step_$model.json"
done
python3 bench/train_step/run.py --pome "$build/pome" --batch 4 --steps 3 --json "$build/bench/train_step_batch4.json"
# Left out where the compiler has no OpenMP for the contender in C.
if [ -x "$build/bench_generate" ]; then
    "$build/bench_generate" --json "$build/bench/generate.json"
else
    echo "bench_generate was not built: it needs a C compiler with OpenMP" >&2
fi
"$build/pome" bench compare --device emulator:m4max --json "$build/bench/compare.json"
# What the time model says of chips: nothing of these was measured on one.
"$build/pome" bench peak --device emulator:m4max --emulate --json "$build/bench/peak.json"
"$build/pome" bench int8 --device emulator:m4 --json "$build/bench/int8.json"
"$build/pome" bench dispatch --device emulator:m4max+dispatch-macos26 --emulate --json "$build/bench/dispatch.json"
"$build/pome" bench sram --device emulator:m4max+dispatch-macos26 --json "$build/bench/sram.json"
"$build/pome" bench compile --device emulator:m4 --json "$build/bench/compile.json"
"$build/pome" bench train --device emulator:m4max --json "$build/bench/train.json"
