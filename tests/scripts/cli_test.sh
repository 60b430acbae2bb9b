#!/bin/sh
# The program as a user meets it: the commands of README, exit statuses, messages.
set -eu
pome=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $1"; exit 1; }
for command in "" train generate eval devices run inspect plan data "data prepare" "data stories" "bench train_step"; do
    # shellcheck disable=SC2086
    "$pome" $command --help | grep -q "Example" || fail "pome $command --help shows no example"
done
"$pome" data stories --output stories.txt --bytes 40000
"$pome" data prepare stories.txt --output data --vocabulary 330 --json | grep -q '"vocabulary":330' || fail "data prepare"
cat >c.toml <<'TOML'
[model]
width = 32
hidden = 64
layers = 1
heads = 2
vocabulary = 330
sequence = 32
[data]
directory = "data"
[train]
steps = 8
report_every = 4
save_every = 4
sample_tokens = 8
TOML
"$pome" train c.toml --run run >out || fail "train"
grep -q "^step      8  train " out || fail "no report line"
grep -q "^sample: " out || fail "no sample"
grep -q "^dim=32 hidden=64 heads=2 seq=32 vocab=330 layers=1$" out || fail "no line of the shape"
grep -q "^dynamic pipeline: a probe of weights as inputs gave the right result; 1 sequences an update$" out || fail "no pipeline"
# Weights compiled into programs, a process for every two updates: the same losses as one process without limit.
"$pome" train c.toml --run static --set engine.pipeline=static --set engine.compile_limit=13 --set train.sample_tokens=0 >out 2>restarts || fail "train static"
[ "$(grep -c '^\[restart at step ' restarts)" = 2 ] || fail "restarts: $(cat restarts)"
grep -q "^step      8  train " out || fail "no report line after restarts"
"$pome" train c.toml --run unlimited --set engine.pipeline=static --set engine.compile_limit=0 --set train.sample_tokens=0 >/dev/null || fail "train without limit"
for run in static unlimited; do sed 's/,"[a-z_]*ms[a-z_]*":[^,}]*//g; s/"tokens_per_second":[^,}]*//' $run/metrics.jsonl | grep -o '"train_loss":[^,}]*' >$run.losses; done
cmp static.losses unlimited.losses || fail "restarts change the losses"
"$pome" train --resume run >/dev/null || fail "resume of a finished run"
status=0
"$pome" train c.toml --run run 2>error || status=$?
[ $status = 1 ] && grep -q "holds a run already" error || fail "a second run in one directory"
"$pome" generate --model run --tokenizer data/tokenizer.bin --tokens 5 --temperature 0 --prompt "Once" | grep -q "^Once" || fail "generate"
"$pome" eval --model run --tokenizer data/tokenizer.bin --data stories.txt --windows 3 --json | grep -q '"perplexity":' || fail "eval"
"$pome" inspect run/checkpoints/best --json | grep -q '"kind":"checkpoint"' || fail "inspect"
"$pome" devices --json | grep -q '"emulator:m4"' || fail "devices"
"$pome" devices --device emulator:m5max --verbose | grep -q "time.weight_gbs = 148.4  \[measured\]" || fail "devices --verbose"
"$pome" plan c.toml --device emulator:m5max >out || fail "plan of a config"
grep -q "^model of emulator:m5max (H17, route in-memory): modelled, not measured" out || fail "a plan that does not say what it is"
grep -q "^feed_forward backward  *1 " out && grep -q "^host (modelled)" out && grep -q "tokens/s" out || fail "plan's table"
"$pome" plan c.toml --host-ms 3.5 --json | grep -q '"host":{"ms":3.5,"source":"given"}' || fail "plan --host-ms"
"$pome" plan "$source/examples/tiny.toml" --json | grep -q '"device":"emulator:m4max"' || fail "plan of the two-layer run"
"$pome" plan "$source/examples/double.mil" --device emulator:m1/e5rt --idle-ms 6000 | grep -q "^260.* ms, bound by dispatch: wake 260" || fail "plan of a program"
"$pome" plan --calibration --json | grep -q '"held_out_programs":{"median_error":0.' || fail "plan --calibration"
status=0
"$pome" plan c.toml --device reference 2>error || status=$?
[ $status = 1 ] && grep -q "'reference' has no time model; plan for a chip" error || fail "plan for the reference device"
status=0
"$pome" plan 2>error || status=$?
[ $status = 1 ] && grep -q "give a config" error || fail "plan of nothing"
python=""
for candidate in python3 /usr/bin/python3; do
    if [ -z "$python" ] && "$candidate" -c 'import numpy' 2>/dev/null; then python=$candidate; fi
done
[ -n "$python" ] || { echo "SKIPPED arrays: no python3 with numpy"; python=:; cp "$source/examples/double_x.npy" x.npy; }
"$python" - <<'PY'
import numpy
numpy.save("x.npy", numpy.arange(8, dtype=numpy.float32).reshape(1, 4, 1, 2))
PY
"$pome" run "$source/examples/double.mil" --input x=x.npy --output y=y.npy --device emulator:m4 || fail "run"
"$python" - <<'PY'
import numpy
y = numpy.load("y.npy")
assert y.dtype == numpy.float16 and (y == 2 * numpy.arange(8).reshape(1, 4, 1, 2)).all(), y
PY
status=0
"$pome" run "$source/examples/double.mil" --device emulator:m4 2>error || status=$?
[ $status = 1 ] && grep -q "input 'x' (fp16 \[1,4,1,2\]) has no array; add --input x=FILE.npy" error || fail "a missing input"
status=0
"$pome" generate --model nothing 2>error || status=$?
[ $status = 2 ] || fail "wrong usage has status $status"
status=0
"$pome" eval --model run --tokenizer data/tokenizer.bin --data stories.txt --device emulator:m9 2>error || status=$?
[ $status = 1 ] && grep -q "no chip 'm9'; known: m1," error || fail "an unknown chip"
if [ -n "${POME_TEST_DATA:-}" ]; then
    "$pome" generate --model "$POME_TEST_DATA/llama2c/stories260K.bin" --tokenizer "$POME_TEST_DATA/llama2c/tok512.bin" \
        --device reference --temperature 0 --tokens 200 >text
    cmp text "$POME_TEST_DATA/llama2c/stories260K_expected_t0_n200.txt" || fail "the published text"
else
    echo "SKIPPED the published text: set POME_TEST_DATA"
fi
"$pome" train "$source/examples/tiny.toml" >tiny.txt || fail "train examples/tiny.toml"
for line in "step 0     loss=0.500921" "step 200   loss=0.499994" "step 400   loss=0.360518" "step 480, 100 compiles, loss=0.121289" \
    "step 780   loss=0.042563" "step 880   loss=0.003584" "step 960, 100 compiles, loss=0.001957" "step 1840  loss=0.001435" \
    "step 1920, 100 compiles, loss=0.001428"; do
    grep -qF "$line" tiny.txt || fail "the published M4 Max run: no line '$line'"
done
echo "cli: all cases passed"
