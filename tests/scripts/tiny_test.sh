#!/bin/sh
# The published M4 Max run (examples/tiny.toml) through five processes: what it prints, digit for digit, and what it leaves behind.
set -eu
pome=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $1"; exit 1; }
mkdir tmp
TMPDIR=$work/tmp "$pome" train "$source/examples/tiny.toml" >out || fail "train examples/tiny.toml"
# Steps and losses of the original; a restart's loss is that of the last step before it.
cat >expected <<'LINES'
0 0.500921
50 0.500798
100 0.500504
150 0.500296
200 0.499994
250 0.499789
300 0.499073
350 0.494323
400 0.360518
450 0.150306
R480 0.121289
480 0.140871
530 0.127078
580 0.121741
630 0.118208
680 0.105653
730 0.087973
780 0.042563
830 0.015541
880 0.003584
930 0.002238
R960 0.001957
960 0.001754
1010 0.001653
1060 0.001585
1110 0.001568
1160 0.001555
1210 0.001548
1260 0.001536
1310 0.001528
1360 0.001516
1410 0.001511
R1440 0.001506
1440 0.001503
1490 0.001496
1540 0.001485
1590 0.001477
1640 0.001467
1690 0.001461
1740 0.001451
1790 0.001444
1840 0.001435
1890 0.001430
R1920 0.001428
1920 0.001424
1970 0.001419
end 0.001416
LINES
sed -n 's/^step \([0-9]*\) *loss=\([0-9.]*\) .*/\1 \2/p; s/^.exec() restart at step \([0-9]*\), 100 compiles, loss=\(.*\)\]$/R\1 \2/p
    s/^finished at step 2000, loss=/end /p' out >found
cmp found expected || { diff found expected || true; fail "the published losses"; }
# Each restart is one of the process: what follows knows only the checkpoint.
for step in 480 960 1440 1920; do
    grep -q "^\[RESUMED at step $step, loss=0\.[0-9]*, compiles reset\]$" out || fail "no new process at step $step"
done
[ -z "$(ls tmp)" ] || fail "it leaves a temporary directory behind: $(ls tmp)"
# A run directory of one's own stays, and a finished run says so again.
"$pome" train "$source/examples/tiny.toml" --run run --set tiny.steps=500 >out || fail "train --run"
"$pome" inspect run/ane_train_ckpt.bin --json | grep -q '"kind":"tiny_train checkpoint".*"step":500' || fail "its checkpoint"
"$pome" train --resume run >out || fail "resume of a finished run"
grep -q "^finished at step 500, loss=0.1" out || fail "a finished run: $(cat out)"
status=0
"$pome" train "$source/examples/tiny.toml" --run run 2>error || status=$?
[ $status = 1 ] && grep -q "run: holds a run already" error || fail "a second run in one directory"
echo "tiny: all cases passed"
