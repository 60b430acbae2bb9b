#!/bin/sh
# cross_macos.sh BUILD: compiles the whole program for macOS on Apple silicon and links it as Mach-O, on Linux. A symbol
# that nothing defines fails the link. Nothing is run. Status 0 also when the toolchain cannot be had: then it says SKIPPED.
set -eu
check=cross-macos
needs="zig sources"
. "$(dirname "$0")/cross_prepare.sh"
# The check itself: what nothing defines must fail, what the stubs list must not.
probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
for symbol in cblas_sgemm cblas_that_nothing_defines; do
    printf 'extern "C" void %s(); int main() { %s(); }\n' $symbol $symbol >"$probe/probe.cc"
    linked=yes
    "$POME_CROSS/bin/c++" "$probe/probe.cc" "$source/cmake/cross/Accelerate.tbd" -o "$probe/probe" >"$probe/said" 2>&1 || linked=no
    case $symbol-$linked in
        cblas_sgemm-yes | cblas_that_nothing_defines-no) ;;
        *) cat "$probe/said"; echo "$check: FAILED: linking $symbol: $linked"; exit 1 ;;
    esac
done
# zig is a shell script here: its version, not the script's date, says whether an object is that of last time.
CCACHE_COMPILERTYPE=clang
CCACHE_COMPILERCHECK="string:zig-0.16.0-aarch64-macos"
export CCACHE_COMPILERTYPE CCACHE_COMPILERCHECK
# Without ccache, headers read once: 13 instead of 20 minutes of processor time, Zen 4.
precompile=OFF
[ -n "$launcher" ] || precompile=ON
configure -S "$source" -DPOME_PRECOMPILE=$precompile -DCMAKE_TOOLCHAIN_FILE="$source/cmake/cross/aarch64-macos.cmake" -DCMAKE_BUILD_TYPE=Cross \
    -DCMAKE_CXX_FLAGS_CROSS="${POME_CROSS_FLAGS:--O0 -fno-sanitize=all}" -DPOME_TESTS=OFF -DPOME_BENCH=OFF -DPOME_EXAMPLES=OFF
compile pome libpome
for made in pome libpome.dylib; do
    # cf fa ed fe: a 64-bit Mach-O; 0c 00 00 01: for arm64.
    found=$(od -An -tx1 -N8 "$build/$made" | tr -d ' \n')
    [ "$found" = cffaedfe0c000001 ] || { echo "$check: FAILED: $made begins with $found, not as a Mach-O of arm64 does"; exit 1; }
    echo "$check: $made: Mach-O for arm64, $(wc -c <"$build/$made") bytes"
done
