#!/bin/sh
# Installs what the build, the tests and the checks need, if anything is missing: Debian packages or Homebrew formulas.
set -eu
debian="cmake ninja-build g++ libfmt-dev libcli11-dev nlohmann-json3-dev libtomlplusplus-dev libhwy-dev libopenblas-dev libprotobuf-dev protobuf-compiler libgtest-dev libgmock-dev clang libclang-rt-14-dev clang-format pkg-config python3 python3-numpy curl"
brew="cmake ninja fmt cli11 nlohmann-json tomlplusplus highway protobuf googletest clang-format pkg-config"

if [ "$(uname)" = Darwin ]; then
    command -v brew >/dev/null 2>&1 || { echo "setup: Homebrew is missing; install it from https://brew.sh" >&2; exit 1; }
    for formula in $brew; do
        brew list "$formula" >/dev/null 2>&1 || brew install "$formula"
    done
    exit 0
fi
command -v dpkg-query >/dev/null 2>&1 || {
    echo "setup: neither Debian nor macOS; install these yourself, then use cmake: $debian" >&2
    exit 1
}
missing=""
for package in $debian; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
echo "setup: installing$missing"
as_root=""
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "setup: run this as root, or install sudo: apt-get install$missing" >&2; exit 1; }
    as_root=sudo
fi
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
