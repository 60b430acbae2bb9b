#!/bin/sh
# scripts/train.sh: what it says when data or weights are missing, a run, going on with it. With the configs' models made small.
set -eu
pome=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $1"; cat said; exit 1; }
mkdir build
ln -s "$pome" build/pome
train() { sh "$source/scripts/train.sh" build "$@" >said 2>&1; }
small="--set model.preset=stories260K --set model.vocabulary=330 --set train.sequence=32 --set train.batch=2 --set train.steps=2
    --set train.save_every=2 --set train.sample_tokens=0"
status=0
train || status=$?
[ $status = 2 ] && grep -q "^usage: scripts/train.sh BUILD NAME CONFIG PIPELINE" said || fail "usage"
if train train stories110M auto; then fail "no data passes"; fi
grep -q "^train: build/data/train.bin is missing" said || fail "missing data is not named"
# The commands that it names are the ones that make the data.
sed -n 's/^  \(build\/pome data .*\)/\1/p' said | grep -v TinyStories | sed 's/4000000/40000/; s/vocabulary 512/vocabulary 330/' >commands
[ "$(wc -l <commands)" = 2 ] || fail "two commands make data without a network"
sh -eu commands >said || fail "the commands that it names"
if POME_WEIGHTS=none.bin train train stories110M auto; then fail "no weights pass"; fi
grep -q "^train: POME_WEIGHTS=none.bin is missing; .*download_data.sh --output build/download stories110M" said || fail "missing weights are not named"
# shellcheck disable=SC2086
train train stories110M auto $small || fail "make train"
grep -q "^dynamic pipeline: a probe of weights as inputs gave the right result; 2 sequences an update" said || fail "the chip's pipeline"
grep -q "^step      2  train " said || fail "no report"
# shellcheck disable=SC2086
train large stories110M_static static $small || fail "make train_large"
grep -q "^static pipeline: " said || fail "the static pipeline"
# shellcheck disable=SC2086
train dynamic stories110M dynamic $small || fail "make train_dynamic"
grep -q "^dynamic pipeline: " said || fail "the dynamic pipeline"
train dynamic stories110M dynamic || fail "going on"
grep -q "^going on with build/runs/dynamic; remove it to begin anew" said || fail "it does not say that it goes on"
# shellcheck disable=SC2086
POME_WEIGHTS=build/runs/train POME_DATA=build/data train tuned stories110M auto $small || fail "from the weights of another run"
grep -q "^weights = .*build/runs/train'$" build/runs/tuned/config.toml || { cat build/runs/tuned/config.toml; fail "the weights are not kept"; }
echo "train: all cases passed"
