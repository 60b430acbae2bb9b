#!/bin/sh
# An installed Pome: its C clients by pkg-config and by find_package, run on two chips; what the library shows.
set -eu
build=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $1"; exit 1; }
cmake --install "$build" --prefix "$work/first" >said || fail "cmake --install"
mv first installed  # an installed tree may be moved
clients=$source/tests/capi/clients
prefix=$work/installed
libraries=$(dirname "$(find "$prefix" -name 'libpome.so' -o -name 'libpome.dylib' | head -1)")
LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
DYLD_LIBRARY_PATH=$libraries
PKG_CONFIG_PATH=$libraries/pkgconfig
export LD_LIBRARY_PATH DYLD_LIBRARY_PATH PKG_CONFIG_PATH
"$prefix/bin/pome" convert "$source/examples/mlp.mil" model.ane --seed 1 >said || fail "pome convert makes model.ane"
"$prefix/bin/pome" inspect model.ane --json | grep -q '"kind":".ane model".*"b1":{"dtype":"fp32","shape":\[1,128,1,1\],"trained":true}' || fail "pome inspect model.ane"

# C11 by pkg-config, every warning an error.
cc=${CC:-gcc}
command -v "$cc" >/dev/null 2>&1 || cc=cc
command -v pkg-config >/dev/null 2>&1 || fail "pkg-config is missing: scripts/setup.sh installs it"
for client in listing train client bridge; do
    # shellcheck disable=SC2046
    "$cc" -std=c11 -Wall -Werror -o "$client" "$clients/$client.c" $(pkg-config --cflags --libs pome) -lm || fail "$client.c by pkg-config"
done
./listing || fail "the listing"
POME_DEVICE=emulator:m1 ./listing || fail "the listing on a chip without runtime weights"
./train dynamic && ./train static || fail "train.c"
if POME_DEVICE=emulator:m1 ./train dynamic 2>said; then fail "the M1 has a dynamic pipeline"; fi
grep -q "emulator:m1 does not run programs whose weights are inputs; use ane_create_static_pipeline()" said || fail "the M1's reason: $(cat said)"
POME_DEVICE=emulator:m1 ./train static || fail "train.c on the M1"
./client && ./client emulator:m1 || fail "client.c"
./bridge || fail "bridge.c"
mv model.ane gone.ane
if ./listing; then fail "the listing without model.ane passes"; fi
mv gone.ane model.ane

# The headers alone: strict C99, C++11.
for header in pome ane_universal ane_bridge; do
    # shellcheck disable=SC2046
    printf '#include <pome/%s.h>\n' "$header" | "$cc" -std=c99 -pedantic -Wall -Wextra -Werror -fsyntax-only $(pkg-config --cflags pome) -x c - || fail "$header.h in C99"
    # shellcheck disable=SC2046
    printf '#include <pome/%s.h>\n' "$header" | "${CXX:-c++}" -std=c++11 -pedantic -Wall -Wextra -Werror -fsyntax-only $(pkg-config --cflags pome) -x c++ - || fail "$header.h in C++"
done

# The same by find_package.
cmake -S "$clients" -B by_cmake -DCMAKE_PREFIX_PATH="$prefix" >said 2>&1 && cmake --build by_cmake >>said 2>&1 || { cat said; fail "find_package(pome)"; }
cp model.ane by_cmake
for client in listing train client bridge from_cxx; do
    (cd by_cmake && "./$client") >said || fail "$client by find_package"
done

# Only the functions of the headers are visible.
if [ "$(uname)" = Linux ]; then
    nm -D --defined-only "$libraries/libpome.so" | awk '$2 == "T" { print $3 }' | sort >visible
    nm -D --defined-only "$libraries/libpome.so" | awk '$2 != "T" && $2 != "A"' >other
    [ ! -s other ] || { head other; fail "the library shows more than functions"; }
    cat "$prefix"/include/pome/*.h | grep -oE '\b(pome|ane)_[a-z0-9_]+\(' | tr -d '(' | sort -u >declared
    for symbol in $(cat visible); do
        grep -qx "$symbol" declared || fail "$symbol is visible and in no header"
    done
    for name in ane_open ane_close ane_supports_inmem ane_supports_dynamic ane_create_dynamic_pipeline ane_create_static_pipeline \
        ane_load_weights ane_bind_weights ane_create_tensor ane_forward ane_backward ane_update_weights; do
        grep -qx "$name" visible || fail "$name is not there"
    done
fi
echo "install: all cases passed"
