#!/bin/sh
# Trains what configs/CONFIG.toml describes, or goes on with the run of that name: `make train` and its kin call this.
set -eu
if [ $# -lt 4 ]; then
    cat >&2 <<'TEXT'
usage: scripts/train.sh BUILD NAME CONFIG PIPELINE [--set section.key=value ...]
Trains configs/CONFIG.toml in BUILD/runs/NAME with PIPELINE (auto, dynamic, static, static-extras, resident), or goes on with that run. POME_DATA=DIR says where the tokens are (BUILD/data),
POME_WEIGHTS=FILE which model to start from (random weights).
Example: scripts/train.sh build train stories110M auto --set engine.device=emulator:m1
TEXT
    exit 2
fi
build=$1 run=$1/runs/$2 config=$(dirname "$0")/../configs/$3.toml pipeline=$4
shift 4
if [ -e "$run/config.toml" ]; then
    echo "going on with $run; remove it to begin anew"
    exec "$build/pome" train --resume "$run" "$@"
fi
data=${POME_DATA:-$build/data}
for file in train.bin val.bin tokenizer.bin; do
    [ -e "$data/$file" ] && continue
    cat >&2 <<TEXT
train: $data/$file is missing. Stories and the model's tokenizer of 32,000 pieces come from
  scripts/download_data.sh --output $build/download tokenizer tinystories
  $build/pome data prepare $build/download/TinyStoriesV2-GPT4-train.txt --tokenizer $build/download/tokenizer.bin --output $data
(tinystories-valid is 22 MB instead of 2 GB). Without a network, from stories by a grammar and a tokenizer learned from them:
  $build/pome data stories --output $build/stories.txt --bytes 4000000
  $build/pome data prepare $build/stories.txt --vocabulary 512 --output $data
and then \`make ... ARGS="--set model.vocabulary=512"\`. Tokens that lie elsewhere: POME_DATA=DIR.
TEXT
    exit 1
done
if [ -n "${POME_WEIGHTS:-}" ]; then
    if [ ! -e "$POME_WEIGHTS" ]; then
        echo "train: POME_WEIGHTS=$POME_WEIGHTS is missing; \`scripts/download_data.sh --output $build/download stories110M\` fetches the" \
            "published one, and what else may be started from is in docs/interchange.md" >&2
        exit 1
    fi
    set -- --set "model.weights=$POME_WEIGHTS" "$@"
fi
exec "$build/pome" train "$config" --run "$run" --set "data.directory=$data" --set "engine.pipeline=$pipeline" "$@"
