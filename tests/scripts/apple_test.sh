#!/bin/sh
# The engine's device from the command line, over the stand-in: training equals the emulator's bit for bit, and each fault of the
# system ends with its error and its exit status.
set -eu
pome=$1
standin=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
TMPDIR=$work/tmp
mkdir tmp
export TMPDIR
fail() { echo "FAILED: $1"; exit 1; }
on_engine() { POME_APPLE_RUNTIME=$standin "$pome" "$@"; }
if [ -n "${POME_TEST_DATA:-}" ] && [ -f "$POME_TEST_DATA/llama2c/stories260K.bin" ]; then
    weights="weights = \"$POME_TEST_DATA/llama2c/stories260K.bin\""
    tokenizer="--tokenizer $POME_TEST_DATA/llama2c/tok512.bin"
else
    echo "without stories260K: set POME_TEST_DATA; the model's shape with random weights instead"
    weights=""
    tokenizer="--vocabulary 512"
fi
"$pome" data stories --output stories.txt --bytes 60000
# shellcheck disable=SC2086
"$pome" data prepare stories.txt --output data $tokenizer >/dev/null
cat >c.toml <<TOML
[model]
preset = "stories260K"
$weights
[data]
directory = "data"
[train]
steps = 6
sequence = 64
batch = 2
report_every = 2
validate_every = 6
validation_windows = 2
save_every = 3
[engine]
threads = 1
TOML
# The same losses and weights, bit for bit, also over the restarts of the static pipeline.
for pipeline in dynamic static; do
    "$pome" train c.toml --run emulated_$pipeline --set engine.device=emulator:m4 --set engine.pipeline=$pipeline >/dev/null 2>&1 || fail "train emulated $pipeline"
    on_engine train c.toml --run engine_$pipeline --set engine.device=apple --set engine.pipeline=$pipeline >out 2>err || { cat err; fail "train $pipeline"; }
    grep -q "on apple:in-memory (stand-in)" out || fail "it does not say what it trained on"
    grep -q "^stand-in: [0-9]* evaluations; nothing ran on an engine$" err || fail "it does not say that nothing ran on an engine"
    grep -q "^engine:" err && fail "it claims an engine"
    for run in emulated engine; do
        grep -o '"train_loss":[^,}]*\|"validation_loss":[^,}]*\|"grad_norm":[^,}]*' ${run}_$pipeline/metrics.jsonl >$run.losses
    done
    [ "$(wc -l <engine.losses)" -ge 6 ] || fail "no losses"
    cmp emulated.losses engine.losses || fail "$pipeline: other losses than on the emulator"
    for file in model optimizer; do
        cmp emulated_$pipeline/checkpoints/step_00000006/$file.safetensors engine_$pipeline/checkpoints/step_00000006/$file.safetensors || fail "$pipeline: other $file"
    done
done
grep -q "^\[restart at step" err || fail "the static pipeline did not restart"
[ -z "$(ls tmp)" ] || fail "left behind: $(ls tmp)"
# Each fault ends with status 1 and says what it was. The device's own check takes two compiles and four evaluations.
number=0
fault() { # faults, words of the error, more arguments
    number=$((number + 1))
    faults=$1
    words=$2
    shift 2
    status=0
    POME_STANDIN_FAULTS=$faults on_engine train c.toml --run fault_$number --set engine.device=apple:in-memory "$@" >out 2>err || status=$?
    [ $status = 1 ] || { cat err; fail "$faults: status $status"; }
    grep -q "$words" err || { cat err; fail "$faults: not '$words'"; }
    grep -q "^engine:" err && fail "$faults: it claims an engine"
    return 0
}
fault missing_class=_ANERequest "requestWithInputs:.*: the class is missing"
fault missing_selector=inMemoryModelWithDescriptor: "inMemoryModelWithDescriptor:\] (route in-memory) is missing"
fault changed_selector=evaluateWithQoS:options:request:error: "is encoded as 'v16@0:8', not"
fault virtual_machine "is a virtual machine"
fault no_engine "there is no engine"
fault compile_refused=3 "err=(InvalidMILProgram).*its text and weights are in"
fault compile_exception=3 "Objective-C exception" --trial off
fault compile_crash "killed by signal 6"
fault evaluate_crash "killed by signal 6"
fault budget=3 "refuses all without a reason: start again and resume"
fault evaluate_refused=40 "status=0x1d.*the program worked [0-9]* times before"
fault evaluate_exception=40 "Objective-C exception"
fault compile_hang "was not done after 1 s and was killed" --call-seconds 0.5
fault evaluate_hang=40 "has not returned after 1.5 s" --call-seconds 1.5
fault nan=5 "holds NaN"
fault zeros=1 "all zeros"
fault stale_outputs=1 "unwritten"
fault exchanged_inputs=1 "the inputs of a program are exchanged"
on_engine train c.toml --run tried --set engine.device=apple --set train.steps=2 --trial every >/dev/null 2>err || { cat err; fail "--trial every"; }
# What was trained before a failure is kept, and goes on.
POME_STANDIN_FAULTS=evaluate_refused=250 on_engine train c.toml --run broken --set engine.device=apple >out 2>err && fail "no failure"
[ -d broken/checkpoints/step_00000003 ] || { cat err; fail "no checkpoint before the failure"; }
on_engine train --resume broken >/dev/null 2>&1 || fail "resume after a failure"
cmp broken/checkpoints/step_00000006/model.safetensors emulated_dynamic/checkpoints/step_00000006/model.safetensors || fail "the resumed run differs"
# Another route, and what is said where there is none.
POME_STANDIN_FAULTS=missing_class=_ANEInMemoryModel on_engine train c.toml --run other --set engine.device=apple >out 2>err || fail "the other route"
grep -q "^note: route in-memory: " err && grep -q "on apple:client (stand-in)" out || fail "the other route is not named"
cmp other/checkpoints/step_00000006/model.safetensors emulated_dynamic/checkpoints/step_00000006/model.safetensors || fail "the other route differs"
case $(uname) in Linux)
    "$pome" train c.toml --run none --set engine.device=apple 2>err && fail "an engine where none is"
    grep -q -- "--device emulator:m4" err || fail "no way out"
    ;;
esac
POME_STANDIN_FAULTS=no_engine on_engine eval --help >/dev/null
POME_STANDIN_FAULTS=no_engine on_engine train c.toml --run auto --set engine.device=auto >out 2>err || fail "auto"
grep -q "^note: the engine is not used: .*there is no engine" err && grep -q "on emulator:m4 " out || fail "auto does not say what it uses"
POME_STANDIN_FAULTS=no_engine on_engine train c.toml --run required --set engine.device=auto --require-device >out 2>err && fail "--require-device falls back"
"$pome" train c.toml --run required --require-device 2>err && fail "--require-device takes an emulator"
grep -q -- "--require-device asks for the engine" err || fail "--require-device gives no reason"
on_engine devices | grep -q "^apple  *a stand-in that calls itself Apple M4" || fail "pome devices"
POME_STANDIN_FAULTS=missing_class=_ANEModel on_engine devices --json | grep -q '"missing":\["+\[_ANEModel modelAtURL:key:\] (route client): the class is missing"\]' || fail "pome devices --json"
# What an engine is known to do, it does, on surfaces of the sizes that it wants.
on_engine conformance --device apple >out 2>err || { cat err; fail "conformance"; }
grep -q "^apple: [0-9]* of [0-9]* undisputed behaviours reproduced (100.0 %)" out || { tail -1 out; fail "conformance"; }
# Probed in child processes, the stand-in is the M4 that it calls itself; what was found there holds from then on.
XDG_DATA_HOME=$work/share
export XDG_DATA_HOME
on_engine probe --device apple:in-memory >out 2>err || { cat err; fail "probe"; }
grep -q "^this is m4, m4max or m4pro by client or in-memory" out || { tail -12 out; fail "the probes see another engine"; }
stored=$(ls share/pome/probes/*+stand-in/m4_in-memory.toml) || fail "nothing is stored"
grep -q "$work" "$stored" && fail "the stored results name a directory of this machine"
on_engine train c.toml --run measured --set engine.device=apple:in-memory >out 2>err || { cat err; fail "train by stored results"; }
grep -q "^note: .*m4_in-memory.toml is used over the built-in profile m4/in-memory" err || { cat err; fail "stored results are not named"; }
cmp measured/checkpoints/step_00000006/model.safetensors emulated_dynamic/checkpoints/step_00000006/model.safetensors || fail "stored results change what is trained"
sed 's/^max_channels = { value = [0-9]*/max_channels = { value = 60/' "$stored" >changed && mv changed "$stored"
on_engine train c.toml --run narrow --set engine.device=apple:in-memory >out 2>err && fail "a stored limit does not hold"
grep -q "rule max_channels" err || { cat err; fail "another error than the stored limit's"; }
echo "max_channels" >"$stored"
for device in apple:in-memory apple auto; do
    on_engine train c.toml --run broken_results --set engine.device=$device >out 2>err && fail "$device: broken results are taken"
    grep -q "m4_in-memory.toml" err || { cat err; fail "$device: the broken file is not named"; }
done
rm -r share
# A trial that hangs or crashes ends its process only, and is an answer.
for case in "hang|has not returned after 0.3 s" "crash|signal 6"; do
    status=0
    POME_STANDIN_FAULTS=evaluate_${case%|*}=1 on_engine probe --device apple:in-memory --discard --call-seconds 0.3 >out 2>err || status=$?
    [ $status = 1 ] && grep -q "not even relu runs.*${case#*|}" err || { cat err; fail "probe, evaluate_${case%|*}: status $status"; }
done
# A process that is killed leaves its files to the next one.
POME_APPLE_RUNTIME=$standin "$pome" train c.toml --run killed --set engine.device=apple --set train.steps=100000 --trial off >/dev/null 2>&1 &
child=$!
while [ ! -d killed/checkpoints ]; do sleep 0.05; done
kill -KILL $child
wait $child 2>/dev/null || true
ls tmp | grep -q pome-engine || fail "nothing was left to sweep"
on_engine train c.toml --run after --set engine.device=apple >/dev/null 2>&1 || fail "after a kill"
[ "$(ls tmp | grep -v pome-failed-programs | wc -l)" = 0 ] || fail "not swept: $(ls tmp)"
echo "apple: all cases passed"
