#!/bin/sh
# Stories110M at its real shape, random weights, real tokens: the static pipeline hands over to a new process before the 100th compile
# and has the losses of one without a budget, and of the dynamic pipeline, bit for bit. Minutes and some 6 GB of memory.
set -eu
pome=$1
source=$2
text=${POME_TEST_DATA:-}/text/tinystories_2M.txt
tokenizer=${POME_TEST_DATA:-}/llama2c/tokenizer.bin
if [ ! -e "$text" ] || [ ! -e "$tokenizer" ]; then
    echo "SKIPPED: set POME_TEST_DATA to a folder that has text/tinystories_2M.txt and llama2c/tokenizer.bin"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $1"; exit 1; }
"$pome" data prepare "$text" --tokenizer "$tokenizer" --output data --json | grep -q '"vocabulary":32000' || fail "data prepare"
train() { # RUN PIPELINE SETTINGS...
    run=$1 pipeline=$2
    shift 2
    "$pome" train "$source/configs/stories110M_static.toml" --run "$run" --set data.directory=data --set engine.pipeline="$pipeline" \
        --set train.steps=3 --set train.batch=1 --set train.report_every=1 --set train.validation_windows=1 --set train.save_every=1000 \
        --set train.sample_tokens=0 "$@" >"$run.out" 2>"$run.err" || fail "train $run: $(cat "$run.err")"
    grep -q "^dim=768 hidden=2048 heads=12 seq=256 vocab=32000 layers=12$" "$run.out" || fail "$run: no line of the shape: $(cat "$run.out")"
    grep -q "^109\.53 M parameters on " "$run.out" || fail "$run: no number of parameters"
    # No times, and no compiles, which a process counts from zero.
    sed 's/"[a-z_]*ms[a-z_]*":[^,}]*,*//g; s/"tokens_per_second":[^,}]*,*//; s/"compiles":[^,}]*,*//' "$run/metrics.jsonl" >"$run.losses"
    [ "$(grep -c '"train_loss":[0-9.]*[,}]' "$run.losses")" = 3 ] || fail "$run: not three losses: $(cat "$run.losses")"
    cat "$run.out" "$run.err"
}
compiles() { sed 's/.*"compiles":\([0-9]*\).*/\1/' "$1/metrics.jsonl" | sort -n | tail -1; }
train limited static
[ "$(grep -c '^\[restart at step ' limited.err)" = 1 ] || fail "not one restart: $(cat limited.err)"
# First staging and that of an update fit into a process, the second update's does not.
grep -q '^\[restart at step 2 after 96 compiles\]$' limited.err || fail "restart: $(cat limited.err)"
rm -rf limited/checkpoints
train unlimited static --set engine.compile_limit=0 --set engine.device=emulator:m4/client
[ ! -s unlimited.err ] || fail "without a limit: $(cat unlimited.err)"
rm -rf unlimited/checkpoints
cmp limited.losses unlimited.losses || { diff limited.losses unlimited.losses || true; fail "the restart changes the losses"; }
[ "$(compiles unlimited)" = 192 ] || fail "$(compiles unlimited) compiles instead of 48 for each of four sets of weights"
train dynamic dynamic
[ "$(compiles dynamic)" -le 10 ] || fail "dynamic: $(compiles dynamic) compiles"
cmp limited.losses dynamic.losses || { diff limited.losses dynamic.losses || true; fail "static and dynamic differ"; }
echo "stories110M: all cases passed"
