# cross_prepare.sh: what cross_macos.sh and test_neon.sh begin with; they read it with `.` after setting `check` (the name in
# messages) and `needs` (what scripts/cross_dependencies.sh shall bring), their first argument being the folder to build in.
# Sets build, source, launcher and jobs, exports POME_CROSS. Ends the script with status 0, saying SKIPPED, where the toolchain
# cannot be had.
case $1 in /*) build=$1 ;; *) build=$PWD/$1 ;; esac
source=$(cd "$(dirname "$0")/.." && pwd)
POME_CROSS=${POME_CROSS:-${XDG_CACHE_HOME:-$HOME/.cache}/pome-cross}
export POME_CROSS
jobs=${POME_CROSS_JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}
mkdir -p "$(dirname "$build")"
status=0
# shellcheck disable=SC2086
sh "$source/scripts/cross_dependencies.sh" "$POME_CROSS" $needs || status=$?
[ $status != 3 ] || { echo "$check: SKIPPED"; exit 0; }
[ $status = 0 ] || exit $status
launcher=""
if command -v ccache >/dev/null 2>&1; then
    launcher="-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"
    CCACHE_BASEDIR=$source
    CCACHE_NOHASHDIR=1
    export CCACHE_BASEDIR CCACHE_NOHASHDIR
fi

# configure FLAG...: cmake, quietly.
configure() {
    cmake -B "$build" -G Ninja $launcher "$@" >"$build.log" 2>&1 || { tail -20 "$build.log"; echo "$check: FAILED to configure"; exit 1; }
}
# compile TARGET...: only what went wrong is shown.
compile() {
    cmake --build "$build" -j "$jobs" --target "$@" >>"$build.log" 2>&1 ||
        { grep -E "error|undefined|FAILED" -A4 "$build.log" | head -60; echo "$check: FAILED, see $build.log"; exit 1; }
}
