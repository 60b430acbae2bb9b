#!/bin/sh
# The program as a user meets it: the commands of README, exit statuses, messages.
set -eu
pome=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $1"; exit 1; }
for command in "" train generate eval devices run lint legalize inspect plan probe doctor data "data prepare" "data stories" bench "bench peak" "bench int8" "bench dispatch" "bench sram" "bench compile" "bench train" "bench train_step" "bench compare" convert; do
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
"$pome" train c.toml --run static --set engine.pipeline=static --dump-programs dump --set engine.compile_limit=13 --set train.sample_tokens=0 >out 2>restarts || fail "train static"
# Each process numbers on; every program is one that lint has nothing against but what surfaces it needs.
# (The last update's may not be compiled any more when the run ends.)
dumped=$(ls dump | wc -l)
[ "$dumped" -ge 32 ] && [ "$dumped" -le 36 ] && [ -e dump/00032/weights ] || fail "4 programs for each of 8 or 9 sets of weights, dumped: $(ls dump)"
for program in dump/*; do
    "$pome" lint "$program/model.mil" --device emulator:m4 >lint.txt && ! grep -v 'its surface with [0-9]* bytes; Pome does$' lint.txt || fail "lint of $program: $(cat lint.txt)"
done
[ "$(grep -c '^\[restart at step ' restarts)" = 2 ] || fail "restarts: $(cat restarts)"
grep -q "^step      8  train " out || fail "no report line after restarts"
"$pome" train c.toml --run unlimited --set engine.pipeline=static --set engine.compile_limit=0 --set engine.device=emulator:m4/client --set train.sample_tokens=0 >/dev/null || fail "train without limit"
for run in static unlimited; do sed 's/,"[a-z_]*ms[a-z_]*":[^,}]*//g; s/"tokens_per_second":[^,}]*//' $run/metrics.jsonl | grep -o '"train_loss":[^,}]*' >$run.losses; done
cmp static.losses unlimited.losses || fail "restarts change the losses"
"$pome" train c.toml --run extras --set engine.pipeline=static-extras --set engine.extras='["classifier", "softmax"]' --set engine.overlap=true \
    --set engine.compile_limit=0 --set train.sample_tokens=0 --trace trace.json --trace-updates 2 >out 2>table || fail "train static-extras"
grep -q "on the engine too: classifier, softmax; weight gradients beside the engine" out || fail "what the engine computes too"
grep -q "^extra  *runs  *host  *device  *io  *gain" table && grep -q "^classifier  *1 " table && grep -q "^softmax  *1 " table || fail "table of extras"
grep -q '^{"displayTimeUnit":"ms","traceEvents":\[' trace.json && grep -q '"name":"update 2"' trace.json || fail "trace"
grep -q '"name":"update 3"' trace.json && fail "a trace of more updates than asked for"
"$pome" train --resume run >/dev/null || fail "resume of a finished run"
status=0
"$pome" train c.toml --run run 2>error || status=$?
[ $status = 1 ] && grep -q "holds a run already" error || fail "a second run in one directory"
"$pome" generate --model run --tokenizer data/tokenizer.bin --tokens 5 --temperature 0 --prompt "Once" | grep -q "^Once" || fail "generate"
"$pome" eval --model run --tokenizer data/tokenizer.bin --data stories.txt --windows 3 --json | grep -q '"perplexity":' || fail "eval"
"$pome" inspect run/checkpoints/best --json | grep -q '"kind":"checkpoint"' || fail "inspect"
# A checkpoint of the published trainers: version 2, 2 layers of width 32, hidden 64, 2 heads, vocabulary 330.
python3 - <<'PY'
import random, struct
layers, vocabulary, width, hidden, heads, sequence = 2, 330, 32, 64, 2, 32
random.seed(3)
def weights(count): return struct.pack(f"<{count}f", *(random.gauss(0, 0.2) for _ in range(count)))
layer = [width * width] * 4 + [hidden * width] * 3 + [width] * 2
with open("blzt.bin", "wb") as f:
    f.write(struct.pack("<10i2f3d6i", 0x424C5A54, 2, 20, 100, layers, vocabulary, width, hidden, heads, sequence, 3e-4, 5.5,
                        1, 2, 3, 20, 2, 2, 0, 0, 0))
    for counts in [layer] * layers + [[width], [vocabulary * width]]:
        for count in counts: f.write(weights(count))
        f.write(bytes(8 * sum(counts)))
PY
"$pome" inspect blzt.bin --json | grep -q '"kind":"BLZT checkpoint".*"version":2' || fail "inspect of a BLZT checkpoint"
"$pome" convert --help | grep -q "Example" || fail "pome convert --help shows no example"
"$pome" convert blzt.bin m.safetensors >out 2>notes || fail "convert to safetensors"
grep -q "^blzt.bin (BLZT checkpoint, version 2) to m.safetensors: 31200 parameters, width 32, hidden 64, 2 layers, vocabulary 330$" out ||
    fail "convert: $(cat out)"
grep -q "^note: its trainer gives attention no rotary positions" notes || fail "no note of what is lost: $(cat notes)"
"$pome" convert m.safetensors m.bin --json | grep -q '"notes":\["the model has no rotary positions' || fail "convert to llama2.c"
status=0
"$pome" convert m.bin m.gguf 2>error || status=$?
[ $status = 1 ] && grep -q "m.gguf: the suffix says what to write: .bin (llama2.c) or .safetensors" error || fail "an unknown suffix"
"$pome" generate --model blzt.bin --tokenizer data/tokenizer.bin --tokens 5 --temperature 0 --prompt "Once" | grep -q "^Once" || fail "generate with BLZT"
for model in blzt.bin m.safetensors m.bin; do
    "$pome" eval --model $model --tokenizer data/tokenizer.bin --data data/val.bin --windows 16 | cut -d' ' -f2 >$model.loss
done
cmp blzt.bin.loss m.safetensors.loss || fail "a model and its copy differ"
if cmp -s blzt.bin.loss m.bin.loss; then fail "rotary positions change nothing"; fi
# Training starts from a file: the first loss is the one that eval found on the same windows.
"$pome" train c.toml --run tuned --set model.layers=2 --set model.rope=false --set model.weights=blzt.bin --set train.sample_tokens=0 >out 2>notes ||
    fail "train from a BLZT checkpoint"
grep -q "^weights of .*/blzt.bin$" out || fail "it does not say what it starts from"
grep -q "^note: Adam's moments after 2 updates, step 20 of 100 " notes || fail "no note of what is left behind: $(cat notes)"
grep -q "^val $(printf %.4f "$(cat blzt.bin.loss)") before the first step$" out || fail "the first loss is not the file's: $(cat out)"
grep -q "^weights = .*/blzt.bin'$" tuned/config.toml || fail "the run does not keep what it started from"
status=0
"$pome" train c.toml --run other --set model.weights=blzt.bin 2>error || status=$?
[ $status = 1 ] && grep -q "layers is 2 there and model.layers = 1 here, rope is false there and model.rope = true here" error ||
    fail "weights of another model: $(cat error)"
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
numpy.save("x.npy", numpy.arange(1024, dtype=numpy.float32).reshape(1, 32, 1, 32))
PY
"$pome" run "$source/examples/double.mil" --input x=x.npy --output y=y.npy --device emulator:m4 || fail "run"
"$python" - <<'PY'
import numpy
y = numpy.load("y.npy")
assert y.dtype == numpy.float16 and (y == 2 * numpy.arange(1024).reshape(1, 32, 1, 32)).all(), y
PY
status=0
"$pome" run "$source/examples/double.mil" --device emulator:m4 2>error || status=$?
[ $status = 1 ] && grep -q "input 'x' (fp16 \[1,32,1,32\]) has no array; add --input x=FILE.npy" error || fail "a missing input"
# Conformance: what is open with its reason is no failure.
"$pome" conformance --device emulator:m1 --only E11a --only N14 >conformance.txt || fail "conformance has status $?"
tail -1 conformance.txt | grep -q "1 of 2 undisputed behaviours reproduced (50.0 %), 1 open with the reason" ||
    fail "conformance says: $(tail -1 conformance.txt)"

"$pome" lint "$source/examples/double.mil" --device emulator:m4 >lint.txt || fail "lint of a good program has status $?"
[ ! -s lint.txt ] || fail "lint finds something in a good program: $(cat lint.txt)"
status=0
"$pome" lint "$source/examples/double.mil" --device emulator:m1 --json >lint.json || status=$?
[ $status = 1 ] && grep -q '"chip":"m1".*"line":1,.*"on_hardware":"refused".*"remedy":"write program(1.0).*"rule":"dialect","severity":"error"' lint.json ||
    fail "lint --json: status $status, $(cat lint.json)"
printf 'program(1.3)\n{\nfunc main<ios18>(tensor<fp16, [1, 64, 1, 31]> x) {\ntensor<fp16, [1, 64, 1, 31]> y = gelu(x = x);\n} -> (y);\n}\n' >bad.mil
status=0
"$pome" lint bad.mil --device emulator:m4 >lint.txt || status=$?
[ $status = 1 ] && grep -qF 'bad.mil:3: error: input fp16 [1,64,1,31] has rows of 62 bytes, no multiple of 64 (line 3, %x, rule row_bytes); pad its last axis to 32 elements' lint.txt &&
    grep -qF 'bad.mil:4: error: gelu: _ANECompiler : ANECCompile() FAILED (line 4, %y, rule gelu); write it with tanh or sigmoid' lint.txt ||
    fail "lint: status $status, $(cat lint.txt)"
"$pome" lint bad.mil --device emulator:m4/e5rt >lint.txt || fail "lint of what e5rt takes: $(cat lint.txt)"
printf 'program(1.3)\n{\nfunc main<ios18>(tensor<fp16, [1, 64, 1, 32]> x) {\ntensor<fp16, [1, 64, 1, 33]> y = gelu(x = z);\n} -> (y);\n}\n' >broken.mil
status=0
"$pome" lint broken.mil --device emulator:m4 >lint.txt || status=$?
[ $status = 1 ] && grep -qF "broken.mil:0: error: [mil.gelu] 'z' is not defined before it is used (line 4, %y) (rule verify); correct the program" lint.txt &&
    grep -qF 'rule gelu' lint.txt || fail "lint of what does not verify: status $status, $(cat lint.txt)"
status=0
"$pome" lint bad.mil --device emulator:m9 2>error || status=$?
[ $status = 1 ] && grep -q "no chip 'm9'" error || fail "lint for an unknown chip: status $status"
status=0
"$pome" lint nothing.mil 2>error || status=$?
[ $status = 2 ] || fail "lint without a file has status $status"
[ "$("$pome" lint --rules | wc -l)" -ge 70 ] || fail "lint --rules"
if [ -n "${POME_TEST_DATA:-}" ]; then
    for file in $(find "$POME_TEST_DATA/mil" -name '*.mil'); do
        for device in m1 m4 m6/e5rt; do
            status=0
            "$pome" lint "$file" --device "emulator:$device" --json >lint.json 2>error || status=$?
            [ $status -le 1 ] && grep -q '"findings":' lint.json || fail "lint $file for $device has status $status: $(cat error)"
        done
    done
fi
status=0
"$pome" run bad.mil --input x=x.npy --device emulator:m4 2>error || status=$?
[ $status = 1 ] && grep -qF '[device.compile] emulator:m4 refuses the program: input fp16 [1,64,1,31] has rows of 62 bytes' error ||
    fail "run of a bad program: $(cat error)"
status=0
"$pome" run "$source/examples/double.mil" --input x=x.npy --strictness lenient 2>error || status=$?
[ $status = 1 ] && grep -qF "[device.open] strictness 'lenient' is not strict or as-hardware" error || fail "strictness: $(cat error)"
"$pome" run "$source/examples/double.mil" --input x=x.npy --strictness as-hardware --count-vanished --json | grep -q '"operations":\[\]' || fail "run --json"
"$pome" ops --markdown >ops.md
cmp ops.md "$source/docs/ops.md" || fail "docs/ops.md is not what the schemas say: pome ops --markdown > docs/ops.md"
"$pome" ops --device emulator:m1 | grep -q "^sin .* no .* it needs A15 or later; use a polynomial" || fail "ops of the M1"
sed 's/\[1, 32, 1, 32\]/[1, 4, 1, 2]/g' "$source/examples/double.mil" >small.mil
"$python" - <<'PY'
import numpy
numpy.save("small.npy", numpy.arange(8, dtype=numpy.float32).reshape(1, 4, 1, 2))
PY
"$pome" legalize small.mil --device emulator:m1 --output legal.mil >out || fail "legalize"
grep -q "^surface (line 4, %x): input fp16 \[1,4,1,2\] lies in fp16 \[1,32,1,32\]" out || fail "legalize: no padded input"
grep -q "^output 'y' fp16 \[1,4,1,2\]: \[1,4,1,2\] from \[0,0,0,0\] as \[1,4,1,2\] at the start of 'y_surface' fp16 \[1,32,1,32\]" out ||
    fail "legalize: no mapping of the output"
grep -q "^main: 3 changes for emulator:m1, 3 of them with the same bits; 0 not rewritten" out || fail "legalize: no total"
grep -q "^program(1.0)" legal.mil || fail "legalize: not canonical"
"$pome" legalize legal.mil --device emulator:m1 --json >out || fail "legalize again"
grep -qF '"changes":[]' out || fail "legalize changes its own result"
if [ "$python" != : ]; then
    "$pome" run small.mil --legalize --input x=small.npy --output y=legal.npy --device emulator:m1 || fail "run --legalize"
    "$pome" run small.mil --input x=small.npy --output y=plain.npy --device reference || fail "run on the reference"
    "$python" -c 'import numpy; assert (numpy.load("legal.npy") == numpy.load("plain.npy")).all()' || fail "run --legalize gives other values"
fi
sed 's/mul(x = x, y = two)/sin(x = x)/' small.mil >sin.mil
status=0
"$pome" legalize sin.mil --device emulator:m1 >out || status=$?
[ $status = 1 ] && grep -q "^not rewritten: trigonometry (line 6, %y): sin does not run on this chip" out || fail "legalize of sin"
status=0
"$pome" legalize sin.mil --device reference 2>error || status=$?
[ $status = 1 ] && grep -q "device 'reference' has no limits to legalize for" error || fail "legalize for the reference"
cat >head.mil <<'MIL'
program(1.3)
{
    func main<ios18>(tensor<fp16, [1, 32, 1, 32]> x) {
        tensor<fp16, [70000, 32, 1, 1]> w = const()[name = string("w"), val = tensor<fp16, [70000, 32, 1, 1]>(BLOBFILE(path = string("@model_path/weights/w.bin"), offset = uint64(64)))];
        int32 one = const()[name = string("one"), val = int32(1)];
        tensor<int32, [2]> ones = const()[name = string("ones"), val = tensor<int32, [2]>([1, 1])];
        tensor<int32, [4]> zeros = const()[name = string("zeros"), val = tensor<int32, [4]>([0, 0, 0, 0])];
        string valid = const()[name = string("valid"), val = string("valid")];
        tensor<fp16, [1, 70000, 1, 32]> y = conv(dilations = ones, groups = one, pad = zeros, pad_type = valid, strides = ones, weight = w, x = x)[name = string("y")];
    } -> (y);
}
MIL
status=0
"$pome" legalize head.mil >out || status=$?
[ $status = 1 ] && grep -q "^not rewritten: wide (line 9, %y): the weight file of conv's weight was not given" out || fail "legalize without weights"
if [ "$python" != : ]; then
    mkdir -p model/weights
    "$python" - <<'PY'
import numpy, struct
data = (numpy.arange(70000 * 32) % 1000).astype(numpy.float16).tobytes()
head = struct.pack("<II", 1, 2) + bytes(56)
record = struct.pack("<IIQQ", 0xDEADBEEF, 1, len(data), 128) + bytes(40)
open("model/weights/w.bin", "wb").write(head + record + data)
PY
    status=0
    "$pome" legalize head.mil --weights model --output wide.mil 2>error || status=$?
    [ $status = 1 ] && grep -q "has a weight file of its own, '@model_path/weights/w_0.bin'; add --output-weights DIR" error ||
        fail "legalize without a place for weights"
    "$pome" legalize head.mil --weights model --output wide.mil --output-weights wide >out || fail "legalize with weights"
    [ -f wide/weights/w_0.bin ] && [ -f wide/weights/w_1.bin ] && [ ! -f wide/weights/w.bin ] || fail "legalize: no weight files"
    "$pome" legalize wide.mil --weights wide --json | grep -qF '"changes":[]' || fail "legalize changes what it made with weights"
fi
"$pome" convert "$source/examples/mlp.mil" model.ane --seed 1 | grep -q "(MIL program) to model.ane: 16512 parameters in 3 weights, loss mean_squared_error" ||
    fail "a program becomes a model"
"$pome" convert "$source/examples/mlp.mil" fixed.ane --seed 1 --fixed b1 --json | grep -q '"fixed":1,.*"parameters":16384' || fail "a weight that is not trained"
"$pome" inspect model.ane --json | grep -q '"kind":".ane model","loss":"mean_squared_error"' || fail "inspect of a model"
status=0
"$pome" convert "$source/examples/mlp.mil" none.ane 2>error || status=$?
[ $status = 1 ] && grep -q "weight 'w1' has no file '@model_path/weights/w1.bin'; give the directory" error || fail "a program without weights: $(cat error)"
{ head -c 64 /dev/zero; printf 'abcdefgh'; } >headerless.bin
status=0
"$pome" inspect headerless.bin 2>error || status=$?
[ $status = 1 ] && grep -q "64-byte header: no record .*pome convert headerless.bin REPAIRED.bin" error || fail "inspect of a damaged blob: $(cat error)"
"$pome" convert headerless.bin repaired.bin --dtype fp16 | grep -q "8 bytes of fp16" || fail "repair"
"$pome" inspect repaired.bin --json | grep -qF '{"kind":"weight blob","records":[{"bytes":8,"dtype":"fp16","offset":64}]}' || fail "what was repaired"
# Probes: a device is named without being told, results are kept below the data directory and can be run on.
export XDG_DATA_HOME="$work/share"
"$pome" probe --list | grep -q "^poison  *risky  *whether tile spoils its process$" || fail "probe --list"
"$pome" probe --device emulator:m5/e5rt >out || fail "probe"
grep -qF "this is m5 or m5max by e5rt (H17)" out || fail "probe: $(tail -2 out)"
stored="$work/share/pome/probes/emulated/emulator_m5_e5rt.toml"
grep -qF "stored in $stored" out && grep -q "^fraction_bits = { value = 16, evidence = \"measured\"" "$stored" || fail "what probe stored"
"$pome" probe --device emulator:m1+output-ties-even --discard --json | grep -qF '"identified":"m1, m1max, m1pro or m1ultra by client+output-ties-even or in-memory+output-ties-even (H13, H13G)"' ||
    fail "probe of an alternative"
"$pome" run "$source/examples/double.mil" --input x="$source/examples/double_x.npy" --output y=facts.npy --device emulator:m1/e5rt --facts "$stored" || fail "run --facts"
refuse() {
    wanted=$1
    shift
    status=0
    "$pome" "$@" >/dev/null 2>error || status=$?
    [ $status = 1 ] && [ "$(cat error)" = "$wanted" ] || fail "pome $*: status $status, $(cat error)"
}
refuse "[cli.probe] 'auto' may be this machine's engine or an emulator: name apple or emulator:CHIP" probe --device auto
refuse "[cli.probe] 'reference' is no engine and stands in for none: there is nothing to find out; name an emulator or apple" probe --device reference
refuse "[device.open] --facts are for emulators: 'reference' is computed by no profile" \
    run "$source/examples/double.mil" --input x="$source/examples/double_x.npy" --output y=facts.npy --device reference --facts "$stored"
echo 'probe_version = "7"' >"$work/share/pome/probes/emulated/old.toml"
refuse '[device.profile] share/pome/probes/emulated/old.toml: probe_version is "7", this pome reads "1"; probe again' \
    run "$source/examples/double.mil" --input x="$source/examples/double_x.npy" --output y=facts.npy --facts share/pome/probes/emulated/old.toml
status=0
"$pome" probe --output a.toml --discard 2>error || status=$?
[ $status = 2 ] && grep -qE -- "--(discard|output) excludes --(discard|output)" error || fail "probe --output --discard: $(cat error)"
HOME="$work" POME_TRIAL="$work/x" "$pome" doctor >out || fail "doctor"
for line in "    device: emulator:m4" "        in-memory: 119 (measured)" "    directory: ~/share/pome" "    state: writable" "    POME_TRIAL: ~/x" \
    "        ~/share/pome/probes/emulated/old.toml: [device.profile] old.toml: probe_version is \"7\", this pome reads \"1\"; probe again"; do
    grep -qxF "$line" out || fail "doctor says no '$line': $(cat out)"
done
grep -qE "^        ~/share/pome/probes/emulated/emulator_m5_e5rt.toml: [0-9]+ values$" out || fail "doctor: no results: $(cat out)"
grep -q "^No engine is reachable here. Use an emulator: " out || fail "doctor: no way out"
HOME="$work" "$pome" doctor --json | grep -q '^{"pome":"0.1.0","machine":{"processor":' || fail "doctor --json"
HOME="$work" "$pome" doctor --json | grep -qF "$work" && fail "doctor names the home directory"
unset XDG_DATA_HOME
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
"$pome" train "$source/examples/digits.toml" --set digits.steps=30 --set digits.train_pictures=512 --set digits.hidden=16 --set optimizer.learning_rate=1e-2 --json >digits.txt ||
    fail "train examples/digits.toml"
grep -q '"accuracy":0\.[2-9].*"step":30' digits.txt || fail "drawn digits after 30 steps: $(cat digits.txt)"
echo "cli: all cases passed"
