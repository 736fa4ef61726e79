#!/bin/sh
# usage: layer/toolchain.sh x86_64|arm64 CACHE
# Makes what the layer for Lambda is frozen with, and prints the folder that it is in: a CPython that needs nothing of
# its host but a glibc of 2.17, OpenSSL, PyInstaller's bootloader and the file for extensions/. What is in CACHE already
# is not made again; its name says of what, so that a new version or recipe gets a new folder.
set -eu
unset CDPATH
cd "$(dirname "$0")/.."
arch=$1 cache=$2
host=$(uname -m | sed s/aarch64/arm64/)
python=${PYTHON:-python3}
SPACE_MB=1500

fail() {
    echo "toolchain.sh: $*" >&2
    exit 1
}

named() { # NAME: a folder in the cache whose name changes with what is read from stdin
    echo "$cache/$1-$(sha256sum | cut -c 1-12)"
}

pyinstaller_pin() {
    sed -n '/^pyinstaller==/,/[^\\]$/p' requirements/build.txt
}

manifest() { # FOLDER: every file with its mode and checksum, every link with what it points to
    (cd "$1" && find . ! -path ./MANIFEST ! -type d -printf '%p %m %l\n' | LC_ALL=C sort &&
        find . ! -path ./MANIFEST -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
}

whole() { # FOLDER: whether it is there and all in it is what it was when the folder was made
    [ -d "$1" ] || return
    manifest "$1" 2>/dev/null | cmp -s - "$1/MANIFEST" && return
    echo "toolchain.sh: $1 is damaged, so it is made anew" >&2
    rm -rf "$1"
    return 1
}

keep() { # FOLDER FINAL: under its name only when it is whole, so that nothing half-made ever has that name
    manifest "$1" >"$work/manifest" || fail "cannot write $2"
    mv "$work/manifest" "$1/MANIFEST" || fail "cannot write $2"
    mv -T "$1" "$2" 2>/dev/null || whole "$2" || fail "cannot write $2" # another build may have been first
}

logged() { # WHAT COMMAND...: its output only if it fails
    what=$1 && shift
    "$@" >"$work/log" 2>&1 && return
    cp "$work/log" "$cache/failed.log" 2>/dev/null || :
    tail -n 20 "$work/log" >&2
    fail "$what failed; the end of its output is above, all of it in $cache/failed.log"
}

install_zig() {
    zig=$(named zig <requirements/toolchain.txt)
    whole "$zig" && return
    echo "toolchain.sh: installing zig" >&2
    logged "$python -m venv (Debian has it in python3-venv; PYTHON chooses another)" "$python" -m venv "$work/zig"
    logged "installing requirements/toolchain.txt" "$work/zig/bin/python" -m pip install --no-compile \
        --disable-pip-version-check --require-hashes -r requirements/toolchain.txt
    keep "$work/zig" "$zig"
}

compile() { # everything, into $work/out
    export arch cpu zig work build_python
    pyinstaller_pin >"$work/src/pyinstaller.txt"
    for part in compilers bootstrap zlib bootloader libffi openssl python; do
        echo "toolchain.sh: $part for $arch" >&2
        logged "compiling $part" layer/compile.sh "$part"
    done
    cp "$work/src/sources.txt" "$work/out"
    for source in "$work"/src/*/debian/copyright; do
        mkdir -p "$work/out/licences" && cp "$source" "$work/out/licences/$(basename "${source%/debian/copyright}")"
    done
}

case $arch in
x86_64) cpu=x86_64 ;;
arm64) cpu=aarch64 ;;
*) fail "unknown architecture '$arch'; expected x86_64 or arm64" ;;
esac
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
version=$(sed -n 's/^python[0-9.]* \([0-9.]*\).*/\1/p' requirements/sources.txt)
final=$({ cat requirements/sources.txt requirements/toolchain.txt layer/toolchain.sh layer/compile.sh layer/sources.sh \
    layer/bootstrap.c && pyinstaller_pin; } | named "cpython-$version-$arch")
if ! whole "$final"; then
    layer/tools.sh make:make readelf:binutils pod2text:perl patch:patch xz:xz-utils sha256sum:coreutils
    available=$(df -Pk "$cache" | awk 'NR == 2 {print int($4 / 1024)}')
    [ "$available" -ge "$SPACE_MB" ] || fail "$cache has $available MB left; compiling CPython needs $SPACE_MB"
    find "$cache" -maxdepth 1 -name 'making.*' -mmin +240 -exec rm -rf {} + # of runs that were killed
    work=$(mktemp -d "$cache/making.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP
    install_zig
    build_python=
    [ "$arch" = "$host" ] || build_python=$(layer/toolchain.sh "$host" "$cache")/python
    mkdir -p "$work/out" "$work/src/deps/lib" "$work/src/deps/include"
    layer/sources.sh "$work/src"
    compile
    keep "$work/out" "$final"
fi
echo "$final"
