#!/bin/sh
# test_neon.sh BUILD: builds the vector kernels and their tests for aarch64 Linux and runs them under qemu-user: NEON code equals
# the scalar models bit for bit. Status 0 also when compiler or emulator cannot be had: then it says SKIPPED.
set -eu
check=test-neon
needs="qemu sources"
. "$(dirname "$0")/cross_prepare.sh"
# The instructions that every Apple processor has: Highway's own target, so that nothing is compiled for less than it.
configure -S "$source/cmake/neon" -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_BUILD_TYPE=Neon -DCMAKE_CXX_FLAGS_NEON="-O1 -march=armv8-a+crypto"
compile neon_tests
qemu-aarch64 "$build/neon_tests" --gtest_brief=1 "--gtest_filter=${POME_NEON_FILTER:--Long*}"
