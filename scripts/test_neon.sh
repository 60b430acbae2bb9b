#!/bin/sh
# test_neon.sh BUILD: builds the vector kernels and their tests for aarch64 Linux and runs them under qemu-user: NEON code equals
# the scalar models bit for bit. Status 0 also when compiler or emulator cannot be had: then it says SKIPPED.
set -eu
case $1 in /*) build=$1 ;; *) build=$PWD/$1 ;; esac
source=$(cd "$(dirname "$0")/.." && pwd)
POME_CROSS=${POME_CROSS:-${XDG_CACHE_HOME:-$HOME/.cache}/pome-cross}
export POME_CROSS
status=0
sh "$source/scripts/cross_dependencies.sh" "$POME_CROSS" qemu sources || status=$?
[ $status != 3 ] || { echo "test-neon: SKIPPED"; exit 0; }
[ $status = 0 ] || exit $status
launcher=""
command -v ccache >/dev/null 2>&1 && launcher="-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"
cmake -S "$source/cmake/neon" -B "$build" -G Ninja -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_BUILD_TYPE=Neon -DCMAKE_CXX_FLAGS_NEON="-O1" $launcher >"$build.log" 2>&1 || { tail -20 "$build.log"; echo "test-neon: FAILED to configure"; exit 1; }
cmake --build "$build" >>"$build.log" 2>&1 || { grep -E "error|undefined" -A4 "$build.log" | head -60; echo "test-neon: FAILED, see $build.log"; exit 1; }
qemu-aarch64 "$build/neon_tests" --gtest_brief=1 "--gtest_filter=${POME_NEON_FILTER:--Long*}"
