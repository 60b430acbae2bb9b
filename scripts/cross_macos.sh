#!/bin/sh
# cross_macos.sh BUILD: compiles the whole program for macOS on Apple silicon and links it as Mach-O, on Linux. A symbol
# that nothing defines fails the link. Nothing is run. Status 0 also when the toolchain cannot be had: then it says SKIPPED.
set -eu
case $1 in /*) build=$1 ;; *) build=$PWD/$1 ;; esac
source=$(cd "$(dirname "$0")/.." && pwd)
POME_CROSS=${POME_CROSS:-${XDG_CACHE_HOME:-$HOME/.cache}/pome-cross}
export POME_CROSS
status=0
sh "$source/scripts/cross_dependencies.sh" "$POME_CROSS" zig sources || status=$?
[ $status != 3 ] || { echo "cross-macos: SKIPPED"; exit 0; }
[ $status = 0 ] || exit $status
# The check itself: what nothing defines must fail, what the stubs list must not.
probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
for symbol in cblas_sgemm cblas_that_nothing_defines; do
    printf 'extern "C" void %s(); int main() { %s(); }\n' $symbol $symbol >"$probe/probe.cc"
    linked=yes
    "$POME_CROSS/bin/c++" "$probe/probe.cc" "$source/cmake/cross/Accelerate.tbd" -o "$probe/probe" >"$probe/said" 2>&1 || linked=no
    case $symbol-$linked in
        cblas_sgemm-yes | cblas_that_nothing_defines-no) ;;
        *) cat "$probe/said"; echo "cross-macos: FAILED: linking $symbol: $linked"; exit 1 ;;
    esac
done
launcher=""
if command -v ccache >/dev/null 2>&1; then
    launcher="-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"
    CCACHE_COMPILERTYPE=clang
    CCACHE_COMPILERCHECK="string:zig-0.16.0-aarch64-macos"
    CCACHE_BASEDIR=$source
    CCACHE_NOHASHDIR=1
    export CCACHE_COMPILERTYPE CCACHE_COMPILERCHECK CCACHE_BASEDIR CCACHE_NOHASHDIR
fi
cmake -S "$source" -B "$build" -G Ninja -DCMAKE_TOOLCHAIN_FILE="$source/cmake/cross/aarch64-macos.cmake" -DCMAKE_BUILD_TYPE=Cross \
    -DCMAKE_CXX_FLAGS_CROSS="${POME_CROSS_FLAGS:--O0 -fno-sanitize=all}" -DPOME_TESTS=OFF -DPOME_BENCH=OFF -DPOME_EXAMPLES=OFF $launcher >"$build.log" 2>&1 ||
    { tail -20 "$build.log"; echo "cross-macos: FAILED to configure"; exit 1; }
cmake --build "$build" --target pome libpome >>"$build.log" 2>&1 || { grep -E "error|undefined|warning" -A4 "$build.log" | head -60; echo "cross-macos: FAILED, see $build.log"; exit 1; }
for made in pome libpome.dylib; do
    # cf fa ed fe: a 64-bit Mach-O; 0c 00 00 01: for arm64.
    found=$(od -An -tx1 -N8 "$build/$made" | tr -d ' \n')
    [ "$found" = cffaedfe0c000001 ] || { echo "cross-macos: FAILED: $made begins with $found, not as a Mach-O of arm64 does"; exit 1; }
    echo "cross-macos: $made: Mach-O for arm64, $(wc -c <"$build/$made") bytes"
done
