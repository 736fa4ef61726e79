#!/bin/sh
# Builds the layer into dist/: the zip, its sha256, the audit of what it needs, an SBOM and the licences of its parts.
# DIST names another folder than dist/; TOOLCHAINS another than ~/.cache/telemetry-forwarder for the compiled CPython.
set -eu
unset CDPATH
cd "$(dirname "$0")"
# They would change what is compiled, or whether it can be: PYTHONOPTIMIZE, PYTHONHOME and the like.
for variable in $(env | sed -n 's/^\(PYTHON[A-Z]*\)=.*/\1/p'); do
    [ "$variable" = PYTHON ] || unset "$variable"
done
dist=${DIST:-dist}
toolchains=${TOOLCHAINS:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/telemetry-forwarder}

usage() {
    cat <<'END'
usage: ./build.sh [--lambda [--arch x86_64|arm64]]
            telemetry-forwarder-<arch>-local.zip, of this machine's own Python and libraries, for trying things out;
            PYTHON=python3.11 chooses the Python
  --lambda  telemetry-forwarder-<arch>.zip, of a CPython that is compiled for it, which loads on every runtime of Lambda:
            nothing in it needs a glibc above 2.26, or another library of the system; where there is no apt, in Docker
  --arch    what to build for; default: this machine's own
END
}

fail() {
    echo "build.sh: $*" >&2
    exit 1
}

host=$(uname -m | sed s/aarch64/arm64/)
arch=$host
for=local
while [ $# -gt 0 ]; do
    case $1 in
    --arch) [ $# -gt 1 ] || fail "$1 lacks its value" && arch=$2 && shift ;;
    --lambda) for=lambda ;;
    --help | -h) usage && exit ;;
    *) usage >&2 && fail "unknown option $1" ;;
    esac
    shift
done
case $arch in
x86_64 | arm64) ;;
*) fail "unknown --arch '$arch'; expected x86_64 or arm64" ;;
esac
[ "$for" = lambda ] || [ "$arch" = "$host" ] || fail "--arch $arch on $host needs --lambda"

[ ! -e "$dist" ] || [ -d "$dist" ] || fail "$dist is no folder"
# What is there is of other sources. If this build fails, nothing must be left that could be published in its stead.
name=telemetry-forwarder-$arch
[ "$for" = lambda ] || name=$name-local
rm -f "$dist/$name".*
for path in "$dist"/* "$dist"/.[!.]*; do
    case ${path#"$dist/"} in
    telemetry-forwarder-x86_64[.-]* | telemetry-forwarder-arm64[.-]* | '*' | '.[!.]*') ;;
    *) fail "$dist is dirty: $path is not of a build; move it away" ;;
    esac
done

# Everything is written here first, so that $dist never holds half a build.
if ! { mkdir -p .work "$dist" && touch "$dist/$name.$$" && rm "$dist/$name.$$"; }; then
    fail "cannot write to $dist"
fi
find .work -maxdepth 1 -name 'out.*' -mmin +240 -exec rm -rf {} + # of builds that were killed
out=$(mktemp -d "$PWD/.work/out.XXXXXX")
trap 'rm -rf "$out"' EXIT
trap 'exit 1' INT TERM HUP

build_local() {
    layer/freeze.sh "${PYTHON:-python3.11}" "$out" "$arch"
}

build_lambda() {
    native=$(layer/toolchain.sh "$host" "$toolchains")
    target=$(layer/toolchain.sh "$arch" "$toolchains")
    re2=$(layer/re2.sh "$arch" "$toolchains" "$target")
    layer/freeze.sh "$native/python/bin/python3.13" "$out" "$arch" "$target" "$re2"
}

build_docker() {
    docker info >/dev/null 2>&1 || fail "--lambda needs apt-get, for Debian's sources, or a Docker engine"
    docker build --file Dockerfile.build --build-arg "ARCH=$arch" --output "type=local,dest=$out" .
}

case $for in
local) build_local ;;
lambda) if command -v apt-get >/dev/null; then build_lambda; else build_docker; fi ;;
esac

# The zip comes last and in one step, be the folder on another disk: what can be published is whole.
for path in "$out"/*; do
    cp "$path" "$dist/${path##*/}.$$" || { rm -f "$dist/$name".* && fail "cannot write to $dist"; }
done
for path in "$out"/*; do
    [ "$path" = "$out/$name.zip" ] || mv "$dist/${path##*/}.$$" "$dist/${path##*/}"
done
mv "$dist/$name.zip.$$" "$dist/$name.zip"
echo "build.sh: wrote $dist/$name.zip"
