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
. layer/cache.sh

pyinstaller_pin() {
    sed -n '/^pyinstaller==/,/[^\\]$/p' requirements/build.txt
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
    start_making CPython 1500
    install_zig
    build_python=
    [ "$arch" = "$host" ] || build_python=$(layer/toolchain.sh "$host" "$cache")/python
    mkdir -p "$work/out" "$work/src/deps/lib" "$work/src/deps/include"
    layer/sources.sh "$work/src"
    compile
    keep "$work/out" "$final"
fi
echo "$final"
